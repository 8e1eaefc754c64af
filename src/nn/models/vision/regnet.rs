//! RegNetY (Radosavovic et al., 2020): widths that grow linearly, quantised into stages.

use tch::Tensor;

use super::blocks::{ConvNorm, SqueezeExcitation, make_divisible};
use super::{imagenet, vision};
use crate::error::Result;
use crate::nn::args::Count;
use crate::nn::init;
use crate::nn::layers::{BatchNormOptions, Function, Linear, Pool, Sequential};
use crate::nn::{Module, Path, trace};
use crate::registry::Registry;

/// One stage: width, blocks, channels per group.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Stage {
    width: i64,
    depth: i64,
    group: i64,
}

/// The stages of `depth` blocks whose widths start at `first`, grow by `slope` per block and are rounded to powers
/// of `step` (section 3.3 of the paper; 32-bit arithmetic, as PyTorch does it).
fn stages(depth: i64, first: i64, slope: f32, step: f32, group: i64) -> Vec<Stage> {
    const QUANTUM: f32 = 8.0;
    let widths = (0..depth).map(|index| {
        let wanted = index as f32 * slope + first as f32;
        let power = ((wanted / first as f32).ln() / step.ln()).round_ties_even();
        let width = (first as f32 * step.powf(power) / QUANTUM).round_ties_even() * QUANTUM;
        width as i64
    });
    let mut stages: Vec<Stage> = Vec::new();
    for width in widths {
        match stages.last_mut().filter(|stage| stage.width == width) {
            Some(stage) => stage.depth += 1,
            None => stages.push(Stage { width, depth: 1, group }),
        }
    }
    for stage in &mut stages {
        stage.group = stage.group.min(stage.width);
        stage.width = make_divisible(stage.width as f64, stage.group);
    }
    stages
}

struct Block {
    name: String,
    projection: Option<Sequential>,
    branch: Sequential,
}

impl Block {
    fn new(path: &Path, inputs: i64, stage: Stage, stride: i64) -> Result<Self> {
        let norm = BatchNormOptions::default();
        let width = stage.width;
        let conv = |inputs, kernel| ConvNorm::new(inputs, width, kernel, norm);
        let projection = (inputs != width || stride != 1)
            .then(|| conv(inputs, 1).stride(stride).make(&path.child("proj")))
            .transpose()?;
        let at = path.child("f");
        let relu = Function::Relu;
        let mut branch = Sequential::called(&at, "BottleneckTransform");
        branch.push(conv(inputs, 1).activation(relu).make(&at.child("a"))?);
        let middle = conv(width, 3).stride(stride).groups(width / stage.group).activation(relu);
        branch.push(middle.make(&at.child("b"))?);
        let squeezed = (0.25 * inputs as f64).round_ties_even() as i64;
        branch.push(SqueezeExcitation::new(&at.child("se"), width, squeezed, relu, Function::Sigmoid)?);
        branch.push(conv(width, 1).make(&at.child("c"))?);
        Ok(Block { name: path.name().to_owned(), projection, branch })
    }
}

impl Module for Block {
    fn forward(&self, input: &Tensor, train: bool) -> Tensor {
        let shortcut = self.projection.as_ref().map(|projection| projection.forward(input, train));
        let output = (shortcut.as_ref().unwrap_or(input) + self.branch.forward(input, train)).relu_();
        trace::container(&self.name, "ResBottleneckBlock", input, &output);
        output
    }
}

/// Bottleneck blocks with squeeze and excitation in four stages.
pub struct RegNet {
    stem: Sequential,
    trunk: Sequential,
    pool: Pool,
    fc: Linear,
}

