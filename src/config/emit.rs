//! Writing a tree as YAML, in the layout and with the quotes of `OmegaConf.to_yaml`, without folding long lines.
//!
//! PyYAML, OmegaConf and [`super::yaml`] read it back equal: text that any of them would take for something else
//! is quoted, floats have a dot (`1.0e-08`). The rules for quotes are those of PyYAML's emitter.

use std::fmt::Write;

use super::node::{Key, Map, Node, Value};
use super::text::{read_py_float, yaml_float};
use super::yaml::scalar;

/// PyYAML writes longer keys as `? key`. Its count includes the five characters of the tag `!!str`.
const LONGEST_KEY: usize = 122;

/// The YAML text of a tree, a new line at its end.
pub fn to_yaml(node: &Node) -> String {
    let mut out = String::new();
    match &node.value {
        Value::Map(map) if !map.is_empty() => write_map(&mut out, map, 0, false),
        Value::List(items) if !items.is_empty() => write_list(&mut out, items, 0, false),
        _ => {
            write_scalar(&mut out, &node.value, 2);
            out.push('\n');
        }
    }
    out
}

/// Writes the entries of a mapping. `is_inline` says that the first one continues a line (`- a: 1`).
fn write_map(out: &mut String, map: &Map, indent: usize, is_inline: bool) {
    for (i, (key, node)) in map.iter().enumerate() {
        if i > 0 || !is_inline {
            push_blanks(out, indent);
        }
        write_key(out, key, indent);
        match &node.value {
            Value::Map(inner) if !inner.is_empty() => {
                out.push('\n');
                write_map(out, inner, indent + 2, false);
            }
            Value::List(inner) if !inner.is_empty() => {
                out.push('\n');
                // PyYAML does not indent a list below its key.
                write_list(out, inner, indent, false);
            }
            value => {
                out.push(' ');
                write_scalar(out, value, indent + 2);
                out.push('\n');
            }
        }
    }
}

fn write_list(out: &mut String, items: &[Node], indent: usize, is_inline: bool) {
    for (i, node) in items.iter().enumerate() {
        if i > 0 || !is_inline {
            push_blanks(out, indent);
        }
        out.push_str("- ");
        match &node.value {
            Value::Map(inner) if !inner.is_empty() => write_map(out, inner, indent + 2, true),
            Value::List(inner) if !inner.is_empty() => write_list(out, inner, indent + 2, true),
            value => {
                write_scalar(out, value, indent + 2);
                out.push('\n');
            }
        }
    }
}

/// Writes a key and its colon.
fn write_key(out: &mut String, key: &Key, indent: usize) {
    match key {
        Key::Str(text) if text.is_empty() || text.chars().count() > LONGEST_KEY || has_break(text) => {
            out.push_str("? ");
            write_text(out, text, indent + 2);
            out.push('\n');
            push_blanks(out, indent);
        }
        Key::Str(text) => write_text(out, text, indent + 2),
        // Numbers and booleans show themselves as YAML.
        other => drop(write!(out, "{other}")),
    }
    out.push(':');
}

/// Writes a scalar or an empty container. `indent` is that of the further lines of a text.
fn write_scalar(out: &mut String, value: &Value, indent: usize) {
    match value {
        Value::Null => out.push_str("null"),
        Value::Bool(b) => drop(write!(out, "{b}")),
        Value::Int(i) => drop(write!(out, "{i}")),
        Value::Float(v) => out.push_str(&yaml_float(*v)),
        Value::Str(text) => write_text(out, text, indent),
        Value::List(_) => out.push_str("[]"),
        Value::Map(_) => out.push_str("{}"),
    }
}

fn push_blanks(out: &mut String, count: usize) {
    out.extend(std::iter::repeat_n(' ', count));
}

fn has_break(text: &str) -> bool {
    text.contains('\n')
}

fn write_text(out: &mut String, text: &str, indent: usize) {
    let shape = Shape::of(text);
    if shape.is_plain && !is_something_else(text) {
        out.push_str(text);
    } else if shape.fits_single_quotes {
        write_single_quoted(out, text, indent);
    } else {
        write_double_quoted(out, text);
    }
}

/// Whether a reader would take the text, written without quotes, for something else than text. The last three are
/// text to our reader; OmegaConf quotes them, and PyYAML alone reads a date.
fn is_something_else(text: &str) -> bool {
    !matches!(scalar::plain(text), Ok(Value::Str(_)))
        || read_py_float(text).is_some()
        || matches!(text, "y" | "Y" | "n" | "N")
        || scalar::is_timestamp(text)
}

