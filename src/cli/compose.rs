//! From the command line to a composed config: which command, which search path, which overrides.

use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

use super::args::Args;
use super::command::Command;
use super::files;
use crate::config::{
    Composer, Config, Facts, Key, Map, Node, Place, Problem, SourceKind, Sources, Value, emit, overrides, yaml,
};
use crate::error::{Error, Result};
use crate::plan::layout;
use crate::registry::Additions;
use crate::run::RunDir;

/// A command line that is understood.
#[derive(Clone)]
pub struct Request {
    /// What was typed.
    pub args: Args,
    /// The command.
    pub command: Command,
    /// The words that the command takes beside overrides.
    pub words: Vec<String>,
    /// The overrides, as typed.
    pub overrides: Vec<String>,
    composer: Arc<Composer>,
    additions: Additions,
    /// What only a job of a sweep knows of itself: its number, and the config that all jobs start from.
    job: Option<(Facts, Arc<Config>)>,
}

/// A composed config with what depends on it.
pub struct Composed {
    config: Config,
    run_dir: Option<PathBuf>,
    recorded_seed: Option<u32>,
    pause_after: Option<u64>,
}

/// The name of the config that a checkpoint brings along.
const SAVED: &str = "saved";

impl Request {
    /// Understands the command line.
    ///
    /// # Errors
    /// An unknown command, a config folder that is not there.
    pub fn new(args: Args, additions: &Additions) -> Result<Self> {
        let (command, words, overrides) = Command::split(&args.free, &additions.commands)?;
        let composer = Composer::new(search_path(&args, None)?, facts(command));
        let composer = Arc::new(composer.with_resolvers(additions.resolvers.clone()));
        Ok(Request { args, command, words, overrides, composer, additions: additions.clone(), job: None })
    }

    /// The primary config's name.
    pub fn config_name(&self) -> &str {
        match &self.args.config_name {
            Some(name) => name,
            None if self.command.evaluates() => "eval",
            None if self.command == Command::Pipeline => "pipeline",
            None if self.has_config_of_its_own() => self.command.name(),
            None if chosen_outside().is_some() => chosen_outside().unwrap_or_default(),
            None => "train",
        }
    }

    /// The same command without its overrides.
    pub fn bare(&self) -> Result<Self> {
        let free = vec![self.command.name().to_owned()];
        Request::new(Args { free, ..self.args.clone() }, &self.additions)
    }

    /// The same command without options of these names, which are no overrides of the config.
    pub fn without(&self, options: &[&str]) -> Self {
        let is_option = |text: &String| text.split_once('=').is_some_and(|(key, _)| options.contains(&key));
        let overrides = self.overrides.iter().filter(|text| !is_option(text)).cloned().collect();
        Request { overrides, ..self.clone() }
    }

    /// What a user's crate adds to the command line.
    pub fn additions(&self) -> &Additions {
        &self.additions
    }

    /// Whether a command of a user's crate has a config by its name.
    fn has_config_of_its_own(&self) -> bool {
        let name = self.command.name();
        matches!(self.command, Command::Own(_)) && matches!(self.composer.sources().load(name), Ok(Some(_)))
    }

    /// The composer, with the search path.
    pub fn composer(&self) -> &Composer {
        &self.composer
    }

    /// The value of a plain override `key=value` as typed, the last one if there are several.
    pub fn typed(&self, key: &str) -> Option<&str> {
        self.overrides.iter().rev().find_map(|text| text.strip_prefix(key)?.strip_prefix('='))
    }

    /// Where to write: `--out PATH`, or `out=PATH`.
    pub fn out(&self) -> Option<PathBuf> {
        self.args.out.clone().or_else(|| self.typed("out").map(PathBuf::from))
    }

