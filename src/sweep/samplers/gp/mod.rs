//! Bayesian optimization with a Gaussian process and expected improvement, over numbers and choices.

mod acquire;
mod surrogate;
mod warp;

use super::quasi::{LatinHypercube, sobol};
use super::random::{from_unit, to_unit};
use super::{Context, Sampler, Suggestion, draw};
use crate::error::Result;
use crate::sweep::search::feasible;
use crate::sweep::space::{Domain, Parameter, SearchSpace};
use crate::sweep::trial::{ParamValue, Params, Trial};

use acquire::Acquisition;
use surrogate::{Axis, Surrogate};
use warp::{standardized, warp};

/// How many points of Sobol's sequence are looked at before the best of them are climbed from.
const CANDIDATES: u64 = 1024;

/// How many points near the best trials are looked at.
const NEAR: usize = 256;

/// From how many points the climb begins.
const CLIMBS: usize = 8;

/// Numbers with at most so many values are tried one by one.
const FEW: u64 = 24;

/// A Gaussian process.
pub struct GaussianProcess {
    /// How many trials are spread evenly before it learns.
    pub n_startup_trials: usize,
    /// Whether equal trials have equal results.
    pub deterministic: bool,
}

/// The coordinates in which trials are compared: a number in [0, 1], or which of the choices.
struct Coordinates<'a> {
    parameters: Vec<&'a Parameter>,
    axes: Vec<Axis>,
    /// The values of coordinates that are tried one by one.
    listed: Vec<Option<Vec<f64>>>,
}

impl<'a> Coordinates<'a> {
    fn new(space: &'a SearchSpace) -> Self {
        let parameters: Vec<&Parameter> =
            space.parameters.values().filter(|parameter| parameter.domain.count() != Some(1)).collect();
        let is_choice = |parameter: &&Parameter| parameter.domain.is_choice();
        let axes = parameters.iter().map(|p| if is_choice(p) { Axis::Choice } else { Axis::Number }).collect();
        let listed = parameters.iter().map(|parameter| {
            let count = parameter.domain.count()?;
            let all = || (0..count).map(|i| Self::coordinate(parameter, parameter.domain.nth(i)));
            (is_choice(parameter) || count <= FEW).then(|| all().collect())
        });
        let listed = listed.collect();
        Coordinates { parameters, axes, listed }
    }

    fn coordinate(parameter: &Parameter, value: ParamValue) -> f64 {
        if parameter.domain.is_choice() { value.internal() } else { to_unit(&parameter.domain, value) }
    }

    fn point(&self, params: &Params) -> Vec<f64> {
        let at = |parameter: &&Parameter| match params.get(&parameter.key) {
            Some(value) => Self::coordinate(parameter, *value),
            // Where a parameter does not matter all trials are alike in it.
            None if parameter.domain.is_choice() => -1.0,
            None => 0.5,
        };
        self.parameters.iter().map(at).collect()
    }

    fn params(&self, space: &SearchSpace, point: &[f64]) -> Params {
        space.active(|parameter| match self.parameters.iter().position(|other| other.key == parameter.key) {
            Some(d) => value_at(&parameter.domain, point[d]),
            None => from_unit(&parameter.domain, 0.5),
        })
    }

    /// The point where the trial really lies: counted values are rounded, what does not matter is left out.
    fn settled(&self, space: &SearchSpace, point: &[f64]) -> Vec<f64> {
        self.point(&self.params(space, point))
    }
}

fn value_at(domain: &Domain, coordinate: f64) -> ParamValue {
    match domain {
        Domain::Choice { values, ordered: false } => {
            ParamValue::Choice((coordinate.max(0.0) as usize).min(values.len().saturating_sub(1)))
        }
        domain => from_unit(domain, coordinate),
    }
}

impl Sampler for GaussianProcess {
    fn suggest(&mut self, context: &Context) -> Result<Suggestion> {
        let space = context.space;
        let direction = context.directions.first().copied().unwrap_or_default();
        let finished: Vec<&Trial> = context.history.finished().collect();
        let coordinates = Coordinates::new(space);
        if finished.len() < self.n_startup_trials.max(2) || context.attempt > 0 || coordinates.axes.is_empty() {
            return Ok(Suggestion::Params(self.spread(context)));
        }
        let points: Vec<Vec<f64>> = finished.iter().map(|trial| coordinates.point(&trial.params)).collect();
        let losses: Vec<f64> = finished.iter().map(|trial| direction.loss(trial.values[0])).collect();
        let y = warp(&losses);
        let Some(fitted) = Surrogate::fit(&coordinates.axes, &points, &y, self.deterministic) else {
            return Ok(Suggestion::Params(self.spread(context)));
        };
        let pending: Vec<Vec<f64>> = context.history.pending().map(|trial| coordinates.point(&trial.params)).collect();
        let objective =
            if pending.is_empty() { None } else { fitted.believing(&y, &pending) }.unwrap_or_else(|| fitted.clone());
        let constraints = constraints(&finished, &points, &coordinates.axes);
        // Results are noisy: what has to be improved on is what is expected at the best trial.
        let feasible_points = finished.iter().zip(&points).filter(|(trial, _)| trial.is_feasible());
        let best = feasible_points.map(|(_, point)| fitted.mean(point)).reduce(f64::min);
        let acquisition = Acquisition { objective: &objective, best, constraints: &constraints };

        let taken: Vec<&Vec<f64>> = points.iter().chain(&pending).collect();
        let candidates = self.candidates(context, &coordinates, &points, &y);
        let mut scored: Vec<(f64, Vec<f64>)> =
            candidates.into_iter().map(|point| (acquisition.value(&point), point)).collect();
        scored.sort_by(|a, b| b.0.total_cmp(&a.0));
        let climbed = scored.iter().take(CLIMBS).map(|(_, point)| {
            let (point, _) = acquisition.climb(point.clone(), &coordinates.axes, &coordinates.listed);
            let point = coordinates.settled(space, &point);
            (acquisition.value(&point), point)
        });
        let mut ranked: Vec<(f64, Vec<f64>)> = climbed.collect();
        ranked.extend(scored.iter().cloned());
        ranked.sort_by(|a, b| b.0.total_cmp(&a.0));
        // What has been tried, or is being tried, teaches little; what breaks a constraint may not be.
        let is_new = |point: &Vec<f64>| !taken.contains(&point);
        let allowed = |point: &Vec<f64>| space.violated(&coordinates.params(space, point)).is_none();
        let chosen = ranked.iter().map(|(_, point)| point).find(|point| is_new(point) && allowed(point));
        let chosen = chosen.or_else(|| ranked.iter().map(|(_, point)| point).find(|point| allowed(point)));
        Ok(Suggestion::Params(match chosen {
            Some(point) => coordinates.params(space, point),
            None => self.spread(context),
        }))
    }
}

