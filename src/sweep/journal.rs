//! `trials.jsonl`: an append-only record of every job, one JSON object a line. It is the sweep's state: what is not
//! in it has not happened, and a resumed sweep knows nothing else.

use std::fs::{File, OpenOptions};
use std::io::{Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use indexmap::IndexMap;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::error::{Error, Result};

/// What happened to a job.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum State {
    /// It is to be run.
    Asked,
    /// It is running.
    Started,
    /// It was killed from outside and is to be run again.
    Killed,
    /// It is done.
    Finished,
    /// It was stopped because it did not look promising.
    Pruned,
    /// It ended with an error.
    Failed,
    /// The user stopped it.
    Interrupted,
}

impl State {
    /// Whether nothing more is to be done for the job.
    pub fn is_settled(self) -> bool {
        matches!(self, State::Finished | State::Pruned | State::Failed)
    }

    /// The word for it, as in `results.csv`.
    pub fn name(self) -> &'static str {
        match self {
            State::Asked => "waiting",
            State::Started => "running",
            State::Killed => "killed",
            State::Finished => "finished",
            State::Pruned => "pruned",
            State::Failed => "failed",
            State::Interrupted => "interrupted",
        }
    }
}

/// One line of the journal.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Entry {
    /// When, in RFC 3339.
    pub time: String,
    /// The job's number, from 0.
    pub job: usize,
    /// What happened.
    pub state: State,
    /// Its overrides, when asked.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub overrides: Vec<String>,
    /// What a search knows of it: its parameters when asked, its values at the end.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trial: Option<Value>,
    /// Its folder below the sweep's, when started.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub folder: Option<String>,
    /// Its metrics, when it has ended.
    #[serde(default, skip_serializing_if = "IndexMap::is_empty")]
    pub metrics: IndexMap<String, Value>,
    /// Its wall time in seconds, when it has ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub duration_s: Option<f64>,
    /// Why it failed or was stopped.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

impl Entry {
    /// An entry of now.
    pub fn now(job: usize, state: State) -> Self {
        Entry {
            time: chrono::Local::now().to_rfc3339(),
            job,
            state,
            overrides: Vec::new(),
            trial: None,
            folder: None,
            metrics: IndexMap::new(),
            duration_s: None,
            reason: None,
        }
    }
}

/// What the journal says of one job.
#[derive(Clone, Debug)]
pub struct Record {
    /// Its number.
    pub number: usize,
    /// Its overrides.
    pub overrides: Vec<String>,
    /// What a search knows of it.
    pub trial: Option<Value>,
    /// What happened to it last.
    pub state: State,
    /// Its folder below the sweep's, once it was started.
    pub folder: Option<String>,
    /// Its metrics.
    pub metrics: IndexMap<String, Value>,
    /// Wall time in seconds.
    pub duration_s: f64,
    /// Why it failed or was stopped.
    pub reason: Option<String>,
    /// How often it was killed from outside since it was asked for.
    pub kills: u32,
    /// When it was started first and when it ended, in RFC 3339.
    pub times: (Option<String>, Option<String>),
}

/// The jobs that journal entries tell of, by number.
///
/// # Errors
/// When an entry is about a job that was never asked for.
pub fn replay(entries: &[Entry]) -> Result<Vec<Record>> {
    replay_onto(Vec::new(), entries)
}

/// As [`replay`], for entries that follow those of `records`.
pub(super) fn replay_onto(mut records: Vec<Record>, entries: &[Entry]) -> Result<Vec<Record>> {
    for entry in entries {
        if entry.state == State::Asked && entry.job == records.len() {
            records.push(Record {
                number: entry.job,
                overrides: entry.overrides.clone(),
                trial: entry.trial.clone(),
                state: State::Asked,
                folder: None,
                metrics: IndexMap::new(),
                duration_s: 0.0,
                reason: None,
                kills: 0,
                times: (None, None),
            });
            continue;
        }
        let record = records
            .get_mut(entry.job)
            .ok_or_else(|| Error::failed(format!("the journal tells of job {} before it was asked for", entry.job)))?;
        record.apply(entry);
    }
    Ok(records)
}

impl Record {
    /// Takes in an entry about this job.
    pub fn apply(&mut self, entry: &Entry) {
        self.state = entry.state;
        self.reason.clone_from(&entry.reason);
        self.kills = match entry.state {
            State::Killed => self.kills + 1,
            // Asked for anew: its kills are forgiven.
            State::Asked => 0,
            _ => self.kills,
        };
        if let Some(folder) = &entry.folder {
            self.folder = Some(folder.clone());
        }
        if entry.trial.is_some() {
            self.trial.clone_from(&entry.trial);
        }
        match entry.state {
            State::Asked | State::Killed => {}
            State::Started => drop(self.times.0.get_or_insert_with(|| entry.time.clone())),
            _ => {
                self.times.1 = Some(entry.time.clone());
                self.metrics.clone_from(&entry.metrics);
                self.duration_s = entry.duration_s.unwrap_or(0.0);
            }
        }
    }
}

