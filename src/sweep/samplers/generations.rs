//! Which generation each trial belongs to, for samplers that learn a generation at a time.

use super::Context;
use crate::sweep::trial::{History, Trial};

/// Follows the trials in the order in which they were asked for. What it says of a trial depends only on the trials
/// that could be judged when it was asked for, so that a resumed search comes to the same generations.
#[derive(Clone, Debug, Default)]
pub struct Generations {
    /// The generation of each trial that was asked for.
    of: Vec<usize>,
    /// Whether a trial's result has been taken in.
    taken: Vec<bool>,
    /// How many generations are complete.
    complete: usize,
    /// The trials of the generation that is being gathered.
    gathered: Vec<usize>,
}

impl Generations {
    /// Whether the trials so far are not those of a search that has gone on: everything is to be followed anew.
    pub fn is_stale(&self, context: &Context) -> bool {
        self.of.len() > context.number + 1
    }

    /// The generation of the trial that is asked for now.
    pub fn current(&self) -> usize {
        self.complete
    }

    /// Takes in the trials before the one that is asked for. Each time `size` judged trials of one generation are
    /// there, `learn` is called with them and says how large the next one is.
    pub fn follow<'a>(
        &mut self,
        context: &Context<'a>,
        judged: impl Fn(&Trial) -> bool,
        mut size: usize,
        mut learn: impl FnMut(&[&'a Trial]) -> usize,
    ) {
        let history: History<'a> = context.history;
        let all = history.all();
        for number in self.of.len()..=context.number {
            // What could be judged when that trial was asked for.
            let visible = history.visible().saturating_sub(context.number - number).min(all.len());
            self.taken.resize(visible.max(self.taken.len()), false);
            for (i, trial) in all[..visible].iter().enumerate() {
                if self.taken[i] || !trial.has_ended() {
                    continue;
                }
                self.taken[i] = true;
                if self.of.get(i) != Some(&self.complete) || !judged(trial) {
                    continue;
                }
                self.gathered.push(i);
                if self.gathered.len() >= size {
                    let trials: Vec<&Trial> = self.gathered.drain(..).map(|i| &all[i]).collect();
                    size = learn(&trials);
                    self.complete += 1;
                }
            }
            self.of.push(self.complete);
        }
    }
}
