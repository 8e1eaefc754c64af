//! A Gaussian process: Matérn 5/2 over a weighted distance, with a weight a parameter, fitted by maximum a posteriori.
//!
//! Rasmussen and Williams, *Gaussian Processes for Machine Learning*, 2006, chapters 2 and 5, and 2.7 for the level;
//! the priors of the kernel are those of Optuna's `GPSampler`.

use crate::sweep::samplers::linear::{Cholesky, dot};
use crate::sweep::samplers::minimize::minimize;

/// The least variance of noise, of results with a variance of 1.
const LEAST_NOISE: f64 = 1e-6;

/// The logarithms of the kernel's parameters lie within this of 0.
const REACH: f64 = 20.0;

/// The level of a process far from all points: normal around 0 with a variance of 1 and thus known with the kernel. A
/// search looks closely where results are good, so that their average says little of what lies elsewhere.
fn level(factor: &Cholesky, y: &[f64]) -> f64 {
    let ones = factor.solve(&vec![1.0; y.len()]);
    dot(&ones, y) / (ones.iter().sum::<f64>() + 1.0)
}

/// How two points differ in one coordinate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Axis {
    /// By the square of the difference.
    Number,
    /// By being different.
    Choice,
}

/// The square of the distance in one coordinate.
fn square(axis: Axis, a: f64, b: f64) -> f64 {
    match axis {
        Axis::Number => (a - b) * (a - b),
        Axis::Choice => f64::from(u8::from(a != b)),
    }
}

/// The kernel's parameters: inverse squared length scales, variance, noise.
#[derive(Clone, Debug, PartialEq)]
pub struct Kernel {
    /// The weight of each coordinate in the squared distance.
    pub weights: Vec<f64>,
    /// The variance of the function.
    pub variance: f64,
    /// The variance of the noise.
    pub noise: f64,
}

impl Kernel {
    /// Before anything is known.
    fn new(axes: usize, weight: f64) -> Self {
        Kernel { weights: vec![weight; axes], variance: 1.0, noise: 1e-2 }
    }

    fn logarithms(&self, deterministic: bool) -> Vec<f64> {
        let noise = (!deterministic).then_some((self.noise - LEAST_NOISE).max(1e-9));
        self.weights.iter().copied().chain([self.variance]).chain(noise).map(f64::ln).collect()
    }

    fn of_logarithms(p: &[f64], axes: usize) -> Self {
        let noise = p.get(axes + 1).map_or(0.0, |p| p.exp()) + LEAST_NOISE;
        Kernel { weights: p[..axes].iter().map(|p| p.exp()).collect(), variance: p[axes].exp(), noise }
    }
}

/// Matérn 5/2 of a squared distance, and its derivative by it; both for a variance of 1.
fn matern(squared: f64) -> (f64, f64) {
    let u = (5.0 * squared).sqrt();
    let decay = (-u).exp();
    ((1.0 + u + u * u / 3.0) * decay, -5.0 / 6.0 * (1.0 + u) * decay)
}

/// A process that has seen some points.
#[derive(Clone, Debug)]
pub struct Surrogate {
    axes: Vec<Axis>,
    points: Vec<Vec<f64>>,
    /// The kernel.
    pub kernel: Kernel,
    factor: Cholesky,
    level: f64,
    alpha: Vec<f64>,
}

/// What is expected at a point, with the gradients of both.
#[derive(Clone, Debug)]
pub struct Prediction {
    /// The mean.
    pub mean: f64,
    /// The deviation, without noise.
    pub deviation: f64,
    /// The mean's gradient.
    pub mean_slope: Vec<f64>,
    /// The deviation's gradient.
    pub deviation_slope: Vec<f64>,
}

impl Surrogate {
    /// Fits a process to points and results (mean 0, variance 1): from a smooth start and from a rugged one, of which
    /// the likelier end is taken. Nothing is kept from fit to fit: a resumed search comes to the same numbers.
    pub fn fit(axes: &[Axis], points: &[Vec<f64>], y: &[f64], deterministic: bool) -> Option<Self> {
        let pairs = Pairs::new(axes, points);
        let loss = |p: &[f64]| pairs.loss(p, y, axes.len());
        let starts = [1.0, 16.0].map(|weight| Kernel::new(axes.len(), weight).logarithms(deterministic));
        let found = starts.into_iter().map(|start| minimize(loss, start, -REACH, REACH, 50));
        let best = found.filter(|(_, value)| value.is_finite()).min_by(|a, b| a.1.total_cmp(&b.1));
        let kernel = best.map_or(Kernel::new(axes.len(), 1.0), |(p, _)| Kernel::of_logarithms(&p, axes.len()));
        Self::with(axes, points.to_vec(), y, kernel)
    }

