//! What an evaluation leaves in a run's folder for its page: `evaluation/<split>/` with any of
//!
//! | file | holds |
//! |---|---|
//! | `confusion.json` | [`Confusion`]: counts, a row for each true class; or the same as `confusion_matrix.csv` |
//! | `per_class.csv` | a column `class` and any columns of numbers (`precision`, `recall`, `f1`, `support`) |
//! | `worst_predictions.json` | [`Worst`]: the samples with the largest losses, their pictures beside the file |
//!
//! Whoever evaluates calls `write` of these types; a program of another kind may write the files itself.

use std::path::{Path, PathBuf};

use base64::Engine;
use serde::{Deserialize, Serialize, de::DeserializeOwned};

use super::page::Table;
use crate::error::{Error, Result};
use crate::run::write_atomic;

/// How often each class was taken for which.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Confusion {
    /// The classes' names.
    pub classes: Vec<String>,
    /// `matrix[truth][prediction]`: how many samples.
    pub matrix: Vec<Vec<f64>>,
}

/// The predictions that were furthest from the truth, the worst first.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Worst {
    /// The samples.
    pub samples: Vec<WorstSample>,
}

/// One of them.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct WorstSample {
    /// The sample's name: its file, or its number.
    pub id: String,
    /// What it is.
    pub truth: String,
    /// What it was taken for.
    pub prediction: String,
    /// How sure the prediction was, from 0 to 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub confidence: Option<f64>,
    /// Its loss.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub loss: Option<f64>,
    /// A small picture (PNG, JPEG, WebP or GIF), relative to the folder of this file.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub image: Option<String>,
}

/// The folder for the split `split` in a run's folder.
pub fn folder(run: &Path, split: &str) -> PathBuf {
    run.join("evaluation").join(split)
}

impl Confusion {
    /// Writes `confusion<ending>.json` into an evaluation's folder; the ending is `_<level>` where there are several.
    pub fn write(&self, folder: &Path, ending: &str) -> Result<()> {
        write_json(folder, &format!("confusion{ending}.json"), self)
    }
}

impl Worst {
    /// Writes `worst_predictions.json` into an evaluation's folder. Pictures are the caller's to write.
    pub fn write(&self, folder: &Path) -> Result<()> {
        write_json(folder, "worst_predictions.json", self)
    }
}

fn write_json(folder: &Path, name: &str, value: &impl Serialize) -> Result<()> {
    std::fs::create_dir_all(folder).map_err(|error| Error::io("create", folder, error))?;
    let text = serde_json::to_vec(value).map_err(|error| Error::io("write", &folder.join(name), error))?;
    write_atomic(&folder.join(name), &text)
}

/// An evaluation as the page shows it.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Evaluation {
    /// The split.
    pub split: String,
    /// The matrix, unless it has too many classes to be read.
    pub matrix: Option<Matrix>,
    /// The most frequent mistakes.
    pub mistakes: Option<Table>,
    /// Numbers by class.
    pub per_class: Option<Table>,
    /// The worst predictions.
    pub worst: Vec<Shown>,
}

/// A confusion matrix, ready to be laid out.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Matrix {
    /// The classes' names.
    pub classes: Vec<String>,
    /// Whether the names are too long to stand side by side.
    pub long: bool,
    /// Rows of cells.
    pub rows: Vec<Vec<Cell>>,
}

/// A cell of it.
#[derive(Clone, Debug, Serialize)]
pub struct Cell {
    /// The count.
    pub count: String,
    /// The share of the row, in percent.
    pub share: f64,
}

/// A bad prediction, ready to be laid out.
#[derive(Clone, Debug, Serialize)]
pub struct Shown {
    sample: WorstSample,
    /// The picture itself.
    data: Option<String>,
    /// Whether it is so small that its pixels should be seen.
    tiny: bool,
    numbers: String,
}

/// A matrix of more classes is told by its mistakes.
const READABLE: usize = 32;
/// How many mistakes and bad predictions are shown.
const MOST: usize = 48;
/// Larger pictures are no thumbnails; the page stays small.
const LARGEST: u64 = 200_000;

/// All evaluations in a run's folder: those of `evaluation/<split>`, and what `runner evaluate` leaves in
/// `evaluation` itself.
pub fn read(run: &Path) -> Vec<Evaluation> {
    let base = run.join("evaluation");
    let entries = std::fs::read_dir(&base).into_iter().flatten().flatten().map(|entry| entry.path());
    let mut folders: Vec<PathBuf> = entries.filter(|path| path.is_dir()).collect();
    folders.sort();
    folders.push(base.clone());
    let read = folders.iter().flat_map(|folder| {
        let name = folder.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let split = if *folder == base { "predictions" } else { &name };
        let endings = endings(folder);
        endings.iter().filter_map(|ending| of(folder, split, ending)).collect::<Vec<_>>()
    });
    read.collect()
}

