//! Scores of predictions: per class, overall, by threshold, and how far probabilities can be trusted.

use serde_json::{Value, json};

use super::table::LevelTable;

/// Counts of one class.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Counts {
    /// Rightly predicted.
    pub hits: u64,
    /// Wrongly predicted.
    pub false_alarms: u64,
    /// Not predicted, but true.
    pub misses: u64,
}

impl Counts {
    /// The share of predictions that are right; 0 without predictions.
    pub fn precision(self) -> f64 {
        share(self.hits, self.hits + self.false_alarms)
    }

    /// The share of true ones that are found; 0 without any.
    pub fn recall(self) -> f64 {
        share(self.hits, self.hits + self.misses)
    }

    /// Their harmonic mean.
    pub fn f1(self) -> f64 {
        share(2 * self.hits, 2 * self.hits + self.false_alarms + self.misses)
    }

    /// How many samples have the class.
    pub fn support(self) -> u64 {
        self.hits + self.misses
    }

    fn plus(self, other: Counts) -> Counts {
        Counts {
            hits: self.hits + other.hits,
            false_alarms: self.false_alarms + other.false_alarms,
            misses: self.misses + other.misses,
        }
    }

    /// Whether the class was neither there nor predicted.
    fn is_nothing(self) -> bool {
        self.hits + self.false_alarms + self.misses == 0
    }
}

fn share(part: u64, all: u64) -> f64 {
    if all == 0 { 0.0 } else { part as f64 / all as f64 }
}

/// The counts of every class.
pub fn per_class(level: &LevelTable) -> Vec<Counts> {
    let mut counts = vec![Counts::default(); level.classes.len()];
    for (targets, predictions) in level.targets.iter().zip(&level.predictions) {
        count(targets, predictions, &mut counts);
    }
    counts
}

fn count(targets: &[usize], predictions: &[usize], counts: &mut [Counts]) {
    for &class in predictions {
        if targets.contains(&class) {
            counts[class].hits += 1;
        } else {
            counts[class].false_alarms += 1;
        }
    }
    for &class in targets.iter().filter(|class| !predictions.contains(class)) {
        counts[class].misses += 1;
    }
}

/// Means over everything.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Overall {
    /// The share of samples whose classes are exactly right.
    pub accuracy: f64,
    /// From the sums over all classes.
    pub micro: [f64; 3],
    /// Means over the classes that occur or were predicted: precision, recall, F1.
    pub macro_: [f64; 3],
}

/// Overall scores. Macro means skip classes that are neither there nor predicted, as torchmetrics does.
pub fn overall(level: &LevelTable, counts: &[Counts]) -> Overall {
    let same = |(targets, predictions): (&Vec<usize>, &Vec<usize>)| {
        targets.len() == predictions.len() && targets.iter().all(|class| predictions.contains(class))
    };
    let right = level.targets.iter().zip(&level.predictions).filter(|pair| same(*pair)).count();
    let all = counts.iter().copied().fold(Counts::default(), Counts::plus);
    let there: Vec<Counts> = counts.iter().copied().filter(|counts| !counts.is_nothing()).collect();
    let mean =
        |score: fn(Counts) -> f64| there.iter().map(|counts| score(*counts)).sum::<f64>() / (there.len().max(1)) as f64;
    Overall {
        accuracy: share(right as u64, level.targets.len() as u64),
        micro: [all.precision(), all.recall(), all.f1()],
        macro_: [mean(Counts::precision), mean(Counts::recall), mean(Counts::f1)],
    }
}

impl Overall {
    /// For `summary.json`.
    pub fn json(&self) -> Value {
        let named = |values: [f64; 3]| json!({ "precision": values[0], "recall": values[1], "f1": values[2] });
        json!({ "accuracy": self.accuracy, "micro": named(self.micro), "macro": named(self.macro_) })
    }
}

/// Scores when only what is at least so probable counts as predicted.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct AtThreshold {
    /// The threshold.
    pub threshold: f64,
    /// Precision, recall and F1 from the sums over all classes.
    pub scores: [f64; 3],
    /// The share of samples of which anything is predicted.
    pub coverage: f64,
}

