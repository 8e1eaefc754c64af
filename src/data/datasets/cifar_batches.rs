//! CIFAR-10 and CIFAR-100 in their original files: Python pickles and the binary version.

use std::path::{Path, PathBuf};

use super::common::FileOptions;
use super::common::data_module;
use super::image_table::Missing;
use super::images::{Given, ImageModule, Images, Records, Source};
use crate::checkpoint::pickle::numpy::Array;
use crate::checkpoint::pickle::{Item, Pickle};
use crate::data::decode::Decode;
use crate::data::transforms::Pipeline;
use crate::data::{DataModule, DataModuleKind, Level, Targets};
use crate::error::{Error, Result};
use crate::prelude::*;

/// Bytes of an image: 32x32, three planes.
const SIZE: usize = 3072;
const SIDE: usize = 32;

/// What is known about one of the two data sets.
#[derive(Debug)]
pub(super) struct Family {
    folders: [&'static str; 2],
    /// Files of the training and test images, as pickles; the binary version adds `.bin`.
    train: &'static [&'static str],
    test: &'static [&'static str],
    meta: &'static str,
    /// Names of the labels in a pickle, and of their classes in the meta file: coarse first as in the binary files.
    labels: &'static [(&'static str, &'static str)],
    /// Names of the classes' files of the binary version.
    names: &'static [&'static str],
    md5: &'static [(&'static str, &'static str)],
}

pub(super) static CIFAR10: Family = Family {
    folders: ["cifar-10-batches-py", "cifar-10-batches-bin"],
    train: &["data_batch_1", "data_batch_2", "data_batch_3", "data_batch_4", "data_batch_5"],
    test: &["test_batch"],
    meta: "batches.meta",
    labels: &[("labels", "label_names")],
    names: &["batches.meta.txt"],
    md5: &[
        ("data_batch_1", "c99cafc152244af753f735de768cd75f"),
        ("data_batch_2", "d4bba439e000b95fd0a9bffe97cbabec"),
        ("data_batch_3", "54ebc095f3ab1f0389bbae665268c751"),
        ("data_batch_4", "634d18415352ddfa80567beed471001a"),
        ("data_batch_5", "482c414d41f54cd18b22e5b47cb7c3cb"),
        ("test_batch", "40351d587109b95175f43aff81a1287e"),
    ],
};

static CIFAR100: Family = Family {
    folders: ["cifar-100-python", "cifar-100-binary"],
    train: &["train"],
    test: &["test"],
    meta: "meta",
    labels: &[("coarse_labels", "coarse_label_names"), ("fine_labels", "fine_label_names")],
    names: &["coarse_label_names.txt", "fine_label_names.txt"],
    md5: &[("train", "16019d7e3df5f24257cddd939b257f8d"), ("test", "f0ef6b0ae62326f3e7ffdfab6717acfc")],
};

/// Where the files of a data set are.
#[derive(Clone, Debug)]
pub(super) struct Batches {
    family: &'static Family,
    folder: PathBuf,
    binary: bool,
    /// Whether files may be missing.
    missing: Missing,
    /// Whether the published MD5 sums are checked.
    integrity: bool,
    labels: Labels,
}

/// Which labels of CIFAR-100 are learnt.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, serde::Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
enum Labels {
    /// The 100 classes.
    #[default]
    Fine,
    /// The 20 superclasses.
    Coarse,
    /// Both, as a hierarchy: the 100 classes first.
    Both,
}

impl Batches {
    /// The files below `root`, or in it.
    pub fn find(root: &Path, family: &'static Family) -> Option<Self> {
        let [python, binary] = family.folders.map(|name| root.join(name));
        let has = |folder: &Path, ending: &str| {
            family.train.iter().chain(family.test).any(|name| folder.join(format!("{name}{ending}")).is_file())
        };
        let places = [(python, false), (binary, true), (root.to_path_buf(), false), (root.to_path_buf(), true)];
        let found = places.into_iter().find(|(folder, binary)| has(folder, if *binary { ".bin" } else { "" }));
        found.map(|(folder, binary)| {
            let (missing, integrity, labels) = (Missing::Error, false, Labels::Fine);
            Batches { family, folder, binary, missing, integrity, labels }
        })
    }

