//! Whole training runs: the loss of every batch, rates, gradient norms, validation and the final parameters.

#[path = "support/golden.rs"]
mod golden;
#[path = "support/network.rs"]
mod network;

use golden::{Case, Got};
use network::Network;
use runner::error::{Error, Result};
use runner::losses::{Loss, LossKind};
use runner::metrics::{Metric, MetricKind, Update, Value as Computed};
use runner::nn::EntryKind;
use runner::optim::{Horizon, Optimizer, OptimizerKind, ParamGroup, Scheduler, SchedulerKind, clip_grad_norm};
use runner::registry::Registry;
use serde_json::{Value, json};
use tch::Tensor;

#[test]
fn training() {
    tch::set_num_threads(1);
    let mut registry = network::registry();
    runner::losses::register(&mut registry);
    runner::metrics::register(&mut registry);
    runner::optim::register(&mut registry);
    golden::run_family("training", |case| Run::new(&registry, case)?.fit());
}

/// One split of a case's data: pictures `[n, 1, side, side]` and labels `[n]`.
struct Split {
    x: Tensor,
    y: Tensor,
}

impl Split {
    /// Samples that mix a class's prototype, shared by the splits, with noise of their own.
    fn new(case: &Case, name: &str) -> Result<Self> {
        let data = &case.inputs["data"];
        let whole = |name: &str| data[name].as_u64().ok_or_else(|| Error::failed(format!("data without {name}")));
        let (count, classes, side) = (whole(name)?, whole("classes")?, whole("side")?);
        let mix = golden::number(&data["mix"]).ok_or_else(|| Error::failed("data without mix"))?;
        let key = data["key"].as_str().unwrap_or_default();
        let labels = format!("{key}/{name}/y");
        let y: Vec<i64> = (0..count).map(|i| golden::int(&labels, i, 0, classes)).collect();
        let pixels = (side * side) as usize;
        let prototypes = stream(&format!("{key}/train/proto"), classes as usize * pixels);
        let noise = stream(&format!("{key}/{name}/noise"), count as usize * pixels);
        let mut x = Vec::with_capacity(noise.len());
        for (label, noise) in y.iter().zip(noise.chunks(pixels)) {
            let prototype = &prototypes[*label as usize * pixels..];
            x.extend(prototype.iter().zip(noise).map(|(p, n)| (2.0 * (mix * p + (1.0 - mix) * n) - 1.0) as f32));
        }
        let side = side as i64;
        Ok(Split { x: Tensor::from_slice(&x).reshape([-1, 1, side, side]), y: Tensor::from_slice(&y) })
    }
}

/// The first `count` numbers of a stream.
fn stream(key: &str, count: usize) -> Vec<f64> {
    let seed = golden::seed(key);
    let unit = |i: u64| (golden::mix(seed.wrapping_add(i)) >> 40) as f64 / f64::from(1 << 24);
    (0..count as u64).map(unit).collect()
}

/// The data are what the reference trained on.
fn check_data(case: &Case, train: &Split) -> Result<()> {
    let check = &case.inputs["check"];
    let exact = golden::Rules::read(&json!({"default": {"abs": 1e-6, "rel": 1e-6}}))?;
    let first = check["first_order"].as_array().map_or(0, Vec::len);
    let labels = golden::tensor(&check["labels"])?.size()[0];
    let got = golden::map([
        ("first_order", order(case, 0)[..first].iter().map(|i| *i as f64).collect::<Vec<_>>().into()),
        ("x0_row0", train.x.get(0).get(0).get(0).into()),
        ("labels", train.y.narrow(0, 0, labels).into()),
    ]);
    golden::compare(check, &got, &exact, "check").map_err(Error::failed)
}

/// The samples of an epoch in order.
fn order(case: &Case, epoch: u64) -> Vec<usize> {
    let key = case.inputs["data"]["key"].as_str().unwrap_or_default();
    golden::shuffle(&format!("{key}/order/{epoch}"), case.inputs["data"]["train"].as_u64().unwrap_or(0) as usize)
}

/// The component that `args[name]` describes.
fn part<K: runner::registry::Kind>(registry: &Registry, case: &Case, name: &str) -> Result<K::Built> {
    let part = &case.args[name];
    let target = part["target"].as_str().ok_or_else(|| Error::failed(format!("{name} without target")))?;
    golden::component::<K>(registry, target, &part["args"])
}

struct Run<'a> {
    case: &'a Case,
    net: Network,
    loss: Box<dyn Loss>,
    optimizer: Box<dyn Optimizer>,
    scheduler: Option<Box<dyn Scheduler>>,
    accuracy: Box<dyn Metric>,
    train: Split,
    val: Split,
    rates: Vec<f64>,
    norms: Vec<f64>,
}

