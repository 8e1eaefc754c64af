//! What jobs say while they run: the search hears of it, and those that it gives up are stopped.

use super::{Conductor, Running};
use crate::error::Result;
use crate::sweep::launchers::Stop;
use crate::sweep::search::Search;
use crate::sweep::trial::Trial;
use crate::sweep::view::short;

impl Conductor<'_> {
    /// The jobs as the search sees them.
    pub(super) fn trials(&self) -> Vec<Trial> {
        (0..self.records.len()).filter_map(|number| self.trial(number)).collect()
    }

    pub(super) fn trial(&self, number: usize) -> Option<Trial> {
        serde_json::from_value(self.records[number].trial.clone()?).ok()
    }

    /// Takes in what a running job has reported since the last look; gives the last step that was known before, and
    /// whether something new has come.
    pub(super) fn listen(&mut self, number: usize, metric: &str) -> Option<(u64, bool)> {
        let running = self.running.get_mut(&number)?;
        let below = self.records[number].folder.clone()?;
        let reports = running.follower.poll(&self.folder.join(below));
        let mut trial = self.trial(number)?;
        let before = trial.last_report().map_or(0, |(step, _)| step);
        let plain = followed(metric);
        let values = reports.iter().filter_map(|report| {
            let value = report.values.get(plain).or_else(|| report.values.get(metric))?;
            Some((report.epoch + 1, *value))
        });
        trial.intermediate.extend(values);
        let is_new = trial.last_report().is_some_and(|(step, _)| step > before);
        self.records[number].trial = serde_json::to_value(&trial).ok();
        Some((before, is_new))
    }

    /// Hands what running jobs report to the search, and stops those that it gives up.
    pub(super) fn prune(&mut self) -> Result<()> {
        let Some(metric) = self.objective().filter(|_| self.search.as_ref().is_some_and(Search::prunes)) else {
            return Ok(());
        };
        let mut running: Vec<usize> = self.running.keys().copied().collect();
        running.sort_unstable();
        let mut reported = Vec::new();
        for number in running {
            if let Some((before, true)) = self.listen(number, &metric) {
                reported.push((number, before));
            }
        }
        if reported.is_empty() {
            return Ok(());
        }
        let trials = self.trials();
        for (number, before) in reported {
            let verdict = self.search.as_ref().and_then(|search| search.should_prune(&trials, number, before));
            if let (Some(reason), Some(running)) = (verdict, self.running.get_mut(&number))
                && running.asked_to_stop.is_none()
            {
                running.asked_to_stop = Some(reason);
                self.launcher.stop(number, Stop::Gently)?;
            }
        }
        Ok(())
    }

    /// Takes in what a job reported that ended without the sweep.
    pub(super) fn listen_once(&mut self, number: usize) {
        if let Some(metric) = self.objective()
            && !self.running.contains_key(&number)
        {
            self.running.insert(number, Running::default());
            self.listen(number, &metric);
            self.running.remove(&number);
        }
    }

    /// Why a job that has ended has paused by itself, if that is what it did.
    pub(super) fn paused(&mut self, number: usize) -> Option<String> {
        let metric = self.objective()?;
        let pause = self.trial(number)?.steps?;
        self.listen_once(number);
        let (step, value) = self.trial(number)?.last_report()?;
        (step >= pause).then(|| format!("stopped after {step} epochs with {metric} {}", short(value)))
    }
}

/// What a run reports each epoch of a metric: of a best-so-far one (`val/acc_best`, `best:val/loss`) what it is the
/// best of.
pub fn followed(metric: &str) -> &str {
    let metric = metric.strip_prefix("best:").unwrap_or(metric);
    metric.strip_suffix("_best").unwrap_or(metric)
}
