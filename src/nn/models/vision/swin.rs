//! Swin transformer (Liu et al., 2021).

use tch::{Device, Kind, Tensor};

use super::blocks::{Permute, transformer_mlp};
use super::{imagenet, vision, zero};
use crate::error::{Error, Result};
use crate::nn::args::{Count, Padding};
use crate::nn::init;
use crate::nn::layers::{Conv2d, ConvOptions, LayerNorm, Linear, Pool, Sequential, StochasticDepth};
use crate::nn::{Module, Path, trace};
use crate::registry::{Fraction, Positive, Registry};

const EPS: f64 = 1e-5;

/// Attention within windows of the image, which may be shifted.
struct WindowAttention {
    window: [i64; 2],
    shift: [i64; 2],
    heads: i64,
    table: Tensor,
    index: Tensor,
    qkv: Linear,
    projection: Linear,
    attention_dropout: f64,
    dropout: f64,
}

/// For every pair of pixels of a window, the row of the bias table that belongs to their distance.
fn relative_index([height, width]: [i64; 2]) -> Vec<i64> {
    let pixels = || (0..height).flat_map(|y| (0..width).map(move |x| (y, x)));
    let mut index = Vec::new();
    for (y, x) in pixels() {
        for (v, u) in pixels() {
            index.push((y - v + height - 1) * (2 * width - 1) + (x - u + width - 1));
        }
    }
    index
}

/// Which of the three strips a row belongs to after a shift: pixels of different strips were not neighbours.
fn strips(size: i64, window: i64, shift: i64) -> Vec<i64> {
    (0..size)
        .map(|at| match () {
            () if shift == 0 || at >= size - shift => 2,
            () if at >= size - window => 1,
            () => 0,
        })
        .collect()
}

impl WindowAttention {
    fn new(path: &Path, dim: i64, heads: i64, window: [i64; 2], shift: [i64; 2], drops: [f64; 2]) -> Result<Self> {
        let qkv = Linear::new(&path.child("qkv"), dim, 3 * dim, true)?;
        let projection = Linear::new(&path.child("proj"), dim, dim, true)?;
        let rows = (2 * window[0] - 1) * (2 * window[1] - 1);
        let table = path.parameter("relative_position_bias_table", &[rows, heads], |t| init::trunc_normal(t, 0.02))?;
        let index = path.buffer("relative_position_index", Tensor::f_from_slice(&relative_index(window))?)?;
        path.child("qkv").move_last();
        path.child("proj").move_last();
        let [attention_dropout, dropout] = drops;
        Ok(WindowAttention { window, shift, heads, table, index, qkv, projection, attention_dropout, dropout })
    }

    /// `[batch, h, w, c]` to `[batch × windows, pixels, c]`.
    fn partition(&self, x: &Tensor) -> Tensor {
        let size = x.size();
        let [wh, ww] = self.window;
        x.view([size[0], size[1] / wh, wh, size[2] / ww, ww, size[3]]).permute([0, 1, 3, 2, 4, 5]).reshape([
            -1,
            wh * ww,
            size[3],
        ])
    }

    /// -100 between pixels that are neighbours only by the shift: `[windows, 1, pixels, pixels]`.
    fn mask(&self, height: i64, width: i64, shift: [i64; 2], device: Device) -> Tensor {
        let rows = Tensor::from_slice(&strips(height, self.window[0], shift[0])).view([1, -1, 1, 1]) * 3;
        let columns = Tensor::from_slice(&strips(width, self.window[1], shift[1])).view([1, 1, -1, 1]);
        let strips = self.partition(&(rows + columns)).squeeze_dim(-1);
        let differ = strips.unsqueeze(1).not_equal_tensor(&strips.unsqueeze(2));
        (differ.to_kind(Kind::Float) * -100.0).unsqueeze(1).to_device(device)
    }
}

