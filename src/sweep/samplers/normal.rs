//! The normal distribution, its tails in logarithms.

use std::f64::consts::{LN_2, PI, SQRT_2};

/// ln √(2π).
pub const LN_SQRT_TAU: f64 = 0.918_938_533_204_672_8;

/// The probability below `z`.
pub fn below(z: f64) -> f64 {
    0.5 * libm::erfc(-z / SQRT_2)
}

/// The logarithm of the probability below `z`, also where it underflows.
pub fn ln_below(z: f64) -> f64 {
    if z > 5.0 {
        return (-below(-z)).ln_1p();
    }
    if z > -30.0 {
        return below(z).ln();
    }
    // The asymptotic series of Mills' ratio (Abramowitz and Stegun, 26.2.12).
    let inverse = 1.0 / (z * z);
    -0.5 * z * z - LN_SQRT_TAU - (-z).ln() + (-inverse * (1.0 - inverse * (3.0 - 15.0 * inverse))).ln_1p()
}

/// The logarithm of the probability between `a` and `b`, `a < b`.
pub fn ln_between(a: f64, b: f64) -> f64 {
    if a > 0.0 {
        return ln_between(-b, -a);
    }
    if b <= 0.0 {
        let (from, to) = (ln_below(a), ln_below(b));
        return to + ln_one_minus_exp(from - to);
    }
    (-below(a) - below(-b)).ln_1p()
}

/// ln(1 - e^x) for x < 0, without cancellation (Mächler, 2012).
pub fn ln_one_minus_exp(x: f64) -> f64 {
    if x > -LN_2 { (-x.exp_m1()).ln() } else { (-x.exp()).ln_1p() }
}

/// The number below which a share `p` in (0, 1) lies: Acklam's rational approximation and one step of Halley's
/// method, exact to about 1e-15 relative.
pub fn quantile(p: f64) -> f64 {
    const A: [f64; 6] = [
        -3.969683028665376e1,
        2.209460984245205e2,
        -2.759285104469687e2,
        1.38357751867269e2,
        -3.066479806614716e1,
        2.506628277459239,
    ];
    const B: [f64; 5] =
        [-5.447609879822406e1, 1.615858368580409e2, -1.556989798598866e2, 6.680131188771972e1, -1.328068155288572e1];
    const C: [f64; 6] = [
        -7.784894002430293e-3,
        -3.223964580411365e-1,
        -2.400758277161838,
        -2.549732539343734,
        4.374664141464968,
        2.938163982698783,
    ];
    const D: [f64; 4] = [7.784695709041462e-3, 3.224671290700398e-1, 2.445134137142996, 3.754408661907416];
    let horner = |c: &[f64], x: f64| c.iter().fold(0.0, |sum, c| sum * x + c);
    if p > 0.5 {
        return -quantile(1.0 - p);
    }
    let z = if p < 0.02425 {
        let q = (-2.0 * p.max(f64::MIN_POSITIVE).ln()).sqrt();
        horner(&C, q) / (horner(&D, q) * q + 1.0)
    } else {
        let q = p - 0.5;
        horner(&A, q * q) * q / (horner(&B, q * q) * q * q + 1.0)
    };
    let error = (below(z) - p) * (2.0 * PI).sqrt() * (0.5 * z * z).exp();
    if error.is_finite() { z - error / (1.0 + 0.5 * z * error) } else { z }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// scipy.special.ndtr, log_ndtr and ndtri.
    #[test]
    fn agrees_with_scipy() {
        let close = |a: f64, b: f64| assert!((a - b).abs() <= 1e-12 * b.abs().max(1e-3), "{a} {b}");
        close(below(-1.3), 0.09680048458561036);
        close(ln_below(-40.0), -804.6084420137539);
        close(ln_below(-20.0), -203.9171553710973);
        close(ln_below(6.0), -9.86587645524372e-10);
        close(ln_between(10.0, 11.0), -53.231310225583115);
        close(ln_between(-1.0, 2.0), -0.20016629432446262);
        for (p, z) in [(1e-12, -7.034483825301131), (0.01, -2.3263478740408408), (0.3, -0.5244005127080409)] {
            close(quantile(p), z);
            close(quantile(1.0 - 0.3), 0.5244005127080409);
        }
    }
}
