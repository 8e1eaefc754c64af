//! Conducting a sweep: starts jobs while there is room, takes in how they ended, until nothing is missing.
//!
//! The journal is written before and after each step, so that a sweep that is killed anywhere goes on where it was.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::journal::{Entry, Journal, Record, State};
use super::launchers::{Ended, Exit, Job, Launcher, Stop};
use super::table::Table;
use super::view::View;
use crate::error::Result;
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
    /// The metric that counts.
    pub objective: Option<String>,
    /// Where jobs run.
    pub launcher: Box<dyn Launcher>,
    /// How often a job that was killed from outside is started again.
    pub retries: u32,
    /// The program.
    pub program: &'a dyn Program,
    journal: Journal,
    records: Vec<Record>,
    view: View,
    /// Jobs that run, and why they were asked to stop.
    running: HashMap<usize, Option<String>>,
    table_is_old: bool,
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
            objective: None,
            launcher,
            retries: 0,
            program,
            journal,
            records,
            view,
            running: HashMap::new(),
            table_is_old: false,
        }
    }

    /// Adds jobs to run.
    ///
    /// # Errors
    /// When the journal cannot be written.
    pub fn ask(&mut self, jobs: impl IntoIterator<Item = Vec<String>>) -> Result<()> {
        let first = self.records.len();
        let entries: Vec<Entry> = jobs
            .into_iter()
            .enumerate()
            .map(|(i, overrides)| Entry { overrides, ..Entry::now(first + i, State::Asked) })
            .collect();
        self.journal.record_all(&entries)?;
        self.records = super::journal::replay_onto(std::mem::take(&mut self.records), &entries)?;
        Ok(())
    }

    /// Runs until every job is settled or the user stops it; gives the jobs.
    ///
    /// # Errors
    /// When the journal cannot be written, or no job can be started: what has ended so far is safe.
    pub fn run(mut self) -> Result<Vec<Record>> {
        let outcome = self.work();
        self.view.close();
        let written = self.write_table();
        outcome.and(written).map(|()| self.records)
    }

    fn work(&mut self) -> Result<()> {
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
                let Some(number) = self.next_job() else { break };
                self.start(number)?;
            }
            if self.running.is_empty() {
                return Ok(());
            }
            if let Some(ended) = self.launcher.next(TICK)? {
                self.take_in(ended, stopping)?;
            } else if self.table_is_old {
                self.write_table()?;
            }
            self.view.tick(&self.records, None, self.objective.as_deref(), &self.folder);
        }
    }

    /// The first job that is not settled and does not run.
    fn next_job(&self) -> Option<usize> {
        let open = |record: &&Record| !record.state.is_settled() && !self.running.contains_key(&record.number);
        self.records.iter().find(open).map(|record| record.number)
    }

    /// Jobs that have ended without the sweep having been there to see it.
    fn harvest_all(&mut self) -> Result<()> {
        let open: Vec<usize> = self.records.iter().filter(|r| !r.state.is_settled()).map(|r| r.number).collect();
        for number in open {
            let Some(folder) = &self.records[number].folder else { continue };
            if let Ok(results) = Results::read(&self.folder.join(folder))
                && results.status == "finished"
            {
                self.settle(number, State::Finished, &results, None)?;
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
        };
        self.view.started(&self.records, number);
        self.launcher.submit(job)?;
        self.running.insert(number, None);
        Ok(())
    }

    fn take_in(&mut self, ended: Ended, stopping: bool) -> Result<()> {
        let Ended { number, exit } = ended;
        let Some(asked_to_stop) = self.running.remove(&number) else { return Ok(()) };
        let below = self.records[number].folder.clone().unwrap_or_default();
        let results = Results::read(&self.folder.join(&below));
        let status = results.as_ref().map_or("missing", |results| results.status.as_str()).to_owned();
        let results = results.unwrap_or_else(|_| Results::new("failed"));
        if status == "finished" {
            return self.settle(number, State::Finished, &results, None);
        }
        if let Some(reason) = asked_to_stop {
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
        let own = results.reason.clone().filter(|_| status == "failed");
        let reason = own.unwrap_or_else(|| described(&exit, &self.folder.join("logs").join(format!("{number}.log"))));
        self.settle(number, State::Failed, &results, Some(reason))
    }

    /// Records how a job ended.
    fn settle(&mut self, number: usize, state: State, results: &Results, reason: Option<String>) -> Result<()> {
        self.note(&Entry {
            metrics: results.metrics.clone(),
            duration_s: Some(results.duration_s),
            reason: reason.or_else(|| results.reason.clone()),
            ..Entry::now(number, state)
        })?;
        self.view.ended(&self.records, number, self.objective.as_deref());
        self.table_is_old = true;
        // Rewriting the table costs as much as all jobs so far: many that end at once are written together.
        if self.running.is_empty() || self.records.len() < 64 { self.write_table() } else { Ok(()) }
    }

    fn note(&mut self, entry: &Entry) -> Result<()> {
        self.journal.record(entry)?;
        self.records[entry.job].apply(entry);
        Ok(())
    }

    fn write_table(&mut self) -> Result<()> {
        self.table_is_old = false;
        Table::of(&self.records, self.objective.clone()).write_csv(&self.folder.join("results.csv"))
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