impl<'a> Run<'a> {
    fn new(registry: &Registry, case: &'a Case) -> Result<Self> {
        // Layers in a list are what a config writes as `_args_`.
        let net = network::make(registry, &case.target, &json!({ "_args_": case.args["layers"] }))?;
        network::seed_weights(&net.params, case)?;
        let mut optimizer = part::<OptimizerKind>(registry, case, "optimizer")?
            .make(vec![ParamGroup { params: net.params.parameters(), options: Vec::new() }])?;
        let scheduler = match &case.args["scheduler"] {
            Value::Null => None,
            _ => {
                let spec = part::<SchedulerKind>(registry, case, "scheduler")?;
                Some(spec.make(optimizer.as_mut(), Horizon::default())?)
            }
        };
        let accuracy = json!({"task": "multiclass", "num_classes": case.inputs["data"]["classes"]});
        let run = Run {
            case,
            loss: part::<LossKind>(registry, case, "loss")?,
            accuracy: golden::component::<MetricKind>(registry, "torchmetrics.Accuracy", &accuracy)?,
            train: Split::new(case, "train")?,
            val: Split::new(case, "val")?,
            net,
            optimizer,
            scheduler,
            rates: Vec::new(),
            norms: Vec::new(),
        };
        check_data(case, &run.train)?;
        Ok(run)
    }

    fn whole(&self, name: &str) -> usize {
        self.case.args[name].as_u64().unwrap_or(1) as usize
    }

    fn fit(mut self) -> Result<Got> {
        let (batch_size, accumulate) = (self.whole("batch_size"), self.whole("accumulate_grad_batches"));
        let (mut losses, mut val_losses, mut val_accuracies) = (Vec::new(), Vec::new(), Vec::new());
        for epoch in 0..self.whole("epochs") {
            let order = order(self.case, epoch as u64);
            let batches = order.chunks(batch_size).count();
            for (i, batch) in order.chunks(batch_size).enumerate() {
                losses.push(self.batch(batch, accumulate as f64)?);
                if (i + 1) % accumulate == 0 || i + 1 == batches {
                    self.step()?;
                }
            }
            self.schedule("epoch")?;
            let (loss, accuracy) = self.validate()?;
            val_losses.push(loss);
            val_accuracies.push(accuracy);
        }
        let mut got = vec![
            ("train_loss".to_owned(), losses.into()),
            ("lr".to_owned(), self.rates.clone().into()),
            ("val_loss".to_owned(), val_losses.into()),
            ("val_accuracy".to_owned(), val_accuracies.into()),
            ("parameters_after".to_owned(), self.sums()),
        ];
        if !self.norms.is_empty() {
            got.push(("grad_norm_before_clipping".to_owned(), self.norms.clone().into()));
        }
        Ok(network::map_of(got))
    }

    /// Forward and backward of one batch; gives the loss.
    fn batch(&self, batch: &[usize], accumulate: f64) -> Result<f64> {
        let rows = Tensor::from_slice(&batch.iter().map(|i| *i as i64).collect::<Vec<_>>());
        let logits = self.net.net.forward(&self.train.x.index_select(0, &rows), true);
        let loss = self.loss.forward(&logits, &self.train.y.index_select(0, &rows));
        (&loss / accumulate).backward();
        Ok(loss.double_value(&[]))
    }

    fn step(&mut self) -> Result<()> {
        if let Some(limit) = golden::number(&self.case.args["gradient_clip_norm"]) {
            let params = self.net.params.parameters();
            self.norms.push(clip_grad_norm(params.iter().map(|(_, param)| param), limit)?.double_value(&[]));
        }
        self.rates.push(self.optimizer.groups()[0].lr);
        self.optimizer.step(None)?;
        self.optimizer.zero_grad();
        self.schedule("step")
    }

    fn schedule(&mut self, when: &str) -> Result<()> {
        match &mut self.scheduler {
            Some(scheduler) if self.case.args["scheduler"]["per"] == when => {
                scheduler.step(self.optimizer.as_mut(), None)
            }
            _ => Ok(()),
        }
    }

    /// Plain cross entropy and accuracy of the validation split.
    fn validate(&mut self) -> Result<(f64, f64)> {
        let logits = tch::no_grad(|| self.net.net.forward(&self.val.x, false));
        self.accuracy.reset();
        self.accuracy.update(&Update::Pair { preds: &logits, target: &self.val.y })?;
        let Computed::Tensor(accuracy) = self.accuracy.compute()? else { return Err(Error::failed("no number")) };
        Ok((logits.cross_entropy_for_logits(&self.val.y).double_value(&[]), accuracy.double_value(&[])))
    }

    /// The sum and the sum of magnitudes of every parameter and running statistic.
    fn sums(&self) -> Got {
        let entries = self.net.params.entries();
        let floats = entries
            .iter()
            .filter(|(name, entry)| entry.kind != EntryKind::Buffer || !name.ends_with("num_batches_tracked"));
        network::map_of(floats.map(|(name, entry)| {
            let sums = vec![network::sum(&entry.tensor), network::sum(&entry.tensor.abs())];
            (name.clone(), sums.into())
        }))
    }
}
