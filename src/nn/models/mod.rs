//! Architectures: torchvision's and timm's under their names, and small ones under `runner.models`.

mod dense;
mod heads;
mod modified;
mod script;
mod small_cnn;
mod timm;
mod varkoder;
pub mod vision;

#[cfg(test)]
mod tests;

use crate::registry::Registry;

/// Adds every model.
pub fn register(registry: &mut Registry) {
    registry.add::<dense::SimpleDenseNetArgs>();
    registry.add::<dense::MlpArgs>();
    registry.add::<small_cnn::SmallCnnArgs>();
    registry.add::<modified::ModifiedArgs>();
    registry.add::<script::ScriptArgs>();
    registry.add::<heads::MultiHeadArgs>();
    registry.add::<heads::FastaiHeadArgs>();
    registry.add::<varkoder::VarkoderArgs>();
    vision::register(registry);
    timm::register(registry);
}
