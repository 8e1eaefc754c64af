//! `runner evaluate`: what a table of predictions says of a model. Needs neither the model nor its data.

mod confusion;
pub mod curves;
mod outcomes;
mod pictures;
mod plots;
pub mod scene;
mod scores;
mod table;
mod tau;

use std::path::{Path, PathBuf};

use serde_json::json;

use super::compose::Request;
use crate::error::{Error, Result};
use crate::run;
use confusion::Matrix;
pub use outcomes::Pass;
use scores::Counts;
use table::{LevelTable, Predictions};

/// What was asked for.
struct Options {
    table: PathBuf,
    folder: PathBuf,
    within: Option<String>,
    pairs: usize,
    /// The checkpoint whose head is rescaled.
    tau: Option<PathBuf>,
}

impl Options {
    fn of(request: &Request) -> Result<Self> {
        let given = PathBuf::from(&request.words[0]);
        let table = if given.is_dir() { given.join("predictions.csv") } else { given };
        if !table.is_file() {
            return Err(Error::request(format!("there is no table of predictions {}", table.display()))
                .help("give the folder of a `runner predict`, or its predictions.csv"));
        }
        let folder = table.parent().unwrap_or(Path::new(".")).join("evaluation");
        let mut options = Options { table, folder, within: None, pairs: 50, tau: None };
        for text in &request.overrides {
            let (key, value) = text.trim_start_matches('+').split_once('=').unwrap_or((text, ""));
            match key {
                "out" => options.folder = value.into(),
                "tau" => options.tau = Some(value.into()),
                "within" => options.within = Some(value.to_owned()),
                "pairs" => {
                    options.pairs = value
                        .parse()
                        .map_err(|_| Error::request(format!("`pairs` is a whole number, not `{value}`")))?;
                }
                _ => {
                    return Err(Error::request(format!("`runner evaluate` has no option `{key}`")).help(
                        "out=FOLDER, within=LEVEL (families whose classes are shown apart), pairs=50 (most confused), \
                         tau=CHECKPOINT (its head rescaled)",
                    ));
                }
            }
        }
        Ok(options)
    }
}

/// The command; gives what to print.
///
/// # Errors
/// When the table cannot be read or the files not be written.
pub fn evaluate(request: &Request) -> Result<String> {
    let options = Options::of(request)?;
    let predictions = Predictions::read(&options.table)?;
    let folder = &options.folder;
    std::fs::create_dir_all(folder).map_err(|error| Error::io("make", folder, error))?;
    let mut summary = serde_json::Map::new();
    let mut lines = vec![format!("{} samples of {}", predictions.ids.len(), options.table.display())];
    for level in &predictions.levels {
        let counts = scores::per_class(level);
        let overall = scores::overall(level, &counts);
        let mut of_level = overall.json();
        let name = if level.name.is_empty() { "all" } else { &level.name };
        lines.push(format!(
            "{name:12} accuracy {:.4}  macro precision {:.4}  recall {:.4}  F1 {:.4}",
            overall.accuracy, overall.macro_[0], overall.macro_[1], overall.macro_[2]
        ));
        let scores = level.classes.iter().cloned().zip(counts);
        write_classes(&folder.join(format!("per_class{}.csv", level.ending())), scores)?;
        if !level.is_multilabel() {
            write_confusion(&options, level)?;
        }
        if let Some(error) = write_curves(folder, level)? {
            of_level["calibration_error"] = json!(error);
        }
        summary.insert(name.to_owned(), of_level);
    }
    write_within(&options, &predictions, &mut lines)?;
    if let Some(checkpoint) = &options.tau {
        lines.push(tau::write(options.table.parent().unwrap_or(Path::new(".")), checkpoint, folder)?);
    }
    let text = serde_json::to_string_pretty(&json!({ "samples": predictions.ids.len(), "levels": summary }))
        .map_err(|error| Error::failed(error.to_string()))?;
    run::write_atomic(&folder.join("summary.json"), text.as_bytes())?;
    lines.push(format!("{}", folder.display()));
    Ok(lines.join("\n"))
}

/// A CSV file, written whole.
fn write_csv(path: &Path, header: &[&str], rows: impl IntoIterator<Item = Vec<String>>) -> Result<()> {
    let failed = |error: csv::Error| Error::io("write", path, error);
    let mut writer = csv::Writer::from_writer(Vec::new());
    writer.write_record(header).map_err(failed)?;
    for row in rows {
        writer.write_record(row).map_err(failed)?;
    }
    let bytes = writer.into_inner().map_err(|error| Error::io("write", path, error.into_error()))?;
    run::write_atomic(path, &bytes)
}

fn number(value: f64) -> String {
    format!("{value:.6}")
}

/// `per_class.csv`: a row for every class.
fn write_classes(path: &Path, classes: impl Iterator<Item = (String, Counts)>) -> Result<()> {
    let rows = classes.map(|(name, counts)| {
        let whole = [counts.support(), counts.hits + counts.false_alarms, counts.hits].map(|n| n.to_string());
        let shares = [counts.precision(), counts.recall(), counts.f1()].map(number);
        std::iter::once(name).chain(whole).chain(shares).collect()
    });
    write_csv(path, &["class", "samples", "predicted", "correct", "precision", "recall", "f1"], rows)
}

