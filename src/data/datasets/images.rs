//! Labelled images, in memory or in files, and the data module that batches them.

use std::path::PathBuf;
use std::sync::{Arc, OnceLock};

use tch::{Kind, Tensor};

use super::Parts;
use crate::data::decode::Decode;
use crate::data::image::{Image, Picture, write_table};
use crate::data::mix::{BatchTransform, BatchTransformKind};
use crate::data::transforms::{Pipeline, Transforms};
use crate::data::{Batch, DataContext, DataFacts, DataModule, Dataset, Field, Loader, Sample, SampleKey, Split};
use crate::error::{Error, Result};
use crate::native::elements;
use crate::registry::{Build, Slot};

/// Where images are.
pub enum Images {
    /// Images of one size, one after the other, rows of interleaved channels.
    Memory {
        /// Pixels in a row.
        width: usize,
        /// Rows.
        height: usize,
        /// Bytes in a pixel.
        channels: usize,
        /// All of them.
        data: Vec<u8>,
    },
    /// A file each.
    Files {
        /// The files.
        paths: Vec<PathBuf>,
        /// What their names in predictions are relative to.
        root: PathBuf,
        /// How they are decoded.
        decode: Decode,
        /// Decoded images, kept when they are first read.
        cache: Option<Vec<OnceLock<Image>>>,
    },
}

impl Images {
    /// How many.
    pub fn len(&self) -> usize {
        match self {
            Images::Memory { width, height, channels, data } => data.len() / (width * height * channels).max(1),
            Images::Files { paths, .. } => paths.len(),
        }
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    fn get(&self, index: usize) -> Result<Image> {
        match self {
            Images::Memory { width, height, channels, data } => {
                let size = width * height * channels;
                Image::new(*width, *height, *channels, data[index * size..(index + 1) * size].to_vec())
            }
            Images::Files { paths, decode, cache: None, .. } => decode.file(&paths[index]),
            Images::Files { paths, decode, cache: Some(cache), .. } => {
                if let Some(image) = cache[index].get() {
                    return Ok(image.clone());
                }
                let image = decode.file(&paths[index])?;
                Ok(cache[index].get_or_init(|| image).clone())
            }
        }
    }

    /// The name of an image: its file, or its number.
    fn name(&self, index: usize) -> String {
        match self {
            Images::Memory { .. } => index.to_string(),
            Images::Files { paths, root, .. } => {
                paths[index].strip_prefix(root).unwrap_or(&paths[index]).display().to_string()
            }
        }
    }
}

/// Labelled images and how they are split, as a [`Source`] finds them.
pub struct Loaded {
    /// All images.
    pub images: Arc<Images>,
    /// The class of each image, from 0.
    pub labels: Arc<Vec<i64>>,
    /// Names of the classes.
    pub classes: Vec<String>,
    /// Which images are in which part.
    pub parts: Parts,
}

/// Images and labels of one part, with its transforms. `input` is `[C, H, W]`, `target` the class.
pub struct ImageDataset {
    images: Arc<Images>,
    labels: Arc<Vec<i64>>,
    indices: Vec<u32>,
    pipeline: Pipeline,
    /// Tables, when the transforms are nothing else and the images are in memory.
    tables: Option<Vec<crate::data::image::Table>>,
}

impl ImageDataset {
    /// The images at `indices`, seen through a pipeline.
    pub fn new(images: Arc<Images>, labels: Arc<Vec<i64>>, indices: Vec<u32>, pipeline: Pipeline) -> Self {
        let tables = match &*images {
            Images::Memory { channels, .. } => pipeline.tables(*channels),
            Images::Files { .. } => None,
        };
        ImageDataset { images, labels, indices, pipeline, tables }
    }

    fn at(&self, key: SampleKey) -> usize {
        self.indices[key.index as usize] as usize
    }

    fn picture(&self, key: SampleKey) -> Result<Picture> {
        let index = self.at(key);
        let image = self.images.get(index)?;
        self.pipeline.run(image, key).map_err(|error| error.context(format!("image {}", self.images.name(index))))
    }

