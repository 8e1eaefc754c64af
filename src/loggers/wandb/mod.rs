//! Weights & Biases: the folder of an offline run, which `wandb sync` uploads. No account and no network is needed.

mod datastore;
mod records;

use std::path::{Path, PathBuf};

use base64::Engine;
use indexmap::IndexMap;
use md5::Digest;
use serde_json::{Value, json};

use self::datastore::DataStore;
use self::records::number;
use super::picture;
use super::version::{LogModel, prefixed};
use crate::config::{Key, Value as Config, json as config_json};
use crate::error::Error;
use crate::prelude::*;
use crate::train::{At, HyperParameters, Image, Logger, LoggerKind, Saved, Status};

/// An offline run of Weights & Biases, to upload with `wandb sync`.
///
/// Mirrors `lightning.pytorch.loggers.WandbLogger` with `offline: true`: writes
/// `<save_dir>/wandb/offline-run-<time>-<id>/`.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct WandbArgs {
    /// The run's name; W&B chooses one when not given.
    #[serde(default)]
    name: Option<String>,
    /// Where the folder `wandb` goes.
    #[serde(default = "here")]
    save_dir: PathBuf,
    /// The run's id; `id` means the same.
    #[serde(default)]
    version: Option<String>,
    /// Must be true: runs are uploaded by `wandb sync`.
    #[serde(default)]
    offline: bool,
    /// Instead of `save_dir`.
    #[serde(default)]
    dir: Option<PathBuf>,
    /// The run's id; drawn when not given.
    #[serde(default)]
    id: Option<String>,
    /// Of online runs.
    #[serde(default)]
    #[allow(dead_code, reason = "accepted for compatibility")]
    anonymous: Ignored,
    /// The project.
    #[serde(default = "project")]
    project: Option<String>,
    /// Keep checkpoints with the run: the best one at the end (`true`) or every one (`all`).
    #[serde(default)]
    log_model: LogModel,
    /// Put before every metric's name, with a `-`.
    #[serde(default)]
    prefix: String,
    /// The name under which checkpoints are kept; `model-<id>` when not given.
    #[serde(default)]
    checkpoint_name: Option<String>,
    /// How checkpoints get into the folder.
    #[serde(default)]
    #[allow(dead_code, reason = "accepted for compatibility")]
    add_file_policy: Ignored,
    /// The team.
    #[serde(default)]
    entity: Option<String>,
    /// A name that several runs share.
    #[serde(default)]
    group: Option<String>,
    /// What the run does: `train`, `eval`.
    #[serde(default)]
    job_type: Option<String>,
    /// Words to find runs by.
    #[serde(default)]
    tags: Vec<String>,
    /// Remarks.
    #[serde(default)]
    notes: Option<String>,
}

fn here() -> PathBuf {
    ".".into()
}

fn project() -> Option<String> {
    Some("lightning_logs".into())
}

impl Component for WandbArgs {
    type Kind = LoggerKind;
    const TARGETS: &'static [&'static str] = &[
        "lightning.pytorch.loggers.WandbLogger",
        "lightning.pytorch.loggers.wandb.WandbLogger",
        "pytorch_lightning.loggers.WandbLogger",
        "pytorch_lightning.loggers.wandb.WandbLogger",
    ];

    fn check(&self, check: &mut Check) {
        if !self.offline {
            let problem =
                check.problem("offline", "runner writes offline runs of Weights & Biases, and uploads nothing");
            problem.help = Some("set offline: true, and upload with `wandb sync <the run's wandb folder>`".into());
        }
        let (id, version) = (self.id.as_deref(), self.version.as_deref());
        for (name, id) in [("id", id), ("version", version)] {
            let wrong = |c: char| !(c.is_ascii_alphanumeric() || "-_.".contains(c));
            if id.is_some_and(|id| id.is_empty() || id.contains(wrong)) {
                check.problem(name, "an id of letters, digits, `-`, `_` and `.` is expected");
            }
        }
    }

    fn build(self, _: &mut Build) -> Result<Box<dyn Logger>> {
        let id = self.version.clone().or_else(|| self.id.clone()).unwrap_or_else(|| draw(8));
        let base = self.dir.clone().unwrap_or_else(|| self.save_dir.clone()).join("wandb");
        let stamp = chrono::Local::now().format("%Y%m%d_%H%M%S");
        let folder = base.join(format!("offline-run-{stamp}-{id}"));
        Ok(Box::new(Wandb {
            args: self,
            base,
            folder,
            id,
            store: None,
            records: 0,
            rows: 0,
            started_ms: At::now(0, 0).time_ms,
            config: Vec::new(),
            summary: IndexMap::new(),
            summary_is_new: false,
        }))
    }
}

