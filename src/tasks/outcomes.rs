//! What a batch's samples were taken for, told to [`Outcomes`].

use std::collections::HashMap;

use tch::{Device, Kind, Tensor};

use super::levels::Level;
use super::metric::Reading;
use super::supervised::Supervised;
use crate::data::Batch;
use crate::error::Result;
use crate::train::{Counts, Judged, LevelOutcomes, Outcomes};

impl Supervised {
    /// Counts a batch's predictions at every level. A sample's loss is the negative log-likelihood of its classes,
    /// whatever loss the network learns by, so that samples of any task compare.
    pub fn judge(&self, output: &Tensor, batch: &Batch, outcomes: &mut Outcomes) -> Result<()> {
        let output = output.detach();
        let probabilities = self.reading.probabilities(&output, &self.levels);
        for (place, level) in self.levels.iter().enumerate() {
            let target = self.target(place, batch.target()?);
            let probabilities = level.of(&probabilities);
            let seen = match self.reading {
                Reading::Softmax => classes(&probabilities, &target, outcomes.level(place, || pairs(level)))?,
                Reading::Binary => self.labelled(&probabilities, &target, outcomes.level(place, || pairs(level)))?,
                Reading::Sigmoid => self.labelled(&probabilities, &target, outcomes.level(place, || labels(level)))?,
            };
            // The finest level tells which samples were worst.
            let seen = if place == 0 { seen } else { Vec::new() };
            for (seen, index) in seen.into_iter().zip(&batch.indices) {
                if let Some(seen) = seen.filter(|seen| outcomes.is_among_the_worst(seen.loss)) {
                    outcomes.add(seen.judged(level, *index));
                }
            }
        }
        Ok(())
    }

    /// Samples with any number of labels, or with one question.
    fn labelled(
        &self,
        probabilities: &Tensor,
        target: &Tensor,
        counts: &mut LevelOutcomes,
    ) -> Result<Vec<Option<Seen>>> {
        let samples = probabilities.size().first().copied().unwrap_or(0);
        let width = (probabilities.numel() / samples.max(1) as usize).max(1);
        let (probabilities, target) = (values(probabilities)?, values(target)?);
        let rows = probabilities.chunks(width).zip(target.chunks(width));
        let seen = rows.map(|(row, target)| {
            let marked = |values: &[f64], above: f64| -> Vec<usize> {
                values.iter().enumerate().filter(|(_, value)| **value >= above).map(|(label, _)| label).collect()
            };
            let (truth, prediction) = (marked(target, 0.5), marked(row, self.threshold));
            let of_label = |(p, target): (&f64, &f64)| -log(if *target >= 0.5 { *p } else { 1.0 - p });
            let loss = row.iter().zip(target).map(of_label).sum::<f64>() / width as f64;
            if let Counts::Pairs(_) = counts.counts {
                let (truth, prediction) = (truth.len(), prediction.len());
                let sure = if prediction == 1 { row[0] } else { 1.0 - row[0] };
                counts.pair(truth, prediction);
                return Some(Seen { truth: vec![truth], prediction: vec![prediction], confidence: Some(sure), loss });
            }
            for (label, (p, target)) in row.iter().zip(target).enumerate() {
                counts.label(label, *target >= 0.5, *p >= self.threshold);
            }
            Some(Seen { truth, prediction, confidence: None, loss })
        });
        Ok(seen.collect())
    }
}

/// A sample, its classes as numbers.
struct Seen {
    truth: Vec<usize>,
    prediction: Vec<usize>,
    confidence: Option<f64>,
    loss: f64,
}

impl Seen {
    fn judged(self, level: &Level, index: usize) -> Judged {
        let words = |classes: Vec<usize>| classes.into_iter().map(|class| level.class(class)).collect();
        let Seen { truth, prediction, confidence, loss } = self;
        Judged { index, truth: words(truth), prediction: words(prediction), confidence, loss }
    }
}

/// Samples of one class each; a target of shares counts as what there is most of. A sample without a known class (a
/// number outside the classes) is left out.
fn classes(probabilities: &Tensor, target: &Tensor, counts: &mut LevelOutcomes) -> Result<Vec<Option<Seen>>> {
    let target = if target.dim() > 1 { target.argmax(-1, false) } else { target.shallow_clone() };
    let (best, predicted) = probabilities.max_dim(-1, false);
    let (best, predicted, target) = (values(&best)?, values(&predicted)?, values(&target)?);
    let all = values(probabilities)?;
    let width = all.len() / target.len().max(1);
    let seen = target.iter().enumerate().map(|(sample, truth)| {
        let truth = (*truth >= 0.0 && *truth < width as f64).then_some(*truth as usize)?;
        let prediction = predicted[sample] as usize;
        counts.pair(truth, prediction);
        let loss = -log(all[sample * width + truth]);
        Some(Seen { truth: vec![truth], prediction: vec![prediction], confidence: Some(best[sample]), loss })
    });
    Ok(seen.collect())
}

/// The logarithm of a probability, of 0 that of the smallest number.
fn log(probability: f64) -> f64 {
    probability.max(f64::from(f32::MIN_POSITIVE)).ln()
}

fn values(tensor: &Tensor) -> Result<Vec<f64>> {
    Ok(Vec::<f64>::try_from(tensor.to_device(Device::Cpu).to_kind(Kind::Double).contiguous().view(-1))?)
}

fn pairs(level: &Level) -> LevelOutcomes {
    named(level, Counts::Pairs(HashMap::new()))
}

fn labels(level: &Level) -> LevelOutcomes {
    named(level, Counts::Labels(vec![[0; 3]; level.classes.len()]))
}

fn named(level: &Level, counts: Counts) -> LevelOutcomes {
    LevelOutcomes { name: level.name.clone(), classes: level.classes.clone(), counts }
}