/// The scores at every twentieth threshold. With one class a sample, a prediction below the threshold is withheld.
pub fn sweep(level: &LevelTable) -> Option<Vec<AtThreshold>> {
    let several = level.is_multilabel();
    let confidence = level.confidence.as_ref()?;
    if several && level.probabilities.is_none() {
        return None;
    }
    let at = |step: usize| {
        let threshold = step as f64 / 20.0;
        let mut counts = vec![Counts::default(); level.classes.len()];
        let mut covered = 0;
        for (sample, targets) in level.targets.iter().enumerate() {
            let predictions: Vec<usize> = match &level.probabilities {
                Some(rows) if several => {
                    (0..level.classes.len()).filter(|&class| rows[sample][class] >= threshold).collect()
                }
                _ if confidence[sample] >= threshold => level.predictions[sample].clone(),
                _ => Vec::new(),
            };
            covered += u64::from(!predictions.is_empty());
            count(targets, &predictions, &mut counts);
        }
        let all = counts.into_iter().fold(Counts::default(), Counts::plus);
        AtThreshold {
            threshold,
            scores: [all.precision(), all.recall(), all.f1()],
            coverage: share(covered, level.targets.len() as u64),
        }
    };
    Some((0..=20).map(at).collect())
}

/// Predictions of about the same probability.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Bin {
    /// Where it begins; it is a tenth wide.
    pub from: f64,
    /// How many predictions.
    pub count: u64,
    /// Their mean probability.
    pub confidence: f64,
    /// How many of them are right.
    pub accuracy: f64,
}

/// How often predictions of a probability are right, in ten bins, and the expected calibration error: the mean distance
/// of the two, weighted by the predictions (Guo et al., 2017). Of labels, every label of every sample is a prediction.
pub fn calibration(level: &LevelTable) -> Option<(Vec<Bin>, f64)> {
    let pairs: Vec<(f64, bool)> = match (&level.probabilities, level.is_multilabel()) {
        (Some(rows), true) => {
            let of_sample = |(row, targets): (&Vec<f64>, &Vec<usize>)| {
                row.iter().enumerate().map(|(class, p)| (*p, targets.contains(&class))).collect::<Vec<_>>()
            };
            rows.iter().zip(&level.targets).flat_map(of_sample).collect()
        }
        (None, true) => return None,
        (_, false) => {
            let right = level.targets.iter().zip(&level.predictions).map(|(a, b)| a == b);
            level.confidence.as_ref()?.iter().copied().zip(right).collect()
        }
    };
    let mut sums = [(0u64, 0.0, 0u64); 10];
    for (p, right) in pairs.iter().filter(|(p, _)| p.is_finite()) {
        let bin = &mut sums[((p * 10.0) as usize).min(9)];
        *bin = (bin.0 + 1, bin.1 + p, bin.2 + u64::from(*right));
    }
    let all = sums.iter().map(|bin| bin.0).sum::<u64>().max(1);
    let bins: Vec<Bin> = sums
        .iter()
        .enumerate()
        .map(|(i, (count, sum, right))| Bin {
            from: i as f64 / 10.0,
            count: *count,
            confidence: if *count == 0 { 0.0 } else { sum / *count as f64 },
            accuracy: share(*right, *count),
        })
        .collect();
    let error = bins.iter().map(|bin| bin.count as f64 / all as f64 * (bin.confidence - bin.accuracy).abs()).sum();
    Some((bins, error))
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// Three classes, five samples: by hand.
    pub fn table() -> LevelTable {
        let one = |classes: [usize; 5]| classes.map(|class| vec![class]).to_vec();
        LevelTable {
            name: String::new(),
            classes: ["a", "b", "c"].map(String::from).to_vec(),
            targets: one([0, 0, 1, 1, 1]),
            predictions: one([0, 1, 1, 1, 0]),
            probabilities: None,
            confidence: Some(vec![0.95, 0.55, 0.9, 0.65, 0.45]),
        }
    }

    #[test]
    fn scores_by_hand() {
        let table = table();
        let counts = per_class(&table);
        assert_eq!(counts[0], Counts { hits: 1, false_alarms: 1, misses: 1 });
        assert_eq!(counts[1], Counts { hits: 2, false_alarms: 1, misses: 1 });
        let all = overall(&table, &counts);
        assert_eq!(all.accuracy, 0.6);
        // Class c is neither there nor predicted.
        assert!((all.macro_[0] - (0.5 + 2.0 / 3.0) / 2.0).abs() < 1e-12);
        let sweep = sweep(&table).unwrap();
        let at_90 = sweep[18];
        assert_eq!((at_90.scores[0], at_90.scores[1], at_90.coverage), (1.0, 0.4, 0.4));
        let (bins, error) = calibration(&table).unwrap();
        assert_eq!(bins[9].count, 2);
        assert!((error - (2.0 * 0.075 + 0.55 + 0.35 + 0.45) / 5.0).abs() < 1e-12, "{error}");
    }
}
