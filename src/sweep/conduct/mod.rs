//! Conducting a sweep: starts jobs while there is room, takes in how they ended, until nothing is missing.
//!
//! The journal is written before and after each step, so that a sweep that is killed anywhere goes on where it was.

mod watch;

pub(super) use watch::followed;

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use super::best::{Aim, best_of};
use super::journal::{Entry, Journal, Record, State};
use super::launchers::{Ended, Exit, Job, Launcher, Stop};
use super::optuna::OptunaJournal;
use super::reports::Follower;
use super::search::{Ask, Search};
use super::table::Table;
use super::trial::{Direction, Trial, TrialState};
use super::view::{View, short};
use crate::error::{Error, Result};
use crate::run::Results;

/// How long the launcher is waited for before the view and Ctrl-C are looked at again.
const TICK: Duration = Duration::from_millis(100);

/// What a sweep needs of the program around it.
pub trait Program {
    /// Composes and checks a job; gives its folder below the sweep's.
    ///
    /// # Errors
    /// When the job's config cannot be right.
    fn folder(&self, number: usize, overrides: &[String]) -> Result<String>;

    /// Whether the user has asked to stop.
    fn is_interrupted(&self) -> bool;
}

/// A sweep under way.
pub struct Conductor<'a> {
    /// The sweep's folder, absolute.
    pub folder: PathBuf,
    /// The metrics that count, the first above all.
    pub objectives: Vec<String>,
    /// What asks for jobs beyond those that are there, and stops those that do not look promising.
    pub search: Option<Search>,
    /// What decides which job is shown as the best, one an objective.
    pub aims: Vec<Aim>,
    /// The study's name, for Optuna.
    pub study: String,
    /// Where jobs run.
    pub launcher: Box<dyn Launcher>,
    /// How often a job that was killed from outside is started again.
    pub retries: u32,
    /// The program.
    pub program: &'a dyn Program,
    journal: Journal,
    records: Vec<Record>,
    view: View,
    running: HashMap<usize, Running>,
    /// Whether `results.csv` lacks a job that has ended; when it was last written, and how long that took.
    table_is_old: bool,
    table_written: Option<(Instant, Duration)>,
    optuna: Option<OptunaJournal>,
    /// Why the search asks for nothing more.
    search_over: Option<Result<(), String>>,
}

/// A job that runs.
#[derive(Default)]
struct Running {
    follower: Follower,
    /// Why it was asked to stop.
    asked_to_stop: Option<String>,
}

impl<'a> Conductor<'a> {
    /// A sweep whose jobs so far are `records`.
    pub fn new(
        folder: PathBuf,
        journal: Journal,
        records: Vec<Record>,
        launcher: Box<dyn Launcher>,
        program: &'a dyn Program,
    ) -> Self {
        let view = View::new(launcher.is_inline());
        Conductor {
            folder,
            objectives: Vec::new(),
            search: None,
            aims: Vec::new(),
            study: "sweep".to_owned(),
            launcher,
            retries: 0,
            program,
            journal,
            records,
            view,
            running: HashMap::new(),
            table_is_old: false,
            table_written: None,
            optuna: None,
            search_over: None,
        }
    }

    /// Runs until every job is settled or the user stops it; gives the jobs.
    ///
    /// # Errors
    /// When the journal cannot be written, or no job can be started: what has ended so far is safe.
    pub fn run(mut self) -> Result<Vec<Record>> {
        let outcome = self.work();
        // Whatever could not be written: that the disk is full is the reason to tell.
        let outcome = outcome.or_else(|error| self.room_on_disk().and(Err(error)));
        self.view.close();
        let written = self.write_table();
        let optuna = if self.search.as_ref().is_some_and(Search::continues) { self.open_optuna() } else { Ok(()) };
        let report = super::report::write(&self.folder, &self.records, &self.aims);
        outcome.and(written).and(optuna).and(report).map(|()| self.records)
    }

    fn open_optuna(&mut self) -> Result<()> {
        if !self.objectives.is_empty() {
            let direction = |aim: &Aim| if aim.more { Direction::Maximize } else { Direction::Minimize };
            let directions: Vec<Direction> = self.aims.iter().map(direction).collect();
            let (records, search) = (&self.records, self.search.as_ref());
            let metrics = &self.objectives;
            self.optuna = Some(OptunaJournal::open(&self.folder, &self.study, metrics, &directions, records, search)?);
        }
        Ok(())
    }

