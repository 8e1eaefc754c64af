//! Batches of a dataset, epoch by epoch.
//!
//! The order of an epoch depends on (seed, epoch) alone, a sample's randomness on (seed, epoch, index): the batches
//! are the same bit for bit whatever the number of workers, and an epoch can be entered at any batch.

use std::sync::Arc;

use super::{Batch, Dataset, Field, SampleKey};
use crate::error::{Error, Result};

/// How a dataset is batched.
#[derive(Clone)]
pub struct Loader {
    /// The samples.
    pub dataset: Arc<dyn Dataset>,
    /// Samples in a batch, above 0.
    pub batch_size: usize,
    /// Whether each epoch has an order of its own.
    pub shuffle: bool,
    /// Whether a last batch that is not full is left out.
    pub drop_last: bool,
    /// Threads that read ahead; 0 reads on the caller's thread.
    pub num_workers: usize,
    /// The run's seed.
    pub seed: u64,
}

impl Loader {
    /// How many batches an epoch has.
    pub fn batches(&self) -> usize {
        let samples = self.dataset.len();
        if self.drop_last { samples / self.batch_size } else { samples.div_ceil(self.batch_size) }
    }

    /// The batches of an epoch, from `first` on.
    pub fn epoch(&self, epoch: u64, first: usize) -> impl Iterator<Item = Result<Batch>> + Send + use<> {
        let this = self.clone();
        let order: Vec<usize> = (0..this.dataset.len()).collect();
        (first..this.batches()).map(move |i| {
            let range = i * this.batch_size..((i + 1) * this.batch_size).min(order.len());
            let samples = order[range.clone()]
                .iter()
                .map(|&index| this.dataset.sample(SampleKey { seed: this.seed, epoch, index: index as u64 }));
            let samples = samples.collect::<Result<Vec<_>>>()?;
            let mut batch = Batch { indices: order[range].to_vec(), ..Batch::default() };
            let first = samples.first().ok_or_else(|| Error::failed("an empty batch"))?;
            for name in first.fields.keys() {
                let parts: Vec<&tch::Tensor> = samples.iter().map(|sample| &sample.fields[name]).collect();
                batch.fields.insert(name.clone(), Field::Tensor(tch::Tensor::f_stack(&parts, 0)?));
            }
            Ok(batch)
        })
    }
}
