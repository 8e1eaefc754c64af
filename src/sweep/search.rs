//! A search: asks a sampler for trials, in an order that does not depend on which job ends first, and says when a
//! running trial is to stop.
//!
//! A search has no state but what the trials say: the proposal for trial `n` is a function of the seed, `n` and the
//! trials before it. To go on after a crash, plan the same search and hand in the trials of the journal.

use super::pruners::{Pruner, Running};
use super::samplers::{Context, Sampler, Suggestion};
use super::space::SearchSpace;
use super::trial::{Direction, History, Params, Trial, TrialState};
use crate::config::resolvers::eval::Expression;
use crate::error::{Error, Result};

/// How often a proposal that violates a constraint is drawn again.
const ATTEMPTS: u64 = 1000;

/// What a search is told about itself.
#[derive(Clone, Debug)]
pub struct SearchSettings {
    /// How many trials there are in all; `None` where the sampler knows when it is done.
    pub n_trials: Option<usize>,
    /// How many run side by side.
    pub n_jobs: usize,
    /// The share of the last `n_jobs` trials that may fail before the search is given up.
    pub max_failure_rate: f64,
    /// What makes the numbers.
    pub seed: u64,
    /// Whether less or more is better, one an objective.
    pub directions: Vec<Direction>,
    /// The study's name, for tools that read the journal.
    pub study_name: Option<String>,
    /// The objectives' metrics, when the sweeper's own settings name them.
    pub metrics: Vec<String>,
    /// Whether results are used as they come, rather than in the order of the trials.
    pub asynchronous: bool,
    /// Conditions on a trial's metrics: `test/latency <= 10`.
    pub outcome_constraints: Vec<OutcomeConstraint>,
    /// When to end before all trials are done.
    pub patience: Option<Patience>,
}

impl Default for SearchSettings {
    fn default() -> Self {
        SearchSettings {
            n_trials: None,
            n_jobs: 1,
            max_failure_rate: 1.0,
            seed: 0,
            directions: vec![Direction::Minimize],
            study_name: None,
            metrics: Vec::new(),
            asynchronous: false,
            outcome_constraints: Vec::new(),
            patience: None,
        }
    }
}

/// Ends a search that no longer finds better trials.
#[derive(Clone, Copy, Debug)]
pub struct Patience {
    /// How many trials in a row may be no better than the best.
    pub trials: usize,
    /// By how much a better one must be better.
    pub min_delta: f64,
}

/// A bound on a metric of a trial.
#[derive(Clone, Debug)]
pub struct OutcomeConstraint {
    /// The metric's name.
    pub metric: String,
    /// Whether the bound is an upper one.
    pub upper: bool,
    /// The bound.
    pub bound: f64,
}

impl OutcomeConstraint {
    /// By how much a value is beyond the bound; at most 0 when it is not. A missing metric violates.
    pub fn violation(&self, value: Option<f64>) -> f64 {
        let Some(value) = value.filter(|value| !value.is_nan()) else { return f64::INFINITY };
        if self.upper { value - self.bound } else { self.bound - value }
    }
}

/// What to do next.
#[derive(Clone, Debug, PartialEq)]
pub enum Ask {
    /// Start this trial.
    Start(Proposal),
    /// Let this trial, which was stopped, go on from where it is.
    Continue {
        /// Its number.
        number: usize,
        /// The step after which it pauses again.
        steps: Option<u64>,
    },
    /// Wait until a running trial has ended, then ask again.
    Wait,
    /// There is nothing more to start; with the reason when it is not that all trials are done.
    Done(Option<String>),
    /// Give up: too many trials failed.
    Abort(String),
}

/// A trial to start.
#[derive(Clone, Debug, PartialEq)]
pub struct Proposal {
    /// The trial, running. Its number is the count of trials so far.
    pub trial: Trial,
    /// The overrides of its job.
    pub overrides: Vec<String>,
}

/// A planned search.
pub struct Search {
    /// What is searched over.
    pub space: SearchSpace,
    /// How.
    pub settings: SearchSettings,
    sampler: Box<dyn Sampler>,
    pruner: Box<dyn Pruner>,
}

impl Search {
    /// A search over `space`.
    pub fn new(
        space: SearchSpace,
        settings: SearchSettings,
        sampler: Box<dyn Sampler>,
        pruner: Box<dyn Pruner>,
    ) -> Self {
        Search { space, settings, sampler, pruner }
    }

    /// How many trials there will be, as far as it is known.
    pub fn total(&self) -> Option<usize> {
        let wanted = self.settings.n_trials.or_else(|| self.pruner.total());
        match (wanted, self.sampler.total(&self.space)) {
            (Some(wanted), Some(own)) => Some(wanted.min(own)),
            (wanted, own) => wanted.or(own),
        }
    }

    /// How many trials are worth running side by side, and so how far the order of asking is ahead of results.
    pub fn n_jobs(&self) -> usize {
        self.settings.n_jobs.max(1)
    }

    /// Whether jobs report intermediate values and may be stopped.
    pub fn prunes(&self) -> bool {
        self.pruner.prunes()
    }

    /// Whether a job that was stopped may go on later.
    pub fn continues(&self) -> bool {
        self.pruner.continues()
    }

    /// How many of `trials` trial `number` may learn from.
    fn visible(&self, number: usize) -> usize {
        if self.settings.asynchronous { usize::MAX } else { (number + 1).saturating_sub(self.n_jobs()) }
    }

