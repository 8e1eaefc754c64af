//! Pruners: what stops a trial that does not look promising, and what lets it go on after all.

mod brackets;
mod halving;
mod percentile;

use super::trial::{Direction, History, Trial};

pub use brackets::Brackets;
pub use halving::{Bracketed, Halving};
pub use percentile::Percentile;

/// A running trial that has just reported.
#[derive(Clone, Copy)]
pub struct Running<'a> {
    /// The trial with its reports.
    pub trial: &'a Trial,
    /// The last step that it had reported when it was looked at before; 0 the first time.
    pub before: u64,
    /// The trials that it may be compared with.
    pub history: History<'a>,
    /// Whether less or more is better.
    pub direction: Direction,
    /// The search's seed.
    pub seed: u64,
    /// Whether trials that still run may be compared with too.
    pub asynchronous: bool,
}

impl<'a> Running<'a> {
    /// The trials to compare with, without the trial itself.
    fn others(&self) -> impl Iterator<Item = &'a Trial> {
        let Running { trial, history, asynchronous, .. } = *self;
        let visible = history.visible();
        let settled = move |(i, other): &(usize, &Trial)| asynchronous || *i < visible && other.has_ended();
        let others = history.all().iter().enumerate().filter(settled).map(|(_, other)| other);
        others.filter(move |other| other.number != trial.number)
    }
}

/// What stops trials.
pub trait Pruner: Send {
    /// Whether it ever stops one, so that reports are needed.
    fn prunes(&self) -> bool {
        true
    }

    /// The reason to stop the trial now, if there is one.
    fn verdict(&self, running: &Running) -> Option<String>;

    /// Whether trials that were stopped may go on later.
    fn continues(&self) -> bool {
        false
    }

    /// After how many steps a new trial pauses by itself.
    fn first_pause(&self, _number: usize) -> Option<u64> {
        None
    }

    /// A trial that was stopped and goes on now, and the step after which it pauses next; `total` trials are planned.
    fn next(&self, _trials: &[Trial], _direction: Direction, _total: Option<usize>) -> Option<(usize, Option<u64>)> {
        None
    }

    /// How many trials there are, where that is settled.
    fn total(&self) -> Option<usize> {
        None
    }
}

/// Never stops a trial.
pub struct Never;

impl Pruner for Never {
    fn prunes(&self) -> bool {
        false
    }

    fn verdict(&self, _: &Running) -> Option<String> {
        None
    }
}

/// A trial's loss at a rung: what it reported there, or first after it; infinite when it never came that far.
fn loss_at(trial: &Trial, rung: u64, direction: Direction) -> f64 {
    let reported = trial.intermediate.range(rung..).next().map(|(_, value)| *value);
    let loss = reported.map_or(f64::INFINITY, |value| direction.loss(value));
    if loss.is_nan() { f64::INFINITY } else { loss }
}

/// The steps at which trials are compared, below `most`: `least`, then each time `factor` times as many.
fn rungs(least: u64, most: u64, factor: u64) -> Vec<u64> {
    let next = |rung: &u64| rung.checked_mul(factor.max(2));
    std::iter::successors(Some(least.max(1)), next).take_while(|rung| *rung < most).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sweep::trial::{Params, TrialState};

    pub(super) fn trial(number: usize, state: TrialState, reports: &[(u64, f64)]) -> Trial {
        Trial { state, intermediate: reports.iter().copied().collect(), ..Trial::running(number, Params::new()) }
    }

    /// The verdict on the last of these trials.
    pub(super) fn verdict(pruner: &dyn Pruner, trials: &[Trial], before: u64) -> Option<String> {
        let last = trials.len() - 1;
        pruner.verdict(&Running {
            trial: &trials[last],
            before,
            history: History::new(trials, last),
            direction: Direction::Minimize,
            seed: 0,
            asynchronous: false,
        })
    }
}
