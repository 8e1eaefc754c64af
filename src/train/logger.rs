//! Where metrics go: CSV files, TensorBoard, trackers.

use std::path::Path;

use crate::config::Node;
use crate::error::Result;
use crate::registry::Kind;

/// How a run ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Status {
    /// Still going, or killed.
    Running,
    /// All done.
    Finished,
    /// Stopped by an error.
    Failed,
    /// Stopped by the user.
    Interrupted,
}

/// A logger. Calls come in order, from one thread.
pub trait Logger: Send {
    /// The run begins: its resolved config.
    fn params(&mut self, config: &Node) -> Result<()>;

    /// Values at an optimizer step of an epoch.
    fn metrics(&mut self, epoch: u64, step: u64, values: &[(String, f64)]) -> Result<()>;

    /// Makes sure that everything so far is on disk.
    fn flush(&mut self) -> Result<()>;

    /// The run is over; flushes.
    fn finish(&mut self, status: Status) -> Result<()>;

    /// Where it writes, when it writes files.
    fn path(&self) -> Option<&Path> {
        None
    }
}

/// The kind of loggers.
pub struct LoggerKind;

impl Kind for LoggerKind {
    type Built = Box<dyn Logger>;
    const NAME: &'static str = "logger";
}
