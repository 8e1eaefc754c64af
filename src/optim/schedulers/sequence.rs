//! Schedulers made of schedulers: one after the other, or all at once.

use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::json;

use super::{LastEpoch, misfit};
use crate::error::{Error, Result};
use crate::optim::{Horizon, Optimizer, Scheduler, SchedulerKind, SchedulerSpec};
use crate::registry::{Build, Check, Component, Slot};
use crate::tensor::{State, Stateful};

/// Runs schedulers one after the other: the next one takes over at each milestone, from the initial rates.
///
/// <https://docs.pytorch.org/docs/stable/generated/torch.optim.lr_scheduler.SequentialLR.html>
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[allow(dead_code, reason = "some arguments are only accepted")]
pub struct SequentialLr {
    /// The schedulers, in order.
    pub schedulers: Vec<Slot<SchedulerKind>>,
    /// The steps at which the second, third, … take over, in order.
    pub milestones: Vec<u64>,
    /// Only -1, the start.
    #[serde(default)]
    pub last_epoch: LastEpoch,
}

/// Runs several schedulers at once; the rate is the product of their factors.
///
/// <https://docs.pytorch.org/docs/stable/generated/torch.optim.lr_scheduler.ChainedScheduler.html>
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[allow(dead_code, reason = "some arguments are only accepted")]
pub struct ChainedScheduler {
    /// The schedulers; each changes the rate that the one before it leaves.
    pub schedulers: Vec<Slot<SchedulerKind>>,
}

impl Component for SequentialLr {
    type Kind = SchedulerKind;
    const TARGETS: &'static [&'static str] = &["torch.optim.lr_scheduler.SequentialLR"];

    fn check(&self, cx: &mut Check) {
        let (schedulers, milestones) = (self.schedulers.len(), self.milestones.len());
        if schedulers == 0 {
            cx.problem("schedulers", "at least one scheduler is needed");
        } else if milestones + 1 != schedulers {
            let message = format!("{schedulers} schedulers need {} milestones, not {milestones}", schedulers - 1);
            cx.problem("milestones", message);
        }
        if !self.milestones.is_sorted() {
            cx.problem("milestones", "milestones are given in order");
        }
    }

    fn build(self, cx: &mut Build) -> Result<Box<dyn SchedulerSpec>> {
        let specs = cx.build_all(&self.schedulers)?;
        Ok(Box::new(Spec { specs, milestones: Some(self.milestones) }))
    }
}

impl Component for ChainedScheduler {
    type Kind = SchedulerKind;
    const TARGETS: &'static [&'static str] = &["torch.optim.lr_scheduler.ChainedScheduler"];

    fn check(&self, cx: &mut Check) {
        if self.schedulers.is_empty() {
            cx.problem("schedulers", "at least one scheduler is needed");
        }
    }

    fn build(self, cx: &mut Build) -> Result<Box<dyn SchedulerSpec>> {
        Ok(Box::new(Spec { specs: cx.build_all(&self.schedulers)?, milestones: None }))
    }
}

/// Both: with milestones one after the other, without all at once.
struct Spec {
    specs: Vec<Box<dyn SchedulerSpec>>,
    milestones: Option<Vec<u64>>,
}

impl SchedulerSpec for Spec {
    fn make(&self, optimizer: &mut dyn Optimizer, horizon: Horizon) -> Result<Box<dyn Scheduler>> {
        let mut schedulers = Vec::new();
        for spec in &self.specs {
            schedulers.push(spec.make(optimizer, horizon)?);
        }
        if schedulers.is_empty() {
            return Err(Error::request("a scheduler made of schedulers needs at least one"));
        }
        if schedulers.iter().any(|scheduler| scheduler.needs_metric()) {
            return Err(Error::request("ReduceLROnPlateau cannot be one of several schedulers, as it needs a metric"));
        }
        let Some(milestones) = self.milestones.clone() else {
            return Ok(Box::new(Chained { schedulers }));
        };
        // All have taken their first step by now; only the first one's counts.
        for group in optimizer.groups_mut() {
            group.lr = group.initial_lr.unwrap_or(group.lr);
        }
        schedulers.iter_mut().for_each(|scheduler| scheduler.rewind());
        schedulers[0].start(optimizer)?;
        Ok(Box::new(Sequential { schedulers, milestones, last_epoch: 0 }))
    }
}

