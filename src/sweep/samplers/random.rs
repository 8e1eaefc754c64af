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

/// The inverse of [`from_unit`]: where a value lies in [0, 1]; counted values in the middle of their part.
pub fn to_unit(domain: &Domain, value: ParamValue) -> f64 {
    let value = value.internal();
    let share = |from: f64, to: f64, at: f64| if to > from { ((at - from) / (to - from)).clamp(0.0, 1.0) } else { 0.5 };
    match domain {
        Domain::Float { low, high, log: true, .. } => share(low.ln(), high.ln(), value.ln()),
        Domain::Float { low, high, step: None, .. } => share(*low, *high, value),
        Domain::Float { low, step: Some(step), .. } => {
            share(-0.5, domain.count().unwrap_or(1) as f64 - 0.5, (value - low) / step)
        }
        Domain::Int { low, high, log: true, .. } => {
            share((*low as f64 - 0.5).ln(), (*high as f64 + 0.5).ln(), value.ln())
        }
        Domain::Int { low, step, .. } => {
            share(-0.5, domain.count().unwrap_or(1) as f64 - 0.5, (value - *low as f64) / *step as f64)
        }
        Domain::Choice { values, .. } => share(-0.5, values.len() as f64 - 0.5, value),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sweep::samplers::tests::space;

    #[test]
    fn units_and_values_are_inverse() {
        let space = space(&[
            "a=interval(-3,5)",
            "b=tag(log,interval(1e-5,1))",
            "c=range(1,9,2)",
            "d=tag(log,int(interval(1,512)))",
            "e=choice(x,y,z)",
            "f=range(0.0,1.0,0.25)",
        ]);
        for parameter in space.parameters.values() {
            for i in 0..50 {
                let value = from_unit(&parameter.domain, f64::from(i) / 50.0);
                assert!(parameter.domain.contains(value), "{} {value:?}", parameter.key);
                let again = from_unit(&parameter.domain, to_unit(&parameter.domain, value));
                assert!((again.internal() - value.internal()).abs() < 1e-9, "{} {value:?} {again:?}", parameter.key);
            }
        }
    }
}
