//! What a pickle holds, and how it is looked at.

use std::fmt;

use super::machine;
use crate::error::Result;

/// What a pickle holds: values in a table, so that shared and even circular ones are no danger.
#[derive(Debug)]
pub struct Pickle {
    values: Vec<Value>,
    root: usize,
    /// How many bytes the pickle took; another may follow.
    pub length: usize,
}

pub(super) type Id = usize;

/// A value; others are named by their place in the table.
#[derive(Debug)]
pub(super) enum Value {
    None,
    Bool(bool),
    Int(i64),
    /// A whole number beyond 64 bits, which nothing here has a use for.
    Long,
    Float(f64),
    Text(String),
    Bytes(Vec<u8>),
    List(Vec<Id>),
    Tuple(Vec<Id>),
    Set(Vec<Id>),
    Dict(Vec<(Id, Id)>),
    /// A class or function: `module`, `name`.
    Global(String, String),
    /// What a call would have made.
    Call(Call),
    /// A reference out of the pickle: a tensor's storage.
    Persistent(Id),
}

/// A call that was noted.
#[derive(Debug)]
pub(super) struct Call {
    pub callee: Id,
    pub args: Id,
    pub state: Option<Id>,
    /// What was appended to it, and set in it by key.
    pub items: Vec<Id>,
    pub pairs: Vec<(Id, Id)>,
}

impl Pickle {
    /// Reads the pickle at the start of `bytes`.
    ///
    /// # Errors
    /// When it ends early, is no pickle, uses an extension that needs Python, or names what only an attack would.
    pub fn parse(bytes: &[u8]) -> Result<Self> {
        let (values, root, length) = machine::run(bytes)?;
        Ok(Pickle { values, root, length })
    }

    /// The value itself.
    pub fn root(&self) -> Item<'_> {
        Item { pickle: self, id: self.root }
    }

    /// Every value there is, in the order in which they were made.
    pub fn items(&self) -> impl Iterator<Item = Item<'_>> {
        (0..self.values.len()).map(|id| Item { pickle: self, id })
    }
}

/// A value in a [`Pickle`].
#[derive(Clone, Copy)]
pub struct Item<'a> {
    pickle: &'a Pickle,
    id: Id,
}

