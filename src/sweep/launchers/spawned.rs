//! Jobs as programs of their own, for systems where a process cannot be forked safely.

use std::collections::HashMap;
use std::fs::OpenOptions;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use super::{Ended, Exit, Job, Processes, Stop};
use crate::error::{Error, Result};
use crate::run::write_atomic;

/// How often ended processes are looked for.
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// Starts the program again for every job.
pub struct Spawned {
    program: PathBuf,
    jobs: PathBuf,
    running: HashMap<usize, Child>,
}

impl Spawned {
    /// Jobs of `program`, written down in the folder `jobs`.
    pub fn new(program: PathBuf, jobs: PathBuf) -> Self {
        Spawned { program, jobs, running: HashMap::new() }
    }

    fn ended(&mut self) -> Option<Ended> {
        let ended = self.running.iter_mut().find_map(|(number, child)| {
            let status = child.try_wait().ok().flatten()?;
            #[cfg(unix)]
            let signal = std::os::unix::process::ExitStatusExt::signal(&status);
            #[cfg(not(unix))]
            let signal: Option<i32> = None;
            let exit = signal.map_or_else(|| Exit::Code(status.code().unwrap_or(1)), Exit::Signal);
            Some(Ended { number: *number, exit })
        })?;
        self.running.remove(&ended.number);
        Some(ended)
    }
}

impl Processes for Spawned {
    fn start(&mut self, job: &Job) -> Result<()> {
        let spec = self.jobs.join(format!("{}.json", job.number));
        let text = serde_json::to_vec_pretty(job).map_err(|error| Error::io("write", &spec, error))?;
        std::fs::create_dir_all(&self.jobs).map_err(|error| Error::io("create", &self.jobs, error))?;
        write_atomic(&spec, &text)?;
        let mut command = Command::new(&self.program);
        command.arg(format!("--sweep-job={}", spec.display())).stdin(Stdio::null());
        if let Some(path) = &job.log {
            let failed = |error: std::io::Error| Error::io("write", path, error);
            let log = OpenOptions::new().create(true).append(true).open(path).map_err(failed)?;
            command.stdout(log.try_clone().map_err(failed)?).stderr(log);
        }
        if let Some(gpus) = &job.share.gpus {
            command.env("CUDA_VISIBLE_DEVICES", gpus);
        }
        if let Some(threads) = job.share.threads {
            for name in ["OMP_NUM_THREADS", "MKL_NUM_THREADS", "RAYON_NUM_THREADS"] {
                command.env(name, threads.to_string());
            }
        }
        let child = command.spawn().map_err(|error| Error::failed(format!("cannot start a job: {error}")))?;
        self.running.insert(job.number, child);
        Ok(())
    }

    fn next(&mut self, wait: Duration) -> Result<Option<Ended>> {
        let start = Instant::now();
        loop {
            match self.ended() {
                Some(ended) => return Ok(Some(ended)),
                None if start.elapsed() >= wait => return Ok(None),
                None => std::thread::sleep(LOOK_EVERY.min(wait)),
            }
        }
    }

    fn stop(&mut self, number: usize, how: Stop) -> Result<()> {
        let Some(child) = self.running.get_mut(&number) else { return Ok(()) };
        #[cfg(unix)]
        if how == Stop::Gently {
            let pid = i32::try_from(child.id()).ok().and_then(rustix::process::Pid::from_raw);
            let sent = pid.map(|pid| rustix::process::kill_process(pid, rustix::process::Signal::USR1));
            return sent.transpose().map(drop).map_err(|error| Error::failed(format!("cannot stop a job: {error}")));
        }
        let _ = how;
        child.kill().map_err(|error| Error::failed(format!("cannot stop a job: {error}")))
    }
}

impl Drop for Spawned {
    fn drop(&mut self) {
        for child in self.running.values_mut() {
            let _ = child.kill();
        }
    }
}
