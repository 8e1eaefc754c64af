//! What every task of a network has in common: its parameters, how it is tried on the data, its optimizer.

use tch::{Device, Kind, Tensor};

use crate::error::{Error, Result};
use crate::nn::{Module, Net, Params, trace};
use crate::optim::{
    Horizon, OptimizerKind, OptimizerSpec, ParamRule, Parts, SchedulerConfig, SchedulerSpec, matching, param_groups,
};
use crate::registry::{Build, NonNegative, Slot};
use crate::tensor::guard;
use crate::train::{Optimizers, Schedule};

/// The arguments of a network and of how it learns.
pub(super) struct Learning {
    pub net: Slot<Net>,
    pub optimizer: Slot<OptimizerKind>,
    pub scheduler: Option<SchedulerConfig>,
    pub param_groups: Vec<ParamRule>,
    pub backbone_lr_scale: Option<NonNegative>,
    pub no_weight_decay: Vec<String>,
    pub frozen: Vec<String>,
}

/// A network and how it learns.
pub(super) struct Core {
    pub params: Params,
    pub net: Box<dyn Module>,
    optimizer: Box<dyn OptimizerSpec>,
    schedule: Option<(Box<dyn SchedulerSpec>, SchedulerConfig)>,
    rules: Vec<ParamRule>,
    no_weight_decay: Vec<String>,
    layers: Vec<trace::Record>,
}

impl Core {
    /// Makes the network and freezes what is to be frozen.
    ///
    /// # Errors
    /// When a component cannot be built, or a pattern fits no parameter.
    pub fn build(args: Learning, cx: &mut Build) -> Result<Self> {
        let device = cx.fact::<Device>().copied().unwrap_or(Device::Cpu);
        let params = Params::new(device);
        let net = cx.build(&args.net)?.make(&params.root().child("net"))?;
        let mut rules = args.param_groups;
        if let Some(scale) = args.backbone_lr_scale {
            rules.push(ParamRule { pattern: "backbone".into(), lr_scale: Some(scale), ..ParamRule::default() });
        }
        let core = Core {
            optimizer: cx.build(&args.optimizer)?,
            schedule: match args.scheduler {
                Some(config) => Some((cx.build(&config.scheduler)?, config)),
                None => None,
            },
            params,
            net,
            rules,
            no_weight_decay: args.no_weight_decay,
            layers: Vec::new(),
        };
        for (_, tensor) in matching(core.params.parameters(), &Parts::of(&core.params), &args.frozen)? {
            let _ = tensor.set_requires_grad(false);
        }
        // Patterns that fit nothing are refused before anything is started.
        param_groups(core.params.parameters(), &Parts::of(&core.params), &core.rules, &core.no_weight_decay)?;
        Ok(core)
    }

    /// Tries one sample of zeros of `shape`, so that a network that does not fit the data is refused before training;
    /// gives the output's shape.
    ///
    /// # Errors
    /// When the network does not take such samples: says how far one came.
    pub fn trial(&mut self, shape: &[i64]) -> Result<Vec<i64>> {
        let batch: Vec<i64> = std::iter::once(1).chain(shape.iter().copied()).collect();
        let input = Tensor::f_zeros(&batch, (Kind::Float, self.params.device()))?;
        let (output, layers) = trace::record(|| tch::no_grad(|| guard(|| Ok(self.net.forward(&input, false).size()))));
        let output = output.map_err(|error| misfit(shape, &error, &layers))?;
        self.layers = layers;
        Ok(output)
    }

    /// What every layer does with one sample, once it was tried.
    pub fn layers(&self) -> &[trace::Record] {
        &self.layers
    }

    /// The network's output without gradient statistics, and its features: what goes into the head.
    pub fn forward_with_features(&self, input: &Tensor) -> (Tensor, Option<Tensor>) {
        let head = self.params.head();
        let features = std::rc::Rc::new(std::cell::RefCell::new(None));
        let sink = features.clone();
        let observer = move |event: &trace::Event| {
            let within = |head: &String| {
                event.name.strip_prefix(head.as_str()).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
            };
            if sink.borrow().is_none() && event.leaf && head.iter().any(within) {
                *sink.borrow_mut() = Some(event.input.shallow_clone());
            }
        };
        let output = trace::observe(observer, || self.net.forward(input, false));
        (output, features.take())
    }

    /// The optimizer of all parameters in their groups, with its schedule.
    ///
    /// # Errors
    /// When the optimizer or schedule refuses the groups.
    pub fn configure_optimizers(&self, horizon: Horizon) -> Result<Optimizers> {
        let groups =
            param_groups(self.params.parameters(), &Parts::of(&self.params), &self.rules, &self.no_weight_decay)?;
        let mut optimizer = self.optimizer.make(groups)?;
        let schedule = match &self.schedule {
            None => None,
            Some((spec, config)) => Some(Schedule::of(spec.make(optimizer.as_mut(), horizon)?, config)),
        };
        Ok(Optimizers { optimizer, schedule })
    }
}

/// A network that fails on one sample of zeros: the error, and how far the sample came.
fn misfit(shape: &[i64], error: &Error, layers: &[trace::Record]) -> Error {
    let failed = Error::request(format!("model.net does not take the data's inputs of shape {shape:?}: {error}"));
    if layers.is_empty() {
        return failed.help("its first layer already fails: compare its size with the input's");
    }
    let steps = layers.iter().map(|layer| format!("{} ({}) {:?}", layer.name, layer.kind, layer.output));
    failed.help(format!("the shapes up to there: {}", steps.collect::<Vec<_>>().join(", ")))
}
