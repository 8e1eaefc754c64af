//! `sort` and `shuffle`.

use std::cmp::Ordering;

use super::{Bound, Outcome, at, describe, elements};
use crate::config::overrides::OverrideValue;
use crate::config::overrides::element::{Element, Literal, Span};
use crate::config::overrides::range::Number;
use crate::config::overrides::sweep::{Shuffler, Sweep, SweepKind};

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

/// Puts a list or the values of a sweep into random order; `seed` decides the order of a list.
pub fn shuffle(mut bound: Bound, span: Span, seed: u64) -> Outcome<OverrideValue> {
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

/// Sorts a list or the values of a sweep.
pub fn sort(mut bound: Bound, span: Span) -> Outcome<OverrideValue> {
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
