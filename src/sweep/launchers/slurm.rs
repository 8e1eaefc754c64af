//! Jobs on a SLURM cluster: arrays by `sbatch`, with the configuration keys of submitit's Hydra plugin.
//!
//! Jobs that are submitted together become one array. What SLURM runs is a script made from a template; it starts
//! runner with the job's file, and leaves a file with the exit code when the job is over. A job that SLURM has
//! preempted or that ran out of its time is queued again and goes on from its last checkpoint. A job that has left the
//! queue without that file was killed or cancelled.

use std::collections::{HashMap, HashSet};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use minijinja::{Environment, context};
use serde::Deserialize;

use super::settings::Additional;
use super::{Ended, Exit, Job, Launcher, Stop};
use crate::config::{KeyPath, Problem, Problems};
use crate::error::{Context, Error, Result};
use crate::run::write_atomic;

/// The file with the number of a submitted array, in its folder.
const ID: &str = "id";

const TEMPLATE: &str = include_str!("slurm.sh.j2");

/// How often the files of ended jobs are looked for.
const LOOK_EVERY: Duration = Duration::from_millis(500);

/// How often the queue is asked about jobs that have left no such file.
const ASK_EVERY: Duration = Duration::from_secs(5);

/// How many answers in a row must lack a job before it counts as gone: a shared file system is slower than the queue.
const MISSES: u32 = 3;

/// The keys of `hydra/launcher=submitit_slurm`.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SlurmSettings {
    /// Where scripts and job files go; `%j` and what follows it are left out.
    #[serde(default)]
    pub submitit_folder: Option<String>,
    /// A job's time in minutes.
    #[serde(default = "hour")]
    pub timeout_min: u64,
    /// Cores of a job.
    #[serde(default)]
    pub cpus_per_task: Option<usize>,
    /// GPUs of a job.
    #[serde(default)]
    pub gpus_per_node: Option<u64>,
    /// Must be 1: a job is one process.
    #[serde(default = "one")]
    pub tasks_per_node: u64,
    /// Memory of a job in GB.
    #[serde(default)]
    pub mem_gb: Option<f64>,
    /// Must be 1.
    #[serde(default = "one")]
    pub nodes: u64,
    /// The name in the queue.
    #[serde(default)]
    pub name: Option<String>,
    /// Whether errors go where the output goes; always so here.
    #[serde(default)]
    pub stderr_to_stdout: bool,
    /// The partition.
    #[serde(default)]
    pub partition: Option<String>,
    /// The quality of service.
    #[serde(default)]
    pub qos: Option<String>,
    /// A comment.
    #[serde(default)]
    pub comment: Option<String>,
    /// Features that nodes must have.
    #[serde(default)]
    pub constraint: Option<String>,
    /// Nodes to avoid.
    #[serde(default)]
    pub exclude: Option<String>,
    /// Generic resources.
    #[serde(default)]
    pub gres: Option<String>,
    /// Cores for each GPU.
    #[serde(default)]
    pub cpus_per_gpu: Option<u64>,
    /// GPUs of the job's one task.
    #[serde(default)]
    pub gpus_per_task: Option<u64>,
    /// Memory for each GPU, as `sbatch` writes it.
    #[serde(default)]
    pub mem_per_gpu: Option<String>,
    /// Memory for each core, as `sbatch` writes it.
    #[serde(default)]
    pub mem_per_cpu: Option<String>,
    /// The account that pays.
    #[serde(default)]
    pub account: Option<String>,
    /// Seconds before the end of its time at which a job is told to save.
    #[serde(default = "two_minutes")]
    pub signal_delay_s: u64,
    /// How often a job that ran out of its time is queued again.
    #[serde(default)]
    pub max_num_timeout: u64,
    /// Further options of `sbatch`, by name; true is a flag.
    #[serde(default)]
    pub additional_parameters: Additional,
    /// How many jobs of an array run at once.
    #[serde(default = "many")]
    pub array_parallelism: usize,
    /// Shell lines before the job: modules, environment.
    #[serde(default)]
    pub setup: Option<Vec<String>>,
}

fn one() -> u64 {
    1
}

fn hour() -> u64 {
    60
}

fn two_minutes() -> u64 {
    120
}

fn many() -> usize {
    256
}

