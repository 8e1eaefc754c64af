//! Fused optimizer steps: one kernel walks through parameter, gradient and state together.
//!
//! All lists have one tensor per parameter, of its shape, dtype, device and strides (`zeros_like` makes such state);
//! one call takes parameters of one dtype and device. A gradient with other strides is copied first. Step counts are
//! one-element Float tensors on the parameters' device; the caller adds 1 to them *before* the call (a count of 0
//! gives NaN). Nothing is recorded by autograd. A call without parameters does nothing.
//!
//! The formulas are those of `torch.optim` with `fused=True`.

use std::borrow::Borrow;

use tch::Tensor;

use super::{Pointers, Result, check, ffi, optional};

/// What mixed precision hands to a step; both are one-element Float tensors on the parameters' device.
#[derive(Clone, Copy, Debug, Default)]
pub struct Scale<'a> {
    /// The factor by which the loss was multiplied: gradients are divided by it, in place.
    pub grad_scale: Option<&'a Tensor>,
    /// When it holds 1, the step changes nothing.
    pub found_inf: Option<&'a Tensor>,
}

/// Options of [`adam`] and [`adamw`], named as in `torch.optim.Adam`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Adam {
    /// Learning rate.
    pub lr: f64,
    /// Decay of the first and the second moment.
    pub betas: (f64, f64),
    /// L2 penalty for [`adam`], decoupled decay for [`adamw`].
    pub weight_decay: f64,
    /// Added to the denominator.
    pub eps: f64,
    /// Uses the largest second moment so far.
    pub amsgrad: bool,
    /// Climbs instead of descending.
    pub maximize: bool,
}

/// State of [`adam`] and [`adamw`].
pub struct AdamState<'a, T> {
    /// First moments.
    pub exp_avgs: &'a [T],
    /// Second moments.
    pub exp_avg_sqs: &'a [T],
    /// Largest second moments; read with `amsgrad` only, else empty.
    pub max_exp_avg_sqs: &'a [T],
    /// Step counts, this step included.
    pub steps: &'a [T],
}

/// One step of Adam (Kingma and Ba, 2015), as `torch.optim.Adam`.
pub fn adam<T: Borrow<Tensor>>(
    params: &[impl Borrow<Tensor>],
    grads: &[impl Borrow<Tensor>],
    state: &AdamState<T>,
    options: &Adam,
    scale: Scale,
) -> Result<()> {
    adam_step(false, params, grads, state, options, scale)
}

/// One step of AdamW (Loshchilov and Hutter, 2019), as `torch.optim.AdamW`.
pub fn adamw<T: Borrow<Tensor>>(
    params: &[impl Borrow<Tensor>],
    grads: &[impl Borrow<Tensor>],
    state: &AdamState<T>,
    options: &Adam,
    scale: Scale,
) -> Result<()> {
    adam_step(true, params, grads, state, options, scale)
}

fn adam_step<T: Borrow<Tensor>>(
    decoupled: bool,
    params: &[impl Borrow<Tensor>],
    grads: &[impl Borrow<Tensor>],
    state: &AdamState<T>,
    options: &Adam,
    scale: Scale,
) -> Result<()> {
    if params.is_empty() {
        return Ok(());
    }
    let (params, grads) = (Pointers::new(params), Pointers::new(grads));
    let (exp_avgs, exp_avg_sqs) = (Pointers::new(state.exp_avgs), Pointers::new(state.exp_avg_sqs));
    let (max_exp_avg_sqs, steps) = (Pointers::new(state.max_exp_avg_sqs), Pointers::new(state.steps));
    let args = ffi::Adam {
        lr: options.lr,
        beta1: options.betas.0,
        beta2: options.betas.1,
        weight_decay: options.weight_decay,
        eps: options.eps,
        amsgrad: options.amsgrad,
        maximize: options.maximize,
    };
    // SAFETY: all tensors are borrowed for the call; the shim checks counts, shapes, dtypes, strides and devices.
    check(unsafe {
        ffi::runner_fused_adam(
            decoupled,
            params.list(),
            grads.list(),
            exp_avgs.list(),
            exp_avg_sqs.list(),
            max_exp_avg_sqs.list(),
            steps.list(),
            args,
            optional(scale.grad_scale),
            optional(scale.found_inf),
        )
    })
}

/// Options of [`sgd`], named as in `torch.optim.SGD`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Sgd {
    /// Learning rate.
    pub lr: f64,
    /// Momentum factor; 0 needs no buffers.
    pub momentum: f64,
    /// Dampening of the momentum.
    pub dampening: f64,
    /// L2 penalty.
    pub weight_decay: f64,
    /// Nesterov's momentum.
    pub nesterov: bool,
    /// Climbs instead of descending.
    pub maximize: bool,
    /// Fills the momentum buffers with the gradients instead of reading them.
    pub is_first_step: bool,
}

