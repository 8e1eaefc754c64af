//! ConvNeXt (Liu et al., 2022).

use tch::Tensor;

use super::blocks::{LayerNorm2d, Permute};
use super::{imagenet, vision};
use crate::error::Result;
use crate::nn::args::Count;
use crate::nn::init;
use crate::nn::layers::{
    Activation, Conv2d, ConvOptions, Flatten, Function, LayerNorm, Linear, Pool, Sequential, StochasticDepth,
};
use crate::nn::{Module, Path, trace};
use crate::registry::{Fraction, Registry};

const EPS: f64 = 1e-6;

struct Block {
    name: String,
    scale: Tensor,
    block: Sequential,
    depth: StochasticDepth,
}

impl Block {
    fn new(path: &Path, dim: i64, scale: f64, depth: f64) -> Result<Self> {
        // Drawn after the block's layers in Python, but a constant draws nothing: the state dict's order it is.
        let scale = path.parameter("layer_scale", &[dim, 1, 1], |t| init::constant(t, scale))?;
        let at = path.child("block");
        let mut block = Sequential::new(&at);
        block.push(Conv2d::new(&at.child(0), dim, dim, ConvOptions::new(7).padding(3).groups(dim))?);
        block.push(Permute(&[0, 2, 3, 1]));
        block.push(LayerNorm::new(&at.child(2), dim, EPS)?);
        block.push(Linear::new(&at.child(3), dim, 4 * dim, true)?);
        block.push(Activation::new(&at.child(4), Function::Gelu(Default::default())));
        block.push(Linear::new(&at.child(5), 4 * dim, dim, true)?);
        block.push(Permute(&[0, 3, 1, 2]));
        let depth = StochasticDepth::new(&path.child("stochastic_depth"), depth);
        Ok(Block { name: path.name().to_owned(), scale, block, depth })
    }
}

impl Module for Block {
    fn forward(&self, input: &Tensor, train: bool) -> Tensor {
        let x = &self.scale * self.block.forward(input, train);
        let output = self.depth.forward(&x, train) + input;
        trace::container(&self.name, "CNBlock", input, &output);
        output
    }
}

/// Convolutions of 7×7 in blocks shaped like a transformer's.
pub struct ConvNext {
    features: Sequential,
    pool: Pool,
    classifier: Sequential,
}

impl ConvNext {
    fn new(path: &Path, dims: [i64; 4], depths: [i64; 4], classes: i64, scale: f64, depth: f64) -> Result<Self> {
        let at = path.child("features");
        let mut features = Sequential::new(&at);
        let mut stem = Sequential::called(&at.child(0), "Conv2dNormActivation");
        stem.push(Conv2d::new(&at.child(0).child(0), 3, dims[0], ConvOptions::new(4).stride(4))?);
        stem.push(LayerNorm2d::new(&at.child(0).child(1), dims[0], EPS)?);
        features.push(stem);
        let total: i64 = depths.iter().sum();
        let mut id = 0;
        for (index, (&dim, &count)) in dims.iter().zip(&depths).enumerate() {
            let stage = at.child(features.len());
            let mut blocks = Sequential::new(&stage);
            for block in 0..count {
                let depth = depth * id as f64 / (total as f64 - 1.0);
                blocks.push(Block::new(&stage.child(block), dim, scale, depth)?);
                id += 1;
            }
            features.push(blocks);
            if let Some(&next) = dims.get(index + 1) {
                let down = at.child(features.len());
                let mut chain = Sequential::new(&down);
                chain.push(LayerNorm2d::new(&down.child(0), dim, EPS)?);
                chain.push(Conv2d::new(&down.child(1), dim, next, ConvOptions::new(2).stride(2))?);
                features.push(chain);
            }
        }
        let pool = Pool::global(&path.child("avgpool"), 1);
        let at = path.child("classifier");
        let mut classifier = Sequential::new(&at);
        classifier.push(LayerNorm2d::new(&at.child(0), dims[3], EPS)?);
        classifier.push(Flatten::new(&at.child(1), 1, -1));
        classifier.push(Linear::new(&at.child(2), dims[3], classes, true)?);
        path.reinitialize(|kind, name, t| match (kind, name) {
            ("Conv2d" | "Linear", "weight") => init::trunc_normal(t, 0.02),
            ("Conv2d" | "Linear", "bias") => init::zeros(t),
            _ => {}
        });
        Ok(ConvNext { features, pool, classifier })
    }
}

impl Module for ConvNext {
    fn forward(&self, input: &Tensor, train: bool) -> Tensor {
        let x = self.pool.forward(&self.features.forward(input, train), train);
        self.classifier.forward(&x, train)
    }
}

macro_rules! convnexts {
    ($($(#[$doc:meta])* $name:ident, $target:literal, $dims:expr, $depths:expr, $depth:literal;)*) => {
        $(mod $name {
            use super::*;

            fn scale() -> f64 {
                1e-6
            }

            fn depth() -> Fraction {
                Fraction($depth)
            }

            vision!(
                $(#[$doc])*
                Args, [$target],
                {
                    /// Outputs: classes.
                    #[serde(default = "imagenet")]
                    num_classes: Count,
                    /// Stochastic depth of the last block; the others have less, linearly.
                    #[serde(default = "depth")]
                    stochastic_depth_prob: Fraction,
                    /// Initial scale of every residual branch.
                    #[serde(default = "scale")]
                    layer_scale: f64,
                },
                |args, path| {
                    let (scale, depth) = (args.layer_scale, args.stochastic_depth_prob.0);
                    ConvNext::new(path, $dims, $depths, args.num_classes.0, scale, depth)
                }
            );
        })*

        /// Adds the ConvNeXts.
        pub fn register(registry: &mut Registry) {
            $(registry.add::<$name::Args>();)*
        }
    };
}

convnexts! {
    /// ConvNeXt-Tiny, 28.6 million parameters.
    convnext_tiny, "torchvision.models.convnext_tiny", [96, 192, 384, 768], [3, 3, 9, 3], 0.1;
    /// ConvNeXt-Small, 50.2 million parameters.
    convnext_small, "torchvision.models.convnext_small", [96, 192, 384, 768], [3, 3, 27, 3], 0.4;
    /// ConvNeXt-Base, 88.6 million parameters.
    convnext_base, "torchvision.models.convnext_base", [128, 256, 512, 1024], [3, 3, 27, 3], 0.5;
    /// ConvNeXt-Large, 197.8 million parameters.
    convnext_large, "torchvision.models.convnext_large", [192, 384, 768, 1536], [3, 3, 27, 3], 0.5;
}
