//! One config file: its package header, its defaults list and its body.
//!
//! Every file is read and checked once ([`super::sources`] keeps it) and shared by all jobs of a sweep.

use std::sync::Arc;

use super::interpolate::SyntaxCache;
use super::node::{Key, Map, Node, Origin, Source, Value};
use super::problem::{Problem, Problems};
use super::yaml;

/// How many characters of a file are searched for its header, as in Hydra.
const HEADER_CHARACTERS: usize = 512;

/// A config file, read.
#[derive(Debug)]
pub struct Document {
    /// The file's text and place.
    pub source: Arc<Source>,
    /// The package of a `# @package …` header.
    pub package: Option<String>,
    /// The entries of its defaults list.
    pub defaults: Vec<Entry>,
    /// What it sets, the defaults list taken out.
    pub body: Node,
}

/// An entry of a defaults list, as written.
#[derive(Clone, Debug)]
pub struct Entry {
    /// Which file or group it names.
    pub kind: EntryKind,
    /// The package after `@`.
    pub package: Option<String>,
    /// Where it stands.
    pub origin: Origin,
}

/// What an [`Entry`] names.
#[derive(Clone, Debug)]
pub enum EntryKind {
    /// `- name`, `- /dir/name`, `- _self_`.
    Config(String),
    /// `- group: option`.
    Group {
        /// The group's path.
        group: String,
        /// What is chosen.
        choice: Choice,
        /// `optional` before the group.
        optional: bool,
        /// `override` before the group.
        replaces: bool,
    },
}

/// What is chosen from a group.
#[derive(Clone, Debug, PartialEq)]
pub enum Choice {
    /// `null`: nothing.
    Nothing,
    /// One option.
    One(String),
    /// Several, merged in order.
    Several(Vec<String>),
}

impl Choice {
    /// As it is written on a command line.
    pub fn text(&self) -> String {
        match self {
            Choice::Nothing => "null".to_owned(),
            Choice::One(name) => name.clone(),
            Choice::Several(names) => format!("[{}]", names.join(",")),
        }
    }

    /// As a value.
    pub fn value(&self) -> Value {
        match self {
            Choice::Nothing => Value::Null,
            Choice::One(name) => Value::Str(name.clone()),
            Choice::Several(names) => Value::List(names.iter().map(|name| Node::program(name.as_str())).collect()),
        }
    }
}

impl Document {
    /// Reads a file's text.
    ///
    /// # Errors
    /// What is wrong with its YAML, its header, its defaults list, or the syntax of its interpolations.
    pub fn read(source: Arc<Source>, syntax: &SyntaxCache) -> Result<Self, Problems> {
        let package = package_header(&source)?;
        let root = yaml::parse(source.clone())?;
        let start = Origin::new(source.clone(), 1, 1);
        let mut body = as_container(root, &start)?;
        let defaults = match &mut body.value {
            Value::Map(map) => match map.shift_remove("defaults") {
                Some(list) => entries(list, syntax)?,
                None => Vec::new(),
            },
            _ => Vec::new(),
        };
        syntax.check(&body)?;
        Ok(Document { source, package, defaults, body })
    }
}

/// The root of a file is a mapping or a list; nothing is an empty mapping, and a lone word a key without value.
fn as_container(root: Node, start: &Origin) -> Result<Node, Problems> {
    let origin = if root.origin.line > 0 { root.origin.clone() } else { start.clone() };
    match root.value {
        Value::Map(_) | Value::List(_) => Ok(Node { value: root.value, origin }),
        Value::Null => Ok(Node { value: Value::Map(Map::new()), origin }),
        Value::Str(word) => {
            let null = Node { value: Value::Null, origin: origin.clone() };
            Ok(Node { value: Value::Map(Map::from_iter([(Key::Str(word), null)])), origin })
        }
        other => {
            Err(Problem::new(format!("a config file is a mapping, not {}", other.describe())).from(&origin).into())
        }
    }
}

/// The package that the first lines give: only blank lines and other `# @key value` lines may stand before it.
fn package_header(source: &Arc<Source>) -> Result<Option<String>, Problems> {
    let text: String = source.text.chars().take(HEADER_CHARACTERS).collect();
    let mut package = None;
    for (number, line) in (1..).zip(text.lines()) {
        let line = line.trim();
        if line.is_empty() {
            continue;
        }
        let Some(header) = line.strip_prefix('#').map(str::trim_start).filter(|rest| rest.starts_with('@')) else {
            break;
        };
        let words: Vec<&str> = header.split(' ').filter(|word| !word.is_empty()).collect();
        match words.as_slice() {
            ["@package", value] => package = Some(value.trim().to_owned()),
            [_, _] => {}
            _ => {
                return Err(Problem::new(format!("the header `{line}` must be one key and one value"))
                    .from(&Origin::new(source.clone(), number, 1))
                    .width(line.chars().count())
                    .help("for example `# @package _global_`")
                    .into());
            }
        }
    }
    Ok(package)
}

