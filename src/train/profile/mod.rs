//! Where the time of a fit goes: Lightning's profilers.
//!
//! `simple` adds up named parts and shows a table; `advanced` also writes every part with its start as a trace that
//! chrome://tracing and Perfetto open. While off, a part costs one look at a flag.

mod arg;
mod table;
mod trace;

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use indexmap::IndexMap;
use schemars::JsonSchema;
use serde::Deserialize;

pub use arg::ProfilerArg;

use crate::error::Result;
use crate::registry::{Build, Component, Ignored, Kind};
use trace::Span;

/// The kind of profilers.
pub struct ProfilerKind;

impl Kind for ProfilerKind {
    type Built = Profiling;
    const NAME: &'static str = "profiler";
}

/// What a profiler measures and where its report goes.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Profiling {
    /// Whether to write a trace.
    pub trace: bool,
    /// The folder of its files; the run's when not given.
    pub dirpath: Option<PathBuf>,
    /// The name of its files, without ending.
    pub filename: Option<String>,
}

/// Adds up the time of the parts of a fit and shows a table: action, mean, calls, total, share.
///
/// Mirrors `lightning.pytorch.profilers.SimpleProfiler`. The table goes to the log, and with `filename` to
/// `fit-<filename>.txt`.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SimpleProfiler {
    /// The folder of the file; the run's when not given.
    #[serde(default)]
    pub dirpath: Option<PathBuf>,
    /// The name of the file; without one the table is only logged.
    #[serde(default)]
    pub filename: Option<String>,
    /// The table always has the mean, the calls, the total and the share.
    #[serde(default)]
    #[allow(dead_code, reason = "accepted for compatibility")]
    pub extended: Ignored,
}

/// The table of SimpleProfiler, and a trace of every part that chrome://tracing and <https://ui.perfetto.dev> open.
///
/// Takes the place of `lightning.pytorch.profilers.AdvancedProfiler`, whose per-function statistics are those of
/// Python. The trace is `trace.json` in the run folder, or `fit-<filename>.json`.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct AdvancedProfiler {
    /// The folder of the files; the run's when not given.
    #[serde(default)]
    pub dirpath: Option<PathBuf>,
    /// The name of the files.
    #[serde(default)]
    pub filename: Option<String>,
    /// For Python's profiler.
    #[serde(default)]
    #[allow(dead_code, reason = "accepted for compatibility")]
    pub line_count_restriction: Ignored,
    /// The trace is always written.
    #[serde(default)]
    #[allow(dead_code, reason = "accepted for compatibility")]
    pub dump_stats: Ignored,
}

impl Component for SimpleProfiler {
    type Kind = ProfilerKind;
    const TARGETS: &'static [&'static str] = &["lightning.pytorch.profilers.SimpleProfiler"];

    fn build(self, _: &mut Build) -> Result<Profiling> {
        Ok(Profiling { trace: false, dirpath: self.dirpath, filename: self.filename })
    }
}

impl Component for AdvancedProfiler {
    type Kind = ProfilerKind;
    const TARGETS: &'static [&'static str] = &["lightning.pytorch.profilers.AdvancedProfiler"];

    fn build(self, _: &mut Build) -> Result<Profiling> {
        Ok(Profiling { trace: true, dirpath: self.dirpath, filename: self.filename })
    }
}

/// Measures named parts; does nothing while off.
#[derive(Default)]
pub struct Profiler {
    recording: Option<Box<Recording>>,
}

struct Recording {
    profiling: Profiling,
    started: Instant,
    /// Time and number of calls of every part.
    parts: IndexMap<String, (Duration, u64)>,
    spans: Vec<Span>,
}

/// More spans than this are not kept: 48 MB, some hundred thousand steps.
const MOST_SPANS: usize = 2_000_000;

impl Profiler {
    /// A profiler that measures, or with `None` one that does nothing.
    pub fn new(profiling: Option<Profiling>) -> Self {
        let recording = profiling.map(|profiling| {
            Box::new(Recording { profiling, started: Instant::now(), parts: IndexMap::new(), spans: Vec::new() })
        });
        Profiler { recording }
    }

    /// The start of a part; `None` while off.
    pub fn start(&self) -> Option<Instant> {
        self.recording.as_ref().map(|_| Instant::now())
    }

