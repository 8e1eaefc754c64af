//! The `hydra` node: its fields have types, and the program fills in what it knows about the run.
//!
//! Its configs (`src/config/hydra/`) are Hydra 1.3's groups and fields, so that a tree written for Hydra composes
//! unchanged and `.hydra/hydra.yaml` reads as usual.

use std::path::PathBuf;

use indexmap::IndexMap;

use super::document::Choice;
use super::interpolate::nearest::{alike, either};
use super::node::{Key, Map, Node, Value};
use super::overrides::Override;
use super::problem::Problem;
use super::resolvers::Resolvers;
use super::sources::Sources;
use super::text::py_str;

/// The Hydra version whose behaviour is reproduced.
pub const VERSION: &str = "1.3.2";
const VERSION_BASE: &str = "1.3";

/// What the program knows about the run that a config is composed for.
#[derive(Clone, Debug)]
pub struct Facts {
    /// The job's name, unless the config sets one: the command or the program's name.
    pub name: String,
    /// The folder in which the program was started.
    pub cwd: PathBuf,
    /// Whether the config is for one run or for the parent of a sweep.
    pub mode: Mode,
    /// The job's number in a sweep, from 0.
    pub num: Option<i64>,
    /// The job's name in its scheduler; its number, where there is none.
    pub id: Option<String>,
}

/// One run, or the parent of a sweep.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Mode {
    /// One run, or one job of a sweep.
    #[default]
    Run,
    /// The parent of a sweep: swept values stay out, and a choice may be left to the jobs.
    Multirun,
}

impl Mode {
    /// As `hydra.mode` spells it.
    pub fn name(self) -> &'static str {
        match self {
            Mode::Run => "RUN",
            Mode::Multirun => "MULTIRUN",
        }
    }
}

impl Facts {
    /// The facts of a job of a sweep; without a scheduler's name for it, its number is its name, as with Hydra's own
    /// launcher.
    pub fn of_job(&self, number: usize, id: Option<String>) -> Self {
        let id = id.unwrap_or_else(|| number.to_string());
        Facts { mode: Mode::Run, num: i64::try_from(number).ok(), id: Some(id), ..self.clone() }
    }
}

impl Default for Facts {
    fn default() -> Self {
        let cwd = std::env::current_dir().unwrap_or_default();
        Facts { name: "runner".to_owned(), cwd, mode: Mode::Run, num: None, id: None }
    }
}

/// The type of a field.
enum Type {
    Fields(&'static [(&'static str, Type)]),
    Text,
    OptionalText,
    Whole,
    OptionalWhole,
    OptionalFlag,
    Texts,
    TextMap,
    OptionalTextMap,
    AnyMap,
    Mode,
    Any,
}

use Type::{
    Any, AnyMap, Fields, OptionalFlag, OptionalText, OptionalTextMap, OptionalWhole, Text, TextMap, Texts, Whole,
};

const FIELDS: &[(&str, Type)] = &[
    ("mode", Type::Mode),
    ("searchpath", Texts),
    ("run", Fields(&[("dir", Text)])),
    ("sweep", Fields(&[("dir", Text), ("subdir", Text)])),
    ("hydra_logging", AnyMap),
    ("job_logging", AnyMap),
    ("sweeper", Any),
    ("launcher", Any),
    ("callbacks", AnyMap),
    ("help", Fields(&[("app_name", Text), ("header", Text), ("footer", Text), ("template", Text)])),
    ("hydra_help", Fields(&[("hydra_help", Text), ("template", Text)])),
    ("output_subdir", OptionalText),
    ("overrides", Fields(&[("hydra", Texts), ("task", Texts)])),
    (
        "job",
        Fields(&[
            ("name", Text),
            ("chdir", OptionalFlag),
            ("override_dirname", Text),
            ("id", Text),
            ("num", Whole),
            ("config_name", OptionalText),
            ("env_set", TextMap),
            ("env_copy", Texts),
            (
                "config",
                Fields(&[(
                    "override_dirname",
                    Fields(&[("kv_sep", Text), ("item_sep", Text), ("exclude_keys", Texts)]),
                )]),
            ),
        ]),
    ),
    (
        "runtime",
        Fields(&[
            ("version", Text),
            ("version_base", Text),
            ("cwd", Text),
            ("config_sources", Any),
            ("output_dir", Text),
            ("choices", AnyMap),
        ]),
    ),
    ("verbose", Any),
    ("env", AnyMap),
];

/// The fields of Hydra's own launcher and sweeper; others bring their own.
const BASIC: [(&str, &str, Type); 2] = [
    ("launcher", "BasicLauncher", Fields(&[("_target_", Text)])),
    (
        "sweeper",
        "BasicSweeper",
        Fields(&[("_target_", Text), ("max_batch_size", OptionalWhole), ("params", OptionalTextMap)]),
    ),
];