impl SlurmSettings {
    /// What cannot be followed.
    pub(super) fn check(&self, path: &KeyPath) -> Result<(), Problems> {
        let mut problems = Problems::default();
        for (key, value) in [("nodes", self.nodes), ("tasks_per_node", self.tasks_per_node)] {
            if value != 1 {
                let message = format!("`{key}` is {value}, but a job is one process on one node");
                problems.push(Problem::new(message).at(path.key(key)).help(format!("leave hydra.launcher.{key} at 1")));
            }
        }
        if self.array_parallelism == 0 {
            problems.push(Problem::new("`array_parallelism` is 0: no job could run").at(path.key("array_parallelism")));
        }
        problems.or(())
    }

    /// What cannot be followed on one machine.
    pub(super) fn check_local(&self, path: &KeyPath) -> Result<(), Problems> {
        self.check(path)?;
        let set = [
            ("partition", self.partition.is_some()),
            ("setup", self.setup.is_some()),
            ("mem_gb", self.mem_gb.is_some()),
        ];
        let mut problems = Problems::default();
        for (key, _) in set.into_iter().filter(|(_, is_set)| *is_set) {
            let message = format!("`{key}` has no meaning for jobs on this machine");
            problems.push(Problem::new(message).at(path.key(key)).help("remove it, or use hydra/launcher=slurm"));
        }
        problems.or(())
    }

    /// The lines for `sbatch`.
    fn options(&self, log: &Path, count: usize) -> Vec<String> {
        let mut options = vec![
            format!("--job-name={}", self.name.as_deref().unwrap_or("runner")),
            format!("--array=0-{}%{}", count - 1, self.array_parallelism),
            format!("--time={}", self.timeout_min),
            format!("--output={}", log.display()),
            "--open-mode=append".to_owned(),
            "--requeue".to_owned(),
            "--nodes=1".to_owned(),
            "--ntasks=1".to_owned(),
            format!("--signal=B:USR2@{}", self.signal_delay_s),
        ];
        let mut add = |name: &str, value: Option<String>| options.extend(value.map(|v| format!("--{name}={v}")));
        let number = |value: Option<u64>| value.map(|value| value.to_string());
        add("cpus-per-task", self.cpus_per_task.map(|n| n.to_string()));
        add("gpus-per-node", number(self.gpus_per_node));
        add("mem", self.mem_gb.map(|gb| format!("{}M", (gb * 1024.0).ceil())));
        add("partition", self.partition.clone());
        add("qos", self.qos.clone());
        add("comment", self.comment.as_deref().map(quoted));
        add("constraint", self.constraint.as_deref().map(quoted));
        add("exclude", self.exclude.clone());
        add("gres", self.gres.clone());
        add("cpus-per-gpu", number(self.cpus_per_gpu));
        add("gpus-per-task", number(self.gpus_per_task));
        add("mem-per-gpu", self.mem_per_gpu.clone());
        add("mem-per-cpu", self.mem_per_cpu.clone());
        add("account", self.account.clone());
        for (name, value) in &self.additional_parameters {
            let name = name.trim_start_matches('-').replace('_', "-");
            match value {
                serde_json::Value::Bool(true) => options.push(format!("--{name}")),
                serde_json::Value::Bool(false) | serde_json::Value::Null => {}
                serde_json::Value::String(text) => options.push(format!("--{name}={}", quoted(text))),
                other => options.push(format!("--{name}={other}")),
            }
        }
        options
    }
}

/// A text as one word of a shell.
fn quoted(text: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./,:=+%@".contains(c);
    if !text.is_empty() && text.chars().all(plain) {
        text.to_owned()
    } else {
        format!("'{}'", text.replace('\'', r"'\''"))
    }
}

/// A job in the queue.
struct Queued {
    /// `<array>_<index>`.
    id: String,
    /// Written when it is over.
    ended: PathBuf,
    /// How many answers of the queue have lacked it.
    misses: u32,
}

/// Jobs by `sbatch`.
pub struct Slurm {
    settings: SlurmSettings,
    program: PathBuf,
    sweep: PathBuf,
    folder: PathBuf,
    waiting: Vec<Job>,
    queued: HashMap<usize, Queued>,
    /// Jobs that an earlier session of the sweep has submitted, and that SLURM still knows or has ended since.
    submitted: HashMap<usize, Queued>,
    asked: Instant,
}

