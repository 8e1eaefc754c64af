//! EfficientNet (Tan and Le, 2019) and EfficientNetV2 (Tan and Le, 2021).

use tch::Tensor;

use super::blocks::{ConvNorm, SqueezeExcitation, make_divisible};
use super::{fifth, imagenet, vision};
use crate::error::Result;
use crate::nn::args::Count;
use crate::nn::init::{self, Fan};
use crate::nn::layers::{BatchNormOptions, Dropout, Function, Linear, Pool, Sequential, StochasticDepth};
use crate::nn::{Module, Path, trace};
use crate::registry::{Fraction, Registry};

/// One stage: its blocks and what each of them is like.
#[derive(Clone, Copy)]
struct Stage {
    fused: bool,
    expand: i64,
    kernel: i64,
    stride: i64,
    inputs: i64,
    outputs: i64,
    blocks: i64,
}

struct Shape {
    stages: Vec<Stage>,
    last: Option<i64>,
    norm: BatchNormOptions,
}

const fn stage(fused: bool, numbers: [i64; 6]) -> Stage {
    let [expand, kernel, stride, inputs, outputs, blocks] = numbers;
    Stage { fused, expand, kernel, stride, inputs, outputs, blocks }
}

/// The first family: one network, wider and deeper by two factors.
fn scaled(width: f64, depth: f64, norm: BatchNormOptions) -> Shape {
    let stages = [
        [1, 3, 1, 32, 16, 1],
        [6, 3, 2, 16, 24, 2],
        [6, 5, 2, 24, 40, 2],
        [6, 3, 2, 40, 80, 3],
        [6, 5, 1, 80, 112, 3],
        [6, 5, 2, 112, 192, 4],
        [6, 3, 1, 192, 320, 1],
    ];
    let channels = |c: i64| make_divisible(c as f64 * width, 8);
    let stages = stages.map(|numbers| {
        let stage = stage(false, numbers);
        Stage {
            inputs: channels(stage.inputs),
            outputs: channels(stage.outputs),
            blocks: (stage.blocks as f64 * depth).ceil() as i64,
            ..stage
        }
    });
    Shape { stages: stages.to_vec(), last: None, norm }
}

/// The second family: fused blocks first, and 1280 channels at the end.
fn second(fused: &[[i64; 6]], plain: &[[i64; 6]]) -> Shape {
    let fused = fused.iter().map(|&numbers| stage(true, numbers));
    let plain = plain.iter().map(|&numbers| stage(false, numbers));
    Shape { stages: fused.chain(plain).collect(), last: Some(1280), norm: wide_eps(Some(0.1)) }
}

fn wide_eps(momentum: Option<f64>) -> BatchNormOptions {
    BatchNormOptions { eps: 1e-3, momentum, ..Default::default() }
}

fn shape(name: &str) -> Shape {
    let plain = BatchNormOptions::default();
    let slow = wide_eps(Some(0.01));
    match name {
        "b0" => scaled(1.0, 1.0, plain),
        "b1" => scaled(1.0, 1.1, plain),
        "b2" => scaled(1.1, 1.2, plain),
        "b3" => scaled(1.2, 1.4, plain),
        "b4" => scaled(1.4, 1.8, plain),
        "b5" => scaled(1.6, 2.2, slow),
        "b6" => scaled(1.8, 2.6, slow),
        "b7" => scaled(2.0, 3.1, slow),
        "v2_s" => second(
            &[[1, 3, 1, 24, 24, 2], [4, 3, 2, 24, 48, 4], [4, 3, 2, 48, 64, 4]],
            &[[4, 3, 2, 64, 128, 6], [6, 3, 1, 128, 160, 9], [6, 3, 2, 160, 256, 15]],
        ),
        "v2_m" => second(
            &[[1, 3, 1, 24, 24, 3], [4, 3, 2, 24, 48, 5], [4, 3, 2, 48, 80, 5]],
            &[[4, 3, 2, 80, 160, 7], [6, 3, 1, 160, 176, 14], [6, 3, 2, 176, 304, 18], [6, 3, 1, 304, 512, 5]],
        ),
        _ => second(
            &[[1, 3, 1, 32, 32, 4], [4, 3, 2, 32, 64, 7], [4, 3, 2, 64, 96, 7]],
            &[[4, 3, 2, 96, 192, 10], [6, 3, 1, 192, 224, 19], [6, 3, 2, 224, 384, 25], [6, 3, 1, 384, 640, 7]],
        ),
    }
}

