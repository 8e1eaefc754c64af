//! Reading a table of predictions, as `runner predict` writes it.

use std::path::Path;

use crate::error::{Error, Result};

/// What was predicted at one level.
pub struct LevelTable {
    /// The level's name; empty when there is only one.
    pub name: String,
    /// Names of the classes, in order.
    pub classes: Vec<String>,
    /// The classes of each sample: one, or any number of labels.
    pub targets: Vec<Vec<usize>>,
    /// The predicted ones.
    pub predictions: Vec<Vec<usize>>,
    /// `[samples][classes]`, where the table has a column for every class.
    pub probabilities: Option<Vec<Vec<f64>>>,
    /// Each sample's probability of what was predicted, where it is known.
    pub confidence: Option<Vec<f64>>,
}

impl LevelTable {
    /// Whether samples have any number of labels rather than one class.
    pub fn is_multilabel(&self) -> bool {
        self.targets.iter().chain(&self.predictions).any(|labels| labels.len() != 1)
            || self
                .probabilities
                .as_ref()
                .is_some_and(|rows| rows.iter().any(|row| (row.iter().sum::<f64>() - 1.0).abs() > 1e-2))
    }

    /// A name for files and titles: `_genus`, or nothing.
    pub fn ending(&self) -> String {
        if self.name.is_empty() { String::new() } else { format!("_{}", self.name) }
    }
}

/// A table of predictions with their targets.
pub struct Predictions {
    /// Names of the samples.
    pub ids: Vec<String>,
    /// The levels, finest first.
    pub levels: Vec<LevelTable>,
}

/// The place of a name in `names`, added when it is new.
fn place(names: &mut Vec<String>, name: &str) -> usize {
    names.iter().position(|known| known == name).unwrap_or_else(|| {
        names.push(name.to_owned());
        names.len() - 1
    })
}

/// Numbers before words, each in their order.
fn sort_names(names: &mut [String]) {
    names.sort_by(|a, b| match (a.parse::<i64>(), b.parse::<i64>()) {
        (Ok(a), Ok(b)) => a.cmp(&b),
        (Ok(_), Err(_)) => std::cmp::Ordering::Less,
        (Err(_), Ok(_)) => std::cmp::Ordering::Greater,
        (Err(_), Err(_)) => a.cmp(b),
    });
}

impl Predictions {
    /// Reads a table. Columns are `id`, and for each level `target`, `prediction` and, where there are some, the
    /// classes' `p_…` (with the level's name at the end, `target_genus`, where there are several levels).
    ///
    /// # Errors
    /// When the file cannot be read, is empty, or has no targets to compare predictions with.
    pub fn read(path: &Path) -> Result<Self> {
        let failed = |error: csv::Error| Error::request(format!("{}: {error}", path.display()));
        let mut reader = csv::Reader::from_path(path).map_err(failed)?;
        let header: Vec<String> = reader.headers().map_err(failed)?.iter().map(str::to_owned).collect();
        let rows: Vec<csv::StringRecord> = reader.records().collect::<Result<_, _>>().map_err(failed)?;
        if rows.is_empty() {
            return Err(Error::request(format!("{} has no row", path.display())));
        }
        let column = |name: &str| header.iter().position(|known| known == name);
        let mut levels = Vec::new();
        for name in &header {
            let Some(level) = name.strip_prefix("prediction").filter(|rest| rest.is_empty() || rest.starts_with('_'))
            else {
                continue;
            };
            let Some(targets) = column(&format!("target{level}")) else { continue };
            let cells = |column: Option<usize>| -> Vec<&str> {
                rows.iter().map(|row| column.and_then(|column| row.get(column)).unwrap_or_default()).collect()
            };
            levels.push(read_level(level, &header, &cells, targets, column(name))?);
        }
        if levels.is_empty() {
            return Err(Error::request(format!(
                "{} has no columns `target` and `prediction`: it has {}",
                path.display(),
                header.join(", ")
            ))
            .help("give the predictions.csv of `runner predict` on data with labels"));
        }
        let id = column("id").unwrap_or(0);
        let ids = rows.iter().map(|row| row.get(id).unwrap_or_default().to_owned()).collect();
        Ok(Predictions { ids, levels })
    }
}

