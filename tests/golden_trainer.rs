//! Whole fits beside Lightning's: the same tiny CNN, the same batches, the same arguments and callbacks. Everything
//! that Lightning's Trainer logged is logged here at the same steps and epochs with the same values, and the weights
//! and the files at the end are the same. `scripts/golden_trainer` made `golden/trainer.json`.

#[path = "support/golden.rs"]
mod golden;
#[path = "support/network.rs"]
mod network;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use network::Network;
use runner::data::sampler::Sampler;
use runner::data::{Batch, DataContext, DataModule, Dataset, Loader, Sample, SampleKey, Split};
use runner::error::Result;
use runner::nn::Params;
use runner::optim::{Horizon, OptimizerKind, ParamGroup, SchedulerKind};
use runner::prelude::Registry;
use runner::tensor::{State, Stateful};
use runner::train::{
    At, CallbackKind, HyperParameters, Log, LogTo, Logger, Optimizers, Rows, Schedule, Status, StopFlag, Task, Trainer,
    TrainerArgs, TrainerKind,
};
use serde_json::{Value, json};
use tch::{Device, Kind, Tensor};

const CLASSES: i64 = 3;
const SIDE: i64 = 8;
const BATCH: usize = 16;

/// Pictures that mix the prototype of their class with noise of their own.
struct Pictures {
    x: Tensor,
    y: Vec<i64>,
}

impl Pictures {
    fn of(split: &str, count: usize) -> Self {
        let pixels = (SIDE * SIDE) as usize;
        let labels = format!("trainer/{split}/y");
        let y: Vec<i64> = (0..count).map(|i| golden::int(&labels, i as u64, 0, CLASSES as u64)).collect();
        let stream = |key: &str, count: usize| -> Vec<f64> {
            (0..count as u64).map(|i| -1.0 + 2.0 * golden::unit(key, i)).collect()
        };
        let prototypes: Vec<_> = (0..CLASSES).map(|c| stream(&format!("trainer/prototype/{c}"), pixels)).collect();
        let noise = stream(&format!("trainer/{split}/noise"), count * pixels);
        let mut x = Vec::with_capacity(noise.len());
        for (label, noise) in y.iter().zip(noise.chunks(pixels)) {
            x.extend(prototypes[*label as usize].iter().zip(noise).map(|(p, n)| (0.4 * p + 0.6 * n) as f32));
        }
        Pictures { x: Tensor::from_slice(&x).reshape([-1, 1, SIDE, SIDE]), y }
    }
}

/// Tensors may be sent between threads but not shared; these are read by the thread that trains.
struct Shared(Mutex<Pictures>);

impl Dataset for Shared {
    fn len(&self) -> usize {
        self.0.lock().unwrap().y.len()
    }

    fn sample(&self, key: SampleKey) -> Result<Sample> {
        let pictures = self.0.lock().unwrap();
        let label = Tensor::from(pictures.y[key.index as usize]);
        Ok(Sample::pair(pictures.x.get(key.index as i64), label))
    }
}

/// The orders of the epochs.
struct Orders(usize);

impl Sampler for Orders {
    fn len(&self) -> usize {
        self.0
    }
    fn order(&self, _: u64, epoch: u64) -> Vec<u32> {
        golden::shuffle(&format!("trainer/order/{epoch}"), self.0).into_iter().map(|i| i as u32).collect()
    }
}

struct Data;

impl DataModule for Data {
    fn setup(&mut self, _: &DataContext) -> Result<()> {
        Ok(())
    }

    fn loader(&self, split: Split) -> Result<Option<Loader>> {
        let count = match split {
            Split::Train => 90,
            Split::Val => 40,
            _ => return Ok(None),
        };
        let dataset = Arc::new(Shared(Mutex::new(Pictures::of(split.name(), count))));
        let mut loader = Loader::new(dataset, BATCH, 0);
        loader.sampler = (split == Split::Train).then(|| Arc::new(Orders(count)) as Arc<dyn Sampler>);
        Ok(Some(loader))
    }
}

