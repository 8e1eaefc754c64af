//! The samplers that `hydra.sweeper.sampler` names, with Optuna's names and arguments.

use crate::config::Problem;
use crate::prelude::*;
use crate::sweep::samplers::{Grid, Sampler, Shape, Tpe, Uniform};
use crate::sweep::space::{MOST, SearchSpace};
use crate::sweep::trial::Direction;

/// What a sampler is made for.
pub struct Scope<'a> {
    /// What is searched over.
    pub space: &'a SearchSpace,
    /// Whether less or more is better, one an objective.
    pub directions: &'a [Direction],
    /// How many trials there are, where that is known.
    pub n_trials: Option<usize>,
}

/// The kind of `hydra.sweeper.sampler`.
pub struct SamplerKind;

impl Kind for SamplerKind {
    type Built = SamplerPlan;
    const NAME: &'static str = "search sampler";
    // Hydra's Optuna sweeper writes GridSampler as a partial.
    const PARTIAL: bool = true;
}

/// A sampler that still has to see the space.
pub struct SamplerPlan {
    /// What makes the numbers; 0 when not given.
    pub seed: Option<u64>,
    /// Makes the sampler.
    pub make: Box<dyn FnOnce(&Scope) -> Result<Box<dyn Sampler>>>,
}

impl SamplerPlan {
    /// A sampler that fits every space and one objective.
    pub fn single<S: Sampler + 'static>(seed: Option<u64>, name: &'static str, sampler: S) -> Self {
        let make = move |scope: &Scope| -> Result<Box<dyn Sampler>> {
            one_objective(name, scope.directions)?;
            Ok(Box::new(sampler))
        };
        SamplerPlan { seed, make: Box::new(make) }
    }

    /// A sampler that fits every space and any number of objectives.
    pub fn any<S: Sampler + 'static>(seed: Option<u64>, sampler: S) -> Self {
        SamplerPlan { seed, make: Box::new(move |_| Ok(Box::new(sampler))) }
    }
}

/// Refuses several objectives.
pub fn one_objective(name: &str, directions: &[Direction]) -> Result<()> {
    if directions.len() > 1 {
        return Err(Error::request(format!("{name} knows one objective, not {}", directions.len()))
            .help("take optuna.samplers.TPESampler or optuna.samplers.NSGAIISampler"));
    }
    Ok(())
}

/// Draws every parameter independently and uniformly.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct RandomSampler {
    /// What makes the numbers; the same seed gives the same trials. 0 when not given.
    #[serde(default)]
    seed: Option<u64>,
}

impl Component for RandomSampler {
    type Kind = SamplerKind;
    const TARGETS: &'static [&'static str] = &["optuna.samplers.RandomSampler"];

    fn build(self, _: &mut Build) -> Result<SamplerPlan> {
        Ok(SamplerPlan::any(self.seed, Uniform))
    }
}

/// Every combination of choices and ranges, the last parameter running fastest.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct GridSampler {
    /// What varies; the sweeper's params say it.
    #[serde(default)]
    #[allow(dead_code, reason = "accepted for compatibility")]
    search_space: Ignored,
    /// The order of a grid is settled.
    #[serde(default)]
    #[allow(dead_code, reason = "accepted for compatibility")]
    seed: Ignored,
}

impl Component for GridSampler {
    type Kind = SamplerKind;
    const TARGETS: &'static [&'static str] = &["optuna.samplers.GridSampler"];

    fn build(self, _: &mut Build) -> Result<SamplerPlan> {
        let make = |Scope { space, .. }: &Scope| -> Result<Box<dyn Sampler>> {
            if let Some(parameter) = space.parameters.values().find(|p| p.domain.count().is_none()) {
                return Err(Problem::new(format!("a grid cannot go over the interval of `{}`", parameter.key))
                    .from(&parameter.origin)
                    .help("write choice(…) or range(start, stop, step)")
                    .into());
            }
            if space.count().is_none_or(|count| count > MOST) {
                return Err(Error::request(format!("the grid has more than {MOST} combinations"))
                    .help("take fewer values, or optuna.samplers.RandomSampler"));
            }
            Ok(Box::new(Grid::new(space)))
        };
        Ok(SamplerPlan { seed: None, make: Box::new(make) })
    }
}

