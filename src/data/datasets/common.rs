//! What all data modules of images have in common: batching, splitting, transforms, and the arguments for them.

use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::split::SplitRule;
use crate::config::{Node, Value};
use crate::data::decode::MAX_PIXELS;
use crate::data::mix::{BatchTransform, BatchTransformKind};
use crate::data::sampler::SamplerSpec;
use crate::data::transforms::{Pipeline, Transforms};
use crate::data::{Dataset, Loader};
use crate::error::Result;
use crate::registry::{Build, IntOrFloat, NonNegative, Slot};

/// What the arguments that all data modules share become.
pub struct Common {
    /// How batches are made.
    pub batching: Batching,
    /// How samples are split.
    pub splitting: SplitRule,
    /// Which training samples an epoch shows.
    pub sampler: Option<Box<dyn SamplerSpec>>,
    /// How much of the training part is used.
    pub subset: Option<IntOrFloat>,
    /// Transforms of the training part.
    pub train: Pipeline,
    /// Transforms of all other parts.
    pub test: Pipeline,
}

/// How batches are made.
#[derive(Clone)]
pub struct Batching {
    /// Samples in a batch.
    pub batch_size: usize,
    /// Samples in a batch of the test and of predictions, when it is another number.
    pub test_batch_size: Option<usize>,
    /// Batch sizes that follow the number of training samples.
    pub auto: Option<AutoBatch>,
    /// Worker threads.
    pub num_workers: usize,
    /// Batches that the workers may be ahead, all together.
    pub prefetch_factor: usize,
    /// How long to wait for a batch.
    pub timeout: Option<Duration>,
    /// Whether batches lie in page-locked memory.
    pub pin_memory: bool,
    /// Whether a last training batch that is not full is left out.
    pub drop_last: bool,
    /// Transforms of whole training batches.
    pub transforms: Vec<Arc<dyn BatchTransform>>,
}

/// About so many batches an epoch, of a power of two of samples.
#[derive(Clone, Copy, Debug)]
pub struct AutoBatch {
    /// Batches in an epoch.
    pub batches: f64,
    /// The least batch size.
    pub min: usize,
    /// The largest.
    pub max: usize,
}

impl AutoBatch {
    /// The power of two nearest to `samples / batches`, within the limits.
    pub fn size(&self, samples: usize) -> usize {
        let exponent = (samples as f64 / self.batches).log2().round_ties_even();
        let size = if exponent < 0.0 { 1 } else { 1usize << (exponent as u32).min(40) };
        size.clamp(self.min, self.max.max(self.min))
    }
}

impl Batching {
    /// The batch size for so many training samples.
    pub fn size(&self, samples: usize) -> usize {
        self.auto.map_or(self.batch_size, |auto| auto.size(samples))
    }

    /// A loader without shuffling.
    pub fn loader(&self, dataset: Arc<dyn Dataset>, batch_size: usize, seed: u64) -> Loader {
        Loader {
            num_workers: self.num_workers,
            pin_memory: self.pin_memory,
            prefetch_factor: self.prefetch_factor,
            timeout: self.timeout,
            ..Loader::new(dataset, batch_size, seed)
        }
    }
}

/// Whether decoded images are kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Cache {
    /// In memory, from the first time they are read: width x height x channels bytes each.
    Ram,
    /// In a file below `cache_dir` that is mapped into memory; made at the first use, found again by content.
    Disk,
}

/// What becomes of an image that cannot be read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum OnError {
    /// The run stops and names the file.
    #[default]
    Stop,
    /// All files are read once at the start; those that cannot be read are counted, listed in data/skipped.csv and
    /// left out of every epoch.
    Skip,
}

/// What modules of image files have beside [`Common`].
#[derive(Clone, Debug)]
pub struct FileOptions {
    /// Whether decoded images are kept.
    pub cache: Option<Cache>,
    /// Where the disk cache lies.
    pub cache_dir: PathBuf,
    /// What becomes of an image that cannot be read.
    pub on_error: OnError,
}

impl FileOptions {
    /// For images that do not lie in files.
    pub fn none() -> Self {
        FileOptions { cache: None, cache_dir: PathBuf::new(), on_error: OnError::Stop }
    }

    /// Whether unreadable images are left out.
    pub fn skips(&self) -> bool {
        self.on_error == OnError::Skip
    }
}

pub(super) fn batch_size() -> NonZeroUsize {
    const { NonZeroUsize::new(64).unwrap() }
}

pub(super) fn prefetch_factor() -> NonZeroUsize {
    const { NonZeroUsize::new(2).unwrap() }
}

pub(super) fn split_seed() -> u64 {
    42
}

pub(super) fn max_pixels() -> u64 {
    MAX_PIXELS
}