struct Block {
    name: String,
    kind: &'static str,
    block: Sequential,
    depth: StochasticDepth,
    residual: bool,
}

impl Block {
    fn new(path: &Path, stage: Stage, depth: f64, norm: BatchNormOptions) -> Result<Self> {
        let at = path.child("block");
        let mut block = Sequential::new(&at);
        let silu = Function::Silu;
        let Stage { fused, kernel, stride, inputs, outputs, .. } = stage;
        let expanded = make_divisible((inputs * stage.expand) as f64, 8);
        let conv = |inputs, outputs, kernel| ConvNorm::new(inputs, outputs, kernel, norm);
        if fused && expanded == inputs {
            block.push(conv(inputs, outputs, kernel).stride(stride).activation(silu).make(&at.child(0))?);
        } else if fused {
            block.push(conv(inputs, expanded, kernel).stride(stride).activation(silu).make(&at.child(0))?);
            block.push(conv(expanded, outputs, 1).make(&at.child(1))?);
        } else {
            if expanded != inputs {
                block.push(conv(inputs, expanded, 1).activation(silu).make(&at.child(0))?);
            }
            let deep = conv(expanded, expanded, kernel).stride(stride).groups(expanded).activation(silu);
            block.push(deep.make(&at.child(block.len()))?);
            let squeezed = (inputs / 4).max(1);
            let at_se = at.child(block.len());
            block.push(SqueezeExcitation::new(&at_se, expanded, squeezed, silu, Function::Sigmoid)?);
            block.push(conv(expanded, outputs, 1).make(&at.child(block.len()))?);
        }
        Ok(Block {
            name: path.name().to_owned(),
            kind: if fused { "FusedMBConv" } else { "MBConv" },
            block,
            depth: StochasticDepth::new(&path.child("stochastic_depth"), depth),
            residual: stride == 1 && inputs == outputs,
        })
    }
}

impl Module for Block {
    fn forward(&self, input: &Tensor, train: bool) -> Tensor {
        let x = self.block.forward(input, train);
        let output = if self.residual { self.depth.forward(&x, train) + input } else { x };
        trace::container(&self.name, self.kind, input, &output);
        output
    }
}

/// Inverted residual blocks with squeeze and excitation; one linear layer.
pub struct EfficientNet {
    features: Sequential,
    pool: Pool,
    classifier: Sequential,
}

impl EfficientNet {
    fn new(path: &Path, shape: &Shape, classes: i64, dropout: f64, depth: f64) -> Result<Self> {
        let at = path.child("features");
        let mut features = Sequential::new(&at);
        let first = shape.stages[0].inputs;
        features.push(ConvNorm::new(3, first, 3, shape.norm).stride(2).activation(Function::Silu).make(&at.child(0))?);
        let total: i64 = shape.stages.iter().map(|stage| stage.blocks).sum();
        let (mut id, mut outputs) = (0, first);
        for stage in &shape.stages {
            let at = at.child(features.len());
            let mut blocks = Sequential::new(&at);
            for index in 0..stage.blocks {
                let stage = if index == 0 { *stage } else { Stage { inputs: stage.outputs, stride: 1, ..*stage } };
                let depth = depth * id as f64 / total as f64;
                blocks.push(Block::new(&at.child(index), stage, depth, shape.norm)?);
                id += 1;
            }
            features.push(blocks);
            outputs = stage.outputs;
        }
        let last = shape.last.unwrap_or(4 * outputs);
        let head = ConvNorm::new(outputs, last, 1, shape.norm).activation(Function::Silu);
        features.push(head.make(&at.child(features.len()))?);
        let at = path.child("classifier");
        let mut classifier = Sequential::new(&at);
        classifier.push(Dropout::new(&at.child(0), dropout));
        classifier.push(Linear::new(&at.child(1), last, classes, true)?);
        super::blocks::reinitialize(path, Fan::Out, |t| {
            let range = 1.0 / (t.size()[0] as f64).sqrt();
            init::uniform(t, -range, range);
        });
        Ok(EfficientNet { features, pool: Pool::global(&path.child("avgpool"), 1), classifier })
    }
}

