//! Stopping when a metric no longer improves.

use serde_json::json;

use super::Mode;
use crate::data::Split;
use crate::error::Error;
use crate::prelude::*;
use crate::tensor::{State, Stateful};
use crate::train::{Callback, CallbackKind, Cx};

/// Stops training when a metric has not improved for some epochs.
///
/// Mirrors `lightning.pytorch.callbacks.EarlyStopping`.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct EarlyStoppingArgs {
    /// The metric.
    monitor: String,
    /// A change must be above this to be an improvement.
    #[serde(default)]
    min_delta: f64,
    /// How many checks without improvement to bear.
    #[serde(default = "three")]
    patience: u64,
    /// Say what is noticed.
    #[serde(default)]
    verbose: bool,
    /// Whether less (`min`) or more (`max`) is better.
    #[serde(default)]
    mode: Mode,
    /// Whether a metric that is not there is an error.
    #[serde(default = "yes")]
    strict: bool,
    /// Stop when the metric is infinite or NaN.
    #[serde(default = "yes")]
    check_finite: bool,
    /// Stop as soon as the metric is better than this.
    #[serde(default)]
    stopping_threshold: Option<f64>,
    /// Stop as soon as the metric is worse than this.
    #[serde(default)]
    divergence_threshold: Option<f64>,
    /// Check at the end of the training epoch rather than of validation; chosen by the trainer's validation
    /// interval when not given.
    #[serde(default)]
    check_on_train_epoch_end: Option<bool>,
    /// For several processes.
    #[serde(default)]
    #[allow(dead_code, reason = "accepted for compatibility")]
    log_rank_zero_only: Ignored,
}

fn three() -> u64 {
    3
}

fn yes() -> bool {
    true
}

impl Component for EarlyStoppingArgs {
    type Kind = CallbackKind;
    const TARGETS: &'static [&'static str] = &["lightning.pytorch.callbacks.EarlyStopping"];

    fn build(self, _: &mut Build) -> Result<Box<dyn Callback>> {
        let best = self.mode.worst();
        Ok(Box::new(EarlyStopping { args: self, best, wait: 0, stopped_epoch: 0 }))
    }
}

struct EarlyStopping {
    args: EarlyStoppingArgs,
    best: f64,
    wait: u64,
    stopped_epoch: u64,
}

impl EarlyStopping {
    fn at_train_epoch_end(&self, cx: &Cx) -> bool {
        self.args.check_on_train_epoch_end.unwrap_or_else(|| {
            let each_epoch = matches!(cx.args.val_check_interval, None | Some(IntOrFloat::Float(1.0)));
            each_epoch && cx.args.check_val_every_n_epoch == Some(1)
        })
    }

    fn check(&mut self, cx: &mut Cx) -> Result<()> {
        let name = &self.args.monitor;
        let current = match cx.monitored(name, "EarlyStopping") {
            Ok(value) => value,
            // A run shorter than the way to its first validation (`max_steps`) has nothing to judge.
            Err(_) if cx.validates && cx.progress.validated_at.is_none() => return Ok(()),
            Err(error) if self.args.strict => return Err(error),
            Err(error) => {
                tracing::warn!("{error}");
                return Ok(());
            }
        };
        if let Some(reason) = self.judge(current) {
            self.stopped_epoch = cx.progress.epoch;
            tracing::info!("{reason}");
            cx.stop.stop(reason);
        }
        Ok(())
    }

