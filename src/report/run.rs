//! The page of one run.

use std::path::{Path, PathBuf};

use serde::Serialize;
use serde_json::Value;

use super::chart::{Chart, Curves, Mark, curves};
use super::evaluation::Evaluation;
use super::page::{Fact, Page, Section, Table, Tile, duration, number};
use super::provenance::Entry;
use super::story::{self, Phase};
use super::{History, Point, evaluation, provenance, timeline};
use crate::error::{Error, Result};
use crate::run::{so_far, write_atomic};

/// The page's file in a run folder.
const FILE: &str = "report.html";

#[derive(Serialize)]
struct Values {
    name: String,
    place: String,
    command: String,
    status: String,
    reason: Option<String>,
    line: Vec<Fact>,
    tiles: Vec<Tile>,
    metrics: Vec<Chart>,
    rates: Vec<Chart>,
    others: Vec<Chart>,
    values: Option<Table>,
    evaluations: Vec<Evaluation>,
    phases: Vec<Phase>,
    epochs: Option<Chart>,
    pace: Vec<Fact>,
    config: Vec<Entry>,
    config_text: String,
    checkpoints: Vec<Fact>,
    system: Vec<Fact>,
    warnings: Vec<String>,
}

/// Makes `report.html` of the run in `folder`; gives its path.
///
/// # Errors
/// A folder that is no run's; a page that cannot be written.
pub fn write(folder: &Path) -> Result<PathBuf> {
    if !folder.join("run.json").is_file() && !folder.join("results.json").is_file() {
        return Err(Error::request(format!("{} is not a run folder: it has no run.json", folder.display()))
            .help("give a folder such as outputs/train/2026-01-31/12-00-00; `runner runs` lists them"));
    }
    let values = values_of(folder);
    let mut sections = Vec::new();
    let mut add = |shown: bool, id, name| sections.extend(shown.then_some(Section { id, name }));
    let has_curves = !values.metrics.is_empty() || !values.rates.is_empty() || !values.others.is_empty();
    add(has_curves, "curves", "Curves");
    add(values.values.is_some(), "values", "Values");
    add(!values.evaluations.is_empty(), "evaluation", "Evaluation");
    let has_time = !values.phases.is_empty() || values.epochs.is_some();
    add(has_time, "time", "Time");
    add(!values.config.is_empty() || !values.config_text.is_empty(), "config", "Config");
    add(!values.checkpoints.is_empty(), "checkpoints", "Checkpoints");
    add(!values.system.is_empty(), "system", "System");
    add(!values.warnings.is_empty(), "warnings", "Warnings");
    let title = format!("{} {}", values.command, values.name);
    let page = Page { title: &title, template: include_str!("assets/run.html"), sections };
    let path = folder.join(FILE);
    write_atomic(&path, page.render(&values)?.as_bytes())?;
    Ok(path)
}

fn values_of(folder: &Path) -> Values {
    let (manifest, mut results) = (story::json(folder, "run.json"), story::json(folder, "results.json"));
    let status = story::status(folder, &results);
    if let ("running" | "killed", Value::Object(results)) = (status.as_str(), &mut results) {
        results.extend(so_far(folder, &manifest));
    }
    let mut history = History::read(folder);
    let epochs = timeline::read(folder);
    // What LearningRateMonitor logged is finer.
    if !history.series.keys().any(|name| name.starts_with("lr-")) {
        history.series.extend(timeline::rates(&epochs));
    }
    let best = best_point(&results, &history);
    let mark = best.map(|(monitor, at)| Mark { step: at.step, epoch: at.epoch, name: format!("best {monitor}") });
    let Curves { metrics, rates, others } = curves(&history, mark.as_ref());
    let config_text = std::fs::read_to_string(folder.join(".hydra/config.yaml")).unwrap_or_default();
    let folder = std::path::absolute(folder).unwrap_or_else(|_| folder.to_owned());
    Values {
        name: name_of(&folder),
        place: folder.display().to_string(),
        command: manifest["command"].as_str().unwrap_or("run").to_owned(),
        reason: results["reason"].as_str().map(str::to_owned),
        line: headline(&manifest, &results),
        tiles: tiles(&results, &history),
        values: values_table(&results, &history),
        metrics,
        rates,
        others,
        evaluations: evaluation::read(&folder),
        phases: story::phases(&folder),
        epochs: timeline::chart(&epochs),
        pace: timeline::facts(&epochs),
        config: provenance::read(&folder),
        config_text,
        checkpoints: story::checkpoints(&folder, results["best_checkpoint"].as_str()),
        system: story::system(&manifest),
        warnings: story::warnings(&folder),
        status,
    }
}

