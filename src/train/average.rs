//! The end of a fit whose weights are an average: statistics gathered anew, and a last validation.

use super::fit::Plan;
use super::trainer::Trainer;
use super::{Log, Task};
use crate::data::Split;
use crate::error::Result;
use crate::tensor::guard;

impl Trainer {
    /// Lets callbacks put their averaged weights into the network; if one does, one pass over the training data
    /// gathers the running statistics of batch normalizations, and the network is validated once more, so that
    /// checkpoints hear of it. Lightning trains a further epoch without steps for this.
    pub(super) fn last_weights(&mut self, task: &mut dyn Task, plan: &Plan) -> Result<()> {
        if self.stop.is_interrupted() {
            return Ok(());
        }
        let mut replaced = false;
        self.hook(task, |callback, cx| {
            replaced |= callback.on_last_epoch_end(cx)?;
            Ok(())
        })?;
        if !replaced {
            return Ok(());
        }
        self.averaged = true;
        self.gather_statistics(task, plan)?;
        if let Some((loader, batches)) = &plan.val
            && !self.stop.is_interrupted()
        {
            let training = std::mem::take(&mut self.log);
            let result = self.evaluate_loader(task, loader, *batches, Split::Val);
            self.log = training;
            result?;
        }
        self.carry_out(task)
    }

    fn gather_statistics(&mut self, task: &mut dyn Task, plan: &Plan) -> Result<()> {
        if !task.params().reset_statistics() {
            return Ok(());
        }
        tracing::info!("gathering the statistics of batch normalizations for the averaged weights");
        task.params().average_statistics(true);
        let mut unheard = Log::default();
        let epoch = self.progress.epoch;
        let mut pass = || -> Result<()> {
            for batch in plan.train.epoch(epoch, 0).take(plan.train_batches as usize) {
                if self.stop.is_interrupted() {
                    break;
                }
                let batch = self.place(batch?)?;
                let mut step = || task.train_step(&batch, &mut unheard).map(drop);
                tch::no_grad(|| guard(|| self.precision.forward(self.device, &mut step)))?;
            }
            Ok(())
        };
        let result = pass();
        task.params().average_statistics(false);
        task.on_epoch_start(Split::Train);
        result.map_err(|error| error.context("while gathering the statistics of batch normalizations"))
    }
}
