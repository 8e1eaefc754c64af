//! Operators with Python's meaning: floor division and modulo towards minus infinity, `/` always a float, booleans
//! as numbers, values of different kinds equal only when they are numbers.

use std::cmp::Ordering;

use super::{MAX_SIZE, node};
use crate::config::node::{Key, Node, Value};

type Outcome = Result<Value, String>;

/// A number: booleans count as 0 and 1.
#[derive(Clone, Copy)]
pub(super) enum Number {
    Int(i64),
    Float(f64),
}

impl Number {
    pub(super) fn float(self) -> f64 {
        match self {
            Number::Int(int) => int as f64,
            Number::Float(float) => float,
        }
    }
}

pub(super) fn number(value: &Value) -> Option<Number> {
    match value {
        Value::Bool(b) => Some(Number::Int(i64::from(*b))),
        Value::Int(int) => Some(Number::Int(*int)),
        Value::Float(float) => Some(Number::Float(*float)),
        _ => None,
    }
}

/// Whether Python's `bool()` holds.
pub(super) fn truth(value: &Value) -> bool {
    match value {
        Value::Null => false,
        Value::Bool(b) => *b,
        Value::Int(int) => *int != 0,
        Value::Float(float) => *float != 0.0,
        Value::Str(text) => !text.is_empty(),
        Value::List(list) => !list.is_empty(),
        Value::Map(map) => !map.is_empty(),
    }
}

pub(super) fn key(value: &Value) -> Result<Key, String> {
    Ok(match value {
        Value::Str(text) => Key::Str(text.clone()),
        Value::Int(int) => Key::Int(*int),
        Value::Float(float) => Key::Float(*float),
        Value::Bool(b) => Key::Bool(*b),
        other => return Err(format!("{} cannot be a key", other.describe())),
    })
}

fn overflow() -> String {
    "the result does not fit 64 bits".to_owned()
}

pub(super) fn negate(value: &Value) -> Outcome {
    match number(value) {
        Some(Number::Int(int)) => int.checked_neg().map(Value::Int).ok_or_else(overflow),
        Some(Number::Float(float)) => Ok(Value::Float(-float)),
        None => Err(format!("`-` needs a number, not {}", value.describe())),
    }
}

pub(super) fn plus(value: Value) -> Outcome {
    match number(&value) {
        Some(Number::Int(int)) => Ok(Value::Int(int)),
        Some(Number::Float(float)) => Ok(Value::Float(float)),
        None => Err(format!("`+` needs a number, not {}", value.describe())),
    }
}

pub(super) fn binary(operator: &str, a: Value, b: Value) -> Outcome {
    if let (Some(x), Some(y)) = (number(&a), number(&b)) {
        return match (x, y) {
            (Number::Int(x), Number::Int(y)) => integers(operator, x, y),
            _ => floats(operator, x.float(), y.float()),
        };
    }
    match (operator, a, b) {
        ("+", Value::Str(a), Value::Str(b)) => Ok(Value::Str(a + &b)),
        ("+", Value::List(mut a), Value::List(b)) => {
            a.extend(b);
            Ok(Value::List(a))
        }
        ("*", Value::Str(text), times) | ("*", times, Value::Str(text)) if number(&times).is_some() => {
            let times = repetitions(&times, text.len())?;
            Ok(Value::Str(text.repeat(times)))
        }
        ("*", Value::List(list), times) | ("*", times, Value::List(list)) if number(&times).is_some() => {
            let times = repetitions(&times, weight(&list))?;
            Ok(Value::List((0..times).flat_map(|_| list.iter().cloned()).collect()))
        }
        (operator, a, b) => Err(format!("`{operator}` does not take {} and {}", a.describe(), b.describe())),
    }
}

/// How many values a list holds, inner ones included.
fn weight(list: &[Node]) -> usize {
    list.iter()
        .map(|item| match &item.value {
            Value::List(inner) => 1 + weight(inner),
            Value::Str(text) => 1 + text.len() / 64,
            Value::Map(map) => 1 + map.values().map(|v| weight(std::slice::from_ref(v))).sum::<usize>(),
            _ => 1,
        })
        .sum()
}