impl RegNet {
    fn new(path: &Path, stages: &[Stage], classes: i64) -> Result<Self> {
        let norm = BatchNormOptions::default();
        let stem = ConvNorm::new(3, 32, 3, norm).stride(2).activation(Function::Relu).make(&path.child("stem"))?;
        let at = path.child("trunk_output");
        let mut trunk = Sequential::new(&at);
        let mut inputs = 32;
        for (index, &stage) in stages.iter().enumerate() {
            let at = at.child(format!("block{}", index + 1));
            let mut blocks = Sequential::called(&at, "AnyStage");
            for block in 0..stage.depth {
                let stride = if block == 0 { 2 } else { 1 };
                blocks.push(Block::new(&at.child(format!("block{}-{block}", index + 1)), inputs, stage, stride)?);
                inputs = stage.width;
            }
            trunk.push(blocks);
        }
        let pool = Pool::global(&path.child("avgpool"), 1);
        let fc = Linear::new(&path.child("fc"), inputs, classes, true)?;
        path.reinitialize(|kind, name, t| match (kind, name) {
            ("Conv2d", "weight") => {
                let size = t.size();
                init::normal(t, 0.0, (2.0 / (size[0] * size[2] * size[3]) as f64).sqrt());
            }
            ("Linear", "weight") => init::normal(t, 0.0, 0.01),
            ("Linear", "bias") => init::zeros(t),
            _ => {}
        });
        Ok(RegNet { stem, trunk, pool, fc })
    }
}

impl Module for RegNet {
    fn forward(&self, input: &Tensor, train: bool) -> Tensor {
        let x = self.trunk.forward(&self.stem.forward(input, train), train);
        self.fc.forward(&self.pool.forward(&x, train).flatten(1, -1), train)
    }
}

macro_rules! regnets {
    ($($(#[$doc:meta])* $name:ident, $target:literal, $depth:literal, $first:literal, $slope:literal, $step:literal, $group:literal;)*) => {
        $(vision!(
            $(#[$doc])*
            $name, [$target],
            {
                /// Outputs: classes.
                #[serde(default = "imagenet")]
                num_classes: Count,
            },
            |args, path| RegNet::new(path, &stages($depth, $first, $slope, $step, $group), args.num_classes.0)
        );)*

        /// Adds the RegNets.
        pub fn register(registry: &mut Registry) {
            $(registry.add::<$name>();)*
        }
    };
}

regnets! {
    /// RegNetY-400MF, 4.3 million parameters.
    RegNetY400mfArgs, "torchvision.models.regnet_y_400mf", 16, 48, 27.89, 2.09, 8;
    /// RegNetY-800MF, 6.4 million parameters.
    RegNetY800mfArgs, "torchvision.models.regnet_y_800mf", 14, 56, 38.84, 2.4, 16;
    /// RegNetY-1.6GF, 11.2 million parameters.
    RegNetY16gfArgs, "torchvision.models.regnet_y_1_6gf", 27, 48, 20.71, 2.65, 24;
    /// RegNetY-3.2GF, 19.4 million parameters.
    RegNetY32gfArgs, "torchvision.models.regnet_y_3_2gf", 21, 80, 42.63, 2.66, 24;
    /// RegNetY-8GF, 39.4 million parameters.
    RegNetY8gfArgs, "torchvision.models.regnet_y_8gf", 17, 192, 76.82, 2.19, 56;
    /// RegNetY-16GF, 83.6 million parameters.
    RegNetYLarge16gfArgs, "torchvision.models.regnet_y_16gf", 18, 200, 106.23, 2.48, 112;
    /// RegNetY-32GF, 145.0 million parameters.
    RegNetYLarge32gfArgs, "torchvision.models.regnet_y_32gf", 20, 232, 115.89, 2.53, 232;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stages_are_the_papers() {
        // Table of the published models: widths and depths of RegNetY-400MF and RegNetY-3.2GF.
        let numbers = |stages: Vec<Stage>| stages.iter().map(|s| (s.width, s.depth)).collect::<Vec<_>>();
        assert_eq!(numbers(stages(16, 48, 27.89, 2.09, 8)), [(48, 1), (104, 3), (208, 6), (440, 6)]);
        assert_eq!(numbers(stages(21, 80, 42.63, 2.66, 24)), [(72, 2), (216, 5), (576, 13), (1512, 1)]);
    }
}
