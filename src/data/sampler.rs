//! Which samples an epoch shows, in which order. A function of (seed, epoch) alone.

use std::collections::HashMap;
use std::sync::Arc;

use super::rng::{Purpose, Rng};
use super::{LabelKind, Targets};
use crate::error::{Error, Result};
use crate::prelude::*;

/// The order of an epoch.
pub trait Sampler: Send + Sync {
    /// How many samples an epoch shows.
    fn len(&self) -> usize;

    /// Whether an epoch shows none.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The indices that an epoch shows, in order.
    fn order(&self, seed: u64, epoch: u64) -> Vec<u32>;
}

/// All samples, first to last. Mirrors `torch.utils.data.SequentialSampler`.
#[derive(Clone, Copy, Debug)]
pub struct Sequential(pub usize);

impl Sampler for Sequential {
    fn len(&self) -> usize {
        self.0
    }
    fn order(&self, _: u64, _: u64) -> Vec<u32> {
        (0..self.0 as u32).collect()
    }
}

/// All samples in a new order each epoch. Mirrors `torch.utils.data.RandomSampler` without replacement.
///
/// The order is a Fisher-Yates shuffle over the crate's own counter-based generator: 4 bytes a sample, shared by
/// all workers, and nothing to save: an epoch can be entered anywhere.
#[derive(Clone, Copy, Debug)]
pub struct Random(pub usize);

impl Sampler for Random {
    fn len(&self) -> usize {
        self.0
    }
    fn order(&self, seed: u64, epoch: u64) -> Vec<u32> {
        let mut order: Vec<u32> = (0..self.0 as u32).collect();
        Rng::new(Purpose::Order, seed, &[epoch]).shuffle(&mut order);
        order
    }
}

/// Samples drawn in proportion to their weights. Mirrors `torch.utils.data.WeightedRandomSampler`.
#[derive(Clone, Debug)]
pub struct Weighted {
    weights: Vec<f64>,
    num_samples: usize,
    replacement: bool,
}

impl Weighted {
    /// Draws `num_samples` of the samples with these weights an epoch, with or without putting them back.
    ///
    /// # Errors
    /// When a weight is negative or not finite, all are 0, or there are fewer than `num_samples` to draw without
    /// replacement.
    pub fn new(weights: Vec<f64>, num_samples: usize, replacement: bool) -> Result<Self> {
        if let Some((i, weight)) = weights.iter().enumerate().find(|(_, w)| !w.is_finite() || **w < 0.0) {
            return Err(Error::failed(format!("sample {i} has the weight {weight}; weights are 0 or above")));
        }
        let drawable = weights.iter().filter(|weight| **weight > 0.0).count();
        if drawable == 0 {
            return Err(Error::failed("all weights are 0: no sample can be drawn"));
        }
        if !replacement && num_samples > drawable {
            return Err(Error::failed(format!(
                "{num_samples} samples cannot be drawn without replacement from {drawable} with a weight above 0"
            )));
        }
        Ok(Weighted { weights, num_samples, replacement })
    }

    /// Weights by which each class is drawn equally often: 1 / (the class's number of samples).
    pub fn balanced(labels: &[i64], num_samples: usize) -> Result<Self> {
        let mut counts = std::collections::HashMap::new();
        for label in labels {
            *counts.entry(label).or_insert(0usize) += 1;
        }
        Weighted::new(labels.iter().map(|label| 1.0 / counts[label] as f64).collect(), num_samples, true)
    }
}

impl Sampler for Weighted {
    fn len(&self) -> usize {
        self.num_samples
    }