    /// Takes in a value; gives the reason to stop, if there is one.
    fn judge(&mut self, current: f64) -> Option<String> {
        let EarlyStoppingArgs { monitor, mode, min_delta, patience, .. } = &self.args;
        if self.args.check_finite && !current.is_finite() {
            return Some(format!("{monitor} is {current}: stopping, the best value was {:.6}", self.best));
        }
        if let Some(threshold) = self.args.stopping_threshold.filter(|t| mode.better(current, *t)) {
            return Some(format!("{monitor} = {current:.6} has reached the threshold {threshold}: stopping"));
        }
        if let Some(threshold) = self.args.divergence_threshold.filter(|t| mode.better(*t, current)) {
            return Some(format!("{monitor} = {current:.6} is worse than the threshold {threshold}: stopping"));
        }
        let needed = if *mode == Mode::Max { current - min_delta } else { current + min_delta };
        if mode.better(needed, self.best) {
            if self.args.verbose {
                tracing::info!("{monitor} improved to {current:.6}");
            }
            self.best = current;
            self.wait = 0;
            return None;
        }
        self.wait += 1;
        (self.wait >= *patience).then(|| {
            format!(
                "{monitor} did not improve in the last {} checks, the best value is {:.6}: stopping",
                self.wait, self.best
            )
        })
    }
}

impl Stateful for EarlyStopping {
    fn state(&self) -> State {
        State::of(json!({ "best": self.best.to_bits(), "wait": self.wait, "stopped_epoch": self.stopped_epoch }))
    }

    fn restore(&mut self, state: &State) -> Result<()> {
        let read = |key: &str| {
            let value = state.value.get(key).and_then(serde_json::Value::as_u64);
            value.ok_or_else(|| Error::failed(format!("the state of EarlyStopping has no `{key}`")))
        };
        (self.best, self.wait, self.stopped_epoch) =
            (f64::from_bits(read("best")?), read("wait")?, read("stopped_epoch")?);
        Ok(())
    }
}

impl Callback for EarlyStopping {
    fn name(&self) -> String {
        format!("EarlyStopping({}, {:?})", self.args.monitor, self.args.mode)
    }

    fn monitors(&self) -> Option<&str> {
        self.args.strict.then_some(self.args.monitor.as_str())
    }

    fn skipped_in_fast_dev_run(&self) -> bool {
        true
    }

    fn on_train_epoch_end(&mut self, cx: &mut Cx) -> Result<()> {
        if self.at_train_epoch_end(cx) { self.check(cx) } else { Ok(()) }
    }

    fn on_eval_end(&mut self, split: Split, cx: &mut Cx) -> Result<()> {
        let here = split == Split::Val && !cx.sanity_checking && !cx.averaged && !self.at_train_epoch_end(cx);
        if here { self.check(cx) } else { Ok(()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stopping(yaml: serde_json::Value) -> EarlyStopping {
        let args: EarlyStoppingArgs = serde_json::from_value(yaml).unwrap();
        let best = args.mode.worst();
        EarlyStopping { args, best, wait: 0, stopped_epoch: 0 }
    }

    #[test]
    fn stops_after_patience_by_mode_and_delta() {
        for (args, values, stops_at) in [
            (json!({"monitor": "a", "patience": 2}), vec![3.0, 2.0, 2.0, 2.5], Some(3)),
            (json!({"monitor": "a", "patience": 2, "mode": "max"}), vec![1.0, 2.0, 2.0, 3.0, 2.0], None),
            (json!({"monitor": "a", "patience": 1, "min_delta": 0.5}), vec![3.0, 2.6], Some(1)),
            (json!({"monitor": "a"}), vec![1.0, f64::NAN], Some(1)),
            (json!({"monitor": "a", "check_finite": false}), vec![1.0, f64::NAN], None),
            (json!({"monitor": "a", "stopping_threshold": 0.1}), vec![1.0, 0.1, 0.05], Some(2)),
            (json!({"monitor": "a", "divergence_threshold": 10.0}), vec![1.0, 11.0], Some(1)),
        ] {
            let mut callback = stopping(args.clone());
            let found = values.iter().position(|value| callback.judge(*value).is_some());
            assert_eq!(found, stops_at, "{args}");
        }
    }

    #[test]
    fn a_resumed_one_goes_on_counting() {
        let args = json!({"monitor": "a", "patience": 3});
        let mut first = stopping(args.clone());
        assert!([1.0, 1.0, 1.0].iter().all(|v| first.judge(*v).is_none()));
        let mut second = stopping(args);
        second.restore(&first.state()).unwrap();
        assert!(second.judge(1.0).is_some());
    }
}
