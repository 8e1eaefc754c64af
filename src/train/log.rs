//! What a step says about itself: named values, per step, averaged over an epoch, or both.

use indexmap::IndexMap;
use serde_json::json;
use tch::{Device, Kind, Tensor};

use super::Outcomes;
use crate::error::{Error, Result};
use crate::tensor::{State, Stateful};

/// Where a logged value goes; Lightning's `self.log(on_step=…, on_epoch=…, prog_bar=…)`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LogTo {
    /// To the loggers, every `log_every_n_steps`.
    pub step: bool,
    /// To the loggers and callbacks at the end of the epoch, as the mean weighted by batch size.
    pub epoch: bool,
    /// Beside the progress bar.
    pub bar: bool,
}

impl LogTo {
    /// At the end of the epoch.
    pub const EPOCH: LogTo = LogTo { step: false, epoch: true, bar: false };
    /// At the end of the epoch, and beside the progress bar.
    pub const EPOCH_BAR: LogTo = LogTo { step: false, epoch: true, bar: true };
    /// Every `log_every_n_steps`.
    pub const STEP: LogTo = LogTo { step: true, epoch: false, bar: false };
    /// Both, as `name_step` and `name_epoch`.
    pub const BOTH: LogTo = LogTo { step: true, epoch: true, bar: true };
}

/// A value that may still be on its way from the device.
#[derive(Debug)]
enum Scalar {
    Host(f64),
    Device(Tensor),
}

impl Scalar {
    /// Reads a CPU value at once; leaves a device value where it is, so that the step does not wait for it.
    fn of(tensor: &Tensor) -> Self {
        if tensor.device() == Device::Cpu {
            Scalar::Host(tensor.double_value(&[]))
        } else {
            Scalar::Device(tensor.detach().to_kind(Kind::Double))
        }
    }

    fn get(&self) -> f64 {
        match self {
            Scalar::Host(value) => *value,
            Scalar::Device(tensor) => tensor.double_value(&[]),
        }
    }

    fn add_scaled(&mut self, other: &Scalar, scale: f64) {
        match (&mut *self, other) {
            (Scalar::Host(sum), Scalar::Host(value)) => *sum += value * scale,
            (Scalar::Device(sum), Scalar::Device(value)) => *sum = &*sum + value * scale,
            _ => *self = Scalar::Host(self.get() + other.get() * scale),
        }
    }
}

#[derive(Debug)]
struct Series {
    to: LogTo,
    last: Scalar,
    sum: Scalar,
    weight: f64,
}

/// The values of one pass over a split.
#[derive(Debug, Default)]
pub struct Log {
    series: IndexMap<String, Series>,
    batch_size: f64,
    /// Beside the values, when somebody has asked for it.
    outcomes: Option<Outcomes>,
}

impl Log {
    /// Starts a new pass.
    pub fn clear(&mut self) {
        self.series.clear();
    }

    /// From now on tasks tell what every sample was taken for, see [`Log::take_outcomes`].
    pub fn watch_outcomes(&mut self) {
        self.outcomes = Some(Outcomes::default());
    }

    /// Where a task tells what the samples of a batch were taken for; `None` when nobody wants to know.
    pub fn outcomes(&mut self) -> Option<&mut Outcomes> {
        self.outcomes.as_mut()
    }

    /// What was told since [`Log::watch_outcomes`].
    pub fn take_outcomes(&mut self) -> Option<Outcomes> {
        self.outcomes.take()
    }

    /// Says how many samples the values that follow stand for.
    pub fn set_batch_size(&mut self, samples: usize) {
        self.batch_size = samples as f64;
    }

    /// Logs a one-element tensor.
    pub fn tensor(&mut self, name: &str, value: &Tensor, to: LogTo) {
        self.add(name, Scalar::of(value), to);
    }

    /// Logs a number.
    pub fn value(&mut self, name: &str, value: f64, to: LogTo) {
        self.add(name, Scalar::Host(value), to);
    }

