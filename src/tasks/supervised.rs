//! The task of a network that scores classes: single-label, multi-label and hierarchical classification differ only in
//! how outputs are read and in how many levels they have.

use tch::{Kind, Tensor};

use super::core::Core;
use super::levels::Level;
use super::meters::Meters;
use super::metric::Reading;
use super::names::LogNames;
use super::rows;
use super::views::TestTimeAugmentation;
use crate::data::{Batch, DataFacts, Split};
use crate::error::{Error, Result};
use crate::losses::Loss;
use crate::nn::{Params, trace};
use crate::optim::Horizon;
use crate::tensor::{State, Stateful, guard};
use crate::train::{Log, Optimizers, Rows, Task};

/// What is learned at one level.
pub(super) struct Goal {
    /// Its loss.
    pub loss: Box<dyn Loss>,
    /// Its weight in the sum.
    pub weight: f64,
}

/// A network, how its outputs are read, and what is learned.
pub(super) struct Supervised {
    pub core: Core,
    pub reading: Reading,
    pub levels: Vec<Level>,
    /// One a level.
    pub goals: Vec<Goal>,
    pub meters: Meters,
    pub names: LogNames,
    pub views: Option<TestTimeAugmentation>,
    /// Above it a label is predicted.
    pub threshold: f64,
}

impl Supervised {
    /// Loss and outputs of a batch; both are logged and counted.
    fn step(&mut self, split: Split, batch: &Batch, train: bool, log: &mut Log) -> Result<Tensor> {
        let (input, target) = (batch.input()?, batch.target()?);
        let output = match &self.views {
            Some(views) if split == Split::Test => {
                views.forward(input, self.reading, &self.levels, |input| self.core.net.forward(input, false))
            }
            _ => self.core.net.forward(input, train),
        };
        let loss = self.loss(split, &output, target, log)?;
        self.names.log(split, "loss", |name, to| log.tensor(name, &loss, to));
        let values = self.measured(&output.detach(), target);
        self.meters.update(split, &values, log)?;
        if let Some(outcomes) = log.outcomes().filter(|_| !train) {
            self.judge(&output, batch, outcomes)?;
        }
        Ok(loss)
    }

    /// The losses of the levels, averaged by their weights.
    fn loss(&self, split: Split, output: &Tensor, target: &Tensor, log: &mut Log) -> Result<Tensor> {
        let mut losses = Vec::with_capacity(self.goals.len());
        for (index, (level, goal)) in self.levels.iter().zip(&self.goals).enumerate() {
            let loss = self.compare(index, output, target)?;
            if self.levels.len() > 1 {
                let name = self.names.of_level(&level.name, "loss");
                self.names.log(split, &name, |name, to| log.tensor(name, &loss.detach(), to));
            }
            losses.push((loss, goal.weight));
        }
        weighted_mean(losses).ok_or_else(|| Error::failed("the task has no level to learn"))
    }

    /// A level's loss.
    fn compare(&self, level: usize, output: &Tensor, target: &Tensor) -> Result<Tensor> {
        let loss = self.goals[level].loss.forward(&self.levels[level].of(output), &self.target(level, target));
        if loss.numel() == 1 {
            return Ok(loss);
        }
        Err(Error::request(format!("the loss gives {} values a batch instead of one", loss.numel()))
            .help("leave its reduction at mean or sum"))
    }

    /// Tries the losses on two samples of zeros, `width` values each, so that a loss for something else is refused
    /// before training.
    fn try_losses(&self, width: i64) -> Result<()> {
        let device = self.core.params.device();
        let output = Tensor::f_zeros([2, width], (Kind::Float, device))?;
        let shape = match self.reading {
            Reading::Softmax if self.levels.len() > 1 => vec![2, self.levels.len() as i64],
            Reading::Softmax | Reading::Binary => vec![2],
            Reading::Sigmoid => vec![2, width],
        };
        let target = Tensor::f_zeros(&shape, (Kind::Int64, device))?;
        let fits = |level, target: &Tensor| tch::no_grad(|| guard(|| self.compare(level, &output, target).map(drop)));
        for level in 0..self.goals.len() {
            let Err(error) = fits(level, &target) else { continue };
            // Mixed samples have shares of classes for targets, which some losses want and nothing else.
            if self.reading != Reading::Softmax || fits(level, &output).is_err() {
                return Err(Error::request(format!("model.loss does not fit this task: {error}"))
                    .help(format!("outputs are {:?}, targets {shape:?} for two samples", output.size())));
            }
        }
        Ok(())
    }

    /// A level's target as its loss takes it.
    pub fn target(&self, level: usize, target: &Tensor) -> Tensor {
        self.reading.target((self.levels.len() > 1).then_some(level), target)
    }

    /// Predictions and targets of each level, as metrics take them.
    fn measured(&self, output: &Tensor, target: &Tensor) -> Vec<(Tensor, Tensor)> {
        let of_level = |(index, level): (usize, &Level)| {
            let (output, target) = (level.of(output), self.target(index, target));
            match self.reading {
                // Mixed samples count as what there is most of.
                Reading::Softmax if target.is_floating_point() => (output, target.argmax(-1, false)),
                Reading::Softmax => (output, target),
                Reading::Sigmoid => (output.to_kind(Kind::Float).sigmoid(), target.ge(0.5).to_kind(Kind::Int64)),
                Reading::Binary => {
                    let preds = output.to_kind(Kind::Float).sigmoid().view(-1);
                    (preds, target.view(-1).ge(0.5).to_kind(Kind::Int64))
                }
            }
        };
        self.levels.iter().enumerate().map(of_level).collect()
    }
}

