//! Parzen estimators: a mixture with one kernel an observation and one for the prior.
//!
//! Bergstra, Bardenet, Bengio and Kégl, *Algorithms for Hyper-Parameter Optimization*, 2011; the choice of bandwidths
//! and weights is that of Optuna 5 (`optuna/samplers/_tpe/parzen_estimator.py`).

use crate::sweep::random::Random;
use crate::sweep::samplers::normal;
use crate::sweep::space::Domain;

/// How an estimator is made.
#[derive(Clone, Copy, Debug)]
pub struct Shape {
    /// The weight of the prior, in observations.
    pub prior_weight: f64,
    /// Whether bandwidths have a lower bound that shrinks with the number of observations.
    pub magic_clip: bool,
    /// Whether the ends of a range count as neighbours of the outermost observations.
    pub endpoints: bool,
}

/// The mixture.
pub struct Parzen {
    weights: Vec<f64>,
    log_weights: Vec<f64>,
    marginals: Vec<Marginal>,
}

/// One parameter's part of every kernel.
enum Marginal {
    /// Log probabilities, kernel by choice.
    Choice(Vec<Vec<f64>>),
    /// Truncated normal distributions.
    Number {
        mu: Vec<f64>,
        sigma: Vec<f64>,
        /// The logarithm of each kernel's mass between the ends.
        log_mass: Vec<f64>,
        scale: Scale,
    },
}

/// The ends that a kernel is cut at, in the space where it is normal.
#[derive(Clone, Copy, Debug)]
struct Scale {
    low: f64,
    high: f64,
    log: bool,
    /// The distance between values and the first and last of them, where values are counted.
    grid: Option<(f64, f64, f64)>,
}

impl Scale {
    fn new(domain: &Domain) -> Self {
        let (low, high, log, step) = match domain {
            Domain::Float { low, high, log, step } => (*low, *high, *log, *step),
            Domain::Int { low, high, log, step } => (*low as f64, *high as f64, *log, Some(*step as f64)),
            Domain::Choice { values, .. } => (0.0, values.len() as f64 - 1.0, false, Some(1.0)),
        };
        let half = step.unwrap_or(0.0) / 2.0;
        let to = |value: f64| if log { value.ln() } else { value };
        Scale { low: to(low - half), high: to(high + half), log, grid: step.map(|step| (step, low, high)) }
    }

    fn forward(self, value: f64) -> f64 {
        if self.log { value.ln() } else { value }
    }

    fn backward(self, value: f64) -> f64 {
        let value = if self.log { value.exp() } else { value };
        match self.grid {
            Some((step, low, high)) => (low + ((value - low) / step).round() * step).clamp(low, high),
            None => value,
        }
    }
}

/// Weights of `n` observations, oldest first: the last 25 count fully, those before less the older they are.
pub fn weights_by_age(n: usize) -> Vec<f64> {
    let ramp = n.saturating_sub(25);
    let first = 1.0 / n.max(1) as f64;
    let step = (1.0 - first) / ramp.saturating_sub(1).max(1) as f64;
    (0..n).map(|i| if i < ramp { first + i as f64 * step } else { 1.0 }).collect()
}

impl Parzen {
    /// The estimator of `observations`, row by row in the order of `domains`, in their internal numbers.
    pub fn new(observations: &[Vec<f64>], weights: Vec<f64>, domains: &[&Domain], shape: Shape) -> Self {
        let mut weights = weights;
        weights.push(if observations.is_empty() { 1.0 } else { shape.prior_weight });
        let total: f64 = weights.iter().sum();
        weights.iter_mut().for_each(|weight| *weight /= total);
        let column = |i: usize| observations.iter().map(move |row| row[i]).collect::<Vec<f64>>();
        let marginals = domains.iter().enumerate().map(|(i, domain)| Marginal::new(&column(i), domain, shape));
        Parzen {
            log_weights: weights.iter().map(|weight| weight.ln()).collect(),
            marginals: marginals.collect(),
            weights,
        }
    }

    /// Draws one point.
    pub fn sample(&self, random: &mut Random) -> Vec<f64> {
        let kernel = random.weighted(&self.weights);
        self.marginals.iter().map(|marginal| marginal.sample(kernel, random)).collect()
    }

    /// The logarithm of the density (the probability, where values are counted) at a point.
    pub fn log_density(&self, point: &[f64]) -> f64 {
        let mut logs = self.log_weights.clone();
        for (marginal, value) in self.marginals.iter().zip(point) {
            marginal.add_log_density(*value, &mut logs);
        }
        let most = logs.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        if most == f64::NEG_INFINITY {
            return most;
        }
        most + logs.iter().map(|log| (log - most).exp()).sum::<f64>().ln()
    }
}

