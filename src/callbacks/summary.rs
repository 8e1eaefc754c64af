//! The table of layers and parameters at the start of a fit.

use indexmap::IndexMap;

use crate::nn::trace::Record;
use crate::nn::{EntryKind, Params};
use crate::prelude::*;
use crate::tensor::Stateful;
use crate::train::{Callback, CallbackKind, Cx};

/// Shows the network's layers, their parameters and their sizes before training.
///
/// Mirrors `lightning.pytorch.callbacks.RichModelSummary` and `ModelSummary`.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ModelSummary {
    /// How many levels of names to show; -1 is all of them.
    #[serde(default = "one")]
    max_depth: i64,
}

fn one() -> i64 {
    1
}

impl Default for ModelSummary {
    fn default() -> Self {
        ModelSummary { max_depth: 1 }
    }
}

impl Component for ModelSummary {
    type Kind = CallbackKind;
    const TARGETS: &'static [&'static str] =
        &["lightning.pytorch.callbacks.RichModelSummary", "lightning.pytorch.callbacks.ModelSummary"];

    fn build(self, _: &mut Build) -> Result<Box<dyn Callback>> {
        Ok(Box::new(self))
    }
}

impl ModelSummary {
    /// The table of a network that was tried on one sample: shapes and operations too.
    fn layers(&self, layers: &[Record], params: &Params) -> String {
        let depth = usize::try_from(self.max_depth).unwrap_or(usize::MAX);
        let shape = |shape: &[i64]| shape.iter().map(i64::to_string).collect::<Vec<_>>().join("×");
        let mut rows = vec![["layer", "kind", "output", "parameters", "FLOP"].map(str::to_owned)];
        for layer in layers {
            // The task's own name for the network (`net`) is level 0.
            let level = layer.name.matches('.').count();
            if level > depth || (!layer.leaf && level < depth) {
                continue;
            }
            let count = |n: u64| if n == 0 { String::new() } else { thousands(n as i64) };
            let flops = if layer.flops == 0 { String::new() } else { scaled(layer.flops) };
            rows.push([
                layer.name.clone(),
                layer.kind.to_string(),
                shape(&layer.output),
                count(layer.parameters),
                flops,
            ]);
        }
        let flops: u64 = layers.iter().map(|layer| layer.flops).sum();
        aligned(&rows, 3) + &Self::totals(params) + &format!(", {} FLOP a sample", scaled(flops))
    }

    /// Parameters in all.
    fn totals(params: &Params) -> String {
        let (mut trainable, mut frozen, mut bytes) = (0, 0, 0);
        for (_, tensor) in params.parameters() {
            let count = tensor.numel() as i64;
            bytes += count * tensor.kind().elt_size_in_bytes() as i64;
            *(if tensor.requires_grad() { &mut trainable } else { &mut frozen }) += count;
        }
        let (trainable, frozen) = (thousands(trainable), thousands(frozen));
        format!("{trainable} trainable parameters, {frozen} frozen, {:.1} MB", bytes as f64 / 1e6)
    }

    /// The table for the parameters of a network.
    fn table(&self, params: &Params) -> String {
        #[derive(Default)]
        struct Row {
            tensors: usize,
            parameters: i64,
            shapes: Vec<String>,
        }
        let mut rows: IndexMap<String, Row> = IndexMap::new();
        for (name, entry) in params.entries().iter().filter(|(_, entry)| entry.kind == EntryKind::Parameter) {
            let count = entry.tensor.numel() as i64;
            let owner = name.rsplit_once('.').map_or("", |(owner, _)| owner);
            let depth = usize::try_from(self.max_depth).unwrap_or(usize::MAX);
            // The network's own name (`net`) is level 0: its children are the first level worth showing.
            let shown: Vec<&str> = owner.split('.').take(depth.saturating_add(1)).collect();
            let row = rows.entry(shown.join(".")).or_default();
            row.tensors += 1;
            row.parameters += count;
            row.shapes.push(format!("{:?}", entry.tensor.size()));
        }
        let mut lines = vec![["layer", "shapes", "parameters"].map(str::to_owned)];
        for (name, row) in rows {
            let shapes = match row.shapes.len() {
                0..=2 => row.shapes.join(" "),
                n => format!("{} … {n} tensors", row.shapes[0]),
            };
            lines.push([name, shapes, thousands(row.parameters)]);
        }
        aligned(&lines, 2) + &Self::totals(params)
    }
}

/// Rows below their head and above a rule, the first `words` columns to the left, the others to the right.
fn aligned<const N: usize>(rows: &[[String; N]], words: usize) -> String {
    let width = |i: usize| rows.iter().map(|row| row[i].chars().count()).max().unwrap_or(0);
    let widths: Vec<usize> = (0..N).map(width).collect();
    let rule = format!("{}\n", "─".repeat(widths.iter().sum::<usize>() + 2 * (N - 1)));
    let mut out = String::new();
    for (number, row) in rows.iter().enumerate() {
        for (i, (cell, width)) in row.iter().zip(&widths).enumerate() {
            let cell = if i < words { format!("{cell:width$}") } else { format!("{cell:>width$}") };
            out += &format!("{cell}  ");
        }
        out.truncate(out.trim_end().len());
        out.push('\n');
        if number == 0 {
            out += &rule;
        }
    }
    out + &rule
}

/// `1234567` as `1.23 M`.
fn scaled(n: u64) -> String {
    let units = [(1e12, " T"), (1e9, " G"), (1e6, " M"), (1e3, " k")];
    match units.iter().find(|(unit, _)| n as f64 >= *unit) {
        Some((unit, name)) => format!("{:.2}{name}", n as f64 / unit),
        None => n.to_string(),
    }
}

/// `1199882` as `1,199,882`.
pub(crate) fn thousands(n: i64) -> String {
    let digits = n.to_string();
    let mut out = String::new();
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

impl Stateful for ModelSummary {}

impl Callback for ModelSummary {
    fn name(&self) -> String {
        "ModelSummary".into()
    }

    fn on_fit_start(&mut self, cx: &mut Cx) -> Result<()> {
        if self.max_depth != 0 {
            let table = match cx.task.layers() {
                [] => self.table(cx.task.params()),
                layers => self.layers(layers, cx.task.params()),
            };
            tracing::info!("the network:\n{table}");
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::{aligned, scaled, thousands};

    #[test]
    fn numbers_are_readable() {
        assert_eq!([7, 1234, 1199882].map(thousands), ["7", "1,234", "1,199,882"]);
        assert_eq!([7, 1234, 1199882, 3_300_000_000].map(scaled), ["7", "1.23 k", "1.20 M", "3.30 G"]);
    }

    #[test]
    fn words_stand_to_the_left_and_numbers_to_the_right() {
        let rows = [["layer", "parameters"], ["net.a", "7"], ["net", ""]].map(|row| row.map(str::to_owned));
        assert_eq!(
            aligned(&rows, 1),
            "layer  parameters\n─────────────────\nnet.a           7\nnet\n─────────────────\n"
        );
    }
}
