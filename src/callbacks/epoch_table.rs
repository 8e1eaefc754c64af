//! A line an epoch: losses, metrics, time.

use std::time::Instant;

use serde_json::json;

use crate::data::Split;
use crate::prelude::*;
use crate::tensor::{State, Stateful};
use crate::train::{Callback, CallbackKind, Cx};

/// Prints a table with a line an epoch: the smoothed training loss, what validation has logged, the time, as fastai
/// does.
///
/// The training loss is an average of the batches' losses in which older ones count less and less, freed of its start
/// at 0 (fastai's `AvgSmoothLoss`).
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct EpochTable {
    /// How much of the average a new batch leaves as it was.
    #[serde(default = "slow")]
    smoothing: Fraction,
    /// Under which name training logs its loss.
    #[serde(default = "train_loss")]
    loss: String,
    /// The average, and how many batches it has seen.
    #[serde(skip)]
    sum: f64,
    #[serde(skip)]
    count: i32,
    #[serde(skip)]
    started: Option<Instant>,
    #[serde(skip)]
    columns: Vec<String>,
}

fn slow() -> Fraction {
    Fraction(0.98)
}

fn train_loss() -> String {
    "train/loss".into()
}

impl EpochTable {
    /// Takes in the loss of a batch.
    fn add(&mut self, loss: f64) {
        self.count += 1;
        self.sum = self.sum * self.smoothing.0 + loss * (1.0 - self.smoothing.0);
    }

    /// The average.
    fn smoothed(&self) -> f64 {
        self.sum / (1.0 - self.smoothing.0.powi(self.count))
    }
}

impl Component for EpochTable {
    type Kind = CallbackKind;
    const TARGETS: &'static [&'static str] = &["runner.callbacks.EpochTable"];

    fn check(&self, cx: &mut Check) {
        if self.smoothing.0 == 1.0 {
            cx.problem("smoothing", "must be below 1: no batch would count");
        }
    }

    fn build(self, _: &mut Build) -> Result<Box<dyn Callback>> {
        Ok(Box::new(self))
    }
}

impl Stateful for EpochTable {
    fn state(&self) -> State {
        State::of(json!({ "sum": self.sum.to_bits(), "count": self.count }))
    }

    fn restore(&mut self, state: &State) -> Result<()> {
        self.sum = state.value["sum"].as_u64().map_or(0.0, f64::from_bits);
        self.count = state.value["count"].as_i64().unwrap_or(0) as i32;
        Ok(())
    }
}

impl Callback for EpochTable {
    fn name(&self) -> String {
        "EpochTable".into()
    }

    fn on_train_epoch_start(&mut self, _: &mut Cx) -> Result<()> {
        self.started = Some(Instant::now());
        Ok(())
    }

    fn on_train_epoch_resume(&mut self, cx: &mut Cx) -> Result<()> {
        self.on_train_epoch_start(cx)
    }

    fn on_train_batch_end(&mut self, cx: &mut Cx) -> Result<()> {
        let values = cx.log.bar_values();
        if let Some((_, loss)) = values.iter().find(|(name, _)| *name == self.loss) {
            self.add(*loss);
        }
        Ok(())
    }

    fn on_train_epoch_end(&mut self, cx: &mut Cx) -> Result<()> {
        let validated = |name: &String| name.starts_with(Split::Val.name()) && !name.ends_with("_best");
        let seconds = self.started.map_or(0, |started| started.elapsed().as_secs());
        if self.columns.is_empty() {
            self.columns = cx.metrics.keys().filter(|name| validated(name)).cloned().collect();
            let names = self.columns.iter().map(|name| name.replace('/', "_"));
            let names: Vec<String> = ["epoch", "train_loss"].map(String::from).into_iter().chain(names).collect();
            println!("{}", line(names.into_iter().chain(["time".to_owned()])));
        }
        let values = self.columns.iter().map(|name| cx.metrics.get(name).map_or(String::new(), |v| format!("{v:.6}")));
        let first = [cx.progress.epoch.to_string(), format!("{:.6}", self.smoothed())];
        let time = format!("{:02}:{:02}", seconds / 60, seconds % 60);
        println!("{}", line(first.into_iter().chain(values).chain([time])));
        Ok(())
    }
}

fn line(cells: impl Iterator<Item = String>) -> String {
    cells.map(|cell| format!("{cell:<14}")).collect::<Vec<_>>().join(" ").trim_end().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_average_is_free_of_its_start() {
        let mut table = EpochTable {
            smoothing: Fraction(0.98),
            loss: train_loss(),
            sum: 0.0,
            count: 0,
            started: None,
            columns: Vec::new(),
        };
        table.add(2.0);
        assert!((table.smoothed() - 2.0).abs() < 1e-12);
        table.add(1.0);
        assert!((table.smoothed() - (0.98 * 2.0 + 1.0) / 1.98).abs() < 1e-12);
    }
}
