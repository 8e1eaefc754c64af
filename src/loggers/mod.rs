//! Loggers: where metrics go.

mod csv;
mod jsonl;
mod mlflow;
mod picture;
mod protobuf;
mod tensorboard;
mod version;
mod wandb;

use crate::registry::Registry;

pub use self::csv::CsvLogger;
pub use self::jsonl::JsonLines;
pub use self::mlflow::{OUTBOX, sync};

/// The loggers, one line each.
pub fn register(registry: &mut Registry) {
    registry.add::<csv::CsvLoggerArgs>();
    registry.add::<jsonl::JsonLinesArgs>();
    registry.add::<mlflow::MlflowArgs>();
    registry.add::<tensorboard::TensorBoardArgs>();
    registry.add::<wandb::WandbArgs>();
}