pub(super) fn yes() -> bool {
    true
}

pub(super) fn forever() -> NonNegative {
    NonNegative(0.0)
}

pub(super) fn cache_dir() -> PathBuf {
    ".cache/images".into()
}

/// Says so when a Normalize behind ToTensor has a mean that no value from 0 to 1 has: it was taken of 0…255.
fn warn_of_scale(transforms: &Transforms) {
    let mut scaled = false;
    for slot in transforms {
        let class = slot.target().and_then(|target| target.rsplit('.').next()).unwrap_or_default();
        scaled |= class == "ToTensor";
        let means = slot.node.get("mean").and_then(Node::as_list).unwrap_or_default();
        let is_above = |mean: &Node| match mean.value {
            Value::Int(value) => value > 1,
            Value::Float(value) => value > 1.0,
            _ => false,
        };
        if scaled && class == "Normalize" && means.iter().any(is_above) {
            tracing::warn!("{}: a mean above 1, but ToTensor gives values from 0 to 1: divide it by 255", slot.path);
        }
    }
}

/// Builds the transforms of a split; `default` stands where none are given.
///
/// # Errors
/// When a transform cannot be built.
pub fn pipeline(cx: &mut Build, given: &Option<Transforms>, default: impl FnOnce() -> Pipeline) -> Result<Pipeline> {
    match given {
        Some(transforms) => {
            warn_of_scale(transforms);
            Ok(Pipeline::new(cx.build_all(transforms)?))
        }
        None => Ok(default()),
    }
}

/// Builds the transforms of whole batches.
///
/// # Errors
/// When one cannot be built.
pub fn batch_transforms(
    cx: &mut Build,
    given: &Option<Vec<Slot<BatchTransformKind>>>,
) -> Result<Vec<Arc<dyn BatchTransform>>> {
    let built = cx.build_all(given.iter().flatten())?;
    Ok(built.into_iter().map(Arc::from).collect())
}

