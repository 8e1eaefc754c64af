//! Finding runs: every folder with a `run.json` below a folder, also those of sweeps.

use std::fs::{File, TryLockError};
use std::path::{Path, PathBuf};

use serde_json::Value;

/// A run as its folder tells it.
#[derive(Clone, Debug)]
pub struct Found {
    /// Its folder.
    pub folder: PathBuf,
    /// The folder of the sweep that it belongs to.
    pub sweep: Option<PathBuf>,
    /// `finished`, `failed`, `interrupted`, `running`, or `killed`: said to be running, but no process is at work.
    pub status: String,
    /// `run.json`; null when it cannot be read.
    pub manifest: Value,
    /// `results.json`, of an unfinished run what is known so far; null when it cannot be read.
    pub results: Value,
    /// The overrides, as typed.
    pub overrides: Vec<String>,
}

/// No run lies deeper below the folder that is searched: `outputs/train/multirun/<date>/<time>/<job>`.
const DEEPEST: usize = 8;

/// The runs below `folder` (or `folder` itself), in order of their paths. A folder that cannot be read has none.
pub fn find_runs(folder: &Path) -> Vec<Found> {
    let mut runs = Vec::new();
    search(folder, None, 0, &mut runs);
    runs
}

fn search(folder: &Path, sweep: Option<&Path>, depth: usize, runs: &mut Vec<Found>) {
    if folder.join("run.json").is_file() {
        runs.push(look(folder, sweep));
        return;
    }
    let sweep = if folder.join("multirun.yaml").is_file() { Some(folder) } else { sweep };
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    // A link may lead in a circle.
    let is_folder = |entry: &std::fs::DirEntry| entry.file_type().is_ok_and(|kind| kind.is_dir());
    let mut folders: Vec<PathBuf> = entries.filter(is_folder).map(|entry| entry.path()).collect();
    folders.sort_by_key(|path| natural(path));
    for path in folders.into_iter().filter(|_| depth < DEEPEST) {
        let hidden = path.file_name().is_some_and(|name| name.to_string_lossy().starts_with('.'));
        if !hidden {
            search(&path, sweep, depth + 1, runs);
        }
    }
}

/// Jobs 2 and 10 in that order.
fn natural(path: &Path) -> (u64, String) {
    let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    (name.parse().unwrap_or(u64::MAX), name)
}

fn look(folder: &Path, sweep: Option<&Path>) -> Found {
    let json = |name: &str| {
        let bytes = std::fs::read(folder.join(name)).ok();
        bytes.and_then(|bytes| serde_json::from_slice(&bytes).ok()).unwrap_or(Value::Null)
    };
    let (manifest, mut results) = (json("run.json"), json("results.json"));
    let mut status = results["status"].as_str().unwrap_or("running").to_owned();
    if status == "running" {
        if !is_at_work(folder) {
            status = "killed".to_owned();
        }
        let mut known = super::so_far(folder, &manifest);
        // Of a run that is at work the time goes on.
        known.retain(|name, _| name != "duration_s" || status == "killed");
        match &mut results {
            Value::Object(results) => results.extend(known),
            results => *results = Value::Object(known),
        }
    }
    let overrides = crate::config::yaml::read(&folder.join(".hydra/overrides.yaml")).ok();
    let overrides = overrides.as_ref().and_then(crate::config::Node::as_list).unwrap_or_default();
    Found {
        folder: folder.to_owned(),
        sweep: sweep.map(Path::to_owned),
        status,
        manifest,
        results,
        overrides: overrides.iter().filter_map(|node| node.as_str().map(str::to_owned)).collect(),
    }
}

/// Whether a process holds the run's record open, see [`super::Events`].
pub fn is_at_work(folder: &Path) -> bool {
    let file = File::open(folder.join("events.jsonl"));
    file.is_ok_and(|file| matches!(file.try_lock_shared(), Err(TryLockError::WouldBlock)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn runs_of_sweeps_are_found_and_the_dead_told_from_the_living() {
        let base = tempfile::tempdir().unwrap();
        let add = |name: &str, status: &str| {
            let folder = base.path().join(name);
            std::fs::create_dir_all(&folder).unwrap();
            std::fs::write(folder.join("run.json"), "{}").unwrap();
            std::fs::write(folder.join("results.json"), format!("{{\"status\":\"{status}\"}}")).unwrap();
            folder
        };
        add("train/day/1", "finished");
        let alive = add("train/day/2", "running");
        let _events = crate::run::Events::open(&alive).unwrap();
        let dead = add("train/multirun/day/10", "running");
        drop(crate::run::Events::open(&dead).unwrap());
        add("train/multirun/day/9", "failed");
        std::fs::write(base.path().join("train/multirun/day/multirun.yaml"), "").unwrap();
        let found: Vec<(String, String, bool)> = find_runs(base.path())
            .into_iter()
            .map(|run| {
                let name = run.folder.strip_prefix(base.path()).unwrap().display().to_string();
                (name, run.status, run.sweep.is_some())
            })
            .collect();
        let expected = [
            ("train/day/1", "finished", false),
            ("train/day/2", "running", false),
            ("train/multirun/day/9", "failed", true),
            ("train/multirun/day/10", "killed", true),
        ];
        let expected = expected.map(|(name, status, in_sweep)| (name.to_owned(), status.to_owned(), in_sweep));
        assert_eq!(found, expected);
    }
}
