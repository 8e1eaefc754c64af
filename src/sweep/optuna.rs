//! `optuna.journal`: the sweep in the words of Optuna's `JournalFileBackend`, so that its dashboard and plots read it.
//!
//! It follows `trials.jsonl` line by line and is made anew from it when a sweep is resumed. In Python:
//! `optuna.load_study(study_name=None, storage=JournalStorage(JournalFileBackend("…/optuna.journal")))`.

use std::fs::{File, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};

use indexmap::{IndexMap, IndexSet};
use serde_json::{Value, json};

use super::journal::{Record, State};
use super::search::Search;
use super::trial::{Direction, Trial};
use crate::error::{Error, Result};
use crate::run::write_derived;

// Optuna's `JournalOperation` and `TrialState`, which its files hold as numbers.
const CREATE_STUDY: u8 = 0;
const CREATE_TRIAL: u8 = 4;
const SET_STATE: u8 = 6;
const SET_INTERMEDIATE: u8 = 7;
const SET_USER_ATTRIBUTE: u8 = 8;
const RUNNING: u8 = 0;
const COMPLETE: u8 = 1;
const PRUNED: u8 = 2;
const FAILED: u8 = 3;
const WAITING: u8 = 4;

/// What Optuna is to know of the sweep as a whole.
pub struct OptunaJournal {
    file: File,
    path: PathBuf,
    /// The objectives' metrics.
    metrics: Vec<String>,
    /// The values of the overrides that differ, for sweeps without a search.
    choices: IndexMap<String, Vec<String>>,
}

impl OptunaJournal {
    /// Its name in the sweep's folder.
    pub const NAME: &str = "optuna.journal";

    /// Writes what has happened so far and stays open for what follows.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn open(
        folder: &Path,
        study: &str,
        metrics: &[String],
        directions: &[Direction],
        records: &[Record],
        search: Option<&Search>,
    ) -> Result<Self> {
        let path = folder.join(Self::NAME);
        let directions: Vec<u8> = directions.iter().map(|d| if *d == Direction::Minimize { 1 } else { 2 }).collect();
        let first = operation(CREATE_STUDY, json!({ "study_name": study, "directions": directions }));
        write_derived(&path, first.as_bytes())?;
        let file = OpenOptions::new().append(true).open(&path).map_err(|error| Error::io("write", &path, error))?;
        let choices = if search.is_some() { IndexMap::new() } else { choices(records) };
        let mut journal = OptunaJournal { file, path, metrics: metrics.to_vec(), choices };
        let mut text = String::new();
        for record in records {
            text += &journal.asked(record, search);
            if record.state != State::Asked {
                text += &started(record);
            }
            if record.state.is_settled() {
                text += &journal.settled(record);
            }
        }
        journal.append(&text)?;
        Ok(journal)
    }

    /// Takes in what has just happened to a job.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn follow(&mut self, record: &Record, search: Option<&Search>) -> Result<()> {
        let text = match record.state {
            State::Asked if record.kills == 0 && record.times.0.is_none() => self.asked(record, search),
            State::Started if record.kills == 0 => started(record),
            state if state.is_settled() => self.settled(record),
            _ => return Ok(()),
        };
        self.append(&text)
    }

    fn append(&mut self, text: &str) -> Result<()> {
        self.file.write_all(text.as_bytes()).map_err(|error| Error::io("write", &self.path, error))
    }

    fn asked(&self, record: &Record, search: Option<&Search>) -> String {
        let (mut params, mut distributions) = (serde_json::Map::new(), serde_json::Map::new());
        let trial = record.trial.as_ref().and_then(|trial| serde_json::from_value::<Trial>(trial.clone()).ok());
        if let (Some(search), Some(trial)) = (search, trial) {
            for (key, value) in &trial.params {
                if let Some(parameter) = search.space.parameters.get(key) {
                    params.insert(key.clone(), json!(value.internal()));
                    distributions.insert(key.clone(), json!(parameter.optuna_distribution()));
                }
            }
        }
        for (key, value) in record.overrides.iter().filter_map(|text| text.split_once('=')) {
            let Some(choices) = self.choices.get(key) else { continue };
            let Some(place) = choices.iter().position(|choice| choice == value) else { continue };
            let values: Vec<Value> = choices.iter().map(|text| scalar(text)).collect();
            let distribution = json!({ "name": "CategoricalDistribution", "attributes": { "choices": values } });
            params.insert(key.to_owned(), json!(place));
            distributions.insert(key.to_owned(), json!(distribution.to_string()));
        }
        let fields = json!({
            "study_id": 0, "datetime_start": null, "state": WAITING, "value": null, "values": null,
            "params": params, "distributions": distributions,
            "user_attrs": { "overrides": record.overrides }, "system_attrs": {}, "intermediate_values": {},
        });
        operation(CREATE_TRIAL, fields)
    }

    fn settled(&self, record: &Record) -> String {
        let id = record.number;
        let mut text = String::new();
        let trial = record.trial.as_ref().and_then(|trial| serde_json::from_value::<Trial>(trial.clone()).ok());
        for (step, value) in trial.iter().flat_map(|trial| &trial.intermediate) {
            let fields = json!({ "trial_id": id, "step": step, "intermediate_value": value });
            text += &operation(SET_INTERMEDIATE, fields);
        }
        let own = [("folder", json!(record.folder)), ("reason", json!(record.reason))];
        let own = own.into_iter().filter(|(_, value)| !value.is_null()).map(|(name, value)| (name.to_owned(), value));
        let metrics = record.metrics.iter().map(|(name, value)| (name.clone(), value.clone()));
        for (name, value) in own.chain(metrics) {
            text += &operation(SET_USER_ATTRIBUTE, json!({ "trial_id": id, "user_attr": { name: value } }));
        }
        let values: Option<Vec<f64>> =
            self.metrics.iter().map(|name| record.metrics.get(name).and_then(Value::as_f64)).collect();
        let (state, values) = match (record.state, values) {
            (State::Finished, Some(values)) => (COMPLETE, Some(values)),
            (State::Pruned, _) => (PRUNED, None),
            _ => (FAILED, None),
        };
        let time = record.times.1.as_deref().map(optuna_time);
        text + &operation(
            SET_STATE,
            json!({ "trial_id": id, "state": state, "values": values, "datetime_complete": time }),
        )
    }
}

