//! Confusion matrices: of a level, normalized, and within a group of classes.

use std::collections::{BTreeSet, HashMap};

use super::table::{LevelTable, Predictions};

/// How often one class was taken for another.
#[derive(Clone, Debug, PartialEq)]
pub struct Matrix {
    /// Names of the true classes.
    pub rows: Vec<String>,
    /// Names of the predicted ones.
    pub columns: Vec<String>,
    /// `[rows][columns]`.
    pub values: Vec<Vec<f64>>,
}

impl Matrix {
    /// The matrix of a level with one class a sample; classes that are neither there nor predicted are left out.
    pub fn of(level: &LevelTable) -> Self {
        let pairs = level.targets.iter().zip(&level.predictions);
        Matrix::of_pairs(&level.classes, pairs.filter_map(|(t, p)| Some((*t.first()?, *p.first()?, 1))))
    }

    /// The same of true class, predicted class, and how often; a class without a name has its number.
    pub fn of_pairs(classes: &[String], pairs: impl Iterator<Item = (usize, usize, u64)>) -> Self {
        let pairs: Vec<_> = pairs.collect();
        let used: BTreeSet<usize> = pairs.iter().flat_map(|(target, prediction, _)| [*target, *prediction]).collect();
        let places: HashMap<usize, usize> = used.iter().enumerate().map(|(place, class)| (*class, place)).collect();
        let name = |class: &usize| classes.get(*class).cloned().unwrap_or_else(|| class.to_string());
        let names: Vec<String> = used.iter().map(name).collect();
        let mut values = vec![vec![0.0; names.len()]; names.len()];
        for (target, prediction, count) in pairs {
            values[places[&target]][places[&prediction]] += count as f64;
        }
        Matrix { columns: names.clone(), rows: names, values }
    }

    /// The matrix of the classes that belong to one group of a coarser level; everything else that was predicted is the
    /// column `others`.
    pub fn within(level: &LevelTable, members: &[usize], others: &str) -> Self {
        let names: Vec<String> = members.iter().map(|&class| level.classes[class].clone()).collect();
        let mut values = vec![vec![0.0; members.len() + 1]; members.len()];
        for (target, prediction) in level.targets.iter().zip(&level.predictions) {
            let place = |class: Option<&usize>| members.iter().position(|member| Some(member) == class);
            if let Some(row) = place(target.first()) {
                values[row][place(prediction.first()).unwrap_or(members.len())] += 1.0;
            }
        }
        let columns = names.iter().cloned().chain([others.to_owned()]).collect();
        Matrix { rows: names, columns, values }
    }

    /// Each row as shares of its sum; a row without samples stays 0.
    pub fn normalized(&self) -> Self {
        let shares = |row: &Vec<f64>| {
            let sum: f64 = row.iter().sum();
            row.iter().map(|value| if sum > 0.0 { value / sum } else { 0.0 }).collect()
        };
        Matrix { values: self.values.iter().map(shares).collect(), ..self.clone() }
    }

    /// What was confused most: true class, predicted class, how often, and as a share of the true class.
    pub fn most_confused(&self) -> Vec<(String, String, f64, f64)> {
        let mut pairs = Vec::new();
        for (name, row) in self.rows.iter().zip(&self.values) {
            let sum: f64 = row.iter().sum();
            for (other, count) in self.columns.iter().zip(row) {
                if name != other && *count > 0.0 {
                    pairs.push((name.clone(), other.clone(), *count, count / sum));
                }
            }
        }
        pairs.sort_by(|a, b| b.2.total_cmp(&a.2).then(b.3.total_cmp(&a.3)));
        pairs
    }
}

/// The classes of the first level that belong to each class of a coarser one: those seen together in the targets.
pub fn members(predictions: &Predictions, coarser: usize) -> Vec<(String, Vec<usize>)> {
    let (Some(fine), Some(coarse)) = (predictions.levels.first(), predictions.levels.get(coarser)) else {
        return Vec::new();
    };
    let mut groups: Vec<(String, Vec<usize>)> = coarse.classes.iter().map(|name| (name.clone(), Vec::new())).collect();
    for (class, group) in fine.targets.iter().zip(&coarse.targets) {
        if let (Some(&class), Some(&group)) = (class.first(), group.first())
            && !groups[group].1.contains(&class)
        {
            groups[group].1.push(class);
        }
    }
    groups.iter_mut().for_each(|(_, members)| members.sort_unstable());
    groups.retain(|(_, members)| members.len() > 1);
    groups
}

#[cfg(test)]
mod tests {
    use super::super::scores::tests::table;
    use super::*;

    #[test]
    fn rows_are_true_classes_and_normalized_ones_sum_to_one() {
        let matrix = Matrix::of(&table());
        assert_eq!((matrix.rows.len(), matrix.values.clone()), (2, vec![vec![1.0, 1.0], vec![1.0, 2.0]]));
        for row in matrix.normalized().values {
            assert!((row.iter().sum::<f64>() - 1.0).abs() < 1e-12);
        }
        assert_eq!(matrix.most_confused()[0].0, "a");
        let within = Matrix::within(&table(), &[1, 2], "Other families");
        assert_eq!(within.columns, ["b", "c", "Other families"]);
        assert_eq!(within.values, [vec![2.0, 0.0, 1.0], vec![0.0, 0.0, 0.0]]);
    }
}
