//! OmegaConf's own resolvers.

use std::rc::Rc;
use std::sync::Arc;

use super::Call;
use crate::config::interpolate::parse;
use crate::config::interpolate::resolve::{Failure, LookupError, Missing, Resolved};
use crate::config::node::{Map, Node, Source, Value};
use crate::config::text::py_str;
use crate::config::yaml;

type Outcome<'a> = Result<Resolved<'a>, Failure>;

/// `${oc.env:NAME,default}`: the variable's text; a default is turned into text, only null stays null.
pub(super) fn env<'a>(call: &Call<'_, 'a>) -> Outcome<'a> {
    let arguments = call.arguments(1, 2)?;
    let name = call.text(&arguments[0], "the variable's name")?;
    match call.session.resolvers.variable(name) {
        Ok(Some(text)) => return Ok(Resolved::Plain(Value::Str(text))),
        Ok(None) => {}
        Err(message) => return call.fail(message),
    }
    match arguments.get(1) {
        None => {
            let problem =
                call.session.problem(format!("the environment variable `{name}` is not set"), &call.holder.origin);
            Err(Rc::new(problem.help(format!("set it, or give a default: `${{oc.env:{name},DEFAULT}}`"))))
        }
        Some(default) => Ok(Resolved::Plain(match call.value_of(default) {
            Value::Null => Value::Null,
            _ => Value::Str(call.session.python_text(default)),
        })),
    }
}

/// `${oc.select:key,default}`: the default stands in for an absent or missing key, not for null.
pub(super) fn select<'a>(call: &Call<'_, 'a>) -> Outcome<'a> {
    let arguments = call.arguments(1, 2)?;
    let key = call.text(&arguments[0], "the key")?;
    let found = match call.session.select(call.container, key, Missing::Allowed) {
        Ok(found) => found,
        Err(LookupError::NotAContainer(_)) => None,
        Err(LookupError::Failed(failure)) => return Err(failure),
    };
    let default = || arguments.get(1).cloned().unwrap_or(Resolved::Plain(Value::Null));
    Ok(match found {
        None => default(),
        Some(Resolved::Scalar(node)) if node.is_missing() => default(),
        Some(found) => found,
    })
}

/// `${oc.decode:text}`: the text read as an argument of a resolver would be.
pub(super) fn decode<'a>(call: &Call<'_, 'a>) -> Outcome<'a> {
    let argument = &call.arguments(1, 1)?[0];
    let text = match call.value_of(argument) {
        Value::Null => return Ok(Resolved::Plain(Value::Null)),
        Value::Str(text) => text,
        other => return call.fail(format!("takes a string or null, not {}", other.describe())),
    };
    match parse::element(text) {
        Ok(element) => call.session.element(&element, call.holder, call.container),
        Err(error) => {
            let column = text.get(..error.at).map_or(0, |before| before.chars().count()) + 1;
            call.fail(format!("`{text}`: {} (at its character {column})", error.message))
        }
    }
}

/// `${oc.create:value}`: a mapping or list that interpolations can look into; text is read as YAML.
pub(super) fn create<'a>(call: &Call<'_, 'a>) -> Outcome<'a> {
    let argument = &call.arguments(1, 1)?[0];
    let origin = &call.holder.origin;
    let raw = match argument {
        Resolved::Container(frame) => frame.node.clone(),
        Resolved::Scalar(Node { value, .. }) | Resolved::Plain(value) => match value {
            Value::Map(_) | Value::List(_) => Node { value: value.clone(), origin: origin.clone() },
            Value::Null => return Ok(Resolved::Plain(Value::Null)),
            Value::Str(text) => yaml_text(call, text)?,
            other => return call.fail(format!("takes a mapping, a list or YAML text, not {}", other.describe())),
        },
    };
    call.session.made(raw, call.container)
}