/// Letters and digits that nobody else draws: from the time, the process and a count.
fn draw(length: usize) -> String {
    use std::sync::atomic::{AtomicU64, Ordering};
    static DRAWN: AtomicU64 = AtomicU64::new(0);
    let seed = format!(
        "{:?} {} {} {:?}",
        std::time::SystemTime::now(),
        std::process::id(),
        DRAWN.fetch_add(1, Ordering::Relaxed),
        crate::run::host_name()
    );
    let mut bytes = vec![0; length];
    blake3::Hasher::new().update(seed.as_bytes()).finalize_xof().fill(&mut bytes);
    bytes.iter().map(|byte| char::from(b"abcdefghijklmnopqrstuvwxyz0123456789"[usize::from(*byte) % 36])).collect()
}

/// The metric against which W&B draws the others, as Lightning defines it.
const STEP: &str = "trainer/global_step";

type Items = Vec<(Vec<String>, String)>;

struct Wandb {
    args: WandbArgs,
    base: PathBuf,
    folder: PathBuf,
    id: String,
    store: Option<DataStore>,
    records: i64,
    rows: i64,
    started_ms: i64,
    config: Vec<(String, String)>,
    summary: IndexMap<Vec<String>, String>,
    summary_is_new: bool,
}

impl Wandb {
    fn store(&mut self) -> Result<&mut DataStore> {
        if self.store.is_none() {
            let media = self.folder.join("files");
            std::fs::create_dir_all(&media).map_err(|error| Error::io("create", &media, error))?;
            self.store = Some(DataStore::create(self.folder.join(format!("run-{}.wandb", self.id)))?);
            self.begin()?;
        }
        self.store.as_mut().ok_or_else(|| Error::failed("there is no file"))
    }

    fn write(&mut self, field: u32, content: &super::protobuf::Message) -> Result<()> {
        self.store()?;
        self.records += 1;
        let record = records::record(self.records, field, content, &self.id);
        self.store()?.write(record.as_ref())
    }

    /// What every file starts with.
    fn begin(&mut self) -> Result<()> {
        let host = crate::run::host_name();
        let run = records::Run {
            id: &self.id,
            entity: self.args.entity.as_deref(),
            project: self.args.project.as_deref().unwrap_or("uncategorized"),
            group: self.args.group.as_deref(),
            job_type: self.args.job_type.as_deref(),
            name: self.args.name.as_deref(),
            notes: self.args.notes.as_deref(),
            tags: &self.args.tags,
            host: host.as_deref(),
            config: std::mem::take(&mut self.config),
            started_ms: self.started_ms,
        };
        let run = run.message();
        self.write(records::HEADER, &records::header())?;
        self.write(records::RUN, &run)?;
        self.write(records::METRIC, &records::step_metric(STEP))?;
        self.write(records::METRIC, &records::all_metrics_over(STEP))
    }

    /// A row of history, with what W&B adds to every row.
    fn row(&mut self, at: At, mut items: Items) -> Result<()> {
        let one = |name: &str, value: String| (vec![name.to_owned()], value);
        items.push(one("epoch", at.epoch.to_string()));
        items.push(one(STEP, at.step.to_string()));
        items.push(one("_timestamp", number(at.seconds())));
        items.push(one("_runtime", number((at.time_ms - self.started_ms) as f64 / 1000.0)));
        items.push(one("_step", self.rows.to_string()));
        self.write(records::HISTORY, &records::history(self.rows, &items))?;
        self.rows += 1;
        self.summary.extend(items);
        self.summary_is_new = true;
        Ok(())
    }

    /// Puts a file below `files` and asks for its upload.
    fn keep(&mut self, name: &str, bytes: &[u8]) -> Result<()> {
        let path = self.folder.join("files").join(name);
        if let Some(parent) = path.parent() {
            std::fs::create_dir_all(parent).map_err(|error| Error::io("create", parent, error))?;
        }
        crate::run::write_atomic(&path, bytes)?;
        self.write(records::FILES, &records::file(name))
    }

