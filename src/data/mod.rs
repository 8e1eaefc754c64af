//! Data: datasets, data modules, the loader, transforms.
//!
//! A [`DataModule`] knows where samples come from and gives a [`Loader`] for each [`Split`]; a loader cuts a
//! [`Dataset`] into batches, with worker threads when asked. Images stay 8-bit buffers ([`image::Image`]) until the
//! transforms' last step. Randomness is a function of (seed, epoch, index): see [`rng`].

mod batch;
pub mod datasets;
pub mod decode;
pub mod image;
mod loader;
pub mod mix;
pub mod rng;
pub mod sampler;
pub mod torch_order;
pub mod transforms;

use std::path::PathBuf;

pub use batch::{Batch, Field, Sample};
pub use loader::Loader;

use crate::error::Result;
use crate::registry::{Kind, Registry};

/// Which part of the data.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Split {
    /// To learn from.
    Train,
    /// To choose by.
    Val,
    /// To judge by.
    Test,
    /// To predict.
    Predict,
}

impl Split {
    /// As in metric names: `train`, `val`, `test`, `predict`.
    pub fn name(self) -> &'static str {
        match self {
            Split::Train => "train",
            Split::Val => "val",
            Split::Test => "test",
            Split::Predict => "predict",
        }
    }
}

/// Where a sample's randomness comes from: the same for a (seed, epoch, index), whatever the worker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SampleKey {
    /// The run's seed.
    pub seed: u64,
    /// The epoch, from 0.
    pub epoch: u64,
    /// The sample's index in its dataset.
    pub index: u64,
}

/// A set of samples that can be read by index, from several threads at once.
pub trait Dataset: Send + Sync {
    /// How many samples.
    fn len(&self) -> usize;

    /// Whether there are none.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// One sample; tensors on the CPU, without a batch dimension.
    ///
    /// # Errors
    /// When the sample cannot be read: the message names the file.
    fn sample(&self, key: SampleKey) -> Result<Sample>;

    /// A whole batch. Datasets that can fill the batch's buffer without a tensor per sample do so here; the result
    /// must equal the collated samples.
    ///
    /// # Errors
    /// When a sample cannot be read, or the samples do not have the same fields and shapes.
    fn batch(&self, keys: &[SampleKey]) -> Result<Batch> {
        let samples = keys.iter().map(|&key| self.sample(key)).collect::<Result<Vec<_>>>()?;
        Batch::collate(samples, keys.iter().map(|key| key.index as usize).collect())
    }

    /// Whether a batch is only a copy of what lies in memory: then it is made on the caller's thread, because
    /// handing it over would take longer.
    fn in_memory(&self) -> bool {
        false
    }

    /// The name of a sample in predictions: a file path, or its number.
    fn id(&self, index: usize) -> String {
        index.to_string()
    }
}

/// What the data module knows about its samples that models and reports use.
#[derive(Clone, Debug, Default)]
pub struct DataFacts {
    /// Names of the classes in label order, for classification.
    pub classes: Vec<String>,
    /// The shape of one input without the batch dimension, when all have the same.
    pub input_shape: Option<Vec<i64>>,
}

/// What setting up data may depend on.
#[derive(Clone, Debug)]
pub struct DataContext {
    /// The run's seed.
    pub seed: u64,
    /// Where to leave files about the data (splits, skipped files); `None` when the run writes nothing.
    pub run_dir: Option<PathBuf>,
}

/// A data module: where samples come from and how they are split and batched.
pub trait DataModule: Send {
    /// Fetches or unpacks what is missing, once, before [`DataModule::setup`].
    fn prepare(&mut self) -> Result<()> {
        Ok(())
    }

    /// Reads what the splits need.
    fn setup(&mut self, cx: &DataContext) -> Result<()>;

    /// The loader of a split; `None` when the data has no such split.
    fn loader(&self, split: Split) -> Result<Option<Loader>>;

    /// What is known about the samples; after [`DataModule::setup`].
    fn facts(&self) -> DataFacts {
        DataFacts::default()
    }
}

/// The kind of data modules.
pub struct DataModuleKind;

impl Kind for DataModuleKind {
    type Built = Box<dyn DataModule>;
    const NAME: &'static str = "data module";
}

/// The components of this folder: data modules and transforms.
pub fn register(registry: &mut Registry) {
    datasets::register(registry);
    transforms::register(registry);
    mix::register(registry);
}
