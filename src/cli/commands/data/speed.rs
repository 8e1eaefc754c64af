//! `runner data speed`: how fast the loader gives batches when nothing else is done with them.

use std::time::{Duration, Instant};

use serde_json::json;

use super::{Options, Ready};
use crate::error::Result;
use crate::run::{cpu_time, peak_memory};

/// One pass over the split.
struct Pass {
    first: Duration,
    whole: Duration,
    samples: usize,
    batches: usize,
    cpu: Duration,
}

/// Times passes over the split: the first one apart, since files may not have been read yet.
///
/// # Errors
/// When a sample cannot be read.
pub fn speed(ready: &Ready, options: &Options) -> Result<i32> {
    let loader = ready.loader(options.split)?;
    let mut passes = Vec::new();
    for epoch in 0..=options.epochs {
        let (since, before) = (Instant::now(), cpu_time());
        let mut pass =
            Pass { first: Duration::ZERO, whole: Duration::ZERO, samples: 0, batches: 0, cpu: Duration::ZERO };
        for batch in loader.epoch(options.epoch + epoch, 0) {
            pass.samples += batch?.len();
            pass.batches += 1;
            if pass.batches == 1 {
                pass.first = since.elapsed();
            }
        }
        (pass.whole, pass.cpu) = (since.elapsed(), cpu_time().saturating_sub(before));
        passes.push(pass);
    }
    let rate = |pass: &Pass| pass.samples as f64 / pass.whole.as_secs_f64().max(1e-9);
    let per_sample = |pass: &Pass| pass.cpu.as_secs_f64() * 1e3 / pass.samples.max(1) as f64;
    let memory = peak_memory();
    if options.json {
        let measured = &passes[1..];
        let line = json!({
            "images_per_s": measured.iter().map(rate).collect::<Vec<_>>(),
            "cold_images_per_s": rate(&passes[0]),
            "first_batch_s": passes.iter().map(|pass| pass.first.as_secs_f64()).collect::<Vec<_>>(),
            "cpu_ms_per_image": measured.iter().map(per_sample).collect::<Vec<_>>(),
            "peak_rss_mib": memory,
            "samples": passes[0].samples,
            "batches": passes[0].batches,
            "workers": loader.num_workers,
        });
        println!("{line}");
        return Ok(0);
    }
    println!(
        "{} samples in {} batches of {}, {} workers",
        passes[0].samples, passes[0].batches, loader.batch_size, loader.num_workers
    );
    for (number, pass) in passes.iter().enumerate() {
        println!(
            "pass {number}: {:>8.0} samples/s, first batch after {:>6.1} ms, {:.3} ms of CPU time a sample",
            rate(pass),
            pass.first.as_secs_f64() * 1e3,
            per_sample(pass)
        );
    }
    if let Some(memory) = memory {
        println!("peak memory {memory:.0} MiB");
    }
    Ok(0)
}
