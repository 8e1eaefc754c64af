//! Pictures that carry their labels in PNG text: varKoder's pictures of k-mers, and others.

use std::collections::{BTreeSet, HashMap};
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};

use indexmap::IndexSet;
use walkdir::WalkDir;

use super::common::{AutoBatch, file_module};
use super::hierarchy::Labelled;
use super::image_table::{labels_of, sets, vocabulary};
use super::images::{ImageModule, Images, Records, Source};
use super::png_text;
use super::split::{Parts, Sizes};
use super::table::Table;
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

/// What a file's name says.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Name {
    sample: String,
    base_pairs: u64,
    mapping: &'static str,
    k: u8,
}

/// Characters that separate the parts of a name.
const FORBIDDEN: [char; 3] = ['@', '~', '+'];

impl Name {
    fn parse(stem: &str) -> Option<Self> {
        let (sample, rest) = stem.split_once('@')?;
        let (digits, rest) = rest.split_once("K+")?;
        let (mapping, k) = match rest.split_once('+') {
            Some(("varKode", k)) => ("varKode", k),
            Some(("cgr", k)) => ("cgr", k),
            Some(_) => return None,
            None => ("varKode", rest),
        };
        let k = k.strip_prefix('k')?.parse().ok()?;
        let whole = digits.len() == 8 && digits.bytes().all(|digit| digit.is_ascii_digit());
        if sample.is_empty() || sample.contains(FORBIDDEN) || !whole {
            return None;
        }
        Some(Name { sample: sample.to_owned(), base_pairs: digits.parse::<u64>().ok()? * 1000, mapping, k })
    }
}

/// A picture and what its name and its text say.
struct Found {
    path: PathBuf,
    sample: String,
    name: Option<Name>,
    labels: BTreeSet<String>,
    low_quality: Option<bool>,
    base_frequency_sd: String,
}

const COLUMNS: [&str; 6] =
    ["sample", "bp", "img_kmer_mapping", "img_kmer_size", "possible_low_quality", "basefrequency_sd"];

impl Found {
    fn row(&self) -> Vec<String> {
        let name = self.name.as_ref();
        let flag = self.low_quality.map(|flag| if flag { "True" } else { "False" }.to_owned());
        vec![
            self.sample.clone(),
            name.map(|name| name.base_pairs.to_string()).unwrap_or_default(),
            name.map(|name| name.mapping.to_owned()).unwrap_or_default(),
            name.map(|name| name.k.to_string()).unwrap_or_default(),
            flag.unwrap_or_default(),
            self.base_frequency_sd.clone(),
        ]
    }
}

impl KmerImages {
    fn decode(&self) -> Decode {
        Decode { mode: self.image_mode, max_pixels: self.max_image_pixels, at_least: None }
    }

    fn find(&self, path: PathBuf) -> Result<Found> {
        let stem = path.file_stem().map(|stem| stem.to_string_lossy().into_owned()).unwrap_or_default();
        let name = Name::parse(&stem);
        if name.is_none() && self.file_names == Names::Kmer {
            return Err(Error::request(format!("{}: the name cannot be read", path.display())).help(
                "names are <sample>@<8 digits>K+<varKode or cgr>+k<k>.png, a sample without @, ~ and +; \
                 set data.file_names to any for files of other names",
            ));
        }
        // A file that cannot be read is named when it is decoded, where `on_error` says what then happens.
        let texts = match png_text::read(&path) {
            Ok(texts) => texts,
            Err(_) if self.skips_unreadable() => HashMap::new(),
            Err(error) => return Err(error),
        };
        let labels = texts.get(&self.label_key).map_or("", String::as_str);
        let low_quality = match texts.get("varkoderLowQualityFlag").map(String::as_str) {
            Some("True") => Some(true),
            Some("False") => Some(false),
            _ => None,
        };
        Ok(Found {
            sample: name.as_ref().map_or(stem, |name| name.sample.clone()),
            name,
            labels: labels_of(labels, ";").into_iter().map(str::to_owned).collect(),
            low_quality,
            base_frequency_sd: texts.get("varkoderBaseFreqSd").cloned().unwrap_or_default(),
            path,
        })
    }

    fn skips_unreadable(&self) -> bool {
        self.file_options().skips()
    }

    /// All pictures, in the order of their names.
    fn pictures(&self) -> Result<Vec<Found>> {
        let mut found = Vec::new();
        for entry in WalkDir::new(&self.root).follow_links(true).sort_by_file_name() {
            let entry = entry.map_err(|error| {
                let path = error.path().unwrap_or(&self.root).to_path_buf();
                Error::io("read", &path, error)
            })?;
            let png = entry.path().extension().is_some_and(|ending| ending.eq_ignore_ascii_case("png"));
            if entry.file_type().is_file() && png {
                found.push(self.find(entry.into_path())?);
            }
        }
        if found.is_empty() {
            return Err(Error::request(format!("there are no PNG files below {}", self.root.display())));
        }
        Ok(found)
    }

