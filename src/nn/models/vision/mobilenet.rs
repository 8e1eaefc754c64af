//! MobileNetV2 (Sandler et al., 2018) and MobileNetV3 (Howard et al., 2019).

use tch::Tensor;

use super::blocks::{ConvNorm, SqueezeExcitation, make_divisible};
use super::{fifth, imagenet, vision};
use crate::error::Result;
use crate::nn::args::Count;
use crate::nn::init::{self, Fan};
use crate::nn::layers::{
    Activation, BatchNorm, BatchNormOptions, Conv2d, ConvOptions, Dropout, Function, Linear, Pool, Sequential,
};
use crate::nn::{Module, Path, trace};
use crate::registry::{Fraction, Positive, Registry};

/// A chain of layers around which the input is added, where the shapes agree.
struct InvertedResidual {
    name: String,
    chain: Sequential,
    residual: bool,
}

impl Module for InvertedResidual {
    fn forward(&self, input: &Tensor, train: bool) -> Tensor {
        let x = self.chain.forward(input, train);
        let output = if self.residual { x + input } else { x };
        trace::container(&self.name, "InvertedResidual", input, &output);
        output
    }
}

/// Inverted residual blocks and a linear head.
pub struct MobileNet {
    features: Sequential,
    pool: Pool,
    classifier: Sequential,
}

impl Module for MobileNet {
    fn forward(&self, input: &Tensor, train: bool) -> Tensor {
        let x = self.pool.forward(&self.features.forward(input, train), train);
        self.classifier.forward(&x.flatten(1, -1), train)
    }
}

/// torchvision's second initialisation of both.
fn reinitialize(path: &Path) {
    super::blocks::reinitialize(path, Fan::Out, |t| init::normal(t, 0.0, 0.01));
}

/// Expansion, output channels, blocks and first stride of every stage of MobileNetV2.
const V2: [[i64; 4]; 7] =
    [[1, 16, 1, 1], [6, 24, 2, 2], [6, 32, 3, 2], [6, 64, 4, 2], [6, 96, 3, 1], [6, 160, 3, 2], [6, 320, 1, 1]];

fn v2_block(path: &Path, inputs: i64, outputs: i64, stride: i64, expand: i64) -> Result<InvertedResidual> {
    let at = path.child("conv");
    let hidden = inputs * expand;
    let norm = BatchNormOptions::default();
    let mut chain = Sequential::new(&at);
    if expand != 1 {
        chain.push(ConvNorm::new(inputs, hidden, 1, norm).activation(Function::Relu6).make(&at.child(0))?);
    }
    let deep = ConvNorm::new(hidden, hidden, 3, norm).stride(stride).groups(hidden).activation(Function::Relu6);
    chain.push(deep.make(&at.child(chain.len()))?);
    chain.push(Conv2d::new(&at.child(chain.len()), hidden, outputs, ConvOptions::new(1).no_bias())?);
    chain.push(BatchNorm::new(&at.child(chain.len()), outputs)?);
    Ok(InvertedResidual { name: path.name().to_owned(), chain, residual: stride == 1 && inputs == outputs })
}

fn v2(path: &Path, classes: i64, width: f64, round: i64, dropout: f64, stages: &[[i64; 4]]) -> Result<MobileNet> {
    let at = path.child("features");
    let norm = BatchNormOptions::default();
    let mut features = Sequential::new(&at);
    let mut inputs = make_divisible(32.0 * width, round);
    features.push(ConvNorm::new(3, inputs, 3, norm).stride(2).activation(Function::Relu6).make(&at.child(0))?);
    for &[expand, channels, blocks, stride] in stages {
        let outputs = make_divisible(channels as f64 * width, round);
        for block in 0..blocks {
            let stride = if block == 0 { stride } else { 1 };
            features.push(v2_block(&at.child(features.len()), inputs, outputs, stride, expand)?);
            inputs = outputs;
        }
    }
    let last = make_divisible(1280.0 * width.max(1.0), round);
    let head = ConvNorm::new(inputs, last, 1, norm).activation(Function::Relu6);
    features.push(head.make(&at.child(features.len()))?);
    let pool = Pool::global(&path.child("avgpool"), 1);
    let at = path.child("classifier");
    let mut classifier = Sequential::new(&at);
    classifier.push(Dropout::new(&at.child(0), dropout));
    classifier.push(Linear::new(&at.child(1), last, classes, true)?);
    reinitialize(path);
    Ok(MobileNet { features, pool, classifier })
}

