//! What the jobs of a sweep do.

use std::path::Path;

use super::super::{checkpoints, own, resume, train};
use crate::cli::command::Command;
use crate::cli::compose::{Composed, Request};
use crate::config::Config;
use crate::error::{Error, Result};
use crate::plan::{Plan, layout};
use crate::registry::{OwnCommand, Registry};
use crate::run::Manifest;
use crate::sweep::launchers::Job;

/// What a command is to a sweep: what can be known of a job before it starts, and how it runs.
///
/// There are two: a function of the config ([`Functions`]) may need no tensors, so that the front sweeps it by itself;
/// [`Commands`] are those that come with runner.
pub trait Work {
    /// The components that searches are built from.
    fn registry(&self) -> &Registry;

    /// Checks a job that will run in `folder` and has been composed.
    ///
    /// # Errors
    /// What is wrong with it.
    fn check(&self, job: &Request, composed: &Composed, folder: &Path) -> Result<()>;

    /// Runs a job that has not finished yet, or goes on with it; gives its exit code.
    ///
    /// # Errors
    /// Why it failed.
    fn run(&self, request: &Request, job: &Job) -> Result<i32>;

    /// The metric that a job gives when nothing in the config names one.
    fn metric(&self, config: &Config) -> Option<String>;
}

/// A command that is a function of the config.
pub struct Functions<'a> {
    /// The command.
    pub own: OwnCommand,
    /// The components that it may build.
    pub registry: &'a Registry,
    /// What of libtorch a job is about, where there is one.
    pub libtorch: Option<Libtorch>,
}

/// What of libtorch a job is about. The front has none, and links none.
pub struct Libtorch {
    /// Its version.
    pub version: String,
    /// Sets how many threads an operation takes.
    limit_threads: fn(&Job),
}

impl Libtorch {
    fn linked() -> Self {
        let limit_threads = |job: &Job| {
            if let Some(threads) = job.share.threads.and_then(|threads| i32::try_from(threads).ok()) {
                tch::set_num_threads(threads);
            }
        };
        Libtorch { version: crate::native::compute::libtorch_version(), limit_threads }
    }
}

impl Work for Functions<'_> {
    fn registry(&self) -> &Registry {
        self.registry
    }

    fn check(&self, _job: &Request, composed: &Composed, folder: &Path) -> Result<()> {
        own::check(&composed.resolve(folder)?, folder, self)
    }

    fn run(&self, request: &Request, job: &Job) -> Result<i32> {
        if let Some(libtorch) = &self.libtorch {
            (libtorch.limit_threads)(job);
        }
        begin_anew(&job.folder)?;
        own::run(&request.compose()?, self)
    }

    fn metric(&self, _config: &Config) -> Option<String> {
        self.own.metric.map(str::to_owned)
    }
}

/// The commands that compute with tensors.
pub struct Commands<'a>(pub &'a Registry);

impl Work for Commands<'_> {
    fn registry(&self) -> &Registry {
        self.0
    }

    fn check(&self, job: &Request, composed: &Composed, folder: &Path) -> Result<()> {
        if job.brings_config() {
            let given = job.typed("ckpt_path").map(|text| text.trim_matches(['\'', '"']).to_owned());
            let given = given.ok_or_else(|| {
                Error::request(format!("`runner -m {}` needs checkpoints", job.command.name()))
                    .help("ckpt_path=a.ckpt,b.ckpt, or ckpt_path=glob(outputs/**/last.ckpt)")
            })?;
            return checkpoints::find(&given).map(drop);
        }
        Ok(Plan::check(&composed.resolve(folder)?, self.0).map(drop)?)
    }

    fn run(&self, request: &Request, job: &Job) -> Result<i32> {
        (Libtorch::linked().limit_threads)(job);
        // What an earlier attempt had recorded: a run that drew its own seed goes on with it.
        if let Some(manifest) = Manifest::read(&job.folder).ok().filter(|manifest| manifest.command == "train") {
            let seed = u32::try_from(manifest.seed).ok();
            let composed = request.compose()?.with_recorded_seed(seed).pausing_after(job.pause_after);
            return train::go_on(&composed, self.0, resume::reopen(&job.folder, None)?);
        }
        begin_anew(&job.folder)?;
        if request.command == Command::Train {
            return train::train(&request.compose()?.pausing_after(job.pause_after), self.0);
        }
        crate::cli::compute(request, self.0)
    }

    fn metric(&self, config: &Config) -> Option<String> {
        layout::objective(&config.job).map(str::to_owned)
    }
}

/// The work of a command.
pub fn of(command: Command, registry: &Registry) -> Box<dyn Work + '_> {
    match command {
        Command::Own(own) => Box::new(functions(own, registry)),
        _ => Box::new(Commands(registry)),
    }
}

/// The work of a command that is a function of the config, with libtorch at hand.
pub fn functions(own: OwnCommand, registry: &Registry) -> Functions<'_> {
    Functions { own, registry, libtorch: Some(Libtorch::linked()) }
}

/// Removes what an attempt left that had not come as far as having something to go on from.
fn begin_anew(folder: &Path) -> Result<()> {
    match std::fs::remove_dir_all(folder) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(Error::io("remove", folder, error)),
        _ => Ok(()),
    }
}
