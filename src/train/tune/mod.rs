//! Choosing a learning rate and a batch size by short trials: Lightning's Tuner.
//!
//! A trial trains the task for some steps and puts everything back: weights, buffers, the task's state, random
//! numbers, the loop's position. Callbacks and loggers take no part.

mod aside;
mod batch_size;
mod lr_find;
mod plot;
mod suggest;

use schemars::JsonSchema;
use serde::Deserialize;

pub use batch_size::{BatchSizeArgs, ScaleMode, Trial};
pub use lr_find::{LrCurve, LrFindArgs, Sweep};
pub use plot::plot;
pub use suggest::Rule;

use crate::error::Result;
use crate::registry::{Build, Check, Component, Kind};

/// The kind of tuners.
pub struct TunerKind;

impl Kind for TunerKind {
    type Built = TunerArgs;
    const NAME: &'static str = "tuner";
}

/// What `tune: true` and `runner tune` look for before training.
///
/// Takes the place of `lightning.pytorch.tuner.Tuner`: the batch size first, then the learning rate with it. Either
/// is left out with `null`.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct TunerArgs {
    /// Look for a learning rate: the arguments of Lightning's `lr_find`.
    #[serde(default)]
    pub learning_rate: Option<LrFindArgs>,
    /// Look for a batch size: the arguments of Lightning's `scale_batch_size`.
    #[serde(default)]
    pub batch_size: Option<BatchSizeArgs>,
}

impl Component for TunerArgs {
    type Kind = TunerKind;
    const TARGETS: &'static [&'static str] = &["runner.tuner.Tuner", "lightning.pytorch.tuner.Tuner"];

    fn check(&self, cx: &mut Check) {
        if let Some(lr) = &self.learning_rate {
            lr.check(cx);
        }
        if let Some(size) = &self.batch_size {
            size.check(cx);
        }
        if self.learning_rate.is_none() && self.batch_size.is_none() {
            cx.problem("", "there is nothing to tune: both `learning_rate` and `batch_size` are null").help =
                Some("tuner.learning_rate={} looks for a learning rate with the defaults".into());
        }
    }

    fn build(self, _: &mut Build) -> Result<TunerArgs> {
        Ok(self)
    }
}
