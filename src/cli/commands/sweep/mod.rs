//! `runner -m COMMAND key=a,b`: every combination, by the launcher that the config chooses, each job in a process of
//! its own. `runner resume` of a sweep's folder goes on with what is missing.

mod definition;
mod job;
mod work;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::run::shown;
use super::train::INTERRUPTED;
use crate::cli::compose::{self, Request};
use crate::config::{Config, Node, Problems, Value, emit, overrides};
use crate::error::{Error, Result};
use crate::registry::Registry;
use crate::run::RunDir;
use crate::sweep::launchers::{Launcher, LauncherSettings, Local, Processes, Slurm, Spawned};
use crate::sweep::{
    Aim, Conductor, Direction, Entry, Journal, Program, Record, Search, State, SweepLock, Table, best_of, front_of,
    replay, report,
};
use crate::train::StopFlag;
use definition::{Definition, OWN};
pub use job::from_file;
pub use work::{Commands, Functions, Work, functions, of as work_of};

/// Runs a sweep; gives the exit code: 0 when every job finished, 1 when one failed.
///
/// # Errors
/// When any job's config is wrong: nothing has been started then.
pub fn sweep(request: &Request, work: &dyn Work) -> Result<i32> {
    let (parent, jobs, search) = plan(request, work)?;
    if jobs.is_empty() && search.is_none() {
        return Err(Error::request("the sweep has no jobs: one of its ranges is empty"));
    }
    LauncherSettings::read(resolved_launcher(&parent)?.as_ref())?;
    let aims = aims(&objectives(request, &parent, search.as_ref(), work)?, search.as_ref());
    let mut folders = Vec::with_capacity(jobs.len());
    for (number, overrides) in jobs.iter().enumerate() {
        let folder = check(request, &parent, number, overrides, work);
        folders.push(folder.map_err(|error| of_job(error, number, overrides))?);
    }
    let dir = RunDir::claim(&compose::sweep_dir(&parent)?)?;
    let definition = Definition::write(request, dir.path())?;
    dir.write("multirun.yaml", &emit::to_yaml(&parent.all()))?;
    let lock = SweepLock::take(&dir.path().join(OWN))?;
    let (mut journal, _) = Journal::open(dir.path())?;
    let asked = jobs.into_iter().enumerate();
    let asked: Vec<Entry> =
        asked.map(|(number, overrides)| Entry { overrides, ..Entry::now(number, State::Asked) }).collect();
    journal.record_all(&asked)?;
    let count = search.map_or(Some(asked.len()), |search| search.total());
    let count = count.map_or_else(|| "jobs".to_owned(), |count| format!("{count} jobs"));
    println!("{count}: {}", shown(dir.path()));
    aims.iter().filter_map(Aim::doubt).for_each(|doubt| println!("note: {doubt}"));
    let request = definition.request(dir.path(), work.registry().additions())?;
    conduct(&request, work, dir.path(), Begun { journal, entries: asked, folders, _lock: lock })
}

/// Whether a folder is a sweep's.
pub fn is_sweep(folder: &Path) -> bool {
    folder.join(OWN).is_dir()
}

/// Goes on with the sweep in `folder`.
///
/// # Errors
/// When another process runs it, or its configs have changed: the message says how.
pub fn resume(request: &Request, folder: &Path, registry: &Registry) -> Result<i32> {
    if let Some(text) = request.overrides.first() {
        return Err(Error::request(format!("a sweep is resumed as it was begun: `{text}` would change its jobs"))
            .help("begin a new sweep for other values"));
    }
    go_on(folder, request.args.retry_failed, registry)
}

/// Goes on with the sweep in `folder`; with the jobs that failed too, if so wished.
///
/// # Errors
/// As [`resume`].
pub fn go_on(folder: &Path, retry_failed: bool, registry: &Registry) -> Result<i32> {
    let folder = std::path::absolute(folder).map_err(|error| Error::io("find", folder, error))?;
    let definition = Definition::read(&folder)?;
    if definition.runner != env!("CARGO_PKG_VERSION") {
        let now = env!("CARGO_PKG_VERSION");
        return Err(Error::request(format!("the sweep was begun by runner {}, and this is {now}", definition.runner))
            .help("go on with that version, or begin a new sweep"));
    }
    let here = std::env::current_dir().unwrap_or_default();
    if here != definition.cwd {
        // Paths in configs are relative to where the sweep was begun.
        std::env::set_current_dir(&definition.cwd).map_err(|error| Error::io("enter", &definition.cwd, error))?;
    }
    let lock = SweepLock::take(&folder.join(OWN))?;
    definition.check_unchanged(&folder)?;
    let (mut journal, mut entries) = Journal::open(&folder)?;
    if retry_failed {
        let again: Vec<Entry> = replay(&entries)?
            .iter()
            .filter(|record| record.state == State::Failed)
            .map(|record| Entry::now(record.number, State::Asked))
            .collect();
        journal.record_all(&again)?;
        entries.extend(again);
    }
    let records = replay(&entries)?;
    let open = records.iter().filter(|record| !record.state.is_settled()).count();
    println!("{open} of {} jobs are missing: {}", records.len(), shown(&folder));
    let request = definition.request(&folder, registry.additions())?;
    let work = work::of(request.command, registry);
    conduct(&request, work.as_ref(), &folder, Begun { journal, entries, folders: Vec::new(), _lock: lock })
}

