//! Datasets and data modules.
//!
//! The data modules of images share [`images::ImageModule`] and the arguments of [`common`]: each of them only says
//! where the images and labels are ([`images::Source`]) and has a few arguments of its own.

mod arrays;
mod cifar10;
mod cifar_batches;
pub mod common;
mod digits;
mod download;
mod folder;
mod hierarchy;
mod idx;
mod image_table;
pub mod images;
mod kmer;
mod mnist;
mod npy;
pub mod png_text;
mod random;
pub mod split;
pub mod table;
mod template;
#[cfg(test)]
mod testing;
#[cfg(test)]
mod workers;

use crate::registry::Registry;

pub use folder::is_image;
pub use split::{Parts, split};

/// The data modules' components.
pub fn register(registry: &mut Registry) {
    registry.add::<digits::Digits>();
    registry.add::<mnist::Mnist>();
    registry.add::<mnist::FashionMnist>();
    registry.add::<folder::ImageFolder>();
    registry.add::<cifar10::Cifar10>();
    registry.add::<random::RandomArgs>();
    registry.add::<cifar_batches::Cifar100>();
    registry.add::<arrays::Arrays>();
    registry.add::<image_table::ImageTable>();
    registry.add::<kmer::KmerImages>();
}
