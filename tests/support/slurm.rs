//! A one-node SLURM of the test's own, from the system's packages, in a temporary folder.

use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// A SLURM that is stopped when this is dropped.
pub struct Cluster {
    folder: tempfile::TempDir,
}

impl Cluster {
    /// Starts munged, slurmctld and slurmd; says so when they are not installed or not allowed to start.
    pub fn start() -> Option<Self> {
        let missing: Vec<&str> =
            ["munged", "slurmctld", "slurmd", "sbatch"].into_iter().filter(|name| find(name).is_none()).collect();
        if !missing.is_empty() {
            eprintln!(
                "skipped: SLURM is not installed ({}): apt-get install slurmctld slurmd slurm-client munge",
                missing.join(", ")
            );
            return None;
        }
        let cluster = Cluster { folder: tempfile::tempdir().expect("a folder") };
        cluster.launch()?;
        Some(cluster)
    }

    /// The configuration that the clients need in `SLURM_CONF`.
    pub fn conf(&self) -> PathBuf {
        self.folder.path().join("slurm.conf")
    }

    /// The output of one of SLURM's programs.
    pub fn ask(&self, program: &str, arguments: &[&str]) -> String {
        let output = Command::new(program).args(arguments).env("SLURM_CONF", self.conf()).output().expect("SLURM");
        String::from_utf8_lossy(&output.stdout).into_owned()
    }

    fn launch(&self) -> Option<()> {
        let folder = self.folder.path();
        for name in ["state", "spool", "log"] {
            std::fs::create_dir(folder.join(name)).expect("a folder");
        }
        let key: Vec<u8> = (0..128u32).map(|i| (i.wrapping_mul(std::process::id()) >> 3) as u8).collect();
        std::fs::write(folder.join("munge.key"), key).expect("a key");
        private(&folder.join("munge.key"), 0o400);
        private(folder, 0o755);
        let (host, user) = (output("hostname", &["-s"]), output("id", &["-un"]));
        let ports = [free_port(), free_port()];
        let text = CONFIG
            .replace("{D}", &folder.display().to_string())
            .replace("{host}", &host)
            .replace("{user}", &user)
            .replace("{port0}", &ports[0].to_string())
            .replace("{port1}", &ports[1].to_string());
        std::fs::write(self.conf(), text).expect("slurm.conf");
        let path = |name: &str| folder.join(name).display().to_string();
        run(
            "munged",
            &[
                "--force".into(),
                format!("--socket={}", path("munge.sock")),
                format!("--key-file={}", path("munge.key")),
                format!("--pid-file={}", path("munged.pid")),
                format!("--log-file={}", path("log/munged.log")),
                format!("--seed-file={}", path("munge.seed")),
            ],
        )?;
        run("slurmctld", &["-f".into(), path("slurm.conf")])?;
        run("slurmd", &["-f".into(), path("slurm.conf")])?;
        let start = Instant::now();
        while !self.ask("sinfo", &["--noheader", "--format=%t"]).contains("idle") {
            if start.elapsed() > Duration::from_secs(30) {
                let log = std::fs::read_to_string(folder.join("log/slurmctld.log")).unwrap_or_default();
                eprintln!("skipped: the SLURM that was started has no idle node\n{log}");
                return None;
            }
            std::thread::sleep(Duration::from_millis(100));
        }
        Some(())
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        self.ask("scancel", &["--me"]);
        for name in ["slurmd", "slurmctld", "munged"] {
            let text = std::fs::read_to_string(self.folder.path().join(format!("{name}.pid"))).unwrap_or_default();
            if let Ok(process) = text.trim().parse::<u32>() {
                let _ = Command::new("kill").arg(process.to_string()).status();
            }
        }
    }
}

const CONFIG: &str = "ClusterName=runner
SlurmctldHost={host}
AuthType=auth/munge
AuthInfo=socket={D}/munge.sock
CredType=cred/munge
SlurmUser={user}
SlurmdUser={user}
SlurmctldPort={port0}
SlurmdPort={port1}
StateSaveLocation={D}/state
SlurmdSpoolDir={D}/spool
SlurmctldPidFile={D}/slurmctld.pid
SlurmdPidFile={D}/slurmd.pid
SlurmctldLogFile={D}/log/slurmctld.log
SlurmdLogFile={D}/log/slurmd.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU
SwitchType=switch/none
MpiDefault=none
ReturnToService=2
JobRequeue=1
KillWait=5
SchedulerParameters=sched_interval=1,batch_sched_delay=0,bf_interval=1
NodeName={host} CPUs=2 State=UNKNOWN
PartitionName=test Nodes=ALL Default=YES State=UP
";

fn find(program: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    let system = ["/usr/sbin", "/sbin"].map(PathBuf::from);
    std::env::split_paths(&path).chain(system).map(|folder| folder.join(program)).find(|path| path.is_file())
}

fn run(program: &str, arguments: &[String]) -> Option<()> {
    let path = find(program)?;
    let output = Command::new(path).args(arguments).stdin(Stdio::null()).stdout(Stdio::null()).output().ok()?;
    if output.status.success() {
        return Some(());
    }
    eprintln!("skipped: {program} does not start here: {}", String::from_utf8_lossy(&output.stderr).trim());
    None
}

fn output(program: &str, arguments: &[&str]) -> String {
    let output = Command::new(program).args(arguments).output().expect(program);
    String::from_utf8_lossy(&output.stdout).trim().to_owned()
}

fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr()).expect("a port").port()
}

fn private(path: &Path, mode: u32) {
    use std::os::unix::fs::PermissionsExt;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).expect("permissions");
}