fn repetitions(times: &Value, size: usize) -> Result<usize, String> {
    let Some(Number::Int(times)) = number(times) else { return Err("`*` needs a whole number of times".to_owned()) };
    let times = usize::try_from(times.max(0)).map_err(|_| overflow())?;
    match times.checked_mul(size) {
        Some(total) if total <= MAX_SIZE && times <= MAX_SIZE => Ok(times),
        _ => Err("the result is too large".to_owned()),
    }
}

fn integers(operator: &str, x: i64, y: i64) -> Outcome {
    let by_zero = || "division by zero".to_owned();
    let checked = match operator {
        "+" => x.checked_add(y),
        "-" => x.checked_sub(y),
        "*" => x.checked_mul(y),
        "/" if y == 0 => return Err(by_zero()),
        "/" => return Ok(Value::Float(x as f64 / y as f64)),
        "//" | "%" if y == 0 => return Err(by_zero()),
        "//" => x.checked_div_euclid(y).map(|_| floor_div(x, y)),
        "%" => x.checked_rem(y).map(|rest| if rest != 0 && (rest < 0) != (y < 0) { rest + y } else { rest }),
        "**" if y < 0 => return floats("**", x as f64, y as f64),
        "**" => u32::try_from(y).ok().and_then(|y| x.checked_pow(y)),
        _ => return Err(format!("there is no operator `{operator}`")),
    };
    checked.map(Value::Int).ok_or_else(overflow)
}

fn floor_div(x: i64, y: i64) -> i64 {
    let quotient = x / y;
    if x % y != 0 && (x < 0) != (y < 0) { quotient - 1 } else { quotient }
}

fn floats(operator: &str, x: f64, y: f64) -> Outcome {
    let divides = matches!(operator, "/" | "//" | "%");
    if (divides && y == 0.0) || (operator == "**" && x == 0.0 && y < 0.0) {
        return Err("division by zero".to_owned());
    }
    Ok(Value::Float(match operator {
        "+" => x + y,
        "-" => x - y,
        "*" => x * y,
        "/" => x / y,
        "//" => (x / y).floor(),
        "%" => {
            let rest = x % y;
            if rest != 0.0 && (rest < 0.0) != (y < 0.0) { rest + y } else { rest }
        }
        "**" => {
            if x < 0.0 && y.fract() != 0.0 {
                return Err("a negative number has no such power".to_owned());
            }
            let power = x.powf(y);
            if power.is_infinite() && x.is_finite() && y.is_finite() {
                return Err("the result is too large".to_owned());
            }
            power
        }
        _ => return Err(format!("there is no operator `{operator}`")),
    }))
}

pub(super) fn compare(operator: &str, a: &Value, b: &Value) -> Result<bool, String> {
    Ok(match operator {
        "==" => equal(a, b),
        "!=" => !equal(a, b),
        "is" => std::mem::discriminant(a) == std::mem::discriminant(b) && equal(a, b),
        "is not" => std::mem::discriminant(a) != std::mem::discriminant(b) || !equal(a, b),
        "in" => contains(b, a)?,
        "not in" => !contains(b, a)?,
        _ => {
            let order = ordering(a, b)?;
            match operator {
                "<" => order == Some(Ordering::Less),
                "<=" => matches!(order, Some(Ordering::Less | Ordering::Equal)),
                ">" => order == Some(Ordering::Greater),
                _ => matches!(order, Some(Ordering::Greater | Ordering::Equal)),
            }
        }
    })
}

/// Python's `==`.
pub(super) fn equal(a: &Value, b: &Value) -> bool {
    if let (Some(x), Some(y)) = (number(a), number(b)) {
        return match (x, y) {
            (Number::Int(x), Number::Int(y)) => x == y,
            _ => x.float() == y.float(),
        };
    }
    match (a, b) {
        (Value::List(a), Value::List(b)) => {
            a.len() == b.len() && a.iter().zip(b).all(|(a, b)| equal(&a.value, &b.value))
        }
        (Value::Map(a), Value::Map(b)) => {
            a.len() == b.len() && a.iter().all(|(k, v)| b.get(k).is_some_and(|other| equal(&v.value, &other.value)))
        }
        _ => a == b,
    }
}

