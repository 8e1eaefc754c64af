//! `detect_anomaly`: names the layer whose output, or whose gradient, was the first that is not finite.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tch::{Kind, Tensor};

use super::Task;
use crate::error::{Error, Result};
use crate::native::grad;
use crate::nn::trace;

/// What was seen of one batch.
#[derive(Clone, Default)]
pub(super) struct Watch(Arc<Mutex<Found>>);

#[derive(Default)]
struct Found {
    /// The first layer whose output is not finite, in the order of the forward pass.
    output: Option<String>,
    /// The first layer at whose output the gradient is not finite, in the order of the backward pass.
    gradient: Option<String>,
    /// The layer whose output the backward pass reached before: there the gradient was finite.
    finite: Option<String>,
}

impl Watch {
    fn found(&self) -> MutexGuard<'_, Found> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Runs a forward pass and looks at every layer's output; with `gradients` also at what the backward pass after
    /// it brings there. Scaled gradients overflow now and then and are the scaler's business.
    pub fn forward<T>(&self, gradients: bool, work: impl FnOnce() -> Result<T>) -> Result<T> {
        let watch = self.clone();
        let observer = move |event: &trace::Event| {
            let name = if event.name.is_empty() { "the network" } else { event.name };
            let name = format!("{name} ({})", event.kind);
            let mut found = watch.found();
            if found.output.is_none() && !is_finite(event.output) {
                found.output = Some(name.clone());
            }
            if gradients && event.output.requires_grad() {
                let watch = watch.clone();
                // A tensor that cannot have a hook has no gradient either.
                let _ = grad::add_hook(event.output, move |gradient| {
                    let mut found = watch.found();
                    if found.gradient.is_none() {
                        if is_finite(gradient) {
                            found.finite = Some(name.clone());
                        } else {
                            found.gradient = Some(name.clone());
                        }
                    }
                    None
                });
            }
        };
        trace::observe(observer, work)
    }

    /// After the forward pass.
    ///
    /// # Errors
    /// When an output or the loss is not finite.
    pub fn check_forward(&self, loss: &Tensor) -> Result<()> {
        if let Some(layer) = &self.found().output {
            return Err(Error::failed(format!("the output of {layer} is the first that is not finite"))
                .help("look at this layer's input and weights; lower the learning rate"));
        }
        if is_finite(loss) {
            return Ok(());
        }
        Err(Error::failed(format!("the loss is {}, though every layer's output is finite", loss.f_double_value(&[])?)))
    }

    /// After the backward pass.
    ///
    /// # Errors
    /// When a gradient is not finite.
    pub fn check_backward(&self, task: &dyn Task) -> Result<()> {
        let help = "lower the learning rate, or clip gradients: trainer.gradient_clip_val=1.0";
        let found = self.found();
        if let Some(layer) = &found.gradient {
            let before = match &found.finite {
                Some(before) => format!("; it still is at the output of {before}"),
                None => "; it comes so from the loss".to_owned(),
            };
            return Err(Error::failed(format!(
                "the gradient at the output of {layer} is the first that is not finite{before}"
            ))
            .help(help));
        }
        for (name, tensor) in task.params().parameters() {
            let gradient = tensor.grad();
            if gradient.defined() && !is_finite(&gradient) {
                return Err(Error::failed(format!("the gradient of `{name}` is not finite")).help(help));
            }
        }
        Ok(())
    }
}

fn is_finite(tensor: &Tensor) -> bool {
    !tensor.is_floating_point()
        || tch::no_grad(|| tensor.isfinite().all().to_kind(Kind::Int64)).f_int64_value(&[]).is_ok_and(|all| all == 1)
}