    /// A process with a known kernel.
    pub fn with(axes: &[Axis], points: Vec<Vec<f64>>, y: &[f64], kernel: Kernel) -> Option<Self> {
        let n = points.len();
        let mut matrix = vec![0.0; n * n];
        for i in 0..n {
            for j in 0..=i {
                let squared: f64 =
                    (0..axes.len()).map(|d| kernel.weights[d] * square(axes[d], points[i][d], points[j][d])).sum();
                matrix[i * n + j] = kernel.variance * matern(squared).0;
            }
            matrix[i * n + i] += kernel.noise;
        }
        let factor = Cholesky::of(matrix, n)?;
        let level = level(&factor, y);
        let alpha = factor.solve(&y.iter().map(|y| y - level).collect::<Vec<_>>());
        Some(Surrogate { axes: axes.to_vec(), points, kernel, factor, level, alpha })
    }

    /// The same with further points whose results are taken to be what is expected there (Ginsbourger's "kriging
    /// believer"), for trials that still run.
    pub fn believing(&self, y: &[f64], further: &[Vec<f64>]) -> Option<Self> {
        let mut results = y.to_vec();
        results.extend(further.iter().map(|point| self.mean(point)));
        let points = self.points.iter().chain(further).cloned().collect();
        Self::with(&self.axes, points, &results, self.kernel.clone())
    }

    fn squared(&self, a: &[f64], b: &[f64]) -> f64 {
        self.axes
            .iter()
            .zip(&self.kernel.weights)
            .zip(a.iter().zip(b))
            .map(|((x, w), (a, b))| w * square(*x, *a, *b))
            .sum()
    }

    fn covariances(&self, x: &[f64]) -> Vec<f64> {
        self.points.iter().map(|point| self.kernel.variance * matern(self.squared(x, point)).0).collect()
    }

    /// What is expected at `x`.
    pub fn mean(&self, x: &[f64]) -> f64 {
        self.level + dot(&self.covariances(x), &self.alpha)
    }

    /// What is expected at `x`, and how far off it may be.
    pub fn predict(&self, x: &[f64]) -> (f64, f64) {
        let k = self.covariances(x);
        let v = self.factor.forward(&k);
        (self.level + dot(&k, &self.alpha), (self.kernel.variance - dot(&v, &v)).max(1e-12).sqrt())
    }

    /// As [`Surrogate::predict`], with gradients; those of choices are 0.
    pub fn predict_with_slopes(&self, x: &[f64]) -> Prediction {
        let n = self.axes.len();
        let parts: Vec<(f64, f64)> = self.points.iter().map(|point| matern(self.squared(x, point))).collect();
        let k: Vec<f64> = parts.iter().map(|(k, _)| self.kernel.variance * k).collect();
        let v = self.factor.forward(&k);
        let deviation = (self.kernel.variance - dot(&v, &v)).max(1e-12).sqrt();
        let w = self.factor.backward(v);
        let (mut mean_slope, mut deviation_slope) = (vec![0.0; n], vec![0.0; n]);
        for (i, (_, derivative)) in parts.iter().enumerate() {
            for d in (0..n).filter(|d| self.axes[*d] == Axis::Number) {
                let by_x =
                    self.kernel.variance * derivative * 2.0 * self.kernel.weights[d] * (x[d] - self.points[i][d]);
                mean_slope[d] += by_x * self.alpha[i];
                deviation_slope[d] -= by_x * w[i] / deviation;
            }
        }
        Prediction { mean: self.level + dot(&k, &self.alpha), deviation, mean_slope, deviation_slope }
    }
}

/// The squared distances between all points, coordinate by coordinate.
struct Pairs {
    n: usize,
    /// For each coordinate, pairs `i > j` in order.
    squares: Vec<Vec<f64>>,
}

impl Pairs {
    fn new(axes: &[Axis], points: &[Vec<f64>]) -> Self {
        let n = points.len();
        let of = |d: usize| {
            (0..n)
                .flat_map(|i| (0..i).map(move |j| (i, j)))
                .map(|(i, j)| square(axes[d], points[i][d], points[j][d]))
                .collect()
        };
        Pairs { n, squares: (0..axes.len()).map(of).collect() }
    }

