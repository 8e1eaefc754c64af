//! Residual networks (He et al., 2016; Zagoruyko and Komodakis, 2016; Xie et al., 2017).

use tch::{Device, Kind, Tensor};

use super::{imagenet, vision};
use crate::error::{Error, Result};
use crate::nn::args::Count;
use crate::nn::init::{self, Fan};
use crate::nn::layers::{BatchNorm, Conv2d, ConvOptions, Function, Linear, Pool};
use crate::nn::{Module, Path, trace};
use crate::registry::Registry;

/// The two residual blocks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BlockKind {
    /// Two 3×3 convolutions.
    Basic,
    /// 1×1, 3×3, 1×1 with four times the channels.
    Bottleneck,
}

impl BlockKind {
    fn expansion(self) -> i64 {
        if self == BlockKind::Basic { 1 } else { 4 }
    }
}

/// Which normalisation a network has.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum NormKind {
    /// Batch normalisation.
    Batch,
    /// Batch normalisation whose scale, shift and statistics never change (`torchvision.ops.FrozenBatchNorm2d`).
    Frozen {
        /// Added to the variance.
        eps: f64,
    },
}

/// What a residual network is made of.
#[derive(Clone, Copy, Debug)]
pub struct Shape {
    /// The block.
    pub block: BlockKind,
    /// Blocks of the four stages.
    pub layers: [i64; 4],
    /// Channels of the images.
    pub channels: i64,
    /// Groups of the 3×3 convolutions.
    pub groups: i64,
    /// Channels per group, in sixty-fourths of the stage's.
    pub width: i64,
    /// Whether a stage's stride (2nd to 4th) becomes a dilation.
    pub dilate: [bool; 3],
    /// The normalisation.
    pub norm: NormKind,
}

impl Shape {
    /// A plain network.
    pub fn new(block: BlockKind, layers: [i64; 4]) -> Self {
        Shape { block, layers, channels: 3, groups: 1, width: 64, dilate: [false; 3], norm: NormKind::Batch }
    }

    /// The shape of a model by its name (torchvision's and timm's agree).
    pub fn named(name: &str) -> Option<Self> {
        let bottleneck = |layers| Shape::new(BlockKind::Bottleneck, layers);
        Some(match name {
            "resnet18" => Shape::new(BlockKind::Basic, [2, 2, 2, 2]),
            "resnet34" => Shape::new(BlockKind::Basic, [3, 4, 6, 3]),
            "resnet50" => bottleneck([3, 4, 6, 3]),
            "resnet101" => bottleneck([3, 4, 23, 3]),
            "resnet152" => bottleneck([3, 8, 36, 3]),
            "wide_resnet50_2" => Shape { width: 128, ..bottleneck([3, 4, 6, 3]) },
            "wide_resnet101_2" => Shape { width: 128, ..bottleneck([3, 4, 23, 3]) },
            "resnext50_32x4d" => Shape { groups: 32, width: 4, ..bottleneck([3, 4, 6, 3]) },
            "resnext101_32x8d" => Shape { groups: 32, width: 8, ..bottleneck([3, 4, 23, 3]) },
            _ => return None,
        })
    }

    /// Channels of the last stage.
    pub fn features(&self) -> i64 {
        512 * self.block.expansion()
    }
}

/// Batch normalisation with everything constant: a scale and a shift.
struct FrozenBatchNorm {
    weight: Tensor,
    bias: Tensor,
    mean: Tensor,
    var: Tensor,
    eps: f64,
}

impl FrozenBatchNorm {
    fn new(path: &Path, features: i64, eps: f64) -> Result<Self> {
        let options = (Kind::Float, Device::Cpu);
        let _ = path.layer("FrozenBatchNorm2d");
        Ok(FrozenBatchNorm {
            weight: path.buffer("weight", Tensor::f_ones([features], options)?)?,
            bias: path.buffer("bias", Tensor::f_zeros([features], options)?)?,
            mean: path.buffer("running_mean", Tensor::f_zeros([features], options)?)?,
            var: path.buffer("running_var", Tensor::f_ones([features], options)?)?,
            eps,
        })
    }
}

impl Module for FrozenBatchNorm {
    fn forward(&self, input: &Tensor, _: bool) -> Tensor {
        let scale = &self.weight * (&self.var + self.eps).rsqrt();
        let shift = &self.bias - &self.mean * &scale;
        input * scale.view([1, -1, 1, 1]) + shift.view([1, -1, 1, 1])
    }
}

