//! When a scheduler moves on, from config: Lightning's `lr_scheduler` dict.

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer};

use super::SchedulerKind;
use crate::registry::{Slot, SlotOr};

/// A scheduler and when it moves on: a scheduler alone, or Lightning's mapping around it.
///
/// ```yaml
/// scheduler:
///   scheduler:
///     _target_: torch.optim.lr_scheduler.OneCycleLR
///     max_lr: 0.1
///   interval: step      # or epoch
///   frequency: 1
///   monitor: val/loss   # for ReduceLROnPlateau
/// ```
#[derive(Clone, Debug)]
pub struct SchedulerConfig {
    /// The scheduler.
    pub scheduler: Slot<SchedulerKind>,
    /// What is counted; epochs when not given, as in Lightning.
    pub interval: Interval,
    /// Every how many of them the scheduler moves on.
    pub frequency: u64,
    /// The metric that it follows.
    pub monitor: Option<String>,
    /// Whether a metric that was not logged is an error rather than a warning.
    pub strict: bool,
    /// Under which name LearningRateMonitor logs the rate.
    pub name: Option<String>,
}

/// What a scheduler counts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Interval {
    /// Optimizer steps.
    Step,
    /// Epochs.
    #[default]
    Epoch,
}

/// The mapping, as written.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[allow(dead_code, reason = "some arguments are only accepted")]
struct Mapping {
    /// The scheduler.
    scheduler: Slot<SchedulerKind>,
    /// What is counted: `epoch` or `step`.
    #[serde(default)]
    interval: Interval,
    /// Every how many of them the scheduler moves on, 1 or more.
    #[serde(default = "one")]
    frequency: std::num::NonZeroU64,
    /// The metric that it follows.
    #[serde(default)]
    monitor: Option<String>,
    /// Whether a metric that was not logged is an error rather than a warning.
    #[serde(default = "yes")]
    strict: bool,
    /// Under which name LearningRateMonitor logs the rate.
    #[serde(default)]
    name: Option<String>,
}

fn one() -> std::num::NonZeroU64 {
    std::num::NonZeroU64::MIN
}

fn yes() -> bool {
    true
}

impl SchedulerConfig {
    /// Whether the scheduler moves on by optimizer steps rather than by epochs.
    pub fn each_step(&self) -> bool {
        self.interval == Interval::Step
    }
}

impl<'de> Deserialize<'de> for SchedulerConfig {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Ok(match SlotOr::<SchedulerKind, Mapping>::deserialize(deserializer)? {
            SlotOr::Slot(scheduler) => SchedulerConfig {
                scheduler,
                interval: Interval::Epoch,
                frequency: 1,
                monitor: None,
                strict: true,
                name: None,
            },
            SlotOr::Other(mapping) => SchedulerConfig {
                scheduler: mapping.scheduler,
                interval: mapping.interval,
                frequency: mapping.frequency.get(),
                monitor: mapping.monitor,
                strict: mapping.strict,
                name: mapping.name,
            },
        })
    }
}

impl JsonSchema for SchedulerConfig {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "SchedulerConfig".into()
    }
    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let slot = generator.subschema_for::<Slot<SchedulerKind>>();
        let mapping = generator.subschema_for::<Mapping>();
        json_schema!({ "anyOf": [slot, mapping] })
    }
    fn inline_schema() -> bool {
        true
    }
}
