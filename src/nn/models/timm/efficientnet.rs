//! timm's EfficientNets: the same network as torchvision's under other names.

use tch::Tensor;

use super::Common;
use super::pool::Pooling;
use crate::error::Result;
use crate::nn::init;
use crate::nn::layers::{BatchNorm, Conv2d, ConvOptions, Dropout, Function, Linear, StochasticDepth};
use crate::nn::models::vision::blocks::make_divisible;
use crate::nn::{Module, Path, trace};

/// How much wider and deeper than B0.
pub(super) struct Scale {
    width: f64,
    depth: f64,
}

impl Scale {
    pub(super) fn named(name: &str) -> Option<Self> {
        let (width, depth) = match name.strip_prefix("efficientnet_b")? {
            "0" => (1.0, 1.0),
            "1" => (1.0, 1.1),
            "2" => (1.1, 1.2),
            "3" => (1.2, 1.4),
            "4" => (1.4, 1.8),
            "5" => (1.6, 2.2),
            "6" => (1.8, 2.6),
            "7" => (2.0, 3.1),
            "8" => (2.2, 3.6),
            _ => return None,
        };
        Some(Scale { width, depth })
    }

    /// timm's `round_channels`: not down by more than a tenth.
    fn channels(&self, channels: i64) -> i64 {
        make_divisible(channels as f64 * self.width, 8)
    }
}

/// Expansion, kernel, stride, output channels, blocks.
const STAGES: [[i64; 5]; 7] = [
    [1, 3, 1, 16, 1],
    [6, 3, 2, 24, 2],
    [6, 5, 2, 40, 2],
    [6, 3, 2, 80, 3],
    [6, 5, 1, 112, 3],
    [6, 5, 2, 192, 4],
    [6, 3, 1, 320, 1],
];

struct SqueezeExcite {
    reduce: Conv2d,
    expand: Conv2d,
}

impl SqueezeExcite {
    fn new(path: &Path, channels: i64, squeezed: i64) -> Result<Self> {
        Ok(SqueezeExcite {
            reduce: Conv2d::new(&path.child("conv_reduce"), channels, squeezed, ConvOptions::new(1))?,
            expand: Conv2d::new(&path.child("conv_expand"), squeezed, channels, ConvOptions::new(1))?,
        })
    }
}

impl Module for SqueezeExcite {
    fn forward(&self, input: &Tensor, train: bool) -> Tensor {
        let mean = input.mean_dim([2i64, 3].as_slice(), true, None);
        let gate = self.expand.forward(&Function::Silu.apply(&self.reduce.forward(&mean, train)), train);
        input * gate.sigmoid()
    }
}

/// A convolution and its normalisation, siblings in the state dict.
struct ConvAndNorm(Conv2d, BatchNorm);

impl ConvAndNorm {
    fn new(path: &Path, [conv, norm]: [&str; 2], inputs: i64, outputs: i64, options: ConvOptions<2>) -> Result<Self> {
        let conv = Conv2d::new(&path.child(conv), inputs, outputs, options.no_bias())?;
        Ok(ConvAndNorm(conv, BatchNorm::new(&path.child(norm), outputs)?))
    }

    fn pass(&self, input: &Tensor, activate: bool, train: bool) -> Tensor {
        let mut x = self.1.forward(&self.0.forward(input, train), train);
        if activate { x.silu_() } else { x }
    }
}

/// What a block does to its image.
#[derive(Clone, Copy)]
struct Window {
    expand: i64,
    kernel: i64,
    stride: i64,
    dilation: i64,
}

struct Block {
    name: String,
    widen: Option<ConvAndNorm>,
    deep: ConvAndNorm,
    squeeze: SqueezeExcite,
    narrow: ConvAndNorm,
    depth: StochasticDepth,
    residual: bool,
}

impl Block {
    fn new(path: &Path, inputs: i64, outputs: i64, window: Window, depth: f64) -> Result<Self> {
        let Window { expand, kernel, stride, dilation } = window;
        let middle = if expand == 1 { inputs } else { make_divisible((inputs * expand) as f64, 8) };
        let deep = ConvOptions::new(kernel).stride(stride).dilation(dilation).groups(middle);
        let deep = deep.padding(dilation * (kernel / 2));
        let one = ConvOptions::new(1);
        let squeezed = (inputs as f64 * 0.25).round_ties_even() as i64;
        // A block that does not widen has no first convolution; the names move up.
        let names = match expand {
            1 => [["conv_dw", "bn1"], ["conv_pw", "bn2"]],
            _ => [["conv_dw", "bn2"], ["conv_pwl", "bn3"]],
        };
        let widen = (expand != 1).then(|| ConvAndNorm::new(path, ["conv_pw", "bn1"], inputs, middle, one));
        let widen = widen.transpose()?;
        let deep = ConvAndNorm::new(path, names[0], middle, middle, deep)?;
        let squeeze = SqueezeExcite::new(&path.child("se"), middle, squeezed)?;
        let narrow = ConvAndNorm::new(path, names[1], middle, outputs, one)?;
        let residual = stride == 1 && inputs == outputs;
        let depth = StochasticDepth::new(&path.child("drop_path"), depth);
        Ok(Block { name: path.name().to_owned(), widen, deep, squeeze, narrow, depth, residual })
    }
}

