//! The functions of override values: casts (`int`, `float`, `str`, `bool`, `json_str`), sweeps (`choice`, `range`,
//! `interval`, `glob`), and what works on both (`sort`, `shuffle`, `tag`), and `extend_list`.
//!
//! They do what Hydra's do, Python's conversions included. Quotes around an argument of its own are taken off;
//! those inside a list or mapping stay.

use std::cmp::Ordering;
use std::collections::BTreeMap;

use super::OverrideValue;
use super::element::{Element, Literal, Span};
use super::range::{Number, Range};
use super::sweep::{Shuffler, Sweep, SweepKind};
use crate::config::json;
use crate::config::text::{py_float, read_py_float, read_py_int};

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
    NAMES.into_iter().min_by_key(distance).filter(|name| distance(name) <= 1 + name.len() / 4)
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

/// What a cast or `json_str` works on: one value, or several that become a sweep.
fn one_or_several(mut bound: Bound, span: Span) -> Outcome<OverrideValue> {
    match (bound.take("value"), bound.positional.len()) {
        (Some(_), 1..) => Err("the value is given by position and by name".into()),
        (Some((value, _)), 0) => Ok(value),
        (None, 0) => Err("a value is missing".into()),
        (None, 1) => Ok(bound.positional.remove(0).0),
        (None, _) => {
            let items = elements(bound.positional)?;
            Ok(OverrideValue::Sweep(Sweep::new(SweepKind::Choice { items, simple: true }, span)))
        }
    }
}

/// A conversion of scalars.
type Cast = fn(&Literal) -> Result<Literal, String>;

fn cast(bound: Bound, span: Span, convert: Cast) -> Outcome<OverrideValue> {
    match one_or_several(bound, span)? {
        OverrideValue::Element(element) => Ok(OverrideValue::Element(cast_element(element, convert)?)),
        OverrideValue::Sweep(sweep) => Ok(OverrideValue::Sweep(cast_sweep(sweep, convert)?)),
        OverrideValue::Extend(_) => Err("extend_list(…) cannot be converted".into()),
    }
}

/// Converts a scalar, or every scalar in a container.
fn cast_element(element: Element, convert: Cast) -> Outcome<Element> {
    let span = element.span;
    let literal = match element.literal {
        Literal::List(items) => Literal::List(cast_all(items, convert)?),
        Literal::Dict(entries) => {
            let entries = entries.into_iter().map(|(key, value)| Ok((key, cast_element(value, convert)?)));
            Literal::Dict(entries.collect::<Outcome<_>>()?)
        }
        Literal::Quoted(_, text) => convert(&Literal::Text(text)).map_err(|message| at(span, message))?,
        scalar => convert(&scalar).map_err(|message| at(span, message))?,
    };
    Ok(Element { literal, span })
}

fn cast_all(items: Vec<Element>, convert: Cast) -> Outcome<Vec<Element>> {
    items.into_iter().map(|item| cast_element(item, convert)).collect()
}

/// Converts what a sweep goes over. As in Hydra 1.3, tags and the shuffling of a choice or a range do not survive.
fn cast_sweep(sweep: Sweep, convert: Cast) -> Outcome<Sweep> {
    let number = |number: Number| -> Outcome<Number> {
        let literal = match number {
            Number::Int(i) => Literal::Int(i),
            Number::Float(v) => Literal::Float(v),
        };
        match convert(&literal)? {
            Literal::Int(i) => Ok(Number::Int(i)),
            Literal::Float(v) => Ok(Number::Float(v)),
            _ => Err("a range or an interval can only become int or float".into()),
        }
    };
    let kind = match sweep.kind {
        SweepKind::Choice { items, simple } => SweepKind::Choice { items: cast_all(items, convert)?, simple },
        SweepKind::Range(range) => SweepKind::Range(Range {
            reversed: range.reversed,
            ..Range::new(number(range.start)?, number(range.stop)?, number(range.step)?)?
        }),
        SweepKind::Interval { start, end } => {
            let kind = SweepKind::Interval { start: number(start)?, end: number(end)? };
            return Ok(Sweep { kind, ..sweep });
        }
        SweepKind::Glob { .. } => return Err("glob(…) cannot be converted".into()),
    };
    Ok(Sweep::new(kind, sweep.span))
}

