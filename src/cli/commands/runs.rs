//! `runner runs [DIR]`: the runs at a glance.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use indexmap::IndexMap;
use serde_json::{Value, json};

use crate::cli::compose::Request;
use crate::error::{Error, Result};
use crate::report::page::{duration, number};
use crate::run::{Found, find_runs};

/// Lists the runs; words of the form `key=value` keep those that were started with it.
///
/// # Errors
/// A folder that is not there; a key to sort by that no run has.
pub fn runs(request: &Request) -> Result<String> {
    let given = request.words.first().map(PathBuf::from);
    let folder = given.clone().unwrap_or_else(|| PathBuf::from("outputs"));
    if !folder.is_dir() {
        return Err(match given {
            Some(folder) => Error::request(format!("there is no folder {}", folder.display())),
            None => Error::request("there is no folder outputs here").help("runner runs DIR lists the runs below DIR"),
        });
    }
    let mut runs = find_runs(&folder);
    for filter in &request.overrides {
        runs.retain(|run| fits(run, filter));
    }
    let wanted = request.args.sort.as_deref();
    sort(&mut runs, wanted)?;
    if request.args.json {
        let list: Vec<Value> = runs.iter().map(|run| as_json(run, &folder)).collect();
        return Ok(serde_json::to_string_pretty(&list).unwrap_or_default());
    }
    if runs.is_empty() {
        return Ok(format!("no runs in {}", folder.display()));
    }
    let width = console::Term::stdout().size_checked().map(|(_, columns)| usize::from(columns));
    Ok(table(&runs, &folder, wanted, width, console::colors_enabled()))
}

/// `status=failed`, `sweep=true`, or an override as it was typed.
fn fits(run: &Found, filter: &str) -> bool {
    match filter.split_once('=') {
        Some(("status", status)) => run.status == status,
        Some(("command", command)) => run.manifest["command"] == command,
        Some(("sweep", "true")) => run.sweep.is_some(),
        Some(("sweep", "false")) => run.sweep.is_none(),
        _ => run.overrides.iter().any(|text| is_meant(text.trim_start_matches('+'), filter.trim_start_matches('+'))),
    }
}

/// `lr=0.1` means `model.optimizer.lr=0.1` too.
fn is_meant(text: &str, filter: &str) -> bool {
    text.strip_suffix(filter).is_some_and(|before| before.is_empty() || before.ends_with('.'))
}

/// The value of a key of a run: `started`, `duration`, `status`, `run`, `best`, or a metric.
fn value_of(run: &Found, key: &str) -> Value {
    match key {
        "started" => run.manifest["started"].clone(),
        "duration" => run.results["duration_s"].clone(),
        "status" => json!(run.status),
        "run" => json!(run.folder.display().to_string()),
        "best" => run.results["best"].clone(),
        "epochs" | "steps" => run.results[key].clone(),
        metric if run.results["monitor"] == metric => run.results["best"].clone(),
        metric => run.results["metrics"][metric].clone(),
    }
}

/// By when they were started, unless `-key` or `key` says otherwise; what has no value comes last.
fn sort(runs: &mut [Found], wanted: Option<&str>) -> Result<()> {
    let (key, down) =
        wanted.map_or(("started", false), |key| key.strip_prefix('-').map_or((key, false), |key| (key, true)));
    if wanted.is_some() && !runs.is_empty() && runs.iter().all(|run| value_of(run, key).is_null()) {
        let metrics = runs.iter().filter_map(|run| run.results["metrics"].as_object());
        let mut names: Vec<&String> = metrics.flat_map(serde_json::Map::keys).collect();
        names.sort();
        names.dedup();
        let names = names.into_iter().map(String::as_str).collect::<Vec<_>>().join(", ");
        return Err(Error::request(format!("no run has a value `{key}` to sort by")).help(format!(
            "one of run, started, duration, status, best, epochs, steps, {names}; `-{key}` turns the order"
        )));
    }
    runs.sort_by(|a, b| {
        let (a, b) = (value_of(a, key), value_of(b, key));
        let order = match (a.as_f64(), b.as_f64()) {
            (Some(a), Some(b)) => a.total_cmp(&b),
            _ => {
                return a.is_null().cmp(&b.is_null()).then_with(|| {
                    let order = a.as_str().cmp(&b.as_str());
                    if down { order.reverse() } else { order }
                });
            }
        };
        if down { order.reverse() } else { order }
    });
    Ok(())
}

/// How long it took, or has been running.
fn seconds(run: &Found) -> Option<f64> {
    let recorded = run.results["duration_s"].as_f64().filter(|seconds| *seconds > 0.0);
    let since = || {
        let started = chrono::DateTime::parse_from_rfc3339(run.manifest["started"].as_str()?).ok()?;
        let now = chrono::Utc::now().timestamp_millis();
        (run.status == "running").then(|| (now - started.timestamp_millis()) as f64 / 1000.0)
    };
    recorded.or_else(since)
}

