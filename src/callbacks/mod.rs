//! Callbacks: what listens to the loops.

mod accumulation;
mod averaging;
mod checkpoint;
mod device_stats;
mod duration;
mod early_stopping;
mod epoch_table;
mod filename;
mod fine_tune;
mod finetuning;
mod lr_monitor;
mod on_exception;
mod progress;
mod reports;
mod summary;
mod timeline;
mod timer;

use crate::registry::Registry;

pub use checkpoint::ModelCheckpoint;
pub use progress::ProgressBar;
pub use reports::Reports;
pub use summary::ModelSummary;
pub use timeline::Timeline;

/// The callbacks, one line each.
pub fn register(registry: &mut Registry) {
    registry.add::<checkpoint::ModelCheckpoint>();
    registry.add::<early_stopping::EarlyStoppingArgs>();
    registry.add::<epoch_table::EpochTable>();
    registry.add::<fine_tune::FineTune>();
    registry.add::<lr_monitor::LearningRateMonitor>();
    registry.add::<progress::ProgressBar>();
    registry.add::<summary::ModelSummary>();
    registry.add::<averaging::StochasticWeightAveraging>();
    registry.add::<averaging::EmaWeightAveraging>();
    registry.add::<averaging::WeightAveraging>();
    registry.add::<finetuning::BackboneFinetuning>();
    registry.add::<finetuning::ProgressiveUnfreeze>();
    registry.add::<accumulation::GradientAccumulationScheduler>();
    registry.add::<timer::Timer>();
    registry.add::<device_stats::DeviceStatsMonitor>();
    registry.add::<on_exception::OnExceptionCheckpoint>();
    for (target, why) in REFUSED {
        registry.refuse(target, why);
    }
}

/// Lightning's callbacks that are none here, and what to use instead.
const REFUSED: [(&str, &str); 9] = [
    (
        "lightning.pytorch.callbacks.LambdaCallback",
        "it is made of Python functions; write a callback in a crate of your own (`runner::train::Callback`)",
    ),
    (
        "lightning.pytorch.callbacks.BaseFinetuning",
        "it is a base class for Python; use BackboneFinetuning or runner.callbacks.ProgressiveUnfreeze",
    ),
    (
        "lightning.pytorch.callbacks.BasePredictionWriter",
        "it is a base class for Python; `runner predict` writes predictions as CSV",
    ),
    ("lightning.pytorch.callbacks.BatchSizeFinder", "use tune=true with tuner.batch_size, or `runner tune`"),
    ("lightning.pytorch.callbacks.LearningRateFinder", "use tune=true with tuner.learning_rate, or `runner tune`"),
    ("lightning.pytorch.callbacks.ModelPruning", "pruning is not there; train a smaller network"),
    (
        "lightning.pytorch.callbacks.SpikeDetection",
        "use trainer.detect_anomaly=true, or EarlyStopping with divergence_threshold",
    ),
    ("lightning.pytorch.callbacks.ThroughputMonitor", "the progress bar and trainer.profiler=simple show the speed"),
    ("lightning.pytorch.callbacks.Checkpoint", "it is a base class for Python; use ModelCheckpoint"),
];

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
