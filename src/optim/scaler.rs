//! Loss scaling for half precision.

use serde_json::json;
use tch::{Device, Kind, Tensor};

use super::{GradScale, Optimizer};
use crate::error::{Error, Result};
use crate::native::foreach;
use crate::tensor::{State, Stateful, guard};

/// The arguments of `torch.amp.GradScaler`, with its defaults.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ScalerArgs {
    /// The first scale.
    pub init_scale: f64,
    /// By what the scale grows after `growth_interval` steps without an infinity.
    pub growth_factor: f64,
    /// By what the scale shrinks after a step with one.
    pub backoff_factor: f64,
    /// See `growth_factor`.
    pub growth_interval: i64,
}

impl Default for ScalerArgs {
    fn default() -> Self {
        ScalerArgs { init_scale: 65536.0, growth_factor: 2.0, backoff_factor: 0.5, growth_interval: 2000 }
    }
}

/// Multiplies the loss so that small gradients survive half precision, and skips the steps whose gradients overflow:
/// `torch.amp.GradScaler`. Nothing here waits for the device, but for optimizers without a fused step.
///
/// The order of a step: [`GradScaler::scale`] the loss, backward, [`GradScaler::unscale`] before clipping,
/// [`GradScaler::step`], [`GradScaler::update`].
pub struct GradScaler {
    args: ScalerArgs,
    scale: Tensor,
    tracker: Tensor,
    found_inf: Tensor,
    unscaled: bool,
}

impl GradScaler {
    /// A scaler whose numbers live on `device`, the parameters' one.
    pub fn new(device: Device, args: ScalerArgs) -> Self {
        GradScaler {
            scale: Tensor::full([], args.init_scale, (Kind::Float, device)),
            tracker: Tensor::zeros([], (Kind::Int, device)),
            found_inf: Tensor::zeros([], (Kind::Float, device)),
            args,
            unscaled: false,
        }
    }

    /// The loss times the scale.
    ///
    /// # Errors
    /// When the loss lies on another device.
    pub fn scale(&self, loss: &Tensor) -> Result<Tensor> {
        Ok(loss.f_mul(&self.scale)?)
    }

    /// The scale now; reads it back from the device.
    ///
    /// # Errors
    /// When the device fails.
    pub fn value(&self) -> Result<f64> {
        Ok(self.scale.f_double_value(&[])?)
    }

    /// Whether the last step was skipped; reads it back from the device.
    ///
    /// # Errors
    /// When the device fails.
    pub fn skipped(&self) -> Result<bool> {
        Ok(self.found_inf.f_double_value(&[])? != 0.0)
    }

    /// Divides the gradients by the scale and looks for infinities; to be called before clipping, once a step.
    ///
    /// # Errors
    /// When it was called already in this step, or a gradient is in half precision (parameters are to be kept in
    /// single precision).
    pub fn unscale(&mut self, optimizer: &dyn Optimizer) -> Result<()> {
        if self.unscaled {
            return Err(Error::failed("the gradients of this step are unscaled already"));
        }
        let params = optimizer.params();
        let mut lists: [Vec<Tensor>; 2] = Default::default();
        for (name, param) in params.iter().flat_map(|group| group.iter()) {
            let grad = param.grad();
            if !grad.defined() {
                continue;
            }
            match grad.kind() {
                Kind::Float => lists[0].push(grad),
                Kind::Double => lists[1].push(grad),
                kind => {
                    return Err(Error::failed(format!(
                        "the gradient of `{name}` is {kind:?}, which cannot be unscaled"
                    ))
                    .help("mixed precision keeps the parameters in 32-bit floats"));
                }
            }
        }
        // The reciprocal of a float is rounded once from double precision, as PyTorch does it.
        let inverse = self.scale.f_to_kind(Kind::Double)?.f_reciprocal()?.f_to_kind(Kind::Float)?;
        let _ = self.found_inf.f_zero_()?;
        for list in &lists {
            foreach::unscale(list, &self.found_inf, &inverse)?;
        }
        self.unscaled = true;
        Ok(())
    }

    /// Steps the optimizer, unless a gradient overflowed.
    ///
    /// # Errors
    /// What unscaling or the optimizer says.
    pub fn step(&mut self, optimizer: &mut dyn Optimizer) -> Result<()> {
        if !self.unscaled {
            self.unscale(optimizer)?;
        }
        optimizer.step(Some(&GradScale { scale: None, found_inf: &self.found_inf }))
    }

    /// Shrinks the scale after a skipped step, lets it grow after enough good ones. Ends the step.
    ///
    /// # Errors
    /// When the device fails.
    pub fn update(&mut self) -> Result<()> {
        let ScalerArgs { growth_factor, backoff_factor, growth_interval, .. } = self.args;
        let found = &self.found_inf;
        let (scale, tracker) = (&self.scale, &self.tracker);
        let (scale, tracker) = guard(|| {
            tch::no_grad(|| {
                let good = tracker + 1;
                let ripe = good.ge(growth_interval);
                let grown = scale * growth_factor;
                // A scale that would become infinite stays.
                let grown = grown.where_self(&ripe.logical_and(&grown.isfinite()), scale);
                let bad = found.gt(0.0);
                let next = (scale * backoff_factor).where_self(&bad, &grown);
                let count = good.masked_fill(&bad.logical_or(&ripe), 0);
                Ok((next, count.to_kind(Kind::Int)))
            })
        })?;
        (self.scale, self.tracker, self.unscaled) = (scale, tracker, false);
        Ok(())
    }
}

/// `GradScaler.state_dict()`: `scale`, the factors, `_growth_tracker`.
impl Stateful for GradScaler {
    fn state(&self) -> State {
        let tracker = self.tracker.f_int64_value(&[]).unwrap_or(0);
        State::of(json!({
            "scale": self.value().unwrap_or(self.args.init_scale),
            "growth_factor": self.args.growth_factor,
            "backoff_factor": self.args.backoff_factor,
            "growth_interval": self.args.growth_interval,
            "_growth_tracker": tracker,
        }))
    }

    fn restore(&mut self, state: &State) -> Result<()> {
        let number = |name: &str| {
            let value = state.value[name].as_f64();
            value.ok_or_else(|| Error::failed(format!("the saved state of the gradient scaler has no `{name}`")))
        };
        let (scale, tracker) = (number("scale")?, number("_growth_tracker")?);
        self.args = ScalerArgs {
            init_scale: self.args.init_scale,
            growth_factor: number("growth_factor")?,
            backoff_factor: number("backoff_factor")?,
            growth_interval: number("growth_interval")? as i64,
        };
        let _ = self.scale.f_fill_(scale)?;
        let _ = self.tracker.f_fill_(tracker as i64)?;
        self.unscaled = false;
        Ok(())
    }
}