    /// The next trial, given all trials so far: sorted by number, without gaps, running ones too.
    ///
    /// # Errors
    /// When no combination meets the constraints.
    pub fn ask(&mut self, trials: &[Trial]) -> Result<Ask> {
        let number = trials.len();
        if let Some(reason) = self.failures(trials) {
            return Ok(Ask::Abort(reason));
        }
        let running = trials.iter().filter(|trial| !trial.has_ended()).count();
        if !self.settings.asynchronous && running >= self.n_jobs() {
            return Ok(Ask::Wait);
        }
        let direction = self.settings.directions.first().copied().unwrap_or_default();
        if let Some((number, steps)) = self.pruner.next(trials, direction, self.total()) {
            return Ok(Ask::Continue { number, steps });
        }
        if self.total().is_some_and(|total| number >= total) {
            // The end of one that runs may be what lets another go on.
            let wait = running > 0 && self.pruner.continues();
            return Ok(if wait { Ask::Wait } else { Ask::Done(None) });
        }
        let visible = self.visible(number).min(number);
        let compares = self.pruner.prunes() && !self.pruner.continues();
        let learns = self.sampler.learns() || self.settings.patience.is_some() || compares;
        if learns && !self.settings.asynchronous && trials[..visible].iter().any(|trial| !trial.has_ended()) {
            return Ok(Ask::Wait);
        }
        let history = History::new(trials, visible);
        if let Some(reason) = self.exhausted(&history) {
            return Ok(Ask::Done(Some(reason)));
        }
        for attempt in 0..ATTEMPTS {
            let context = Context {
                space: &self.space,
                history,
                number,
                attempt,
                seed: self.settings.seed,
                directions: &self.settings.directions,
            };
            let params = match self.sampler.suggest(&context)? {
                Suggestion::Params(params) => params,
                Suggestion::Done(reason) => return Ok(Ask::Done(reason)),
            };
            if self.space.violated(&params).is_some() {
                continue;
            }
            let overrides = self.space.overrides(&params);
            let trial = Trial { steps: self.pruner.first_pause(number), ..Trial::running(number, params) };
            return Ok(Ask::Start(Proposal { trial, overrides }));
        }
        let written: Vec<&str> = self.space.constraints.iter().map(Expression::text).collect();
        Err(Error::failed(format!(
            "none of {ATTEMPTS} proposals for trial {number} meets the constraints: {}",
            written.join("; ")
        ))
        .help("loosen hydra.sweeper.constraints, or narrow the ranges to where they hold"))
    }

    /// Whether a running trial is to stop now, and why. To be asked after each of its reports; `trials` are all
    /// trials so far, the running one with its reports among them, and `before` is the last step that it had reported
    /// when this was asked before.
    pub fn should_prune(&self, trials: &[Trial], number: usize, before: u64) -> Option<String> {
        let trial = trials.get(number)?;
        let visible = self.visible(number).min(number);
        // A trial's own number is never below the visible ones: what the others reported is settled.
        let history = if self.settings.asynchronous {
            History::new(trials, trials.len())
        } else {
            History::new(&trials[..number], visible)
        };
        self.pruner.verdict(&Running {
            trial,
            before,
            history,
            direction: self.settings.directions.first().copied().unwrap_or_default(),
            seed: self.settings.seed,
            asynchronous: self.settings.asynchronous,
        })
    }

    /// The finished trials that no other one beats: the best one, or the Pareto front of several objectives, by
    /// number. Trials that violate a constraint count only when all do.
    pub fn best<'a>(&self, trials: &'a [Trial]) -> Vec<&'a Trial> {
        super::pareto::front(trials, &self.settings.directions)
    }

    fn failures(&self, trials: &[Trial]) -> Option<String> {
        // A rate over `n_jobs` trials, as a batch of Hydra's Optuna sweeper has.
        let ended: Vec<&Trial> = trials.iter().filter(|trial| trial.has_ended()).collect();
        let batch = &ended[ended.len().saturating_sub(self.n_jobs())..];
        let failed = batch.iter().filter(|trial| trial.state == TrialState::Failed).count();
        let rate = failed as f64 / batch.len().max(1) as f64;
        (failed > 0 && rate > self.settings.max_failure_rate).then(|| {
            format!(
                "{failed} of the last {} trials failed, more than max_failure_rate = {} allows",
                batch.len(),
                self.settings.max_failure_rate
            )
        })
    }

    fn exhausted(&self, history: &History) -> Option<String> {
        let patience = self.settings.patience?;
        let direction = *self.settings.directions.first()?;
        let (mut best, mut since) = (f64::INFINITY, 0);
        for trial in history.finished() {
            let loss = direction.loss(trial.values[0]);
            if loss < best - patience.min_delta || best.is_infinite() {
                (best, since) = (loss, 0);
            } else {
                since += 1;
            }
        }
        (since >= patience.trials).then(|| format!("no better trial among the last {since}"))
    }
}

/// Draws every parameter again and again until the constraints are met: for samplers that draw at random.
pub(super) fn feasible(space: &SearchSpace, mut draw: impl FnMut() -> Params) -> Params {
    let mut params = draw();
    for _ in 0..ATTEMPTS {
        if space.violated(&params).is_none() {
            break;
        }
        params = draw();
    }
    params
}
