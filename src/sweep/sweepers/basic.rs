//! Hydra's own sweeper: every combination.

use super::{Definition, Params, Sweeper, SweeperKind};
use crate::config::{Problem, Problems};
use crate::prelude::*;
use crate::sweep::pruners::Never;
use crate::sweep::samplers::Grid;
use crate::sweep::search::{Search, SearchSettings};
use crate::sweep::space::{MOST, SearchSpace};
use crate::sweep::trial::Direction;

/// Every combination of the swept values, the last one running fastest.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct BasicSweeper {
    /// How many jobs Hydra hands to its launcher at a time.
    #[serde(default)]
    #[allow(dead_code, reason = "accepted for compatibility")]
    max_batch_size: Ignored,
    /// What varies, beside the command line: key to values, such as `seed: 1,2,3`.
    #[serde(default)]
    #[allow(dead_code, reason = "read from the tree")]
    params: Params,
}

impl Component for BasicSweeper {
    type Kind = SweeperKind;
    const TARGETS: &'static [&'static str] = &["hydra._internal.core_plugins.basic_sweeper.BasicSweeper"];

    fn build(self, _: &mut Build) -> Result<Box<dyn Sweeper>> {
        Ok(Box::new(self))
    }
}

impl Sweeper for BasicSweeper {
    fn plan(self: Box<Self>, definition: &Definition) -> Result<Search> {
        if let Some((key, node)) = definition.described.first() {
            let problem = Problem::new(format!("`{key}` has no values to go over")).from(&node.origin);
            return Err(problem.help(format!("write them with commas: {key}: 1,2,3")).into());
        }
        let space = SearchSpace::read(&definition.arguments, definition.options, 0, true)?;
        match space.count() {
            Some(count) if count <= MOST => {}
            count => {
                let count = count.map_or_else(|| "more".to_owned(), |count| format!("{count} jobs, more"));
                let problem = Problem::new(format!("the sweep has {count} than {MOST}"));
                return Err(Problems::from(problem.help("sweep over fewer values, or in several sweeps")).into());
            }
        }
        let settings = SearchSettings { directions: vec![Direction::Minimize], ..SearchSettings::default() };
        Ok(Search::new(space.clone(), settings, Box::new(Grid::new(&space)), Box::new(Never)))
    }
}
