//! What happened, as it happened: one JSON object a line in `events.jsonl`, flushed at once.

use std::fs::{File, OpenOptions};
use std::io::Write;
use std::path::Path;

use serde_json::{Map, Value, json};

use crate::error::{Error, Result};

/// The event file of a run.
pub struct Events {
    file: File,
}

impl Events {
    /// Opens `events.jsonl` in `folder`, to append.
    pub fn open(folder: &Path) -> Result<Self> {
        let path = folder.join("events.jsonl");
        let file = OpenOptions::new().create(true).append(true).open(&path);
        Ok(Events { file: file.map_err(|error| Error::io("write", &path, error))? })
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