/// How a text may be written, by what it is made of.
struct Shape {
    /// Nothing in it means something to YAML where blocks are written.
    is_plain: bool,
    /// Its blanks and line breaks survive single quotes, and it needs no escapes.
    fits_single_quotes: bool,
}

impl Shape {
    fn of(text: &str) -> Shape {
        let chars: Vec<char> = text.chars().collect();
        let is_white = |c: Option<&char>| c.is_none_or(|c| matches!(c, ' ' | '\n' | '\t' | '\r'));
        let mut has_indicator = text.starts_with("---") || text.starts_with("...");
        let mut has_special = false;
        let mut break_then_blank = false;
        let mut blank_then_break = false;
        for (i, &c) in chars.iter().enumerate() {
            let before = i.checked_sub(1).map(|i| chars[i]);
            let ends_word = is_white(chars.get(i + 1));
            has_indicator |= match c {
                '#' | ',' | '[' | ']' | '{' | '}' | '&' | '*' | '!' | '|' | '>' | '\'' | '"' | '%' | '@' | '`'
                    if i == 0 =>
                {
                    true
                }
                '?' | '-' if i == 0 => ends_word,
                ':' => ends_word,
                '#' => is_white(before.as_ref()),
                _ => false,
            };
            has_special |= c != '\n' && !is_printable(c);
            break_then_blank |= c == ' ' && before == Some('\n');
            blank_then_break |= c == '\n' && before == Some(' ');
        }
        let has_outer_white = matches!(chars.first(), Some(' ' | '\n')) || matches!(chars.last(), Some(' ' | '\n'));
        let fits_single_quotes = !(has_special || break_then_blank || blank_then_break);
        let is_plain = fits_single_quotes && !has_indicator && !has_outer_white && !has_break(text) && !text.is_empty();
        Shape { is_plain, fits_single_quotes }
    }
}

/// What may be written without an escape. U+0085, U+2028 and U+2029 are line breaks in YAML 1.1 and not in 1.2:
/// escaped, they are the same to all.
fn is_printable(c: char) -> bool {
    match c {
        ' '..='~' => true,
        '\u{2028}' | '\u{2029}' | '\u{feff}' => false,
        '\u{a0}'..='\u{d7ff}' | '\u{e000}'..='\u{fffd}' | '\u{10000}'..='\u{10fffe}' => true,
        _ => false,
    }
}

/// Inside single quotes a line break is written as an empty line.
fn write_single_quoted(out: &mut String, text: &str, indent: usize) {
    out.push('\'');
    let mut chars = text.chars().peekable();
    let mut in_breaks = false;
    while let Some(c) = chars.next() {
        match c {
            '\n' => {
                if !in_breaks {
                    out.push('\n');
                }
                out.push('\n');
                in_breaks = true;
                if chars.peek() != Some(&'\n') {
                    push_blanks(out, indent);
                    in_breaks = false;
                }
            }
            '\'' => out.push_str("''"),
            _ => out.push(c),
        }
    }
    out.push('\'');
}

