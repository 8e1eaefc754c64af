//! Batches of a dataset, epoch by epoch.
//!
//! The order of an epoch depends on (seed, epoch) alone, a sample's randomness on (seed, epoch, index): the batches
//! are the same bit for bit whatever the number of workers, and an epoch can be entered at any batch. Workers are
//! threads that make one batch together, then the next: samples are decoded and transformed straight into the batch's
//! buffer ([`Dataset::begin`]), the first batch is there soon, and few are in the memory at a time.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use tch::Device;

use super::mix::BatchTransform;
use super::rng::{Purpose, Rng};
use super::sampler::{Random, Sampler, Sequential};
use super::{Assembly, Batch, Dataset, Field, SampleKey};
use crate::error::{Error, Result};
use crate::tensor::guard;

/// How a dataset is batched.
#[derive(Clone)]
pub struct Loader {
    /// The samples.
    pub dataset: Arc<dyn Dataset>,
    /// Samples in a batch, above 0.
    pub batch_size: usize,
    /// Whether each epoch has an order of its own.
    pub shuffle: bool,
    /// Whether a last batch that is not full is left out.
    pub drop_last: bool,
    /// Threads that read ahead; 0 reads on the caller's thread.
    pub num_workers: usize,
    /// The run's seed.
    pub seed: u64,
    /// Which samples an epoch shows, instead of all of them (then `shuffle` has no effect).
    pub sampler: Option<Arc<dyn Sampler>>,
    /// Batches that the workers may be ahead: all together, or each where they make whole batches.
    pub prefetch_factor: usize,
    /// Whether batches lie in page-locked memory, from which a GPU copies while it computes; without CUDA it has no
    /// effect.
    pub pin_memory: bool,
    /// Transforms of whole batches, in order.
    pub batch_transforms: Vec<Arc<dyn BatchTransform>>,
    /// How long to wait for a batch of a worker before giving up.
    pub timeout: Option<Duration>,
}

impl Loader {
    /// A loader with PyTorch's defaults: no shuffling, the last batch kept, no workers.
    pub fn new(dataset: Arc<dyn Dataset>, batch_size: usize, seed: u64) -> Self {
        Loader {
            dataset,
            batch_size,
            shuffle: false,
            drop_last: false,
            num_workers: 0,
            seed,
            sampler: None,
            prefetch_factor: 2,
            pin_memory: false,
            batch_transforms: Vec::new(),
            timeout: None,
        }
    }

    /// How many samples an epoch shows.
    pub fn samples(&self) -> usize {
        self.sampler.as_ref().map_or_else(|| self.dataset.len(), |sampler| sampler.len())
    }

    /// How many batches an epoch has.
    pub fn batches(&self) -> usize {
        let (samples, size) = (self.samples(), self.batch_size.max(1));
        if self.drop_last { samples / size } else { samples.div_ceil(size) }
    }

    /// The dataset's indices in the order of an epoch.
    pub fn order(&self, epoch: u64) -> Vec<u32> {
        match &self.sampler {
            Some(sampler) => sampler.order(self.seed, epoch),
            None if self.shuffle => Random(self.dataset.len()).order(self.seed, epoch),
            None => Sequential(self.dataset.len()).order(self.seed, epoch),
        }
    }

    /// The batches of an epoch, from `first` on. Reading ahead starts at once; dropping the iterator stops it.
    ///
    /// An error ends the iteration.
    pub fn epoch(&self, epoch: u64, first: usize) -> impl Iterator<Item = Result<Batch>> + Send + use<> {
        let job = Job { loader: self.clone(), order: self.order(epoch), epoch };
        let batches = self.batches();
        if self.num_workers == 0 || self.dataset.in_memory() || first >= batches {
            return Batches::Here { job: Box::new(job), next: first, end: batches };
        }
        let workers = self.num_workers.min(self.samples() - first * self.batch_size);
        Batches::Ahead(Ahead::start(job, first, batches, workers))
    }
}

/// What a worker needs to make any batch of an epoch.
struct Job {
    loader: Loader,
    order: Vec<u32>,
    epoch: u64,
}

