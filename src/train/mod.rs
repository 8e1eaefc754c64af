//! The trainer: what is trained ([`Task`]), what listens ([`Callback`]), where values go ([`Logger`]), and the loops.

mod args;
mod average;
mod backbone;
mod callback;
mod evaluate;
mod fit;
mod log;
mod logger;
mod profile;
mod step;
mod stop;
mod task;
mod trainer;

pub use args::limited;
pub use args::{Accelerator, ClipAlgorithm, Deterministic, Devices, MaxTime, Precision, TrainerArgs, TrainerKind};
pub use backbone::backbone;
pub use callback::{Best, Callback, CallbackKind, Cx, MetricStore, Phase, Progress, Request};
pub use log::{Log, LogTo};
pub use logger::{Logger, LoggerKind, Status};
pub use stop::{StopFlag, StopReason};
pub use task::{Optimizers, Rows, Schedule, Task, TaskKind};
pub use trainer::{Outcome, Trainer};
