//! The table of layers and parameters at the start of a fit.

use indexmap::IndexMap;

use crate::nn::EntryKind;
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
    /// The table for the parameters of a network.
    pub fn table(&self, params: &crate::nn::Params) -> String {
        #[derive(Default)]
        struct Row {
            tensors: usize,
            parameters: i64,
            shapes: Vec<String>,
        }
        let mut rows: IndexMap<String, Row> = IndexMap::new();
        let (mut trainable, mut frozen, mut bytes) = (0, 0, 0);
        for (name, entry) in params.entries().iter().filter(|(_, entry)| entry.kind == EntryKind::Parameter) {
            let count = entry.tensor.numel() as i64;
            bytes += count * entry.tensor.kind().elt_size_in_bytes() as i64;
            if entry.tensor.requires_grad() { trainable += count } else { frozen += count }
            let owner = name.rsplit_once('.').map_or("", |(owner, _)| owner);
            let depth = usize::try_from(self.max_depth).unwrap_or(usize::MAX);
            // The network's own name (`net`) is level 0: its children are the first level worth showing.
            let shown: Vec<&str> = owner.split('.').take(depth.saturating_add(1)).collect();
            let row = rows.entry(shown.join(".")).or_default();
            row.tensors += 1;
            row.parameters += count;
            row.shapes.push(format!("{:?}", entry.tensor.size()));
        }
        let width = rows.keys().map(|name| name.len()).max().unwrap_or(0).max(5);
        let mut out = format!("{:width$}  {:>12}  shapes\n", "layer", "parameters");
        for (name, row) in &rows {
            let shapes = match row.shapes.len() {
                0..=2 => row.shapes.join(" "),
                n => format!("{} … {n} tensors", row.shapes[0]),
            };
            out += &format!("{name:width$}  {:>12}  {shapes}\n", thousands(row.parameters));
        }
        out += &format!(
            "{} trainable parameters, {} frozen, {:.1} MB",
            thousands(trainable),
            thousands(frozen),
            bytes as f64 / 1e6
        );
        out
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
            for line in self.table(cx.task.params()).lines() {
                tracing::info!("{line}");
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::thousands;

    #[test]
    fn thousands_are_set_apart() {
        assert_eq!([7, 1234, 1199882].map(thousands), ["7", "1,234", "1,199,882"]);
    }
}
