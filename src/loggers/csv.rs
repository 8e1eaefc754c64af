//! `metrics.csv`, as Lightning's CSVLogger writes it.

use std::io::Write;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use super::version::{Version, prefixed, version_below};
use crate::config::{emit, text::py_float};
use crate::error::Error;
use crate::prelude::*;
use crate::run::write_atomic;
use crate::train::{At, HyperParameters, Logger, LoggerKind, Status};

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
    /// Write after so many rows; earlier when nothing more comes.
    #[serde(default = "hundred")]
    flush_logs_every_n_steps: u64,
}

fn lightning_logs() -> Option<String> {
    Some("lightning_logs".into())
}

fn hundred() -> u64 {
    100
}

impl Component for CsvLoggerArgs {
    type Kind = LoggerKind;
    const TARGETS: &'static [&'static str] = &[
        "lightning.pytorch.loggers.CSVLogger",
        "lightning.pytorch.loggers.csv_logs.CSVLogger",
        "pytorch_lightning.loggers.CSVLogger",
        "pytorch_lightning.loggers.csv_logs.CSVLogger",
    ];

    fn build(self, _: &mut Build) -> Result<Box<dyn Logger>> {
        let base = self.save_dir.join(self.name.unwrap_or_default());
        let version = version_below(&base, self.version);
        Ok(Box::new(CsvLogger::new(base, version, self.prefix, self.flush_logs_every_n_steps)))
    }
}

/// Writes rows of metrics; columns appear as their metrics do.
pub struct CsvLogger {
    base: PathBuf,
    version: String,
    file: PathBuf,
    prefix: String,
    flush_every: u64,
    columns: Vec<String>,
    written_columns: usize,
    rows: Vec<Vec<String>>,
    file_rows: usize,
}

impl CsvLogger {
    /// A logger that writes to the folder `version` below `base`; it is made with the first row.
    pub fn new(base: PathBuf, version: String, prefix: String, flush_every: u64) -> Self {
        let file = base.join(&version).join("metrics.csv");
        let columns = vec!["epoch".to_owned(), "step".to_owned()];
        CsvLogger {
            base,
            version,
            file,
            prefix,
            flush_every,
            columns,
            written_columns: 0,
            rows: Vec::new(),
            file_rows: 0,
        }
    }

    fn column(&mut self, name: &str) -> usize {
        let name = prefixed(&self.prefix, name);
        self.columns.iter().position(|column| *column == name).unwrap_or_else(|| {
            self.columns.push(name.into_owned());
            self.columns.len() - 1
        })
    }

    /// Rows as CSV text, filled up to the number of columns.
    fn table(&self, header: bool, rows: &[Vec<String>]) -> Result<Vec<u8>> {
        let mut writer = ::csv::Writer::from_writer(Vec::new());
        let failed = |error: ::csv::Error| Error::io("write", &self.file, error);
        if header {
            writer.write_record(&self.columns).map_err(failed)?;
        }
        for row in rows {
            let padding = std::iter::repeat_n("", self.columns.len().saturating_sub(row.len()));
            writer.write_record(row.iter().map(String::as_str).chain(padding)).map_err(failed)?;
        }
        writer.into_inner().map_err(|error| Error::io("write", &self.file, error.error()))
    }

    /// The first `rows` rows of the file.
    fn older(&self, rows: usize) -> Result<Vec<Vec<String>>> {
        if rows == 0 {
            return Ok(Vec::new());
        }
        let failed = |error: ::csv::Error| Error::io("read", &self.file, error);
        let mut reader = ::csv::Reader::from_path(&self.file).map_err(failed)?;
        let records = reader.records().take(rows);
        records.map(|row| Ok(row.map_err(failed)?.iter().map(str::to_owned).collect())).collect()
    }

    fn make_folder(&self) -> Result<()> {
        let folder = self.base.join(&self.version);
        std::fs::create_dir_all(&folder).map_err(|error| Error::io("create", &folder, error))
    }
}

