//! Operations on lists of tensors: one call, and on a GPU few kernels, for all of them.
//!
//! Functions that change tensors change them in place and are never recorded by autograd. Lists go together one to
//! one; libtorch refuses lists of different lengths and shapes that do not fit. An empty list is no work.

use std::borrow::Borrow;

use tch::Tensor;

use super::{Pointers, Result, check, ffi, take_list};

/// The `order`-norm of each tensor, as 0-d tensors of its dtype and device. `order` may be infinite.
pub fn norm(list: &[impl Borrow<Tensor>], order: f64) -> Result<Vec<Tensor>> {
    if list.is_empty() {
        return Ok(Vec::new());
    }
    let list = Pointers::new(list);
    // SAFETY: here and below, the lists borrow their tensors for the call, and libtorch checks that they fit.
    take_list(list.pointers.len(), |out| unsafe { ffi::runner_foreach_norm(list.list(), order, out) })
}

/// The square root of each tensor, as new tensors.
pub fn sqrt(list: &[impl Borrow<Tensor>]) -> Result<Vec<Tensor>> {
    if list.is_empty() {
        return Ok(Vec::new());
    }
    let list = Pointers::new(list);
    take_list(list.pointers.len(), |out| unsafe { ffi::runner_foreach_sqrt(list.list(), out) })
}

/// `t = 0`.
pub fn zero(list: &[impl Borrow<Tensor>]) -> Result<()> {
    change(list, |list| unsafe { ffi::runner_foreach_zero(list) })
}

/// `t = source`, between dtypes and devices too. `non_blocking` lets copies from pinned memory run behind.
pub fn copy(list: &[impl Borrow<Tensor>], source: &[impl Borrow<Tensor>], non_blocking: bool) -> Result<()> {
    let source = Pointers::new(source);
    change(list, |list| unsafe { ffi::runner_foreach_copy(list, source.list(), non_blocking) })
}

/// `t += scalar`.
pub fn add_scalar(list: &[impl Borrow<Tensor>], scalar: f64) -> Result<()> {
    change(list, |list| unsafe { ffi::runner_foreach_add_scalar(list, scalar) })
}

/// `t += alpha * other`.
pub fn add(list: &[impl Borrow<Tensor>], other: &[impl Borrow<Tensor>], alpha: f64) -> Result<()> {
    let other = Pointers::new(other);
    change(list, |list| unsafe { ffi::runner_foreach_add(list, other.list(), alpha) })
}

/// `t *= scalar`.
pub fn mul_scalar(list: &[impl Borrow<Tensor>], scalar: f64) -> Result<()> {
    change(list, |list| unsafe { ffi::runner_foreach_mul_scalar(list, scalar) })
}

/// `t *= factor`, one 0-d tensor for all. Its value is not read back from the device, so that nothing waits.
pub fn mul_tensor(list: &[impl Borrow<Tensor>], factor: &Tensor) -> Result<()> {
    change(list, |list| unsafe { ffi::runner_foreach_mul_tensor(list, factor.as_ptr()) })
}

/// `t *= other`.
pub fn mul(list: &[impl Borrow<Tensor>], other: &[impl Borrow<Tensor>]) -> Result<()> {
    let other = Pointers::new(other);
    change(list, |list| unsafe { ffi::runner_foreach_mul(list, other.list()) })
}

/// `t /= scalar`.
pub fn div_scalar(list: &[impl Borrow<Tensor>], scalar: f64) -> Result<()> {
    change(list, |list| unsafe { ffi::runner_foreach_div_scalar(list, scalar) })
}

/// `t /= divisor`, one 0-d tensor for all.
pub fn div_tensor(list: &[impl Borrow<Tensor>], divisor: &Tensor) -> Result<()> {
    change(list, |list| unsafe { ffi::runner_foreach_div_tensor(list, divisor.as_ptr()) })
}

/// `t /= other`.
pub fn div(list: &[impl Borrow<Tensor>], other: &[impl Borrow<Tensor>]) -> Result<()> {
    let other = Pointers::new(other);
    change(list, |list| unsafe { ffi::runner_foreach_div(list, other.list()) })
}

/// `t += value * left * right`.
pub fn addcmul(
    list: &[impl Borrow<Tensor>],
    left: &[impl Borrow<Tensor>],
    right: &[impl Borrow<Tensor>],
    value: f64,
) -> Result<()> {
    let (left, right) = (Pointers::new(left), Pointers::new(right));
    change(list, |list| unsafe { ffi::runner_foreach_addcmul(list, left.list(), right.list(), value) })
}

/// `t += value * numerator / denominator`.
pub fn addcdiv(
    list: &[impl Borrow<Tensor>],
    numerator: &[impl Borrow<Tensor>],
    denominator: &[impl Borrow<Tensor>],
    value: f64,
) -> Result<()> {
    let (numerator, denominator) = (Pointers::new(numerator), Pointers::new(denominator));
    change(list, |list| unsafe { ffi::runner_foreach_addcdiv(list, numerator.list(), denominator.list(), value) })
}

/// `t += weight * (end - t)`.
pub fn lerp(list: &[impl Borrow<Tensor>], end: &[impl Borrow<Tensor>], weight: f64) -> Result<()> {
    let end = Pointers::new(end);
    change(list, |list| unsafe { ffi::runner_foreach_lerp(list, end.list(), weight) })
}

