//! Labelled images: the data set of one part, batched straight into the tensors of a batch.
//!
//! [`store`] says where images are, [`module`] makes a data module of any source of them.

mod disk;
mod module;
mod store;

use std::path::Path;
use std::sync::Arc;

use tch::Tensor;

use crate::data::image::{Picture, Table, write_table};
use crate::data::transforms::Pipeline;
use crate::data::{Batch, Dataset, Field, Sample, SampleKey};
use crate::error::{Error, Result};
use crate::native::elements;

pub use disk::DiskCache;
pub use module::{Given, ImageModule, Records, Source};
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
        let index = self.at(key);
        let picture = self.records.images.get(index)?;
        let name = || format!("image {}", self.records.images.name(index));
        self.pipeline.run(picture, key).map_err(|error| error.context(name()))
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

    /// The inputs of a batch, each sample written straight into its place. What cannot be read is noted in
    /// `failed` where that is meant, and ends the work otherwise.
    fn inputs(&self, keys: &[SampleKey], failed: &mut Vec<(usize, String)>) -> Result<Option<Tensor>> {
        if let Some((shape, floats)) = self.look_up(keys) {
            return Ok(Some(elements::from_vec(floats, &shape)?));
        }
        let mut buffer: Option<Buffer> = None;
        for key in keys {
            let picture = match self.picture(*key) {
                Ok(picture) => picture,
                Err(error) if self.lenient => {
                    failed.push((key.index as usize, error.to_string()));
                    continue;
                }
                Err(error) => return Err(error),
            };
            match &mut buffer {
                None => buffer = Some(Buffer::new(&picture, keys.len(), *key)),
                Some(buffer) if buffer.fits(&picture) => buffer.add(&picture),
                Some(buffer) => {
                    let name = |key: SampleKey| self.records.images.name(self.at(key));
                    let (one, other) = (&buffer.description, describe(&picture));
                    let (a, b) = (name(buffer.first), name(*key));
                    let message = format!("image {a} is {one} after the transforms and {b} is {other}");
                    return Err(
                        Error::failed(message).help("end with one size, for instance with Resize and CenterCrop")
                    );
                }
            }
        }
        buffer.map(Buffer::tensor).transpose()
    }
}

/// The inputs of a batch as they are put together.
struct Buffer {
    shape: Vec<i64>,
    size: usize,
    filled: usize,
    values: Values,
    first: SampleKey,
    description: String,
}

enum Values {
    Bytes(Vec<u8>),
    Floats(Vec<f32>),
}

impl Buffer {
    /// Room for `count` pictures like the first one, which is put in.
    fn new(picture: &Picture, count: usize, first: SampleKey) -> Self {
        let shape = picture.shape();
        let size = shape.iter().product::<i64>() as usize;
        let values = match picture.kind() {
            tch::Kind::Uint8 => Values::Bytes(vec![0; count * size]),
            _ => Values::Floats(vec![0.0; count * size]),
        };
        let mut buffer = Buffer { shape, size, filled: 0, values, first, description: describe(picture) };
        buffer.add(picture);
        buffer
    }

    fn fits(&self, picture: &Picture) -> bool {
        picture.shape() == self.shape && (picture.kind() == tch::Kind::Uint8) == matches!(self.values, Values::Bytes(_))
    }

    fn add(&mut self, picture: &Picture) {
        let place = self.filled * self.size..(self.filled + 1) * self.size;
        match &mut self.values {
            Values::Bytes(bytes) => picture.write_bytes(&mut bytes[place]),
            Values::Floats(floats) => picture.write_floats(&mut floats[place]),
        }
        self.filled += 1;
    }

    fn tensor(self) -> Result<Tensor> {
        let mut shape = vec![self.filled as i64];
        shape.extend(&self.shape);
        let length = self.filled * self.size;
        Ok(match self.values {
            Values::Bytes(mut bytes) => {
                bytes.truncate(length);
                elements::from_vec(bytes, &shape)?
            }
            Values::Floats(mut floats) => {
                floats.truncate(length);
                elements::from_vec(floats, &shape)?
            }
        })
    }
}

fn describe(picture: &Picture) -> String {
    let what = if picture.kind() == tch::Kind::Uint8 { "bytes" } else { "floats" };
    format!("{what} of shape {:?}", picture.shape())
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
        let mut batch = Batch::default();
        let input = self.inputs(keys, &mut batch.failed)?;
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

    fn target_words(&self, index: usize) -> String {
        self.records.targets.words(self.indices[index] as usize, &self.records.levels)
    }
}
