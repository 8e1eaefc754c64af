//! What a checkpoint holds of a fit, and how a fit goes on from one.

use std::path::{Path, PathBuf};

use serde_json::{Value, json};
use tch::Device;

use super::trainer::Trainer;
use super::{MetricStore, Request, Saved, Task};
use crate::checkpoint::{Checkpoint, LoadOptions, load_weights};
use crate::error::{Error, Result};
use crate::native::{generator, grad};
use crate::tensor::{State, Stateful};

impl Trainer {
    /// Carries out what callbacks have asked for. Called where the loop's state is whole, so that a checkpoint says
    /// exactly what comes next.
    pub(super) fn carry_out(&mut self, task: &dyn Task) -> Result<()> {
        if self.pending.is_empty() {
            return Ok(());
        }
        let mut pending = std::mem::take(&mut self.pending).into_iter();
        while let Some(request) = pending.next() {
            match request {
                Request::Save { path, weights_only } => {
                    let start = self.profiler.start();
                    let after = unfinished(pending.as_slice());
                    self.write(task, &path, weights_only, after)?;
                    self.profiler.end("checkpoint", start);
                }
                Request::Remove(path) => self.writer.remove(path)?,
                Request::Link { path, target } => self.writer.link(path, target)?,
            }
        }
        self.announce_saved();
        Ok(())
    }

