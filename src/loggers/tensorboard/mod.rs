//! TensorBoard: event files with scalars, hyper-parameters, images, figures and texts.

mod events;
mod summaries;

use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use self::events::EventFile;
use super::picture;
use super::protobuf::Message;
use super::version::{Version, prefixed, version_below};
use crate::config::emit;
use crate::error::Error;
use crate::prelude::*;
use crate::run::write_atomic;
use crate::train::{At, HyperParameters, Image, Logger, LoggerKind, Status};

/// Event files that TensorBoard shows: `tensorboard --logdir <save_dir>`.
///
/// Mirrors `lightning.pytorch.loggers.TensorBoardLogger`: writes to `<save_dir>/<name>/version_<n>/<sub_dir>`.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct TensorBoardArgs {
    /// Where the files go.
    save_dir: PathBuf,
    /// A folder below it.
    #[serde(default = "lightning_logs")]
    name: Option<String>,
    /// A number or a name; the next free number when not given.
    #[serde(default)]
    version: Option<Version>,
    /// Draw the network's graph: not supported, `runner check` and the model summary show the layers.
    #[serde(default)]
    log_graph: bool,
    /// Start the metric `hp_metric` with -1, so that the table of hyper-parameters has a row for this run.
    #[serde(default = "yes")]
    default_hp_metric: bool,
    /// Put before every metric's name, with a `-`.
    #[serde(default)]
    prefix: String,
    /// A folder below the version.
    #[serde(default)]
    sub_dir: Option<PathBuf>,
    /// Written at the end of the event file's name.
    #[serde(default)]
    filename_suffix: String,
    /// Hide what other event files of the folder have from this step on.
    #[serde(default)]
    purge_step: Option<u64>,
    /// How many events may wait: the queue of all loggers is one.
    #[serde(default)]
    #[allow(dead_code, reason = "accepted for compatibility")]
    max_queue: Ignored,
    /// After how many seconds to write: half a second without news is enough here.
    #[serde(default)]
    #[allow(dead_code, reason = "accepted for compatibility")]
    flush_secs: Ignored,
}

fn lightning_logs() -> Option<String> {
    Some("lightning_logs".into())
}

fn yes() -> bool {
    true
}

impl Component for TensorBoardArgs {
    type Kind = LoggerKind;
    const TARGETS: &'static [&'static str] = &[
        "lightning.pytorch.loggers.TensorBoardLogger",
        "lightning.pytorch.loggers.tensorboard.TensorBoardLogger",
        "pytorch_lightning.loggers.TensorBoardLogger",
        "pytorch_lightning.loggers.tensorboard.TensorBoardLogger",
    ];

    fn check(&self, check: &mut Check) {
        if self.log_graph {
            let help = "leave it out; `runner check` and the model summary show the layers";
            let message = "log_graph is not supported: there is no traced graph to draw";
            check.problem("log_graph", message).help = Some(help.into());
        }
    }

    fn build(self, _: &mut Build) -> Result<Box<dyn Logger>> {
        let base = self.save_dir.join(self.name.as_deref().unwrap_or_default());
        let version = version_below(&base, self.version.clone());
        Ok(Box::new(TensorBoard { base, version, args: self, file: None, restart: None, next_step: 1 }))
    }
}

struct TensorBoard {
    args: TensorBoardArgs,
    base: PathBuf,
    version: String,
    file: Option<EventFile>,
    /// The step from which earlier files of the folder are to be forgotten.
    restart: Option<u64>,
    /// One after the last step that was logged.
    next_step: u64,
}

impl TensorBoard {
    fn folder_of(&self, version: &str) -> PathBuf {
        let folder = self.base.join(version);
        self.args.sub_dir.as_ref().map_or_else(|| folder.clone(), |below| folder.join(below))
    }

    fn folder(&self) -> PathBuf {
        self.folder_of(&self.version)
    }

    /// The file, made when it is first needed: a run that fails at once leaves none.
    fn file(&mut self, at: At) -> Result<&mut EventFile> {
        if self.file.is_none() {
            let folder = self.folder();
            std::fs::create_dir_all(&folder).map_err(|error| Error::io("create", &folder, error))?;
            let mut file = EventFile::create(self.free_name(&folder, at), at.seconds())?;
            if let Some(step) = self.restart.or(self.args.purge_step) {
                file.write(&summaries::restart(At { step, ..at }))?;
            }
            self.file = Some(file);
        }
        self.file.as_mut().ok_or_else(|| Error::failed("there is no event file"))
    }