    /// The negative logarithm of the posterior of the kernel's parameters (logarithms of weights, variance and, when
    /// there is any, noise), and its gradient.
    fn loss(&self, p: &[f64], y: &[f64], axes: usize) -> (f64, Vec<f64>) {
        let (n, count) = (self.n, self.n * self.n.saturating_sub(1) / 2);
        let kernel = Kernel::of_logarithms(p, axes);
        let mut squared = vec![0.0; count];
        for (weight, squares) in kernel.weights.iter().zip(&self.squares) {
            squared.iter_mut().zip(squares).for_each(|(sum, square)| *sum += weight * square);
        }
        let parts: Vec<(f64, f64)> = squared.iter().map(|squared| matern(*squared)).collect();
        let mut matrix = vec![0.0; n * n];
        let mut pair = 0;
        for i in 0..n {
            for j in 0..i {
                matrix[i * n + j] = kernel.variance * parts[pair].0;
                pair += 1;
            }
            matrix[i * n + i] = kernel.variance + kernel.noise;
        }
        let Some(factor) = Cholesky::of(matrix, n) else { return (f64::INFINITY, vec![0.0; p.len()]) };
        // The likeliest level: a small change of it changes nothing, so that the gradient is that of a known one.
        let level = level(&factor, y);
        let y: Vec<f64> = y.iter().map(|y| y - level).collect();
        let alpha = factor.solve(&y);
        let inverse = factor.inverse();
        let mut value = 0.5 * (dot(&y, &alpha) + level * level) + factor.half_log_determinant();
        // 2 dL/dK, off the diagonal and on it.
        let mut by_weight = vec![0.0; count];
        let (mut by_variance, mut trace) = (0.0, 0.0);
        pair = 0;
        for i in 0..n {
            for j in 0..i {
                let by_entry = inverse[i * n + j] - alpha[i] * alpha[j];
                by_variance += 2.0 * by_entry * kernel.variance * parts[pair].0;
                by_weight[pair] = by_entry * kernel.variance * parts[pair].1;
                pair += 1;
            }
            trace += inverse[i * n + i] - alpha[i] * alpha[i];
        }
        by_variance += trace * kernel.variance;
        let mut gradient: Vec<f64> = kernel
            .weights
            .iter()
            .zip(&self.squares)
            .map(|(weight, squares)| weight * dot(&by_weight, squares))
            .collect();
        gradient.push(0.5 * by_variance);

        // The priors: weights neither very small nor very large, variance Gamma(2, 1), noise Gamma(1.1, 30).
        for (slope, weight) in gradient.iter_mut().zip(&kernel.weights) {
            value += 0.1 / weight + 0.1 * weight;
            *slope += 0.1 * weight - 0.1 / weight;
        }
        value -= kernel.variance.ln() - kernel.variance;
        gradient[axes] -= 1.0 - kernel.variance;
        if p.len() > axes + 1 {
            let own = kernel.noise - LEAST_NOISE;
            value -= 0.1 * kernel.noise.ln() - 30.0 * kernel.noise;
            gradient.push(own * (0.5 * trace - 0.1 / kernel.noise + 30.0));
        }
        (value, gradient)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sweep::random::Random;

    fn points(n: usize) -> (Vec<Vec<f64>>, Vec<f64>) {
        let mut random = Random::new(3, &[]);
        let points: Vec<Vec<f64>> =
            (0..n).map(|_| vec![random.uniform(), random.uniform(), random.below(3) as f64]).collect();
        let y = points.iter().map(|x| (6.0 * x[0]).sin() + 0.1 * x[1] + 0.5 * f64::from(u8::from(x[2] == 1.0)));
        let y = y.collect();
        (points, y)
    }

    const AXES: [Axis; 3] = [Axis::Number, Axis::Number, Axis::Choice];

    #[test]
    fn the_gradients_are_those_of_differences() {
        let (points, y) = points(12);
        let pairs = Pairs::new(&AXES, &points);
        let p = [0.3, -0.8, 0.1, 0.4, -3.0];
        let (_, gradient) = pairs.loss(&p, &y, 3);
        for i in 0..p.len() {
            let at = |step: f64| {
                let mut moved = p;
                moved[i] += step;
                pairs.loss(&moved, &y, 3).0
            };
            let difference = (at(1e-5) - at(-1e-5)) / 2e-5;
            assert!(
                (gradient[i] - difference).abs() < 1e-5 * (1.0 + difference.abs()),
                "{i}: {} {difference}",
                gradient[i]
            );
        }
        let process = Surrogate::with(&AXES, points, &y, Kernel::of_logarithms(&p, 3)).unwrap();
        let x = [0.4, 0.6, 1.0];
        let slopes = process.predict_with_slopes(&x);
        for d in 0..2 {
            let at = |step: f64| {
                let mut moved = x;
                moved[d] += step;
                process.predict(&moved)
            };
            let (more, less) = (at(1e-5), at(-1e-5));
            assert!((slopes.mean_slope[d] - (more.0 - less.0) / 2e-5).abs() < 1e-6);
            assert!((slopes.deviation_slope[d] - (more.1 - less.1) / 2e-5).abs() < 1e-6);
        }
    }

    #[test]
    fn a_fit_interpolates_and_knows_what_matters() {
        let (points, y) = points(40);
        let process = Surrogate::fit(&AXES, &points, &y, true).unwrap();
        let (mean, deviation) = process.predict(&[0.25, 0.5, 1.0]);
        assert!((mean - (1.5f64.sin() + 0.55)).abs() < 0.05 && deviation < 0.2, "{mean} {deviation}");
        assert!(process.kernel.weights[0] > 10.0 * process.kernel.weights[1], "{:?}", process.kernel);
        let again = process.believing(&y, &[vec![0.9, 0.9, 2.0]]).unwrap();
        assert!((again.mean(&[0.9, 0.9, 2.0]) - process.mean(&[0.9, 0.9, 2.0])).abs() < 1e-3);
    }
}
