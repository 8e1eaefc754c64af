//! Keeping the best checkpoints, and the last one.

use std::path::{Path, PathBuf};
use std::time::Instant;

use serde_json::json;

use super::Mode;
use super::filename::{Counts, fill};
use crate::data::Split;
use crate::error::Error;
use crate::prelude::*;
use crate::tensor::{State, Stateful};
use crate::train::{Best, Callback, CallbackKind, Cx, Phase, Request};

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
    /// Also keep the newest checkpoint as `last.ckpt`: `true`, `false` or `link`.
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
    /// Save after so many seconds.
    #[serde(default)]
    train_time_interval: Option<NonNegative>,
    /// Save every so many epochs; 1 when no other interval is given.
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

/// `true`, `false` or `link`; a link costs nothing and is what `true` makes as well, where it can.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SaveLast(bool);

impl<'de> Deserialize<'de> for SaveLast {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> std::result::Result<Self, D::Error> {
        struct Take;
        impl serde::de::Visitor<'_> for Take {
            type Value = SaveLast;
            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("true, false or `link`")
            }
            fn visit_bool<E: serde::de::Error>(self, v: bool) -> std::result::Result<SaveLast, E> {
                Ok(SaveLast(v))
            }
            fn visit_str<E: serde::de::Error>(self, v: &str) -> std::result::Result<SaveLast, E> {
                match v {
                    "link" => Ok(SaveLast(true)),
                    _ => Err(E::invalid_value(serde::de::Unexpected::Str(v), &self)),
                }
            }
        }
        deserializer.deserialize_any(Take)
    }
}

impl JsonSchema for SaveLast {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "SaveLast".into()
    }
    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({ "enum": [true, false, "link", null] })
    }
    fn inline_schema() -> bool {
        true
    }
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
        Ok(Box::new(Keeper { args: self, kept: Vec::new(), last: None, saved_at: None, since: Instant::now() }))
    }
}

/// The callback at work.
pub(super) struct Keeper {
    args: ModelCheckpoint,
    /// Best first.
    kept: Vec<Kept>,
    last: Option<PathBuf>,
    /// The optimizer step at which something was last saved.
    saved_at: Option<u64>,
    since: Instant,
}

#[derive(Clone, Debug, serde::Serialize, serde::Deserialize)]
struct Kept {
    path: PathBuf,
    /// The bits of the score: infinity and NaN have no spelling in JSON.
    score: Option<u64>,
}

impl Keeper {
    fn folder(&self, cx: &Cx) -> Option<PathBuf> {
        let own = self.args.dirpath.clone();
        own.or_else(|| cx.run_dir.or(cx.args.default_root_dir.as_deref()).map(|dir| dir.join("checkpoints")))
    }

    fn by_epochs(&self) -> Option<u64> {
        let otherwise = self.args.every_n_train_steps.unwrap_or(0) > 0 || self.args.train_time_interval.is_some();
        self.args.every_n_epochs.or(if otherwise { None } else { Some(1) }).filter(|n| *n > 0)
    }

    /// Lightning's choice of the hook to save at.
    fn at_train_epoch_end(&self, cx: &Cx) -> bool {
        if let Some(chosen) = self.args.save_on_train_epoch_end {
            return chosen;
        }
        if cx.args.check_val_every_n_epoch != Some(1) {
            return false;
        }
        !cx.validates || matches!(cx.args.val_check_interval, None | Some(IntOrFloat::Float(1.0)))
    }

    fn save_if_epoch_is_due(&mut self, cx: &mut Cx) -> Result<()> {
        let due = self.by_epochs().is_some_and(|n| (cx.progress.epoch + 1).is_multiple_of(n));
        if due { self.save(cx) } else { Ok(()) }
    }

    fn save(&mut self, cx: &mut Cx) -> Result<()> {
        if cx.sanity_checking || self.saved_at == Some(cx.progress.global_step) {
            return Ok(());
        }
        let Some(folder) = self.folder(cx) else { return Ok(()) };
        self.saved_at = Some(cx.progress.global_step);
        self.since = Instant::now();
        let saved = self.save_top_k(cx, &folder)?;
        self.save_last(cx, &folder, saved);
        Ok(())
    }

    fn save_top_k(&mut self, cx: &mut Cx, folder: &Path) -> Result<Option<PathBuf>> {
        if self.args.save_top_k == 0 {
            return Ok(None);
        }
        let score = match &self.args.monitor {
            None => None,
            Some(name) => {
                let value = cx.monitored(name, "ModelCheckpoint")?;
                Some(if value.is_nan() { self.args.mode.worst() } else { value })
            }
        };
        let full = self.args.save_top_k > 0 && self.kept.len() as i64 >= self.args.save_top_k;
        let worst = self.kept.last().and_then(|kept| kept.score).map(f64::from_bits);
        if let (true, Some(score), Some(worst)) = (full, score, worst)
            && !self.args.mode.better(score, worst)
        {
            return Ok(None);
        }
        let removed = if full { self.kept.pop() } else { None };
        let path = self.free_path(cx, folder, removed.as_ref())?;
        if self.args.verbose {
            let judged = self.args.monitor.as_ref().zip(score).map(|(name, value)| format!(", {name} = {value:.5}"));
            tracing::info!("epoch {}{}: saving {}", cx.progress.epoch, judged.unwrap_or_default(), path.display());
        }
        cx.requests.push(Request::Save { path: path.clone(), weights_only: self.args.save_weights_only });
        if let Some(removed) = removed.filter(|removed| removed.path != path) {
            cx.requests.push(Request::Remove(removed.path));
        }
        let place = match score {
            None => 0,
            Some(score) => {
                let better = |kept: &Kept| kept.score.is_some_and(|k| !self.args.mode.better(score, f64::from_bits(k)));
                self.kept.iter().take_while(|kept| better(kept)).count()
            }
        };
        self.kept.insert(place, Kept { path: path.clone(), score: score.map(f64::to_bits) });
        Ok(Some(path))
    }

