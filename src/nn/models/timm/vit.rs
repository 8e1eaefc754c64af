//! timm's vision transformers.

use tch::{Device, Kind, Tensor};

use super::Common;
use super::pool::GlobalPool;
use crate::error::{Error, Result};
use crate::nn::init;
use crate::nn::layers::{Conv2d, ConvOptions, Dropout, LayerNorm, Linear, StochasticDepth};
use crate::nn::{Module, Path, trace};

const EPS: f64 = 1e-6;

/// Whether the final normalization comes after the pooling.
fn is_late(pool: GlobalPool) -> bool {
    matches!(pool, GlobalPool::Avg | GlobalPool::Max | GlobalPool::AvgMax)
}

/// Sizes by name.
pub(super) struct Shape {
    dim: i64,
    depth: i64,
    heads: i64,
    patch: i64,
    image: i64,
}

impl Shape {
    /// `vit_small_patch16_224`: the size, the patch, the image.
    pub(super) fn named(name: &str) -> Option<Self> {
        let rest = name.strip_prefix("vit_").or_else(|| name.strip_prefix("deit_"))?;
        let (size, rest) = rest.split_once("_patch")?;
        let (patch, image) = rest.split_once('_')?;
        let (dim, depth, heads) = match size {
            "tiny" => (192, 12, 3),
            "small" => (384, 12, 6),
            "base" => (768, 12, 12),
            "large" => (1024, 24, 16),
            _ => return None,
        };
        let number = |text: &str| text.parse().ok().filter(|&number: &i64| number > 0 && number < 10_000);
        Some(Shape { dim, depth, heads, patch: number(patch)?, image: number(image)? })
    }

    /// The side of the images.
    pub(super) fn image(&self) -> i64 {
        self.image
    }
}

struct Block {
    name: String,
    norm1: LayerNorm,
    qkv: Linear,
    projection: Linear,
    heads: i64,
    norm2: LayerNorm,
    fc1: Linear,
    fc2: Linear,
    depth: StochasticDepth,
}

impl Block {
    fn new(path: &Path, shape: &Shape, depth: f64) -> Result<Self> {
        let dim = shape.dim;
        let (attention, mlp) = (path.child("attn"), path.child("mlp"));
        Ok(Block {
            name: path.name().to_owned(),
            norm1: LayerNorm::new(&path.child("norm1"), dim, EPS)?,
            qkv: Linear::new(&attention.child("qkv"), dim, 3 * dim, true)?,
            projection: Linear::new(&attention.child("proj"), dim, dim, true)?,
            heads: shape.heads,
            norm2: LayerNorm::new(&path.child("norm2"), dim, EPS)?,
            fc1: Linear::new(&mlp.child("fc1"), dim, 4 * dim, true)?,
            fc2: Linear::new(&mlp.child("fc2"), 4 * dim, dim, true)?,
            depth: StochasticDepth::new(&path.child("drop_path"), depth),
        })
    }

    fn attend(&self, x: &Tensor, train: bool) -> Tensor {
        let (batch, tokens, dim) = x.size3().unwrap_or_else(|error| panic!("{error}"));
        let qkv = self.qkv.forward(x, train);
        let qkv = qkv.reshape([batch, tokens, 3, self.heads, dim / self.heads]).permute([2, 0, 3, 1, 4]);
        let (q, k, v) = (qkv.get(0), qkv.get(1), qkv.get(2));
        let x = Tensor::scaled_dot_product_attention(&q, &k, &v, None::<&Tensor>, 0.0, false, None, false);
        self.projection.forward(&x.transpose(1, 2).reshape([batch, tokens, dim]), train)
    }
}

impl Module for Block {
    fn forward(&self, input: &Tensor, train: bool) -> Tensor {
        let attention = self.attend(&self.norm1.forward(input, train), train);
        let x = input + self.depth.forward(&attention, train);
        let hidden = self.fc1.forward(&self.norm2.forward(&x, train), train).gelu("none");
        let output = &x + self.depth.forward(&self.fc2.forward(&hidden, train), train);
        trace::container(&self.name, "Block", input, &output);
        output
    }
}