/// One step of stochastic gradient descent, as `torch.optim.SGD`. `momentum_buffers` is read only with momentum.
pub fn sgd<T: Borrow<Tensor>>(
    params: &[impl Borrow<Tensor>],
    grads: &[impl Borrow<Tensor>],
    momentum_buffers: &[T],
    options: &Sgd,
    scale: Scale,
) -> Result<()> {
    if params.is_empty() {
        return Ok(());
    }
    let (params, grads, buffers) = (Pointers::new(params), Pointers::new(grads), Pointers::new(momentum_buffers));
    let args = ffi::Sgd {
        lr: options.lr,
        momentum: options.momentum,
        dampening: options.dampening,
        weight_decay: options.weight_decay,
        nesterov: options.nesterov,
        maximize: options.maximize,
        is_first_step: options.is_first_step,
    };
    // SAFETY: as for Adam.
    check(unsafe {
        ffi::runner_fused_sgd(
            params.list(),
            grads.list(),
            buffers.list(),
            args,
            optional(scale.grad_scale),
            optional(scale.found_inf),
        )
    })
}

/// Options of [`adagrad`], named as in `torch.optim.Adagrad`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Adagrad {
    /// Learning rate.
    pub lr: f64,
    /// Decay of the learning rate.
    pub lr_decay: f64,
    /// L2 penalty.
    pub weight_decay: f64,
    /// Added to the denominator.
    pub eps: f64,
    /// Climbs instead of descending.
    pub maximize: bool,
}

