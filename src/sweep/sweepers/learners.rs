//! Further samplers that `hydra.sweeper.sampler` names: even spreads, evolution, Gaussian processes.

use indexmap::IndexMap;
use serde_json::Value as Json;

use super::samplers::{Scope, no_functions, one, one_objective, ten, twenty_four, yes};
use super::{SamplerKind, SamplerPlan};
use crate::config::Problem;
use crate::prelude::*;
use crate::sweep::samplers::{CmaEs, CmaEsOptions, GaussianProcess, LatinHypercube, Nsga, Sampler, Shape, Sobol, Tpe};
use crate::sweep::space::{Domain, SearchSpace};
use crate::sweep::trial::{ParamValue, Params};

/// Sobol's sequence with Owen's scrambling: points that fill the space evenly.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct QmcSampler {
    /// The sequence: `sobol`.
    #[serde(default = "sobol")]
    qmc_type: String,
    /// Whether it is scrambled: always; the seed decides how.
    #[serde(default)]
    scramble: Option<bool>,
    /// What makes the numbers; the same seed gives the same trials. 0 when not given.
    #[serde(default)]
    seed: Option<u64>,
    /// Every parameter is part of the sequence.
    #[serde(default)]
    #[allow(dead_code, reason = "accepted for compatibility")]
    independent_sampler: Ignored,
    /// There is nothing to warn about.
    #[serde(default)]
    #[allow(dead_code, reason = "accepted for compatibility")]
    warn_asynchronous_seeding: Option<bool>,
    /// There is nothing to warn about.
    #[serde(default)]
    #[allow(dead_code, reason = "accepted for compatibility")]
    warn_independent_sampling: Option<bool>,
}

fn sobol() -> String {
    "sobol".into()
}

impl Component for QmcSampler {
    type Kind = SamplerKind;
    const TARGETS: &'static [&'static str] = &["optuna.samplers.QMCSampler"];

    fn check(&self, check: &mut Check) {
        if self.qmc_type != "sobol" {
            check.problem("qmc_type", format!("the sequence `{}` is not supported", self.qmc_type)).help =
                Some("take sobol, or hydra/sweeper/sampler=lhs for a Latin hypercube".into());
        }
        if self.scramble == Some(false) {
            check.problem("scramble", "a sequence that is not scrambled is not supported").help =
                Some("set it to true: scrambled points are at least as even, and the seed changes them".into());
        }
    }

    fn build(self, _: &mut Build) -> Result<SamplerPlan> {
        Ok(SamplerPlan::any(self.seed, Sobol))
    }
}

/// A Latin hypercube: of n trials one lies in each nth of every parameter.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct LatinHypercubeSampler {
    /// What makes the numbers; the same seed gives the same trials. 0 when not given.
    #[serde(default)]
    seed: Option<u64>,
    /// How many trials one hypercube has; all trials of the sweep when not given.
    #[serde(default)]
    n_points: Option<usize>,
}

impl Component for LatinHypercubeSampler {
    type Kind = SamplerKind;
    const TARGETS: &'static [&'static str] = &["runner.samplers.LatinHypercube"];

    fn check(&self, check: &mut Check) {
        if self.n_points == Some(0) {
            check.problem("n_points", "a hypercube has at least one point");
        }
    }

    fn build(self, _: &mut Build) -> Result<SamplerPlan> {
        let make = move |scope: &Scope| -> Result<Box<dyn Sampler>> {
            let points = self.n_points.or(scope.n_trials).ok_or_else(|| {
                Problem::new("a Latin hypercube needs to know how many points it has")
                    .help("set n_trials, or n_points of the sampler")
            })?;
            Ok(Box::new(LatinHypercube { points }))
        };
        Ok(SamplerPlan { seed: self.seed, make: Box::new(make) })
    }
}

/// A Gaussian process with expected improvement: few trials, each chosen with care.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct GpSampler {
    /// What makes the numbers; the same seed gives the same trials. 0 when not given.
    #[serde(default)]
    seed: Option<u64>,
    /// How many trials are spread evenly before it learns.
    #[serde(default = "ten")]
    n_startup_trials: usize,
    /// Whether equal trials have equal results.
    #[serde(default)]
    deterministic_objective: bool,
    /// Every parameter is part of the process.
    #[serde(default)]
    #[allow(dead_code, reason = "accepted for compatibility")]
    independent_sampler: Ignored,
    /// A Python function.
    #[serde(default)]
    constraints_func: Option<String>,
    /// There is nothing to warn about.
    #[serde(default)]
    #[allow(dead_code, reason = "accepted for compatibility")]
    warn_independent_sampling: Option<bool>,
}

