//! Predictions as rows of a table and as arrays.

use tch::{Device, Kind, Tensor};

use super::levels::Level;
use super::metric::Reading;
use crate::error::Result;
use crate::train::Rows;

/// The outputs of one level for a batch.
pub(super) struct Scored<'a> {
    pub level: &'a Level,
    /// `[N, classes]`.
    pub logits: Tensor,
    /// `[N, classes]`, 32-bit floats.
    pub probabilities: Tensor,
    /// `[N]` or `[N, classes]`, where the batch has one.
    pub target: Option<Tensor>,
    /// Above it a label is predicted.
    pub threshold: f64,
    /// Whether the table has a column for every class' probability rather than for the predicted class' only.
    pub every_class: bool,
}

/// A matrix on the CPU, row by row.
fn values(tensor: &Tensor) -> Result<Vec<f32>> {
    Ok(Vec::<f32>::try_from(tensor.to_device(Device::Cpu).to_kind(Kind::Float).contiguous().view(-1))?)
}

impl Scored<'_> {
    /// Adds the columns `target`, `prediction` and `p_…`, and the arrays `logits`, `prediction` and `target`.
    pub fn add(&self, reading: Reading, rows: &mut Rows) -> Result<()> {
        let (samples, classes) = self.logits.size2()?;
        let (samples, classes) = (samples as usize, classes as usize);
        let (probabilities, classes) = match reading {
            // Both answers of the question.
            Reading::Binary => (values(&self.probabilities)?.into_iter().flat_map(|p| [1.0 - p, p]).collect(), 2),
            _ => (values(&self.probabilities)?, classes),
        };
        let (predicted, target) = match reading {
            Reading::Softmax => {
                let predicted = self.logits.argmax(-1, false);
                let target = self.target.as_ref().map(|target| match target.dim() {
                    1 => target.shallow_clone(),
                    _ => target.argmax(-1, false),
                });
                (predicted, target)
            }
            Reading::Sigmoid | Reading::Binary => {
                let predicted = self.probabilities.ge(self.threshold).to_kind(Kind::Int64);
                let target = self.target.as_ref().map(|target| target.ge(0.5).to_kind(Kind::Int64));
                (predicted, target)
            }
        };
        let words = |tensor: &Tensor| self.words(reading, tensor, samples);
        let mut columns: Vec<(String, Vec<String>)> = Vec::new();
        if let Some(target) = &target {
            columns.push((self.level.column("target"), words(target)?));
        }
        columns.push((self.level.column("prediction"), words(&predicted)?));
        if self.every_class {
            for class in 0..classes {
                let of_class = (0..samples).map(|i| probabilities[i * classes + class].to_string());
                columns.push((format!("p_{}", self.level.class(class)), of_class.collect()));
            }
        } else {
            let best = (0..samples).map(|i| {
                let row = &probabilities[i * classes..(i + 1) * classes];
                row.iter().copied().fold(0.0, f32::max).to_string()
            });
            columns.push((self.level.column("p"), best.collect()));
        }
        if rows.rows.is_empty() {
            rows.rows = vec![Vec::new(); samples];
        }
        for (name, values) in columns {
            rows.columns.push(name);
            rows.rows.iter_mut().zip(values).for_each(|(row, value)| row.push(value));
        }
        rows.arrays.push((self.level.array("logits"), self.logits.to_kind(Kind::Float)));
        rows.arrays.push((self.level.array("prediction"), predicted));
        if let Some(target) = target {
            rows.arrays.push((self.level.array("target"), target));
        }
        Ok(())
    }

    /// Class names of numbers `[N]`, or of marks `[N, classes]` joined by `;`.
    fn words(&self, reading: Reading, classes: &Tensor, samples: usize) -> Result<Vec<String>> {
        let numbers = Vec::<i64>::try_from(classes.to_device(Device::Cpu).contiguous().view(-1))?;
        Ok(match reading {
            Reading::Softmax => numbers.iter().map(|&class| self.level.class(class as usize)).collect(),
            Reading::Binary if self.level.classes.len() == 2 => {
                numbers.iter().map(|&class| self.level.class(class as usize)).collect()
            }
            Reading::Binary => numbers.iter().map(i64::to_string).collect(),
            Reading::Sigmoid => {
                let width = numbers.len() / samples.max(1);
                let marked = |row: &[i64]| {
                    let names = row.iter().enumerate().filter(|(_, mark)| **mark != 0);
                    names.map(|(class, _)| self.level.class(class)).collect::<Vec<_>>().join(";")
                };
                numbers.chunks(width.max(1)).map(marked).collect()
            }
        })
    }
}
