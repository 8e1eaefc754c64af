//! What a run's folder keeps about its data: `data/facts.json`, `data/splits.csv`, `data/counts.csv`,
//! `data/classes.csv`.

use std::path::{Path, PathBuf};

use super::datasets::Parts;
use super::{DataFacts, Level, Split, Targets};
use crate::error::{Error, Result};
use crate::run::write_atomic;

/// The folder for files about the data within a run's folder; made when it is missing.
///
/// # Errors
/// When it cannot be made.
pub fn folder(run: &Path) -> Result<PathBuf> {
    let folder = run.join("data");
    std::fs::create_dir_all(&folder).map_err(|error| Error::io("make", &folder, error))?;
    Ok(folder)
}

/// Writes `data/facts.json`.
///
/// # Errors
/// When the file cannot be written.
pub fn facts(run: &Path, facts: &DataFacts) -> Result<()> {
    let text = serde_json::to_string_pretty(facts)
        .map_err(|error| Error::failed(format!("the facts about the data cannot be written: {error}")))?;
    write_atomic(&folder(run)?.join("facts.json"), text.as_bytes())
}

/// Reads `data/facts.json` of a run's folder.
///
/// # Errors
/// When the file is not there or is no such file.
pub fn read_facts(run: &Path) -> Result<DataFacts> {
    let path = run.join("data").join("facts.json");
    let text = std::fs::read_to_string(&path).map_err(|error| Error::io("read", &path, error))?;
    serde_json::from_str(&text).map_err(|error| Error::failed(format!("{}: {error}", path.display())))
}

/// Writes who is in which part (`data/splits.csv`), how many samples each part has (`data/counts.csv`), and how many
/// of each class (`data/classes.csv`, where there are classes).
///
/// # Errors
/// When a file cannot be written.
pub fn parts(
    run: &Path,
    parts: &Parts,
    id: impl Fn(usize) -> String,
    targets: &Targets,
    levels: &[Level],
    classes: &[String],
) -> Result<()> {
    let folder = folder(run)?;
    let all = [(Split::Train, &parts.train), (Split::Val, &parts.val), (Split::Test, &parts.test)];
    let rows = all.iter().flat_map(|(split, indices)| {
        indices
            .iter()
            .map(|&index| [id(index as usize), split.name().to_owned(), targets.words(index as usize, levels)])
    });
    csv(&folder.join("splits.csv"), &["id", "split", "target"], rows)?;
    let rows = all.iter().map(|(split, indices)| [split.name().to_owned(), indices.len().to_string()]);
    csv(&folder.join("counts.csv"), &["split", "samples"], rows)?;
    if classes.is_empty() {
        return Ok(());
    }
    let counts = all.map(|(_, indices)| targets.counts(indices, classes.len()));
    let rows = classes.iter().enumerate().map(|(class, name)| {
        let [train, val, test] = [0, 1, 2].map(|part: usize| counts[part][class].to_string());
        [name.clone(), train, val, test]
    });
    csv(&folder.join("classes.csv"), &["class", "train", "val", "test"], rows)
}

/// Writes a CSV file whole.
///
/// # Errors
/// When it cannot be written.
pub fn csv<R, C>(path: &Path, header: &[&str], rows: R) -> Result<()>
where
    R: IntoIterator,
    R::Item: IntoIterator<Item = C>,
    C: AsRef<[u8]>,
{
    let failed = |error: csv::Error| Error::io("write", path, error);
    let mut writer = csv::Writer::from_writer(Vec::new());
    writer.write_record(header).map_err(failed)?;
    for row in rows {
        writer.write_record(row).map_err(failed)?;
    }
    let bytes = writer.into_inner().map_err(|error| Error::io("write", path, error.error()))?;
    write_atomic(path, &bytes)
}
