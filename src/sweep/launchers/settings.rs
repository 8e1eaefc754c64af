//! `hydra.launcher` of a config, read: which launcher, with which arguments.
//!
//! The names of Hydra's plugins select the launcher of the same meaning. Arguments of theirs that mean nothing here
//! are accepted with their default and refused by name otherwise.

use indexmap::IndexMap;
use serde::Deserialize;
use serde::de::DeserializeOwned;

use super::SlurmSettings;
use crate::config::{KeyPath, Map, Node, Problem, Problems};
use crate::error::Result;
use crate::registry::{extract, suggest};

/// How often a job that was killed from outside is started again.
const RETRIES: u32 = 3;

/// Which launcher runs the jobs.
#[derive(Clone, Debug)]
pub enum LauncherSettings {
    /// One job after the other, in the terminal.
    Basic,
    /// Side by side on this machine.
    Local(LocalSettings),
    /// On a SLURM cluster.
    Slurm(Box<SlurmSettings>),
}

/// The arguments of `hydra/launcher=local`.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LocalSettings {
    /// How many jobs run at once; -1 is one a core, -2 one less.
    #[serde(default = "minus_one")]
    pub n_jobs: i64,
    /// Threads of a job's computations, instead of its share of the cores.
    #[serde(default)]
    pub threads_per_job: Option<usize>,
    /// The GPUs to share out, instead of all: numbers or UUIDs.
    #[serde(default)]
    pub gpus: Option<Vec<i64>>,
    /// How often a job that was killed from outside is started again.
    #[serde(default = "retries")]
    pub retries: u32,
}

fn minus_one() -> i64 {
    -1
}

fn retries() -> u32 {
    RETRIES
}

/// The arguments of joblib's launcher.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Joblib {
    #[serde(default = "minus_one")]
    n_jobs: i64,
    #[serde(default)]
    timeout: Option<f64>,
    #[serde(default)]
    require: Option<String>,
    // How joblib moves work and memory between its workers: every job here has a process of its own.
    #[serde(default, rename = "backend")]
    _backend: Option<String>,
    #[serde(default, rename = "prefer")]
    _prefer: Option<String>,
    #[serde(default, rename = "verbose")]
    _verbose: i64,
    #[serde(default, rename = "pre_dispatch")]
    _pre_dispatch: serde::de::IgnoredAny,
    #[serde(default, rename = "batch_size")]
    _batch_size: serde::de::IgnoredAny,
    #[serde(default, rename = "temp_folder")]
    _temp_folder: Option<String>,
    #[serde(default, rename = "max_nbytes")]
    _max_nbytes: serde::de::IgnoredAny,
    #[serde(default, rename = "mmap_mode")]
    _mmap_mode: Option<String>,
}

/// A launcher's names and how its arguments are read.
type Reader = fn(&Node, &KeyPath) -> Result<LauncherSettings, Problems>;

const LAUNCHERS: [(&str, Reader); 6] = [
    ("hydra._internal.core_plugins.basic_launcher.BasicLauncher", |_, _| Ok(LauncherSettings::Basic)),
    ("runner.launchers.Local", |node, path| read(node, path).map(LauncherSettings::Local)),
    ("hydra_plugins.hydra_joblib_launcher.joblib_launcher.JoblibLauncher", joblib),
    ("hydra_plugins.hydra_submitit_launcher.submitit_launcher.LocalLauncher", submitit_local),
    ("hydra_plugins.hydra_submitit_launcher.submitit_launcher.SlurmLauncher", slurm),
    ("runner.launchers.Slurm", slurm),
];

impl LauncherSettings {
    /// Reads a resolved `hydra.launcher`.
    ///
    /// # Errors
    /// An unknown launcher; an argument that is unknown, has a wrong type, or cannot be followed here.
    pub fn read(launcher: Option<&Node>) -> Result<Self> {
        let path = KeyPath::root().key("hydra").key("launcher");
        let Some(node) = launcher.filter(|node| !node.is_null()) else { return Ok(LauncherSettings::Basic) };
        let target = node.get("_target_");
        let Some(name) = target.and_then(Node::as_str) else {
            return Err(Problem::new("the launcher has no `_target_`")
                .at(path)
                .from(&node.origin)
                .help("choose one: hydra/launcher=basic, local, joblib, submitit_local or slurm")
                .into());
        };
        let class = |name: &str| name.rsplit('.').next().unwrap_or_default().to_owned();
        let found = LAUNCHERS.iter().find(|(known, _)| *known == name || class(known) == class(name));
        let Some((_, reader)) = found else {
            let mut problem = Problem::new(format!("unknown launcher `{name}`")).at(path.key("_target_"));
            if let Some(target) = target {
                problem = problem.from(&target.origin);
            }
            if let Some(near) = suggest::nearest(name, LAUNCHERS.iter().map(|(name, _)| *name)) {
                problem = problem.label(format!("did you mean `{near}`?"));
            }
            return Err(problem.help("hydra/launcher is one of basic, local, joblib, submitit_local, slurm").into());
        };
        let own: Map = node
            .as_map()
            .into_iter()
            .flatten()
            .filter(|(key, _)| key.as_str() != Some("_target_"))
            .map(|(k, v)| (k.clone(), v.clone()))
            .collect();
        Ok(reader(&Node::new(own, node.origin.clone()), &path)?)
    }

