//! Independent uniform draws.

use super::{Context, Sampler, Suggestion};
use crate::error::Result;
use crate::sweep::random::Random;
use crate::sweep::search::feasible;
use crate::sweep::space::{Domain, SearchSpace};
use crate::sweep::trial::{ParamValue, Params};

/// Every parameter uniform over its domain, or over the logarithm where it says so.
pub struct Uniform;

impl Sampler for Uniform {
    fn suggest(&mut self, context: &Context) -> Result<Suggestion> {
        let mut random = context.random();
        Ok(Suggestion::Params(feasible(context.space, || draw(context.space, &mut random))))
    }

    fn learns(&self) -> bool {
        false
    }
}

/// One uniform draw of every parameter.
pub fn draw(space: &SearchSpace, random: &mut Random) -> Params {
    space.active(|parameter| from_unit(&parameter.domain, random.uniform()))
}

/// The value of a domain at `unit` in [0, 1): equal parts of the domain (or of its logarithm) for equal parts of the
/// unit. Counted values get half a step on either side.
pub fn from_unit(domain: &Domain, unit: f64) -> ParamValue {
    let counted = |count: u64| ((unit * count as f64) as u64).min(count.saturating_sub(1));
    match domain {
        Domain::Float { low, high, log: true, .. } => {
            let (from, to) = (low.ln(), high.ln());
            ParamValue::Float((from + unit * (to - from)).exp().clamp(*low, *high))
        }
        Domain::Float { low, high, step: None, .. } => {
            ParamValue::Float((low + unit * (high - low)).clamp(*low, *high))
        }
        Domain::Int { low, high, log: true, .. } => {
            let (from, to) = ((*low as f64 - 0.5).ln(), (*high as f64 + 0.5).ln());
            ParamValue::Int(((from + unit * (to - from)).exp().round() as i64).clamp(*low, *high))
        }
        countable => countable.nth(counted(countable.count().unwrap_or(1))),
    }
}