fn int(literal: &Literal) -> Result<Literal, String> {
    let value = match literal {
        Literal::Bool(b) => i64::from(*b),
        Literal::Int(i) => *i,
        Literal::Float(v) if !v.is_finite() => return Err(format!("{} is no integer", py_float(*v))),
        // 2^63 is a float, so the comparison is exact.
        Literal::Float(v) if v.trunc().abs() >= 9_223_372_036_854_775_808.0 => {
            return Err(format!("{} is too large for an integer of 64 bits", py_float(*v)));
        }
        Literal::Float(v) => v.trunc() as i64,
        Literal::Text(text) => {
            read_py_int(text).ok_or_else(|| format!("the text '{text}' is no integer (of at most 64 bits)"))?
        }
        other => return Err(format!("{} is no integer", other.describe())),
    };
    Ok(Literal::Int(value))
}

fn float(literal: &Literal) -> Result<Literal, String> {
    let value = match literal {
        Literal::Bool(b) => f64::from(*b),
        Literal::Int(i) => *i as f64,
        Literal::Float(v) => *v,
        Literal::Text(text) => read_py_float(text).ok_or_else(|| format!("the text '{text}' is no number"))?,
        other => return Err(format!("{} is no number", other.describe())),
    };
    Ok(Literal::Float(value))
}

fn string(literal: &Literal) -> Result<Literal, String> {
    let text = match literal {
        Literal::Bool(b) => b.to_string(),
        Literal::Int(i) => i.to_string(),
        Literal::Float(v) => py_float(*v),
        Literal::Text(text) => text.clone(),
        other => return Err(format!("{} cannot become text", other.describe())),
    };
    Ok(Literal::Text(text))
}

fn boolean(literal: &Literal) -> Result<Literal, String> {
    let value = match literal {
        Literal::Null => false,
        Literal::Bool(b) => *b,
        Literal::Int(i) => *i != 0,
        Literal::Float(v) => *v != 0.0,
        Literal::Text(text) if text.eq_ignore_ascii_case("true") => true,
        Literal::Text(text) if text.eq_ignore_ascii_case("false") => false,
        Literal::Text(text) => return Err(format!("the text '{text}' is neither true nor false")),
        other => return Err(format!("{} is no boolean", other.describe())),
    };
    Ok(Literal::Bool(value))
}

fn json_str(bound: Bound, span: Span) -> Outcome<OverrideValue> {
    let element = |element: Element| Element { span: element.span, literal: Literal::Text(python_json(&element)) };
    match one_or_several(bound, span)? {
        OverrideValue::Element(value) => Ok(OverrideValue::Element(element(value))),
        OverrideValue::Sweep(Sweep { kind: SweepKind::Choice { items, simple }, .. }) => {
            if let Some(null) = items.iter().find(|item| item.literal == Literal::Null) {
                return Err(at(null.span, "null cannot be a choice here"));
            }
            let items = items.into_iter().map(element).collect();
            Ok(OverrideValue::Sweep(Sweep::new(SweepKind::Choice { items, simple }, span)))
        }
        _ => Err("of the sweeps only choices can become JSON".into()),
    }
}

/// JSON as Python's `json.dumps` writes it: blanks after commas and colons, ASCII only.
fn python_json(element: &Element) -> String {
    match &element.literal {
        Literal::Null => "null".to_owned(),
        Literal::Bool(b) => b.to_string(),
        Literal::Int(i) => i.to_string(),
        Literal::Float(v) => json_float(*v),
        Literal::Text(text) | Literal::Quoted(_, text) => ascii_json(text),
        Literal::List(items) => {
            let items: Vec<String> = items.iter().map(python_json).collect();
            format!("[{}]", items.join(", "))
        }
        Literal::Dict(entries) => {
            let entry = |(key, value): &(Element, Element)| {
                let key = match &key.literal {
                    Literal::Text(_) | Literal::Quoted(..) => python_json(key),
                    _ => format!("\"{}\"", python_json(key)),
                };
                format!("{key}: {}", python_json(value))
            };
            let entries: Vec<String> = entries.iter().map(entry).collect();
            format!("{{{}}}", entries.join(", "))
        }
    }
}