    fn picture(&mut self, at: At, name: &str, (width, height): (u32, u32), ending: &str, bytes: &[u8]) -> Result<()> {
        self.store()?;
        let digest = blake3::hash(bytes).to_hex();
        let path = format!("media/images/{}_{}_{}.{ending}", plain(name), self.rows, &digest[..20]);
        self.keep(&path, bytes)?;
        let part = |key: &str, value: Value| (vec![name.to_owned(), key.to_owned()], value.to_string());
        let items = vec![
            part("_type", json!("images/separated")),
            part("count", json!(1)),
            part("format", json!(ending)),
            part("width", json!(width)),
            part("height", json!(height)),
            part("filenames", json!([path])),
        ];
        self.row(at, items)
    }

    fn model(&mut self, file: &Path, aliases: &[&str]) -> Result<()> {
        self.store()?;
        let failed = |error: std::io::Error| Error::io("keep", file, error);
        let file_name = file.file_name().unwrap_or_default().to_string_lossy().into_owned();
        // The trainer may delete its file before the upload: the run keeps a name of its own for it.
        let place = self.folder.join("artifacts").join(self.records.to_string());
        std::fs::create_dir_all(&place).map_err(failed)?;
        let kept = place.join(&file_name);
        std::fs::hard_link(file, &kept).or_else(|_| std::fs::copy(file, &kept).map(drop)).map_err(failed)?;
        let kept = std::path::absolute(&kept).map_err(failed)?;
        let mut hasher = md5::Md5::new();
        let bytes = std::io::copy(&mut std::fs::File::open(&kept).map_err(failed)?, &mut Hashing(&mut hasher));
        let bytes = bytes.map_err(failed)?;
        let digest = base64::prelude::BASE64_STANDARD.encode(hasher.finalize());
        let manifest = md5::Md5::digest(format!("wandb-artifact-manifest-v1\n{file_name}:{digest}\n"));
        let manifest: String = manifest.iter().map(|byte| format!("{byte:02x}")).collect();
        let name = self.args.checkpoint_name.clone().unwrap_or_else(|| format!("model-{}", self.id));
        let model = records::Model {
            run_id: &self.id,
            project: self.args.project.as_deref().unwrap_or("uncategorized"),
            name: &name,
            aliases,
            file_name: &file_name,
            local_path: &kept.display().to_string(),
            digest: &digest,
            manifest_digest: &manifest,
            bytes: bytes as i64,
            client_id: &draw(128),
            sequence_id: &draw(128),
        };
        let message = model.message();
        self.write(records::ARTIFACT, &message)
    }

    fn write_summary(&mut self) -> Result<()> {
        if std::mem::take(&mut self.summary_is_new) {
            let items: Items = self.summary.clone().into_iter().collect();
            self.write(records::SUMMARY, &records::summary(&items))?;
        }
        Ok(())
    }
}

/// Hashes what is copied into it.
struct Hashing<'a>(&'a mut md5::Md5);

impl std::io::Write for Hashing<'_> {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.update(bytes);
        Ok(bytes.len())
    }
    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// A name as part of a file's name.
fn plain(name: &str) -> String {
    name.chars().map(|c| if c.is_ascii_alphanumeric() || "-_.".contains(c) { c } else { '_' }).collect()
}

