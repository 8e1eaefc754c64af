//! Hyperband and ASHA: many jobs with few epochs, few with all of them.

use indexmap::IndexMap;

use super::{Definition, Params, Restrictions, SamplerKind, SamplerPlan, Scope, Sweeper, SweeperKind};
use crate::prelude::*;
use crate::sweep::pruners::{Brackets, Halving, Pruner};
use crate::sweep::samplers::Uniform;
use crate::sweep::search::{Search, SearchSettings};
use crate::sweep::trial::Direction;

/// The arguments of both sweepers, and those of one of them alone.
macro_rules! halving {
    ($(#[$doc:meta])* struct $name:ident { $($own:tt)* }) => {
        $(#[$doc])*
        #[derive(Deserialize, JsonSchema)]
        #[serde(deny_unknown_fields)]
        struct $name {
            /// What proposes the jobs; random when not given.
            #[serde(default)]
            sampler: Option<Slot<SamplerKind>>,
            /// Whether less (`minimize`) or more (`maximize`) of the optimized metric is better.
            #[serde(default)]
            direction: Direction,
            /// After how many epochs jobs are compared first.
            #[serde(default = "one")]
            min_resource: u64,
            /// The number of epochs of a whole job: `${trainer.max_epochs}`.
            max_resource: u64,
            /// One of so many goes on.
            #[serde(default = "three")]
            reduction_factor: u64,
            $($own)*
            /// The share of the last `n_jobs` jobs that may fail before the search is given up.
            #[serde(default = "all")]
            max_failure_rate: Fraction,
            /// The study's name in the journal.
            #[serde(default)]
            study_name: Option<String>,
            /// What varies: key to `choice(a, b)`, `range(1, 10)`, `interval(0, 1)`, `tag(log, interval(1e-5, 1))`.
            #[serde(default)]
            #[allow(dead_code, reason = "read from the tree")]
            params: Params,
            /// When a parameter matters: key to an expression over other parameters.
            #[serde(default)]
            conditions: Option<IndexMap<String, String>>,
            /// What must hold between the parameters of a job.
            #[serde(default)]
            constraints: Option<Vec<String>>,
        }
    };
}

halving! {
    /// Hyperband: brackets of jobs that pause at rungs. When all of a bracket have come to a rung the best of them go on
    /// from their checkpoints. The same seed gives the same sweep, whatever runs side by side.
    struct HyperbandSweeper {
        /// One bracket alone, with so many jobs: successive halving. All brackets when not given.
        #[serde(default)]
        successive_halving: Option<usize>,
        /// How many jobs there are in all; one round of the brackets when not given.
        #[serde(default)]
        n_trials: Option<usize>,
        /// How many jobs run side by side.
        #[serde(default = "two")]
        n_jobs: usize,
    }
}

halving! {
    /// ASHA: at each rung a job goes on when it is among the best of those that came there so far, and is stopped
    /// otherwise; it goes on from its checkpoint when later jobs make it one of the best. Nobody waits for anybody, so
    /// what goes on depends on which jobs are quick; one at a time, the seed decides.
    struct AshaSweeper {
        /// How many jobs there are in all.
        n_trials: usize,
    }
}

fn one() -> u64 {
    1
}

fn two() -> usize {
    2
}

fn three() -> u64 {
    3
}

fn all() -> Fraction {
    Fraction(1.0)
}

fn check_rungs(check: &mut Check, min_resource: u64, max_resource: u64, reduction_factor: u64) {
    if min_resource == 0 {
        check.problem("min_resource", "jobs are compared after at least 1 epoch");
    }
    if reduction_factor < 2 {
        check.problem("reduction_factor", "is at least 2: one in so many goes on");
    }
    if max_resource < min_resource.saturating_mul(reduction_factor) {
        let message = format!("{max_resource} epochs leave no rung to stop at");
        check.problem("max_resource", message).help =
            Some("set it to the epochs of a whole job, at least min_resource * reduction_factor".into());
    }
}

/// What both plan in the same way.
struct Planned {
    sampler: Option<SamplerPlan>,
    settings: SearchSettings,
    restrictions: Restrictions,
    pruner: Box<dyn Pruner>,
}

impl Sweeper for Planned {
    fn plan(self: Box<Self>, definition: &Definition) -> Result<Search> {
        let sampler = self.sampler.unwrap_or_else(|| SamplerPlan::any(None, Uniform));
        let seed = sampler.seed.unwrap_or(0);
        let space = definition.space(&self.restrictions, seed)?;
        let settings = SearchSettings { seed, ..self.settings };
        let n_trials = settings.n_trials.or_else(|| self.pruner.total());
        let scope = Scope { space: &space, directions: &settings.directions, n_trials };
        let sampler = (sampler.make)(&scope)?;
        Ok(Search::new(space, settings, sampler, self.pruner))
    }
}

impl Component for HyperbandSweeper {
    type Kind = SweeperKind;
    const TARGETS: &'static [&'static str] = &["runner.sweepers.Hyperband"];

    fn check(&self, check: &mut Check) {
        check_rungs(check, self.min_resource, self.max_resource, self.reduction_factor);
        if self.n_jobs == 0 {
            check.problem("n_jobs", "is how many jobs run side by side: at least 1");
        }
        if self.successive_halving == Some(0) {
            check.problem("successive_halving", "is how many jobs the bracket has: at least 1");
        }
    }

    fn build(self, cx: &mut Build) -> Result<Box<dyn Sweeper>> {
        let pruner =
            Brackets::new(self.min_resource, self.max_resource, self.reduction_factor, self.successive_halving);
        let settings = SearchSettings {
            n_trials: self.n_trials,
            n_jobs: self.n_jobs,
            max_failure_rate: self.max_failure_rate.0,
            directions: vec![self.direction],
            study_name: self.study_name,
            ..SearchSettings::default()
        };
        let restrictions = Restrictions { conditions: self.conditions, constraints: self.constraints };
        let sampler = cx.build_opt(&self.sampler)?;
        Ok(Box::new(Planned { sampler, settings, restrictions, pruner: Box::new(pruner) }))
    }
}

impl Component for AshaSweeper {
    type Kind = SweeperKind;
    const TARGETS: &'static [&'static str] = &["runner.sweepers.Asha"];

    fn check(&self, check: &mut Check) {
        check_rungs(check, self.min_resource, self.max_resource, self.reduction_factor);
    }

    fn build(self, cx: &mut Build) -> Result<Box<dyn Sweeper>> {
        let AshaSweeper { min_resource, max_resource, reduction_factor, .. } = self;
        let pruner = Halving { min_resource, max_resource, reduction_factor, continues: true };
        let settings = SearchSettings {
            n_trials: Some(self.n_trials),
            max_failure_rate: self.max_failure_rate.0,
            directions: vec![self.direction],
            study_name: self.study_name,
            asynchronous: true,
            ..SearchSettings::default()
        };
        let restrictions = Restrictions { conditions: self.conditions, constraints: self.constraints };
        let sampler = cx.build_opt(&self.sampler)?;
        Ok(Box::new(Planned { sampler, settings, restrictions, pruner: Box::new(pruner) }))
    }
}

pub(super) fn register(registry: &mut Registry) {
    registry.add::<HyperbandSweeper>();
    registry.add::<AshaSweeper>();
}
