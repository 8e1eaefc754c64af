//! ModelCheckpoint at work: when to save, which to keep, what to call it.

use std::path::{Path, PathBuf};
use std::time::Instant;

use serde_json::json;

use super::ModelCheckpoint;
use crate::callbacks::filename::{Counts, fill};
use crate::data::Split;
use crate::error::Error;
use crate::prelude::*;
use crate::tensor::{State, Stateful};
use crate::train::{Best, Callback, Cx, Phase, Request};

/// The callback at work.
pub(super) struct Keeper {
    args: ModelCheckpoint,
    /// Best first.
    kept: Vec<Kept>,
    last: Option<PathBuf>,
    /// The optimizer step at which something was last saved.
    saved_at: Option<u64>,
    /// A save by steps or time waits for the validation that gives its metric.
    deferred: bool,
    warned: bool,
    since: Instant,
}

#[derive(Clone, Debug, serde::Serialize, serde::Deserialize)]
struct Kept {
    path: PathBuf,
    /// The bits of the score: infinity and NaN have no spelling in JSON.
    score: Option<u64>,
}

impl Keeper {
    pub fn new(args: ModelCheckpoint) -> Self {
        let since = Instant::now();
        Keeper { args, kept: Vec::new(), last: None, saved_at: None, deferred: false, warned: false, since }
    }

    fn folder(&self, cx: &Cx) -> Option<PathBuf> {
        let own = self.args.dirpath.clone();
        own.or_else(|| cx.run_dir.or(cx.args.default_root_dir.as_deref()).map(|dir| dir.join("checkpoints")))
    }

    fn by_epochs(&self) -> Option<u64> {
        let otherwise = self.args.every_n_train_steps.is_some() || self.args.train_time_interval.is_some();
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

    /// Whether nothing is to be saved here: while trying, or because this step's weights are saved. An average that
    /// was put into the network after the last step is not.
    fn skips(&self, cx: &Cx) -> bool {
        cx.sanity_checking || (self.saved_at == Some(cx.progress.global_step) && !cx.averaged)
    }

    fn at_epoch_end(&mut self, cx: &mut Cx) -> Result<()> {
        if self.skips(cx) {
            return Ok(());
        }
        let Some(folder) = self.folder(cx) else { return Ok(()) };
        let due = self.by_epochs().is_some_and(|n| (cx.progress.epoch + 1).is_multiple_of(n));
        let saved =
            if due || std::mem::take(&mut self.deferred) || cx.averaged { self.save_top_k(cx, &folder)? } else { None };
        self.save_last(cx, &folder, saved);
        Ok(())
    }

    fn save(&mut self, cx: &mut Cx) -> Result<()> {
        let Some(folder) = self.folder(cx) else { return Ok(()) };
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
            Some(name) => match cx.monitored(name, "ModelCheckpoint") {
                Ok(value) => Some(if value.is_nan() { self.args.mode.worst() } else { value }),
                Err(error) if cx.validates && cx.progress.validated_at.is_none() => {
                    if !std::mem::replace(&mut self.warned, true) {
                        tracing::warn!("nothing is saved before the first validation: {error}");
                    }
                    return Ok(None);
                }
                Err(error) => return Err(error),
            },
        };
        let full = self.args.save_top_k > 0 && self.kept.len() as i64 >= self.args.save_top_k;
        let worst = self.kept.last().and_then(|kept| kept.score).map(f64::from_bits);
        let (epoch, step) = (cx.progress.epoch, cx.progress.global_step);
        if let (true, Some(score), Some(worst)) = (full, score, worst)
            && !self.args.mode.better(score, worst)
        {
            if let (true, Some(monitor)) = (self.args.verbose, &self.args.monitor) {
                tracing::info!("epoch {epoch}, step {step}: {monitor} was not in the top {}", self.args.save_top_k);
            }
            return Ok(None);
        }
        let removed = if full { self.kept.pop() } else { None };
        let path = self.free_path(cx, folder, removed.as_ref())?;
        if self.args.verbose {
            let judged = self.args.monitor.as_ref().zip(score).map(|(name, value)| format!(", {name} = {value:.5}"));
            tracing::info!("epoch {epoch}, step {step}{}: saving {}", judged.unwrap_or_default(), path.display());
        }
        cx.requests.push(Request::Save { path: path.clone(), weights_only: self.args.save_weights_only });
        // What another run saved, from which this one goes on, is that run's.
        if let Some(removed) = removed.filter(|removed| removed.path != path && removed.path.starts_with(folder)) {
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
        self.saved_at = Some(step);
        Ok(Some(path))
    }

    /// The template's name, with `-v1` and so on when a file that is not about to go has it.
    fn free_path(&self, cx: &Cx, folder: &Path, leaving: Option<&Kept>) -> Result<PathBuf> {
        let template = self.args.filename.as_deref().unwrap_or("{epoch}-{step}");
        let counts = Counts { epoch: cx.progress.epoch, step: cx.progress.global_step };
        let name = fill(template, &counts, cx.metrics, self.args.auto_insert_metric_name)?;
        let taken = |path: &Path| {
            let ours = self.kept.iter().any(|kept| kept.path == path);
            ours || (path.exists() && leaving.is_none_or(|leaving| leaving.path != path))
        };
        Ok(self.versioned(folder, &name, taken))
    }

    /// `name.ckpt`, or the first of `name-v1.ckpt`, `name-v2.ckpt`, … that is not taken.
    fn versioned(&self, folder: &Path, name: &str, taken: impl Fn(&Path) -> bool) -> PathBuf {
        let path = folder.join(format!("{name}.ckpt"));
        if !self.args.enable_version_counter || !taken(&path) {
            return path;
        }
        let mut versions = (1u64..).map(|version| folder.join(format!("{name}-v{version}.ckpt")));
        versions.find(|path| !taken(path)).unwrap_or(path)
    }

    fn last_path(&self, folder: &Path) -> PathBuf {
        self.versioned(folder, "last", |path| path.exists() && self.last.as_deref() != Some(path))
    }

    fn save_last(&mut self, cx: &mut Cx, folder: &Path, saved: Option<PathBuf>) {
        if !self.args.save_last.is_some_and(|last| last.0) {
            return;
        }
        let path = self.last_path(folder);
        cx.requests.push(match saved {
            Some(target) => Request::Link { path: path.clone(), target },
            None => Request::Save { path: path.clone(), weights_only: self.args.save_weights_only },
        });
        self.last = Some(path);
        self.saved_at = Some(cx.progress.global_step);
    }
}

impl Stateful for Keeper {
    fn state(&self) -> State {
        State::of(json!({
            "kept": self.kept, "last": self.last, "saved_at": self.saved_at, "deferred": self.deferred,
        }))
    }

