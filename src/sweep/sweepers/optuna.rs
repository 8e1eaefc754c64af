//! The sweeper of hydra-optuna-sweeper, with its keys.

use indexmap::IndexMap;
use serde_json::Value as Json;

use super::{Definition, Params, PrunerKind, Restrictions, SamplerKind, SamplerPlan, Scope, Sweeper, SweeperKind};
use crate::prelude::*;
use crate::sweep::pruners::{Never, Pruner};
use crate::sweep::search::{Search, SearchSettings};
use crate::sweep::trial::Direction;

/// A search that learns from the jobs that have finished.
///
/// The keys are those of hydra-optuna-sweeper. `pruner`, `conditions`, `constraints`, `outcome_constraints` and
/// `asynchronous` are this program's own.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct OptunaSweeper {
    /// What proposes the trials.
    #[serde(default)]
    sampler: Option<Slot<SamplerKind>>,
    /// What stops jobs that do not look promising, such as `optuna.pruners.MedianPruner`. None when not given.
    #[serde(default)]
    pruner: Option<Slot<PrunerKind>>,
    /// Whether less (`minimize`) or more (`maximize`) of the optimized metric is better; a list for several.
    #[serde(default = "minimize")]
    direction: OneOrMany<Direction>,
    /// Optuna's database. The journal in the sweep's folder takes its place, and Optuna can read it.
    #[serde(default)]
    storage: Option<String>,
    /// The study's name in the journal.
    #[serde(default)]
    study_name: Option<String>,
    /// How many trials there are in all.
    #[serde(default)]
    n_trials: Option<usize>,
    /// How many jobs run side by side.
    #[serde(default = "two")]
    n_jobs: usize,
    /// The share of the last `n_jobs` jobs that may fail before the search is given up.
    #[serde(default)]
    max_failure_rate: f64,
    /// What varies, in the form of the plugin's first versions. Write `params`.
    #[serde(default)]
    search_space: Option<IndexMap<String, Json>>,
    /// What varies: key to `choice(a, b)`, `range(1, 10)`, `interval(0, 1)`, `tag(log, interval(1e-5, 1))`,
    /// `int(interval(1, 10))`.
    #[serde(default)]
    #[allow(dead_code, reason = "read from the tree")]
    params: Params,
    /// A Python function, which this program does not call.
    #[serde(default)]
    custom_search_space: Option<String>,
    /// When a parameter matters: key to an expression over other parameters, such as `model.depth >= 3`.
    #[serde(default)]
    conditions: Option<IndexMap<String, String>>,
    /// What must hold between the parameters of a trial, such as `data.batch_size * model.width <= 8192`.
    #[serde(default)]
    constraints: Option<Vec<String>>,
    /// Bounds on a trial's metrics, such as `test/latency <= 10`: trials beyond them are never the best.
    #[serde(default)]
    outcome_constraints: Option<Vec<String>>,
    /// Use results as they come. Faster with jobs of unequal length, but then the trials depend on which job ends
    /// first.
    #[serde(default)]
    asynchronous: bool,
}

fn minimize() -> OneOrMany<Direction> {
    OneOrMany::One(Direction::Minimize)
}

fn two() -> usize {
    2
}

impl Component for OptunaSweeper {
    type Kind = SweeperKind;
    const TARGETS: &'static [&'static str] = &["hydra_plugins.hydra_optuna_sweeper.optuna_sweeper.OptunaSweeper"];

    fn check(&self, check: &mut Check) {
        if self.storage.is_some() {
            check
                .problem("storage", "a sweep keeps its trials in its own folder, not in a database")
                .help
                .get_or_insert_with(|| "set it to null; Optuna reads the journal of the folder".into());
        }
        if self.custom_search_space.is_some() {
            check
                .problem("custom_search_space", "is a Python function, which this program does not call")
                .help
                .get_or_insert_with(|| "write hydra.sweeper.conditions and hydra.sweeper.constraints".into());
        }
        if self.search_space.as_ref().is_some_and(|space| !space.is_empty()) {
            check
                .problem("search_space", "is the form of the plugin's first versions")
                .help
                .get_or_insert_with(|| "write params, such as model.optimizer.lr: interval(0.001, 0.1)".into());
        }
        if self.n_trials.is_none() {
            check
                .problem("n_trials", "says how many trials there are, and is missing")
                .help
                .get_or_insert_with(|| "set it: hydra.sweeper.n_trials=20".into());
        }
        if self.n_jobs == 0 {
            check.problem("n_jobs", "is how many jobs run side by side: at least 1");
        }
        if !(0.0..=1.0).contains(&self.max_failure_rate) {
            check.problem("max_failure_rate", "is a share from 0 to 1");
        }
        if self.direction.as_slice().is_empty() {
            check.problem("direction", "names no objective");
        }
    }

    fn build(mut self, cx: &mut Build) -> Result<Box<dyn Sweeper>> {
        let sampler = cx.build_opt(&self.sampler.take())?;
        let pruner = cx.build_opt(&self.pruner.take())?;
        Ok(Box::new(Planned { args: self, sampler, pruner }))
    }
}

struct Planned {
    args: OptunaSweeper,
    sampler: Option<SamplerPlan>,
    pruner: Option<Box<dyn Pruner>>,
}

impl Sweeper for Planned {
    fn plan(self: Box<Self>, definition: &Definition) -> Result<Search> {
        let OptunaSweeper { conditions, constraints, .. } = self.args;
        let sampler = self.sampler.unwrap_or_else(|| SamplerPlan::any(None, crate::sweep::samplers::Tpe::default()));
        let seed = sampler.seed.unwrap_or(0);
        let space = definition.space(&Restrictions { conditions, constraints }, seed)?;
        let directions = self.args.direction.as_slice().to_vec();
        let settings = SearchSettings {
            n_trials: self.args.n_trials,
            n_jobs: self.args.n_jobs,
            max_failure_rate: self.args.max_failure_rate,
            seed,
            study_name: self.args.study_name,
            asynchronous: self.args.asynchronous,
            directions: directions.clone(),
            outcome_constraints: super::outcome_constraints(self.args.outcome_constraints.as_deref())?,
            ..SearchSettings::default()
        };
        let pruner = self.pruner.unwrap_or_else(|| Box::new(Never));
        if pruner.prunes() && directions.len() > 1 {
            return Err(Error::request("a pruner compares by one metric, and the search has several")
                .help("remove hydra.sweeper.pruner, or name one direction"));
        }
        let scope = Scope { space: &space, directions: &directions, n_trials: settings.n_trials };
        let sampler = (sampler.make)(&scope)?;
        Ok(Search::new(space, settings, sampler, pruner))
    }
}