/// `t *= inverse_scale`, and `found_inf` becomes 1 if any element was infinite or NaN. Both are one-element Float
/// tensors on the list's device; `found_inf` is never set back to 0 here.
pub fn unscale(list: &[impl Borrow<Tensor>], found_inf: &Tensor, inverse_scale: &Tensor) -> Result<()> {
    change(list, |list| unsafe { ffi::runner_foreach_unscale(list, found_inf.as_ptr(), inverse_scale.as_ptr()) })
}

fn change(list: &[impl Borrow<Tensor>], call: impl FnOnce(ffi::List) -> ffi::Text) -> Result<()> {
    if list.is_empty() {
        return Ok(());
    }
    let list = Pointers::new(list);
    check(call(list.list()))
}

#[cfg(test)]
mod tests {
    use super::super::elements::to_vec;
    use super::*;
    use tch::Device;

    fn pair(a: &[f32], b: &[f32]) -> [Tensor; 2] {
        [Tensor::from_slice(a), Tensor::from_slice(b)]
    }

    fn values(list: &[Tensor]) -> Vec<Vec<f32>> {
        list.iter().map(|tensor| to_vec(tensor).unwrap()).collect()
    }

    #[test]
    fn in_place_operations() {
        type Change = fn(&[Tensor]) -> Result<()>;
        let cases: [(&str, Change, [&[f32]; 2]); 13] = [
            ("zero", |t| zero(t), [&[0.0, 0.0], &[0.0]]),
            ("copy", |t| copy(t, &pair(&[4.0, 2.0], &[8.0]), false), [&[4.0, 2.0], &[8.0]]),
            ("add_scalar", |t| add_scalar(t, 0.5), [&[1.5, 2.5], &[3.5]]),
            ("add", |t| add(t, &pair(&[4.0, 2.0], &[8.0]), -0.5), [&[-1.0, 1.0], &[-1.0]]),
            ("mul_scalar", |t| mul_scalar(t, 2.0), [&[2.0, 4.0], &[6.0]]),
            ("mul_tensor", |t| mul_tensor(t, &Tensor::from(2f32)), [&[2.0, 4.0], &[6.0]]),
            ("mul", |t| mul(t, &pair(&[4.0, 2.0], &[8.0])), [&[4.0, 4.0], &[24.0]]),
            ("div_scalar", |t| div_scalar(t, 2.0), [&[0.5, 1.0], &[1.5]]),
            ("div_tensor", |t| div_tensor(t, &Tensor::from(2f32)), [&[0.5, 1.0], &[1.5]]),
            ("div", |t| div(t, &pair(&[4.0, 2.0], &[8.0])), [&[0.25, 1.0], &[0.375]]),
            ("addcmul", |t| addcmul(t, t, &pair(&[4.0, 2.0], &[8.0]), 0.5), [&[3.0, 4.0], &[15.0]]),
            ("addcdiv", |t| addcdiv(t, t, &pair(&[4.0, 2.0], &[8.0]), 2.0), [&[1.5, 4.0], &[3.75]]),
            ("lerp", |t| lerp(t, &pair(&[4.0, 2.0], &[8.0]), 0.5), [&[2.5, 2.0], &[5.5]]),
        ];
        for (name, change, wanted) in cases {
            let list = pair(&[1.0, 2.0], &[3.0]);
            change(&list).unwrap();
            assert_eq!(values(&list), wanted, "{name}");
        }
    }

    #[test]
    fn norms_and_roots() {
        let list = pair(&[3.0, 4.0], &[-9.0]);
        assert_eq!(values(&norm(&list, 2.0).unwrap()), [[5.0], [9.0]]);
        assert_eq!(values(&norm(&list, f64::INFINITY).unwrap()), [[4.0], [9.0]]);
        assert_eq!(values(&sqrt(&pair(&[4.0, 9.0], &[16.0])).unwrap()), [vec![2.0, 3.0], vec![4.0]]);
    }

    #[test]
    fn unscaling_finds_what_is_not_finite() {
        let (found, inverse) = (Tensor::from(0f32), Tensor::from(0.5f32));
        let list = pair(&[2.0, 4.0], &[6.0]);
        unscale(&list, &found, &inverse).unwrap();
        assert_eq!(values(&list), [vec![1.0, 2.0], vec![3.0]]);
        assert_eq!(to_vec::<f32>(&found).unwrap(), [0.0]);
        unscale(&pair(&[2.0, f32::NAN], &[6.0]), &found, &inverse).unwrap();
        assert_eq!(to_vec::<f32>(&found).unwrap(), [1.0]);
    }

    #[test]
    fn parameters_are_changed_without_a_record() {
        let list = [Tensor::from_slice(&[1f32]).set_requires_grad(true)];
        mul_scalar(&list, 3.0).unwrap();
        assert!(list[0].is_leaf());
        assert_eq!(values(&[list[0].detach()]), [[3.0]]);
    }

    #[test]
    fn empty_lists_are_no_work_and_wrong_ones_are_refused() {
        let none: [Tensor; 0] = [];
        zero(&none).unwrap();
        assert!(norm(&none, 2.0).unwrap().is_empty());
        let one = [Tensor::zeros([2], (tch::Kind::Float, Device::Cpu))];
        let error = add(&one, &none, 1.0).unwrap_err();
        assert!(!error.0.contains('\n') && !error.0.is_empty(), "{error}");
        add(&one, &pair(&[1.0], &[1.0]), 1.0).unwrap_err();
        add(&one, &[Tensor::zeros([3], (tch::Kind::Float, Device::Cpu))], 1.0).unwrap_err();
    }
}
