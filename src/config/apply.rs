//! Applying overrides of keys to a composed tree, in order, as Hydra does with the tree closed: `key=value` changes
//! what exists, `+` adds what does not, `++` does either, `~` deletes.

use super::interpolate::nearest;
use super::interpolate::resolve::python_index;
use super::merge::{self, Dereference, Keys, MAX_NESTING};
use super::node::{Key, KeyPath, Map, Node, Segment, Value};
use super::overrides::{Op, Override, OverrideValue};
use super::problem::Problem;

/// What applying needs to know about interpolations.
pub(super) struct Lookup<'l> {
    /// The value at a path, interpolations followed; `None` when there is no such key.
    pub select: &'l Select<'l>,
    /// The container that an interpolation refers to.
    pub dereference: &'l Dereference<'l>,
}

/// Looks a path up in a tree.
pub(super) type Select<'s> = dyn Fn(&Node, &[String]) -> Result<Option<Found>, Problem> + 's;

/// What a path leads to.
pub(super) struct Found {
    /// The value; containers with their interpolations.
    pub value: Node,
    /// Where it really is, when an interpolation led elsewhere in the tree.
    pub path: Option<KeyPath>,
}

/// Applies one override to a tree.
pub(super) fn apply(root: &mut Node, item: &Override, lookup: &Lookup) -> Result<(), Problem> {
    let problem = |message: String| Problem::new(message).from(&item.key_origin()).width(item.key_span.width());
    if item.package.is_some() {
        let help = "a package needs a group: check its name, or leave `@…` out to set a key";
        return Err(problem(format!("there is no config group `{}`", item.key)).help(help));
    }
    if item.parts.is_empty() {
        return Err(problem("an override needs a key".to_owned()));
    }
    if item.parts.len() > MAX_NESTING {
        return Err(problem(format!("a key has at most {MAX_NESTING} parts")));
    }
    if let Some(null) = item.element().and_then(|element| element.null_key()) {
        return Err(problem(format!("null cannot be a key, in `{}`", null.spell())));
    }
    match (item.op, &item.value) {
        (Op::Delete, _) => delete(root, item, lookup),
        (_, Some(OverrideValue::Extend(_))) => extend(root, item, lookup),
        (op, _) => {
            let value = item.to_node().unwrap_or_else(|| Node::program(Value::Null));
            if op == Op::Add && !matches!(value.value, Value::Map(_) | Value::List(_)) {
                check_absent(root, item, lookup)?;
            }
            let keys = if op == Op::Set { Keys::Closed } else { Keys::Open };
            update(root, item, value, keys, lookup)
        }
    }
}

/// `+key=scalar` needs the key to be absent, null or missing.
fn check_absent(root: &Node, item: &Override, lookup: &Lookup) -> Result<(), Problem> {
    match (lookup.select)(root, &item.parts)? {
        Some(found) if !found.value.is_null() && !found.value.is_missing() => {
            Err(Problem::new(format!("`{}` exists already; it was set at {}", item.key, found.value.origin))
                .at(path_of(root, &item.parts))
                .from(&item.key_origin())
                .width(item.key_span.width())
                .help(format!("to change it leave the `+` out; `++{}=…` adds or changes", item.key)))
        }
        _ => Ok(()),
    }
}

