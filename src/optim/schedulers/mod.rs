//! Learning-rate schedulers.
//!
//! A scheduler is a [`Curve`]: the rates at a count of steps (epochs or optimizer steps, as its config says). Most of
//! PyTorch's are defined twice, by recursion from the rate before and in closed form; both are kept, because they
//! differ when something else changes the rate between steps, and because SequentialLR restarts by the closed form.
//! [`Curved`] is what all curves share, `torch.optim.lr_scheduler.LRScheduler`.
//! Formulas: <https://docs.pytorch.org/docs/stable/optim.html#how-to-adjust-learning-rate>.

mod cosine;
mod cyclic;
mod decay;
mod expression;
mod formula;
mod one_cycle;
mod plateau;
mod ramp;
mod sequence;
mod swa;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::{self, Deserialize, Deserializer, Visitor};
use serde::{Serialize, Serializer};
use serde_json::{Map, Value, json};

pub(crate) use formula::Formula;
pub use swa::{Annealing, SwaLr};

use super::{GroupOptions, Optimizer, Scheduler};
use crate::error::{Error, Result};
use crate::registry::{OneOrMany, Registry};
use crate::tensor::{State, Stateful};

/// Adds the schedulers.
pub(super) fn register(registry: &mut Registry) {
    registry.add::<decay::StepLr>();
    registry.add::<decay::MultiStepLr>();
    registry.add::<decay::ExponentialLr>();
    registry.add::<cosine::CosineAnnealingLr>();
    registry.add::<cosine::CosineAnnealingWarmRestarts>();
    registry.add::<one_cycle::OneCycleLr>();
    registry.add::<cyclic::CyclicLr>();
    registry.add::<plateau::ReduceLrOnPlateau>();
    registry.add::<ramp::LinearLr>();
    registry.add::<ramp::PolynomialLr>();
    registry.add::<ramp::ConstantLr>();
    registry.add::<sequence::SequentialLr>();
    registry.add::<sequence::ChainedScheduler>();
    registry.add::<expression::Expression>();
    registry.add::<swa::SwaLr>();
}

/// Where a schedule is.
pub(super) struct At {
    /// Steps taken since the start; -1 before the first.
    pub last_epoch: i64,
    /// How often [`Curved::step`] was called.
    pub step_count: u64,
    /// The groups' initial rates.
    pub base_lrs: Vec<f64>,
    /// Whether this is the step that making the scheduler takes.
    pub initial: bool,
}

impl At {
    /// The count as a number.
    pub fn count(&self) -> f64 {
        self.last_epoch as f64
    }
}

/// The rates of a schedule.
pub(super) trait Curve: Send {
    /// Moves the count on.
    fn advance(&mut self, at: &mut At) {
        at.last_epoch += 1;
    }

    /// The groups' rates, from those before (recursive form). May change the groups' momentum.
    fn rates(&self, at: &At, groups: &mut [GroupOptions]) -> Result<Vec<f64>>;

    /// The groups' rates from the count alone, if there is such a form.
    fn closed(&self, _: &At) -> Option<Vec<f64>> {
        None
    }

    /// What the curve knows beyond [`At`].
    fn state(&self) -> Map<String, Value> {
        Map::new()
    }

    /// Puts that back.
    fn restore(&mut self, _: &Value) {}

    /// Whether a saved state may be of another number of groups than there were when the scheduler was made.
    fn takes_saved_groups(&self) -> bool {
        false
    }
}

/// A scheduler that follows a curve.
pub(super) struct Curved<C> {
    curve: C,
    at: At,
}

impl<C: Curve> Curved<C> {
    /// Makes the scheduler and takes its first step, as PyTorch's constructors do.
    pub fn new(curve: C, optimizer: &mut dyn Optimizer) -> Result<Self> {
        for group in optimizer.groups_mut() {
            group.initial_lr.get_or_insert(group.lr);
        }
        let base_lrs = optimizer.groups().iter().map(|group| group.initial_lr.unwrap_or(group.lr)).collect();
        let mut made = Curved { curve, at: At { last_epoch: -1, step_count: 0, base_lrs, initial: true } };
        made.start(optimizer)?;
        Ok(made)
    }

    /// Where it is, to be corrected by a curve's constructor.
    pub fn at_mut(&mut self) -> &mut At {
        &mut self.at
    }

    fn set(rates: Vec<f64>, optimizer: &mut dyn Optimizer) -> Result<()> {
        let groups = optimizer.groups_mut();
        if rates.len() > groups.len() {
            return Err(Error::failed(format!("the scheduler knows {} groups, not {}", rates.len(), groups.len())));
        }
        // A group added later has a rate of its own where the schedule does not reach it.
        for (group, rate) in groups.iter_mut().zip(rates) {
            group.lr = rate;
        }
        Ok(())
    }
}

impl<C: Curve> Scheduler for Curved<C> {
    fn step(&mut self, optimizer: &mut dyn Optimizer, _: Option<f64>) -> Result<()> {
        self.at.step_count += 1;
        self.curve.advance(&mut self.at);
        let rates = self.curve.rates(&self.at, optimizer.groups_mut())?;
        Self::set(rates, optimizer)
    }

