//! Where to look next: the point with the largest expected improvement.

use super::surrogate::{Axis, Surrogate};
use crate::sweep::samplers::minimize::minimize;
use crate::sweep::samplers::normal::{LN_SQRT_TAU, below, ln_below};

/// The logarithm of h(z) = φ(z) + z Φ(z), the expected improvement in deviations (Ament and others, *Unexpected
/// Improvements to Expected Improvement*, 2023), and its derivatives by the mean's and the deviation's part: Φ/h, φ/h.
fn ln_improvement(z: f64) -> (f64, f64, f64) {
    let ln_density = -0.5 * z * z - LN_SQRT_TAU;
    if z > -20.0 {
        let (share, density) = (below(z), ln_density.exp());
        let h = density + z * share;
        if h > 0.0 {
            return (h.ln(), share / h, density / h);
        }
    }
    // h = φ/z² (1 - 3/z² + …).
    let square = z * z;
    (ln_density - square.ln() + (-3.0 / square).ln_1p(), -z * (1.0 + 2.0 / square), square + 3.0)
}

/// What is maximized.
pub struct Acquisition<'a> {
    /// The objective's process; less is better.
    pub objective: &'a Surrogate,
    /// What has to be improved on; without it only the constraints count.
    pub best: Option<f64>,
    /// A process for each constraint, met below its bound.
    pub constraints: &'a [(Surrogate, f64)],
}

impl Acquisition<'_> {
    /// The logarithm of the expected improvement times the probability that the constraints are met.
    pub fn value(&self, x: &[f64]) -> f64 {
        let improvement = self.best.map_or(0.0, |best| {
            let (mean, deviation) = self.objective.predict(x);
            deviation.ln() + ln_improvement((best - mean) / deviation).0
        });
        let met = self.constraints.iter().map(|(process, bound)| {
            let (mean, deviation) = process.predict(x);
            ln_below((bound - mean) / deviation)
        });
        improvement + met.sum::<f64>()
    }

    /// The negative of [`Acquisition::value`] and its gradient.
    fn loss(&self, x: &[f64]) -> (f64, Vec<f64>) {
        let (mut value, mut slope) = (0.0, vec![0.0; x.len()]);
        if let Some(best) = self.best {
            let at = self.objective.predict_with_slopes(x);
            let (ln_h, by_mean, by_deviation) = ln_improvement((best - at.mean) / at.deviation);
            value -= at.deviation.ln() + ln_h;
            for (d, slope) in slope.iter_mut().enumerate() {
                *slope += (by_mean * at.mean_slope[d] - by_deviation * at.deviation_slope[d]) / at.deviation;
            }
        }
        for (process, bound) in self.constraints {
            let at = process.predict_with_slopes(x);
            let t = (bound - at.mean) / at.deviation;
            let ln_met = ln_below(t);
            let by_t = (-0.5 * t * t - LN_SQRT_TAU - ln_met).exp();
            value -= ln_met;
            for (d, slope) in slope.iter_mut().enumerate() {
                *slope += by_t * (at.mean_slope[d] + t * at.deviation_slope[d]) / at.deviation;
            }
        }
        (value, slope)
    }

    /// Climbs from `x`: along the numbers by gradient, along the coordinates with listed values by trying them all.
    pub fn climb(&self, x: Vec<f64>, axes: &[Axis], listed: &[Option<Vec<f64>>]) -> (Vec<f64>, f64) {
        let moves = |d: usize| axes[d] == Axis::Number && listed[d].is_none();
        let (mut x, mut value) = (x.clone(), self.value(&x));
        for _ in 0..4 {
            let before = value;
            if (0..axes.len()).any(moves) {
                let free: Vec<usize> = (0..axes.len()).filter(|d| moves(*d)).collect();
                let start: Vec<f64> = free.iter().map(|d| x[*d]).collect();
                let mut whole = x.clone();
                let along = |part: &[f64]| {
                    free.iter().zip(part).for_each(|(d, v)| whole[*d] = *v);
                    let (value, slope) = self.loss(&whole);
                    (value, free.iter().map(|d| slope[*d]).collect())
                };
                let (found, loss) = minimize(along, start, 0.0, 1.0, 40);
                if -loss > value {
                    value = -loss;
                    free.iter().zip(&found).for_each(|(d, v)| x[*d] = *v);
                }
            }
            for (d, values) in listed.iter().enumerate() {
                for candidate in values.iter().flatten() {
                    let mut other = x.clone();
                    other[d] = *candidate;
                    let at = self.value(&other);
                    if at > value {
                        (x, value) = (other, at);
                    }
                }
            }
            if value - before < 1e-6 || listed.iter().all(Option::is_none) {
                break;
            }
        }
        (x, value)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_improvement_is_smooth_where_it_underflows() {
        // ln(φ(z) + z Φ(z)), at -30 by its series.
        for (z, want) in [(1.0, 0.0800218), (-5.0, -16.744301), (-30.0, -457.724654)] {
            let (ln_h, share, density) = ln_improvement(z);
            assert!((ln_h - want).abs() < 1e-4, "{z}: {ln_h}");
            let step = 1e-4;
            let slope = (ln_improvement(z + step).0 - ln_improvement(z - step).0) / (2.0 * step);
            assert!((slope - share).abs() < 1e-2 * slope, "{z}: {slope} {share} {density}");
            // h = φ + z Φ.
            assert!((density + z * share - 1.0).abs() < 2e-2, "{z}");
        }
    }
}
