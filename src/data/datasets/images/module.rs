//! The data module of any source of labelled images.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use rayon::prelude::*;

use super::{DiskCache, ImageDataset, Images, Kept};
use crate::data::datasets::common::{Cache, Common, FileOptions};
use crate::data::datasets::split::{Parts, Unsplit, split};
use crate::data::mix::BatchTransform;
use crate::data::progress::Progress;
use crate::data::sampler::Sampler;
use crate::data::{DataContext, DataFacts, DataModule, Level, Loader, SampleKey, Split, Targets, record};
use crate::error::{Error, Result};
use crate::registry::IntOrFloat;

/// Labelled images as a [`Source`] finds them.
pub struct Records {
    /// All images.
    pub images: Images,
    /// Their targets, as many.
    pub targets: Targets,
    /// The classes: of each level of a hierarchy, or one level; none without classes.
    pub levels: Vec<Level>,
    /// For each class of the first level its class at every level; empty unless there are several levels.
    pub lineage: Vec<Vec<i64>>,
    /// Names of the samples, when they are not those of their files.
    pub ids: Option<Vec<String>>,
    /// Samples with the same number stay in one part, when given.
    pub groups: Option<Vec<u32>>,
    /// Names of the groups by their numbers, where they have names.
    pub group_names: Vec<String>,
    /// The part of each sample, when the data itself says so.
    pub given: Option<Vec<Given>>,
    /// The share for validation where the data gives the other parts and no sizes are chosen.
    pub val_share: f64,
    /// Further columns of a table.
    pub columns: Vec<String>,
    /// Their values, a row a sample, when there are columns.
    pub rows: Vec<Vec<String>>,
    /// Names of files that are left out because they cannot be read, and why: those of which the source noticed it.
    pub unreadable: Vec<(String, String)>,
}

/// What the data itself says about a sample's part.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Given {
    /// For training, or to be split where no validation part is given.
    Train,
    /// For validation.
    Val,
    /// For the test.
    Test,
    /// In no part.
    Out,
}

impl Records {
    /// Images of one class each.
    pub fn classes(images: Images, labels: Vec<i64>, classes: Vec<String>) -> Self {
        let level = Level { name: "class".into(), classes };
        Records { levels: vec![level], ..Records::new(images, Targets::Classes(labels)) }
    }

    /// Images without labels.
    pub fn unlabelled(images: Images) -> Self {
        let count = images.len();
        Records::new(images, Targets::None(count))
    }

    /// Images with targets and nothing else.
    pub fn new(images: Images, targets: Targets) -> Self {
        Records {
            images,
            targets,
            levels: Vec::new(),
            lineage: Vec::new(),
            ids: None,
            groups: None,
            group_names: Vec::new(),
            given: None,
            val_share: 0.1,
            columns: Vec::new(),
            rows: Vec::new(),
            unreadable: Vec::new(),
        }
    }

    /// The name of a sample.
    pub fn id(&self, index: usize) -> String {
        match &self.ids {
            Some(ids) => ids[index].clone(),
            None => self.images.name(index),
        }
    }

