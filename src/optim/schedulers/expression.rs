//! A schedule given as a formula.

use schemars::JsonSchema;
use serde::Deserialize;

use super::formula::Formula;
use super::{At, Curve, Curved, Fault, LastEpoch, scheduler};
use crate::error::{Error, Result};
use crate::optim::{GroupOptions, Horizon, Optimizer, Scheduler, SchedulerSpec};
use crate::registry::OneOrMany;

/// Multiplies the initial rate by a formula of the count: PyTorch's LambdaLR without Python.
///
/// `0.95 ** epoch`, `min(1, (step + 1) / 500)`, `0.5 * (1 + cos(pi * step / total_steps))`. `step` and `epoch` are the
/// same count: optimizer steps with `interval: step`, epochs with `interval: epoch`. `total_steps` and `total_epochs`
/// are those of the run, `base_lr` is the initial rate. Arithmetic is Python's, with `a if c else b`, comparisons,
/// `min max abs sqrt exp log sin cos tan tanh floor ceil round pow`, `pi`, `e` and `inf`; a leading `lambda epoch:` may
/// stand there.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[allow(dead_code, reason = "some arguments are only accepted")]
pub struct Expression {
    /// The factor, for all groups or one for each.
    #[serde(alias = "lr_lambda")]
    pub formula: OneOrMany<String>,
    /// Only -1, the start.
    #[serde(default)]
    pub last_epoch: LastEpoch,
}

scheduler!(Expression, "runner.schedulers.Expression", "torch.optim.lr_scheduler.LambdaLR");

const VARIABLES: [&str; 5] = ["epoch", "step", "total_steps", "total_epochs", "base_lr"];

impl Expression {
    fn parse(&self) -> Result<Vec<Formula>, String> {
        self.formula.as_slice().iter().map(|text| Formula::parse(text, &VARIABLES)).collect()
    }

    fn validate(&self) -> Result<(), Fault> {
        match self.parse() {
            Ok(formulas) if formulas.is_empty() => Err(("formula", "at least one formula is needed".into())),
            Ok(_) => Ok(()),
            Err(message) => Err(("formula", message)),
        }
    }
}

impl SchedulerSpec for Expression {
    fn make(&self, optimizer: &mut dyn Optimizer, horizon: Horizon) -> Result<Box<dyn Scheduler>> {
        let mut formulas = self.parse().map_err(Error::request)?;
        let groups = optimizer.groups().len();
        if let (OneOrMany::One(_), [formula]) = (&self.formula, formulas.as_slice()) {
            formulas = vec![formula.clone(); groups];
        }
        if formulas.len() != groups {
            let given = formulas.len();
            return Err(Error::request(format!("{given} formulas for {groups} groups of parameters"))
                .help("give one formula for all groups, or one for each"));
        }
        Ok(Box::new(Curved::new(Formulas { formulas, horizon }, optimizer)?))
    }
}

struct Formulas {
    formulas: Vec<Formula>,
    horizon: Horizon,
}

impl Formulas {
    fn factor(&self, formula: &Formula, count: f64, base_lr: f64) -> Result<f64, String> {
        let known = |total: Option<u64>, name: &str| {
            total.map(|total| total as f64).ok_or_else(|| format!("`{name}` is not known for this run"))
        };
        formula.evaluate(&|name| match name {
            "total_steps" => known(self.horizon.total_steps, name),
            "total_epochs" => known(self.horizon.epochs, name),
            "base_lr" => Ok(base_lr),
            _ => Ok(count),
        })
    }
}

impl Curve for Formulas {
    fn rates(&self, at: &At, _: &mut [GroupOptions]) -> Result<Vec<f64>> {
        let pairs = self.formulas.iter().zip(&at.base_lrs);
        let rate = |(formula, base): (&Formula, &f64)| {
            let context = format!("the learning rate's formula at count {}", at.last_epoch);
            let factor = self.factor(formula, at.count(), *base);
            let factor = factor.map_err(|error| Error::failed(format!("{context}: {error}")))?;
            if !factor.is_finite() || factor < 0.0 {
                return Err(Error::failed(format!("{context} gives {factor}, which is no factor of a rate")));
            }
            Ok(base * factor)
        };
        pairs.map(rate).collect()
    }
}
