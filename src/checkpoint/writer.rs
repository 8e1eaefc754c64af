//! Checkpoints written beside the training: it waits for the copy to host memory and no more.
//!
//! One thread does everything in the order in which it was asked for, so that an old checkpoint goes only after the
//! new one is safely on the disk, and a second name only to a file that is there. One checkpoint is being written and
//! none waits: who saves faster than the disk takes it waits for the one before. A checkpoint that cannot be written
//! is an error of the next call; what was to be removed or linked after it stays as it is.

use std::collections::VecDeque;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;

use super::Snapshot;
use crate::error::{Context, Error, Result};
use crate::run::{link_atomic, write_atomic_with};

/// What the thread does.
enum Job {
    Write { snapshot: Snapshot, path: PathBuf },
    Remove(PathBuf),
    Link { path: PathBuf, target: PathBuf },
}

/// Writes checkpoints on a thread of its own, started with the first of them.
#[derive(Default)]
pub struct Writer {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Default)]
struct Shared {
    state: Mutex<Queue>,
    /// Something was asked for, or the end.
    asked: Condvar,
    /// Something was done.
    done: Condvar,
}

#[derive(Default)]
struct Queue {
    jobs: VecDeque<Job>,
    /// Whether a job is being done.
    busy: bool,
    /// Checkpoints waiting or being written.
    writes: usize,
    finished: Vec<PathBuf>,
    error: Option<Error>,
    end: bool,
}

impl Shared {
    /// The thread never panics while it holds the lock, so a poisoned queue is still whole.
    fn lock(&self) -> MutexGuard<'_, Queue> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn work(&self) {
        loop {
            let mut queue = self.lock();
            let job = loop {
                if let Some(job) = queue.jobs.pop_front() {
                    break job;
                }
                if queue.end {
                    return;
                }
                queue = self.asked.wait(queue).unwrap_or_else(PoisonError::into_inner);
            };
            let failed_before = queue.error.is_some();
            queue.busy = true;
            drop(queue);
            let written = match &job {
                Job::Write { path, .. } => Some(path.clone()),
                _ => None,
            };
            let result = if failed_before && written.is_none() { Ok(()) } else { carry_out(job) };
            let mut queue = self.lock();
            queue.busy = false;
            if let Some(path) = written {
                queue.writes -= 1;
                if result.is_ok() {
                    queue.finished.push(path);
                }
            }
            if let Err(error) = result {
                queue.error.get_or_insert(error);
            }
            drop(queue);
            self.done.notify_all();
        }
    }
}

fn carry_out(job: Job) -> Result<()> {
    match job {
        Job::Write { snapshot, path } => snapshot.write(&path),
        Job::Remove(path) => {
            match std::fs::remove_file(&path) {
                Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                    tracing::warn!("cannot remove {}: {error}", path.display());
                }
                _ => {}
            }
            Ok(())
        }
        // Where files cannot have two names, the second one gets a copy.
        Job::Link { path, target } => link_atomic(&target, &path).or_else(|_| copy(&target, &path)),
    }
}

fn copy(from: &Path, to: &Path) -> Result<()> {
    let mut source = std::fs::File::open(from).map_err(|error| Error::io("read", from, error))?;
    write_atomic_with(to, |file| std::io::copy(&mut source, file).map(drop))
}

impl Writer {
    /// Writes `snapshot` to `path`, after everything asked for before. Waits while another one is being written.
    ///
    /// # Errors
    /// That an earlier checkpoint could not be written.
    pub fn write(&mut self, snapshot: Snapshot, path: PathBuf) -> Result<()> {
        self.start()?;
        let mut queue = self.shared.lock();
        while queue.writes > 0 {
            queue = self.shared.done.wait(queue).unwrap_or_else(PoisonError::into_inner);
        }
        if let Some(error) = queue.error.take() {
            return Err(error);
        }
        queue.writes += 1;
        queue.jobs.push_back(Job::Write { snapshot, path });
        drop(queue);
        self.shared.asked.notify_one();
        Ok(())
    }

