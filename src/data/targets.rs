//! What is to be learnt of each sample: a class, a set of classes, a class at each level of a hierarchy, numbers.

use std::collections::HashMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tch::{Kind, Tensor};

use crate::error::{Error, Result};
use crate::native::elements;

/// How the samples of a data set are labelled, which decides what `target` is in a batch.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum LabelKind {
    /// One class a sample: `target` is `[batch]`, whole numbers.
    #[default]
    Single,
    /// Any number of classes a sample: `target` is `[batch, classes]`, floats of 0 and 1.
    Multi,
    /// One class at each level: `target` is `[batch, levels]`, whole numbers, the levels as in [`super::DataFacts`].
    Levels,
    /// Numbers: `target` is `[batch]` or `[batch, numbers]`, floats.
    Values,
    /// No labels: there is no `target`.
    None,
}

/// One level of a hierarchy: its name and its classes in label order.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Level {
    /// `species`, `family`.
    pub name: String,
    /// Names of the classes; a target is the place in this list.
    pub classes: Vec<String>,
}

/// The targets of all samples.
#[derive(Clone, Debug, PartialEq)]
pub enum Targets {
    /// No labels, for this many samples.
    None(usize),
    /// A class each.
    Classes(Vec<i64>),
    /// A set of classes each, ascending.
    Sets {
        /// How many classes there are.
        classes: usize,
        /// The classes of each sample.
        sets: Vec<Vec<u32>>,
    },
    /// A class a level each, sample by sample.
    Levels {
        /// How many levels there are, above 0.
        levels: usize,
        /// `samples * levels` classes.
        values: Vec<i64>,
    },
    /// Numbers, sample by sample.
    Values {
        /// How many numbers a sample has, above 0.
        width: usize,
        /// `samples * width` numbers.
        values: Vec<f32>,
    },
}

impl Targets {
    /// How many samples.
    pub fn len(&self) -> usize {
        match self {
            Targets::None(count) => *count,
            Targets::Classes(classes) => classes.len(),
            Targets::Sets { sets, .. } => sets.len(),
            Targets::Levels { levels, values } => values.len() / (*levels).max(1),
            Targets::Values { width, values } => values.len() / (*width).max(1),
        }
    }

    /// Whether there are no samples.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Which kind they are of.
    pub fn kind(&self) -> LabelKind {
        match self {
            Targets::None(_) => LabelKind::None,
            Targets::Classes(_) => LabelKind::Single,
            Targets::Sets { .. } => LabelKind::Multi,
            Targets::Levels { .. } => LabelKind::Levels,
            Targets::Values { .. } => LabelKind::Values,
        }
    }

    /// The targets of some samples as a batch has them; `None` without labels.
    ///
    /// # Errors
    /// When libtorch has no memory.
    pub fn batch(&self, samples: &[usize]) -> Result<Option<Tensor>> {
        let count = samples.len() as i64;
        Ok(match self {
            Targets::None(_) => None,
            Targets::Classes(classes) => {
                let classes: Vec<i64> = samples.iter().map(|&i| classes[i]).collect();
                Some(elements::from_vec(classes, &[count])?)
            }
            Targets::Sets { classes, sets } => {
                let mut hot = vec![0f32; samples.len() * classes];
                for (row, &sample) in hot.chunks_exact_mut((*classes).max(1)).zip(samples) {
                    sets[sample].iter().for_each(|&class| row[class as usize] = 1.0);
                }
                Some(elements::from_vec(hot, &[count, *classes as i64])?)
            }
            Targets::Levels { levels, values } => {
                let rows = samples.iter().flat_map(|&i| &values[i * levels..(i + 1) * levels]);
                Some(elements::from_vec(rows.copied().collect::<Vec<i64>>(), &[count, *levels as i64])?)
            }
            Targets::Values { width, values } => {
                let rows = samples.iter().flat_map(|&i| &values[i * width..(i + 1) * width]);
                let rows: Vec<f32> = rows.copied().collect();
                let shape = if *width == 1 { vec![count] } else { vec![count, *width as i64] };
                Some(elements::from_vec(rows, &shape)?)
            }
        })
    }

    /// The target of one sample, without a batch dimension.
    ///
    /// # Errors
    /// As [`Targets::batch`].
    pub fn one(&self, sample: usize) -> Result<Option<Tensor>> {
        self.batch(&[sample])?.map(|target| Ok(target.f_squeeze_dim(0)?)).transpose()
    }

    /// A number for each sample by which a stratified split tells them apart: the class, the exact set of classes,
    /// the class of the first level; 0 where there are none.
    pub fn strata(&self) -> Vec<i64> {
        match self {
            Targets::Classes(classes) => classes.clone(),
            Targets::Levels { levels, values } => values.iter().step_by((*levels).max(1)).copied().collect(),
            Targets::Sets { sets, .. } => {
                let mut numbers: HashMap<&[u32], i64> = HashMap::new();
                let number = |set| {
                    let next = numbers.len() as i64;
                    *numbers.entry(set).or_insert(next)
                };
                sets.iter().map(Vec::as_slice).map(number).collect()
            }
            Targets::None(_) | Targets::Values { .. } => vec![0; self.len()],
        }
    }