/// A sweep whose folder this process has to itself.
struct Begun {
    journal: Journal,
    entries: Vec<Entry>,
    /// The folders of its first jobs, below its own, where they are known.
    folders: Vec<String>,
    _lock: SweepLock,
}

/// Runs what is missing, and shows what came of it.
fn conduct(request: &Request, work: &dyn Work, folder: &Path, begun: Begun) -> Result<i32> {
    let Begun { mut journal, mut entries, folders, _lock } = begun;
    let (parent, jobs, search) = plan(request, work)?;
    let known = replay(&entries)?.len();
    // A sweep that was killed while it wrote down its jobs.
    let rest = jobs.into_iter().enumerate().skip(known);
    let rest: Vec<Entry> =
        rest.map(|(number, overrides)| Entry { overrides, ..Entry::now(number, State::Asked) }).collect();
    journal.record_all(&rest)?;
    entries.extend(rest);
    let settings = LauncherSettings::read(resolved_launcher(&parent)?.as_ref())?;
    let logs = folder.join("logs");
    if !matches!(settings, LauncherSettings::Basic) {
        std::fs::create_dir_all(&logs).map_err(|error| Error::io("create", &logs, error))?;
    }
    // Before anything starts a thread: jobs are forked.
    let launcher = launcher(&settings, request, &parent, work, folder)?;
    let stop = StopFlag::default();
    stop.on_ctrl_c()?;
    let program = Jobs { request, parent: &parent, folders, stop: stop.clone() };
    let mut conductor = Conductor::new(folder.to_owned(), journal, replay(&entries)?, launcher, &program);
    conductor.objectives = objectives(request, &parent, search.as_ref(), work)?;
    conductor.retries = settings.retries();
    conductor.aims = aims(&conductor.objectives, search.as_ref());
    conductor.study = study_name(search.as_ref(), folder);
    conductor.search = search;
    let aims = conductor.aims.clone();
    let records = conductor.run()?;
    Ok(conclude(&records, &aims, folder, stop.is_interrupted()))
}

/// The closing lines; gives the exit code.
fn conclude(records: &[Record], aims: &[Aim], folder: &Path, interrupted: bool) -> i32 {
    println!("\n{}", Table::of(records, aims.first().map(|aim| aim.metric.clone())).text());
    if let [aim] = aims
        && let Some((best, value)) = best_of(records, aim)
    {
        println!("best: #{}, {} {value}", best.number, aim.metric);
    } else if aims.len() > 1 {
        let numbers: Vec<String> = front_of(records, aims).iter().map(|record| format!("#{}", record.number)).collect();
        println!("Pareto front: {}", numbers.join(", "));
    }
    let count = |wanted: fn(State) -> bool| records.iter().filter(|record| wanted(record.state)).count();
    let (failed, open) = (count(|state| state == State::Failed), count(|state| !state.is_settled()));
    if failed > 0 {
        println!("{failed} of {} jobs failed", records.len());
    }
    if open > 0 {
        println!("{open} of {} jobs are missing: runner resume {}", records.len(), shown(folder));
    }
    println!("{}", shown(&folder.join(report::NAME)));
    if interrupted { INTERRUPTED } else { i32::from(failed > 0) }
}

/// `hydra.launcher` with its interpolations resolved.
fn resolved_launcher(parent: &Config) -> Result<Option<Node>> {
    Ok(parent.value("hydra.launcher")?)
}

/// The config that all jobs start from, and the jobs: listed, or asked of a search.
type Planned = (Arc<Config>, Vec<Vec<String>>, Option<Search>);

fn plan(request: &Request, work: &dyn Work) -> Result<Planned> {
    let parent = request.parent()?;
    let sweeper = parent.value("hydra.sweeper")?;
    let target = sweeper.as_ref().and_then(|node| node.get("_target_")).and_then(Node::as_str);
    match (&sweeper, target) {
        (Some(sweeper), Some(target)) if !target.ends_with("BasicSweeper") => {
            let typed = overrides::parse_all(&request.job_overrides(&parent))?;
            let search = Search::plan(sweeper, &typed, &|group| parent.sources.options(group), work.registry())?;
            Ok((parent, Vec::new(), Some(search)))
        }
        _ => request.jobs().map(|(parent, jobs)| (parent, jobs, None)),
    }
}

