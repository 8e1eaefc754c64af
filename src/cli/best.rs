//! `runner best SWEEP`: the best job of a sweep, and its overrides as an experiment file.

use std::path::Path;
use std::sync::Arc;

use super::compose::Request;
use super::diff::config_of;
use crate::config::overrides::{self, Op};
use crate::config::{Key, Map, Node, Source, SourceKind, Value, emit, yaml};
use crate::error::{Error, Result};
use crate::plan::layout;
use crate::run::{Results, write_atomic};
use crate::sweep::{Aim, Journal, Record, best_of, front_of, replay};

/// The best job of the sweep in a folder, with what it was found by.
pub struct Best {
    /// The job.
    pub record: Record,
    /// Its value.
    pub value: f64,
    /// What the sweep was after, first of all.
    pub aim: Aim,
    /// With several aims: the jobs that no other one beats in all of them.
    pub front: Vec<Record>,
    /// How many jobs there are.
    pub jobs: usize,
}

/// Finds the best job of the sweep in `folder`.
///
/// # Errors
/// When the folder is no sweep's, the sweep names no metric, or no job has finished.
pub fn find(folder: &Path) -> Result<Best> {
    if !folder.join(Journal::NAME).is_file() {
        return Err(Error::request(format!("{} is not the folder of a sweep", folder.display()))
            .help("it has no trials.jsonl; sweeps lie in outputs/<command>/multirun/<date>/<time>"));
    }
    let records = replay(&Journal::read(folder)?)?;
    let aims = aims_of(folder)?;
    let aim = aims.first().cloned().ok_or_else(|| {
        Error::request("the sweep names no metric to judge by").help("say which: optimized_metric=val/loss")
    })?;
    match best_of(&records, &aim) {
        Some((record, value)) => {
            let front = if aims.len() > 1 { front_of(&records, &aims) } else { Vec::new() };
            let front = front.into_iter().cloned().collect();
            Ok(Best { record: record.clone(), value, jobs: records.len(), aim, front })
        }
        None => Err(Error::failed(format!("no job of the sweep has finished with {}", aim.metric))),
    }
}

/// Whether the sweep's jobs are `runner objective`, whose metric has one name.
fn computes(folder: &Path) -> bool {
    let definition = std::fs::read(folder.join(".sweep/sweep.json")).ok();
    let definition: Option<serde_json::Value> = definition.and_then(|bytes| serde_json::from_slice(&bytes).ok());
    definition.is_some_and(|definition| definition["free"][0] == "objective")
}

/// What the sweep in `folder` is after, as its `multirun.yaml` says.
pub fn aims_of(folder: &Path) -> Result<Vec<Aim>> {
    let path = folder.join("multirun.yaml");
    let text = std::fs::read_to_string(&path).map_err(|error| Error::io("read", &path, error))?;
    let config = yaml::parse(Arc::new(Source { kind: SourceKind::File(path), text }))?;
    let texts = |key: &str| -> Vec<String> {
        match config.select(key).map(|node| (&node.value, node)) {
            Some((Value::List(list), _)) => list.iter().filter_map(Node::as_str).map(str::to_owned).collect(),
            Some((_, node)) => node.as_str().map(str::to_owned).into_iter().collect(),
            None => Vec::new(),
        }
    };
    let mut metrics = texts("optimized_metric");
    if metrics.is_empty() && computes(folder) {
        metrics.push("objective".to_owned());
    }
    if metrics.is_empty() {
        metrics.extend(layout::objective(&config).map(str::to_owned));
    }
    let mut directions = texts("hydra.sweeper.direction");
    // Ax says it with a truth value.
    if let Some(Value::Bool(minimize)) = config.select("hydra.sweeper.ax_config.experiment.minimize").map(|n| &n.value)
    {
        directions = vec![if *minimize { "minimize" } else { "maximize" }.to_owned()];
    }
    let of = |(i, metric): (usize, &String)| Aim::of(metric, directions.get(i).map(String::as_str));
    Ok(metrics.iter().enumerate().map(of).collect())
}