/// What the LightningModule of `scripts/golden_trainer` does.
struct Cnn<'a> {
    network: Network,
    case: &'a Value,
    registry: &'a Registry,
}

impl<'a> Cnn<'a> {
    fn new(registry: &'a Registry, case: &'a Value) -> Result<Self> {
        let layer = |target: &str, args: Value| json!({"target": format!("torch.nn.{target}"), "args": args});
        let convolution = |from: i64, to: i64, bias: bool| {
            let args = json!({"in_channels": from, "out_channels": to, "kernel_size": 3, "padding": 1, "bias": bias});
            layer("Conv2d", args)
        };
        let layers = [
            convolution(1, 4, false),
            layer("BatchNorm2d", json!({"num_features": 4})),
            layer("ReLU", json!({})),
            layer("MaxPool2d", json!({"kernel_size": 2})),
            convolution(4, 8, true),
            layer("ReLU", json!({})),
            layer("Flatten", json!({})),
            layer("Linear", json!({"in_features": 8 * 4 * 4, "out_features": CLASSES})),
        ];
        let network = network::make(registry, "torch.nn.Sequential", &json!({ "_args_": layers }))?;
        for (name, tensor) in network.params.state_dict() {
            if let Some(value) = golden::weight(&name, &tensor.size(), tensor.kind(), "trainer/", 3.0) {
                tch::no_grad(|| tensor.shallow_clone().copy_(&value));
            }
        }
        Ok(Cnn { network, case, registry })
    }

    fn loss(&self, batch: &Batch, train: bool) -> Result<(Tensor, Tensor)> {
        let (input, target) = (batch.input()?, batch.target()?);
        let logits = self.network.net.forward(input, train);
        let right = logits.argmax(1, false).eq_tensor(target).to_kind(Kind::Float).mean(Kind::Float);
        Ok((logits.cross_entropy_for_logits(target), right))
    }
}

impl Stateful for Cnn<'_> {
    fn state(&self) -> State {
        State::default()
    }
    fn restore(&mut self, _: &State) -> Result<()> {
        Ok(())
    }
}

impl Task for Cnn<'_> {
    fn params(&self) -> &Params {
        &self.network.params
    }

    fn train_step(&mut self, batch: &Batch, log: &mut Log) -> Result<Tensor> {
        let (loss, _) = self.loss(batch, true)?;
        log.tensor("train/loss", &loss.detach(), LogTo::BOTH);
        Ok(loss)
    }

    fn eval_step(&mut self, _: Split, batch: &Batch, log: &mut Log) -> Result<()> {
        let (loss, right) = self.loss(batch, false)?;
        log.tensor("val/loss", &loss, LogTo::EPOCH);
        log.tensor("val/acc", &right, LogTo::EPOCH);
        Ok(())
    }

    fn predict_step(&mut self, _: &Batch) -> Result<Rows> {
        Ok(Rows::default())
    }

    fn configure_optimizers(&self, horizon: Horizon) -> Result<Optimizers> {
        let part = |name: &str| (self.case[name]["target"].as_str().unwrap(), &self.case[name]["args"]);
        let (target, args) = part("optimizer");
        let params = self.network.params.parameters();
        let mut optimizer = golden::component::<OptimizerKind>(self.registry, target, args)?
            .make(vec![ParamGroup { params, options: Vec::new() }])?;
        let mut schedule = None;
        if self.case["scheduler"].is_object() {
            let (target, args) = part("scheduler");
            let config = &self.case["scheduler"]["config"];
            let spec = golden::component::<SchedulerKind>(self.registry, target, args)?;
            schedule = Some(Schedule {
                each_step: config["interval"] == "step",
                frequency: config["frequency"].as_u64().unwrap_or(1),
                monitor: config["monitor"].as_str().map(str::to_owned),
                ..Schedule::each_epoch(spec.make(optimizer.as_mut(), horizon)?)
            });
        }
        Ok(Optimizers { optimizer, schedule })
    }

    fn metric_names(&self, _: Split) -> Vec<String> {
        Vec::new()
    }
}