impl Module for Block {
    fn forward(&self, input: &Tensor, train: bool) -> Tensor {
        let wide = self.widen.as_ref().map(|conv| conv.pass(input, true, train));
        let x = self.deep.pass(wide.as_ref().unwrap_or(input), true, train);
        let x = self.narrow.pass(&self.squeeze.forward(&x, train), false, train);
        let output = if self.residual { self.depth.forward(&x, train) + input } else { x };
        trace::container(&self.name, "InvertedResidual", input, &output);
        output
    }
}

/// EfficientNet with timm's names.
pub(super) struct EfficientNet {
    stem: ConvAndNorm,
    blocks: Vec<Block>,
    head: ConvAndNorm,
    pool: Pooling,
    dropout: Dropout,
    classifier: Option<Linear>,
}

impl EfficientNet {
    pub(super) fn new(path: &Path, scale: &Scale, common: &Common) -> Result<Self> {
        let first = scale.channels(32);
        let stem = ConvOptions::new(3).stride(2).padding(1);
        let stem = ConvAndNorm::new(path, ["conv_stem", "bn1"], common.channels, first, stem)?;
        let depth = |blocks: i64| (blocks as f64 * scale.depth).ceil() as i64;
        let total: i64 = STAGES.iter().map(|stage| depth(stage[4])).sum();
        let mut blocks = Vec::new();
        let mut inputs = first;
        // How small the image has become, and how far apart windows look where it may not become smaller.
        let (mut reached, mut dilation) = (2, 1);
        for (index, [expand, kernel, stride, channels, count]) in STAGES.into_iter().enumerate() {
            let outputs = scale.channels(channels);
            for block in 0..depth(count) {
                let at = path.child("blocks").child(index).child(block);
                let drop = common.depth * blocks.len() as f64 / total as f64;
                let mut window = Window { expand, kernel, stride: if block == 0 { stride } else { 1 }, dilation };
                if window.stride > 1 && reached * window.stride > common.stride {
                    // The block itself still looks as far as those before it.
                    dilation *= window.stride;
                    window.stride = 1;
                } else {
                    reached *= window.stride;
                }
                blocks.push(Block::new(&at, inputs, outputs, window, drop)?);
                inputs = outputs;
            }
        }
        let features = scale.channels(1280);
        let head = ConvAndNorm::new(path, ["conv_head", "bn2"], inputs, features, ConvOptions::new(1))?;
        let pool = Pooling::new(&path.child("global_pool"), common.pool.unwrap_or_default());
        let dropout = Dropout::new(&path.child("drop"), common.dropout);
        let width = features * pool.kind.times();
        let classifier = common.classes.map(|classes| Linear::new(&path.child("classifier"), width, classes, true));
        let classifier = classifier.transpose()?;
        reinitialize(path);
        Ok(EfficientNet { stem, blocks, head, pool, dropout, classifier })
    }
}

/// timm's `_init_weight_goog`: convolutions by the fan out of one group, linear layers uniform.
fn reinitialize(path: &Path) {
    path.reinitialize(|kind, name, t| {
        let size = t.size();
        match (kind, name) {
            ("Conv2d", "weight") => {
                let groups = if size[1] == 1 { size[0] } else { 1 };
                let fan = (size[0] * size[2] * size[3] / groups) as f64;
                init::normal(t, 0.0, (2.0 / fan).sqrt());
            }
            ("Linear", "weight") => {
                let range = 1.0 / (size[0] as f64).sqrt();
                init::uniform(t, -range, range);
            }
            ("Conv2d" | "Linear", "bias") => init::zeros(t),
            _ => {}
        }
    });
}

impl EfficientNet {
    /// The output of the last convolution.
    fn last(&self, input: &Tensor, train: bool) -> Tensor {
        let mut x = self.stem.pass(input, true, train);
        for block in &self.blocks {
            x = block.forward(&x, train);
        }
        self.head.pass(&x, true, train)
    }
}

impl Module for EfficientNet {
    fn has_map(&self) -> bool {
        // Other heads count on as many features as the map has channels.
        self.pool.kind.times() == 1
    }

    fn map(&self, input: &Tensor, train: bool) -> Option<Tensor> {
        self.has_map().then(|| self.last(input, train))
    }

    fn forward(&self, input: &Tensor, train: bool) -> Tensor {
        let x = self.pool.forward(&self.last(input, train), train);
        let x = self.dropout.forward(&x, train);
        self.classifier.as_ref().map_or_else(|| x.shallow_clone(), |classifier| classifier.forward(&x, train))
    }
}