    /// Composes the config of a run, or of the job of a sweep that this is.
    pub fn compose(&self) -> Result<Composed> {
        let name = Some(self.config_name());
        let config = match &self.job {
            Some((facts, parent)) => {
                let own = if self.brings_config() { &[] } else { self.overrides.as_slice() };
                self.composer.compose_job(name, parent, own, facts)?
            }
            None => self.composer.compose(name, &overrides::parse_all(&self.overrides)?)?,
        };
        Ok(Composed { config, run_dir: self.args.run_dir.clone(), recorded_seed: None, pause_after: None })
    }

    /// Composes from the config that a checkpoint brings along (`origin` is its file), overrides on top.
    pub fn compose_saved(&self, text: &str, origin: &Path) -> Result<Composed> {
        // The saved tree is the job's; where the run goes is again this program's business.
        let head = if text.contains("\npaths:") || text.starts_with("paths:") {
            "defaults:\n- hydra: default\n- _self_\n"
        } else {
            ""
        };
        let place = Place::text("checkpoint", SAVED, SourceKind::File(origin.to_owned()), format!("{head}{text}"));
        let own = self.job.as_ref().map_or_else(|| facts(self.command), |(facts, _)| facts.clone());
        let composer =
            Composer::new(search_path(&self.args, Some(place))?, own).with_resolvers(self.additions.resolvers.clone());
        // Whether the config had the key or not: it names the checkpoint itself.
        let force = |text: &String| if text.starts_with("ckpt_path=") { format!("++{text}") } else { text.clone() };
        let of_sweep = self.job.iter().flat_map(|(_, parent)| &parent.hydra_overrides);
        let parsed = overrides::parse_all(&of_sweep.chain(&self.overrides).map(force).collect::<Vec<_>>())?;
        let config = composer.compose(Some(SAVED), &parsed)?;
        Ok(Composed { config, run_dir: self.args.run_dir.clone(), recorded_seed: None, pause_after: None })
    }

    /// Whether this is a sweep: by `-m`, or because the config says `hydra.mode: MULTIRUN`.
    pub fn is_multirun(&self) -> Result<bool> {
        if self.args.multirun {
            return Ok(true);
        }
        let Ok(parsed) = overrides::parse_all(&self.overrides) else { return Ok(false) };
        if self.args.run || parsed.iter().any(overrides::Override::is_sweep) {
            return Ok(false);
        }
        let config = self.composer.compose(Some(self.config_name()), &parsed);
        Ok(config.is_ok_and(|config| config.hydra.get("mode").and_then(Node::as_str) == Some("MULTIRUN")))
    }

    /// The config that all jobs of a sweep start from.
    pub fn parent(&self) -> Result<Arc<Config>> {
        let mut parsed = overrides::parse_all(&self.overrides)?;
        if self.brings_config() {
            // The jobs' configs come with their checkpoints: here only `hydra` is of interest.
            parsed.retain(overrides::Override::is_hydra);
        }
        Ok(Arc::new(self.composer.compose_parent(Some(self.config_name()), &parsed)?))
    }

    /// Whether a job's config comes with its checkpoint.
    pub fn brings_config(&self) -> bool {
        self.command.evaluates() && self.args.config_name.is_none()
    }

    /// The overrides that are about the jobs rather than `hydra`.
    pub fn job_overrides(&self, parent: &Config) -> Vec<String> {
        self.overrides.iter().filter(|text| !parent.hydra_overrides.contains(text)).cloned().collect()
    }

    /// The jobs of a sweep, each a list of overrides spelt as Hydra spells them.
    pub fn jobs(&self) -> Result<(Arc<Config>, Vec<Vec<String>>)> {
        /// More jobs than anybody waits for, and fewer than fill the memory.
        const MOST: u64 = 1_000_000;
        let parent = self.parent()?;
        let mut texts = parent.sweep_arguments()?;
        if self.brings_config() {
            texts.extend(self.job_overrides(&parent));
        }
        let arguments = overrides::parse_all(&files::expand(texts)?)?;
        let jobs = overrides::sweep::expand(&arguments, &|group| parent.sources.options(group), 0)?;
        if jobs.len() > MOST {
            return Err(Error::request(format!("the sweep has {} jobs, more than {MOST}", jobs.len()))
                .help("sweep over fewer values, or in several sweeps"));
        }
        let jobs = (0..jobs.len()).map_while(|i| jobs.get(i)).collect();
        Ok((parent, jobs))
    }