    fn add(&mut self, name: &str, value: Scalar, to: LogTo) {
        let weight = if self.batch_size > 0.0 { self.batch_size } else { 1.0 };
        match self.series.get_mut(name) {
            Some(series) => {
                if to.epoch {
                    series.sum.add_scaled(&value, weight);
                    series.weight += weight;
                }
                series.last = value;
            }
            None => {
                let mut sum = Scalar::Host(0.0);
                if to.epoch {
                    sum.add_scaled(&value, weight);
                }
                self.series.insert(name.to_owned(), Series { to, last: value, sum, weight });
            }
        }
    }

    /// What goes to the loggers for this step.
    pub fn step_values(&self) -> Vec<(String, f64)> {
        let of_step = self.series.iter().filter(|(_, s)| s.to.step);
        of_step.map(|(name, s)| (named(name, s.to, "step"), s.last.get())).collect()
    }

    /// What goes to the loggers and callbacks at the end of the pass.
    pub fn epoch_values(&self) -> Vec<(String, f64)> {
        let of_epoch = self.series.iter().filter(|(_, s)| s.to.epoch);
        of_epoch.map(|(name, s)| (named(name, s.to, "epoch"), s.sum.get() / s.weight)).collect()
    }

    /// What callbacks and results see at the end of the pass: the same, and under its plain name what is logged both
    /// ways (Lightning's `callback_metrics`).
    pub fn callback_values(&self) -> Vec<(String, f64)> {
        let both = self.series.iter().filter(|(_, s)| s.to.step && s.to.epoch);
        let mut values = self.epoch_values();
        values.extend(both.map(|(name, s)| (name.clone(), s.sum.get() / s.weight)));
        values
    }

    /// What stands beside the progress bar: the newest values.
    pub fn bar_values(&self) -> Vec<(&str, f64)> {
        self.series.iter().filter(|(_, s)| s.to.bar).map(|(name, s)| (name.as_str(), s.last.get())).collect()
    }
}

/// Lightning's rule: a value logged both ways is told apart by its ending.
fn named(name: &str, to: LogTo, ending: &str) -> String {
    if to.step && to.epoch { format!("{name}_{ending}") } else { name.to_owned() }
}

/// The running sums, so that an epoch resumed in its middle ends with the same means.
impl Stateful for Log {
    fn state(&self) -> State {
        let series = self.series.iter().map(|(name, s)| {
            // Bits, not decimals: infinities and NaN have no spelling in JSON.
            let bits = |v: f64| v.to_bits();
            json!([name, [s.to.step, s.to.epoch, s.to.bar], bits(s.last.get()), bits(s.sum.get()), bits(s.weight)])
        });
        State::of(series.collect())
    }

    fn restore(&mut self, state: &State) -> Result<()> {
        type Saved = (String, [bool; 3], u64, u64, u64);
        let saved: Vec<Saved> = serde_json::from_value(state.value.clone())
            .map_err(|error| Error::failed(format!("the checkpoint's logged values cannot be read: {error}")))?;
        self.series = saved
            .into_iter()
            .map(|(name, [step, epoch, bar], last, sum, weight)| {
                let host = |bits| Scalar::Host(f64::from_bits(bits));
                let to = LogTo { step, epoch, bar };
                (name, Series { to, last: host(last), sum: host(sum), weight: f64::from_bits(weight) })
            })
            .collect();
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn means_are_weighted_by_batch_size_and_survive_a_resume() {
        let mut log = Log::default();
        log.set_batch_size(4);
        log.value("a", 1.0, LogTo::EPOCH);
        log.value("b", f64::NAN, LogTo::BOTH);
        let mut resumed = Log::default();
        resumed.restore(&log.state()).unwrap();
        for log in [&mut log, &mut resumed] {
            log.set_batch_size(1);
            log.tensor("a", &Tensor::from(6.0), LogTo::EPOCH);
            assert_eq!(log.epoch_values()[0], ("a".into(), 2.0));
            assert_eq!(log.epoch_values()[1].0, "b_epoch");
            assert_eq!(log.step_values()[0].0, "b_step");
            assert!(log.step_values()[0].1.is_nan());
        }
    }
}
