//! Stops trials that are worse than a share of the finished ones were at the same step, as Optuna's
//! `PercentilePruner` and `MedianPruner` do.

use super::{Pruner, Running};
use crate::sweep::trial::{Trial, TrialState};

/// The percentile pruner; with 50 the median pruner.
#[derive(Clone, Debug)]
pub struct Percentile {
    /// The share of the finished trials, in percent, that a trial has to be among.
    pub percentile: f64,
    /// How many trials have to be finished before one is stopped.
    pub n_startup_trials: usize,
    /// Up to which step no trial is stopped.
    pub n_warmup_steps: u64,
    /// How many steps lie between two looks.
    pub interval_steps: u64,
    /// How many finished trials have to have reported a step.
    pub n_min_trials: usize,
}

impl Pruner for Percentile {
    fn verdict(&self, running: &Running) -> Option<String> {
        let (step, _) = running.trial.last_report()?;
        let finished: Vec<&Trial> = running.others().filter(|trial| trial.state == TrialState::Finished).collect();
        if finished.len() < self.n_startup_trials || step <= self.n_warmup_steps {
            return None;
        }
        // The first look after the warm-up, and then one every so many steps.
        let looks = |step: u64| (step - self.n_warmup_steps - 1) / self.interval_steps.max(1);
        if running.before > self.n_warmup_steps && looks(running.before) == looks(step) {
            return None;
        }
        let direction = running.direction;
        let losses = running.trial.intermediate.values().map(|value| direction.loss(*value));
        let best = losses.filter(|loss| !loss.is_nan()).fold(f64::INFINITY, f64::min);
        let mut others: Vec<f64> = finished
            .iter()
            .filter_map(|trial| trial.intermediate.get(&step))
            .map(|value| direction.loss(*value))
            .filter(|loss| !loss.is_nan())
            .collect();
        if others.len() < self.n_min_trials.max(1) {
            return None;
        }
        others.sort_by(f64::total_cmp);
        let bound = percentile(&others, self.percentile);
        (best > bound).then(|| {
            let (best, bound) = (direction.loss(best), direction.loss(bound));
            format!(
                "after step {step} its best, {best:.6}, was worse than that of the best {} % there, {bound:.6}",
                self.percentile
            )
        })
    }
}

/// The percentile of sorted values, between two of them by linear interpolation.
fn percentile(sorted: &[f64], percent: f64) -> f64 {
    let place = (sorted.len() - 1) as f64 * (percent / 100.0).clamp(0.0, 1.0);
    let (below, share) = (place.floor() as usize, place.fract());
    let above = (below + 1).min(sorted.len() - 1);
    if share == 0.0 { sorted[below] } else { sorted[below] + share * (sorted[above] - sorted[below]) }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{trial, verdict};
    use super::*;

    #[test]
    fn what_is_worse_than_the_median_stops() {
        let pruner =
            Percentile { percentile: 50.0, n_startup_trials: 2, n_warmup_steps: 1, interval_steps: 1, n_min_trials: 1 };
        let done = |number, at| trial(number, TrialState::Finished, &[(1, 9.0), (2, at)]);
        let judged = |reports: &[(u64, f64)]| {
            let trials = [done(0, 1.0), done(1, 2.0), done(2, 3.0), trial(3, TrialState::Running, reports)];
            verdict(&pruner, &trials, 0)
        };
        assert!(judged(&[(1, 99.0)]).is_none(), "warm-up");
        assert!(judged(&[(1, 2.0), (2, 5.0)]).is_none(), "its best counts");
        assert!(judged(&[(1, 9.0), (2, 2.5)]).unwrap().contains("after step 2"));
        assert!(judged(&[(1, f64::NAN), (2, f64::NAN)]).is_some());
        assert!(verdict(&pruner, &[done(0, 1.0), trial(1, TrialState::Running, &[(2, 5.0)])], 0).is_none(), "too few");
    }
}
