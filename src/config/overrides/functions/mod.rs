//! The functions of override values: casts (`int`, `float`, `str`, `bool`, `json_str`), sweeps (`choice`, `range`,
//! `interval`, `glob`), and what works on both (`sort`, `shuffle`, `tag`), and `extend_list`.
//!
//! They do what Hydra's do, Python's conversions included. Quotes around an argument of its own are taken off;
//! those inside a list or mapping stay.

mod cast;
mod order;

use std::collections::BTreeMap;

use cast::{boolean, cast, float, int, json_str, string};
use order::{shuffle, sort};

use super::OverrideValue;
use super::element::{Element, Literal, Span};
use super::range::{Number, Range};
use super::sweep::{Sweep, SweepKind};

/// The names of all functions.
pub const NAMES: [&str; 13] = [
    "bool",
    "choice",
    "extend_list",
    "float",
    "glob",
    "int",
    "interval",
    "json_str",
    "range",
    "shuffle",
    "sort",
    "str",
    "tag",
];

/// A function call, its arguments evaluated.
pub struct Call {
    /// The function's name.
    pub name: String,
    /// What it is called with, in order; named ones last.
    pub arguments: Vec<Argument>,
    /// Where the call stands.
    pub span: Span,
    /// What a shuffled list is drawn from.
    pub seed: u64,
}

/// One argument of a call.
pub struct Argument {
    /// Its name in `name=value`.
    pub name: Option<String>,
    /// Its value.
    pub value: OverrideValue,
    /// Where the value stands.
    pub span: Span,
}

/// Why a call has no value.
#[derive(Debug)]
pub struct Fault {
    /// What is wrong.
    pub message: String,
    /// The argument that it is about; the whole call when it is about none.
    pub span: Option<Span>,
    /// What to do.
    pub help: Option<String>,
}

impl From<String> for Fault {
    fn from(message: String) -> Self {
        Fault { message, span: None, help: None }
    }
}

impl From<&str> for Fault {
    fn from(message: &str) -> Self {
        message.to_owned().into()
    }
}

type Outcome<T> = Result<T, Fault>;

impl Call {
    /// The value of the call.
    pub fn evaluate(self) -> Outcome<OverrideValue> {
        let span = self.span;
        let seed = self.seed;
        let name = self.name.clone();
        match name.as_str() {
            "int" => cast(self.variadic(&["value"])?, span, int),
            "float" => cast(self.variadic(&["value"])?, span, float),
            "str" => cast(self.variadic(&["value"])?, span, string),
            "bool" => cast(self.variadic(&["value"])?, span, boolean),
            "json_str" => json_str(self.variadic(&["value"])?, span),
            "choice" => choice(self.variadic(&[])?, span),
            "range" => range(self.fixed(&["start", "stop", "step"], 1)?, span),
            "interval" => interval(self.fixed(&["start", "end"], 2)?, span),
            "glob" => glob(self.fixed(&["include", "exclude"], 1)?, span),
            "tag" => tag(self.variadic(&["sweep"])?),
            "shuffle" => shuffle(self.variadic(&["sweep", "list"])?, span, seed),
            "sort" => sort(self.variadic(&["sweep", "list", "reverse"])?, span),
            "extend_list" => extend_list(self.variadic(&[])?),
            _ => Err(Fault {
                message: format!("there is no function `{name}`"),
                span: None,
                help: Some(match nearest(&name) {
                    Some(near) => format!("did you mean `{near}`? Quote the value if it is text"),
                    None => format!("functions are {}; quote the value if it is text", NAMES.join(", ")),
                }),
            }),
        }
    }

    /// Binds any number of arguments by position and those of `known` by name.
    fn variadic(self, known: &[&str]) -> Outcome<Bound> {
        let mut bound = Bound { positional: Vec::new(), named: BTreeMap::new() };
        for argument in self.arguments {
            let span = argument.span;
            let value = without_quotes(argument.value);
            match argument.name {
                None => bound.positional.push((value, span)),
                Some(name) if known.contains(&name.as_str()) => bound.insert(name, value, span)?,
                Some(name) => return Err(unknown_name(&name, known, span)),
            }
        }
        Ok(bound)
    }

