//! What the trainer's arguments come to.

use super::{Accelerator, Devices, TrainerArgs};
use crate::data::Split;
use crate::error::{Error, Result};
use crate::registry::{IntOrFloat, OneOrMany};

impl TrainerArgs {
    /// The arguments as `fast_dev_run`, `barebones` and `overfit_batches` change them.
    pub fn effective(mut self) -> Self {
        if let Some(IntOrFloat::Int(1..)) | Some(IntOrFloat::Float(f64::MIN_POSITIVE..)) = self.overfit_batches {
            self.limit_train_batches = self.overfit_batches;
            self.limit_val_batches = self.overfit_batches;
        } else {
            self.overfit_batches = None;
        }
        if self.barebones {
            self.enable_checkpointing = Some(false);
            self.enable_progress_bar = Some(false);
            self.enable_model_summary = Some(false);
            self.num_sanity_val_steps = Some(0);
            self.log_every_n_steps = Some(0);
        }
        let n = self.fast_dev_run.0;
        if n > 0 {
            let limit = Some(IntOrFloat::Int(n));
            self.limit_train_batches = limit;
            self.limit_val_batches = limit;
            self.limit_test_batches = limit;
            self.limit_predict_batches = limit;
            self.max_epochs = Some(1);
            self.max_steps = n as i64;
            self.min_epochs = None;
            self.min_steps = None;
            self.num_sanity_val_steps = Some(0);
            self.val_check_interval = None;
            self.check_val_every_n_epoch = Some(1);
            self.enable_checkpointing = Some(false);
        }
        self
    }

    /// Whether this is a trial run that leaves nothing behind.
    pub fn is_fast_dev_run(&self) -> bool {
        self.fast_dev_run.0 > 0
    }

    /// The number of epochs to stop after, if any.
    pub fn epochs(&self) -> Option<u64> {
        match self.max_epochs {
            Some(-1) => None,
            Some(n) => Some(n.max(0) as u64),
            None if self.max_steps >= 0 || self.max_time.is_some() => None,
            None => Some(1000),
        }
    }

    /// The number of optimizer steps to stop after, if any.
    pub fn steps(&self) -> Option<u64> {
        u64::try_from(self.max_steps).ok()
    }

    /// Every how many steps values go to the loggers; 0 is never.
    pub fn log_every(&self) -> u64 {
        self.log_every_n_steps.unwrap_or(50)
    }

    /// How much of a split is used, and the argument that says so.
    pub fn limit(&self, split: Split) -> (Option<IntOrFloat>, &'static str) {
        match split {
            Split::Train => (self.limit_train_batches, "limit_train_batches"),
            Split::Val => (self.limit_val_batches, "limit_val_batches"),
            Split::Test => (self.limit_test_batches, "limit_test_batches"),
            Split::Predict => (self.limit_predict_batches, "limit_predict_batches"),
        }
    }

    /// Whether the interval of validation fits the training epoch.
    ///
    /// # Errors
    /// When it is a number of batches that no epoch has.
    pub fn check_val_interval(&self, train_batches: u64) -> Result<()> {
        match (self.val_check_interval, self.check_val_every_n_epoch) {
            (Some(IntOrFloat::Int(n)), Some(_)) if n > train_batches => Err(Error::request(format!(
                "trainer.val_check_interval={n} is above the {train_batches} batches of a training epoch"
            ))
            .help("to count batches across epochs, set trainer.check_val_every_n_epoch=null")),
            _ => Ok(()),
        }
    }

    /// The device to compute on.
    ///
    /// # Errors
    /// When a GPU is asked for and there is none, or not that many.
    pub fn device(&self) -> Result<tch::Device> {
        let gpus = if tch::Cuda::is_available() { tch::Cuda::device_count() } else { 0 };
        let index = match self.devices.as_ref() {
            Some(OneOrMany::Many(list)) => match list.first() {
                Some(Devices::Number(index)) => *index,
                _ => 0,
            },
            _ => 0,
        };
        match self.accelerator {
            Accelerator::Cpu => Ok(tch::Device::Cpu),
            Accelerator::Auto if gpus == 0 => Ok(tch::Device::Cpu),
            _ if gpus == 0 => Err(Error::request("trainer.accelerator asks for a GPU, but libtorch finds none")
                .help("use trainer.accelerator=cpu, or run against a libtorch with CUDA (LD_LIBRARY_PATH)")),
            _ if gpus > 1 && self.devices == Some(OneOrMany::One(Devices::Number(-1))) => {
                Err(Error::request(format!("trainer.devices=-1 asks for all {gpus} GPUs: this version trains on one"))
                    .help("use trainer.devices=1, or name one GPU: trainer.devices=[0]"))
            }
            _ if !(0..gpus).contains(&index) => {
                Err(Error::request(format!("trainer.devices asks for GPU {index}, but there are {gpus}")))
            }
            _ => Ok(tch::Device::Cuda(index as usize)),
        }
    }
}

/// How many of `total` batches a limit leaves.
///
/// # Errors
/// When a share above 0 leaves none.
pub fn limited(total: usize, limit: Option<IntOrFloat>, name: &str) -> Result<usize> {
    match limit {
        None => Ok(total),
        Some(IntOrFloat::Int(n)) => Ok(total.min(usize::try_from(n).unwrap_or(usize::MAX))),
        Some(IntOrFloat::Float(share)) => {
            let batches = (total as f64 * share) as usize;
            if batches == 0 && share > 0.0 && total > 0 {
                return Err(Error::request(format!("trainer.{name}={share} leaves none of {total} batches"))
                    .help(format!("use at least {:.4}, or a whole number of batches", 1.0 / total as f64)));
            }
            Ok(batches)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_limit_is_a_share_or_a_count() {
        let of = |limit| limited(10, limit, "limit_train_batches").unwrap();
        assert_eq!(of(None), 10);
        assert_eq!(of(Some(IntOrFloat::Int(1))), 1);
        assert_eq!(of(Some(IntOrFloat::Int(99))), 10);
        assert_eq!(of(Some(IntOrFloat::Float(1.0))), 10);
        assert_eq!(of(Some(IntOrFloat::Float(0.25))), 2);
        assert!(limited(10, Some(IntOrFloat::Float(0.05)), "limit_train_batches").is_err());
    }
}
