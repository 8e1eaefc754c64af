//! The trace file of a profiler: Chrome's trace event format, complete events (`"ph": "X"`) in microseconds.
//! <https://docs.google.com/document/d/1CvAClvFfyA5R-PhYUmn5OOQtYMH4h6I0nSsKchNAySU>

use std::io::Write;
use std::path::Path;
use std::time::Duration;

use indexmap::IndexMap;

use crate::error::Result;
use crate::run;

/// One call of a part.
pub(super) struct Span {
    /// Its index among the parts.
    pub part: u32,
    /// Microseconds after the profiler's start.
    pub start: u64,
    /// Microseconds.
    pub length: u64,
}

/// The colour group of a part, by which a viewer can filter.
fn category(part: &str) -> &'static str {
    match part {
        _ if part.starts_with("callback") => "callback",
        "waiting for data" | "to device" => "data",
        "logging" | "checkpoint" => "output",
        "validation" => "evaluation",
        _ => "training",
    }
}

/// Writes the trace.
pub(super) fn write(path: &Path, parts: &IndexMap<String, (Duration, u64)>, spans: &[Span]) -> Result<()> {
    let named: Vec<String> = parts
        .keys()
        .map(|part| format!("\"name\":{},\"cat\":\"{}\"", serde_json::Value::from(part.as_str()), category(part)))
        .collect();
    run::write_atomic_with(path, |out| {
        write!(out, "{{\"displayTimeUnit\":\"ms\",\"traceEvents\":[")?;
        let meta = |name: &str, value: &str| {
            format!("{{\"ph\":\"M\",\"pid\":1,\"tid\":1,\"name\":\"{name}\",\"args\":{{\"name\":\"{value}\"}}}}")
        };
        write!(out, "\n{},\n{}", meta("process_name", "runner"), meta("thread_name", "training"))?;
        for span in spans {
            let Span { part, start, length } = span;
            let named = &named[*part as usize];
            write!(out, ",\n{{\"ph\":\"X\",\"pid\":1,\"tid\":1,{named},\"ts\":{start},\"dur\":{length}}}")?;
        }
        writeln!(out, "\n]}}")
    })
}