fn write_double_quoted(out: &mut String, text: &str) {
    out.push('"');
    for c in text.chars() {
        let short = match c {
            '"' | '\\' => Some(c),
            '\0' => Some('0'),
            '\u{7}' => Some('a'),
            '\u{8}' => Some('b'),
            '\t' => Some('t'),
            '\n' => Some('n'),
            '\u{b}' => Some('v'),
            '\u{c}' => Some('f'),
            '\r' => Some('r'),
            '\u{1b}' => Some('e'),
            '\u{85}' => Some('N'),
            '\u{2028}' => Some('L'),
            '\u{2029}' => Some('P'),
            _ => None,
        };
        match (short, c as u32) {
            (Some(short), _) => out.extend(['\\', short]),
            // Here PyYAML escapes what lies beyond the basic plane.
            (None, code) if is_printable(c) && code < 0x1_0000 => out.push(c),
            (None, code @ 0..0x100) => drop(write!(out, "\\x{code:02X}")),
            (None, code @ 0..0x1_0000) => drop(write!(out, "\\u{code:04X}")),
            (None, code) => drop(write!(out, "\\U{code:08X}")),
        }
    }
    out.push('"');
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use proptest::prelude::*;

    use super::*;
    use crate::config::node::{Source, SourceKind};
    use crate::config::yaml;

    fn read(text: &str) -> Node {
        let source = Arc::new(Source { kind: SourceKind::Program, text: text.to_owned() });
        yaml::parse(source).unwrap_or_else(|problems| panic!("{text}\n{problems}"))
    }

    fn round_trip(node: &Node) {
        let text = to_yaml(node);
        assert_eq!(&read(&text), node, "{text}");
    }

    #[test]
    fn the_layout_is_omegaconfs() {
        let text =
            "a: 1\nb:\n  c: null\n  d:\n  - x\n  - - 1\n    - 2\n  - e: 1.0e-08\n    f: {}\n  - []\ng: .inf\n1: true\n";
        assert_eq!(to_yaml(&read(text)), text);
    }

    /// As `OmegaConf.to_yaml` of OmegaConf 2.3.1 writes them.
    #[test]
    fn quotes_stand_where_omegaconf_puts_them() {
        let cases = [
            ("plain text", "plain text"),
            ("", "''"),
            ("yes", "'yes'"),
            ("y", "'y'"),
            ("null", "'null'"),
            ("~", "'~'"),
            ("1", "'1'"),
            ("1_000", "'1_000'"),
            ("1e3", "'1e3'"),
            ("nan", "'nan'"),
            ("0x1F", "'0x1F'"),
            ("12:30", "'12:30'"),
            ("2024-01-31", "'2024-01-31'"),
            ("???", "???"),
            ("${a.b}", "${a.b}"),
            ("a: b", "'a: b'"),
            ("a:b", "a:b"),
            ("a #b", "'a #b'"),
            ("a#b", "a#b"),
            ("#a", "'#a'"),
            ("- a", "'- a'"),
            ("-a", "-a"),
            ("[a]", "'[a]'"),
            ("a[0]", "a[0]"),
            ("it's", "it's"),
            ("'a'", "'''a'''"),
            ("say \"hi\"", "say \"hi\""),
            (" pad ", "' pad '"),
            ("=", "'='"),
            ("<<", "'<<'"),
            ("tab\there", "\"tab\\there\""),
            ("a\nb", "'a\n\n  b'"),
            ("a\n\nb\n", "'a\n\n\n  b\n\n  '"),
            ("a \nb", "\"a \\nb\""),
            ("café 😀", "café 😀"),
            ("\u{7f}😀", "\"\\x7F\\U0001F600\""),
            ("--- a", "'--- a'"),
            ("@a", "'@a'"),
            ("%a", "'%a'"),
        ];
        for (text, written) in cases {
            let node = Node::program(Map::from_iter([(Key::from("k"), Node::program(text))]));
            assert_eq!(to_yaml(&node), format!("k: {written}\n"), "{text:?}");
            round_trip(&node);
        }
    }

    #[test]
    fn odd_keys_survive() {
        let keys = ["", "a: b", "yes", "1", "two\nlines", &"x".repeat(200), "?", "- a", "é", "tab\t"];
        let inner = || Node::program(Map::from_iter([(Key::from("i"), Node::program(vec![Node::program(1i64)]))]));
        for key in keys {
            for value in [Node::program(1i64), inner(), Node::program(vec![inner()])] {
                round_trip(&Node::program(Map::from_iter([(Key::from(key), value)])));
            }
        }
        let keys = [Key::Int(-1), Key::Float(1e-8), Key::Float(f64::INFINITY), Key::Bool(false)];
        for key in keys {
            round_trip(&Node::program(Map::from_iter([(key, inner())])));
        }
    }

    fn any_node() -> impl Strategy<Value = Node> {
        let text = prop_oneof![
            "\\PC{0,12}",
            "[-a-c0-9 _.:#,?&*!|>'\"%@`\\[\\]{}\n\t\\\\eE+xob~=<$]{0,10}",
            "[-+0-9._:eExob]{1,8}",
            any::<String>(),
        ];
        let key = prop_oneof![
            text.clone().prop_map(Key::Str),
            any::<i64>().prop_map(Key::Int),
            (2..1000i64).prop_map(|i| Key::Float(i as f64 + 0.5)),
        ];
        let scalar = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::Bool),
            any::<i64>().prop_map(Value::Int),
            any::<f64>().prop_map(Value::Float),
            text.prop_map(Value::Str),
        ];
        scalar.prop_map(Node::program).prop_recursive(4, 32, 4, move |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..4).prop_map(Node::program),
                prop::collection::vec((key.clone(), inner), 0..4)
                    .prop_map(|entries| Node::program(Map::from_iter(entries))),
            ]
        })
    }

    proptest! {
        #[test]
        fn what_is_written_reads_back_equal(node in any_node()) {
            // At the root null is the empty file, which is an empty mapping.
            let node = Node::program(Map::from_iter([(Key::from("root"), node)]));
            let text = to_yaml(&node);
            prop_assert_eq!(&read(&text), &node, "{}", text);
        }
    }
}
