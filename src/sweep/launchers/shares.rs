//! Sharing the machine among jobs: which cores and which GPUs each of them gets.

use std::io;
use std::path::Path;

use super::Share;

/// The machine's cores and GPUs in as many shares as there are jobs side by side.
///
/// Cores are dealt in runs of neighbours. With more jobs than cores several jobs share one; with more jobs than GPUs
/// several jobs share one, and with fewer each job gets several.
pub fn shares(jobs: usize, cores: &[usize], gpus: &[String]) -> Vec<Share> {
    let jobs = jobs.max(1);
    let part = |of: usize, i: usize| match of >= jobs {
        true => (i * of / jobs)..((i + 1) * of / jobs),
        false => (i % of.max(1))..((i % of.max(1)) + usize::from(of > 0)),
    };
    (0..jobs)
        .map(|i| {
            let cores = cores[part(cores.len(), i)].to_vec();
            let gpus = (!gpus.is_empty()).then(|| gpus[part(gpus.len(), i)].join(","));
            Share { threads: (!cores.is_empty()).then_some(cores.len()), cores, gpus }
        })
        .collect()
}

/// The cores that this process may use.
pub fn cores() -> Vec<usize> {
    #[cfg(target_os = "linux")]
    if let Ok(set) = rustix::thread::sched_getaffinity(None) {
        return (0..rustix::thread::CpuSet::MAX_CPU).filter(|core| set.is_set(*core)).collect();
    }
    (0..std::thread::available_parallelism().map_or(1, usize::from)).collect()
}

/// The GPUs that this process may use, found without touching them: a process that has initialized CUDA cannot fork.
pub fn gpus() -> Vec<String> {
    if let Ok(listed) = std::env::var("CUDA_VISIBLE_DEVICES") {
        let listed = listed.split(',').map(|id| id.trim().to_owned());
        return listed.take_while(|id| !id.is_empty() && id != "-1").collect();
    }
    let is_device = |name: &str| name.strip_prefix("nvidia").is_some_and(|n| n.parse::<u32>().is_ok());
    let entries = std::fs::read_dir(Path::new("/dev")).into_iter().flatten().flatten();
    let count = entries.filter(|entry| entry.file_name().to_str().is_some_and(is_device)).count();
    (0..count).map(|i| i.to_string()).collect()
}

/// Confines this process to its share. libtorch's threads are set by whoever may name it.
#[cfg(target_os = "linux")]
pub fn take(share: &Share) -> io::Result<()> {
    use crate::native::process::set_env;
    if !share.cores.is_empty() {
        let mut set = rustix::thread::CpuSet::new();
        share.cores.iter().for_each(|core| set.set(*core));
        // A container may forbid it; the number of threads still follows the share.
        let _ = rustix::thread::sched_setaffinity(None, &set);
    }
    if let Some(gpus) = &share.gpus {
        set_env("CUDA_VISIBLE_DEVICES", gpus)?;
    }
    if let Some(threads) = share.threads {
        for name in ["OMP_NUM_THREADS", "MKL_NUM_THREADS", "RAYON_NUM_THREADS"] {
            set_env(name, threads.to_string())?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn everything_is_dealt_and_nobody_goes_empty() {
        let names = |n: usize| (0..n).map(|i| i.to_string()).collect::<Vec<_>>();
        let dealt = |jobs, cores: usize, gpus| {
            let cores: Vec<usize> = (0..cores).collect();
            let shares = shares(jobs, &cores, &names(gpus));
            shares.into_iter().map(|s| (s.cores, s.gpus.unwrap_or("none".into()))).collect::<Vec<_>>()
        };
        assert_eq!(dealt(2, 5, 0), [(vec![0, 1], "none".into()), (vec![2, 3, 4], "none".into())]);
        assert_eq!(dealt(3, 2, 1), [(vec![0], "0".into()), (vec![1], "0".into()), (vec![0], "0".into())]);
        assert_eq!(dealt(2, 2, 4), [(vec![0], "0,1".into()), (vec![1], "2,3".into())]);
    }
}
