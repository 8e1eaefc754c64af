//! Inception v3 (Szegedy et al., 2016).

use schemars::JsonSchema;
use serde::Deserialize;
use tch::{Kind, Tensor};

use super::{half, imagenet};
use crate::error::Result;
use crate::nn::args::{Count, Padding, yes};
use crate::nn::init;
use crate::nn::layers::{BatchNorm, BatchNormOptions, Conv2d, ConvOptions, Dropout, Linear, Pool, PoolKind};
use crate::nn::{Module, Path, net, trace, weights};
use crate::registry::{Fraction, Ignored, Registry};

/// A convolution of a branch: its name, its output channels, its window.
type Step = (&'static str, i64, [i64; 2]);

/// A convolution with its normalization and a rectifier: torchvision's `BasicConv2d`.
struct BasicConv {
    conv: Conv2d,
    norm: BatchNorm,
}

impl BasicConv {
    /// With a stride of 1 and `padded` the size stays.
    fn new(path: &Path, inputs: i64, outputs: i64, kernel: [i64; 2], stride: i64, padded: bool) -> Result<Self> {
        let padding = if padded { kernel.map(|side| side / 2) } else { [0; 2] };
        let options = ConvOptions { kernel, padding: Padding::Size(padding), ..ConvOptions::new(1) };
        let options = options.stride(stride).no_bias();
        let norm = BatchNormOptions { eps: 1e-3, ..BatchNormOptions::default() };
        Ok(BasicConv {
            conv: Conv2d::new(&path.child("conv"), inputs, outputs, options)?,
            norm: BatchNorm::with(&path.child("bn"), outputs, norm)?,
        })
    }
}

impl Module for BasicConv {
    fn forward(&self, input: &Tensor, train: bool) -> Tensor {
        self.norm.forward(&self.conv.forward(input, train), train).relu_()
    }
}

/// Convolutions one after the other; with a fork two more see the result side by side.
struct Branch {
    chain: Vec<BasicConv>,
    fork: Vec<BasicConv>,
}

impl Module for Branch {
    fn forward(&self, input: &Tensor, train: bool) -> Tensor {
        let mut x = input.shallow_clone();
        for conv in &self.chain {
            x = conv.forward(&x, train);
        }
        if self.fork.is_empty() {
            return x;
        }
        let parts: Vec<Tensor> = self.fork.iter().map(|conv| conv.forward(&x, train)).collect();
        Tensor::cat(&parts, 1)
    }
}

/// Branches that see the same input, their outputs side by side; the last one pools.
struct Mixed {
    name: String,
    kind: &'static str,
    branches: Vec<Branch>,
    /// After the mean of 3×3 neighbours; a block without it takes the largest and halves the size.
    pooled: Option<BasicConv>,
}

impl Module for Mixed {
    fn forward(&self, input: &Tensor, train: bool) -> Tensor {
        let mut parts: Vec<Tensor> = self.branches.iter().map(|branch| branch.forward(input, train)).collect();
        parts.push(match &self.pooled {
            Some(conv) => conv.forward(&input.avg_pool2d([3, 3], [1, 1], [1, 1], false, true, None::<i64>), train),
            None => input.max_pool2d([3, 3], [2, 2], [0, 0], [1, 1], false),
        });
        let output = Tensor::cat(&parts, 1);
        trace::container(&self.name, self.kind, input, &output);
        output
    }
}

/// Makes a block and counts its output channels.
struct MixedBuilder {
    path: Path,
    kind: &'static str,
    inputs: i64,
    outputs: i64,
    branches: Vec<Branch>,
}

impl MixedBuilder {
    fn new(path: &Path, name: &str, kind: &'static str, inputs: i64) -> Self {
        MixedBuilder { path: path.child(name), kind, inputs, outputs: 0, branches: Vec::new() }
    }

    /// Adds a branch; `halves` says that its last convolution has a stride of 2 and no padding.
    fn branch(mut self, steps: &[Step], fork: &[Step], halves: bool) -> Result<Self> {
        let mut width = self.inputs;
        let mut chain = Vec::new();
        for (index, (name, outputs, kernel)) in steps.iter().enumerate() {
            let last = halves && index + 1 == steps.len();
            let stride = if last { 2 } else { 1 };
            chain.push(BasicConv::new(&self.path.child(name), width, *outputs, *kernel, stride, !last)?);
            width = *outputs;
        }
        let fork = fork
            .iter()
            .map(|(name, outputs, kernel)| BasicConv::new(&self.path.child(name), width, *outputs, *kernel, 1, true))
            .collect::<Result<Vec<_>>>()?;
        self.outputs += if fork.is_empty() { width } else { 2 * width };
        self.branches.push(Branch { chain, fork });
        Ok(self)
    }

    /// The block whose pooling branch has a convolution with `width` outputs, and all its output channels.
    fn averaging(self, width: i64) -> Result<(Mixed, i64)> {
        let conv = BasicConv::new(&self.path.child("branch_pool"), self.inputs, width, [1, 1], 1, true)?;
        let outputs = self.outputs + width;
        Ok((self.finish(Some(conv)), outputs))
    }

    /// The block that halves the size, and all its output channels.
    fn halving(self) -> (Mixed, i64) {
        let outputs = self.outputs + self.inputs;
        (self.finish(None), outputs)
    }

    fn finish(self, pooled: Option<BasicConv>) -> Mixed {
        Mixed { name: self.path.name().to_owned(), kind: self.kind, branches: self.branches, pooled }
    }
}

/// The blocks of each size: torchvision's `InceptionA` to `InceptionE`.
fn block_a(path: &Path, name: &str, inputs: i64, pooled: i64) -> Result<(Mixed, i64)> {
    MixedBuilder::new(path, name, "InceptionA", inputs)
        .branch(&[("branch1x1", 64, [1, 1])], &[], false)?
        .branch(&[("branch5x5_1", 48, [1, 1]), ("branch5x5_2", 64, [5, 5])], &[], false)?
        .branch(
            &[("branch3x3dbl_1", 64, [1, 1]), ("branch3x3dbl_2", 96, [3, 3]), ("branch3x3dbl_3", 96, [3, 3])],
            &[],
            false,
        )?
        .averaging(pooled)
}

fn block_b(path: &Path, name: &str, inputs: i64) -> Result<(Mixed, i64)> {
    let built =
        MixedBuilder::new(path, name, "InceptionB", inputs).branch(&[("branch3x3", 384, [3, 3])], &[], true)?.branch(
            &[("branch3x3dbl_1", 64, [1, 1]), ("branch3x3dbl_2", 96, [3, 3]), ("branch3x3dbl_3", 96, [3, 3])],
            &[],
            true,
        )?;
    Ok(built.halving())
}

fn block_c(path: &Path, name: &str, inputs: i64, narrow: i64) -> Result<(Mixed, i64)> {
    let c = narrow;
    MixedBuilder::new(path, name, "InceptionC", inputs)
        .branch(&[("branch1x1", 192, [1, 1])], &[], false)?
        .branch(&[("branch7x7_1", c, [1, 1]), ("branch7x7_2", c, [1, 7]), ("branch7x7_3", 192, [7, 1])], &[], false)?
        .branch(
            &[
                ("branch7x7dbl_1", c, [1, 1]),
                ("branch7x7dbl_2", c, [7, 1]),
                ("branch7x7dbl_3", c, [1, 7]),
                ("branch7x7dbl_4", c, [7, 1]),
                ("branch7x7dbl_5", 192, [1, 7]),
            ],
            &[],
            false,
        )?
        .averaging(192)
}

fn block_d(path: &Path, name: &str, inputs: i64) -> Result<(Mixed, i64)> {
    let built = MixedBuilder::new(path, name, "InceptionD", inputs)
        .branch(&[("branch3x3_1", 192, [1, 1]), ("branch3x3_2", 320, [3, 3])], &[], true)?
        .branch(
            &[
                ("branch7x7x3_1", 192, [1, 1]),
                ("branch7x7x3_2", 192, [1, 7]),
                ("branch7x7x3_3", 192, [7, 1]),
                ("branch7x7x3_4", 192, [3, 3]),
            ],
            &[],
            true,
        )?;
    Ok(built.halving())
}

fn block_e(path: &Path, name: &str, inputs: i64) -> Result<(Mixed, i64)> {
    MixedBuilder::new(path, name, "InceptionE", inputs)
        .branch(&[("branch1x1", 320, [1, 1])], &[], false)?
        .branch(
            &[("branch3x3_1", 384, [1, 1])],
            &[("branch3x3_2a", 384, [1, 3]), ("branch3x3_2b", 384, [3, 1])],
            false,
        )?
        .branch(
            &[("branch3x3dbl_1", 448, [1, 1]), ("branch3x3dbl_2", 384, [3, 3])],
            &[("branch3x3dbl_3a", 384, [1, 3]), ("branch3x3dbl_3b", 384, [3, 1])],
            false,
        )?
        .averaging(192)
}

/// Blocks of parallel convolutions with windows of several sizes.
pub struct Inception {
    to_unit: bool,
    stem: Vec<Box<dyn Module>>,
    blocks: Vec<Mixed>,
    pool: Pool,
    dropout: Dropout,
    fc: Linear,
}

impl Inception {
    fn new(path: &Path, args: &InceptionArgs) -> Result<Self> {
        let classes = args.num_classes.0;
        let conv = |name: &str, inputs, outputs, side, stride, padded| -> Result<Box<dyn Module>> {
            Ok(Box::new(BasicConv::new(&path.child(name), inputs, outputs, [side; 2], stride, padded)?))
        };
        let pool = |name: &str| -> Box<dyn Module> { Box::new(Pool::max(&path.child(name), 3, 2, 0)) };
        let stem = vec![
            conv("Conv2d_1a_3x3", 3, 32, 3, 2, false)?,
            conv("Conv2d_2a_3x3", 32, 32, 3, 1, false)?,
            conv("Conv2d_2b_3x3", 32, 64, 3, 1, true)?,
            pool("maxpool1"),
            conv("Conv2d_3b_1x1", 64, 80, 1, 1, false)?,
            conv("Conv2d_4a_3x3", 80, 192, 3, 1, false)?,
            pool("maxpool2"),
        ];
        let (mut blocks, mut width) = (Vec::new(), 192);
        let mut add = |(block, outputs): (Mixed, i64)| {
            blocks.push(block);
            outputs
        };
        for (name, pooled) in [("Mixed_5b", 32), ("Mixed_5c", 64), ("Mixed_5d", 64)] {
            width = add(block_a(path, name, width, pooled)?);
        }
        width = add(block_b(path, "Mixed_6a", width)?);
        for (name, narrow) in [("Mixed_6b", 128), ("Mixed_6c", 160), ("Mixed_6d", 160), ("Mixed_6e", 192)] {
            width = add(block_c(path, name, width, narrow)?);
        }
        if args.aux_logits {
            auxiliary(&path.child("AuxLogits"), width, classes)?;
        }
        width = add(block_d(path, "Mixed_7a", width)?);
        for name in ["Mixed_7b", "Mixed_7c"] {
            width = add(block_e(path, name, width)?);
        }
        let fc = Linear::new(&path.child("fc"), width, classes, true)?;
        if args.init_weights.unwrap_or(args.weights.is_none()) {
            path.reinitialize(|kind, name, t| {
                if matches!((kind, name), ("Conv2d" | "Linear", "weight")) {
                    init::trunc_normal(t, 0.1);
                }
            });
        }
        Ok(Inception {
            to_unit: args.transform_input.unwrap_or(args.weights.is_some()),
            stem,
            blocks,
            pool: Pool::new(&path.child("avgpool"), PoolKind::AdaptiveAverage([1; 2])),
            dropout: Dropout::new(&path.child("dropout"), args.dropout.0),
            fc,
        })
    }
}

/// The auxiliary classifier's parameters: published weights have them, and so has the state dict.
fn auxiliary(path: &Path, inputs: i64, classes: i64) -> Result<()> {
    BasicConv::new(&path.child("conv0"), inputs, 128, [1, 1], 1, false)?;
    BasicConv::new(&path.child("conv1"), 128, 768, [5, 5], 1, false)?;
    Linear::new(&path.child("fc"), 768, classes, true).map(drop)
}

/// ImageNet's normalization of colour images exchanged for a range from -1 to 1, for which the published weights were
/// learned. Images with other channels stay as they are.
fn to_unit(input: &Tensor) -> Tensor {
    if input.size().get(1) != Some(&3) {
        return input.shallow_clone();
    }
    let per_channel = |values: [f64; 3]| {
        Tensor::from_slice(&values).to_kind(Kind::Float).to_device(input.device()).view([1, 3, 1, 1])
    };
    let scale = per_channel([0.229, 0.224, 0.225].map(|std| std / 0.5));
    let shift = per_channel([0.485, 0.456, 0.406].map(|mean| (mean - 0.5) / 0.5));
    input * scale + shift
}

impl Inception {
    /// The output of the last block.
    fn last(&self, input: &Tensor, train: bool) -> Tensor {
        let mut x = if self.to_unit { to_unit(input) } else { input.shallow_clone() };
        for layer in &self.stem {
            x = layer.forward(&x, train);
        }
        for block in &self.blocks {
            x = block.forward(&x, train);
        }
        x
    }
}

impl Module for Inception {
    fn has_map(&self) -> bool {
        true
    }

    fn map(&self, input: &Tensor, train: bool) -> Option<Tensor> {
        Some(self.last(input, train))
    }

    fn forward(&self, input: &Tensor, train: bool) -> Tensor {
        let x = self.pool.forward(&self.last(input, train), train);
        self.fc.forward(&self.dropout.forward(&x, train).flatten(1, -1), train)
    }
}

/// Inception v3 (Szegedy et al., 2016), 27.2 million parameters. Images have 75 pixels a side or more, 299 as
/// published.
///
/// The auxiliary classifier is part of the state dict, so that published weights fit, but no loss is computed from it:
/// its weights stay as they are.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct InceptionArgs {
    /// Where the weights come from: a local file (`.safetensors`, `.pth`), a published name (`IMAGENET1K_V1`,
    /// `DEFAULT`), or null to draw them.
    #[serde(default)]
    weights: Option<String>,
    /// Downloads report themselves.
    #[serde(default)]
    #[allow(dead_code)]
    progress: Ignored,
    /// Outputs: classes.
    #[serde(default = "imagenet")]
    num_classes: Count,
    /// Whether there is an auxiliary classifier.
    #[serde(default = "yes")]
    aux_logits: bool,
    /// Whether colour images are brought from ImageNet's normalization to a range from -1 to 1; when not given, they
    /// are if there are `weights`.
    #[serde(default)]
    transform_input: Option<bool>,
    /// Whether weights are drawn as published (a slow truncated normal distribution); when not given, they are unless
    /// there are `weights`.
    #[serde(default)]
    init_weights: Option<bool>,
    /// Dropout before the last layer.
    #[serde(default = "half")]
    dropout: Fraction,
}

net!(InceptionArgs, ["torchvision.models.inception_v3"], |args, path| {
    let model = Inception::new(path, args)?;
    let (weights, target) = (args.weights.as_deref(), InceptionArgs::TARGETS[0]);
    if args.aux_logits {
        weights::load_published(path, weights, target)?;
    } else {
        weights::load_backbone(path, weights, target)?;
    }
    Ok(model)
});

/// Adds Inception v3.
pub fn register(registry: &mut Registry) {
    registry.add::<InceptionArgs>();
}