    /// What becomes of missing files, and whether MD5 sums are checked.
    pub fn with(self, missing: Missing, integrity: bool) -> Self {
        Batches { missing, integrity, ..self }
    }

    fn read(&self, name: &str) -> Result<Option<Batch>> {
        let path = self.folder.join(if self.binary { format!("{name}.bin") } else { name.to_owned() });
        let bytes = match std::fs::read(&path) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound && self.missing == Missing::Skip => {
                tracing::warn!("{} is not there and left out", path.display());
                return Ok(None);
            }
            Err(error) => {
                // A fault of the request: the folder is not whole, which is known before anything starts.
                return Err(Error::request(format!("cannot read {}: {error}", path.display()))
                    .help("set data.missing_files to skip to go on without it"));
            }
        };
        if self.integrity && !self.binary {
            check_md5(&path, &bytes, self.family.md5.iter().find(|(file, _)| *file == name).map(|(_, sum)| *sum))?;
        }
        let kinds = self.family.labels.len();
        let batch = if self.binary { binary(&bytes, kinds) } else { self.pickled(&bytes) };
        batch.map(Some).map_err(|what| Error::failed(format!("{}: {what}", path.display())))
    }

    fn pickled(&self, bytes: &[u8]) -> Result<Batch, String> {
        let pickle = Pickle::parse(bytes).map_err(|error| error.to_string())?;
        let root = pickle.root();
        let data = root.get("data").ok_or("the pickle has no `data`")?;
        let array = Array::of(data).ok_or("`data` is no numpy array")?.map_err(|error| error.to_string())?;
        let [count, width] = array.shape[..] else { return Err(format!("`data` is of shape {:?}", array.shape)) };
        if width != SIZE as i64 || array.dtype.kind != tch::Kind::Uint8 || array.fortran {
            return Err("`data` is no array of rows of 3072 bytes".into());
        }
        let labels = self.family.labels.iter().map(|(name, _)| {
            let list = root.get(name).and_then(|item| item.list()).ok_or(format!("the pickle has no list `{name}`"))?;
            let labels: Option<Vec<i64>> = list.iter().map(Item::as_int).collect();
            labels.filter(|labels| labels.len() == count as usize).ok_or(format!("`{name}` does not fit `data`"))
        });
        Ok(Batch { labels: labels.collect::<Result<_, String>>()?, data: array.data.into_owned() })
    }

    /// Names of the classes of each kind of labels; numbers where there is no meta file.
    fn names(&self, kind: usize, count: usize) -> Result<Vec<String>> {
        let numbers = || (0..count).map(|class| class.to_string()).collect();
        if self.binary {
            let path = self.folder.join(self.family.names[kind]);
            let Ok(text) = std::fs::read_to_string(&path) else { return Ok(numbers()) };
            return Ok(text.lines().map(str::trim).filter(|line| !line.is_empty()).map(str::to_owned).collect());
        }
        let path = self.folder.join(self.family.meta);
        let Ok(bytes) = std::fs::read(&path) else { return Ok(numbers()) };
        let broken = |what: &str| Error::failed(format!("{}: {what}", path.display()));
        let pickle = Pickle::parse(&bytes).map_err(|error| broken(&error.to_string()))?;
        let names = pickle.root().get(self.family.labels[kind].1).and_then(|item| item.list());
        let names = names.ok_or_else(|| broken("it has no list of class names"))?;
        let names: Option<Vec<String>> = names.iter().map(|name| name.as_str().map(str::to_owned)).collect();
        names.ok_or_else(|| broken("a class name is no text"))
    }
}

/// Images of one file.
struct Batch {
    /// Labels of each kind.
    labels: Vec<Vec<i64>>,
    /// Rows of three planes.
    data: Vec<u8>,
}

/// Records of label bytes and an image.
fn binary(bytes: &[u8], kinds: usize) -> Result<Batch, String> {
    let record = kinds + SIZE;
    if !bytes.len().is_multiple_of(record) {
        return Err(format!("{} bytes are no whole number of records of {record}: truncated or corrupt", bytes.len()));
    }
    let mut batch = Batch { labels: vec![Vec::new(); kinds], data: Vec::with_capacity(bytes.len()) };
    for record in bytes.chunks_exact(record) {
        let (labels, image) = record.split_at(kinds);
        batch.labels.iter_mut().zip(labels).for_each(|(all, label)| all.push(i64::from(*label)));
        batch.data.extend_from_slice(image);
    }
    Ok(batch)
}

