//! Single-label classification.

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
    /// Assigns one class to every input: a network that gives a value a class, a loss, metrics.
    ///
    /// Logs `train/loss`, `val/loss`, `test/loss` and every metric by its name (`val/acc`), for validation with the
    /// best value so far (`val/acc_best`), as the lightning-hydra-template's module does. Targets may be class numbers
    /// or, of mixed samples, a share for every class.
    ClassificationArgs reads Softmax {
        /// The loss; cross entropy when not given.
        #[serde(default)]
        loss: Option<Slot<LossKind>>,
        /// The number of classes, where the data does not say it.
        #[serde(default = "ten")]
        num_classes: u32,
    }
}

fn ten() -> u32 {
    10
}

impl Component for ClassificationArgs {
    type Kind = TaskKind;
    const TARGETS: &'static [&'static str] = &["runner.tasks.Classification", "src.models.mnist_module.MNISTLitModule"];

    fn build(mut self, cx: &mut Build) -> Result<Box<dyn Task>> {
        let core = Core::build(self.learning(), cx)?;
        let classes = cx.fact::<DataFacts>().map(|facts| facts.classes.clone()).unwrap_or_default();
        let width = if classes.is_empty() { i64::from(self.num_classes) } else { classes.len() as i64 };
        let levels = vec![Level::only(classes, width)];
        let loss = match &self.loss {
            Some(slot) => cx.build(slot)?,
            None => defaults::loss("torch.nn.CrossEntropyLoss", cx)?,
        };
        let metrics = self.metrics.unwrap_or_else(|| defaults::metrics(&[("acc", "torchmetrics.Accuracy")]));
        Ok(Box::new(Supervised {
            meters: Meters::build(&metrics, Reading::Softmax, &levels, self.log_names.clone(), cx)?,
            core,
            reading: Reading::Softmax,
            goals: vec![Goal { loss, weight: 1.0 }],
            levels,
            names: self.log_names,
            views: self.test_time_augmentation,
            threshold: 0.5,
        }))
    }
}
