//! `metrics.csv`, as Lightning's CSVLogger writes it.

use std::path::{Path, PathBuf};

use crate::config::{Node, emit};
use crate::error::{Context, Error, Result};
use crate::prelude::*;
use crate::run::write_atomic;
use crate::train::{Logger, LoggerKind, Status};

/// Metrics as a CSV file: one row for every time something is logged.
///
/// Mirrors `lightning.pytorch.loggers.CSVLogger`: writes `metrics.csv` and `hparams.yaml` to
/// `<save_dir>/<name>/version_<n>/`.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct CsvLoggerArgs {
    /// Where the files go.
    save_dir: PathBuf,
    /// A folder below it.
    #[serde(default = "lightning_logs")]
    name: Option<String>,
    /// A number or a name; the next free number when not given.
    #[serde(default)]
    version: Option<Version>,
    /// Put before every metric's name, with a `-`.
    #[serde(default)]
    prefix: String,
    /// Write after so many rows.
    #[serde(default = "hundred")]
    flush_logs_every_n_steps: u64,
}

fn lightning_logs() -> Option<String> {
    Some("lightning_logs".into())
}

fn hundred() -> u64 {
    100
}

/// A run's version below a logger's folder: a number, or a name of the user's.
#[derive(Clone, Debug)]
pub struct Version(String);

impl<'de> Deserialize<'de> for Version {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> std::result::Result<Self, D::Error> {
        struct Take;
        impl serde::de::Visitor<'_> for Take {
            type Value = Version;
            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("a whole number or a name")
            }
            fn visit_str<E: serde::de::Error>(self, v: &str) -> std::result::Result<Version, E> {
                Ok(Version(v.to_owned()))
            }
            fn visit_u64<E: serde::de::Error>(self, v: u64) -> std::result::Result<Version, E> {
                Ok(Version(format!("version_{v}")))
            }
        }
        deserializer.deserialize_any(Take)
    }
}

impl JsonSchema for Version {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Version".into()
    }
    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({ "type": ["string", "integer"] })
    }
    fn inline_schema() -> bool {
        true
    }
}

impl Component for CsvLoggerArgs {
    type Kind = LoggerKind;
    const TARGETS: &'static [&'static str] =
        &["lightning.pytorch.loggers.CSVLogger", "lightning.pytorch.loggers.csv_logs.CSVLogger"];

    fn build(self, _: &mut Build) -> Result<Box<dyn Logger>> {
        let base = self.save_dir.join(self.name.unwrap_or_default());
        let version = match self.version {
            Some(version) => version.0,
            None => next_version(&base),
        };
        Ok(Box::new(CsvLogger::new(base.join(version), self.prefix, self.flush_logs_every_n_steps)))
    }
}

/// `version_<n>` with the first number above all that are there.
fn next_version(base: &Path) -> String {
    let taken = std::fs::read_dir(base)
        .into_iter()
        .flatten()
        .flatten()
        .filter_map(|entry| entry.file_name().to_str()?.strip_prefix("version_")?.parse::<u64>().ok());
    format!("version_{}", taken.max().map_or(0, |n| n + 1))
}

/// Writes rows of metrics; columns appear as their metrics do.
pub struct CsvLogger {
    folder: PathBuf,
    file: PathBuf,
    prefix: String,
    flush_every: u64,
    columns: Vec<String>,
    written_columns: usize,
    rows: Vec<Vec<String>>,
    file_rows: usize,
}

impl CsvLogger {
    /// A logger that writes to `folder`; the folder is made with the first row.
    pub fn new(folder: PathBuf, prefix: String, flush_every: u64) -> Self {
        let file = folder.join("metrics.csv");
        let columns = vec!["epoch".to_owned(), "step".to_owned()];
        CsvLogger { folder, file, prefix, flush_every, columns, written_columns: 0, rows: Vec::new(), file_rows: 0 }
    }

    fn column(&mut self, name: &str) -> usize {
        let name = if self.prefix.is_empty() { name.to_owned() } else { format!("{}-{name}", self.prefix) };
        self.columns.iter().position(|column| *column == name).unwrap_or_else(|| {
            self.columns.push(name);
            self.columns.len() - 1
        })
    }