/// The tree-structured Parzen estimator: points that are likely among the best trials and unlikely among the others.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct TpeSampler {
    /// What makes the numbers; the same seed gives the same trials. 0 when not given.
    #[serde(default)]
    seed: Option<u64>,
    /// Whether each estimator has a kernel for the prior. Always; Optuna no longer knows an estimator without it.
    #[serde(default)]
    consider_prior: Option<bool>,
    /// The weight of the prior, in observations.
    #[serde(default = "one")]
    prior_weight: f64,
    /// Whether bandwidths have a lower bound that shrinks with the number of trials.
    #[serde(default = "yes")]
    consider_magic_clip: bool,
    /// Whether the ends of a range count as neighbours of the outermost trials.
    #[serde(default)]
    consider_endpoints: bool,
    /// How many trials are spread evenly before it learns.
    #[serde(default = "ten")]
    n_startup_trials: usize,
    /// How many points are drawn to choose from; four times Optuna's 24 when not given, for it finds better ones.
    #[serde(default = "candidates")]
    n_ei_candidates: usize,
    /// Whether parameters are estimated together; when not given, with one objective and not with several.
    #[serde(default)]
    multivariate: Option<bool>,
    /// Parameters under the same condition are estimated together in any case.
    #[serde(default)]
    #[allow(dead_code, reason = "accepted for compatibility")]
    group: Option<bool>,
    /// Whether running trials count among the worse, so that jobs side by side try different things.
    #[serde(default = "yes")]
    constant_liar: bool,
    /// A Python function.
    #[serde(default)]
    gamma: Option<String>,
    /// A Python function.
    #[serde(default)]
    weights: Option<String>,
    /// A Python function.
    #[serde(default)]
    constraints_func: Option<String>,
    /// There is nothing to warn about.
    #[serde(default)]
    #[allow(dead_code, reason = "accepted for compatibility")]
    warn_independent_sampling: Option<bool>,
}

pub(super) fn one() -> f64 {
    1.0
}

pub(super) fn yes() -> bool {
    true
}

pub(super) fn ten() -> usize {
    10
}

fn candidates() -> usize {
    Tpe::CANDIDATES
}

pub(super) fn twenty_four() -> usize {
    24
}

/// Refuses arguments that are Python functions.
pub(super) fn no_functions(check: &mut Check, arguments: &[(&str, &Option<String>)], help: &str) {
    for (name, value) in arguments {
        if value.is_some() {
            check.problem(name, format!("`{name}` is a Python function, which this program does not call")).help =
                Some(help.to_owned());
        }
    }
}

impl Component for TpeSampler {
    type Kind = SamplerKind;
    const TARGETS: &'static [&'static str] = &["optuna.samplers.TPESampler"];

    fn check(&self, check: &mut Check) {
        if self.consider_prior == Some(false) {
            check.problem("consider_prior", "an estimator without its prior is not supported").help =
                Some("lower prior_weight instead".into());
        }
        if self.prior_weight < 0.0 || !self.prior_weight.is_finite() {
            check.problem("prior_weight", "a weight is at least 0");
        }
        if self.n_ei_candidates == 0 {
            check.problem("n_ei_candidates", "at least one candidate has to be drawn");
        }
        let functions = [("gamma", &self.gamma), ("weights", &self.weights)];
        no_functions(check, &functions, "set it to null: the default of Optuna is what is used");
        let functions = [("constraints_func", &self.constraints_func)];
        no_functions(check, &functions, "write hydra.sweeper.outcome_constraints, such as test/loss <= 0.3");
    }

    fn build(self, _: &mut Build) -> Result<SamplerPlan> {
        let tpe = Tpe {
            n_startup_trials: self.n_startup_trials,
            n_ei_candidates: self.n_ei_candidates,
            shape: Shape {
                prior_weight: self.prior_weight,
                magic_clip: self.consider_magic_clip,
                endpoints: self.consider_endpoints,
            },
            multivariate: self.multivariate,
            constant_liar: self.constant_liar,
        };
        Ok(SamplerPlan::any(self.seed, tpe))
    }
}

pub(super) fn register(registry: &mut Registry) {
    registry.add::<RandomSampler>();
    registry.add::<GridSampler>();
    registry.add::<TpeSampler>();
}
