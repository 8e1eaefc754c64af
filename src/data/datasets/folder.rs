//! Images in folders, one folder a class.

use std::collections::BTreeSet;
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

use serde::Serialize;
use walkdir::WalkDir;

use super::images::{self, Batching, ImageModule, Images, Loaded, Source};
use super::split::{self, Parts, split};
use crate::data::decode::{Decode, EXTENSIONS, MAX_PIXELS, Mode};
use crate::data::mix::BatchTransformKind;
use crate::data::transforms::{Pipeline, Transforms};
use crate::data::{DataModule, DataModuleKind};
use crate::error::{Error, Result};
use crate::prelude::*;

/// Whether decoded images are kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Cache {
    /// In memory, from the first time they are read: width x height x channels bytes each.
    Ram,
}

/// Images in folders, one folder a class: `root/<class>/…`, or `root/{train,val,test}/<class>/…`.
///
/// Reads JPEG, PNG, TIFF, WebP, BMP and the first frame of GIF. Classes are the folders' names in order; files may
/// lie deeper, and folders and files may be symbolic links. With `train` but no `val` folder, the validation part
/// is taken from `train`; with neither, everything is split. Splits are stratified. Targets are the class numbers.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ImageFolder {
    /// The folder, or several whose classes are merged by name.
    root: OneOrMany<PathBuf>,
    /// Sizes of the parts: shares, or numbers of images. null: 0.8, 0.1, 0.1 (0.9, 0.1 of a `train` folder).
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
    /// Transforms of the training part; null casts to 0…1.
    #[serde(default)]
    train_transforms: Option<Transforms>,
    /// Transforms of the other parts; null casts to 0…1.
    #[serde(default)]
    test_transforms: Option<Transforms>,
    /// Transforms of whole training batches: MixUp, CutMix.
    #[serde(default)]
    batch_transforms: Option<Vec<Slot<BatchTransformKind>>>,
    /// RGB, or L for gray.
    #[serde(default)]
    image_mode: Mode,
    /// ram keeps decoded images in memory.
    #[serde(default)]
    cache: Option<Cache>,
    /// The most pixels that an image may have; a file that claims more is refused before memory is taken.
    #[serde(default = "max_pixels")]
    max_image_pixels: u64,
}

pub(super) fn batch_size() -> NonZeroUsize {
    const { NonZeroUsize::new(64).unwrap() }
}

pub(super) fn split_seed() -> u64 {
    42
}

fn max_pixels() -> u64 {
    MAX_PIXELS
}

impl Component for ImageFolder {
    type Kind = DataModuleKind;
    const TARGETS: &'static [&'static str] = &["runner.data.ImageFolder"];

    fn check(&self, cx: &mut Check) {
        if let Some(sizes) = &self.train_val_test_split {
            split::check(sizes, cx);
        }
        if self.root.as_slice().is_empty() {
            cx.problem("root", "no folder is given");
        }
        for root in self.root.as_slice() {
            if !root.is_dir() {
                cx.problem("root", format!("there is no folder {}", root.display())).help =
                    Some("set data.root to a folder with one folder of images per class".into());
            }
        }
    }

    fn build(self, cx: &mut Build) -> Result<Box<dyn DataModule>> {
        let cast = || Pipeline::normalize(&[0.0], &[1.0]);
        let train = images::pipeline(cx, &self.train_transforms, cast)?;
        let test = images::pipeline(cx, &self.test_transforms, cast)?;
        let batching = Batching {
            batch_size: self.batch_size.get(),
            num_workers: self.num_workers,
            pin_memory: self.pin_memory,
            transforms: images::batch_transforms(cx, &self.batch_transforms)?,
        };
        let source = Folders {
            roots: self.root.as_slice().to_vec(),
            sizes: self.train_val_test_split,
            seed: self.split_seed,
            decode: Decode { mode: self.image_mode, max_pixels: self.max_image_pixels },
            cache: self.cache,
        };
        Ok(Box::new(ImageModule::new(source, batching, train, test)))
    }
}

/// Folders of images.
pub(super) struct Folders {
    pub roots: Vec<PathBuf>,
    pub sizes: Option<Vec<IntOrFloat>>,
    pub seed: u64,
    pub decode: Decode,
    pub cache: Option<Cache>,
}

/// The names under which each part's folder is known.
const TRAIN: [&str; 2] = ["train", "training"];
const VAL: [&str; 3] = ["val", "valid", "validation"];
const TEST: [&str; 2] = ["test", "testing"];

/// The folders of a part below each root that has one.
fn below(roots: &[PathBuf], names: &[&str]) -> Vec<PathBuf> {
    roots.iter().filter_map(|root| names.iter().map(|name| root.join(name)).find(|path| path.is_dir())).collect()
}

/// Names of the folders in `folders`, in order.
fn class_names(folders: &[PathBuf]) -> Result<BTreeSet<String>> {
    let mut names = BTreeSet::new();
    for folder in folders {
        let entries = std::fs::read_dir(folder).map_err(|error| Error::io("read", folder, error))?;
        for entry in entries {
            let entry = entry.map_err(|error| Error::io("read", folder, error))?;
            let name = entry.file_name().to_string_lossy().into_owned();
            if !name.starts_with('.') && entry.path().is_dir() {
                names.insert(name);
            }
        }
    }
    Ok(names)
}

