//! One job as a launcher gets it, and its end as the launcher tells it.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

/// A job to run.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Job {
    /// Its number, from 0.
    pub number: usize,
    /// Its overrides.
    pub overrides: Vec<String>,
    /// Its folder, absolute; the job creates it, or goes on in it.
    pub folder: PathBuf,
    /// Where its output goes; to the terminal when there is none.
    pub log: Option<PathBuf>,
    /// The share of the machine that it gets.
    #[serde(default)]
    pub share: Share,
    /// After how many epochs it saves where it is and ends, to go on later if it looks promising.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pause_after: Option<u64>,
}

/// What a job may use of the machine. Nothing set: everything.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Share {
    /// Cores by their numbers.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub cores: Vec<usize>,
    /// How many threads a computation takes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub threads: Option<usize>,
    /// `CUDA_VISIBLE_DEVICES`; empty hides all devices.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gpus: Option<String>,
}

/// How a job's process ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ended {
    /// The job's number.
    pub number: usize,
    /// How.
    pub exit: Exit,
}

/// The end of a process.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Exit {
    /// By itself, with this code.
    Code(i32),
    /// Killed by this signal.
    Signal(i32),
    /// It never started, or was lost, for this reason.
    Lost(String),
}

impl Exit {
    /// The end in words.
    pub fn describe(&self) -> String {
        match self {
            Exit::Code(code) => format!("the process ended with code {code}"),
            Exit::Signal(9) => "the process was killed (signal 9), perhaps because memory ran out".to_owned(),
            Exit::Signal(signal) => format!("the process was killed by signal {signal}"),
            Exit::Lost(reason) => reason.clone(),
        }
    }

    /// Whether somebody else ended the job: it has not failed by itself and may be tried again.
    pub fn is_kill(&self) -> bool {
        matches!(self, Exit::Signal(1 | 9 | 15) | Exit::Lost(_))
    }
}

/// How a job is asked to end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Stop {
    /// To save where it is and end, as Ctrl-C does.
    Gently,
    /// At once.
    Kill,
}
