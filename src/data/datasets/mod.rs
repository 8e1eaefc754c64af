//! Datasets and data modules.
//!
//! The data modules of images share [`images::ImageModule`]: each of them only says where the images and labels are
//! ([`images::Source`]) and has arguments of its own.

mod cifar10;
mod digits;
mod download;
mod folder;
mod idx;
pub mod images;
mod mnist;
mod random;
mod split;

use crate::registry::Registry;

pub use split::{Parts, split};

/// The data modules' components.
pub fn register(registry: &mut Registry) {
    registry.add::<digits::Digits>();
    registry.add::<mnist::Mnist>();
    registry.add::<mnist::FashionMnist>();
    registry.add::<folder::ImageFolder>();
    registry.add::<cifar10::Cifar10>();
    registry.add::<random::RandomArgs>();
}
