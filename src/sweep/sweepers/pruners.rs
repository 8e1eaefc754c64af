//! The pruners that `hydra.sweeper.pruner` names, with Optuna's names and arguments.

use crate::prelude::*;
use crate::sweep::pruners::{Bracketed, Halving, Never, Percentile, Pruner};

/// The kind of `hydra.sweeper.pruner`.
pub struct PrunerKind;

impl Kind for PrunerKind {
    type Built = Box<dyn Pruner>;
    const NAME: &'static str = "pruner";
}

/// Stops no job.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct NopPruner {}

impl Component for NopPruner {
    type Kind = PrunerKind;
    const TARGETS: &'static [&'static str] = &["optuna.pruners.NopPruner"];

    fn build(self, _: &mut Build) -> Result<Box<dyn Pruner>> {
        Ok(Box::new(Never))
    }
}

/// The arguments of the pruners that compare a job with the finished ones, and those of one of them alone.
macro_rules! comparing {
    ($(#[$doc:meta])* struct $name:ident { $($own:tt)* }) => {
        $(#[$doc])*
        #[derive(Deserialize, JsonSchema)]
        #[serde(deny_unknown_fields)]
        struct $name {
            $($own)*
            /// How many jobs have to be finished before one is stopped.
            #[serde(default = "five")]
            n_startup_trials: usize,
            /// Up to which epoch no job is stopped.
            #[serde(default)]
            n_warmup_steps: u64,
            /// How many epochs lie between two looks.
            #[serde(default = "one_step")]
            interval_steps: u64,
            /// How many finished jobs have to have reported an epoch.
            #[serde(default = "one_trial")]
            n_min_trials: usize,
        }

        impl $name {
            fn at(self, percentile: f64) -> Box<dyn Pruner> {
                let $name { n_startup_trials, n_warmup_steps, interval_steps, n_min_trials, .. } = self;
                Box::new(Percentile { percentile, n_startup_trials, n_warmup_steps, interval_steps, n_min_trials })
            }
        }
    };
}

comparing! {
    /// Stops a job whose best so far is worse than the median of the finished jobs was at the same epoch.
    struct MedianPruner {}
}

comparing! {
    /// Stops a job whose best so far is worse than that of a share of the finished jobs at the same epoch.
    struct PercentilePruner {
        /// The share in percent: 25 keeps what is among the best quarter.
        percentile: f64,
    }
}

fn five() -> usize {
    5
}

fn one_step() -> u64 {
    1
}

fn one_trial() -> usize {
    1
}

impl Component for MedianPruner {
    type Kind = PrunerKind;
    const TARGETS: &'static [&'static str] = &["optuna.pruners.MedianPruner"];

    fn build(self, _: &mut Build) -> Result<Box<dyn Pruner>> {
        Ok(self.at(50.0))
    }
}

impl Component for PercentilePruner {
    type Kind = PrunerKind;
    const TARGETS: &'static [&'static str] = &["optuna.pruners.PercentilePruner"];

    fn check(&self, check: &mut Check) {
        if !(0.0..=100.0).contains(&self.percentile) {
            check.problem("percentile", "a share in percent, from 0 to 100");
        }
    }

    fn build(self, _: &mut Build) -> Result<Box<dyn Pruner>> {
        let percentile = self.percentile;
        Ok(self.at(percentile))
    }
}

/// Lets one job in `reduction_factor` go on at each rung: `min_resource` epochs, and each time so many times as many.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct SuccessiveHalvingPruner {
    /// The first rung's epoch.
    #[serde(default = "one_step")]
    min_resource: u64,
    /// One of so many goes on.
    #[serde(default = "four")]
    reduction_factor: u64,
    /// How many rungs are left out at the beginning.
    #[serde(default)]
    min_early_stopping_rate: u32,
    /// How many jobs a rung waits for before it lets one go on.
    #[serde(default)]
    bootstrap_count: u64,
}

/// Several successive halvings that begin at different rungs; each job belongs to one by chance.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct HyperbandPruner {
    /// The first rung's epoch.
    #[serde(default = "one_step")]
    min_resource: u64,
    /// The number of epochs of a whole job.
    max_resource: u64,
    /// One of so many goes on.
    #[serde(default = "three")]
    reduction_factor: u64,
    /// How many jobs a rung waits for before it lets one go on.
    #[serde(default)]
    bootstrap_count: u64,
}

fn four() -> u64 {
    4
}

fn three() -> u64 {
    3
}

fn check_halving(check: &mut Check, min_resource: u64, reduction_factor: u64, bootstrap_count: u64) {
    if min_resource == 0 {
        check.problem("min_resource", "the first rung is after at least 1 epoch");
    }
    if reduction_factor < 2 {
        check.problem("reduction_factor", "is at least 2: one in so many goes on");
    }
    if bootstrap_count > 0 {
        check.problem("bootstrap_count", "is not supported: a rung waits for nobody");
    }
}

impl Component for SuccessiveHalvingPruner {
    type Kind = PrunerKind;
    const TARGETS: &'static [&'static str] = &["optuna.pruners.SuccessiveHalvingPruner"];

    fn check(&self, check: &mut Check) {
        check_halving(check, self.min_resource, self.reduction_factor, self.bootstrap_count);
    }

    fn build(self, _: &mut Build) -> Result<Box<dyn Pruner>> {
        let skipped = self.reduction_factor.saturating_pow(self.min_early_stopping_rate);
        let min_resource = self.min_resource.saturating_mul(skipped);
        let (max_resource, reduction_factor) = (u64::MAX, self.reduction_factor);
        Ok(Box::new(Halving { min_resource, max_resource, reduction_factor, continues: false }))
    }
}

impl Component for HyperbandPruner {
    type Kind = PrunerKind;
    const TARGETS: &'static [&'static str] = &["optuna.pruners.HyperbandPruner"];

    fn check(&self, check: &mut Check) {
        check_halving(check, self.min_resource, self.reduction_factor, self.bootstrap_count);
        if self.max_resource < self.min_resource {
            check.problem("max_resource", "is below min_resource");
        }
    }

    fn build(self, _: &mut Build) -> Result<Box<dyn Pruner>> {
        let HyperbandPruner { min_resource, max_resource, reduction_factor, .. } = self;
        // Optuna's last rung is the whole job.
        let max_resource = max_resource.saturating_add(1);
        let lowest = Halving { min_resource, max_resource, reduction_factor, continues: false };
        Ok(Box::new(Bracketed { lowest }))
    }
}

pub(super) fn register(registry: &mut Registry) {
    registry.add::<NopPruner>();
    registry.add::<MedianPruner>();
    registry.add::<PercentilePruner>();
    registry.add::<SuccessiveHalvingPruner>();
    registry.add::<HyperbandPruner>();
}
