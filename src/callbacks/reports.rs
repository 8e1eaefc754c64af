//! What a run says of itself while it runs: the metrics of each validation, for a sweep that watches it; and where
//! the sweep wants it to pause.

use crate::data::Split;
use crate::error::Result;
use crate::run::append_report;
use crate::tensor::Stateful;
use crate::train::{Callback, Cx};

/// Appends the metrics of each validation to `reports.jsonl` in the run's folder.
#[derive(Debug, Default)]
pub struct Reports {
    /// After how many epochs the run saves where it is and ends, to go on later if it looks promising.
    pause_after: Option<u64>,
    /// The epochs that the last report was about.
    reported: u64,
}

impl Reports {
    /// Reports of a run that pauses after so many epochs.
    pub fn until(pause_after: Option<u64>) -> Self {
        Reports { pause_after, reported: 0 }
    }
}

impl Stateful for Reports {}

impl Callback for Reports {
    fn name(&self) -> String {
        "Reports".into()
    }

    fn skipped_in_fast_dev_run(&self) -> bool {
        true
    }

    fn on_eval_end(&mut self, split: Split, cx: &mut Cx) -> Result<()> {
        let Some(folder) = cx.run_dir.filter(|_| split == Split::Val && !cx.sanity_checking) else { return Ok(()) };
        let values = cx.metrics.iter().filter(|(name, _)| !name.starts_with("lr-") && !name.ends_with("_step"));
        append_report(folder, cx.progress.epoch, cx.progress.global_step, values);
        self.reported = cx.progress.epoch + 1;
        Ok(())
    }

    fn on_train_epoch_end(&mut self, cx: &mut Cx) -> Result<()> {
        // Not before the sweep has something to compare.
        if self.pause_after.is_some_and(|pause| self.reported >= pause) {
            cx.stop.pause();
        }
        Ok(())
    }
}