    /// Writes a checkpoint of everything as it is now. It is on the disk when this returns.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn save(&mut self, task: &dyn Task, path: &Path, weights_only: bool) -> Result<()> {
        self.write(task, path, weights_only, Value::Null)?;
        self.settle_checkpoints()
    }

    /// Waits until all checkpoints are on the disk.
    ///
    /// # Errors
    /// When one of them cannot be written.
    pub fn settle_checkpoints(&mut self) -> Result<()> {
        let result = self.writer.flush();
        self.announce_saved();
        result
    }

    /// Copies everything to host memory; the writer does the rest.
    fn write(&mut self, task: &dyn Task, path: &Path, weights_only: bool, unfinished: Value) -> Result<()> {
        let mut state = if weights_only { State::default() } else { self.state(task) };
        if !weights_only && !unfinished.is_null() {
            state.value["unfinished"] = unfinished;
        }
        let mut checkpoint = Checkpoint {
            weights: task.params().state_dict(),
            state,
            info: self.checkpoint_info.iter().cloned().collect(),
        };
        self.callbacks.iter().try_for_each(|callback| callback.on_save_checkpoint(&mut checkpoint))?;
        self.writer.write(checkpoint.snapshot()?, path.to_owned())
    }

    fn state(&self, task: &dyn Task) -> State {
        let mut state = State::of(json!({ "progress": self.progress, "metrics": bits(&self.metrics) }));
        if self.args.max_time.is_some() {
            state.value["elapsed"] = json!(self.elapsed().as_secs_f64());
        }
        state.nest("log", self.log.state());
        state.nest("task", task.state());
        if let Some(optimizers) = &self.optimizers {
            state.nest("optimizer", optimizers.optimizer.state());
            if let Some(schedule) = &optimizers.schedule {
                state.nest("scheduler", schedule.scheduler.state());
            }
        }
        if let Some(scaler) = &self.scaler {
            state.nest("scaler", scaler.state());
        }
        if self.progress.batch > 0 && !self.progress.stepped {
            state.nest("gradients", gradients(task));
        }
        let mut callbacks = State::of(json!({}));
        for callback in &self.callbacks {
            callbacks.nest(&callback.name(), callback.state());
        }
        state.nest("callbacks", callbacks);
        state.nest("loggers", self.loggers.state());
        for (name, rng) in self.random_state() {
            state.tensors.insert(name.into(), rng);
        }
        state
    }

    /// The states of torch's generators from which this run draws.
    pub(super) fn random_state(&self) -> Vec<(&'static str, tch::Tensor)> {
        let devices = [("rng.cpu", Device::Cpu), ("rng.cuda", self.device)];
        let own = if self.device == Device::Cpu { 1 } else { 2 };
        let states = devices.into_iter().take(own);
        states.filter_map(|(name, device)| Some((name, generator::default_state(device).ok()?))).collect()
    }

    /// Puts the generators back.
    pub(super) fn restore_random(&self, states: &[(&'static str, tch::Tensor)]) -> Result<()> {
        for (name, state) in states {
            let device = if *name == "rng.cpu" { Device::Cpu } else { self.device };
            generator::restore_default(device, state)?;
        }
        Ok(())
    }

    /// Puts a checkpoint's weights and state back; the fit goes on where it was.
    ///
    /// # Errors
    /// When the checkpoint holds only weights, or belongs to another network or optimizer.
    pub(super) fn restore(&mut self, task: &mut dyn Task, checkpoint: &Checkpoint) -> Result<()> {
        load_weights(&task.params().state_dict(), &checkpoint.weights, &LoadOptions::default())?;
        let state = &checkpoint.state;
        let Some(progress) = state.value.get("progress") else {
            return Err(Error::request("this checkpoint holds weights only: training cannot go on from it")
                .help("give a checkpoint saved with save_weights_only=false, such as last"));
        };
        let unreadable = |error: serde_json::Error| {
            Error::failed(format!("the checkpoint's position in training cannot be read: {error}"))
        };
        self.progress = serde_json::from_value(progress.clone()).map_err(unreadable)?;
        let metrics: Vec<(String, u64)> = serde_json::from_value(state.value["metrics"].clone()).map_err(unreadable)?;
        self.metrics = metrics.into_iter().map(|(name, bits)| (name, f64::from_bits(bits))).collect();
        self.elapsed_before =
            std::time::Duration::try_from_secs_f64(state.value["elapsed"].as_f64().unwrap_or(0.0)).unwrap_or_default();
        self.log.restore(&state.nested("log"))?;
        task.restore(&state.nested("task"))?;
        if let Some(scaler) = self.scaler.as_mut().filter(|_| state.value.get("scaler").is_some()) {
            scaler.restore(&state.nested("scaler"))?;
        }
        self.restore_callbacks(&state.nested("callbacks"))?;
        if self.in_own_folder {
            self.loggers.restore(&state.nested("loggers"))?;
        }
        // Before the optimizer's state comes back: a callback may have added groups to it, or changed the schedule.
        self.hook(task, |callback, cx| callback.on_load_checkpoint(checkpoint, cx))?;
        if let Some(optimizers) = &mut self.optimizers {
            optimizers.optimizer.restore(&state.nested("optimizer"))?;
            if let Some(schedule) = &mut optimizers.schedule {
                schedule.scheduler.restore(&state.nested("scheduler"))?;
            }
        }
        restore_gradients(task, &state.nested("gradients"))?;
        for (name, device) in [("rng.cpu", Device::Cpu), ("rng.cuda", self.device)] {
            // A run that began on the CPU and goes on on a GPU has no state for the GPU's generator.
            if let Some(rng) = state.tensors.get(name).filter(|_| name == "rng.cpu" || device != Device::Cpu) {
                generator::restore_default(device, rng)?;
            }
        }
        self.finish_requests(&state.value["unfinished"])
    }

    /// Gives every callback its state. What a callback that is not there any more has left is said, as Lightning does:
    /// the run will not be the one that was saved.
    fn restore_callbacks(&mut self, saved: &State) -> Result<()> {
        let mut unclaimed = saved.value.as_object().cloned().unwrap_or_default();
        for callback in &mut self.callbacks {
            let name = callback.name();
            if unclaimed.remove(&name).is_some() {
                callback.restore(&saved.nested(&name))?;
            }
        }
        unclaimed.retain(|_, state| state.as_object().is_some_and(|fields| !fields.is_empty()));
        if !unclaimed.is_empty() {
            let names: Vec<&str> = unclaimed.keys().map(String::as_str).collect();
            tracing::warn!("the checkpoint has the state of callbacks that are not configured: {}", names.join(", "));
        }
        Ok(())
    }

    /// What was to be done after the checkpoint that a run goes on from, and may not have been done: in the same
    /// folder it is done now.
    fn finish_requests(&mut self, unfinished: &Value) -> Result<()> {
        let Some(dir) = self.run_dir.clone() else { return Ok(()) };
        let path_of = |value: &Value| value.as_str().map(PathBuf::from).filter(|path| path.starts_with(&dir));
        for request in unfinished.as_array().into_iter().flatten() {
            match (path_of(&request["remove"]), path_of(&request["link"]), path_of(&request["target"])) {
                (Some(path), ..) => self.writer.remove(path)?,
                (_, Some(path), Some(target)) if target.is_file() => self.writer.link(path, target)?,
                _ => {}
            }
        }
        Ok(())
    }

    /// Lets the loggers know of checkpoints that are on the disk since the last call.
    fn announce_saved(&mut self) {
        for path in self.writer.take_finished() {
            self.loggers.checkpoint(self.at(), path, Saved::Now);
        }
    }
}

/// What `accumulate_grad_batches` has summed so far, between the batches of a window.
fn gradients(task: &dyn Task) -> State {
    let parameters = task.params().parameters().into_iter().map(|(name, tensor)| (name, tensor.grad()));
    let summed = parameters.filter(|(_, gradient)| gradient.defined() && !gradient.is_sparse());
    State { tensors: summed.collect(), value: json!({}) }
}

fn restore_gradients(task: &dyn Task, saved: &State) -> Result<()> {
    for (name, tensor) in task.params().parameters() {
        if let Some(saved) = saved.tensors.get(&name).filter(|saved| saved.size() == tensor.size()) {
            let gradient = tch::no_grad(|| tensor.f_zeros_like())?;
            gradient.shallow_clone().f_copy_(saved)?;
            grad::set(&tensor, &gradient)?;
        }
    }
    Ok(())
}

/// Removals and links that follow a save, so that a process killed between them leaves nothing undone.
fn unfinished(requests: &[Request]) -> Value {
    let entries = requests.iter().filter_map(|request| match request {
        Request::Save { .. } => None,
        Request::Remove(path) => Some(json!({ "remove": path })),
        Request::Link { path, target } => Some(json!({ "link": path, "target": target })),
    });
    entries.collect()
}

/// Metric values as bits: infinities and NaN have no spelling in JSON.
fn bits(metrics: &MetricStore) -> Vec<(String, u64)> {
    metrics.iter().map(|(name, value)| (name.clone(), value.to_bits())).collect()
}
