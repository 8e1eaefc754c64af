//! The fit loop: epochs of training with validation, as Lightning orders them.

use std::time::Instant;

use super::callback::Request;
use super::step::Moment;
use super::trainer::{Outcome, Trainer};
use super::{Signal, Status, StopReason, Task};
use crate::checkpoint::Checkpoint;
use crate::data::{DataModule, Loader, Split};
use crate::error::{Error, Result};
use crate::optim::{GradScaler, Horizon, ScalerArgs};
use crate::registry::IntOrFloat;

/// How much each loop of a fit does.
pub(super) struct Plan {
    pub(super) train: Loader,
    pub(super) train_batches: u64,
    pub(super) val: Option<(Loader, usize)>,
}

impl Trainer {
    /// Trains `task` on `data`, from the beginning or from where `resume` was saved.
    ///
    /// # Errors
    /// Whatever a step, the data or a callback reports. What callbacks save on an exception has been saved then.
    pub fn fit(&mut self, task: &mut dyn Task, data: &dyn DataModule, resume: Option<&Checkpoint>) -> Result<Outcome> {
        self.started = Instant::now();
        self.shape_network(task)?;
        self.scaler = self.precision.scales().then(|| GradScaler::new(self.device, ScalerArgs::default()));
        let plan = self.plan(data)?;
        for callback in &mut self.callbacks {
            callback.setup(task, &self.args)?;
        }
        let horizon = self.horizon(&plan);
        self.optimizers = Some(task.configure_optimizers(horizon)?);
        self.hook(task, |callback, cx| callback.on_optimizer(cx))?;
        if let Some(checkpoint) = resume {
            self.restore(task, checkpoint)?;
        }
        let result = self.run_fit(task, data, plan, resume.is_some());
        match self.profiler.report(self.run_dir.as_deref()) {
            Ok(Some(table)) => tracing::info!("where the time went:\n{table}"),
            Ok(None) => {}
            Err(error) => tracing::error!("the profiler's report: {error}"),
        }
        if result.is_err() || self.stop.is_interrupted() {
            // What callbacks save here is saved whatever went wrong; the first error is the one to report.
            let saved = self.hook(task, |callback, cx| callback.on_exception(cx)).and_then(|()| {
                self.save_for_later();
                self.carry_out(task)
            });
            if let Err(error) = saved {
                tracing::error!("while saving what could be saved: {error}");
            }
        }
        let settled = self.settle_checkpoints();
        let outcome = result?;
        settled.map(|()| outcome)
    }

    /// A run whose machine is taken away leaves a checkpoint even when no callback keeps one, unless checkpoints are
    /// switched off.
    fn save_for_later(&mut self) {
        let preempted = matches!(self.stop.signal(), Some(Signal::Terminate | Signal::Warning));
        let asked = self.pending.iter().any(|request| matches!(request, Request::Save { weights_only: false, .. }));
        let Some(dir) = self.run_dir.as_ref().filter(|_| preempted && !asked) else { return };
        if self.args.enable_checkpointing == Some(false) {
            tracing::warn!("enable_checkpointing is off: nothing is saved to go on from");
        } else {
            self.pending.push(Request::Save { path: dir.join("checkpoints/last.ckpt"), weights_only: false });
        }
    }

    fn plan(&mut self, data: &dyn DataModule) -> Result<Plan> {
        let mut train = data.loader(Split::Train)?.ok_or_else(|| Error::request("the data has no training split"))?;
        if self.args.overfit_batches.is_some() {
            // The same few batches again and again, as Lightning's: in order, whatever the sampler.
            (train.shuffle, train.sampler) = (false, None);
        }
        let train_batches = self.limited(&train, Split::Train)? as u64;
        if train_batches == 0 {
            let why = match self.args.limit_train_batches {
                Some(_) => "trainer.limit_train_batches leaves no batch to train on".to_owned(),
                None => format!("the training split gives no batch: {} samples", train.dataset.len()),
            };
            return Err(Error::request(why).help("lower data.batch_size, or give more data"));
        }
        let val = match data.loader(Split::Val)? {
            Some(mut loader) => {
                if self.args.overfit_batches.is_some() {
                    (loader.shuffle, loader.sampler) = (false, None);
                }
                let batches = self.limited(&loader, Split::Val)?;
                (batches > 0).then_some((loader, batches))
            }
            None => None,
        };
        self.args.check_val_interval(train_batches)?;
        self.validates = val.is_some();
        Ok(Plan { train, train_batches, val })
    }