    fn restore(&mut self, state: &State) -> Result<()> {
        let read = |key: &str| state.value.get(key).cloned().unwrap_or_default();
        let unreadable =
            |error: serde_json::Error| Error::failed(format!("the state of ModelCheckpoint cannot be read: {error}"));
        self.kept = serde_json::from_value(read("kept")).map_err(unreadable)?;
        self.last = serde_json::from_value(read("last")).map_err(unreadable)?;
        self.saved_at = serde_json::from_value(read("saved_at")).map_err(unreadable)?;
        self.deferred = read("deferred").as_bool().unwrap_or(false);
        Ok(())
    }
}

impl Callback for Keeper {
    /// Two that differ in what Lightning tells them apart by have states of their own.
    fn name(&self) -> String {
        let mut name = format!("ModelCheckpoint({}, {:?}", self.args.monitor.as_deref().unwrap_or(""), self.args.mode);
        if let Some(steps) = self.args.every_n_train_steps {
            name += &format!(", {steps} steps");
        }
        if let Some(epochs) = self.args.every_n_epochs {
            name += &format!(", {epochs} epochs");
        }
        if let Some(time) = self.args.train_time_interval {
            name += &format!(", {} s", time.0);
        }
        name + ")"
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

    fn on_train_start(&mut self, _: &mut Cx) -> Result<()> {
        self.since = Instant::now();
        Ok(())
    }

    fn on_train_batch_end(&mut self, cx: &mut Cx) -> Result<()> {
        let by_steps =
            self.args.every_n_train_steps.is_some_and(|n| n > 0 && cx.progress.global_step.is_multiple_of(n));
        let by_time = self.args.train_time_interval.is_some_and(|limit| self.since.elapsed().as_secs_f64() >= limit.0);
        if by_time {
            self.since = Instant::now();
        }
        if !by_steps && !by_time {
            return Ok(());
        }
        if let Some(monitor) = &self.args.monitor {
            // The metric comes, or comes anew, with the validation that follows.
            let epoch_is_over = cx.progress.batch == cx.batches as u64;
            let every = cx.args.check_val_every_n_epoch;
            let validates = cx.validates && every.is_none_or(|n| (cx.progress.epoch + 1).is_multiple_of(n));
            let fresh_later = epoch_is_over && validates && !self.at_train_epoch_end(cx);
            if fresh_later || !cx.metrics.contains_key(monitor) {
                self.deferred = true;
                return Ok(());
            }
        }
        if self.skips(cx) { Ok(()) } else { self.save(cx) }
    }

    fn on_train_epoch_end(&mut self, cx: &mut Cx) -> Result<()> {
        if self.at_train_epoch_end(cx) { self.at_epoch_end(cx) } else { Ok(()) }
    }

    fn on_eval_end(&mut self, split: Split, cx: &mut Cx) -> Result<()> {
        let here = split == Split::Val && (cx.averaged || self.deferred || !self.at_train_epoch_end(cx));
        if here { self.at_epoch_end(cx) } else { Ok(()) }
    }

    /// What no epoch's end has saved is saved now: averaged weights without a validation, a run shorter than an epoch.
    fn on_train_end(&mut self, cx: &mut Cx) -> Result<()> {
        if cx.stop.is_interrupted() {
            return Ok(());
        }
        if cx.averaged && !cx.validates {
            return self.at_epoch_end(cx);
        }
        match self.folder(cx) {
            Some(folder) if self.last.is_none() => self.save_last(cx, &folder, None),
            _ => {}
        }
        Ok(())
    }

    /// An interrupted or failed run leaves `last.ckpt`, so that it can go on.
    fn on_exception(&mut self, cx: &mut Cx) -> Result<()> {
        let wanted = cx.stop.is_interrupted() || self.args.save_on_exception;
        let Some(folder) = self.folder(cx).filter(|_| wanted) else { return Ok(()) };
        let path = self.last_path(&folder);
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