    fn work(&mut self) -> Result<()> {
        self.open_optuna()?;
        self.harvest_all()?;
        let mut stopping = false;
        loop {
            if self.program.is_interrupted() && !stopping {
                stopping = true;
                self.view.note(&format!("stopping: {} running jobs save where they are", self.running.len()));
                for number in self.running.keys().copied().collect::<Vec<_>>() {
                    self.launcher.stop(number, Stop::Gently)?;
                }
            }
            while !stopping && self.launcher.room() > 0 {
                let Some(number) = self.next_job()? else { break };
                self.start(number)?;
            }
            if self.running.is_empty() {
                return match self.search_over.take() {
                    Some(Err(reason)) if !stopping => Err(Error::failed(reason)
                        .help("see why they failed in results.csv; `runner resume --retry-failed` tries them again")),
                    _ => Ok(()),
                };
            }
            if let Some(ended) = self.launcher.next(TICK)? {
                self.take_in(ended, stopping)?;
            }
            if self.table_is_old && self.is_table_due() {
                self.write_table()?;
            }
            self.prune()?;
            let best = self.aims.first().and_then(|aim| best_of(&self.records, aim));
            let best = best.map(|(record, value)| format!("{} (#{})", short(value), record.number));
            let total = self.search.as_ref().and_then(Search::total).unwrap_or(0).max(self.records.len());
            self.view.tick(&self.records, total, best.as_deref(), self.objective().as_deref(), &self.folder);
        }
    }

    fn objective(&self) -> Option<String> {
        self.objectives.first().cloned()
    }

    /// The first job that is not settled and does not run, or else the next that the search asks for.
    fn next_job(&mut self) -> Result<Option<usize>> {
        let open = |record: &&Record| !record.state.is_settled() && !self.running.contains_key(&record.number);
        if let Some(record) = self.records.iter().find(open) {
            return Ok(Some(record.number));
        }
        if self.search_over.is_some() {
            return Ok(None);
        }
        let trials = self.trials();
        let Some(search) = &mut self.search else { return Ok(None) };
        match search.ask(&trials)? {
            Ask::Start(proposal) => {
                let number = proposal.trial.number;
                let trial = serde_json::to_value(&proposal.trial).ok();
                let asked = Entry { overrides: proposal.overrides, trial, ..Entry::now(number, State::Asked) };
                self.journal.record(&asked)?;
                self.records = super::journal::replay_onto(std::mem::take(&mut self.records), &[asked])?;
                if let Some(optuna) = &mut self.optuna {
                    optuna.follow(&self.records[number], self.search.as_ref())?;
                }
                Ok(Some(number))
            }
            Ask::Continue { number, steps } => {
                let Some(trial) = self.trial(number) else { return Ok(None) };
                let trial = Trial { state: TrialState::Running, steps, values: Vec::new(), ..trial };
                let trial = serde_json::to_value(&trial).ok();
                self.note(&Entry { trial, ..Entry::now(number, State::Asked) })?;
                Ok(Some(number))
            }
            Ask::Wait => Ok(None),
            Ask::Done(reason) => {
                if let Some(reason) = reason {
                    self.view.note(&format!("the search is over: {reason}"));
                }
                self.search_over = Some(Ok(()));
                Ok(None)
            }
            Ask::Abort(reason) => {
                self.search_over = Some(Err(reason));
                Ok(None)
            }
        }
    }

    /// Jobs that have ended without the sweep having been there to see it.
    fn harvest_all(&mut self) -> Result<()> {
        let open: Vec<usize> = self.records.iter().filter(|r| !r.state.is_settled()).map(|r| r.number).collect();
        for number in open {
            let Some(folder) = &self.records[number].folder else { continue };
            let Ok(results) = Results::read(&self.folder.join(folder)) else { continue };
            if results.status == "finished" {
                self.listen_once(number);
                self.settle(number, State::Finished, &results, None)?;
            } else if results.status == "interrupted"
                && let Some(reason) = self.paused(number)
            {
                self.settle(number, State::Pruned, &results, Some(reason))?;
            }
        }
        Ok(())
    }

    fn start(&mut self, number: usize) -> Result<()> {
        let overrides = self.records[number].overrides.clone();
        let below = match self.program.folder(number, &overrides) {
            Ok(below) => below,
            Err(error) => {
                // A combination that cannot be is a failed job of a search, not the end of it.
                return self.settle(number, State::Failed, &Results::new("failed"), Some(error.to_string()));
            }
        };
        self.note(&Entry { folder: Some(below.clone()), ..Entry::now(number, State::Started) })?;
        let log = self.folder.join("logs").join(format!("{number}.log"));
        let job = Job {
            number,
            overrides,
            folder: self.folder.join(below),
            log: Some(log),
            share: super::launchers::Share::default(),
            pause_after: self.trial(number).and_then(|trial| trial.steps),
        };
        self.view.started(&self.records, number);
        self.launcher.submit(job)?;
        self.running.insert(number, Running::default());
        Ok(())
    }