/// Patches and a class token through blocks of attention; the class token is classified.
pub(super) struct VisionTransformer {
    image: i64,
    class_token: Tensor,
    positions: Tensor,
    projection: Conv2d,
    blocks: Vec<Block>,
    pool: GlobalPool,
    norm: LayerNorm,
    dropout: Dropout,
    head: Option<Linear>,
}

impl VisionTransformer {
    pub(super) fn new(path: &Path, shape: &Shape, common: &Common) -> Result<Self> {
        let (image, patch, dim) = (common.image.unwrap_or(shape.image), shape.patch, shape.dim);
        if image < patch {
            return Err(Error::request(format!("images of {image} pixels are smaller than a patch of {patch}")));
        }
        let at = path.child("patch_embed").child("proj");
        let projection = Conv2d::new(&at, common.channels, dim, ConvOptions::new(patch).stride(patch))?;
        let length = (image / patch).pow(2) + 1;
        let class_token = path.parameter("cls_token", &[1, 1, dim], init::zeros)?;
        let positions = path.parameter("pos_embed", &[1, length, dim], |t| {
            let drawn = Tensor::randn(t.size(), (Kind::Float, Device::Cpu));
            t.copy_(&(drawn * 0.02));
        })?;
        at.move_last();
        let blocks = (0..shape.depth)
            .map(|index| {
                let depth = common.depth * index as f64 / (shape.depth as f64 - 1.0);
                Block::new(&path.child("blocks").child(index), shape, depth)
            })
            .collect::<Result<_>>()?;
        let pool = common.pool.unwrap_or(GlobalPool::Token);
        // Where patches are pooled, their mean is normalized rather than each of them.
        let norm = if is_late(pool) { "fc_norm" } else { "norm" };
        let norm = LayerNorm::new(&path.child(norm), dim, EPS)?;
        let dropout = Dropout::new(&path.child("head_drop"), common.dropout);
        let head = common.classes.map(|classes| Linear::new(&path.child("head"), dim, classes, true)).transpose()?;
        path.reinitialize(|kind, name, t| match (kind, name) {
            (_, "pos_embed") => init::trunc_normal(t, 0.02),
            (_, "cls_token") => init::normal(t, 0.0, 1e-6),
            ("Linear", "weight") => init::trunc_normal(t, 0.02),
            ("Linear", "bias") => init::zeros(t),
            _ => {}
        });
        Ok(VisionTransformer { image, class_token, positions, projection, blocks, pool, norm, dropout, head })
    }
}

impl Module for VisionTransformer {
    fn forward(&self, input: &Tensor, train: bool) -> Tensor {
        let size = input.size();
        assert!(
            size.len() == 4 && size[2] == self.image && size[3] == self.image,
            "the network takes images of {0}x{0} pixels, not {1:?}; img_size sets another size",
            self.image,
            &size[2.min(size.len())..],
        );
        let x = self.projection.forward(input, train).flatten(2, -1).transpose(1, 2);
        let token = self.class_token.expand([x.size()[0], -1, -1], false);
        let mut x = Tensor::cat(&[token, x], 1) + &self.positions;
        for block in &self.blocks {
            x = block.forward(&x, train);
        }
        let x = if is_late(self.pool) {
            // Without the class token.
            self.norm.forward(&self.pool.over(&x.narrow(1, 1, x.size()[1] - 1), &[1]), train)
        } else {
            let x = self.norm.forward(&x, train);
            if self.pool == GlobalPool::Token { x.select(1, 0) } else { x }
        };
        let x = self.dropout.forward(&x, train);
        self.head.as_ref().map_or_else(|| x.shallow_clone(), |head| head.forward(&x, train))
    }
}