    /// `events.out.tfevents.<seconds>.<host>.<process>.<n>`: TensorBoard reads the files of a folder in order of their
    /// names, so a further one sorts after all that are there.
    fn free_name(&self, folder: &Path, at: At) -> PathBuf {
        const BEFORE: &str = "events.out.tfevents.";
        let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
        let seconds_of = |entry: std::fs::DirEntry| {
            let name = entry.file_name().to_string_lossy().into_owned();
            name.strip_prefix(BEFORE)?.split('.').next()?.parse::<i64>().ok()
        };
        let newest = entries.filter_map(seconds_of).max();
        let seconds = (at.time_ms / 1000).max(newest.map_or(0, |seconds| seconds.saturating_add(1)));
        let host = crate::run::host_name().unwrap_or_else(|| "localhost".into());
        let (process, suffix) = (std::process::id(), &self.args.filename_suffix);
        folder.join(format!("{BEFORE}{seconds:010}.{host}.{process}.0{suffix}"))
    }

    fn write(&mut self, at: At, values: impl IntoIterator<Item = Message>) -> Result<()> {
        self.next_step = self.next_step.max(at.step + 1);
        let event = summaries::event(at, values);
        self.file(at)?.write(&event)
    }
}

impl Logger for TensorBoard {
    fn name(&self) -> &'static str {
        "TensorBoardLogger"
    }

    fn params(&mut self, params: &HyperParameters) -> Result<()> {
        let start = At::now(0, 0);
        let metrics: &[&str] = if self.args.default_hp_metric { &["hp_metric"] } else { &[] };
        if self.restart.is_none() {
            self.write(start, summaries::hyper_parameters(&params.flat(), metrics, start.seconds()))?;
            self.write(start, metrics.iter().map(|tag| summaries::scalar(tag, -1.0)))?;
        }
        let folder = self.folder();
        std::fs::create_dir_all(&folder).map_err(|error| Error::io("create", &folder, error))?;
        write_atomic(&folder.join("hparams.yaml"), emit::to_yaml(&params.config).as_bytes())
    }

    /// Lightning adds the epoch to every group of values.
    fn metrics(&mut self, at: At, values: &[(String, f64)]) -> Result<()> {
        let prefix = self.args.prefix.clone();
        let scalars = values.iter().map(|(name, value)| summaries::scalar(&prefixed(&prefix, name), *value));
        let epoch = summaries::scalar(&prefixed(&prefix, "epoch"), at.epoch as f64);
        self.write(at, scalars.chain([epoch]))
    }

    fn text(&mut self, at: At, name: &str, text: &str) -> Result<()> {
        self.write(at, [summaries::text(name, text)])
    }

    fn image(&mut self, at: At, name: &str, image: &Image) -> Result<()> {
        let encoded = picture::png(image)?;
        self.write(at, [summaries::image(name, (image.width, image.height), &encoded)])
    }

    /// Files that are pictures are shown as such: figures.
    fn artifact(&mut self, at: At, name: &str, file: &Path) -> Result<()> {
        match picture::size_of(file) {
            Some(size) => {
                let encoded = std::fs::read(file).map_err(|error| Error::io("read", file, error))?;
                self.write(at, [summaries::image(name, size, &encoded)])
            }
            None => Ok(()),
        }
    }

    fn flush(&mut self) -> Result<()> {
        self.file.as_mut().map_or(Ok(()), EventFile::flush)
    }

    fn finish(&mut self, status: Status) -> Result<()> {
        if self.file.is_some() {
            let now = At::now(0, 0);
            self.write(now, [summaries::end(status, now.seconds())])?;
        }
        self.flush()
    }

    fn state(&self) -> Value {
        let file = self.file.as_ref();
        let name = file.and_then(|file| Some(file.path().file_name()?.to_string_lossy().into_owned()));
        json!({ "version": self.version, "file": name, "bytes": file.map(EventFile::bytes), "next_step": self.next_step })
    }

    /// Cuts what the checkpoint does not know and goes on in a further file: a TensorBoard that is open reads on
    /// where it was, and forgets what it has from there on.
    fn restore(&mut self, state: &Value) -> Result<()> {
        let (Some(version), Some(name), Some(bytes)) =
            (state["version"].as_str(), state["file"].as_str(), state["bytes"].as_u64())
        else {
            return Ok(());
        };
        let folder = self.folder_of(version);
        let path = folder.join(name);
        if !path.is_file() {
            return Ok(());
        }
        self.version = version.to_owned();
        let failed = |error: std::io::Error| Error::io("cut", &path, error);
        let file = std::fs::OpenOptions::new().write(true).open(&path).map_err(failed)?;
        if file.metadata().map_err(failed)?.len() > bytes {
            file.set_len(bytes).map_err(failed)?;
        }
        // Files that a killed process began after the checkpoint.
        let entries = std::fs::read_dir(&folder).into_iter().flatten().flatten();
        for later in entries.filter(|entry| entry.file_name().to_string_lossy().as_ref() > name) {
            if later.file_name().to_string_lossy().contains("tfevents") {
                std::fs::remove_file(later.path()).map_err(|error| Error::io("remove", &later.path(), error))?;
            }
        }
        self.next_step = state["next_step"].as_u64().unwrap_or(1);
        self.restart = Some(self.next_step);
        Ok(())
    }

    fn path(&self) -> Option<&Path> {
        self.file.as_ref().map(EventFile::path)
    }
}
