//! Overrides: the arguments `key=value`, `+key=value`, `++key=value`, `~key` of the command line, in Hydra's
//! grammar (its documentation's "Override grammar", with the additions of Hydra 1.4: indices in brackets,
//! `extend_list`, `json_str`).
//!
//! An *override* has a key (a config group or a dotted path), perhaps a package, an operation and a value. A value
//! is an [`Element`] (a scalar, list or mapping, kept so that it can be spelt again) or a [`Sweep`] over elements.
//! [`lexer`] cuts the text into tokens, [`grammar`] builds the override, [`functions`] evaluates `int(…)`,
//! `choice(…)` and their like, [`sweep`] turns overrides into a sweep's jobs. Applying an override to a tree is
//! done elsewhere.

mod element;
mod fnmatch;
mod functions;
mod grammar;
mod head;
mod key;
mod lexer;
mod range;
pub mod sweep;

use std::sync::{Arc, LazyLock};

pub use element::{Element, Literal, Quote, Span};
pub use range::{Number, Range};
pub use sweep::{Jobs, Sweep, SweepKind};

use super::node::{Node, Origin, Source, SourceKind};
use super::problem::{Problem, Problems};

/// One parsed override.
#[derive(Clone, Debug)]
pub struct Override {
    /// The config group (`db/mysql`) or dotted path (`model.lr`), as typed.
    pub key: String,
    /// The key parted into names and indices: `model`, `lr`; `steps`, `0` of both `steps.0` and `steps[0]`. One
    /// part for a group with slashes, none for the empty key.
    pub parts: Vec<String>,
    /// Whether the key is written with brackets or escapes, and so can only be a path, never a group.
    pub is_path: bool,
    /// What follows `@`: `Some("")` for `group@=x`.
    pub package: Option<String>,
    /// What to do with the key.
    pub op: Op,
    /// What follows `=`; `None` for a bare `~key`.
    pub value: Option<OverrideValue>,
    /// The whole argument, and its position.
    pub source: Arc<Source>,
    /// Where the key stands in the argument, the package included.
    pub key_span: Span,
    /// Where the value stands; empty when there is none.
    pub value_span: Span,
}

/// What an override does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Op {
    /// `key=value`: changes what exists.
    Set,
    /// `+key=value`: adds what does not exist.
    Add,
    /// `++key=value`: adds or changes.
    Force,
    /// `~key` or `~key=value`: deletes.
    Delete,
}

/// What follows the `=` of an override.
#[derive(Clone, Debug, PartialEq)]
pub enum OverrideValue {
    /// One value.
    Element(Element),
    /// Several values, one for each job.
    Sweep(Sweep),
    /// `extend_list(a, b)`: the elements to append to the list that is there.
    Extend(Vec<Element>),
}

/// Parses one override.
///
/// `position` is the argument's place among the overrides, from 1, for messages. `shuffle([…])` draws from a seed
/// that is fixed for the process: see [`parse_seeded`].
///
/// # Errors
/// Points at the character where the argument leaves the grammar and says what goes there.
pub fn parse(argument: &str, position: usize) -> Result<Override, Problem> {
    parse_seeded(argument, position, *PROCESS_SEED)
}

/// Parses one override; `seed` decides the order of a list in `shuffle([…])`.
///
/// # Errors
/// As [`parse`].
pub fn parse_seeded(argument: &str, position: usize, seed: u64) -> Result<Override, Problem> {
    let source = Arc::new(Source { kind: SourceKind::Argument(position), text: argument.to_owned() });
    grammar::parse(source, seed)
}

/// Parses all overrides of a command line, in order.
///
/// # Errors
/// The problems of every bad argument together.
pub fn parse_all(arguments: &[String]) -> Result<Vec<Override>, Problems> {
    let mut problems = Problems::default();
    let mut overrides = Vec::with_capacity(arguments.len());
    for (i, argument) in arguments.iter().enumerate() {
        match parse(argument, i + 1) {
            Ok(parsed) => overrides.push(parsed),
            Err(problem) => problems.push(problem),
        }
    }
    problems.or(overrides)
}

/// A seed that differs from process to process.
static PROCESS_SEED: LazyLock<u64> = LazyLock::new(|| {
    use std::hash::{BuildHasher, RandomState};
    RandomState::new().hash_one("shuffle")
});

impl Override {
    /// Whether the value is swept over, which needs a multirun.
    pub fn is_sweep(&self) -> bool {
        matches!(self.value, Some(OverrideValue::Sweep(_)))
    }

    /// The sweep, when the value is one.
    pub fn sweep(&self) -> Option<&Sweep> {
        match &self.value {
            Some(OverrideValue::Sweep(sweep)) => Some(sweep),
            _ => None,
        }
    }

    /// The element, when the value is one.
    pub fn element(&self) -> Option<&Element> {
        match &self.value {
            Some(OverrideValue::Element(element)) => Some(element),
            _ => None,
        }
    }

    /// Whether the key lies in the `hydra` config rather than in the job's.
    pub fn is_hydra(&self) -> bool {
        if self.is_path {
            return self.parts.first().is_some_and(|part| part == "hydra");
        }
        self.key.starts_with("hydra.") || self.key.starts_with("hydra/")
    }

    /// The operation's prefix and the key: `+db@src`. Two overrides with the same text are one axis of a sweep.
    pub fn key_text(&self) -> String {
        let prefix = match self.op {
            Op::Set => "",
            Op::Add => "+",
            Op::Force => "++",
            Op::Delete => "~",
        };
        match &self.package {
            None => format!("{prefix}{}", self.key),
            Some(package) => format!("{prefix}{}@{package}", self.key),
        }
    }

    /// The override as Hydra spells it again: `lit=True`, `name='a,b'`, `v={a:[1,x]}`. `None` for a sweep.
    pub fn spell(&self) -> Option<String> {
        let key = self.key_text();
        match &self.value {
            None => Some(key),
            Some(OverrideValue::Element(element)) => Some(format!("{key}={}", element.spell())),
            Some(OverrideValue::Extend(items)) => Some(format!("{key}=extend_list({})", element::spell_all(items))),
            Some(OverrideValue::Sweep(_)) => None,
        }
    }

    /// The config value: of an element the value, of `extend_list(…)` the list of what it appends, of a sweep
    /// nothing. Every part of it knows its column in the argument.
    pub fn to_node(&self) -> Option<Node> {
        let mut node = match self.value.as_ref()? {
            OverrideValue::Element(element) => element.to_node(&self.source),
            OverrideValue::Extend(items) => {
                let items: Vec<Node> = items.iter().map(|item| item.to_node(&self.source)).collect();
                Node::new(items, self.value_span.origin(&self.source))
            }
            OverrideValue::Sweep(_) => return None,
        };
        node.origin.key = (1, self.key_span.start as u32 + 1);
        Some(node)
    }

    /// Where the key stands.
    pub fn key_origin(&self) -> Origin {
        self.key_span.origin(&self.source)
    }

    /// Where the value stands.
    pub fn value_origin(&self) -> Origin {
        self.value_span.origin(&self.source)
    }
}

#[cfg(test)]
mod tests;
