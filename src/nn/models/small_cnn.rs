//! A small convolutional network that learns small images in minutes on a CPU.

use schemars::JsonSchema;
use serde::Deserialize;
use tch::Tensor;

use crate::error::{Error, Result};
use crate::nn::args::{Count, yes};
use crate::nn::layers::{Activation, BatchNorm, Conv2d, ConvOptions, Dropout, Function, Linear, Pool, Sequential};
use crate::nn::{Dims, Module, Net, NetSpec, Path, trace};
use crate::registry::{Build, Component, Fraction};

/// Stages of convolution, normalisation and rectifier, each half as large as the one before it; then the mean over a
/// coarse grid, and one linear layer.
pub struct SmallCnn {
    name: String,
    stages: Vec<Sequential>,
    pool: Pool,
    dropout: Dropout,
    classifier: Linear,
}

impl SmallCnn {
    fn new(path: &Path, args: &SmallCnnArgs, mut inputs: i64, classes: i64) -> Result<Self> {
        let mut stages = Vec::new();
        for (index, outputs) in args.channels.iter().map(|count| count.0).enumerate() {
            let at = path.child("features").child(index);
            let options = ConvOptions::new(3).padding(1);
            let options = if args.batch_norm { options.no_bias() } else { options };
            let mut stage = Sequential::new(&at);
            stage.push(Conv2d::new(&at.child(0), inputs, outputs, options)?);
            if args.batch_norm {
                stage.push(BatchNorm::new(&at.child(1), outputs)?);
            }
            stage.push(Activation::in_place(&at.child(stage.len()), Function::Relu));
            stages.push(stage);
            inputs = outputs;
        }
        let grid = args.grid.0;
        Ok(SmallCnn {
            name: path.name().to_owned(),
            stages,
            pool: Pool::global(&path.child("pool"), grid),
            dropout: Dropout::new(&path.child("dropout"), args.dropout.0),
            classifier: Linear::new(&path.child("classifier"), inputs * grid * grid, classes, true)?,
        })
    }
}

impl Module for SmallCnn {
    fn forward(&self, input: &Tensor, train: bool) -> Tensor {
        let mut x = input.shallow_clone();
        for (index, stage) in self.stages.iter().enumerate() {
            // Images down to one pixel stay as they are: any size of input works.
            let side = x.size().iter().rev().take(2).copied().min().unwrap_or(1);
            if index > 0 && side >= 2 {
                x = x.max_pool2d([2, 2], [2, 2], [0, 0], [1, 1], false);
            }
            x = stage.forward(&x, train);
        }
        let x = self.dropout.forward(&self.pool.forward(&x, train).flatten(1, -1), train);
        let output = self.classifier.forward(&x, train);
        trace::container(&self.name, "SmallCNN", input, &output);
        output
    }
}

/// A small convolutional network for small images: `[batch, in_channels, height, width]` of any size to
/// `[batch, num_classes]`.
///
/// State dict: `features.0.0.weight`, …, `classifier.weight`.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct SmallCnnArgs {
    /// Channels of the images; the data's when not given.
    #[serde(default)]
    in_channels: Option<Count>,
    /// Outputs: classes; the data's when not given.
    #[serde(default)]
    num_classes: Option<Count>,
    /// Channels of each stage; every stage but the first halves the image.
    #[serde(default = "channels")]
    channels: Vec<Count>,
    /// Dropout before the linear layer.
    #[serde(default = "zero")]
    dropout: Fraction,
    /// Whether batch normalisation follows each convolution.
    #[serde(default = "yes")]
    batch_norm: bool,
    /// The linear layer sees the mean over a grid of this many times this many fields.
    #[serde(default = "two")]
    grid: Count,
}

fn two() -> Count {
    Count(2)
}

fn channels() -> Vec<Count> {
    vec![Count(32), Count(64), Count(128)]
}

fn zero() -> Fraction {
    Fraction(0.0)
}

impl Component for SmallCnnArgs {
    type Kind = Net;
    const TARGETS: &'static [&'static str] = &["runner.models.SmallCNN"];

    fn build(self, cx: &mut Build) -> Result<NetSpec> {
        let data = cx.fact::<Dims>().copied().unwrap_or_default();
        let known = |given: &Option<Count>, data: Option<i64>, name: &str| {
            given.as_ref().map(|count| count.0).or(data).ok_or_else(|| {
                Error::request(format!("runner.models.SmallCNN needs `{name}`: the data does not say it"))
            })
        };
        let inputs = known(&self.in_channels, data.channels, "in_channels")?;
        let classes = known(&self.num_classes, data.classes, "num_classes")?;
        Ok(NetSpec::new(move |path| SmallCnn::new(path, &self, inputs, classes)))
    }
}