fn norm(path: &Path, kind: NormKind, features: i64) -> Result<Box<dyn Module>> {
    Ok(match kind {
        NormKind::Batch => Box::new(BatchNorm::new(path, features)?),
        NormKind::Frozen { eps } => Box::new(FrozenBatchNorm::new(path, features, eps)?),
    })
}

/// A convolution with its normalisation; they are siblings in the state dict.
type ConvAndNorm = (Conv2d, Box<dyn Module>);

struct Block {
    name: String,
    kind: BlockKind,
    convs: Vec<ConvAndNorm>,
    downsample: Option<ConvAndNorm>,
}

struct BlockArgs {
    inputs: i64,
    planes: i64,
    stride: i64,
    /// Of the convolution that strides.
    first_dilation: i64,
    /// Of the convolution after it, in a basic block.
    dilation: i64,
    downsample: bool,
}

impl Block {
    fn new(path: &Path, shape: &Shape, args: &BlockArgs) -> Result<Self> {
        let outputs = args.planes * shape.block.expansion();
        let at = path.child("downsample");
        // Python makes it before the block's own convolutions, and assigns it after them.
        let downsample = args.downsample.then(|| {
            let conv =
                Conv2d::new(&at.child(0), args.inputs, outputs, ConvOptions::new(1).stride(args.stride).no_bias())?;
            Ok::<_, Error>((conv, norm(&at.child(1), shape.norm, outputs)?))
        });
        let downsample = downsample.transpose()?;
        let mut convs = Vec::new();
        let mut add = |inputs, outputs, options: ConvOptions<2>| {
            let index = convs.len() + 1;
            let conv = Conv2d::new(&path.child(format!("conv{index}")), inputs, outputs, options.no_bias())?;
            convs.push((conv, norm(&path.child(format!("bn{index}")), shape.norm, outputs)?));
            Ok::<_, Error>(())
        };
        let three = |dilation| ConvOptions::new(3).padding(dilation).dilation(dilation);
        match shape.block {
            BlockKind::Basic => {
                add(args.inputs, args.planes, three(args.first_dilation).stride(args.stride))?;
                add(args.planes, args.planes, three(args.dilation))?;
            }
            BlockKind::Bottleneck => {
                let width = (args.planes as f64 * (shape.width as f64 / 64.0)) as i64 * shape.groups;
                add(args.inputs, width, ConvOptions::new(1))?;
                add(width, width, three(args.first_dilation).stride(args.stride).groups(shape.groups))?;
                add(width, outputs, ConvOptions::new(1))?;
            }
        }
        at.move_last();
        Ok(Block { name: path.name().to_owned(), kind: shape.block, convs, downsample })
    }
}

fn pass((conv, norm): &ConvAndNorm, input: &Tensor, train: bool) -> Tensor {
    norm.forward(&conv.forward(input, train), train)
}

impl Module for Block {
    fn forward(&self, input: &Tensor, train: bool) -> Tensor {
        let mut x = input.shallow_clone();
        for (index, conv) in self.convs.iter().enumerate() {
            x = pass(conv, &x, train);
            if index + 1 < self.convs.len() {
                x = x.relu_();
            }
        }
        x += match &self.downsample {
            Some(conv) => pass(conv, input, train),
            None => input.shallow_clone(),
        };
        let output = x.relu_();
        let kind = if self.kind == BlockKind::Basic { "BasicBlock" } else { "Bottleneck" };
        trace::container(&self.name, kind, input, &output);
        output
    }
}

/// A residual network without its head.
pub struct Body {
    stem: ConvAndNorm,
    stages: Vec<Stage>,
    relu: Function,
    pool: Pool,
}

struct Stage {
    name: String,
    blocks: Vec<Block>,
}

