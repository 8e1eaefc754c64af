//! The results of a sweep side by side: in the terminal, and as `results.csv`.

use std::path::Path;

use indexmap::IndexMap;
use serde_json::Value;

use super::journal::{Record, State};
use crate::error::{Error, Result};
use crate::run::write_derived;

/// One job's line.
#[derive(Clone, Debug)]
struct Line {
    job: usize,
    overrides: Vec<String>,
    status: &'static str,
    metrics: IndexMap<String, Value>,
    duration_s: f64,
    reason: Option<String>,
}

/// The lines of all jobs that have ended.
#[derive(Clone, Debug, Default)]
pub struct Table {
    lines: Vec<Line>,
    /// The metric that counts.
    objective: Option<String>,
}

impl Table {
    /// The table of all jobs that have ended, by number, whatever the order in which they did.
    pub fn of(records: &[Record], objective: Option<String>) -> Self {
        let ended = records.iter().filter(|record| record.state.is_settled() || record.state == State::Interrupted);
        let lines = ended.map(|record| Line {
            job: record.number,
            overrides: record.overrides.clone(),
            status: record.state.name(),
            metrics: record.metrics.clone(),
            duration_s: record.duration_s,
            reason: record.reason.clone(),
        });
        Table { lines: lines.collect(), objective }
    }

    /// The overrides in which jobs differ, in order of appearance.
    fn varied(&self) -> Vec<String> {
        let mut values: IndexMap<&str, Vec<&str>> = IndexMap::new();
        for line in &self.lines {
            for text in &line.overrides {
                let (key, value) = text.split_once('=').unwrap_or((text, ""));
                values.entry(key).or_default().push(value);
            }
        }
        let differs = |all: &[&str]| all.len() != self.lines.len() || all.iter().any(|value| *value != all[0]);
        let several = self.lines.len() > 1;
        values.iter().filter(|(_, all)| !several || differs(all)).map(|(key, _)| (*key).to_owned()).collect()
    }

    /// The metrics worth a column: the objective, else those of the test and the best of validation.
    fn shown_metrics(&self) -> Vec<String> {
        let names: indexmap::IndexSet<&String> = self.lines.iter().flat_map(|line| line.metrics.keys()).collect();
        let worth = |name: &str| name.ends_with("_best") || name.starts_with("test/");
        let mut shown: Vec<String> = self.objective.iter().cloned().collect();
        shown.extend(
            names.into_iter().filter(|name| worth(name) && !shown.contains(*name)).cloned().collect::<Vec<_>>(),
        );
        shown
    }

    fn override_of<'a>(line: &'a Line, key: &str) -> &'a str {
        let found = line.overrides.iter().filter_map(|text| text.split_once('=')).find(|(name, _)| *name == key);
        found.map_or("", |(_, value)| value)
    }

    /// The table as text, one line a job.
    pub fn text(&self) -> String {
        let (varied, metrics) = (self.varied(), self.shown_metrics());
        let short =
            |value: &Value| value.as_f64().map_or_else(|| value.as_str().unwrap_or("").into(), |v| format!("{v:.4}"));
        let mut rows = vec![
            ["job".to_owned()]
                .into_iter()
                .chain(varied.iter().cloned())
                .chain(metrics.iter().cloned())
                .chain(["time".into(), "status".into()])
                .collect::<Vec<_>>(),
        ];
        for line in &self.lines {
            let mut row = vec![line.job.to_string()];
            row.extend(varied.iter().map(|key| in_few_digits(Self::override_of(line, key))));
            row.extend(metrics.iter().map(|name| line.metrics.get(name).map(short).unwrap_or_default()));
            row.extend([format!("{:.1} s", line.duration_s), line.status.to_owned()]);
            rows.push(row);
        }
        let widths: Vec<usize> =
            (0..rows[0].len()).map(|i| rows.iter().map(|row| row[i].chars().count()).max().unwrap_or(0)).collect();
        let aligned = rows.iter().map(|row| {
            let cells = row.iter().zip(&widths).map(|(cell, width)| format!("{cell:width$}"));
            cells.collect::<Vec<_>>().join("  ").trim_end().to_owned()
        });
        aligned.collect::<Vec<_>>().join("\n")
    }

    /// Writes every parameter and metric of every job, whole or not at all.
    pub fn write_csv(&self, path: &Path) -> Result<()> {
        let keys: indexmap::IndexSet<&str> = self
            .lines
            .iter()
            .flat_map(|line| line.overrides.iter())
            .map(|text| text.split_once('=').map_or(text.as_str(), |(key, _)| key))
            .collect();
        let metrics: indexmap::IndexSet<&String> = self.lines.iter().flat_map(|line| line.metrics.keys()).collect();
        let mut writer = csv::Writer::from_writer(Vec::new());
        let failed = |error: csv::Error| Error::io("write", path, error);
        let header = ["job", "status", "duration_s"].into_iter().chain(keys.iter().copied());
        let header = header.chain(metrics.iter().map(|name| name.as_str())).chain(["reason"]);
        writer.write_record(header).map_err(failed)?;
        for line in &self.lines {
            let mut row = vec![line.job.to_string(), line.status.to_owned(), format!("{:.3}", line.duration_s)];
            row.extend(keys.iter().map(|key| Self::override_of(line, key).to_owned()));
            row.extend(metrics.iter().map(|name| match line.metrics.get(*name) {
                Some(Value::String(text)) => text.clone(),
                Some(value) => value.to_string(),
                None => String::new(),
            }));
            row.push(line.reason.clone().unwrap_or_default());
            writer.write_record(&row).map_err(failed)?;
        }
        let bytes = writer.into_inner().map_err(|error| Error::io("write", path, error.error()))?;
        write_derived(path, &bytes)
    }
}

/// A value for the terminal: a long number in few digits; `results.csv` has it whole.
fn in_few_digits(text: &str) -> String {
    match text.parse::<f64>() {
        Ok(value) if text.len() > 10 && value.is_finite() => super::view::short(value),
        _ => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::super::journal::{Entry, replay};
    use super::*;
    use serde_json::json;

    #[test]
    fn shows_what_differs_and_what_counts() {
        let asked = |job: usize, lr: &str| Entry {
            overrides: vec!["seed=1".into(), format!("lr={lr}")],
            ..Entry::now(job, State::Asked)
        };
        let mut finished = Entry { duration_s: Some(2.0), ..Entry::now(0, State::Finished) };
        finished.metrics.insert("val/acc".into(), json!(0.5));
        finished.metrics.insert("train/loss".into(), json!(1.0));
        let failed = Entry { duration_s: Some(2.0), reason: Some("too hot".into()), ..Entry::now(1, State::Failed) };
        let records = replay(&[asked(0, "0.1"), asked(1, "0.2"), failed, finished]).unwrap();
        let table = Table::of(&records, Some("val/acc".into()));
        assert_eq!(
            table.text(),
            "job  lr   val/acc  time   status\n0    0.1  0.5000   2.0 s  finished\n1    0.2           2.0 s  failed"
        );
        let dir = tempfile::tempdir().unwrap();
        table.write_csv(&dir.path().join("results.csv")).unwrap();
        let text = std::fs::read_to_string(dir.path().join("results.csv")).unwrap();
        assert_eq!(
            text,
            "job,status,duration_s,seed,lr,val/acc,train/loss,reason\n0,finished,2.000,1,0.1,0.5,1.0,\n1,failed,2.000,1,0.2,,,too hot\n"
        );
    }
}
