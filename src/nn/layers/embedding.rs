//! `torch.nn.Embedding`.

use std::sync::Arc;

use schemars::JsonSchema;
use serde::Deserialize;
use tch::{Kind, Tensor};

use crate::error::{Error, Result};
use crate::nn::args::Count;
use crate::nn::trace::{Cost, Label};
use crate::nn::{Module, Path, init, net};
use crate::registry::Ignored;

/// A table of vectors: indices `[…]` (i64) to `[…, dim]`.
///
/// State dict: `weight` `[rows, dim]`.
pub struct Embedding {
    label: Arc<Label>,
    weight: Tensor,
    padding: i64,
    by_frequency: bool,
}

impl Embedding {
    /// Makes the table with PyTorch's initial values: standard normal, the padding row 0.
    ///
    /// # Errors
    /// When the padding row is not in the table, or the name is taken.
    pub fn new(path: &Path, rows: i64, dim: i64, padding: Option<i64>, by_frequency: bool) -> Result<Self> {
        if let Some(row) = padding.filter(|row| !(-rows..rows).contains(row)) {
            return Err(Error::request(format!("padding_idx {row} is not in a table of {rows} rows")));
        }
        let padding = padding.map(|row| if row < 0 { row + rows } else { row });
        let label = path.layer("Embedding");
        let weight = path.parameter("weight", &[rows, dim], |t| {
            init::normal(t, 0.0, 1.0);
            if let Some(row) = padding {
                let _ = t.select(0, row).zero_();
            }
        })?;
        Ok(Embedding { label, weight, padding: padding.unwrap_or(-1), by_frequency })
    }
}

impl Module for Embedding {
    fn forward(&self, input: &Tensor, _: bool) -> Tensor {
        let indices = input.to_kind(Kind::Int64);
        let output = Tensor::embedding(&self.weight, &indices, self.padding, self.by_frequency, false);
        self.label.report(input, &output, || Cost::of([&self.weight]));
        output
    }
}

/// A table of vectors, looked up by index.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct EmbeddingArgs {
    /// Rows of the table.
    num_embeddings: Count,
    /// Size of each vector.
    embedding_dim: Count,
    /// A row that stays 0 and gets no gradient.
    #[serde(default)]
    padding_idx: Option<i64>,
    /// Renormalising the table while looking up is not done here.
    #[serde(default)]
    #[allow(dead_code)]
    max_norm: Ignored,
    /// Belongs to `max_norm`.
    #[serde(default)]
    #[allow(dead_code)]
    norm_type: Ignored,
    /// Whether a row's gradient is divided by how often it occurs in the batch.
    #[serde(default)]
    scale_grad_by_freq: bool,
    /// Gradients are dense here.
    #[serde(default)]
    #[allow(dead_code)]
    sparse: Ignored,
}

net!(EmbeddingArgs, ["torch.nn.Embedding"], |args, path| {
    let (rows, dim) = (args.num_embeddings.0, args.embedding_dim.0);
    Embedding::new(path, rows, dim, args.padding_idx, args.scale_grad_by_freq)
});
