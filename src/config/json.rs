//! JSON of a tree: keys in their order, integers and floats told apart.
//!
//! JSON has no spelling for infinities and NaN: they become `{"__float__": "inf"}`. Keys that are not text are
//! spelt as YAML shows them. Floats are spelt as Python's `json` does (`1.0`, `1e-05`).

use std::fmt::Write;

use super::node::{Node, Value};
use super::text::py_float;

/// JSON over several lines, two blanks a level.
pub fn pretty(node: &Node) -> String {
    let mut out = String::new();
    write(&mut out, node, Some(0));
    out
}

/// JSON on one line, without blanks.
pub fn compact(node: &Node) -> String {
    let mut out = String::new();
    write(&mut out, node, None);
    out
}

/// A JSON string literal.
pub fn quote(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

/// Writes a value. `level` is the depth of indentation, `None` for one line.
fn write(out: &mut String, node: &Node, level: Option<usize>) {
    let colon = if level.is_some() { ": " } else { ":" };
    match &node.value {
        Value::Null => out.push_str("null"),
        Value::Bool(b) => drop(write!(out, "{b}")),
        Value::Int(i) => drop(write!(out, "{i}")),
        Value::Float(v) if v.is_finite() => out.push_str(&py_float(*v)),
        Value::Float(v) => drop(write!(out, "{{\"__float__\"{colon}\"{}\"}}", py_float(*v))),
        Value::Str(text) => out.push_str(&quote(text)),
        Value::List(items) if items.is_empty() => out.push_str("[]"),
        Value::List(items) => {
            out.push('[');
            for (i, item) in items.iter().enumerate() {
                separate(out, i, level);
                write(out, item, level.map(|l| l + 1));
            }
            close(out, ']', level);
        }
        Value::Map(map) if map.is_empty() => out.push_str("{}"),
        Value::Map(map) => {
            out.push('{');
            for (i, (key, item)) in map.iter().enumerate() {
                separate(out, i, level);
                out.push_str(&quote(&key.to_string()));
                out.push_str(colon);
                write(out, item, level.map(|l| l + 1));
            }
            close(out, '}', level);
        }
    }
}

fn separate(out: &mut String, index: usize, level: Option<usize>) {
    if index > 0 {
        out.push(',');
    }
    if let Some(level) = level {
        new_line(out, level + 1);
    }
}

fn close(out: &mut String, bracket: char, level: Option<usize>) {
    if let Some(level) = level {
        new_line(out, level);
    }
    out.push(bracket);
}

fn new_line(out: &mut String, level: usize) {
    out.push('\n');
    out.extend(std::iter::repeat_n("  ", level));
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::node::{Key, Map};

    fn sample() -> Node {
        let entries = [
            (Key::from("b"), Node::program(1i64)),
            (Key::Int(7), Node::program(1.0)),
            (Key::Bool(true), Node::program(1e-5)),
            (Key::Float(1.5), Node::program(f64::NEG_INFINITY)),
            (Key::from("a\"\n"), Node::program(vec![Node::program(Value::Null), Node::program("é")])),
            (Key::from("e"), Node::program(Map::new())),
        ];
        Node::program(Map::from_iter(entries))
    }

    #[test]
    fn compact_json_keeps_order_and_number_kinds() {
        let text = r#"{"b":1,"7":1.0,"true":1e-05,"1.5":{"__float__":"-inf"},"a\"\n":[null,"é"],"e":{}}"#;
        assert_eq!(compact(&sample()), text);
    }

    #[test]
    fn pretty_json_is_indented_by_two() {
        let node = Node::program(Map::from_iter([(Key::from("a"), Node::program(vec![Node::program(1i64)]))]));
        assert_eq!(pretty(&node), "{\n  \"a\": [\n    1\n  ]\n}");
        let value: serde_json::Value = serde_json::from_str(&pretty(&sample())).unwrap();
        assert_eq!(value["a\"\n"][1], "é");
    }
}