    /// Rows as CSV text, filled up to the number of columns.
    fn text(&self, header: bool, older: Vec<Vec<String>>) -> Result<Vec<u8>> {
        let mut writer = ::csv::Writer::from_writer(Vec::new());
        let failed = |error: ::csv::Error| Error::io("write", &self.file, error);
        if header {
            writer.write_record(&self.columns).map_err(failed)?;
        }
        for row in older.iter().chain(&self.rows) {
            let padding = std::iter::repeat_n("", self.columns.len() - row.len());
            writer.write_record(row.iter().map(String::as_str).chain(padding)).map_err(failed)?;
        }
        writer.into_inner().map_err(|error| Error::io("write", &self.file, error.error()))
    }

    fn older(&self) -> Result<Vec<Vec<String>>> {
        if self.file_rows == 0 {
            return Ok(Vec::new());
        }
        let failed = |error: ::csv::Error| Error::io("read", &self.file, error);
        let mut reader = ::csv::Reader::from_path(&self.file).map_err(failed)?;
        reader.records().map(|row| Ok(row.map_err(failed)?.iter().map(str::to_owned).collect())).collect()
    }
}

impl Logger for CsvLogger {
    fn params(&mut self, config: &Node) -> Result<()> {
        std::fs::create_dir_all(&self.folder).map_err(|error| Error::io("create", &self.folder, error))?;
        write_atomic(&self.folder.join("hparams.yaml"), emit::to_yaml(config).as_bytes())
    }

    fn metrics(&mut self, epoch: u64, step: u64, values: &[(String, f64)]) -> Result<()> {
        let mut row = vec![epoch.to_string(), step.to_string()];
        for (name, value) in values {
            let column = self.column(name);
            if row.len() <= column {
                row.resize(column + 1, String::new());
            }
            row[column] = crate::config::text::py_float(*value);
        }
        self.rows.push(row);
        if self.rows.len() as u64 >= self.flush_every.max(1) { self.flush() } else { Ok(()) }
    }

    fn flush(&mut self) -> Result<()> {
        if self.rows.is_empty() {
            return Ok(());
        }
        std::fs::create_dir_all(&self.folder).map_err(|error| Error::io("create", &self.folder, error))?;
        if self.written_columns == self.columns.len() {
            use std::io::Write;
            let text = self.text(false, Vec::new())?;
            let file = std::fs::OpenOptions::new().append(true).open(&self.file);
            file.and_then(|mut file| file.write_all(&text)).map_err(|error| Error::io("write", &self.file, error))?;
        } else {
            // A new column changes the header: the file is written anew.
            let older = self.older()?;
            write_atomic(&self.file, &self.text(true, older)?)?;
            self.written_columns = self.columns.len();
        }
        self.file_rows += self.rows.len();
        self.rows.clear();
        Ok(())
    }

    fn finish(&mut self, _: Status) -> Result<()> {
        self.flush().context("the CSV logger")
    }

    fn path(&self) -> Option<&Path> {
        Some(&self.file)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_that_appear_later_are_empty_before() {
        let dir = tempfile::tempdir().unwrap();
        let mut logger = CsvLogger::new(dir.path().join("version_0"), String::new(), 1);
        let rows: [&[(&str, f64)]; 3] = [&[("train/loss", 1.5)], &[("val/loss", 0.00001)], &[("train/loss", f64::NAN)]];
        for (step, values) in rows.iter().enumerate() {
            let values: Vec<_> = values.iter().map(|(name, value)| ((*name).to_owned(), *value)).collect();
            logger.metrics(0, step as u64, &values).unwrap();
        }
        logger.finish(Status::Finished).unwrap();
        let text = std::fs::read_to_string(logger.path().unwrap()).unwrap();
        assert_eq!(text, "epoch,step,train/loss,val/loss\n0,0,1.5,\n0,1,,1e-05\n0,2,nan,\n");
    }
}