impl Marginal {
    fn new(observed: &[f64], domain: &Domain, shape: Shape) -> Self {
        match domain {
            Domain::Choice { values, ordered: false } => Marginal::choice(observed, values.len(), shape.prior_weight),
            _ => Marginal::number(observed, Scale::new(domain), shape),
        }
    }

    fn choice(observed: &[f64], choices: usize, prior_weight: f64) -> Self {
        let kernels = observed.len() + 1;
        let prior = if observed.is_empty() { 1.0 } else { prior_weight / kernels as f64 };
        let log_probabilities = |seen: Option<&f64>| {
            let mut row = vec![prior; choices];
            if let Some(place) = seen.and_then(|value| row.get_mut(*value as usize)) {
                *place += 1.0;
            }
            let sum: f64 = row.iter().sum();
            // Without a prior its kernel has no mass, and no weight either.
            row.iter().map(|share| (share / if sum > 0.0 { sum } else { 1.0 }).ln()).collect()
        };
        Marginal::Choice(observed.iter().map(Some).chain([None]).map(log_probabilities).collect())
    }

    fn number(observed: &[f64], scale: Scale, shape: Shape) -> Self {
        let width = scale.high - scale.low;
        let mut mu: Vec<f64> = observed.iter().map(|value| scale.forward(*value)).collect();
        let mut sigma = neighbours(&mu, scale.low, scale.high, shape.endpoints);
        let least = if shape.magic_clip { width / (2.0 + observed.len() as f64).min(100.0) } else { 1e-12 };
        sigma.iter_mut().for_each(|sigma| *sigma = sigma.clamp(least.min(width), width));
        mu.push(0.5 * (scale.low + scale.high));
        sigma.push(width);
        let mass = |(mu, sigma): (&f64, &f64)| normal::ln_between((scale.low - mu) / sigma, (scale.high - mu) / sigma);
        let log_mass = mu.iter().zip(&sigma).map(mass).collect();
        Marginal::Number { mu, sigma, log_mass, scale }
    }

    fn sample(&self, kernel: usize, random: &mut Random) -> f64 {
        match self {
            Marginal::Choice(rows) => {
                let shares: Vec<f64> = rows[kernel].iter().map(|log| log.exp()).collect();
                random.weighted(&shares) as f64
            }
            Marginal::Number { mu, sigma, scale, .. } => {
                let (mu, sigma) = (mu[kernel], sigma[kernel]);
                // The mean lies between the ends, so the inverse of the distribution is never in a far tail.
                let (from, to) = (normal::below((scale.low - mu) / sigma), normal::below((scale.high - mu) / sigma));
                let z = normal::quantile((from + random.uniform() * (to - from)).clamp(1e-300, 1.0 - 1e-16));
                scale.backward((mu + sigma * z).clamp(scale.low, scale.high))
            }
        }
    }

    /// Adds each kernel's log density at `value` to `logs`.
    fn add_log_density(&self, value: f64, logs: &mut [f64]) {
        match self {
            Marginal::Choice(rows) => {
                for (log, row) in logs.iter_mut().zip(rows) {
                    *log += row[value as usize];
                }
            }
            Marginal::Number { mu, sigma, log_mass, scale } => {
                let kernels = mu.iter().zip(sigma).zip(log_mass).zip(logs);
                if let Some((step, ..)) = scale.grid {
                    let (from, to) = (scale.forward(value - step / 2.0), scale.forward(value + step / 2.0));
                    for (((mu, sigma), mass), log) in kernels {
                        *log += normal::ln_between((from - mu) / sigma, (to - mu) / sigma) - mass;
                    }
                } else {
                    let x = scale.forward(value);
                    for (((mu, sigma), mass), log) in kernels {
                        let z = (x - mu) / sigma;
                        *log += -0.5 * z * z - normal::LN_SQRT_TAU - sigma.ln() - mass;
                    }
                }
            }
        }
    }
}

/// Each observation's distance to the farther of its two neighbours.
fn neighbours(mu: &[f64], low: f64, high: f64, endpoints: bool) -> Vec<f64> {
    let mut order: Vec<usize> = (0..mu.len()).collect();
    order.sort_by(|a, b| mu[*a].total_cmp(&mu[*b]));
    let sorted: Vec<f64> = [low].into_iter().chain(order.iter().map(|i| mu[*i])).chain([high]).collect();
    let mut sigma = vec![0.0; mu.len()];
    for (place, &i) in order.iter().enumerate() {
        let (left, right) = (sorted[place + 1] - sorted[place], sorted[place + 2] - sorted[place + 1]);
        let inner = !endpoints && mu.len() >= 2;
        sigma[i] = match place {
            0 if inner => right,
            _ if inner && place + 1 == mu.len() => left,
            _ => left.max(right),
        };
    }
    sigma
}

#[cfg(test)]
#[path = "parzen_tests.rs"]
mod tests;