/// The end of the path: date and time, or the job's number below its sweep.
fn name_of(folder: &Path) -> String {
    let parts: Vec<_> = folder.components().rev().take(2).map(|part| part.as_os_str().to_string_lossy()).collect();
    parts.into_iter().rev().collect::<Vec<_>>().join(" / ")
}

fn headline(manifest: &Value, results: &Value) -> Vec<Fact> {
    let started = manifest["started"].as_str().and_then(|text| chrono::DateTime::parse_from_rfc3339(text).ok());
    let seconds = results["duration_s"].as_f64().filter(|seconds| *seconds > 0.0);
    let count = |name: &str| results[name].as_u64().filter(|count| *count > 0).map(|count| count.to_string());
    let facts = [
        ("started", started.map(|time| time.format("%Y-%m-%d %H:%M").to_string())),
        ("took", seconds.map(duration)),
        ("epochs", count("epochs")),
        ("steps", count("steps")),
        ("device", manifest["device"].as_str().map(str::to_owned)),
        ("seed", manifest["seed"].as_u64().map(|seed| seed.to_string())),
    ];
    let mut facts: Vec<Fact> = facts.into_iter().filter_map(|(name, value)| Some(Fact::new(name, value?))).collect();
    let command = story::command_line(manifest);
    if !command.is_empty() {
        facts.push(Fact { mono: true, ..Fact::new("command", command) });
    }
    facts
}

/// The monitored metric, and where it was best.
fn best_point<'r>(results: &'r Value, history: &History) -> Option<(&'r str, Point)> {
    let (monitor, best) = (results["monitor"].as_str()?, results["best"].as_f64()?);
    let point = history.series.get(monitor)?.iter().find(|point| point.value == best)?;
    Some((monitor, *point))
}

/// What the run is judged by: its best value, the results of the test, the last validation.
fn tiles(results: &Value, history: &History) -> Vec<Tile> {
    let mut tiles = Vec::new();
    let shown = |value: &Value| value.as_f64().map(number).or_else(|| value.as_str().map(str::to_owned));
    if let (Some(monitor), Some(value)) = (results["monitor"].as_str(), shown(&results["best"])) {
        let note = best_point(results, history).map(|(_, point)| format!("epoch {}, step {}", point.epoch, point.step));
        tiles.push(Tile { name: format!("best {monitor}"), value, note, best: true });
    }
    let metrics = results["metrics"].as_object();
    for split in ["test/", "val/", "train/"] {
        let of_split = metrics.into_iter().flatten().filter(|(name, _)| name.starts_with(split));
        let found = of_split
            .filter_map(|(name, value)| Some(Tile { name: name.clone(), value: shown(value)?, ..Tile::default() }));
        tiles.extend(found.take(8usize.saturating_sub(tiles.len())));
    }
    tiles
}

/// Every metric with its last, lowest and highest value.
fn values_table(results: &Value, history: &History) -> Option<Table> {
    let metrics = results["metrics"].as_object();
    let mut rows = Vec::new();
    for (name, points) in history.series.iter().filter(|(name, _)| !name.starts_with("lr-")) {
        let finite: Vec<_> = points.iter().filter(|point| point.value.is_finite()).collect();
        let low = finite.iter().min_by(|a, b| a.value.total_cmp(&b.value));
        let high = finite.iter().max_by(|a, b| a.value.total_cmp(&b.value));
        let shown = |point: Option<&&&super::Point>| {
            point.map_or([String::new(), String::new()], |point| [number(point.value), point.step.to_string()])
        };
        let last = points.last().map_or(String::new(), |point| number(point.value));
        let ([low, low_at], [high, high_at]) = (shown(low.as_ref()), shown(high.as_ref()));
        rows.push(vec![name.clone(), last, low, low_at, high, high_at, points.len().to_string()]);
    }
    for (name, value) in metrics.into_iter().flatten().filter(|(name, _)| !history.series.contains_key(*name)) {
        let value = value.as_f64().map_or_else(|| value.to_string(), number);
        let mut row = vec![name.clone(), value];
        row.resize(7, String::new());
        rows.push(row);
    }
    let head = ["metric", "last", "lowest", "at step", "highest", "at step", "points"].map(str::to_owned).to_vec();
    let numbers = vec![false, true, true, true, true, true, true];
    (!rows.is_empty()).then_some(Table { head, rows, numbers })
}