impl Body {
    /// Makes stem and stages with PyTorch's default initial values.
    ///
    /// # Errors
    /// When arguments contradict each other.
    pub fn new(path: &Path, shape: &Shape) -> Result<Self> {
        if shape.block == BlockKind::Basic && (shape.groups != 1 || shape.width != 64) {
            return Err(Error::request("resnet18 and resnet34 have one group of width 64"));
        }
        let conv =
            Conv2d::new(&path.child("conv1"), shape.channels, 64, ConvOptions::new(7).stride(2).padding(3).no_bias())?;
        let stem = (conv, norm(&path.child("bn1"), shape.norm, 64)?);
        let pool = Pool::max(&path.child("maxpool"), 3, 2, 1);
        let (mut inputs, mut dilation) = (64, 1);
        let mut stages = Vec::new();
        for (index, &count) in shape.layers.iter().enumerate() {
            let at = path.child(format!("layer{}", index + 1));
            let planes = 64 << index;
            let mut stride = if index == 0 { 1 } else { 2 };
            let before = dilation;
            if index > 0 && shape.dilate[index - 1] {
                dilation *= stride;
                stride = 1;
            }
            let mut blocks = Vec::new();
            for block in 0..count {
                let first = block == 0;
                let args = BlockArgs {
                    inputs,
                    planes,
                    stride: if first { stride } else { 1 },
                    first_dilation: if first { before } else { dilation },
                    dilation,
                    downsample: first && (stride != 1 || inputs != planes * shape.block.expansion()),
                };
                blocks.push(Block::new(&at.child(block), shape, &args)?);
                inputs = planes * shape.block.expansion();
            }
            stages.push(Stage { name: at.name().to_owned(), blocks });
        }
        Ok(Body { stem, stages, relu: Function::Relu, pool })
    }

    /// The outputs of the four stages, from the largest image to the smallest.
    pub fn stages(&self, input: &Tensor, train: bool) -> Vec<Tensor> {
        let x = self.relu.apply(&pass(&self.stem, input, train));
        let mut x = self.pool.forward(&x, train);
        let mut outputs = Vec::new();
        for stage in &self.stages {
            let input = x.shallow_clone();
            for block in &stage.blocks {
                x = block.forward(&x, train);
            }
            trace::container(&stage.name, "Sequential", &input, &x);
            outputs.push(x.shallow_clone());
        }
        outputs
    }
}

/// torchvision's second initialisation: convolutions by He's normal with fan out, and, if wanted, the last
/// normalisation of every block 0.
pub fn reinitialize(path: &Path, zero_last: Option<BlockKind>) {
    path.reinitialize(|kind, name, t| {
        if (kind, name) == ("Conv2d", "weight") {
            init::kaiming_normal(t, Fan::Out);
        }
    });
    let Some(block) = zero_last else { return };
    let last = if block == BlockKind::Basic { "bn2.weight" } else { "bn3.weight" };
    let mut entries = path.params().entries();
    for (name, entry) in entries.iter_mut() {
        if path.holds(name) && name.contains("layer") && name.ends_with(last) {
            tch::no_grad(|| init::zeros(&mut entry.tensor));
        }
    }
}

/// A residual network for classification: `[batch, 3, height, width]` to `[batch, num_classes]`.
pub struct ResNet {
    body: Body,
    pool: Pooled,
    dropout: f64,
    fc: Option<Linear>,
}

/// What becomes of the final feature map before the head.
pub struct Pooled {
    /// `[N, C, H, W]` to `[N, C * times]`, or to the map itself where there is no head.
    pub module: Box<dyn Module>,
    /// Features for each channel.
    pub times: i64,
}

/// The mean over all positions.
struct Mean(Pool);

impl Module for Mean {
    fn forward(&self, input: &Tensor, train: bool) -> Tensor {
        self.0.forward(input, train).flatten(1, -1)
    }
}

impl ResNet {
    /// Makes the network with torchvision's pooling; no head when `classes` is `None`.
    ///
    /// # Errors
    /// When arguments contradict each other.
    pub fn new(path: &Path, shape: &Shape, classes: Option<i64>, zero_last: bool) -> Result<Self> {
        let mean = |path: &Path| Pooled { module: Box::new(Mean(Pool::global(path, 1))), times: 1 };
        ResNet::pooled(path, shape, classes, zero_last, mean)
    }

    /// Makes the network with the pooling that `pool` makes below `avgpool`.
    ///
    /// # Errors
    /// When arguments contradict each other.
    pub fn pooled(
        path: &Path,
        shape: &Shape,
        classes: Option<i64>,
        zero_last: bool,
        pool: impl FnOnce(&Path) -> Pooled,
    ) -> Result<Self> {
        let body = Body::new(path, shape)?;
        let pool = pool(&path.child("avgpool"));
        let features = shape.features() * pool.times;
        let fc = classes.map(|classes| Linear::new(&path.child("fc"), features, classes, true));
        let fc = fc.transpose()?;
        reinitialize(path, zero_last.then_some(shape.block));
        Ok(ResNet { body, pool, dropout: 0.0, fc })
    }

    /// With dropout before the head (timm's `drop_rate`).
    pub fn with_dropout(self, dropout: f64) -> Self {
        ResNet { dropout, ..self }
    }
}

