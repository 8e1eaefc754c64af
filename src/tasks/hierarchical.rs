//! Hierarchical classification: a class at every level, from one backbone.

use indexmap::IndexMap;

use super::args::task_args;
use super::core::Core;
use super::defaults;
use super::levels::Level;
use super::meters::Meters;
use super::metric::Reading;
use super::supervised::{Goal, Supervised};
use crate::data::DataFacts;
use crate::losses::LossKind;
use crate::prelude::*;
use crate::train::{Task, TaskKind};

task_args! {
    /// Assigns a class at every level of a hierarchy (species, family, genus): a network that gives the levels' values
    /// side by side ([`runner.models.MultiHead`]), a loss for each level, metrics for each level.
    ///
    /// Targets are `[batch, levels]`, class numbers. The loss is the mean of the levels' losses, weighted by
    /// `loss_weights`. Logs `train/loss`, `train/species/loss`, `val/species/acc` and so on; `log_names` asks for
    /// other names.
    HierarchicalArgs reads Softmax {
        /// The loss of every level; cross entropy when not given.
        #[serde(default)]
        loss: Option<Slot<LossKind>>,
        /// The weight of each level's loss, in the order of the levels; all the same when not given.
        #[serde(default)]
        loss_weights: Option<Vec<NonNegative>>,
        /// Names of the levels in what is logged and predicted; those of the data when not given.
        #[serde(default)]
        level_names: Option<Vec<String>>,
    }
}

impl Component for HierarchicalArgs {
    type Kind = TaskKind;
    const TARGETS: &'static [&'static str] = &["runner.tasks.HierarchicalClassification", "moths.lit_module.LitModule"];

    fn check(&self, cx: &mut Check) {
        if self.loss_weights.as_ref().is_some_and(|weights| weights.iter().all(|weight| weight.0 == 0.0)) {
            cx.problem("loss_weights", "all weights are 0: nothing would be learned");
        }
    }

    fn build(mut self, cx: &mut Build) -> Result<Box<dyn Task>> {
        let facts = cx.fact::<DataFacts>().cloned().unwrap_or_default();
        if facts.levels.is_empty() {
            return Err(Error::request("the data has no levels of classes")
                .help("use data with a hierarchy of labels, or runner.tasks.Classification"));
        }
        let count = facts.levels.len();
        let weights = match &self.loss_weights {
            None => vec![1.0; count],
            Some(weights) if weights.len() == count => weights.iter().map(|weight| weight.0).collect(),
            Some(weights) => {
                let names = facts.levels.iter().map(|level| level.name.as_str()).collect::<Vec<_>>().join(", ");
                let message = format!("model.loss_weights has {} weights for {count} levels", weights.len());
                return Err(Error::request(message).help(format!("one each for {names}")));
            }
        };
        let names = match self.level_names.take() {
            Some(names) if names.len() != count => {
                return Err(Error::request(format!("model.level_names has {} names for {count} levels", names.len())));
            }
            Some(names) => names,
            None => facts.levels.iter().map(|level| level.name.clone()).collect(),
        };
        let mut start = 0;
        let mut levels = Vec::new();
        for (level, name) in facts.levels.into_iter().zip(names) {
            let width = level.classes.len() as i64;
            levels.push(Level { name, classes: level.classes, start, width });
            start += width;
        }
        let core = Core::build(self.learning(), cx)?;
        let mut goals = Vec::new();
        for weight in weights {
            let loss = match &self.loss {
                Some(slot) => cx.build(slot)?,
                None => defaults::loss("torch.nn.CrossEntropyLoss", cx)?,
            };
            goals.push(Goal { loss, weight });
        }
        let metrics = self.metrics.unwrap_or_else(|| defaults::metrics(&[("acc", "torchmetrics.Accuracy")]));
        Ok(Box::new(Supervised {
            meters: Meters::build(&metrics, Reading::Softmax, &levels, self.log_names.clone(), cx)?,
            core,
            reading: Reading::Softmax,
            goals,
            levels,
            names: self.log_names,
            views: self.test_time_augmentation,
            threshold: 0.5,
        }))
    }
}
