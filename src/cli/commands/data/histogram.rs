//! How many samples each class has in each split, and how large the pictures are.

use std::collections::BTreeMap;
use std::path::Path;

use rayon::prelude::*;

use crate::data::Dataset;
use crate::data::progress::Progress;
use crate::error::{Error, Result};

/// Samples of each class.
pub struct Classes {
    /// The class; how many samples it has in the training, validation and test part.
    pub rows: Vec<(String, [u64; 3])>,
}

/// More classes are not listed on a terminal.
const SHOWN: usize = 40;

/// Letters of the longest bar.
const BAR: usize = 30;

impl Classes {
    /// Reads `data/classes.csv` of a folder; `None` when the data has no classes.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn read(folder: &Path) -> Result<Option<Self>> {
        let path = folder.join("data/classes.csv");
        if !path.is_file() {
            return Ok(None);
        }
        let failed = |error: csv::Error| Error::io("read", &path, error);
        let mut rows = Vec::new();
        for record in csv::Reader::from_path(&path).map_err(failed)?.records() {
            let record = record.map_err(failed)?;
            let number = |column: usize| record.get(column).and_then(|text| text.parse().ok()).unwrap_or(0);
            rows.push((record.get(0).unwrap_or_default().to_owned(), [number(1), number(2), number(3)]));
        }
        Ok(Some(Classes { rows }))
    }

    /// The most training samples of a class, or 1.
    pub fn most(&self) -> u64 {
        self.rows.iter().map(|(_, counts)| counts[0]).max().unwrap_or(0).max(1)
    }

    /// What is to be said about the balance.
    pub fn balance(&self) -> String {
        let trained = self.rows.iter().map(|(_, counts)| counts[0]).filter(|count| *count > 0);
        let absent: Vec<&str> =
            self.rows.iter().filter(|(_, counts)| counts[0] == 0).map(|(name, _)| name.as_str()).collect();
        let mut text = match (trained.clone().min(), trained.max()) {
            (Some(least), Some(most)) => {
                format!("the largest class has {:.1} times as many training samples as the smallest", {
                    most as f64 / least as f64
                })
            }
            _ => "no class has training samples".to_owned(),
        };
        if !absent.is_empty() {
            let shown = absent.iter().take(5).copied().collect::<Vec<_>>().join(", ");
            let more = if absent.len() > 5 { ", …" } else { "" };
            text.push_str(&format!("; without training samples: {} ({shown}{more})", absent.len()));
        }
        text
    }

    /// A table with bars.
    pub fn text(&self) -> String {
        let width = self.rows.iter().take(SHOWN).map(|(name, _)| name.chars().count()).max().unwrap_or(0).clamp(5, 32);
        let mut lines = vec![format!(
            "{:width$} {:>8} {:>8} {:>8}",
            format!("{} classes", self.rows.len()),
            "train",
            "val",
            "test"
        )];
        for (name, [train, val, test]) in self.rows.iter().take(SHOWN) {
            let bar = "█".repeat((*train as usize * BAR).div_ceil(self.most() as usize));
            let name: String = name.chars().take(width).collect();
            lines.push(format!("{name:width$} {train:>8} {val:>8} {test:>8}  {bar}"));
        }
        if self.rows.len() > SHOWN {
            lines.push(format!("… and {} more: data/classes.csv", self.rows.len() - SHOWN));
        }
        lines.push(self.balance());
        lines.join("\n")
    }
}

/// How large pictures are before the transforms.
pub struct Sizes {
    /// How often each width and height occurs, most often first.
    pub counts: Vec<([usize; 2], usize)>,
    /// How many were looked at, of how many.
    pub seen: [usize; 2],
    /// Pictures whose header cannot be read: the errors.
    pub unreadable: Vec<String>,
}

/// Of more pictures only so many are looked at, evenly spread.
const MOST: usize = 20_000;

impl Sizes {
    /// Looks at the headers; `None` when the samples are no pictures.
    ///
    /// # Errors
    /// Never: what cannot be read is counted.
    pub fn of(dataset: &dyn Dataset) -> Result<Option<Self>> {
        let total = dataset.len();
        if total == 0 || matches!(dataset.size(0), Ok(None)) {
            return Ok(None);
        }
        let step = total.div_ceil(MOST).max(1);
        let seen = total.div_ceil(step);
        let progress = Progress::new("looking at sizes", seen as u64);
        let found: Vec<Result<Option<[usize; 2]>>> = (0..seen)
            .into_par_iter()
            .map(|place| {
                progress.advance(1);
                dataset.size(place * step)
            })
            .collect();
        let mut counts: BTreeMap<[usize; 2], usize> = BTreeMap::new();
        let mut unreadable = Vec::new();
        for size in found {
            match size {
                Ok(Some(size)) => *counts.entry(size).or_default() += 1,
                Ok(None) => {}
                Err(error) => unreadable.push(error.to_string()),
            }
        }
        let mut counts: Vec<([usize; 2], usize)> = counts.into_iter().collect();
        counts.sort_by_key(|(size, count)| (std::cmp::Reverse(*count), *size));
        Ok(Some(Sizes { counts, seen: [seen, total], unreadable }))
    }

    /// Name and value of what is worth knowing.
    pub fn facts(&self) -> Vec<(&'static str, String)> {
        let mut facts = Vec::new();
        let shown = |[width, height]: [usize; 2]| format!("{width}x{height}");
        match self.counts.as_slice() {
            [] => {}
            [(only, _)] => facts.push(("all pictures", shown(*only))),
            counts => {
                let sizes = || counts.iter().map(|(size, _)| *size);
                let area = |size: &[usize; 2]| size[0] * size[1];
                let ends = (sizes().min_by_key(area), sizes().max_by_key(area));
                if let (Some(least), Some(most)) = ends {
                    facts.push(("smallest", shown(least)));
                    facts.push(("largest", shown(most)));
                }
                let mean = |side: usize| {
                    let sum: usize = counts.iter().map(|(size, count)| size[side] * count).sum();
                    sum as f64 / counts.iter().map(|(_, count)| count).sum::<usize>() as f64
                };
                facts.push(("mean", format!("{:.1}x{:.1}", mean(0), mean(1))));
                let often = counts.iter().take(3).map(|(size, count)| format!("{} ({count})", shown(*size)));
                facts.push(("most often", often.collect::<Vec<_>>().join(", ")));
            }
        }
        if self.seen[0] < self.seen[1] {
            facts.push(("looked at", format!("{} of {}", self.seen[0], self.seen[1])));
        }
        if let Some(first) = self.unreadable.first() {
            facts.push(("unreadable", format!("{}, the first: {first}", self.unreadable.len())));
        }
        facts
    }

    /// The facts as text.
    pub fn text(&self) -> String {
        let facts = self.facts();
        let width = facts.iter().map(|(name, _)| name.len()).max().unwrap_or(0);
        let lines = facts.iter().map(|(name, value)| format!("{name:width$}  {value}"));
        std::iter::once("width x height before the transforms".to_owned()).chain(lines).collect::<Vec<_>>().join("\n")
    }
}
