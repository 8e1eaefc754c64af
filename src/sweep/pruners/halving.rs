//! Asynchronous successive halving (Li and others, *A System for Massively Parallel Hyperparameter Tuning*, 2018): at
//! each rung a trial goes on when it is among the best of those that came there, and stops otherwise.

use super::{Pruner, Running, loss_at, rungs};
use crate::sweep::random::Random;
use crate::sweep::trial::{Direction, Trial, TrialState};

/// Successive halving without waiting.
#[derive(Clone, Debug)]
pub struct Halving {
    /// The first rung's step.
    pub min_resource: u64,
    /// The last step of a trial.
    pub max_resource: u64,
    /// One of so many goes on.
    pub reduction_factor: u64,
    /// Whether trials that were stopped go on from their checkpoints when others make them look better.
    pub continues: bool,
}

impl Halving {
    fn rungs(&self) -> Vec<u64> {
        rungs(self.min_resource, self.max_resource, self.reduction_factor)
    }

    /// Whether a loss is among the best of those at a rung: the best of fewer than `reduction_factor`.
    fn passes(&self, loss: f64, others: impl Iterator<Item = f64>) -> Result<(), f64> {
        let mut all: Vec<f64> = others.chain([loss]).collect();
        all.sort_by(f64::total_cmp);
        let last = all[(all.len() / self.reduction_factor.max(2) as usize).max(1) - 1];
        if loss <= last && loss.is_finite() { Ok(()) } else { Err(last) }
    }

    fn judge<'a>(&self, running: &Running, others: impl Iterator<Item = &'a Trial> + Clone) -> Option<String> {
        let (step, _) = running.trial.last_report()?;
        let direction = running.direction;
        // Several reports may have come at once.
        let crossed = self.rungs().into_iter().filter(|rung| running.before < *rung && *rung <= step);
        for rung in crossed {
            let loss = loss_at(running.trial, rung, direction);
            let there = others.clone().filter(|other| other.intermediate.range(rung..).next().is_some());
            if let Err(last) = self.passes(loss, there.map(|other| loss_at(other, rung, direction))) {
                let (own, last) = (direction.loss(loss), direction.loss(last));
                let share = self.reduction_factor;
                return Some(format!("at step {rung} it had {own:.6}; the best 1 in {share} had {last:.6} or better"));
            }
        }
        None
    }
}

impl Pruner for Halving {
    fn verdict(&self, running: &Running) -> Option<String> {
        let others: Vec<&Trial> = running.others().collect();
        self.judge(running, others.into_iter())
    }

    fn continues(&self) -> bool {
        self.continues
    }

    fn next(&self, trials: &[Trial], direction: Direction, _: Option<usize>) -> Option<(usize, Option<u64>)> {
        if !self.continues {
            return None;
        }
        // From the top: what has come far is closer to its end.
        for rung in self.rungs().into_iter().rev() {
            let mut there: Vec<(f64, &Trial)> = trials
                .iter()
                .filter(|trial| trial.intermediate.range(rung..).next().is_some())
                .map(|trial| (loss_at(trial, rung, direction), trial))
                .collect();
            there.sort_by(|a, b| a.0.total_cmp(&b.0).then(a.1.number.cmp(&b.1.number)));
            let after = rung * self.reduction_factor.max(2);
            let best = there.iter().take(there.len() / self.reduction_factor.max(2) as usize);
            let stopped_here = |trial: &Trial| trial.is_paused() && trial.intermediate.range(after..).next().is_none();
            let found = best.filter(|(loss, _)| loss.is_finite()).find(|(_, trial)| stopped_here(trial));
            if let Some((_, trial)) = found {
                return Some((trial.number, None));
            }
        }
        None
    }
}

/// Several halvings side by side, which begin at different rungs, as Optuna's `HyperbandPruner` has them: each trial
/// belongs to one by chance.
#[derive(Clone, Debug)]
pub struct Bracketed {
    /// The halving with the lowest first rung.
    pub lowest: Halving,
}

impl Bracketed {
    /// The bracket of a trial, from 0; larger ones begin at higher rungs and get fewer trials.
    fn bracket(&self, seed: u64, number: usize) -> usize {
        let count = self.lowest.rungs().len() + 1;
        let factor = self.lowest.reduction_factor.max(2) as f64;
        let trials = |bracket: usize| {
            let left = (count - 1 - bracket) as f64;
            (count as f64 * factor.powf(left) / (left + 1.0)).ceil()
        };
        let weights: Vec<f64> = (0..count).map(trials).collect();
        Random::new(seed, &[u64::MAX, number as u64]).weighted(&weights)
    }
}

impl Pruner for Bracketed {
    fn verdict(&self, running: &Running) -> Option<String> {
        let bracket = self.bracket(running.seed, running.trial.number);
        let others: Vec<&Trial> =
            running.others().filter(|other| self.bracket(running.seed, other.number) == bracket).collect();
        let factor = self.lowest.reduction_factor.max(2).saturating_pow(bracket as u32);
        let own = Halving { min_resource: self.lowest.min_resource.saturating_mul(factor), ..self.lowest.clone() };
        own.judge(running, others.into_iter())
    }
}

/// Whether a trial has said all that it will say.
pub(super) fn is_over(trial: &Trial) -> bool {
    matches!(trial.state, TrialState::Finished | TrialState::Failed)
}

#[cfg(test)]
mod tests {
    use super::super::tests::{trial, verdict};
    use super::*;

    const HALVING: Halving = Halving { min_resource: 1, max_resource: 9, reduction_factor: 3, continues: true };

    #[test]
    fn one_in_three_goes_on_and_a_stopped_one_may_follow() {
        let stopped = |number, at| trial(number, TrialState::Pruned, &[(1, at)]);
        let mut trials = vec![trial(0, TrialState::Finished, &[(1, 0.2), (3, 0.1), (9, 0.1)]), stopped(1, 0.5)];
        trials.push(trial(2, TrialState::Running, &[(1, 0.6)]));
        assert!(verdict(&HALVING, &trials, 0).unwrap().contains("at step 1"));
        assert!(verdict(&HALVING, &trials, 1).is_none(), "nothing new was reported");
        trials[2] = trial(2, TrialState::Running, &[(1, 0.1), (2, 0.1)]);
        assert!(verdict(&HALVING, &trials, 0).is_none());
        // Of six at the first rung two go on: the second best was stopped when there were two.
        let next = |trials: &[Trial]| HALVING.next(trials, Direction::Minimize, None);
        trials[2] = stopped(2, 0.6);
        assert_eq!(next(&trials), None);
        trials.extend([stopped(3, 0.7), stopped(4, f64::NAN), stopped(5, 0.9)]);
        assert_eq!(next(&trials), Some((1, None)));
        trials[1].state = TrialState::Running;
        assert_eq!(next(&trials), None);
    }

    #[test]
    fn brackets_get_fewer_trials_the_later_they_begin() {
        let pruner = Bracketed { lowest: HALVING };
        let mut counts = [0; 3];
        (0..900).for_each(|number| counts[pruner.bracket(1, number)] += 1);
        assert!(counts[0] > counts[1] && counts[1] > counts[2] && counts[2] > 60, "{counts:?}");
    }
}