fn check_md5(path: &Path, bytes: &[u8], expected: Option<&str>) -> Result<()> {
    use md5::Digest;
    let found: String = md5::Md5::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect();
    match expected {
        Some(expected) if expected != found => {
            let message = format!("{} has the MD5 sum {found}, and the published file has {expected}", path.display());
            Err(Error::request(message).help("fetch it again, or set data.integrity to false"))
        }
        _ => Ok(()),
    }
}

impl Source for Batches {
    fn load(&self) -> Result<Records> {
        let kinds = self.family.labels.len();
        let (mut data, mut labels, mut given) = (Vec::new(), vec![Vec::new(); kinds], Vec::new());
        for (names, part) in [(self.family.train, Given::Train), (self.family.test, Given::Test)] {
            for name in names {
                let Some(batch) = self.read(name)? else { continue };
                for image in batch.data.chunks_exact(SIZE) {
                    let plane = SIDE * SIDE;
                    data.extend((0..plane).flat_map(|pixel| [0, 1, 2].map(|channel| image[channel * plane + pixel])));
                }
                labels.iter_mut().zip(&batch.labels).for_each(|(all, some)| all.extend_from_slice(some));
                given.resize(labels[0].len(), part);
            }
        }
        let images = Images::Memory { width: SIDE, height: SIDE, channels: 3, data };
        let mut levels = Vec::new();
        for (kind, labels) in labels.iter().enumerate() {
            let top = labels.iter().max().map_or(0, |top| *top as usize + 1);
            let classes = self.names(kind, top)?;
            if top > classes.len() || labels.iter().any(|label| *label < 0) {
                let message = format!("{}: a label is outside the {} classes", self.folder.display(), classes.len());
                return Err(Error::failed(message));
            }
            let name = if kinds == 1 { "class" } else { ["coarse", "fine"][kind] };
            levels.push(Level { name: name.into(), classes });
        }
        let given = Some(given);
        if kinds == 2 && self.labels == Labels::Both {
            levels.reverse();
            let mut lineage: Vec<Vec<i64>> = (0..levels[0].classes.len() as i64).map(|class| vec![class, 0]).collect();
            for (coarse, fine) in labels[0].iter().zip(&labels[1]) {
                lineage[*fine as usize][1] = *coarse;
            }
            let values = labels[1].iter().zip(&labels[0]).flat_map(|(fine, coarse)| [*fine, *coarse]).collect();
            let targets = Targets::Levels { levels: 2, values };
            return Ok(Records { levels, lineage, given, ..Records::new(images, targets) });
        }
        let kind = if kinds == 2 && self.labels == Labels::Fine { 1 } else { 0 };
        let classes = std::mem::take(&mut levels[kind].classes);
        Ok(Records { given, ..Records::classes(images, std::mem::take(&mut labels[kind]), classes) })
    }

    fn unlabelled(&self, paths: Vec<PathBuf>) -> Option<Records> {
        Some(Records::unlabelled(Images::files(paths, PathBuf::new(), Decode::default())))
    }
}

data_module! {
    /// CIFAR-100: 60,000 colour images of 100 classes in 20 superclasses, 32x32 (Krizhevsky, 2009).
    ///
    /// Reads the original files, pickles (`cifar-100-python`) or binary (`cifar-100-binary`), in `root` or below it.
    /// The validation part comes out of the training file, stratified. Inputs are `[3, 32, 32]`.
    pub struct Cifar100 {
        /// The folder of the files.
        root: PathBuf,
        /// fine, coarse, or both as a hierarchy.
        #[serde(default)]
        labels: Labels,
        /// error, or skip files that are not there.
        #[serde(default)]
        missing_files: Missing,
        /// Whether the published MD5 sums of the pickles are checked.
        #[serde(default)]
        integrity: bool,
    }
}

/// Mean and standard deviation of the training images' channels.
const MEAN: [f32; 3] = [0.5071, 0.4865, 0.4409];
const STD: [f32; 3] = [0.2673, 0.2564, 0.2762];

