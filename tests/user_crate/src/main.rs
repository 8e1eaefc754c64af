//! Two half moons, told apart by a network of our own; a callback of our own counts steps, a command of our own samples.

use std::f32::consts::PI;
use std::sync::Arc;

use runner::config::Value;
use runner::data::{DataContext, DataFacts, DataModule, DataModuleKind, Dataset, Loader, Sample, SampleKey, Split};
use runner::nn::{Module, Net, NetSpec, Path, layers::Linear};
use runner::prelude::*;
use runner::tch::Tensor;
use runner::tensor::{State, Stateful};
use runner::train::{Callback, CallbackKind, Cx};

fn main() -> std::process::ExitCode {
    let registry = Registry::builtin().with::<Moons>().with::<TwoLayers>().with::<StepLimit>();
    let count = OwnCommand::new("count", "count the samples of each split", count);
    let registry = registry.with_command(count.giving("samples").checked_by(points_are_even));
    let halve = OwnCommand::new("halve", "a moon's points, as libtorch counts them", |cx| {
        let half = half(cx)?;
        cx.metric("half", half as f64);
        Ok(())
    });
    let registry = registry.with_command(halve.checked_by(|cx| half(cx).map(drop)));
    runner::main(registry.with_resolver("twice", |arguments| match arguments {
        [Value::Int(i)] => Ok(Value::Int(2 * i)),
        _ => Err("twice takes one whole number".to_owned()),
    }))
}

/// `moons count`: how many samples each split has, and all together.
fn count(cx: &mut CommandCx) -> Result<()> {
    let mut data = cx.build::<DataModuleKind>("data")?;
    data.setup(&DataContext { seed: cx.seed(), run_dir: None })?;
    let mut sum = 0;
    for split in [Split::Train, Split::Val, Split::Test] {
        if let Some(loader) = data.loader(split)? {
            sum += loader.samples();
            cx.metric(&format!("{}/samples", split.name()), loader.samples() as f64);
            cx.metric("samples", sum as f64);
            cx.report();
        }
        if cx.is_interrupted() {
            break;
        }
    }
    std::fs::write(cx.folder().join("sum.txt"), sum.to_string()).context("cannot write the sum")
}

/// An odd number is an error of libtorch, which tch makes a panic.
fn half(cx: &CommandCx) -> Result<i64> {
    let points: i64 = cx.arguments("data.points")?;
    Ok(Tensor::zeros([points], runner::tch::kind::FLOAT_CPU).reshape([2, -1]).size()[1])
}

fn points_are_even(cx: &CommandCx) -> Result<()> {
    match cx.arguments::<usize>("data.points")? % 2 {
        0 => Ok(()),
        _ => Err(Error::request("two moons of one size have an even number of points").help("data.points=32")),
    }
}

/// Points on two interleaved half circles.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, crate = "runner::prelude::serde")]
#[schemars(crate = "runner::prelude::schemars")]
struct Moons {
    /// Points in each split.
    points: usize,
    /// Points in a batch.
    #[serde(default = "sixteen")]
    batch_size: usize,
}

fn sixteen() -> usize {
    16
}

impl Component for Moons {
    type Kind = DataModuleKind;
    const TARGETS: &'static [&'static str] = &["moons.data.Moons"];

    fn check(&self, cx: &mut Check) {
        if self.points < 2 {
            cx.problem("points", "two moons need at least two points");
        }
    }

    fn build(self, _: &mut Build) -> Result<Box<dyn DataModule>> {
        Ok(Box::new(Module2d { args: self, seed: 0 }))
    }
}

struct Module2d {
    args: Moons,
    seed: u64,
}

impl DataModule for Module2d {
    fn setup(&mut self, cx: &DataContext) -> Result<()> {
        self.seed = cx.seed;
        Ok(())
    }

    fn loader(&self, split: Split) -> Result<Option<Loader>> {
        let shift = match split {
            Split::Train => 0.0,
            Split::Val => 0.3,
            Split::Test | Split::Predict => 0.6,
        };
        let dataset = Arc::new(Points { count: self.args.points, shift });
        let mut loader = Loader::new(dataset, self.args.batch_size, self.seed);
        loader.shuffle = split == Split::Train;
        Ok(Some(loader))
    }

    fn facts(&self) -> DataFacts {
        let classes = vec!["upper".into(), "lower".into()];
        DataFacts { classes, input_shape: Some(vec![2]), ..DataFacts::default() }
    }
}

struct Points {
    count: usize,
    shift: f32,
}

impl Dataset for Points {
    fn len(&self) -> usize {
        self.count
    }

    fn sample(&self, key: SampleKey) -> Result<Sample> {
        let label = key.index as i64 % 2;
        let angle = PI * (key.index as f32 + self.shift) / self.count as f32;
        let point = match label {
            0 => [angle.cos(), angle.sin()],
            _ => [1.0 - angle.cos(), 0.5 - angle.sin()],
        };
        Ok(Sample::pair(Tensor::from_slice(&point), Tensor::from(label)))
    }
}

/// A linear layer, a hyperbolic tangent, a linear layer.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, crate = "runner::prelude::serde")]
#[schemars(crate = "runner::prelude::schemars")]
struct TwoLayers {
    /// Width of the hidden layer.
    width: i64,
}

impl Component for TwoLayers {
    type Kind = Net;
    const TARGETS: &'static [&'static str] = &["moons.nets.TwoLayers"];

    fn build(self, _: &mut Build) -> Result<NetSpec> {
        Ok(NetSpec::new(move |path: &Path| {
            Ok(Layers {
                hidden: Linear::new(&path.child("hidden"), 2, self.width, true)?,
                output: Linear::new(&path.child("output"), self.width, 2, true)?,
            })
        }))
    }
}

struct Layers {
    hidden: Linear,
    output: Linear,
}

impl Module for Layers {
    fn forward(&self, input: &Tensor, train: bool) -> Tensor {
        self.output.forward(&self.hidden.forward(input, train).tanh(), train)
    }
}

/// Logs how many steps were taken over all the runs that go on from each other, and stops after `steps` of them.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, crate = "runner::prelude::serde")]
#[schemars(crate = "runner::prelude::schemars")]
struct StepLimit {
    /// How many.
    steps: u64,
}

impl Component for StepLimit {
    type Kind = CallbackKind;
    const TARGETS: &'static [&'static str] = &["moons.callbacks.StepLimit"];

    fn build(self, _: &mut Build) -> Result<Box<dyn Callback>> {
        Ok(Box::new(Counter { limit: self.steps, taken: 0 }))
    }
}

struct Counter {
    limit: u64,
    taken: u64,
}

impl Stateful for Counter {
    fn state(&self) -> State {
        State::of(self.taken.into())
    }

    fn restore(&mut self, state: &State) -> Result<()> {
        self.taken = state.value.as_u64().unwrap_or_default();
        Ok(())
    }
}

impl Callback for Counter {
    fn name(&self) -> String {
        "StepLimit".into()
    }

    fn on_train_batch_end(&mut self, cx: &mut Cx) -> Result<()> {
        self.taken += 1;
        if self.taken == self.limit {
            cx.stop.stop(format!("{} steps are enough", self.limit));
        }
        Ok(())
    }

    fn on_train_epoch_end(&mut self, cx: &mut Cx) -> Result<()> {
        cx.metrics.insert("steps_taken".into(), self.taken as f64);
        cx.to_loggers.push(("steps_taken".into(), self.taken as f64));
        Ok(())
    }
}