/// Python's order; `None` beside NaN.
pub(super) fn ordering(a: &Value, b: &Value) -> Result<Option<Ordering>, String> {
    if let (Some(x), Some(y)) = (number(a), number(b)) {
        return Ok(match (x, y) {
            (Number::Int(x), Number::Int(y)) => Some(x.cmp(&y)),
            _ => x.float().partial_cmp(&y.float()),
        });
    }
    match (a, b) {
        (Value::Str(a), Value::Str(b)) => Ok(Some(a.cmp(b))),
        (Value::List(a), Value::List(b)) => {
            for (a, b) in a.iter().zip(b) {
                if !equal(&a.value, &b.value) {
                    return ordering(&a.value, &b.value);
                }
            }
            Ok(Some(a.len().cmp(&b.len())))
        }
        _ => Err(format!("{} and {} have no order", a.describe(), b.describe())),
    }
}

fn contains(container: &Value, item: &Value) -> Result<bool, String> {
    match (container, item) {
        (Value::List(list), item) => Ok(list.iter().any(|other| equal(&other.value, item))),
        (Value::Map(map), item) => Ok(key(item).is_ok_and(|key| map.contains_key(&key))),
        (Value::Str(text), Value::Str(part)) => Ok(text.contains(part.as_str())),
        (other, item) => Err(format!("{} cannot be in {}", item.describe(), other.describe())),
    }
}

pub(super) fn index(base: &Value, index: &Value) -> Outcome {
    if let Value::Map(map) = base {
        let found = map.get(&key(index)?);
        return found.map(|node| node.value.clone()).ok_or_else(|| format!("there is no key {index:?}"));
    }
    let Some(Number::Int(at)) = number(index) else {
        return Err(format!("an index is a whole number, not {}", index.describe()));
    };
    let out_of_range = |length: usize| format!("index {at} is outside 0 to {}", length.saturating_sub(1));
    match base {
        Value::List(list) => position(at, list.len())
            .and_then(|i| list.get(i))
            .map(|node| node.value.clone())
            .ok_or_else(|| out_of_range(list.len())),
        Value::Str(text) => {
            let length = text.chars().count();
            position(at, length)
                .and_then(|i| text.chars().nth(i))
                .map(|c| Value::Str(c.to_string()))
                .ok_or_else(|| out_of_range(length))
        }
        other => Err(format!("{} has no elements", other.describe())),
    }
}

fn position(at: i64, length: usize) -> Option<usize> {
    if at < 0 { length.checked_sub(usize::try_from(at.unsigned_abs()).ok()?) } else { usize::try_from(at).ok() }
}

pub(super) fn slice(base: &Value, from: Option<&Value>, to: Option<&Value>) -> Outcome {
    let bound = |value: Option<&Value>, otherwise: usize, length: usize| match value {
        None | Some(Value::Null) => Ok(otherwise),
        Some(value) => match number(value) {
            Some(Number::Int(at)) if at < 0 => Ok(position(at, length).unwrap_or(0)),
            Some(Number::Int(at)) => Ok(usize::try_from(at).unwrap_or(length).min(length)),
            _ => Err(format!("an index is a whole number, not {}", value.describe())),
        },
    };
    let range = |length: usize| Ok::<_, String>((bound(from, 0, length)?, bound(to, length, length)?));
    match base {
        Value::List(list) => {
            let (from, to) = range(list.len())?;
            Ok(Value::List(list.get(from..to.max(from)).unwrap_or_default().to_vec()))
        }
        Value::Str(text) => {
            let (from, to) = range(text.chars().count())?;
            Ok(Value::Str(text.chars().skip(from).take(to.saturating_sub(from)).collect()))
        }
        other => Err(format!("{} has no elements", other.describe())),
    }
}

/// Whole numbers as a list.
pub(super) fn range(start: i64, stop: i64, step: i64) -> Outcome {
    if step == 0 {
        return Err("a range's step cannot be 0".to_owned());
    }
    let span = if step > 0 { i128::from(stop) - i128::from(start) } else { i128::from(start) - i128::from(stop) };
    let step_size = i128::from(step).abs();
    let count = if span <= 0 { 0 } else { (span + step_size - 1) / step_size };
    if count > MAX_SIZE as i128 {
        return Err("the range is too long".to_owned());
    }
    let mut items = Vec::new();
    let mut at = start;
    for _ in 0..count {
        items.push(node(Value::Int(at)));
        at = at.saturating_add(step);
    }
    Ok(Value::List(items))
}
