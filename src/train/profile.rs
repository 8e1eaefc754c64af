//! Where the time of a fit went: Lightning's `profiler: simple`.

use std::time::{Duration, Instant};

use indexmap::IndexMap;

/// Adds up the time of named parts; does nothing while off.
#[derive(Debug, Default)]
pub struct Profiler {
    on: bool,
    parts: IndexMap<String, (Duration, u64)>,
}

impl Profiler {
    /// A profiler that measures, or one that does nothing.
    pub fn new(on: bool) -> Self {
        Profiler { on, parts: IndexMap::new() }
    }

    /// The start of a part; `None` while off.
    pub fn start(&self) -> Option<Instant> {
        self.on.then(Instant::now)
    }

    /// The end of the part that began at `start`.
    pub fn end(&mut self, part: &'static str, start: Option<Instant>) {
        if start.is_some() {
            self.end_named(part.to_owned(), start);
        }
    }

    fn end_named(&mut self, part: String, start: Option<Instant>) {
        if let Some(start) = start {
            let (time, count) = self.parts.entry(part).or_default();
            *time += start.elapsed();
            *count += 1;
        }
    }

    /// The end of a callback's hook.
    pub fn end_callback(&mut self, name: impl FnOnce() -> String, start: Option<Instant>) {
        if start.is_some() {
            self.end_named(format!("callback {}", name()), start);
        }
    }

    /// The table, longest part first; `None` while off.
    pub fn table(&self, total: Duration) -> Option<String> {
        if !self.on {
            return None;
        }
        let mut parts: Vec<_> = self.parts.iter().collect();
        parts.sort_by_key(|(_, (time, _))| std::cmp::Reverse(*time));
        let mut out = format!("{:24} {:>12} {:>10} {:>10} {:>7}", "part", "mean (ms)", "calls", "total (s)", "share");
        for (name, (time, count)) in parts {
            let mean = time.as_secs_f64() * 1e3 / (*count).max(1) as f64;
            let share = 100.0 * time.as_secs_f64() / total.as_secs_f64().max(1e-9);
            out += &format!("\n{name:24} {mean:>12.3} {count:>10} {:>10.3} {share:>6.1}%", time.as_secs_f64());
        }
        Some(out)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_while_on_and_is_silent_while_off() {
        for on in [true, false] {
            let mut profiler = Profiler::new(on);
            let start = profiler.start();
            profiler.end("forward", start);
            let start = profiler.start();
            profiler.end("forward", start);
            assert_eq!(profiler.table(Duration::from_secs(1)).is_some(), on);
            assert_eq!(profiler.parts.get("forward").map(|(_, count)| *count), on.then_some(2));
        }
    }
}
