//! The largest batch that fits into memory, as Lightning's `scale_batch_size` looks for it.

use schemars::JsonSchema;
use serde::Deserialize;

use crate::data::{DataModule, Split};
use crate::error::{Error, Result};
use crate::registry::{Check, Fraction};
use crate::tensor::is_out_of_memory;
use crate::train::Task;
use crate::train::trainer::Trainer;

/// The arguments of Lightning's `scale_batch_size`.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct BatchSizeArgs {
    /// Doubling until memory runs out, or then also halving the gap.
    #[serde(default)]
    pub mode: ScaleMode,
    /// Training steps with every size.
    #[serde(default = "three")]
    pub steps_per_trial: u64,
    /// The first size.
    #[serde(default = "two")]
    pub init_val: usize,
    /// How many sizes are tried at most.
    #[serde(default = "trials")]
    pub max_trials: u64,
    /// Where the config holds the batch size.
    #[serde(default = "attribute")]
    pub batch_arg_name: String,
    /// By which share the size found by `binsearch` is lowered, for safety.
    #[serde(default = "margin")]
    pub margin: Fraction,
    /// No size above this is tried.
    #[serde(default = "most")]
    pub max_val: usize,
}

/// How sizes follow each other.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum ScaleMode {
    /// Powers of two times the first size.
    #[default]
    Power,
    /// The same, and a binary search between the last that fits and the first that does not.
    Binsearch,
}

fn three() -> u64 {
    3
}

fn two() -> usize {
    2
}

fn trials() -> u64 {
    25
}

fn attribute() -> String {
    "data.batch_size".into()
}

fn margin() -> Fraction {
    Fraction(0.05)
}

fn most() -> usize {
    8192
}

/// One size that was tried.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Trial {
    /// The size.
    pub size: usize,
    /// Whether it fits into memory.
    pub fits: bool,
}

impl BatchSizeArgs {
    pub(super) fn check(&self, cx: &mut Check) {
        for (name, value) in [
            ("init_val", self.init_val as u64),
            ("steps_per_trial", self.steps_per_trial),
            ("max_trials", self.max_trials),
            ("max_val", self.max_val as u64),
        ] {
            if value == 0 {
                cx.problem(&format!("batch_size.{name}"), "must be 1 or more");
            }
        }
        if self.margin.0 == 1.0 {
            cx.problem("batch_size.margin", "must be below 1");
        }
    }

    /// Looks for the largest size up to `samples` for which `fits` is true; gives it and what was tried.
    ///
    /// # Errors
    /// When not even one sample fits; what `fits` reports.
    fn search(&self, samples: usize, mut fits: impl FnMut(usize) -> Result<bool>) -> Result<(usize, Vec<Trial>)> {
        let largest = self.max_val.min(samples).max(1);
        let mut size = self.init_val.min(largest);
        let (mut low, mut high): (Option<usize>, Option<usize>) = (None, None);
        let mut trials = Vec::new();
        while (trials.len() as u64) < self.max_trials {
            let fit = fits(size)?;
            trials.push(Trial { size, fits: fit });
            if fit {
                low = Some(size);
            } else {
                high = Some(size);
            }
            size = match (low, high) {
                (Some(low), None) if low >= largest => break,
                (Some(low), None) => (low * 2).min(largest),
                (None, Some(1)) => {
                    return Err(Error::failed("not even a batch of one sample fits into memory"));
                }
                (None, Some(high)) => high / 2,
                (Some(low), Some(high)) if self.mode == ScaleMode::Power || high - low <= 1 => break,
                (Some(low), Some(high)) => (low + high) / 2,
                (None, None) => break,
            };
        }
        let found = low.ok_or_else(|| {
            Error::failed(format!("none of {} batch sizes fits into memory", trials.len()))
                .help("start lower: tuner.batch_size.init_val=1, or raise max_trials")
        })?;
        let safe = match self.mode {
            ScaleMode::Power => found,
            ScaleMode::Binsearch => ((found as f64 * (1.0 - self.margin.0)) as usize).max(1),
        };
        Ok((safe, trials))
    }
}

impl Trainer {
    /// Trains some steps with growing batches until memory runs out. Everything is as before afterwards.
    ///
    /// # Errors
    /// What a training step reports, other than that memory has run out; when nothing fits.
    pub fn scale_batch_size(
        &mut self,
        task: &mut dyn Task,
        data: &dyn DataModule,
        args: &BatchSizeArgs,
    ) -> Result<(usize, Vec<Trial>)> {
        let samples = data.loader(Split::Train)?.map_or(0, |loader| loader.samples());
        args.search(samples, |size| {
            let result = self.aside(task, data, Some(size), args.steps_per_trial, &|_| None, &mut |_| true);
            if self.device != tch::Device::Cpu {
                crate::native::accelerator::empty_cache()?;
            }
            match result {
                Ok(()) => {
                    tracing::info!("batch size {size} fits");
                    Ok(true)
                }
                Err(error) if is_out_of_memory(&error) => {
                    tracing::info!("batch size {size} does not fit into memory");
                    Ok(false)
                }
                Err(error) => Err(error.context(format!("while trying batch size {size}"))),
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn search(args: &str, samples: usize, limit: usize) -> (usize, Vec<usize>) {
        let args: BatchSizeArgs = serde_json::from_str(args).unwrap();
        let (found, trials) = args.search(samples, |size| Ok(size <= limit)).unwrap();
        (found, trials.into_iter().map(|trial| trial.size).collect())
    }

    #[test]
    fn doubles_until_memory_runs_out_and_halves_the_gap() {
        assert_eq!(search("{}", 10_000, 100), (64, vec![2, 4, 8, 16, 32, 64, 128]));
        assert_eq!(search(r#"{"init_val": 256}"#, 10_000, 100), (64, vec![256, 128, 64]));
        let (found, tried) = search(r#"{"mode": "binsearch", "margin": 0.0}"#, 10_000, 100);
        assert_eq!((found, &tried[6..]), (100, [128, 96, 112, 104, 100, 102, 101].as_slice()));
        assert_eq!(search(r#"{"mode": "binsearch"}"#, 10_000, 100).0, 95);
    }

    #[test]
    fn stays_within_the_data_and_the_limits() {
        assert_eq!(search("{}", 100, 1000), (100, vec![2, 4, 8, 16, 32, 64, 100]));
        assert_eq!(search(r#"{"max_val": 16}"#, 100, 1000), (16, vec![2, 4, 8, 16]));
        assert_eq!(search(r#"{"max_trials": 3}"#, 100, 1000), (8, vec![2, 4, 8]));
        let args: BatchSizeArgs = serde_json::from_str("{}").unwrap();
        assert!(args.search(100, |_| Ok(false)).unwrap_err().to_string().contains("one sample"));
        assert_eq!(args.search(100, |_| Err(Error::failed("else"))).unwrap_err().to_string(), "else");
    }
}