/// The values of a name in order: step, epoch (where it is known) and value.
type Series = BTreeMap<String, Vec<(u64, Option<u64>, f64)>>;

struct Record(Arc<Mutex<Series>>);

impl Logger for Record {
    fn name(&self) -> &'static str {
        "Record"
    }
    fn params(&mut self, _: &HyperParameters) -> Result<()> {
        Ok(())
    }
    fn metrics(&mut self, at: At, values: &[(String, f64)]) -> Result<()> {
        let mut series = self.0.lock().unwrap();
        for (name, value) in values {
            series.entry(name.clone()).or_default().push((at.step, Some(at.epoch), *value));
        }
        Ok(())
    }
    fn flush(&mut self) -> Result<()> {
        Ok(())
    }
    fn finish(&mut self, _: Status) -> Result<()> {
        Ok(())
    }
}

struct Fit {
    logged: Series,
    sums: BTreeMap<String, [f64; 2]>,
    files: Vec<String>,
    steps: u64,
}

fn fit(registry: &Registry, case: &Value) -> Result<Fit> {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let args = golden::component::<TrainerKind>(registry, "lightning.pytorch.Trainer", &case["trainer"])?;
    let args: TrainerArgs = args.effective();
    let mut callbacks = Vec::new();
    for spec in case["callbacks"].as_array().into_iter().flatten() {
        let (target, mut args) = (spec["target"].as_str().unwrap(), spec["args"].clone());
        if target.ends_with("ModelCheckpoint") {
            args["dirpath"] = folder.path().to_str().into();
        } else if target.ends_with("BackboneFinetuning") {
            // Lightning takes the child that is called so.
            args["backbone"] = json!(["0.*", "1.*", "4.*"]);
        }
        callbacks.push(golden::component::<CallbackKind>(registry, target, &args)?);
    }
    let series = Arc::new(Mutex::new(Series::new()));
    let loggers: Vec<Box<dyn Logger>> = vec![Box::new(Record(series.clone()))];
    let mut trainer = Trainer::new(args, Device::Cpu, callbacks, loggers, None, StopFlag::default());
    let mut task = Cnn::new(registry, case)?;
    trainer.fit(&mut task, &Data, None)?;
    trainer.finish(Status::Finished);
    let state = task.params().state_dict().into_iter();
    let sums = state.map(|(name, tensor)| (name, [network::sum(&tensor), network::sum(&tensor.abs())])).collect();
    let names = std::fs::read_dir(folder.path()).expect("a folder").flatten();
    let mut files: Vec<String> = names.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect();
    files.sort();
    let logged = std::mem::take(&mut *series.lock().unwrap());
    Ok(Fit { logged, sums, files, steps: trainer.progress.global_step })
}

/// What Lightning logged, in the same form.
fn wanted(case: &Value) -> Series {
    let mut series = Series::new();
    for row in case["logged"].as_array().unwrap() {
        let epoch = row[1]["epoch"].as_f64().map(|epoch| epoch as u64);
        for (name, value) in row[1].as_object().unwrap().iter().filter(|(name, _)| *name != "epoch") {
            let entry = (row[0].as_u64().unwrap(), epoch, golden::number(value).unwrap());
            series.entry(name.clone()).or_default().push(entry);
        }
    }
    series
}

/// Rounding that adds up over tens of steps, in another order of summing than PyTorch's Python has.
fn close(a: f64, b: f64) -> bool {
    (a - b).abs() <= 2e-5 + 2e-4 * b.abs()
}

