//! Gradient clipping, without waiting for the device.

use tch::{Kind, Tensor};

use crate::error::{Error, Result};
use crate::native::foreach;
use crate::tensor::guard;

fn grads<'a>(params: impl IntoIterator<Item = &'a Tensor>) -> Vec<Tensor> {
    params.into_iter().map(Tensor::grad).filter(Tensor::defined).collect()
}

/// Scales the gradients of `params` in place so that their Euclidean norm, all taken as one vector, is at most
/// `max_norm`. Gives the norm before, a 0-d tensor that stays on the device.
///
/// # Errors
/// As [`clip_grad_norm_of`].
pub fn clip_grad_norm<'a>(params: impl IntoIterator<Item = &'a Tensor>, max_norm: f64) -> Result<Tensor> {
    clip_grad_norm_of(params, max_norm, 2.0, false)
}

/// [`clip_grad_norm`] with a norm of another order, `f64::INFINITY` included: `torch.nn.utils.clip_grad_norm_`, which
/// multiplies by `min(max_norm / (norm + 1e-6), 1)`.
///
/// # Errors
/// With `error_if_nonfinite`, when the norm is infinite or NaN; this reads it back from the device.
pub fn clip_grad_norm_of<'a>(
    params: impl IntoIterator<Item = &'a Tensor>,
    max_norm: f64,
    norm_type: f64,
    error_if_nonfinite: bool,
) -> Result<Tensor> {
    let grads = grads(params);
    let Some(first) = grads.first() else { return Ok(Tensor::from(0f32)) };
    let device = first.device();
    guard(|| {
        tch::no_grad(|| {
            let mut norms = Vec::with_capacity(grads.len());
            for (kind, list) in by_kind(&grads) {
                let part = foreach::norm(&list, norm_type)?;
                // Norms of half-precision gradients are gathered in single precision, as PyTorch promotes them.
                norms.extend(part.into_iter().map(|norm| match kind {
                    Kind::Double => norm.to_device(device),
                    _ => norm.to_device(device).to_kind(Kind::Float),
                }));
            }
            if norms.iter().any(|norm| norm.kind() == Kind::Double) {
                norms = norms.into_iter().map(|norm| norm.to_kind(Kind::Double)).collect();
            }
            let total = foreach::norm(&[Tensor::stack(&norms, 0)], norm_type)?.remove(0);
            if error_if_nonfinite && !total.double_value(&[]).is_finite() {
                return Err(Error::failed(format!("the norm of the gradients is {}", total.double_value(&[])))
                    .help("lower the learning rate, or look for the layer with detect_anomaly=true"));
            }
            let factor = (max_norm / (&total + 1e-6)).clamp_max(1.0);
            for (kind, list) in by_kind(&grads) {
                let place = list[0].device();
                foreach::mul_tensor(&list, &factor.to_device(place).to_kind(kind))?;
            }
            Ok(total)
        })
    })
}

/// Limits every element of the gradients of `params` to `-clip_value..=clip_value`, in place:
/// `torch.nn.utils.clip_grad_value_`.
///
/// # Errors
/// When libtorch refuses.
pub fn clip_grad_value<'a>(params: impl IntoIterator<Item = &'a Tensor>, clip_value: f64) -> Result<()> {
    let limit = |mut grad: Tensor| grad.f_clamp_(-clip_value, clip_value).map(drop);
    tch::no_grad(|| grads(params).into_iter().try_for_each(limit))?;
    Ok(())
}

/// Gradients by what a list operation may not mix.
fn by_kind(grads: &[Tensor]) -> Vec<(Kind, Vec<&Tensor>)> {
    let mut lists: Vec<(Kind, Vec<&Tensor>)> = Vec::new();
    for grad in grads {
        let (kind, device) = (grad.kind(), grad.device());
        match lists.iter_mut().find(|(other, list)| *other == kind && list[0].device() == device) {
            Some((_, list)) => list.push(grad),
            None => lists.push((kind, vec![grad])),
        }
    }
    lists
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A parameter with the gradient `grad`.
    fn param(grad: &[f32]) -> Tensor {
        let param = Tensor::zeros([grad.len() as i64], (Kind::Float, tch::Device::Cpu)).set_requires_grad(true);
        (&param * Tensor::from_slice(grad)).sum(Kind::Float).backward();
        param
    }

    #[test]
    fn a_norm_that_is_not_finite_is_an_error_only_when_asked() {
        let params = [param(&[1.0, f32::NAN]), param(&[2.0])];
        assert!(clip_grad_norm_of(&params, 1.0, 2.0, true).unwrap_err().to_string().contains("is NaN"));
        assert!(clip_grad_norm(&params, 1.0).unwrap().double_value(&[]).is_nan());
    }

    #[test]
    fn parameters_without_gradient_are_no_work() {
        let bare = Tensor::zeros([2], (Kind::Float, tch::Device::Cpu)).set_requires_grad(true);
        assert_eq!(clip_grad_norm([&bare], 1.0).unwrap().double_value(&[]), 0.0);
        let with = param(&[3.0, 4.0]);
        assert_eq!(clip_grad_norm([&bare, &with], 1.0).unwrap().double_value(&[]), 5.0);
        assert!(!bare.grad().defined());
        assert!((with.grad().double_value(&[0]) - 0.6).abs() < 1e-6);
    }
}
