//! fastai's `fine_tune`: the head alone for a while, then everything, each with a one-cycle schedule of its own.

use serde_json::json;

use crate::checkpoint::Checkpoint;
use crate::error::Error;
use crate::optim::{Parts, matching};
use crate::prelude::*;
use crate::tensor::{State, Stateful};
use crate::train::{Callback, CallbackKind, Cx};

/// Trains the head alone for `freeze_epochs`, then everything, as fastai's `fine_tune` does.
///
/// In the first phase the backbone stays as it is, but for its normalizations; the head's rate rises to `base_lr`, the
/// backbone's to a tenth of it, over 99 % of the steps. In the second the rates rise to half of `base_lr` and a hundredth
/// of that over 30 % of the steps. Rates and momentum follow fastai's cosines; the optimizer starts anew between the
/// phases. The model needs no scheduler, and `trainer.max_epochs` is the sum of both phases.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct FineTune {
    /// The head's greatest rate in the first phase.
    base_lr: Positive,
    /// Epochs of the first phase.
    #[serde(default = "one")]
    freeze_epochs: u64,
    /// Epochs of the second phase.
    epochs: u64,
    /// By how much the backbone's greatest rate is less than the head's in the second phase.
    #[serde(default = "hundred")]
    lr_mult: Positive,
    /// Whether head and backbone have the same rate and nothing is frozen: for networks without a backbone.
    #[serde(default)]
    single_group: bool,
    /// Optimizer steps in an epoch, once known.
    #[serde(skip)]
    phase: Option<Phase>,
}

fn one() -> u64 {
    1
}

fn hundred() -> Positive {
    Positive(100.0)
}

/// Which half of the training.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, serde::Serialize)]
#[serde(rename_all = "lowercase")]
enum Phase {
    Frozen,
    Main,
}

/// From `a` to `b` along a half cosine, `t` from 0 to 1.
fn cosine(a: f64, b: f64, t: f64) -> f64 {
    a + (b - a) * (1.0 - (std::f64::consts::PI * t).cos()) / 2.0
}

/// Rate and momentum at the share `q` of a phase (fastai's `combined_cos`): up from `greatest / div` for `pct` of it,
/// then down to `greatest / 1e5`; momentum the other way, .95 to .85 and back.
fn one_cycle(q: f64, greatest: f64, pct: f64, div: f64) -> (f64, f64) {
    if q < pct {
        let t = q / pct;
        (cosine(greatest / div, greatest, t), cosine(0.95, 0.85, t))
    } else {
        let t = (q - pct) / (1.0 - pct);
        (cosine(greatest, greatest / 1e5, t), cosine(0.85, 0.95, t))
    }
}

impl FineTune {
    /// Head's and backbone's rate and the momentum, at a share of a phase.
    fn values(&self, phase: Phase, q: f64) -> (f64, f64, f64) {
        let (head, body, pct, div) = match phase {
            Phase::Frozen => (self.base_lr.0, self.base_lr.0 / 10.0, 0.99, 25.0),
            Phase::Main => (self.base_lr.0 / 2.0, self.base_lr.0 / 2.0 / self.lr_mult.0, 0.3, 5.0),
        };
        let (head, momentum) = one_cycle(q, head, pct, div);
        let (body, _) = one_cycle(q, body, pct, div);
        (head, if self.single_group { head } else { body }, momentum)
    }

    /// Freezes the backbone but for its normalizations, or lets all learn.
    fn enter(&mut self, phase: Phase, cx: &mut Cx) -> Result<()> {
        let params = cx.task.params();
        if !self.single_group {
            let parts = Parts::of(params);
            let all = params.parameters();
            let norms = if parts.norm.is_empty() { Vec::new() } else { matching(all, &parts, &["norm".into()])? };
            for (name, tensor) in matching(params.parameters(), &parts, &["backbone".into()])? {
                let learns = phase == Phase::Main || norms.iter().any(|(norm, _)| *norm == name);
                let _ = tensor.set_requires_grad(learns);
            }
        }
        self.phase = Some(phase);
        Ok(())
    }
}

impl Component for FineTune {
    type Kind = CallbackKind;
    const TARGETS: &'static [&'static str] = &["runner.callbacks.FineTune"];

    fn check(&self, cx: &mut Check) {
        if self.freeze_epochs + self.epochs == 0 {
            cx.problem("epochs", "freeze_epochs and epochs are both 0: nothing would be trained");
        }
    }

    fn build(self, _: &mut Build) -> Result<Box<dyn Callback>> {
        Ok(Box::new(self))
    }
}

/// The phase that was entered last: a run that goes on at the border of the phases enters the second one anew.
impl Stateful for FineTune {
    fn state(&self) -> State {
        State::of(json!({ "phase": self.phase }))
    }
    fn restore(&mut self, state: &State) -> Result<()> {
        self.phase = serde_json::from_value(state.value["phase"].clone())
            .map_err(|error| Error::failed(format!("the state of FineTune cannot be read: {error}")))?;
        Ok(())
    }
}

impl Callback for FineTune {
    fn name(&self) -> String {
        "FineTune".into()
    }