    /// The inputs of a batch that lies in memory and only needs its values looked up.
    fn look_up(&self, keys: &[SampleKey]) -> Option<(Vec<i64>, Vec<f32>)> {
        let (Images::Memory { width, height, channels, data }, Some(tables)) = (&*self.images, &self.tables) else {
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

    /// The inputs of a batch, each sample written straight into its place.
    fn inputs(&self, keys: &[SampleKey]) -> Result<Tensor> {
        if let Some((shape, floats)) = self.look_up(keys) {
            return Ok(elements::from_vec(floats, &shape)?);
        }
        let Some((first_key, rest)) = keys.split_first() else {
            return Err(Error::failed("a batch needs at least one sample"));
        };
        let first = self.picture(*first_key)?;
        let (shape, kind) = (first.shape(), first.kind());
        let size = shape.iter().product::<i64>() as usize;
        let same = |key: &SampleKey, picture: Picture| {
            if picture.shape() == shape && picture.kind() == kind {
                return Ok(picture);
            }
            let (a, b) = (self.images.name(self.at(*first_key)), self.images.name(self.at(*key)));
            let (one, other) = (describe(&first), describe(&picture));
            let message = format!("image {a} is {one} after the transforms and {b} is {other}");
            Err(Error::failed(message).help("end with one size, for instance with Resize and CenterCrop"))
        };
        let mut batch_shape = vec![keys.len() as i64];
        batch_shape.extend(&shape);
        if kind == Kind::Uint8 {
            let mut bytes = vec![0u8; keys.len() * size];
            let (head, tail) = bytes.split_at_mut(size);
            first.write_bytes(head);
            for (key, out) in rest.iter().zip(tail.chunks_exact_mut(size.max(1))) {
                same(key, self.picture(*key)?)?.write_bytes(out);
            }
            Ok(elements::from_vec(bytes, &batch_shape)?)
        } else {
            let mut floats = vec![0f32; keys.len() * size];
            let (head, tail) = floats.split_at_mut(size);
            first.write_floats(head);
            for (key, out) in rest.iter().zip(tail.chunks_exact_mut(size.max(1))) {
                same(key, self.picture(*key)?)?.write_floats(out);
            }
            Ok(elements::from_vec(floats, &batch_shape)?)
        }
    }
}

fn describe(picture: &Picture) -> String {
    let what = if picture.kind() == Kind::Uint8 { "bytes" } else { "floats" };
    format!("{what} of shape {:?}", picture.shape())
}

impl Dataset for ImageDataset {
    fn len(&self) -> usize {
        self.indices.len()
    }

    fn sample(&self, key: SampleKey) -> Result<Sample> {
        let input = self.picture(key)?.to_tensor()?;
        Ok(Sample::pair(input, Tensor::from(self.labels[self.at(key)])))
    }

    fn batch(&self, keys: &[SampleKey]) -> Result<Batch> {
        let targets: Vec<i64> = keys.iter().map(|key| self.labels[self.at(*key)]).collect();
        let mut batch = Batch { indices: keys.iter().map(|key| key.index as usize).collect(), ..Batch::default() };
        batch.fields.insert("input".into(), Field::Tensor(self.inputs(keys)?));
        batch.fields.insert("target".into(), Field::Tensor(Tensor::f_from_slice(&targets)?));
        Ok(batch)
    }

    fn in_memory(&self) -> bool {
        self.tables.is_some()
    }

    fn id(&self, index: usize) -> String {
        self.images.name(self.indices[index] as usize)
    }
}

/// Finds images and labels.
pub trait Source: Send {
    /// Fetches what is missing.
    ///
    /// # Errors
    /// When it cannot be fetched: the message names the address and the file.
    fn prepare(&mut self) -> Result<()> {
        Ok(())
    }

    /// Reads labels and, where they lie in memory, images.
    ///
    /// # Errors
    /// When a file is missing or broken: the message names it.
    fn load(&self) -> Result<Loaded>;
}

/// How batches are made; the arguments that all data modules have.
#[derive(Clone)]
pub struct Batching {
    /// Samples in a batch.
    pub batch_size: usize,
    /// Worker threads.
    pub num_workers: usize,
    /// Whether batches lie in page-locked memory.
    pub pin_memory: bool,
    /// Transforms of whole training batches.
    pub transforms: Vec<Arc<dyn BatchTransform>>,
}

/// A data module of labelled images.
pub struct ImageModule {
    source: Box<dyn Source>,
    batching: Batching,
    train: Pipeline,
    test: Pipeline,
    seed: u64,
    loaded: Option<Loaded>,
    facts: DataFacts,
}

impl ImageModule {
    /// A data module over a source. `train` transforms the training part, `test` all others.
    pub fn new(source: impl Source + 'static, batching: Batching, train: Pipeline, test: Pipeline) -> Self {
        ImageModule {
            source: Box::new(source),
            batching,
            train,
            test,
            seed: 0,
            loaded: None,
            facts: DataFacts::default(),
        }
    }

    fn dataset(&self, split: Split) -> Result<Option<ImageDataset>> {
        let Some(loaded) = &self.loaded else { return Err(Error::failed("the data has not been set up")) };
        let (indices, pipeline) = match split {
            Split::Train => (&loaded.parts.train, &self.train),
            Split::Val => (&loaded.parts.val, &self.test),
            Split::Test | Split::Predict => (&loaded.parts.test, &self.test),
        };
        if indices.is_empty() {
            return Ok(None);
        }
        let (images, labels) = (loaded.images.clone(), loaded.labels.clone());
        Ok(Some(ImageDataset::new(images, labels, indices.clone(), pipeline.clone())))
    }
}

impl DataModule for ImageModule {
    fn prepare(&mut self) -> Result<()> {
        self.source.prepare()
    }

    fn setup(&mut self, cx: &DataContext) -> Result<()> {
        self.seed = cx.seed;
        if self.loaded.is_some() {
            return Ok(());
        }
        let loaded = self.source.load()?;
        self.facts.classes = loaded.classes.clone();
        self.loaded = Some(loaded);
        for split in [Split::Test, Split::Val, Split::Train] {
            if let Some(dataset) = self.dataset(split)? {
                let picture = dataset.picture(SampleKey { seed: cx.seed, epoch: 0, index: 0 })?;
                self.facts.input_shape = Some(picture.shape());
                break;
            }
        }
        Ok(())
    }

    fn loader(&self, split: Split) -> Result<Option<Loader>> {
        let Some(dataset) = self.dataset(split)? else { return Ok(None) };
        let Batching { batch_size, num_workers, pin_memory, ref transforms } = self.batching;
        let loader = Loader::new(Arc::new(dataset), batch_size, self.seed);
        let shuffle = split == Split::Train;
        let batch_transforms = if shuffle { transforms.clone() } else { Vec::new() };
        Ok(Some(Loader { shuffle, num_workers, pin_memory, batch_transforms, ..loader }))
    }

    fn facts(&self) -> DataFacts {
        self.facts.clone()
    }
}

/// Builds the transforms of a split; `default` stands where none are given.
///
/// # Errors
/// When a transform cannot be built.
pub fn pipeline(cx: &mut Build, given: &Option<Transforms>, default: impl FnOnce() -> Pipeline) -> Result<Pipeline> {
    match given {
        Some(transforms) => Ok(Pipeline::new(cx.build_all(transforms)?)),
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