    /// Binds the arguments of a fixed list of names, of which the first `required` must be there.
    fn fixed(self, names: &[&str], required: usize) -> Outcome<Bound> {
        let mut bound = Bound { positional: Vec::new(), named: BTreeMap::new() };
        for (i, argument) in self.arguments.into_iter().enumerate() {
            let span = argument.span;
            let value = without_quotes(argument.value);
            let name = match argument.name {
                Some(name) if names.contains(&name.as_str()) => name,
                Some(name) => return Err(unknown_name(&name, names, span)),
                None => match names.get(i) {
                    Some(name) => (*name).to_owned(),
                    None => return Err(at(span, format!("at most {} arguments are taken", names.len()))),
                },
            };
            bound.insert(name, value, span)?;
        }
        match names[..required].iter().find(|name| !bound.named.contains_key(**name)) {
            Some(missing) => Err(format!("the argument `{missing}` is missing").into()),
            None => Ok(bound),
        }
    }
}

/// Arguments, sorted into those by position and those by name.
struct Bound {
    positional: Vec<(OverrideValue, Span)>,
    named: BTreeMap<String, (OverrideValue, Span)>,
}

impl Bound {
    fn insert(&mut self, name: String, value: OverrideValue, span: Span) -> Outcome<()> {
        if self.named.contains_key(&name) {
            return Err(at(span, format!("the argument `{name}` is given twice")));
        }
        self.named.insert(name, (value, span));
        Ok(())
    }

    /// A named argument; one that is `null` counts as not given.
    fn take(&mut self, name: &str) -> Option<(OverrideValue, Span)> {
        let (value, span) = self.named.remove(name)?;
        match &value {
            OverrideValue::Element(element) if element.literal == Literal::Null => None,
            _ => Some((value, span)),
        }
    }
}

fn at(span: Span, message: impl Into<String>) -> Fault {
    Fault { message: message.into(), span: Some(span), help: None }
}

fn unknown_name(name: &str, known: &[&str], span: Span) -> Fault {
    let message = match known {
        [] => format!("it takes no named argument, and `{name}` is one"),
        _ => format!("it has no argument `{name}`, only {}", known.join(", ")),
    };
    at(span, message)
}

/// The function whose name is nearest to a word.
fn nearest(word: &str) -> Option<&'static str> {
    let word = word.to_ascii_lowercase();
    let distance = |name: &&str| strsim::damerau_levenshtein(&word, name);
    NAMES.into_iter().min_by_key(distance).filter(|name| distance(name) <= (word.len().max(name.len()) / 3).max(1))
}

fn without_quotes(value: OverrideValue) -> OverrideValue {
    match value {
        OverrideValue::Element(Element { literal: Literal::Quoted(_, text), span }) => {
            OverrideValue::Element(Element { literal: Literal::Text(text), span })
        }
        other => other,
    }
}

fn describe(value: &OverrideValue) -> &'static str {
    match value {
        OverrideValue::Element(element) => element.literal.describe(),
        OverrideValue::Sweep(_) => "a sweep",
        OverrideValue::Extend(_) => "extend_list(…)",
    }
}

/// Elements of arguments among which no sweep may stand.
fn elements(values: Vec<(OverrideValue, Span)>) -> Outcome<Vec<Element>> {
    values
        .into_iter()
        .map(|(value, span)| match value {
            OverrideValue::Element(element) => Ok(element),
            other => Err(at(span, format!("{} cannot stand among several values", describe(&other)))),
        })
        .collect()
}

fn choice(mut bound: Bound, span: Span) -> Outcome<OverrideValue> {
    if bound.positional.is_empty() {
        return Err("an empty choice leaves nothing to choose".into());
    }
    if bound.positional.len() == 1 && matches!(bound.positional[0].0, OverrideValue::Sweep(_)) {
        let (value, at_span) = bound.positional.remove(0);
        return match value {
            OverrideValue::Sweep(Sweep { kind: SweepKind::Choice { items, simple: true }, tags, shuffle, .. }) => {
                let kind = SweepKind::Choice { items, simple: false };
                Ok(OverrideValue::Sweep(Sweep { kind, tags, shuffle, span }))
            }
            other => Err(at(at_span, format!("{} cannot stand inside a choice", describe(&other)))),
        };
    }
    let items = elements(bound.positional)?;
    if let Some(null) = items.iter().find(|item| item.literal == Literal::Null) {
        let mut fault = at(null.span, "null cannot be a choice here");
        fault.help = Some("write the values with commas: key=null,1".to_owned());
        return Err(fault);
    }
    Ok(OverrideValue::Sweep(Sweep::new(SweepKind::Choice { items, simple: false }, span)))
}

