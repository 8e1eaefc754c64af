//! Finds a minimum in a box: L-BFGS on the variables that are not held at an end (Byrd, Lu, Nocedal and Zhu, 1995,
//! with the projection of Bertsekas, 1982, in place of the Cauchy point).

use super::linear::dot;

/// How many past steps shape the next one.
const MEMORY: usize = 8;

/// Minimizes `f`, which gives value and gradient, from `x` within `low..=high`; gives the best point and its value.
pub fn minimize(
    mut f: impl FnMut(&[f64]) -> (f64, Vec<f64>),
    mut x: Vec<f64>,
    low: f64,
    high: f64,
    iterations: usize,
) -> (Vec<f64>, f64) {
    x.iter_mut().for_each(|x| *x = x.clamp(low, high));
    let (mut value, mut gradient) = f(&x);
    let mut pairs: Vec<(Vec<f64>, Vec<f64>)> = Vec::new();
    for _ in 0..iterations {
        let free: Vec<bool> =
            x.iter().zip(&gradient).map(|(x, g)| !(*x <= low && *g > 0.0 || *x >= high && *g < 0.0)).collect();
        let slope: Vec<f64> = gradient.iter().zip(&free).map(|(g, free)| if *free { *g } else { 0.0 }).collect();
        if !value.is_finite() || slope.iter().all(|g| g.abs() < 1e-6) {
            break;
        }
        let mut direction = downhill(&slope, &pairs);
        direction.iter_mut().zip(&free).for_each(|(d, free)| *d *= f64::from(u8::from(*free)));
        if dot(&direction, &slope) >= 0.0 {
            direction = slope.iter().map(|g| -g).collect();
            pairs.clear();
        }
        let mut step = if pairs.is_empty() { (0.1 / dot(&slope, &slope).sqrt()).min(1.0) } else { 1.0 };
        let mut moved = None;
        for _ in 0..20 {
            let next: Vec<f64> = x.iter().zip(&direction).map(|(x, d)| (x + step * d).clamp(low, high)).collect();
            let (next_value, next_gradient) = f(&next);
            let gain: f64 = next.iter().zip(&x).zip(&slope).map(|((n, x), g)| (n - x) * g).sum();
            if next_value <= value + 1e-4 * gain && next_value.is_finite() {
                moved = Some((next, next_value, next_gradient));
                break;
            }
            step *= 0.4;
        }
        let Some((next, next_value, next_gradient)) = moved else { break };
        let s: Vec<f64> = next.iter().zip(&x).map(|(a, b)| a - b).collect();
        let y: Vec<f64> = next_gradient.iter().zip(&gradient).map(|(a, b)| a - b).collect();
        if dot(&s, &y) > 1e-12 * dot(&y, &y) {
            if pairs.len() == MEMORY {
                pairs.remove(0);
            }
            pairs.push((s, y));
        }
        let gained = value - next_value;
        (x, value, gradient) = (next, next_value, next_gradient);
        if gained < 1e-9 * (1.0 + value.abs()) {
            break;
        }
    }
    (x, value)
}

/// The direction of the next step: the two-loop recursion (Nocedal and Wright, *Numerical Optimization*, 7.4).
fn downhill(gradient: &[f64], pairs: &[(Vec<f64>, Vec<f64>)]) -> Vec<f64> {
    let mut q: Vec<f64> = gradient.to_vec();
    let mut alphas = Vec::with_capacity(pairs.len());
    for (s, y) in pairs.iter().rev() {
        let alpha = dot(s, &q) / dot(s, y);
        q.iter_mut().zip(y).for_each(|(q, y)| *q -= alpha * y);
        alphas.push(alpha);
    }
    if let Some((s, y)) = pairs.last() {
        let scale = dot(s, y) / dot(y, y);
        q.iter_mut().for_each(|q| *q *= scale);
    }
    for ((s, y), alpha) in pairs.iter().zip(alphas.iter().rev()) {
        let beta = dot(y, &q) / dot(s, y);
        q.iter_mut().zip(s).for_each(|(q, s)| *q += (alpha - beta) * s);
    }
    q.iter().map(|q| -q).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_the_valley_s_end_and_the_box_s_edge() {
        let rosenbrock = |x: &[f64]| {
            let (a, b) = (x[0], x[1]);
            let value = 100.0 * (b - a * a).powi(2) + (1.0 - a).powi(2);
            (value, vec![-400.0 * a * (b - a * a) - 2.0 * (1.0 - a), 200.0 * (b - a * a)])
        };
        let (x, value) = minimize(rosenbrock, vec![-1.2, 1.0], -2.0, 2.0, 200);
        assert!(value < 1e-8 && (x[0] - 1.0).abs() < 1e-3, "{x:?} {value}");
        let (x, _) = minimize(rosenbrock, vec![-0.4, 0.1], -2.0, 0.5, 200);
        assert!((x[0] - 0.5).abs() < 0.3 && x[0] <= 0.5 && x[1] <= 0.5, "{x:?}");
        let (x, _) = minimize(|x| (-x[0], vec![-1.0]), vec![0.2], 0.0, 1.0, 50);
        assert_eq!(x, [1.0]);
    }
}
