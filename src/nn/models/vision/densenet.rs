//! Densely connected networks (Huang et al., 2017).

use tch::Tensor;

use super::{imagenet, vision, zero};
use crate::error::Result;
use crate::nn::args::Count;
use crate::nn::init::{self, Fan};
use crate::nn::layers::{Activation, BatchNorm, Conv2d, ConvOptions, Function, Linear, Pool, PoolKind, Sequential};
use crate::nn::{Module, Path, trace};
use crate::registry::{Fraction, Ignored, Registry};

struct DenseLayer {
    narrow: Sequential,
    wide: Sequential,
    dropout: f64,
}

impl DenseLayer {
    fn new(path: &Path, inputs: i64, growth: i64, bottleneck: i64, dropout: f64) -> Result<Self> {
        let half = |index: i64, inputs, outputs, options: ConvOptions<2>| {
            let mut chain = Sequential::new(path);
            chain.push(BatchNorm::new(&path.child(format!("norm{index}")), inputs)?);
            chain.push(Activation::in_place(&path.child(format!("relu{index}")), Function::Relu));
            chain.push(Conv2d::new(&path.child(format!("conv{index}")), inputs, outputs, options.no_bias())?);
            Ok::<_, crate::error::Error>(chain)
        };
        let narrow = half(1, inputs, bottleneck * growth, ConvOptions::new(1))?;
        let wide = half(2, bottleneck * growth, growth, ConvOptions::new(3).padding(1))?;
        Ok(DenseLayer { narrow, wide, dropout })
    }
}

impl Module for DenseLayer {
    fn forward(&self, input: &Tensor, train: bool) -> Tensor {
        let new = self.wide.forward(&self.narrow.forward(input, train), train);
        if self.dropout > 0.0 { new.dropout(self.dropout, train) } else { new }
    }
}

struct DenseBlock {
    name: String,
    layers: Vec<DenseLayer>,
}

impl Module for DenseBlock {
    fn forward(&self, input: &Tensor, train: bool) -> Tensor {
        let mut features = vec![input.shallow_clone()];
        for layer in &self.layers {
            features.push(layer.forward(&Tensor::cat(&features, 1), train));
        }
        let output = Tensor::cat(&features, 1);
        trace::container(&self.name, "_DenseBlock", input, &output);
        output
    }
}

/// Every layer of a block sees the outputs of all layers before it.
pub struct DenseNet {
    features: Sequential,
    pool: Pool,
    classifier: Linear,
}

struct Shape {
    growth: i64,
    blocks: Vec<i64>,
    first: i64,
    bottleneck: i64,
    dropout: f64,
}

impl DenseNet {
    fn new(path: &Path, shape: &Shape, classes: i64) -> Result<Self> {
        let at = path.child("features");
        let mut features = Sequential::new(&at);
        let stem = ConvOptions::new(7).stride(2).padding(3).no_bias();
        features.push(Conv2d::new(&at.child("conv0"), 3, shape.first, stem)?);
        features.push(BatchNorm::new(&at.child("norm0"), shape.first)?);
        features.push(Activation::in_place(&at.child("relu0"), Function::Relu));
        features.push(Pool::max(&at.child("pool0"), 3, 2, 1));
        let mut channels = shape.first;
        for (index, &count) in shape.blocks.iter().enumerate() {
            let block = at.child(format!("denseblock{}", index + 1));
            let mut layers = Vec::new();
            for layer in 0..count {
                let at = block.child(format!("denselayer{}", layer + 1));
                let inputs = channels + layer * shape.growth;
                layers.push(DenseLayer::new(&at, inputs, shape.growth, shape.bottleneck, shape.dropout)?);
            }
            features.push(DenseBlock { name: block.name().to_owned(), layers });
            channels += count * shape.growth;
            if index + 1 < shape.blocks.len() {
                features.push(transition(&at.child(format!("transition{}", index + 1)), channels)?);
                channels /= 2;
            }
        }
        features.push(BatchNorm::new(&at.child("norm5"), channels)?);
        let classifier = Linear::new(&path.child("classifier"), channels, classes, true)?;
        path.reinitialize(|kind, name, t| match (kind, name) {
            ("Conv2d", "weight") => init::kaiming_normal(t, Fan::In),
            ("Linear", "bias") => init::zeros(t),
            _ => {}
        });
        Ok(DenseNet { features, pool: Pool::global(&path.child("avgpool"), 1), classifier })
    }
}

