//! What tests of samplers share: spaces from overrides, and a search without a sweep.

use super::{Context, Sampler, Suggestion};
use crate::config::overrides;
use crate::sweep::space::{Argument, SearchSpace};
use crate::sweep::trial::{Direction, History, ParamValue, Params, Trial, TrialState};

/// The space of these overrides.
pub fn space(arguments: &[&str]) -> SearchSpace {
    let arguments: Vec<Argument> =
        arguments.iter().map(|text| Argument { parsed: overrides::parse(text, 1).unwrap(), line: None }).collect();
    SearchSpace::read(&arguments, &|_| Vec::new(), 0, false).map_err(|p| p.to_string()).unwrap()
}

/// A number of a trial.
pub fn float(params: &Params, key: &str) -> f64 {
    match params[key] {
        ParamValue::Float(value) => value,
        ParamValue::Int(value) => value as f64,
        ParamValue::Choice(place) => place as f64,
    }
}

/// What a sampler proposes after these trials.
pub fn suggest(sampler: &mut dyn Sampler, space: &SearchSpace, trials: &[Trial], number: usize, seed: u64) -> Params {
    let directions = [Direction::Minimize];
    let history = History::new(trials, trials.len());
    let context = Context { space, history, number, attempt: 0, seed, directions: &directions };
    match sampler.suggest(&context).unwrap() {
        Suggestion::Params(params) => params,
        other => panic!("{other:?}"),
    }
}

/// A search of `n` trials, one after the other.
pub fn run(
    sampler: &mut dyn Sampler,
    space: &SearchSpace,
    directions: &[Direction],
    n: usize,
    seed: u64,
    objective: impl Fn(&Params) -> Vec<f64>,
) -> Vec<Trial> {
    let mut trials: Vec<Trial> = Vec::new();
    for number in 0..n {
        let history = History::new(&trials, number);
        let context = Context { space, history, number, attempt: 0, seed, directions };
        let Suggestion::Params(params) = sampler.suggest(&context).unwrap() else { panic!("nothing is proposed") };
        for (key, value) in &params {
            assert!(space.parameters[key].domain.contains(*value), "{key} {value:?}");
        }
        let values = objective(&params);
        trials.push(Trial { state: TrialState::Finished, values, ..Trial::running(number, params) });
    }
    trials
}