/// Whether a file is taken for an image: by its name, and not hidden.
fn is_image(path: &Path) -> bool {
    let hidden = path.file_name().is_none_or(|name| name.to_string_lossy().starts_with('.'));
    let ending = path.extension().map(|ending| ending.to_string_lossy().to_lowercase());
    !hidden && ending.is_some_and(|ending| EXTENSIONS.contains(&ending.as_str()))
}

/// Files and labels in the order of classes and names.
#[derive(Default)]
struct Files {
    paths: Vec<PathBuf>,
    labels: Vec<i64>,
}

impl Files {
    /// Adds the images below `folders`; their classes must be among `classes`.
    fn gather(&mut self, folders: &[PathBuf], classes: &[String]) -> Result<()> {
        for class in class_names(folders)? {
            let Ok(label) = classes.binary_search(&class) else {
                let folder = folders.iter().map(|folder| folder.join(&class)).find(|path| path.is_dir());
                let folder = folder.unwrap_or_default();
                return Err(Error::failed(format!("{}: no training folder has this class", folder.display()))
                    .help(format!("the classes are {}", classes.join(", "))));
            };
            for folder in folders.iter().map(|folder| folder.join(&class)).filter(|path| path.is_dir()) {
                for entry in WalkDir::new(&folder).follow_links(true).sort_by_file_name() {
                    let entry = entry.map_err(|error| {
                        let path = error.path().unwrap_or(&folder).to_path_buf();
                        Error::io("read", &path, error)
                    })?;
                    if entry.file_type().is_file() && is_image(entry.path()) {
                        self.paths.push(entry.into_path());
                        self.labels.push(label as i64);
                    }
                }
            }
        }
        Ok(())
    }
}

impl Source for Folders {
    fn load(&self) -> Result<Loaded> {
        let (train, val, test) = (below(&self.roots, &TRAIN), below(&self.roots, &VAL), below(&self.roots, &TEST));
        let learning = if train.is_empty() { &self.roots } else { &train };
        let classes: Vec<String> = class_names(learning)?.into_iter().collect();
        let mut files = Files::default();
        files.gather(learning, &classes)?;
        for (label, class) in classes.iter().enumerate() {
            if files.labels.binary_search(&(label as i64)).is_err() {
                let folder = learning.iter().map(|folder| folder.join(class)).find(|path| path.is_dir());
                let folder = folder.unwrap_or_default();
                return Err(Error::failed(format!("{} holds no images", folder.display()))
                    .help(format!("remove the folder, or put files into it that end in {}", EXTENSIONS.join(", "))));
            }
        }
        if classes.is_empty() {
            let roots = learning.iter().map(|root| root.display().to_string()).collect::<Vec<_>>().join(", ");
            return Err(Error::failed(format!("{roots} has no folders: each class is a folder of images")));
        }
        let parts =
            if train.is_empty() { self.all(&files.labels)? } else { self.parted(&mut files, &val, &test, &classes)? };
        let cache = self.cache.map(|Cache::Ram| (0..files.paths.len()).map(|_| OnceLock::new()).collect());
        // Names in predictions are relative to the root when there is only one.
        let root = if let [root] = self.roots.as_slice() { root.clone() } else { PathBuf::new() };
        let images = Arc::new(Images::Files { paths: files.paths, root, decode: self.decode, cache });
        Ok(Loaded { images, labels: Arc::new(files.labels), classes, parts })
    }
}

impl Folders {
    fn all(&self, labels: &[i64]) -> Result<Parts> {
        let shares = [0.8, 0.1, 0.1].map(IntOrFloat::Float);
        split(labels, self.sizes.as_deref().unwrap_or(&shares), self.seed)
    }

    /// The parts that have folders of their own; a missing validation part comes out of the training folder.
    fn parted(&self, files: &mut Files, val: &[PathBuf], test: &[PathBuf], classes: &[String]) -> Result<Parts> {
        let first = files.paths.len();
        let mut parts = if val.is_empty() {
            let (train, val) = match self.sizes.as_deref() {
                Some([IntOrFloat::Float(a), IntOrFloat::Float(b), _]) => {
                    (IntOrFloat::Float(a / (a + b)), IntOrFloat::Float(b / (a + b)))
                }
                Some([train, val, _]) => (*train, *val),
                _ => (IntOrFloat::Float(0.9), IntOrFloat::Float(0.1)),
            };
            split(&files.labels[..first], &[train, val, IntOrFloat::Int(0)], self.seed)?
        } else {
            files.gather(val, classes)?;
            Parts { train: (0..first as u32).collect(), val: range(first, files.paths.len()), test: Vec::new() }
        };
        let before = files.paths.len();
        files.gather(test, classes)?;
        parts.test = range(before, files.paths.len());
        if let (Some([.., IntOrFloat::Int(count)]), false) = (self.sizes.as_deref(), test.is_empty()) {
            let none = IntOrFloat::Int(0);
            let labels = &files.labels[before..];
            parts.test = split(labels, &[IntOrFloat::Int(*count), none, none], self.seed)?.train;
            parts.test.iter_mut().for_each(|index| *index += before as u32);
        }
        Ok(parts)
    }
}

fn range(from: usize, to: usize) -> Vec<u32> {
    (from as u32..to as u32).collect()
}

#[cfg(test)]
mod tests;