    fn take_in(&mut self, ended: Ended, stopping: bool) -> Result<()> {
        let Ended { number, exit } = ended;
        if let Some(metric) = self.objective().filter(|_| self.search.is_some()) {
            // What it said last may not have been read yet.
            self.listen(number, &metric);
        }
        let paused = self.paused(number);
        let Some(Running { asked_to_stop, .. }) = self.running.remove(&number) else { return Ok(()) };
        let below = self.records[number].folder.clone().unwrap_or_default();
        let results = Results::read(&self.folder.join(&below));
        let status = results.as_ref().map_or("missing", |results| results.status.as_str()).to_owned();
        let results = results.unwrap_or_else(|_| Results::new("failed"));
        if status == "finished" {
            return self.settle(number, State::Finished, &results, None);
        }
        if let Some(reason) = paused.filter(|_| status == "interrupted").or(asked_to_stop) {
            return self.settle(number, State::Pruned, &results, Some(reason));
        }
        if stopping {
            return self.settle(number, State::Interrupted, &results, results.reason.clone());
        }
        let from_outside = exit.is_kill() || status == "interrupted";
        if from_outside && self.records[number].kills < self.retries {
            let reason = if exit.is_kill() { exit.describe() } else { "the job was interrupted".to_owned() };
            self.view.note(&format!("job {number}: {reason}; it goes on from its last checkpoint"));
            return self.note(&Entry { reason: Some(reason), ..Entry::now(number, State::Killed) });
        }
        // A job that found no room has not failed by itself.
        self.room_on_disk()?;
        let own = results.reason.clone().filter(|_| status == "failed");
        let reason = own.unwrap_or_else(|| described(&exit, &self.folder.join("logs").join(format!("{number}.log"))));
        self.settle(number, State::Failed, &results, Some(reason))
    }

    /// Whether something can still be written into the sweep's folder.
    fn room_on_disk(&self) -> Result<()> {
        static PROBE: [u8; 65536] = [0; 65536];
        let path = self.folder.join(".probe");
        let written = std::fs::write(&path, PROBE);
        let _ = std::fs::remove_file(&path);
        written.map_err(|error| {
            let help = "what has ended is safe: make room, then `runner resume` of the sweep's folder";
            Error::io("write into", &self.folder, error).help(help)
        })
    }

    /// Records how a job ended.
    fn settle(&mut self, number: usize, state: State, results: &Results, reason: Option<String>) -> Result<()> {
        let mut metrics = results.metrics.clone();
        // `best:val/loss` is the score of the best checkpoint rather than the last value.
        for name in &self.objectives {
            let is_best = name.strip_prefix("best:").is_some_and(|monitor| results.monitor.as_deref() == Some(monitor));
            if let (true, Some(best)) = (is_best, &results.best) {
                metrics.insert(name.clone(), best.clone());
            }
        }
        let mut entry = Entry {
            metrics,
            duration_s: Some(results.duration_s),
            reason: reason.or_else(|| results.reason.clone()),
            ..Entry::now(number, state)
        };
        self.tell(&mut entry);
        self.note(&entry)?;
        self.view.ended(&self.records, number, self.objective().as_deref());
        self.table_is_old = true;
        Ok(())
    }

    /// Rewriting the table costs as much as all jobs so far: those that end in quick succession are written together.
    fn is_table_due(&self) -> bool {
        self.table_written.is_none_or(|(when, took)| when.elapsed() >= TICK.max(took * 10))
    }

    /// Completes what the search is to know of a job that has ended.
    fn tell(&self, entry: &mut Entry) {
        let Some(search) = &self.search else { return };
        let Some(mut trial) = self.trial(entry.job) else { return };
        let value = |name: &String| entry.metrics.get(name).and_then(serde_json::Value::as_f64);
        let values: Option<Vec<f64>> = self.objectives.iter().map(value).collect();
        trial.state = match (entry.state, values) {
            (State::Finished, Some(values)) => {
                trial.values = values;
                TrialState::Finished
            }
            (State::Finished, None) => {
                entry.state = State::Failed;
                entry.reason = Some(format!("the job says nothing of {}", self.objectives.join(", ")));
                TrialState::Failed
            }
            (State::Pruned, _) => TrialState::Pruned,
            (State::Failed, _) => TrialState::Failed,
            _ => return,
        };
        let constraints = search.settings.outcome_constraints.iter();
        trial.constraints = constraints.map(|bound| bound.violation(value(&bound.metric))).collect();
        entry.trial = serde_json::to_value(&trial).ok();
    }

    fn note(&mut self, entry: &Entry) -> Result<()> {
        self.journal.record(entry)?;
        self.records[entry.job].apply(entry);
        match &mut self.optuna {
            // Optuna has no way back from "pruned": the file is written anew at the end.
            Some(_) if entry.state == State::Pruned && self.search.as_ref().is_some_and(Search::continues) => Ok(()),
            Some(optuna) => optuna.follow(&self.records[entry.job], self.search.as_ref()),
            None => Ok(()),
        }
    }

    fn write_table(&mut self) -> Result<()> {
        let begun = Instant::now();
        Table::of(&self.records, self.objective()).write_csv(&self.folder.join("results.csv"))?;
        self.table_is_old = false;
        self.table_written = Some((Instant::now(), begun.elapsed()));
        Ok(())
    }
}

/// How a process ended that could not say why itself: in words, with the last line of its log.
fn described(exit: &Exit, log: &Path) -> String {
    let text = std::fs::read_to_string(log).unwrap_or_default();
    match text.lines().rev().find(|line| !line.trim().is_empty()) {
        Some(last) => format!("{}: {}", exit.describe(), last.trim()),
        None => exit.describe(),
    }
}
