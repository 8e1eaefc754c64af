//! The configuration tree: an ordered [`Node`] that remembers where each value was written.
//!
//! The values are OmegaConf's: null, booleans, integers, floats, strings, lists and mappings. Two kinds of
//! string carry a meaning of their own: `???` ([`Node::is_missing`]) and text with `${…}`
//! ([`Node::is_interpolation`]). Reading YAML is [`super::yaml`]'s job, resolving `${…}` [`super::interpolate`]'s.

use std::fmt;
use std::hash::{Hash, Hasher};
use std::path::PathBuf;
use std::sync::Arc;

use indexmap::{Equivalent, IndexMap};

/// A value and the place that set it.
#[derive(Clone, Debug)]
pub struct Node {
    /// The value itself.
    pub value: Value,
    /// Where it was written.
    pub origin: Origin,
}

/// An ordered mapping, in order of first appearance.
pub type Map = IndexMap<Key, Node>;

/// What a node holds.
#[derive(Clone, Debug)]
pub enum Value {
    /// `null`.
    Null,
    /// `true` or `false`.
    Bool(bool),
    /// A whole number.
    Int(i64),
    /// A floating point number, infinities and NaN included.
    Float(f64),
    /// Text; `???` and `${…}` included.
    Str(String),
    /// An ordered list.
    List(Vec<Node>),
    /// An ordered mapping.
    Map(Map),
}

/// A mapping's key. YAML allows scalars that are not strings; they are kept apart, as OmegaConf does.
#[derive(Clone, Debug)]
pub enum Key {
    /// The usual key.
    Str(String),
    /// `1: …`
    Int(i64),
    /// `1.5: …`
    Float(f64),
    /// `true: …`
    Bool(bool),
}

/// Where a value was written: a place in a file, an argument of the command line, or inside the program.
#[derive(Clone, Debug)]
pub struct Origin {
    /// The text that holds it.
    pub source: Arc<Source>,
    /// Line, from 1; 0 when unknown.
    pub line: u32,
    /// Column in characters, from 1; 0 when unknown.
    pub column: u32,
    /// Line and column of the key that the value stands under, (0, 0) when there is none. It travels with the
    /// value, so that a message about a key can point at the key.
    pub key: (u32, u32),
}

/// A piece of text that values come from, kept whole so that a message can show the line.
#[derive(Debug)]
pub struct Source {
    /// What it is.
    pub kind: SourceKind,
    /// Its text; empty when there is none to show.
    pub text: String,
}

/// What a [`Source`] is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SourceKind {
    /// A file that the user can edit.
    File(PathBuf),
    /// A config embedded in the binary, by its path below `conf/`.
    Embedded(String),
    /// An override: its position among the overrides, from 1.
    Argument(usize),
    /// Set by the program itself.
    Program,
}

impl Origin {
    /// A value that the program itself set.
    pub fn program() -> Self {
        static PROGRAM: std::sync::LazyLock<Arc<Source>> =
            std::sync::LazyLock::new(|| Arc::new(Source { kind: SourceKind::Program, text: String::new() }));
        Origin::new(PROGRAM.clone(), 0, 0)
    }

    /// A place in a source that stands under no key.
    pub fn new(source: Arc<Source>, line: u32, column: u32) -> Self {
        Origin { source, line, column, key: (0, 0) }
    }

    /// The place of the key; the value's own place when it has none.
    pub fn of_key(&self) -> Self {
        let (line, column) = if self.key.0 > 0 { self.key } else { (self.line, self.column) };
        Origin::new(self.source.clone(), line, column)
    }
}

impl fmt::Display for SourceKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            SourceKind::File(path) => write!(f, "{}", path.display()),
            SourceKind::Embedded(path) => write!(f, "built-in conf/{path}"),
            SourceKind::Argument(n) => write!(f, "argument {n}"),
            SourceKind::Program => write!(f, "runner itself"),
        }
    }
}