fn started(record: &Record) -> String {
    let time = record.times.0.as_deref().map(optuna_time);
    let fields = json!({ "trial_id": record.number, "state": RUNNING, "values": null, "datetime_start": time });
    operation(SET_STATE, fields)
}

/// One line of the file.
fn operation(code: u8, fields: Value) -> String {
    let mut line = serde_json::Map::new();
    line.insert("op_code".into(), json!(code));
    line.insert("worker_id".into(), json!("runner"));
    if let Value::Object(fields) = fields {
        line.extend(fields);
    }
    format!("{}\n", Value::Object(line))
}

/// A time as Python before 3.11 reads it too: microseconds, and an offset with a colon.
fn optuna_time(text: &str) -> String {
    chrono::DateTime::parse_from_rfc3339(text)
        .map_or_else(|_| text.to_owned(), |time| time.format("%Y-%m-%dT%H:%M:%S%.6f%:z").to_string())
}

/// The values of the overrides in which jobs differ, in order of appearance.
fn choices(records: &[Record]) -> IndexMap<String, Vec<String>> {
    let mut found: IndexMap<String, IndexSet<String>> = IndexMap::new();
    for (key, value) in records.iter().flat_map(|record| &record.overrides).filter_map(|text| text.split_once('=')) {
        found.entry(key.to_owned()).or_default().insert(value.to_owned());
    }
    let varied = found.into_iter().filter(|(_, values)| values.len() > 1);
    varied.map(|(key, values)| (key, values.into_iter().collect())).collect()
}

/// A choice as Optuna keeps it: a number, true or false, null, or text.
fn scalar(text: &str) -> Value {
    match serde_json::from_str::<Value>(text) {
        Ok(value) if !value.is_array() && !value.is_object() => value,
        _ => json!(text),
    }
}
