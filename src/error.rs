//! The crate's one error type.
//!
//! An error is either a request that cannot be right ([`Error::Request`], exit code 2, nothing was started) or a
//! run that failed ([`Error::Failed`], exit code 1). Both are written for the user: a sentence about keys, files
//! and epochs, with the remedy.

use std::fmt;
use std::path::Path;

use crate::config::{Problem, Problems};

/// A result with the crate's error.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What went wrong.
#[derive(Debug)]
pub enum Error {
    /// The request cannot be right: found before anything was started.
    Request(Problems),
    /// Something failed while running.
    Failed(Failure),
}

/// A failure while running: one sentence, what to do about it, and the chain of places it came through.
#[derive(Debug)]
pub struct Failure {
    /// What failed, outermost context first.
    pub message: String,
    /// What to do.
    pub help: Option<String>,
}

impl Error {
    /// A failure with a sentence.
    pub fn failed(message: impl Into<String>) -> Self {
        Error::Failed(Failure { message: message.into(), help: None })
    }

    /// A request that cannot be right, known only by a sentence.
    pub fn request(message: impl Into<String>) -> Self {
        Error::Request(Problem::new(message).into())
    }

    /// A file that could not be read or written: `cannot <verb> <path>: <reason>`.
    pub fn io(verb: &str, path: &Path, error: impl fmt::Display) -> Self {
        Error::failed(format!("cannot {verb} {}: {error}", path.display()))
    }

    /// Adds the remedy, unless one is known already.
    pub fn help(mut self, help: impl Into<String>) -> Self {
        match &mut self {
            Error::Failed(failure) => {
                failure.help.get_or_insert_with(|| help.into());
            }
            Error::Request(problems) => {
                if let Some(last) = problems.0.last_mut() {
                    last.help.get_or_insert_with(|| help.into());
                }
            }
        }
        self
    }

    /// Puts a context before the message of a failure: `<context>: <message>`.
    pub fn context(self, context: impl fmt::Display) -> Self {
        match self {
            Error::Failed(failure) => {
                Error::Failed(Failure { message: format!("{context}: {}", failure.message), ..failure })
            }
            request => request,
        }
    }

    /// The exit code that says the same: 2 for a request that cannot be right, 1 for a failed run.
    pub fn exit_code(&self) -> i32 {
        match self {
            Error::Request(_) => 2,
            Error::Failed(_) => 1,
        }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Error::Request(problems) => problems.fmt(f),
            Error::Failed(failure) => {
                f.write_str(&failure.message)?;
                failure.help.as_ref().map_or(Ok(()), |help| write!(f, "; {help}"))
            }
        }
    }
}

impl std::error::Error for Error {}

impl From<Problems> for Error {
    fn from(problems: Problems) -> Self {
        Error::Request(problems)
    }
}

impl From<Problem> for Error {
    fn from(problem: Problem) -> Self {
        Error::Request(problem.into())
    }
}

/// Adds context to any fallible result.
pub trait Context<T> {
    /// Turns the error into a [`Failure`] that starts with `context`.
    fn context(self, context: impl fmt::Display) -> Result<T>;
}

impl<T, E: std::error::Error> Context<T> for std::result::Result<T, E> {
    fn context(self, context: impl fmt::Display) -> Result<T> {
        self.map_err(|error| Error::failed(format!("{context}: {error}")))
    }
}