impl ResNet {
    /// The output of the last stage.
    fn last(&self, input: &Tensor, train: bool) -> Tensor {
        let stages = self.body.stages(input, train);
        stages.last().map_or_else(|| input.shallow_clone(), Tensor::shallow_clone)
    }
}

impl Module for ResNet {
    fn has_map(&self) -> bool {
        // Other heads count on as many features as the map has channels.
        self.pool.times == 1
    }

    fn map(&self, input: &Tensor, train: bool) -> Option<Tensor> {
        self.has_map().then(|| self.last(input, train))
    }

    fn forward(&self, input: &Tensor, train: bool) -> Tensor {
        let x = self.pool.module.forward(&self.last(input, train), train);
        let x = if self.dropout > 0.0 { x.dropout(self.dropout, train) } else { x };
        self.fc.as_ref().map_or_else(|| x.shallow_clone(), |fc| fc.forward(&x, train))
    }
}

macro_rules! resnets {
    ($($(#[$doc:meta])* $name:ident, $model:literal, $target:literal, $groups:literal, $width:literal;)*) => {
        $(mod $name {
            use super::*;

            fn groups() -> Count {
                Count($groups)
            }

            fn width() -> Count {
                Count($width)
            }

            vision!(
                $(#[$doc])*
                Args, [$target],
                {
                    /// Outputs: classes.
                    #[serde(default = "imagenet")]
                    num_classes: Count,
                    /// Whether every residual branch starts at 0: its last normalisation's scale is 0.
                    #[serde(default)]
                    zero_init_residual: bool,
                    /// Groups of the 3×3 convolutions.
                    #[serde(default = "groups")]
                    groups: Count,
                    /// Channels per group, in sixty-fourths of the stage's.
                    #[serde(default = "width")]
                    width_per_group: Count,
                    /// Whether the stride of the 2nd, 3rd, 4th stage becomes a dilation.
                    #[serde(default)]
                    replace_stride_with_dilation: Option<[bool; 3]>,
                },
                |args, path| {
                    let shape = Shape::named($model).ok_or_else(|| Error::failed("an unknown residual network"))?;
                    let dilate = args.replace_stride_with_dilation.unwrap_or_default();
                    if shape.block == BlockKind::Basic && dilate.contains(&true) {
                        return Err(Error::request("resnet18 and resnet34 of torchvision have no dilation")
                            .help("timm's have: timm.create_model with output_stride 16 or 8"));
                    }
                    let shape = Shape {
                        groups: args.groups.0,
                        width: args.width_per_group.0,
                        dilate,
                        ..shape
                    };
                    ResNet::new(path, &shape, Some(args.num_classes.0), args.zero_init_residual)
                }
            );
        })*

        /// Adds the residual networks.
        pub fn register(registry: &mut Registry) {
            $(registry.add::<$name::Args>();)*
        }
    };
}

resnets! {
    /// ResNet-18 (He et al., 2016), 11.7 million parameters.
    resnet18, "resnet18", "torchvision.models.resnet18", 1, 64;
    /// ResNet-34 (He et al., 2016), 21.8 million parameters.
    resnet34, "resnet34", "torchvision.models.resnet34", 1, 64;
    /// ResNet-50 (He et al., 2016), 25.6 million parameters.
    resnet50, "resnet50", "torchvision.models.resnet50", 1, 64;
    /// ResNet-101 (He et al., 2016), 44.5 million parameters.
    resnet101, "resnet101", "torchvision.models.resnet101", 1, 64;
    /// ResNet-152 (He et al., 2016), 60.2 million parameters.
    resnet152, "resnet152", "torchvision.models.resnet152", 1, 64;
    /// Wide ResNet-50-2 (Zagoruyko and Komodakis, 2016), 68.9 million parameters.
    wide_resnet50_2, "wide_resnet50_2", "torchvision.models.wide_resnet50_2", 1, 128;
    /// Wide ResNet-101-2 (Zagoruyko and Komodakis, 2016), 126.9 million parameters.
    wide_resnet101_2, "wide_resnet101_2", "torchvision.models.wide_resnet101_2", 1, 128;
    /// ResNeXt-50 32×4d (Xie et al., 2017), 25.0 million parameters.
    resnext50_32x4d, "resnext50_32x4d", "torchvision.models.resnext50_32x4d", 32, 4;
    /// ResNeXt-101 32×8d (Xie et al., 2017), 88.8 million parameters.
    resnext101_32x8d, "resnext101_32x8d", "torchvision.models.resnext101_32x8d", 32, 8;
}
