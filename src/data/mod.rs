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
pub mod progress;
pub mod record;
pub mod rng;
pub mod sampler;
pub mod targets;
pub mod torch_order;
pub mod transforms;

use std::path::{Path, PathBuf};
use std::sync::Arc;

pub use batch::{Batch, Field, Sample};
use image::Picture;
pub use loader::Loader;
use serde::{Deserialize, Serialize};
pub use targets::{LabelKind, Level, Targets};

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

    /// A batch that several threads make together, sample by sample; `None` when [`Dataset::batch`] makes it whole.
    /// The result must equal that.
    fn begin(self: Arc<Self>, _: &[SampleKey]) -> Option<Box<dyn Assembly>> {
        None
    }

    /// Whether a batch is only a copy of what lies in memory: then it is made on the caller's thread, because
    /// handing it over would take longer.
    fn in_memory(&self) -> bool {
        false
    }

    /// The name of a sample in predictions: a file path, a sample's id from a table, or its number.
    fn id(&self, index: usize) -> String {
        index.to_string()
    }

    /// The file of a sample, where it has one of its own.
    fn path(&self, _: usize) -> Option<&Path> {
        None
    }

    /// Names of further columns that are known of each sample (coordinates, a table's own columns), for the tables
    /// that are written about samples.
    fn columns(&self) -> &[String] {
        &[]
    }

    /// The values of [`Dataset::columns`] for a sample.
    fn row(&self, _: usize) -> Vec<String> {
        Vec::new()
    }

    /// A sample as it is before the transforms; `None` when it is no picture.
    ///
    /// # Errors
    /// When it cannot be read; the message names the file.
    fn original(&self, _: usize) -> Result<Option<Picture>> {
        Ok(None)
    }

    /// The width and height of a sample before the transforms, found without decoding it; `None` when it is no
    /// picture.
    ///
    /// # Errors
    /// When it cannot be read; the message names the file.
    fn size(&self, _: usize) -> Result<Option<[usize; 2]>> {
        Ok(None)
    }

    /// What black and white are in the inputs, for so many channels; `None` when they are no pictures.
    fn levels(&self, _: usize) -> Option<Vec<[f32; 2]>> {
        None
    }

    /// A sample's target in words: names of classes joined by `;`. Empty without labels.
    fn target_words(&self, _: usize) -> String {
        String::new()
    }
}

/// A batch in the making.
pub trait Assembly: Send + Sync {
    /// Makes the sample at a place of the batch; each place is made once. What goes wrong is said at the end.
    fn make(&self, place: usize);

    /// The batch, after all of its samples.
    ///
    /// # Errors
    /// The first error of its samples, in their order.
    fn finish(self: Box<Self>) -> Result<Batch>;
}

/// What the data module knows about its samples that models and reports use.
///
/// They can be written and read back (`data/facts.json` in a run's folder), so that a trained network is used without
/// the data that it was trained on.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct DataFacts {
    /// Names of the classes in label order, for classification; of the first level where there are several.
    pub classes: Vec<String>,
    /// The shape of one input without the batch dimension, when all have the same.
    pub input_shape: Option<Vec<i64>>,
    /// What `target` is in a batch.
    pub labels: LabelKind,
    /// The levels of a hierarchy, finest first, when labels are [`LabelKind::Levels`]. The first level's classes
    /// are [`DataFacts::classes`].
    pub levels: Vec<Level>,
    /// For each class of the first level its class at every level, the first included: what belongs to which family.
    pub lineage: Vec<Vec<i64>>,
    /// How many training samples each class of [`DataFacts::classes`] has.
    pub class_counts: Vec<u64>,
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

    /// A loader of files that belong to no split and have no labels, seen through the transforms of the test part,
    /// in the order given. Works without [`DataModule::setup`]: nothing of the data set need be there. A file that
    /// cannot be read is left out of its batch and noted in [`Batch::failed`]. `None` when inputs are not files.
    ///
    /// # Errors
    /// When the files cannot be what the module reads.
    fn files(&self, _: Vec<PathBuf>) -> Result<Option<Loader>> {
        Ok(None)
    }

    /// Writes what is worth keeping about the data into a run's folder (`data/`): who is in which split, how many
    /// samples each class has, the facts. After [`DataModule::setup`].
    ///
    /// # Errors
    /// When a file cannot be written.
    fn record(&self, folder: &Path) -> Result<()> {
        record::facts(folder, &self.facts())
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
    sampler::register(registry);
}