impl Module for WindowAttention {
    fn forward(&self, input: &Tensor, train: bool) -> Tensor {
        let (batch, height, width, dim) = input.size4().unwrap_or_else(|error| panic!("{error}"));
        let [wh, ww] = self.window;
        let (below, right) = ((wh - height % wh) % wh, (ww - width % ww) % ww);
        let mut x = input.constant_pad_nd([0, 0, 0, right, 0, below]);
        let (h, w) = (height + below, width + right);
        // A window as large as the image is not shifted.
        let shift = [if wh >= h { 0 } else { self.shift[0] }, if ww >= w { 0 } else { self.shift[1] }];
        let shifted = shift != [0, 0];
        if shifted {
            x = x.roll([-shift[0], -shift[1]], [1, 2]);
        }
        let windows = (h / wh) * (w / ww);
        let x = self.partition(&x);
        let (count, pixels) = (x.size()[0], wh * ww);
        let head = dim / self.heads;
        let qkv = self.qkv.forward(&x, train).reshape([count, pixels, 3, self.heads, head]).permute([2, 0, 3, 1, 4]);
        let q = qkv.get(0) * (head as f64).powf(-0.5);
        let bias = self.table.index_select(0, &self.index).view([pixels, pixels, -1]).permute([2, 0, 1]).unsqueeze(0);
        let mut attention = q.matmul(&qkv.get(1).transpose(-2, -1)) + bias;
        if shifted {
            let mask = self.mask(h, w, shift, attention.device()).to_kind(attention.kind());
            attention = attention.view([batch, windows, self.heads, pixels, pixels]) + mask.unsqueeze(0);
            attention = attention.view([-1, self.heads, pixels, pixels]);
        }
        let attention = attention.softmax(-1, None).dropout(self.attention_dropout, train);
        let x = attention.matmul(&qkv.get(2)).transpose(1, 2).reshape([count, pixels, dim]);
        let x = self.projection.forward(&x, train).dropout(self.dropout, train);
        let mut x =
            x.view([batch, h / wh, w / ww, wh, ww, dim]).permute([0, 1, 3, 2, 4, 5]).reshape([batch, h, w, dim]);
        if shifted {
            x = x.roll(shift, [1, 2]);
        }
        x.narrow(1, 0, height).narrow(2, 0, width).contiguous()
    }
}

struct Block {
    name: String,
    norm1: LayerNorm,
    attention: WindowAttention,
    depth: StochasticDepth,
    norm2: LayerNorm,
    mlp: Sequential,
}

impl Module for Block {
    fn forward(&self, input: &Tensor, train: bool) -> Tensor {
        let x = self.attention.forward(&self.norm1.forward(input, train), train);
        let x = input + self.depth.forward(&x, train);
        let mlp = self.mlp.forward(&self.norm2.forward(&x, train), train);
        let output = &x + self.depth.forward(&mlp, train);
        trace::container(&self.name, "SwinTransformerBlock", input, &output);
        output
    }
}

/// Four neighbouring pixels become one with twice the features.
struct PatchMerging {
    reduction: Linear,
    norm: LayerNorm,
}

impl PatchMerging {
    fn new(path: &Path, dim: i64) -> Result<Self> {
        let reduction = Linear::new(&path.child("reduction"), 4 * dim, 2 * dim, false)?;
        Ok(PatchMerging { reduction, norm: LayerNorm::new(&path.child("norm"), 4 * dim, EPS)? })
    }
}

impl Module for PatchMerging {
    fn forward(&self, input: &Tensor, train: bool) -> Tensor {
        let size = input.size();
        let x = input.constant_pad_nd([0, 0, 0, size[2] % 2, 0, size[1] % 2]);
        let (h, w) = (x.size()[1], x.size()[2]);
        let part = |y, left| x.slice(1, y, h, 2).slice(2, left, w, 2);
        let x = Tensor::cat(&[part(0, 0), part(1, 0), part(0, 1), part(1, 1)], -1);
        self.reduction.forward(&self.norm.forward(&x, train), train)
    }
}

