//! The functions of expressions, with Python's meaning.

use std::cmp::Ordering;

use super::node;
use super::operators::{self, Number, number};
use crate::config::interpolate::resolve::python_index;
use crate::config::node::{Node, Value};
use crate::config::text::py_str;

/// What can be called.
pub(super) const NAMES: [&str; 13] =
    ["abs", "bool", "float", "int", "len", "list", "max", "min", "range", "round", "sorted", "str", "sum"];

/// How long a text `str` may make.
const MAX_TEXT: usize = 1 << 20;

type Outcome = Result<Value, String>;

pub(super) fn call(name: &str, arguments: Vec<Value>) -> Outcome {
    match (name, arguments.as_slice()) {
        ("len", [value]) => length(value),
        ("min", _) => extreme(name, arguments, Ordering::Less),
        ("max", _) => extreme(name, arguments, Ordering::Greater),
        ("sum", [Value::List(list)]) => sum(list, Value::Int(0)),
        ("sum", [Value::List(list), start]) => sum(list, start.clone()),
        ("abs", [value]) => absolute(value),
        ("round", [value]) => round(value, None),
        ("round", [value, Value::Int(digits)]) => round(value, Some(*digits)),
        ("int", [value]) => int(value),
        ("float", [value]) => float(value),
        ("bool", [value]) => Ok(Value::Bool(operators::truth(value))),
        ("str", [value]) => str(value),
        ("list", [Value::List(list)]) => Ok(Value::List(list.clone())),
        ("sorted", [Value::List(list)]) => sorted(list),
        ("range", [Value::Int(stop)]) => operators::range(0, *stop, 1),
        ("range", [Value::Int(start), Value::Int(stop)]) => operators::range(*start, *stop, 1),
        ("range", [Value::Int(start), Value::Int(stop), Value::Int(step)]) => operators::range(*start, *stop, *step),
        _ => {
            let found: Vec<&str> = arguments.iter().map(Value::describe).collect();
            Err(format!("`{name}` does not take ({})", found.join(", ")))
        }
    }
}

fn length(value: &Value) -> Outcome {
    let length = match value {
        Value::Str(text) => text.chars().count(),
        Value::List(list) => list.len(),
        Value::Map(map) => map.len(),
        other => return Err(format!("{} has no length", other.describe())),
    };
    i64::try_from(length).map(Value::Int).map_err(|e| e.to_string())
}

fn extreme(name: &str, arguments: Vec<Value>, wanted: Ordering) -> Outcome {
    let mut items = match <[Value; 1]>::try_from(arguments) {
        Ok([Value::List(list)]) => list.into_iter().map(|item| item.value).collect(),
        Ok([other]) => return Err(format!("`{name}` needs a list or several values, not {}", other.describe())),
        Err(several) => several,
    }
    .into_iter();
    let Some(mut best) = items.next() else { return Err(format!("`{name}` of nothing")) };
    for item in items {
        if operators::ordering(&item, &best)? == Some(wanted) {
            best = item;
        }
    }
    Ok(best)
}

fn sum(list: &[Node], start: Value) -> Outcome {
    if matches!(start, Value::Str(_)) {
        return Err("`sum` does not join strings".to_owned());
    }
    list.iter().try_fold(start, |sum, item| operators::binary("+", sum, item.value.clone()))
}

fn absolute(value: &Value) -> Outcome {
    match number(value) {
        Some(Number::Int(int)) => {
            int.checked_abs().map(Value::Int).ok_or_else(|| "the result does not fit 64 bits".to_owned())
        }
        Some(Number::Float(float)) => Ok(Value::Float(float.abs())),
        None => Err(format!("`abs` needs a number, not {}", value.describe())),
    }
}

/// Half to even, as Python rounds.
fn round(value: &Value, digits: Option<i64>) -> Outcome {
    match (number(value), digits) {
        (None, _) => Err(format!("`round` needs a number, not {}", value.describe())),
        (Some(Number::Int(int)), None) => Ok(Value::Int(int)),
        (Some(Number::Int(int)), Some(digits)) if digits >= 0 => Ok(Value::Int(int)),
        (Some(Number::Int(int)), Some(digits)) => {
            let power = u32::try_from(-digits).ok().and_then(|d| 10i64.checked_pow(d));
            let Some(power) = power else { return Ok(Value::Int(0)) };
            let (low, rest) = (int - int.rem_euclid(power), int.rem_euclid(power));
            let up = rest * 2 > power || (rest * 2 == power && (low / power) % 2 != 0);
            Ok(Value::Int(if up { low.saturating_add(power) } else { low }))
        }
        (Some(Number::Float(float)), None) => whole(float.round_ties_even()),
        (Some(Number::Float(float)), Some(digits)) => Ok(Value::Float(round_digits(float, digits))),
    }
}

/// Rounds by its decimal digits, which is what Python does.
fn round_digits(float: f64, digits: i64) -> f64 {
    match usize::try_from(digits) {
        Ok(digits) if float.is_finite() && digits <= 320 => format!("{float:.digits$}").parse().unwrap_or(float),
        Ok(_) => float,
        Err(_) => {
            let power = 10f64.powi(i32::try_from(-digits).unwrap_or(i32::MAX));
            if power.is_finite() { (float / power).round_ties_even() * power } else { 0.0 }
        }
    }
}

fn whole(float: f64) -> Outcome {
    // 2^63 is the first float that no 64-bit integer reaches.
    if float.is_finite() && float.abs() < 9_223_372_036_854_775_808.0 {
        return Ok(Value::Int(float as i64));
    }
    Err(format!("{float} does not fit a 64-bit integer"))
}

fn int(value: &Value) -> Outcome {
    match (number(value), value) {
        (Some(Number::Int(int)), _) => Ok(Value::Int(int)),
        (Some(Number::Float(float)), _) => whole(float.trunc()),
        (None, Value::Str(text)) => {
            let valid = python_index(text).is_some();
            let parsed = text.trim().replace('_', "").parse();
            match parsed {
                Ok(int) if valid => Ok(Value::Int(int)),
                _ => Err(format!("`{text}` is no integer")),
            }
        }
        (None, other) => Err(format!("`int` does not take {}", other.describe())),
    }
}

fn float(value: &Value) -> Outcome {
    match (number(value), value) {
        (Some(number), _) => Ok(Value::Float(number.float())),
        (None, Value::Str(text)) => {
            text.trim().replace('_', "").parse().map(Value::Float).map_err(|_| format!("`{text}` is no number"))
        }
        (None, other) => Err(format!("`float` does not take {}", other.describe())),
    }
}

fn str(value: &Value) -> Outcome {
    let text = py_str(&node(value.clone()));
    if text.len() > MAX_TEXT { Err("the result is too large".to_owned()) } else { Ok(Value::Str(text)) }
}

fn sorted(list: &[Node]) -> Outcome {
    let mut items = list.to_vec();
    let mut failed = None;
    items.sort_by(|a, b| match operators::ordering(&a.value, &b.value) {
        Ok(order) => order.unwrap_or(Ordering::Equal),
        Err(message) => {
            failed = Some(message);
            Ordering::Equal
        }
    });
    failed.map_or(Ok(Value::List(items)), Err)
}
