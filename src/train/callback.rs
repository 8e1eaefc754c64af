//! What listens to the loops: Lightning's hooks, in Lightning's order.
//!
//! A callback decides, the trainer acts: what it wants done with files it asks for by a [`Request`], which is
//! carried out after all callbacks have heard the hook.

use std::path::{Path, PathBuf};

use indexmap::IndexMap;

use super::{At, Image, Log, Loggers, Schedule, StopFlag, Task, TrainerArgs};
use crate::checkpoint::Checkpoint;
use crate::data::Split;
use crate::error::{Error, Result};
use crate::optim::Optimizer;
use crate::registry::Kind;
use crate::tensor::Stateful;

/// Where the fit loop is. All counts survive a resume.
#[derive(Clone, Debug, Default, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct Progress {
    /// The epoch being trained, from 0; after the fit, how many were completed.
    pub epoch: u64,
    /// Optimizer steps taken (Lightning's `global_step`).
    pub global_step: u64,
    /// Batches of this epoch that are done.
    pub batch: u64,
    /// Batches trained on in all.
    pub total_batches: u64,
    /// Samples trained on in all.
    pub samples: u64,
    /// After how many batches in all the last validation ran.
    pub validated_at: Option<u64>,
    /// After how many batches in all everything that follows a batch was done: validation, schedules that follow its
    /// metrics.
    #[serde(default)]
    pub settled_at: u64,
    /// Whether the last batch ended with an optimizer step.
    #[serde(default)]
    pub stepped: bool,
}

impl Progress {
    /// The step under which values are logged, from 0: the one just taken; between the batches of an accumulation
    /// the one to come.
    pub fn logged_step(&self) -> u64 {
        if self.stepped { self.global_step.saturating_sub(1) } else { self.global_step }
    }

    /// The step under which values are logged, now.
    pub fn now(&self) -> At {
        At::now(self.epoch, self.logged_step())
    }
}

/// The newest value of everything logged: Lightning's `callback_metrics`.
pub type MetricStore = IndexMap<String, f64>;

/// When a callback hears a hook, relative to the others.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Phase {
    /// In the order of the config.
    Normal,
    /// After all others: it saves what they have decided.
    Checkpoint,
}

/// What a callback asks the trainer to do.
#[derive(Debug)]
pub enum Request {
    /// Write a checkpoint.
    Save {
        /// The file.
        path: PathBuf,
        /// Leave out everything but the weights.
        weights_only: bool,
    },
    /// Delete a checkpoint that is no longer among the best.
    Remove(PathBuf),
    /// Give a checkpoint just saved a second name; it costs nothing, and either name may go without the other.
    Link {
        /// The second name.
        path: PathBuf,
        /// The checkpoint.
        target: PathBuf,
    },
}

/// What a callback sees and may change.
pub struct Cx<'a> {
    /// Where the fit loop is.
    pub progress: &'a Progress,
    /// The newest values; a callback may add its own.
    pub metrics: &'a mut MetricStore,
    /// What is trained.
    pub task: &'a mut dyn Task,
    /// The optimizer, while fitting.
    pub optimizer: Option<&'a mut (dyn Optimizer + 'static)>,
    /// The learning-rate schedule, while fitting; a callback may put another in its place.
    pub schedule: Option<&'a mut Option<Schedule>>,
    /// The values of the running pass.
    pub log: &'a Log,
    /// The trainer's arguments.
    pub args: &'a TrainerArgs,
    /// How many batches the running pass has.
    pub batches: usize,
    /// The batch that the hook is about, from 0.
    pub batch: usize,
    /// Whether the validation running now is the sanity check before training.
    pub sanity_checking: bool,
    /// Whether the network holds an average that a callback put there after the last epoch.
    pub averaged: bool,
    /// Whether validation runs at all in this fit.
    pub validates: bool,
    /// Asks the loops to end.
    pub stop: &'a StopFlag,
    /// Where the run leaves its files; `None` when it leaves none.
    pub run_dir: Option<&'a Path>,
    /// What to do after the hook.
    pub requests: &'a mut Vec<Request>,
    /// Values for the loggers, at this step.
    pub to_loggers: &'a mut Vec<(String, f64)>,
    /// The loggers, for what is not a number.
    pub loggers: &'a Loggers,
}

impl Cx<'_> {
    /// Gives the loggers a text, at this step.
    pub fn log_text(&self, name: impl Into<String>, text: impl Into<String>) {
        self.loggers.text(self.progress.now(), name, text);
    }

    /// Gives the loggers an image, at this step.
    pub fn log_image(&self, name: impl Into<String>, image: Image) {
        self.loggers.image(self.progress.now(), name, image);
    }

    /// Gives the loggers a file to keep with the run, called `name` there.
    pub fn log_artifact(&self, name: impl Into<String>, file: impl Into<PathBuf>) {
        self.loggers.artifact(self.progress.now(), name, file);
    }

    /// The monitored value `name`.
    ///
    /// # Errors
    /// When nothing of that name was logged; names what was.
    pub fn monitored(&self, name: &str, who: &str) -> Result<f64> {
        self.metrics.get(name).copied().ok_or_else(|| {
            let known: Vec<&str> = self.metrics.keys().map(String::as_str).collect();
            let near = crate::registry::suggest::nearest(name, known.iter().copied());
            let error = Error::failed(format!("{who} monitors `{name}`, which was not logged"));
            match near {
                Some(near) => error.help(format!("did you mean `{near}`? Logged so far: {}", known.join(", "))),
                None => error.help(format!("logged so far: {}", known.join(", "))),
            }
        })
    }
}