/// Answers `runner best`.
pub fn best(request: &Request) -> Result<String> {
    let folder = Path::new(&request.words[0]);
    let best = find(folder)?;
    let run = folder.join(best.record.folder.as_deref().unwrap_or_default());
    let Best { record, value, aim, jobs, front } = &best;
    let mut lines =
        vec![format!("the best of {jobs} jobs: #{}, {} {value} ({})", record.number, aim.metric, aim.words())];
    lines.extend(record.overrides.iter().map(|text| format!("  {text}")));
    lines.push(format!("{}", run.display()));
    if let Some(path) = Results::read(&run).ok().and_then(|results| results.best_checkpoint) {
        lines.push(format!("best checkpoint: {}", run.join(path).display()));
    }
    if !front.is_empty() {
        lines.push("the Pareto front:".to_owned());
        lines.extend(front.iter().map(|record| format!("  #{} {}", record.number, record.overrides.join(" "))));
    }
    if let Some(path) = &request.args.copy_config {
        let text = experiment(request, folder, &best, path)?;
        if path.exists() {
            return Err(Error::request(format!("{} exists already", path.display())).help("choose another name"));
        }
        if let Some(parent) = path.parent() {
            std::fs::create_dir_all(parent).map_err(|error| Error::io("create", parent, error))?;
        }
        write_atomic(path, text.as_bytes())?;
        lines.push(format!("written: {}", path.display()));
    }
    Ok(lines.join("\n"))
}

/// The winner's overrides as a file of the group `experiment`.
fn experiment(request: &Request, folder: &Path, best: &Best, path: &Path) -> Result<String> {
    let Best { record, value, aim, .. } = best;
    let config = config_of(&folder.join(record.folder.as_deref().unwrap_or_default()))?;
    let (mut choices, mut values, mut unsaid) = (Vec::new(), Map::new(), Vec::new());
    for parsed in overrides::parse_all(&record.overrides)? {
        let is_group =
            !parsed.is_path && (parsed.key.contains('/') || request.composer().sources().is_group(&parsed.key));
        let text = &parsed.source.text;
        if parsed.op == Op::Delete {
            unsaid.push(text.clone());
        } else if is_group {
            let at = parsed.package.as_ref().map_or_else(String::new, |package| format!("@{package}"));
            let chosen = text.split_once('=').map_or("", |(_, chosen)| chosen);
            let word = if parsed.op == Op::Set { "override /" } else { "/" };
            choices.push(format!("  - {word}{}{at}: {chosen}", parsed.key));
        } else if let Some(node) = config.select(&parsed.parts.join(".")) {
            insert(&mut values, &parsed.parts, node.clone());
        }
    }
    let name = path.file_stem().unwrap_or_default().to_string_lossy();
    let mut lines = vec![
        "# @package _global_".to_owned(),
        String::new(),
        format!("# The best job of {}: #{}, {} {value}.", folder.display(), record.number, aim.metric),
        format!("# runner train experiment={name}"),
    ];
    lines.extend(unsaid.iter().map(|text| format!("# A file cannot say `{text}`: add it on the command line.")));
    if !choices.is_empty() {
        lines.push("defaults:".to_owned());
        lines.append(&mut choices);
        lines.push("  - _self_".to_owned());
    }
    let values = if values.is_empty() { String::new() } else { emit::to_yaml(&Node::program(values)) };
    Ok(format!("{}\n\n{values}", lines.join("\n")))
}

/// Puts a value at a path of nested mappings.
fn insert(map: &mut Map, parts: &[String], node: Node) {
    match parts {
        [] => {}
        [last] => drop(map.insert(Key::from(last.as_str()), node)),
        [first, rest @ ..] => {
            let inner = map.entry(Key::from(first.as_str())).or_insert_with(|| Node::program(Map::new()));
            if !matches!(inner.value, Value::Map(_)) {
                *inner = Node::program(Map::new());
            }
            if let Some(inner) = inner.as_map_mut() {
                insert(inner, rest, node);
            }
        }
    }
}
