//! Images that a table lists: label tables of every kind.

mod labels;

use std::collections::{BTreeSet, HashMap};
use std::path::{Path, PathBuf};

pub(super) use labels::{labels_of, sets, vocabulary};

use indexmap::IndexSet;

use super::common::file_module;
use super::hierarchy::Labelled;
use super::images::{Files, Given, ImageModule, Images, Kept, Records, Source};
use super::split::Sizes;
use super::table::{self, Table};
use super::template::Template;
use crate::data::decode::{Decode, Mode};
use crate::data::transforms::Pipeline;
use crate::data::{DataModule, DataModuleKind};
use crate::error::{Error, Result};
use crate::prelude::*;

/// One of the files of an image.
#[derive(Clone, Debug, Deserialize, serde::Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct FileArgs {
    /// Its name below `root`, with columns in braces: `rgb/{id[-2:]}/{id}.jpeg`.
    path: String,
    /// RGB, L for gray, RGBA, or I;16 for 16-bit values as floats 0…1.
    #[serde(default)]
    mode: Mode,
}

/// What becomes of rows whose file is not there.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, serde::Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Missing {
    /// The run is refused, and the first of them are named.
    #[default]
    Error,
    /// They are counted and left out.
    Skip,
}

file_module! {
    /// Images that a table lists (CSV, TSV or JSON lines), a row an image, with labels in its columns.
    ///
    /// One label column gives a class each; with `label_separator` its text is a set of classes (multi-label); several
    /// columns are the levels of a hierarchy, finest first; with `value_columns` targets are numbers. Rows with the
    /// same `id_column` and `merge_rows: true` are one image whose labels are all theirs. Several `files` are stacked:
    /// their channels become one image. Files that no row names are not used.
    pub struct ImageTable {
        /// The table.
        table: PathBuf,
        /// The folder below which files are; null: the table's own.
        #[serde(default)]
        root: Option<PathBuf>,
        /// What is between values; null: what the header has most of.
        #[serde(default)]
        separator: Option<String>,
        /// The column of file names, when `files` are not given.
        #[serde(default = "path")]
        path_column: String,
        /// The files of each image, stacked in this order.
        #[serde(default)]
        files: Vec<FileArgs>,
        /// How files of `path_column` are read: RGB, L, RGBA or I;16.
        #[serde(default)]
        image_mode: Mode,
        /// Which channels are kept, in which order, numbered from 0; null keeps all.
        #[serde(default)]
        bands: Option<Vec<usize>>,
        /// The column of labels, or those of the levels of a hierarchy; null: images without labels.
        #[serde(default = "label")]
        label_columns: Option<OneOrMany<String>>,
        /// What is between the labels of an image, usually ';': targets are then sets of classes.
        #[serde(default)]
        label_separator: Option<String>,
        /// Columns of numbers that are the targets, in place of labels.
        #[serde(default)]
        value_columns: Option<OneOrMany<String>>,
        /// The classes in the order of their numbers; null: all labels, sorted (as numbers where all are).
        #[serde(default)]
        classes: Option<Vec<String>>,
        /// Classes with fewer images are bundled into `other`; of one label column only.
        #[serde(default = "one")]
        min_samples: usize,
        /// The name of the class of bundled images.
        #[serde(default = "other")]
        other: String,
        /// The column of sample ids; null: file names.
        #[serde(default)]
        id_column: Option<String>,
        /// Whether rows of the same id are one image with all their labels; otherwise an id may stand there once.
        #[serde(default)]
        merge_rows: bool,
        /// The column of groups: images of a group stay in one part.
        #[serde(default)]
        group_column: Option<String>,
        /// The column that says train, val, test or nothing (in no part).
        #[serde(default)]
        split_column: Option<String>,
        /// Further columns for the tables of predictions.
        #[serde(default)]
        columns: Vec<String>,
        /// error, or skip rows whose file is not there.
        #[serde(default)]
        missing_files: Missing,
        /// Instead of train_val_test_split: this share for the test and as much for validation, rounded as
        /// scikit-learn does; a class needs two images then.
        #[serde(default)]
        test_fraction: Option<Fraction>,
    }
}

fn path() -> String {
    "path".into()
}

fn label() -> Option<OneOrMany<String>> {
    Some(OneOrMany::One("label".into()))
}

fn one() -> usize {
    1
}

fn other() -> String {
    "Other".into()
}