/// A callback. Every hook may do nothing; the names and their order are Lightning's.
#[allow(unused_variables, reason = "the bodies are empty")]
pub trait Callback: Stateful + Send {
    /// The name under which its state is saved; two of the same name must differ in what they save.
    fn name(&self) -> String;

    /// When it hears a hook, relative to the others.
    fn phase(&self) -> Phase {
        Phase::Normal
    }

    /// The metric that it needs, and the pass whose end must have logged it: checked before training.
    fn monitors(&self) -> Option<&str> {
        None
    }

    /// Whether `fast_dev_run` leaves it out (what saves or stops early).
    fn skipped_in_fast_dev_run(&self) -> bool {
        false
    }

    /// Over how many batches gradients are summed from epoch `epoch` on, when this callback decides it. Asked at the
    /// start of every epoch, and beforehand to know how many steps a fit has; the same answer every time.
    fn accumulation(&self, epoch: u64) -> Option<u64> {
        None
    }

    /// Before the optimizer is made: what begins frozen is frozen here.
    fn setup(&mut self, task: &mut dyn Task, args: &TrainerArgs) -> Result<()> {
        Ok(())
    }
    /// Some steps are about to be trained on the side, to find a learning rate or a batch size, and undone: what the
    /// network is in most of the training is made of it here. No other hook is heard meanwhile.
    fn on_trial(&mut self, task: &mut dyn Task) -> Result<()> {
        Ok(())
    }
    /// The optimizer and the schedule have been made; nothing has been read from a checkpoint.
    fn on_optimizer(&mut self, cx: &mut Cx) -> Result<()> {
        Ok(())
    }
    /// A checkpoint is about to be written; it holds the network's weights and everybody's state.
    fn on_save_checkpoint(&self, checkpoint: &mut Checkpoint) -> Result<()> {
        Ok(())
    }
    /// The fit goes on from `checkpoint`: the network has its weights and the callback its state; what the optimizer
    /// and the schedule had when they were saved (groups added, another schedule) is made here, their state follows.
    fn on_load_checkpoint(&mut self, checkpoint: &Checkpoint, cx: &mut Cx) -> Result<()> {
        Ok(())
    }
    /// The fit begins.
    fn on_fit_start(&mut self, cx: &mut Cx) -> Result<()> {
        Ok(())
    }
    /// The sanity check is over, training begins.
    fn on_train_start(&mut self, cx: &mut Cx) -> Result<()> {
        Ok(())
    }
    /// A training epoch begins.
    fn on_train_epoch_start(&mut self, cx: &mut Cx) -> Result<()> {
        Ok(())
    }
    /// A resumed run goes on within an epoch, whose beginning was heard before the checkpoint was saved. For what has
    /// no state but shows something; everything else was restored.
    fn on_train_epoch_resume(&mut self, cx: &mut Cx) -> Result<()> {
        Ok(())
    }
    /// A batch begins.
    fn on_train_batch_start(&mut self, cx: &mut Cx) -> Result<()> {
        Ok(())
    }
    /// Gradients are there and unscaled; they are clipped after this, then the step comes.
    fn on_before_optimizer_step(&mut self, cx: &mut Cx) -> Result<()> {
        Ok(())
    }
    /// A batch is over.
    fn on_train_batch_end(&mut self, cx: &mut Cx) -> Result<()> {
        Ok(())
    }
    /// A training epoch is over; its metrics are in `cx.metrics`.
    fn on_train_epoch_end(&mut self, cx: &mut Cx) -> Result<()> {
        Ok(())
    }
    /// A validation, test or predict pass begins.
    fn on_eval_start(&mut self, split: Split, cx: &mut Cx) -> Result<()> {
        Ok(())
    }
    /// A batch of such a pass is over.
    fn on_eval_batch_end(&mut self, split: Split, cx: &mut Cx) -> Result<()> {
        Ok(())
    }
    /// Such a pass is over; its metrics are in `cx.metrics` (Lightning's `on_validation_end`, `on_test_end`).
    fn on_eval_end(&mut self, split: Split, cx: &mut Cx) -> Result<()> {
        Ok(())
    }
    /// All epochs are trained. A callback that now puts other weights into the network (an average) says `true`: the
    /// running statistics of its normalizations are then gathered anew and it is validated once more.
    fn on_last_epoch_end(&mut self, cx: &mut Cx) -> Result<bool> {
        Ok(false)
    }
    /// Training is over.
    fn on_train_end(&mut self, cx: &mut Cx) -> Result<()> {
        Ok(())
    }
    /// The fit was interrupted or failed; what can be saved is saved now.
    fn on_exception(&mut self, cx: &mut Cx) -> Result<()> {
        Ok(())
    }

    /// Where the best weights are, for the callback that keeps them.
    fn best(&self) -> Option<Best> {
        None
    }
}

/// The best checkpoint so far.
#[derive(Clone, Debug, PartialEq)]
pub struct Best {
    /// The file.
    pub path: PathBuf,
    /// The metric it is best by, and its value; `None` when nothing is monitored.
    pub score: Option<(String, f64)>,
}

/// The kind of callbacks.
pub struct CallbackKind;

impl Kind for CallbackKind {
    type Built = Box<dyn Callback>;
    const NAME: &'static str = "callback";
}