/// The metrics that the sweep optimizes.
fn objectives(request: &Request, parent: &Config, search: Option<&Search>, work: &dyn Work) -> Result<Vec<String>> {
    let named = search.map(|search| search.settings.metrics.clone()).unwrap_or_default();
    if !named.is_empty() {
        return Ok(named);
    }
    let value = if request.brings_config() { None } else { parent.value("optimized_metric")? };
    let mut metrics: Vec<String> = match value.as_ref().map(|node| (&node.value, node)) {
        Some((Value::List(list), _)) => list.iter().filter_map(Node::as_str).map(str::to_owned).collect(),
        Some((_, node)) => node.as_str().map(str::to_owned).into_iter().collect(),
        None => Vec::new(),
    };
    if metrics.is_empty() {
        metrics.extend(work.metric(parent));
    }
    match search.map(|search| search.settings.directions.len()) {
        Some(wanted) if wanted != metrics.len() => {
            Err(Error::request(format!("the search has {wanted} objectives, and {} metrics are named", metrics.len()))
                .help("name one for each direction: optimized_metric=val/acc_best"))
        }
        _ => Ok(metrics),
    }
}

fn aims(metrics: &[String], search: Option<&Search>) -> Vec<Aim> {
    let direction = |i: usize| {
        let direction = search.and_then(|search| search.settings.directions.get(i));
        direction.map(|d| if *d == Direction::Minimize { "minimize" } else { "maximize" })
    };
    metrics.iter().enumerate().map(|(i, metric)| Aim::of(metric, direction(i))).collect()
}

/// The study's name: what the sweeper says, or the folder's last parts.
fn study_name(search: Option<&Search>, folder: &Path) -> String {
    let given = search.and_then(|search| search.settings.study_name.clone());
    given.unwrap_or_else(|| {
        let parts: Vec<_> = folder.iter().rev().take(2).map(|part| part.to_string_lossy()).collect();
        parts.into_iter().rev().collect::<Vec<_>>().join("/")
    })
}

fn launcher(
    settings: &LauncherSettings,
    request: &Request,
    parent: &Arc<Config>,
    work: &dyn Work,
    folder: &Path,
) -> Result<Box<dyn Launcher>> {
    let program = || -> Result<PathBuf> {
        std::env::current_exe().map_err(|error| Error::failed(format!("cannot find the program: {error}")))
    };
    let processes = || -> Result<Box<dyn Processes>> {
        #[cfg(target_os = "linux")]
        if crate::native::process::threads().is_ok_and(|threads| threads == 1) {
            // What every job notes down is found out once, for all of them.
            let _ = std::env::current_dir().map(|folder| crate::run::Git::of(&folder));
            let main = |job: &_| job::run(request, parent, job, None, work);
            return Ok(Box::new(crate::sweep::launchers::ForkServer::start(&main)?));
        }
        let _ = (request, parent, work);
        Ok(Box::new(Spawned::new(program()?, folder.join(OWN).join("jobs"))))
    };
    Ok(match settings {
        LauncherSettings::Basic => Box::new(Local::in_order(processes()?)),
        LauncherSettings::Local(local) => {
            let gpus = local.gpus.as_ref().map(|gpus| gpus.iter().map(ToString::to_string).collect());
            Box::new(Local::side_by_side(processes()?, local.n_jobs, local.threads_per_job, gpus))
        }
        LauncherSettings::Slurm(slurm) => Box::new(Slurm::new(slurm.as_ref().clone(), program()?, folder.to_owned())?),
    })
}

/// The jobs as the conductor asks about them.
struct Jobs<'a> {
    request: &'a Request,
    parent: &'a Arc<Config>,
    folders: Vec<String>,
    stop: StopFlag,
}

impl Program for Jobs<'_> {
    fn folder(&self, number: usize, overrides: &[String]) -> Result<String> {
        match self.folders.get(number) {
            Some(known) => Ok(known.clone()),
            None => {
                let job = self.request.job(self.parent, overrides, number, None, None);
                compose::sweep_subdir(job.compose()?.config())
            }
        }
    }

    fn is_interrupted(&self) -> bool {
        self.stop.is_interrupted()
    }
}

/// Checks a job before anything is started; gives its folder below the sweep's.
fn check(
    request: &Request,
    parent: &Arc<Config>,
    number: usize,
    overrides: &[String],
    work: &dyn Work,
) -> Result<String> {
    let job = request.job(parent, overrides, number, None, None);
    let composed = job.compose()?;
    let below = compose::sweep_subdir(composed.config())?;
    work.check(&job, &composed, &compose::sweep_dir(parent)?.join(&below))?;
    Ok(below)
}

/// Says which job a problem is about.
fn of_job(error: Error, number: usize, overrides: &[String]) -> Error {
    match error {
        Error::Request(problems) => {
            let about = format!("job {number} ({})", overrides.join(" "));
            let named = problems.0.into_iter().map(|mut problem| {
                problem.message = format!("{about}: {}", problem.message);
                problem
            });
            Error::Request(Problems(named.collect()))
        }
        other => other.context(format!("job {number}")),
    }
}