    fn order(&self, seed: u64, epoch: u64) -> Vec<u32> {
        let mut rng = Rng::new(Purpose::Order, seed, &[epoch]);
        if self.replacement {
            let mut sums: Vec<f64> = Vec::with_capacity(self.weights.len());
            let total = self.weights.iter().fold(0.0, |sum, weight| {
                sums.push(sum + weight);
                sum + weight
            });
            return (0..self.num_samples)
                .map(|_| {
                    let at = rng.unit() * total;
                    let index = sums.partition_point(|sum| *sum <= at);
                    // Rounding may carry `at` to the end; the last sample that can be drawn takes it.
                    index.min(sums.partition_point(|sum| *sum < total)) as u32
                })
                .collect();
        }
        // The largest of u^(1/w) are a weighted draw without replacement, largest first (Efraimidis and Spirakis,
        // 2006); ln u / w orders them the same.
        let mut keys: Vec<(f64, u32)> = (0u32..)
            .zip(&self.weights)
            .filter(|(_, weight)| **weight > 0.0)
            .map(|(i, weight)| ((1.0 - rng.unit()).ln() / weight, i))
            .collect();
        keys.sort_by(|a, b| b.0.total_cmp(&a.0));
        keys.into_iter().take(self.num_samples).map(|(_, i)| i).collect()
    }
}

/// A sampler before the data is known.
pub trait SamplerSpec: Send {
    /// The sampler of a training part: the samples at `indices`.
    ///
    /// # Errors
    /// When the weights do not fit the samples, or these have no classes to weigh by.
    fn make(&self, targets: &Targets, indices: &[u32]) -> Result<Arc<dyn Sampler>>;
}

/// The kind of samplers.
pub struct SamplerKind;

impl Kind for SamplerKind {
    type Built = Box<dyn SamplerSpec>;
    const NAME: &'static str = "sampler";
}

/// Draws training samples in proportion to given weights, one a sample of the training part, in its order.
///
/// Mirrors `torch.utils.data.WeightedRandomSampler`.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct WeightedRandomSampler {
    /// The weights, 0 or above; they need not sum to 1.
    weights: Vec<NonNegative>,
    /// How many samples an epoch shows; null: as many as there are.
    #[serde(default)]
    num_samples: Option<usize>,
    /// Whether a sample may be drawn again.
    #[serde(default = "yes")]
    replacement: bool,
}

fn yes() -> bool {
    true
}

impl Component for WeightedRandomSampler {
    type Kind = SamplerKind;
    const TARGETS: &'static [&'static str] = &["torch.utils.data.WeightedRandomSampler"];
    fn build(self, _: &mut Build) -> Result<Box<dyn SamplerSpec>> {
        Ok(Box::new(self))
    }
}

impl SamplerSpec for WeightedRandomSampler {
    fn make(&self, _: &Targets, indices: &[u32]) -> Result<Arc<dyn Sampler>> {
        if self.weights.len() != indices.len() {
            let (weights, samples) = (self.weights.len(), indices.len());
            return Err(Error::request(format!("the sampler has {weights} weights for {samples} training samples"))
                .help("runner.data.InverseFrequency weighs samples by their classes"));
        }
        let weights = self.weights.iter().map(|weight| weight.0).collect();
        let count = self.num_samples.unwrap_or(indices.len());
        Ok(Arc::new(Weighted::new(weights, count, self.replacement)?))
    }
}

/// Draws training samples with the weight `(N / n_class)^fraction`, with replacement: rare classes more often.
///
/// 0 draws all samples alike, 1 all classes alike. A sample of several classes has the largest of their weights; a
/// hierarchy's first level counts.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct InverseFrequency {
    /// From 0 (as the samples are) to 1 (each class equally often).
    #[serde(default = "full")]
    fraction: Fraction,
    /// How many samples an epoch shows; null: as many as there are.
    #[serde(default)]
    num_samples: Option<usize>,
}

fn full() -> Fraction {
    Fraction(1.0)
}

impl Component for InverseFrequency {
    type Kind = SamplerKind;
    const TARGETS: &'static [&'static str] = &["runner.data.InverseFrequency", "runner.samplers.InverseFrequency"];
    fn build(self, _: &mut Build) -> Result<Box<dyn SamplerSpec>> {
        Ok(Box::new(self))
    }
}