    /// Removes a checkpoint, after everything asked for before.
    ///
    /// # Errors
    /// That an earlier checkpoint could not be written.
    pub fn remove(&mut self, path: PathBuf) -> Result<()> {
        self.push(Job::Remove(path))
    }

    /// Gives a checkpoint a second name, after everything asked for before.
    ///
    /// # Errors
    /// That an earlier checkpoint could not be written.
    pub fn link(&mut self, path: PathBuf, target: PathBuf) -> Result<()> {
        self.push(Job::Link { path, target })
    }

    fn push(&mut self, job: Job) -> Result<()> {
        self.start()?;
        self.shared.lock().jobs.push_back(job);
        self.shared.asked.notify_one();
        Ok(())
    }

    /// Waits until everything asked for is done.
    ///
    /// # Errors
    /// That a checkpoint could not be written.
    pub fn flush(&mut self) -> Result<()> {
        let mut queue = self.shared.lock();
        while queue.busy || !queue.jobs.is_empty() {
            queue = self.shared.done.wait(queue).unwrap_or_else(PoisonError::into_inner);
        }
        queue.error.take().map_or(Ok(()), Err)
    }

    /// The checkpoints that were written since the last question: they are on the disk now.
    pub fn take_finished(&mut self) -> Vec<PathBuf> {
        std::mem::take(&mut self.shared.lock().finished)
    }

    fn start(&mut self) -> Result<()> {
        if self.thread.is_none() {
            let shared = self.shared.clone();
            let thread = std::thread::Builder::new().name("checkpoints".into()).spawn(move || shared.work());
            self.thread = Some(thread.context("cannot start the thread that writes checkpoints")?);
        }
        Ok(())
    }
}

/// Everything asked for is done before a writer is gone, also when a panic ends the run.
impl Drop for Writer {
    fn drop(&mut self) {
        self.shared.lock().end = true;
        self.shared.asked.notify_one();
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
        if let Some(error) = self.shared.lock().error.take() {
            tracing::error!("{error}");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use indexmap::IndexMap;
    use tch::Tensor;

    fn snapshot(value: f32) -> Snapshot {
        let tensor = Tensor::from_slice(&[value; 1000]);
        Snapshot::take([("w".to_owned(), &tensor)], IndexMap::new()).unwrap()
    }

    #[test]
    fn does_what_it_is_asked_in_order() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        let mut writer = Writer::default();
        for n in 0..20 {
            writer.write(snapshot(n as f32), at(&format!("{n}.ckpt"))).unwrap();
            writer.link(at("last.ckpt"), at(&format!("{n}.ckpt"))).unwrap();
            if n > 0 {
                writer.remove(at(&format!("{}.ckpt", n - 1))).unwrap();
            }
        }
        writer.flush().unwrap();
        assert_eq!(writer.take_finished().len(), 20);
        let mut names: Vec<_> = std::fs::read_dir(folder.path()).unwrap().map(|e| e.unwrap().file_name()).collect();
        names.sort();
        assert_eq!(names, ["19.ckpt", "last.ckpt"]);
        assert_eq!(std::fs::read(at("19.ckpt")).unwrap(), std::fs::read(at("last.ckpt")).unwrap());
    }

    #[test]
    fn a_checkpoint_that_cannot_be_written_keeps_the_old_one_and_is_reported() {
        let folder = tempfile::tempdir().unwrap();
        let old = folder.path().join("old.ckpt");
        let mut writer = Writer::default();
        writer.write(snapshot(1.0), old.clone()).unwrap();
        // A file stands where the folder would have to be.
        writer.write(snapshot(2.0), old.join("new.ckpt")).unwrap();
        writer.remove(old.clone()).unwrap();
        assert!(writer.flush().unwrap_err().to_string().contains("new.ckpt"));
        assert!(old.is_file());
        writer.flush().unwrap();
    }
}