/// Gives what is set below `hydra` the types of its fields; `whole` is the node that it goes into, which knows the
/// launcher and sweeper that were chosen.
///
/// # Errors
/// A field that does not exist, unless `open`; a value of another type.
pub(super) fn typed(node: &mut Node, whole: Option<&Node>, open: bool) -> Result<(), Problem> {
    convert(node, &Fields(FIELDS), "hydra", open)?;
    for (key, target, wanted) in &BASIC {
        let Some(child) = node.as_map_mut().and_then(|map| map.get_mut(*key)) else { continue };
        let chosen = whole.and_then(|whole| whole.get(key)).unwrap_or(child);
        let is_basic = chosen.get("_target_").and_then(Node::as_str).is_some_and(|name| name.ends_with(target));
        if is_basic && child.as_map().is_some() {
            convert(child, wanted, &format!("hydra.{key}"), open)?;
        }
    }
    Ok(())
}

/// Whether a key below `hydra` is a field that cannot be deleted, by the path of its mapping.
pub(super) fn has_fixed_fields(mapping: &[String]) -> bool {
    let mut fields = FIELDS;
    for part in mapping {
        match fields.iter().find(|(name, _)| name == part) {
            Some((_, Fields(inner))) => fields = inner,
            _ => return false,
        }
    }
    true
}

fn convert(node: &mut Node, wanted: &Type, path: &str, open: bool) -> Result<(), Problem> {
    if let Value::Str(text) = &node.value
        && (text == "???" || text.contains("${"))
    {
        return Ok(());
    }
    let (optional, expected) = match wanted {
        Fields(fields) => return convert_fields(node, fields, path, open),
        Any => return Ok(()),
        Text => (false, "text"),
        OptionalText => (true, "text"),
        Whole => (false, "a whole number"),
        OptionalWhole => (true, "a whole number"),
        OptionalFlag => (true, "true or false"),
        Texts => (false, "a list of texts"),
        TextMap => (false, "a mapping of texts"),
        OptionalTextMap => (true, "a mapping of texts"),
        AnyMap => (false, "a mapping"),
        Type::Mode => (true, "RUN or MULTIRUN"),
    };
    let fits = match (wanted, &mut node.value) {
        (_, Value::Null) => optional,
        (Text | OptionalText, value) => as_text(value),
        (Whole | OptionalWhole, value) => as_whole(value),
        (OptionalFlag, value) => as_flag(value),
        (Texts, Value::List(list)) => list.iter_mut().all(|item| as_text(&mut item.value)),
        (TextMap | OptionalTextMap, Value::Map(map)) => {
            // Lists and mappings pass, as they do in Hydra.
            for item in map.values_mut() {
                as_text(&mut item.value);
            }
            true
        }
        (AnyMap, Value::Map(_)) => true,
        (Type::Mode, Value::Str(mode)) => matches!(mode.as_str(), "RUN" | "MULTIRUN"),
        _ => false,
    };
    if fits {
        return Ok(());
    }
    Err(Problem::new(format!("`{path}` must be {expected}, it is {}", node.value.describe())).from(&node.origin))
}

fn convert_fields(node: &mut Node, fields: &[(&str, Type)], path: &str, open: bool) -> Result<(), Problem> {
    let origin = node.origin.clone();
    let Value::Map(map) = &mut node.value else {
        return Err(Problem::new(format!("`{path}` must be a mapping, it is {}", node.value.describe())).from(&origin));
    };
    for (key, child) in map.iter_mut() {
        let name = key.to_string();
        match fields.iter().find(|(field, _)| *field == name) {
            Some((_, wanted)) => convert(child, wanted, &format!("{path}.{name}"), open)?,
            None if open => {}
            None => {
                let names: Vec<&str> = fields.iter().map(|(field, _)| *field).collect();
                let help = match alike(&name, names.iter().copied()).as_slice() {
                    [] => format!("it has {}", names.join(", ")),
                    near => format!("did you mean {}?", either(near)),
                };
                let message = format!("`{path}` has no field `{name}`");
                return Err(Problem::new(message).from(&child.origin.of_key()).help(help));
            }
        }
    }
    Ok(())
}

fn as_text(value: &mut Value) -> bool {
    match value {
        Value::Str(_) => true,
        Value::Bool(_) | Value::Int(_) | Value::Float(_) => {
            *value = Value::Str(py_str(&Node::program(value.clone())));
            true
        }
        _ => false,
    }
}

fn as_whole(value: &mut Value) -> bool {
    match value {
        Value::Int(_) => true,
        Value::Str(text) => match text.trim().parse() {
            Ok(int) => {
                *value = Value::Int(int);
                true
            }
            Err(_) => false,
        },
        _ => false,
    }
}

fn as_flag(value: &mut Value) -> bool {
    let flag = match value {
        Value::Bool(b) => Some(*b),
        Value::Int(int) => Some(*int != 0),
        Value::Str(text) => match text.to_lowercase().as_str() {
            "yes" | "y" | "on" | "true" | "1" => Some(true),
            "no" | "n" | "off" | "false" | "0" => Some(false),
            _ => None,
        },
        _ => None,
    };
    if let Some(flag) = flag {
        *value = Value::Bool(flag);
    }
    flag.is_some()
}

