//! The tree-structured Parzen estimator, after Optuna 5's `TPESampler`.
//!
//! The trials so far are split into the best few and the rest; each half gets a Parzen estimator, and of some points
//! drawn from the first the one whose densities have the largest ratio is tried next.

mod parzen;
mod split;

pub use parzen::{Parzen, Shape, weights_by_age};
pub use split::split;

use indexmap::IndexMap;

use super::random::from_unit;
use super::{Context, LatinHypercube, Sampler, Suggestion};
use crate::error::Result;
use crate::sweep::random::Random;
use crate::sweep::space::{Domain, Parameter, SearchSpace};
use crate::sweep::trial::{ParamValue, Params, Trial, TrialState};

/// The tree-structured Parzen estimator.
#[derive(Clone, Debug)]
pub struct Tpe {
    /// How many trials are spread evenly before it learns: Optuna draws as many independently, and finds less.
    pub n_startup_trials: usize,
    /// How many points are drawn to choose from.
    pub n_ei_candidates: usize,
    /// How estimators are made.
    pub shape: Shape,
    /// Whether parameters are estimated together; by default with one objective, and not with several.
    pub multivariate: Option<bool>,
    /// Whether running trials count among the worse.
    pub constant_liar: bool,
}

impl Default for Tpe {
    fn default() -> Self {
        Tpe {
            n_startup_trials: 10,
            n_ei_candidates: 24,
            shape: Shape { prior_weight: 1.0, magic_clip: true, endpoints: false },
            multivariate: None,
            constant_liar: true,
        }
    }
}

impl Sampler for Tpe {
    fn suggest(&mut self, context: &Context) -> Result<Suggestion> {
        let judged = |trial: &&Trial| {
            trial.state == TrialState::Pruned
                || trial.state == TrialState::Finished && !trial.values.iter().any(|value| value.is_nan())
        };
        let trials: Vec<&Trial> = context.history.ended().filter(judged).collect();
        let mut random = context.random();
        if trials.len() < self.n_startup_trials {
            return LatinHypercube { points: self.n_startup_trials }.suggest(context);
        }
        let several = context.directions.len() > 1;
        let n_below = (0.1 * trials.len() as f64).ceil() as usize;
        let n_below = if several { n_below } else { n_below.min(25) };
        let (below, mut above) = split(&trials, context.directions, n_below);
        if self.constant_liar {
            above.extend(context.history.pending());
            above.sort_by_key(|trial| trial.number);
        }
        let halves = Halves { below, above, even: several };
        let mut drawn = IndexMap::new();
        for group in groups(context.space, self.multivariate.unwrap_or(!several)) {
            let point = self.propose(&group, &halves, context.space, &mut random);
            drawn.extend(group.iter().map(|parameter| parameter.key.as_str()).zip(point));
        }
        let value = |parameter: &Parameter| {
            let number = drawn.get(parameter.key.as_str()).copied();
            number.map_or_else(|| from_unit(&parameter.domain, 0.0), |number| external(&parameter.domain, number))
        };
        Ok(Suggestion::Params(context.space.active(value)))
    }
}

/// The two halves of the trials, each by number.
struct Halves<'a> {
    below: Vec<&'a Trial>,
    above: Vec<&'a Trial>,
    /// Whether the better half counts evenly, whatever its age.
    even: bool,
}

impl Tpe {
    /// The best of some candidates for a group of parameters.
    fn propose(&self, group: &[&Parameter], halves: &Halves, space: &SearchSpace, random: &mut Random) -> Vec<f64> {
        let domains: Vec<&Domain> = group.iter().map(|parameter| &parameter.domain).collect();
        let estimate = |trials: &[&Trial], even: bool| {
            let row = |trial: &&Trial| -> Option<Vec<f64>> {
                group.iter().map(|p| trial.params.get(&p.key).map(|value| value.internal())).collect()
            };
            let observations: Vec<Vec<f64>> = trials.iter().filter_map(row).collect();
            let n = observations.len();
            let weights = if even { vec![1.0; n] } else { weights_by_age(n) };
            Parzen::new(&observations, weights, &domains, self.shape)
        };
        let (below, above) = (estimate(&halves.below, halves.even), estimate(&halves.above, false));
        let mut best: Option<(f64, Vec<f64>)> = None;
        for _ in 0..self.n_ei_candidates.max(1) {
            let point = below.sample(random);
            let mut score = below.log_density(&point) - above.log_density(&point);
            // A candidate that breaks a constraint is taken only when all do.
            if !space.constraints.is_empty() && violates(group, &point, space) {
                score = f64::NEG_INFINITY;
            }
            if best.as_ref().is_none_or(|(most, _)| score > *most) {
                best = Some((score, point));
            }
        }
        best.map_or_else(Vec::new, |(_, point)| point)
    }
}

/// Whether a point of these parameters alone breaks a constraint.
fn violates(group: &[&Parameter], point: &[f64], space: &SearchSpace) -> bool {
    let pairs = group.iter().zip(point).map(|(p, value)| (p.key.clone(), external(&p.domain, *value)));
    space.violated(&Params::from_iter(pairs)).is_some()
}

/// The parameters that are estimated together: those that always matter, and those that matter under the same
/// condition; or every one by itself. Parameters with one value are left out.
fn groups(space: &SearchSpace, together: bool) -> Vec<Vec<&Parameter>> {
    let mut groups: IndexMap<String, Vec<&Parameter>> = IndexMap::new();
    for parameter in space.parameters.values().filter(|parameter| parameter.domain.count() != Some(1)) {
        let name = match (&parameter.condition, together) {
            (_, false) => parameter.key.clone(),
            (None, true) => String::new(),
            (Some(condition), true) => condition.text().to_owned(),
        };
        groups.entry(name).or_default().push(parameter);
    }
    groups.into_values().collect()
}

/// A value from its internal number.
pub fn external(domain: &Domain, number: f64) -> ParamValue {
    match domain {
        Domain::Float { low, high, .. } => ParamValue::Float(number.clamp(*low, *high)),
        Domain::Int { low, high, step, .. } => {
            let steps = ((number - *low as f64) / *step as f64).round() as i64;
            ParamValue::Int((low + steps * step).clamp(*low, *high))
        }
        Domain::Choice { values, .. } => {
            ParamValue::Choice((number.round().max(0.0) as usize).min(values.len().saturating_sub(1)))
        }
    }
}