impl Module for EfficientNet {
    fn forward(&self, input: &Tensor, train: bool) -> Tensor {
        let x = self.pool.forward(&self.features.forward(input, train), train);
        self.classifier.forward(&x.flatten(1, -1), train)
    }
}

macro_rules! efficientnets {
    ($($(#[$doc:meta])* $name:ident, $shape:literal, $target:literal, $dropout:literal;)*) => {
        $(mod $name {
            use super::*;

            fn dropout() -> Fraction {
                Fraction($dropout)
            }

            vision!(
                $(#[$doc])*
                Args, [$target],
                {
                    /// Outputs: classes.
                    #[serde(default = "imagenet")]
                    num_classes: Count,
                    /// Dropout before the linear layer.
                    #[serde(default = "dropout")]
                    dropout: Fraction,
                    /// Stochastic depth of the last block; the others have less, linearly.
                    #[serde(default = "fifth")]
                    stochastic_depth_prob: Fraction,
                },
                |args, path| {
                    let (dropout, depth) = (args.dropout.0, args.stochastic_depth_prob.0);
                    EfficientNet::new(path, &shape($shape), args.num_classes.0, dropout, depth)
                }
            );
        })*

        /// Adds the EfficientNets.
        pub fn register(registry: &mut Registry) {
            $(registry.add::<$name::Args>();)*
        }
    };
}

efficientnets! {
    /// EfficientNet-B0, 5.3 million parameters.
    efficientnet_b0, "b0", "torchvision.models.efficientnet_b0", 0.2;
    /// EfficientNet-B1, 7.8 million parameters.
    efficientnet_b1, "b1", "torchvision.models.efficientnet_b1", 0.2;
    /// EfficientNet-B2, 9.1 million parameters.
    efficientnet_b2, "b2", "torchvision.models.efficientnet_b2", 0.3;
    /// EfficientNet-B3, 12.2 million parameters.
    efficientnet_b3, "b3", "torchvision.models.efficientnet_b3", 0.3;
    /// EfficientNet-B4, 19.3 million parameters.
    efficientnet_b4, "b4", "torchvision.models.efficientnet_b4", 0.4;
    /// EfficientNet-B5, 30.4 million parameters.
    efficientnet_b5, "b5", "torchvision.models.efficientnet_b5", 0.4;
    /// EfficientNet-B6, 43.0 million parameters.
    efficientnet_b6, "b6", "torchvision.models.efficientnet_b6", 0.5;
    /// EfficientNet-B7, 66.3 million parameters.
    efficientnet_b7, "b7", "torchvision.models.efficientnet_b7", 0.5;
    /// EfficientNetV2-S, 21.5 million parameters.
    efficientnet_v2_s, "v2_s", "torchvision.models.efficientnet_v2_s", 0.2;
    /// EfficientNetV2-M, 54.1 million parameters.
    efficientnet_v2_m, "v2_m", "torchvision.models.efficientnet_v2_m", 0.3;
    /// EfficientNetV2-L, 118.5 million parameters.
    efficientnet_v2_l, "v2_l", "torchvision.models.efficientnet_v2_l", 0.4;
}
