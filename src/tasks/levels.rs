//! What a task tells apart: one set of classes, or several levels of a hierarchy, side by side in the outputs.

use tch::{Kind, Tensor};

use super::metric::Reading;

/// Classes that one part of the outputs scores.
#[derive(Clone, Debug, Default)]
pub(super) struct Level {
    /// Its name; empty when it is the only one.
    pub name: String,
    /// Names of its classes, as far as the data knows them.
    pub classes: Vec<String>,
    /// Where its outputs begin.
    pub start: i64,
    /// How many outputs it has.
    pub width: i64,
}

impl Level {
    /// The only level of a task.
    pub fn only(classes: Vec<String>, width: i64) -> Self {
        Level { name: String::new(), classes, start: 0, width }
    }

    /// The level's part of the outputs `[N, all]`.
    pub fn of(&self, outputs: &Tensor) -> Tensor {
        if self.start == 0 && outputs.size().last() == Some(&self.width) {
            return outputs.shallow_clone();
        }
        outputs.narrow(-1, self.start, self.width)
    }

    /// A class' name, its number where it has none.
    pub fn class(&self, index: usize) -> String {
        self.classes.get(index).cloned().unwrap_or_else(|| index.to_string())
    }

    /// A column's name of this level: `prediction`, `prediction_genus`.
    pub fn column(&self, what: &str) -> String {
        if self.name.is_empty() { what.to_owned() } else { format!("{what}_{}", self.name) }
    }

    /// An array's name of this level: `logits`, `genus_logits`.
    pub fn array(&self, what: &str) -> String {
        if self.name.is_empty() { what.to_owned() } else { format!("{}_{what}", self.name) }
    }
}

impl Reading {
    /// Probabilities of logits, by level, in 32-bit floats.
    pub fn probabilities(self, logits: &Tensor, levels: &[Level]) -> Tensor {
        match self {
            Reading::Sigmoid | Reading::Binary => logits.to_kind(Kind::Float).sigmoid(),
            Reading::Softmax => match levels {
                [_] | [] => logits.softmax(-1, Kind::Float),
                levels => {
                    let parts: Vec<Tensor> =
                        levels.iter().map(|level| level.of(logits).softmax(-1, Kind::Float)).collect();
                    Tensor::cat(&parts, -1)
                }
            },
        }
    }

    /// A batch's target as a loss takes it: class numbers, of one level where there are several; marks `[N, labels]` or
    /// `[N, 1]` as 32-bit floats.
    pub fn target(self, level: Option<usize>, target: &Tensor) -> Tensor {
        match (self, level) {
            (Reading::Softmax, Some(level)) => target.select(1, level as i64),
            (Reading::Softmax, None) => target.shallow_clone(),
            (Reading::Sigmoid, _) => target.to_kind(Kind::Float),
            (Reading::Binary, _) => target.to_kind(Kind::Float).view([-1, 1]),
        }
    }

    /// Logits that give these probabilities.
    pub fn logits(self, probabilities: &Tensor) -> Tensor {
        let least = f64::from(f32::MIN_POSITIVE);
        match self {
            Reading::Softmax => probabilities.clamp_min(least).log(),
            Reading::Sigmoid | Reading::Binary => probabilities.logit(1e-7),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn targets_are_what_losses_take() {
        let classes = Tensor::from_slice(&[1i64, 0, 2]);
        let marks = Tensor::from_slice(&[1u8, 0, 1, 1]).view([2, 2]);
        let pairs = Tensor::from_slice(&[1i64, 0, 2, 1]).view([2, 2]);
        for (reading, level, target, shape, kind) in [
            (Reading::Softmax, None, &classes, vec![3], Kind::Int64),
            (Reading::Softmax, Some(1), &pairs, vec![2], Kind::Int64),
            (Reading::Binary, None, &classes, vec![3, 1], Kind::Float),
            (Reading::Sigmoid, None, &marks, vec![2, 2], Kind::Float),
        ] {
            let found = reading.target(level, target);
            assert_eq!((found.size(), found.kind()), (shape, kind), "{reading:?}");
        }
    }

    #[test]
    fn levels_are_parts_of_the_outputs() {
        let level = |name: &str, start, width| Level { name: name.into(), start, width, ..Level::default() };
        let levels = [level("species", 0, 3), level("group", 3, 2)];
        let logits = Tensor::from_slice(&[1f32, 2.0, 3.0, -1.0, 1.0]).view([1, 5]);
        let probabilities = Reading::Softmax.probabilities(&logits, &levels);
        for level in &levels {
            let part = level.of(&probabilities);
            assert!((part.sum(Kind::Double).double_value(&[]) - 1.0).abs() < 1e-6);
            let back = Reading::Softmax.logits(&part).softmax(-1, Kind::Float);
            assert!(back.allclose(&part, 1e-5, 1e-7, false));
        }
        let labels = Reading::Sigmoid.probabilities(&logits, &levels[..1]);
        assert!(Reading::Sigmoid.logits(&labels).allclose(&logits, 1e-4, 1e-5, false));
    }
}