/// `file:line:column`, or `argument 3: text`.
impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.source.kind)?;
        match &self.source.kind {
            SourceKind::Argument(_) => write!(f, ": {}", self.source.text),
            SourceKind::Program => Ok(()),
            _ if self.line > 0 => write!(f, ":{}:{}", self.line, self.column),
            _ => Ok(()),
        }
    }
}

impl Node {
    /// A node with a value and its place.
    pub fn new(value: impl Into<Value>, origin: Origin) -> Self {
        Node { value: value.into(), origin }
    }

    /// A node set by the program itself.
    pub fn program(value: impl Into<Value>) -> Self {
        Node::new(value, Origin::program())
    }

    /// The text of a string node.
    pub fn as_str(&self) -> Option<&str> {
        match &self.value {
            Value::Str(text) => Some(text),
            _ => None,
        }
    }

    /// The mapping of a mapping node.
    pub fn as_map(&self) -> Option<&Map> {
        match &self.value {
            Value::Map(map) => Some(map),
            _ => None,
        }
    }

    /// The mapping of a mapping node, to change it.
    pub fn as_map_mut(&mut self) -> Option<&mut Map> {
        match &mut self.value {
            Value::Map(map) => Some(map),
            _ => None,
        }
    }

    /// The elements of a list node.
    pub fn as_list(&self) -> Option<&[Node]> {
        match &self.value {
            Value::List(list) => Some(list),
            _ => None,
        }
    }

    /// The boolean of a boolean node.
    pub fn as_bool(&self) -> Option<bool> {
        match self.value {
            Value::Bool(b) => Some(b),
            _ => None,
        }
    }

    /// The integer of an integer node.
    pub fn as_int(&self) -> Option<i64> {
        match self.value {
            Value::Int(i) => Some(i),
            _ => None,
        }
    }

    /// Whether the value is `null`.
    pub fn is_null(&self) -> bool {
        matches!(self.value, Value::Null)
    }

    /// Whether the value is the mandatory marker `???`.
    pub fn is_missing(&self) -> bool {
        self.as_str() == Some("???")
    }

    /// A mapping's child by string key.
    pub fn get(&self, key: &str) -> Option<&Node> {
        self.as_map()?.get(key)
    }

    /// The node at a path below this one.
    pub fn at(&self, path: &KeyPath) -> Option<&Node> {
        path.0.iter().try_fold(self, |node, segment| match (segment, &node.value) {
            (Segment::Key(key), Value::Map(map)) => map.get(key),
            (Segment::Index(i), Value::List(list)) => list.get(*i),
            _ => None,
        })
    }

    /// The node at a dotted path such as `data.train_transforms.0.size`; numbers index lists.
    pub fn select(&self, dotted: &str) -> Option<&Node> {
        dotted.split('.').filter(|part| !part.is_empty()).try_fold(self, |node, part| match &node.value {
            Value::Map(map) => map.get(part),
            Value::List(list) => list.get(part.parse::<usize>().ok()?),
            _ => None,
        })
    }
}

/// Equality of values; origins do not count. An integer is not equal to a float, and NaN equals NaN.
impl PartialEq for Node {
    fn eq(&self, other: &Self) -> bool {
        self.value == other.value
    }
}

impl PartialEq for Value {
    fn eq(&self, other: &Self) -> bool {
        match (self, other) {
            (Value::Null, Value::Null) => true,
            (Value::Bool(a), Value::Bool(b)) => a == b,
            (Value::Int(a), Value::Int(b)) => a == b,
            (Value::Float(a), Value::Float(b)) => a == b || (a.is_nan() && b.is_nan()),
            (Value::Str(a), Value::Str(b)) => a == b,
            (Value::List(a), Value::List(b)) => a == b,
            (Value::Map(a), Value::Map(b)) => a == b,
            _ => false,
        }
    }
}

impl Value {
    /// The kind of value in the words of a message: `a mapping`, `an integer`.
    pub fn describe(&self) -> &'static str {
        match self {
            Value::Null => "null",
            Value::Bool(_) => "a boolean",
            Value::Int(_) => "an integer",
            Value::Float(_) => "a float",
            Value::Str(_) => "a string",
            Value::List(_) => "a list",
            Value::Map(_) => "a mapping",
        }
    }
}

