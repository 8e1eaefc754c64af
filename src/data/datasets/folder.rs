//! Images in folders, one folder a class.

use std::collections::BTreeSet;
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};

use walkdir::WalkDir;

use super::common::file_module;
use super::hierarchy::{self, Bundling, HierarchyTable, Labelled};
use super::images::{Given, ImageModule, Images, Records, Source};
use super::split::Sizes;
use crate::data::decode::{Decode, EXTENSIONS, Mode};
use crate::data::transforms::Pipeline;
use crate::data::{DataModule, DataModuleKind};
use crate::error::{Error, Result};
use crate::prelude::*;

file_module! {
    /// Images in folders, one folder a class: `root/<class>/…`, or `root/{train,val,test}/<class>/…`.
    ///
    /// Reads JPEG, PNG, TIFF, WebP, BMP and the first frame of GIF. Classes are the folders' names in order; files may
    /// lie deeper, and folders and files may be symbolic links. With `train` but no `val` folder, the validation part
    /// is taken from `train`; with neither, everything is split. Targets are the class numbers; with a `hierarchy`
    /// they have a column a level.
    pub struct ImageFolder {
        /// The folder, or several whose classes are merged by name.
        root: OneOrMany<PathBuf>,
        /// RGB, L for gray, RGBA, or I;16 for 16-bit values as floats 0…1.
        #[serde(default)]
        image_mode: Mode,
        /// JPEG files of large photographs may be decoded at a half, quarter or eighth, if both sides are still at least
        /// this many pixels; null decodes them whole. Give the size to which the transforms reduce.
        #[serde(default)]
        min_decoded_size: Option<NonZeroUsize>,
        /// Classes with fewer images are bundled into `other`.
        #[serde(default = "one")]
        min_samples: NonZeroUsize,
        /// The name of the class of bundled images.
        #[serde(default = "other")]
        other: String,
        /// A table that says which family, genus, … each class belongs to.
        #[serde(default)]
        hierarchy: Option<HierarchyTable>,
        /// Instead of train_val_test_split: this share for the test and as much for validation, rounded as
        /// scikit-learn does; a class needs two images then.
        #[serde(default)]
        test_fraction: Option<Fraction>,
    }
}

fn one() -> NonZeroUsize {
    NonZeroUsize::MIN
}

fn other() -> String {
    "Other".into()
}

impl Component for ImageFolder {
    type Kind = DataModuleKind;
    const TARGETS: &'static [&'static str] = &["runner.data.ImageFolder", "runner.data.HierarchicalImageFolder"];

    fn check(&self, cx: &mut Check) {
        self.check_common(cx);
        if let Some(hierarchy) = &self.hierarchy {
            hierarchy.check(cx);
        }
        match self.test_fraction {
            Some(_) if self.train_val_test_split.is_some() => {
                cx.problem("test_fraction", "`test_fraction` and `train_val_test_split` exclude each other");
            }
            Some(share) if share.0 >= 0.5 || share.0 == 0.0 => {
                cx.problem("test_fraction", "`test_fraction` is above 0 and below 0.5: it is taken twice");
            }
            _ => {}
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
        let mut common = self.common(cx, || Pipeline::normalize(&[0.0], &[1.0]))?;
        if let Some(share) = self.test_fraction {
            common.splitting.sizes = Sizes::Held(share.0);
        }
        let options = self.file_options();
        let source = Folders {
            roots: self.root.as_slice().to_vec(),
            decode: Decode {
                mode: self.image_mode,
                max_pixels: self.max_image_pixels,
                at_least: self.min_decoded_size.map(NonZeroUsize::get),
            },
            min_samples: self.min_samples.get(),
            other: self.other,
            hierarchy: self.hierarchy,
        };
        Ok(Box::new(ImageModule::new(source, common, options)))
    }
}

/// Folders of images.
pub(super) struct Folders {
    pub roots: Vec<PathBuf>,
    pub decode: Decode,
    pub min_samples: usize,
    pub other: String,
    pub hierarchy: Option<HierarchyTable>,
}

impl Folders {
    /// Folders whose classes are taken as they are.
    pub fn plain(roots: Vec<PathBuf>, decode: Decode) -> Self {
        Folders { roots, decode, min_samples: 1, other: other(), hierarchy: None }
    }
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
pub fn is_image(path: &Path) -> bool {
    let hidden = path.file_name().is_none_or(|name| name.to_string_lossy().starts_with('.'));
    let ending = path.extension().map(|ending| ending.to_string_lossy().to_lowercase());
    !hidden && ending.is_some_and(|ending| EXTENSIONS.contains(&ending.as_str()))
}

/// Files and labels in the order of classes and names.
#[derive(Default)]
struct Listing {
    paths: Vec<PathBuf>,
    labels: Vec<i64>,
}

impl Listing {
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
    fn load(&self) -> Result<Records> {
        let (train, val, test) = (below(&self.roots, &TRAIN), below(&self.roots, &VAL), below(&self.roots, &TEST));
        let learning = if train.is_empty() { &self.roots } else { &train };
        let classes: Vec<String> = class_names(learning)?.into_iter().collect();
        let mut files = Listing::default();
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
        let given = (!train.is_empty()).then(|| {
            let mut given = vec![Given::Train; files.paths.len()];
            for (folders, part) in [(&val, Given::Val), (&test, Given::Test)] {
                files.gather(folders, &classes)?;
                given.resize(files.paths.len(), part);
            }
            Ok::<_, Error>(given)
        });
        let given = given.transpose()?;
        // Names in predictions are relative to the root when there is only one.
        let root = if let [root] = self.roots.as_slice() { root.clone() } else { PathBuf::new() };
        let images = Images::files(files.paths, root, self.decode);
        let learning = given
            .as_ref()
            .map_or(files.labels.len(), |given| given.iter().filter(|part| **part == Given::Train).count());
        let labelled = hierarchy::label(
            &files.labels,
            classes,
            learning,
            &Bundling { min_samples: self.min_samples, other: &self.other },
            self.hierarchy.as_ref(),
        )?;
        let Labelled { targets, levels, lineage } = labelled;
        Ok(Records { levels, lineage, given, ..Records::new(images, targets) })
    }

    fn unlabelled(&self, paths: Vec<PathBuf>) -> Option<Records> {
        Some(Records::unlabelled(Images::files(paths, PathBuf::new(), self.decode)))
    }
}

#[cfg(test)]
mod tests;
