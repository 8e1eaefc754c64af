//! From the events of a YAML document to a tree.

use std::collections::HashMap;
use std::sync::Arc;

use saphyr_parser::{Event, Parser, ScalarStyle, ScanError, Span, Tag};

use super::strict::{Mended, Refusal, Strict};
use super::{MAX_COPIES, MAX_DEPTH, scalar};
use crate::config::node::{Key, Map, Node, Origin, Source, Value};
use crate::config::problem::{Problem, Problems};

/// Builds the tree of a text whose characters have been checked.
pub fn build(source: &Arc<Source>) -> Result<Node, Problems> {
    let mut text = Mended::new(source.text.trim_start_matches('\u{feff}'));
    loop {
        let mut builder = Builder::new(source, &text);
        match builder.run() {
            Ok(()) => return builder.close(),
            Err(Stop::Syntax(error)) => {
                let problem = builder.syntax(&error);
                builder.problems.push(problem);
                let problems = std::mem::take(&mut builder.problems);
                drop(builder);
                if !text.mend(&error) {
                    return Err(problems);
                }
            }
            Err(Stop::Problem(problem)) => {
                builder.problems.push(*problem);
                return Err(builder.problems);
            }
        }
    }
}

struct Builder<'a> {
    source: &'a Arc<Source>,
    text: &'a Mended<'a>,
    strict: Strict<'a>,
    stack: Vec<Frame>,
    root: Option<Built>,
    documents: usize,
    anchors: HashMap<usize, Built>,
    /// How many values aliases have copied so far.
    copies: usize,
    problems: Problems,
}

/// Why reading stops.
enum Stop {
    Syntax(ScanError),
    Problem(Box<Problem>),
}

impl From<Problem> for Stop {
    fn from(problem: Problem) -> Self {
        Stop::Problem(Box::new(problem))
    }
}

/// A finished value, how many values it holds, and what it is as a key.
#[derive(Clone)]
struct Built {
    node: Node,
    size: usize,
    /// How deep its lists and mappings nest.
    depth: usize,
    role: Role,
    width: usize,
}

/// What an unquoted `<<` or `=` is depends on whether it turns out to be a key or a value.
#[derive(Clone, PartialEq)]
enum Role {
    Usual,
    /// An unquoted `<<`.
    Merge,
    /// A scalar that has no meaning as a value: the reason. As a key `=` is plain text.
    Invalid(String),
}

/// A list or mapping whose end has not come yet.
struct Frame {
    origin: Origin,
    anchor: usize,
    size: usize,
    depth: usize,
    /// Inside brackets or braces.
    in_flow: bool,
    body: Body,
}

enum Body {
    List(Vec<Node>),
    Map(Pending),
}

#[derive(Default)]
struct Pending {
    own: Vec<(Key, Node)>,
    /// Where each string key stands, to name both lines of a repeated one.
    seen: HashMap<String, u32>,
    /// The mappings named by `<<`, in the order in which they are laid down.
    merged: Vec<(Key, Node)>,
    key: Option<PendingKey>,
}

enum PendingKey {
    Usual(Key, Origin),
    Merge(Origin),
    /// The key was wrong and has been reported: its value is dropped.
    Wrong,
}

impl<'a> Builder<'a> {
    fn new(source: &'a Arc<Source>, text: &'a Mended<'a>) -> Self {
        Builder {
            source,
            text,
            strict: Strict::new(&text.text),
            stack: Vec::new(),
            root: None,
            documents: 0,
            anchors: HashMap::new(),
            copies: 0,
            problems: Problems::default(),
        }
    }

    fn run(&mut self) -> Result<(), Stop> {
        let text: &'a str = &self.text.text;
        let mut parser = Parser::new_from_str(text);
        while let Some(event) = parser.next_event() {
            let (event, span) = event.map_err(Stop::Syntax)?;
            self.event(event, span)?;
        }
        self.strict.end().map_err(|refusal| self.refuse(refusal))?;
        Ok(())
    }

    fn close(self) -> Result<Node, Problems> {
        let root = match self.root {
            // An empty file is an empty config.
            None => Node::new(Map::new(), Origin::new(self.source.clone(), 1, 1)),
            Some(Built { node, .. }) if node.is_null() => Node { value: Value::Map(Map::new()), ..node },
            Some(Built { node, .. }) => node,
        };
        self.problems.or(root)
    }