macro_rules! value_from {
    ($($from:ty => $variant:ident),* $(,)?) => {
        $(impl From<$from> for Value { fn from(v: $from) -> Self { Value::$variant(v.into()) } })*
    };
}
value_from!(bool => Bool, i64 => Int, i32 => Int, u32 => Int, f64 => Float, String => Str, &str => Str, Vec<Node> => List, Map => Map);

impl Key {
    /// The text of a string key.
    pub fn as_str(&self) -> Option<&str> {
        match self {
            Key::Str(text) => Some(text),
            _ => None,
        }
    }

    /// The number that Python's dictionaries compare a key by, where `1`, `1.0` and `true` are one key: the bits
    /// of a float. `None` for text, and for integers that no float equals.
    pub fn number_bits(&self) -> Option<u64> {
        let value = match self {
            Key::Str(_) => return None,
            // 2^53: below it every integer is a float.
            Key::Int(i) if i.unsigned_abs() > 1 << 53 => return None,
            Key::Int(i) => *i as f64,
            Key::Float(v) => *v,
            Key::Bool(b) => f64::from(*b),
        };
        // Adding zero makes -0.0 and 0.0 one.
        Some((value + 0.0).to_bits())
    }
}

impl From<&str> for Key {
    fn from(text: &str) -> Self {
        Key::Str(text.to_owned())
    }
}

impl From<String> for Key {
    fn from(text: String) -> Self {
        Key::Str(text)
    }
}

impl PartialEq for Key {
    fn eq(&self, other: &Self) -> bool {
        match (self, other) {
            (Key::Str(a), Key::Str(b)) => a == b,
            (Key::Int(a), Key::Int(b)) => a == b,
            (Key::Float(a), Key::Float(b)) => a.to_bits() == b.to_bits(),
            (Key::Bool(a), Key::Bool(b)) => a == b,
            _ => false,
        }
    }
}

impl Eq for Key {}

/// A string key hashes as its text, so that a mapping is searched with a plain `&str`.
impl Hash for Key {
    fn hash<H: Hasher>(&self, state: &mut H) {
        match self {
            Key::Str(text) => text.as_str().hash(state),
            Key::Int(i) => i.hash(state),
            Key::Float(f) => f.to_bits().hash(state),
            Key::Bool(b) => b.hash(state),
        }
    }
}

impl Equivalent<Key> for str {
    fn equivalent(&self, key: &Key) -> bool {
        key.as_str() == Some(self)
    }
}

/// As YAML shows it: `1`, `1.5`, `true`, `text`.
impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Key::Str(text) => f.write_str(text),
            Key::Int(i) => write!(f, "{i}"),
            Key::Float(v) => f.write_str(&super::text::yaml_float(*v)),
            Key::Bool(b) => write!(f, "{b}"),
        }
    }
}

/// A path from the root of a tree to a node.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct KeyPath(pub Vec<Segment>);

/// One step of a [`KeyPath`].
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Segment {
    /// A mapping's key.
    Key(Key),
    /// A list's index, from 0.
    Index(usize),
}

impl KeyPath {
    /// The path of the root.
    pub fn root() -> Self {
        KeyPath::default()
    }

    /// The path of a mapping's child.
    pub fn key(&self, key: impl Into<Key>) -> Self {
        let mut path = self.clone();
        path.0.push(Segment::Key(key.into()));
        path
    }

    /// The path of a list's element.
    pub fn index(&self, index: usize) -> Self {
        let mut path = self.clone();
        path.0.push(Segment::Index(index));
        path
    }

    /// Whether this is the root.
    pub fn is_root(&self) -> bool {
        self.0.is_empty()
    }
}

/// Dotted, list indices as numbers: `data.train_transforms.0.size`.
impl fmt::Display for KeyPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, segment) in self.0.iter().enumerate() {
            if i > 0 {
                f.write_str(".")?;
            }
            match segment {
                Segment::Key(key) => write!(f, "{key}")?,
                Segment::Index(index) => write!(f, "{index}")?,
            }
        }
        Ok(())
    }
}