fn yaml_text(call: &Call, text: &str) -> Result<Node, Failure> {
    let source = Source { kind: call.holder.origin.source.kind.clone(), text: text.to_owned() };
    let node = match yaml::parse(Arc::new(source)) {
        Ok(node) => node,
        Err(problems) => {
            let first = problems.0.first().map(|problem| problem.message.clone()).unwrap_or_default();
            return call.fail(format!("its text is no YAML: {first}"));
        }
    };
    Ok(match node.value {
        Value::Null => Node { value: Value::Map(Map::new()), origin: call.holder.origin.clone() },
        Value::Str(key) => {
            let null = Node { value: Value::Null, origin: call.holder.origin.clone() };
            Node { value: Value::Map(Map::from_iter([(key.into(), null)])), origin: call.holder.origin.clone() }
        }
        Value::Map(_) | Value::List(_) => node,
        other => return call.fail(format!("its text is {}, not a mapping or list", other.describe())),
    })
}

/// `${oc.dict.keys:key}`: the keys of a mapping.
pub(super) fn dict_keys<'a>(call: &Call<'_, 'a>) -> Outcome<'a> {
    let (_, keys) = mapping(call)?;
    let origin = call.holder.origin.clone();
    let list = keys.into_iter().map(|value| Node { value, origin: origin.clone() }).collect();
    call.session.made(Node { value: Value::List(list), origin }, call.container)
}

/// `${oc.dict.values:key}`: references to the values of a mapping.
pub(super) fn dict_values<'a>(call: &Call<'_, 'a>) -> Outcome<'a> {
    let (path, keys) = mapping(call)?;
    // The references stand in a list of their own, one level further down.
    let path = if path.starts_with('.') { format!(".{path}") } else { path };
    let origin = call.holder.origin.clone();
    let list = keys
        .into_iter()
        .map(|key| {
            let key = py_str(&Node::program(key));
            Node { value: Value::Str(format!("${{{path}.{key}}}")), origin: origin.clone() }
        })
        .collect();
    call.session.made(Node { value: Value::List(list), origin }, call.container)
}

/// The key of a mapping, and the mapping's keys as values.
fn mapping(call: &Call) -> Result<(String, Vec<Value>), Failure> {
    use crate::config::node::Key;
    let path = call.text(&call.arguments(1, 1)?[0], "the key")?.to_owned();
    let keys = |map: &Map| {
        map.keys()
            .map(|key| match key {
                Key::Str(text) => Value::Str(text.clone()),
                Key::Int(int) => Value::Int(*int),
                Key::Float(float) => Value::Float(*float),
                Key::Bool(b) => Value::Bool(*b),
            })
            .collect()
    };
    let found = match call.session.select(call.container, &path, Missing::Fails) {
        Ok(found) => found,
        Err(LookupError::NotAContainer(_)) => None,
        Err(LookupError::Failed(failure)) => return Err(failure),
    };
    match &found {
        None => call.fail(format!("key `{path}` not found")),
        Some(found) => match call.value_of(found) {
            Value::Map(map) => Ok((path, keys(map))),
            other => call.fail(format!("`{path}` is {}, not a mapping", other.describe())),
        },
    }
}

/// `${oc.deprecated:new_key,message}`: the value of another key, with a warning.
pub(super) fn deprecated<'a>(call: &Call<'_, 'a>) -> Outcome<'a> {
    let arguments = call.arguments(1, 2)?;
    let key = call.text(&arguments[0], "the key")?;
    let message = match arguments.get(1) {
        Some(message) => call.text(message, "the message")?,
        None => "'$OLD_KEY' is deprecated. Change your code and config to use '$NEW_KEY'",
    };
    let found = match call.session.select(call.container, key, Missing::Allowed) {
        Ok(found) => found,
        Err(LookupError::NotAContainer(_)) => None,
        Err(LookupError::Failed(failure)) => return Err(failure),
    };
    let Some(found) = found else { return call.fail(format!("key `{key}` not found")) };
    let new_key = match &found {
        Resolved::Container(frame) => frame.path().to_string(),
        _ => key.to_owned(),
    };
    let old_key = call.session.active_path().to_string();
    let text = message
        .replace("${OLD_KEY}", &old_key)
        .replace("$OLD_KEY", &old_key)
        .replace("${NEW_KEY}", &new_key)
        .replace("$NEW_KEY", &new_key);
    call.session.warnings.borrow_mut().push(text);
    Ok(found)
}