fn json_float(value: f64) -> String {
    match value {
        f64::INFINITY => "Infinity".to_owned(),
        f64::NEG_INFINITY => "-Infinity".to_owned(),
        v if v.is_nan() => "NaN".to_owned(),
        v => py_float(v),
    }
}

fn ascii_json(text: &str) -> String {
    let mut out = String::new();
    for c in json::quote(text).chars() {
        // serde_json leaves U+007F as it is, and so does Python.
        if c.is_ascii() {
            out.push(c);
        } else {
            let mut units = [0u16; 2];
            out.extend(c.encode_utf16(&mut units).iter().map(|unit| format!("\\u{unit:04x}")));
        }
    }
    out
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

/// The list, or else the sweep, given by name to `sort` and `shuffle`.
fn named_subject(bound: &mut Bound) -> Outcome<Option<OverrideValue>> {
    if let Some((value, span)) = bound.take("list") {
        return match &value {
            OverrideValue::Element(Element { literal: Literal::List(_), .. }) => Ok(Some(value)),
            _ => Err(at(span, format!("`list` is a list, not {}", describe(&value)))),
        };
    }
    let Some((value, span)) = bound.take("sweep") else { return Ok(None) };
    if is_ordered(&value) { Ok(Some(value)) } else { Err(at(span, "`sweep` is a choice or a range")) }
}

/// Whether it is a sweep whose values have an order: a choice or a range.
fn is_ordered(value: &OverrideValue) -> bool {
    matches!(value, OverrideValue::Sweep(Sweep { kind: SweepKind::Choice { .. } | SweepKind::Range(_), .. }))
}

/// Refuses what can neither be sorted nor shuffled.
fn check_subjects(bound: &Bound) -> Outcome<()> {
    for (value, span) in &bound.positional {
        let fits = match value {
            OverrideValue::Element(element) => element.literal != Literal::Null,
            other => is_ordered(other),
        };
        if !fits {
            return Err(at(*span, format!("{} cannot stand here", describe(value))));
        }
    }
    Ok(())
}

fn shuffle(mut bound: Bound, span: Span, seed: u64) -> Outcome<OverrideValue> {
    check_subjects(&bound)?;
    let subject = match named_subject(&mut bound)? {
        Some(subject) => subject,
        None if bound.positional.len() == 1 => bound.positional.remove(0).0,
        None => {
            let kind = SweepKind::Choice { items: elements(bound.positional)?, simple: true };
            return Ok(OverrideValue::Sweep(Sweep { shuffle: true, ..Sweep::new(kind, span) }));
        }
    };
    match subject {
        OverrideValue::Element(Element { literal: Literal::List(mut items), .. }) => {
            Shuffler::new(seed).shuffle(&mut items);
            Ok(OverrideValue::Element(Element { literal: Literal::List(items), span }))
        }
        // As in Hydra, one value becomes a list of one.
        OverrideValue::Element(element) => {
            Ok(OverrideValue::Element(Element { literal: Literal::List(vec![element]), span }))
        }
        OverrideValue::Sweep(sweep) => Ok(OverrideValue::Sweep(Sweep { shuffle: true, ..sweep })),
        OverrideValue::Extend(_) => Err("extend_list(…) cannot be shuffled".into()),
    }
}

fn sort(mut bound: Bound, span: Span) -> Outcome<OverrideValue> {
    check_subjects(&bound)?;
    let descending = match bound.named.remove("reverse") {
        None => false,
        Some((OverrideValue::Element(Element { literal: Literal::Bool(b), .. }), _)) => b,
        Some((other, span)) => return Err(at(span, format!("`reverse` is true or false, not {}", describe(&other)))),
    };
    let subject = match named_subject(&mut bound)? {
        Some(subject) => subject,
        None => match bound.positional.len() {
            0 => return Err("there is nothing to sort".into()),
            1 => bound.positional.remove(0).0,
            _ => {
                let items = elements(bound.positional)?;
                if let Some(item) =
                    items.iter().find(|item| matches!(item.literal, Literal::List(_) | Literal::Dict(_)))
                {
                    return Err(at(item.span, format!("{} cannot be sorted among others", item.literal.describe())));
                }
                OverrideValue::Sweep(Sweep::new(SweepKind::Choice { items, simple: true }, span))
            }
        },
    };
    match subject {
        OverrideValue::Element(Element { literal: Literal::List(items), .. }) => {
            Ok(OverrideValue::Element(Element { literal: Literal::List(sorted(items, descending)?), span }))
        }
        OverrideValue::Element(element) => Ok(OverrideValue::Element(element)),
        // What is sorted is no longer shuffled.
        OverrideValue::Sweep(Sweep { kind: SweepKind::Choice { items, simple }, tags, span, .. }) => {
            let kind = SweepKind::Choice { items: sorted(items, descending)?, simple };
            Ok(OverrideValue::Sweep(Sweep { kind, tags, shuffle: false, span }))
        }
        OverrideValue::Sweep(Sweep { kind: SweepKind::Range(range), tags, span, .. }) => {
            let kind = SweepKind::Range(range.sorted(descending));
            Ok(OverrideValue::Sweep(Sweep { kind, tags, shuffle: false, span }))
        }
        _ => Err("this cannot be sorted".into()),
    }
}

/// Sorts as Python does: stable, in reverse too. A merge sort of our own, because comparing may fail and NaN has no
/// place in a total order.
fn sorted(mut items: Vec<Element>, descending: bool) -> Outcome<Vec<Element>> {
    if descending {
        items.reverse();
    }
    let mut items = merge_sort(items)?;
    if descending {
        items.reverse();
    }
    Ok(items)
}

fn merge_sort(mut left: Vec<Element>) -> Outcome<Vec<Element>> {
    if left.len() < 2 {
        return Ok(left);
    }
    let right = left.split_off(left.len() / 2);
    let mut left = merge_sort(left)?.into_iter().peekable();
    let mut right = merge_sort(right)?.into_iter().peekable();
    let mut merged = Vec::with_capacity(left.len() + right.len());
    while let (Some(a), Some(b)) = (left.peek(), right.peek()) {
        let next = if is_less(b, a)? { right.next() } else { left.next() };
        merged.extend(next);
    }
    merged.extend(left);
    merged.extend(right);
    Ok(merged)
}

/// Python's `a < b`.
fn is_less(a: &Element, b: &Element) -> Outcome<bool> {
    match (&a.literal, &b.literal) {
        (Literal::Text(a), Literal::Text(b)) => Ok(a < b),
        (Literal::List(a), Literal::List(b)) => {
            for (x, y) in a.iter().zip(b) {
                if !is_equal(x, y) {
                    return is_less(x, y);
                }
            }
            Ok(a.len() < b.len())
        }
        (x, y) => match (as_number(x), as_number(y)) {
            (Some(x), Some(y)) => Ok(compare(x, y) == Some(Ordering::Less)),
            _ => Err(at(a.span, format!("{} and {} have no order", y.describe(), x.describe()))),
        },
    }
}

/// Python's `a == b`, as far as comparing lists needs it.
fn is_equal(a: &Element, b: &Element) -> bool {
    match (as_number(&a.literal), as_number(&b.literal)) {
        (Some(x), Some(y)) => compare(x, y) == Some(Ordering::Equal),
        _ => a == b,
    }
}

fn as_number(literal: &Literal) -> Option<Number> {
    match literal {
        Literal::Bool(b) => Some(Number::Int((*b).into())),
        Literal::Int(i) => Some(Number::Int(*i)),
        Literal::Float(v) => Some(Number::Float(*v)),
        _ => None,
    }
}

fn compare(a: Number, b: Number) -> Option<Ordering> {
    match (a, b) {
        (Number::Int(a), Number::Int(b)) => Some(a.cmp(&b)),
        _ => a.as_f64().partial_cmp(&b.as_f64()),
    }
}

fn extend_list(bound: Bound) -> Outcome<OverrideValue> {
    Ok(OverrideValue::Extend(elements(bound.positional)?))
}