    /// The request that runs one job of a sweep, in `folder` once that is known. It shares what has been read of the
    /// configs. `id` is the job's name in its scheduler, if it has one.
    pub fn job(
        &self,
        parent: &Arc<Config>,
        job: &[String],
        number: usize,
        id: Option<String>,
        folder: Option<&Path>,
    ) -> Self {
        let run_dir = folder.map(Path::to_owned);
        let id = id.or_else(|| side_by_side_id(parent, number));
        Request {
            args: Args { run_dir, multirun: false, run: true, sweep_job: None, ..self.args.clone() },
            command: self.command,
            words: self.words.clone(),
            overrides: job.to_vec(),
            composer: self.composer.clone(),
            additions: self.additions.clone(),
            job: Some((self.composer.facts().of_job(number, id), parent.clone())),
        }
    }
}

/// The name that Hydra's joblib launcher gives a job; its basic one leaves it at the number.
fn side_by_side_id(parent: &Config, number: usize) -> Option<String> {
    let target = parent.hydra.select("launcher._target_").and_then(Node::as_str)?;
    let name = parent.hydra.select("job.name").and_then(Node::as_str)?;
    (!target.ends_with("BasicLauncher")).then(|| format!("{name}_{number}"))
}

/// The primary config's name by the environment: `RUNNER_CONFIG_NAME=dev runner train`.
fn chosen_outside() -> Option<&'static str> {
    static NAME: OnceLock<Option<String>> = OnceLock::new();
    NAME.get_or_init(|| std::env::var("RUNNER_CONFIG_NAME").ok().filter(|name| !name.is_empty())).as_deref()
}

fn facts(command: Command) -> Facts {
    // What only looks at a config shows it as a training run would see it.
    let own = command.evaluates() || matches!(command, Command::Tune | Command::Data | Command::Own(_));
    let name = if own { command.name() } else { Command::Train.name() };
    Facts { name: name.to_owned(), ..Facts::default() }
}

/// Where configs are looked for: `first`, `--config-path` (or `./conf`), `--config-dir`, the embedded ones.
fn search_path(args: &Args, first: Option<Place>) -> Result<Sources> {
    let mut places: Vec<Place> = first.into_iter().collect();
    match &args.config_path {
        Some(path) if !path.is_dir() => {
            return Err(Error::request(format!("--config-path: there is no folder {}", path.display())));
        }
        Some(path) => places.push(Place::folder("main", path)),
        None if Path::new("conf").is_dir() => places.push(Place::folder("main", "conf")),
        None => {}
    }
    if let Some(path) = &args.config_dir {
        if !path.is_dir() {
            return Err(Error::request(format!("--config-dir: there is no folder {}", path.display())));
        }
        places.push(Place::folder("command-line", path));
    }
    places.push(Place::shipped());
    Ok(Sources::new(places))
}

impl Composed {
    /// What the job sees, unresolved.
    pub fn job(&self) -> &Node {
        &self.config.job
    }

    /// The composed config.
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// The same in a given folder: that of a run that goes on.
    pub fn in_folder(self, folder: &Path) -> Self {
        Composed { run_dir: Some(folder.to_owned()), ..self }
    }

    /// The same with the seed that was drawn when the run began.
    pub fn with_recorded_seed(self, seed: Option<u32>) -> Self {
        Composed { recorded_seed: seed, ..self }
    }

    /// The same, to save and end after so many epochs.
    pub fn pausing_after(self, epochs: Option<u64>) -> Self {
        Composed { pause_after: epochs, ..self }
    }

    /// After how many epochs the run saves and ends, to go on later.
    pub fn pause_after(&self) -> Option<u64> {
        self.pause_after
    }

    /// The seed that was drawn when the run began, if it goes on.
    pub fn recorded_seed(&self) -> Option<u32> {
        self.recorded_seed
    }

