//! CMA-ES over the numbers of a space; choices are drawn uniformly, as in Optuna's `CmaEsSampler`.

mod strategy;

use super::generations::Generations;
use super::random::{from_unit, to_unit};
use super::{Context, Sampler, Suggestion, draw};
use crate::error::{Error, Result};
use crate::sweep::random::Random;
use crate::sweep::search::feasible;
use crate::sweep::space::{Parameter, SearchSpace};
use crate::sweep::trial::{Params, Trial, TrialState};

use strategy::Strategy;

/// What is told to the evolution.
#[derive(Clone, Debug)]
pub struct CmaEsOptions {
    /// Where it starts, by parameter; in the middle when not given.
    pub x0: Option<Params>,
    /// The first deviation, as a share of each range; a sixth when not given.
    pub sigma0: Option<f64>,
    /// How many trials are drawn at random first.
    pub n_startup_trials: usize,
    /// How many trials a generation has; 4 + 3 ln n when not given.
    pub popsize: Option<usize>,
    /// By how much generations grow each time it starts again; 1 when they do not.
    pub inc_popsize: usize,
    /// Whether only the diagonal of the covariance is learned.
    pub separable: bool,
    /// Whether pruned trials count with what they reported last.
    pub consider_pruned_trials: bool,
}

/// CMA-ES. When it has closed in on a point it starts again elsewhere.
pub struct CmaEs {
    options: CmaEsOptions,
    keys: Vec<String>,
    strategy: Strategy,
    generations: Generations,
    restarts: u64,
}

impl CmaEs {
    /// An evolution over the numbers of `space`.
    ///
    /// # Errors
    /// When there is no number to vary.
    pub fn new(space: &SearchSpace, options: CmaEsOptions) -> Result<Self> {
        let numbers = space.parameters.values().filter(|p| !p.domain.is_choice() && p.domain.count() != Some(1));
        let numbers: Vec<&Parameter> = numbers.collect();
        if numbers.is_empty() {
            return Err(Error::request("CMA-ES needs a number to vary, and there are only choices")
                .help("take optuna.samplers.TPESampler"));
        }
        let keys: Vec<String> = numbers.iter().map(|parameter| parameter.key.clone()).collect();
        let start = numbers.iter().map(|parameter| {
            let given = options.x0.as_ref().and_then(|x0| x0.get(&parameter.key));
            given.map_or(0.5, |value| to_unit(&parameter.domain, *value))
        });
        let strategy =
            Strategy::new(start.collect(), options.sigma0.unwrap_or(1.0 / 6.0), options.popsize, options.separable);
        Ok(CmaEs { options, keys, strategy, generations: Generations::default(), restarts: 0 })
    }

    fn loss(&self, trial: &Trial, context: &Context) -> Option<f64> {
        let direction = context.directions.first().copied().unwrap_or_default();
        let value = match trial.state {
            TrialState::Finished => trial.values.first().copied(),
            TrialState::Pruned if self.options.consider_pruned_trials => trial.last_report().map(|(_, value)| value),
            _ => None,
        };
        value.filter(|value| !value.is_nan()).map(|value| direction.loss(value))
    }

    fn point(&self, trial: &Trial, space: &SearchSpace) -> Vec<f64> {
        let at = |(i, key): (usize, &String)| match (trial.params.get(key), space.parameters.get(key)) {
            (Some(value), Some(parameter)) => to_unit(&parameter.domain, *value),
            // It did not matter: nothing is to be learned from it.
            _ => self.strategy.mean()[i],
        };
        self.keys.iter().enumerate().map(at).collect()
    }

    fn learn(&mut self, trials: &[&Trial], context: &Context) {
        let mut sorted: Vec<&Trial> = trials.to_vec();
        let loss = |trial: &Trial| self.loss(trial, context).unwrap_or(f64::INFINITY);
        sorted.sort_by(|a, b| loss(a).total_cmp(&loss(b)));
        let points: Vec<Vec<f64>> = sorted.iter().map(|trial| self.point(trial, context.space)).collect();
        self.strategy.learn(&points);
        if self.strategy.is_over() {
            self.restarts += 1;
            let mut random = Random::new(context.seed, &[u64::MAX, self.restarts]);
            let mean = self.keys.iter().map(|_| random.uniform()).collect();
            let size = self.strategy.size * self.options.inc_popsize.max(1);
            let sigma = self.options.sigma0.unwrap_or(1.0 / 6.0);
            self.strategy = Strategy::new(mean, sigma, Some(size), self.options.separable);
        }
    }
}

impl Sampler for CmaEs {
    fn suggest(&mut self, context: &Context) -> Result<Suggestion> {
        if self.generations.is_stale(context) {
            let fresh = CmaEs::new(context.space, self.options.clone())?;
            *self = fresh;
        }
        let mut generations = std::mem::take(&mut self.generations);
        let judged: Vec<bool> = context.history.all().iter().map(|t| self.loss(t, context).is_some()).collect();
        let size = self.strategy.size;
        generations.follow(
            context,
            |trial| judged[trial.number],
            size,
            |trials| {
                self.learn(trials, context);
                self.strategy.size
            },
        );
        self.generations = generations;
        let mut random = context.random();
        if context.number < self.options.n_startup_trials {
            return Ok(Suggestion::Params(feasible(context.space, || draw(context.space, &mut random))));
        }
        let params = feasible(context.space, || {
            let point = self.strategy.sample(&mut random);
            context.space.active(|parameter| {
                let place = self.keys.iter().position(|key| *key == parameter.key);
                let unit = place.map_or_else(|| random.uniform(), |place| point[place]);
                from_unit(&parameter.domain, unit)
            })
        });
        Ok(Suggestion::Params(params))
    }
}
