//! The learning-rate range test (Smith, 2017), as Lightning's `lr_find` does it.

use std::path::Path;

use schemars::JsonSchema;
use serde::Deserialize;

use super::Rule;
use crate::data::DataModule;
use crate::error::{Error, Result};
use crate::registry::{Check, Positive};
use crate::train::Task;
use crate::train::trainer::Trainer;

/// The arguments of Lightning's `lr_find`.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct LrFindArgs {
    /// The smallest rate.
    #[serde(default = "min_lr")]
    pub min_lr: Positive,
    /// The largest rate.
    #[serde(default = "max_lr")]
    pub max_lr: Positive,
    /// How many rates are tried: optimizer steps.
    #[serde(default = "num_training")]
    pub num_training: u64,
    /// How the rate rises.
    #[serde(default)]
    pub mode: Sweep,
    /// Stop when the smoothed loss is above so many times its best; null goes on to the end.
    #[serde(default = "threshold")]
    pub early_stop_threshold: Option<Positive>,
    /// The rule by which the rate is chosen.
    #[serde(default)]
    pub suggestion: Rule,
    /// Where the config holds the rate.
    #[serde(default = "attribute")]
    pub attr_name: String,
}

/// How rates follow each other.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Sweep {
    /// Each is a multiple of the one before.
    #[default]
    Exponential,
    /// Each is a summand above the one before.
    Linear,
}

fn min_lr() -> Positive {
    Positive(1e-8)
}

fn max_lr() -> Positive {
    Positive(1.0)
}

fn num_training() -> u64 {
    100
}

fn threshold() -> Option<Positive> {
    Some(Positive(4.0))
}

fn attribute() -> String {
    "model.optimizer.lr".into()
}

impl Default for LrFindArgs {
    fn default() -> Self {
        LrFindArgs {
            min_lr: min_lr(),
            max_lr: max_lr(),
            num_training: num_training(),
            mode: Sweep::default(),
            early_stop_threshold: threshold(),
            suggestion: Rule::default(),
            attr_name: attribute(),
        }
    }
}

impl LrFindArgs {
    pub(super) fn check(&self, cx: &mut Check) {
        if self.min_lr.0 >= self.max_lr.0 {
            cx.problem("learning_rate.min_lr", "must be below max_lr");
        }
        if self.num_training == 0 {
            cx.problem("learning_rate.num_training", "must be 1 or more");
        }
    }

    /// The rate of a step, counted from 0: Lightning's schedules, in which the second step is two parts up.
    pub fn rate(&self, step: u64) -> f64 {
        let (low, high) = (self.min_lr.0, self.max_lr.0);
        let way = if step == 0 { 0.0 } else { (step + 1) as f64 / self.num_training as f64 };
        match self.mode {
            Sweep::Exponential => low * (high / low).powf(way),
            Sweep::Linear => low + way * (high - low),
        }
    }
}

/// The loss over the learning rate.
#[derive(Clone, Debug, PartialEq)]
pub struct LrCurve {
    /// The rates, rising.
    pub lrs: Vec<f64>,
    /// The smoothed losses.
    pub losses: Vec<f64>,
    /// The losses themselves.
    pub raw: Vec<f64>,
    /// Whether it ended early because the loss grew.
    pub diverged: bool,
    /// How many rates were to be tried.
    pub planned: usize,
    /// Whether rates rise by a factor.
    pub exponential: bool,
}

/// Lightning's smoothing: a moving average whose correction is that of one step more.
struct Smoothing {
    average: f64,
    best: f64,
    step: i32,
}

impl Smoothing {
    const BETA: f64 = 0.98;

    /// Takes in a loss; gives the smoothed one and whether it is above `threshold` times the best.
    fn add(&mut self, loss: f64, threshold: Option<f64>) -> (f64, bool) {
        self.step += 1;
        self.average = Self::BETA * self.average + (1.0 - Self::BETA) * loss;
        let smoothed = self.average / (1.0 - Self::BETA.powi(self.step + 1));
        let diverged = threshold.is_some_and(|threshold| self.step > 1 && smoothed > threshold * self.best);
        if smoothed < self.best || self.step == 1 {
            self.best = smoothed;
        }
        (smoothed, diverged)
    }
}