impl Logger for CsvLogger {
    fn name(&self) -> &'static str {
        "CSVLogger"
    }

    fn params(&mut self, params: &HyperParameters) -> Result<()> {
        self.make_folder()?;
        let file = self.file.with_file_name("hparams.yaml");
        write_atomic(&file, emit::to_yaml(&params.config).as_bytes())
    }

    fn metrics(&mut self, at: At, values: &[(String, f64)]) -> Result<()> {
        let mut row = vec![at.epoch.to_string(), at.step.to_string()];
        for (name, value) in values {
            let column = self.column(name);
            if row.len() <= column {
                row.resize(column + 1, String::new());
            }
            row[column] = py_float(*value);
        }
        self.rows.push(row);
        if self.rows.len() as u64 >= self.flush_every.max(1) { self.flush() } else { Ok(()) }
    }

    fn flush(&mut self) -> Result<()> {
        if self.rows.is_empty() {
            return Ok(());
        }
        self.make_folder()?;
        if self.written_columns == self.columns.len() {
            let text = self.table(false, &self.rows)?;
            let file = std::fs::OpenOptions::new().append(true).open(&self.file);
            file.and_then(|mut file| file.write_all(&text)).map_err(|error| Error::io("write", &self.file, error))?;
        } else {
            // A new column changes the header: the file is written anew.
            let mut rows = self.older(self.file_rows)?;
            rows.extend(self.rows.iter().cloned());
            write_atomic(&self.file, &self.table(true, &rows)?)?;
            self.written_columns = self.columns.len();
        }
        self.file_rows += self.rows.len();
        self.rows.clear();
        Ok(())
    }

    fn finish(&mut self, _: Status) -> Result<()> {
        self.flush()
    }

    fn state(&self) -> Value {
        json!({ "version": self.version, "columns": self.columns, "rows": self.file_rows + self.rows.len() })
    }

    /// Goes on in the same file, cut to the rows that the checkpoint knows.
    fn restore(&mut self, state: &Value) -> Result<()> {
        let version = state["version"].as_str().unwrap_or_default();
        let file = self.base.join(version).join("metrics.csv");
        let columns: Option<Vec<String>> = serde_json::from_value(state["columns"].clone()).ok();
        let (Some(columns), Some(rows), true) = (columns, state["rows"].as_u64(), file.is_file()) else {
            return Ok(());
        };
        self.version = version.to_owned();
        self.file = file;
        let mut older = self.older(rows as usize)?;
        older.iter_mut().for_each(|row| row.truncate(columns.len()));
        self.columns = columns;
        self.written_columns = self.columns.len();
        self.file_rows = older.len();
        write_atomic(&self.file, &self.table(true, &older)?)
    }

    fn path(&self) -> Option<&Path> {
        Some(&self.file)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn logger(dir: &tempfile::TempDir, version: &str, flush_every: u64) -> CsvLogger {
        CsvLogger::new(dir.path().to_owned(), version.into(), String::new(), flush_every)
    }

    fn log(logger: &mut CsvLogger, steps: std::ops::Range<u64>) {
        for step in steps {
            let name = ["train/loss", "val/loss", "late"][(step as usize / 2).min(2)];
            logger.metrics(At::now(0, step), &[(name.to_owned(), step as f64)]).unwrap();
        }
    }

    fn text(dir: &tempfile::TempDir) -> String {
        std::fs::read_to_string(dir.path().join("version_0/metrics.csv")).unwrap()
    }

    #[test]
    fn columns_that_appear_later_are_empty_before() {
        let dir = tempfile::tempdir().unwrap();
        let mut logger = logger(&dir, "version_0", 1);
        let rows: [&[(&str, f64)]; 3] = [&[("train/loss", 1.5)], &[("val/loss", 0.00001)], &[("train/loss", f64::NAN)]];
        for (step, values) in rows.iter().enumerate() {
            let values: Vec<_> = values.iter().map(|(name, value)| ((*name).to_owned(), *value)).collect();
            logger.metrics(At::now(0, step as u64), &values).unwrap();
        }
        logger.finish(Status::Finished).unwrap();
        assert_eq!(text(&dir), "epoch,step,train/loss,val/loss\n0,0,1.5,\n0,1,,1e-05\n0,2,nan,\n");
    }

    #[test]
    fn a_resumed_run_ends_with_the_file_of_an_uninterrupted_one() {
        for (flush_every, lost) in [(1, 6), (3, 5), (100, 3)] {
            let (whole, killed) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
            let mut uninterrupted = logger(&whole, "version_0", flush_every);
            log(&mut uninterrupted, 0..8);
            uninterrupted.finish(Status::Finished).unwrap();

            let mut first = logger(&killed, "version_0", flush_every);
            log(&mut first, 0..3);
            first.flush().unwrap();
            let state = first.state();
            log(&mut first, 3..lost);
            drop(first);
            let mut second = logger(&killed, "version_1", flush_every);
            second.restore(&state).unwrap();
            log(&mut second, 3..8);
            second.finish(Status::Finished).unwrap();
            assert_eq!(text(&killed), text(&whole));
        }
    }
}
