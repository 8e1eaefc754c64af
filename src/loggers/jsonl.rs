//! Metrics as JSON lines.

use std::fs::{File, OpenOptions};
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};

use serde_json::{Map, Value, json};

use crate::config::Node;
use crate::error::Error;
use crate::prelude::*;
use crate::run::Results;
use crate::train::{Logger, LoggerKind, Status};

/// Metrics as JSON lines: one object for every time something is logged, with `epoch`, `step`, `time` (seconds
/// since 1970) and the values by name.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct JsonLinesArgs {
    /// The file; its folder is made when missing, an existing file is continued.
    path: PathBuf,
}

impl Component for JsonLinesArgs {
    type Kind = LoggerKind;
    const TARGETS: &'static [&'static str] = &["runner.loggers.JsonLines"];

    fn build(self, _: &mut Build) -> Result<Box<dyn Logger>> {
        Ok(Box::new(JsonLines { path: self.path, file: None }))
    }
}

struct JsonLines {
    path: PathBuf,
    file: Option<BufWriter<File>>,
}

impl JsonLines {
    fn write(&mut self, object: Map<String, Value>) -> Result<()> {
        let failed = |error: std::io::Error| Error::io("write", &self.path, error);
        if self.file.is_none() {
            if let Some(parent) = self.path.parent() {
                std::fs::create_dir_all(parent).map_err(failed)?;
            }
            let file = OpenOptions::new().create(true).append(true).open(&self.path).map_err(failed)?;
            self.file = Some(BufWriter::new(file));
        }
        match &mut self.file {
            Some(file) => writeln!(file, "{}", Value::Object(object)).map_err(failed),
            None => Ok(()),
        }
    }
}

impl Logger for JsonLines {
    fn params(&mut self, _: &Node) -> Result<()> {
        Ok(())
    }

    fn metrics(&mut self, epoch: u64, step: u64, values: &[(String, f64)]) -> Result<()> {
        let mut object = Map::new();
        object.insert("epoch".into(), json!(epoch));
        object.insert("step".into(), json!(step));
        object.insert("time".into(), json!(chrono::Utc::now().timestamp_millis() as f64 / 1000.0));
        object.extend(values.iter().map(|(name, value)| (name.clone(), Results::number(*value))));
        self.write(object)
    }

    fn flush(&mut self) -> Result<()> {
        match &mut self.file {
            Some(file) => file.flush().map_err(|error| Error::io("write", &self.path, error)),
            None => Ok(()),
        }
    }

    fn finish(&mut self, _: Status) -> Result<()> {
        self.flush()
    }

    fn path(&self) -> Option<&Path> {
        Some(&self.path)
    }
}