impl Slurm {
    /// Jobs of `program` for the sweep in `sweep`.
    ///
    /// # Errors
    /// When this machine has no `sbatch`.
    pub fn new(settings: SlurmSettings, program: PathBuf, sweep: PathBuf) -> Result<Self> {
        slurm("sbatch", &["--version"])?;
        let given = settings.submitit_folder.as_deref().map(|text| text.split("%j").next().unwrap_or_default());
        let folder = given.filter(|text| !text.is_empty()).map_or_else(|| sweep.join(".submitit"), PathBuf::from);
        let folder = std::path::absolute(&folder).map_err(|error| Error::io("find", &folder, error))?;
        let submitted = submitted(&folder)?;
        let (waiting, queued) = (Vec::new(), HashMap::new());
        Ok(Slurm { settings, program, sweep, folder, waiting, queued, submitted, asked: Instant::now() })
    }

    /// Submits what is waiting as one array.
    fn flush(&mut self) -> Result<()> {
        if self.waiting.is_empty() {
            return Ok(());
        }
        let jobs = std::mem::take(&mut self.waiting);
        let specs = self.new_batch()?;
        for (index, job) in jobs.iter().enumerate() {
            let path = specs.join(format!("{index}.json"));
            let text = serde_json::to_vec_pretty(job).map_err(|error| Error::io("write", &path, error))?;
            write_atomic(&path, &text)?;
        }
        let script = specs.join("array.sh");
        write_atomic(&script, self.script(&specs, &jobs)?.as_bytes())?;
        let answer = slurm("sbatch", &["--parsable", &script.display().to_string()])?;
        let array = answer.trim().split(';').next().unwrap_or_default().to_owned();
        write_atomic(&specs.join(ID), array.as_bytes())?;
        for (index, job) in jobs.iter().enumerate() {
            let ended = specs.join(format!("{index}.end"));
            self.queued.insert(job.number, Queued { id: format!("{array}_{index}"), ended, misses: 0 });
        }
        Ok(())
    }

    /// A new folder for the files of one array.
    fn new_batch(&self) -> Result<PathBuf> {
        std::fs::create_dir_all(&self.folder).map_err(|error| Error::io("create", &self.folder, error))?;
        for n in 0.. {
            let path = self.folder.join(format!("array_{n}"));
            match std::fs::create_dir(&path) {
                Ok(()) => return Ok(path),
                Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {}
                Err(error) => return Err(Error::io("create", &path, error)),
            }
        }
        Err(Error::failed("no name is left for a SLURM array"))
    }

    fn script(&self, specs: &Path, jobs: &[Job]) -> Result<String> {
        let environment = Environment::new();
        let cwd = std::env::current_dir().context("cannot find the working folder")?;
        let shown = |path: &Path| quoted(&path.display().to_string());
        let numbers: Vec<String> = jobs.iter().map(|job| job.number.to_string()).collect();
        let rendered = environment.render_str(
            TEMPLATE,
            context! {
                numbers => numbers.join(", "),
                sweep => self.sweep.display().to_string(),
                options => self.settings.options(&specs.join("%a.log"), jobs.len()),
                specs => shown(specs),
                cwd => shown(&cwd),
                setup => self.settings.setup.clone().unwrap_or_default(),
                program => shown(&self.program),
                max_num_timeout => self.settings.max_num_timeout,
            },
        );
        rendered.context("cannot write the script for sbatch")
    }

    /// The jobs whose file says that they are over, and those that the queue has lost.
    fn look(&mut self) -> Option<Ended> {
        let over = self.queued.iter().find_map(|(number, job)| {
            let text = std::fs::read_to_string(&job.ended).ok()?;
            Some((*number, text.trim().to_owned()))
        });
        if let Some((number, text)) = over {
            self.queued.remove(&number);
            let exit = match text.parse::<i32>() {
                // A shell's code for a command that a signal has killed.
                Ok(code) if code > 128 && code != 130 => Exit::Signal(code - 128),
                Ok(code) => Exit::Code(code),
                Err(_) => Exit::Lost(format!("the job ran out of its time of {} minutes", self.settings.timeout_min)),
            };
            return Some(Ended { number, exit });
        }
        if self.asked.elapsed() < ASK_EVERY || self.queued.is_empty() {
            return None;
        }
        self.asked = Instant::now();
        // A queue that does not answer says nothing about the jobs.
        let states = slurm("squeue", &["--noheader", "--array", "--format=%i"]).ok()?;
        let active: HashSet<&str> = states.lines().map(str::trim).collect();
        for job in self.queued.values_mut() {
            job.misses = if active.contains(job.id.as_str()) { 0 } else { job.misses + 1 };
        }
        let gone = self.queued.iter().find(|(_, job)| job.misses >= MISSES).map(|(number, _)| *number)?;
        let job = self.queued.remove(&gone)?;
        let exit = Exit::Lost(format!("SLURM ended job {}{}", job.id, state_of(&job.id)));
        Some(Ended { number: gone, exit })
    }
}

