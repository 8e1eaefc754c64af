//! Domination between trials with several objectives.

use super::trial::{Direction, Trial, TrialState};

/// Whether losses `a` are nowhere worse than `b` and somewhere better.
pub fn dominates(a: &[f64], b: &[f64]) -> bool {
    a.iter().zip(b).all(|(a, b)| a <= b) && a.iter().zip(b).any(|(a, b)| a < b)
}

/// A trial's values as losses.
pub fn losses(trial: &Trial, directions: &[Direction]) -> Vec<f64> {
    trial.values.iter().zip(directions).map(|(value, direction)| direction.loss(*value)).collect()
}

/// The finished trials that no other dominates, by number; for one objective the best one, the earliest of equals.
/// Trials that violate a constraint count only when all do, and then those with the smallest violation.
pub fn front<'a>(trials: &'a [Trial], directions: &[Direction]) -> Vec<&'a Trial> {
    let whole = |trial: &&Trial| {
        trial.state == TrialState::Finished
            && trial.values.len() == directions.len()
            && !trial.values.iter().any(|value| value.is_nan())
    };
    let mut candidates: Vec<&Trial> = trials.iter().filter(whole).collect();
    if candidates.iter().any(|trial| trial.is_feasible()) {
        candidates.retain(|trial| trial.is_feasible());
    } else {
        let least = candidates.iter().map(|trial| violation(trial)).fold(f64::INFINITY, f64::min);
        candidates.retain(|trial| violation(trial) <= least);
    }
    let scored: Vec<(Vec<f64>, &Trial)> = candidates.iter().map(|trial| (losses(trial, directions), *trial)).collect();
    let beaten = |loss: &[f64]| scored.iter().any(|(other, _)| dominates(other, loss));
    let mut best: Vec<&Trial> = scored.iter().filter(|(loss, _)| !beaten(loss)).map(|(_, trial)| *trial).collect();
    if directions.len() == 1 {
        best.truncate(1);
    }
    best
}

/// The sum of what is violated.
pub fn violation(trial: &Trial) -> f64 {
    trial.constraints.iter().map(|violation| violation.max(0.0)).sum()
}
