//! What the terminal shows of a sweep: a line for every job that has ended, and, on a terminal, a table that moves
//! below it: what runs, the best so far, the time left.

use std::collections::HashMap;
use std::io::IsTerminal;
use std::path::Path;
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use super::journal::{Record, State};
use super::reports::{Follower, Report};

/// How often the moving part is drawn.
const DRAW_EVERY: Duration = Duration::from_millis(400);

/// The most running jobs that are shown one by one.
const SHOWN: usize = 16;

/// The terminal's view of a sweep.
pub struct View {
    /// Jobs write to the terminal themselves: only a line before and after each is printed.
    inline: bool,
    bar: Option<ProgressBar>,
    started: Instant,
    /// Jobs that had ended when this session began say nothing about its speed.
    ended_here: usize,
    running: HashMap<usize, Running>,
    drawn: Option<Instant>,
}

struct Running {
    since: Instant,
    follower: Follower,
    last: Option<Report>,
}

impl View {
    /// A view; `inline` when jobs write to the terminal themselves.
    pub fn new(inline: bool) -> Self {
        let moves = !inline && std::io::stderr().is_terminal();
        let bar = moves.then(|| {
            let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr_with_hz(5));
            bar.set_style(ProgressStyle::with_template("{msg}").unwrap_or_else(|_| ProgressStyle::default_spinner()));
            bar
        });
        View { inline, bar, started: Instant::now(), ended_here: 0, running: HashMap::new(), drawn: None }
    }

    /// A message between the jobs' lines.
    pub fn note(&self, text: &str) {
        self.print(text);
    }

    fn print(&self, line: &str) {
        match &self.bar {
            Some(bar) => bar.suspend(|| println!("{line}")),
            None => println!("{line}"),
        }
    }

    /// A job starts.
    pub fn started(&mut self, records: &[Record], number: usize) {
        if self.inline {
            self.print(&format!("\n[{}/{}] {}", number + 1, records.len(), what_is_its_own(records, number)));
        }
        self.running.insert(number, Running { since: Instant::now(), follower: Follower::default(), last: None });
    }

    /// A job has ended.
    pub fn ended(&mut self, records: &[Record], number: usize, objective: Option<&str>) {
        self.ended_here += 1;
        self.running.remove(&number);
        if self.inline {
            return;
        }
        let record = &records[number];
        let value = objective.and_then(|name| Some(format!("{name} {}", short(record.metrics.get(name)?.as_f64()?))));
        let reason = record.reason.as_deref().filter(|_| record.state != State::Finished);
        let parts = [
            Some(format!("#{number} {}", record.state.name())),
            Some(what_is_its_own(records, number)),
            value,
            Some(format!("{:.1} s", record.duration_s)),
            reason.map(|reason| reason.lines().next().unwrap_or_default().to_owned()),
        ];
        self.print(&parts.into_iter().flatten().filter(|part| !part.is_empty()).collect::<Vec<_>>().join("  "));
    }

    /// Draws the moving part anew, if it is time.
    pub fn tick(
        &mut self,
        records: &[Record],
        total: usize,
        best: Option<&str>,
        objective: Option<&str>,
        folder: &Path,
    ) {
        if self.bar.is_none() || self.drawn.is_some_and(|drawn| drawn.elapsed() < DRAW_EVERY) {
            return;
        }
        self.drawn = Some(Instant::now());
        for (number, running) in &mut self.running {
            if let Some(below) = &records[*number].folder {
                running.last = running.follower.poll(&folder.join(below)).pop().or(running.last.take());
            }
        }
        let width = usize::from(console::Term::stderr().size().1).max(20);
        let text = self.text(records, total, best, objective);
        let cut: Vec<_> = text.lines().map(|line| console::truncate_str(line, width - 1, "…")).collect();
        let text = cut.join("\n");
        if let Some(bar) = &self.bar {
            bar.set_message(text);
            bar.tick();
        }
    }

    /// The moving part.
    fn text(&self, records: &[Record], total: usize, best: Option<&str>, objective: Option<&str>) -> String {
        let count = |state: State| records.iter().filter(|record| record.state == state).count();
        let settled = records.iter().filter(|record| record.state.is_settled()).count();
        let mut head = vec![format!("{settled}/{total} jobs"), format!("{} running", self.running.len())];
        for (state, word) in [(State::Failed, "failed"), (State::Pruned, "pruned")] {
            if count(state) > 0 {
                head.push(format!("{} {word}", count(state)));
            }
        }
        head.extend(best.map(|best| format!("best {best}")));
        if self.ended_here > 0 {
            let each = self.started.elapsed().as_secs_f64() / self.ended_here as f64;
            let left = total.saturating_sub(settled) as f64 * each;
            head.push(format!("about {} left", duration(left)));
        }
        let mut lines = vec![head.join(" · ")];
        let mut running: Vec<_> = self.running.iter().collect();
        running.sort_by_key(|(number, _)| **number);
        for (number, job) in running.iter().take(SHOWN) {
            let mut line = format!("  #{number}  {}", what_is_its_own(records, **number));
            if let Some(report) = &job.last {
                line += &format!("  epoch {}", report.epoch + 1);
                let named = objective.and_then(|name| report.values.get_key_value(name));
                if let Some((name, value)) = named.or_else(|| report.values.first()) {
                    line += &format!("  {name} {}", short(*value));
                }
            }
            lines.push(format!("{line}  {}", duration(job.since.elapsed().as_secs_f64())));
        }
        if running.len() > SHOWN {
            lines.push(format!("  and {} more", running.len() - SHOWN));
        }
        lines.join("\n")
    }

    /// Takes the moving part away.
    pub fn close(&self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}

/// The overrides of a job that not all jobs have; all of them when there is nothing to tell it apart by.
fn what_is_its_own(records: &[Record], number: usize) -> String {
    let all = &records[number].overrides;
    let is_own = |text: &&String| records.iter().any(|record| !record.overrides.contains(text));
    let own: Vec<&str> = all.iter().filter(is_own).map(String::as_str).collect();
    if own.is_empty() { all.join(" ") } else { own.join(" ") }
}

/// A value in few digits.
pub fn short(value: f64) -> String {
    if value != 0.0 && (value.abs() < 1e-3 || value.abs() >= 1e5) {
        format!("{value:.3e}")
    } else {
        format!("{value:.4}")
    }
}

/// Seconds as a person says them.
pub fn duration(seconds: f64) -> String {
    match seconds {
        s if s < 60.0 => format!("{s:.0} s"),
        s if s < 3600.0 => format!("{} min {:02} s", s as u64 / 60, s as u64 % 60),
        s => format!("{} h {:02} min", s as u64 / 3600, s as u64 % 3600 / 60),
    }
}
