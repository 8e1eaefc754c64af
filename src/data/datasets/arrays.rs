//! NumPy arrays as data: any numbers, not only pictures.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use tch::{Kind as Dtype, Tensor};

use super::common::{Common, data_module};
use super::npy::Array;
use super::split::{Parts, Unsplit, split};
use crate::data::transforms::Pipeline;
use crate::data::{
    Batch, DataContext, DataFacts, DataModule, DataModuleKind, Dataset, Field, Loader, Sample, SampleKey, Split,
    Targets, record,
};
use crate::error::{Error, Result};
use crate::prelude::*;

data_module! {
    /// NumPy arrays: inputs `[samples, …]` and targets `[samples]` or `[samples, numbers]`, as `.npy` or `.npz`.
    ///
    /// Whole numbers in one dimension are classes, 0 and 1 in two dimensions sets of classes (with `multi_label`),
    /// everything else numbers. Inputs become floats: bytes are divided by 255, other types are cast. A plain `.npy`
    /// file is mapped into memory, so that it may be larger than the memory.
    pub struct Arrays {
        /// The file of inputs, or an archive with both.
        inputs: PathBuf,
        /// The file of targets; null: the archive of inputs.
        #[serde(default)]
        targets: Option<PathBuf>,
        /// The name of the inputs in an archive; null: the only array.
        #[serde(default)]
        input_key: Option<String>,
        /// The name of the targets in an archive; null: the only array.
        #[serde(default)]
        target_key: Option<String>,
        /// Names of the classes; null: their numbers.
        #[serde(default)]
        classes: Option<Vec<String>>,
        /// Whether targets of two dimensions are sets of classes.
        #[serde(default)]
        multi_label: bool,
    }
}

impl Component for Arrays {
    type Kind = DataModuleKind;
    const TARGETS: &'static [&'static str] = &["runner.data.Arrays"];

    fn check(&self, cx: &mut Check) {
        self.check_common(cx);
        for (name, path) in [("inputs", Some(&self.inputs)), ("targets", self.targets.as_ref())] {
            if let Some(path) = path.filter(|path| !path.is_file()) {
                cx.problem(name, format!("there is no file {}", path.display()));
            }
        }
        if self.train_transforms.is_some() || self.test_transforms.is_some() {
            cx.problem("train_transforms", "transforms act on pictures, and arrays are used as they are").help =
                Some("remove them; batch_transforms act on arrays too".into());
        }
    }

    fn build(self, cx: &mut Build) -> Result<Box<dyn DataModule>> {
        let common = self.common(cx, || Pipeline::normalize(&[0.0], &[1.0]))?;
        Ok(Box::new(ArrayModule { args: self, common, seed: 0, loaded: None, facts: DataFacts::default() }))
    }
}

struct ArrayModule {
    args: Arrays,
    common: Common,
    seed: u64,
    loaded: Option<(Arc<Pair>, Parts)>,
    facts: DataFacts,
}

/// Inputs and their targets.
struct Pair {
    inputs: Array,
    targets: Targets,
}

impl Arrays {
    fn read(&self) -> Result<Pair> {
        let inputs = Array::open(&self.inputs, self.input_key.as_deref())?;
        let path = self.targets.as_deref().unwrap_or(&self.inputs);
        if self.targets.is_none() && self.target_key.is_none() {
            return Err(Error::request("no targets are given").help("set data.targets to a file, or data.target_key"));
        }
        let targets = Array::open(path, self.target_key.as_deref())?;
        let (n, m) = (inputs.shape.first().copied().unwrap_or(0), targets.shape.first().copied().unwrap_or(0));
        if n != m || n == 0 {
            let message = format!("{} has {n} inputs and {} {m} targets", self.inputs.display(), path.display());
            return Err(Error::request(message));
        }
        let targets = self.labels(path, &targets)?;
        Ok(Pair { inputs, targets })
    }

