//! MLflow: a tracking server over its REST API. Everything goes to an outbox on disk first; a thread tells the server
//! and tries again when it is away.

mod client;
mod outbox;
mod sender;

use std::path::{Path, PathBuf};

use indexmap::IndexMap;
use serde_json::{Value, json};

use self::outbox::{Item, Outbox};
use self::sender::{Remote, Sending, Wanted};
use super::picture;
use super::version::{LogModel, prefixed};
use crate::prelude::*;
use crate::train::{At, HyperParameters, Image, Logger, LoggerKind, Saved, Status};

/// The folder of what a server has not got yet.
pub const OUTBOX: &str = "mlflow-outbox";
/// In it: files that exist nowhere else until they are uploaded.
const FILES: &str = "files";

/// Tells the servers what waits in the outboxes below `folder`; gives those that had something to tell.
///
/// # Errors
/// When a server is away.
pub fn sync(folder: &Path) -> Result<Vec<PathBuf>> {
    let is_outbox = |entry: &walkdir::DirEntry| {
        entry.file_type().is_dir() && entry.file_name().to_string_lossy().starts_with(OUTBOX)
    };
    let mut told = Vec::new();
    for entry in walkdir::WalkDir::new(folder).sort_by_file_name().into_iter().flatten().filter(is_outbox) {
        let outbox = entry.path();
        // A run at work tells its own.
        let at_work = outbox.parent().is_some_and(crate::run::is_at_work);
        if !at_work && sender::deliver(outbox)? {
            let _ = std::fs::remove_dir_all(outbox.join(FILES));
            told.push(outbox.to_owned());
        }
    }
    Ok(told)
}

/// A run on an MLflow tracking server.
///
/// Mirrors `lightning.pytorch.loggers.MLFlowLogger` for servers (`http://…`, `https://…`). What the server has not
/// got yet waits in `<save_dir>/mlflow-outbox`; a server that is away neither stops training nor loses a point.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct MlflowArgs {
    /// The experiment; made when there is none of that name.
    #[serde(default = "experiment")]
    experiment_name: String,
    /// The run's name; MLflow chooses one when not given.
    #[serde(default)]
    run_name: Option<String>,
    /// The server; `MLFLOW_TRACKING_URI` when not given.
    #[serde(default)]
    tracking_uri: Option<String>,
    /// Tags of the run.
    #[serde(default)]
    tags: Option<IndexMap<String, Tag>>,
    /// Where the outbox goes.
    #[serde(default = "mlruns")]
    save_dir: PathBuf,
    /// Upload checkpoints: the best one at the end (`true`) or every one (`all`).
    #[serde(default)]
    log_model: LogModel,
    /// Put before the names under which checkpoints are uploaded.
    #[serde(default)]
    checkpoint_path_prefix: String,
    /// Put before every metric's name, with a `-`.
    #[serde(default)]
    prefix: String,
    /// Where a new experiment keeps its artifacts.
    #[serde(default)]
    artifact_location: Option<String>,
    /// A run that is there, to go on with.
    #[serde(default)]
    run_id: Option<String>,
    /// Whether to wait for the server: never, everything is kept on disk until it is told.
    #[serde(default)]
    #[allow(dead_code, reason = "accepted for compatibility")]
    synchronous: Ignored,
}

/// A tag's value: any scalar.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(transparent)]
pub struct Tag(Value);

fn experiment() -> String {
    "lightning_logs".into()
}

fn mlruns() -> PathBuf {
    "./mlruns".into()
}

impl MlflowArgs {
    fn uri(&self) -> Option<String> {
        let given = self.tracking_uri.clone().or_else(|| std::env::var("MLFLOW_TRACKING_URI").ok());
        given.filter(|uri| !uri.is_empty())
    }
}