    /// The template's name, with `-v1` and so on when a file that is not about to go has it.
    fn free_path(&self, cx: &Cx, folder: &Path, leaving: Option<&Kept>) -> Result<PathBuf> {
        let template = self.args.filename.as_deref().unwrap_or("{epoch}-{step}");
        let counts = Counts { epoch: cx.progress.epoch, step: cx.progress.global_step };
        let name = fill(template, &counts, cx.metrics, self.args.auto_insert_metric_name)?;
        let path = folder.join(format!("{name}.ckpt"));
        let taken = |path: &Path| {
            let ours = self.kept.iter().any(|kept| kept.path == path);
            ours || (path.exists() && leaving.is_none_or(|leaving| leaving.path != path))
        };
        if !self.args.enable_version_counter || !taken(&path) {
            return Ok(path);
        }
        let versions = (1..).map(|v| folder.join(format!("{name}-v{v}.ckpt")));
        versions
            .take(100_000)
            .find(|path| !taken(path))
            .ok_or_else(|| Error::failed(format!("{} and 100,000 versions of it are taken", path.display())))
    }

    fn save_last(&mut self, cx: &mut Cx, folder: &Path, saved: Option<PathBuf>) {
        if !self.args.save_last.is_some_and(|last| last.0) {
            return;
        }
        let path = folder.join("last.ckpt");
        cx.requests.push(match saved {
            Some(target) => Request::Link { path: path.clone(), target },
            None => Request::Save { path: path.clone(), weights_only: self.args.save_weights_only },
        });
        self.last = Some(path);
    }
}

impl Stateful for Keeper {
    fn state(&self) -> State {
        State::of(json!({ "kept": self.kept, "last": self.last, "saved_at": self.saved_at }))
    }

    fn restore(&mut self, state: &State) -> Result<()> {
        let read = |key: &str| state.value.get(key).cloned().unwrap_or_default();
        let unreadable =
            |error: serde_json::Error| Error::failed(format!("the state of ModelCheckpoint cannot be read: {error}"));
        self.kept = serde_json::from_value(read("kept")).map_err(unreadable)?;
        self.last = serde_json::from_value(read("last")).map_err(unreadable)?;
        self.saved_at = serde_json::from_value(read("saved_at")).map_err(unreadable)?;
        Ok(())
    }
}

impl Callback for Keeper {
    fn name(&self) -> String {
        format!("ModelCheckpoint({}, {:?})", self.args.monitor.as_deref().unwrap_or(""), self.args.mode)
    }

    fn phase(&self) -> Phase {
        Phase::Checkpoint
    }

    fn monitors(&self) -> Option<&str> {
        self.args.monitor.as_deref()
    }

    fn skipped_in_fast_dev_run(&self) -> bool {
        true
    }

    fn on_train_batch_end(&mut self, cx: &mut Cx) -> Result<()> {
        let stepped = self.saved_at != Some(cx.progress.global_step);
        let by_steps =
            self.args.every_n_train_steps.is_some_and(|n| n > 0 && cx.progress.global_step.is_multiple_of(n));
        let by_time = self.args.train_time_interval.is_some_and(|limit| self.since.elapsed().as_secs_f64() >= limit.0);
        if stepped && (by_steps || by_time) { self.save(cx) } else { Ok(()) }
    }

    fn on_train_epoch_end(&mut self, cx: &mut Cx) -> Result<()> {
        if self.at_train_epoch_end(cx) { self.save_if_epoch_is_due(cx) } else { Ok(()) }
    }

    fn on_eval_end(&mut self, split: Split, cx: &mut Cx) -> Result<()> {
        let here = split == Split::Val && !cx.sanity_checking && !self.at_train_epoch_end(cx);
        if here { self.save_if_epoch_is_due(cx) } else { Ok(()) }
    }

    /// An interrupted or failed run leaves `last.ckpt`, so that it can go on.
    fn on_exception(&mut self, cx: &mut Cx) -> Result<()> {
        let wanted = cx.stop.is_interrupted() || self.args.save_on_exception;
        let Some(folder) = self.folder(cx).filter(|_| wanted) else { return Ok(()) };
        let path = folder.join("last.ckpt");
        cx.requests.push(Request::Save { path: path.clone(), weights_only: false });
        self.last = Some(path);
        Ok(())
    }

    fn best(&self) -> Option<Best> {
        let kept = self.kept.first()?;
        let score = self.args.monitor.clone().zip(kept.score.map(f64::from_bits));
        Some(Best { path: kept.path.clone(), score })
    }
}
