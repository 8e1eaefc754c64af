//! Pictures that carry their labels in PNG text: varKoder's pictures of k-mers, and others.

mod name;
mod pictures;

use std::collections::BTreeSet;
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};

use indexmap::IndexSet;

use self::name::FORBIDDEN;
use self::pictures::{COLUMNS, Found};
use super::common::{AutoBatch, file_module};
use super::hierarchy::Labelled;
use super::image_table::{sets, vocabulary};
use super::images::{ImageModule, Images, Records, Source};
use super::split::{Parts, Sizes};
use crate::data::decode::{Decode, Mode};
use crate::data::transforms::Pipeline;
use crate::data::{DataModule, DataModuleKind, Level, Targets, record};
use crate::error::{Error, Result};
use crate::prelude::*;

/// How file names are read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, serde::Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Names {
    /// `<sample>@<8 digits>K+<mapping>+k<k>.png`, the mapping varKode or cgr, or without it for varKode.
    #[default]
    Kmer,
    /// Any name; each file is a sample of its own.
    Any,
}

/// What is learnt.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, serde::Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Problem {
    /// Any number of labels a picture.
    #[default]
    Multilabel,
    /// One class a picture: all its labels together.
    SingleLabel,
}

file_module! {
    /// PNG files below a folder whose labels are in their text (`;`-separated), or in a table of samples.
    ///
    /// Made for varKoder's pictures of k-mers: several pictures of a sample stay in one part, validation gets a share
    /// of the samples of each set of labels, the batch size follows the number of pictures. Pictures are gray
    /// (`image_mode`). Sample, base pairs, mapping, k and quality are columns for the tables about samples.
    pub struct KmerImages {
        /// The folder.
        root: PathBuf,
        /// A table of the columns sample and labels, in place of the labels in the files. Pictures of samples without
        /// a row are left out and counted.
        #[serde(default)]
        label_table: Option<PathBuf>,
        /// multilabel or single_label.
        #[serde(default)]
        problem: Problem,
        /// The share of the samples of each set of labels that validation gets, rounded; train_val_test_split and
        /// val_ids come before it.
        #[serde(default = "fifth")]
        valid_fraction: Fraction,
        /// kmer, or any for files of other names.
        #[serde(default)]
        file_names: Names,
        /// The keyword of the labels in the files' text.
        #[serde(default = "keywords")]
        label_key: String,
        /// Whether pictures that are flagged as of low quality get the label `low_quality:True` too.
        #[serde(default)]
        low_quality_label: bool,
        /// L for gray, or RGB.
        #[serde(default = "gray")]
        image_mode: Mode,
        /// About so many batches an epoch, of a power of two of pictures; null: batches of `batch_size`.
        #[serde(default = "ten")]
        batches_per_epoch: Option<Positive>,
        /// The least batch size then.
        #[serde(default = "one")]
        min_batch_size: NonZeroUsize,
        /// The largest batch size then.
        #[serde(default = "sixty_four")]
        max_batch_size: NonZeroUsize,
    }
}

fn fifth() -> Fraction {
    Fraction(0.2)
}

fn keywords() -> String {
    "varkoderKeywords".into()
}

fn gray() -> Mode {
    Mode::L
}

fn ten() -> Option<Positive> {
    Some(Positive(10.0))
}

fn one() -> NonZeroUsize {
    NonZeroUsize::MIN
}

fn sixty_four() -> NonZeroUsize {
    const { NonZeroUsize::new(64).unwrap() }
}

impl Component for KmerImages {
    type Kind = DataModuleKind;
    const TARGETS: &'static [&'static str] = &["runner.data.KmerImages", "runner.data.PngTextImages"];

    fn check(&self, cx: &mut Check) {
        self.check_common(cx);
        if !self.root.is_dir() {
            cx.problem("root", format!("there is no folder {}", self.root.display()));
        }
        if let Some(table) = self.label_table.as_ref().filter(|table| !table.is_file()) {
            cx.problem("label_table", format!("there is no file {}", table.display()));
        }
        if self.min_batch_size > self.max_batch_size {
            cx.problem("min_batch_size", "`min_batch_size` is above `max_batch_size`");
        }
    }

    fn build(self, cx: &mut Build) -> Result<Box<dyn DataModule>> {
        let mut common = self.common(cx, || Pipeline::normalize(&[0.0], &[1.0]))?;
        if self.train_val_test_split.is_none() {
            common.splitting.sizes = Sizes::OfEach(self.valid_fraction.0);
        }
        let (min, max) = (self.min_batch_size.get(), self.max_batch_size.get());
        common.batching.auto = self.batches_per_epoch.map(|batches| AutoBatch { batches: batches.0, min, max });
        let options = self.file_options();
        Ok(Box::new(ImageModule::new(self, common, options)))
    }
}

impl KmerImages {
    fn decode(&self) -> Decode {
        Decode { mode: self.image_mode, max_pixels: self.max_image_pixels, at_least: None }
    }