impl SamplerSpec for InverseFrequency {
    fn make(&self, targets: &Targets, indices: &[u32]) -> Result<Arc<dyn Sampler>> {
        if !matches!(targets.kind(), LabelKind::Single | LabelKind::Multi | LabelKind::Levels) {
            return Err(Error::request("samples without classes cannot be weighed by their classes")
                .help("set data.sampler to null"));
        }
        let mut counts: HashMap<usize, u64> = HashMap::new();
        indices.iter().for_each(|&i| targets.each(i as usize, |class| *counts.entry(class).or_default() += 1));
        let weight = |&index: &u32| {
            let mut weight = 0f64;
            targets.each(index as usize, |class| {
                let share = indices.len() as f64 / counts[&class] as f64;
                weight = weight.max(share.powf(self.fraction.0));
            });
            // Without any class it is drawn as if all samples were of its kind.
            if weight > 0.0 { weight } else { 1.0 }
        };
        let weights = indices.iter().map(weight).collect();
        Ok(Arc::new(Weighted::new(weights, self.num_samples.unwrap_or(indices.len()), true)?))
    }
}

pub(super) fn register(registry: &mut Registry) {
    registry.add::<WeightedRandomSampler>();
    registry.add::<InverseFrequency>();
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn weights_are_kept_with_and_without_replacement() {
        let weighted = Weighted::new(vec![1.0, 0.0, 3.0, 0.0], 8000, true).unwrap();
        let order = weighted.order(1, 0);
        let third = order.iter().filter(|&&i| i == 2).count() as f64 / 8000.0;
        assert!(order.iter().all(|&i| i == 0 || i == 2));
        assert!((third - 0.75).abs() < 0.02, "{third}");

        let first = (0..4000)
            .filter(|&epoch| Weighted::new(vec![1.0, 3.0], 1, false).unwrap().order(1, epoch) == [1])
            .count() as f64;
        assert!((first / 4000.0 - 0.75).abs() < 0.03, "{first}");
        let mut all = Weighted::new(vec![0.5, 2.0, 1.0], 3, false).unwrap().order(3, 4);
        all.sort_unstable();
        assert_eq!(all, [0, 1, 2]);
    }

    #[test]
    fn impossible_weights_are_refused() {
        for (weights, n) in [(vec![1.0, -1.0], 1), (vec![0.0], 1), (vec![1.0, 0.0], 2), (vec![f64::NAN], 1)] {
            assert!(Weighted::new(weights, n, false).is_err());
        }
    }

    #[test]
    fn balanced_classes() {
        let labels: Vec<i64> = (0..100).map(|i| i64::from(i < 10)).collect();
        let order = Weighted::balanced(&labels, 10_000).unwrap().order(5, 0);
        let rare = order.iter().filter(|&&i| i < 10).count();
        assert!((4700..5300).contains(&rare), "{rare}");
    }

    /// moths' rule: the frequency of a class follows n * (N / n)^fraction.
    #[test]
    fn frequencies_follow_the_fraction() {
        let targets = Targets::Classes((0..100).map(|i| i64::from(i < 10)).collect());
        let indices: Vec<u32> = (0..100).collect();
        for (fraction, expected) in [(0.0, 0.1), (0.5, 0.25), (1.0, 0.5)] {
            let spec = InverseFrequency { fraction: Fraction(fraction), num_samples: Some(10_000) };
            let order = spec.make(&targets, &indices).unwrap().order(5, 0);
            let rare = order.iter().filter(|&&i| i < 10).count() as f64 / 10_000.0;
            assert!((rare - expected).abs() < 0.02, "{fraction}: {rare}");
        }
        let spec = InverseFrequency { fraction: Fraction(1.0), num_samples: None };
        assert_eq!(spec.make(&targets, &indices).unwrap().len(), 100);
        assert!(spec.make(&Targets::None(100), &indices).is_err());
        let spec = WeightedRandomSampler { weights: vec![NonNegative(1.0)], num_samples: None, replacement: true };
        assert!(spec.make(&targets, &indices).err().unwrap().to_string().contains("1 weights for 100"));
    }
}