struct Shape {
    patch: [i64; 2],
    dim: i64,
    depths: Vec<i64>,
    heads: Vec<i64>,
    window: [i64; 2],
    ratio: f64,
    dropout: f64,
    attention_dropout: f64,
    depth: f64,
    classes: i64,
}

/// A transformer over windows, in stages of halved size.
pub struct SwinTransformer {
    features: Sequential,
    norm: LayerNorm,
    pool: Pool,
    head: Linear,
}

impl SwinTransformer {
    fn new(path: &Path, shape: &Shape) -> Result<Self> {
        if shape.heads.len() != shape.depths.len() {
            return Err(Error::request("num_heads and depths have one number per stage each"));
        }
        let at = path.child("features");
        let mut features = Sequential::new(&at);
        let stem = at.child(0);
        let options = ConvOptions {
            kernel: shape.patch,
            stride: shape.patch,
            padding: Padding::default(),
            ..ConvOptions::new(1)
        };
        let mut chain = Sequential::new(&stem);
        chain.push(Conv2d::new(&stem.child(0), 3, shape.dim, options)?);
        chain.push(Permute(&[0, 2, 3, 1]));
        chain.push(LayerNorm::new(&stem.child(2), shape.dim, EPS)?);
        features.push(chain);
        let total: i64 = shape.depths.iter().sum();
        let (mut id, mut dim) = (0, shape.dim);
        for (index, (&count, &heads)) in shape.depths.iter().zip(&shape.heads).enumerate() {
            if dim % heads != 0 {
                return Err(Error::request(format!("num_heads ({heads}) of stage {index} must divide {dim}")));
            }
            let stage = at.child(features.len());
            let mut blocks = Sequential::new(&stage);
            for block in 0..count {
                let depth = shape.depth * id as f64 / (total as f64 - 1.0).max(1.0);
                blocks.push(swin_block(&stage.child(block), shape, dim, heads, block % 2 == 1, depth)?);
                id += 1;
            }
            features.push(blocks);
            if index + 1 < shape.depths.len() {
                features.push(PatchMerging::new(&at.child(features.len()), dim)?);
                dim *= 2;
            }
        }
        let norm = LayerNorm::new(&path.child("norm"), dim, EPS)?;
        let pool = Pool::global(&path.child("avgpool"), 1);
        let head = Linear::new(&path.child("head"), dim, shape.classes, true)?;
        path.reinitialize(|kind, name, t| match (kind, name) {
            ("Linear", "weight") => init::trunc_normal(t, 0.02),
            ("Linear", _) => init::zeros(t),
            _ => {}
        });
        Ok(SwinTransformer { features, norm, pool, head })
    }
}

fn swin_block(path: &Path, shape: &Shape, dim: i64, heads: i64, shifted: bool, depth: f64) -> Result<Block> {
    let shift = if shifted { shape.window.map(|size| size / 2) } else { [0, 0] };
    let drops = [shape.attention_dropout, shape.dropout];
    let hidden = (dim as f64 * shape.ratio) as i64;
    Ok(Block {
        name: path.name().to_owned(),
        norm1: LayerNorm::new(&path.child("norm1"), dim, EPS)?,
        attention: WindowAttention::new(&path.child("attn"), dim, heads, shape.window, shift, drops)?,
        depth: StochasticDepth::new(&path.child("stochastic_depth"), depth),
        norm2: LayerNorm::new(&path.child("norm2"), dim, EPS)?,
        mlp: transformer_mlp(&path.child("mlp"), dim, hidden, shape.dropout)?,
    })
}

impl Module for SwinTransformer {
    fn forward(&self, input: &Tensor, train: bool) -> Tensor {
        let x = self.norm.forward(&self.features.forward(input, train), train).permute([0, 3, 1, 2]);
        self.head.forward(&self.pool.forward(&x, train).flatten(1, -1), train)
    }
}

fn four() -> Positive {
    Positive(4.0)
}

fn tenth() -> Fraction {
    Fraction(0.1)
}

