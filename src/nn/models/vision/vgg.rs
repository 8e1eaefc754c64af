//! VGG (Simonyan and Zisserman, 2015), with and without batch normalisation.

use tch::Tensor;

use super::{half, imagenet, vision};
use crate::error::Result;
use crate::nn::args::{Count, yes};
use crate::nn::init::{self, Fan};
use crate::nn::layers::{Activation, BatchNorm, Conv2d, ConvOptions, Dropout, Function, Linear, Pool, Sequential};
use crate::nn::{Module, Path};
use crate::registry::{Fraction, Registry};

/// Convolutions of 3×3 and pooling, then three large linear layers.
pub struct Vgg {
    features: Sequential,
    pool: Pool,
    classifier: Sequential,
}

/// Convolutions of each of the five stages.
fn depths(name: &str) -> [usize; 5] {
    match name {
        "vgg11" => [1, 1, 2, 2, 2],
        "vgg13" => [2, 2, 2, 2, 2],
        "vgg16" => [2, 2, 3, 3, 3],
        _ => [2, 2, 4, 4, 4],
    }
}

impl Vgg {
    fn new(path: &Path, name: &str, norm: bool, classes: i64, dropout: f64, init: bool) -> Result<Self> {
        let at = path.child("features");
        let mut features = Sequential::new(&at);
        let mut inputs = 3;
        for (depth, outputs) in depths(name).into_iter().zip([64, 128, 256, 512, 512]) {
            for _ in 0..depth {
                features.push(Conv2d::new(&at.child(features.len()), inputs, outputs, ConvOptions::new(3).padding(1))?);
                if norm {
                    features.push(BatchNorm::new(&at.child(features.len()), outputs)?);
                }
                features.push(Activation::in_place(&at.child(features.len()), Function::Relu));
                inputs = outputs;
            }
            features.push(Pool::max(&at.child(features.len()), 2, 2, 0));
        }
        let pool = Pool::global(&path.child("avgpool"), 7);
        let at = path.child("classifier");
        let mut classifier = Sequential::new(&at);
        for (inputs, outputs) in [(512 * 7 * 7, 4096), (4096, 4096)] {
            classifier.push(Linear::new(&at.child(classifier.len()), inputs, outputs, true)?);
            classifier.push(Activation::in_place(&at.child(classifier.len()), Function::Relu));
            classifier.push(Dropout::new(&at.child(classifier.len()), dropout));
        }
        classifier.push(Linear::new(&at.child(6), 4096, classes, true)?);
        if init {
            super::blocks::reinitialize(path, Fan::Out, |t| init::normal(t, 0.0, 0.01));
        }
        Ok(Vgg { features, pool, classifier })
    }
}

impl Module for Vgg {
    fn forward(&self, input: &Tensor, train: bool) -> Tensor {
        let x = self.pool.forward(&self.features.forward(input, train), train);
        self.classifier.forward(&x.flatten(1, -1), train)
    }
}

macro_rules! vggs {
    ($($(#[$doc:meta])* $name:ident, $model:literal, $norm:literal, $target:literal;)*) => {
        $(mod $name {
            use super::*;

            vision!(
                $(#[$doc])*
                Args, [$target],
                {
                    /// Outputs: classes.
                    #[serde(default = "imagenet")]
                    num_classes: Count,
                    /// Whether torchvision's initialisation follows PyTorch's default.
                    #[serde(default = "yes")]
                    init_weights: bool,
                    /// Dropout between the linear layers.
                    #[serde(default = "half")]
                    dropout: Fraction,
                },
                |args, path| {
                    Vgg::new(path, $model, $norm, args.num_classes.0, args.dropout.0, args.init_weights)
                }
            );
        })*

        /// Adds the VGG networks.
        pub fn register(registry: &mut Registry) {
            $(registry.add::<$name::Args>();)*
        }
    };
}

vggs! {
    /// VGG-11, 132.9 million parameters.
    vgg11, "vgg11", false, "torchvision.models.vgg11";
    /// VGG-11 with batch normalisation, 132.9 million parameters.
    vgg11_bn, "vgg11", true, "torchvision.models.vgg11_bn";
    /// VGG-13, 133.0 million parameters.
    vgg13, "vgg13", false, "torchvision.models.vgg13";
    /// VGG-13 with batch normalisation, 133.1 million parameters.
    vgg13_bn, "vgg13", true, "torchvision.models.vgg13_bn";
    /// VGG-16, 138.4 million parameters.
    vgg16, "vgg16", false, "torchvision.models.vgg16";
    /// VGG-16 with batch normalisation, 138.4 million parameters.
    vgg16_bn, "vgg16", true, "torchvision.models.vgg16_bn";
    /// VGG-19, 143.7 million parameters.
    vgg19, "vgg19", false, "torchvision.models.vgg19";
    /// VGG-19 with batch normalisation, 143.7 million parameters.
    vgg19_bn, "vgg19", true, "torchvision.models.vgg19_bn";
}
