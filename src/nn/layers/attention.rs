//! `torch.nn.MultiheadAttention`.

use std::sync::Arc;

use schemars::JsonSchema;
use serde::Deserialize;
use tch::Tensor;

use super::Linear;
use crate::error::{Error, Result};
use crate::nn::args::{Count, yes};
use crate::nn::trace::{Cost, Label};
use crate::nn::{Module, Path, init, net};
use crate::registry::{Fraction, Ignored};

/// Multi-head attention (Vaswani et al., 2017). As a [`Module`] it attends to its own input.
///
/// State dict: `in_proj_weight` `[3 dim, dim]` (query, key, value stacked), `in_proj_bias`, `out_proj.weight`,
/// `out_proj.bias`.
pub struct MultiheadAttention {
    label: Arc<Label>,
    weight: Tensor,
    bias: Option<Tensor>,
    output: Linear,
    heads: i64,
    dropout: f64,
    batch_first: bool,
}

impl MultiheadAttention {
    /// Makes the layer with PyTorch's initial values; `heads` divides `dim`.
    ///
    /// # Errors
    /// When it does not, or the names are taken.
    pub fn new(path: &Path, dim: i64, heads: i64, dropout: f64, bias: bool, batch_first: bool) -> Result<Self> {
        if dim % heads != 0 {
            return Err(Error::request(format!("num_heads ({heads}) must divide embed_dim ({dim})")));
        }
        let label = path.layer("MultiheadAttention");
        // PyTorch draws out_proj when it is made, before in_proj_weight is drawn; the state dict has it last.
        let output_path = path.child("out_proj");
        let output = Linear::new(&output_path, dim, dim, bias)?;
        let weight = path.parameter("in_proj_weight", &[3 * dim, dim], init::xavier_uniform)?;
        let projection = bias.then(|| path.parameter("in_proj_bias", &[3 * dim], init::zeros)).transpose()?;
        output_path.reinitialize(|_, name, t| {
            if name == "bias" {
                init::zeros(t);
            }
        });
        output_path.move_last();
        Ok(MultiheadAttention { label, weight, bias: projection, output, heads, dropout, batch_first })
    }

    fn attend(&self, x: &Tensor, train: bool) -> Tensor {
        let (batch, steps, dim) = x.size3().unwrap_or_else(|error| panic!("{error}"));
        let qkv = x.linear(&self.weight, self.bias.as_ref());
        let qkv = qkv.view([batch, steps, 3, self.heads, dim / self.heads]).permute([2, 0, 3, 1, 4]);
        let dropout = if train { self.dropout } else { 0.0 };
        let (q, k, v) = (qkv.get(0), qkv.get(1), qkv.get(2));
        let mixed = Tensor::scaled_dot_product_attention(&q, &k, &v, None::<&Tensor>, dropout, false, None, false);
        self.output.forward(&mixed.transpose(1, 2).reshape([batch, steps, dim]), train)
    }
}

impl Module for MultiheadAttention {
    fn forward(&self, input: &Tensor, train: bool) -> Tensor {
        let output = match (input.dim(), self.batch_first) {
            (2, _) => self.attend(&input.unsqueeze(0), train).squeeze_dim(0),
            (_, true) => self.attend(input, train),
            (_, false) => self.attend(&input.transpose(0, 1), train).transpose(0, 1),
        };
        self.label.report(input, &output, || {
            let size = input.size();
            let (dim, rows) = (*size.last().unwrap_or(&1) as u64, input.numel() as u64 / self.weight.size()[1] as u64);
            let steps = match (size.len(), self.batch_first) {
                (3, true) => size[1],
                _ => size[0],
            } as u64;
            // The projection, then scores and their sum; out_proj reports itself.
            let flops = 2 * rows * self.weight.numel() as u64 + 4 * rows * steps * dim;
            Cost::of([&self.weight].into_iter().chain(&self.bias)).flops(flops)
        });
        output
    }
}

fn zero() -> Fraction {
    Fraction(0.0)
}

/// Multi-head self-attention: every step looks at all steps.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct MultiheadAttentionArgs {
    /// Features of each step.
    embed_dim: Count,
    /// Heads; divides `embed_dim`.
    num_heads: Count,
    /// Dropout of the attention weights.
    #[serde(default = "zero")]
    dropout: Fraction,
    /// Whether the projections have biases.
    #[serde(default = "yes")]
    bias: bool,
    /// Not offered: must be false.
    #[serde(default)]
    add_bias_kv: bool,
    /// Not offered: must be false.
    #[serde(default)]
    add_zero_attn: bool,
    /// Self-attention has one dimension: must be null or `embed_dim`.
    #[serde(default)]
    kdim: Option<Count>,
    /// Self-attention has one dimension: must be null or `embed_dim`.
    #[serde(default)]
    vdim: Option<Count>,
    /// Whether the input is `[batch, steps, features]` and not `[steps, batch, features]`.
    #[serde(default)]
    batch_first: bool,
    /// The trainer places networks.
    #[serde(default)]
    #[allow(dead_code)]
    device: Ignored,
    /// The trainer's precision decides.
    #[serde(default)]
    #[allow(dead_code)]
    dtype: Ignored,
}

net!(MultiheadAttentionArgs, ["torch.nn.MultiheadAttention"], |args, path| {
    let other = [args.kdim, args.vdim].into_iter().flatten().any(|dim| dim != args.embed_dim);
    if args.add_bias_kv || args.add_zero_attn || other {
        return Err(Error::request(
            "MultiheadAttention attends to its own input here: add_bias_kv, add_zero_attn, kdim and vdim keep their \
             defaults",
        ));
    }
    let (dim, heads) = (args.embed_dim.0, args.num_heads.0);
    MultiheadAttention::new(path, dim, heads, args.dropout.0, args.bias, args.batch_first)
});