/// What differs between two runs, in words.
fn differences(found: &Series, wanted: &Series) -> Vec<String> {
    let names = |series: &Series| series.keys().cloned().collect::<Vec<_>>();
    let mut faults = Vec::new();
    if names(found) != names(wanted) {
        faults.push(format!("{:?} are logged, not {:?}", names(found), names(wanted)));
    }
    for (what, wanted) in wanted {
        let Some(found) = found.get(what) else { continue };
        let steps = |list: &[(u64, Option<u64>, f64)]| list.iter().map(|(step, ..)| *step).collect::<Vec<_>>();
        if steps(found) != steps(wanted) {
            faults.push(format!("{what} at {:?}, not {:?}", steps(found), steps(wanted)));
            continue;
        }
        let differs = |a: &(u64, Option<u64>, f64), b: &(u64, Option<u64>, f64)| {
            (b.1.is_some() && a.1 != b.1) || !close(a.2, b.2)
        };
        if let Some((a, b)) = found.iter().zip(wanted).find(|(a, b)| differs(a, b)) {
            faults.push(format!("{what} (step, epoch, value) is {a:?}, not {b:?}"));
        }
    }
    faults
}

/// Lightning ends stochastic averaging with an epoch without steps, which gathers the statistics of normalizations;
/// runner gathers them without logging anything. Both validate the average then: its values, taken out of both.
fn last_validation(series: &mut Series, last: u64) -> Vec<f64> {
    let mut values = Vec::new();
    for (name, list) in series.iter_mut() {
        if name.starts_with("val/") {
            values.extend(list.pop().map(|(.., value)| value));
        }
        list.retain(|(step, ..)| *step <= last);
    }
    values
}

#[test]
fn lightning_logs_the_same_and_ends_with_the_same_weights() {
    tch::set_num_threads(1);
    let registry = Registry::builtin();
    let text = include_str!("golden/trainer.json");
    let golden: Value = serde_json::from_str(text).unwrap();
    let cases = golden["cases"].as_array().unwrap();
    assert!(cases.len() >= 11);
    let mut faults = Vec::new();
    for case in cases {
        let name = case["name"].as_str().unwrap();
        let found = fit(&registry, case).unwrap_or_else(|error| panic!("{name}: {error}"));
        faults.extend(check(case, found).into_iter().map(|fault| format!("{name}: {fault}")));
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

/// What differs from Lightning's run of the case.
fn check(case: &Value, mut found: Fit) -> Vec<String> {
    let mut wanted = wanted(case);
    let mut faults = Vec::new();
    if text_of(&case["callbacks"]).contains("StochasticWeightAveraging") {
        let last = found.steps - 1;
        let (a, b) = (last_validation(&mut found.logged, last), last_validation(&mut wanted, last));
        if a.len() != 2 || !a.iter().zip(&b).all(|(a, b)| close(*a, *b)) {
            faults.push(format!("the average is validated as {a:?}, not {b:?}"));
        }
    } else if Some(found.steps) != case["global_step"].as_u64() {
        faults.push(format!("{} steps, not {}", found.steps, case["global_step"]));
    }
    faults.extend(differences(&found.logged, &wanted));
    // Lightning's averages round the counts of batches down with every step; here they are the network's.
    let averaged = text_of(&case["callbacks"]).contains("EMAWeightAveraging");
    let sums = case["sums"].as_object().unwrap().iter();
    for (tensor, sums) in sums.filter(|(name, _)| !(averaged && name.ends_with("num_batches_tracked"))) {
        let pairs = found.sums[tensor].iter().zip(sums.as_array().unwrap());
        for (a, b) in pairs.map(|(a, b)| (*a, b.as_f64().unwrap())) {
            if (a - b).abs() > 1e-3 + 1e-4 * b.abs() {
                faults.push(format!("the sum of {tensor} is {a}, not {b}"));
            }
        }
    }
    let files: Vec<&str> = case["files"].as_array().unwrap().iter().filter_map(Value::as_str).collect();
    if found.files != files {
        faults.push(format!("the files are {:?}, not {files:?}", found.files));
    }
    faults
}

fn text_of(value: &Value) -> String {
    if value.is_null() { String::new() } else { value.to_string() }
}