impl Component for MlflowArgs {
    type Kind = LoggerKind;
    const TARGETS: &'static [&'static str] = &[
        "lightning.pytorch.loggers.MLFlowLogger",
        "lightning.pytorch.loggers.mlflow.MLFlowLogger",
        "pytorch_lightning.loggers.MLFlowLogger",
        "pytorch_lightning.loggers.mlflow.MLFlowLogger",
    ];

    fn check(&self, check: &mut Check) {
        let message = match self.uri() {
            Some(uri) if uri.starts_with("http://") || uri.starts_with("https://") => return,
            Some(uri) => format!("`{uri}` is not an MLflow server, and runner writes no file or database store itself"),
            None => "there is no tracking_uri".to_owned(),
        };
        let help = "start one with `mlflow server --port 5000` and set tracking_uri: http://127.0.0.1:5000";
        check.problem("tracking_uri", message).help = Some(help.into());
    }

    fn build(self, _: &mut Build) -> Result<Box<dyn Logger>> {
        let folder = self.save_dir.join(OUTBOX);
        // A run folder holds one; a folder that several runs share holds one each.
        let numbered = |n: u32| if n == 0 { folder.clone() } else { folder.with_extension(n.to_string()) };
        let free = (0..).map(numbered).find(|folder| !folder.exists()).unwrap_or(folder.clone());
        Ok(Box::new(Mlflow { folder: free, args: self, writing: None, resumed: false, params_told: false, numbers: 0 }))
    }
}

struct Mlflow {
    args: MlflowArgs,
    folder: PathBuf,
    writing: Option<(Outbox, Sending)>,
    resumed: bool,
    params_told: bool,
    /// Images so far: part of their names.
    numbers: u64,
}

impl Mlflow {
    fn add(&mut self, items: &[Item]) -> Result<()> {
        if self.writing.is_none() {
            let tags = self.args.tags.iter().flatten();
            let tags =
                tags.map(|(key, Tag(value))| (key.clone(), value.as_str().map_or(value.to_string(), str::to_owned)));
            let wanted = Wanted {
                uri: self.args.uri().unwrap_or_default(),
                experiment: self.args.experiment_name.clone(),
                artifact_location: self.args.artifact_location.clone(),
                run_name: self.args.run_name.clone(),
                run_id: self.args.run_id.clone(),
                tags: tags.collect(),
                time_ms: At::now(0, 0).time_ms,
            };
            let outbox = Outbox::open(&self.folder)?;
            self.writing = Some((outbox, Sending::start(self.folder.clone(), wanted)?));
        }
        if let Some((outbox, sending)) = &mut self.writing {
            outbox.add(items)?;
            sending.wake();
        }
        Ok(())
    }

    /// Keeps bytes that exist nowhere else until they are uploaded.
    fn upload(&mut self, name: String, bytes: &[u8]) -> Result<()> {
        let folder = self.folder.join(FILES);
        std::fs::create_dir_all(&folder).map_err(|error| crate::error::Error::io("create", &folder, error))?;
        let file = folder.join(name.replace('/', "_"));
        crate::run::write_atomic(&file, bytes)?;
        self.add(&[Item::Artifact { name, file }])
    }
}

/// What MLflow allows in names: letters, digits, `_`, `-`, `.`, `/`, blanks. Lightning drops the rest as well.
fn allowed(name: &str) -> String {
    name.chars().filter(|c| c.is_alphanumeric() || "_-./ ".contains(*c)).take(250).collect()
}

