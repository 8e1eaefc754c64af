//! The values of overrides: what they mean, and how Hydra spells them again.

use std::collections::HashMap;
use std::sync::Arc;

use crate::config::node::{Key, Map, Node, Origin, Source, Value};
use crate::config::text::{py_bool, py_float};

/// A range of characters of an argument, from 0.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Span {
    /// The first character.
    pub start: usize,
    /// The one after the last.
    pub end: usize,
}

impl Span {
    /// The place of the first character.
    pub fn origin(self, source: &Arc<Source>) -> Origin {
        Origin::new(source.clone(), 1, self.start as u32 + 1)
    }

    /// How many characters it spans, at least 1, for a caret.
    pub fn width(self) -> usize {
        self.end.saturating_sub(self.start).max(1)
    }

    /// From the start of this to the end of `last`.
    pub fn to(self, last: Span) -> Span {
        Span { start: self.start, end: last.end }
    }
}

/// A value of an override and where it stands. Equality looks at the value only.
#[derive(Clone, Debug)]
pub struct Element {
    /// The value.
    pub literal: Literal,
    /// Where it stands in the argument.
    pub span: Span,
}

/// What an element is.
#[derive(Clone, Debug, PartialEq)]
pub enum Literal {
    /// `null`
    Null,
    /// `true`
    Bool(bool),
    /// `10`
    Int(i64),
    /// `1e-3`
    Float(f64),
    /// Unquoted text, its escapes taken off.
    Text(String),
    /// Text in quotes, its escapes taken off. The quotes keep it text when it is spelt again.
    Quoted(Quote, String),
    /// `[a,b]`
    List(Vec<Element>),
    /// `{a:1,b:2}`; keys are scalars, and no two are the same.
    Dict(Vec<(Element, Element)>),
}

/// Which quotes stand around a text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Quote {
    /// `'`
    Single,
    /// `"`
    Double,
}

impl Quote {
    /// The character.
    pub fn character(self) -> char {
        match self {
            Quote::Single => '\'',
            Quote::Double => '"',
        }
    }
}

impl PartialEq for Element {
    fn eq(&self, other: &Self) -> bool {
        self.literal == other.literal
    }
}

impl Element {
    /// The config value, every part with its column in the argument. A key that is `null` is left out: the
    /// parser has refused it.
    pub fn to_node(&self, source: &Arc<Source>) -> Node {
        let value = match &self.literal {
            Literal::Null => Value::Null,
            Literal::Bool(b) => Value::Bool(*b),
            Literal::Int(i) => Value::Int(*i),
            Literal::Float(v) => Value::Float(*v),
            Literal::Text(text) | Literal::Quoted(_, text) => Value::Str(text.clone()),
            Literal::List(items) => Value::List(items.iter().map(|item| item.to_node(source)).collect()),
            Literal::Dict(entries) => {
                let mut map = Map::with_capacity(entries.len());
                for (key, value) in entries {
                    let mut node = value.to_node(source);
                    node.origin.key = (1, key.span.start as u32 + 1);
                    if let Some(key) = key.literal.key() {
                        map.insert(key, node);
                    }
                }
                Value::Map(map)
            }
        };
        Node::new(value, self.span.origin(source))
    }

    /// The element as Hydra spells it: `True`, `1e-05`, `a\ b`, `'quoted'`, `[1,{a:b}]`.
    pub fn spell(&self) -> String {
        let mut out = String::new();
        self.literal.spell(&mut out);
        out
    }

    /// The plain text, quoted or not.
    pub fn text(&self) -> Option<&str> {
        match &self.literal {
            Literal::Text(text) | Literal::Quoted(_, text) => Some(text),
            _ => None,
        }
    }

    /// The unquoted text that stands in this element or below it, for a check of what can be spelt again.
    pub fn unquoted_texts(&self) -> Vec<&str> {
        match &self.literal {
            Literal::Text(text) => vec![text],
            Literal::List(items) => items.iter().flat_map(Element::unquoted_texts).collect(),
            Literal::Dict(entries) => entries
                .iter()
                .flat_map(|(key, value)| [key.unquoted_texts(), value.unquoted_texts()])
                .flatten()
                .collect(),
            _ => Vec::new(),
        }
    }

    /// The first key below this element that is `null`.
    pub fn null_key(&self) -> Option<&Element> {
        match &self.literal {
            Literal::List(items) => items.iter().find_map(Element::null_key),
            Literal::Dict(entries) => entries
                .iter()
                .find_map(|(key, value)| if key.literal == Literal::Null { Some(key) } else { value.null_key() }),
            _ => None,
        }
    }
}

/// Elements with commas between them, as Hydra spells them.
pub fn spell_all(items: &[Element]) -> String {
    let mut out = String::new();
    spell_items(items, &mut out);
    out
}