    /// What was frozen is frozen again.
    fn on_load_checkpoint(&mut self, _: &Checkpoint, cx: &mut Cx) -> Result<()> {
        self.phase.map_or(Ok(()), |phase| self.enter(phase, cx))
    }

    fn on_train_start(&mut self, cx: &mut Cx) -> Result<()> {
        let wanted = self.freeze_epochs + self.epochs;
        if let Some(epochs) = cx.args.epochs().filter(|&epochs| epochs != wanted && !cx.args.is_fast_dev_run()) {
            return Err(Error::request(format!(
                "trainer.max_epochs is {epochs}, but freeze_epochs and epochs make {wanted}"
            ))
            .help(format!("set trainer.max_epochs={wanted}")));
        }
        Ok(())
    }

    fn on_train_batch_start(&mut self, cx: &mut Cx) -> Result<()> {
        let frozen = cx.progress.epoch < self.freeze_epochs;
        let phase = if frozen { Phase::Frozen } else { Phase::Main };
        if self.phase != Some(phase) {
            let goes_on = self.phase.is_some();
            self.enter(phase, cx)?;
            if let (true, Some(optimizer)) = (goes_on, cx.optimizer.as_deref_mut()) {
                let mut state = optimizer.state();
                state.tensors.clear();
                optimizer.restore(&state)?;
            }
        }
        let (epoch, epochs) = if frozen {
            (cx.progress.epoch, self.freeze_epochs)
        } else {
            (cx.progress.epoch - self.freeze_epochs, self.epochs)
        };
        let steps = cx.batches.max(1) as f64;
        let q = (epoch as f64 * steps + cx.batch as f64) / (epochs.max(1) as f64 * steps);
        let (head, body, momentum) = self.values(phase, q);
        let heads = Parts::of(cx.task.params()).head;
        let Some(optimizer) = cx.optimizer.as_deref_mut() else { return Ok(()) };
        let is_head = |name: &str| {
            heads.iter().any(|head| name.strip_prefix(head.as_str()).is_some_and(|rest| rest.starts_with('.')))
        };
        let of_head: Vec<bool> =
            optimizer.params().iter().map(|group| group.first().is_some_and(|(name, _)| is_head(name))).collect();
        for (options, of_head) in optimizer.groups_mut().iter_mut().zip(of_head) {
            options.lr = if of_head { head } else { body };
            if options.momentum.is_some() {
                options.momentum = Some(momentum);
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every fifth value of the worked example: base_lr 0.005, 10 frozen steps, then 20 of everything.
    #[test]
    fn rates_and_momentum_of_both_phases() {
        let tune = FineTune {
            base_lr: Positive(0.005),
            freeze_epochs: 1,
            epochs: 1,
            lr_mult: Positive(100.0),
            single_group: false,
            phase: None,
        };
        let frozen = [
            (0, 0.0002, 0.95, 2e-5),
            (1, 0.000319829, 0.947503556, 3.19829e-5),
            (9, 0.004902783, 0.852025351, 0.0004902783),
        ];
        for (step, head, momentum, body) in frozen {
            let found = tune.values(Phase::Frozen, f64::from(step) / 10.0);
            assert!((found.0 - head).abs() < 1e-9 && (found.1 - body).abs() < 1e-9, "{step}: {found:?}");
            assert!((found.2 - momentum).abs() < 1e-8);
        }
        let main = [
            (0, 0.0005, 0.95, 5e-6),
            (6, 0.0025, 0.85, 2.5e-5),
            (13, 0.001250012, 0.9, 1.25001e-5),
            (19, 3.1365e-5, 0.948746396, 3.136e-7),
        ];
        for (step, head, momentum, body) in main {
            let found = tune.values(Phase::Main, f64::from(step) / 20.0);
            assert!((found.0 - head).abs() < 1e-9 && (found.1 - body).abs() < 1e-9, "{step}: {found:?}");
            assert!((found.2 - momentum).abs() < 1e-8);
        }
    }

    /// Every step of the worked schedule, both groups.
    #[test]
    fn every_step_of_the_worked_schedule() {
        let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/data/expected/schedules.json");
        let Ok(text) = std::fs::read_to_string(path) else {
            eprintln!("skipped: the sample data expected/schedules.json is not here");
            return;
        };
        let all: serde_json::Value = serde_json::from_str(&text).unwrap();
        let tune = FineTune {
            base_lr: Positive(0.005),
            freeze_epochs: 1,
            epochs: 1,
            lr_mult: Positive(100.0),
            single_group: false,
            phase: None,
        };
        for (phase, key, steps) in
            [(Phase::Frozen, "freeze_phase_10_steps", 10), (Phase::Main, "main_phase_20_steps", 20)]
        {
            let table = &all["fine_tune"][key];
            for step in 0..steps {
                let (head, body, momentum) = tune.values(phase, step as f64 / steps as f64);
                let expected = &table["head"][step];
                for (what, is, expected) in [
                    ("head", head, &expected[0]),
                    ("momentum", momentum, &expected[1]),
                    ("body", body, &table["body"][step]),
                ] {
                    assert!((is - expected.as_f64().unwrap()).abs() < 2e-9, "{key} {what} {step}: {is}");
                }
            }
        }
    }
}
