//! `torch.nn`: layers with PyTorch's arguments, parameter names, initial values and numbers.

mod activation;
mod attention;
mod container;
mod conv;
mod dropout;
mod embedding;
mod linear;
mod norm;
mod pool;
mod recurrent;
mod shape;

pub use activation::{Activation, Function};
pub use attention::MultiheadAttention;
pub use container::Sequential;
pub use conv::{Conv, ConvOptions, ConvTranspose, PaddingMode};
pub use dropout::{Dropout, StochasticDepth, StochasticMode};
pub use embedding::Embedding;
pub use linear::Linear;
pub use norm::{BatchNorm, BatchNormOptions, GroupNorm, LayerNorm};
pub use pool::{Pool, PoolKind};
pub use recurrent::{Cell, Recurrent};
pub use shape::{Flatten, Identity};

use crate::registry::Registry;

/// A convolution over images.
pub type Conv2d = Conv<2>;

/// Adds every layer.
pub fn register(registry: &mut Registry) {
    registry.add::<linear::LinearArgs>();
    registry.add::<conv::Conv1dArgs>();
    registry.add::<conv::Conv2dArgs>();
    registry.add::<conv::ConvTranspose2dArgs>();
    registry.add::<norm::BatchNorm1dArgs>();
    registry.add::<norm::BatchNorm2dArgs>();
    registry.add::<norm::LayerNormArgs>();
    registry.add::<norm::GroupNormArgs>();
    registry.add::<dropout::DropoutArgs>();
    registry.add::<dropout::Dropout1dArgs>();
    registry.add::<dropout::Dropout2dArgs>();
    registry.add::<dropout::StochasticDepthArgs>();
    registry.add::<embedding::EmbeddingArgs>();
    registry.add::<pool::MaxPool2dArgs>();
    registry.add::<pool::AvgPool2dArgs>();
    registry.add::<pool::AdaptiveAvgPool2dArgs>();
    registry.add::<pool::AdaptiveMaxPool2dArgs>();
    registry.add::<shape::FlattenArgs>();
    registry.add::<shape::IdentityArgs>();
    registry.add::<activation::ReluArgs>();
    registry.add::<activation::Relu6Args>();
    registry.add::<activation::GeluArgs>();
    registry.add::<activation::SiluArgs>();
    registry.add::<activation::SigmoidArgs>();
    registry.add::<activation::TanhArgs>();
    registry.add::<activation::LeakyReluArgs>();
    registry.add::<activation::EluArgs>();
    registry.add::<activation::HardswishArgs>();
    registry.add::<activation::HardsigmoidArgs>();
    registry.add::<activation::SoftmaxArgs>();
    registry.add::<activation::MishArgs>();
    registry.add::<attention::MultiheadAttentionArgs>();
    registry.add::<recurrent::LstmArgs>();
    registry.add::<recurrent::GruArgs>();
    registry.add::<container::SequentialArgs>();
}

#[cfg(test)]
mod tests;
