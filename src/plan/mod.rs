//! The typed plan of a run: what stands where in the resolved config, every component looked up and checked, all
//! problems at once. Nothing has been created when a plan is refused.

pub mod layout;

use std::path::PathBuf;

use indexmap::IndexMap;
use serde::Deserialize;

use crate::config::{Key, KeyPath, Map, Node, Problem, Problems, Value};
use crate::data::DataModuleKind;
use crate::registry::{Kind, KindInfo, Registry, Slot, SlotRef, extract, suggest};
use crate::train::tune::TunerKind;
use crate::train::{CallbackKind, LoggerKind, TaskKind, TrainerKind};

/// The plan of one run.
pub struct Plan {
    /// What is trained (`model`).
    pub task: Slot<TaskKind>,
    /// Where samples come from (`data`).
    pub data: Slot<DataModuleKind>,
    /// The trainer (`trainer`).
    pub trainer: Slot<TrainerKind>,
    /// What to look for before training (`tuner`), when the config says.
    pub tuner: Option<Slot<TunerKind>>,
    /// Callbacks by their names in the config (`callbacks`).
    pub callbacks: IndexMap<String, Slot<CallbackKind>>,
    /// Loggers by their names in the config (`logger`).
    pub loggers: IndexMap<String, Slot<LoggerKind>>,
    /// Settings that are not components.
    pub settings: Settings,
}

/// Top-level settings that are not components. Other top-level keys are the user's own.
#[derive(Clone, Debug, Deserialize)]
pub struct Settings {
    /// The seed of everything random; drawn and recorded when null.
    #[serde(default)]
    pub seed: Option<u32>,
    /// Whether to look for a learning rate and a batch size before the fit.
    #[serde(default)]
    pub tune: bool,
    /// Whether to fit.
    #[serde(default = "yes")]
    pub train: bool,
    /// Whether to validate after the fit, with the best checkpoint.
    #[serde(default)]
    pub validate: bool,
    /// Whether to test after the fit, with the best checkpoint.
    #[serde(default)]
    pub test: bool,
    /// Where the best checkpoint is left under a second name after the fit, however that ends.
    #[serde(default)]
    pub best_checkpoint_copy: Option<PathBuf>,
    /// The checkpoint to go on from or to evaluate: a path.
    #[serde(default)]
    pub ckpt_path: Option<String>,
    /// The metric that a sweep optimizes.
    #[serde(default)]
    pub optimized_metric: Option<String>,
    /// The run's name.
    #[serde(default)]
    pub task_name: Option<String>,
}

fn yes() -> bool {
    true
}

/// A checked plan, with what the user should hear once.
pub struct Checked {
    /// The plan.
    pub plan: Plan,
    /// Arguments that are accepted but have no effect: path and reason.
    pub notes: Vec<(KeyPath, String)>,
}

impl Plan {
    /// Reads and checks the plan in a resolved config.
    ///
    /// # Errors
    /// Every problem of the whole tree: unknown names, wrong arguments, missing values.
    pub fn check(config: &Node, registry: &Registry) -> Result<Checked, Problems> {
        let mut checker = Checker { config, registry, problems: Problems::default(), notes: Vec::new() };
        let task = checker.slot::<TaskKind>("model");
        let data = checker.slot::<DataModuleKind>("data");
        let trainer = checker.slot::<TrainerKind>("trainer");
        let tuner = match config.get("tuner").is_some_and(|node| !node.is_null()) {
            true => checker.slot::<TunerKind>("tuner"),
            false => None,
        };
        let callbacks = checker.named::<CallbackKind>(&["callbacks"]);
        let loggers = checker.named::<LoggerKind>(&["logger", "loggers"]);
        let settings = checker.settings();
        match (task, data, trainer, settings) {
            (Some(task), Some(data), Some(trainer), Some(settings)) if checker.problems.is_empty() => Ok(Checked {
                plan: Plan { task, data, trainer, tuner, callbacks, loggers, settings },
                notes: checker.notes,
            }),
            _ => Err(checker.problems),
        }
    }
}

struct Checker<'a> {
    config: &'a Node,
    registry: &'a Registry,
    problems: Problems,
    notes: Vec<(KeyPath, String)>,
}