impl Component for ImageTable {
    type Kind = DataModuleKind;
    const TARGETS: &'static [&'static str] = &["runner.data.ImageTable"];

    fn check(&self, cx: &mut Check) {
        self.check_common(cx);
        if !self.table.is_file() {
            cx.problem("table", format!("there is no file {}", self.table.display()));
        }
        if let Some(root) = self.root.as_ref().filter(|root| !root.is_dir()) {
            cx.problem("root", format!("there is no folder {}", root.display()));
        }
        if let Err(message) = table::separator(self.separator.as_deref()) {
            cx.problem("separator", message);
        }
        for file in &self.files {
            if let Err(error) = Template::parse(&file.path) {
                cx.problem("files", error.to_string());
            }
        }
        let labels = self.label_columns.as_ref().map_or(0, |columns| columns.as_slice().len());
        if labels > 1 && self.label_separator.is_some() {
            cx.problem("label_separator", "one column holds sets of labels; several are the levels of a hierarchy");
        }
        if self.merge_rows && (self.id_column.is_none() || labels != 1) {
            cx.problem("merge_rows", "`merge_rows` needs `id_column` and one label column");
        }
        if self.test_fraction.is_some() && self.train_val_test_split.is_some() {
            cx.problem("test_fraction", "`test_fraction` and `train_val_test_split` exclude each other");
        }
        if self.min_samples > 1 && (labels != 1 || self.is_multi() || self.value_columns.is_some()) {
            cx.problem("min_samples", "classes of one label column are bundled; sets and levels are not");
        }
    }

    fn build(self, cx: &mut Build) -> Result<Box<dyn DataModule>> {
        let mut common = self.common(cx, || Pipeline::normalize(&[0.0], &[1.0]))?;
        if let Some(share) = self.test_fraction {
            common.splitting.sizes = Sizes::Held(share.0);
        }
        let options = self.file_options();
        Ok(Box::new(ImageModule::new(self, common, options)))
    }
}

impl ImageTable {
    fn is_multi(&self) -> bool {
        self.label_separator.is_some() || self.merge_rows
    }

    fn decoders(&self) -> Vec<Decode> {
        let decode = |mode: Mode| Decode { mode, max_pixels: self.max_image_pixels, at_least: None };
        if self.files.is_empty() {
            vec![decode(self.image_mode)]
        } else {
            self.files.iter().map(|f| decode(f.mode)).collect()
        }
    }

    fn root(&self) -> PathBuf {
        self.root.clone().unwrap_or_else(|| self.table.parent().unwrap_or(Path::new("")).to_path_buf())
    }

    /// The names of each row's files.
    fn paths(&self, table: &Table) -> Result<Vec<Vec<PathBuf>>> {
        let root = self.root();
        if self.files.is_empty() {
            let column = table.column(&self.path_column, "path_column")?;
            return Ok(table.rows.iter().map(|row| vec![root.join(&row[column])]).collect());
        }
        let templates = self.files.iter().map(|file| Template::parse(&file.path)).collect::<Result<Vec<_>>>()?;
        let mut places: HashMap<String, usize> = HashMap::new();
        for name in templates.iter().flat_map(Template::columns) {
            places.insert(name.to_owned(), table.column(name, "files")?);
        }
        let fill = |row: &Vec<String>| {
            let value = |name: &str| places.get(name).map_or("", |&place| row[place].as_str());
            templates.iter().map(|template| root.join(template.fill(value))).collect()
        };
        Ok(table.rows.iter().map(fill).collect())
    }

    /// Leaves rows out whose files are not there, or refuses them.
    fn present(&self, table: &mut Table) -> Result<Vec<Vec<PathBuf>>> {
        let paths = self.paths(table)?;
        let missing = |files: &Vec<PathBuf>| files.iter().find(|file| !file.is_file()).cloned();
        let gone: Vec<(usize, PathBuf)> =
            paths.iter().enumerate().filter_map(|(row, files)| Some((row, missing(files)?))).collect();
        let Some((row, first)) = gone.first() else { return Ok(paths) };
        let count = format!("{} of {} rows name files that are not there", gone.len(), table.rows.len());
        if self.missing_files == Missing::Error {
            let place = table.place(*row);
            return Err(Error::request(format!("{count}, the first {} ({place})", first.display()))
                .help("set data.root to their folder, or data.missing_files to skip"));
        }
        tracing::warn!("{count}: they are left out");
        let out: BTreeSet<usize> = gone.into_iter().map(|(row, _)| row).collect();
        let keep = |row: &usize| !out.contains(row);
        let kept: Vec<usize> = (0..table.rows.len()).filter(keep).collect();
        table.rows = kept.iter().map(|&row| std::mem::take(&mut table.rows[row])).collect();
        table.lines = kept.iter().map(|&row| table.lines[row]).collect();
        Ok(kept.into_iter().map(|row| paths[row].clone()).collect())
    }