fn number(value: OverrideValue, span: Span, name: &str) -> Outcome<Number> {
    match &value {
        OverrideValue::Element(Element { literal: Literal::Int(i), .. }) => Ok(Number::Int(*i)),
        OverrideValue::Element(Element { literal: Literal::Bool(b), .. }) => Ok(Number::Int((*b).into())),
        OverrideValue::Element(Element { literal: Literal::Float(v), .. }) => Ok(Number::Float(*v)),
        _ => Err(at(span, format!("`{name}` is a number, not {}", describe(&value)))),
    }
}

fn range(mut bound: Bound, span: Span) -> Outcome<OverrideValue> {
    let mut take = |name: &str| bound.take(name).map(|(value, span)| number(value, span, name)).transpose();
    let Some(first) = take("start")? else { return Err("`start` is a number, not null".into()) };
    let (start, stop) = match take("stop")? {
        Some(stop) => (first, stop),
        None => (Number::Int(0), first),
    };
    let step = take("step")?.unwrap_or(Number::Int(1));
    Ok(OverrideValue::Sweep(Sweep::new(SweepKind::Range(Range::new(start, stop, step)?), span)))
}

fn interval(mut bound: Bound, span: Span) -> Outcome<OverrideValue> {
    let mut take = |name: &str| match bound.take(name) {
        Some((value, span)) => Ok(Number::Float(number(value, span, name)?.as_f64())),
        None => Err(Fault::from(format!("`{name}` is a number, not null"))),
    };
    let kind = SweepKind::Interval { start: take("start")?, end: take("end")? };
    Ok(OverrideValue::Sweep(Sweep::new(kind, span)))
}

fn glob(mut bound: Bound, span: Span) -> Outcome<OverrideValue> {
    let Some(include) = bound.take("include") else { return Err("`include` is a pattern, not null".into()) };
    let include = patterns(include)?;
    let exclude = bound.take("exclude").map(patterns).transpose()?.unwrap_or_default();
    Ok(OverrideValue::Sweep(Sweep::new(SweepKind::Glob { include, exclude }, span)))
}

/// A pattern or a list of patterns.
fn patterns((value, span): (OverrideValue, Span)) -> Outcome<Vec<String>> {
    let OverrideValue::Element(element) = value else {
        return Err(at(span, format!("a pattern or a list of patterns goes here, not {}", describe(&value))));
    };
    match element.literal {
        Literal::Text(text) => Ok(vec![text]),
        Literal::List(items) => items
            .into_iter()
            .map(|item| match item.literal {
                Literal::Text(text) => Ok(text),
                // Hydra fails on these as well; a list of plain patterns needs no quotes.
                Literal::Quoted(..) => Err(at(item.span, "patterns in a list are written without quotes")),
                other => Err(at(item.span, format!("a pattern goes here, not {}", other.describe()))),
            })
            .collect(),
        other => Err(at(span, format!("a pattern or a list of patterns goes here, not {}", other.describe()))),
    }
}

fn tag(mut bound: Bound) -> Outcome<OverrideValue> {
    if bound.positional.is_empty() {
        return Err("the sweep to tag is missing".into());
    }
    if let Some(sweep) = bound.take("sweep") {
        bound.positional.push(sweep);
    }
    let last = bound.positional.pop();
    let mut tags: Vec<String> = Vec::new();
    for (value, span) in bound.positional {
        match value {
            OverrideValue::Element(Element { literal: Literal::Text(text), .. }) => tags.push(text),
            other => return Err(at(span, format!("a tag is text, not {}", describe(&other)))),
        }
    }
    tags.sort();
    tags.dedup();
    match last {
        Some((OverrideValue::Sweep(sweep), _)) if !matches!(sweep.kind, SweepKind::Glob { .. }) => {
            Ok(OverrideValue::Sweep(Sweep { tags, ..sweep }))
        }
        Some((other, span)) => {
            Err(at(span, format!("a choice, range or interval goes last, not {}", describe(&other))))
        }
        None => Err("the sweep to tag is missing".into()),
    }
}

fn extend_list(bound: Bound) -> Outcome<OverrideValue> {
    Ok(OverrideValue::Extend(elements(bound.positional)?))
}