/// The jobs of arrays that were submitted before, unless SLURM has lost them without a word; the newest of each.
fn submitted(folder: &Path) -> Result<HashMap<usize, Queued>> {
    let batches = (0..).map(|n| folder.join(format!("array_{n}"))).take_while(|path| path.is_dir());
    let batches: Vec<PathBuf> = batches.filter(|path| path.join(ID).is_file()).collect();
    if batches.is_empty() {
        return Ok(HashMap::new());
    }
    let active = slurm("squeue", &["--noheader", "--array", "--format=%i"])?;
    let active: HashSet<&str> = active.lines().map(str::trim).collect();
    let mut found = HashMap::new();
    for specs in batches {
        let array = std::fs::read_to_string(specs.join(ID)).unwrap_or_default();
        for index in 0.. {
            let Ok(text) = std::fs::read(specs.join(format!("{index}.json"))) else { break };
            let Ok(job) = serde_json::from_slice::<Job>(&text) else { continue };
            let (id, ended) = (format!("{}_{index}", array.trim()), specs.join(format!("{index}.end")));
            found.remove(&job.number);
            if active.contains(id.as_str()) {
                found.insert(job.number, Queued { id, ended, misses: 0 });
            }
        }
    }
    Ok(found)
}

/// What SLURM says of a job that has left the queue.
fn state_of(id: &str) -> String {
    let shown = slurm("scontrol", &["show", "job", id]).unwrap_or_default();
    let state = shown.split_whitespace().find_map(|word| word.strip_prefix("JobState="));
    state.map_or_else(String::new, |state| format!(": {state}"))
}

/// The output of one of SLURM's programs.
fn slurm(program: &str, arguments: &[&str]) -> Result<String> {
    let output = Command::new(program).args(arguments).output().map_err(|error| {
        Error::failed(format!("cannot run {program}: {error}"))
            .help("hydra/launcher=slurm works where SLURM is installed; hydra/launcher=local needs nothing")
    })?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    let said = String::from_utf8_lossy(&output.stderr).trim().to_owned();
    Err(Error::failed(format!("{program} failed: {said}")))
}

impl Launcher for Slurm {
    fn room(&self) -> usize {
        // What is beyond the array's parallelism waits in SLURM's queue, which is what a queue is for.
        usize::MAX
    }

    fn submit(&mut self, job: Job) -> Result<()> {
        match self.submitted.remove(&job.number) {
            Some(known) => drop(self.queued.insert(job.number, known)),
            None => self.waiting.push(job),
        }
        Ok(())
    }

    fn next(&mut self, wait: Duration) -> Result<Option<Ended>> {
        self.flush()?;
        let start = Instant::now();
        loop {
            match self.look() {
                Some(ended) => return Ok(Some(ended)),
                None if start.elapsed() >= wait || self.queued.is_empty() => return Ok(None),
                None => std::thread::sleep(LOOK_EVERY.min(wait)),
            }
        }
    }

    fn stop(&mut self, number: usize, how: Stop) -> Result<()> {
        let Some(job) = self.queued.get(&number) else { return Ok(()) };
        match how {
            // The script hands USR1 on.
            Stop::Gently => {
                // What has not started has nothing to save, and hears no signal.
                slurm("scancel", &["--state=PENDING", &job.id])?;
                slurm("scancel", &["--signal=USR1", "--batch", &job.id]).map(drop)
            }
            Stop::Kill => slurm("scancel", &[&job.id]).map(drop),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_script_says_what_the_keys_say() {
        let settings: SlurmSettings = serde_json::from_value(serde_json::json!({
            "partition": "gpu", "timeout_min": 90, "gpus_per_node": 1, "mem_gb": 1.5, "array_parallelism": 2,
            "setup": ["module load cuda"], "additional_parameters": {"mail_type": "END", "exclusive": true},
            "comment": "two words",
        }))
        .unwrap();
        let options = settings.options(Path::new("/s/%a.log"), 3);
        for wanted in [
            "--array=0-2%2",
            "--time=90",
            "--gpus-per-node=1",
            "--mem=1536M",
            "--partition=gpu",
            "--mail-type=END",
            "--exclusive",
            "--comment='two words'",
            "--signal=B:USR2@120",
            "--requeue",
        ] {
            assert!(options.iter().any(|option| option == wanted), "{wanted} is not in {options:?}");
        }
    }
}