/// Classes may be told at several levels: `per_class.csv`, `per_class_family.csv`.
fn endings(folder: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    let names = entries.map(|entry| entry.file_name().to_string_lossy().into_owned());
    let ending = |name: String| {
        let rest = name.strip_prefix("per_class").or_else(|| name.strip_prefix("confusion_matrix"))?;
        rest.strip_suffix(".csv").filter(|ending| !ending.is_empty()).map(str::to_owned)
    };
    let mut endings: Vec<String> = names.filter_map(ending).chain([String::new()]).collect();
    endings.sort();
    endings.dedup();
    endings
}

fn of(folder: &Path, split: &str, ending: &str) -> Option<Evaluation> {
    let level = ending.trim_start_matches('_').replace('_', " ");
    let split = if level.is_empty() { split.to_owned() } else { format!("{split}, {level}") };
    let mut evaluation = Evaluation { split, ..Evaluation::default() };
    let own = json_of::<Confusion>(&folder.join(format!("confusion{ending}.json")));
    let confusion = own.or_else(|| Confusion::of_csv(&folder.join(format!("confusion_matrix{ending}.csv"))));
    if let Some(confusion) = confusion.filter(Confusion::is_whole) {
        evaluation.matrix = (confusion.classes.len() <= READABLE).then(|| confusion.laid_out());
        evaluation.mistakes = confusion.mistakes();
    }
    evaluation.per_class = table_of(&folder.join(format!("per_class{ending}.csv")));
    if ending.is_empty() {
        let worst: Worst = json_of(&folder.join("worst_predictions.json")).unwrap_or_default();
        evaluation.worst = worst.samples.into_iter().take(MOST).map(|sample| shown(folder, sample)).collect();
    }
    let empty = evaluation.mistakes.is_none()
        && evaluation.matrix.is_none()
        && evaluation.per_class.is_none()
        && evaluation.worst.is_empty();
    (!empty).then_some(evaluation)
}

fn json_of<T: DeserializeOwned>(path: &Path) -> Option<T> {
    serde_json::from_slice(&std::fs::read(path).ok()?).ok()
}

fn table_of(path: &Path) -> Option<Table> {
    let mut reader = csv::Reader::from_path(path).ok()?;
    let cells = |record: &csv::StringRecord| record.iter().map(str::to_owned).collect::<Vec<_>>();
    let head = cells(reader.headers().ok()?);
    let rows: Vec<Vec<String>> = reader.records().map_while(Result::ok).map(|row| cells(&row)).collect();
    let mut table = (!rows.is_empty()).then(|| Table::new(head, rows))?;
    for row in &mut table.rows {
        for (cell, is_number) in row.iter_mut().zip(&table.numbers) {
            if let (true, Ok(value)) = (*is_number && cell.contains('.'), cell.parse()) {
                *cell = if (1e-3..=1.0).contains(&value) { format!("{value:.4}") } else { super::page::number(value) };
            }
        }
    }
    Some(table)
}

impl Confusion {
    /// A table with a row for each true class and a column for each predicted one, names in the first of both.
    fn of_csv(path: &Path) -> Option<Self> {
        let mut reader = csv::Reader::from_path(path).ok()?;
        let columns: Vec<String> = reader.headers().ok()?.iter().skip(1).map(str::to_owned).collect();
        let rows: Vec<csv::StringRecord> = reader.records().map_while(Result::ok).collect();
        let names_agree = rows.iter().map(|row| row.get(0).unwrap_or_default()).eq(columns.iter().map(String::as_str));
        let row =
            |row: &csv::StringRecord| row.iter().skip(1).map(|cell| cell.parse().ok()).collect::<Option<Vec<f64>>>();
        let matrix = rows.iter().map(row).collect::<Option<_>>().filter(|_| names_agree)?;
        Some(Confusion { classes: columns, matrix })
    }

    fn is_whole(&self) -> bool {
        let classes = self.classes.len();
        classes > 0 && self.matrix.len() == classes && self.matrix.iter().all(|row| row.len() == classes)
    }

