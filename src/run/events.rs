//! What happened, as it happened: one JSON object a line in `events.jsonl`, flushed at once.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::Write;
use std::path::Path;

use serde_json::{Map, Value, json};

use crate::error::{Error, Result};

/// The event file of a run.
pub struct Events {
    file: File,
}

impl Events {
    /// Opens `events.jsonl` in `folder`, to append. The file is locked: a run has one process at work.
    ///
    /// # Errors
    /// When another process is at work in the folder, or the file cannot be written.
    pub fn open(folder: &Path) -> Result<Self> {
        let path = folder.join("events.jsonl");
        let file = OpenOptions::new().create(true).append(true).open(&path);
        let file = file.map_err(|error| Error::io("write", &path, error))?;
        // Not every file system has locks; without them nothing is refused.
        if let Err(TryLockError::WouldBlock) = file.try_lock() {
            return Err(Error::request(format!("a process is at work in {}", folder.display()))
                .help("wait for it, or stop it: kill -TERM makes it save and end"));
        }
        Ok(Events { file })
    }

    /// Records `event` with its details. A full disk is reported once by the run itself, not here.
    pub fn record(&mut self, event: &str, details: Value) {
        let mut line = Map::new();
        line.insert("time".into(), json!(chrono::Local::now().to_rfc3339()));
        line.insert("event".into(), json!(event));
        if let Value::Object(details) = details {
            line.extend(details);
        }
        let _ = writeln!(self.file, "{}", Value::Object(line)).and_then(|()| self.file.flush());
    }
}