    fn rewind(&mut self) {
        self.at.last_epoch -= 1;
    }

    fn start(&mut self, optimizer: &mut dyn Optimizer) -> Result<()> {
        self.at.step_count = 0;
        self.at.initial = true;
        let result = self.step(optimizer, None);
        self.at.initial = false;
        result
    }

    fn restart(&mut self, optimizer: &mut dyn Optimizer) -> Result<()> {
        self.at.last_epoch = 0;
        let rates = match self.curve.closed(&self.at) {
            Some(rates) => rates,
            None => self.curve.rates(&self.at, optimizer.groups_mut())?,
        };
        Self::set(rates, optimizer)
    }
}

/// `last_epoch`, `_step_count`, `base_lrs`, as in PyTorch's state dict, and what the curve adds.
impl<C: Curve> Stateful for Curved<C> {
    fn state(&self) -> State {
        let mut state = self.curve.state();
        state.insert("last_epoch".into(), self.at.last_epoch.into());
        state.insert("_step_count".into(), self.at.step_count.into());
        state.insert("base_lrs".into(), json!(self.at.base_lrs));
        State::of(Value::Object(state))
    }

    fn restore(&mut self, state: &State) -> Result<()> {
        let value = &state.value;
        let base_lrs = value["base_lrs"].as_array().into_iter().flatten().filter_map(Value::as_f64);
        let base_lrs: Vec<f64> = base_lrs.collect();
        let fits = base_lrs.len() == self.at.base_lrs.len() || self.curve.takes_saved_groups();
        let (Some(last_epoch), true) = (value["last_epoch"].as_i64(), fits) else { return Err(misfit()) };
        self.at.last_epoch = last_epoch;
        self.at.step_count = value["_step_count"].as_u64().ok_or_else(misfit)?;
        self.at.base_lrs = base_lrs;
        self.curve.restore(value);
        Ok(())
    }
}

/// The error of a state that is another scheduler's.
fn misfit() -> Error {
    Error::failed("the saved state does not fit this scheduler")
        .help("resume with the scheduler and the parameter groups of the checkpoint")
}

/// A number as JSON; infinities and NaN as text.
fn to_json(value: f64) -> Value {
    if value.is_finite() { value.into() } else { value.to_string().into() }
}

/// A number from [`to_json`].
fn from_json(value: &Value) -> Option<f64> {
    value.as_f64().or_else(|| value.as_str()?.parse().ok())
}

/// One value for every group: the one given for all, or the list, which must be as long.
fn for_groups(name: &str, values: &OneOrMany<f64>, groups: usize) -> Result<Vec<f64>> {
    match values {
        OneOrMany::One(value) => Ok(vec![*value; groups]),
        OneOrMany::Many(values) if values.len() == groups => Ok(values.clone()),
        OneOrMany::Many(values) => Err(Error::request(format!(
            "`{name}` of the scheduler has {} values, but the optimizer has {groups} groups of parameters",
            values.len()
        ))
        .help("give one value for all groups, or one for each")),
    }
}

/// Checks that the optimizer has a momentum (or Adam's beta1) to cycle.
fn needs_momentum(optimizer: &dyn Optimizer) -> Result<()> {
    if optimizer.groups().iter().all(|group| group.momentum.is_some()) {
        return Ok(());
    }
    Err(Error::request(format!("the scheduler cycles the momentum, which {} does not have", optimizer.name()))
        .help("set cycle_momentum=false"))
}

/// `last_epoch` of PyTorch's schedulers: -1, the start. Going on is what a checkpoint is for.
#[derive(Clone, Copy, Debug, Default)]
pub struct LastEpoch;

impl<'de> Deserialize<'de> for LastEpoch {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Take;
        impl Visitor<'_> for Take {
            type Value = LastEpoch;
            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("-1 (a run goes on from its checkpoint)")
            }
            fn visit_i64<E: de::Error>(self, v: i64) -> Result<LastEpoch, E> {
                if v == -1 { Ok(LastEpoch) } else { Err(E::invalid_value(de::Unexpected::Signed(v), &self)) }
            }
        }
        deserializer.deserialize_i64(Take)
    }
}

impl Serialize for LastEpoch {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_i64(-1)
    }
}

impl JsonSchema for LastEpoch {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "LastEpoch".into()
    }
    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "const": -1 })
    }
    fn inline_schema() -> bool {
        true
    }
}

/// The component of a scheduler whose arguments are its spec.
macro_rules! scheduler {
    ($args:ty, $($target:literal),+) => {
        impl $crate::registry::Component for $args {
            type Kind = $crate::optim::SchedulerKind;
            const TARGETS: &'static [&'static str] = &[$($target),+];

            fn check(&self, cx: &mut $crate::registry::Check) {
                if let Err((argument, message)) = self.validate() {
                    cx.problem(argument, message);
                }
            }

            fn build(
                self,
                _: &mut $crate::registry::Build,
            ) -> $crate::error::Result<Box<dyn $crate::optim::SchedulerSpec>> {
                Ok(Box::new(self))
            }
        }
    };
}
use scheduler;

/// What is wrong with arguments together: the argument at fault and a sentence.
type Fault = (&'static str, String);
