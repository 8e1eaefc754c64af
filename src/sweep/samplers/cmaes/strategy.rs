//! The evolution strategy itself, in the unit cube: Hansen, *The CMA Evolution Strategy: A Tutorial* (2016), with
//! active (negative) weights. The letters are the tutorial's.

use crate::sweep::random::Random;
use crate::sweep::samplers::linear::{dot, eigen};

/// How often a point outside the cube is drawn again before it is put onto the cube's face.
const REDRAWS: usize = 100;

/// One evolution.
#[derive(Clone, Debug)]
pub struct Strategy {
    n: usize,
    /// λ, the size of a generation.
    pub size: usize,
    weights: Vec<f64>,
    mu_eff: f64,
    c_sigma: f64,
    d_sigma: f64,
    c_c: f64,
    c_1: f64,
    c_mu: f64,
    mean: Vec<f64>,
    sigma: f64,
    path_sigma: Vec<f64>,
    path_c: Vec<f64>,
    covariance: Vec<Vec<f64>>,
    /// Square roots of the covariance's eigenvalues, and the vectors.
    axes: (Vec<f64>, Vec<Vec<f64>>),
    generation: usize,
    /// Whether only the diagonal of the covariance is learned.
    diagonal: bool,
}

impl Strategy {
    /// A strategy that starts from `mean` with deviation `sigma`; `size` trials a generation, by default 4 + 3 ln n.
    pub fn new(mean: Vec<f64>, sigma: f64, size: Option<usize>, diagonal: bool) -> Self {
        let n = mean.len();
        let dim = n as f64;
        let size = size.unwrap_or(4 + (3.0 * dim.ln()).floor() as usize).max(4);
        let raw: Vec<f64> = (1..=size).map(|i| ((size as f64 + 1.0) / 2.0).ln() - (i as f64).ln()).collect();
        let (better, worse) = raw.split_at(size / 2);
        let effective = |w: &[f64]| w.iter().sum::<f64>().powi(2) / w.iter().map(|w| w * w).sum::<f64>();
        let (mu_eff, mu_eff_minus) = (effective(better), effective(worse));
        let c_1 = 2.0 / ((dim + 1.3).powi(2) + mu_eff);
        let c_mu = (2.0 * (0.25 + mu_eff + 1.0 / mu_eff - 2.0) / ((dim + 2.0).powi(2) + mu_eff)).min(1.0 - c_1 - 1e-8);
        // Learning only the diagonal may be faster (Ros and Hansen, 2008).
        let faster = if diagonal { (dim + 2.0) / 3.0 } else { 1.0 };
        let (c_1, c_mu) = (c_1 * faster, (c_mu * faster).min(1.0 - c_1 * faster - 1e-8));
        let most =
            (1.0 + c_1 / c_mu).min(1.0 + 2.0 * mu_eff_minus / (mu_eff + 2.0)).min((1.0 - c_1 - c_mu) / (dim * c_mu));
        let above: f64 = raw.iter().filter(|w| **w > 0.0).sum();
        let below: f64 = -raw.iter().filter(|w| **w < 0.0).sum::<f64>();
        let weights = raw.iter().map(|w| if *w >= 0.0 { w / above } else { w * most / below }).collect();
        let c_sigma = (mu_eff + 2.0) / (dim + mu_eff + 5.0);
        let identity: Vec<Vec<f64>> = (0..n).map(|i| (0..n).map(|j| f64::from(u8::from(i == j))).collect()).collect();
        Strategy {
            n,
            size,
            weights,
            mu_eff,
            c_sigma,
            d_sigma: 1.0 + 2.0 * (((mu_eff - 1.0) / (dim + 1.0)).sqrt() - 1.0).max(0.0) + c_sigma,
            c_c: (4.0 + mu_eff / dim) / (dim + 4.0 + 2.0 * mu_eff / dim),
            c_1,
            c_mu,
            mean,
            sigma,
            path_sigma: vec![0.0; n],
            path_c: vec![0.0; n],
            axes: (vec![1.0; n], identity.clone()),
            covariance: identity,
            generation: 0,
            diagonal,
        }
    }

    /// A point of the current generation, in the unit cube.
    pub fn sample(&self, random: &mut Random) -> Vec<f64> {
        let inside = |x: &[f64]| x.iter().all(|x| (0.0..=1.0).contains(x));
        let mut x = self.draw(random);
        for _ in 0..REDRAWS {
            if inside(&x) {
                break;
            }
            x = self.draw(random);
        }
        x.iter_mut().for_each(|x| *x = x.clamp(0.0, 1.0));
        x
    }

    fn draw(&self, random: &mut Random) -> Vec<f64> {
        let mut x = self.mean.clone();
        for (deviation, axis) in self.axes.0.iter().zip(&self.axes.1) {
            let z = self.sigma * deviation * random.normal();
            x.iter_mut().zip(axis).for_each(|(x, a)| *x += z * a);
        }
        x
    }

