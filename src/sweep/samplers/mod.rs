//! Samplers: what proposes the next trial. Each is a function of the seed, the trial's number and the trials before
//! it; what it keeps between calls only saves time.

mod cmaes;
mod generations;
mod gp;
mod grid;
mod linear;
mod minimize;
mod normal;
mod nsga;
mod quasi;
mod random;
#[cfg(test)]
pub(super) mod tests;
mod tpe;

use super::random::Random;
use super::space::SearchSpace;
use super::trial::{Direction, History, Params};
use crate::error::Result;

pub use cmaes::{CmaEs, CmaEsOptions};
pub use gp::GaussianProcess;
pub use grid::Grid;
pub use nsga::Nsga;
pub use quasi::{LatinHypercube, Sobol};
pub use random::{Uniform, draw, from_unit};
pub use tpe::{Shape, Tpe};

/// What a sampler is asked.
#[derive(Clone, Copy)]
pub struct Context<'a> {
    /// What to search over.
    pub space: &'a SearchSpace,
    /// The trials before this one.
    pub history: History<'a>,
    /// The trial's number.
    pub number: usize,
    /// How many proposals for this trial have violated a constraint.
    pub attempt: u64,
    /// The search's seed.
    pub seed: u64,
    /// Whether less or more is better, one an objective.
    pub directions: &'a [Direction],
}

impl Context<'_> {
    /// The random numbers of this trial.
    pub fn random(&self) -> Random {
        Random::new(self.seed, &[self.number as u64, self.attempt])
    }
}

/// What a sampler answers.
#[derive(Clone, Debug)]
pub enum Suggestion {
    /// A trial with these parameters.
    Params(Params),
    /// Nothing any more; with the reason when it is not that everything has been tried.
    Done(Option<String>),
}

/// What proposes trials.
pub trait Sampler: Send {
    /// The next trial.
    fn suggest(&mut self, context: &Context) -> Result<Suggestion>;

    /// Whether proposals depend on results.
    fn learns(&self) -> bool {
        true
    }

    /// How many trials it makes, where that is settled.
    fn total(&self, _: &SearchSpace) -> Option<usize> {
        None
    }
}