    /// The end of the part that began at `start`.
    pub fn end(&mut self, part: &str, start: Option<Instant>) {
        if let (Some(recording), Some(start)) = (&mut self.recording, start) {
            recording.add(part, start);
        }
    }

    /// The end of a callback's hook.
    pub fn end_callback(&mut self, name: impl FnOnce() -> String, start: Option<Instant>) {
        if start.is_some() {
            self.end(&format!("callback {}", name()), start);
        }
    }

    /// Writes the files and gives the table, longest part first; `None` while off. Measuring starts anew.
    ///
    /// # Errors
    /// When a file cannot be written.
    pub fn report(&mut self, run_dir: Option<&Path>) -> Result<Option<String>> {
        let Some(recording) = &mut self.recording else { return Ok(None) };
        let total = recording.started.elapsed();
        let table = table::table(&recording.parts, total);
        let Profiling { trace, dirpath, filename } = &recording.profiling;
        if let Some(folder) = dirpath.as_deref().or(run_dir) {
            if let Some(name) = filename {
                crate::run::write_atomic(&folder.join(format!("fit-{name}.txt")), table.as_bytes())?;
            }
            if *trace {
                let name = filename.as_ref().map_or("trace.json".to_owned(), |name| format!("fit-{name}.json"));
                let path = folder.join(name);
                trace::write(&path, &recording.parts, &recording.spans)?;
                tracing::info!("trace for chrome://tracing or ui.perfetto.dev: {}", path.display());
                if recording.spans.len() == MOST_SPANS {
                    tracing::warn!("the trace holds the first {MOST_SPANS} parts; later ones are only in the table");
                }
            }
        }
        recording.parts.clear();
        recording.spans.clear();
        recording.started = Instant::now();
        Ok(Some(table))
    }
}

impl Recording {
    fn add(&mut self, part: &str, start: Instant) {
        let length = start.elapsed();
        let index = match self.parts.get_index_of(part) {
            Some(index) => index,
            None => self.parts.insert_full(part.to_owned(), (Duration::ZERO, 0)).0,
        };
        let (time, calls) = &mut self.parts[index];
        *time += length;
        *calls += 1;
        if self.profiling.trace && self.spans.len() < MOST_SPANS {
            let start = start.saturating_duration_since(self.started).as_micros() as u64;
            self.spans.push(Span { part: index as u32, start, length: length.as_micros() as u64 });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_while_on_and_is_silent_while_off() {
        for on in [true, false] {
            let mut profiler = Profiler::new(on.then(Profiling::default));
            for _ in 0..2 {
                let start = profiler.start();
                profiler.end("forward", start);
            }
            let start = profiler.start();
            profiler.end_callback(|| "Timer".into(), start);
            let table = profiler.report(None).unwrap();
            assert_eq!(table.is_some(), on);
            if let Some(table) = table {
                let calls = |part: &str| {
                    let line = table.lines().find(|line| line.starts_with(part)).unwrap();
                    line.trim_start_matches(part).split_whitespace().nth(1).unwrap().to_owned()
                };
                assert_eq!((calls("forward"), calls("callback Timer")), ("2".into(), "1".into()), "{table}");
            }
        }
    }

    #[test]
    fn a_trace_names_every_part_with_start_and_length() {
        let folder = tempfile::tempdir().unwrap();
        let mut profiler = Profiler::new(Some(Profiling { trace: true, ..Profiling::default() }));
        let outer = profiler.start();
        let inner = profiler.start();
        profiler.end("inner", inner);
        profiler.end("outer", outer);
        profiler.report(Some(folder.path())).unwrap();
        let text = std::fs::read_to_string(folder.path().join("trace.json")).unwrap();
        let trace: serde_json::Value = serde_json::from_str(&text).unwrap();
        let spans: Vec<_> = trace["traceEvents"].as_array().unwrap().iter().filter(|e| e["ph"] == "X").collect();
        let of = |name: &str| spans.iter().find(|event| event["name"] == name).unwrap();
        let (start, end) = (
            |e: &serde_json::Value| e["ts"].as_u64().unwrap(),
            |e: &serde_json::Value| e["ts"].as_u64().unwrap() + e["dur"].as_u64().unwrap(),
        );
        assert!(start(of("outer")) <= start(of("inner")) && end(of("inner")) <= end(of("outer")) + 1);
    }
}
