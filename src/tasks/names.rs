//! Under which names a task logs: those of the lightning-hydra-template, unless a config asks for others.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::data::Split;
use crate::train::LogTo;

/// Templates of the names under which values are logged. `{split}` is train, val or test, `{name}` the metric's name
/// in the config, or `loss`.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct LogNames {
    /// Of a whole pass.
    epoch: String,
    /// Of one training step; null: steps are not logged. The same template as for a pass is Lightning's way of logging
    /// both: `loss/train_step` and `loss/train_epoch`, and metrics of a pass are then means over its batches.
    step: Option<String>,
    /// What stands in the place of `{name}` for one level of a hierarchy, with `{level}` and `{name}`.
    level: String,
    /// Whether the best value of each validation metric is logged, as `val/acc_best`.
    best: bool,
}

impl Default for LogNames {
    fn default() -> Self {
        LogNames { epoch: "{split}/{name}".into(), step: None, level: "{level}/{name}".into(), best: true }
    }
}

impl LogNames {
    /// The name of a value of a whole pass.
    pub fn epoch(&self, split: Split, name: &str) -> String {
        fill(&self.epoch, split, name)
    }

    /// The name of a value of one step, if steps are logged.
    pub fn step(&self, split: Split, name: &str) -> Option<String> {
        self.step.as_ref().map(|template| fill(template, split, name))
    }

    /// Whether steps are logged.
    pub fn is_step(&self) -> bool {
        self.step.is_some()
    }

    /// Whether steps and passes have one name, told apart by Lightning's endings.
    pub fn is_both(&self) -> bool {
        self.step.as_ref() == Some(&self.epoch)
    }

    /// Whether the best values of validation are logged.
    pub fn best(&self) -> bool {
        self.best && !self.is_both()
    }

    /// The name of a metric of a level; a level without a name is the whole task.
    pub fn of_level(&self, level: &str, name: &str) -> String {
        if level.is_empty() { name.to_owned() } else { self.level.replace("{level}", level).replace("{name}", name) }
    }

    /// The names that a pass logs for `name`, as callbacks see them.
    pub fn logged(&self, split: Split, name: &str) -> Vec<String> {
        let epoch = self.epoch(split, name);
        if self.is_both() { vec![format!("{epoch}_epoch"), epoch] } else { vec![epoch] }
    }

    /// Logs a value that every step has: of the step, and averaged over the pass.
    pub fn log(&self, split: Split, name: &str, mut log: impl FnMut(&str, LogTo)) {
        if self.is_both() {
            return log(&self.epoch(split, name), LogTo::BOTH);
        }
        log(&self.epoch(split, name), LogTo::EPOCH_BAR);
        if let Some(step) = self.step(split, name) {
            // Outside of training Lightning averages what a step logs over the pass.
            log(&step, if split == Split::Train { LogTo::STEP } else { LogTo::EPOCH });
        }
    }
}

fn fill(template: &str, split: Split, name: &str) -> String {
    // What is predicted is the test split.
    let split = if split == Split::Predict { Split::Test } else { split };
    template.replace("{split}", split.name()).replace("{name}", name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn templates_name_values_as_other_programs_do() {
        let house = LogNames::default();
        assert_eq!(house.logged(Split::Val, "loss"), ["val/loss"]);
        assert_eq!(house.step(Split::Train, "loss"), None);
        assert_eq!(house.of_level("genus", "acc"), "genus/acc");
        let moths = LogNames {
            epoch: "epoch-{split}-{name}".into(),
            step: Some("{split}-{name}".into()),
            level: "{level}-{name}".into(),
            best: false,
        };
        assert_eq!(moths.epoch(Split::Val, &moths.of_level("genus", "acc")), "epoch-val-genus-acc");
        let both =
            LogNames { epoch: "{name}/{split}".into(), step: Some("{name}/{split}".into()), ..LogNames::default() };
        assert_eq!(both.logged(Split::Val, "loss"), ["loss/val_epoch", "loss/val"]);
    }
}