/// Sets a field of the node by its dotted path below `hydra`; mappings on the way are made.
pub(super) fn set(hydra: &mut Node, path: &str, value: impl Into<Value>) {
    let mut node = hydra;
    for part in path.split('.') {
        if node.as_map().is_none() {
            *node = Node::program(Map::new());
        }
        let Value::Map(map) = &mut node.value else { return };
        node = map.entry(Key::from(part)).or_insert_with(|| Node::program(Value::Null));
    }
    *node = Node::program(value);
}

/// Fills in what the program knows.
pub(super) fn fill(
    hydra: &mut Node,
    facts: &Facts,
    config_name: Option<&str>,
    overrides: &[Override],
    choices: &IndexMap<String, Choice>,
    sources: &Sources,
    resolvers: &Resolvers,
) -> Result<(), Problem> {
    let (own, task): (Vec<&Override>, Vec<&Override>) = overrides.iter().partition(|item| item.is_hydra());
    append(hydra, "overrides.hydra", own.iter().map(|item| item.source.text.as_str()));
    append(hydra, "overrides.task", task.iter().map(|item| item.source.text.as_str()));
    if hydra.get("mode").is_none_or(Node::is_null) {
        // A job of a sweep is composed as a run, and says that it is part of one.
        let mode = if facts.num.is_some() { Mode::Multirun } else { facts.mode };
        set(hydra, "mode", mode.name());
    }
    let mut chosen = match hydra.select("runtime.choices").map(|node| node.value.clone()) {
        Some(Value::Map(map)) => map,
        _ => Map::new(),
    };
    chosen.extend(choices.iter().map(|(key, choice)| (Key::from(key.as_str()), Node::program(choice.value()))));
    set(hydra, "runtime.choices", chosen);
    copy_environment(hydra, resolvers)?;
    set(hydra, "runtime.version", VERSION);
    set(hydra, "runtime.version_base", VERSION_BASE);
    set(hydra, "runtime.cwd", facts.cwd.display().to_string());
    let places = sources.places().iter().map(|place| {
        let fields =
            [("path", place.path()), ("schema", place.scheme().to_owned()), ("provider", place.provider.clone())];
        Node::program(fields.into_iter().map(|(k, v)| (Key::from(k), Node::program(v))).collect::<Map>())
    });
    set(hydra, "runtime.config_sources", places.collect::<Vec<_>>());
    if hydra.select("job.name").is_none_or(Node::is_missing) {
        set(hydra, "job.name", facts.name.as_str());
    }
    let dirname = override_dirname(hydra, &task);
    set(hydra, "job.override_dirname", dirname);
    set(hydra, "job.config_name", config_name.map_or(Value::Null, Value::from));
    if let Some(num) = facts.num {
        set(hydra, "job.num", num);
    }
    if let Some(id) = &facts.id {
        set(hydra, "job.id", id.as_str());
    }
    Ok(())
}

/// Lengthens a list of texts by its dotted path below `hydra`.
pub(super) fn append<'t>(hydra: &mut Node, path: &str, more: impl Iterator<Item = &'t str>) {
    let mut list = match hydra.select(path).map(|node| node.value.clone()) {
        Some(Value::List(list)) => list,
        _ => Vec::new(),
    };
    list.extend(more.map(Node::program));
    set(hydra, path, list);
}

/// `hydra.job.env_copy`: variables of this process that the job shall have.
fn copy_environment(hydra: &mut Node, resolvers: &Resolvers) -> Result<(), Problem> {
    let names: Vec<(String, super::node::Origin)> = match hydra.select("job.env_copy").and_then(Node::as_list) {
        Some(list) => list.iter().filter_map(|node| Some((node.as_str()?.to_owned(), node.origin.clone()))).collect(),
        None => return Ok(()),
    };
    for (name, origin) in names {
        let known = resolvers.variable(&name).unwrap_or_default();
        let Some(value) = known else {
            return Err(Problem::new(format!("`hydra.job.env_copy`: `{name}` is not set")).from(&origin));
        };
        let env = hydra.as_map_mut().and_then(|map| map.get_mut("job")).and_then(Node::as_map_mut);
        if let Some(Value::Map(env)) = env.and_then(|job| job.get_mut("env_set")).map(|node| &mut node.value) {
            env.insert(Key::Str(name), Node::program(value));
        }
    }
    Ok(())
}

fn override_dirname(hydra: &Node, task: &[&Override]) -> String {
    let setting = |key: &str, otherwise: &str| {
        let text = hydra.select("job.config.override_dirname").and_then(|node| node.get(key)).and_then(Node::as_str);
        text.unwrap_or(otherwise).to_owned()
    };
    let excluded = hydra.select("job.config.override_dirname.exclude_keys").and_then(Node::as_list).unwrap_or_default();
    let mut lines: Vec<&str> = task
        .iter()
        .filter(|item| !excluded.iter().any(|key| key.as_str() == Some(&item.key)))
        .map(|item| item.source.text.as_str())
        .collect();
    lines.sort_unstable();
    lines.join(&setting("item_sep", ",")).replace('=', &setting("kv_sep", "="))
}
