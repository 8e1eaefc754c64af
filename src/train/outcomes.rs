//! What the samples of a pass were taken for: counted while the pass runs, in memory that does not grow with it.
//!
//! A task tells it batch by batch ([`super::Log::outcomes`]), at every level of classes that it knows. What is kept
//! are counts, and the few samples with the largest losses.

use std::collections::HashMap;

/// How many of the worst samples are kept.
const WORST: usize = 24;

/// How often each class was taken for which, at one level.
#[derive(Clone, Debug, PartialEq)]
pub enum Counts {
    /// One class a sample: `(truth, prediction)` with the number of samples. Pairs that never came are left out.
    Pairs(HashMap<(usize, usize), u64>),
    /// Any number of labels a sample, for each label: rightly predicted, wrongly predicted, missed.
    Labels(Vec<[u64; 3]>),
}

/// The counts of one level.
#[derive(Clone, Debug, PartialEq)]
pub struct LevelOutcomes {
    /// The level's name; empty when there is only one.
    pub name: String,
    /// The classes' names.
    pub classes: Vec<String>,
    /// The counts.
    pub counts: Counts,
}

/// One sample, as a task saw it.
#[derive(Clone, Debug, PartialEq)]
pub struct Judged {
    /// Its number in the dataset.
    pub index: usize,
    /// Its classes, one or any number of labels.
    pub truth: Vec<String>,
    /// What it was taken for.
    pub prediction: Vec<String>,
    /// The probability of what was predicted, when that is one class.
    pub confidence: Option<f64>,
    /// Its own loss: the negative log-likelihood of its classes.
    pub loss: f64,
}

/// The outcomes of a pass.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Outcomes {
    /// The levels, finest first.
    pub levels: Vec<LevelOutcomes>,
    /// The samples with the largest losses, the largest first.
    pub worst: Vec<Judged>,
}

impl Outcomes {
    /// The level `index`, made by `new` when it is heard of for the first time.
    pub fn level(&mut self, index: usize, new: impl FnOnce() -> LevelOutcomes) -> &mut LevelOutcomes {
        if self.levels.len() <= index {
            self.levels.push(new());
        }
        let last = self.levels.len() - 1;
        &mut self.levels[index.min(last)]
    }

    /// Whether a sample with this loss would be kept: spares making its words.
    pub fn is_among_the_worst(&self, loss: f64) -> bool {
        self.worst.len() < WORST || self.worst.last().is_some_and(|last| greater(loss, last.loss))
    }

    /// Keeps a sample if it is among the worst. Of equal losses the sample that came first stays.
    pub fn add(&mut self, sample: Judged) {
        let place = self.worst.partition_point(|other| !greater(sample.loss, other.loss));
        if place < WORST {
            self.worst.insert(place, sample);
            self.worst.truncate(WORST);
        }
    }
}

/// A loss that is not a number is as bad as can be.
fn greater(a: f64, b: f64) -> bool {
    let bad = |loss: f64| if loss.is_nan() { f64::INFINITY } else { loss };
    bad(a) > bad(b)
}

impl LevelOutcomes {
    /// Counts a sample of one class.
    pub fn pair(&mut self, truth: usize, prediction: usize) {
        if let Counts::Pairs(pairs) = &mut self.counts {
            *pairs.entry((truth, prediction)).or_default() += 1;
        }
    }

    /// Counts a label of a sample.
    pub fn label(&mut self, label: usize, truth: bool, prediction: bool) {
        if let Counts::Labels(labels) = &mut self.counts {
            if labels.len() <= label {
                labels.resize(label + 1, [0; 3]);
            }
            match (truth, prediction) {
                (true, true) => labels[label][0] += 1,
                (false, true) => labels[label][1] += 1,
                (true, false) => labels[label][2] += 1,
                (false, false) => {}
            }
        }
    }

    /// For each class: rightly predicted, wrongly predicted, missed.
    pub fn by_class(&self) -> Vec<[u64; 3]> {
        match &self.counts {
            Counts::Labels(labels) => labels.clone(),
            Counts::Pairs(pairs) => {
                let most = pairs.keys().map(|(truth, prediction)| truth.max(prediction) + 1).max().unwrap_or(0);
                let mut classes = vec![[0; 3]; self.classes.len().max(most)];
                for ((truth, prediction), count) in pairs {
                    if truth == prediction {
                        classes[*truth][0] += count;
                    } else {
                        classes[*prediction][1] += count;
                        classes[*truth][2] += count;
                    }
                }
                classes
            }
        }
    }

    /// A class' name, its number where it has none.
    pub fn class(&self, index: usize) -> String {
        self.classes.get(index).cloned().unwrap_or_else(|| index.to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample(index: usize, loss: f64) -> Judged {
        Judged { index, truth: Vec::new(), prediction: Vec::new(), confidence: None, loss }
    }

    #[test]
    fn the_worst_stay_in_order_and_few() {
        let mut outcomes = Outcomes::default();
        for index in 0..1000 {
            let loss = (index * 7919 % 1000 / 2) as f64;
            assert_eq!(outcomes.is_among_the_worst(loss), {
                let before = outcomes.worst.clone();
                outcomes.add(sample(index, loss));
                outcomes.worst != before
            });
        }
        outcomes.add(sample(5, f64::NAN));
        assert_eq!(outcomes.worst.len(), WORST);
        assert!(outcomes.worst[0].loss.is_nan());
        let losses: Vec<f64> = outcomes.worst[1..].iter().map(|sample| sample.loss).collect();
        let expected: Vec<f64> = (0..WORST - 1).map(|i| (499 - i / 2) as f64).collect();
        assert_eq!(losses, expected);
        let pair = &outcomes.worst[1..3];
        assert!(pair[0].index < pair[1].index, "of equal losses the first comes first");
    }

    #[test]
    fn classes_are_counted_from_pairs_and_labels_alike() {
        let new = |counts| LevelOutcomes { name: String::new(), classes: vec!["a".into(), "b".into()], counts };
        let mut pairs = new(Counts::Pairs(HashMap::new()));
        let mut labels = new(Counts::Labels(Vec::new()));
        for (truth, prediction) in [(0, 0), (0, 1), (1, 1), (1, 1)] {
            pairs.pair(truth, prediction);
            for class in 0..2 {
                labels.label(class, truth == class, prediction == class);
            }
        }
        assert_eq!(pairs.by_class(), [[1, 0, 1], [2, 1, 0]]);
        assert_eq!(labels.by_class(), pairs.by_class());
        assert_eq!((pairs.class(1), pairs.class(7)), ("b".into(), "7".into()));
    }
}
