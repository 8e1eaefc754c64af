//! Where a result comes from: the code's commit, the machine.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::{Mutex, PoisonError};

use serde::{Deserialize, Serialize};

/// The state of the git checkout around a folder.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Git {
    /// The commit, 40 hexadecimal digits.
    pub commit: String,
    /// The branch, unless the head is detached.
    pub branch: Option<String>,
    /// Whether tracked files differ from the commit.
    pub dirty: bool,
}

impl Git {
    /// What `git` says of `folder`, asked once a process: `None` outside a checkout or without git. Forked jobs of a sweep
    /// have what their sweep was told when it began.
    pub fn of(folder: &Path) -> Option<Self> {
        static KNOWN: Mutex<BTreeMap<PathBuf, Option<Git>>> = Mutex::new(BTreeMap::new());
        let mut known = KNOWN.lock().unwrap_or_else(PoisonError::into_inner);
        known.entry(folder.to_owned()).or_insert_with(|| Self::ask(folder)).clone()
    }

    fn ask(folder: &Path) -> Option<Self> {
        let git = |args: &[&str]| {
            let output = Command::new("git").arg("-C").arg(folder).args(args).stdin(Stdio::null()).output().ok()?;
            output.status.success().then(|| String::from_utf8_lossy(&output.stdout).trim().to_owned())
        };
        let commit = git(&["rev-parse", "--verify", "HEAD"])?;
        let branch = git(&["symbolic-ref", "--short", "-q", "HEAD"]);
        let dirty = git(&["status", "--porcelain", "--untracked-files=no"]).is_some_and(|text| !text.is_empty());
        Some(Git { commit, branch, dirty })
    }
}

/// The machine.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Host {
    /// Its name.
    pub name: Option<String>,
    /// Operating system and version.
    pub os: Option<String>,
    /// The processor.
    pub cpu: Option<String>,
    /// Cores that this process may use.
    pub cores: usize,
    /// Main memory in bytes.
    pub memory_bytes: u64,
}

/// The name of this machine.
pub fn host_name() -> Option<String> {
    sysinfo::System::host_name().ok()
}

impl Host {
    /// This machine.
    pub fn here() -> Self {
        use sysinfo::{CpuRefreshKind, MemoryRefreshKind, RefreshKind, System};
        let wanted = RefreshKind::nothing()
            .with_cpu(CpuRefreshKind::nothing())
            .with_memory(MemoryRefreshKind::nothing().with_ram());
        let system = System::new_with_specifics(wanted).ok();
        Host {
            name: System::host_name().ok(),
            os: System::long_os_version().ok(),
            cpu: system.as_ref().and_then(|system| Some(system.cpus().first()?.brand().trim().to_owned())),
            cores: std::thread::available_parallelism().map_or(1, usize::from),
            memory_bytes: system.map_or(0, |system| system.total_memory()),
        }
    }
}
