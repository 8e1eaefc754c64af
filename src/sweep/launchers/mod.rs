//! Launchers: where jobs run. In order in the terminal, side by side on this machine, or on a SLURM cluster.
//!
//! A launcher starts jobs and says how each of them ended; what a job did is read from its folder. Jobs on this
//! machine are forked from a server process that has everything loaded ([`ForkServer`]), so that a job costs
//! milliseconds and what happens to it stays in it.

#[cfg(target_os = "linux")]
mod fork_server;
mod job;
mod local;
mod settings;
mod shares;
mod slurm;
mod spawned;

use std::time::Duration;

use crate::error::Result;

#[cfg(target_os = "linux")]
pub use fork_server::ForkServer;
pub use job::{Ended, Exit, Job, Share, Stop};
pub use local::Local;
pub use settings::LauncherSettings;
pub use slurm::{Slurm, SlurmSettings};
pub use spawned::Spawned;

/// Where jobs run.
pub trait Launcher {
    /// How many jobs may be submitted now.
    fn room(&self) -> usize;

    /// Whether the jobs write to the terminal, one at a time.
    fn is_inline(&self) -> bool {
        false
    }

    /// Starts a job, or queues it.
    ///
    /// # Errors
    /// When nothing can be started any more: the sweep ends then, and can be resumed.
    fn submit(&mut self, job: Job) -> Result<()>;

    /// The next job that has ended, waiting at most this long.
    fn next(&mut self, wait: Duration) -> Result<Option<Ended>>;

    /// Asks a running job to end. One that has ended meanwhile is no error.
    fn stop(&mut self, number: usize, how: Stop) -> Result<()>;
}

/// Starts processes on this machine and says how they ended.
pub trait Processes {
    /// Starts a job's process.
    fn start(&mut self, job: &Job) -> Result<()>;

    /// The next process that has ended, waiting at most this long.
    fn next(&mut self, wait: Duration) -> Result<Option<Ended>>;

    /// Asks a process to end.
    fn stop(&mut self, number: usize, how: Stop) -> Result<()>;
}
