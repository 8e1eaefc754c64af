//! Jobs on this machine: one after the other in the terminal, or side by side.

use std::collections::HashMap;
use std::time::Duration;

use super::shares::{cores, gpus, shares};
use super::{Ended, Job, Launcher, Processes, Share, Stop};
use crate::error::Result;

/// Runs at most so many jobs side by side, each with its share of the machine.
pub struct Local {
    processes: Box<dyn Processes>,
    /// A share a place; a place is taken by at most one job.
    shares: Vec<Share>,
    taken: HashMap<usize, usize>,
    inline: bool,
}

impl Local {
    /// One job at a time, which has the whole machine and the terminal (`hydra/launcher=basic`).
    pub fn in_order(processes: Box<dyn Processes>) -> Self {
        Local { processes, shares: vec![Share::default()], taken: HashMap::new(), inline: true }
    }

    /// `n_jobs` at a time; 0 or less counts from the number of cores, as joblib does: -1 is one a core, -2 one less.
    /// `threads` and `gpus` replace what would be shared out.
    pub fn side_by_side(
        processes: Box<dyn Processes>,
        n_jobs: i64,
        threads: Option<usize>,
        listed_gpus: Option<Vec<String>>,
    ) -> Self {
        let cores = cores();
        let all = i64::try_from(cores.len()).unwrap_or(1);
        let n_jobs = usize::try_from(if n_jobs > 0 { n_jobs } else { all + 1 + n_jobs.min(-1) }).unwrap_or(0).max(1);
        let mut shares = shares(n_jobs, &cores, &listed_gpus.unwrap_or_else(gpus));
        if let Some(threads) = threads {
            for share in &mut shares {
                // The user knows better how many threads a job keeps busy: the system may place them anywhere.
                *share = Share { threads: Some(threads), cores: Vec::new(), gpus: share.gpus.take() };
            }
        }
        Local { processes, shares, taken: HashMap::new(), inline: false }
    }
}

impl Launcher for Local {
    fn room(&self) -> usize {
        self.shares.len() - self.taken.len()
    }

    fn is_inline(&self) -> bool {
        self.inline
    }

    fn submit(&mut self, mut job: Job) -> Result<()> {
        let free = (0..self.shares.len()).find(|place| !self.taken.values().any(|taken| taken == place)).unwrap_or(0);
        job.share = self.shares[free].clone();
        if self.inline {
            job.log = None;
        }
        self.processes.start(&job)?;
        self.taken.insert(job.number, free);
        Ok(())
    }

    fn next(&mut self, wait: Duration) -> Result<Option<Ended>> {
        if self.taken.is_empty() {
            return Ok(None);
        }
        let ended = self.processes.next(wait)?;
        if let Some(ended) = &ended {
            self.taken.remove(&ended.number);
        }
        Ok(ended)
    }

    fn stop(&mut self, number: usize, how: Stop) -> Result<()> {
        self.processes.stop(number, how)
    }
}