/// `confused_pairs.csv`: what was confused most.
fn write_confused(path: &Path, pairs: Vec<(String, String, f64, f64)>, most: usize) -> Result<()> {
    let pairs = pairs.into_iter().take(most);
    let rows = pairs.map(|(name, other, count, share)| vec![name, other, format!("{count:.0}"), number(share)]);
    write_csv(path, &["true", "predicted", "count", "share_of_true"], rows)
}

/// The matrix of a level as table and pictures, and what was confused most.
fn write_confusion(options: &Options, level: &LevelTable) -> Result<()> {
    let (folder, ending) = (&options.folder, level.ending());
    let matrix = Matrix::of(level);
    let header: Vec<&str> = std::iter::once("true").chain(matrix.columns.iter().map(String::as_str)).collect();
    let rows = matrix.rows.iter().zip(&matrix.values).map(|(name, values)| {
        std::iter::once(name.clone()).chain(values.iter().map(|value| format!("{value:.0}"))).collect()
    });
    write_csv(&folder.join(format!("confusion_matrix{ending}.csv")), &header, rows)?;
    let title =
        if level.name.is_empty() { "Confusion matrix".into() } else { format!("Confusion matrix: {}", level.name) };
    plots::confusion(&matrix, &title, false).write(&folder.join(format!("confusion_matrix{ending}")))?;
    plots::confusion(&matrix.normalized(), &title, true)
        .write(&folder.join(format!("confusion_matrix{ending}_normalized")))?;
    write_confused(&folder.join(format!("confused_pairs{ending}.csv")), matrix.most_confused(), options.pairs)
}

/// Threshold curves and calibration; gives the calibration error.
fn write_curves(folder: &Path, level: &LevelTable) -> Result<Option<f64>> {
    let ending = level.ending();
    let of = if level.name.is_empty() { String::new() } else { format!(": {}", level.name) };
    if let Some(sweep) = scores::sweep(level) {
        let rows = sweep.iter().map(|at| {
            let [precision, recall, f1] = at.scores;
            [at.threshold, precision, recall, f1, at.coverage].map(number).to_vec()
        });
        let header = ["threshold", "precision", "recall", "f1", "coverage"];
        write_csv(&folder.join(format!("thresholds{ending}.csv")), &header, rows)?;
        plots::thresholds(&sweep, &format!("Scores by threshold{of}"))
            .write(&folder.join(format!("thresholds{ending}")))?;
    }
    let Some((bins, error)) = scores::calibration(level) else { return Ok(None) };
    let rows = bins.iter().map(|bin| {
        vec![
            number(bin.from),
            number(bin.from + 0.1),
            bin.count.to_string(),
            number(bin.confidence),
            number(bin.accuracy),
        ]
    });
    let header = ["from", "to", "predictions", "mean_probability", "share_right"];
    write_csv(&folder.join(format!("calibration{ending}.csv")), &header, rows)?;
    let title = format!("Calibration{of}");
    plots::calibration(&bins, error, &title).write(&folder.join(format!("calibration{ending}")))?;
    Ok(Some(error))
}

/// The matrices of the first level's classes within each group of a coarser level.
fn write_within(options: &Options, predictions: &Predictions, lines: &mut Vec<String>) -> Result<()> {
    let coarser: Vec<&str> = predictions.levels.iter().skip(1).map(|level| level.name.as_str()).collect();
    let wanted = match &options.within {
        Some(name) => match coarser.iter().position(|level| level == name) {
            Some(place) => place,
            None => {
                return Err(Error::request(format!("the predictions have no coarser level `{name}`")).help(format!(
                    "they have {}",
                    if coarser.is_empty() { "none".into() } else { coarser.join(", ") }
                )));
            }
        },
        None => match coarser.iter().position(|level| *level == "family").or(if coarser.is_empty() {
            None
        } else {
            Some(0)
        }) {
            Some(place) => place,
            None => return Ok(()),
        },
    };
    let level = &predictions.levels[0];
    let group = coarser[wanted];
    let others = if group == "family" { "Other families".to_owned() } else { format!("Other ({group})") };
    let groups = confusion::members(predictions, wanted + 1);
    let folder = options.folder.join(format!("within_{group}"));
    std::fs::create_dir_all(&folder).map_err(|error| Error::io("make", &folder, error))?;
    for (name, members) in &groups {
        let matrix = Matrix::within(level, members, &others);
        let file: String =
            name.chars().map(|c| if c.is_alphanumeric() || "-_.".contains(c) { c } else { '_' }).collect();
        let title = format!("{} within {name}", level.name);
        plots::confusion(&matrix, &title, false).write(&folder.join(&file))?;
        plots::confusion(&matrix.normalized(), &title, true).write(&folder.join(format!("{file}_normalized")))?;
    }
    lines.push(format!(
        "{} of {} groups have several classes: within_{group}/",
        groups.len(),
        predictions.levels[wanted + 1].classes.len()
    ));
    Ok(())
}
