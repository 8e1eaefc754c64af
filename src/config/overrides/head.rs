//! What stands before the `=` of an override: operation, key and package.

use std::sync::Arc;

use super::Op;
use super::element::Span;
use super::key;
use crate::config::node::Source;
use crate::config::problem::Problem;

/// What stands before the value.
pub struct Head {
    /// What to do with the key.
    pub op: Op,
    /// The group or path, as typed.
    pub key: String,
    /// Its names and indices.
    pub parts: Vec<String>,
    /// Written with brackets or escapes.
    pub is_path: bool,
    /// What follows `@`.
    pub package: Option<String>,
    /// Where key and package stand.
    pub span: Span,
    /// Where the `=` stands.
    pub value_start: Option<usize>,
}

/// Parses what stands before the `=`.
pub fn parse(source: &Arc<Source>, chars: &[char]) -> Result<Head, Problem> {
    KeyParser { source, chars, at: 0 }.parse()
}

struct KeyParser<'a> {
    source: &'a Arc<Source>,
    chars: &'a [char],
    at: usize,
}

impl KeyParser<'_> {
    fn parse(mut self) -> Result<Head, Problem> {
        let op = self.operation();
        let start = self.at;
        let (key, parts, is_path) = self.key()?;
        let package = if self.peek() == Some('@') && !is_path {
            self.at += 1;
            Some(self.package()?)
        } else {
            None
        };
        let span = Span { start, end: self.at };
        let value_start = match self.peek() {
            Some('=') => Some(self.at),
            None if op == Op::Delete => None,
            _ => return Err(self.unexpected(start)),
        };
        Ok(Head { op, key, parts, is_path, package, span, value_start })
    }

    fn peek(&self) -> Option<char> {
        self.chars.get(self.at).copied()
    }

    fn operation(&mut self) -> Op {
        let (op, len) = match self.chars {
            ['+', '+', ..] => (Op::Force, 2),
            ['+', ..] => (Op::Add, 1),
            ['~', ..] => (Op::Delete, 1),
            _ => (Op::Set, 0),
        };
        self.at = len;
        op
    }

    fn text(&self, start: usize) -> String {
        self.chars[start..self.at].iter().collect()
    }

    /// The key, its parts, and whether it can only be a path.
    fn key(&mut self) -> Result<(String, Vec<String>, bool), Problem> {
        let start = self.at;
        let Some(word) = key::word(&self.chars[start..]) else { return Ok((String::new(), Vec::new(), false)) };
        self.at += word.len;
        if self.peek() != Some('/') || !word.is_id {
            return Ok((self.text(start), word.parts, word.is_path));
        }
        while self.peek() == Some('/') {
            self.at += 1;
            match key::word(&self.chars[self.at..]) {
                Some(word) if word.is_id => self.at += word.len,
                _ => return Err(self.problem("a name goes after `/`", "a name goes here")),
            }
        }
        let key = self.text(start);
        Ok((key.clone(), vec![key], false))
    }

    /// What follows `@`: a path, or nothing for the root.
    fn package(&mut self) -> Result<String, Problem> {
        let start = self.at;
        match key::word(&self.chars[start..]) {
            Some(word) if word.is_path => {
                Err(self.problem("a package is a dotted path without brackets and escapes", "this is no package"))
            }
            Some(word) => {
                self.at += word.len;
                Ok(self.text(start))
            }
            None => Ok(String::new()),
        }
    }

    /// Neither `=` nor the end came after the key.
    fn unexpected(&self, key_start: usize) -> Problem {
        let key = self.text(key_start);
        let argument = &self.source.text;
        match self.peek() {
            None if self.at == 0 => Problem::new("an override is empty")
                .from(&Span { start: 0, end: 0 }.origin(self.source))
                .help("write key=value, +key=value, ++key=value or ~key"),
            None => self
                .problem(format!("the override `{argument}` has no value"), "`=` and a value go here")
                .help(format!("write {argument}=VALUE, or ~{key} to delete the key")),
            Some(' ' | '\t') if self.at > key_start => {
                let problem = self.problem("a key cannot hold or be followed by a blank", "`=` goes here");
                let rest: String = self.chars[self.at..].iter().collect();
                let rest = rest.trim_start_matches([' ', '\t']);
                let before = self.text(0);
                match (rest.starts_with('='), rest.contains('=')) {
                    (true, _) => problem.help(format!("write {before}{rest}")),
                    (false, false) if !rest.is_empty() => problem.help(format!("write {before}={rest}")),
                    _ => problem,
                }
            }
            Some(' ' | '\t') => self.problem("a blank cannot stand before a key", "a key goes here"),
            Some('\'' | '"') => self.problem("keys are written without quotes", "a key goes here"),
            Some('[') if !key.is_empty() => self
                .problem(
                    "an index in brackets is a name or a number",
                    "the brackets are not closed or hold something else",
                )
                .help(format!("write {key}[0] or {key}.0")),
            Some('+' | '~') if self.at == key_start => self
                .problem(format!("`{argument}` starts with no known operation"), "a key goes here")
                .help("an override starts with nothing, `+`, `++` or `~`"),
            Some(c) if self.at == key_start && c.is_ascii_digit() => self
                .problem("a key cannot be a number alone or start with one", "a key starts with a letter, `_` or `$`"),
            Some('.') => self.problem("a key cannot start or end with a dot or hold two in a row", "a name goes here"),
            Some('-') if self.at == key_start && self.at == 0 => self
                .problem(format!("`{argument}` is neither a known option nor an override"), "a key goes here")
                .help("an override is key=value; options are listed by --help"),
            Some(c) if self.at == key_start => {
                self.problem(format!("a key cannot start with `{c}`"), "a key starts with a letter, `_` or `$`")
            }
            Some(c) => self
                .problem(format!("`{c}` cannot stand in a key"), "`=` goes here")
                .help("keys hold letters, digits, `_`, `-`, `$`, with dots between their parts"),
        }
    }

    /// A problem at the current character.
    fn problem(&self, message: impl Into<String>, label: &str) -> Problem {
        let here = Span { start: self.at, end: self.at + 1 };
        Problem::new(message).from(&here.origin(self.source)).width(1).label(label)
    }
}
