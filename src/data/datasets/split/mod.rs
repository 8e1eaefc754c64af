//! Splitting a data set into training, validation and test parts.

mod rule;

use std::collections::HashMap;
use std::path::Path;

pub use rule::{Sizes, SplitRule, Unsplit};

use crate::data::rng::{Purpose, Rng};
use crate::error::{Error, Result};
use crate::registry::{Check, IntOrFloat, OneOrMany};

/// Indices of the samples of each part, ascending.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Parts {
    /// To learn from.
    pub train: Vec<u32>,
    /// To choose by.
    pub val: Vec<u32>,
    /// To judge by.
    pub test: Vec<u32>,
}

/// Splits samples by their labels' classes, so that each part has every class in proportion. The split depends on
/// the labels, the sizes and the seed alone.
///
/// `sizes` are whole numbers of samples or shares; what they leave over is not used.
///
/// # Errors
/// When the sizes ask for more samples than there are.
pub fn split(labels: &[i64], sizes: &[IntOrFloat], seed: u64) -> Result<Parts> {
    let counts = counts(sizes, labels.len())?;
    let mut rest = order(labels, seed).into_iter();
    let [train, val, test] = counts.map(|count| {
        let mut part: Vec<u32> = rest.by_ref().take(count).collect();
        part.sort_unstable();
        part
    });
    Ok(Parts { train, val, test })
}

/// All samples in a random order of which any stretch has all classes in proportion.
fn order(labels: &[i64], seed: u64) -> Vec<u32> {
    // Each class in random order; sample j of n sits at (j + 0.5) / n of its class. Sorted by that, any stretch of
    // the list has all classes in proportion, and the counts are exact.
    let mut classes: HashMap<i64, Vec<u32>> = HashMap::new();
    for (index, label) in (0u32..).zip(labels) {
        classes.entry(*label).or_default().push(index);
    }
    let mut places: Vec<(f64, u64, u32)> = Vec::with_capacity(labels.len());
    for (label, mut indices) in classes {
        let mut rng = Rng::new(Purpose::Split, seed, &[label as u64]);
        rng.shuffle(&mut indices);
        let n = indices.len() as f64;
        places.extend((0u32..).zip(indices).map(|(j, index)| ((f64::from(j) + 0.5) / n, rng.bits(), index)));
    }
    places.sort_by(|a, b| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1)).then(a.2.cmp(&b.2)));
    places.into_iter().map(|(_, _, index)| index).collect()
}

/// The sizes as numbers of samples.
///
/// # Errors
/// When the sizes ask for more samples than there are.
pub fn counts(sizes: &[IntOrFloat], samples: usize) -> Result<[usize; 3]> {
    let mut counts = [0; 3];
    let mut share = 0.0;
    let mut given = 0;
    for (count, size) in counts.iter_mut().zip(sizes) {
        *count = match size {
            IntOrFloat::Int(count) => *count as usize,
            IntOrFloat::Float(fraction) => {
                // Rounding the running sum keeps the total right: 0.8, 0.1, 0.1 of 1,797 use all 1,797.
                let before = (share * samples as f64).round();
                share += fraction;
                ((share * samples as f64).round() - before) as usize
            }
        };
        given += *count;
    }
    if given > samples {
        let message = format!("the split asks for {given} samples ({}), and there are {samples}", in_words(sizes));
        return Err(Error::failed(message).help("set train_val_test_split to smaller numbers, or to shares"));
    }
    Ok(counts)
}

fn in_words(sizes: &[IntOrFloat]) -> String {
    let words = sizes.iter().map(|size| match size {
        IntOrFloat::Int(count) => count.to_string(),
        IntOrFloat::Float(share) => share.to_string(),
    });
    words.collect::<Vec<_>>().join(" + ")
}

/// The ids of an argument: a list, one text with commas, or the name of a file that holds them, by commas or lines.
///
/// # Errors
/// When the file cannot be read, or no id is given.
pub fn ids(argument: Option<&OneOrMany<String>>) -> Result<Option<Vec<String>>> {
    let Some(argument) = argument else { return Ok(None) };
    let apart = |text: &str| -> Vec<String> {
        text.split([',', '\n', '\r']).map(str::trim).filter(|id| !id.is_empty()).map(str::to_owned).collect()
    };
    let ids = match argument {
        OneOrMany::Many(ids) => ids.clone(),
        OneOrMany::One(text) if Path::new(text).is_file() => {
            apart(&std::fs::read_to_string(text).map_err(|error| Error::io("read", Path::new(text), error))?)
        }
        OneOrMany::One(text) => apart(text),
    };
    if ids.is_empty() { Err(Error::request("a list of ids is empty")) } else { Ok(Some(ids)) }
}