    fn event(&mut self, event: Event<'_>, span: Span) -> Result<(), Problem> {
        let origin = self.origin(span);
        match event {
            Event::DocumentStart(_) => {
                self.documents += 1;
                if self.documents > 1 {
                    return Err(Problem::new("a second YAML document starts here, a config file holds one")
                        .from(&origin)
                        .width(3)
                        .help("split the file, or remove the `---`"));
                }
            }
            Event::Scalar(text, style, anchor, tag) => {
                let text = self.check_scalar(&text, style, span, anchor > 0)?;
                let built = self.scalar(text, style, tag.as_deref(), origin, width(span))?;
                self.finish(built, anchor)?;
            }
            Event::Alias(id) => {
                self.strict.enter(span, false).map_err(|refusal| self.refuse(refusal))?;
                let built = self.alias(id, origin, width(span))?;
                self.finish(built, 0)?;
            }
            Event::SequenceStart(anchor, tag) => self.open(span, anchor, tag.as_deref(), Body::List(Vec::new()))?,
            Event::MappingStart(anchor, tag) => {
                self.open(span, anchor, tag.as_deref(), Body::Map(Pending::default()))?
            }
            Event::SequenceEnd | Event::MappingEnd => {
                if let Some(frame) = self.stack.pop() {
                    let anchor = frame.anchor;
                    self.finish(frame.close(), anchor)?;
                }
            }
            Event::StreamStart | Event::StreamEnd | Event::DocumentEnd | Event::Nothing => {}
        }
        Ok(())
    }

    fn origin(&self, span: Span) -> Origin {
        let start = span.start;
        self.place(start.line(), start.col())
    }

    /// A line, from 1, and a column, from 0, of the text.
    fn place(&self, line: usize, column: usize) -> Origin {
        Origin::new(self.source.clone(), line as u32, self.text.column(line, column) as u32 + 1)
    }

    fn refuse(&self, refusal: Refusal) -> Problem {
        let (line, column) = self.strict.place(refusal.offset);
        let problem = Problem::new(refusal.message).from(&self.place(line, column)).width(1);
        match refusal.help {
            Some(help) => problem.help(help),
            None => problem,
        }
    }