fn read_level<'a>(
    level: &str,
    header: &[String],
    cells: &dyn Fn(Option<usize>) -> Vec<&'a str>,
    target: usize,
    prediction: Option<usize>,
) -> Result<LevelTable> {
    let name = level.trim_start_matches('_').to_owned();
    let scored: Vec<(usize, String)> = if name.is_empty() {
        let names = header.iter().enumerate();
        names.filter_map(|(i, name)| Some((i, name.strip_prefix("p_")?.to_owned()))).collect()
    } else {
        Vec::new()
    };
    let number = |text: &str| text.parse::<f64>().unwrap_or(f64::NAN);
    let columns: Vec<Vec<f64>> =
        scored.iter().map(|(column, _)| cells(Some(*column)).iter().map(|text| number(text)).collect()).collect();
    let (targets, predictions) = (cells(Some(target)), cells(prediction));
    let mut classes: Vec<String> = scored.into_iter().map(|(_, name)| name).collect();
    // A class' name may hold a semicolon where samples have one class; only where whole cells are no classes are
    // they taken apart.
    let whole = |cell: &&str| classes.is_empty() || classes.iter().any(|class| class == cell);
    let split = !targets.iter().all(whole) || !predictions.iter().all(whole);
    let parts = |cell: &str| -> Vec<String> {
        match split || classes.is_empty() {
            true => cell.split(';').filter(|part| !part.is_empty()).map(str::to_owned).collect(),
            false => vec![cell.to_owned()],
        }
    };
    let targets: Vec<Vec<String>> = targets.iter().map(|cell| parts(cell)).collect();
    let predictions: Vec<Vec<String>> = predictions.iter().map(|cell| parts(cell)).collect();
    let known = classes.len();
    for name in targets.iter().chain(&predictions).flatten() {
        place(&mut classes, name);
    }
    if known == 0 {
        sort_names(&mut classes);
    }
    let numbers = |cells: Vec<Vec<String>>| -> Vec<Vec<usize>> {
        let find = |name: &String| classes.iter().position(|class| class == name);
        cells.iter().map(|names| names.iter().filter_map(find).collect()).collect()
    };
    let (targets, predictions) = (numbers(targets), numbers(predictions));
    let samples = targets.len();
    let probabilities = (known > 0).then(|| {
        let value = |class: usize, sample: usize| columns.get(class).map_or(0.0, |column| column[sample]);
        (0..samples)
            .map(|sample| (0..classes.len()).map(|class| value(class, sample)).collect())
            .collect::<Vec<Vec<f64>>>()
    });
    let confidence = match (&probabilities, header.iter().position(|known| *known == format!("p{level}"))) {
        (Some(rows), _) => Some(rows.iter().map(|row| row.iter().copied().fold(0.0, f64::max)).collect()),
        (None, Some(column)) => Some(cells(Some(column)).iter().map(|text| number(text)).collect()),
        (None, None) => None,
    };
    Ok(LevelTable { name, classes, targets, predictions, probabilities, confidence })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Predictions> {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), text).unwrap();
        Predictions::read(file.path())
    }

    #[test]
    fn classes_labels_and_levels_are_told_apart() {
        let one = read("id,target,prediction,p_b,p_a\nx,a,b,0.6,0.4\n").unwrap();
        let level = &one.levels[0];
        assert_eq!((level.classes.clone(), level.targets[0][0]), (vec!["b".into(), "a".into()], 1));
        assert!(!level.is_multilabel());
        let labels = read("id,target,prediction,p_a,p_b\nx,a;b,a,0.9,0.4\ny,,,0.1,0.1\n").unwrap();
        assert_eq!(labels.levels[0].targets, [vec![0, 1], vec![]]);
        assert!(labels.levels[0].is_multilabel());
        let levels = read("id,target_s,prediction_s,p_s,target_g,prediction_g\nx,10,9,0.5,u,v\n").unwrap();
        assert_eq!(levels.levels.len(), 2);
        assert_eq!(levels.levels[0].classes, ["9", "10"]);
        assert_eq!(levels.levels[0].confidence, Some(vec![0.5]));
        assert!(read("id,prediction\nx,a\n").is_err());
    }
}
