use std::sync::atomic::{AtomicUsize, Ordering};

use tch::Tensor;

use super::*;
use crate::data::rng::Rng;
use crate::data::{Sample, sampler::Weighted};

/// Samples that depend on their key, and can fail or panic at an index.
struct Noise {
    len: usize,
    fail: Option<u64>,
    panic: Option<u64>,
    made: AtomicUsize,
}

impl Noise {
    fn of(len: usize) -> Self {
        Noise { len, fail: None, panic: None, made: AtomicUsize::new(0) }
    }
}

impl Dataset for Noise {
    fn len(&self) -> usize {
        self.len
    }
    fn sample(&self, key: SampleKey) -> Result<Sample> {
        self.made.fetch_add(1, Ordering::SeqCst);
        if self.fail == Some(key.index) {
            return Err(Error::failed("cannot read img/7.png: it is empty"));
        }
        assert!(self.panic != Some(key.index), "a bug in a dataset");
        let mut rng = Rng::of(key);
        // Workers finish out of order: some batches take longer than others.
        if key.index.is_multiple_of(5) {
            thread::yield_now();
        }
        let values: Vec<f64> = (0..4).map(|_| rng.unit()).collect();
        Ok(Sample::pair(Tensor::from_slice(&values), Tensor::from(key.index as i64)))
    }
}

fn loader(dataset: Noise, num_workers: usize) -> Loader {
    Loader { shuffle: true, num_workers, ..Loader::new(Arc::new(dataset), 7, 3) }
}

fn contents(loader: &Loader, epoch: u64, first: usize) -> Vec<(Vec<usize>, Vec<f64>)> {
    loader
        .epoch(epoch, first)
        .map(|batch| {
            let batch = batch.unwrap();
            let values = Vec::<f64>::try_from(batch.input().unwrap().flatten(0, -1)).unwrap();
            let targets = Vec::<i64>::try_from(batch.target().unwrap()).unwrap();
            assert_eq!(targets, batch.indices.iter().map(|&i| i as i64).collect::<Vec<_>>());
            (batch.indices, values)
        })
        .collect()
}

#[test]
fn batches_are_the_same_for_any_number_of_workers() {
    let alone = contents(&loader(Noise::of(101), 0), 4, 0);
    assert_eq!(alone.len(), 15);
    assert_eq!(alone[14].0.len(), 3);
    let mut seen: Vec<usize> = alone.iter().flat_map(|(indices, _)| indices.clone()).collect();
    seen.sort_unstable();
    assert_eq!(seen, (0..101).collect::<Vec<_>>());
    for workers in [1, 2, 8] {
        assert_eq!(contents(&loader(Noise::of(101), workers), 4, 0), alone, "{workers} workers");
    }
    assert_ne!(contents(&loader(Noise::of(101), 2), 5, 0), alone);
}

#[test]
fn an_epoch_can_be_entered_anywhere() {
    let whole = contents(&loader(Noise::of(50), 0), 1, 0);
    for workers in [0, 3] {
        assert_eq!(contents(&loader(Noise::of(50), workers), 1, 3), whole[3..]);
        assert!(contents(&loader(Noise::of(50), workers), 1, 8).is_empty());
        assert!(contents(&loader(Noise::of(50), workers), 1, 80).is_empty());
    }
}

#[test]
fn drop_last_and_samplers() {
    let mut loader = loader(Noise::of(50), 2);
    loader.drop_last = true;
    assert_eq!((loader.batches(), contents(&loader, 0, 0).len()), (7, 7));
    loader.sampler = Some(Arc::new(Weighted::new(vec![1.0; 50], 20, true).unwrap()));
    loader.drop_last = false;
    assert_eq!((loader.batches(), contents(&loader, 0, 0).len()), (3, 3));
    loader.dataset = Arc::new(Noise::of(0));
    loader.sampler = None;
    assert_eq!((loader.batches(), contents(&loader, 0, 0).len()), (0, 0));
}

#[test]
fn errors_and_panics_arrive_and_end_the_epoch() {
    for workers in [0, 1, 2, 8] {
        let failing = Noise { fail: Some(20), ..Noise::of(50) };
        let mut batches = Loader { shuffle: false, ..loader(failing, workers) }.epoch(0, 0);
        assert!(batches.by_ref().take(2).all(|batch| batch.is_ok()));
        assert_eq!(batches.next().unwrap().unwrap_err().to_string(), "cannot read img/7.png: it is empty");
        assert!(batches.next().is_none());

        let panicking = Noise { panic: Some(0), ..Noise::of(50) };
        let mut batches = Loader { shuffle: false, ..loader(panicking, workers) }.epoch(0, 0);
        assert_eq!(batches.next().unwrap().unwrap_err().to_string(), "a bug in a dataset");
        assert!(batches.next().is_none());
    }
}

#[test]
fn reading_ahead_is_bounded_and_stops_when_dropped() {
    let dataset = Arc::new(Noise::of(7000));
    let loader = Loader { num_workers: 2, ..Loader::new(dataset.clone(), 7, 3) };
    let mut batches = loader.epoch(0, 0);
    assert!(batches.next().unwrap().is_ok());
    drop(batches);
    // One batch was taken; at most two a worker may be ahead of it.
    let made = dataset.made.load(Ordering::SeqCst);
    assert!(made <= 7 * 5, "{made}");
    // The threads are joined: nobody holds the dataset any more.
    assert_eq!(Arc::strong_count(&dataset), 2);
}

#[test]
fn a_worker_that_hangs_is_given_up() {
    struct Stuck(Mutex<std::sync::mpsc::Receiver<()>>);
    impl Dataset for Stuck {
        fn len(&self) -> usize {
            1
        }
        fn sample(&self, _: SampleKey) -> Result<Sample> {
            let _ = self.0.lock().map(|receiver| receiver.recv());
            Ok(Sample::default())
        }
    }
    let (sender, receiver) = std::sync::mpsc::channel();
    let dataset = Arc::new(Stuck(Mutex::new(receiver)));
    let loader = Loader { num_workers: 1, timeout: Some(Duration::from_millis(10)), ..Loader::new(dataset, 1, 0) };
    let mut batches = loader.epoch(0, 0);
    let error = batches.next().unwrap().unwrap_err().to_string();
    assert!(error.starts_with("no batch came from the data workers within 0.01 s"), "{error}");
    drop(sender);
}

#[test]
fn samples_of_different_shapes_are_named() {
    struct Ragged;
    impl Dataset for Ragged {
        fn len(&self) -> usize {
            4
        }
        fn sample(&self, key: SampleKey) -> Result<Sample> {
            let wide = if key.index == 2 { 5 } else { 3 };
            Ok(Sample::pair(Tensor::zeros([wide], (tch::Kind::Float, Device::Cpu)), Tensor::from(0i64)))
        }
    }
    let error = Loader::new(Arc::new(Ragged), 4, 0).epoch(0, 0).next().unwrap().unwrap_err().to_string();
    assert!(error.starts_with("`input` is [3] in sample 0 and [5] in sample 2"), "{error}");
}
