//! The arguments of `lightning.pytorch.Trainer`.

mod effective;
mod values;

use std::path::PathBuf;

use schemars::JsonSchema;
use serde::Deserialize;

use super::profile::{ProfilerArg, Profiling};
use super::{MaxTime, Precision};
use crate::error::Result;
use crate::registry::{
    Build, Check, Component, Fraction, Given, Ignored, IntOrFloat, Kind, NonNegative, OneOrMany, Switch,
};

pub use effective::limited;
pub use values::{Accelerator, ClipAlgorithm, Deterministic, Devices};

/// The kind of trainers.
pub struct TrainerKind;

impl Kind for TrainerKind {
    type Built = TrainerArgs;
    const NAME: &'static str = "trainer";
}

/// Trains, validates, tests and predicts.
///
/// Mirrors `lightning.pytorch.Trainer`: the same arguments, defaults and meanings.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct TrainerArgs {
    /// `auto`, `cpu`, `gpu` or `cuda`.
    #[serde(default)]
    pub accelerator: Accelerator,
    /// `auto` or a strategy for one device; training on several devices is not there yet.
    #[serde(default)]
    pub strategy: Option<String>,
    /// `auto`, 1, -1 (all, when that is one), or the index of one GPU in a list.
    #[serde(default)]
    pub devices: Option<OneOrMany<Devices>>,
    /// How many machines; 1.
    #[serde(default = "one")]
    pub num_nodes: u64,
    /// `32-true`, `64-true`, `16-true` and `bf16-true` are what weights and inputs are; `16-mixed` and `bf16-mixed`
    /// keep the weights in 32 bits and compute in fewer what gains by it.
    #[serde(default)]
    pub precision: Option<Precision>,
    /// Given at the top level of the config (`logger:`).
    #[serde(default)]
    pub logger: Given,
    /// Given at the top level of the config (`callbacks:`).
    #[serde(default)]
    pub callbacks: Given,
    /// A trial of the whole program: `true` is one batch of every loop, a number that many. No checkpoints, no
    /// loggers, one epoch.
    #[serde(default)]
    pub fast_dev_run: Switch,
    /// Stop after so many epochs; -1 is without end. 1,000 when neither this nor `max_steps` is given.
    #[serde(default)]
    pub max_epochs: Option<i64>,
    /// Train at least so many epochs.
    #[serde(default)]
    pub min_epochs: Option<u64>,
    /// Stop after so many optimizer steps; -1 is without end.
    #[serde(default = "minus_one")]
    pub max_steps: i64,
    /// Train at least so many optimizer steps.
    #[serde(default)]
    pub min_steps: Option<u64>,
    /// Stop after this time: `DD:HH:MM:SS`, or a mapping of `days`, `hours`, `minutes`, `seconds`.
    #[serde(default)]
    pub max_time: Option<MaxTime>,
    /// How much of each training epoch: a share (`0.5`) or a number of batches (`10`).
    #[serde(default)]
    pub limit_train_batches: Option<IntOrFloat>,
    /// How much of each validation pass.
    #[serde(default)]
    pub limit_val_batches: Option<IntOrFloat>,
    /// How much of the test pass.
    #[serde(default)]
    pub limit_test_batches: Option<IntOrFloat>,
    /// How much of the predict pass.
    #[serde(default)]
    pub limit_predict_batches: Option<IntOrFloat>,
    /// Train and validate on a few batches each, unshuffled: a share or a number of batches; 0 is off.
    #[serde(default)]
    pub overfit_batches: Option<IntOrFloat>,
    /// Validate within an epoch: every so many batches, or every share of the epoch.
    #[serde(default)]
    pub val_check_interval: Option<IntOrFloat>,
    /// Validate every so many epochs; `null` counts `val_check_interval` across epochs.
    #[serde(default = "some_one")]
    pub check_val_every_n_epoch: Option<u64>,
    /// Validation batches to try before training; -1 is all of them. 2 by default.
    #[serde(default)]
    pub num_sanity_val_steps: Option<i64>,
    /// Values go to the loggers every so many steps. 50 by default.
    #[serde(default)]
    pub log_every_n_steps: Option<u64>,
    /// Whether to keep checkpoints; a ModelCheckpoint is added when none is configured. On by default.
    #[serde(default)]
    pub enable_checkpointing: Option<bool>,
    /// Whether to show progress. On by default, in a terminal.
    #[serde(default)]
    pub enable_progress_bar: Option<bool>,
    /// Whether to show the table of layers. On by default.
    #[serde(default)]
    pub enable_model_summary: Option<bool>,
    /// Sum gradients over so many batches before a step.
    #[serde(default = "one")]
    pub accumulate_grad_batches: u64,
    /// Clip gradients at this; 0 and `null` are off.
    #[serde(default)]
    pub gradient_clip_val: Option<NonNegative>,
    /// `norm` (the default) or `value`.
    #[serde(default)]
    pub gradient_clip_algorithm: Option<ClipAlgorithm>,
    /// Refuse operations that are not deterministic, or only say so (`warn`).
    #[serde(default)]
    pub deterministic: Option<Deterministic>,
    /// Let cuDNN choose the fastest algorithm by trying.
    #[serde(default)]
    pub benchmark: Option<bool>,
    /// Validation, test and prediction record no gradients; here `true` and `false` are one way of doing it.
    #[serde(default)]
    pub inference_mode: Option<bool>,
    /// For several devices.
    #[serde(default)]
    pub use_distributed_sampler: Ignored,
    /// `simple` shows after the fit where the time went; `advanced` also writes a trace, `trace.json`, that
    /// chrome://tracing and Perfetto open. Or a profiler with its `_target_`.
    #[serde(default)]
    pub profiler: Option<ProfilerArg>,
    /// What the profiler measures, once it is built.
    #[serde(skip)]
    pub profiling: Option<Profiling>,
    /// Stop at the first output, loss or gradient that is not finite, and name the layer.
    #[serde(default)]
    pub detect_anomaly: bool,
    /// Switch everything off that costs time: logging, checkpoints, progress, sanity check.
    #[serde(default)]
    pub barebones: bool,
    /// Python plugins cannot be loaded here.
    #[serde(default)]
    pub plugins: Given,
    /// For several devices.
    #[serde(default)]
    pub sync_batchnorm: Ignored,
    /// Ask the data for its loaders anew every so many epochs; 0 is never.
    #[serde(default)]
    pub reload_dataloaders_every_n_epochs: u64,
    /// Whether images and convolutions lie in memory with the channels last; not given, wherever it is quicker: on the
    /// CPU and in half precision. Not one of Lightning's arguments.
    #[serde(default)]
    pub channels_last: Option<bool>,
    /// Where checkpoints go when nothing else says so.
    #[serde(default)]
    pub default_root_dir: Option<PathBuf>,
    /// Whether the loggers are told the resolved config; the run folder has it either way. On by default.
    #[serde(default)]
    pub enable_autolog_hparams: Option<bool>,
    /// For Lightning's own cloud, which is not supported.
    #[serde(default)]
    pub model_registry: Given,
    /// Gone since Lightning 2: `accelerator` and `devices` say it now.
    #[serde(default)]
    pub gpus: Option<OneOrMany<i64>>,
}