/// Reports arguments that cannot be right whatever the data.
pub fn check_arguments(
    sizes: Option<&[IntOrFloat]>,
    (folds, fold): (Option<u64>, Option<u64>),
    chosen: bool,
    cx: &mut Check,
) {
    if let Some(sizes) = sizes {
        check(sizes, cx);
    }
    match (folds, fold) {
        (None, None) => {}
        (None, Some(_)) => {
            cx.problem("fold", "`fold` says which of the folds is validated on, and `folds` is not given").help =
                Some("set data.folds, for instance to 5".into());
        }
        (Some(0 | 1), _) => {
            cx.problem("folds", "`folds` is 2 or more");
        }
        (Some(folds), Some(fold)) if fold >= folds => {
            cx.problem("fold", format!("there are {folds} folds, numbered from 0: `fold` is {fold}"));
        }
        (Some(_), _) if chosen => {
            cx.problem("folds", "`folds` choose the validation part, and so do `val_ids` and `test_ids`");
        }
        (Some(_), _) => {}
    }
}

/// Reports sizes that cannot be right whatever the data.
pub fn check(sizes: &[IntOrFloat], cx: &mut Check) {
    let shares = sizes.iter().map(|size| if let IntOrFloat::Float(share) = size { *share } else { 0.0 });
    if sizes.len() != 3 {
        cx.problem("train_val_test_split", format!("three sizes go here, and {} are given", sizes.len())).help =
            Some("give numbers of samples, [55000, 5000, 10000], or shares, [0.8, 0.1, 0.1]".into());
    } else if shares.sum::<f64>() > 1.0 + 1e-6 {
        cx.problem("train_val_test_split", format!("the shares {} are more than the whole", in_words(sizes)));
    } else if matches!(sizes[0], IntOrFloat::Int(0)) || sizes[0] == IntOrFloat::Float(0.0) {
        cx.problem("train_val_test_split", "the training part is empty");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use IntOrFloat::{Float, Int};

    #[test]
    fn every_part_has_every_class_in_proportion() {
        let labels: Vec<i64> = (0..1000).map(|i| i64::from(i % 10 == 0) + i64::from(i % 2 == 0)).collect();
        let parts = split(&labels, &[Float(0.8), Float(0.1), Float(0.1)], 42).unwrap();
        assert_eq!([parts.train.len(), parts.val.len(), parts.test.len()], [800, 100, 100]);
        for part in [&parts.train, &parts.val, &parts.test] {
            let rare = part.iter().filter(|&&i| labels[i as usize] == 2).count() as f64 / part.len() as f64;
            assert!((rare - 0.1).abs() < 0.011, "{rare}");
        }
        let mut all = [parts.train.clone(), parts.val.clone(), parts.test.clone()].concat();
        all.sort_unstable();
        assert_eq!(all, (0..1000).collect::<Vec<_>>());
        assert_eq!(split(&labels, &[Float(0.8), Float(0.1), Float(0.1)], 42).unwrap(), parts);
        assert_ne!(split(&labels, &[Float(0.8), Float(0.1), Float(0.1)], 43).unwrap(), parts);
    }

    #[test]
    fn sizes() {
        assert_eq!(counts(&[Float(0.8), Float(0.1), Float(0.1)], 1797).unwrap(), [1438, 179, 180]);
        assert_eq!(counts(&[Int(5), Int(0), Float(0.5)], 10).unwrap(), [5, 0, 5]);
        assert_eq!(counts(&[Float(1.0 / 3.0); 3], 10).unwrap().iter().sum::<usize>(), 10);
        let error = counts(&[Int(8), Int(2), Int(1)], 10).unwrap_err().to_string();
        assert!(error.starts_with("the split asks for 11 samples (8 + 2 + 1), and there are 10"), "{error}");
    }
}
