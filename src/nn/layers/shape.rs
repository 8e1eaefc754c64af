//! `torch.nn.Flatten` and `Identity`.

use std::sync::Arc;

use schemars::JsonSchema;
use serde::Deserialize;
use tch::Tensor;

use crate::nn::trace::{Cost, Label};
use crate::nn::{Module, Path, net};

/// Joins a range of axes into one.
pub struct Flatten {
    label: Arc<Label>,
    start: i64,
    end: i64,
}

impl Flatten {
    /// Joins the axes `start` to `end`, both included; negative ones count from the end.
    pub fn new(path: &Path, start: i64, end: i64) -> Self {
        Flatten { label: path.layer("Flatten"), start, end }
    }
}

impl Module for Flatten {
    fn forward(&self, input: &Tensor, _: bool) -> Tensor {
        let output = input.flatten(self.start, self.end);
        self.label.report(input, &output, Cost::default);
        output
    }
}

fn second() -> i64 {
    1
}

fn last() -> i64 {
    -1
}

/// Joins a range of axes into one.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct FlattenArgs {
    /// The first axis that is joined.
    #[serde(default = "second")]
    start_dim: i64,
    /// The last axis that is joined.
    #[serde(default = "last")]
    end_dim: i64,
}

net!(FlattenArgs, ["torch.nn.Flatten"], |args, path| Ok(Flatten::new(path, args.start_dim, args.end_dim)));

/// Passes its input on.
pub struct Identity {
    label: Arc<Label>,
}

impl Identity {
    /// The layer.
    pub fn new(path: &Path) -> Self {
        Identity { label: path.layer("Identity") }
    }
}

impl Module for Identity {
    fn forward(&self, input: &Tensor, _: bool) -> Tensor {
        let output = input.shallow_clone();
        self.label.report(input, &output, Cost::default);
        output
    }
}

/// Passes its input on.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct IdentityArgs {}

net!(IdentityArgs, ["torch.nn.Identity"], |_, path| Ok(Identity::new(path)));
