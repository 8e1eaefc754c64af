//! An average that is validated, saved and kept in place of the weights of the last step.

use serde_json::json;
use tch::Tensor;

use super::store::{Average, Rule};
use crate::checkpoint::Checkpoint;
use crate::data::Split;
use crate::error::Error;
use crate::prelude::*;
use crate::tensor::{State, Stateful};
use crate::train::{Callback, CallbackKind, Cx};

/// Keeps an exponential moving average of the weights; validation, checkpoints and the end of the run use it.
///
/// Mirrors `lightning.pytorch.callbacks.EMAWeightAveraging`. A checkpoint's weights are the average; training goes on
/// from those of the last step, which the checkpoint's state holds.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[allow(dead_code, reason = "some arguments are only accepted")]
pub struct EmaWeightAveraging {
    /// The average is kept on the network's device.
    #[serde(default)]
    device: Ignored,
    /// Average the running statistics of normalizations as well; otherwise they are the network's.
    #[serde(default = "yes")]
    use_buffers: bool,
    /// How much of the average each step keeps.
    #[serde(default = "decay")]
    decay: Fraction,
    /// Take the weights in after every so many optimizer steps; 0 is never.
    #[serde(default = "one")]
    update_every_n_steps: u64,
    /// Not before this optimizer step, counted from 0.
    #[serde(default)]
    update_starting_at_step: Option<u64>,
    /// Also at the end of every epoch from this one on.
    #[serde(default)]
    update_starting_at_epoch: Option<u64>,
}

/// Keeps the plain mean of the weights after every step; validation, checkpoints and the end of the run use it.
///
/// Mirrors `lightning.pytorch.callbacks.WeightAveraging`.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[allow(dead_code, reason = "some arguments are only accepted")]
pub struct WeightAveraging {
    /// The average is kept on the network's device.
    #[serde(default)]
    device: Ignored,
    /// Average the running statistics of normalizations as well; otherwise they are the network's.
    #[serde(default = "yes")]
    use_buffers: bool,
}

fn yes() -> bool {
    true
}

fn one() -> u64 {
    1
}

fn decay() -> Fraction {
    Fraction(0.999)
}

impl Component for EmaWeightAveraging {
    type Kind = CallbackKind;
    const TARGETS: &'static [&'static str] = &["lightning.pytorch.callbacks.EMAWeightAveraging"];

    fn build(self, _: &mut Build) -> Result<Box<dyn Callback>> {
        Ok(Box::new(Averaging::new("EMAWeightAveraging", Rule::Exponential(self.decay.0), self)))
    }
}

impl Component for WeightAveraging {
    type Kind = CallbackKind;
    const TARGETS: &'static [&'static str] = &["lightning.pytorch.callbacks.WeightAveraging"];

    fn build(self, _: &mut Build) -> Result<Box<dyn Callback>> {
        let when = EmaWeightAveraging {
            device: self.device,
            use_buffers: self.use_buffers,
            decay: decay(),
            update_every_n_steps: 1,
            update_starting_at_step: None,
            update_starting_at_epoch: None,
        };
        Ok(Box::new(Averaging::new("WeightAveraging", Rule::Mean, when)))
    }
}

struct Averaging {
    name: &'static str,
    rule: Rule,
    args: EmaWeightAveraging,
    average: Average,
    latest_step: u64,
    latest_epoch: Option<u64>,
    /// Whether the network holds the average and `average` the weights of the last step.
    swapped: bool,
    /// The weights of the last step, as a checkpoint gave them.
    resumed: Option<State>,
}

impl Averaging {
    fn new(name: &'static str, rule: Rule, args: EmaWeightAveraging) -> Self {
        let average = Average::default();
        Averaging { name, rule, args, average, latest_step: 0, latest_epoch: None, swapped: false, resumed: None }
    }

    fn update(&mut self, cx: &Cx) -> Result<()> {
        self.average.update(cx.task.params(), self.rule)?;
        if self.args.use_buffers { Ok(()) } else { self.average.follow_buffers(cx.task.params()) }
    }

    /// Whether the weights after optimizer step `step`, counted from 0, are taken in.
    fn due(&self, step: u64) -> bool {
        let EmaWeightAveraging { update_every_n_steps: every, update_starting_at_step: start, .. } = self.args;
        every > 0 && start.is_none_or(|start| step >= start) && step.is_multiple_of(every)
    }