    /// How many samples of `indices` have each class of the first (or only) level.
    pub fn counts(&self, indices: &[u32], classes: usize) -> Vec<u64> {
        let mut counts = vec![0; classes];
        for &index in indices {
            self.each(index as usize, |class| {
                if let Some(count) = counts.get_mut(class) {
                    *count += 1;
                }
            });
        }
        counts
    }

    /// Calls `f` with each class of a sample, of the first level where there are several.
    pub fn each(&self, sample: usize, mut f: impl FnMut(usize)) {
        match self {
            Targets::Classes(classes) => f(classes[sample] as usize),
            Targets::Levels { levels, values } => f(values[sample * levels] as usize),
            Targets::Sets { sets, .. } => sets[sample].iter().for_each(|&class| f(class as usize)),
            Targets::None(_) | Targets::Values { .. } => {}
        }
    }

    /// A sample's target in words: class names, joined by `;`.
    pub fn words(&self, sample: usize, levels: &[Level]) -> String {
        let name = |level: usize, class: usize| {
            let level = levels.get(level);
            level.and_then(|level| level.classes.get(class)).cloned().unwrap_or_else(|| class.to_string())
        };
        let words: Vec<String> = match self {
            Targets::None(_) => Vec::new(),
            Targets::Classes(classes) => vec![name(0, classes[sample] as usize)],
            Targets::Sets { sets, .. } => sets[sample].iter().map(|&class| name(0, class as usize)).collect(),
            Targets::Levels { levels: n, values } => {
                let row = values[sample * n..(sample + 1) * n].iter().enumerate();
                row.map(|(level, &class)| name(level, class as usize)).collect()
            }
            Targets::Values { width, values } => {
                values[sample * width..(sample + 1) * width].iter().map(f32::to_string).collect()
            }
        };
        words.join(";")
    }

    /// The samples at `indices`, in that order.
    pub fn select(&self, indices: &[usize]) -> Targets {
        match self {
            Targets::None(_) => Targets::None(indices.len()),
            Targets::Classes(classes) => Targets::Classes(indices.iter().map(|&i| classes[i]).collect()),
            Targets::Sets { classes, sets } => {
                Targets::Sets { classes: *classes, sets: indices.iter().map(|&i| sets[i].clone()).collect() }
            }
            Targets::Levels { levels, values } => {
                let rows = indices.iter().flat_map(|&i| &values[i * levels..(i + 1) * levels]);
                Targets::Levels { levels: *levels, values: rows.copied().collect() }
            }
            Targets::Values { width, values } => {
                let rows = indices.iter().flat_map(|&i| &values[i * width..(i + 1) * width]);
                Targets::Values { width: *width, values: rows.copied().collect() }
            }
        }
    }
}

/// The number of a label's name in a sorted list.
///
/// # Errors
/// When the list does not have it; says what it has.
pub fn number_of(name: &str, classes: &[String]) -> Result<i64> {
    classes.binary_search_by(|class| class.as_str().cmp(name)).map(|place| place as i64).map_err(|_| {
        let shown: Vec<&str> = classes.iter().take(12).map(String::as_str).collect();
        let more = if classes.len() > shown.len() { ", …" } else { "" };
        Error::failed(format!("`{name}` is not among the classes {}{more}", shown.join(", ")))
    })
}

/// The type of `target` in a batch.
pub fn target_kind(kind: LabelKind) -> Option<Kind> {
    match kind {
        LabelKind::Single | LabelKind::Levels => Some(Kind::Int64),
        LabelKind::Multi | LabelKind::Values => Some(Kind::Float),
        LabelKind::None => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn batches_of_every_kind() {
        let sets = Targets::Sets { classes: 3, sets: vec![vec![0, 2], vec![], vec![1]] };
        let hot = sets.batch(&[0, 2]).unwrap().unwrap();
        assert_eq!((hot.size(), hot.kind()), (vec![2, 3], Kind::Float));
        assert_eq!(Vec::<f32>::try_from(hot.flatten(0, -1)).unwrap(), [1.0, 0.0, 1.0, 0.0, 1.0, 0.0]);
        assert_eq!(sets.counts(&[0, 1, 2], 3), [1, 1, 1]);
        assert_eq!(sets.strata(), [0, 1, 2]);
        let levels = Targets::Levels { levels: 2, values: vec![1, 0, 2, 1] };
        assert_eq!(Vec::<i64>::try_from(levels.one(1).unwrap().unwrap()).unwrap(), [2, 1]);
        assert_eq!((levels.len(), levels.strata()), (2, vec![1, 2]));
        let named = |name: &str, classes: &[&str]| Level {
            name: name.into(),
            classes: classes.iter().map(|class| (*class).to_owned()).collect(),
        };
        let names = [named("species", &["a", "b", "c"]), named("family", &["x", "y"])];
        assert_eq!(levels.words(1, &names), "c;y");
        assert_eq!(sets.words(0, &names[..1]), "a;c");
        let values = Targets::Values { width: 1, values: vec![0.5, 2.0] };
        assert_eq!(values.batch(&[1]).unwrap().unwrap().size(), [1]);
        assert!(Targets::None(4).batch(&[0]).unwrap().is_none());
        assert_eq!(levels.select(&[1]), Targets::Levels { levels: 2, values: vec![2, 1] });
    }
}