vision!(
    /// A Swin transformer of any size.
    SwinTransformerArgs, ["torchvision.models.SwinTransformer", "torchvision.models.swin_transformer.SwinTransformer"],
    {
        /// Height and width of a patch.
        patch_size: [Count; 2],
        /// Features of a patch.
        embed_dim: Count,
        /// Blocks of each stage.
        depths: Vec<Count>,
        /// Heads of each stage; divide its features.
        num_heads: Vec<Count>,
        /// Height and width of a window, in patches.
        window_size: [Count; 2],
        /// Features between a block's two linear layers, in features of the stage.
        #[serde(default = "four")]
        mlp_ratio: Positive,
        /// Dropout of the linear layers.
        #[serde(default = "zero")]
        dropout: Fraction,
        /// Dropout of the attention weights.
        #[serde(default = "zero")]
        attention_dropout: Fraction,
        /// Stochastic depth of the last block; the others have less, linearly.
        #[serde(default = "tenth")]
        stochastic_depth_prob: Fraction,
        /// Outputs: classes.
        #[serde(default = "imagenet")]
        num_classes: Count,
    },
    |args, path| {
        let shape = Shape {
            patch: args.patch_size.map(|count| count.0),
            dim: args.embed_dim.0,
            depths: args.depths.iter().map(|count| count.0).collect(),
            heads: args.num_heads.iter().map(|count| count.0).collect(),
            window: args.window_size.map(|count| count.0),
            ratio: args.mlp_ratio.0,
            dropout: args.dropout.0,
            attention_dropout: args.attention_dropout.0,
            depth: args.stochastic_depth_prob.0,
            classes: args.num_classes.0,
        };
        SwinTransformer::new(path, &shape)
    }
);

macro_rules! swins {
    ($($(#[$doc:meta])* $name:ident, $target:literal, $dim:literal, $depths:expr, $heads:expr, $depth:literal;)*) => {
        $(mod $name {
            use super::*;

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
                    /// Dropout of the linear layers.
                    #[serde(default = "zero")]
                    dropout: Fraction,
                    /// Dropout of the attention weights.
                    #[serde(default = "zero")]
                    attention_dropout: Fraction,
                    /// Stochastic depth of the last block; the others have less, linearly.
                    #[serde(default = "depth")]
                    stochastic_depth_prob: Fraction,
                },
                |args, path| {
                    let shape = Shape {
                        patch: [4, 4],
                        dim: $dim,
                        depths: $depths.to_vec(),
                        heads: $heads.to_vec(),
                        window: [7, 7],
                        ratio: 4.0,
                        dropout: args.dropout.0,
                        attention_dropout: args.attention_dropout.0,
                        depth: args.stochastic_depth_prob.0,
                        classes: args.num_classes.0,
                    };
                    SwinTransformer::new(path, &shape)
                }
            );
        })*

        /// Adds the Swin transformers.
        pub fn register(registry: &mut Registry) {
            registry.add::<SwinTransformerArgs>();
            $(registry.add::<$name::Args>();)*
        }
    };
}

swins! {
    /// Swin-T, 28.3 million parameters.
    swin_t, "torchvision.models.swin_t", 96, [2, 2, 6, 2], [3, 6, 12, 24], 0.2;
    /// Swin-S, 49.6 million parameters.
    swin_s, "torchvision.models.swin_s", 96, [2, 2, 18, 2], [3, 6, 12, 24], 0.3;
    /// Swin-B, 87.8 million parameters.
    swin_b, "torchvision.models.swin_b", 128, [2, 2, 18, 2], [4, 8, 16, 32], 0.5;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn distances_and_strips() {
        assert_eq!(relative_index([1, 2]), [1, 0, 2, 1]);
        assert_eq!(strips(8, 4, 2), [0, 0, 0, 0, 1, 1, 2, 2]);
        assert_eq!(strips(3, 3, 0), [2, 2, 2]);
    }
}
