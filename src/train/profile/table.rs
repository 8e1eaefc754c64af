//! The table of a profiler.

use std::time::Duration;

use indexmap::IndexMap;

/// The parts, longest first, below their total. Parts may lie within others, so that shares add up to more than all.
pub(super) fn table(parts: &IndexMap<String, (Duration, u64)>, total: Duration) -> String {
    let mut sorted: Vec<_> = parts.iter().collect();
    sorted.sort_by_key(|(_, (time, _))| std::cmp::Reverse(*time));
    let width = parts.keys().map(|name| name.chars().count()).max().unwrap_or(0).max(24);
    let calls: u64 = parts.values().map(|(_, calls)| calls).sum();
    let mut out = format!("{:width$} {:>12} {:>10} {:>10} {:>7}", "action", "mean (ms)", "calls", "total (s)", "share");
    out += &format!("\n{}", "─".repeat(width + 43));
    let seconds = total.as_secs_f64();
    out += &format!("\n{:width$} {:>12} {calls:>10} {seconds:>10.3} {:>6.1}%", "total", "", 100.0);
    for (name, (time, calls)) in sorted {
        let time = time.as_secs_f64();
        let mean = time * 1e3 / (*calls).max(1) as f64;
        let share = 100.0 * time / seconds.max(1e-9);
        out += &format!("\n{name:width$} {mean:>12.3} {calls:>10} {time:>10.3} {share:>6.1}%");
    }
    out
}