    /// Where points are expected.
    pub fn mean(&self) -> &[f64] {
        &self.mean
    }

    /// Whether it has closed in on one point or lost its shape, so that nothing new will come of it.
    pub fn is_over(&self) -> bool {
        let (least, most) =
            self.axes.0.iter().fold((f64::INFINITY, 0.0f64), |(least, most), d| (least.min(*d), most.max(*d)));
        let flat = self.sigma * most < 1e-10;
        flat || most > 1e7 * least || !self.sigma.is_finite()
    }

    /// Learns from a generation, best first.
    pub fn learn(&mut self, points: &[Vec<f64>]) {
        self.generation += 1;
        let n = self.n as f64;
        let steps: Vec<Vec<f64>> =
            points.iter().map(|x| x.iter().zip(&self.mean).map(|(x, m)| (x - m) / self.sigma).collect()).collect();
        let mut step = vec![0.0; self.n];
        for (y, w) in steps.iter().zip(&self.weights).filter(|(_, w)| **w > 0.0) {
            step.iter_mut().zip(y).for_each(|(s, y)| *s += w * y);
        }
        self.mean.iter_mut().zip(&step).for_each(|(m, s)| *m = (*m + self.sigma * s).clamp(0.0, 1.0));

        let white = self.whiten(&step);
        let push = (self.c_sigma * (2.0 - self.c_sigma) * self.mu_eff).sqrt();
        self.path_sigma.iter_mut().zip(&white).for_each(|(p, w)| *p = (1.0 - self.c_sigma) * *p + push * w);
        let length = dot(&self.path_sigma, &self.path_sigma).sqrt();
        // The mean length of a standard normal vector.
        let usual = n.sqrt() * (1.0 - 1.0 / (4.0 * n) + 1.0 / (21.0 * n * n));
        self.sigma = (self.sigma * ((self.c_sigma / self.d_sigma) * (length / usual - 1.0)).exp()).min(1e3);
        let settled = (1.0 - (1.0 - self.c_sigma).powi(2 * self.generation as i32)).sqrt();
        let h = f64::from(u8::from(length / settled < (1.4 + 2.0 / (n + 1.0)) * usual));
        let push = h * (self.c_c * (2.0 - self.c_c) * self.mu_eff).sqrt();
        self.path_c.iter_mut().zip(&step).for_each(|(p, s)| *p = (1.0 - self.c_c) * *p + push * s);

        let weights: Vec<f64> = self
            .weights
            .iter()
            .zip(&steps)
            .map(|(w, y)| {
                let white = self.whiten(y);
                if *w >= 0.0 { *w } else { w * n / (dot(&white, &white) + 1e-8) }
            })
            .collect();
        let delta = (1.0 - h) * self.c_c * (2.0 - self.c_c);
        let keep = 1.0 + self.c_1 * delta - self.c_1 - self.c_mu * self.weights.iter().sum::<f64>();
        for i in 0..self.n {
            for j in 0..=i {
                if self.diagonal && i != j {
                    continue;
                }
                let spread: f64 = steps.iter().zip(&weights).map(|(y, w)| w * y[i] * y[j]).sum();
                let value =
                    keep * self.covariance[i][j] + self.c_1 * self.path_c[i] * self.path_c[j] + self.c_mu * spread;
                self.covariance[i][j] = value;
                self.covariance[j][i] = value;
            }
        }
        let (values, vectors) = eigen(self.covariance.clone());
        self.axes = (values.iter().map(|value| value.max(1e-16).sqrt()).collect(), vectors);
    }

    /// C^(-1/2) y.
    fn whiten(&self, y: &[f64]) -> Vec<f64> {
        let mut white = vec![0.0; self.n];
        for (deviation, axis) in self.axes.0.iter().zip(&self.axes.1) {
            let along = dot(axis, y) / deviation;
            white.iter_mut().zip(axis).for_each(|(w, a)| *w += along * a);
        }
        white
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_turned_ellipsoid_is_learned() {
        let f = |x: &[f64]| {
            let (a, b) = (x[0] - 0.3 + (x[1] - 0.6), x[0] - 0.3 - (x[1] - 0.6));
            a * a + 1e4 * b * b + (x[2] - 0.5).powi(2)
        };
        let mut strategy = Strategy::new(vec![0.5; 3], 1.0 / 6.0, None, false);
        let mut random = Random::new(1, &[]);
        let mut best = f64::INFINITY;
        for _ in 0..100 {
            let mut points: Vec<Vec<f64>> = (0..strategy.size).map(|_| strategy.sample(&mut random)).collect();
            points.sort_by(|a, b| f(a).total_cmp(&f(b)));
            best = best.min(f(&points[0]));
            strategy.learn(&points);
        }
        assert!(best < 1e-9, "{best}");
    }
}
