//! NSGA-II: a population that evolves toward the Pareto front (Deb, Pratap, Agarwal and Meyarivan, 2002), with
//! uniform crossover and mutation as in Optuna's `NSGAIISampler`.

use super::generations::Generations;
use super::random::from_unit;
use super::{Context, Sampler, Suggestion, draw};
use crate::error::Result;
use crate::sweep::pareto::{dominates, losses, ranks, violation};
use crate::sweep::random::Random;
use crate::sweep::search::feasible;
use crate::sweep::trial::{Direction, Params, Trial, TrialState};

/// NSGA-II.
#[derive(Clone, Debug)]
pub struct Nsga {
    /// How many trials a generation has.
    pub population_size: usize,
    /// How likely a parameter is drawn anew; one a trial when not given.
    pub mutation_prob: Option<f64>,
    /// How likely a trial has two parents.
    pub crossover_prob: f64,
    /// How likely a parameter comes from the second parent.
    pub swapping_prob: f64,
    /// The numbers of the parents of the current generation.
    parents: Vec<usize>,
    generations: Generations,
}

impl Nsga {
    /// An evolution that has not begun.
    pub fn new(population_size: usize, mutation_prob: Option<f64>, crossover_prob: f64, swapping_prob: f64) -> Self {
        let (parents, generations) = (Vec::new(), Generations::default());
        Nsga { population_size, mutation_prob, crossover_prob, swapping_prob, parents, generations }
    }
}

impl Sampler for Nsga {
    fn suggest(&mut self, context: &Context) -> Result<Suggestion> {
        if self.generations.is_stale(context) {
            (self.generations, self.parents) = (Generations::default(), Vec::new());
        }
        let size = self.population_size.max(2);
        let judged = |trial: &Trial| {
            trial.state == TrialState::Finished
                && trial.values.len() == context.directions.len()
                && !trial.values.iter().any(|value| value.is_nan())
        };
        let (mut generations, mut parents) = (std::mem::take(&mut self.generations), std::mem::take(&mut self.parents));
        let all = context.history.all();
        generations.follow(context, judged, size, |children| {
            let pool: Vec<&Trial> = parents.iter().map(|i| &all[*i]).chain(children.iter().copied()).collect();
            parents = survivors(&pool, context.directions, size);
            size
        });
        (self.generations, self.parents) = (generations, parents);
        let mut random = context.random();
        if self.generations.current() == 0 {
            return Ok(Suggestion::Params(feasible(context.space, || draw(context.space, &mut random))));
        }
        Ok(Suggestion::Params(feasible(context.space, || self.child(context, &mut random))))
    }
}

impl Nsga {
    fn child(&self, context: &Context, random: &mut Random) -> Params {
        let all = context.history.all();
        let one = &all[self.pick(context, random)].params;
        let crossed = random.uniform() < self.crossover_prob;
        let other = if crossed { &all[self.pick(context, random)].params } else { one };
        let mutation = self.mutation_prob.unwrap_or(1.0 / context.space.parameters.len().max(1) as f64);
        context.space.active(|parameter| {
            let (swap, mutate, unit) = (random.uniform(), random.uniform(), random.uniform());
            let inherited = if swap < self.swapping_prob { other } else { one }.get(&parameter.key);
            match inherited.or_else(|| one.get(&parameter.key)) {
                Some(value) if mutate >= mutation => *value,
                _ => from_unit(&parameter.domain, unit),
            }
        })
    }

    /// The better of two parents drawn at random.
    fn pick(&self, context: &Context, random: &mut Random) -> usize {
        let draw = |random: &mut Random| self.parents[random.below(self.parents.len())];
        let (a, b) = (draw(random), draw(random));
        let all = context.history.all();
        if beats(&all[b], &all[a], context.directions) { b } else { a }
    }
}