impl Logger for Wandb {
    fn name(&self) -> &'static str {
        "WandbLogger"
    }

    /// The config goes in as it is, nested, a top-level key at a time.
    fn params(&mut self, params: &HyperParameters) -> Result<()> {
        if self.store.is_some() {
            return Ok(());
        }
        self.config.push(("_wandb".into(), "{}".into()));
        if let Config::Map(map) = &params.config.value {
            let plain = |key: &Key| key.to_string();
            self.config.extend(map.iter().map(|(key, node)| (plain(key), config_json::compact(node))));
        }
        self.config.extend(params.facts.iter().map(|(key, value)| (key.clone(), value.to_string())));
        self.store().map(drop)
    }

    fn metrics(&mut self, at: At, values: &[(String, f64)]) -> Result<()> {
        let prefix = &self.args.prefix;
        let items = values.iter().map(|(name, value)| (vec![prefixed(prefix, name).into_owned()], number(*value)));
        let items = items.collect();
        self.row(at, items)
    }

    /// A table of one cell: what W&B shows text in.
    fn text(&mut self, at: At, name: &str, text: &str) -> Result<()> {
        self.store()?;
        let table = json!({ "columns": ["text"], "data": [[text]] }).to_string();
        let digest: String = sha2::Sha256::digest(table.as_bytes()).iter().map(|byte| format!("{byte:02x}")).collect();
        let path = format!("media/table/{}_{}_{}.table.json", plain(name), self.rows, &digest[..20]);
        self.keep(&path, table.as_bytes())?;
        let part = |key: &str, value: Value| (vec![name.to_owned(), key.to_owned()], value.to_string());
        let items = vec![
            part("_type", json!("table-file")),
            part("path", json!(path)),
            part("sha256", json!(digest)),
            part("size", json!(table.len())),
            part("ncols", json!(1)),
            part("nrows", json!(1)),
        ];
        self.row(at, items)
    }

    fn image(&mut self, at: At, name: &str, image: &Image) -> Result<()> {
        let bytes = picture::png(image)?;
        self.picture(at, name, (image.width, image.height), "png", &bytes)
    }

    fn artifact(&mut self, at: At, name: &str, file: &Path) -> Result<()> {
        let bytes = std::fs::read(file).map_err(|error| Error::io("read", file, error))?;
        match (picture::size_of(file), file.extension().and_then(|ending| ending.to_str())) {
            (Some(size), Some(ending)) => self.picture(at, name, size, &ending.to_lowercase(), &bytes),
            _ => {
                self.store()?;
                let inside = Path::new(name).components().all(|part| matches!(part, std::path::Component::Normal(_)));
                let name = if inside { name.to_owned() } else { plain(name) };
                self.keep(&name, &bytes)
            }
        }
    }

    fn checkpoint(&mut self, _: At, file: &Path, saved: Saved) -> Result<()> {
        match (self.args.log_model, saved) {
            (LogModel::All, Saved::Now) => self.model(file, &["latest"]),
            (LogModel::Best | LogModel::All, Saved::Best) => self.model(file, &["latest", "best"]),
            _ => Ok(()),
        }
    }

    fn flush(&mut self) -> Result<()> {
        self.store.as_mut().map_or(Ok(()), DataStore::flush)
    }

    fn finish(&mut self, status: Status) -> Result<()> {
        let code = match status {
            Status::Finished => 0,
            Status::Interrupted => 255,
            Status::Failed | Status::Running => 1,
        };
        if self.store.is_some() {
            self.write_summary()?;
            let seconds = (At::now(0, 0).time_ms - self.started_ms) / 1000;
            self.write(records::EXIT, &records::exit(code, seconds))?;
            tracing::info!("upload the run with: wandb sync {}", self.folder.display());
        }
        self.flush()
    }

    fn state(&self) -> Value {
        let bytes = self.store.as_ref().map(DataStore::bytes);
        let summary: Vec<_> = self.summary.iter().collect();
        let folder = self.folder.file_name().map(|name| name.to_string_lossy().into_owned());
        json!({
            "folder": folder, "id": self.id, "bytes": bytes, "records": self.records, "rows": self.rows,
            "started_ms": self.started_ms, "summary": summary,
        })
    }

    /// Goes on in the same folder, its file cut to what the checkpoint knows.
    fn restore(&mut self, state: &Value) -> Result<()> {
        let read = |key: &str| state[key].as_i64();
        let (Some(folder), Some(id), Some(bytes), Some(records), Some(rows), Some(started_ms)) = (
            state["folder"].as_str(),
            state["id"].as_str(),
            read("bytes"),
            read("records"),
            read("rows"),
            read("started_ms"),
        ) else {
            return Ok(());
        };
        let folder = self.base.join(folder);
        let path = folder.join(format!("run-{id}.wandb"));
        if !path.is_file() {
            return Ok(());
        }
        self.store = Some(DataStore::cut(path, bytes as usize)?);
        (self.folder, self.id) = (folder, id.to_owned());
        (self.records, self.rows, self.started_ms) = (records, rows, started_ms);
        let summary: Vec<(Vec<String>, String)> = serde_json::from_value(state["summary"].clone()).unwrap_or_default();
        self.summary = summary.into_iter().collect();
        Ok(())
    }

    fn path(&self) -> Option<&Path> {
        self.store.as_ref().map(DataStore::path)
    }
}