/// Defines the arguments of a data module: its own, then those that all of them share.
macro_rules! data_module {
    ($(#[$doc:meta])* pub struct $name:ident { $($own:tt)* }) => {
        $(#[$doc])*
        #[derive(serde::Deserialize, schemars::JsonSchema)]
        #[serde(deny_unknown_fields)]
        pub struct $name {
            $($own)*
            /// Samples in a batch.
            #[serde(default = "crate::data::datasets::common::batch_size")]
            batch_size: std::num::NonZeroUsize,
            /// Samples in a batch of the test and of predictions; null: as many as in training.
            #[serde(default)]
            test_batch_size: Option<std::num::NonZeroUsize>,
            /// Threads that read ahead; 0 reads on the thread that trains, auto takes one for every core that this
            /// process may use. The batches are the same.
            #[serde(default)]
            num_workers: crate::registry::Workers,
            /// Batches that the threads may be ahead, all together: they make one batch after the other.
            #[serde(default = "crate::data::datasets::common::prefetch_factor")]
            prefetch_factor: std::num::NonZeroUsize,
            /// Seconds to wait for a batch before giving up; 0 waits for ever.
            #[serde(default = "crate::data::datasets::common::forever")]
            timeout: crate::registry::NonNegative,
            /// Whether batches lie in page-locked memory, for a GPU.
            #[serde(default)]
            pin_memory: bool,
            /// No effect: worker threads start in no time.
            #[serde(default)]
            #[allow(dead_code, reason = "accepted because PyTorch has it")]
            persistent_workers: crate::registry::Ignored,
            /// Whether a last training batch that is not full is left out.
            #[serde(default)]
            drop_last: bool,
            /// Sizes of the training, validation and test part: shares, or numbers of samples. null: 0.8, 0.1, 0.1,
            /// or what the data's own parts leave open. What the sizes leave over is not used.
            #[serde(default)]
            train_val_test_split: Option<Vec<crate::registry::IntOrFloat>>,
            /// The seed of the split, so that runs with other seeds have the same parts.
            #[serde(default = "crate::data::datasets::common::split_seed")]
            split_seed: u64,
            /// Whether each part gets every class in proportion; a class of one sample is learned from.
            #[serde(default = "crate::data::datasets::common::yes")]
            stratify: bool,
            /// Cross-validation: the number of folds that training and validation samples are cut into.
            #[serde(default)]
            folds: Option<u64>,
            /// The fold that is validated on, from 0.
            #[serde(default)]
            fold: Option<u64>,
            /// The samples (or groups) of the validation part: ids separated by commas, a list, or a file of them.
            #[serde(default)]
            val_ids: Option<crate::registry::OneOrMany<String>>,
            /// The samples (or groups) of the test part, in the same ways.
            #[serde(default)]
            test_ids: Option<crate::registry::OneOrMany<String>>,
            /// How much of the training part is used: a share, or a number of samples.
            #[serde(default)]
            subset: Option<crate::registry::IntOrFloat>,
            /// Which training samples an epoch shows, in place of all of them in random order.
            #[serde(default)]
            sampler: Option<crate::registry::Slot<crate::data::sampler::SamplerKind>>,
            /// Transforms of the training part; null casts, and normalizes where the data set is a known one.
            #[serde(default)]
            train_transforms: Option<crate::data::transforms::Transforms>,
            /// Transforms of the other parts; null casts, and normalizes where the data set is a known one.
            #[serde(default)]
            test_transforms: Option<crate::data::transforms::Transforms>,
            /// Transforms of whole training batches: MixUp, CutMix, lighting.
            #[serde(default)]
            batch_transforms: Option<Vec<crate::registry::Slot<crate::data::mix::BatchTransformKind>>>,
        }

        impl $name {
            fn check_common(&self, cx: &mut crate::registry::Check) {
                crate::data::datasets::split::check_arguments(
                    self.train_val_test_split.as_deref(),
                    (self.folds, self.fold),
                    self.val_ids.is_some() || self.test_ids.is_some(),
                    cx,
                );
            }

            fn common(
                &self,
                cx: &mut crate::registry::Build,
                default: impl Fn() -> crate::data::transforms::Pipeline,
            ) -> crate::error::Result<crate::data::datasets::common::Common> {
                use crate::data::datasets::{common, split};
                Ok(common::Common {
                    batching: common::Batching {
                        batch_size: self.batch_size.get(),
                        test_batch_size: self.test_batch_size.map(std::num::NonZeroUsize::get),
                        auto: None,
                        num_workers: self.num_workers.count(),
                        prefetch_factor: self.prefetch_factor.get(),
                        timeout: (self.timeout.0 > 0.0).then(|| std::time::Duration::from_secs_f64(self.timeout.0)),
                        pin_memory: self.pin_memory,
                        drop_last: self.drop_last,
                        transforms: common::batch_transforms(cx, &self.batch_transforms)?,
                    },
                    splitting: split::SplitRule {
                        sizes: split::Sizes::Parts(self.train_val_test_split.clone()),
                        seed: self.split_seed,
                        stratify: self.stratify,
                        folds: self.folds.map(|folds| (folds as usize, self.fold.unwrap_or(0) as usize)),
                        val: split::ids(self.val_ids.as_ref())?,
                        test: split::ids(self.test_ids.as_ref())?,
                    },
                    sampler: cx.build_opt(&self.sampler)?,
                    subset: self.subset,
                    train: common::pipeline(cx, &self.train_transforms, &default)?,
                    test: common::pipeline(cx, &self.test_transforms, &default)?,
                })
            }
        }
    };
}

/// As [`data_module`], for images in files.
macro_rules! file_module {
    ($(#[$doc:meta])* pub struct $name:ident { $($own:tt)* }) => {
        crate::data::datasets::common::data_module! {
            $(#[$doc])*
            pub struct $name {
                $($own)*
                /// ram or disk keeps decoded images; null decodes them each time.
                #[serde(default)]
                cache: Option<crate::data::datasets::common::Cache>,
                /// Where the disk cache lies.
                #[serde(default = "crate::data::datasets::common::cache_dir")]
                cache_dir: std::path::PathBuf,
                /// stop at an image that cannot be read, or skip: find them all at the start and leave them out.
                #[serde(default)]
                on_error: crate::data::datasets::common::OnError,
                /// The most pixels that an image may have; a file that claims more is refused before memory is taken.
                #[serde(default = "crate::data::datasets::common::max_pixels")]
                max_image_pixels: u64,
            }
        }

        impl $name {
            fn file_options(&self) -> crate::data::datasets::common::FileOptions {
                crate::data::datasets::common::FileOptions {
                    cache: self.cache,
                    cache_dir: self.cache_dir.clone(),
                    on_error: self.on_error,
                }
            }
        }
    };
}

pub(crate) use {data_module, file_module};

#[cfg(test)]
mod tests {
    use super::*;

    /// The table of varKoder's documentation.
    #[test]
    fn automatic_batch_sizes() {
        let auto = AutoBatch { batches: 10.0, min: 1, max: 64 };
        let table = [(1, 1), (5, 1), (9, 1), (14, 1), (15, 2), (28, 2), (29, 4), (38, 4), (100, 8), (200, 16)];
        for (samples, size) in table.into_iter().chain([(450, 32), (640, 64), (5000, 64)]) {
            assert_eq!(auto.size(samples), size, "{samples}");
        }
    }
}
