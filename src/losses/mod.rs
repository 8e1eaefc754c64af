//! Losses with PyTorch's names, defaults and numbers.

use tch::Tensor;

use crate::registry::Kind;

/// A loss: a scalar tensor (or one value per element with `reduction: none`) with gradient.
///
/// The operations may panic as tch's do; callers go through [`crate::tensor::guard`].
pub trait Loss: Send {
    /// The loss of `input` (logits or values) against `target`.
    fn forward(&self, input: &Tensor, target: &Tensor) -> Tensor;
}

/// The kind of losses.
pub struct LossKind;

impl Kind for LossKind {
    type Built = Box<dyn Loss>;
    const NAME: &'static str = "loss";
}