/// Half the channels, half the size.
fn transition(path: &Path, channels: i64) -> Result<Sequential> {
    let mut chain = Sequential::called(path, "_Transition");
    chain.push(BatchNorm::new(&path.child("norm"), channels)?);
    chain.push(Activation::in_place(&path.child("relu"), Function::Relu));
    chain.push(Conv2d::new(&path.child("conv"), channels, channels / 2, ConvOptions::new(1).no_bias())?);
    let pool = PoolKind::Average {
        kernel: [2, 2],
        stride: [2, 2],
        padding: [0, 0],
        ceil: false,
        count_padding: true,
        divisor: None,
    };
    chain.push(Pool::new(&path.child("pool"), pool));
    Ok(chain)
}

impl Module for DenseNet {
    fn forward(&self, input: &Tensor, train: bool) -> Tensor {
        let x = self.features.forward(input, train).relu();
        self.classifier.forward(&self.pool.forward(&x, train).flatten(1, -1), train)
    }
}

macro_rules! densenets {
    ($($(#[$doc:meta])* $name:ident, $target:literal, $growth:literal, $blocks:expr, $first:literal;)*) => {
        $(mod $name {
            use super::*;

            fn growth() -> Count {
                Count($growth)
            }

            fn blocks() -> Vec<Count> {
                $blocks.into_iter().map(Count).collect()
            }

            fn first() -> Count {
                Count($first)
            }

            fn bottleneck() -> Count {
                Count(4)
            }

            vision!(
                $(#[$doc])*
                Args, [$target],
                {
                    /// Channels that each layer adds.
                    #[serde(default = "growth")]
                    growth_rate: Count,
                    /// Layers of each block.
                    #[serde(default = "blocks")]
                    block_config: Vec<Count>,
                    /// Channels of the first convolution.
                    #[serde(default = "first")]
                    num_init_features: Count,
                    /// Channels of a layer's 1×1 convolution, in growth rates.
                    #[serde(default = "bottleneck")]
                    bn_size: Count,
                    /// Dropout after each layer.
                    #[serde(default = "zero")]
                    drop_rate: Fraction,
                    /// Outputs: classes.
                    #[serde(default = "imagenet")]
                    num_classes: Count,
                    /// Nothing is recomputed in the backward pass.
                    #[serde(default)]
                    #[allow(dead_code)]
                    memory_efficient: Ignored,
                },
                |args, path| {
                    let shape = Shape {
                        growth: args.growth_rate.0,
                        blocks: args.block_config.iter().map(|count| count.0).collect(),
                        first: args.num_init_features.0,
                        bottleneck: args.bn_size.0,
                        dropout: args.drop_rate.0,
                    };
                    DenseNet::new(path, &shape, args.num_classes.0)
                }
            );
        })*

        /// Adds the dense networks.
        pub fn register(registry: &mut Registry) {
            $(registry.add::<$name::Args>();)*
        }
    };
}

densenets! {
    /// DenseNet-121, 8.0 million parameters.
    densenet121, "torchvision.models.densenet121", 32, [6, 12, 24, 16], 64;
    /// DenseNet-161, 28.7 million parameters.
    densenet161, "torchvision.models.densenet161", 48, [6, 12, 36, 24], 96;
    /// DenseNet-169, 14.1 million parameters.
    densenet169, "torchvision.models.densenet169", 32, [6, 12, 32, 32], 64;
    /// DenseNet-201, 20.0 million parameters.
    densenet201, "torchvision.models.densenet201", 32, [6, 12, 48, 32], 64;
}
