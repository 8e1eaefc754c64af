//! From a [`Node`] to a typed value, through serde, with the key path and the origin of whatever does not fit.
//!
//! The deserializer walks our own tree (not a generic value) so that a message can name the line, and so that a
//! [`super::Slot`] can keep the raw sub-tree that it stands for. While it walks, slots and notes are collected in
//! a thread-local list; [`extract`] hands them back.

use std::cell::RefCell;
use std::fmt;

use serde::de::{self, DeserializeOwned, IntoDeserializer, Visitor};

use super::slot::SlotRef;
use crate::config::{KeyPath, Map, Node, Problem, Problems, Value};

/// What one extraction found besides the value.
#[derive(Default)]
pub struct Found {
    /// Nested components, in order of appearance.
    pub slots: Vec<SlotRef>,
    /// Arguments that are accepted but have no effect here: path and reason.
    pub notes: Vec<(KeyPath, String)>,
}

/// A captured sub-tree on its way from the deserializer to a visitor that asked for it.
pub(super) type Capture = (Node, KeyPath);

thread_local! {
    static FOUND: RefCell<Found> = RefCell::default();
    static CAPTURED: RefCell<Option<Capture>> = const { RefCell::new(None) };
}

/// The newtype name by which a visitor asks for the raw sub-tree.
pub(super) const CAPTURE: &str = "$runner::capture";

/// The newtype name by which a visitor asks for a look at the sub-tree before it is read.
pub(super) const PEEK: &str = "$runner::peek";

/// Takes the sub-tree that was captured for the visitor that is running.
pub(super) fn take_capture() -> Option<Capture> {
    CAPTURED.with_borrow_mut(Option::take)
}

/// Adds to what the running extraction found.
pub(super) fn found(add: impl FnOnce(&mut Found)) {
    FOUND.with_borrow_mut(add);
}

/// Extracts a `T` from `node`, which sits at `path`. All faults of its direct fields are reported at once.
pub fn extract<T: DeserializeOwned>(node: &Node, path: &KeyPath) -> (Result<T, Problems>, Found) {
    extract_args(node, &[], path, &[])
}

/// Like [`extract`], with positional values for the first fields of a struct (`_args_`), and with the names of
/// the fields that must be there.
pub(super) fn extract_args<T: DeserializeOwned>(
    node: &Node,
    positional: &[Node],
    path: &KeyPath,
    required: &[String],
) -> (Result<T, Problems>, Found) {
    let mut problems = Problems::default();
    let mut rest = node.clone();
    loop {
        FOUND.with_borrow_mut(|found| *found = Found::default());
        let result = T::deserialize(De { node: &rest, path, positional });
        let found = FOUND.with_borrow_mut(std::mem::take);
        let fault = match result {
            Ok(value) => return (problems.or(value), found),
            Err(fault) => fault,
        };
        if let Some(missing) = fault.missing {
            let there = |name: &str| node.get(name).is_some();
            let mut names: Vec<&str> = required.iter().map(String::as_str).filter(|name| !there(name)).collect();
            if names.is_empty() && !there(missing) {
                names.push(missing);
            }
            for name in names {
                problems.push(
                    Problem::new(format!("missing argument `{name}`"))
                        .at(path.key(name))
                        .from(&node.origin)
                        .help(format!("add it: {}=…", path.key(name))),
                );
            }
            return (Err(problems), found);
        }
        // Drop the field at fault and go on, so that its siblings are checked too.
        let field = fault.problem.path.0.get(path.0.len()).cloned();
        problems.push(fault.problem);
        let dropped = match (&mut rest.value, field) {
            (Value::Map(map), Some(crate::config::Segment::Key(key))) => map.shift_remove(&key).is_some(),
            _ => false,
        };
        if !dropped {
            return (Err(problems), found);
        }
    }
}

/// A serde error that is a [`Problem`] in the making.
#[derive(Debug)]
struct Fault {
    problem: Problem,
    missing: Option<&'static str>,
    /// Whether it is the key, not the value, that is wrong.
    about_key: bool,
}

impl Fault {
    /// Names the place, unless a deeper place is named already.
    fn place(mut self, node: &Node, path: &KeyPath) -> Self {
        if self.problem.origin.is_none() {
            let origin = if self.about_key { node.origin.of_key() } else { node.origin.clone() };
            self.problem = self.problem.from(&origin);
            if self.problem.path.is_root() {
                self.problem = self.problem.at(path.clone());
            }
        }
        self
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.problem.fmt(f)
    }
}