/// `Σ w·L / Σ w`; one loss alone is what it is.
fn weighted_mean(losses: Vec<(Tensor, f64)>) -> Option<Tensor> {
    let total: f64 = losses.iter().map(|(_, weight)| weight).sum();
    let is_one = losses.len() == 1;
    let parts = losses.into_iter().map(|(loss, weight)| if is_one { loss } else { loss * (weight / total) });
    parts.reduce(|sum, part| sum + part)
}

impl Stateful for Supervised {
    fn state(&self) -> State {
        self.meters.state()
    }
    fn restore(&mut self, state: &State) -> Result<()> {
        self.meters.restore(state)
    }
}

impl Task for Supervised {
    fn params(&self) -> &Params {
        &self.core.params
    }

    /// Tries samples of zeros, so that a network or a loss that does not fit the data is refused before training.
    fn setup(&mut self, facts: &DataFacts) -> Result<()> {
        let Some(shape) = &facts.input_shape else { return Ok(()) };
        let wanted: i64 = self.levels.iter().map(|level| level.width).sum();
        let known = self.levels.iter().any(|level| !level.classes.is_empty());
        match self.core.trial(shape)?.as_slice() {
            [1, width] if !known || *width == wanted => self.try_losses(*width),
            [1, width] => Err(Error::request(format!(
                "model.net gives {width} values a sample, but the data has {}",
                if self.levels.len() > 1 {
                    format!("{wanted} classes at {} levels", self.levels.len())
                } else {
                    format!("{wanted} classes")
                }
            ))
            .help("make the network's number of classes (or output size) equal to the data's")),
            other => Err(Error::request(format!(
                "model.net gives {other:?} for one sample, but classification needs [1, classes]"
            ))),
        }
    }

    fn layers(&self) -> &[trace::Record] {
        self.core.layers()
    }

    fn on_train_start(&mut self) {
        self.meters.forget_best();
    }

    fn train_step(&mut self, batch: &Batch, log: &mut Log) -> Result<Tensor> {
        self.step(Split::Train, batch, true, log)
    }

    fn eval_step(&mut self, split: Split, batch: &Batch, log: &mut Log) -> Result<()> {
        self.step(split, batch, false, log).map(drop)
    }

    fn on_epoch_start(&mut self, split: Split) {
        self.meters.reset(split);
    }

    fn on_epoch_end(&mut self, split: Split, log: &mut Log) -> Result<()> {
        self.meters.log(split, log)
    }

    fn predict_step(&mut self, batch: &Batch) -> Result<Rows> {
        let input = batch.input()?;
        let (mut logits, features) = self.core.forward_with_features(input);
        if let Some(views) = &self.views {
            logits = views.forward(input, self.reading, &self.levels, |input| self.core.net.forward(input, false));
        }
        let probabilities = self.reading.probabilities(&logits, &self.levels);
        let mut rows = Rows::default();
        for (index, level) in self.levels.iter().enumerate() {
            let target = batch.target().ok().map(|target| self.target(index, target));
            let scored = rows::Scored {
                level,
                logits: level.of(&logits),
                probabilities: level.of(&probabilities),
                target,
                threshold: self.threshold,
                every_class: self.levels.len() == 1,
            };
            scored.add(self.reading, &mut rows)?;
        }
        if let Some(features) = features {
            rows.arrays.push(("features".into(), features.flatten(1, -1)));
        }
        Ok(rows)
    }

    fn configure_optimizers(&self, horizon: Horizon) -> Result<Optimizers> {
        self.core.configure_optimizers(horizon)
    }

    fn metric_names(&self, split: Split) -> Vec<String> {
        let mut names = self.names.logged(split, "loss");
        if self.levels.len() > 1 {
            let losses = self.levels.iter().map(|level| self.names.of_level(&level.name, "loss"));
            names.extend(losses.flat_map(|name| self.names.logged(split, &name)));
        }
        names.extend(self.meters.names(split));
        names
    }
}

#[cfg(test)]
mod tests {
    use super::weighted_mean;
    use tch::Tensor;

    /// The worked values of the moths project, and weights that are no whole numbers.
    #[test]
    fn levels_are_averaged_by_their_weights() {
        let losses = [2.0, 1.0, 0.5, 0.25];
        let mean = |weights: [f64; 4]| {
            let losses = losses.into_iter().map(|loss: f64| Tensor::from(loss)).zip(weights).collect();
            weighted_mean(losses).unwrap().double_value(&[])
        };
        for (weights, expected) in [
            ([5.0, 1.0, 1.0, 1.0], 1.46875),
            ([1.0, 1.0, 1.0, 1.0], 0.9375),
            ([0.5, 0.25, 0.25, 0.0], 1.375),
            ([4.75, 0.5, 1.25, 1.5], (9.5 + 0.5 + 0.625 + 0.375) / 8.0),
        ] {
            assert!((mean(weights) - expected).abs() < 1e-12, "{weights:?}: {}", mean(weights));
        }
        assert!(weighted_mean(Vec::new()).is_none());
    }
}