impl<'a> Item<'a> {
    fn value(&self) -> &'a Value {
        &self.pickle.values[self.id]
    }

    fn other(&self, id: Id) -> Item<'a> {
        Item { pickle: self.pickle, id }
    }

    fn others(&self, ids: &[Id]) -> Vec<Item<'a>> {
        ids.iter().map(|id| self.other(*id)).collect()
    }

    /// Whether it is `None`.
    pub fn is_none(&self) -> bool {
        matches!(self.value(), Value::None)
    }

    /// A boolean.
    pub fn as_bool(&self) -> Option<bool> {
        match self.value() {
            Value::Bool(b) => Some(*b),
            _ => None,
        }
    }

    /// A whole number of 64 bits; booleans count, as in Python.
    pub fn as_int(&self) -> Option<i64> {
        match self.value() {
            Value::Int(i) => Some(*i),
            Value::Bool(b) => Some(i64::from(*b)),
            _ => None,
        }
    }

    /// A number.
    pub fn as_float(&self) -> Option<f64> {
        match self.value() {
            Value::Float(f) => Some(*f),
            _ => self.as_int().map(|i| i as f64),
        }
    }

    /// Text, Python 2's strings too when they are UTF-8.
    pub fn as_str(&self) -> Option<&'a str> {
        match self.value() {
            Value::Text(text) => Some(text),
            Value::Bytes(bytes) => std::str::from_utf8(bytes).ok(),
            _ => None,
        }
    }

    /// Bytes, also as older protocols spell them (`_codecs.encode(text, "latin1")`).
    pub fn as_bytes(&self) -> Option<std::borrow::Cow<'a, [u8]>> {
        match self.value() {
            Value::Bytes(bytes) => Some(bytes.as_slice().into()),
            Value::Call(call) => {
                let args = self.other(call.args).list()?;
                let text = args.first()?.as_str()?;
                let latin1 = |c: char| u8::try_from(u32::from(c)).ok();
                match self.callee()?.as_str() {
                    "_codecs.encode" if args.get(1)?.as_str()? == "latin1" => {
                        text.chars().map(latin1).collect::<Option<Vec<u8>>>().map(Into::into)
                    }
                    _ => None,
                }
            }
            _ => None,
        }
    }

    /// The elements of a list, tuple or set.
    pub fn list(&self) -> Option<Vec<Item<'a>>> {
        match self.value() {
            Value::List(ids) | Value::Tuple(ids) | Value::Set(ids) => Some(self.others(ids)),
            _ => None,
        }
    }

    /// The entries of a mapping: a dict, an OrderedDict, a defaultdict.
    pub fn entries(&self) -> Option<Vec<(Item<'a>, Item<'a>)>> {
        let both = |pairs: &[(Id, Id)]| pairs.iter().map(|(k, v)| (self.other(*k), self.other(*v))).collect();
        match self.value() {
            Value::Dict(pairs) => Some(both(pairs)),
            Value::Call(call) => {
                let mapping =
                    ["collections.OrderedDict", "collections.defaultdict", "builtins.dict", "__builtin__.dict"];
                if !mapping.contains(&self.callee()?.as_str()) {
                    return None;
                }
                let mut entries: Vec<_> = both(&call.pairs);
                // Python 2 hands the entries over as an argument: a list of pairs.
                for pair in self.other(call.args).list()?.first().and_then(Item::list).into_iter().flatten() {
                    if let Some([key, value]) = pair.list().as_deref() {
                        entries.push((*key, *value));
                    }
                }
                Some(entries)
            }
            _ => None,
        }
    }

    /// A mapping's value by its text key.
    pub fn get(&self, key: &str) -> Option<Item<'a>> {
        self.entries()?.into_iter().find(|(k, _)| k.as_str() == Some(key)).map(|(_, value)| value)
    }

    /// The dotted name of a class or function that stands here itself.
    pub fn global(&self) -> Option<String> {
        match self.value() {
            Value::Global(module, name) => Some(format!("{module}.{name}")),
            _ => None,
        }
    }

    /// What would have been called to make this: its dotted name.
    pub fn callee(&self) -> Option<String> {
        match self.value() {
            Value::Call(call) => self.other(call.callee).global(),
            _ => None,
        }
    }

    /// The arguments of that call.
    pub fn args(&self) -> Option<Vec<Item<'a>>> {
        match self.value() {
            Value::Call(call) => self.other(call.args).list(),
            _ => None,
        }
    }

    /// The state that would have been given to the made object.
    pub fn state(&self) -> Option<Item<'a>> {
        match self.value() {
            Value::Call(call) => call.state.map(|id| self.other(id)),
            _ => None,
        }
    }

    /// What a persistent reference names.
    pub fn persistent(&self) -> Option<Item<'a>> {
        match self.value() {
            Value::Persistent(id) => Some(self.other(*id)),
            _ => None,
        }
    }

    /// The value in a few words: `a dict of 3`, `<my.Class>`.
    pub fn describe(&self) -> String {
        match self.value() {
            Value::None => "None".into(),
            Value::Bool(_) | Value::Int(_) | Value::Long | Value::Float(_) => "a number".into(),
            Value::Text(_) | Value::Bytes(_) => "text".into(),
            Value::List(ids) => format!("a list of {}", ids.len()),
            Value::Tuple(ids) => format!("a tuple of {}", ids.len()),
            Value::Set(ids) => format!("a set of {}", ids.len()),
            Value::Dict(pairs) => format!("a dict of {}", pairs.len()),
            Value::Global(module, name) => format!("{module}.{name}"),
            Value::Call(_) => format!("<{}>", self.callee().unwrap_or_else(|| "object".into())),
            Value::Persistent(_) => "a tensor's storage".into(),
        }
    }

    /// The value as JSON: mappings, lists, numbers and text as they are, everything else as the text of
    /// [`Item::describe`]. What nests deeper than 32 is cut.
    pub fn to_json(&self) -> serde_json::Value {
        let mut left = 100_000;
        self.json(32, &mut left)
    }

    fn json(&self, depth: usize, left: &mut usize) -> serde_json::Value {
        // Shared lists may unfold without end; no information beyond this is of use.
        if depth == 0 || *left == 0 {
            return "…".into();
        }
        *left -= 1;
        if let Some(entries) = self.entries() {
            let key = |item: &Item| item.as_str().map_or_else(|| item.key_text(), str::to_owned);
            let pairs = entries.into_iter().map(|(k, v)| (key(&k), v.json(depth - 1, left)));
            return serde_json::Value::Object(pairs.collect());
        }
        if let Some(items) = self.list() {
            return items.iter().map(|item| item.json(depth - 1, left)).collect();
        }
        match self.value() {
            Value::None => serde_json::Value::Null,
            Value::Bool(b) => (*b).into(),
            Value::Int(i) => (*i).into(),
            Value::Float(f) if f.is_finite() => (*f).into(),
            Value::Float(f) => f.to_string().into(),
            Value::Text(text) => text.as_str().into(),
            _ => self.describe().into(),
        }
    }

    fn key_text(&self) -> String {
        self.as_int().map_or_else(|| self.describe(), |i| i.to_string())
    }
}

impl fmt::Debug for Item<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.to_json())
    }
}