/// One block of MobileNetV3.
struct V3 {
    kernel: i64,
    inputs: i64,
    expanded: i64,
    outputs: i64,
    squeeze: bool,
    function: Function,
    stride: i64,
    dilation: i64,
}

const RE: Function = Function::Relu;
const HS: Function = Function::Hardswish;

/// Input channels, kernel, expanded and output channels, squeeze and excitation, activation, stride; the blocks
/// from `tail` on have the reduced channels and the dilation.
type V3Row = (i64, i64, i64, i64, bool, Function, i64);

const LARGE: [V3Row; 15] = [
    (16, 3, 16, 16, false, RE, 1),
    (16, 3, 64, 24, false, RE, 2),
    (24, 3, 72, 24, false, RE, 1),
    (24, 5, 72, 40, true, RE, 2),
    (40, 5, 120, 40, true, RE, 1),
    (40, 5, 120, 40, true, RE, 1),
    (40, 3, 240, 80, false, HS, 2),
    (80, 3, 200, 80, false, HS, 1),
    (80, 3, 184, 80, false, HS, 1),
    (80, 3, 184, 80, false, HS, 1),
    (80, 3, 480, 112, true, HS, 1),
    (112, 3, 672, 112, true, HS, 1),
    (112, 5, 672, 160, true, HS, 2),
    (160, 5, 960, 160, true, HS, 1),
    (160, 5, 960, 160, true, HS, 1),
];

const SMALL: [V3Row; 11] = [
    (16, 3, 16, 16, true, RE, 2),
    (16, 3, 72, 24, false, RE, 2),
    (24, 3, 88, 24, false, RE, 1),
    (24, 5, 96, 40, true, HS, 2),
    (40, 5, 240, 40, true, HS, 1),
    (40, 5, 240, 40, true, HS, 1),
    (40, 5, 120, 48, true, HS, 1),
    (48, 5, 144, 48, true, HS, 1),
    (48, 5, 288, 96, true, HS, 2),
    (96, 5, 576, 96, true, HS, 1),
    (96, 5, 576, 96, true, HS, 1),
];

struct V3Args {
    classes: i64,
    width: f64,
    reduced: bool,
    dilated: bool,
    dropout: f64,
}

fn v3_block(path: &Path, block: &V3, norm: BatchNormOptions) -> Result<InvertedResidual> {
    let at = path.child("block");
    let mut chain = Sequential::new(&at);
    let &V3 { inputs, expanded, outputs, function, .. } = block;
    if expanded != inputs {
        chain.push(ConvNorm::new(inputs, expanded, 1, norm).activation(function).make(&at.child(0))?);
    }
    let stride = if block.dilation > 1 { 1 } else { block.stride };
    let deep = ConvNorm::new(expanded, expanded, block.kernel, norm).stride(stride).dilation(block.dilation);
    chain.push(deep.groups(expanded).activation(function).make(&at.child(chain.len()))?);
    if block.squeeze {
        let squeezed = make_divisible((expanded / 4) as f64, 8);
        let at = at.child(chain.len());
        chain.push(SqueezeExcitation::new(&at, expanded, squeezed, Function::Relu, Function::Hardsigmoid)?);
    }
    chain.push(ConvNorm::new(expanded, outputs, 1, norm).make(&at.child(chain.len()))?);
    Ok(InvertedResidual { name: path.name().to_owned(), chain, residual: block.stride == 1 && inputs == outputs })
}

