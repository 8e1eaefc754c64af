//! Several optimizers of one network, each with a schedule of its own.
//!
//! Every step each of them takes a step with the same gradients (what malpolon's manual optimization does). To the
//! trainer they are one optimizer whose groups are those of all.

use std::collections::HashSet;
use std::ops::Range;

use indexmap::IndexMap;
use serde_json::json;
use tch::Tensor;

use super::{
    GradScale, GroupOptions, Horizon, Optimizer, OptimizerKind, OptimizerSpec, ParamGroup, Scheduler, SchedulerKind,
    SchedulerSpec,
};
use crate::error::Error;
use crate::prelude::*;
use crate::tensor::{State, Stateful};

/// Several optimizers that each train the whole network, one after the other at every step.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct SeveralArgs {
    /// The optimizers by name; with none of them the network learns nothing.
    optimizers: IndexMap<String, Slot<OptimizerKind>>,
}

impl Component for SeveralArgs {
    type Kind = OptimizerKind;
    const TARGETS: &'static [&'static str] = &["runner.optim.Several"];

    fn build(self, cx: &mut Build) -> Result<Box<dyn OptimizerSpec>> {
        Ok(Box::new(SeveralSpec(cx.build_all(self.optimizers.values())?)))
    }
}

struct SeveralSpec(Vec<Box<dyn OptimizerSpec>>);

impl OptimizerSpec for SeveralSpec {
    fn make(&self, groups: Vec<ParamGroup>) -> Result<Box<dyn Optimizer>> {
        let copy = |group: &ParamGroup| ParamGroup {
            params: group.params.iter().map(|(name, tensor)| (name.clone(), tensor.shallow_clone())).collect(),
            options: group.options.clone(),
        };
        let all = self.0.iter().map(|spec| spec.make(groups.iter().map(copy).collect())).collect::<Result<Vec<_>>>()?;
        let options = all.iter().flat_map(|optimizer| optimizer.groups().to_vec()).collect();
        Ok(Box::new(Several { all, options }))
    }
}

struct Several {
    all: Vec<Box<dyn Optimizer>>,
    /// The options of all groups, the first optimizer's first: the schedulers write here.
    options: Vec<GroupOptions>,
}

impl Several {
    /// Hands the options over to the optimizers.
    fn settle(&mut self) {
        let mut options = self.options.iter();
        for optimizer in &mut self.all {
            optimizer.groups_mut().iter_mut().zip(options.by_ref()).for_each(|(own, given)| *own = *given);
        }
    }

    /// Takes the options back from the optimizers.
    fn gather(&mut self) {
        self.options = self.all.iter().flat_map(|optimizer| optimizer.groups().to_vec()).collect();
    }
}

impl Stateful for Several {
    fn state(&self) -> State {
        let mut state = State::of(json!({}));
        for (index, optimizer) in self.all.iter().enumerate() {
            state.nest(&index.to_string(), optimizer.state());
        }
        state
    }

    fn restore(&mut self, state: &State) -> Result<()> {
        for (index, optimizer) in self.all.iter_mut().enumerate() {
            optimizer.restore(&state.nested(&index.to_string()))?;
        }
        self.gather();
        Ok(())
    }
}

impl Optimizer for Several {
    fn name(&self) -> &'static str {
        "Several"
    }

    fn step(&mut self, scale: Option<&GradScale>) -> Result<()> {
        self.settle();
        self.all.iter_mut().try_for_each(|optimizer| optimizer.step(scale))
    }

    fn zero_grad(&mut self) {
        self.all.iter_mut().for_each(|optimizer| optimizer.zero_grad());
    }

    fn groups(&self) -> &[GroupOptions] {
        &self.options
    }

    fn groups_mut(&mut self) -> &mut [GroupOptions] {
        &mut self.options
    }

    /// Every parameter once, with the first optimizer's groups: gradients are clipped and unscaled once.
    fn params(&self) -> Vec<&[(String, Tensor)]> {
        let own = self.all.first().map_or_else(Vec::new, |first| first.params());
        let rest = self.options.len() - own.len();
        own.into_iter().chain(std::iter::repeat_n(&[][..], rest)).collect()
    }

    fn add_group(&mut self, group: ParamGroup) -> Result<()> {
        self.settle();
        let first = self.all.first_mut().ok_or_else(|| Error::failed("there is no optimizer"))?;
        first.add_group(group)?;
        self.gather();
        Ok(())
    }

    fn withdraw(&mut self, names: &HashSet<&str>) {
        self.all.iter_mut().for_each(|optimizer| optimizer.withdraw(names));
    }
}

