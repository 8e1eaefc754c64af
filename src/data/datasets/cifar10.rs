//! CIFAR-10 as JPEG files.

use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};

use super::folder::{Cache, Folders, batch_size, split_seed};
use super::images::{self, Batching, ImageModule};
use super::split;
use crate::data::decode::Decode;
use crate::data::mix::BatchTransformKind;
use crate::data::transforms::{Pipeline, Transforms};
use crate::data::{DataModule, DataModuleKind};
use crate::error::Result;
use crate::prelude::*;

/// CIFAR-10: 60,000 colour images of ten classes, 32x32 (Krizhevsky, 2009), as `root/{train,test}/<class>/NNNN.jpg`.
///
/// The folders may also lie in `root/images`, `root/cifar10` or `root/CIFAR-10-images`. The validation part comes
/// out of `train`, stratified. Inputs are `[3, 32, 32]`.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Cifar10 {
    /// The folder of `train` and `test`.
    root: PathBuf,
    /// Sizes of the parts: numbers of images, or shares. null: a tenth of `train` is for validation.
    #[serde(default)]
    train_val_test_split: Option<Vec<IntOrFloat>>,
    /// Samples in a batch.
    #[serde(default = "batch_size")]
    batch_size: NonZeroUsize,
    /// Threads that read ahead.
    #[serde(default)]
    num_workers: usize,
    /// Whether batches lie in page-locked memory, for a GPU.
    #[serde(default)]
    pin_memory: bool,
    /// No effect: worker threads start in no time.
    #[serde(default)]
    #[allow(dead_code, reason = "accepted because PyTorch has it")]
    persistent_workers: Ignored,
    /// The seed of the split, so that runs with other seeds have the same parts.
    #[serde(default = "split_seed")]
    split_seed: u64,
    /// Transforms of the training part; null casts and normalizes.
    #[serde(default)]
    train_transforms: Option<Transforms>,
    /// Transforms of the other parts; null casts and normalizes.
    #[serde(default)]
    test_transforms: Option<Transforms>,
    /// Transforms of whole training batches: MixUp, CutMix.
    #[serde(default)]
    batch_transforms: Option<Vec<Slot<BatchTransformKind>>>,
    /// ram keeps decoded images in memory (3 KB each, 184 MB for all); null decodes them each time.
    #[serde(default = "ram")]
    cache: Option<Cache>,
}

fn ram() -> Option<Cache> {
    Some(Cache::Ram)
}

/// Mean and standard deviation of the training images' channels.
const MEAN: [f32; 3] = [0.4914, 0.4822, 0.4465];
const STD: [f32; 3] = [0.2470, 0.2435, 0.2616];

/// Where `train` is, if it is anywhere.
fn find(root: &Path) -> Option<PathBuf> {
    let places = ["", "images", "cifar10", "CIFAR-10-images", "cifar10/images"];
    places.iter().map(|place| root.join(place)).find(|folder| folder.join("train").is_dir())
}

impl Component for Cifar10 {
    type Kind = DataModuleKind;
    const TARGETS: &'static [&'static str] = &["runner.data.CIFAR10"];

    fn check(&self, cx: &mut Check) {
        if let Some(sizes) = &self.train_val_test_split {
            split::check(sizes, cx);
        }
        if find(&self.root).is_none() {
            let message = if self.root.is_dir() {
                format!("{} has no folder train", self.root.display())
            } else {
                format!("there is no folder {}", self.root.display())
            };
            cx.problem("root", message).help =
                Some("unpack the images as train/<class>/*.jpg and test/<class>/*.jpg, and set data.root to it".into());
        }
    }

    fn build(self, cx: &mut Build) -> Result<Box<dyn DataModule>> {
        let normalized = || Pipeline::normalize(&MEAN, &STD);
        let train = images::pipeline(cx, &self.train_transforms, normalized)?;
        let test = images::pipeline(cx, &self.test_transforms, normalized)?;
        let batching = Batching {
            batch_size: self.batch_size.get(),
            num_workers: self.num_workers,
            pin_memory: self.pin_memory,
            transforms: images::batch_transforms(cx, &self.batch_transforms)?,
        };
        let source = Folders {
            roots: vec![find(&self.root).unwrap_or(self.root)],
            sizes: self.train_val_test_split,
            seed: self.split_seed,
            decode: Decode::default(),
            cache: self.cache,
        };
        Ok(Box::new(ImageModule::new(source, batching, train, test)))
    }
}