impl Logger for Mlflow {
    fn name(&self) -> &'static str {
        "MLFlowLogger"
    }

    fn params(&mut self, params: &HyperParameters) -> Result<()> {
        if self.resumed {
            self.add(&[Item::Status { status: "RUNNING".into(), time_ms: At::now(0, 0).time_ms }])?;
            // A server keeps a parameter as it was first told; what a resumed run changes of its config cannot be told.
            if self.params_told {
                return Ok(());
            }
        }
        self.params_told = true;
        /// What the oldest servers in use take.
        const LONGEST: usize = 500;
        let text = |value: Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        let items = params.flat().into_iter().map(|(key, value)| {
            let value: String = text(value).chars().take(LONGEST).collect();
            Item::Param { key: allowed(&key), value }
        });
        let items: Vec<Item> = items.collect();
        self.add(&items)
    }

    fn metrics(&mut self, at: At, values: &[(String, f64)]) -> Result<()> {
        let (step, time_ms) = (at.step, at.time_ms);
        let metric = |name: &str, value: f64| Item::Metric {
            key: allowed(&prefixed(&self.args.prefix, name)),
            value: value.to_string(),
            step,
            time_ms,
        };
        let mut items: Vec<Item> = values.iter().map(|(name, value)| metric(name, *value)).collect();
        items.push(metric("epoch", at.epoch as f64));
        self.add(&items)
    }

    fn text(&mut self, at: At, name: &str, text: &str) -> Result<()> {
        self.upload(format!("{}_{}.txt", allowed(name), at.step), text.as_bytes())
    }

    fn image(&mut self, at: At, name: &str, image: &Image) -> Result<()> {
        self.numbers += 1;
        self.upload(format!("{}_{}_{}.png", allowed(name), at.step, self.numbers), &picture::png(image)?)
    }

    fn artifact(&mut self, _: At, name: &str, file: &Path) -> Result<()> {
        let file = std::path::absolute(file).unwrap_or_else(|_| file.to_owned());
        self.add(&[Item::Artifact { name: name.to_owned(), file }])
    }

    fn checkpoint(&mut self, _: At, file: &Path, saved: Saved) -> Result<()> {
        let wanted = match self.args.log_model {
            LogModel::No => false,
            LogModel::Best => saved == Saved::Best,
            LogModel::All => saved == Saved::Now,
        };
        if !wanted {
            return Ok(());
        }
        let failed = |error: std::io::Error| crate::error::Error::io("keep", file, error);
        // The trainer may delete its file before it is uploaded.
        let folder = self.folder.join(FILES);
        std::fs::create_dir_all(&folder).map_err(failed)?;
        self.numbers += 1;
        let kept = folder.join(format!("{}.ckpt", self.numbers));
        let _ = std::fs::remove_file(&kept);
        std::fs::hard_link(file, &kept).or_else(|_| std::fs::copy(file, &kept).map(drop)).map_err(failed)?;
        let kept = std::path::absolute(&kept).map_err(failed)?;
        let stem = file.file_stem().unwrap_or_default().to_string_lossy();
        let file_name = file.file_name().unwrap_or_default().to_string_lossy();
        let prefix = self.args.checkpoint_path_prefix.trim_matches('/');
        let place = if prefix.is_empty() { "model".to_owned() } else { format!("{prefix}/model") };
        self.add(&[Item::Artifact { name: format!("{place}/checkpoints/{stem}/{file_name}"), file: kept }])
    }

    /// Every item is on disk as soon as it was said.
    fn flush(&mut self) -> Result<()> {
        Ok(())
    }

    fn finish(&mut self, status: Status) -> Result<()> {
        if self.writing.is_none() {
            return Ok(());
        }
        let status = match status {
            Status::Finished => "FINISHED",
            Status::Interrupted => "KILLED",
            Status::Failed | Status::Running => "FAILED",
        };
        self.add(&[Item::Status { status: status.into(), time_ms: At::now(0, 0).time_ms }])?;
        if let Some((outbox, sending)) = self.writing.take()
            && !sending.finish()
        {
            drop(outbox);
            let place = self.folder.parent().unwrap_or(&self.folder).display();
            return Err(crate::error::Error::failed("the server is away; what it has not got is kept")
                .help(format!("when it is back: runner sync {place}")));
        }
        let _ = std::fs::remove_dir_all(self.folder.join(FILES));
        Ok(())
    }

    fn state(&self) -> Value {
        let bytes = self.writing.as_ref().map(|(outbox, _)| outbox.bytes);
        let folder = self.folder.file_name().map(|name| name.to_string_lossy().into_owned());
        json!({ "folder": folder, "bytes": bytes, "params": self.params_told, "numbers": self.numbers })
    }

    /// Goes on with the same run; points that the server has heard of already are not told twice.
    fn restore(&mut self, state: &Value) -> Result<()> {
        let (Some(name), Some(bytes)) = (state["folder"].as_str(), state["bytes"].as_u64()) else { return Ok(()) };
        let folder = self.args.save_dir.join(name);
        if !folder.is_dir() {
            return Ok(());
        }
        self.folder = folder;
        self.resumed = true;
        self.params_told = state["params"].as_bool().unwrap_or(false);
        self.numbers = state["numbers"].as_u64().unwrap_or(0);
        self.add(&[])?;
        if let Some((outbox, _)) = &mut self.writing {
            outbox.resume_at(bytes)?;
        }
        if let Some(remote) = Remote::of(&self.folder) {
            tracing::info!("MLFlowLogger: going on with run {}", remote.run_id);
        }
        Ok(())
    }

    fn path(&self) -> Option<&Path> {
        Some(&self.folder)
    }
}
