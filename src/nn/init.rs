//! PyTorch's initialisers (`torch.nn.init`): the same formulas, the same draws from torch's generator.
//!
//! All change the tensor in place; callers run them without gradient.

use tch::Tensor;

/// Which fan a normalised initialiser divides by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fan {
    /// Inputs of one output.
    In,
    /// Outputs of one input.
    Out,
}

/// Fan in and fan out of a weight of two or more dimensions, as PyTorch counts them: groups are not looked at.
pub fn fans(shape: &[i64]) -> (i64, i64) {
    let receptive: i64 = shape.iter().skip(2).product();
    (shape[1] * receptive, shape[0] * receptive)
}

/// All 0.
pub fn zeros(t: &mut Tensor) {
    let _ = t.zero_();
}

/// All 1.
pub fn ones(t: &mut Tensor) {
    constant(t, 1.0);
}

/// All `value`.
pub fn constant(t: &mut Tensor, value: f64) {
    let _ = t.fill_(value);
}

/// Uniform in [`low`, `high`).
pub fn uniform(t: &mut Tensor, low: f64, high: f64) {
    let _ = t.uniform_(low, high);
}

/// Normal with `mean` and `std`.
pub fn normal(t: &mut Tensor, mean: f64, std: f64) {
    let _ = t.normal_(mean, std);
}

/// Normal with `mean` and `std`, cut off at `low` and `high`, by the inverse of the distribution function.
pub fn truncated_normal(t: &mut Tensor, mean: f64, std: f64, low: f64, high: f64) {
    let below = |x: f64| (1.0 + erf(x / std::f64::consts::SQRT_2)) / 2.0;
    let (l, u) = (below((low - mean) / std), below((high - mean) / std));
    let _ = t.uniform_(2.0 * l - 1.0, 2.0 * u - 1.0);
    let _ = t.erfinv_();
    let _ = t.g_mul_scalar_(std * std::f64::consts::SQRT_2);
    let _ = t.g_add_scalar_(mean);
    let _ = t.clamp_(low, high);
}

/// PyTorch's `trunc_normal_` with its default bounds -2 and 2.
pub fn trunc_normal(t: &mut Tensor, std: f64) {
    truncated_normal(t, 0.0, std, -2.0, 2.0);
}

/// PyTorch's default of linear layers and convolutions: `kaiming_uniform_(a=sqrt(5))`, which is
/// uniform in ±1/sqrt(fan in).
pub fn default_weight(t: &mut Tensor) {
    kaiming_uniform(t, 5f64.sqrt());
}

/// `kaiming_uniform_` with the negative slope `a` of a leaky rectifier, by fan in (He et al., 2015).
pub fn kaiming_uniform(t: &mut Tensor, a: f64) {
    let (fan_in, _) = fans(&t.size());
    if fan_in > 0 {
        let std = (2.0 / (1.0 + a * a)).sqrt() / (fan_in as f64).sqrt();
        let bound = 3f64.sqrt() * std;
        uniform(t, -bound, bound);
    }
}

/// The default bias of a layer with this weight shape: uniform in ±1/sqrt(fan in).
pub fn default_bias(t: &mut Tensor, weight: &[i64]) {
    let (fan_in, _) = fans(weight);
    if fan_in > 0 {
        let bound = 1.0 / (fan_in as f64).sqrt();
        uniform(t, -bound, bound);
    }
}

/// `kaiming_normal_` for a rectifier (gain sqrt(2)).
pub fn kaiming_normal(t: &mut Tensor, fan: Fan) {
    let (fan_in, fan_out) = fans(&t.size());
    let fan = if fan == Fan::In { fan_in } else { fan_out };
    normal(t, 0.0, 2f64.sqrt() / (fan as f64).sqrt());
}

/// `xavier_uniform_` (Glorot and Bengio, 2010).
pub fn xavier_uniform(t: &mut Tensor) {
    let (fan_in, fan_out) = fans(&t.size());
    let bound = 3f64.sqrt() * (2.0 / (fan_in + fan_out) as f64).sqrt();
    uniform(t, -bound, bound);
}

/// The error function, from libtorch: Rust's library has none.
fn erf(x: f64) -> f64 {
    Tensor::from(x).erf().double_value(&[])
}

#[cfg(test)]
mod tests {
    use super::*;
    use tch::{Device, Kind};

    #[test]
    fn bounds_and_deviations_are_the_formulas() {
        tch::manual_seed(0);
        let mut t = Tensor::empty([64, 32, 3, 3], (Kind::Float, Device::Cpu));
        let spread = |t: &Tensor| (t.std(true).double_value(&[]), t.abs().max().double_value(&[]));
        let cases: [(&str, Box<dyn Fn(&mut Tensor)>, f64, f64); 4] = [
            ("default", Box::new(default_weight), (1.0 / 288f64 / 3.0).sqrt(), (1.0 / 288f64).sqrt()),
            ("kaiming", Box::new(|t| kaiming_normal(t, Fan::Out)), (2.0 / 576f64).sqrt(), 1.0),
            ("xavier", Box::new(xavier_uniform), (2.0 / 864f64).sqrt(), (6.0 / 864f64).sqrt()),
            ("truncated", Box::new(|t| truncated_normal(t, 0.0, 1.0, -0.5, 0.5)), 0.2837, 0.5),
        ];
        for (name, init, std, max) in cases {
            init(&mut t);
            let (got_std, got_max) = spread(&t);
            assert!((got_std / std - 1.0).abs() < 0.03 && got_max <= max + 1e-6, "{name}: {got_std} {got_max}");
        }
    }
}
