//! `torch.nn.LSTM` and `GRU`.

use std::sync::Arc;

use schemars::JsonSchema;
use serde::Deserialize;
use tch::Tensor;

use crate::error::Result;
use crate::nn::args::{Count, yes};
use crate::nn::trace::{Cost, Label};
use crate::nn::{Module, Path, init, net};
use crate::registry::{Fraction, Ignored};

/// Which cell a recurrent layer repeats.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cell {
    /// Long short-term memory: four gates.
    Lstm,
    /// Gated recurrent unit: three gates.
    Gru,
}

/// A recurrent layer whose output is the sequence of the last layer's hidden states (the first value that PyTorch
/// returns), started from zeros.
///
/// State dict: `weight_ih_l0`, `weight_hh_l0`, `bias_ih_l0`, `bias_hh_l0`, then `…_l0_reverse`, `…_l1`, ….
pub struct Recurrent {
    label: Arc<Label>,
    cell: Cell,
    weights: Vec<Tensor>,
    args: RecurrentArgs,
}

#[derive(Clone, Copy)]
struct RecurrentArgs {
    inputs: i64,
    hidden: i64,
    layers: i64,
    bias: bool,
    batch_first: bool,
    dropout: f64,
    bidirectional: bool,
}

impl Recurrent {
    fn new(path: &Path, cell: Cell, args: RecurrentArgs) -> Result<Self> {
        let (label, gates) = match cell {
            Cell::Lstm => (path.layer("LSTM"), 4),
            Cell::Gru => (path.layer("GRU"), 3),
        };
        let bound = 1.0 / (args.hidden as f64).sqrt();
        let mut weights = Vec::new();
        let directions: &[&str] = if args.bidirectional { &["", "_reverse"] } else { &[""] };
        for layer in 0..args.layers {
            let inputs = if layer == 0 { args.inputs } else { args.hidden * directions.len() as i64 };
            for direction in directions {
                let rows = gates * args.hidden;
                let shapes: [(&str, &[i64]); 4] = [
                    ("weight_ih", &[rows, inputs]),
                    ("weight_hh", &[rows, args.hidden]),
                    ("bias_ih", &[rows]),
                    ("bias_hh", &[rows]),
                ];
                for (name, shape) in &shapes[..if args.bias { 4 } else { 2 }] {
                    let name = format!("{name}_l{layer}{direction}");
                    weights.push(path.parameter(&name, shape, |t| init::uniform(t, -bound, bound))?);
                }
            }
        }
        Ok(Recurrent { label, cell, weights, args })
    }

    /// The hidden states at every step, and the last hidden state of each layer and direction.
    pub fn run(&self, input: &Tensor, train: bool) -> (Tensor, Tensor) {
        let a = &self.args;
        let unbatched = input.dim() == 2;
        let input = if unbatched { input.unsqueeze(if a.batch_first { 0 } else { 1 }) } else { input.shallow_clone() };
        let batch = input.size()[if a.batch_first { 0 } else { 1 }];
        let states = a.layers * if a.bidirectional { 2 } else { 1 };
        let zeros = Tensor::zeros([states, batch, a.hidden], (input.kind(), input.device()));
        let (output, hidden) = match self.cell {
            Cell::Lstm => {
                let start = [&zeros, &zeros];
                let weights: Vec<&Tensor> = self.weights.iter().collect();
                let (output, hidden, _) =
                    input.lstm(&start, &weights, a.bias, a.layers, a.dropout, train, a.bidirectional, a.batch_first);
                (output, hidden)
            }
            Cell::Gru => {
                input.gru(&zeros, &self.weights, a.bias, a.layers, a.dropout, train, a.bidirectional, a.batch_first)
            }
        };
        match unbatched {
            true => (output.squeeze_dim(if a.batch_first { 0 } else { 1 }), hidden.squeeze_dim(1)),
            false => (output, hidden),
        }
    }
}

impl Module for Recurrent {
    fn forward(&self, input: &Tensor, train: bool) -> Tensor {
        let (output, _) = self.run(input, train);
        self.label.report(input, &output, || {
            let steps = (input.numel() as i64 / self.args.inputs) as u64;
            let products: u64 = self.weights.iter().filter(|w| w.dim() == 2).map(|w| w.numel() as u64).sum();
            Cost::of(&self.weights).flops(2 * steps * products)
        });
        output
    }
}

fn one() -> Count {
    Count(1)
}

fn zero() -> Fraction {
    Fraction(0.0)
}

macro_rules! recurrent_args {
    ($(#[$doc:meta])* $name:ident, $target:literal, $cell:expr) => {
        $(#[$doc])*
        #[derive(Deserialize, JsonSchema)]
        #[serde(deny_unknown_fields)]
        pub(super) struct $name {
            /// Features of each step.
            input_size: Count,
            /// Features of the hidden state.
            hidden_size: Count,
            /// Layers stacked.
            #[serde(default = "one")]
            num_layers: Count,
            /// Whether biases are learned.
            #[serde(default = "yes")]
            bias: bool,
            /// Whether the input is `[batch, steps, features]` and not `[steps, batch, features]`.
            #[serde(default)]
            batch_first: bool,
            /// Dropout between the layers.
            #[serde(default = "zero")]
            dropout: Fraction,
            /// Whether a second pass runs backwards; doubles the output's features.
            #[serde(default)]
            bidirectional: bool,
            /// The trainer places networks.
            #[serde(default)]
            #[allow(dead_code)]
            device: Ignored,
            /// The trainer's precision decides.
            #[serde(default)]
            #[allow(dead_code)]
            dtype: Ignored,
        }

        net!($name, [$target], |args, path| {
            let args = RecurrentArgs {
                inputs: args.input_size.0,
                hidden: args.hidden_size.0,
                layers: args.num_layers.0,
                bias: args.bias,
                batch_first: args.batch_first,
                dropout: args.dropout.0,
                bidirectional: args.bidirectional,
            };
            Recurrent::new(path, $cell, args)
        });
    };
}

recurrent_args!(
    /// Long short-term memory (Hochreiter and Schmidhuber, 1997); the output is the sequence of hidden states.
    LstmArgs, "torch.nn.LSTM", Cell::Lstm
);
recurrent_args!(
    /// Gated recurrent units (Cho et al., 2014); the output is the sequence of hidden states.
    GruArgs, "torch.nn.GRU", Cell::Gru
);