    /// Looks at a scalar as it is written; gives its text, corrected where the parser errs.
    fn check_scalar<'t>(
        &mut self,
        text: &'t str,
        style: ScalarStyle,
        span: Span,
        has_anchor: bool,
    ) -> Result<&'t str, Problem> {
        // A value that is not there has no place of its own.
        if text.is_empty() && span.is_empty() {
            return Ok(text);
        }
        let in_flow = self.stack.last().is_some_and(|frame| frame.in_flow);
        let node = self.strict.enter(span, has_anchor).map_err(|refusal| self.refuse(refusal))?;
        match style {
            ScalarStyle::SingleQuoted | ScalarStyle::DoubleQuoted => self.strict.leave_quoted(node),
            ScalarStyle::Literal | ScalarStyle::Folded => self.strict.leave(span),
            ScalarStyle::Plain => {
                self.strict.plain(span, node, in_flow).map_err(|refusal| self.refuse(refusal))?;
                self.strict.leave(span);
            }
        }
        let is_block = matches!(style, ScalarStyle::Literal | ScalarStyle::Folded);
        // The parser adds a line break to a block that ends with the file.
        if is_block && self.strict.ends_unbroken(span) { Ok(text.strip_suffix('\n').unwrap_or(text)) } else { Ok(text) }
    }

    fn open(&mut self, span: Span, anchor: usize, tag: Option<&Tag>, body: Body) -> Result<(), Problem> {
        let origin = self.origin(span);
        self.strict.enter(span, anchor > 0).map_err(|refusal| self.refuse(refusal))?;
        let in_flow = self.strict.is_bracket(span) || self.stack.last().is_some_and(|frame| frame.in_flow);
        let own_tag = if matches!(body, Body::List(_)) { "seq" } else { "map" };
        let is_known = |tag: &Tag| is_non_specific(tag) || (tag.is_yaml_core_schema() && tag.suffix == own_tag);
        if let Some(tag) = tag.filter(|tag| !is_known(tag)) {
            return Err(unknown_tag(tag, &origin));
        }
        if self.stack.len() >= MAX_DEPTH {
            return Err(too_deep(&origin));
        }
        self.stack.push(Frame { origin, anchor, size: 1, depth: 1, in_flow, body });
        Ok(())
    }

    fn scalar(
        &mut self,
        text: &str,
        style: ScalarStyle,
        tag: Option<&Tag>,
        origin: Origin,
        width: usize,
    ) -> Result<Built, Problem> {
        let plain = style == ScalarStyle::Plain;
        let (value, role) = match tag.filter(|tag| !is_non_specific(tag)) {
            Some(tag) => {
                let value = tag.is_yaml_core_schema().then(|| scalar::tagged(&tag.suffix, text)).flatten();
                match value.ok_or_else(|| unknown_tag(tag, &origin))? {
                    Ok(value) => (value, Role::Usual),
                    Err(reason) => return Err(Problem::new(reason).from(&origin).width(width)),
                }
            }
            None if !plain => (Value::Str(text.to_owned()), Role::Usual),
            None => match scalar::plain(text) {
                Ok(value) => (value, Role::Usual),
                Err(_) if text == "<<" => (Value::Str(text.to_owned()), Role::Merge),
                Err(reason) => (Value::Str(text.to_owned()), Role::Invalid(reason)),
            },
        };
        Ok(Built { node: Node::new(value, origin), size: 1, depth: 0, role, width })
    }

    fn alias(&mut self, id: usize, origin: Origin, width: usize) -> Result<Built, Problem> {
        let Some(target) = self.anchors.get(&id) else {
            return Err(Problem::new("the alias names the value that contains it").from(&origin).width(width));
        };
        if self.stack.len() + target.depth > MAX_DEPTH {
            return Err(too_deep(&origin));
        }
        count_copies(&mut self.copies, target.size, &origin)?;
        // The copy keeps the places of the anchor: that is where its values can be edited.
        Ok(Built { width, ..target.clone() })
    }

    /// Puts a finished value where it belongs.
    fn finish(&mut self, mut built: Built, anchor: usize) -> Result<(), Problem> {
        if anchor > 0 {
            count_copies(&mut self.copies, built.size, &built.node.origin)?;
            self.anchors.insert(anchor, built.clone());
        }
        let as_key = matches!(self.stack.last(), Some(Frame { body: Body::Map(Pending { key: None, .. }), .. }));
        if !as_key {
            let reason = match built.role {
                Role::Usual => None,
                Role::Merge => Some("`<<` alone is a special mark of YAML 1.1, not a value".to_owned()),
                Role::Invalid(ref reason) => Some(reason.clone()),
            };
            if let Some(reason) = reason {
                let text = built.node.as_str().unwrap_or_default().to_owned();
                self.problems.push(
                    Problem::new(reason)
                        .from(&built.node.origin)
                        .width(built.width)
                        .help(format!("quote it if text is meant: '{text}'")),
                );
            }
        }
        let Some(frame) = self.stack.last_mut() else {
            self.root = Some(built);
            return Ok(());
        };
        frame.size += built.size;
        frame.depth = frame.depth.max(built.depth + 1);
        match &mut frame.body {
            Body::List(items) => items.push(built.node),
            Body::Map(map) => match map.key.take() {
                None => map.key = Some(map.take_key(built, &mut self.problems)),
                Some(PendingKey::Usual(key, place)) => {
                    built.node.origin.key = (place.line, place.column);
                    map.own.push((key, built.node));
                }
                Some(PendingKey::Merge(place)) => map.merge(built.node, &place, &mut self.problems),
                Some(PendingKey::Wrong) => {}
            },
        }
        Ok(())
    }

    fn syntax(&self, error: &ScanError) -> Problem {
        let marker = error.marker();
        let last = self.text.text.lines().count().max(1);
        // An unexpected end of the file is reported below its last line: show the last line instead.
        let origin = if marker.line() > last {
            let text = self.text.text.lines().last().unwrap_or_default();
            self.place(last, text.chars().count())
        } else {
            self.place(marker.line(), marker.col())
        };
        if error.info().contains("recursion limit") {
            return too_deep(&origin);
        }
        let problem = Problem::new(format!("not valid YAML: {}", error.info())).from(&origin).width(1);
        match error.info() {
            info if info.contains("tab") => problem.help("indent with spaces"),
            info if info.contains("mapping values are not allowed") => {
                problem.help("text that holds `: ` must be quoted")
            }
            _ => problem,
        }
    }
}