fn v3(path: &Path, rows: &[V3Row], last: i64, args: &V3Args) -> Result<MobileNet> {
    let norm = BatchNormOptions { eps: 1e-3, momentum: Some(0.01), ..Default::default() };
    let channels = |c: i64| make_divisible(c as f64 * args.width, 8);
    let divide = if args.reduced { 2 } else { 1 };
    let dilation = if args.dilated { 2 } else { 1 };
    let tail = rows.len() - 3;
    let at = path.child("features");
    let mut features = Sequential::new(&at);
    let first = channels(rows[0].0);
    features.push(ConvNorm::new(3, first, 3, norm).stride(2).activation(HS).make(&at.child(0))?);
    let mut outputs = first;
    for (index, &(inputs, kernel, expanded, out, squeeze, function, stride)) in rows.iter().enumerate() {
        // The last stage may be halved; its first block still reads full channels.
        let less = |c: i64, from: usize| if index >= from { c / divide } else { c };
        let block = V3 {
            kernel,
            inputs: channels(less(inputs, tail + 1)),
            expanded: channels(less(expanded, tail + 1)),
            outputs: channels(less(out, tail)),
            squeeze,
            function,
            stride,
            dilation: if index >= tail { dilation } else { 1 },
        };
        features.push(v3_block(&at.child(features.len()), &block, norm)?);
        outputs = block.outputs;
    }
    let head = 6 * outputs;
    features.push(ConvNorm::new(outputs, head, 1, norm).activation(HS).make(&at.child(features.len()))?);
    let pool = Pool::global(&path.child("avgpool"), 1);
    let at = path.child("classifier");
    let last = channels(last / divide);
    let mut classifier = Sequential::new(&at);
    classifier.push(Linear::new(&at.child(0), head, last, true)?);
    classifier.push(Activation::in_place(&at.child(1), HS));
    classifier.push(Dropout::new(&at.child(2), args.dropout));
    classifier.push(Linear::new(&at.child(3), last, args.classes, true)?);
    reinitialize(path);
    Ok(MobileNet { features, pool, classifier })
}

fn full() -> Positive {
    Positive(1.0)
}

fn eight() -> Count {
    Count(8)
}

vision!(
    /// MobileNetV2, 3.5 million parameters.
    MobileNetV2Args, ["torchvision.models.mobilenet_v2"],
    {
        /// Outputs: classes.
        #[serde(default = "imagenet")]
        num_classes: Count,
        /// Factor of all channels.
        #[serde(default = "full")]
        width_mult: Positive,
        /// Stages as `[expansion, channels, blocks, stride]`; null for the paper's.
        #[serde(default)]
        inverted_residual_setting: Option<Vec<[i64; 4]>>,
        /// Channels are multiples of this.
        #[serde(default = "eight")]
        round_nearest: Count,
        /// Dropout before the linear layer.
        #[serde(default = "fifth")]
        dropout: Fraction,
    },
    |args, path| {
        let stages = args.inverted_residual_setting.as_deref().unwrap_or(&V2);
        v2(path, args.num_classes.0, args.width_mult.0, args.round_nearest.0, args.dropout.0, stages)
    }
);

macro_rules! v3_models {
    ($($(#[$doc:meta])* $name:ident, $target:literal, $rows:expr, $last:literal;)*) => {
        $(vision!(
            $(#[$doc])*
            $name, [$target],
            {
                /// Outputs: classes.
                #[serde(default = "imagenet")]
                num_classes: Count,
                /// Dropout before the last linear layer.
                #[serde(default = "fifth")]
                dropout: Fraction,
                /// Factor of all channels.
                #[serde(default = "full")]
                width_mult: Positive,
                /// Whether the last stage has half the channels.
                #[serde(default)]
                reduced_tail: bool,
                /// Whether the last stage has a dilation instead of a stride.
                #[serde(default)]
                dilated: bool,
            },
            |args, path| {
                let options = V3Args {
                    classes: args.num_classes.0,
                    width: args.width_mult.0,
                    reduced: args.reduced_tail,
                    dilated: args.dilated,
                    dropout: args.dropout.0,
                };
                v3(path, &$rows, $last, &options)
            }
        );)*
    };
}

v3_models! {
    /// MobileNetV3-Large, 5.5 million parameters.
    MobileNetV3LargeArgs, "torchvision.models.mobilenet_v3_large", LARGE, 1280;
    /// MobileNetV3-Small, 2.5 million parameters.
    MobileNetV3SmallArgs, "torchvision.models.mobilenet_v3_small", SMALL, 1024;
}

/// Adds the MobileNets.
pub fn register(registry: &mut Registry) {
    registry.add::<MobileNetV2Args>();
    registry.add::<MobileNetV3LargeArgs>();
    registry.add::<MobileNetV3SmallArgs>();
}