/// Whether a trial violates constraints less than another, or as little and dominates it (Deb's rule).
fn beats(a: &Trial, b: &Trial, directions: &[Direction]) -> bool {
    let (over_a, over_b) = (violation(a), violation(b));
    if over_a > 0.0 || over_b > 0.0 {
        return over_a < over_b;
    }
    dominates(&losses(a, directions), &losses(b, directions))
}

/// The numbers of the `size` best trials: by rank, and within a rank by distance to their neighbors. Trials that
/// violate a constraint come after all others, those with the smallest violation first.
fn survivors(pool: &[&Trial], directions: &[Direction], size: usize) -> Vec<usize> {
    let (kept, mut refused): (Vec<&Trial>, Vec<&Trial>) = pool.iter().partition(|trial| trial.is_feasible());
    refused.sort_by(|a, b| violation(a).total_cmp(&violation(b)));
    let points: Vec<Vec<f64>> = kept.iter().map(|trial| losses(trial, directions)).collect();
    let ranks = ranks(&points);
    let crowding = crowding(&points, &ranks);
    let mut order: Vec<usize> = (0..kept.len()).collect();
    order.sort_by(|&a, &b| ranks[a].cmp(&ranks[b]).then(crowding[b].total_cmp(&crowding[a])).then(a.cmp(&b)));
    let numbers = order.into_iter().map(|i| kept[i].number).chain(refused.iter().map(|trial| trial.number));
    numbers.take(size).collect()
}

/// How far each point is from its neighbors in its own front; the ends are infinitely far.
fn crowding(points: &[Vec<f64>], ranks: &[usize]) -> Vec<f64> {
    let mut distance = vec![0.0; points.len()];
    for rank in 0..=ranks.iter().copied().max().unwrap_or(0) {
        let mut front: Vec<usize> = (0..points.len()).filter(|i| ranks[*i] == rank).collect();
        let axes = front.first().map_or(0, |i| points[*i].len());
        (0..axes).for_each(|axis| add_distances(&mut distance, &mut front, |i| points[i][axis]));
    }
    distance
}

/// Adds how far the neighbors of each point of a front lie apart along one axis.
fn add_distances(distance: &mut [f64], front: &mut [usize], at: impl Fn(usize) -> f64) {
    front.sort_by(|&a, &b| at(a).total_cmp(&at(b)));
    let (Some(&first), Some(&last)) = (front.first(), front.last()) else { return };
    let width = at(last) - at(first);
    distance[first] = f64::INFINITY;
    distance[last] = f64::INFINITY;
    for window in front.windows(3).filter(|_| width > 0.0) {
        distance[window[1]] += (at(window[2]) - at(window[0])) / width;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sweep::pareto::{front, hypervolume};
    use crate::sweep::samplers::tests::{float, run, space};
    use crate::sweep::samplers::{Tpe, Uniform};

    /// ZDT1 in four dimensions: the front is f2 = 1 - √f1, with f1 in [0, 1].
    fn zdt1(params: &Params) -> Vec<f64> {
        let x: Vec<f64> = ["a", "b", "c", "d"].iter().map(|key| float(params, key)).collect();
        let g = 1.0 + 9.0 * (x[1] + x[2] + x[3]) / 3.0;
        vec![x[0], g * (1.0 - (x[0] / g).sqrt())]
    }

    #[test]
    fn the_front_is_approached() {
        let space = space(&["a=interval(0,1)", "b=interval(0,1)", "c=interval(0,1)", "d=interval(0,1)"]);
        let directions = [Direction::Minimize; 2];
        let volume = |sampler: &mut dyn Sampler| {
            let trials = run(sampler, &space, &directions, 300, 3, zdt1);
            let found: Vec<&[f64]> = front(&trials, &directions).iter().map(|trial| trial.values.as_slice()).collect();
            hypervolume(&found, &[2.0, 5.0])
        };
        let random = volume(&mut Uniform);
        let evolved = volume(&mut Nsga::new(20, None, 0.9, 0.5));
        let estimated = volume(&mut Tpe::default());
        assert!(evolved > random + 0.3 && estimated > random + 0.3, "{random} {evolved} {estimated}");
    }
}
