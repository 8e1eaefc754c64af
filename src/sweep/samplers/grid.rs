//! Every combination, the last parameter running fastest.

use super::{Context, Sampler, Suggestion};
use crate::error::Result;
use crate::sweep::space::SearchSpace;
use crate::sweep::trial::Params;

/// All combinations of a countable space that meet its constraints, each once, in order.
pub struct Grid {
    combinations: Vec<Params>,
}

impl Grid {
    /// The grid of a space. The space must be countable, and small enough to wait for.
    pub fn new(space: &SearchSpace) -> Self {
        let count = space.count().unwrap_or(0);
        let counts: Vec<u64> = space.parameters.values().map(|p| p.domain.count().unwrap_or(0)).collect();
        let bare = space.constraints.is_empty() && space.parameters.values().all(|p| p.condition.is_none());
        let mut seen = std::collections::HashSet::new();
        let combinations = (0..count).filter_map(|index| {
            let mut rest = index;
            let mut places: Vec<u64> = counts
                .iter()
                .rev()
                .map(|count| {
                    let place = rest % count;
                    rest /= count;
                    place
                })
                .collect();
            let params = space.active(|parameter| parameter.domain.nth(places.pop().unwrap_or(0)));
            // Combinations that differ only in what does not matter are one.
            let new = bare || (space.violated(&params).is_none() && seen.insert(space.overrides(&params)));
            new.then_some(params)
        });
        Grid { combinations: combinations.collect() }
    }
}

impl Sampler for Grid {
    fn suggest(&mut self, context: &Context) -> Result<Suggestion> {
        Ok(match self.combinations.get(context.number) {
            Some(params) => Suggestion::Params(params.clone()),
            None => Suggestion::Done(None),
        })
    }

    fn learns(&self) -> bool {
        false
    }

    fn total(&self, _: &SearchSpace) -> Option<usize> {
        Some(self.combinations.len())
    }
}
