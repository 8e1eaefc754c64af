//! Where the time of a run went, and its learning rates, for the run's page: whatever the config logs.

use std::fs::OpenOptions;
use std::io::Write;
use std::time::{Duration, Instant};

use crate::data::Split;
use crate::error::Result;
use crate::report::{Epoch, TIMELINE};
use crate::tensor::Stateful;
use crate::train::{Callback, Cx};

/// Appends a line for every epoch to `timeline.jsonl` in the run's folder.
#[derive(Debug, Default)]
pub struct Timeline {
    begun: Option<Instant>,
    samples: u64,
    validating: Option<Instant>,
    validated: Duration,
    epoch: Epoch,
}

impl Timeline {
    fn begin(&mut self, cx: &Cx) {
        (self.begun, self.samples) = (Some(Instant::now()), cx.progress.samples);
        (self.validating, self.validated) = (None, Duration::ZERO);
        self.epoch = Epoch { epoch: cx.progress.epoch, ..Epoch::default() };
    }

    /// Notes the rates of all parameter groups, when they are not those noted last.
    fn note_rates(&mut self, cx: &Cx) {
        let Some(optimizer) = cx.optimizer.as_deref() else { return };
        let rates = || optimizer.groups().iter().map(|group| group.lr);
        let last = self.epoch.rates.last().map(|(_, last)| last.as_slice()).unwrap_or_default();
        if rates().eq(last.iter().copied()) {
            return;
        }
        self.epoch.optimizer = optimizer.name().to_owned();
        self.epoch.rates.push((cx.progress.global_step, rates().collect()));
    }
}

impl Stateful for Timeline {}

impl Callback for Timeline {
    fn name(&self) -> String {
        "Timeline".into()
    }

    fn skipped_in_fast_dev_run(&self) -> bool {
        true
    }

    fn on_train_epoch_start(&mut self, cx: &mut Cx) -> Result<()> {
        self.begin(cx);
        Ok(())
    }

    fn on_train_epoch_resume(&mut self, cx: &mut Cx) -> Result<()> {
        self.begin(cx);
        Ok(())
    }

    fn on_train_batch_start(&mut self, cx: &mut Cx) -> Result<()> {
        let every = cx.args.log_every().max(1);
        if self.epoch.rates.is_empty() || cx.progress.total_batches.is_multiple_of(every) {
            self.note_rates(cx);
        }
        Ok(())
    }

    fn on_eval_start(&mut self, split: Split, _: &mut Cx) -> Result<()> {
        self.validating = (split == Split::Val).then(Instant::now);
        Ok(())
    }

    fn on_eval_end(&mut self, _: Split, _: &mut Cx) -> Result<()> {
        self.validated += self.validating.take().map_or(Duration::ZERO, |begun| begun.elapsed());
        Ok(())
    }

    fn on_train_epoch_end(&mut self, cx: &mut Cx) -> Result<()> {
        let (Some(begun), Some(folder)) = (self.begun.take(), cx.run_dir) else { return Ok(()) };
        self.epoch.step = cx.progress.global_step;
        self.epoch.samples = cx.progress.samples - self.samples;
        self.epoch.val_s = self.validated.as_secs_f64();
        self.epoch.train_s = begun.elapsed().saturating_sub(self.validated).as_secs_f64();
        let line = serde_json::to_string(&self.epoch).unwrap_or_default();
        // The page does without a line rather than the run ending for it.
        let file = OpenOptions::new().create(true).append(true).open(folder.join(TIMELINE));
        let _ = file.and_then(|mut file| writeln!(file, "{line}"));
        Ok(())
    }
}
