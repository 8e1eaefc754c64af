//! What a run's own files tell: what was started, how it ended, when what happened, what it left.

use std::path::Path;

use serde::Serialize;
use serde_json::Value;

use super::page::{Fact, duration, size};

/// Reads a JSON file of a run; null when it is not there or no JSON.
pub fn json(run: &Path, name: &str) -> Value {
    std::fs::read(run.join(name)).ok().and_then(|bytes| serde_json::from_slice(&bytes).ok()).unwrap_or(Value::Null)
}

/// How the run is; `killed` when it is said to be running but no process is at work.
pub fn status(run: &Path, results: &Value) -> String {
    match results["status"].as_str() {
        None | Some("running") if !crate::run::is_at_work(run) => "killed".to_owned(),
        status => status.unwrap_or("running").to_owned(),
    }
}

/// A stretch of the run.
#[derive(Clone, Debug, Serialize)]
pub struct Phase {
    name: String,
    /// How long, as people say it.
    time: String,
    /// The share of the whole, in percent.
    share: f64,
    color: usize,
}

/// The stretches between the run's events. A run that went on counts only the time in which it ran.
pub fn phases(run: &Path) -> Vec<Phase> {
    let text = std::fs::read_to_string(run.join("events.jsonl")).unwrap_or_default();
    let events: Vec<(String, f64)> = text
        .lines()
        .filter_map(|line| {
            let event: Value = serde_json::from_str(line).ok()?;
            let time = chrono::DateTime::parse_from_rfc3339(event["time"].as_str()?).ok()?;
            Some((event["event"].as_str()?.to_owned(), time.timestamp_millis() as f64 / 1000.0))
        })
        .collect();
    let mut spans: Vec<(&str, f64)> = Vec::new();
    for pair in events.windows(2) {
        let name = match pair[0].0.as_str() {
            "started" => "setting up",
            "fit" => "training and validation",
            "test" => "test",
            _ => continue,
        };
        let seconds = (pair[1].1 - pair[0].1).max(0.0);
        match spans.iter_mut().find(|(known, _)| *known == name) {
            Some(span) => span.1 += seconds,
            None => spans.push((name, seconds)),
        }
    }
    let whole: f64 = spans.iter().map(|(_, seconds)| seconds).sum();
    let phase = |(color, (name, seconds)): (usize, (&str, f64))| Phase {
        name: name.to_owned(),
        time: duration(seconds),
        share: seconds / whole.max(1e-9) * 100.0,
        color,
    };
    spans.into_iter().enumerate().map(phase).collect()
}

/// The machine, the versions and the code, from `run.json`.
pub fn system(manifest: &Value) -> Vec<Fact> {
    let text = |value: &Value| value.as_str().filter(|text| !text.is_empty()).map(str::to_owned);
    let host = &manifest["host"];
    let mut facts = Vec::new();
    let mut add = |name: &str, value: Option<String>| facts.extend(value.map(|value| Fact::new(name, value)));
    add("Machine", text(&host["name"]));
    add("System", text(&host["os"]));
    let cores = host["cores"].as_u64().map(|cores| format!("{cores} cores"));
    let cpu = [text(&host["cpu"]), cores].into_iter().flatten().collect::<Vec<_>>();
    add("Processor", (!cpu.is_empty()).then(|| cpu.join(", ")));
    add("Memory", host["memory_bytes"].as_u64().filter(|bytes| *bytes > 0).map(size));
    add("Device", text(&manifest["device"]));
    for (name, version) in manifest["versions"].as_object().into_iter().flatten() {
        add(name, text(version));
    }
    add("Seed", manifest["seed"].as_u64().map(|seed| seed.to_string()));
    let git = &manifest["git"];
    let changed = if git["dirty"] == true { ", with changes that are not committed" } else { "" };
    let branch = text(&git["branch"]).map_or(String::new(), |branch| format!(" on {branch}"));
    add("Commit", text(&git["commit"]).map(|commit| format!("{}{branch}{changed}", &commit[..commit.len().min(12)])));
    add("Folder", text(&manifest["cwd"]));
    facts
}

/// What was typed, as a shell would take it.
pub fn command_line(manifest: &Value) -> String {
    let words = manifest["argv"].as_array().into_iter().flatten().filter_map(Value::as_str);
    let quoted = |(i, word): (usize, &str)| {
        let word =
            if i == 0 { Path::new(word).file_name().map_or(word, |name| name.to_str().unwrap_or(word)) } else { word };
        let plain = |c: char| c.is_ascii_alphanumeric() || "-_=./:,@%+".contains(c);
        if word.chars().all(plain) { word.to_owned() } else { format!("'{}'", word.replace('\'', "'\\''")) }
    };
    words.enumerate().map(quoted).collect::<Vec<_>>().join(" ")
}

/// The checkpoints, as links.
pub fn checkpoints(run: &Path, best: Option<&str>) -> Vec<Fact> {
    let mut files: Vec<_> = std::fs::read_dir(run.join("checkpoints")).into_iter().flatten().flatten().collect();
    files.sort_by_key(std::fs::DirEntry::file_name);
    let link = |file: std::fs::DirEntry| {
        let name = file.file_name().to_string_lossy().into_owned();
        let href = format!("checkpoints/{name}");
        let bytes = file.metadata().ok().filter(std::fs::Metadata::is_file)?.len();
        let note = if best == Some(href.as_str()) { "  (best)" } else { "" };
        Some(Fact { name: format!("{}{note}", size(bytes)), value: name, href: Some(href), mono: true })
    };
    files
        .into_iter()
        .filter(|file| file.path().extension().is_some_and(|ending| ending == "ckpt"))
        .filter_map(link)
        .collect()
}

/// The last warnings and errors of the run's log.
pub fn warnings(run: &Path) -> Vec<String> {
    const MOST: usize = 60;
    let text = std::fs::read_to_string(run.join("runner.log")).unwrap_or_default();
    let serious = |line: &&str| line.contains(" WARN ") || line.contains(" ERROR ");
    let lines: Vec<String> = text.lines().filter(serious).map(str::to_owned).collect();
    lines[lines.len().saturating_sub(MOST)..].to_vec()
}
