//! Metrics as JSON lines.

use std::fs::{File, OpenOptions};
use std::io::{BufRead, BufReader, BufWriter, Write};
use std::path::{Path, PathBuf};

use serde_json::{Map, Value, json};

use crate::error::Error;
use crate::prelude::*;
use crate::run::Results;
use crate::train::{At, HyperParameters, Logger, LoggerKind, Status};

/// Metrics as JSON lines: one object for every time something is logged, with `epoch`, `step`, `time` (seconds
/// since 1970) and the values by name; a text as `{"text": …, "name": …}`.
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
        Ok(Box::new(JsonLines::new(self.path)))
    }
}

/// Writes one object a line.
pub struct JsonLines {
    path: PathBuf,
    file: Option<BufWriter<File>>,
    lines: u64,
}

impl JsonLines {
    /// A logger that writes to `path`.
    pub fn new(path: PathBuf) -> Self {
        JsonLines { path, file: None, lines: 0 }
    }

    fn write(&mut self, at: At, values: impl IntoIterator<Item = (String, Value)>) -> Result<()> {
        let mut object = Map::new();
        object.insert("epoch".into(), json!(at.epoch));
        object.insert("step".into(), json!(at.step));
        object.insert("time".into(), json!(at.seconds()));
        object.extend(values);
        let failed = |error: std::io::Error| Error::io("write", &self.path, error);
        if self.file.is_none() {
            if let Some(parent) = self.path.parent() {
                std::fs::create_dir_all(parent).map_err(failed)?;
            }
            let file = OpenOptions::new().create(true).append(true).open(&self.path).map_err(failed)?;
            self.file = Some(BufWriter::new(file));
        }
        if let Some(file) = &mut self.file {
            writeln!(file, "{}", Value::Object(object)).map_err(failed)?;
            self.lines += 1;
        }
        Ok(())
    }
}

impl Logger for JsonLines {
    fn name(&self) -> &'static str {
        "JsonLines"
    }

    fn params(&mut self, _: &HyperParameters) -> Result<()> {
        Ok(())
    }

    fn metrics(&mut self, at: At, values: &[(String, f64)]) -> Result<()> {
        self.write(at, values.iter().map(|(name, value)| (name.clone(), Results::number(*value))))
    }

    fn text(&mut self, at: At, name: &str, text: &str) -> Result<()> {
        self.write(at, [("name".to_owned(), json!(name)), ("text".to_owned(), json!(text))])
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

    fn state(&self) -> Value {
        json!({ "lines": self.lines })
    }

    /// Cuts the file to the lines that the checkpoint knows.
    fn restore(&mut self, state: &Value) -> Result<()> {
        let (Some(lines), true) = (state["lines"].as_u64(), self.path.is_file()) else { return Ok(()) };
        let failed = |error: std::io::Error| Error::io("cut", &self.path, error);
        let file = OpenOptions::new().read(true).write(true).open(&self.path).map_err(failed)?;
        let mut reader = BufReader::new(&file);
        let mut bytes = 0;
        let mut line = Vec::new();
        for _ in 0..lines {
            line.clear();
            bytes += reader.read_until(b'\n', &mut line).map_err(failed)? as u64;
            self.lines += u64::from(!line.is_empty());
        }
        file.set_len(bytes).map_err(failed)
    }

    fn path(&self) -> Option<&Path> {
        Some(&self.path)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_resumed_run_has_every_step_once() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("deep/metrics.jsonl");
        let log = |logger: &mut JsonLines, steps: std::ops::Range<u64>| {
            steps.for_each(|step| logger.metrics(At::now(0, step), &[("x".into(), f64::INFINITY)]).unwrap());
            logger.flush().unwrap();
        };
        let mut first = JsonLines::new(path.clone());
        log(&mut first, 0..3);
        let state = first.state();
        log(&mut first, 3..5);
        let mut second = JsonLines::new(path.clone());
        second.restore(&state).unwrap();
        log(&mut second, 3..6);
        let text = std::fs::read_to_string(&path).unwrap();
        let steps: Vec<_> =
            text.lines().map(|line| serde_json::from_str::<Value>(line).unwrap()["step"].clone()).collect();
        assert_eq!(steps, (0..6).map(|step| json!(step)).collect::<Vec<_>>());
        assert!(text.starts_with("{\"epoch\":0,\"step\":0,\"time\":"));
        assert_eq!(second.state(), json!({ "lines": 6 }));
    }
}