impl Component for Cifar100 {
    type Kind = DataModuleKind;
    const TARGETS: &'static [&'static str] = &["runner.data.CIFAR100"];

    fn check(&self, cx: &mut Check) {
        self.check_common(cx);
        if Batches::find(&self.root, &CIFAR100).is_none() {
            cx.problem("root", format!("there are no files of CIFAR-100 in {}", self.root.display())).help =
                Some("set data.root to the folder of cifar-100-python or cifar-100-binary".into());
        }
    }

    fn build(self, cx: &mut Build) -> Result<Box<dyn DataModule>> {
        let common = self.common(cx, || Pipeline::normalize(&MEAN, &STD))?;
        let batches = Batches::find(&self.root, &CIFAR100);
        let batches = batches.ok_or_else(|| Error::request(format!("no CIFAR-100 in {}", self.root.display())))?;
        let source = Batches { labels: self.labels, ..batches.with(self.missing_files, self.integrity) };
        Ok(Box::new(ImageModule::new(source, common, FileOptions::none())))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::Split;
    use crate::data::datasets::testing::{batch, module, problem, sizes};

    fn records(kinds: usize, count: u8) -> Vec<u8> {
        let record =
            |i: u8| [vec![i % 2, i % 4][..kinds].to_vec(), vec![i; 1024], vec![10; 1024], vec![20; 1024]].concat();
        (0..count).flat_map(record).collect()
    }

    #[test]
    fn binary_files() {
        let folder = tempfile::tempdir().unwrap();
        let below = folder.path().join("cifar-10-batches-bin");
        std::fs::create_dir(&below).unwrap();
        for i in 1..=5 {
            std::fs::write(below.join(format!("data_batch_{i}.bin")), records(1, 20)).unwrap();
        }
        let text = format!("_target_: runner.data.CIFAR10\nroot: {}\ntest_transforms: []\n", folder.path().display());
        let error = problem(&text);
        assert!(error.contains("test_batch.bin") && error.contains("missing_files"), "{error}");
        std::fs::write(below.join("test_batch.bin"), records(1, 4)).unwrap();
        let set = module(&text).unwrap();
        assert_eq!(sizes(set.as_ref()), [90, 10, 4]);
        let first = batch(set.as_ref(), Split::Test);
        let pixel = first.input().unwrap().select(0, 3).select(1, 0).select(1, 0);
        assert_eq!(Vec::<u8>::try_from(pixel).unwrap(), [3, 10, 20]);
        std::fs::write(below.join("test_batch.bin"), &records(1, 4)[1..]).unwrap();
        assert!(problem(&text).contains("no whole number of records of 3073: truncated"));
    }

    #[test]
    fn both_labels_of_cifar_100() {
        let folder = tempfile::tempdir().unwrap();
        for name in ["train.bin", "test.bin"] {
            std::fs::write(folder.path().join(name), records(2, 40)).unwrap();
        }
        let text = format!("_target_: runner.data.CIFAR100\nroot: {}\n", folder.path().display());
        let set = module(&format!("{text}labels: both\n")).unwrap();
        assert_eq!(set.facts().lineage, [[0, 0], [1, 1], [2, 0], [3, 1]]);
        assert_eq!(batch(set.as_ref(), Split::Test).target().unwrap().size(), [40, 2]);
        assert_eq!(module(&format!("{text}labels: coarse\n")).unwrap().facts().classes, ["0", "1"]);
    }

    #[test]
    fn pickles() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/data/cifar10");
        if !root.join("cifar-10-batches-py").exists() {
            eprintln!("skipped: the sample data cifar10 is not here");
            return;
        }
        let text = format!("_target_: runner.data.CIFAR10\nroot: {}\n", root.join("cifar-10-batches-py").display());
        let set = module(&format!("{text}train_val_test_split: [0.8, 0.2, 0.0]\n")).unwrap();
        assert_eq!(sizes(set.as_ref()), [800, 200, 200]);
        assert_eq!(set.facts().classes[..2], ["airplane", "automobile"]);
        assert!(problem(&format!("{text}integrity: true\n")).contains("and the published file has c99cafc1"));
    }
}