/// Sets a value at a path. Scalars on the way become mappings, which only helps when keys may be new.
fn update(root: &mut Node, item: &Override, value: Node, keys: Keys, lookup: &Lookup) -> Result<(), Problem> {
    let Some((last, way)) = item.parts.split_last() else { return Ok(()) };
    let mut path = KeyPath::root();
    for part in way {
        let snapshot = Snapshot::of(root, &path, part);
        match snapshot {
            Snapshot::Container(segment) => path.0.push(segment),
            Snapshot::Scalar(segment) if keys == Keys::Open => {
                path.0.push(segment);
                if let Some(node) = merge::node_mut(root, &path) {
                    *node = Node::new(Map::new(), value.origin.clone());
                }
            }
            Snapshot::Absent if keys == Keys::Open => {
                let segment = Segment::Key(Key::Str(part.clone()));
                if let Some(Node { value: Value::Map(map), .. }) = merge::node_mut(root, &path) {
                    map.insert(Key::Str(part.clone()), Node::new(Map::new(), value.origin.clone()));
                }
                path.0.push(segment);
            }
            Snapshot::NoIndex(problem) => return Err(at_key(item, problem)),
            Snapshot::Scalar(_) | Snapshot::Absent => return Err(unknown(root, item)),
        }
    }
    let is_container = matches!(value.value, Value::Map(_) | Value::List(_));
    match Snapshot::of(root, &path, last) {
        Snapshot::Container(segment) if is_container => {
            path.0.push(segment);
            return merge::into_node(root, &path, &value, keys, lookup.dereference);
        }
        Snapshot::Container(segment) | Snapshot::Scalar(segment) => {
            path.0.push(segment);
            if let Some(node) = merge::node_mut(root, &path) {
                *node = value;
            }
        }
        Snapshot::Absent if keys == Keys::Open => {
            if let Some(Node { value: Value::Map(map), .. }) = merge::node_mut(root, &path) {
                map.insert(Key::Str(last.clone()), value);
            }
        }
        Snapshot::Absent => return Err(unknown(root, item)),
        Snapshot::NoIndex(problem) => return Err(at_key(item, problem)),
    }
    Ok(())
}

/// A child by its name on the command line.
enum Snapshot {
    Container(Segment),
    Scalar(Segment),
    Absent,
    /// A list has no such index, and no operation makes one.
    NoIndex(String),
}

impl Snapshot {
    fn of(root: &Node, path: &KeyPath, part: &str) -> Snapshot {
        let kind = |node: &Node, segment| match node.value {
            Value::Map(_) | Value::List(_) => Snapshot::Container(segment),
            _ => Snapshot::Scalar(segment),
        };
        match root.at(path).map(|node| &node.value) {
            Some(Value::Map(map)) => match map.get_key_value(part) {
                Some((key, node)) => kind(node, Segment::Key(key.clone())),
                None => Snapshot::Absent,
            },
            Some(Value::List(list)) => {
                let index = python_index(part).and_then(|index| usize::try_from(index).ok());
                match index.and_then(|i| list.get(i).map(|node| (i, node))) {
                    Some((i, node)) => kind(node, Segment::Index(i)),
                    None => Snapshot::NoIndex(no_index(path, list.len(), part)),
                }
            }
            _ => Snapshot::Absent,
        }
    }
}

fn no_index(path: &KeyPath, length: usize, part: &str) -> String {
    match length {
        0 => format!("`{path}` is an empty list and has no `{part}`"),
        1 => format!("`{path}` is a list with the one index 0 and has no `{part}`"),
        n => format!("`{path}` is a list with the indices 0 to {} and has no `{part}`", n - 1),
    }
}

fn at_key(item: &Override, message: String) -> Problem {
    Problem::new(message)
        .from(&item.key_origin())
        .width(item.key_span.width())
        .help(format!("to append to a list write `{}=extend_list(VALUE)`", list_of(&item.parts)))
}

fn list_of(parts: &[String]) -> String {
    parts.split_last().map(|(_, way)| way.join(".")).unwrap_or_default()
}

fn unknown(root: &Node, item: &Override) -> Problem {
    let steps: Vec<&str> = item.parts.iter().map(String::as_str).collect();
    let problem = Problem::new(format!("the config has no key `{}`", item.key))
        .from(&item.key_origin())
        .width(item.key_span.width());
    let add = format!("to add it write `+{}`", item.source.text);
    match nearest::nearest(root, &steps) {
        Some(help) if help.starts_with("did you mean") => problem.help(format!("{help} {add}")),
        Some(help) => problem.help(format!("{add} ({help})")),
        None => problem.help(add),
    }
}

