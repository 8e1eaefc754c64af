//! One batch of training: forward, backward, and, when enough gradients are summed, an optimizer step.

use super::task::Schedule;
use super::trainer::Trainer;
use super::{ClipAlgorithm, Task};
use crate::data::Batch;
use crate::error::{Error, Result};
use crate::optim;
use crate::tensor::guard;

impl Trainer {
    pub(super) fn train_batch(&mut self, task: &mut dyn Task, batch: Batch, batches: u64) -> Result<()> {
        let index = self.progress.batch;
        self.batch = index as usize;
        self.hook(task, |callback, cx| callback.on_train_batch_start(cx))?;
        let samples = batch.len();
        let batch = batch.to_device(self.device)?;
        let window = self.accumulate;
        let (epoch, log, anomaly) = (self.progress.epoch, &mut self.log, self.args.detect_anomaly);
        log.set_batch_size(samples);
        let profiler = &mut self.profiler;
        guard(|| {
            let start = profiler.start();
            let loss = task.train_step(&batch, log)?;
            profiler.end("forward", start);
            if anomaly && !loss.isfinite().all().f_int64_value(&[]).is_ok_and(|finite| finite == 1) {
                return Err(Error::failed(format!("the loss is {}", loss.double_value(&[]))));
            }
            let loss = if window > 1 { loss / window as f64 } else { loss };
            let start = profiler.start();
            loss.f_backward()?;
            profiler.end("backward", start);
            Ok(())
        })
        .map_err(|error| error.context(format!("epoch {epoch}, batch {index}")))?;
        if (index + 1).is_multiple_of(window) || index + 1 == batches {
            self.optimizer_step(task).map_err(|error| error.context(format!("epoch {epoch}, batch {index}")))?;
        }
        self.progress.batch += 1;
        self.progress.total_batches += 1;
        self.progress.samples += samples as u64;
        if self.progress.batch == batches {
            self.step_schedule(false, false)?;
        }
        let every = self.args.log_every();
        if every > 0 && self.progress.total_batches.is_multiple_of(every) {
            let values = self.log.step_values();
            self.metrics.extend(values.iter().cloned());
            if !values.is_empty() {
                self.send(&values)?;
            }
        }
        self.hook(task, |callback, cx| callback.on_train_batch_end(cx))?;
        self.carry_out(task)
    }

    fn optimizer_step(&mut self, task: &mut dyn Task) -> Result<()> {
        if self.args.detect_anomaly {
            self.check_gradients(task)?;
        }
        if let (Some(clip), Some(optimizers)) = (self.args.gradient_clip_val, &self.optimizers)
            && clip.0 > 0.0
        {
            let params = optimizers.optimizer.params();
            let params = params.iter().flat_map(|group| group.iter().map(|(_, tensor)| tensor));
            match self.args.gradient_clip_algorithm.unwrap_or_default() {
                ClipAlgorithm::Norm => {
                    let _norm = optim::clip_grad_norm(params, clip.0)?;
                }
                ClipAlgorithm::Value => optim::clip_grad_value(params, clip.0)?,
            }
        }
        self.hook(task, |callback, cx| callback.on_before_optimizer_step(cx))?;
        let start = self.profiler.start();
        if let Some(optimizers) = &mut self.optimizers {
            optimizers.optimizer.step(None)?;
            optimizers.optimizer.zero_grad();
        }
        self.profiler.end("optimizer step", start);
        self.progress.global_step += 1;
        self.step_schedule(true, false)
    }

    /// Moves the schedule on, if this is its moment: after a step (`each_step`) or an epoch; those that follow a
    /// metric (`by_metric`) after the callbacks have heard of the epoch's end, all others before.
    pub(super) fn step_schedule(&mut self, each_step: bool, by_metric: bool) -> Result<()> {
        let Some(optimizers) = &mut self.optimizers else { return Ok(()) };
        let Some(Schedule { scheduler, each_step: by_step, frequency, monitor, strict }) = &mut optimizers.schedule
        else {
            return Ok(());
        };
        // A schedule that follows a metric is asked at its epoch's end, or right after the step.
        if *by_step != each_step || (!each_step && scheduler.needs_metric() != by_metric) {
            return Ok(());
        }
        let count = if each_step { self.progress.global_step } else { self.progress.epoch + 1 };
        if !count.is_multiple_of((*frequency).max(1)) {
            return Ok(());
        }
        let mut metric = None;
        if scheduler.needs_metric() {
            let name = monitor.as_deref().unwrap_or("val/loss");
            metric = self.metrics.get(name).copied();
            if metric.is_none() {
                let known: Vec<&str> = self.metrics.keys().map(String::as_str).collect();
                let message = format!("the scheduler follows `{name}`, which was not logged");
                if *strict {
                    return Err(Error::failed(message).help(format!("logged so far: {}", known.join(", "))));
                }
                tracing::warn!("{message}");
                return Ok(());
            }
        }
        scheduler.step(optimizers.optimizer.as_mut(), metric)
    }

    fn check_gradients(&self, task: &dyn Task) -> Result<()> {
        for (name, tensor) in task.params().parameters() {
            let gradient = tensor.grad();
            if gradient.defined() && !gradient.isfinite().all().f_int64_value(&[]).is_ok_and(|finite| finite == 1) {
                return Err(Error::failed(format!("the gradient of `{name}` is not finite"))
                    .help("lower the learning rate, or clip gradients: trainer.gradient_clip_val=1.0"));
            }
        }
        Ok(())
    }
}
