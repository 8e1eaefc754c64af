//! Only one process at a time conducts a sweep.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{Read, Write};
use std::path::Path;
use std::time::{Duration, Instant};

use crate::error::{Error, Result};

/// How long a lock is waited for: the jobs of a sweep that was killed hold it until they are gone too.
const PATIENCE: Duration = Duration::from_secs(3);

/// The right to write into a sweep's folder, for as long as this lives. Forked jobs share it, so that nobody takes
/// over a sweep of which a job still runs.
pub struct SweepLock {
    _file: File,
}

impl SweepLock {
    /// Takes the lock of the sweep whose own folder (`.sweep`) this is.
    ///
    /// # Errors
    /// When another process holds it.
    pub fn take(folder: &Path) -> Result<Self> {
        let path = folder.join("lock");
        let failed = |error: std::io::Error| Error::io("lock", &path, error);
        let mut file =
            OpenOptions::new().create(true).truncate(false).read(true).write(true).open(&path).map_err(failed)?;
        let start = Instant::now();
        loop {
            match file.try_lock() {
                Ok(()) => break,
                Err(TryLockError::WouldBlock) if start.elapsed() < PATIENCE => {
                    std::thread::sleep(Duration::from_millis(50));
                }
                Err(TryLockError::WouldBlock) => {
                    let mut holder = String::new();
                    let _ = file.read_to_string(&mut holder);
                    let by = if holder.is_empty() { String::new() } else { format!(" by {}", holder.trim()) };
                    return Err(Error::request(format!("this sweep is running already{by}"))
                        .help("wait for it, or stop it with Ctrl-C there"));
                }
                Err(TryLockError::Error(error)) => return Err(failed(error)),
            }
        }
        let host = sysinfo::System::host_name().unwrap_or_default();
        let _ = file.set_len(0).and_then(|()| writeln!(file, "process {} on {host}", std::process::id()));
        Ok(SweepLock { _file: file })
    }
}