/// One step of Adagrad (Duchi, Hazan and Singer, 2011), as `torch.optim.Adagrad`.
pub fn adagrad<T: Borrow<Tensor>>(
    params: &[impl Borrow<Tensor>],
    grads: &[impl Borrow<Tensor>],
    state_sums: &[T],
    steps: &[T],
    options: &Adagrad,
    scale: Scale,
) -> Result<()> {
    if params.is_empty() {
        return Ok(());
    }
    let (params, grads) = (Pointers::new(params), Pointers::new(grads));
    let (sums, steps) = (Pointers::new(state_sums), Pointers::new(steps));
    let args = ffi::Adagrad {
        lr: options.lr,
        lr_decay: options.lr_decay,
        weight_decay: options.weight_decay,
        eps: options.eps,
        maximize: options.maximize,
    };
    // SAFETY: as for Adam.
    check(unsafe {
        ffi::runner_fused_adagrad(
            params.list(),
            grads.list(),
            sums.list(),
            steps.list(),
            args,
            optional(scale.grad_scale),
            optional(scale.found_inf),
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use tch::{Device, Kind};

    const FLOAT: (Kind, Device) = (Kind::Float, Device::Cpu);
    const ADAM: Adam =
        Adam { lr: 0.1, betas: (0.9, 0.999), weight_decay: 0.01, eps: 1e-8, amsgrad: false, maximize: false };
    const SGD: Sgd = Sgd {
        lr: 0.1,
        momentum: 0.9,
        dampening: 0.0,
        weight_decay: 0.0,
        nesterov: false,
        maximize: false,
        is_first_step: true,
    };

    fn values(tensor: &Tensor) -> Vec<f32> {
        super::super::elements::to_vec(tensor).unwrap()
    }

    fn close(found: &[f32], wanted: &[f64]) {
        assert_eq!(found.len(), wanted.len());
        for (found, wanted) in found.iter().zip(wanted) {
            assert!((f64::from(*found) - wanted).abs() < 1e-6, "{found} is not {wanted}");
        }
    }

    /// One parameter [1, -2] with gradient [0.5, 0.25] and fresh Adam state.
    fn adam_case(step: impl Fn(&[Tensor], &[Tensor], &AdamState<Tensor>)) -> Vec<f32> {
        let params = [Tensor::from_slice(&[1f32, -2.0]).set_requires_grad(true)];
        let grads = [Tensor::from_slice(&[0.5f32, 0.25])];
        let (avg, sq) = ([Tensor::zeros([2], FLOAT)], [Tensor::zeros([2], FLOAT)]);
        let steps = [Tensor::ones([], FLOAT)];
        step(&params, &grads, &AdamState { exp_avgs: &avg, exp_avg_sqs: &sq, max_exp_avg_sqs: &[], steps: &steps });
        assert!(params[0].is_leaf());
        values(&params[0].detach())
    }

    #[test]
    fn the_first_adamw_step_follows_the_formula() {
        // p (1 - lr wd) - lr g / (|g| + eps), since both bias corrections cancel in the first step.
        let found = adam_case(|p, g, s| adamw(p, g, s, &ADAM, Scale::default()).unwrap());
        close(&found, &[1.0 * 0.999 - 0.1, -2.0 * 0.999 - 0.1]);
    }

    #[test]
    fn the_first_adam_step_follows_the_formula() {
        let found = adam_case(|p, g, s| adam(p, g, s, &ADAM, Scale::default()).unwrap());
        close(&found, &[0.9, -2.1]); // the penalty changes the gradient, not the size of the first step
    }

    #[test]
    fn amsgrad_needs_its_state_and_uses_it() {
        let options = Adam { amsgrad: true, ..ADAM };
        adam_case(|p, g, s| {
            let error = adamw(p, g, s, &options, Scale::default()).unwrap_err();
            assert_eq!(error.0, "there are 0 max_exp_avg_sq for 1 parameters");
            let largest = [Tensor::from_slice(&[100f32, 100.0])];
            let s = AdamState { max_exp_avg_sqs: &largest, ..*s };
            adamw(p, g, &s, &options, Scale::default()).unwrap();
            assert_eq!(values(&largest[0]), [100.0, 100.0]);
        });
    }

    #[test]
    fn a_found_infinity_skips_the_step_and_a_scale_divides_the_gradient() {
        let (one, two) = (Tensor::ones([], FLOAT), Tensor::full([], 2.0, FLOAT));
        let skip = Scale { grad_scale: Some(&two), found_inf: Some(&one) };
        let kept = adam_case(|p, g, s| adamw(p, g, s, &ADAM, skip).unwrap());
        close(&kept, &[1.0, -2.0]);
        let zero = Tensor::zeros([], FLOAT);
        let halve = Scale { grad_scale: Some(&two), found_inf: Some(&zero) };
        let params = [Tensor::from_slice(&[1f32, -2.0])];
        let grads = [Tensor::from_slice(&[0.5f32, 0.25])];
        sgd::<Tensor>(&params, &grads, &[], &Sgd { momentum: 0.0, ..SGD }, halve).unwrap();
        close(&values(&params[0]), &[1.0 - 0.1 * 0.25, -2.0 - 0.1 * 0.125]);
    }

    #[test]
    fn sgd_with_momentum_over_two_steps() {
        let params = [Tensor::from_slice(&[1f32, -2.0])];
        let grads = [Tensor::from_slice(&[0.5f32, 0.25])];
        let buffers = [Tensor::empty([2], FLOAT)];
        sgd(&params, &grads, &buffers, &SGD, Scale::default()).unwrap();
        close(&values(&buffers[0]), &[0.5, 0.25]);
        sgd(&params, &grads, &buffers, &Sgd { is_first_step: false, ..SGD }, Scale::default()).unwrap();
        close(&values(&buffers[0]), &[0.95, 0.475]);
        close(&values(&params[0]), &[1.0 - 0.1 * 1.45, -2.0 - 0.1 * 0.725]);
    }

    #[test]
    fn adagrad_over_two_steps() {
        let params = [Tensor::from_slice(&[1f32])];
        let grads = [Tensor::from_slice(&[0.5f32])];
        let (sums, steps) = ([Tensor::zeros([1], FLOAT)], [Tensor::zeros([], FLOAT)]);
        let options = Adagrad { lr: 0.1, lr_decay: 0.5, weight_decay: 0.0, eps: 1e-10, maximize: false };
        for _ in 0..2 {
            super::super::foreach::add_scalar(&steps, 1.0).unwrap();
            adagrad(&params, &grads, &sums, &steps, &options, Scale::default()).unwrap();
        }
        let second = 0.1 / 1.5 * 0.5 / 0.5f64.sqrt();
        close(&values(&params[0]), &[1.0 - 0.1 - second]);
    }

    #[test]
    fn a_gradient_with_other_strides_is_brought_in_line() {
        let params = [Tensor::zeros([2, 2], FLOAT)];
        let grads = [Tensor::from_slice(&[1f32, 2.0, 3.0, 4.0]).reshape([2, 2]).tr()];
        sgd::<Tensor>(&params, &grads, &[], &Sgd { lr: 1.0, momentum: 0.0, ..SGD }, Scale::default()).unwrap();
        close(&values(&params[0]), &[-1.0, -3.0, -2.0, -4.0]);
    }

    #[test]
    fn what_does_not_fit_is_refused() {
        let params = [Tensor::zeros([2], FLOAT), Tensor::zeros([3], FLOAT)];
        let plain = Sgd { momentum: 0.0, ..SGD };
        let refuse = |params: &[Tensor], grads: &[Tensor], options: &Sgd, buffers: &[Tensor]| {
            sgd(params, grads, buffers, options, Scale::default()).unwrap_err().0
        };
        assert_eq!(refuse(&params, &params[..1], &plain, &[]), "there are 1 gradients for 2 parameters");
        let wrong = [Tensor::zeros([2], FLOAT), Tensor::zeros([2], FLOAT)];
        assert_eq!(
            refuse(&params, &wrong, &plain, &[]),
            "gradient 1 is Float [2] strides [1] on cpu, but its parameter is Float [3] strides [1] on cpu"
        );
        let doubles = [Tensor::zeros([2], (Kind::Double, Device::Cpu)), Tensor::zeros([3], FLOAT)];
        assert!(refuse(&params, &doubles, &plain, &[]).starts_with("gradient 0 is Double"));
        assert!(refuse(&params, &params, &SGD, &wrong).starts_with("momentum buffer 1 is Float [2]"));
        let gaps = [Tensor::zeros([4], FLOAT).slice(0, 0, 4, 2)];
        assert!(refuse(&gaps, &gaps, &plain, &[]).starts_with("parameter 0 is not dense"));
        assert!(refuse(&[Tensor::new()], &gaps, &plain, &[]).contains("holds nothing"));
        let none: [Tensor; 0] = [];
        sgd(&none, &none, &none, &plain, Scale::default()).unwrap();
    }
}
