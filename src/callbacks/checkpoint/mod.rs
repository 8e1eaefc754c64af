//! Keeping the best checkpoints, and the last one.

mod keeper;
mod save_last;

use std::path::PathBuf;

use self::keeper::Keeper;
use self::save_last::SaveLast;
use super::Mode;
use super::duration::Seconds;
use super::filename::{Counts, fill};
use crate::prelude::*;
use crate::train::{Callback, CallbackKind};

/// Saves checkpoints: the best by a monitored metric, and the last.
///
/// Mirrors `lightning.pytorch.callbacks.ModelCheckpoint`. The files end in `.ckpt` and are safetensors files.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ModelCheckpoint {
    /// The folder; `checkpoints` in the run folder when not given.
    #[serde(default)]
    dirpath: Option<PathBuf>,
    /// The file's name as a template: `{epoch:03}-{val/loss:.4f}`; `{epoch}-{step}` when not given.
    #[serde(default)]
    filename: Option<String>,
    /// The metric to judge by; without one the newest checkpoint is kept.
    #[serde(default)]
    monitor: Option<String>,
    /// Say what is saved and why.
    #[serde(default)]
    verbose: bool,
    /// Also keep the newest checkpoint as `last.ckpt`: `true`, `false` or `link`. Where the newest is also among the
    /// best, `last.ckpt` is a second name of that file and costs nothing.
    #[serde(default)]
    save_last: Option<SaveLast>,
    /// How many of the best to keep; 0 is none, -1 is all.
    #[serde(default = "one")]
    save_top_k: i64,
    /// Also save when the run fails or is interrupted.
    #[serde(default)]
    save_on_exception: bool,
    /// Leave out everything but the weights; training cannot go on from such a checkpoint.
    #[serde(default)]
    save_weights_only: bool,
    /// Whether less (`min`) or more (`max`) of the metric is better.
    #[serde(default)]
    mode: Mode,
    /// Write `name=value` for every field of the file name.
    #[serde(default = "yes")]
    auto_insert_metric_name: bool,
    /// Save every so many optimizer steps.
    #[serde(default)]
    every_n_train_steps: Option<u64>,
    /// Save whenever this time has passed: seconds, `DD:HH:MM:SS`, or a mapping such as `{minutes: 30}`.
    #[serde(default)]
    train_time_interval: Option<Seconds>,
    /// Save every so many epochs; 1 when no other interval is given. `last.ckpt` is saved after every epoch.
    #[serde(default)]
    every_n_epochs: Option<u64>,
    /// Save at the end of the training epoch rather than of validation; chosen by the trainer's validation
    /// interval when not given.
    #[serde(default)]
    save_on_train_epoch_end: Option<bool>,
    /// Add `-v1`, `-v2` when a file of the same name is there, instead of replacing it.
    #[serde(default = "yes")]
    enable_version_counter: bool,
}

fn one() -> i64 {
    1
}

fn yes() -> bool {
    true
}

impl ModelCheckpoint {
    /// What Lightning adds when `enable_checkpointing` is on and no ModelCheckpoint is configured.
    pub fn unconfigured() -> Self {
        ModelCheckpoint {
            dirpath: None,
            filename: None,
            monitor: None,
            verbose: false,
            save_last: None,
            save_top_k: 1,
            save_on_exception: false,
            save_weights_only: false,
            mode: Mode::Min,
            auto_insert_metric_name: true,
            every_n_train_steps: None,
            train_time_interval: None,
            every_n_epochs: None,
            save_on_train_epoch_end: None,
            enable_version_counter: true,
        }
    }
}

impl ModelCheckpoint {
    /// The best checkpoint so far, as the callbacks' state in a checkpoint has it: for a run that was killed.
    pub fn best_in(callbacks: &serde_json::Value) -> Option<PathBuf> {
        let keepers = callbacks.as_object()?.iter().filter(|(name, _)| name.starts_with("ModelCheckpoint"));
        let mut best = keepers.filter_map(|(_, state)| state["kept"][0]["path"].as_str());
        best.next().map(PathBuf::from)
    }
}

impl Component for ModelCheckpoint {
    type Kind = CallbackKind;
    const TARGETS: &'static [&'static str] = &["lightning.pytorch.callbacks.ModelCheckpoint"];

    fn check(&self, cx: &mut Check) {
        if self.monitor.is_none() && !matches!(self.save_top_k, -1..=1) {
            cx.problem("save_top_k", "keeping several checkpoints needs a metric to judge by").help =
                Some("set `monitor`, or use save_top_k 1, 0 or -1".into());
        }
        if self.save_top_k < -1 {
            cx.problem("save_top_k", "must be -1 (all), 0 (none) or a count");
        }
        let every = [
            self.every_n_train_steps.is_some_and(|n| n > 0),
            self.every_n_epochs.is_some_and(|n| n > 0),
            self.train_time_interval.is_some(),
        ];
        if every.iter().filter(|on| **on).count() > 1 {
            cx.problem("", "every_n_train_steps, every_n_epochs and train_time_interval exclude each other");
        }
        if let Some(template) = &self.filename
            && let Err(error) = fill(template, &Counts { epoch: 0, step: 0 }, &Default::default(), true)
        {
            cx.problem("filename", error.to_string());
        }
    }

    fn build(self, _: &mut Build) -> Result<Box<dyn Callback>> {
        Ok(Box::new(Keeper::new(self)))
    }
}
