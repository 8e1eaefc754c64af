//! The vision transformer (Dosovitskiy et al., 2021), as torchvision has it.

use tch::Tensor;

use super::blocks::transformer_mlp;
use super::{imagenet, vision, zero};
use crate::error::{Error, Result};
use crate::nn::args::Count;
use crate::nn::init;
use crate::nn::layers::{
    Activation, Conv2d, ConvOptions, Dropout, Function, LayerNorm, Linear, MultiheadAttention, Sequential,
};
use crate::nn::{Module, Path, trace};
use crate::registry::{Fraction, Registry};

const EPS: f64 = 1e-6;

struct EncoderBlock {
    name: String,
    norm1: LayerNorm,
    attention: MultiheadAttention,
    dropout: Dropout,
    norm2: LayerNorm,
    mlp: Sequential,
}

impl EncoderBlock {
    fn new(path: &Path, shape: &Shape) -> Result<Self> {
        let (dim, at) = (shape.dim, path.child("self_attention"));
        Ok(EncoderBlock {
            name: path.name().to_owned(),
            norm1: LayerNorm::new(&path.child("ln_1"), dim, EPS)?,
            attention: MultiheadAttention::new(&at, dim, shape.heads, shape.attention_dropout, true, true)?,
            dropout: Dropout::new(&path.child("dropout"), shape.dropout),
            norm2: LayerNorm::new(&path.child("ln_2"), dim, EPS)?,
            mlp: transformer_mlp(&path.child("mlp"), dim, shape.hidden, shape.dropout)?,
        })
    }
}

impl Module for EncoderBlock {
    fn forward(&self, input: &Tensor, train: bool) -> Tensor {
        let x = self.attention.forward(&self.norm1.forward(input, train), train);
        let x = self.dropout.forward(&x, train) + input;
        let output = &x + self.mlp.forward(&self.norm2.forward(&x, train), train);
        trace::container(&self.name, "EncoderBlock", input, &output);
        output
    }
}

struct Shape {
    image: i64,
    patch: i64,
    layers: i64,
    heads: i64,
    dim: i64,
    hidden: i64,
    dropout: f64,
    attention_dropout: f64,
    classes: i64,
    representation: Option<i64>,
}

/// Patches and a class token through a transformer's encoder; the class token is classified.
pub struct VisionTransformer {
    image: i64,
    projection: Conv2d,
    class_token: Tensor,
    positions: Tensor,
    dropout: Dropout,
    blocks: Vec<EncoderBlock>,
    norm: LayerNorm,
    heads: Sequential,
    encoder: String,
}

impl VisionTransformer {
    fn new(path: &Path, shape: &Shape) -> Result<Self> {
        let &Shape { image, patch, dim, .. } = shape;
        if image % patch != 0 {
            return Err(Error::request(format!("patch_size ({patch}) must divide image_size ({image})")));
        }
        let class_token = path.parameter("class_token", &[1, 1, dim], init::zeros)?;
        let at = path.child("conv_proj");
        let projection = Conv2d::new(&at, 3, dim, ConvOptions::new(patch).stride(patch))?;
        let at = path.child("encoder");
        let length = (image / patch).pow(2) + 1;
        let positions = at.parameter("pos_embedding", &[1, length, dim], |t| init::normal(t, 0.0, 0.02))?;
        let dropout = Dropout::new(&at.child("dropout"), shape.dropout);
        let layers = at.child("layers");
        let blocks = (0..shape.layers)
            .map(|index| EncoderBlock::new(&layers.child(format!("encoder_layer_{index}")), shape))
            .collect::<Result<_>>()?;
        let norm = LayerNorm::new(&at.child("ln"), dim, EPS)?;
        let heads = heads(&path.child("heads"), shape)?;
        path.child("conv_proj").reinitialize(|_, name, t| match name {
            "weight" => init::trunc_normal(t, (1.0 / init::fans(&t.size()).0 as f64).sqrt()),
            _ => init::zeros(t),
        });
        path.child("heads.pre_logits").reinitialize(|_, name, t| match name {
            "weight" => init::trunc_normal(t, (1.0 / dim as f64).sqrt()),
            _ => init::zeros(t),
        });
        path.child("heads.head").reinitialize(|_, _, t| init::zeros(t));
        let encoder = at.name().to_owned();
        Ok(VisionTransformer { image, projection, class_token, positions, dropout, blocks, norm, heads, encoder })
    }
}

fn heads(path: &Path, shape: &Shape) -> Result<Sequential> {
    let mut chain = Sequential::new(path);
    let mut features = shape.dim;
    if let Some(size) = shape.representation {
        chain.push(Linear::new(&path.child("pre_logits"), features, size, true)?);
        chain.push(Activation::new(&path.child("act"), Function::Tanh));
        features = size;
    }
    chain.push(Linear::new(&path.child("head"), features, shape.classes, true)?);
    Ok(chain)
}

