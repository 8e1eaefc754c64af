//! Losses with PyTorch's names, defaults and numbers.
//!
//! A loss is its own argument struct: what a config writes is what `forward` reads. Losses of `torch.nn`,
//! `timm.loss` and the functions of `torchvision.ops` (written with `_partial_: true` in Hydra's way) are all one
//! kind.

mod asymmetric;
mod binary;
mod boxes;
mod cross_entropy;
mod distribution;
mod focal;
mod margin;
mod regression;
mod weights;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tch::{Kind as Dtype, Tensor};

use crate::registry::{Kind, Registry};

pub use focal::sigmoid_focal_loss;
pub use weights::Weights;

/// A loss: a scalar tensor (or one value per element with `reduction: none`) with gradient.
///
/// The operations may panic as tch's do; callers go through [`crate::tensor::guard`].
pub trait Loss: Send {
    /// The loss of `input` (logits or values) against `target`.
    fn forward(&self, input: &Tensor, target: &Tensor) -> Tensor;

    /// The name of a third tensor that the loss cannot do without: `var` of the Gaussian likelihood, `negative` of
    /// the triplet margin. Such a loss is called through [`Loss::forward_with`].
    fn needs(&self) -> Option<&'static str> {
        None
    }

    /// The loss with the third tensor that [`Loss::needs`] names.
    fn forward_with(&self, input: &Tensor, target: &Tensor, _: &Tensor) -> Tensor {
        self.forward(input, target)
    }
}

/// The kind of losses.
pub struct LossKind;

impl Kind for LossKind {
    type Built = Box<dyn Loss>;
    const NAME: &'static str = "loss";
    // torchvision's losses are functions: a config names them with `_partial_: true`.
    const PARTIAL: bool = true;
}

/// Registers every loss.
pub fn register(registry: &mut Registry) {
    registry.add::<cross_entropy::CrossEntropyLoss>();
    registry.add::<cross_entropy::NLLLoss>();
    registry.add::<cross_entropy::LabelSmoothingCrossEntropy>();
    registry.add::<cross_entropy::SoftTargetCrossEntropy>();
    registry.add::<binary::BCEWithLogitsLoss>();
    registry.add::<binary::BCELoss>();
    registry.add::<binary::BinaryCrossEntropy>();
    registry.add::<binary::MultiLabelSoftMarginLoss>();
    registry.add::<regression::MSELoss>();
    registry.add::<regression::L1Loss>();
    registry.add::<regression::SmoothL1Loss>();
    registry.add::<regression::HuberLoss>();
    registry.add::<distribution::PoissonNLLLoss>();
    registry.add::<distribution::GaussianNLLLoss>();
    registry.add::<distribution::KLDivLoss>();
    registry.add::<margin::SoftMarginLoss>();
    registry.add::<margin::MultiMarginLoss>();
    registry.add::<margin::MultiLabelMarginLoss>();
    registry.add::<margin::HingeEmbeddingLoss>();
    registry.add::<margin::TripletMarginLoss>();
    registry.add::<focal::SigmoidFocalLoss>();
    registry.add::<asymmetric::AsymmetricLossMultiLabel>();
    registry.add::<asymmetric::AsymmetricLossSingleLabel>();
    registry.add::<boxes::GeneralizedBoxIoULoss>();
    registry.add::<boxes::DistanceBoxIoULoss>();
    registry.add::<boxes::CompleteBoxIoULoss>();
}

/// How the losses of the elements become one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Reduction {
    /// Not at all: one loss per element.
    None,
    /// Their mean.
    #[default]
    Mean,
    /// Their sum.
    Sum,
}

/// [`Reduction`], or the sum over everything divided by the batch size.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum BatchReduction {
    /// Not at all: one loss per element.
    None,
    /// The mean over all elements.
    Mean,
    /// The sum of all elements.
    Sum,
    /// The sum of all elements divided by the batch size.
    BatchMean,
}

impl Reduction {
    /// What PyTorch's two deprecated switches make of `self`: once either is given, they decide.
    fn legacy(self, size_average: Option<bool>, reduce: Option<bool>) -> Self {
        match (size_average, reduce) {
            (None, None) => self,
            (_, Some(false)) => Reduction::None,
            (Some(false), _) => Reduction::Sum,
            _ => Reduction::Mean,
        }
    }

    fn apply(self, loss: &Tensor) -> Tensor {
        match self {
            Reduction::None => loss.shallow_clone(),
            Reduction::Mean => loss.mean(None),
            Reduction::Sum => loss.sum(None),
        }
    }

    fn tch(self) -> tch::Reduction {
        match self {
            Reduction::None => tch::Reduction::None,
            Reduction::Mean => tch::Reduction::Mean,
            Reduction::Sum => tch::Reduction::Sum,
        }
    }
}

impl BatchReduction {
    fn apply(self, loss: &Tensor) -> Tensor {
        match self {
            BatchReduction::None => loss.shallow_clone(),
            BatchReduction::Mean => loss.mean(None),
            BatchReduction::Sum => loss.sum(None),
            BatchReduction::BatchMean => loss.sum(None) / loss.size()[0],
        }
    }
}

/// Makes the argument structs components that build themselves.
macro_rules! losses {
    ($($loss:ident: $target:literal),* $(,)?) => {
        $(impl crate::registry::Component for $loss {
            type Kind = crate::losses::LossKind;
            const TARGETS: &'static [&'static str] = &[$target];
            fn build(self, _: &mut crate::registry::Build) -> crate::error::Result<Box<dyn crate::losses::Loss>> {
                Ok(Box::new(self))
            }
        })*
    };
}
use losses;

/// Refuses what broadcasting would turn into another loss without a word: `[8, 1]` against `[8]` is 64 pairs.
fn same_rank(input: &Tensor, target: &Tensor) {
    let (input, target) = (input.size(), target.size());
    assert!(
        input.len() == target.len(),
        "the loss compares a prediction of shape {input:?} with a target of shape {target:?}; give both the same shape"
    );
}

/// Labels as libtorch wants them.
fn labels(target: &Tensor) -> Tensor {
    match target.kind() {
        Dtype::Int64 => target.shallow_clone(),
        _ => target.to_kind(Dtype::Int64),
    }
}

/// Half precision widened, where a float32 weight meets it.
fn widened(input: &Tensor) -> Tensor {
    match input.kind() {
        Dtype::Half | Dtype::BFloat16 => input.to_kind(Dtype::Float),
        _ => input.shallow_clone(),
    }
}

#[cfg(test)]
mod tests;
