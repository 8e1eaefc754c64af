//! What a run's loggers left in its folder: `metrics.csv` of the CSV logger, `metrics.jsonl` of JSON lines.

use std::path::{Path, PathBuf};

use indexmap::IndexMap;
use serde_json::{Map, Value};

/// A logged value.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Point {
    /// The optimizer step.
    pub step: u64,
    /// The epoch.
    pub epoch: u64,
    /// The value.
    pub value: f64,
}

/// All logged values by name, in order of first appearance; steps do not fall.
#[derive(Clone, Debug, Default)]
pub struct History {
    /// The series.
    pub series: IndexMap<String, Vec<Point>>,
}

impl History {
    /// Reads the values of a run. Several files (a run that went on) are joined: a later file's points replace
    /// earlier ones from its first step on. A file that cannot be read counts as empty.
    pub fn read(run: &Path) -> Self {
        let mut history = History::default();
        let mut files = Vec::new();
        find(run, 0, &mut files);
        // JSON lines repeat what a CSV file says.
        let has_csv = files.iter().any(|path| path.ends_with("metrics.csv"));
        for path in files.iter().filter(|path| path.ends_with("metrics.csv") == has_csv) {
            history.join(if has_csv { read_csv(path) } else { read_jsonl(path) });
        }
        history
    }

    fn join(&mut self, later: IndexMap<String, Vec<Point>>) {
        for (name, points) in later {
            let series = self.series.entry(name).or_default();
            let start = points.iter().map(|point| point.step).min().unwrap_or(u64::MAX);
            series.retain(|point| point.step < start);
            series.extend(points);
            series.sort_by_key(|point| point.step);
        }
    }
}

/// Folders of the run that hold no metrics of it.
const OTHER: &[&str] = &["checkpoints", ".hydra", "wandb", "tensorboard", "evaluation", "set_aside"];

fn find(folder: &Path, depth: usize, files: &mut Vec<PathBuf>) {
    let mut entries: Vec<_> = std::fs::read_dir(folder).into_iter().flatten().flatten().collect();
    entries.sort_by_key(std::fs::DirEntry::file_name);
    for entry in entries {
        let (path, name) = (entry.path(), entry.file_name().to_string_lossy().into_owned());
        if name == "metrics.csv" || name == "metrics.jsonl" {
            files.push(path);
        } else if path.is_dir() && depth < 3 && !OTHER.contains(&name.as_str()) && !path.join("run.json").is_file() {
            find(&path, depth + 1, files);
        }
    }
}

fn read_csv(path: &Path) -> IndexMap<String, Vec<Point>> {
    let mut series: IndexMap<String, Vec<Point>> = IndexMap::new();
    let Ok(mut reader) = csv::ReaderBuilder::new().flexible(true).from_path(path) else { return series };
    let Ok(head) = reader.headers().cloned() else { return series };
    let column = |name: &str| head.iter().position(|head| head == name);
    let (epoch, step) = (column("epoch"), column("step"));
    for row in reader.records().map_while(Result::ok) {
        let whole = |at: Option<usize>| at.and_then(|at| row.get(at)?.parse::<f64>().ok()).unwrap_or(0.0) as u64;
        let (epoch, step_now) = (whole(epoch), whole(step));
        for (name, cell) in head.iter().zip(&row) {
            if let (false, Ok(value)) = (name == "epoch" || name == "step", cell.parse()) {
                series.entry(name.to_owned()).or_default().push(Point { step: step_now, epoch, value });
            }
        }
    }
    series
}

fn read_jsonl(path: &Path) -> IndexMap<String, Vec<Point>> {
    let mut series: IndexMap<String, Vec<Point>> = IndexMap::new();
    let text = std::fs::read_to_string(path).unwrap_or_default();
    let rows = text.lines().filter_map(|line| serde_json::from_str::<Map<String, Value>>(line).ok());
    for row in rows.filter(|row| !row.contains_key("text")) {
        let whole = |name: &str| row.get(name).and_then(Value::as_u64).unwrap_or(0);
        let (epoch, step) = (whole("epoch"), whole("step"));
        for (name, value) in row.iter().filter(|(name, _)| !["epoch", "step", "time"].contains(&name.as_str())) {
            if let Some(value) = value.as_f64().or_else(|| value.as_str()?.parse().ok()) {
                series.entry(name.clone()).or_default().push(Point { step, epoch, value });
            }
        }
    }
    series
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_of_a_run_that_went_on_are_joined() {
        let dir = tempfile::tempdir().unwrap();
        for (version, text) in [
            ("version_0", "epoch,step,a\n0,0,1.0\n0,1,2.0\n0,2,3.0\n"),
            ("version_1", "epoch,step,a,b\n0,2,30.0,\n1,3,,nan\n"),
        ] {
            let folder = dir.path().join("csv").join(version);
            std::fs::create_dir_all(&folder).unwrap();
            std::fs::write(folder.join("metrics.csv"), text).unwrap();
        }
        std::fs::write(dir.path().join("metrics.jsonl"), "{\"step\":9,\"a\":9.0}\n").unwrap();
        // What a run had written before it began again.
        std::fs::create_dir_all(dir.path().join("set_aside/1/csv")).unwrap();
        std::fs::write(dir.path().join("set_aside/1/csv/metrics.csv"), "epoch,step,a\n0,0,7.0\n").unwrap();
        let history = History::read(dir.path());
        let values: Vec<f64> = history.series["a"].iter().map(|point| point.value).collect();
        assert_eq!(values, [1.0, 2.0, 30.0]);
        assert!(history.series["b"][0].value.is_nan() && history.series["b"][0].epoch == 1);
    }
}
