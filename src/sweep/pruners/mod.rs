//! Pruners: what stops a trial that does not look promising.

use super::trial::{Direction, History, Trial};

/// A running trial that has just reported.
#[derive(Clone, Copy)]
pub struct Running<'a> {
    /// The trial with its reports.
    pub trial: &'a Trial,
    /// The trials that it may be compared with.
    pub history: History<'a>,
    /// Whether less or more is better.
    pub direction: Direction,
    /// The search's seed.
    pub seed: u64,
    /// Whether trials that still run may be compared with too.
    pub asynchronous: bool,
}

/// What stops trials.
pub trait Pruner: Send {
    /// Whether it ever stops one, so that reports are needed.
    fn prunes(&self) -> bool {
        true
    }

    /// The reason to stop the trial now, if there is one.
    fn verdict(&self, running: &Running) -> Option<String>;
}

/// Never stops a trial.
pub struct Never;

impl Pruner for Never {
    fn prunes(&self) -> bool {
        false
    }

    fn verdict(&self, _: &Running) -> Option<String> {
        None
    }
}