fn name_of(run: &Found, base: &Path) -> String {
    let name = run.folder.strip_prefix(base).unwrap_or(&run.folder).display().to_string();
    if name.is_empty() { run.folder.display().to_string() } else { name }
}

fn as_json(run: &Found, base: &Path) -> Value {
    json!({
        "run": name_of(run, base),
        "path": run.folder.display().to_string(),
        "status": run.status,
        "reason": run.results["reason"],
        "command": run.manifest["command"],
        "started": run.manifest["started"],
        "duration_s": seconds(run),
        "cpu_s": run.results["cpu_s"],
        "peak_memory_mib": run.results["peak_memory_mib"],
        "epochs": run.results["epochs"],
        "steps": run.results["steps"],
        "monitor": run.results["monitor"],
        "best": run.results["best"],
        "best_checkpoint": run.results["best_checkpoint"],
        "metrics": run.results["metrics"],
        "overrides": run.overrides,
        "sweep": run.sweep.as_ref().map(|sweep| sweep.display().to_string()),
    })
}

/// The overrides that not all of these runs share, those that few have first: what tells the run from the others.
fn differing<'r>(runs: &'r [Found], run: &'r Found) -> Vec<&'r str> {
    let sharing = |text: &String| runs.iter().filter(|run| run.overrides.contains(text)).count();
    let mut told: Vec<_> = run.overrides.iter().map(|text| (sharing(text), text.as_str())).collect();
    told.retain(|(sharing, _)| runs.len() == 1 || *sharing < runs.len());
    told.sort_by_key(|(sharing, _)| *sharing);
    told.into_iter().map(|(_, text)| text).collect()
}

/// Which columns a list has beside the overrides.
struct Columns<'a> {
    /// The metric that all runs are judged by, when it is one.
    monitor: Option<&'a str>,
    /// A metric that the list is sorted by and that is not there otherwise.
    extra: Option<&'a str>,
}

impl<'a> Columns<'a> {
    fn of(runs: &'a [Found], sorted_by: Option<&'a str>) -> Self {
        let monitors: BTreeSet<&str> = runs.iter().filter_map(|run| run.results["monitor"].as_str()).collect();
        let monitor = monitors.first().copied().filter(|_| monitors.len() == 1);
        let fixed = ["run", "started", "duration", "status", "best", "epochs", "steps"];
        let extra = sorted_by.filter(|key| !fixed.contains(key) && Some(*key) != monitor);
        Columns { monitor, extra }
    }

    fn head(&self) -> Vec<String> {
        let best = self.monitor.map_or_else(|| "best".to_owned(), |name| format!("best {name}"));
        let names = ["run".to_owned(), "status".to_owned(), "time".to_owned(), best];
        names.into_iter().chain(self.extra.map(str::to_owned)).chain(["test".to_owned()]).collect()
    }

    fn row(&self, run: &Found, base: &Path) -> Vec<String> {
        let shown = |value: &Value| value.as_f64().map(number).or_else(|| value.as_str().map(str::to_owned));
        let mark = if run.sweep.is_some() { " *" } else { "" };
        let mut row = vec![format!("{}{mark}", name_of(run, base)), run.status.clone()];
        row.push(seconds(run).map(duration).unwrap_or_default());
        let best = shown(&run.results["best"]).unwrap_or_default();
        row.push(match (self.monitor, run.results["monitor"].as_str()) {
            (None, Some(monitor)) => format!("{monitor} {best}"),
            _ => best,
        });
        row.extend(self.extra.map(|key| shown(&value_of(run, key)).unwrap_or_default()));
        let metrics = run.results["metrics"].as_object().into_iter().flatten();
        let tests =
            metrics.filter_map(|(name, value)| Some(format!("{} {}", name.strip_prefix("test/")?, shown(value)?)));
        row.push(tests.take(2).collect::<Vec<_>>().join(" "));
        row
    }
}

