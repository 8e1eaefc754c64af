//! The trainer: what is trained ([`Task`]), what listens ([`Callback`]), where values go ([`Logger`]), and the loops.

mod anomaly;
mod args;
mod average;
mod backbone;
mod callback;
mod duration;
mod evaluate;
mod fit;
mod layout;
mod log;
mod logger;
mod loggers;
mod outcomes;
mod precision;
mod profile;
mod saving;
mod step;
mod stop;
mod task;
mod trainer;
pub mod tune;

pub use args::limited;
pub use args::{Accelerator, ClipAlgorithm, Deterministic, Devices, TrainerArgs, TrainerKind};
pub use backbone::backbone;
pub use callback::{Best, Callback, CallbackKind, Cx, MetricStore, Phase, Progress, Request};
pub use duration::MaxTime;
pub use layout::Layout;
pub use log::{Log, LogTo};
pub use logger::{At, HyperParameters, Image, Logger, LoggerKind, Saved, Status};
pub use loggers::{BEGINNING, Loggers};
pub use outcomes::{Counts, Judged, LevelOutcomes, Outcomes};
pub use precision::Precision;
pub use profile::{AdvancedProfiler, Profiling, SimpleProfiler};
pub use stop::{Signal, StopFlag, StopReason};
pub use task::{Optimizers, Rows, Schedule, Task, TaskKind};
pub use trainer::{Outcome, Trainer};
