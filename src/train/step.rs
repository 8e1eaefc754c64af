//! One batch of training: forward, backward, and, when enough gradients are summed, an optimizer step.

use super::anomaly::Watch;
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
        self.start_hook(task, |callback, cx| callback.on_train_batch_start(cx))?;
        let samples = batch.len();
        let whole = self.profiler.start();
        let steps = (index + 1).is_multiple_of(self.accumulate) || index + 1 == batches;
        self.learn(task, batch, samples, steps)
            .map_err(|error| error.context(format!("epoch {}, batch {index}", self.progress.epoch)))?;
        self.progress.batch += 1;
        self.progress.total_batches += 1;
        self.progress.samples += samples as u64;
        self.progress.stepped = steps;
        if steps {
            self.step_schedule(Moment::Step)?;
        }
        if self.progress.batch == batches {
            self.step_schedule(Moment::Epoch)?;
        }
        self.check_time();
        self.log_step(steps)?;
        self.hook(task, |callback, cx| callback.on_train_batch_end(cx))?;
        self.profiler.end("training batch", whole);
        self.carry_out(task)
    }

    /// Forward and backward of a batch, and the optimizer's step if it is time.
    fn learn(&mut self, task: &mut dyn Task, batch: Batch, samples: usize, steps: bool) -> Result<()> {
        let start = self.profiler.start();
        let batch = self.place(batch)?;
        self.profiler.end("to device", start);
        self.log.set_batch_size(samples);
        let window = self.accumulate;
        let (log, profiler, scaler) = (&mut self.log, &mut self.profiler, &self.scaler);
        let (precision, device) = (self.precision, self.device);
        let (keeps_loss, last_loss) = (self.keeps_loss, &mut self.last_loss);
        let watch = self.args.detect_anomaly.then(Watch::default);
        guard(|| {
            let start = profiler.start();
            let loss = precision.forward(device, || match &watch {
                Some(watch) => watch.forward(scaler.is_none(), || task.train_step(&batch, log)),
                None => task.train_step(&batch, log),
            })?;
            profiler.end("forward", start);
            if let Some(watch) = &watch {
                watch.check_forward(&loss)?;
            }
            if keeps_loss {
                *last_loss = Some(loss.detach());
            }
            let loss = if window > 1 { loss / window as f64 } else { loss };
            let start = profiler.start();
            match scaler {
                Some(scaler) => scaler.scale(&loss)?.f_backward()?,
                None => loss.f_backward()?,
            }
            profiler.end("backward", start);
            if let Some(watch) = watch.filter(|_| scaler.is_none()) {
                watch.check_backward(task)?;
            }
            Ok(())
        })?;
        if steps { self.optimizer_step(task) } else { Ok(()) }
    }

    /// Lightning's order: gradients unscaled, callbacks, clipping, the step.
    fn optimizer_step(&mut self, task: &mut dyn Task) -> Result<()> {
        if let (Some(scaler), Some(optimizers)) = (&mut self.scaler, &self.optimizers) {
            scaler.unscale(optimizers.optimizer.as_ref())?;
        }
        self.hook(task, |callback, cx| callback.on_before_optimizer_step(cx))?;
        self.clip_gradients()?;
        let start = self.profiler.start();
        if let Some(optimizers) = &mut self.optimizers {
            match &mut self.scaler {
                Some(scaler) => {
                    scaler.step(optimizers.optimizer.as_mut())?;
                    scaler.update()?;
                }
                None => optimizers.optimizer.step(None)?,
            }
            optimizers.optimizer.zero_grad();
        }
        self.profiler.end("optimizer step", start);
        self.progress.global_step += 1;
        Ok(())
    }

    fn clip_gradients(&self) -> Result<()> {
        let (Some(clip), Some(optimizers)) = (self.args.gradient_clip_val, &self.optimizers) else { return Ok(()) };
        if clip.0 <= 0.0 {
            return Ok(());
        }
        let params = optimizers.optimizer.params();
        let params = params.iter().flat_map(|group| group.iter().map(|(_, tensor)| tensor));
        match self.args.gradient_clip_algorithm.unwrap_or_default() {
            ClipAlgorithm::Norm => optim::clip_grad_norm(params, clip.0).map(drop),
            ClipAlgorithm::Value => optim::clip_grad_value(params, clip.0),
        }
    }

    /// Values of the step go to the loggers every `log_every_n_steps` optimizer steps, and when training is to stop.
    fn log_step(&mut self, stepped: bool) -> Result<()> {
        let every = self.args.log_every();
        let due = self.progress.global_step.checked_rem(every) == Some(0);
        if !stepped || every == 0 || !(due || self.stop.is_asked()) {
            return Ok(());
        }
        let values = self.log.step_values();
        self.metrics.extend(values.iter().cloned());
        if values.is_empty() { Ok(()) } else { self.send(&values) }
    }

    /// Moves the schedule on, if this is its moment.
    pub(super) fn step_schedule(&mut self, moment: Moment) -> Result<()> {
        let Some(optimizers) = &mut self.optimizers else { return Ok(()) };
        let Some(Schedule { scheduler, each_step, frequency, monitor, strict, .. }) = &mut optimizers.schedule else {
            return Ok(());
        };
        let (of_step, of_metric) = match moment {
            Moment::Step => (true, false),
            Moment::StepMetrics => (true, true),
            Moment::Epoch => (false, false),
            Moment::EpochMetrics => (false, true),
        };
        if *each_step != of_step || scheduler.needs_metric() != of_metric {
            return Ok(());
        }
        // As Lightning counts: batches of this epoch, or epochs.
        let count = if of_step { self.progress.batch } else { self.progress.epoch + 1 };
        if !count.is_multiple_of((*frequency).max(1)) {
            return Ok(());
        }
        let mut metric = None;
        if of_metric {
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
}

/// When a schedule may move on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Moment {
    /// After an optimizer step.
    Step,
    /// After an optimizer step and the validation that followed it: for schedules that follow a metric.
    StepMetrics,
    /// After the last batch of an epoch.
    Epoch,
    /// After the epoch's metrics are known and callbacks have heard them: for schedules that follow a metric.
    EpochMetrics,
}