fn one() -> u64 {
    1
}

fn minus_one() -> i64 {
    -1
}

fn some_one() -> Option<u64> {
    Some(1)
}

impl Component for TrainerArgs {
    type Kind = TrainerKind;
    const TARGETS: &'static [&'static str] = &["lightning.pytorch.Trainer", "lightning.pytorch.trainer.Trainer"];

    fn check(&self, cx: &mut Check) {
        let mut refuse = |wrong: bool, name: &str, why: &str| {
            if wrong {
                cx.problem(name, format!("`{name}` {why}"));
            }
        };
        let absent = match self.accelerator {
            Accelerator::Mps => Some("mps"),
            Accelerator::Tpu => Some("tpu"),
            Accelerator::Hpu => Some("hpu"),
            _ => None,
        };
        let why = format!("`{}` is not supported: this program computes on CPUs and CUDA GPUs", absent.unwrap_or(""));
        refuse(absent.is_some(), "accelerator", &why);
        let one_device = match self.devices.as_ref() {
            None => true,
            Some(OneOrMany::One(Devices::Auto | Devices::Number(1 | -1))) => true,
            Some(OneOrMany::One(_)) => false,
            Some(OneOrMany::Many(list)) => list.len() == 1,
        };
        refuse(!one_device, "devices", "other than 1 is not supported: this version trains on one device");
        refuse(self.num_nodes != 1, "num_nodes", "above 1 is not supported: this version trains on one device");
        let strategy = self.strategy.as_deref().unwrap_or("auto");
        refuse(
            !matches!(strategy, "auto" | "single_device"),
            "strategy",
            "other than `auto` is not supported: this version trains on one device",
        );
        refuse(self.plugins.is_something(), "plugins", "are Python code and cannot be loaded");
        refuse(
            self.model_registry.is_something(),
            "model_registry",
            "uploads to Lightning's own cloud, which is not supported: checkpoints stay in the run folder",
        );
        for (name, given) in [("logger", self.logger), ("callbacks", self.callbacks)] {
            let why = format!("of the trainer is given at the top level of the config, under `{name}:`");
            refuse(given.is_something(), name, &why);
        }
        refuse(
            self.gpus.is_some(),
            "gpus",
            "is gone since Lightning 2: say trainer.accelerator=gpu and trainer.devices=1 instead",
        );
        refuse(self.accumulate_grad_batches == 0, "accumulate_grad_batches", "must be 1 or above");
        refuse(self.check_val_every_n_epoch == Some(0), "check_val_every_n_epoch", "must be 1 or above, or null");
        refuse(self.max_epochs.is_some_and(|n| n < -1), "max_epochs", "must be 0 or above, or -1 for no end");
        refuse(
            self.num_sanity_val_steps.is_some_and(|n| n < -1),
            "num_sanity_val_steps",
            "must be 0 or above, or -1 for all batches",
        );
        refuse(
            matches!(self.val_check_interval, Some(IntOrFloat::Int(0)) | Some(IntOrFloat::Float(0.0))),
            "val_check_interval",
            "must be above 0; to leave validation out, use limit_val_batches: 0",
        );
        refuse(self.max_steps < -1, "max_steps", "must be 0 or above, or -1 for no end");
        for (name, limit) in [
            ("limit_train_batches", self.limit_train_batches),
            ("limit_val_batches", self.limit_val_batches),
            ("limit_test_batches", self.limit_test_batches),
            ("limit_predict_batches", self.limit_predict_batches),
            ("overfit_batches", self.overfit_batches),
            ("val_check_interval", self.val_check_interval),
        ] {
            let share = matches!(limit, Some(IntOrFloat::Float(f)) if Fraction(f).0 > 1.0);
            refuse(share, name, "is a share from 0.0 to 1.0 or a whole number of batches");
        }
        if self.check_val_every_n_epoch.is_none() && !matches!(self.val_check_interval, Some(IntOrFloat::Int(_))) {
            refuse(true, "val_check_interval", "must be a number of batches when check_val_every_n_epoch is null");
        }
    }

    fn build(mut self, cx: &mut Build) -> Result<TrainerArgs> {
        self.profiling = self.profiler.as_ref().map(|profiler| profiler.profiling(cx)).transpose()?;
        Ok(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is not in the file could be overridden with `+` only, which nobody expects of Lightning's arguments.
    #[test]
    fn the_config_of_the_trainer_lists_every_argument() {
        let file = include_str!("../../conf/trainer/default.yaml");
        let schema = schemars::schema_for!(TrainerArgs);
        let arguments = schema.get("properties").and_then(|p| p.as_object()).unwrap();
        assert!(arguments.len() >= 42, "{}", arguments.len());
        let listed = |name: &&String| file.lines().any(|line| line.split(':').next() == Some(name.as_str()));
        // `gpus` is known only to be refused with what to write instead.
        let missing: Vec<_> = arguments.keys().filter(|name| *name != "gpus" && !listed(name)).collect();
        assert!(missing.is_empty(), "{missing:?}");
    }
}
