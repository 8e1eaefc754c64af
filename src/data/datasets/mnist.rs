//! MNIST and the data sets in its format.

use std::path::{Path, PathBuf};

use super::common::{FileOptions, data_module};
use super::download::{self, Remote};
use super::idx;
use super::images::{Given, ImageModule, Images, Records, Source};
use crate::data::transforms::Pipeline;
use crate::data::{DataModule, DataModuleKind};
use crate::error::{Error, Result};
use crate::prelude::*;

/// What is known about one data set of the family.
struct Family {
    name: &'static str,
    mean: f32,
    std: f32,
    classes: [&'static str; 10],
    mirrors: &'static [&'static str],
    /// MD5 of the four published .gz files, in the order of [`FILES`].
    md5: [&'static str; 4],
}

const FILES: [&str; 4] =
    ["train-images-idx3-ubyte", "train-labels-idx1-ubyte", "t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte"];

static MNIST: Family = Family {
    name: "MNIST",
    mean: 0.1307,
    std: 0.3081,
    classes: ["0", "1", "2", "3", "4", "5", "6", "7", "8", "9"],
    mirrors: &["https://ossci-datasets.s3.amazonaws.com/mnist", "http://yann.lecun.com/exdb/mnist"],
    md5: [
        "f68b3c2dcbeaaa9fbdd348bbdeb94873",
        "d53e105ee54ea40749a09fcbcd1e9432",
        "9fb629c4189551a2d022fa330f9573f3",
        "ec29112dd5afa0611ce80d1b7f02629c",
    ],
};

static FASHION: Family = Family {
    name: "FashionMNIST",
    mean: 0.2860,
    std: 0.3530,
    classes: ["T-shirt/top", "Trouser", "Pullover", "Dress", "Coat", "Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot"],
    mirrors: &["http://fashion-mnist.s3-website.eu-central-1.amazonaws.com"],
    md5: [
        "8d4fb7e6c68d591d4c3dfef9ec88bf0d",
        "25c81989df183df01b3e8a0aad5dffbe",
        "bef4ecab320f06d8554ea6380940ec79",
        "bb300cfdad3c16e7a12a480ee83cd310",
    ],
};

macro_rules! family {
    ($(#[$doc:meta])* $name:ident, $target:literal, $family:ident) => {
        data_module! {
            $(#[$doc])*
            ///
            /// Reads the idx files `train-*` and `t10k-*`, plain or .gz, in `root`, `root/raw` or, as torchvision leaves
            /// them, `root/<name>/raw`. With both pairs, training and validation parts come from `train-*` (of the
            /// full set 55,000 and 5,000) and the test part is `t10k-*`; a single pair is split in three. Inputs are
            /// `[1, 28, 28]`, targets the classes 0 to 9.
            pub struct $name {
                /// The folder of the files.
                root: PathBuf,
                /// Whether missing files are fetched (and checked) before the run starts.
                #[serde(default)]
                download: bool,
                /// Addresses of folders to fetch from, tried in order; null: the publishers'.
                #[serde(default)]
                mirror: Option<OneOrMany<String>>,
            }
        }

        impl Component for $name {
            type Kind = DataModuleKind;
            const TARGETS: &'static [&'static str] = &[$target];

            fn check(&self, cx: &mut Check) {
                self.check_common(cx);
                if self.download {
                    return;
                }
                if let Err(message) = find(&self.root, &$family) {
                    cx.problem("root", message).help = Some(format!(
                        "set data.root to the folder of {}.gz and its like, or fetch them with data.download=true",
                        FILES[0]
                    ));
                }
            }

            fn build(self, cx: &mut Build) -> Result<Box<dyn DataModule>> {
                let common = self.common(cx, || Pipeline::normalize(&[$family.mean], &[$family.std]))?;
                let mirrors = match &self.mirror {
                    Some(mirrors) => mirrors.as_slice().to_vec(),
                    None => $family.mirrors.iter().map(|mirror| (*mirror).to_owned()).collect(),
                };
                let source =
                    IdxFiles { family: &$family, root: self.root, mirrors: self.download.then_some(mirrors) };
                Ok(Box::new(ImageModule::new(source, common, FileOptions::none())))
            }
        }
    };
}

family!(
    /// MNIST: handwritten digits, 28x28 (LeCun, Cortes and Burges).
    Mnist, "runner.data.MNIST", MNIST
);
family!(
    /// Fashion-MNIST: pictures of clothes, 28x28 (Zalando Research).
    FashionMnist, "runner.data.FashionMNIST", FASHION
);

/// Images and labels that belong together.
struct Pair {
    stem: String,
    images: PathBuf,
    labels: PathBuf,
}

/// The pairs of files of a data set, or what is wrong with the folder.
fn find(root: &Path, family: &Family) -> Result<Vec<Pair>, String> {
    if !root.is_dir() {
        return Err(format!("there is no folder {}", root.display()));
    }
    let folders = [root.to_path_buf(), root.join("raw"), raw(root, family)];
    let pairs = |folder: &Path| -> Vec<Pair> {
        let Ok(entries) = std::fs::read_dir(folder) else { return Vec::new() };
        let names = entries.filter_map(|entry| Some(entry.ok()?.file_name().to_str()?.to_owned()));
        let mut stems: Vec<String> = names.filter_map(|name| Some(name.split_once("-images")?.0.to_owned())).collect();
        stems.sort_unstable();
        stems.dedup();
        let pair = |stem: String| {
            let images = file(folder, &format!("{stem}-images"), 3)?;
            let labels = file(folder, &format!("{stem}-labels"), 1)?;
            Some(Pair { stem, images, labels })
        };
        stems.into_iter().filter_map(pair).collect()
    };
    let found = folders.iter().map(|folder| pairs(folder)).find(|pairs| !pairs.is_empty());
    found.ok_or_else(|| format!("no pair of idx files of images and labels in {}", root.display()))
}

/// Where torchvision keeps the files.
fn raw(root: &Path, family: &Family) -> PathBuf {
    root.join(family.name).join("raw")
}

/// The file of a name in its usual spellings.
fn file(folder: &Path, name: &str, dimensions: usize) -> Option<PathBuf> {
    let spellings =
        ["-idx", ".idx"].iter().flat_map(|dot| ["", ".gz"].map(|gz| format!("{name}{dot}{dimensions}-ubyte{gz}")));
    spellings.map(|name| folder.join(name)).find(|path| path.is_file())
}

struct IdxFiles {
    family: &'static Family,
    root: PathBuf,
    /// Where to fetch from, when files may be fetched.
    mirrors: Option<Vec<String>>,
}

impl IdxFiles {
    fn fetch(&self, mirrors: &[String], md5: &[&str; 4]) -> Result<()> {
        let folder = [&self.root, &self.root.join("raw")]
            .into_iter()
            .find(|folder| {
                FILES.iter().any(|name| folder.join(name).is_file() || folder.join(format!("{name}.gz")).is_file())
            })
            .cloned()
            .unwrap_or_else(|| raw(&self.root, self.family));
        for (name, md5) in FILES.iter().zip(md5) {
            let packed = folder.join(format!("{name}.gz"));
            if !packed.is_file() && !folder.join(name).is_file() {
                let remote = Remote { name: format!("{name}.gz"), md5: (*md5).to_owned() };
                download::fetch(&remote, mirrors, &packed)?;
            }
        }
        Ok(())
    }
}

impl Source for IdxFiles {
    fn prepare(&mut self) -> Result<()> {
        match &self.mirrors {
            Some(mirrors) => self.fetch(mirrors, &self.family.md5),
            None => Ok(()),
        }
    }

    fn load(&self) -> Result<Records> {
        let pairs = find(&self.root, self.family).map_err(Error::failed)?;
        let named = |stem: &str| pairs.iter().find(|pair| pair.stem == stem);
        let (pairs, official) = match (named("train"), named("t10k"), pairs.as_slice()) {
            (Some(train), Some(test), _) => (vec![train, test], true),
            (_, _, [only]) => (vec![only], false),
            (_, _, several) => {
                let names = several.iter().map(|pair| pair.stem.as_str()).collect::<Vec<_>>().join(", ");
                let message =
                    format!("{} has the idx files of {names}; train and t10k are the full set", self.root.display());
                return Err(Error::failed(message).help("set data.root to a folder with one pair of files"));
            }
        };
        let (mut data, mut labels, mut ends, mut side) = (Vec::new(), Vec::new(), Vec::new(), None);
        for pair in pairs {
            let images = idx::read(&pair.images, 3)?;
            let classes = idx::read(&pair.labels, 1)?;
            let (n, size) = (images.shape[0], (images.shape[1], images.shape[2]));
            if n != classes.data.len() {
                let (images, labels) = (pair.images.display(), pair.labels.display());
                return Err(Error::failed(format!(
                    "{images} has {n} images and {labels} {} labels",
                    classes.data.len()
                )));
            }
            if let Some(label) = classes.data.iter().find(|label| **label > 9) {
                return Err(Error::failed(format!("{}: a label is {label}, above 9", pair.labels.display())));
            }
            if *side.get_or_insert(size) != size {
                return Err(Error::failed(format!(
                    "{}: images of another size than the others",
                    pair.images.display()
                )));
            }
            data.extend(images.data);
            labels.extend(classes.data.iter().map(|label| i64::from(*label)));
            ends.push(labels.len());
        }
        let (height, width) = side.unwrap_or((28, 28));
        let images = Images::Memory { width, height, channels: 1, data };
        let classes = self.family.classes.map(str::to_owned).to_vec();
        let given = official.then(|| given(&ends));
        // 5,000 of the full set's 60,000.
        Ok(Records { given, val_share: 1.0 / 12.0, ..Records::classes(images, labels, classes) })
    }
}

/// Training samples before the first end, test samples up to the second.
fn given(ends: &[usize]) -> Vec<Given> {
    let (first, all) = (ends.first().copied().unwrap_or(0), ends.last().copied().unwrap_or(0));
    (0..all).map(|index| if index < first { Given::Train } else { Given::Test }).collect()
}

#[cfg(test)]
mod tests;