impl std::error::Error for Fault {}

impl de::Error for Fault {
    fn custom<T: fmt::Display>(message: T) -> Self {
        Fault { problem: Problem::new(message.to_string()), missing: None, about_key: false }
    }

    fn invalid_type(found: de::Unexpected<'_>, expected: &dyn de::Expected) -> Self {
        Fault::custom(format!("expected {}, found {}", in_words(&expected.to_string()), found_in_words(found)))
    }

    fn invalid_value(found: de::Unexpected<'_>, expected: &dyn de::Expected) -> Self {
        Self::invalid_type(found, expected)
    }

    fn missing_field(field: &'static str) -> Self {
        let problem = Problem::new(format!("missing argument `{field}`"));
        Fault { problem, missing: Some(field), about_key: false }
    }

    fn unknown_field(field: &str, expected: &'static [&'static str]) -> Self {
        let mut problem = Problem::new(format!("unknown argument `{field}`")).width(field.chars().count());
        match super::suggest::nearest(field, expected.iter().copied()) {
            Some(near) => problem = problem.label(format!("did you mean `{near}`?")),
            None if expected.is_empty() => problem = problem.help("it takes no arguments"),
            None => {}
        }
        if !expected.is_empty() {
            problem = problem.help(format!("its arguments are {}", expected.join(", ")));
        }
        Fault { problem, missing: None, about_key: true }
    }

    fn unknown_variant(found: &str, expected: &'static [&'static str]) -> Self {
        let mut problem = Problem::new(format!("`{found}` is not one of {}", expected.join(", ")));
        if let Some(near) = super::suggest::nearest(found, expected.iter().copied()) {
            problem = problem.label(format!("did you mean `{near}`?"));
        }
        Fault { problem, missing: None, about_key: false }
    }
}

/// serde's type names in the user's words.
fn in_words(expected: &str) -> String {
    match expected {
        "u8" | "u16" | "u32" | "u64" | "usize" => "a whole number, 0 or above".into(),
        "i8" | "i16" | "i32" | "i64" | "isize" => "a whole number".into(),
        "f32" | "f64" => "a number".into(),
        "a sequence" => "a list".into(),
        "a map" => "a mapping".into(),
        other if other.starts_with("struct ") => "a mapping".into(),
        other if other.starts_with("a nonzero ") => "a whole number above 0".into(),
        other => match other.strip_prefix("a tuple of size ").or_else(|| other.strip_prefix("an array of length ")) {
            Some(n) => format!("a list of {n}"),
            None => other.replace("sequence", "list"),
        },
    }
}

fn found_in_words(found: de::Unexpected<'_>) -> String {
    match found {
        de::Unexpected::Bool(b) => format!("{b}"),
        de::Unexpected::Signed(i) => format!("{i}"),
        de::Unexpected::Unsigned(i) => format!("{i}"),
        de::Unexpected::Float(f) => format!("{f:?}"),
        de::Unexpected::Str(s) => format!("the text \"{s}\""),
        de::Unexpected::Unit | de::Unexpected::Option => "null".into(),
        de::Unexpected::Seq => "a list".into(),
        de::Unexpected::Map => "a mapping".into(),
        other => other.to_string(),
    }
}

/// The deserializer: a node at a path.
#[derive(Clone, Copy)]
struct De<'a> {
    node: &'a Node,
    path: &'a KeyPath,
    positional: &'a [Node],
}

impl<'a> De<'a> {
    fn place<T>(&self, result: Result<T, Fault>) -> Result<T, Fault> {
        result.map_err(|fault| fault.place(self.node, self.path))
    }

    fn map<'de, V: Visitor<'de>>(self, map: &'a Map, fields: &[&'static str], visitor: V) -> Result<V::Value, Fault> {
        let given = self.positional.iter().zip(fields.iter().copied());
        let mut entries: Vec<(String, &Node)> = given.map(|(node, field)| (field.to_owned(), node)).collect();
        if self.positional.len() > fields.len() {
            let message = format!("{} positional arguments for {} parameters", self.positional.len(), fields.len());
            return Err(<Fault as de::Error>::custom(message)).map_err(|fault| fault.place(self.node, self.path));
        }
        for (key, node) in map {
            let key = key.to_string();
            if entries.iter().any(|(given, _)| *given == key) {
                let fault: Fault = de::Error::custom(format!("`{key}` is given both by position and by name"));
                return Err(fault.place(node, &self.path.key(key.as_str())));
            }
            entries.push((key, node));
        }
        visitor.visit_map(Entries { entries: entries.into_iter(), path: self.path, value: None })
    }
}

