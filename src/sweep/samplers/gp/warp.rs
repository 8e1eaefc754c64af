//! Bends results until they look normal: a few very bad ones must not hide what tells the good ones apart.

/// The transformation of Yeo and Johnson (2000) after a robust scaling, with the exponent that makes the results most
/// likely under a normal distribution; then mean 0 and variance 1. The order stays.
pub fn warp(values: &[f64]) -> Vec<f64> {
    let finite: Vec<f64> = values.iter().copied().filter(|v| v.is_finite()).collect();
    let Some(worst) = finite.iter().copied().reduce(f64::max) else { return vec![0.0; values.len()] };
    let values: Vec<f64> = values
        .iter()
        .map(|v| {
            if v.is_finite() {
                *v
            } else if *v < 0.0 {
                finite.iter().copied().fold(worst, f64::min)
            } else {
                worst
            }
        })
        .collect();
    let mut sorted = values.clone();
    sorted.sort_by(f64::total_cmp);
    let (least, middle) = (sorted[0], sorted[sorted.len() / 2]);
    let scale = if middle > least { middle - least } else { (worst - least).max(f64::MIN_POSITIVE) };
    let scaled: Vec<f64> = values.iter().map(|v| (v - middle) / scale).collect();
    if values.len() < 5 {
        return standardized(&scaled);
    }
    let best = (0..=40).map(|i| -2.0 + f64::from(i) * 0.1).map(|lambda| {
        let bent: Vec<f64> = scaled.iter().map(|v| bend(*v, lambda)).collect();
        let (_, variance) = moments(&bent);
        let jacobian: f64 = scaled.iter().map(|v| v.signum() * v.abs().ln_1p()).sum();
        (-0.5 * bent.len() as f64 * variance.max(1e-300).ln() + (lambda - 1.0) * jacobian, bent)
    });
    let best = best.filter(|(score, _)| score.is_finite()).max_by(|a, b| a.0.total_cmp(&b.0));
    best.map_or_else(|| standardized(&scaled), |(_, bent)| standardized(&bent))
}

fn bend(v: f64, lambda: f64) -> f64 {
    match v >= 0.0 {
        true if lambda.abs() < 1e-9 => v.ln_1p(),
        true => ((v + 1.0).powf(lambda) - 1.0) / lambda,
        false if (lambda - 2.0).abs() < 1e-9 => -(-v).ln_1p(),
        false => -((1.0 - v).powf(2.0 - lambda) - 1.0) / (2.0 - lambda),
    }
}

fn moments(values: &[f64]) -> (f64, f64) {
    let n = values.len() as f64;
    let mean = values.iter().sum::<f64>() / n;
    (mean, values.iter().map(|v| (v - mean) * (v - mean)).sum::<f64>() / n)
}

/// The values with mean 0 and variance 1; all 0 when they are equal.
pub fn standardized(values: &[f64]) -> Vec<f64> {
    let (mean, variance) = moments(values);
    let deviation = if variance > 0.0 { variance.sqrt() } else { 1.0 };
    values.iter().map(|v| (v - mean) / deviation).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keeps_the_order_and_tames_what_is_far_off() {
        let values = [3.0, 1.0, 1e6, 2.0, 50.0, 7.0, f64::INFINITY, 4.0];
        let warped = warp(&values);
        let mut order: Vec<usize> = (0..8).collect();
        order.sort_by(|&a, &b| values[a].total_cmp(&values[b]));
        assert!(order.windows(2).all(|pair| warped[pair[0]] <= warped[pair[1]]), "{warped:?}");
        assert!(warped.iter().all(|v| v.abs() < 3.0), "{warped:?}");
        assert_eq!(warp(&[2.0, 2.0, 2.0]), [0.0; 3]);
    }
}