    fn horizon(&self, plan: &Plan) -> Horizon {
        let by_epochs = self.args.epochs().map(|epochs| {
            let steps = |epoch| plan.train_batches.div_ceil(self.accumulation(epoch));
            (0..epochs).map(steps).fold(0u64, u64::saturating_add)
        });
        let total_steps = [by_epochs, self.args.steps()].into_iter().flatten().min();
        Horizon { total_steps, epochs: self.args.epochs() }
    }

    /// Over how many batches gradients are summed in an epoch: a callback's word, or the trainer's.
    fn accumulation(&self, epoch: u64) -> u64 {
        let decided = self.callbacks.iter().find_map(|callback| callback.accumulation(epoch));
        decided.unwrap_or(self.args.accumulate_grad_batches).max(1)
    }

    fn run_fit(&mut self, task: &mut dyn Task, data: &dyn DataModule, plan: Plan, resumed: bool) -> Result<Outcome> {
        let mut plan = plan;
        let mut loaded_in = self.progress.epoch;
        self.hook(task, |callback, cx| callback.on_fit_start(cx))?;
        if !resumed {
            self.sanity_check(task, &plan)?;
        }
        if !resumed {
            task.on_train_start();
        }
        self.hook(task, |callback, cx| callback.on_train_start(cx))?;
        self.carry_out(task)?;
        while !self.is_done() {
            let every = self.args.reload_dataloaders_every_n_epochs;
            if every > 0 && self.progress.epoch - loaded_in >= every {
                plan = self.plan(data)?;
                loaded_in = self.progress.epoch;
            }
            self.epoch(task, &plan)?;
        }
        self.last_weights(task, &plan)?;
        let reason = self.stop.reason();
        self.hook(task, |callback, cx| callback.on_train_end(cx))?;
        self.carry_out(task)?;
        Ok(match reason {
            Some(StopReason::Signal(signal)) => {
                Outcome { status: Status::Interrupted, stopped: Some(format!("interrupted by {}", signal.name())) }
            }
            Some(StopReason::Callback(why)) => Outcome { status: Status::Finished, stopped: Some(why) },
            None => Outcome { status: Status::Finished, stopped: None },
        })
    }

    /// A few batches of validation before training, so that its faults show early. Nothing is recorded.
    fn sanity_check(&mut self, task: &mut dyn Task, plan: &Plan) -> Result<()> {
        let Some((loader, batches)) = &plan.val else { return Ok(()) };
        let wanted = match self.args.num_sanity_val_steps.unwrap_or(2) {
            -1 => *batches,
            n => (n.max(0) as usize).min(*batches),
        };
        if wanted > 0 {
            // What validation draws here must not change the numbers of the training.
            let random = self.random_state();
            self.sanity_checking = true;
            let result = self.evaluate_loader(task, loader, wanted, Split::Val);
            self.sanity_checking = false;
            result?;
            self.restore_random(&random)?;
            self.metrics.clear();
        }
        Ok(())
    }

    /// Whether nothing is left to train.
    fn is_done(&self) -> bool {
        let progress = &self.progress;
        self.args.epochs().is_some_and(|epochs| progress.epoch >= epochs) || self.stops_now()
    }

    /// Whether training ends before the epoch does.
    fn stops_now(&self) -> bool {
        let progress = &self.progress;
        if self.args.steps().is_some_and(|steps| progress.global_step >= steps) {
            return true;
        }
        if self.stop.is_interrupted() {
            return true;
        }
        self.stop.is_asked() && self.may_stop_early()
    }

    /// Whether `min_epochs` and `min_steps` are served. A wish to stop is remembered until they are.
    fn may_stop_early(&self) -> bool {
        // As in Lightning: who gives a number of steps wants at least one epoch to be begun and ended.
        let least = self.args.min_epochs.or(self.args.min_steps.map(|_| 1));
        least.is_none_or(|epochs| self.progress.epoch >= epochs)
            && self.args.min_steps.is_none_or(|steps| self.progress.global_step >= steps)
    }

