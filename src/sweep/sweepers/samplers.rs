//! The samplers that `hydra.sweeper.sampler` names, with Optuna's names and arguments.

use crate::config::Problem;
use crate::prelude::*;
use crate::sweep::samplers::{Grid, Sampler, Uniform};
use crate::sweep::space::{MOST, SearchSpace};
use crate::sweep::trial::Direction;

/// The kind of `hydra.sweeper.sampler`.
pub struct SamplerKind;

impl Kind for SamplerKind {
    type Built = SamplerPlan;
    const NAME: &'static str = "sampler";
    // Hydra's Optuna sweeper writes GridSampler as a partial.
    const PARTIAL: bool = true;
}

/// A sampler that still has to see the space.
pub struct SamplerPlan {
    /// What makes the numbers; 0 when not given.
    pub seed: Option<u64>,
    /// Makes the sampler.
    pub make: Box<dyn FnOnce(&SearchSpace, &[Direction]) -> Result<Box<dyn Sampler>>>,
}

impl SamplerPlan {
    /// A sampler that fits every space and one objective.
    pub fn single<S: Sampler + 'static>(seed: Option<u64>, name: &'static str, sampler: S) -> Self {
        let make = move |_: &SearchSpace, directions: &[Direction]| -> Result<Box<dyn Sampler>> {
            one_objective(name, directions)?;
            Ok(Box::new(sampler))
        };
        SamplerPlan { seed, make: Box::new(make) }
    }

    /// A sampler that fits every space and any number of objectives.
    pub fn any<S: Sampler + 'static>(seed: Option<u64>, sampler: S) -> Self {
        SamplerPlan { seed, make: Box::new(move |_, _| Ok(Box::new(sampler))) }
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
        let make = |space: &SearchSpace, _: &[Direction]| -> Result<Box<dyn Sampler>> {
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

pub(super) fn register(registry: &mut Registry) {
    registry.add::<RandomSampler>();
    registry.add::<GridSampler>();
}
