//! `run.json`: what was started. `results.json`: how it ended.

use std::path::Path;
use std::time::Instant;

use indexmap::IndexMap;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{Git, Host, RunDir, usage};
use crate::error::{Error, Result};

/// The version of both formats.
const FORMAT: u32 = 1;

/// What was started, and with what.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Manifest {
    /// The version of this format.
    pub format: u32,
    /// The command: `train`, `test`, ….
    pub command: String,
    /// The whole command line.
    pub argv: Vec<String>,
    /// The working folder.
    pub cwd: String,
    /// When, in RFC 3339.
    pub started: String,
    /// Versions of runner and libtorch.
    pub versions: IndexMap<String, String>,
    /// The checkout of the working folder.
    pub git: Option<Git>,
    /// The seed.
    pub seed: u64,
    /// The device.
    pub device: String,
    /// The machine.
    pub host: Host,
}

impl Manifest {
    /// A manifest of what is starting now.
    pub fn now(command: &str, seed: u64, device: String, versions: IndexMap<String, String>) -> Self {
        let cwd = std::env::current_dir().unwrap_or_default();
        Manifest {
            format: FORMAT,
            command: command.to_owned(),
            argv: std::env::args().collect(),
            git: Git::of(&cwd),
            cwd: cwd.display().to_string(),
            started: chrono::Local::now().to_rfc3339(),
            versions,
            seed,
            device,
            host: Host::here(),
        }
    }

    /// Reads `run.json` of a run folder.
    ///
    /// # Errors
    /// When the folder is not a run's.
    pub fn read(folder: &Path) -> Result<Self> {
        let path = folder.join("run.json");
        let text = std::fs::read_to_string(&path).map_err(|error| Error::io("read", &path, error))?;
        serde_json::from_str(&text).map_err(|error| Error::io("read", &path, error))
    }

    /// Writes `run.json`.
    pub fn write(&self, dir: &RunDir) -> Result<()> {
        dir.write("run.json", &pretty(self))
    }

    /// Writes `run.json` without waiting for the disk.
    pub fn write_derived(&self, dir: &RunDir) -> Result<()> {
        dir.write_derived("run.json", &pretty(self))
    }
}

/// How a run ended.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Results {
    /// The version of this format.
    pub format: u32,
    /// `running`, `finished`, `failed` or `interrupted`.
    pub status: String,
    /// Why it failed or stopped before its time.
    pub reason: Option<String>,
    /// The newest value of every metric.
    pub metrics: IndexMap<String, Value>,
    /// What the tuner has chosen, by its place in the config.
    #[serde(default, skip_serializing_if = "IndexMap::is_empty")]
    pub tuned: IndexMap<String, Value>,
    /// The metric by which the best checkpoint was chosen.
    pub monitor: Option<String>,
    /// Its best value.
    pub best: Option<Value>,
    /// The best checkpoint, relative to the run folder when it is inside.
    pub best_checkpoint: Option<String>,
    /// Epochs completed.
    pub epochs: u64,
    /// Optimizer steps taken.
    pub steps: u64,
    /// Wall time in seconds.
    pub duration_s: f64,
    /// CPU time of all threads in seconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cpu_s: Option<f64>,
    /// The most memory that the process had, in MiB, where the system says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub peak_memory_mib: Option<f64>,
}

impl Results {
    /// Results with a status and nothing else yet.
    pub fn new(status: &str) -> Self {
        Results {
            format: FORMAT,
            status: status.to_owned(),
            reason: None,
            metrics: IndexMap::new(),
            tuned: IndexMap::new(),
            monitor: None,
            best: None,
            best_checkpoint: None,
            epochs: 0,
            steps: 0,
            duration_s: 0.0,
            cpu_s: None,
            peak_memory_mib: None,
        }
    }

    /// Notes what the process has used by now, and that it began at `started`.
    pub fn measure(&mut self, started: Instant) {
        self.duration_s = started.elapsed().as_secs_f64();
        self.cpu_s = Some(usage::cpu_time().as_secs_f64());
        self.peak_memory_mib = usage::peak_memory();
    }

    /// Writes `results.json`.
    pub fn write(&self, dir: &RunDir) -> Result<()> {
        dir.write("results.json", &pretty(self))
    }

    /// Writes `results.json` without waiting for the disk.
    pub fn write_derived(&self, dir: &RunDir) -> Result<()> {
        dir.write_derived("results.json", &pretty(self))
    }

    /// Reads `results.json` of a run folder.
    pub fn read(folder: &Path) -> Result<Self> {
        let path = folder.join("results.json");
        let text = std::fs::read_to_string(&path).map_err(|error| Error::io("read", &path, error))?;
        serde_json::from_str(&text).map_err(|error| Error::io("read", &path, error))
    }

    /// A metric's value as JSON can say it: infinities and NaN become text.
    pub fn number(value: f64) -> Value {
        serde_json::Number::from_f64(value).map_or_else(|| Value::String(value.to_string()), Value::Number)
    }
}

fn pretty(value: &impl Serialize) -> String {
    // Only maps with keys that are not strings fail to serialize; there are none here.
    let mut text = serde_json::to_string_pretty(value).unwrap_or_default();
    text.push('\n');
    text
}