impl Trainer {
    /// Trains with a rising learning rate and records the loss. Everything is as before afterwards.
    ///
    /// # Errors
    /// What a training step reports.
    pub fn find_lr(&mut self, task: &mut dyn Task, data: &dyn DataModule, args: &LrFindArgs) -> Result<LrCurve> {
        let mut curve = LrCurve {
            lrs: Vec::new(),
            losses: Vec::new(),
            raw: Vec::new(),
            diverged: false,
            planned: args.num_training as usize,
            exponential: args.mode == Sweep::Exponential,
        };
        let mut smoothing = Smoothing { average: 0.0, best: 0.0, step: 0 };
        let threshold = args.early_stop_threshold.map(|t| t.0);
        let mut seen = |loss: f64| {
            curve.lrs.push(args.rate(curve.lrs.len() as u64));
            curve.raw.push(loss);
            let (smoothed, diverged) = smoothing.add(loss, threshold);
            curve.losses.push(smoothed);
            curve.diverged = diverged;
            !diverged
        };
        self.aside(task, data, None, args.num_training, &|step| Some(args.rate(step)), &mut seen)
            .map_err(|error| error.context("while looking for a learning rate"))?;
        Ok(curve)
    }
}

impl LrCurve {
    /// The rate that a rule suggests.
    ///
    /// # Errors
    /// When the curve has too few points for it.
    pub fn suggestion(&self, rule: Rule) -> Result<f64> {
        rule.suggest(&self.lrs, &self.losses, self.planned).ok_or_else(|| {
            let count = self.lrs.len();
            Error::failed(format!("{count} trials are too few for the rule `{}` to suggest a rate", rule.name()))
                .help("raise tuner.learning_rate.num_training, or early_stop_threshold")
        })
    }

    /// Writes rate, smoothed loss and loss as CSV.
    pub fn write_csv(&self, path: &Path) -> Result<()> {
        let mut csv = csv::Writer::from_writer(Vec::new());
        let unwritable = |error: csv::Error| Error::failed(format!("cannot write {}: {error}", path.display()));
        csv.write_record(["lr", "loss", "raw_loss"]).map_err(unwritable)?;
        for ((lr, loss), raw) in self.lrs.iter().zip(&self.losses).zip(&self.raw) {
            csv.write_record([lr.to_string(), loss.to_string(), raw.to_string()]).map_err(unwritable)?;
        }
        let bytes = csv.into_inner().map_err(|error| Error::failed(error.to_string()))?;
        crate::run::write_atomic(path, &bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_rise_from_min_to_max() {
        let args: LrFindArgs = serde_json::from_str(r#"{"min_lr": 1e-4, "max_lr": 1.0, "num_training": 4}"#).unwrap();
        let rates: Vec<f64> = (0..4).map(|step| args.rate(step)).collect();
        for (found, wanted) in rates.iter().zip([1e-4, 1e-2, 1e-1, 1.0]) {
            assert!((found / wanted - 1.0).abs() < 1e-9, "{rates:?}");
        }
        let linear = LrFindArgs { mode: Sweep::Linear, ..args };
        assert!((linear.rate(1) - (1e-4 + 0.5 * (1.0 - 1e-4))).abs() < 1e-12);
    }

    #[test]
    fn a_growing_loss_is_noticed() {
        let mut smoothing = Smoothing { average: 0.0, best: 0.0, step: 0 };
        let mut losses = (0..10).map(|_| 1.0).chain(std::iter::repeat(1e3));
        let at = losses.position(|loss| smoothing.add(loss, Some(4.0)).1);
        assert_eq!(at, Some(10));
        let mut smoothing = Smoothing { average: 0.0, best: 0.0, step: 0 };
        assert!((0..50).all(|_| !smoothing.add(1e3, None).1));
    }
}