impl<'de, 'a> de::Deserializer<'de> for De<'a> {
    type Error = Fault;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        if self.node.is_missing() {
            let problem = Problem::new("a value is missing (`???`)")
                .at(self.path.clone())
                .from(&self.node.origin)
                .help(format!("set it: {}=…", self.path));
            return Err(Fault { problem, missing: None, about_key: false });
        }
        self.place(match &self.node.value {
            Value::Null => visitor.visit_unit(),
            Value::Bool(b) => visitor.visit_bool(*b),
            Value::Int(i) if *i >= 0 => visitor.visit_u64(*i as u64),
            Value::Int(i) => visitor.visit_i64(*i),
            Value::Float(f) => visitor.visit_f64(*f),
            Value::Str(s) => visitor.visit_str(s),
            Value::List(list) => visitor.visit_seq(Elements { list, next: 0, path: self.path }),
            Value::Map(map) => self.map(map, &[], visitor),
        })
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        match self.node.value {
            Value::Null => visitor.visit_none(),
            _ => visitor.visit_some(self),
        }
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(self, name: &'static str, visitor: V) -> Result<V::Value, Fault> {
        if name == CAPTURE {
            CAPTURED.with_borrow_mut(|captured| *captured = Some((self.node.clone(), self.path.clone())));
            return self.place(visitor.visit_unit());
        }
        if name == PEEK {
            CAPTURED.with_borrow_mut(|captured| *captured = Some((self.node.clone(), self.path.clone())));
        }
        self.place(visitor.visit_newtype_struct(self))
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Fault> {
        match &self.node.value {
            Value::Map(map) => self.place(self.map(map, fields, visitor)),
            // `key:` with nothing below it is an empty mapping to a reader of YAML.
            Value::Null => self.place(self.map(&Map::new(), fields, visitor)),
            Value::List(_) => self.place(Err(de::Error::invalid_type(de::Unexpected::Seq, &"a mapping"))),
            _ => self.deserialize_any(visitor),
        }
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Fault> {
        match &self.node.value {
            Value::Str(s) if !self.node.is_missing() => {
                let variant: de::value::StrDeserializer<'_, Fault> = s.as_str().into_deserializer();
                self.place(visitor.visit_enum(variant))
            }
            _ => self.deserialize_any(visitor),
        }
    }

    serde::forward_to_deserialize_any! {
        bool i8 i16 i32 i64 u8 u16 u32 u64 f32 f64 char str string bytes byte_buf
        unit unit_struct seq tuple tuple_struct map identifier ignored_any
    }
}

struct Entries<'a, I> {
    entries: I,
    path: &'a KeyPath,
    value: Option<(String, &'a Node)>,
}

impl<'de, 'a, I: Iterator<Item = (String, &'a Node)>> de::MapAccess<'de> for Entries<'a, I> {
    type Error = Fault;

    fn next_key_seed<K: de::DeserializeSeed<'de>>(&mut self, seed: K) -> Result<Option<K::Value>, Fault> {
        let Some((key, node)) = self.entries.next() else { return Ok(None) };
        let path = self.path.key(key.as_str());
        let deserializer: de::value::StrDeserializer<'_, Fault> = key.as_str().into_deserializer();
        let value = seed.deserialize(deserializer).map_err(|fault| fault.place(node, &path))?;
        self.value = Some((key, node));
        Ok(Some(value))
    }

    fn next_value_seed<V: de::DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value, Fault> {
        let Some((key, node)) = self.value.take() else {
            return Err(de::Error::custom("a value was asked for before its key"));
        };
        let path = self.path.key(key.as_str());
        seed.deserialize(De { node, path: &path, positional: &[] }).map_err(|fault| fault.place(node, &path))
    }
}

struct Elements<'a> {
    list: &'a [Node],
    next: usize,
    path: &'a KeyPath,
}

impl<'de> de::SeqAccess<'de> for Elements<'_> {
    type Error = Fault;

    fn next_element_seed<T: de::DeserializeSeed<'de>>(&mut self, seed: T) -> Result<Option<T::Value>, Fault> {
        let Some(node) = self.list.get(self.next) else { return Ok(None) };
        let path = self.path.index(self.next);
        self.next += 1;
        seed.deserialize(De { node, path: &path, positional: &[] }).map(Some).map_err(|fault| fault.place(node, &path))
    }

    fn size_hint(&self) -> Option<usize> {
        Some(self.list.len() - self.next)
    }
}