/// The list. Where it is too wide for the terminal, results of tests are left out, and overrides go to a line of
/// their own.
fn table(runs: &[Found], base: &Path, sorted_by: Option<&str>, width: Option<usize>, colours: bool) -> String {
    /// The room that overrides need to stand beside the rest.
    const ROOM: usize = 36;
    let columns = Columns::of(runs, sorted_by.map(|key| key.trim_start_matches('-')));
    let rows: Vec<Vec<String>> = runs.iter().map(|run| columns.row(run, base)).collect();
    let head = columns.head();
    let wide = |at: usize| rows.iter().chain([&head]).map(|row| row[at].chars().count()).max().unwrap_or(0);
    // A column without a value tells nothing.
    let mut kept: Vec<usize> = (0..head.len()).filter(|at| rows.iter().any(|row| !row[*at].is_empty())).collect();
    let total = |kept: &[usize]| kept.iter().map(|at| wide(*at) + 2).sum::<usize>();
    if width.is_some_and(|width| total(&kept) > width + 2) {
        kept.retain(|at| head[*at] != "test");
    }
    let beside = width.is_none_or(|width| total(&kept) + ROOM <= width);
    let line = |row: &[String], last: &str| {
        let cells = kept.iter().map(|at| format!("{:width$}", row[*at], width = wide(*at)));
        let line = cells.chain([last.to_owned()]).collect::<Vec<_>>().join("  ");
        cut(line.trim_end(), width)
    };
    let differing: Vec<String> = runs.iter().map(|run| differing(runs, run).join(" ")).collect();
    let named = beside && differing.iter().any(|text| !text.is_empty());
    let mut lines = vec![line(&head, if named { "overrides" } else { "" })];
    for ((run, row), text) in runs.iter().zip(&rows).zip(&differing) {
        lines.push(coloured(&line(row, if beside { text } else { "" }), &run.status, colours));
        if !beside && !text.is_empty() {
            lines.push(console::style(cut(&format!("    {text}"), width)).dim().force_styling(colours).to_string());
        }
    }
    if runs.iter().any(|run| run.sweep.is_some()) {
        lines.push(cut("* a job of a sweep", width));
    }
    lines.extend((runs.len() > 1).then(|| cut(&summary(runs), width)));
    lines.join("\n")
}

/// How many runs there are of each status: `5 runs: 3 finished, 2 failed`.
fn summary(runs: &[Found]) -> String {
    let mut counts: IndexMap<&str, usize> = IndexMap::from([("finished", 0)]);
    runs.iter().for_each(|run| *counts.entry(run.status.as_str()).or_default() += 1);
    let counts: Vec<String> = counts.iter().map(|(status, count)| format!("{count} {status}")).collect();
    format!("{} runs: {}", runs.len(), counts.join(", "))
}

/// The line with its status in colour.
fn coloured(line: &str, status: &str, colours: bool) -> String {
    let style = match status {
        "finished" => console::Style::new().green(),
        "failed" => console::Style::new().red(),
        _ => console::Style::new().yellow(),
    };
    line.replacen(&format!(" {status}"), &format!(" {}", style.force_styling(colours).apply_to(status)), 1)
}

/// A line that fits.
fn cut(line: &str, width: Option<usize>) -> String {
    match width {
        Some(width) if line.chars().count() > width && width > 1 => line.chars().take(width - 1).chain(['…']).collect(),
        _ => line.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(name: &str, status: &str, value: Option<f64>, overrides: &[&str]) -> Found {
        Found {
            folder: PathBuf::from(format!("outputs/{name}")),
            sweep: name.contains("multirun").then(|| PathBuf::from("outputs/multirun")),
            status: status.into(),
            manifest: json!({ "started": format!("2026-01-01T00:00:0{}Z", name.len() % 10), "command": "train" }),
            results: json!({ "duration_s": 75.0, "monitor": value.map(|_| "val/loss"), "best": value, "metrics": {} }),
            overrides: overrides.iter().map(|text| (*text).to_owned()).collect(),
        }
    }

    #[test]
    fn what_differs_is_shown_and_lines_fit() {
        let mut runs = [
            run("a", "finished", Some(0.5), &["seed=1", "model=dense"]),
            run("multirun/0", "killed", None, &["seed=2", "model=dense"]),
        ];
        let text = table(&runs, Path::new("outputs"), None, None, false);
        let expected = [
            "run           status    time        best val/loss  overrides",
            "a             finished  1 min 15 s  0.5000         seed=1",
            "multirun/0 *  killed    1 min 15 s                 seed=2",
            "* a job of a sweep",
            "2 runs: 1 finished, 1 killed",
        ];
        assert_eq!(text.lines().collect::<Vec<_>>(), expected);
        let narrow = table(&runs, Path::new("outputs"), None, Some(50), false);
        let expected = ["a             finished  1 min 15 s  0.5000", "    seed=1"];
        assert_eq!(narrow.lines().skip(1).take(2).collect::<Vec<_>>(), expected);
        assert!(
            table(&runs, Path::new("outputs"), None, Some(20), false).lines().all(|line| line.chars().count() <= 20)
        );
        sort(&mut runs, Some("-best")).unwrap();
        assert_eq!(runs[1].status, "killed");
        assert!(sort(&mut runs, Some("nothing")).is_err());
        assert!(fits(&runs[0], "seed=1") && !is_meant("a.seed=1", "eed=1") && is_meant("a.seed=1", "seed=1"));
        assert!(fits(&runs[1], "status=killed") && !fits(&runs[1], "sweep=false"));
    }
}