    fn labels(&self, path: &Path, array: &Array) -> Result<Targets> {
        let wrong = |what: String| Error::request(format!("{}: {what}", path.display()));
        let values = array.numbers().map_err(wrong)?;
        let width = array.shape.get(1).copied().unwrap_or(1);
        if array.shape.len() > 2 || width == 0 {
            return Err(wrong(format!("targets are of shape {:?}, not [samples] or [samples, numbers]", array.shape)));
        }
        let row = |at: usize| at / width;
        if let Some(at) = values.iter().position(|value| !value.is_finite()) {
            return Err(wrong(format!("the target of sample {} is {}", row(at), values[at])));
        }
        let whole = !matches!(array.kind, Dtype::Half | Dtype::Float | Dtype::Double);
        if array.shape.len() == 1 && whole {
            if let Some(at) = values.iter().position(|value| *value < 0.0) {
                return Err(wrong(format!("the class of sample {at} is {}", values[at])));
            }
            return Ok(Targets::Classes(values.into_iter().map(|value| value as i64).collect()));
        }
        if self.multi_label {
            if let Some(at) = values.iter().position(|value| *value != 0.0 && *value != 1.0) {
                return Err(wrong(format!("sets of classes are 0 and 1, and sample {} has {}", row(at), values[at])));
            }
            let set = |row: &[f64]| (0u32..).zip(row).filter(|(_, on)| **on == 1.0).map(|(class, _)| class).collect();
            return Ok(Targets::Sets { classes: width, sets: values.chunks_exact(width).map(set).collect() });
        }
        Ok(Targets::Values { width, values: values.into_iter().map(|value| value as f32).collect() })
    }

    fn class_names(&self, targets: &Targets) -> Result<Vec<String>> {
        let count = match targets {
            Targets::Classes(classes) => classes.iter().max().map_or(0, |top| *top as usize + 1),
            Targets::Sets { classes, .. } => *classes,
            _ => return Ok(Vec::new()),
        };
        match &self.classes {
            Some(names) if names.len() < count => {
                Err(Error::request(format!("`classes` has {} names for {count} classes", names.len())))
            }
            Some(names) => Ok(names.clone()),
            None => Ok((0..count).map(|class| class.to_string()).collect()),
        }
    }
}

impl DataModule for ArrayModule {
    fn setup(&mut self, cx: &DataContext) -> Result<()> {
        self.seed = cx.seed;
        if self.loaded.is_some() {
            return Ok(());
        }
        let pair = self.args.read()?;
        let classes = self.args.class_names(&pair.targets)?;
        let unsplit = Unsplit {
            strata: pair.targets.strata(),
            given: None,
            groups: None,
            names: Box::new(|index| vec![index.to_string()]),
            class: Box::new(|index| pair.targets.words(index, &[])),
            val_share: 0.1,
        };
        let mut parts = self.common.splitting.apply(&unsplit)?;
        if let Some(subset) = self.common.subset {
            let own: Vec<i64> = parts.train.iter().map(|&i| unsplit.strata[i as usize]).collect();
            let none = IntOrFloat::Int(0);
            let chosen = split(&own, &[subset, none, none], self.common.splitting.seed)?.train;
            parts.train = chosen.into_iter().map(|i| parts.train[i as usize]).collect();
        }
        drop(unsplit);
        self.facts = DataFacts {
            class_counts: pair.targets.counts(&parts.train, classes.len()),
            classes,
            input_shape: Some(pair.inputs.shape[1..].iter().map(|side| *side as i64).collect()),
            labels: pair.targets.kind(),
            ..DataFacts::default()
        };
        self.loaded = Some((Arc::new(pair), parts));
        Ok(())
    }

