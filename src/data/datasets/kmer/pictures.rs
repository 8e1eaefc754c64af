//! Pictures below a folder, with what their names, their texts and a table of labels say.

use std::collections::{BTreeSet, HashMap};
use std::path::{Path, PathBuf};

use walkdir::WalkDir;

use super::name::{LENGTHS, Name};
use super::{KmerImages, Names};
use crate::data::datasets::image_table::labels_of;
use crate::data::datasets::png_text;
use crate::data::datasets::table::Table;
use crate::error::{Error, Result};

/// A picture and what its name and its text say.
pub(super) struct Found {
    pub path: PathBuf,
    pub sample: String,
    pub name: Option<Name>,
    pub labels: BTreeSet<String>,
    /// The quality flag, where the file has one.
    pub low_quality: Option<bool>,
    pub base_frequency_sd: String,
}

/// What a table says of a picture.
pub(super) const COLUMNS: [&str; 6] =
    ["sample", "bp", "img_kmer_mapping", "img_kmer_size", "possible_low_quality", "basefrequency_sd"];

impl Found {
    /// The values of [`COLUMNS`].
    pub fn row(&self) -> Vec<String> {
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
    /// What a file's name and text say.
    ///
    /// # Errors
    /// When the name has another form, or the file is no whole PNG file.
    pub(super) fn find(&self, path: PathBuf) -> Result<Found> {
        let stem = path.file_stem().map(|stem| stem.to_string_lossy().into_owned()).unwrap_or_default();
        let name = Name::parse(&stem);
        if name.is_none() && self.file_names == Names::Kmer {
            return Err(Error::request(format!("{}: the name cannot be read", path.display())).help(
                "names are <sample>@<8 digits>K+<varKode or cgr>+k<k>.png, a sample without @, ~ and +; \
                 set data.file_names to any for files of other names",
            ));
        }
        if let Some(Name { k, .. }) = name.as_ref().filter(|name| !LENGTHS.contains(&name.k)) {
            return Err(Error::request(format!("{}: there are no pictures of {k}-mers", path.display()))
                .help(format!("k is {} to {}", LENGTHS.start(), LENGTHS.end())));
        }
        let texts = png_text::read(&path)?;
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

    /// All pictures, in the order of their names; and, where such files are to be left out, the names of those that
    /// cannot be read, and why.
    ///
    /// # Errors
    /// When there are none, or one cannot be read and the run is to stop there.
    pub(super) fn pictures(&self) -> Result<(Vec<Found>, Vec<(String, String)>)> {
        let (mut found, mut unreadable) = (Vec::new(), Vec::new());
        for entry in WalkDir::new(&self.root).follow_links(true).sort_by_file_name() {
            let entry = entry.map_err(|error| {
                let path = error.path().unwrap_or(&self.root).to_path_buf();
                Error::io("read", &path, error)
            })?;
            let png = entry.path().extension().is_some_and(|ending| ending.eq_ignore_ascii_case("png"));
            if !entry.file_type().is_file() || !png {
                continue;
            }
            let name = entry.path().strip_prefix(&self.root).unwrap_or(entry.path()).display().to_string();
            match self.find(entry.into_path()) {
                Ok(picture) => found.push(picture),
                Err(error @ Error::Failed(_)) if self.file_options().skips() => {
                    unreadable.push((name, error.to_string()));
                }
                Err(error) => return Err(error),
            }
        }
        if found.is_empty() {
            return Err(Error::request(format!("there are no PNG files below {}", self.root.display())));
        }
        Ok((found, unreadable))
    }

    /// Takes the labels of a table; pictures of samples that it does not have are counted and left out.
    ///
    /// # Errors
    /// When the table lacks a column, names a sample twice, or has no row for any picture.
    pub(super) fn labelled_by(&self, path: &Path, pictures: Vec<Found>) -> Result<Vec<Found>> {
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
}