fn spell_items(items: &[Element], out: &mut String) {
    for (i, item) in items.iter().enumerate() {
        if i > 0 {
            out.push(',');
        }
        item.literal.spell(out);
    }
}

impl Literal {
    /// What the value is, in the words of a message.
    pub fn describe(&self) -> &'static str {
        match self {
            Literal::Null => "null",
            Literal::Bool(_) => "a boolean",
            Literal::Int(_) => "an integer",
            Literal::Float(_) => "a float",
            Literal::Text(_) => "a string",
            Literal::Quoted(..) => "a quoted string",
            Literal::List(_) => "a list",
            Literal::Dict(_) => "a mapping",
        }
    }

    /// The key of a config mapping that a scalar makes; `null` and containers make none.
    pub fn key(&self) -> Option<Key> {
        match self {
            Literal::Bool(b) => Some(Key::Bool(*b)),
            Literal::Int(i) => Some(Key::Int(*i)),
            Literal::Float(v) => Some(Key::Float(*v)),
            Literal::Text(text) | Literal::Quoted(_, text) => Some(Key::Str(text.clone())),
            Literal::Null | Literal::List(_) | Literal::Dict(_) => None,
        }
    }

    fn spell(&self, out: &mut String) {
        match self {
            Literal::Null => out.push_str("null"),
            Literal::Bool(b) => out.push_str(py_bool(*b)),
            Literal::Int(i) => out.push_str(&i.to_string()),
            Literal::Float(v) => out.push_str(&py_float(*v)),
            Literal::Text(text) => escape(text, out),
            Literal::Quoted(quote, text) => requote(text, quote.character(), out),
            Literal::List(items) => {
                out.push('[');
                spell_items(items, out);
                out.push(']');
            }
            Literal::Dict(entries) => {
                out.push('{');
                for (i, (key, value)) in entries.iter().enumerate() {
                    if i > 0 {
                        out.push(',');
                    }
                    key.literal.spell(out);
                    out.push(':');
                    value.literal.spell(out);
                }
                out.push('}');
            }
        }
    }
}

/// The entries of a mapping as Python's dictionaries keep them: the last value of a repeated key at the place of
/// the first, and `1`, `1.0` and `true` are one key.
pub fn without_repeats(entries: Vec<(Element, Element)>) -> Vec<(Element, Element)> {
    #[derive(PartialEq, Eq, Hash)]
    enum Identity {
        Null,
        Number(u64),
        Key(Key),
    }
    let mut places: HashMap<Identity, usize> = HashMap::new();
    let mut kept: Vec<(Element, Element)> = Vec::with_capacity(entries.len());
    for (key, value) in entries {
        let identity = match key.literal.key() {
            None => Identity::Null,
            Some(key) => key.number_bits().map_or_else(|| Identity::Key(key), Identity::Number),
        };
        match places.get(&identity) {
            Some(&place) => kept[place].1 = value,
            None => {
                places.insert(identity, kept.len());
                kept.push((key, value));
            }
        }
    }
    kept
}

/// Whether a backslash takes the meaning from this character in unquoted text.
pub fn is_escapable(c: char) -> bool {
    matches!(c, '\\' | '(' | ')' | '[' | ']' | '{' | '}' | ':' | '=' | ',' | ' ' | '\t')
}

fn escape(text: &str, out: &mut String) {
    for c in text.chars() {
        if is_escapable(c) {
            out.push('\\');
        }
        out.push(c);
    }
}

/// Puts quotes around a text. A backslash means something only before a quote, so only there it is doubled.
pub fn requote(text: &str, quote: char, out: &mut String) {
    out.push(quote);
    let mut backslashes = 0;
    for c in text.chars() {
        if c == quote {
            out.extend(std::iter::repeat_n('\\', backslashes + 1));
        }
        backslashes = if c == '\\' { backslashes + 1 } else { 0 };
        out.push(c);
    }
    out.extend(std::iter::repeat_n('\\', backslashes));
    out.push(quote);
}

/// Takes the escapes off the text between two quotes.
pub fn unquote(text: &str, quote: char) -> String {
    let mut out = String::with_capacity(text.len());
    let mut backslashes = 0;
    for c in text.chars() {
        if c == '\\' {
            backslashes += 1;
            continue;
        }
        // Before a quote the last backslash escapes it and the others stand in pairs.
        let kept = if c == quote { backslashes / 2 } else { backslashes };
        out.extend(std::iter::repeat_n('\\', kept));
        backslashes = 0;
        out.push(c);
    }
    // Before the closing quote they stand in pairs too.
    out.extend(std::iter::repeat_n('\\', backslashes / 2));
    out
}
