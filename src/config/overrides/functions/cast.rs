//! The casts `int`, `float`, `str`, `bool`, with Python's conversions, and `json_str`.

use super::{Bound, Outcome, at, elements};
use crate::config::json;
use crate::config::overrides::OverrideValue;
use crate::config::overrides::element::{Element, Literal, Span};
use crate::config::overrides::range::{Number, Range};
use crate::config::overrides::sweep::{Sweep, SweepKind};
use crate::config::text::{py_float, read_py_float, read_py_int};

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
pub type Cast = fn(&Literal) -> Result<Literal, String>;

/// Converts a value, every scalar in a container, or what a sweep goes over.
pub fn cast(bound: Bound, span: Span, convert: Cast) -> Outcome<OverrideValue> {
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

/// Python's `int(value)`.
pub fn int(literal: &Literal) -> Result<Literal, String> {
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

/// Python's `float(value)`.
pub fn float(literal: &Literal) -> Result<Literal, String> {
    let value = match literal {
        Literal::Bool(b) => f64::from(*b),
        Literal::Int(i) => *i as f64,
        Literal::Float(v) => *v,
        Literal::Text(text) => read_py_float(text).ok_or_else(|| format!("the text '{text}' is no number"))?,
        other => return Err(format!("{} is no number", other.describe())),
    };
    Ok(Literal::Float(value))
}

/// Hydra's `str(value)`: Python's, with `true` and `false` in small letters.
pub fn string(literal: &Literal) -> Result<Literal, String> {
    let text = match literal {
        Literal::Bool(b) => b.to_string(),
        Literal::Int(i) => i.to_string(),
        Literal::Float(v) => py_float(*v),
        Literal::Text(text) => text.clone(),
        other => return Err(format!("{} cannot become text", other.describe())),
    };
    Ok(Literal::Text(text))
}

/// Hydra's `bool(value)`: of text only `true` and `false`.
pub fn boolean(literal: &Literal) -> Result<Literal, String> {
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

/// `json_str(value)`: the value as JSON text.
pub fn json_str(bound: Bound, span: Span) -> Outcome<OverrideValue> {
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
