//! Labelled images: the data set of one part, batched straight into the tensors of a batch.
//!
//! [`store`] says where images are, [`module`] makes a data module of any source of them, [`sheet`] is a batch of
//! pictures in the making.

mod disk;
mod module;
mod sheet;
mod store;

use std::path::Path;
use std::sync::Arc;

use tch::Tensor;

use crate::data::image::{Picture, Table, write_table};
use crate::data::transforms::Pipeline;
use crate::data::{Assembly, Batch, Dataset, Field, Sample, SampleKey};
use crate::error::{Error, Result};
use crate::native::elements;
use crate::tensor::guard;

pub use disk::DiskCache;
pub use module::{Given, ImageModule, Records, Source};
use sheet::Sheet;
pub use store::{Files, Images, Kept};

/// Images and labels of one part, with its transforms. `input` is `[C, H, W]`; `target` is as the labels' kind says.
pub struct ImageDataset {
    records: Arc<Records>,
    indices: Vec<u32>,
    pipeline: Pipeline,
    /// Tables, when the transforms are nothing else and the images are in memory.
    tables: Option<Vec<Table>>,
    /// Whether images that cannot be read are left out of their batches.
    lenient: bool,
}

impl ImageDataset {
    /// The images at `indices`, seen through a pipeline.
    pub fn new(records: Arc<Records>, indices: Vec<u32>, pipeline: Pipeline) -> Self {
        let tables = match &records.images {
            Images::Memory { channels, .. } => pipeline.tables(*channels),
            Images::Files(_) => None,
        };
        ImageDataset { records, indices, pipeline, tables, lenient: false }
    }

    /// Leaves images that cannot be read out of their batches.
    pub fn lenient(self) -> Self {
        ImageDataset { lenient: true, ..self }
    }

    fn at(&self, key: SampleKey) -> usize {
        self.indices[key.index as usize] as usize
    }

    fn picture(&self, key: SampleKey) -> Result<Picture> {
        self.records.images.through(self.at(key), &self.pipeline, key)
    }

    /// The inputs of a batch that lies in memory and only needs its values looked up.
    fn look_up(&self, keys: &[SampleKey]) -> Option<(Vec<i64>, Vec<f32>)> {
        let (Images::Memory { width, height, channels, data }, Some(tables)) = (&self.records.images, &self.tables)
        else {
            return None;
        };
        let size = width * height * channels;
        let mut floats = vec![0f32; keys.len() * size];
        for (key, out) in keys.iter().zip(floats.chunks_exact_mut(size.max(1))) {
            let index = self.at(*key);
            write_table(&data[index * size..(index + 1) * size], tables, out);
        }
        Some((vec![keys.len() as i64, *channels as i64, *height as i64, *width as i64], floats))
    }

    /// The batch whose pictures are on a sheet. What cannot be read is noted where that is meant, and an error
    /// otherwise.
    fn collect(&self, keys: &[SampleKey], sheet: Sheet) -> Result<Batch> {
        let mut failed = Vec::new();
        if self.lenient {
            failed.extend(sheet.failed().map(|(place, error)| (keys[place].index as usize, error)));
        }
        let name = |place: usize| self.records.images.name(self.at(keys[place]));
        let input = sheet.tensor(self.lenient, name)?;
        self.labelled(keys, input, failed)
    }

    /// A batch of these samples, with its inputs (of those that could be read) and what could not be read.
    fn labelled(&self, keys: &[SampleKey], input: Option<Tensor>, failed: Vec<(usize, String)>) -> Result<Batch> {
        let mut batch = Batch { failed, ..Batch::default() };
        let left_out = |index: usize| batch.failed.iter().any(|(failed, _)| *failed == index);
        batch.indices = keys.iter().map(|key| key.index as usize).filter(|&index| !left_out(index)).collect();
        if let Some(input) = input {
            batch.fields.insert("input".into(), Field::Tensor(input));
            let samples: Vec<usize> = batch.indices.iter().map(|&index| self.indices[index] as usize).collect();
            if let Some(target) = self.records.targets.batch(&samples)? {
                batch.fields.insert("target".into(), Field::Tensor(target));
            }
        }
        Ok(batch)
    }
}

impl Dataset for ImageDataset {
    fn len(&self) -> usize {
        self.indices.len()
    }

    fn sample(&self, key: SampleKey) -> Result<Sample> {
        let mut sample = Sample::default();
        sample.fields.insert("input".into(), self.picture(key)?.to_tensor()?);
        if let Some(target) = self.records.targets.one(self.at(key))? {
            sample.fields.insert("target".into(), target);
        }
        Ok(sample)
    }

    fn batch(&self, keys: &[SampleKey]) -> Result<Batch> {
        if keys.is_empty() {
            return Err(Error::failed("a batch needs at least one sample"));
        }
        if let Some((shape, floats)) = self.look_up(keys) {
            return self.labelled(keys, Some(elements::from_vec(floats, &shape)?), Vec::new());
        }
        let sheet = Sheet::new(keys.len());
        keys.iter().enumerate().for_each(|(place, key)| sheet.put(place, self.picture(*key)));
        self.collect(keys, sheet)
    }

    fn begin(self: Arc<Self>, keys: &[SampleKey]) -> Option<Box<dyn Assembly>> {
        let sheet = Sheet::new(keys.len());
        Some(Box::new(Making { dataset: self, keys: keys.to_vec(), sheet }))
    }

    fn in_memory(&self) -> bool {
        self.tables.is_some()
    }

    fn id(&self, index: usize) -> String {
        self.records.id(self.indices[index] as usize)
    }

    fn path(&self, index: usize) -> Option<&Path> {
        match &self.records.images {
            Images::Files(files) => Some(files.path(self.indices[index] as usize)),
            Images::Memory { .. } => None,
        }
    }

    fn columns(&self) -> &[String] {
        &self.records.columns
    }

    fn row(&self, index: usize) -> Vec<String> {
        self.records.rows.get(self.indices[index] as usize).cloned().unwrap_or_default()
    }

    fn original(&self, index: usize) -> Result<Option<Picture>> {
        self.records.images.get(self.indices[index] as usize).map(Some)
    }

    fn size(&self, index: usize) -> Result<Option<[usize; 2]>> {
        self.records.images.size(self.indices[index] as usize).map(Some)
    }

    fn levels(&self, channels: usize) -> Option<Vec<[f32; 2]>> {
        Some(self.pipeline.levels(channels))
    }

    fn target_words(&self, index: usize) -> String {
        self.records.targets.words(self.indices[index] as usize, &self.records.levels)
    }
}

/// A batch of images that several threads make together.
struct Making {
    dataset: Arc<ImageDataset>,
    keys: Vec<SampleKey>,
    sheet: Sheet,
}

impl Assembly for Making {
    fn make(&self, place: usize) {
        // A bug in a transform must not take the thread with it.
        self.sheet.put(place, guard(|| self.dataset.picture(self.keys[place])));
    }

    fn finish(self: Box<Self>) -> Result<Batch> {
        let Making { dataset, keys, sheet } = *self;
        dataset.collect(&keys, sheet)
    }
}
