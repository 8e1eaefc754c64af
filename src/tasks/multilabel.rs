//! Multi-label and binary classification: each label is a question of its own.

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
    /// Says of every label whether an input has it: a network that gives a value a label, a loss, metrics.
    ///
    /// Targets are `[batch, labels]` of 0 and 1, or between where samples were mixed. Metrics see probabilities; a
    /// metric may leave labels out with `ignore_labels: [name, …]`. Logs as `runner.tasks.Classification` does.
    MultiLabelArgs reads Sigmoid {
        /// The loss of logits against marks; binary cross entropy when not given.
        #[serde(default)]
        loss: Option<Slot<LossKind>>,
        /// The probability from which on a label is predicted.
        #[serde(default = "half")]
        threshold: Fraction,
        /// The number of labels, where the data does not say it.
        #[serde(default)]
        num_labels: Option<u32>,
    }
}

task_args! {
    /// Answers one question: a network that gives one value, a loss, metrics.
    ///
    /// Targets are `[batch]` of 0 and 1. Logs as `runner.tasks.Classification` does.
    BinaryArgs reads Binary {
        /// The loss of logits against marks; binary cross entropy when not given.
        #[serde(default)]
        loss: Option<Slot<LossKind>>,
        /// The probability from which on the answer is yes (the second class).
        #[serde(default = "half")]
        threshold: Fraction,
    }
}

fn half() -> Fraction {
    Fraction(0.5)
}

impl Component for MultiLabelArgs {
    type Kind = TaskKind;
    const TARGETS: &'static [&'static str] = &["runner.tasks.MultiLabelClassification"];

    fn build(mut self, cx: &mut Build) -> Result<Box<dyn Task>> {
        let core = Core::build(self.learning(), cx)?;
        let classes = cx.fact::<DataFacts>().map(|facts| facts.classes.clone()).unwrap_or_default();
        let width = if classes.is_empty() { i64::from(self.num_labels.unwrap_or(0)) } else { classes.len() as i64 };
        if width == 0 {
            return Err(Error::request("the data does not say how many labels there are")
                .help("set model.num_labels, or use data with named labels"));
        }
        let levels = vec![Level::only(classes, width)];
        let loss = match &self.loss {
            Some(slot) => cx.build(slot)?,
            None => defaults::loss("torch.nn.BCEWithLogitsLoss", cx)?,
        };
        let metrics = self
            .metrics
            .unwrap_or_else(|| defaults::metrics(&[("auroc", "torchmetrics.AUROC"), ("f1", "torchmetrics.F1Score")]));
        Ok(Box::new(Supervised {
            meters: Meters::build(&metrics, Reading::Sigmoid, &levels, self.log_names.clone(), cx)?,
            core,
            reading: Reading::Sigmoid,
            goals: vec![Goal { loss, weight: 1.0 }],
            levels,
            names: self.log_names,
            views: self.test_time_augmentation,
            threshold: self.threshold.0,
        }))
    }
}

impl Component for BinaryArgs {
    type Kind = TaskKind;
    const TARGETS: &'static [&'static str] = &["runner.tasks.BinaryClassification"];

    fn build(mut self, cx: &mut Build) -> Result<Box<dyn Task>> {
        let core = Core::build(self.learning(), cx)?;
        let classes = cx.fact::<DataFacts>().map(|facts| facts.classes.clone()).unwrap_or_default();
        if classes.len() > 2 {
            return Err(Error::request(format!(
                "one question has two answers, but the data has {} classes",
                classes.len()
            ))
            .help("use runner.tasks.Classification"));
        }
        let levels = vec![Level { classes, width: 1, ..Level::default() }];
        let loss = match &self.loss {
            Some(slot) => cx.build(slot)?,
            None => defaults::loss("torch.nn.BCEWithLogitsLoss", cx)?,
        };
        let metrics = self.metrics.unwrap_or_else(|| defaults::metrics(&[("acc", "torchmetrics.Accuracy")]));
        Ok(Box::new(Supervised {
            meters: Meters::build(&metrics, Reading::Binary, &levels, self.log_names.clone(), cx)?,
            core,
            reading: Reading::Binary,
            goals: vec![Goal { loss, weight: 1.0 }],
            levels,
            names: self.log_names,
            views: self.test_time_augmentation,
            threshold: self.threshold.0,
        }))
    }
}
