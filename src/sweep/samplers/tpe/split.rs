//! The split of the trials into the best few and the rest.

use crate::sweep::pareto::{self, losses, violation};
use crate::sweep::trial::{Direction, Trial, TrialState};

/// The best `n_below` trials and the others, each by number. Finished trials come before pruned ones, those before
/// trials that violate a constraint; among pruned ones the one that got farther is better.
pub fn split<'a>(trials: &[&'a Trial], directions: &[Direction], n_below: usize) -> (Vec<&'a Trial>, Vec<&'a Trial>) {
    let infeasible = |trial: &Trial| violation(trial) > 0.0;
    let finished: Vec<&Trial> =
        trials.iter().copied().filter(|t| t.state == TrialState::Finished && !infeasible(t)).collect();
    let mut pruned: Vec<&Trial> =
        trials.iter().copied().filter(|t| t.state == TrialState::Pruned && !infeasible(t)).collect();
    let mut refused: Vec<&Trial> = trials.iter().copied().filter(|t| infeasible(t)).collect();
    let direction = directions.first().copied().unwrap_or_default();
    pruned.sort_by(|a, b| {
        let score = |trial: &Trial| match trial.last_report() {
            Some((step, value)) => (-(step as f64), if value.is_nan() { f64::INFINITY } else { direction.loss(value) }),
            None => (1.0, 0.0),
        };
        let (a, b) = (score(a), score(b));
        a.0.total_cmp(&b.0).then(a.1.total_cmp(&b.1))
    });
    refused.sort_by(|a, b| violation(a).total_cmp(&violation(b)));

    let ranked: Vec<&Trial> = if directions.len() > 1 {
        let points: Vec<Vec<f64>> = finished.iter().map(|trial| losses(trial, directions)).collect();
        pareto::best_first(&points, n_below).into_iter().map(|i| finished[i]).collect()
    } else {
        let mut sorted = finished.clone();
        sorted.sort_by(|a, b| direction.loss(a.values[0]).total_cmp(&direction.loss(b.values[0])));
        sorted
    };
    let mut below: Vec<&Trial> = ranked.into_iter().chain(pruned).chain(refused).take(n_below).collect();
    let mut above: Vec<&Trial> =
        trials.iter().copied().filter(|trial| !below.iter().any(|other| other.number == trial.number)).collect();
    below.sort_by_key(|trial| trial.number);
    above.sort_by_key(|trial| trial.number);
    (below, above)
}
