//! Single-label classification.

use indexmap::IndexMap;
use tch::{Device, Kind, Tensor};

use super::meters::Meters;
use crate::config::{KeyPath, Map, Node};
use crate::data::{Batch, DataFacts, Split};
use crate::error::Error;
use crate::losses::{Loss, LossKind};
use crate::metrics::MetricKind;
use crate::nn::{Module, Net, Params, trace};
use crate::optim::{Horizon, OptimizerKind, OptimizerSpec, ParamGroup, SchedulerConfig, SchedulerSpec};
use crate::prelude::*;
use crate::tensor::{State, Stateful, guard};
use crate::train::{Log, LogTo, Optimizers, Rows, Schedule, Task, TaskKind};

/// Assigns one class to every input: a network that gives a value a class, a loss, metrics.
///
/// Logs `train/loss`, `val/loss`, `test/loss` and every metric by its name (`val/acc`), for validation with the
/// best value so far (`val/acc_best`), as the lightning-hydra-template's module does.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ClassificationArgs {
    /// The network: `[batch, …]` in, `[batch, classes]` out.
    net: Slot<Net>,
    /// The optimizer; it is given the network's parameters.
    optimizer: Slot<OptimizerKind>,
    /// The learning-rate schedule: a scheduler, or a mapping of `scheduler`, `interval`, `frequency`, `monitor`.
    #[serde(default)]
    scheduler: Option<SchedulerConfig>,
    /// For PyTorch's compiler.
    #[serde(default)]
    #[allow(dead_code, reason = "accepted for compatibility")]
    compile: Ignored,
    /// The loss; cross entropy when not given.
    #[serde(default)]
    loss: Option<Slot<LossKind>>,
    /// Metrics by the name under which they are logged; `acc`, the accuracy, when not given.
    #[serde(default)]
    metrics: Option<IndexMap<String, Slot<MetricKind>>>,
    /// The number of classes, for the accuracy that is logged when no metrics are given.
    #[serde(default = "ten")]
    num_classes: u32,
}

fn ten() -> u32 {
    10
}

impl Component for ClassificationArgs {
    type Kind = TaskKind;
    const TARGETS: &'static [&'static str] = &["runner.tasks.Classification", "src.models.mnist_module.MNISTLitModule"];

    fn build(self, cx: &mut Build) -> Result<Box<dyn Task>> {
        let device = cx.fact::<Device>().copied().unwrap_or(Device::Cpu);
        let params = Params::new(device);
        let net = cx.build(&self.net)?.make(&params.root().child("net"))?;
        let component = |target: &str, args: Vec<(&str, Node)>| {
            let args = args.into_iter().map(|(key, value)| (key.into(), value));
            Node::program(std::iter::once(("_target_".into(), Node::program(target))).chain(args).collect::<Map>())
        };
        let loss = match &self.loss {
            Some(slot) => cx.build(slot)?,
            None => {
                cx.build(&Slot::<LossKind>::new(component("torch.nn.CrossEntropyLoss", vec![]), KeyPath::root()))?
            }
        };
        let metrics = self.metrics.unwrap_or_else(|| {
            let args = vec![("task", Node::program("multiclass")), ("num_classes", Node::program(self.num_classes))];
            IndexMap::from([("acc".to_owned(), Slot::new(component("torchmetrics.Accuracy", args), KeyPath::root()))])
        });
        Ok(Box::new(Classification {
            meters: Meters::build(&metrics, cx)?,
            optimizer: cx.build(&self.optimizer)?,
            schedule: match self.scheduler {
                Some(config) => Some((cx.build(&config.scheduler)?, config)),
                None => None,
            },
            params,
            net,
            loss,
            classes: Vec::new(),
            layers: Vec::new(),
        }))
    }
}

struct Classification {
    params: Params,
    net: Box<dyn Module>,
    loss: Box<dyn Loss>,
    meters: Meters,
    optimizer: Box<dyn OptimizerSpec>,
    schedule: Option<(Box<dyn SchedulerSpec>, SchedulerConfig)>,
    classes: Vec<String>,
    layers: Vec<trace::Record>,
}

