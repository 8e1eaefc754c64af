//! Training on the side: some steps whose every trace is removed afterwards.

use indexmap::IndexMap;
use tch::{Device, Tensor};

use crate::data::{DataModule, Loader, Split};
use crate::error::{Error, Result};
use crate::native::generator;
use crate::optim::Horizon;
use crate::tensor::{State, copied};
use crate::train::trainer::Trainer;
use crate::train::{Loggers, Progress, Task};

/// What a trial changes beside the trainer's own fields.
struct Before {
    weights: IndexMap<String, Tensor>,
    task: State,
    random: Vec<(Device, Tensor)>,
    trainable: Vec<(Tensor, bool)>,
}

impl Before {
    fn of(task: &dyn Task, device: Device) -> Result<Self> {
        let mut weights = IndexMap::new();
        for (name, tensor) in task.params().state_dict() {
            weights.insert(name, copied(&tensor)?);
        }
        let mut state = task.state();
        for tensor in state.tensors.values_mut() {
            *tensor = copied(tensor)?;
        }
        let devices = std::iter::once(Device::Cpu).chain((device != Device::Cpu).then_some(device));
        let random = devices.filter_map(|device| Some((device, generator::default_state(device).ok()?))).collect();
        let trainable = task.params().parameters().into_iter().map(|(_, t)| {
            let requires = t.requires_grad();
            (t, requires)
        });
        Ok(Before { weights, task: state, random, trainable: trainable.collect() })
    }

    fn restore(self, task: &mut dyn Task) -> Result<()> {
        for (name, tensor) in task.params().state_dict() {
            if let Some(saved) = self.weights.get(&name) {
                tch::no_grad(|| tensor.detach().f_copy_(saved))?;
            }
        }
        for (tensor, requires) in self.trainable {
            tensor.shallow_clone().zero_grad();
            let _ = tensor.set_requires_grad(requires);
        }
        task.restore(&self.task)?;
        for (device, state) in self.random {
            generator::restore_default(device, &state)?;
        }
        Ok(())
    }
}

impl Trainer {
    /// Trains for up to `steps` optimizer steps with the task's own optimizer and no schedule, on batches of
    /// `batch_size` samples when that is given. Before a step `rate` says its learning rate (`None` is the
    /// optimizer's own); after it `seen` gets the loss and says whether to go on. Everything is put back.
    ///
    /// # Errors
    /// What a step reports; the user's Ctrl-C.
    pub(super) fn aside(
        &mut self,
        task: &mut dyn Task,
        data: &dyn DataModule,
        batch_size: Option<usize>,
        steps: u64,
        rate: &dyn Fn(u64) -> Option<f64>,
        seen: &mut dyn FnMut(f64) -> bool,
    ) -> Result<()> {
        let mut loader = data.loader(Split::Train)?.ok_or_else(|| Error::request("the data has no training split"))?;
        if let Some(size) = batch_size {
            loader.batch_size = size;
            // The last, smaller batch of an epoch says nothing about the size.
            loader.drop_last = loader.samples() >= size;
        }
        let before = Before::of(task, self.device)?;
        let mut callbacks = std::mem::take(&mut self.callbacks);
        let told = callbacks.iter_mut().try_for_each(|callback| callback.on_trial(task));
        let loggers = std::mem::replace(&mut self.loggers, Loggers::start(Vec::new(), None));
        let log = std::mem::take(&mut self.log);
        let metrics = std::mem::take(&mut self.metrics);
        let progress = std::mem::take(&mut self.progress);
        let optimizers = self.optimizers.take();
        let accumulate = std::mem::replace(&mut self.accumulate, self.args.accumulate_grad_batches);
        self.keeps_loss = true;
        let result = told.and_then(|()| self.steps_aside(task, &loader, steps, rate, seen));
        self.keeps_loss = false;
        self.last_loss = None;
        // Before anything is put back: the trial's optimizer may hold most of the memory.
        self.optimizers = optimizers;
        (self.callbacks, self.loggers, self.log, self.metrics) = (callbacks, loggers, log, metrics);
        (self.progress, self.accumulate) = (progress, accumulate);
        before.restore(task).and(result)
    }

    fn steps_aside(
        &mut self,
        task: &mut dyn Task,
        loader: &Loader,
        steps: u64,
        rate: &dyn Fn(u64) -> Option<f64>,
        seen: &mut dyn FnMut(f64) -> bool,
    ) -> Result<()> {
        let mut optimizers = task.configure_optimizers(Horizon { total_steps: Some(steps), epochs: Some(1) })?;
        optimizers.schedule = None;
        self.optimizers = Some(optimizers);
        self.progress = Progress::default();
        task.on_epoch_start(Split::Train);
        let mut epoch = 0;
        while self.progress.global_step < steps {
            let before = self.progress.total_batches;
            for batch in loader.epoch(epoch, 0) {
                if self.stop.is_interrupted() {
                    return Err(Error::failed("interrupted while tuning"));
                }
                let step = self.progress.global_step;
                if let (Some(rate), Some(optimizers)) = (rate(step), &mut self.optimizers) {
                    optimizers.optimizer.groups_mut().iter_mut().for_each(|group| group.lr = rate);
                }
                self.train_batch(task, batch?, u64::MAX)?;
                if self.progress.global_step == step {
                    continue;
                }
                let loss = self.last_loss.take().map_or(f64::NAN, |loss| loss.double_value(&[]));
                if !seen(loss) || self.progress.global_step >= steps {
                    return Ok(());
                }
            }
            if self.progress.total_batches == before {
                return Err(Error::request("the training split gives no batch: there is nothing to try"));
            }
            epoch += 1;
        }
        Ok(())
    }
}