    fn swap(&mut self, cx: &Cx, to: bool) -> Result<()> {
        if self.swapped != to && !self.average.is_empty() {
            self.average.swap(cx.task.params())?;
            self.swapped = to;
        }
        Ok(())
    }
}

impl Stateful for Averaging {
    fn state(&self) -> State {
        State::of(json!({
            "n_averaged": self.average.count,
            "latest_update_step": self.latest_step,
            "latest_update_epoch": self.latest_epoch,
        }))
    }

    fn restore(&mut self, state: &State) -> Result<()> {
        let read = |key: &str| state.value.get(key).cloned().unwrap_or_default();
        let unreadable = |error| Error::failed(format!("the state of {} cannot be read: {error}", self.name));
        (self.average.count, self.latest_step, self.latest_epoch) = (
            serde_json::from_value(read("n_averaged")).map_err(unreadable)?,
            serde_json::from_value(read("latest_update_step")).map_err(unreadable)?,
            serde_json::from_value(read("latest_update_epoch")).map_err(unreadable)?,
        );
        self.resumed = Some(state.nested("current"));
        Ok(())
    }
}

impl Callback for Averaging {
    fn name(&self) -> String {
        self.name.into()
    }

    fn on_optimizer(&mut self, cx: &mut Cx) -> Result<()> {
        // Everything is in the average's hands: what is not averaged follows the network.
        self.average = Average::of(cx.task.params(), true)?;
        Ok(())
    }

    fn on_load_checkpoint(&mut self, checkpoint: &Checkpoint, cx: &mut Cx) -> Result<()> {
        let params = cx.task.params();
        let count = self.average.count;
        // The checkpoint's weights, which the network has by now, are the average.
        self.average = Average::of(params, true)?;
        self.average.count = count;
        match self.resumed.take().filter(|current| !current.tensors.is_empty()) {
            Some(current) => Average::put(&current, &params.state_dict(), self.name),
            None => {
                let named = checkpoint.weights.len();
                tracing::warn!(
                    "the checkpoint was saved without {}: the average begins with its {named} tensors",
                    self.name
                );
                Ok(())
            }
        }
    }

    /// The average goes where the weights are, the weights into the state.
    fn on_save_checkpoint(&self, checkpoint: &mut Checkpoint) -> Result<()> {
        let whole = !checkpoint.state.value.is_null();
        for (name, tensor) in self.average.tensors() {
            let Some(weights) = checkpoint.weights.get_mut(name) else { continue };
            let other = tensor.shallow_clone();
            let current: Tensor = if self.swapped { other } else { std::mem::replace(weights, other) };
            if whole {
                checkpoint.state.tensors.insert(format!("callbacks.{}.current.{name}", self.name), current);
            }
        }
        Ok(())
    }

    fn on_train_batch_end(&mut self, cx: &mut Cx) -> Result<()> {
        let steps = cx.progress.global_step;
        if steps > self.latest_step && self.due(steps - 1) {
            self.update(cx)?;
            self.latest_step = steps;
        }
        Ok(())
    }

    fn on_train_epoch_end(&mut self, cx: &mut Cx) -> Result<()> {
        let epoch = cx.progress.epoch;
        let due = self.args.update_starting_at_epoch.is_some_and(|start| epoch >= start);
        if due && self.latest_epoch.is_none_or(|latest| epoch > latest) {
            self.update(cx)?;
            self.latest_epoch = Some(epoch);
        }
        Ok(())
    }

    fn on_eval_start(&mut self, split: Split, cx: &mut Cx) -> Result<()> {
        if split == Split::Val { self.swap(cx, true) } else { Ok(()) }
    }

    fn on_eval_end(&mut self, _: Split, cx: &mut Cx) -> Result<()> {
        self.swap(cx, false)
    }

    fn on_exception(&mut self, cx: &mut Cx) -> Result<()> {
        self.swap(cx, false)
    }

    fn on_train_end(&mut self, cx: &mut Cx) -> Result<()> {
        self.swap(cx, false)?;
        // An interrupted run goes on from the weights of its last step.
        if cx.stop.is_interrupted() { Ok(()) } else { self.average.copy_to(cx.task.params()) }
    }
}