    fn loader(&self, split: Split) -> Result<Option<Loader>> {
        let Some((pair, parts)) = &self.loaded else { return Err(Error::failed("the data has not been set up")) };
        let indices = match split {
            Split::Train => &parts.train,
            Split::Val => &parts.val,
            Split::Test | Split::Predict => &parts.test,
        };
        if indices.is_empty() {
            return Ok(None);
        }
        let batching = &self.common.batching;
        let sampler = match (&self.common.sampler, split) {
            (Some(spec), Split::Train) => Some(spec.make(&pair.targets, indices)?),
            _ => None,
        };
        let dataset = Arc::new(Part { pair: pair.clone(), indices: indices.clone() });
        let loader = batching.loader(dataset, batching.size(parts.train.len()), self.seed);
        let train = split == Split::Train;
        let batch_transforms = if train { batching.transforms.clone() } else { Vec::new() };
        Ok(Some(Loader { shuffle: train, drop_last: train && batching.drop_last, sampler, batch_transforms, ..loader }))
    }

    fn facts(&self) -> DataFacts {
        self.facts.clone()
    }

    fn record(&self, run: &Path) -> Result<()> {
        record::facts(run, &self.facts)?;
        let Some((pair, parts)) = &self.loaded else { return Ok(()) };
        record::parts(run, parts, |index| index.to_string(), &pair.targets, &[], &self.facts.classes)
    }
}

/// Some of the samples.
struct Part {
    pair: Arc<Pair>,
    indices: Vec<u32>,
}

impl Part {
    fn inputs(&self, samples: &[usize]) -> Result<Tensor> {
        let Pair { inputs, .. } = &*self.pair;
        let stride = inputs.stride();
        let mut bytes = Vec::with_capacity(samples.len() * stride);
        for &sample in samples {
            bytes.extend_from_slice(&inputs.data()[sample * stride..(sample + 1) * stride]);
        }
        let shape = std::iter::once(samples.len()).chain(inputs.shape[1..].iter().copied());
        let shape: Vec<usize> = shape.collect();
        let tensor =
            Tensor::f_from_data_size(&bytes, &shape.iter().map(|&n| n as i64).collect::<Vec<_>>(), inputs.kind)?;
        let floats = tensor.f_to_kind(Dtype::Float)?;
        Ok(if inputs.kind == Dtype::Uint8 { floats.f_div_scalar(255.0)? } else { floats })
    }
}

impl Dataset for Part {
    fn len(&self) -> usize {
        self.indices.len()
    }

    fn sample(&self, key: SampleKey) -> Result<Sample> {
        let sample = self.indices[key.index as usize] as usize;
        let mut out = Sample::default();
        out.fields.insert("input".into(), self.inputs(&[sample])?.f_squeeze_dim(0)?);
        if let Some(target) = self.pair.targets.one(sample)? {
            out.fields.insert("target".into(), target);
        }
        Ok(out)
    }

    fn batch(&self, keys: &[SampleKey]) -> Result<Batch> {
        let indices: Vec<usize> = keys.iter().map(|key| key.index as usize).collect();
        let samples: Vec<usize> = indices.iter().map(|&index| self.indices[index] as usize).collect();
        let mut batch = Batch { indices, ..Batch::default() };
        batch.fields.insert("input".into(), Field::Tensor(self.inputs(&samples)?));
        if let Some(target) = self.pair.targets.batch(&samples)? {
            batch.fields.insert("target".into(), Field::Tensor(target));
        }
        Ok(batch)
    }

    fn in_memory(&self) -> bool {
        true
    }

