//! Callbacks: what listens to the loops.

mod checkpoint;
mod early_stopping;
mod filename;
mod fine_tune;
mod lr_monitor;
mod progress;
mod summary;

use crate::registry::Registry;

pub use checkpoint::ModelCheckpoint;
pub use progress::ProgressBar;
pub use summary::ModelSummary;

/// The callbacks, one line each.
pub fn register(registry: &mut Registry) {
    registry.add::<checkpoint::ModelCheckpoint>();
    registry.add::<early_stopping::EarlyStoppingArgs>();
    registry.add::<fine_tune::FineTune>();
    registry.add::<lr_monitor::LearningRateMonitor>();
    registry.add::<progress::ProgressBar>();
    registry.add::<summary::ModelSummary>();
}

/// Whether less or more of a metric is better.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Deserialize, serde::Serialize, schemars::JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Mode {
    /// Less is better.
    #[default]
    Min,
    /// More is better.
    Max,
}

impl Mode {
    /// Whether `a` is better than `b`; never true of NaN.
    pub fn better(self, a: f64, b: f64) -> bool {
        match self {
            Mode::Min => a < b,
            Mode::Max => a > b,
        }
    }

    /// A value that every other is better than.
    pub fn worst(self) -> f64 {
        match self {
            Mode::Min => f64::INFINITY,
            Mode::Max => f64::NEG_INFINITY,
        }
    }
}