fn delete(root: &mut Node, item: &Override, lookup: &Lookup) -> Result<(), Problem> {
    let problem = |message: String| Problem::new(message).from(&item.key_origin()).width(item.key_span.width());
    let found = (lookup.select)(root, &item.parts)?;
    let Some(found) = found.filter(|found| !found.value.is_null() && !found.value.is_missing()) else {
        let steps: Vec<&str> = item.parts.iter().map(String::as_str).collect();
        let help = match root.select(&item.key) {
            Some(_) => Some("it is null or missing, so there is nothing to delete".to_owned()),
            None => nearest::nearest(root, &steps),
        };
        let problem = problem(format!("`{}` cannot be deleted: it does not exist", item.key));
        return Err(match help {
            Some(help) => problem.help(help),
            None => problem,
        });
    };
    if let Some(wanted) = item.to_node().filter(|wanted| !wanted.is_null())
        && !same(&found.value.value, &wanted.value)
    {
        return Err(problem(format!(
            "`{}` is not deleted: it is {}, not {}",
            item.key,
            super::json::compact(&found.value),
            super::json::compact(&wanted)
        )));
    }
    let Some((last, way)) = item.parts.split_last() else { return Ok(()) };
    if let Some((first, mapping)) = way.split_first()
        && first == "hydra"
        && super::hydra::has_fixed_fields(mapping)
    {
        return Err(problem(format!("`{}` is a field of the hydra node and cannot be deleted", item.key)));
    }
    let parent = match way {
        [] => Some(KeyPath::root()),
        way => (lookup.select)(root, way)?.and_then(|found| found.path),
    };
    let target = parent.and_then(|path| merge::node_mut(root, &path));
    match target.map(|node| &mut node.value) {
        Some(Value::Map(map)) => {
            map.shift_remove(last.as_str());
            Ok(())
        }
        Some(Value::List(list)) => {
            if let Some(index) = python_index(last).and_then(|i| usize::try_from(i).ok()).filter(|i| *i < list.len()) {
                list.remove(index);
            }
            Ok(())
        }
        _ => Err(problem(format!("`{}` cannot be deleted: a resolver makes it", item.key))),
    }
}

/// Python's `==`: numbers and booleans compare by value.
fn same(a: &Value, b: &Value) -> bool {
    let number = |value: &Value| match value {
        Value::Bool(b) => Some(f64::from(u8::from(*b))),
        Value::Int(int) => Some(*int as f64),
        Value::Float(float) => Some(*float),
        _ => None,
    };
    match (a, b) {
        (Value::Int(a), Value::Int(b)) => a == b,
        (Value::List(a), Value::List(b)) => {
            a.len() == b.len() && a.iter().zip(b).all(|(a, b)| same(&a.value, &b.value))
        }
        (Value::Map(a), Value::Map(b)) => {
            a.len() == b.len() && a.iter().all(|(key, a)| b.get(key).is_some_and(|b| same(&a.value, &b.value)))
        }
        _ => match (number(a), number(b)) {
            (Some(a), Some(b)) => a == b,
            (None, None) => a == b,
            _ => false,
        },
    }
}

fn extend(root: &mut Node, item: &Override, lookup: &Lookup) -> Result<(), Problem> {
    let problem = |message: String| Problem::new(message).from(&item.key_origin()).width(item.key_span.width());
    let found = (lookup.select)(root, &item.parts)?;
    let Some(found) = found else {
        let message = format!("`{}` does not exist, so there is no list to extend", item.key);
        return Err(problem(message).help(format!("to add a list write `+{}=[…]`", item.key)));
    };
    if found.value.as_list().is_none() {
        return Err(problem(format!("`{}` is {}, not a list to extend", item.key, found.value.value.describe())));
    }
    let Some(Value::List(more)) = item.to_node().map(|node| node.value) else { return Ok(()) };
    match found.path.and_then(|path| merge::node_mut(root, &path)) {
        Some(Node { value: Value::List(list), .. }) => {
            list.extend(more);
            Ok(())
        }
        _ => Err(problem(format!("`{}` cannot be extended: a resolver makes it", item.key))),
    }
}

fn path_of(root: &Node, parts: &[String]) -> KeyPath {
    let mut path = KeyPath::root();
    for part in parts {
        match Snapshot::of(root, &path, part) {
            Snapshot::Container(segment) | Snapshot::Scalar(segment) => path.0.push(segment),
            _ => path.0.push(Segment::Key(Key::Str(part.clone()))),
        }
    }
    path
}