    /// Takes the labels of a table; pictures of samples that it does not have are left out.
    fn labelled_by(&self, path: &Path, pictures: Vec<Found>) -> Result<Vec<Found>> {
        let table = Table::read(path, None)?;
        let sample = table.column("sample", "label_table")?;
        let labels = table.column("labels", "label_table")?;
        table.unique(sample)?;
        let of: HashMap<&str, &str> =
            table.rows.iter().map(|row| (row[sample].as_str(), row[labels].as_str())).collect();
        let mut kept = Vec::new();
        let mut missing: BTreeSet<String> = BTreeSet::new();
        for mut picture in pictures {
            match of.get(picture.sample.as_str()) {
                Some(labels) => {
                    picture.labels = labels_of(labels, ";").into_iter().map(str::to_owned).collect();
                    kept.push(picture);
                }
                None => {
                    missing.insert(picture.sample);
                }
            }
        }
        if !missing.is_empty() {
            let shown = missing.iter().take(5).cloned().collect::<Vec<_>>().join(", ");
            let path = path.display();
            tracing::warn!("{path} has no row for {} samples, which are left out: {shown}", missing.len());
        }
        if kept.is_empty() {
            return Err(Error::request(format!("{} has no row for any sample", path.display())));
        }
        Ok(kept)
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
        let mut pictures = self.pictures()?;
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
mod tests {
    use super::*;
    use crate::data::Split;
    use crate::data::datasets::testing::{gray, module, problem, sizes};

    #[test]
    fn names_of_both_forms() {
        let name = Name::parse("Fungi_S1@00010000K+cgr+k7").unwrap();
        assert_eq!((name.sample.as_str(), name.base_pairs, name.mapping, name.k), ("Fungi_S1", 10_000_000, "cgr", 7));
        assert_eq!(Name::parse("S@00000500K+k5").unwrap().mapping, "varKode");
        for wrong in ["S@500K+k5", "S@00000500K+other+k5", "S+1@00000500K+k5", "S", "@00000500K+k5", "S@00000500K+k"] {
            assert_eq!(Name::parse(wrong), None, "{wrong}");
        }
    }

    fn samples(name: &str) -> Option<PathBuf> {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/data/varkoder").join(name);
        if !path.exists() {
            eprintln!("skipped: the sample data varkoder/{name} is not here");
        }
        path.exists().then_some(path)
    }

    fn text(root: &Path, args: &str) -> String {
        format!("_target_: runner.data.KmerImages\nroot: {}\n{args}", root.display())
    }

    #[test]
    fn labels_in_the_files() {
        let Some(root) = samples("examples") else { return };
        // Three samples of a label of their own each: none may go to validation.
        let args = "valid_fraction: 0.0\ntrain_transforms: [{_target_: torchvision.transforms.Resize, size: [91, 91]}, {_target_: torchvision.transforms.ToTensor}]\n";
        let set = module(&text(&root, args)).unwrap();
        assert_eq!(sizes(set.as_ref()), [9, 0, 0]);
        assert_eq!(set.facts().classes, ["34667", "4.3.i2", "41954"]);
        let loader = set.loader(Split::Train).unwrap().unwrap();
        assert_eq!(loader.batch_size, 1);
        let rows: Vec<Vec<String>> = (0..9).map(|i| loader.dataset.row(i)).collect();
        let flags =
            |name: &str| rows.iter().filter(|row| row[0].contains(name)).map(|row| row[4].clone()).collect::<Vec<_>>();
        assert_eq!(
            (flags("Amanitaceae"), flags("Mycoplasma")),
            (vec!["False".to_owned(); 3], vec!["True".to_owned(); 3])
        );
        let flagged = module(&text(&root, &format!("{args}low_quality_label: true\n"))).unwrap();
        let loader = flagged.loader(Split::Train).unwrap().unwrap();
        let marked = (0..9).filter(|&i| loader.dataset.target_words(i).ends_with(LOW_QUALITY)).count();
        assert_eq!(marked, 6);
    }

    #[test]
    fn samples_stay_together_and_tables_may_label_them() {
        let Some(root) = samples("derived") else { return };
        let set = module(&text(&root, "")).unwrap();
        let part = |module: &dyn DataModule, split| {
            let loader = module.loader(split).unwrap().unwrap();
            (0..loader.dataset.len()).map(|i| loader.dataset.row(i)[0].clone()).collect::<BTreeSet<String>>()
        };
        let (train, val) = (part(set.as_ref(), Split::Train), part(set.as_ref(), Split::Val));
        assert!(train.is_disjoint(&val) && !val.is_empty());
        assert!(set.facts().classes.contains(&LOW_QUALITY.to_owned()));

        let folder = tempfile::tempdir().unwrap();
        let rows = std::fs::read_to_string(root.join("../derived_labels.csv")).unwrap();
        let table = folder.path().join("labels.csv");
        std::fs::write(&table, rows.lines().take(20).collect::<Vec<_>>().join("\n")).unwrap();
        let args = format!("label_table: {}\nval_ids: Cerambycidae_S01,Cerambycidae_S02\n", table.display());
        let set = module(&text(&root, &args)).unwrap();
        assert_eq!(
            part(set.as_ref(), Split::Val),
            BTreeSet::from(["Cerambycidae_S01".into(), "Cerambycidae_S02".into()])
        );
        assert_eq!(sizes(set.as_ref()), [34, 4, 0]);
        std::fs::write(&table, "sample,taxon\na,b\n").unwrap();
        assert!(problem(&text(&root, &args)).contains("no column `labels`"));
    }

    #[test]
    fn what_cannot_be_used_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path();
        assert!(problem(&text(root, "")).contains("no PNG files below"));
        gray(&root.join("a.png"), 2, 2, 0);
        assert!(problem(&text(root, "")).contains("a.png: the name cannot be read"));
        assert!(problem(&text(root, "file_names: any\n")).contains("a.png has no labels"));
        let table = root.join("t.csv");
        std::fs::write(&table, "sample,labels\na,x\nb,y\n").unwrap();
        gray(&root.join("b.png"), 2, 2, 0);
        let args = format!("file_names: any\nlabel_table: {}\nval_ids: b\n", table.display());
        assert!(problem(&text(root, &args)).contains("the label `y` is in no training sample"));
        std::fs::write(&table, "sample,labels\na,x+y\nb,y\n").unwrap();
        assert!(problem(&text(root, &args)).contains("the label `x+y` has a @, ~ or + in it"));
    }
}