impl Job {
    /// The samples of a batch.
    fn keys(&self, number: usize) -> Vec<SampleKey> {
        let size = self.loader.batch_size.max(1);
        let order = &self.order[number * size..((number + 1) * size).min(self.order.len())];
        let key = |&index: &u32| SampleKey { seed: self.loader.seed, epoch: self.epoch, index: u64::from(index) };
        order.iter().map(key).collect()
    }

    /// Batch `number` of the epoch; a panic on the way becomes an error.
    fn make(&self, number: usize) -> Result<Batch> {
        self.complete(number, || self.loader.dataset.batch(&self.keys(number)))
    }

    /// What happens to a whole batch after its samples are there.
    fn complete(&self, number: usize, batch: impl FnOnce() -> Result<Batch>) -> Result<Batch> {
        let mut rng = Rng::new(Purpose::Batch, self.loader.seed, &[self.epoch, number as u64]);
        let batch = guard(|| {
            let transforms = &self.loader.batch_transforms;
            transforms.iter().try_fold(batch()?, |batch, transform| transform.apply(batch, &mut rng))
        })?;
        if self.loader.pin_memory && tch::Cuda::is_available() { pin(batch) } else { Ok(batch) }
    }
}

fn pin(mut batch: Batch) -> Result<Batch> {
    let device = Device::cuda_if_available();
    for field in batch.fields.values_mut() {
        match field {
            Field::Tensor(tensor) => *tensor = tensor.f_pin_memory(device)?,
            Field::List(list) => {
                for tensor in list {
                    *tensor = tensor.f_pin_memory(device)?;
                }
            }
        }
    }
    Ok(batch)
}

/// The two ways to go through an epoch.
enum Batches {
    Here { job: Box<Job>, next: usize, end: usize },
    Ahead(Ahead),
}

impl Iterator for Batches {
    type Item = Result<Batch>;

    fn next(&mut self) -> Option<Result<Batch>> {
        match self {
            Batches::Here { next, end, .. } if *next >= *end => None,
            Batches::Here { job, next, end } => {
                let batch = job.make(*next);
                *next = if batch.is_ok() { *next + 1 } else { *end };
                Some(batch)
            }
            Batches::Ahead(ahead) => ahead.next(),
        }
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        match self {
            Batches::Here { next, end, .. } | Batches::Ahead(Ahead { next, end, .. }) => (0, Some(end - next)),
        }
    }
}

/// Worker threads and the batches that they have ready.
struct Ahead {
    shared: Arc<Shared>,
    threads: Vec<JoinHandle<()>>,
    next: usize,
    end: usize,
    timeout: Option<Duration>,
}

struct Shared {
    job: Job,
    end: usize,
    workers: usize,
    /// How many batches may be finished or in the making before the first of them is taken.
    window: usize,
    progress: Mutex<Progress>,
    /// Something was finished.
    ready: Condvar,
    /// Something was taken, or it is time to stop.
    room: Condvar,
}

struct Progress {
    /// The next batch that no worker has begun.
    begun: usize,
    /// The next batch that the reader takes.
    taken: usize,
    /// The batch that was begun last, as long as it has samples that nobody has begun; with the next of them.
    current: Option<(Arc<Making>, usize)>,
    finished: BTreeMap<usize, Result<Batch>>,
    stop: bool,
}

impl Progress {
    fn new(first: usize) -> Self {
        Progress { begun: first, taken: first, current: None, finished: BTreeMap::new(), stop: false }
    }
}

/// A batch that the workers make together.
struct Making {
    number: usize,
    samples: usize,
    assembly: Box<dyn Assembly>,
}

/// What a worker does next.
enum Ticket {
    /// Some of a batch's samples.
    Samples(Arc<Making>, Range<usize>),
    /// A whole batch.
    Whole(usize),
}

