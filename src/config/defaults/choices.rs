//! What is chosen: the command line's choices and deletions, `override` entries, and which of them have been used.

use indexmap::{IndexMap, IndexSet};

use super::group_kind;
use super::item::{Item, ItemKind};
use crate::config::document::Choice;
use crate::config::interpolate::nearest::{alike, either};
use crate::config::node::{Node, Origin, Value};
use crate::config::overrides::{Op, Override, OverrideValue};
use crate::config::problem::{Problem, Problems};
use crate::config::sources::{GroupKind, Sources};

/// A choice that waits for its entry.
#[derive(Debug)]
struct Wanted {
    choice: Choice,
    /// The file whose `override` entry it is; `None` for the command line.
    file: Option<String>,
    origin: Origin,
    used: bool,
}

#[derive(Debug)]
struct Deletion {
    name: Option<String>,
    origin: Origin,
    used: bool,
    /// The override itself, when only the shipped configs have such a group: unused, it deletes a key.
    or_key: Option<usize>,
}

/// All choices of one composition.
#[derive(Debug, Default)]
pub(super) struct Choices {
    wanted: IndexMap<String, Wanted>,
    deletions: IndexMap<String, Deletion>,
    /// `+group=option`, in order.
    pub appended: Vec<Item>,
    /// The positions of the overrides that are about keys, in order.
    pub config_overrides: Vec<usize>,
    /// Choices made so far, in the order in which they were met.
    pub known: IndexMap<String, Choice>,
    known_by_group: IndexMap<String, IndexSet<String>>,
}

impl Choices {
    /// Tells group choices from overrides of keys.
    pub fn new(sources: &Sources, primary: Option<&str>, overrides: &[Override]) -> Result<Self, Problems> {
        let mut choices = Choices::default();
        let mut problems = Problems::default();
        for (number, item) in overrides.iter().enumerate().filter(|(_, item)| !item.is_sweep()) {
            if let Err(problem) = choices.sort(sources, group_kind(sources, primary, item), number, item) {
                problems.push(problem);
            }
        }
        problems.or(choices)
    }

    fn sort(&mut self, sources: &Sources, kind: GroupKind, number: usize, item: &Override) -> Result<(), Problem> {
        let is_extension = matches!(item.value, Some(OverrideValue::Extend(_)));
        if kind == GroupKind::No || is_extension {
            self.config_overrides.push(number);
            return Ok(());
        }
        let node = item.to_node().unwrap_or_else(|| Node::program(Value::Null));
        if node.as_map().is_some() {
            self.config_overrides.push(number);
            return Ok(());
        }
        let choice = match (item.op, choice_of(&node.value)) {
            (Op::Force, _) if kind == GroupKind::Yes => {
                return Err(problem(item, format!("`++` does not work for the config group `{}`", item.key))
                    .help(format!("choose with `{0}=…`, or append with `+{0}=…`", item.key)));
            }
            (Op::Delete, Some(Choice::Nothing)) => None,
            (Op::Delete | Op::Set | Op::Add, Some(choice @ Choice::One(_))) => Some(choice),
            (Op::Set | Op::Add, Some(choice @ Choice::Several(_))) => Some(choice),
            _ if kind == GroupKind::Shipped => {
                self.config_overrides.push(number);
                return Ok(());
            }
            _ => {
                let options = sources.options(&item.key);
                return Err(problem(
                    item,
                    format!(
                        "`{}` is a config group: its option is a name or a list of names, not {}",
                        item.key,
                        node.value.describe()
                    ),
                )
                .help(format!("available: {}", options.join(", "))));
            }
        };
        // A group that only the shipped configs have may also be a key of the user's own tree.
        let shipped_options = kind == GroupKind::Shipped;
        if shipped_options && choice.as_ref().is_some_and(|choice| !has_options(sources, &item.key, choice)) {
            self.config_overrides.push(number);
            return Ok(());
        }
        let key = match &item.package {
            Some(package) => format!("{}@{package}", item.key),
            None => item.key.clone(),
        };
        let origin = item.key_origin();
        match item.op {
            Op::Delete => {
                let name = choice.map(|choice| choice.text());
                let or_key = shipped_options.then_some(number);
                self.deletions.insert(key, Deletion { name, origin, used: false, or_key });
            }
            Op::Add => {
                let choice = choice.unwrap_or(Choice::Nothing);
                self.appended.push(Item::appended(&item.key, item.package.clone(), choice, origin));
            }
            _ => {
                let choice = choice.unwrap_or(Choice::Nothing);
                self.wanted.insert(key, Wanted { choice, file: None, origin, used: false });
            }
        }
        Ok(())
    }

    /// Remembers an `override` entry; what is there already has precedence.
    pub fn add_override(&mut self, file: &str, item: &Item) {
        let ItemKind::Group { choice, .. } = &item.kind else { return };
        self.wanted.entry(item.override_key()).or_insert_with(|| Wanted {
            choice: choice.clone(),
            file: Some(file.to_owned()),
            origin: item.origin.clone(),
            used: false,
        });
    }

