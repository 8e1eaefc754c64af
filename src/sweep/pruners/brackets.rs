//! Hyperband (Li, Jamieson, DeSalvo, Rostamizadeh and Talwalkar, 2018): brackets of successive halving, from many
//! trials with few steps to few trials with all steps. A trial pauses at each rung by itself; when all of its bracket
//! have come there the best go on from their checkpoints. What goes on does not depend on which job ends first.

use super::halving::is_over;
use super::{Pruner, Running, loss_at};
use crate::sweep::trial::{Direction, Trial};

/// One bracket: its rungs, and how many trials come to each of them.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Bracket {
    /// The steps after which trials pause; those that pass the last one run to their end.
    pauses: Vec<u64>,
    /// How many trials begin, and how many pass each rung.
    sizes: Vec<usize>,
}

/// The brackets, one after the other, and again from the first.
#[derive(Clone, Debug)]
pub struct Brackets {
    brackets: Vec<Bracket>,
}

impl Brackets {
    /// The brackets for trials of `max` steps that are first compared after `min`; with `only`, the bracket that
    /// begins there and no other (successive halving), for that many trials.
    pub fn new(min: u64, max: u64, factor: u64, only: Option<usize>) -> Self {
        let (min, factor) = (min.max(1), factor.max(2));
        // How often max can be divided.
        let most = (0..).take_while(|s| min.saturating_mul(factor.saturating_pow(*s)) <= max).last().unwrap_or(0);
        let bracket = |s: u32| {
            let begin = (f64::from(most + 1) / f64::from(s + 1) * (factor as f64).powi(s as i32)).ceil() as usize;
            let begin = only.unwrap_or(begin);
            let shrink = |i: u32| factor.saturating_pow(i);
            let pauses = (0..s).map(|i| (max / shrink(s - i)).max(1)).collect();
            let sizes = (0..=s).map(|i| (begin / shrink(i) as usize).max(1)).collect();
            Bracket { pauses, sizes }
        };
        let brackets = if only.is_some() { vec![bracket(most)] } else { (0..=most).rev().map(bracket).collect() };
        Brackets { brackets }
    }

    /// How many trials all brackets have together.
    fn round(&self) -> usize {
        self.brackets.iter().map(|bracket| bracket.sizes[0]).sum()
    }

    /// The brackets in order, each with the number of its first trial, without end.
    fn placed(&self) -> impl Iterator<Item = (usize, &Bracket)> {
        let mut start = 0;
        self.brackets.iter().cycle().map(move |bracket| {
            let first = start;
            start += bracket.sizes[0];
            (first, bracket)
        })
    }
}

impl Pruner for Brackets {
    fn verdict(&self, _: &Running) -> Option<String> {
        None
    }

    fn continues(&self) -> bool {
        true
    }

    fn first_pause(&self, number: usize) -> Option<u64> {
        let (_, bracket) = self.placed().find(|(first, bracket)| number < first + bracket.sizes[0])?;
        bracket.pauses.first().copied()
    }

    fn next(&self, trials: &[Trial], direction: Direction, total: Option<usize>) -> Option<(usize, Option<u64>)> {
        for (first, bracket) in self.placed().take_while(|(first, _)| *first < trials.len()) {
            let planned = (first + bracket.sizes[0]).min(total.unwrap_or(usize::MAX));
            if trials.len() < planned {
                continue;
            }
            let mut there: Vec<&Trial> = trials[first..planned].iter().collect();
            for (i, pause) in bracket.pauses.iter().enumerate() {
                let came = |trial: &&Trial| {
                    is_over(trial) || trial.steps.is_none_or(|steps| steps > *pause) || trial.is_paused()
                };
                if !there.iter().all(came) {
                    break;
                }
                there.sort_by(|a, b| {
                    let loss = |trial: &Trial| loss_at(trial, *pause, direction);
                    loss(a).total_cmp(&loss(b)).then(a.number.cmp(&b.number))
                });
                there.truncate(bracket.sizes[i + 1]);
                let waits = |trial: &&&Trial| {
                    trial.is_paused() && trial.steps == Some(*pause) && loss_at(trial, *pause, direction).is_finite()
                };
                if let Some(trial) = there.iter().find(waits) {
                    return Some((trial.number, bracket.pauses.get(i + 1).copied()));
                }
            }
        }
        None
    }

    fn total(&self) -> Option<usize> {
        Some(self.round())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sweep::trial::{Params, TrialState};

    #[test]
    fn the_brackets_are_those_of_the_paper() {
        let brackets = Brackets::new(1, 81, 3, None);
        let sizes: Vec<Vec<usize>> = brackets.brackets.iter().map(|bracket| bracket.sizes.clone()).collect();
        assert_eq!(sizes, [vec![81, 27, 9, 3, 1], vec![34, 11, 3, 1], vec![15, 5, 1], vec![8, 2], vec![5]]);
        assert_eq!(brackets.brackets[0].pauses, [1, 3, 9, 27]);
        assert_eq!(brackets.brackets[3].pauses, [27]);
        assert_eq!(brackets.round(), 143);
        assert_eq!(
            (brackets.first_pause(80), brackets.first_pause(81), brackets.first_pause(142)),
            (Some(1), Some(3), None)
        );
        assert_eq!(brackets.first_pause(143), Some(1));
    }

    #[test]
    fn the_best_go_on_when_all_have_come() {
        let halving = Brackets::new(1, 9, 3, Some(9));
        let mut trials: Vec<Trial> =
            (0..9).map(|number| Trial { steps: Some(1), ..Trial::running(number, Params::new()) }).collect();
        let next = |trials: &[Trial]| halving.next(trials, Direction::Minimize, Some(9));
        let pause = |trial: &mut Trial, step: u64, value: f64| {
            trial.intermediate.insert(step, value);
            trial.state = TrialState::Pruned;
        };
        trials[..8].iter_mut().enumerate().for_each(|(i, trial)| pause(trial, 1, i as f64));
        assert_eq!(next(&trials), None, "one still runs");
        trials[8].state = TrialState::Failed;
        assert_eq!(next(&trials), Some((0, Some(3))));
        for i in 0..3 {
            let (number, steps) = next(&trials).unwrap();
            assert_eq!((number, steps), (i, Some(3)));
            (trials[i].state, trials[i].steps) = (TrialState::Running, steps);
        }
        assert_eq!(next(&trials), None);
        for (i, value) in [(0, 5.0), (1, 4.0), (2, 6.0)] {
            assert_eq!(next(&trials), None);
            pause(&mut trials[i], 3, value);
        }
        assert_eq!(next(&trials), Some((1, None)), "the last rung runs to its end");
        (trials[1].state, trials[1].steps) = (TrialState::Finished, None);
        assert_eq!(next(&trials), None);
    }
}
