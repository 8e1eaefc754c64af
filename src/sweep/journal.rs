//! `trials.jsonl`: an append-only record of every job, one JSON object a line, flushed at once.

use std::fs::{File, OpenOptions};
use std::io::Write;
use std::path::Path;

use indexmap::IndexMap;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::error::{Error, Result};

/// What happened to a job.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum State {
    /// It is to be run.
    Asked,
    /// It is running.
    Started,
    /// It is done.
    Finished,
    /// It ended with an error.
    Failed,
    /// The user stopped it.
    Interrupted,
}

/// One line of the journal.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Entry {
    /// When, in RFC 3339.
    pub time: String,
    /// The job's number, from 0.
    pub job: usize,
    /// What happened.
    pub state: State,
    /// Its overrides, when asked.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub overrides: Vec<String>,
    /// Its metrics, when finished.
    #[serde(default, skip_serializing_if = "IndexMap::is_empty")]
    pub metrics: IndexMap<String, Value>,
    /// Why it failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

impl Entry {
    /// An entry of now.
    pub fn now(job: usize, state: State) -> Self {
        let time = chrono::Local::now().to_rfc3339();
        Entry { time, job, state, overrides: Vec::new(), metrics: IndexMap::new(), reason: None }
    }
}

/// The journal of a sweep.
pub struct Journal {
    file: File,
    path: std::path::PathBuf,
}

impl Journal {
    /// Opens `trials.jsonl` in the sweep's folder, to append.
    pub fn open(folder: &Path) -> Result<Self> {
        let path = folder.join("trials.jsonl");
        let file = OpenOptions::new().create(true).append(true).open(&path);
        Ok(Journal { file: file.map_err(|error| Error::io("write", &path, error))?, path })
    }

    /// Appends a line.
    pub fn record(&mut self, entry: &Entry) -> Result<()> {
        let mut line = serde_json::to_string(entry).unwrap_or_default();
        line.push('\n');
        self.file
            .write_all(line.as_bytes())
            .and_then(|()| self.file.sync_data())
            .map_err(|error| Error::io("write", &self.path, error))
    }
}