struct Sequential {
    schedulers: Vec<Box<dyn Scheduler>>,
    milestones: Vec<u64>,
    last_epoch: u64,
}

impl Scheduler for Sequential {
    fn step(&mut self, optimizer: &mut dyn Optimizer, _: Option<f64>) -> Result<()> {
        self.last_epoch += 1;
        let turn = self.milestones.iter().filter(|milestone| **milestone <= self.last_epoch).count();
        let begins = turn > 0 && self.milestones[turn - 1] == self.last_epoch;
        let Some(scheduler) = self.schedulers.get_mut(turn) else { return Err(misfit()) };
        if begins { scheduler.restart(optimizer) } else { scheduler.step(optimizer, None) }
    }

    fn rewind(&mut self) {
        self.schedulers.iter_mut().for_each(|scheduler| scheduler.rewind());
    }

    fn start(&mut self, optimizer: &mut dyn Optimizer) -> Result<()> {
        self.last_epoch = 0;
        self.schedulers[0].start(optimizer)
    }

    fn restart(&mut self, optimizer: &mut dyn Optimizer) -> Result<()> {
        self.last_epoch = 0;
        self.schedulers[0].restart(optimizer)
    }
}

struct Chained {
    schedulers: Vec<Box<dyn Scheduler>>,
}

impl Scheduler for Chained {
    fn step(&mut self, optimizer: &mut dyn Optimizer, _: Option<f64>) -> Result<()> {
        self.schedulers.iter_mut().try_for_each(|scheduler| scheduler.step(optimizer, None))
    }

    fn rewind(&mut self) {
        self.schedulers.iter_mut().for_each(|scheduler| scheduler.rewind());
    }

    fn start(&mut self, optimizer: &mut dyn Optimizer) -> Result<()> {
        self.schedulers.iter_mut().try_for_each(|scheduler| scheduler.start(optimizer))
    }

    fn restart(&mut self, optimizer: &mut dyn Optimizer) -> Result<()> {
        let Some((first, rest)) = self.schedulers.split_first_mut() else { return Ok(()) };
        first.restart(optimizer)?;
        // The first begins from the initial rates; the others change what it leaves, as at the very beginning.
        rest.iter_mut().try_for_each(|scheduler| scheduler.start(optimizer))
    }
}

/// The schedulers' states, in order, under `_schedulers`.
fn inner_state(schedulers: &[Box<dyn Scheduler>], last_epoch: Option<u64>) -> State {
    let states: Vec<_> = schedulers.iter().map(|scheduler| scheduler.state().value).collect();
    State::of(json!({ "last_epoch": last_epoch, "_schedulers": states }))
}

fn restore_inner(schedulers: &mut [Box<dyn Scheduler>], state: &State) -> Result<()> {
    let states = state.value["_schedulers"].as_array().filter(|states| states.len() == schedulers.len());
    let states = states.ok_or_else(misfit)?;
    schedulers.iter_mut().zip(states).try_for_each(|(scheduler, state)| scheduler.restore(&State::of(state.clone())))
}

impl Stateful for Sequential {
    fn state(&self) -> State {
        inner_state(&self.schedulers, Some(self.last_epoch))
    }

    fn restore(&mut self, state: &State) -> Result<()> {
        restore_inner(&mut self.schedulers, state)?;
        self.last_epoch = state.value["last_epoch"].as_u64().ok_or_else(misfit)?;
        Ok(())
    }
}

impl Stateful for Chained {
    fn state(&self) -> State {
        inner_state(&self.schedulers, None)
    }

    fn restore(&mut self, state: &State) -> Result<()> {
        restore_inner(&mut self.schedulers, state)
    }
}