impl Checker<'_> {
    /// The component under a top-level key.
    fn slot<K: Kind>(&mut self, key: &str) -> Option<Slot<K>> {
        let path = KeyPath::root().key(key);
        match self.config.get(key).filter(|node| !node.is_null()) {
            Some(node) => self.checked(node, path),
            None => {
                let help = format!("choose one: {key}=… (`runner --help` lists the options)");
                self.problems.push(Problem::new(format!("the config has no `{key}`")).at(path).help(help));
                None
            }
        }
    }

    fn checked<K: Kind>(&mut self, node: &Node, path: KeyPath) -> Option<Slot<K>> {
        let slot = SlotRef { node: node.clone(), path: path.clone(), kind: KindInfo::of::<K>() };
        let (problems, notes) = self.registry.check(&slot);
        let fits = problems.is_empty();
        self.problems.extend(problems);
        self.notes.extend(notes);
        fits.then(|| Slot::new(node.clone(), path))
    }

    /// Components by name: a mapping or a list; null and false are none. As in the lightning-hydra-template, an
    /// entry without a `_target_` (all of whose keys a user has blanked) is left out.
    fn named<K: Kind>(&mut self, keys: &[&str]) -> IndexMap<String, Slot<K>> {
        let mut out = IndexMap::new();
        for key in keys {
            let path = KeyPath::root().key(*key);
            let Some(node) = self.config.get(key) else { continue };
            let entries: Vec<(String, KeyPath, &Node)> = match &node.value {
                Value::Null | Value::Bool(false) => Vec::new(),
                Value::Map(map) if map.contains_key("_target_") => vec![((*key).to_owned(), path, node)],
                Value::Map(map) => named_entries(map, &path),
                Value::List(list) => {
                    list.iter().enumerate().map(|(i, node)| (i.to_string(), path.index(i), node)).collect()
                }
                other => {
                    let message = format!("`{key}` is a mapping of {}s by name, not {}", K::NAME, other.describe());
                    self.problems.push(Problem::new(message).at(path).from(&node.origin));
                    Vec::new()
                }
            };
            for (name, path, node) in entries {
                if let Some(slot) = self.checked(node, path) {
                    out.insert(name, slot);
                }
            }
        }
        out
    }

    fn settings(&mut self) -> Option<Settings> {
        let known = [
            "seed",
            "tune",
            "train",
            "validate",
            "test",
            "best_checkpoint_copy",
            "ckpt_path",
            "optimized_metric",
            "task_name",
        ];
        let all = self.config.as_map().into_iter().flatten();
        let own = all.filter(|(key, _)| key.as_str().is_some_and(|key| known.contains(&key)));
        let own: Map = own.map(|(key, node)| (key.clone(), node.clone())).collect();
        let (settings, _) = extract(&Node::new(own, self.config.origin.clone()), &KeyPath::root());
        settings.map_err(|problems| self.problems.extend(problems)).ok()
    }
}

fn named_entries<'a>(map: &'a Map, path: &KeyPath) -> Vec<(String, KeyPath, &'a Node)> {
    let meant = map.iter().filter(|(_, node)| !node.is_null() && node.get("_target_").is_some());
    meant.map(|(key, node): (&Key, &Node)| (key.to_string(), path.key(key.clone()), node)).collect()
}

/// Checks that monitored metrics are among those that will be logged.
///
/// `monitors` holds who monitors what and where that was written.
pub fn check_monitors(monitors: &[(KeyPath, &Node, String)], logged: &[String]) -> Problems {
    let mut problems = Problems::default();
    for (path, node, name) in monitors {
        if logged.contains(name) || name.starts_with("lr-") {
            continue;
        }
        let mut problem =
            Problem::new(format!("`{name}` is monitored, but nothing logs it")).at(path.clone()).from(&node.origin);
        if let Some(near) = suggest::nearest(name, logged.iter().map(String::as_str)) {
            problem = problem.label(format!("did you mean `{near}`?"));
        }
        problems.push(problem.help(format!("logged are {}", logged.join(", "))));
    }
    problems
}