/// The journal of a sweep, open to append.
pub struct Journal {
    file: File,
    path: PathBuf,
}

impl Journal {
    /// Its name in the sweep's folder.
    pub const NAME: &str = "trials.jsonl";

    /// Reads the journal in a sweep's folder, of a sweep that may be running.
    ///
    /// # Errors
    /// When a line cannot be read: the message says which.
    pub fn read(folder: &Path) -> Result<Vec<Entry>> {
        let path = folder.join(Self::NAME);
        let text = std::fs::read_to_string(&path).map_err(|error| Error::io("read", &path, error))?;
        parse(&path, &text[..text.rfind('\n').map_or(0, |end| end + 1)])
    }

    /// Opens the journal in the sweep's folder, and reads what it holds.
    ///
    /// A last line without its end was being written when the sweep was killed: it has not happened, and is removed.
    ///
    /// # Errors
    /// When a line cannot be read: the message says which.
    pub fn open(folder: &Path) -> Result<(Self, Vec<Entry>)> {
        let path = folder.join(Self::NAME);
        let failed = |error: std::io::Error| Error::io("open", &path, error);
        let mut file = OpenOptions::new().create(true).read(true).append(true).open(&path).map_err(failed)?;
        let mut text = String::new();
        file.read_to_string(&mut text).map_err(failed)?;
        let whole = text.rfind('\n').map_or(0, |end| end + 1);
        if whole < text.len() {
            file.set_len(whole as u64).map_err(failed)?;
            file.seek(SeekFrom::End(0)).map_err(failed)?;
        }
        let entries = parse(&path, &text[..whole])?;
        Ok((Journal { file, path }, entries))
    }

    /// Appends a line. What ends a job is on the disk when this returns.
    ///
    /// # Errors
    /// When the disk is full, among others: nothing is lost of what was recorded before.
    pub fn record(&mut self, entry: &Entry) -> Result<()> {
        self.record_all(std::slice::from_ref(entry))
    }

    /// Appends several lines at once.
    ///
    /// # Errors
    /// As [`Journal::record`].
    pub fn record_all(&mut self, entries: &[Entry]) -> Result<()> {
        if entries.is_empty() {
            return Ok(());
        }
        let mut lines = String::new();
        for entry in entries {
            lines += &serde_json::to_string(entry).map_err(|error| Error::io("write", &self.path, error))?;
            lines.push('\n');
        }
        let before = self.file.metadata().map(|metadata| metadata.len());
        let written = self.file.write_all(lines.as_bytes()).and_then(|()| {
            let lasts = entries.iter().any(|entry| entry.state != State::Started);
            if lasts { self.file.sync_data() } else { Ok(()) }
        });
        written.map_err(|error| {
            // Half a line must not stay: the next one would be joined to it.
            if let Ok(length) = before {
                let _ = self.file.set_len(length);
            }
            let help = "what was recorded is safe: make room, then `runner resume` of the sweep's folder";
            Error::io("write", &self.path, error).help(help)
        })
    }
}

fn parse(path: &Path, text: &str) -> Result<Vec<Entry>> {
    let entries = text.lines().enumerate().map(|(i, line)| {
        serde_json::from_str(line)
            .map_err(|error| Error::failed(format!("{}, line {}: {error}", path.display(), i + 1)))
    });
    entries.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn half_a_line_has_not_happened() {
        let folder = tempfile::tempdir().unwrap();
        let (mut journal, entries) = Journal::open(folder.path()).unwrap();
        assert!(entries.is_empty());
        for number in 0..2 {
            journal
                .record(&Entry { overrides: vec![format!("a={number}")], ..Entry::now(number, State::Asked) })
                .unwrap();
        }
        journal.record(&Entry::now(1, State::Started)).unwrap();
        let path = folder.path().join(Journal::NAME);
        let mut text = std::fs::read_to_string(&path).unwrap();
        text += r#"{"time":"2026-01-01T00:00:00Z","job":1,"sta"#;
        std::fs::write(&path, &text).unwrap();
        let (mut journal, entries) = Journal::open(folder.path()).unwrap();
        assert_eq!(entries.len(), 3);
        let mut end = Entry::now(1, State::Finished);
        end.metrics.insert("loss".into(), serde_json::json!(0.1));
        journal.record(&end).unwrap();
        let records = replay(&Journal::open(folder.path()).unwrap().1).unwrap();
        assert_eq!(records.iter().map(|r| r.state).collect::<Vec<_>>(), [State::Asked, State::Finished]);
        assert_eq!(records[1].metrics["loss"], 0.1);
        assert_eq!(records[1].overrides, ["a=1"]);
    }

    #[test]
    fn a_broken_line_in_the_middle_is_named() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join(Journal::NAME), "{}\n").unwrap();
        let error = Journal::open(folder.path()).err().unwrap().to_string();
        assert!(error.contains("trials.jsonl, line 1"), "{error}");
    }
}