    fn targets(&self, pictures: &[Found]) -> Result<Labelled> {
        for picture in pictures {
            if let Some(label) = picture.labels.iter().find(|label| label.contains(FORBIDDEN)) {
                let message = format!("{}: the label `{label}` has a @, ~ or + in it", picture.path.display());
                return Err(Error::request(message));
            }
            if picture.labels.is_empty() {
                let message = format!("{} has no labels", picture.path.display());
                return Err(Error::request(message).help(format!(
                    "labels are the text `{}` of the file, or a row of data.label_table",
                    self.label_key
                )));
            }
        }
        let many = pictures.iter().any(|picture| picture.labels.len() > 1);
        let level = |classes| vec![Level { name: "class".into(), classes }];
        match self.problem {
            Problem::Multilabel => {
                if !many {
                    tracing::warn!("no picture has more than one label: data.problem=single_label may be meant");
                }
                let labels: Vec<Vec<&str>> =
                    pictures.iter().map(|picture| picture.labels.iter().map(String::as_str).collect()).collect();
                let (targets, level) = sets(&labels, None)?;
                Ok(Labelled { levels: vec![level], ..Labelled::flat(targets) })
            }
            Problem::SingleLabel => {
                if many {
                    tracing::warn!(
                        "pictures have several labels: with data.problem=single_label they count as one class"
                    );
                }
                let joined: Vec<String> = pictures
                    .iter()
                    .map(|picture| picture.labels.iter().cloned().collect::<Vec<_>>().join(";"))
                    .collect();
                let classes = vocabulary(joined.iter().map(String::as_str));
                let number = |label: &String| classes.iter().position(|class| class == label).unwrap_or(0) as i64;
                let numbers = joined.iter().map(number).collect();
                Ok(Labelled { levels: level(classes), ..Labelled::flat(Targets::Classes(numbers)) })
            }
        }
    }
}

const LOW_QUALITY: &str = "low_quality:True";

impl Source for KmerImages {
    fn load(&self) -> Result<Records> {
        let (mut pictures, unreadable) = self.pictures()?;
        if let Some(path) = &self.label_table {
            pictures = self.labelled_by(path, pictures)?;
        }
        if self.low_quality_label {
            for picture in pictures.iter_mut().filter(|picture| picture.low_quality == Some(true)) {
                picture.labels.insert(LOW_QUALITY.into());
            }
        }
        let Labelled { targets, levels, lineage } = self.targets(&pictures)?;
        let mut samples: IndexSet<String> = IndexSet::new();
        let groups = pictures.iter().map(|picture| samples.insert_full(picture.sample.clone()).0 as u32).collect();
        let rows = pictures.iter().map(Found::row).collect();
        let paths = pictures.into_iter().map(|picture| picture.path).collect();
        Ok(Records {
            levels,
            lineage,
            groups: Some(groups),
            group_names: samples.into_iter().collect(),
            columns: COLUMNS.map(str::to_owned).to_vec(),
            rows,
            unreadable,
            ..Records::new(Images::files(paths, self.root.clone(), self.decode()), targets)
        })
    }

    fn look_at(&self, records: &Records, parts: &Parts) -> Result<()> {
        let classes = records.levels.first().map_or(&[][..], |level| &level.classes);
        let learnt = records.targets.counts(&parts.train, classes.len());
        let Some(class) = learnt.iter().position(|count| *count == 0) else { return Ok(()) };
        Err(Error::request(format!("the label `{}` is in no training sample", classes[class]))
            .help("leave one of its samples to training: change data.val_ids, or remove the label"))
    }

    /// varKoder's `input_data.csv` and `labels.txt`.
    fn record(&self, records: &Records, parts: &Parts, run: &Path) -> Result<()> {
        let flagged = self.label_table.is_none();
        let mut header = COLUMNS[..4].to_vec();
        header.extend(["path", "labels"]);
        header.extend(flagged.then_some(COLUMNS[4]));
        header.push("is_valid");
        let mut order: Vec<(u32, bool)> = parts.train.iter().map(|&index| (index, false)).collect();
        order.extend(parts.val.iter().map(|&index| (index, true)));
        order.sort_unstable();
        let rows = order.into_iter().map(|(index, is_valid)| {
            let index = index as usize;
            let row = &records.rows[index];
            let mut cells = row[..4].to_vec();
            let path = match &records.images {
                Images::Files(files) => files.path(index).display().to_string(),
                Images::Memory { .. } => records.id(index),
            };
            cells.push(path);
            cells.push(records.targets.words(index, &records.levels));
            cells.extend(flagged.then(|| row[4].clone()));
            cells.push(if is_valid { "True" } else { "False" }.to_owned());
            cells
        });
        record::csv(&run.join("input_data.csv"), &header, rows)?;
        let classes = records.levels.first().map_or(&[][..], |level| &level.classes);
        let labels: String = classes.iter().map(|class| format!("{class}\n")).collect();
        crate::run::write_atomic(&run.join("labels.txt"), labels.as_bytes())
    }

    fn unlabelled(&self, paths: Vec<PathBuf>) -> Option<Records> {
        let lenient = |path: PathBuf| {
            let stem = path.file_stem().map(|stem| stem.to_string_lossy().into_owned()).unwrap_or_default();
            let (sample, labels) = (stem, BTreeSet::new());
            let unknown = Found {
                path: path.clone(),
                sample,
                name: None,
                labels,
                low_quality: None,
                base_frequency_sd: String::new(),
            };
            self.find(path).unwrap_or(unknown)
        };
        let found: Vec<Found> = paths.into_iter().map(lenient).collect();
        let labels = found.iter().map(|found| found.labels.iter().cloned().collect::<Vec<_>>().join(";"));
        let rows = found.iter().map(Found::row).zip(labels).map(|(mut row, labels)| {
            row.push(labels);
            row
        });
        let rows = rows.collect();
        let images = Images::files(found.into_iter().map(|found| found.path).collect(), PathBuf::new(), self.decode());
        let columns = COLUMNS.iter().chain(&["actual_labels"]).map(|name| (*name).to_owned()).collect();
        Some(Records { columns, rows, ..Records::unlabelled(images) })
    }
}

#[cfg(test)]
mod tests;