impl Classification {
    /// Loss and outputs of a batch; both are logged and counted.
    fn step(&mut self, split: Split, batch: &Batch, train: bool, log: &mut Log) -> Result<Tensor> {
        let (input, target) = (batch.input()?, batch.target()?);
        let output = self.net.forward(input, train);
        let loss = self.loss.forward(&output, target);
        let name = match split {
            Split::Train => "train/loss",
            Split::Val => "val/loss",
            Split::Test | Split::Predict => "test/loss",
        };
        log.tensor(name, &loss, LogTo::EPOCH_BAR);
        self.meters.update(split, &output.detach(), target)?;
        Ok(loss)
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

impl Stateful for Classification {
    fn state(&self) -> State {
        self.meters.state()
    }
    fn restore(&mut self, state: &State) -> Result<()> {
        self.meters.restore(state)
    }
}

impl Task for Classification {
    fn params(&self) -> &Params {
        &self.params
    }

    /// Tries one sample of zeros, so that a network that does not fit the data is refused before training.
    fn setup(&mut self, facts: &DataFacts) -> Result<()> {
        self.classes.clone_from(&facts.classes);
        let Some(shape) = &facts.input_shape else { return Ok(()) };
        let batch: Vec<i64> = std::iter::once(1).chain(shape.iter().copied()).collect();
        let input = Tensor::f_zeros(&batch, (Kind::Float, self.params.device()))?;
        let (output, layers) = trace::record(|| tch::no_grad(|| guard(|| Ok(self.net.forward(&input, false).size()))));
        let output = output.map_err(|error| misfit(shape, &error, &layers))?;
        self.layers = layers;
        let classes = facts.classes.len() as i64;
        match output.as_slice() {
            [1, width] if classes == 0 || *width == classes => Ok(()),
            [1, width] => Err(Error::request(format!(
                "model.net gives {width} values a sample, but the data has {classes} classes"
            ))
            .help("make the network's number of classes (or output size) equal to the data's")),
            other => Err(Error::request(format!(
                "model.net gives {other:?} for one sample, but classification needs [1, classes]"
            ))),
        }
    }

    fn layers(&self) -> &[trace::Record] {
        &self.layers
    }

    fn on_train_start(&mut self) {
        self.meters.forget_best();
    }

    fn train_step(&mut self, batch: &Batch, log: &mut Log) -> Result<Tensor> {
        self.step(Split::Train, batch, true, log)
    }

    fn eval_step(&mut self, split: Split, batch: &Batch, log: &mut Log) -> Result<()> {
        self.step(split, batch, false, log).map(drop)
    }

    fn on_epoch_start(&mut self, split: Split) {
        self.meters.reset(split);
    }

    fn on_epoch_end(&mut self, split: Split, log: &mut Log) -> Result<()> {
        self.meters.log(split, log)
    }

    fn predict_step(&mut self, batch: &Batch) -> Result<Rows> {
        let output = self.net.forward(batch.input()?, false);
        let probabilities = output.softmax(-1, Kind::Float).to_device(Device::Cpu);
        let (samples, classes) = probabilities.size2()?;
        let predicted = Vec::<i64>::try_from(probabilities.argmax(-1, false))?;
        let values = Vec::<f32>::try_from(probabilities.contiguous().view(-1))?;
        let name = |class: usize| self.classes.get(class).cloned().unwrap_or_else(|| class.to_string());
        let mut columns = vec!["prediction".to_owned()];
        columns.extend((0..classes as usize).map(|class| format!("p_{}", name(class))));
        let rows = (0..samples as usize).map(|i| {
            let row = &values[i * classes as usize..(i + 1) * classes as usize];
            std::iter::once(name(predicted[i] as usize)).chain(row.iter().map(f32::to_string)).collect()
        });
        Ok(Rows { columns, rows: rows.collect() })
    }

    fn configure_optimizers(&self, horizon: Horizon) -> Result<Optimizers> {
        let group = ParamGroup { params: self.params.parameters(), options: Vec::new() };
        let mut optimizer = self.optimizer.make(vec![group])?;
        let schedule = match &self.schedule {
            None => None,
            Some((spec, config)) => Some(Schedule::of(spec.make(optimizer.as_mut(), horizon)?, config)),
        };
        Ok(Optimizers { optimizer, schedule })
    }

    fn metric_names(&self, split: Split) -> Vec<String> {
        let mut names = vec![format!("{}/loss", split.name())];
        names.extend(self.meters.names(split));
        names
    }
}