fn entries(list: Node, syntax: &SyntaxCache) -> Result<Vec<Entry>, Problems> {
    let Value::List(items) = list.value else {
        if list.is_missing() {
            return Ok(Vec::new());
        }
        return Err(Problem::new(format!("the defaults list must be a list, it is {}", list.value.describe()))
            .from(&list.origin)
            .help("write `defaults:` and below it lines such as `- group: option` and `- _self_`")
            .into());
    };
    let mut problems = Problems::default();
    let mut entries = Vec::with_capacity(items.len());
    for item in items {
        match syntax.check(&item).and_then(|()| entry(item).map_err(Problems::from)) {
            Ok(entry) => entries.push(entry),
            Err(problem) => problems.extend(problem),
        }
    }
    problems.or(entries)
}

fn entry(item: Node) -> Result<Entry, Problem> {
    let origin = item.origin;
    match item.value {
        Value::Str(text) => {
            let (path, package) = split_package(&text);
            if path == "_self_" && package.is_some() {
                return Err(Problem::new("`_self_` takes no package").from(&origin));
            }
            Ok(Entry {
                kind: EntryKind::Config(path.to_owned()),
                package: package.map(str::to_owned).map(here),
                origin,
            })
        }
        Value::Map(map) => {
            if map.len() > 1 {
                let keys: Vec<String> = map.keys().map(Key::to_string).collect();
                return Err(Problem::new(format!(
                    "one entry of the defaults list has several keys: {}",
                    keys.join(", ")
                ))
                .from(&origin)
                .help("start a new line with `- ` for each group"));
            }
            let Some((key, value)) = map.into_iter().next() else {
                return Err(Problem::new("an entry of the defaults list is empty").from(&origin));
            };
            group_entry(&key, value)
        }
        other => Err(Problem::new(format!(
            "an entry of the defaults list is a name or `group: option`, not {}",
            other.describe()
        ))
        .from(&origin)),
    }
}

fn group_entry(key: &Key, value: Node) -> Result<Entry, Problem> {
    let origin = value.origin.clone();
    let Some(text) = key.as_str() else {
        return Err(Problem::new(format!("the group's name `{key}` must be text")).from(&origin));
    };
    let (words, package) = split_package(text);
    let mut words: Vec<&str> = words.split(' ').collect();
    let group = words.pop().unwrap_or_default();
    let (mut optional, mut replaces) = (false, false);
    for word in words {
        match word {
            "optional" => optional = true,
            "override" => replaces = true,
            _ => break,
        }
    }
    if group.is_empty() {
        return Err(Problem::new(format!("`{text}` names no group")).from(&origin));
    }
    let choice = match value.value {
        Value::Null => Choice::Nothing,
        Value::Str(name) => Choice::One(name),
        Value::List(items) => Choice::Several(items.into_iter().map(option_name).collect::<Result<_, _>>()?),
        other => {
            return Err(Problem::new(format!(
                "the option of `{group}` must be a name or a list of names, it is {}",
                other.describe()
            ))
            .from(&origin)
            .help(format!("quote it if it is the name of a file: `{group}: \"…\"`")));
        }
    };
    let kind = EntryKind::Group { group: group.to_owned(), choice, optional, replaces };
    Ok(Entry { kind, package: package.map(str::to_owned).map(here), origin })
}

fn option_name(item: Node) -> Result<String, Problem> {
    match item.value {
        Value::Str(name) => Ok(name),
        other => Err(Problem::new(format!("an option must be a name, it is {}", other.describe())).from(&item.origin)),
    }
}

/// `name@package`; what follows a colon in the package is an old form of renaming and means nothing.
fn split_package(text: &str) -> (&str, Option<&str>) {
    match text.split_once('@') {
        Some((name, package)) => (name, Some(package.split_once(':').map_or(package, |(package, _)| package))),
        None => (text, None),
    }
}

/// `_here_` is the package of the file that holds the list.
pub(super) fn here(package: String) -> String {
    if package == "_here_" { String::new() } else { package }
}