    /// Gives a group's entry the option that was asked for, if any was.
    pub fn apply(&mut self, item: &mut Item) {
        let key = item.override_key();
        if let ItemKind::Group { choice, .. } = &mut item.kind
            && let Some(wanted) = self.wanted.get_mut(&key)
        {
            choice.clone_from(&wanted.choice);
            wanted.used = true;
            item.origin.clone_from(&wanted.origin);
        }
    }

    /// Whether the command line deletes a group's entry; it counts as used then.
    pub fn delete(&mut self, item: &Item) -> bool {
        if !item.is_group() {
            return false;
        }
        let Some(deletion) = self.deletions.get_mut(&item.override_key()) else { return false };
        let matches = deletion.name.is_none() || deletion.name.as_deref() == item.name();
        deletion.used |= matches;
        matches
    }

    /// Remembers what a group's entry came to.
    pub fn set_known(&mut self, item: &Item) -> Result<(), Problem> {
        let ItemKind::Group { choice, .. } = &item.kind else { return Ok(()) };
        let key = item.override_key();
        match self.known.get(&key) {
            Some(other) if other != choice => {
                return Err(Problem::new(format!(
                    "`{key}` is chosen twice: `{}` and `{}`",
                    choice.text(),
                    other.text()
                ))
                .from(&item.origin)
                .help(format!("to replace a choice write `- override {key}: {}`", other.text())));
            }
            Some(_) => {}
            None => {
                self.known.insert(key.clone(), choice.clone());
            }
        }
        self.known_by_group.entry(item.group_path()).or_default().insert(key);
        Ok(())
    }

    /// All choices and deletions must have met their entry.
    pub fn check_used(&mut self, sources: &Sources) -> Problems {
        let mut problems = Problems::default();
        for (key, wanted) in self.wanted.iter().filter(|(_, wanted)| !wanted.used) {
            problems.push(self.unused(key, wanted, sources));
        }
        let unused: Vec<String> =
            self.deletions.iter().filter(|(_, deletion)| !deletion.used).map(|(key, _)| key.clone()).collect();
        for key in unused {
            let Some(deletion) = self.deletions.shift_remove(&key) else { continue };
            if let Some(item) = deletion.or_key {
                self.config_overrides.push(item);
                continue;
            }
            let option = deletion.name.map(|name| format!("={name}")).unwrap_or_default();
            let problem =
                Problem::new(format!("`~{key}{option}` deletes nothing: the defaults list has no such entry"));
            problems.push(self.with_nearest(problem.from(&deletion.origin), &key));
        }
        self.config_overrides.sort_unstable();
        problems
    }

    fn unused(&self, key: &str, wanted: &Wanted, sources: &Sources) -> Problem {
        let group = key.split('@').next().unwrap_or(key);
        let same_group: Vec<&str> =
            self.known_by_group.get(group).map(|keys| keys.iter().map(String::as_str).collect()).unwrap_or_default();
        let file = wanted.file.as_ref().map(|file| format!("in `{file}`: ")).unwrap_or_default();
        let problem = Problem::new(format!("{file}`{key}` is not in the defaults list")).from(&wanted.origin);
        if !same_group.is_empty() {
            return problem.help(format!("did you mean {}?", either(&same_group)));
        }
        if wanted.file.is_none() {
            let add = format!("to append it to the defaults list write `+{key}={}`", wanted.choice.text());
            if sources.is_group(group) {
                return problem.help(add);
            }
        }
        self.with_nearest(problem, key)
    }

    fn with_nearest(&self, problem: Problem, key: &str) -> Problem {
        let known: Vec<&str> = self.known.keys().map(String::as_str).filter(|k| !k.starts_with("hydra/")).collect();
        match alike(key, known.iter().copied()).as_slice() {
            [] if known.is_empty() => problem.help("the defaults list has no groups"),
            [] => problem.help(format!("the defaults list has {}", known.join(", "))),
            near => problem.help(format!("did you mean {}?", either(near))),
        }
    }
}

fn problem(item: &Override, message: String) -> Problem {
    Problem::new(message).from(&item.key_origin()).width(item.key_span.width())
}

fn choice_of(value: &Value) -> Option<Choice> {
    match value {
        Value::Null => Some(Choice::Nothing),
        Value::Str(name) => Some(Choice::One(name.clone())),
        Value::List(items) => {
            items.iter().map(|item| item.as_str().map(str::to_owned)).collect::<Option<_>>().map(Choice::Several)
        }
        _ => None,
    }
}

fn has_options(sources: &Sources, group: &str, choice: &Choice) -> bool {
    let has = |name: &String| matches!(sources.load(&format!("{group}/{name}")), Ok(Some(_)));
    match choice {
        Choice::Nothing => false,
        Choice::One(name) => has(name),
        Choice::Several(names) => names.iter().all(has),
    }
}