const OUTCOMES: &str = "write hydra.sweeper.outcome_constraints, such as test/loss <= 0.3";

impl Component for GpSampler {
    type Kind = SamplerKind;
    const TARGETS: &'static [&'static str] = &["optuna.samplers.GPSampler"];

    fn check(&self, check: &mut Check) {
        no_functions(check, &[("constraints_func", &self.constraints_func)], OUTCOMES);
    }

    fn build(self, _: &mut Build) -> Result<SamplerPlan> {
        let (n_startup_trials, deterministic) = (self.n_startup_trials, self.deterministic_objective);
        let sampler = GaussianProcess { n_startup_trials, deterministic };
        Ok(SamplerPlan::single(self.seed, "the Gaussian process", sampler))
    }
}

/// CMA-ES: an evolution strategy for numbers, at its best with hundreds of trials. Choices are drawn uniformly.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct CmaEsSampler {
    /// What makes the numbers; the same seed gives the same trials. 0 when not given.
    #[serde(default)]
    seed: Option<u64>,
    /// Where it starts: parameter to value. In the middle when not given.
    #[serde(default)]
    x0: Option<IndexMap<String, Json>>,
    /// The first deviation, as a share of each range. A sixth when not given.
    #[serde(default)]
    sigma0: Option<f64>,
    /// How many trials are drawn at random first.
    #[serde(default = "one_trial")]
    n_startup_trials: usize,
    /// Parameters without a number are drawn uniformly.
    #[serde(default)]
    #[allow(dead_code, reason = "accepted for compatibility")]
    independent_sampler: Ignored,
    /// There is nothing to warn about.
    #[serde(default)]
    #[allow(dead_code, reason = "accepted for compatibility")]
    warn_independent_sampling: Option<bool>,
    /// Whether pruned trials count with what they reported last.
    #[serde(default)]
    consider_pruned_trials: bool,
    /// When it has closed in on a point it starts again; `ipop` lets its generations grow each time.
    #[serde(default)]
    restart_strategy: Option<String>,
    /// How many trials a generation has; 4 + 3 ln n when not given.
    #[serde(default)]
    popsize: Option<usize>,
    /// By how much generations grow with `ipop`.
    #[serde(default = "two")]
    inc_popsize: usize,
    /// Whether only the scale of each parameter is learned, and not how they go together.
    #[serde(default)]
    use_separable_cma: bool,
    /// Not supported.
    #[serde(default)]
    with_margin: bool,
    /// Not supported.
    #[serde(default)]
    lr_adapt: bool,
    /// Not supported.
    #[serde(default)]
    source_trials: Option<Json>,
}

fn one_trial() -> usize {
    1
}

fn two() -> usize {
    2
}

impl Component for CmaEsSampler {
    type Kind = SamplerKind;
    const TARGETS: &'static [&'static str] = &["optuna.samplers.CmaEsSampler"];

    fn check(&self, check: &mut Check) {
        if self.sigma0.is_some_and(|sigma| !(sigma > 0.0 && sigma <= 1.0)) {
            check.problem("sigma0", "is a share of each range, above 0 and at most 1");
        }
        if self.restart_strategy.as_deref().is_some_and(|name| name != "ipop") {
            check.problem("restart_strategy", "is null or `ipop`");
        }
        for (name, set) in [
            ("with_margin", self.with_margin),
            ("lr_adapt", self.lr_adapt),
            ("source_trials", self.source_trials.is_some()),
        ] {
            if set {
                check.problem(name, format!("`{name}` is not supported")).help = Some("remove it".into());
            }
        }
    }

    fn build(self, _: &mut Build) -> Result<SamplerPlan> {
        let seed = self.seed;
        let make = move |scope: &Scope| -> Result<Box<dyn Sampler>> {
            one_objective("CMA-ES", scope.directions)?;
            let options = CmaEsOptions {
                x0: self.x0.as_ref().map(|x0| start(scope.space, x0)).transpose()?,
                sigma0: self.sigma0,
                n_startup_trials: self.n_startup_trials,
                popsize: self.popsize,
                inc_popsize: if self.restart_strategy.is_some() { self.inc_popsize } else { 1 },
                separable: self.use_separable_cma,
                consider_pruned_trials: self.consider_pruned_trials,
            };
            Ok(Box::new(CmaEs::new(scope.space, options)?))
        };
        Ok(SamplerPlan { seed, make: Box::new(make) })
    }
}