/// A schedule for each of several optimizers, in their order; null leaves its rate alone.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct SeveralSchedules {
    /// The schedules, as many as there are optimizers.
    schedulers: Vec<Option<Slot<SchedulerKind>>>,
}

impl Component for SeveralSchedules {
    type Kind = SchedulerKind;
    const TARGETS: &'static [&'static str] = &["runner.optim.SeveralSchedules"];

    fn build(self, cx: &mut Build) -> Result<Box<dyn SchedulerSpec>> {
        let built = self.schedulers.iter().map(|slot| cx.build_opt(slot)).collect::<Result<_>>()?;
        Ok(Box::new(SchedulesSpec(built)))
    }
}

struct SchedulesSpec(Vec<Option<Box<dyn SchedulerSpec>>>);

impl SchedulerSpec for SchedulesSpec {
    fn make(&self, optimizer: &mut dyn Optimizer, horizon: Horizon) -> Result<Box<dyn Scheduler>> {
        let (groups, count) = (optimizer.groups().len(), self.0.len());
        if count == 0 || groups % count != 0 {
            return Err(Error::request(format!("{count} schedules do not fit {groups} groups of parameters"))
                .help("give one for each optimizer of runner.optim.Several, null where there is none"));
        }
        let width = groups / count;
        let mut all = Vec::new();
        for (index, spec) in self.0.iter().enumerate() {
            let Some(spec) = spec else { continue };
            let range = index * width..(index + 1) * width;
            let scheduler = spec.make(&mut Part { whole: optimizer, range: range.clone() }, horizon)?;
            all.push((range, scheduler));
        }
        Ok(Box::new(Schedules(all)))
    }
}

struct Schedules(Vec<(Range<usize>, Box<dyn Scheduler>)>);

impl Stateful for Schedules {
    fn state(&self) -> State {
        let mut state = State::of(json!({}));
        for (index, (_, scheduler)) in self.0.iter().enumerate() {
            state.nest(&index.to_string(), scheduler.state());
        }
        state
    }

    fn restore(&mut self, state: &State) -> Result<()> {
        let mut all = self.0.iter_mut().enumerate();
        all.try_for_each(|(index, (_, scheduler))| scheduler.restore(&state.nested(&index.to_string())))
    }
}

impl Scheduler for Schedules {
    fn step(&mut self, optimizer: &mut dyn Optimizer, metric: Option<f64>) -> Result<()> {
        for (range, scheduler) in &mut self.0 {
            let metric = metric.filter(|_| scheduler.needs_metric());
            scheduler.step(&mut Part { whole: optimizer, range: range.clone() }, metric)?;
        }
        Ok(())
    }

    fn needs_metric(&self) -> bool {
        self.0.iter().any(|(_, scheduler)| scheduler.needs_metric())
    }
}

/// Some groups of an optimizer, as a schedule of theirs sees it.
struct Part<'a> {
    whole: &'a mut dyn Optimizer,
    range: Range<usize>,
}

impl Stateful for Part<'_> {}

impl Optimizer for Part<'_> {
    fn name(&self) -> &'static str {
        self.whole.name()
    }
    fn step(&mut self, scale: Option<&GradScale>) -> Result<()> {
        self.whole.step(scale)
    }
    fn zero_grad(&mut self) {
        self.whole.zero_grad();
    }
    fn groups(&self) -> &[GroupOptions] {
        &self.whole.groups()[self.range.clone()]
    }
    fn groups_mut(&mut self) -> &mut [GroupOptions] {
        &mut self.whole.groups_mut()[self.range.clone()]
    }
    fn params(&self) -> Vec<&[(String, Tensor)]> {
        self.whole.params()[self.range.clone()].to_vec()
    }
    fn add_group(&mut self, group: ParamGroup) -> Result<()> {
        self.whole.add_group(group)
    }
    fn withdraw(&mut self, names: &HashSet<&str>) {
        self.whole.withdraw(names);
    }
    fn momentum_is_beta1(&self) -> bool {
        self.whole.momentum_is_beta1()
    }
}