impl Shared {
    /// A worker never panics while it holds the lock, so a poisoned one is still whole.
    fn lock(&self) -> MutexGuard<'_, Progress> {
        self.progress.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits for something to do; `None` when there is nothing more.
    fn ticket(&self) -> Option<Ticket> {
        let mut progress = self.lock();
        while !progress.stop {
            if let Some((making, from)) = progress.current.take() {
                // Several stretches a worker, so that all end at about the same time.
                let stretch = making.samples.div_ceil(self.workers * 4).max(1);
                let to = (from + stretch).min(making.samples);
                if to < making.samples {
                    progress.current = Some((making.clone(), to));
                }
                return Some(Ticket::Samples(making, from..to));
            }
            if progress.begun >= self.end {
                return None;
            }
            if progress.begun >= progress.taken + self.window {
                progress = self.room.wait(progress).unwrap_or_else(PoisonError::into_inner);
                continue;
            }
            let number = progress.begun;
            progress.begun += 1;
            let keys = self.job.keys(number);
            match self.job.loader.dataset.clone().begin(&keys) {
                Some(assembly) => {
                    progress.current = Some((Arc::new(Making { number, samples: keys.len(), assembly }), 0));
                    // There is work for those that wait.
                    self.room.notify_all();
                }
                None => return Some(Ticket::Whole(number)),
            }
        }
        None
    }

    fn work(&self) {
        while let Some(ticket) = self.ticket() {
            match ticket {
                Ticket::Whole(number) => self.deliver(number, self.job.make(number)),
                Ticket::Samples(making, places) => {
                    for place in places {
                        // A sample that panics is missing at the end, which is an error there.
                        let _ = guard(|| {
                            making.assembly.make(place);
                            Ok(())
                        });
                    }
                    // Whoever lets go of it last finishes it.
                    if let Some(Making { number, assembly, .. }) = Arc::into_inner(making) {
                        self.deliver(number, self.job.complete(number, || assembly.finish()));
                    }
                }
            }
        }
    }

    fn deliver(&self, number: usize, batch: Result<Batch>) {
        self.lock().finished.insert(number, batch);
        self.ready.notify_one();
    }

    fn stop(&self) {
        self.lock().stop = true;
        self.room.notify_all();
    }
}

impl Ahead {
    fn start(job: Job, first: usize, end: usize, workers: usize) -> Self {
        // Workers that make whole batches each need one of their own.
        let together = job.loader.dataset.clone().begin(&[]).is_some();
        let window = job.loader.prefetch_factor.max(1) * if together { 1 } else { workers };
        let timeout = job.loader.timeout;
        let (ready, room) = (Condvar::new(), Condvar::new());
        let progress = Mutex::new(Progress::new(first));
        let shared = Arc::new(Shared { job, end, workers, window, progress, ready, room });
        let mut threads = Vec::with_capacity(workers);
        for worker in 0..workers {
            let own = shared.clone();
            match thread::Builder::new().name(format!("data-{worker}")).spawn(move || own.work()) {
                Ok(thread) => threads.push(thread),
                Err(error) if threads.is_empty() => {
                    let error = Error::failed(format!("cannot start a data worker: {error}"));
                    shared.deliver(first, Err(error.help("set num_workers: 0")));
                    break;
                }
                // With one worker running the work gets done, only slower.
                Err(_) => break,
            }
        }
        Ahead { shared, threads, next: first, end, timeout }
    }

    fn next(&mut self) -> Option<Result<Batch>> {
        if self.next >= self.end {
            return None;
        }
        let batch = self.wait();
        self.next = if batch.is_ok() { self.next + 1 } else { self.end };
        if self.next >= self.end {
            self.shared.stop();
        }
        Some(batch)
    }

    fn wait(&self) -> Result<Batch> {
        let since = Instant::now();
        let mut progress = self.shared.lock();
        loop {
            if let Some(batch) = progress.finished.remove(&self.next) {
                progress.taken = self.next + 1;
                drop(progress);
                self.shared.room.notify_one();
                return batch;
            }
            progress = match self.timeout {
                None => self.shared.ready.wait(progress).unwrap_or_else(PoisonError::into_inner),
                Some(timeout) => {
                    let Some(left) = timeout.checked_sub(since.elapsed()) else {
                        let message = format!("no batch came from the data workers within {} s", timeout.as_secs_f64());
                        return Err(Error::failed(message).help("raise the data's timeout, or look at the storage"));
                    };
                    self.shared.ready.wait_timeout(progress, left).unwrap_or_else(PoisonError::into_inner).0
                }
            };
        }
    }
}

impl Drop for Ahead {
    fn drop(&mut self) {
        self.shared.stop();
        for thread in self.threads.drain(..) {
            // A worker cannot panic: `Job::make` catches it.
            let _ = thread.join();
        }
    }
}

#[cfg(test)]
mod tests;
