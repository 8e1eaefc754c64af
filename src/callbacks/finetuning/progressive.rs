//! A backbone that is unfrozen from its end to its beginning, epoch by epoch.

use tch::Tensor;

use crate::checkpoint::Checkpoint;
use crate::prelude::*;
use crate::tensor::Stateful;
use crate::train::{Callback, CallbackKind, Cx, Task, backbone};

/// Freezes the backbone and unfreezes a growing share of it, last layers first.
///
/// At the start of epoch e the share of the backbone's tensors that are trained is the line from 0 at
/// `epoch_start - 1` to `percentage` at `epoch_start + epoch_duration`, and constant outside. Nothing is frozen again.
/// The optimizer holds all parameters from the start, so that its state of the head goes on; running statistics of
/// normalizations move from the start, too.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ProgressiveUnfreeze {
    /// The epoch with which unfreezing begins, counted from 0.
    #[serde(default = "one")]
    epoch_start: u64,
    /// Over how many epochs; with 0 the whole share is unfrozen at `epoch_start`.
    #[serde(default = "four")]
    epoch_duration: u64,
    /// The share of the backbone that is trained in the end.
    #[serde(default = "share")]
    percentage: Fraction,
    /// Which parameters are the backbone, as patterns of their names (`net.features.*`). When not given: what lies
    /// below a child called `backbone`, or else everything but the classifier.
    #[serde(default)]
    backbone: Vec<String>,
}

fn one() -> u64 {
    1
}

fn four() -> u64 {
    4
}

fn share() -> Fraction {
    Fraction(0.4)
}

impl Component for ProgressiveUnfreeze {
    type Kind = CallbackKind;
    const TARGETS: &'static [&'static str] = &["runner.callbacks.ProgressiveUnfreeze"];

    fn build(self, _: &mut Build) -> Result<Box<dyn Callback>> {
        Ok(Box::new(Unfreezing { args: self, tensors: Vec::new(), frozen: 0 }))
    }
}

impl ProgressiveUnfreeze {
    /// The share that is trained in an epoch.
    fn share(&self, epoch: u64) -> f64 {
        let (from, to) = (self.epoch_start as f64 - 1.0, (self.epoch_start + self.epoch_duration) as f64);
        self.percentage.0 * ((epoch as f64 - from) / (to - from)).clamp(0.0, 1.0)
    }

    /// How many of `count` tensors, from the first, are frozen in an epoch.
    fn frozen(&self, epoch: u64, count: usize) -> usize {
        ((1.0 - self.share(epoch)) * count as f64).round_ties_even() as usize
    }
}

struct Unfreezing {
    args: ProgressiveUnfreeze,
    /// The backbone's parameters.
    tensors: Vec<Tensor>,
    /// How many of them, from the first, are frozen.
    frozen: usize,
}

impl Unfreezing {
    fn set(&mut self, frozen: usize) {
        for (i, tensor) in self.tensors.iter().enumerate() {
            let _ = tensor.set_requires_grad(i >= frozen);
        }
        self.frozen = frozen;
    }

    fn unfreeze(&mut self, epoch: u64) {
        let frozen = self.args.frozen(epoch, self.tensors.len());
        if frozen < self.frozen {
            self.set(frozen);
            let (trained, all) = (self.tensors.len() - frozen, self.tensors.len());
            tracing::info!("epoch {}: {trained} of the backbone's {all} tensors are trained", epoch + 1);
        }
    }
}

impl Stateful for Unfreezing {}

impl Callback for Unfreezing {
    fn name(&self) -> String {
        "ProgressiveUnfreeze".into()
    }

    /// With as much unfrozen as in the end.
    fn on_trial(&mut self, task: &mut dyn Task) -> Result<()> {
        let params = task.params();
        let names = backbone(params, &self.args.backbone)?;
        let entries = params.entries();
        let tensors: Vec<Tensor> = names.iter().map(|name| entries[name.as_str()].tensor.shallow_clone()).collect();
        let frozen = self.args.frozen(self.args.epoch_start + self.args.epoch_duration, tensors.len());
        for (index, tensor) in tensors.iter().enumerate() {
            let _ = tensor.set_requires_grad(index >= frozen);
        }
        Ok(())
    }

    /// After the optimizer is made: a task that leaves frozen parameters out of it holds these, too.
    fn on_optimizer(&mut self, cx: &mut Cx) -> Result<()> {
        let params = cx.task.params();
        let names = backbone(params, &self.args.backbone)?;
        let entries = params.entries();
        self.tensors = names.iter().map(|name| entries[name.as_str()].tensor.shallow_clone()).collect();
        drop(entries);
        self.set(self.tensors.len());
        Ok(())
    }

    fn on_load_checkpoint(&mut self, _: &Checkpoint, cx: &mut Cx) -> Result<()> {
        self.unfreeze(cx.progress.epoch);
        Ok(())
    }

    fn on_train_epoch_start(&mut self, cx: &mut Cx) -> Result<()> {
        self.unfreeze(cx.progress.epoch);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The worked table of the moths project.
    #[test]
    fn the_share_grows_along_its_line() {
        let args = |epoch_start, epoch_duration, percentage| ProgressiveUnfreeze {
            epoch_start,
            epoch_duration,
            percentage: Fraction(percentage),
            backbone: Vec::new(),
        };
        for (args, count, expected) in CASES.map(|(s, d, p, n, e)| (args(s, d, p), n, e)) {
            let found: Vec<usize> = (0..expected.len() as u64).map(|epoch| args.frozen(epoch, count)).collect();
            assert_eq!(found, expected, "{args:?}");
        }
    }

    const CASES: [(u64, u64, f64, usize, &[usize]); 5] = [
        (1, 4, 0.4, 100, &[100, 92, 84, 76, 68, 60, 60, 60]),
        (0, 4, 1.0, 211, &[169, 127, 84, 42, 0, 0, 0]),
        (1, 0, 0.5, 60, &[60, 30, 30, 30]),
        (3, 2, 0.25, 161, &[161, 161, 161, 148, 134, 121, 121, 121]),
        (0, 0, 0.0, 60, &[60, 60, 60]),
    ];
}