    fn given(&self, table: &Table) -> Result<Option<Vec<Given>>> {
        let Some(name) = &self.split_column else { return Ok(None) };
        let column = table.column(name, "split_column")?;
        let part = |(row, values): (usize, &Vec<String>)| match values[column].trim().to_lowercase().as_str() {
            "train" | "training" => Ok(Given::Train),
            "val" | "valid" | "validation" => Ok(Given::Val),
            "test" | "testing" => Ok(Given::Test),
            "" => Ok(Given::Out),
            other => Err(Error::request(format!("{}: `{other}` is no part", table.place(row)))
                .help("write train, val or test, or nothing for a row that is not used")),
        };
        table.rows.iter().enumerate().map(part).collect::<Result<_>>().map(Some)
    }

    /// Joins rows of one id into one, their labels by the separator.
    fn merge(&self, table: &mut Table, id: usize) -> Result<()> {
        let Some(OneOrMany::One(label)) = &self.label_columns else { return Ok(()) };
        let label = table.column(label, "label_columns")?;
        let separator = self.label_separator.as_deref().unwrap_or(";");
        let mut first: HashMap<String, usize> = HashMap::new();
        let (mut rows, mut lines): (Vec<Vec<String>>, Vec<u64>) = (Vec::new(), Vec::new());
        for (row, line) in std::mem::take(&mut table.rows).into_iter().zip(std::mem::take(&mut table.lines)) {
            match first.get(&row[id]) {
                Some(&at) => rows[at][label] = format!("{}{separator}{}", rows[at][label], row[label]),
                None => {
                    first.insert(row[id].clone(), rows.len());
                    rows.push(row);
                    lines.push(line);
                }
            }
        }
        (table.rows, table.lines) = (rows, lines);
        Ok(())
    }
}

impl Source for ImageTable {
    fn load(&self) -> Result<Records> {
        let separator = table::separator(self.separator.as_deref()).map_err(Error::request)?;
        let mut table = Table::read(&self.table, separator)?;
        if table.rows.is_empty() {
            return Err(Error::request(format!("{} has no rows", table.path.display())));
        }
        let id = self.id_column.as_ref().map(|name| table.column(name, "id_column")).transpose()?;
        match id {
            Some(id) if self.merge_rows => self.merge(&mut table, id)?,
            Some(id) => table
                .unique(id)
                .map_err(|error| error.help("set data.merge_rows to true if rows of one id are one image"))?,
            None => {}
        }
        let paths = self.present(&mut table)?;
        let Labelled { targets, levels, lineage } = self.targets(&table)?;
        let given = self.given(&table)?;
        let (groups, group_names) = match &self.group_column {
            Some(name) => {
                let (groups, names) = numbered(&table, table.column(name, "group_column")?);
                (Some(groups), names)
            }
            None => (None, Vec::new()),
        };
        let shown = self.columns.iter().map(|name| table.column(name, "columns")).collect::<Result<Vec<_>>>()?;
        let rows = if shown.is_empty() {
            Vec::new()
        } else {
            table.rows.iter().map(|row| shown.iter().map(|&column| row[column].clone()).collect()).collect()
        };
        let images = Images::Files(Files {
            paths: paths.into_iter().flatten().collect(),
            parts: self.decoders(),
            bands: self.bands.clone(),
            root: self.root(),
            kept: Kept::Nothing,
        });
        Ok(Records {
            levels,
            lineage,
            given,
            groups,
            group_names,
            ids: id.map(|id| table.rows.iter().map(|row| row[id].clone()).collect()),
            columns: self.columns.clone(),
            rows,
            ..Records::new(images, targets)
        })
    }

    fn unlabelled(&self, paths: Vec<PathBuf>) -> Option<Records> {
        let parts = self.decoders();
        // A file alone cannot say which others are to be stacked on it.
        let root = PathBuf::new();
        let alone = parts.len() == 1;
        let files = Files { paths, parts, bands: self.bands.clone(), root, kept: Kept::Nothing };
        alone.then(|| Records::unlabelled(Images::Files(files)))
    }
}

/// Equal texts of a column get equal numbers; the numbers, and the text of each.
fn numbered(table: &Table, column: usize) -> (Vec<u32>, Vec<String>) {
    let mut names: IndexSet<&str> = IndexSet::new();
    let numbers = table.rows.iter().map(|row| names.insert_full(&row[column]).0 as u32).collect();
    (numbers, names.into_iter().map(str::to_owned).collect())
}

#[cfg(test)]
mod tests;