    /// How often a job that was killed from outside is started again.
    pub fn retries(&self) -> u32 {
        match self {
            LauncherSettings::Local(settings) => settings.retries,
            LauncherSettings::Basic | LauncherSettings::Slurm(_) => RETRIES,
        }
    }
}

fn read<T: DeserializeOwned>(node: &Node, path: &KeyPath) -> Result<T, Problems> {
    extract(node, path).0
}

fn joblib(node: &Node, path: &KeyPath) -> Result<LauncherSettings, Problems> {
    let settings: Joblib = read(node, path)?;
    let refuse = |key: &str, why: &str| {
        let origin = node.get(key).map_or(&node.origin, |node| &node.origin);
        Err(Problem::new(format!("`{key}` of joblib's launcher is not supported: {why}"))
            .at(path.key(key))
            .from(origin)
            .into())
    };
    if settings.timeout.is_some() {
        return refuse("timeout", "a job's time is limited by trainer.max_time");
    }
    if settings.require.is_some() {
        return refuse("require", "jobs are processes and share no memory");
    }
    Ok(LauncherSettings::Local(LocalSettings {
        n_jobs: settings.n_jobs,
        threads_per_job: None,
        gpus: None,
        retries: RETRIES,
    }))
}

/// The local launcher of submitit: as many jobs at once as the machine has cores for.
fn submitit_local(node: &Node, path: &KeyPath) -> Result<LauncherSettings, Problems> {
    let settings: SlurmSettings = read(node, path)?;
    settings.check_local(path)?;
    let threads_per_job = settings.cpus_per_task;
    let cores = super::shares::cores().len();
    let n_jobs = i64::try_from(cores / threads_per_job.unwrap_or(1).max(1)).unwrap_or(1).max(1);
    Ok(LauncherSettings::Local(LocalSettings { n_jobs, threads_per_job, gpus: None, retries: RETRIES }))
}

fn slurm(node: &Node, path: &KeyPath) -> Result<LauncherSettings, Problems> {
    let settings: SlurmSettings = read(node, path)?;
    settings.check(path)?;
    Ok(LauncherSettings::Slurm(Box::new(settings)))
}

/// Free options of `sbatch` by name.
pub(super) type Additional = IndexMap<String, serde_json::Value>;

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::config::{Source, SourceKind, yaml};

    fn settings(text: &str) -> Result<LauncherSettings> {
        let source = Arc::new(Source { kind: SourceKind::Program, text: text.to_owned() });
        LauncherSettings::read(Some(&yaml::parse(source).unwrap()))
    }

    #[test]
    fn the_plugins_of_hydra_select_the_launcher_of_the_same_meaning() {
        let joblib = "_target_: hydra_plugins.hydra_joblib_launcher.joblib_launcher.JoblibLauncher\nn_jobs: 3\nbackend: null\npre_dispatch: 2*n_jobs";
        assert!(matches!(settings(joblib), Ok(LauncherSettings::Local(LocalSettings { n_jobs: 3, .. }))));
        let error = settings(&format!("{joblib}\ntimeout: 3")).unwrap_err().to_string();
        assert!(error.contains("trainer.max_time"), "{error}");
        let error = settings(&format!("{joblib}\nn_jbos: 3")).unwrap_err().to_string();
        assert!(error.contains("n_jbos"), "{error}");
        let slurm = "_target_: hydra_plugins.hydra_submitit_launcher.submitit_launcher.SlurmLauncher\ntimeout_min: 5\nmem_gb: 4\nadditional_parameters: {mail-type: END}";
        let Ok(LauncherSettings::Slurm(read)) = settings(slurm) else { panic!("not slurm") };
        assert_eq!((read.timeout_min, read.mem_gb), (5, Some(4.0)));
        let error = settings(&format!("{slurm}\nnodes: 2")).unwrap_err().to_string();
        assert!(error.contains("nodes"), "{error}");
        assert!(settings("_target_: my.Launcher").unwrap_err().to_string().contains("unknown launcher"));
    }
}