    fn epoch(&mut self, task: &mut dyn Task, plan: &Plan) -> Result<()> {
        self.accumulate = self.accumulation(self.progress.epoch);
        self.batches = plan.train_batches as usize;
        if self.progress.batch == 0 {
            self.log.clear();
            task.on_epoch_start(Split::Train);
            self.start_hook(task, |callback, cx| callback.on_train_epoch_start(cx))?;
        } else {
            self.hook(task, |callback, cx| callback.on_train_epoch_resume(cx))?;
            // A checkpoint saved between a batch and the validation after it resumes with that validation.
            self.after_batch(task, plan)?;
        }
        let mut batches = plan.train.epoch(self.progress.epoch, self.progress.batch as usize);
        while self.progress.batch < plan.train_batches && !self.stops_now() {
            let start = self.profiler.start();
            let Some(batch) = batches.next() else { break };
            self.profiler.end("waiting for data", start);
            self.train_batch(task, batch?, plan.train_batches)?;
            self.after_batch(task, plan)?;
        }
        drop(batches);
        if self.stop.is_interrupted() && (self.progress.batch < plan.train_batches || !self.is_settled()) {
            // Interrupted within the epoch: it is not closed, so that a resumed run completes it.
            return Ok(());
        }
        self.close_epoch(task)
    }

    /// Whether everything that follows the last batch was done.
    fn is_settled(&self) -> bool {
        self.progress.settled_at == self.progress.total_batches
    }

    /// What follows a batch: validation when it is due, then schedules that follow its metrics.
    fn after_batch(&mut self, task: &mut dyn Task, plan: &Plan) -> Result<()> {
        if self.is_settled() {
            return Ok(());
        }
        if !self.validate_if_due(task, plan)? {
            return Ok(());
        }
        if self.progress.stepped {
            self.step_schedule(Moment::StepMetrics)?;
        }
        self.progress.settled_at = self.progress.total_batches;
        Ok(())
    }

    /// The end of an epoch: its means are known, callbacks hear of it, schedules that follow a metric move on.
    fn close_epoch(&mut self, task: &mut dyn Task) -> Result<()> {
        task.on_epoch_end(Split::Train, &mut self.log)?;
        let values = self.log.epoch_values();
        self.metrics.extend(self.log.callback_values());
        self.send(&values)?;
        self.hook(task, |callback, cx| callback.on_train_epoch_end(cx))?;
        self.step_schedule(Moment::EpochMetrics)?;
        self.progress.epoch += 1;
        self.progress.batch = 0;
        self.carry_out(task)
    }

    /// Lightning's Timer of `max_time`: it counts on after a resume.
    pub(super) fn check_time(&self) {
        if let Some(limit) = self.args.max_time
            && self.elapsed().as_secs() >= limit.0
        {
            self.stop.stop(format!("max_time of {} s is over", limit.0));
        }
    }

    /// Gives whether training may go on: false when the validation was interrupted.
    fn validate_if_due(&mut self, task: &mut dyn Task, plan: &Plan) -> Result<bool> {
        let Some((loader, batches)) = &plan.val else { return Ok(true) };
        let before = self.progress.validated_at;
        if before == Some(self.progress.total_batches) || !self.validation_is_due(plan) {
            return Ok(true);
        }
        // Marked before, so that a checkpoint saved at its end does not repeat it.
        self.progress.validated_at = Some(self.progress.total_batches);
        // The epoch's own running means stay as they are.
        let training = std::mem::take(&mut self.log);
        let random = self.random_state();
        let start = self.profiler.start();
        let result = self.evaluate_loader(task, loader, *batches, Split::Val);
        self.profiler.end("validation", start);
        self.log = training;
        self.batches = plan.train_batches as usize;
        if result?.is_none() {
            // Interrupted: as if it had not begun, so that a resumed run validates here.
            self.progress.validated_at = before;
            self.restore_random(&random)?;
            return Ok(false);
        }
        self.carry_out(task)?;
        Ok(true)
    }

    /// Lightning's rule: at the end of every n-th epoch, or within it by `val_check_interval`.
    fn validation_is_due(&self, plan: &Plan) -> bool {
        let (done, all) = (self.progress.batch, plan.train_batches);
        if done == 0 {
            return false;
        }
        let every_n = self.args.check_val_every_n_epoch;
        if every_n.is_some_and(|n| !(self.progress.epoch + 1).is_multiple_of(n)) {
            return false;
        }
        if self.stop.is_asked() && self.may_stop_early() {
            return true;
        }
        match self.args.val_check_interval {
            None => done == all,
            Some(IntOrFloat::Int(n)) if every_n.is_none() => self.progress.total_batches.is_multiple_of(n.max(1)),
            Some(IntOrFloat::Int(n)) => done.is_multiple_of(n.max(1)),
            Some(IntOrFloat::Float(share)) => {
                let n = ((all as f64 * share) as u64).max(1);
                if share >= 1.0 { done == all } else { done.is_multiple_of(n) }
            }
        }
    }

    /// Asks for a checkpoint at `path` after the running hook; for tests and tools.
    pub fn request(&mut self, request: Request) {
        self.pending.push(request);
    }
}
