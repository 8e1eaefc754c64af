//! Labels in a table's columns: one class, sets of classes, levels of a hierarchy, numbers.

use std::collections::{BTreeSet, HashMap};

use super::ImageTable;
use crate::data::datasets::hierarchy::{self, Bundling, Labelled};
use crate::data::datasets::table::Table;
use crate::data::{Level, Targets};
use crate::error::{Error, Result};

impl ImageTable {
    /// The targets of all rows.
    ///
    /// # Errors
    /// When a label is missing or unknown, or a number is none; names the file and the line.
    pub(super) fn targets(&self, table: &Table) -> Result<Labelled> {
        if let Some(columns) = &self.value_columns {
            return Ok(Labelled::flat(numbers(table, columns.as_slice())?));
        }
        let Some(columns) = &self.label_columns else {
            return Ok(Labelled::flat(Targets::None(table.rows.len())));
        };
        let places = columns.as_slice().iter().map(|name| table.column(name, "label_columns"));
        let places = places.collect::<Result<Vec<_>>>()?;
        match places.as_slice() {
            [column] if self.is_multi() => self.sets(table, *column),
            [column] => self.single(table, *column),
            several => self.levels(table, several),
        }
    }

    fn single(&self, table: &Table, column: usize) -> Result<Labelled> {
        let classes = match &self.classes {
            Some(classes) => classes.clone(),
            None => vocabulary(table.rows.iter().map(|row| row[column].as_str())),
        };
        let numbers: HashMap<&str, i64> = (0i64..).zip(&classes).map(|(i, class)| (class.as_str(), i)).collect();
        let mut labels = Vec::with_capacity(table.rows.len());
        for (row, values) in table.rows.iter().enumerate() {
            let label = values[column].trim();
            let number = numbers.get(label).filter(|_| !label.is_empty());
            labels.push(*number.ok_or_else(|| unlabelled(table, row, label, self.classes.is_some()))?);
        }
        let bundling = Bundling { min_samples: self.min_samples, other: &self.other };
        let count = labels.len();
        hierarchy::label(&labels, classes, count, &bundling, None)
    }

    fn sets(&self, table: &Table, column: usize) -> Result<Labelled> {
        let separator = self.label_separator.as_deref().unwrap_or(";");
        let labels: Vec<Vec<&str>> = table.rows.iter().map(|row| labels_of(&row[column], separator)).collect();
        sets(&labels, self.classes.clone())
            .map_err(|error| error.context(table.path.display()))
            .map(|(targets, level)| Labelled { levels: vec![level], ..Labelled::flat(targets) })
    }

    fn levels(&self, table: &Table, columns: &[usize]) -> Result<Labelled> {
        let mut levels = Vec::new();
        for &column in columns {
            let classes = vocabulary(table.rows.iter().map(|row| row[column].as_str()));
            levels.push(Level { name: table.columns[column].clone(), classes });
        }
        let numbers: Vec<HashMap<&str, i64>> = levels
            .iter()
            .map(|level| (0i64..).zip(&level.classes).map(|(i, class)| (class.as_str(), i)).collect())
            .collect();
        let mut lineage: Vec<Option<Vec<i64>>> = vec![None; levels[0].classes.len()];
        let mut values = Vec::with_capacity(table.rows.len() * columns.len());
        for (row, text) in table.rows.iter().enumerate() {
            let mut one = Vec::with_capacity(columns.len());
            for (numbers, &column) in numbers.iter().zip(columns) {
                let label = text[column].trim();
                let number = numbers.get(label).filter(|_| !label.is_empty());
                one.push(*number.ok_or_else(|| unlabelled(table, row, label, false))?);
            }
            let known = lineage[one[0] as usize].get_or_insert_with(|| one.clone());
            if *known != one {
                let (place, class) = (table.place(row), &text[columns[0]]);
                return Err(Error::request(format!("{place}: `{class}` belongs elsewhere than in the rows before"))
                    .help("a class of the first level has one class at each of the others"));
            }
            values.extend(one);
        }
        let lineage = lineage.into_iter().map(Option::unwrap_or_default).collect();
        Ok(Labelled { targets: Targets::Levels { levels: columns.len(), values }, levels, lineage })
    }
}

/// The labels in a text, without empty ones.
pub(in crate::data::datasets) fn labels_of<'a>(text: &'a str, separator: &str) -> Vec<&'a str> {
    text.split(separator).map(str::trim).filter(|label| !label.is_empty()).collect()
}

/// Sets of labels as targets, with their classes.
///
/// # Errors
/// When a label is not among the given classes.
pub(in crate::data::datasets) fn sets(labels: &[Vec<&str>], classes: Option<Vec<String>>) -> Result<(Targets, Level)> {
    let classes = classes.unwrap_or_else(|| vocabulary(labels.iter().flatten().copied()));
    let numbers: HashMap<&str, u32> = (0u32..).zip(&classes).map(|(i, class)| (class.as_str(), i)).collect();
    let mut sets = Vec::with_capacity(labels.len());
    for labels in labels {
        let mut set = Vec::with_capacity(labels.len());
        for label in labels {
            let number = numbers.get(label).copied();
            set.push(number.ok_or_else(|| Error::request(format!("the label `{label}` is not among `classes`")))?);
        }
        set.sort_unstable();
        set.dedup();
        sets.push(set);
    }
    Ok((Targets::Sets { classes: classes.len(), sets }, Level { name: "class".into(), classes }))
}

/// All labels, sorted: as numbers where all are whole numbers, as text otherwise.
pub(in crate::data::datasets) fn vocabulary<'a>(labels: impl Iterator<Item = &'a str>) -> Vec<String> {
    let set: BTreeSet<&str> = labels.map(str::trim).filter(|label| !label.is_empty()).collect();
    let mut labels: Vec<&str> = set.into_iter().collect();
    if labels.iter().all(|label| label.parse::<i64>().is_ok()) {
        labels.sort_by_key(|label| label.parse::<i64>().unwrap_or(0));
    }
    labels.into_iter().map(str::to_owned).collect()
}

fn unlabelled(table: &Table, row: usize, label: &str, chosen: bool) -> Error {
    let place = table.place(row);
    if label.is_empty() {
        Error::request(format!("{place}: the label is empty"))
    } else if chosen {
        Error::request(format!("{place}: the label `{label}` is not among `classes`"))
    } else {
        Error::request(format!("{place}: the label `{label}` cannot be used"))
    }
}

/// Columns of numbers as targets.
fn numbers(table: &Table, names: &[String]) -> Result<Targets> {
    let columns = names.iter().map(|name| table.column(name, "value_columns")).collect::<Result<Vec<_>>>()?;
    let mut values = Vec::with_capacity(table.rows.len() * columns.len());
    for (row, text) in table.rows.iter().enumerate() {
        for &column in &columns {
            let number = text[column].trim().parse::<f32>().ok().filter(|value| value.is_finite());
            values.push(number.ok_or_else(|| {
                let (place, name) = (table.place(row), &table.columns[column]);
                Error::request(format!("{place}: `{}` in column `{name}` is no finite number", text[column]))
                    .help("remove the row, or fill the value in: a network cannot learn NaN")
            })?);
        }
    }
    Ok(Targets::Values { width: columns.len(), values })
}