impl Frame {
    fn close(self) -> Built {
        let value = match self.body {
            Body::List(items) => Value::List(items),
            Body::Map(pending) => Value::Map(pending.close()),
        };
        Built { node: Node::new(value, self.origin), size: self.size, depth: self.depth, role: Role::Usual, width: 1 }
    }
}

impl Pending {
    fn take_key(&mut self, built: Built, problems: &mut Problems) -> PendingKey {
        let Built { node, role, width, .. } = built;
        let origin = node.origin;
        if role == Role::Merge {
            return PendingKey::Merge(origin);
        }
        let key = match node.value {
            Value::Str(text) => Key::Str(text),
            Value::Int(i) => Key::Int(i),
            Value::Float(v) => Key::Float(v),
            Value::Bool(b) => Key::Bool(b),
            other => {
                let problem = Problem::new(format!("{} cannot be a key", other.describe())).from(&origin).width(width);
                problems.push(match other {
                    Value::Null => problem.help("quote it if text is meant"),
                    _ => problem.help("keys are text, numbers or booleans"),
                });
                return PendingKey::Wrong;
            }
        };
        if let Key::Str(text) = &key {
            if let Some(first) = self.seen.get(text) {
                problems.push(
                    Problem::new(format!(
                        "the key `{text}` stands twice in one mapping, on lines {first} and {}",
                        origin.line
                    ))
                    .from(&origin)
                    .width(width)
                    .label(format!("first on line {first}"))
                    .help("keep one of them"),
                );
                return PendingKey::Wrong;
            }
            self.seen.insert(text.clone(), origin.line);
        }
        PendingKey::Usual(key, origin)
    }

    /// Lays down what `<<` names: a mapping, or a list of mappings of which earlier ones win.
    fn merge(&mut self, node: Node, place: &Origin, problems: &mut Problems) {
        let maps = match node.value {
            Value::List(items) => items.into_iter().rev().collect(),
            value => vec![Node { value, origin: node.origin }],
        };
        for map in maps {
            match map.value {
                Value::Map(map) => self.merged.extend(map),
                other => problems.push(
                    Problem::new(format!("`<<` merges a mapping or a list of mappings, not {}", other.describe()))
                        .from(place)
                        .width(2),
                ),
            }
        }
    }

    /// Merged values come first and own ones win, as in PyYAML.
    fn close(self) -> Map {
        let mut map = Map::with_capacity(self.own.len() + self.merged.len());
        let mut numbers: HashMap<u64, Key> = HashMap::new();
        for (key, node) in self.merged.into_iter().chain(self.own) {
            let key = match key.number_bits() {
                Some(bits) => numbers.entry(bits).or_insert(key).clone(),
                None => key,
            };
            map.insert(key, node);
        }
        map
    }
}

fn too_deep(origin: &Origin) -> Problem {
    Problem::new(format!("lists and mappings nest deeper than {MAX_DEPTH} levels")).from(origin).width(1)
}

/// Keeps a handful of aliases from filling the memory.
fn count_copies(copies: &mut usize, size: usize, origin: &Origin) -> Result<(), Problem> {
    *copies += size;
    if *copies > MAX_COPIES {
        return Err(Problem::new(format!("anchors and aliases copy more than {MAX_COPIES} values"))
            .from(origin)
            .width(1));
    }
    Ok(())
}

/// `!` alone asks for no type at all.
fn is_non_specific(tag: &Tag) -> bool {
    (tag.handle.is_empty() && tag.suffix == "!") || (tag.handle == "!" && tag.suffix.is_empty())
}

fn unknown_tag(tag: &Tag, origin: &Origin) -> Problem {
    let name =
        if tag.is_yaml_core_schema() { format!("!!{}", tag.suffix) } else { format!("{}{}", tag.handle, tag.suffix) };
    Problem::new(format!("the tag `{name}` names no type of config value here"))
        .from(origin)
        .width(1)
        .help("known tags: !!str, !!int, !!float, !!bool, !!null on scalars, !!seq on lists, !!map on mappings")
}

fn width(span: Span) -> usize {
    if span.start.line() == span.end.line() { span.len().max(1) } else { 1 }
}