/// Where an evolution starts.
fn start(space: &SearchSpace, x0: &IndexMap<String, Json>) -> Result<Params, Problem> {
    let value = |(key, value): (&String, &Json)| {
        let refuse = |why: &str| Problem::new(format!("x0 says {value} for `{key}`, which {why}"));
        let parameter = space.parameters.get(key).ok_or_else(|| refuse("does not vary"))?;
        let number = value.as_f64().ok_or_else(|| refuse("is no number"))?;
        let value = match parameter.domain {
            Domain::Float { .. } => ParamValue::Float(number),
            Domain::Int { .. } => ParamValue::Int(number as i64),
            Domain::Choice { .. } => return Err(refuse("has listed values")),
        };
        if parameter.domain.contains(value) {
            Ok((key.clone(), value))
        } else {
            Err(refuse("lies outside of its range"))
        }
    };
    x0.iter().map(value).collect()
}

/// NSGA-II: a population that evolves toward the Pareto front of several objectives.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct NsgaSampler {
    /// What makes the numbers; the same seed gives the same trials. 0 when not given.
    #[serde(default)]
    seed: Option<u64>,
    /// How many trials a generation has.
    #[serde(default = "fifty")]
    population_size: usize,
    /// How likely a parameter is drawn anew; one a trial when not given.
    #[serde(default)]
    mutation_prob: Option<Fraction>,
    /// How likely a trial has two parents.
    #[serde(default = "most")]
    crossover_prob: Fraction,
    /// How likely a parameter comes from the second parent.
    #[serde(default = "half")]
    swapping_prob: Fraction,
    /// A Python object.
    #[serde(default)]
    crossover: Option<Json>,
    /// A Python function.
    #[serde(default)]
    constraints_func: Option<String>,
}

fn fifty() -> usize {
    50
}

fn most() -> Fraction {
    Fraction(0.9)
}

fn half() -> Fraction {
    Fraction(0.5)
}

impl Component for NsgaSampler {
    type Kind = SamplerKind;
    const TARGETS: &'static [&'static str] = &["optuna.samplers.NSGAIISampler"];

    fn check(&self, check: &mut Check) {
        if self.population_size < 2 {
            check.problem("population_size", "a generation has at least 2 trials");
        }
        if self.crossover.is_some() {
            check.problem("crossover", "only the uniform crossover is supported").help =
                Some("leave it out; swapping_prob says how much is exchanged".into());
        }
        no_functions(check, &[("constraints_func", &self.constraints_func)], OUTCOMES);
    }

    fn build(self, _: &mut Build) -> Result<SamplerPlan> {
        let mutation = self.mutation_prob.map(|share| share.0);
        let sampler = Nsga::new(self.population_size, mutation, self.crossover_prob.0, self.swapping_prob.0);
        Ok(SamplerPlan::any(self.seed, sampler))
    }
}

/// The Parzen estimator for several objectives; Optuna has it in `TPESampler` now.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct MotpeSampler {
    /// What makes the numbers; the same seed gives the same trials. 0 when not given.
    #[serde(default)]
    seed: Option<u64>,
    /// Whether each estimator has a kernel for the prior. Always.
    #[serde(default)]
    #[allow(dead_code, reason = "accepted for compatibility")]
    consider_prior: Option<bool>,
    /// The weight of the prior, in observations.
    #[serde(default = "one")]
    prior_weight: f64,
    /// Whether bandwidths have a lower bound that shrinks with the number of trials.
    #[serde(default = "yes")]
    consider_magic_clip: bool,
    /// Whether the ends of a range count as neighbours of the outermost trials.
    #[serde(default = "yes")]
    consider_endpoints: bool,
    /// How many trials are drawn at random before it learns.
    #[serde(default = "ten")]
    n_startup_trials: usize,
    /// How many points are drawn to choose from.
    #[serde(default = "twenty_four")]
    n_ehvi_candidates: usize,
}

impl Component for MotpeSampler {
    type Kind = SamplerKind;
    const TARGETS: &'static [&'static str] = &["optuna.samplers.MOTPESampler"];

    fn build(self, _: &mut Build) -> Result<SamplerPlan> {
        let shape = Shape {
            prior_weight: self.prior_weight,
            magic_clip: self.consider_magic_clip,
            endpoints: self.consider_endpoints,
        };
        let tpe = Tpe {
            n_startup_trials: self.n_startup_trials,
            n_ei_candidates: self.n_ehvi_candidates,
            shape,
            ..Tpe::default()
        };
        Ok(SamplerPlan::any(self.seed, tpe))
    }
}

pub(super) fn register(registry: &mut Registry) {
    registry.add::<QmcSampler>();
    registry.add::<LatinHypercubeSampler>();
    registry.add::<GpSampler>();
    registry.add::<CmaEsSampler>();
    registry.add::<NsgaSampler>();
    registry.add::<MotpeSampler>();
}
