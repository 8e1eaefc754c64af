//! Values as Python writes them: `repr` of floats and strings, `str` of whole values.
//!
//! Hydra's outcomes are full of Python's spellings: the overrides of a sweep's jobs (`1e-05`, `True`), text
//! around an interpolation (`[1, {'a': 2}]`), JSON. They are all made here.

use std::fmt::Write;

use super::node::{Key, Node, Value};

/// A float as Python's `repr` writes it: the shortest digits that read back equal, `1e-05` below 1e-4 and
/// `1e+16` from 1e16 on, always with a dot or an exponent; `inf`, `-inf`, `nan`.
pub fn py_float(value: f64) -> String {
    if value.is_nan() {
        return "nan".to_owned();
    }
    if value.is_infinite() {
        return if value > 0.0 { "inf" } else { "-inf" }.to_owned();
    }
    let scientific = format!("{value:e}");
    // `{:e}` of a finite float always has an exponent.
    let Some((mantissa, exponent)) = scientific.split_once('e') else { return scientific };
    let exponent: i32 = exponent.parse().unwrap_or(0);
    if (-4..16).contains(&exponent) {
        let fixed = format!("{value}");
        return if fixed.contains('.') { fixed } else { fixed + ".0" };
    }
    let sign = if exponent < 0 { '-' } else { '+' };
    format!("{mantissa}e{sign}{:02}", exponent.abs())
}

/// A float as PyYAML writes it: as [`py_float`], with a dot before an exponent (`1.0e-05`), and `.inf`, `-.inf`,
/// `.nan`.
pub fn yaml_float(value: f64) -> String {
    if value.is_nan() {
        return ".nan".to_owned();
    }
    if value.is_infinite() {
        return if value > 0.0 { ".inf" } else { "-.inf" }.to_owned();
    }
    let text = py_float(value);
    if text.contains('.') { text } else { text.replacen('e', ".0e", 1) }
}

/// A string as Python's `repr` writes it: single quotes unless only they occur inside, escapes for what cannot
/// be printed.
pub fn py_quote(text: &str) -> String {
    let quote = if text.contains('\'') && !text.contains('"') { '"' } else { '\'' };
    let mut out = String::with_capacity(text.len() + 2);
    out.push(quote);
    for c in text.chars() {
        match c {
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            _ if c == quote => {
                out.push('\\');
                out.push(c);
            }
            _ if is_printable(c) => out.push(c),
            // Writing to a String cannot fail.
            _ if (c as u32) < 0x100 => drop(write!(out, "\\x{:02x}", c as u32)),
            _ if (c as u32) < 0x1_0000 => drop(write!(out, "\\u{:04x}", c as u32)),
            _ => drop(write!(out, "\\U{:08x}", c as u32)),
        }
    }
    out.push(quote);
    out
}

/// Whether Python's `str.isprintable` holds. Rust's `escape_debug` draws the same line, except that it escapes a
/// combining mark at the start of a string; hence the letter before.
fn is_printable(c: char) -> bool {
    if c.is_ascii() {
        return !c.is_ascii_control();
    }
    let mut text = String::from("a");
    text.push(c);
    !text.escape_debug().any(|c| c == '\\')
}

/// A value as Python's `str` writes it: `None`, `True`, `1e-05`, text as it is, `[1, {'a': 2}]`.
pub fn py_str(node: &Node) -> String {
    match &node.value {
        Value::Str(text) => text.clone(),
        _ => py_repr(node),
    }
}

/// A value as Python's `repr` writes it: as [`py_str`], with strings in quotes.
pub fn py_repr(node: &Node) -> String {
    let mut out = String::new();
    write_repr(&mut out, node);
    out
}

fn write_repr(out: &mut String, node: &Node) {
    match &node.value {
        Value::Null => out.push_str("None"),
        Value::Bool(b) => out.push_str(py_bool(*b)),
        Value::Int(i) => drop(write!(out, "{i}")),
        Value::Float(v) => out.push_str(&py_float(*v)),
        Value::Str(text) => out.push_str(&py_quote(text)),
        Value::List(items) => {
            out.push('[');
            for (i, item) in items.iter().enumerate() {
                if i > 0 {
                    out.push_str(", ");
                }
                write_repr(out, item);
            }
            out.push(']');
        }
        Value::Map(map) => {
            out.push('{');
            for (i, (key, item)) in map.iter().enumerate() {
                if i > 0 {
                    out.push_str(", ");
                }
                match key {
                    Key::Str(text) => out.push_str(&py_quote(text)),
                    Key::Int(i) => drop(write!(out, "{i}")),
                    Key::Float(v) => out.push_str(&py_float(*v)),
                    Key::Bool(b) => out.push_str(py_bool(*b)),
                }
                out.push_str(": ");
                write_repr(out, item);
            }
            out.push('}');
        }
    }
}

