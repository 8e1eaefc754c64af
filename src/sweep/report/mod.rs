//! `report.html` of a sweep: one file that needs nothing else, drawn by the browser from the data that it holds.

mod importance;

use std::path::Path;

use indexmap::IndexMap;
use serde_json::{Value, json};

use super::best::{Aim, front_of};
use super::journal::{Record, State};
use super::reports::read_all;
use crate::error::Result;
use crate::run::write_derived;
use importance::importance;

const PAGE: &str = include_str!("page.html");

/// The report's name in the sweep's folder.
pub const NAME: &str = "report.html";

/// A parameter's value in a job: a number where it is one.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Setting {
    Number(f64),
    Text(String),
}

impl Setting {
    fn read(text: &str) -> Self {
        match text.parse::<f64>() {
            Ok(value) if value.is_finite() => Setting::Number(value),
            _ => Setting::Text(text.to_owned()),
        }
    }

    fn json(&self) -> Value {
        match self {
            Setting::Number(value) => json!(value),
            Setting::Text(text) => json!(text),
        }
    }
}

/// Writes the report of the sweep in `folder`.
///
/// # Errors
/// When it cannot be written.
pub fn write(folder: &Path, records: &[Record], aims: &[Aim]) -> Result<()> {
    let aim = aims.first();
    let settings: Vec<IndexMap<String, Setting>> = records.iter().map(settings_of).collect();
    let varied = varied(&settings);
    let value = |record: &Record| aim.and_then(|aim| aim.value(record));
    let jobs: Vec<Value> = records
        .iter()
        .zip(&settings)
        .map(|(record, settings)| {
            let params: serde_json::Map<String, Value> =
                settings.iter().filter(|(name, _)| varied.contains(name)).map(|(n, s)| (n.clone(), s.json())).collect();
            json!({
                "n": record.number, "state": record.state.name(), "value": value(record), "params": params,
                "metrics": record.metrics, "duration": (record.duration_s * 1000.0).round() / 1000.0,
                "reason": record.reason, "link": link(folder, record), "curve": curve(folder, record, aim),
            })
        })
        .collect();
    let finished = records.iter().zip(&settings).filter(|(record, _)| record.state == State::Finished);
    let samples: Vec<(&IndexMap<String, Setting>, f64)> =
        finished.filter_map(|(record, settings)| Some((settings, value(record)?))).collect();
    let front: Vec<usize> =
        if aims.len() > 1 { front_of(records, aims).iter().map(|record| record.number).collect() } else { Vec::new() };
    let objectives: Vec<Value> = aims.iter().map(|aim| json!({ "metric": aim.metric, "more": aim.more })).collect();
    let name = folder.file_name().unwrap_or_default().to_string_lossy();
    let data = json!({
        "title": format!("Sweep {name}"),
        "written": chrono::Local::now().format("%Y-%m-%d %H:%M").to_string(),
        "metric": aim.map_or("", |aim| aim.metric.as_str()), "more": aim.is_some_and(|aim| aim.more),
        "params": varied, "jobs": jobs, "importance": importance(&samples, &varied),
        "objectives": objectives, "front": front,
    });
    // A text that closes the script element would end the data.
    let data = data.to_string().replace("</", "<\\/");
    write_derived(&folder.join(NAME), PAGE.replace("{{ data }}", &data).as_bytes())
}

fn settings_of(record: &Record) -> IndexMap<String, Setting> {
    let pairs = record.overrides.iter().filter_map(|text| text.split_once('='));
    pairs.map(|(key, value)| (key.trim_start_matches('+').to_owned(), Setting::read(value))).collect()
}

/// The parameters in which jobs differ, in order of appearance.
fn varied(settings: &[IndexMap<String, Setting>]) -> Vec<String> {
    let names: indexmap::IndexSet<&String> = settings.iter().flat_map(IndexMap::keys).collect();
    let first = settings.first();
    let differs = |name: &String| settings.iter().any(|job| job.get(name) != first.and_then(|first| first.get(name)));
    names.into_iter().filter(|name| differs(name)).cloned().collect()
}

/// The job's own report, or its folder.
fn link(folder: &Path, record: &Record) -> Option<String> {
    let below = record.folder.as_ref()?;
    let own = format!("{below}/{NAME}");
    Some(if folder.join(&own).is_file() { own } else { format!("{below}/") })
}

/// The metric by epoch. A best-so-far metric has the curve that its name without `_best` has.
fn curve(folder: &Path, record: &Record, aim: Option<&Aim>) -> Vec<(u64, f64)> {
    let (Some(aim), Some(below)) = (aim, &record.folder) else { return Vec::new() };
    let plain = super::conduct::followed(&aim.metric);
    let mut points = std::collections::BTreeMap::new();
    for report in read_all(&folder.join(below)) {
        // An epoch that was done again after a resume counts as it was done last.
        if let Some(value) = report.values.get(plain).or_else(|| report.values.get(&aim.metric)) {
            points.insert(report.epoch, *value);
        }
    }
    points.into_iter().collect()
}