    fn id(&self, index: usize) -> String {
        self.indices[index].to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::LabelKind;
    use crate::data::datasets::testing::{batch, module, problem, sizes};

    fn npy(path: &Path, descr: &str, shape: &str, data: &[u8]) {
        let mut header = format!("{{'descr': '{descr}', 'fortran_order': False, 'shape': {shape}, }}");
        header.push_str(&" ".repeat(63 - (10 + header.len()) % 64));
        header.push('\n');
        let length = (header.len() as u16).to_le_bytes();
        std::fs::write(path, [b"\x93NUMPY\x01\x00", &length[..], header.as_bytes(), data].concat()).unwrap();
    }

    #[test]
    fn arrays_of_all_kinds() {
        let folder = tempfile::tempdir().unwrap();
        let (x, y) = (folder.path().join("x.npy"), folder.path().join("y.npy"));
        let floats: Vec<u8> = (0..60u16).flat_map(|i| f32::from(i).to_le_bytes()).collect();
        npy(&x, "<f4", "(20, 3)", &floats);
        let classes: Vec<u8> = (0..20i64).flat_map(|i| (i % 2).to_le_bytes()).collect();
        npy(&y, "<i8", "(20,)", &classes);
        let text = format!("_target_: runner.data.Arrays\ninputs: {}\ntargets: {}\n", x.display(), y.display());
        let set = module(&text).unwrap();
        assert_eq!((sizes(set.as_ref()), set.facts().classes.len()), ([16, 2, 2], 2));
        let loader = set.loader(Split::Test).unwrap().unwrap();
        let first = batch(set.as_ref(), Split::Test);
        let id: f64 = loader.dataset.id(0).parse().unwrap();
        assert_eq!(first.input().unwrap().double_value(&[0, 2]), id * 3.0 + 2.0);
        npy(&y, "|b1", "(20, 2)", &[1, 0].repeat(20));
        assert_eq!(module(&format!("{text}multi_label: true\n")).unwrap().facts().labels, LabelKind::Multi);
        let numbers: Vec<u8> = (0..20).flat_map(|i| if i == 7 { f32::NAN } else { 1.0 }.to_le_bytes()).collect();
        npy(&y, "<f4", "(20,)", &numbers);
        assert!(problem(&text).contains("the target of sample 7 is NaN"));
        npy(&y, "<f4", "(19,)", &numbers[4..]);
        assert!(problem(&text).contains("has 20 inputs and"));
        npy(&y, "<f4", "(20,)", &numbers[4..]);
        assert!(problem(&text).contains("truncated"));
        npy(&y, "|O", "(20,)", &numbers);
        assert!(problem(&text).contains("it holds Python objects"));
    }

    /// What `numpy.savez` and `numpy.savez_compressed` write: inputs and targets in one file.
    #[test]
    fn archives() {
        let folder = tempfile::tempdir().unwrap();
        let (x, y) = (folder.path().join("x.npy"), folder.path().join("y.npy"));
        npy(&x, "|u1", "(10, 1, 2, 2)", &(0..40).map(|i| i * 6).collect::<Vec<u8>>());
        npy(&y, "<i4", "(10,)", &(0..10i32).flat_map(|i| (i % 2).to_le_bytes()).collect::<Vec<u8>>());
        let path = folder.path().join("both.npz");
        for method in [zip::CompressionMethod::Stored, zip::CompressionMethod::Deflated] {
            let mut archive = zip::ZipWriter::new(std::fs::File::create(&path).unwrap());
            for (name, file) in [("x.npy", &x), ("y.npy", &y)] {
                let options = zip::write::SimpleFileOptions::default().compression_method(method);
                archive.start_file(name, options).unwrap();
                std::io::Write::write_all(&mut archive, &std::fs::read(file).unwrap()).unwrap();
            }
            archive.finish().unwrap();
            let text = format!("_target_: runner.data.Arrays\ninputs: {}\n", path.display());
            let args = "input_key: x\ntarget_key: y\nclasses: [even, odd]\nsubset: 4\n";
            let set = module(&format!("{text}{args}")).unwrap();
            assert_eq!((sizes(set.as_ref()), set.facts().classes), ([4, 1, 1], vec!["even".into(), "odd".into()]));
            let loader = set.loader(Split::Test).unwrap().unwrap();
            let id: f64 = loader.dataset.id(0).parse().unwrap();
            let value = batch(set.as_ref(), Split::Test).input().unwrap().double_value(&[0, 0, 1, 1]);
            assert!((value * 255.0 - (id * 4.0 + 3.0) * 6.0).abs() < 1e-4, "{value}");
            let error = problem(&format!("{text}input_key: x\ntarget_key: z\n"));
            assert!(error.contains("it has no array `z`; it has x, y"), "{error}");
        }
    }
}