/// Python's `int(text)`: blanks around, a sign, single underscores between digits. `None` when the text is no
/// integer or too large for 64 bits.
pub fn read_py_int(text: &str) -> Option<i64> {
    without_underscores(text.trim())?.parse().ok()
}

/// Python's `float(text)`: as [`read_py_int`], with a fraction and an exponent, and `inf`, `infinity`, `nan` in any
/// case.
pub fn read_py_float(text: &str) -> Option<f64> {
    without_underscores(text.trim())?.parse().ok()
}

/// A text without the underscores that Python allows between digits; `None` when one stands elsewhere.
fn without_underscores(text: &str) -> Option<String> {
    let bytes = text.as_bytes();
    let digit = |i: Option<usize>| i.and_then(|i| bytes.get(i)).is_some_and(u8::is_ascii_digit);
    let misplaced = (0..bytes.len()).any(|i| bytes[i] == b'_' && !(digit(i.checked_sub(1)) && digit(Some(i + 1))));
    if misplaced { None } else { Some(text.replace('_', "")) }
}

/// `True` or `False`.
pub fn py_bool(value: bool) -> &'static str {
    if value { "True" } else { "False" }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn floats_are_spelt_as_python_does() {
        let cases = [
            (0.0, "0.0"),
            (-0.0, "-0.0"),
            (1.0, "1.0"),
            (0.1, "0.1"),
            (1e6, "1000000.0"),
            (1e15, "1000000000000000.0"),
            (1e16, "1e+16"),
            (1.5e16, "1.5e+16"),
            (1e-4, "0.0001"),
            (1e-5, "1e-05"),
            (1.25e-7, "1.25e-07"),
            (123456789.125, "123456789.125"),
            (1e100, "1e+100"),
            (5e-324, "5e-324"),
            (1.7976931348623157e308, "1.7976931348623157e+308"),
            (f64::INFINITY, "inf"),
            (f64::NEG_INFINITY, "-inf"),
            (f64::NAN, "nan"),
        ];
        for (value, text) in cases {
            assert_eq!(py_float(value), text);
        }
    }

    #[test]
    fn numbers_are_read_as_python_does() {
        for (text, value) in
            [("12", Some(12)), (" +1_0 ", Some(10)), ("007", Some(7)), ("1__0", None), ("_1", None), ("1.0", None)]
        {
            assert_eq!(read_py_int(text), value, "{text}");
        }
        let cases =
            [("1e3", Some(1000.0)), (" .5 ", Some(0.5)), ("1_0.2_5", Some(10.25)), ("Infinity", Some(f64::INFINITY))];
        for (text, value) in cases.into_iter().chain([("1_.5", None), ("x", None), ("", None), (".", None)]) {
            assert_eq!(read_py_float(text), value, "{text}");
        }
    }

    #[test]
    fn yaml_floats_always_have_a_dot() {
        for (value, text) in [(1e-8, "1.0e-08"), (1.5e-8, "1.5e-08"), (2.0, "2.0"), (f64::NEG_INFINITY, "-.inf")] {
            assert_eq!(yaml_float(value), text);
        }
    }

    #[test]
    fn strings_are_quoted_as_python_does() {
        let cases = [
            ("a", "'a'"),
            ("it's", "\"it's\""),
            ("both ' and \"", "'both \\' and \"'"),
            ("a\\b\n\r\t", "'a\\\\b\\n\\r\\t'"),
            ("\u{7}\u{a0}é日\u{301}", "'\\x07\\xa0é日\u{301}'"),
            ("\u{200b}\u{1f600}\u{e0001}", "'\\u200b😀\\U000e0001'"),
        ];
        for (text, quoted) in cases {
            assert_eq!(py_quote(text), quoted);
        }
    }

    #[test]
    fn containers_quote_their_strings_and_a_lone_string_is_bare() {
        let map = crate::config::Map::from_iter([
            (Key::from("a"), Node::program(vec![Node::program(1i64), Node::program(Value::Null)])),
            (Key::Bool(true), Node::program("x")),
            (Key::Float(1.5), Node::program(1e-5)),
        ]);
        assert_eq!(py_str(&Node::program(map)), "{'a': [1, None], True: 'x', 1.5: 1e-05}");
        assert_eq!(py_str(&Node::program("x")), "x");
    }
}