impl Module for VisionTransformer {
    fn forward(&self, input: &Tensor, train: bool) -> Tensor {
        let size = input.size();
        assert!(
            size.len() == 4 && size[2] == self.image && size[3] == self.image,
            "the network takes images of {0}x{0} pixels, not {1:?}",
            self.image,
            &size[2.min(size.len())..],
        );
        let x = self.projection.forward(input, train).flatten(2, -1).transpose(1, 2);
        let token = self.class_token.expand([x.size()[0], -1, -1], false);
        let tokens = Tensor::cat(&[token, x], 1);
        let mut x = self.dropout.forward(&(&tokens + &self.positions), train);
        for block in &self.blocks {
            x = block.forward(&x, train);
        }
        let x = self.norm.forward(&x, train);
        trace::container(&self.encoder, "Encoder", &tokens, &x);
        self.heads.forward(&x.select(1, 0), train)
    }
}

fn image() -> Count {
    Count(224)
}

vision!(
    /// A vision transformer of any size.
    VisionTransformerArgs, ["torchvision.models.VisionTransformer", "torchvision.models.vision_transformer.VisionTransformer"],
    {
        /// Pixels of a side of the image.
        image_size: Count,
        /// Pixels of a side of a patch; divides the image's.
        patch_size: Count,
        /// Encoder blocks.
        num_layers: Count,
        /// Heads of the attention; divides `hidden_dim`.
        num_heads: Count,
        /// Features of a token.
        hidden_dim: Count,
        /// Features between a block's two linear layers.
        mlp_dim: Count,
        /// Dropout of tokens and of the linear layers.
        #[serde(default = "zero")]
        dropout: Fraction,
        /// Dropout of the attention weights.
        #[serde(default = "zero")]
        attention_dropout: Fraction,
        /// Outputs: classes.
        #[serde(default = "imagenet")]
        num_classes: Count,
        /// Features of a layer before the last; null for none.
        #[serde(default)]
        representation_size: Option<Count>,
    },
    |args, path| {
        let shape = Shape {
            image: args.image_size.0,
            patch: args.patch_size.0,
            layers: args.num_layers.0,
            heads: args.num_heads.0,
            dim: args.hidden_dim.0,
            hidden: args.mlp_dim.0,
            dropout: args.dropout.0,
            attention_dropout: args.attention_dropout.0,
            classes: args.num_classes.0,
            representation: args.representation_size.map(|size| size.0),
        };
        VisionTransformer::new(path, &shape)
    }
);

macro_rules! vits {
    ($($(#[$doc:meta])* $name:ident, $target:literal, $patch:literal, $layers:literal, $heads:literal, $dim:literal, $hidden:literal;)*) => {
        $(vision!(
            $(#[$doc])*
            $name, [$target],
            {
                /// Pixels of a side of the image.
                #[serde(default = "image")]
                image_size: Count,
                /// Dropout of tokens and of the linear layers.
                #[serde(default = "zero")]
                dropout: Fraction,
                /// Dropout of the attention weights.
                #[serde(default = "zero")]
                attention_dropout: Fraction,
                /// Outputs: classes.
                #[serde(default = "imagenet")]
                num_classes: Count,
                /// Features of a layer before the last; null for none.
                #[serde(default)]
                representation_size: Option<Count>,
            },
            |args, path| {
                let shape = Shape {
                    image: args.image_size.0,
                    patch: $patch,
                    layers: $layers,
                    heads: $heads,
                    dim: $dim,
                    hidden: $hidden,
                    dropout: args.dropout.0,
                    attention_dropout: args.attention_dropout.0,
                    classes: args.num_classes.0,
                    representation: args.representation_size.map(|size| size.0),
                };
                VisionTransformer::new(path, &shape)
            }
        );)*

        /// Adds the vision transformers.
        pub fn register(registry: &mut Registry) {
            registry.add::<VisionTransformerArgs>();
            $(registry.add::<$name>();)*
        }
    };
}

vits! {
    /// ViT-B/16, 86.6 million parameters.
    VitB16Args, "torchvision.models.vit_b_16", 16, 12, 12, 768, 3072;
    /// ViT-B/32, 88.2 million parameters.
    VitB32Args, "torchvision.models.vit_b_32", 32, 12, 12, 768, 3072;
    /// ViT-L/16, 304.3 million parameters.
    VitL16Args, "torchvision.models.vit_l_16", 16, 24, 16, 1024, 4096;
    /// ViT-L/32, 306.5 million parameters.
    VitL32Args, "torchvision.models.vit_l_32", 32, 24, 16, 1024, 4096;
}
