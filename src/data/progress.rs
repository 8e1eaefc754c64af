//! A progress bar for work on many files: on a terminal, after a second, and gone when the work is done.

use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

/// How far a piece of work is. May be advanced from several threads.
pub struct Progress {
    bar: ProgressBar,
    since: Instant,
}

/// Work that is over sooner shows no bar.
const PATIENCE: Duration = Duration::from_secs(1);

impl Progress {
    /// Work of `total` steps.
    pub fn new(what: &'static str, total: u64) -> Self {
        let bar = ProgressBar::with_draw_target(Some(total), ProgressDrawTarget::hidden());
        if let Ok(style) = ProgressStyle::with_template("{msg} {wide_bar} {pos}/{len} {per_sec} {eta}") {
            bar.set_style(style);
        }
        bar.set_message(what);
        Progress { bar, since: Instant::now() }
    }

    /// `steps` more are done.
    pub fn advance(&self, steps: u64) {
        if self.bar.is_hidden() && self.since.elapsed() > PATIENCE {
            // A draw target of stderr stays hidden by itself when stderr is no terminal.
            self.bar.set_draw_target(ProgressDrawTarget::stderr_with_hz(10));
        }
        self.bar.inc(steps);
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.bar.finish_and_clear();
    }
}