    fn laid_out(&self) -> Matrix {
        let rows = self.matrix.iter().map(|row| {
            let sum: f64 = row.iter().sum();
            let cell =
                |count: &f64| Cell { count: whole(*count), share: (count / sum.max(1e-12) * 1000.0).round() / 10.0 };
            row.iter().map(cell).collect()
        });
        let long = self.classes.iter().map(|name| name.chars().count()).max().unwrap_or(0) > 3;
        Matrix { classes: self.classes.clone(), long, rows: rows.collect() }
    }

    fn mistakes(&self) -> Option<Table> {
        let mut pairs = Vec::new();
        for (truth, row) in self.matrix.iter().enumerate() {
            let sum: f64 = row.iter().sum();
            for (prediction, count) in row.iter().enumerate().filter(|(at, count)| *at != truth && **count > 0.0) {
                pairs.push((*count, truth, prediction, count / sum));
            }
        }
        pairs.sort_by(|a, b| b.0.total_cmp(&a.0).then(a.1.cmp(&b.1)));
        let rows: Vec<Vec<String>> = pairs
            .into_iter()
            .take(MOST)
            .map(|(count, truth, prediction, share)| {
                let name = |class: usize| self.classes[class].clone();
                vec![name(truth), name(prediction), whole(count), format!("{:.1}", share * 100.0)]
            })
            .collect();
        let head = ["truth", "taken for", "samples", "% of the class"].map(str::to_owned).to_vec();
        (!rows.is_empty()).then(|| Table { numbers: vec![false, false, true, true], head, rows })
    }
}

fn whole(count: f64) -> String {
    if count.fract() == 0.0 { format!("{count}") } else { format!("{count:.2}") }
}

fn shown(folder: &Path, sample: WorstSample) -> Shown {
    let path = sample.image.as_ref().map(|name| folder.join(name));
    let data = path.as_ref().and_then(|path| {
        let kind = match path.extension()?.to_str()?.to_lowercase().as_str() {
            "png" => "png",
            "jpg" | "jpeg" => "jpeg",
            "webp" => "webp",
            "gif" => "gif",
            _ => return None,
        };
        let small = std::fs::metadata(path).ok()?.len() <= LARGEST;
        let bytes = small.then(|| std::fs::read(path).ok()).flatten()?;
        Some(format!("data:image/{kind};base64,{}", base64::prelude::BASE64_STANDARD.encode(bytes)))
    });
    let size = path.and_then(|path| image::image_dimensions(path).ok());
    let numbers = [
        sample.confidence.map(|value| format!("{:.0} % sure", value * 100.0)),
        sample.loss.map(|value| format!("loss {}", super::page::number(value))),
    ];
    Shown {
        tiny: size.is_some_and(|(width, height)| width.max(height) <= 64),
        numbers: numbers.into_iter().flatten().collect::<Vec<_>>().join(", "),
        data,
        sample,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_written_is_shown() {
        let dir = tempfile::tempdir().unwrap();
        let place = folder(dir.path(), "val");
        let confusion =
            Confusion { classes: vec!["cat".into(), "dog".into()], matrix: vec![vec![3.0, 1.0], vec![0.0, 4.0]] };
        confusion.write(&place, "").unwrap();
        let sample = WorstSample {
            id: "a".into(),
            image: Some("missing.png".into()),
            loss: Some(2.5),
            ..WorstSample::default()
        };
        Worst { samples: vec![sample] }.write(&place).unwrap();
        std::fs::write(place.join("per_class.csv"), "class,f1\ncat,0.857142\ndog,0.9\n").unwrap();
        let coarse = dir.path().join("evaluation/confusion_matrix_family.csv");
        std::fs::write(coarse, "true,a,b\na,5,0\nb,2,1\n").unwrap();
        let evaluations = read(dir.path());
        let [found, coarse] = evaluations.as_slice() else { panic!("{evaluations:?}") };
        assert_eq!((found.split.as_str(), coarse.split.as_str()), ("val", "predictions, family"));
        assert_eq!(coarse.mistakes.as_ref().unwrap().rows, [["b", "a", "2", "66.7"]]);
        assert_eq!(found.matrix.as_ref().unwrap().rows[0][1].share, 25.0);
        assert_eq!(found.mistakes.as_ref().unwrap().rows, [["cat", "dog", "1", "25.0"]]);
        assert_eq!(found.per_class.as_ref().unwrap().rows[0], ["cat", "0.8571"]);
        assert_eq!((found.worst[0].data.as_deref(), found.worst[0].numbers.as_str()), (None, "loss 2.5000"));
    }
}