    /// What a split needs to know.
    pub fn unsplit(&self) -> Unsplit<'_> {
        Unsplit {
            strata: self.targets.strata(),
            given: self.given.as_deref(),
            groups: self.groups.as_deref(),
            names: Box::new(|index| {
                let group = self.groups.as_ref().and_then(|groups| self.group_names.get(groups[index] as usize));
                std::iter::once(self.id(index)).chain(group.cloned()).collect()
            }),
            class: Box::new(|index| self.targets.words(index, &self.levels)),
            val_share: self.val_share,
        }
    }

    /// Keeps the samples at `indices` only.
    fn select(&mut self, indices: &[usize]) {
        fn some<T: Clone>(list: &Option<Vec<T>>, indices: &[usize]) -> Option<Vec<T>> {
            list.as_ref().map(|list| indices.iter().map(|&i| list[i].clone()).collect())
        }
        if let Images::Files(files) = &mut self.images {
            files.select(indices);
        }
        self.targets = self.targets.select(indices);
        self.ids = some(&self.ids, indices);
        self.groups = some(&self.groups, indices);
        self.given = some(&self.given, indices);
        if !self.rows.is_empty() {
            self.rows = indices.iter().map(|&i| self.rows[i].clone()).collect();
        }
    }

    fn first_classes(&self) -> &[String] {
        self.levels.first().map_or(&[], |level| level.classes.as_slice())
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
    fn load(&self) -> Result<Records>;

    /// Looks at the parts that the samples were put into.
    ///
    /// # Errors
    /// When a part cannot be used: a label that occurs in no training sample.
    fn look_at(&self, _: &Records, _: &Parts) -> Result<()> {
        Ok(())
    }

    /// Writes tables of its own about the samples into a run's folder.
    ///
    /// # Errors
    /// When a file cannot be written.
    fn record(&self, _: &Records, _: &Parts, _: &Path) -> Result<()> {
        Ok(())
    }

    /// Files that are to be read as this source reads its own, without labels; `None` when its images are not files.
    fn unlabelled(&self, _: Vec<PathBuf>) -> Option<Records> {
        None
    }
}

/// A data module of labelled images.
pub struct ImageModule {
    source: Box<dyn Source>,
    common: Common,
    options: FileOptions,
    seed: u64,
    loaded: Option<Loaded>,
    facts: DataFacts,
}

struct Loaded {
    records: Arc<Records>,
    parts: Parts,
    batch_size: usize,
    sampler: Option<Arc<dyn Sampler>>,
    /// Files that cannot be read, with the reason.
    skipped: Vec<(String, String)>,
}

impl ImageModule {
    /// A data module over a source.
    pub fn new(source: impl Source + 'static, common: Common, options: FileOptions) -> Self {
        let facts = DataFacts::default();
        ImageModule { source: Box::new(source), common, options, seed: 0, loaded: None, facts }
    }

    fn load(&self) -> Result<Loaded> {
        let mut records = self.source.load()?;
        let skipped = if self.options.skips() { skip_unreadable(&mut records)? } else { Vec::new() };
        if let Images::Files(files) = &mut records.images {
            match &self.options.cache {
                None => {}
                Some(Cache::Ram) => files.keep_in_memory(),
                Some(Cache::Disk) => {
                    files.kept = Kept::Disk(DiskCache::open(&self.options.cache_dir, files)?);
                }
            }
        }
        let unsplit = records.unsplit();
        let mut parts = self.common.splitting.apply(&unsplit)?;
        self.source.look_at(&records, &parts)?;
        if let Some(subset) = self.common.subset {
            let own: Vec<i64> = parts.train.iter().map(|&i| unsplit.strata[i as usize]).collect();
            let none = IntOrFloat::Int(0);
            let chosen = split(&own, &[subset, none, none], self.common.splitting.seed)?.train;
            parts.train = chosen.into_iter().map(|i| parts.train[i as usize]).collect();
        }
        drop(unsplit);
        if parts.train.is_empty() && parts.val.is_empty() && parts.test.is_empty() {
            return Err(Error::request("the data has no samples"));
        }
        let sampler = match &self.common.sampler {
            Some(spec) if !parts.train.is_empty() => Some(spec.make(&records.targets, &parts.train)?),
            _ => None,
        };
        let batch_size = self.common.batching.size(parts.train.len());
        Ok(Loaded { records: Arc::new(records), parts, batch_size, sampler, skipped })
    }

    fn dataset(&self, split: Split) -> Result<Option<ImageDataset>> {
        let Some(loaded) = &self.loaded else { return Err(Error::failed("the data has not been set up")) };
        let (indices, pipeline) = match split {
            Split::Train => (&loaded.parts.train, &self.common.train),
            Split::Val => (&loaded.parts.val, &self.common.test),
            Split::Test | Split::Predict => (&loaded.parts.test, &self.common.test),
        };
        if indices.is_empty() {
            return Ok(None);
        }
        Ok(Some(ImageDataset::new(loaded.records.clone(), indices.clone(), pipeline.clone())))
    }
}

