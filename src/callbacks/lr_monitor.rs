//! The learning rate as a metric.

use crate::prelude::*;
use crate::tensor::Stateful;
use crate::train::{Callback, CallbackKind, Cx};

/// Logs the learning rate of every parameter group.
///
/// Mirrors `lightning.pytorch.callbacks.LearningRateMonitor`: `lr-Adam`, and `lr-Adam/pg1` and so on for several
/// groups; a scheduler's `name` takes the place of `lr-Adam`.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct LearningRateMonitor {
    /// `step` or `epoch`; when not given, what the scheduler counts, and both without a scheduler.
    #[serde(default)]
    logging_interval: Option<Interval>,
    /// Also log momentum, or Adam's beta1.
    #[serde(default)]
    log_momentum: bool,
    /// Also log the weight decay.
    #[serde(default)]
    log_weight_decay: bool,
    /// Put before every name.
    #[serde(default)]
    log_key_prefix: Option<String>,
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
    fn log(&self, cx: &mut Cx, at: Interval) {
        let schedule = cx.schedule.as_deref().and_then(Option::as_ref);
        let own = schedule.map(|s| if s.each_step { Interval::Step } else { Interval::Epoch });
        if self.logging_interval.or(own).is_some_and(|wanted| wanted != at) {
            return;
        }
        let named = schedule.and_then(|schedule| schedule.name.clone());
        let prefix = self.log_key_prefix.as_deref().unwrap_or_default();
        let Some(optimizer) = cx.optimizer.as_deref() else { return };
        let several = optimizer.groups().len() > 1;
        let mut values = Vec::new();
        for (i, group) in optimizer.groups().iter().enumerate() {
            let ending = if several { format!("/pg{}", i + 1) } else { String::new() };
            let name = match &named {
                Some(name) => format!("{prefix}{name}{ending}"),
                None => format!("{prefix}lr-{}{ending}", optimizer.name()),
            };
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
        if due {
            self.log(cx, Interval::Step);
        }
        Ok(())
    }

    fn on_train_epoch_start(&mut self, cx: &mut Cx) -> Result<()> {
        if cx.progress.batch == 0 {
            self.log(cx, Interval::Epoch);
        }
        Ok(())
    }
}
