//! How far a run has come that has not told its end: one that still runs, or was killed.

use std::path::Path;
use std::time::UNIX_EPOCH;

use serde_json::{Map, Value, json};

use super::REPORTS;

/// What `results.json` would say by now: newest metrics, epochs, steps, the best monitored value, the time until the
/// last sign of life. Members that are not known are left out.
pub fn so_far(folder: &Path, manifest: &Value) -> Map<String, Value> {
    let mut results = Map::new();
    let text = std::fs::read_to_string(folder.join(REPORTS)).unwrap_or_default();
    let reports: Vec<Value> = text.lines().filter_map(|line| serde_json::from_str(line).ok()).collect();
    if let Some(last) = reports.last() {
        results.insert("metrics".into(), last["values"].clone());
        results.insert("epochs".into(), json!(last["epoch"].as_u64().unwrap_or(0) + 1));
        results.insert("steps".into(), last["step"].clone());
    }
    if let Some((monitor, largest)) = monitor(folder) {
        let values = reports.iter().filter_map(|report| report["values"][&monitor].as_f64());
        let best = values.reduce(|a, b| if (a > b) == largest { a } else { b });
        if let Some(best) = best {
            results.insert("monitor".into(), json!(monitor));
            results.insert("best".into(), json!(best));
        }
    }
    let started = manifest["started"].as_str().and_then(|text| chrono::DateTime::parse_from_rfc3339(text).ok());
    if let (Some(started), Some(last)) = (started, last_sign(folder)) {
        results.insert("duration_s".into(), json!((last - started.timestamp_millis() as f64 / 1000.0).max(0.0)));
    }
    results
}

/// What ModelCheckpoint watches, and whether the largest value is the best.
fn monitor(folder: &Path) -> Option<(String, bool)> {
    let entries: Value = serde_json::from_slice(&std::fs::read(folder.join("provenance.json")).ok()?).ok()?;
    let value = |path: &str| {
        let found = entries.as_array()?.iter().find(|entry| entry["path"] == path);
        found.and_then(|entry| entry["value"].as_str()).filter(|value| *value != "null")
    };
    let paths = entries.as_array()?.iter().filter_map(|entry| entry["path"].as_str());
    let mut checkpoints =
        paths.filter_map(|path| path.strip_prefix("callbacks.")?.strip_suffix(".monitor")).filter(|name| {
            value(&format!("callbacks.{name}._target_")).is_some_and(|target| target.ends_with("ModelCheckpoint"))
        });
    checkpoints.find_map(|name| {
        let mode = value(&format!("callbacks.{name}.mode")).unwrap_or("min");
        Some((value(&format!("callbacks.{name}.monitor"))?.to_owned(), mode == "max"))
    })
}

/// When the run last wrote something, in seconds since 1970.
fn last_sign(folder: &Path) -> Option<f64> {
    let files = [REPORTS, "events.jsonl", "runner.log", "timeline.jsonl", "metrics.jsonl"];
    let times = files.iter().filter_map(|name| folder.join(name).metadata().ok()?.modified().ok());
    times.max()?.duration_since(UNIX_EPOCH).ok().map(|since| since.as_secs_f64())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reports_tell_how_far_a_killed_run_came() {
        let dir = tempfile::tempdir().unwrap();
        let entry = |path: &str, value: &str| json!({ "path": path, "value": value });
        let entries = json!([
            entry("callbacks.stop._target_", "EarlyStopping"),
            entry("callbacks.stop.monitor", "val/loss"),
            entry("callbacks.keep._target_", "lightning.pytorch.callbacks.ModelCheckpoint"),
            entry("callbacks.keep.monitor", "val/acc"),
            entry("callbacks.keep.mode", "max"),
        ]);
        std::fs::write(dir.path().join("provenance.json"), entries.to_string()).unwrap();
        let line = |epoch: u64, acc: f64| json!({ "epoch": epoch, "step": epoch * 5, "values": { "val/acc": acc } });
        let lines = [line(0, 0.5), line(1, 0.75), line(2, 0.625)].map(|line| line.to_string()).join("\n");
        std::fs::write(dir.path().join(REPORTS), lines + "\n{\"ep").unwrap();
        let found = so_far(dir.path(), &json!({ "started": "2020-01-01T00:00:00Z" }));
        assert_eq!((&found["monitor"], &found["best"], &found["epochs"]), (&json!("val/acc"), &json!(0.75), &json!(3)));
        assert_eq!((&found["metrics"]["val/acc"], &found["steps"]), (&json!(0.625), &json!(10)));
        assert!(found["duration_s"].as_f64().unwrap() > 1e6);
        assert!(so_far(&dir.path().join("nothing"), &Value::Null).is_empty());
    }
}