/// Tries every file and leaves out the samples that cannot be read.
fn skip_unreadable(records: &mut Records) -> Result<Vec<(String, String)>> {
    let Images::Files(files) = &records.images else { return Ok(Vec::new()) };
    let progress = Progress::new("looking for unreadable images", files.len() as u64);
    let try_one = |index: usize| {
        let problem = files.of(index).find_map(|(path, decode)| decode.verify(path).err());
        progress.advance(1);
        problem.map(|error| error.to_string())
    };
    let problems: Vec<Option<String>> = (0..files.len()).into_par_iter().map(try_one).collect();
    drop(progress);
    let bad = problems.iter().enumerate();
    let mut skipped: Vec<(String, String)> =
        bad.filter_map(|(index, problem)| Some((records.id(index), problem.clone()?))).collect();
    skipped.append(&mut records.unreadable);
    skipped.sort();
    if !skipped.is_empty() {
        let good = problems.iter().enumerate().filter(|(_, problem)| problem.is_none());
        let good: Vec<usize> = good.map(|(index, _)| index).collect();
        records.select(&good);
        let count = if skipped.len() == 1 { "1 image".to_owned() } else { format!("{} images", skipped.len()) };
        tracing::warn!("{count} cannot be read and left out of every epoch: data/skipped.csv lists them");
    }
    Ok(skipped)
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
        let loaded = self.load()?;
        let records = loaded.records.clone();
        self.facts = DataFacts {
            classes: records.first_classes().to_vec(),
            input_shape: None,
            labels: records.targets.kind(),
            levels: if records.levels.len() > 1 { records.levels.clone() } else { Vec::new() },
            lineage: records.lineage.clone(),
            class_counts: records.targets.counts(&loaded.parts.train, records.first_classes().len()),
        };
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
        let Some(loaded) = &self.loaded else { return Ok(None) };
        let own = match split {
            Split::Test | Split::Predict => self.common.batching.test_batch_size,
            Split::Train | Split::Val => None,
        };
        let loader = self.common.batching.loader(Arc::new(dataset), own.unwrap_or(loaded.batch_size), self.seed);
        let shuffle = split == Split::Train;
        Ok(Some(if shuffle {
            let sampler = loaded.sampler.clone();
            let batching = &self.common.batching;
            let classes = self.facts.classes.len() as i64;
            let for_classes = |transform: &Arc<dyn BatchTransform>| {
                transform.for_classes(classes).unwrap_or_else(|| transform.clone())
            };
            let batch_transforms = batching.transforms.iter().map(for_classes).collect();
            Loader { shuffle, sampler, batch_transforms, drop_last: batching.drop_last, ..loader }
        } else {
            loader
        }))
    }

    fn facts(&self) -> DataFacts {
        self.facts.clone()
    }

    fn files(&self, paths: Vec<PathBuf>) -> Result<Option<Loader>> {
        let Some(records) = self.source.unlabelled(paths) else { return Ok(None) };
        let count = records.images.len();
        let dataset =
            ImageDataset::new(Arc::new(records), (0..count as u32).collect(), self.common.test.clone()).lenient();
        let batching = &self.common.batching;
        let size = batching.test_batch_size.unwrap_or(batching.batch_size);
        Ok(Some(batching.loader(Arc::new(dataset), size, self.seed)))
    }

    fn record(&self, run: &Path) -> Result<()> {
        record::facts(run, &self.facts)?;
        let Some(loaded) = &self.loaded else { return Ok(()) };
        self.source.record(&loaded.records, &loaded.parts, run)?;
        let records = &loaded.records;
        let id = |index: usize| records.id(index);
        record::parts(run, &loaded.parts, id, &records.targets, &records.levels, &self.facts.classes)?;
        if !loaded.skipped.is_empty() {
            let rows = loaded.skipped.iter().map(|(id, reason)| [id.as_str(), reason.as_str()]);
            record::csv(&record::folder(run)?.join("skipped.csv"), &["id", "reason"], rows)?;
        }
        Ok(())
    }
}
