//! The learning rate as a metric.

use crate::prelude::*;
use crate::tensor::Stateful;
use crate::train::{Callback, CallbackKind, Cx};

/// Logs the learning rate of every parameter group.
///
/// Mirrors `lightning.pytorch.callbacks.LearningRateMonitor`: `lr-Adam`, and `lr-Adam/pg1` and so on for several
/// groups.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct LearningRateMonitor {
    /// `step`, `epoch`, or both when not given.
    #[serde(default)]
    logging_interval: Option<Interval>,
    /// Also log momentum, or Adam's beta1.
    #[serde(default)]
    log_momentum: bool,
    /// Also log the weight decay.
    #[serde(default)]
    log_weight_decay: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
enum Interval {
    Step,
    Epoch,
}

impl Component for LearningRateMonitor {
    type Kind = CallbackKind;
    const TARGETS: &'static [&'static str] = &["lightning.pytorch.callbacks.LearningRateMonitor"];

    fn build(self, _: &mut Build) -> Result<Box<dyn Callback>> {
        Ok(Box::new(self))
    }
}

impl LearningRateMonitor {
    fn log(&self, cx: &mut Cx) {
        let Some(optimizer) = cx.optimizer.as_deref() else { return };
        let several = optimizer.groups().len() > 1;
        let mut values = Vec::new();
        for (i, group) in optimizer.groups().iter().enumerate() {
            let ending = if several { format!("/pg{}", i + 1) } else { String::new() };
            let name = format!("lr-{}{ending}", optimizer.name());
            if self.log_momentum {
                values.push((format!("{name}-momentum"), group.momentum.unwrap_or(0.0)));
            }
            if self.log_weight_decay {
                values.push((format!("{name}-weight_decay"), group.weight_decay));
            }
            values.push((name, group.lr));
        }
        cx.metrics.extend(values.iter().cloned());
        cx.to_loggers.extend(values);
    }
}

impl Stateful for LearningRateMonitor {}

impl Callback for LearningRateMonitor {
    fn name(&self) -> String {
        "LearningRateMonitor".into()
    }

    fn on_train_batch_start(&mut self, cx: &mut Cx) -> Result<()> {
        let every = cx.args.log_every();
        let due = every > 0 && (cx.progress.total_batches + 1).is_multiple_of(every);
        if due && self.logging_interval != Some(Interval::Epoch) {
            self.log(cx);
        }
        Ok(())
    }

    fn on_train_epoch_start(&mut self, cx: &mut Cx) -> Result<()> {
        if self.logging_interval != Some(Interval::Step) && cx.progress.batch == 0 {
            self.log(cx);
        }
        Ok(())
    }
}