impl GaussianProcess {
    /// A point of a Latin hypercube; when it breaks a constraint, one drawn at random.
    fn spread(&self, context: &Context) -> Params {
        let space = context.space;
        let even = LatinHypercube { points: self.n_startup_trials.max(2) }.point(context);
        if space.violated(&even).is_none() {
            return even;
        }
        let mut random = context.random();
        feasible(space, || draw(space, &mut random))
    }

    /// Points to look at first: spread evenly, and near the best trials.
    fn candidates(
        &self,
        context: &Context,
        coordinates: &Coordinates,
        points: &[Vec<f64>],
        y: &[f64],
    ) -> Vec<Vec<f64>> {
        let mut random = context.random();
        let seed = random.next_u64();
        let even = (0..CANDIDATES).map(|i| {
            let unit = |(d, parameter): (usize, &&Parameter)| drawn(parameter, sobol(i, d, seed));
            coordinates.parameters.iter().enumerate().map(unit).collect::<Vec<f64>>()
        });
        let mut all: Vec<Vec<f64>> = even.map(|point| coordinates.settled(context.space, &point)).collect();
        let mut order: Vec<usize> = (0..points.len()).collect();
        order.sort_by(|&a, &b| y[a].total_cmp(&y[b]));
        order.truncate(5);
        for i in 0..NEAR {
            let mut point = points[order[i % order.len()]].clone();
            let reach = 0.2 * 0.5f64.powi((i % 6) as i32);
            for (d, parameter) in coordinates.parameters.iter().enumerate() {
                let (turn, step, unit) = (random.uniform(), random.normal(), random.uniform());
                if coordinates.axes[d] == Axis::Number {
                    point[d] = (point[d] + reach * step).clamp(0.0, 1.0);
                } else if turn < 0.2 {
                    point[d] = drawn(parameter, unit);
                }
            }
            all.push(coordinates.settled(context.space, &point));
        }
        all
    }
}

/// A parameter's coordinate from a number in [0, 1).
fn drawn(parameter: &Parameter, unit: f64) -> f64 {
    Coordinates::coordinate(parameter, from_unit(&parameter.domain, unit))
}

/// A process for each constraint on results that some trial has violated.
fn constraints(finished: &[&Trial], points: &[Vec<f64>], axes: &[Axis]) -> Vec<(Surrogate, f64)> {
    let count = finished.iter().map(|trial| trial.constraints.len()).min().unwrap_or(0);
    let fit = |i: usize| {
        let violations: Vec<f64> = finished.iter().map(|trial| trial.constraints[i]).collect();
        if violations.iter().all(|violation| *violation <= 0.0) {
            return None;
        }
        // Violations can be infinite: where a metric is missing. The bound, 0, is scaled along.
        let most = violations.iter().copied().filter(|v| v.is_finite()).fold(1.0, f64::max);
        let mut bounded: Vec<f64> = violations.iter().map(|v| v.clamp(-1e300, most)).collect();
        bounded.push(0.0);
        let mut scaled = standardized(&bounded);
        let bound = scaled.pop()?;
        Surrogate::fit(axes, points, &scaled, false).map(|process| (process, bound))
    };
    (0..count).filter_map(fit).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sweep::samplers::tests::{float, run, space};
    use crate::sweep::trial::Direction;

    #[test]
    fn numbers_and_choices_are_found_together() {
        let space = space(&["lr=tag(log,interval(1e-5,1))", "n=range(1,9)", "act=choice(a,b,c)"]);
        let loss = |params: &Params| {
            let act = float(params, "act");
            let n = float(params, "n");
            vec![(float(params, "lr").log10() + 2.0).powi(2) + (n - 6.0).abs() + if act == 1.0 { 0.0 } else { 2.0 }]
        };
        let trials = run(
            &mut GaussianProcess { n_startup_trials: 8, deterministic: true },
            &space,
            &[Direction::Minimize],
            30,
            1,
            loss,
        );
        let best = trials.iter().map(|trial| trial.values[0]).fold(f64::INFINITY, f64::min);
        assert!(best < 0.02, "{best}");
    }
}