    /// The config with values that the program has chosen.
    pub fn with(&self, values: &[(String, Value)]) -> Composed {
        let mut config = self.config.clone();
        for (path, value) in values {
            let shown = crate::config::text::py_str(&Node::program(value.clone()));
            config.set_job(path, value.clone(), format!("{path}={shown}"));
        }
        Composed {
            config,
            run_dir: self.run_dir.clone(),
            recorded_seed: self.recorded_seed,
            pause_after: self.pause_after,
        }
    }

    /// The folder that the run asks for, absolute; it may be taken.
    pub fn run_dir(&self) -> Result<PathBuf> {
        match &self.run_dir {
            Some(path) => absolute(path),
            None => absolute(Path::new(&text_of(&self.config, "hydra.run.dir")?)),
        }
    }

    /// The config as the job sees it, resolved, when its folder is `output_dir`; one that was written for another
    /// program in runner's shape.
    pub fn resolve(&self, output_dir: &Path) -> Result<Node> {
        Ok(layout::adopt(self.located(output_dir).resolved()?, output_dir)?)
    }

    /// Writes what a run that goes on has become: its config, and new overrides after those that it had.
    pub fn update_snapshot(&self, dir: &RunDir) -> Result<()> {
        let config = self.located(dir.path());
        let earlier = yaml::read(&dir.path().join(".hydra/overrides.yaml")).ok();
        let mut overrides = earlier.as_ref().and_then(Node::as_list).map(<[Node]>::to_vec).unwrap_or_default();
        overrides.extend(config.overrides.iter().map(|text| Node::program(text.as_str())));
        dir.write(".hydra/config.yaml", &emit::to_yaml(&config.job))?;
        dir.write(".hydra/overrides.yaml", &emit::to_yaml(&Node::program(overrides)))
    }

    fn located(&self, output_dir: &Path) -> Config {
        let mut config = self.config.clone();
        config.set_hydra("runtime.output_dir", output_dir.display().to_string());
        config
    }

    /// Writes `.hydra/config.yaml`, `hydra.yaml` and `overrides.yaml` as Hydra does. A job of a sweep does not wait for
    /// the disk: its sweep can compose it again.
    pub fn write_snapshot(&self, dir: &RunDir) -> Result<()> {
        let Some(subdir) = self.config.hydra.get("output_subdir").and_then(Node::as_str) else { return Ok(()) };
        let config = self.located(dir.path());
        let hydra: Map = [(Key::from("hydra"), config.as_started())].into_iter().collect();
        let overrides: Vec<Node> = config.overrides.iter().map(|text| Node::program(text.as_str())).collect();
        let of_sweep = config.hydra.get("mode").and_then(Node::as_str) == Some("MULTIRUN");
        for (name, node) in
            [("config", config.job), ("hydra", Node::program(hydra)), ("overrides", Node::program(overrides))]
        {
            let (path, text) = (format!("{subdir}/{name}.yaml"), emit::to_yaml(&node));
            if of_sweep { dir.write_derived(&path, &text) } else { dir.write(&path, &text) }?;
        }
        Ok(())
    }
}

/// The folder of a sweep, absolute.
pub fn sweep_dir(config: &Config) -> Result<PathBuf> {
    absolute(Path::new(&text_of(config, "hydra.sweep.dir")?))
}

/// The folder of one job below its sweep's.
pub fn sweep_subdir(config: &Config) -> Result<String> {
    text_of(config, "hydra.sweep.subdir")
}

fn text_of(config: &Config, key: &str) -> Result<String> {
    match config.value(key)? {
        Some(node) if !node.is_null() && !node.is_missing() => Ok(crate::config::text::py_str(&node)),
        _ => Err(Problem::new(format!("`{key}` is not set")).help(format!("set it: {key}=outputs")).into()),
    }
}

fn absolute(path: &Path) -> Result<PathBuf> {
    std::path::absolute(path).map_err(|error| Error::io("find", path, error))
}
