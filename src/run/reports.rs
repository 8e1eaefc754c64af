//! `reports.jsonl`: what a job says of itself while it runs, for a sweep that watches it.

use std::fs::OpenOptions;
use std::io::Write;
use std::path::Path;

use serde_json::{Map, Value, json};

use super::Results;

/// The file of a run's reports, one JSON object a line.
pub const REPORTS: &str = "reports.jsonl";

/// Appends the metrics at the end of an epoch (counted from 0).
pub fn append_report<'m>(folder: &Path, epoch: u64, step: u64, metrics: impl Iterator<Item = (&'m String, &'m f64)>) {
    let values: Map<String, Value> = metrics.map(|(name, value)| (name.clone(), Results::number(*value))).collect();
    let line = json!({ "epoch": epoch, "step": step, "values": values });
    // Whoever watches does without a line rather than the run ending for it.
    let file = OpenOptions::new().create(true).append(true).open(folder.join(REPORTS));
    let _ = file.and_then(|mut file| writeln!(file, "{line}"));
}
