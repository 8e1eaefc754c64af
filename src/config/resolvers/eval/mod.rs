//! `${eval:…}`: arithmetic over numbers, strings and lists, with Python's meaning and without Python.
//!
//! Numbers, strings, lists, mappings, `True False None` (and YAML's spellings), `+ - * / // % **`, comparisons in
//! chains, `in`, `and or not`, `a if c else b`, indexing and slices, and the functions listed in [`functions`].
//! Nothing else has a name, so nothing can be reached from here; work and memory are bounded.

mod functions;
mod operators;
mod parser;

use crate::config::node::Value;

/// How deep an expression may nest.
const MAX_DEPTH: usize = 64;
/// How many elements or bytes a value may have.
const MAX_SIZE: usize = 1 << 20;
/// How many steps an expression may take.
const MAX_STEPS: usize = 100_000;

/// A parsed expression.
#[derive(Clone, Debug)]
enum Expr {
    Value(Value),
    List(Vec<Expr>),
    Map(Vec<(Expr, Expr)>),
    Negate(Box<Expr>),
    Plus(Box<Expr>),
    Not(Box<Expr>),
    And(Box<Expr>, Box<Expr>),
    Or(Box<Expr>, Box<Expr>),
    If {
        condition: Box<Expr>,
        yes: Box<Expr>,
        no: Box<Expr>,
    },
    Binary(&'static str, Box<Expr>, Box<Expr>),
    /// `a < b <= c`: the first operand, then operators with theirs.
    Compare(Box<Expr>, Vec<(&'static str, Expr)>),
    Index(Box<Expr>, Box<Expr>),
    Slice(Box<Expr>, Option<Box<Expr>>, Option<Box<Expr>>),
    Call(String, Vec<Expr>),
}

/// The value of an expression.
///
/// # Errors
/// Says what is wrong: a syntax error with its place, an unknown name, operands that do not fit, a division by
/// zero, a result that is too large.
pub fn evaluate(text: &str) -> Result<Value, String> {
    let expression = parser::parse(text)?;
    let mut steps = 0;
    run(&expression, &mut steps)
}

fn run(expression: &Expr, steps: &mut usize) -> Result<Value, String> {
    *steps += 1;
    if *steps > MAX_STEPS {
        return Err("takes too many steps".to_owned());
    }
    let value = match expression {
        Expr::Value(value) => value.clone(),
        Expr::List(items) => {
            Value::List(items.iter().map(|i| Ok(node(run(i, steps)?))).collect::<Result<_, String>>()?)
        }
        Expr::Map(pairs) => {
            let mut map = crate::config::node::Map::new();
            for (key, value) in pairs {
                let key = operators::key(&run(key, steps)?)?;
                map.insert(key, node(run(value, steps)?));
            }
            Value::Map(map)
        }
        Expr::Negate(inner) => operators::negate(&run(inner, steps)?)?,
        Expr::Plus(inner) => operators::plus(run(inner, steps)?)?,
        Expr::Not(inner) => Value::Bool(!operators::truth(&run(inner, steps)?)),
        Expr::And(a, b) => {
            let a = run(a, steps)?;
            if operators::truth(&a) { run(b, steps)? } else { a }
        }
        Expr::Or(a, b) => {
            let a = run(a, steps)?;
            if operators::truth(&a) { a } else { run(b, steps)? }
        }
        Expr::If { condition, yes, no } => {
            let branch = if operators::truth(&run(condition, steps)?) { yes } else { no };
            run(branch, steps)?
        }
        Expr::Binary(operator, a, b) => operators::binary(operator, run(a, steps)?, run(b, steps)?)?,
        Expr::Compare(first, rest) => {
            let mut left = run(first, steps)?;
            for (operator, right) in rest {
                let right = run(right, steps)?;
                if !operators::compare(operator, &left, &right)? {
                    return Ok(Value::Bool(false));
                }
                left = right;
            }
            Value::Bool(true)
        }
        Expr::Index(base, index) => operators::index(&run(base, steps)?, &run(index, steps)?)?,
        Expr::Slice(base, from, to) => {
            let base = run(base, steps)?;
            let from = from.as_ref().map(|e| run(e, steps)).transpose()?;
            let to = to.as_ref().map(|e| run(e, steps)).transpose()?;
            operators::slice(&base, from.as_ref(), to.as_ref())?
        }
        Expr::Call(name, arguments) => {
            let arguments = arguments.iter().map(|a| run(a, steps)).collect::<Result<Vec<_>, _>>()?;
            functions::call(name, arguments)?
        }
    };
    check_size(value, steps)
}

/// Large values also count as work: they are copied.
fn check_size(value: Value, steps: &mut usize) -> Result<Value, String> {
    let size = match &value {
        Value::Str(text) => text.len(),
        Value::List(list) => list.len(),
        Value::Map(map) => map.len(),
        _ => 0,
    };
    *steps += size / 256;
    if size > MAX_SIZE { Err("the result is too large".to_owned()) } else { Ok(value) }
}

fn node(value: Value) -> crate::config::node::Node {
    crate::config::node::Node::program(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn int(i: i64) -> Value {
        Value::Int(i)
    }

    #[test]
    fn as_python_computes() {
        let list = |items: &[i64]| Value::List(items.iter().map(|&i| node(int(i))).collect());
        for (text, want) in [
            ("1 + 2 * 3", int(7)),
            ("(1 + 2) * 3", int(9)),
            ("-2 ** 2", int(-4)),
            ("2 ** -1", Value::Float(0.5)),
            ("2 ** 3 ** 2", int(512)),
            ("7 / 2", Value::Float(3.5)),
            ("6 / 2", Value::Float(3.0)),
            ("-7 // 2", int(-4)),
            ("-7 % 3", int(2)),
            ("7 % -3", int(-2)),
            ("7.5 // 2", Value::Float(3.0)),
            ("-7.5 % 2", Value::Float(0.5)),
            ("1_000 + 1e3", Value::Float(2000.0)),
            ("'a' + \"b\" * 2", Value::Str("abb".into())),
            ("[1, 2] + [3]", list(&[1, 2, 3])),
            ("[0] * 3", list(&[0, 0, 0])),
            ("1 < 2 <= 2 != 3", Value::Bool(true)),
            ("1 < 2 > 5", Value::Bool(false)),
            ("1 == 1.0 and True", Value::Bool(true)),
            ("'' or 'x'", Value::Str("x".into())),
            ("not 0", Value::Bool(true)),
            ("None is None", Value::Bool(true)),
            ("'big' if 10 > 3 else 'small'", Value::Str("big".into())),
            ("1/0 if False else 2", int(2)),
            ("[10, 20, 30][-1]", int(30)),
            ("[10, 20, 30][1:]", list(&[20, 30])),
            ("'hello'[1:-1]", Value::Str("ell".into())),
            ("{'a': 1}['a']", int(1)),
            ("2 in [1, 2]", Value::Bool(true)),
            ("'x' not in 'abc'", Value::Bool(true)),
            ("len('äb') + len([1])", int(3)),
            ("max(1, 5, 3) + min([4, 2])", int(7)),
            ("sum(range(5))", int(10)),
            ("round(2.5)", int(2)),
            ("round(1.23456, 2)", Value::Float(1.23)),
            ("int(3.9) + int('4')", int(7)),
            ("float('1e3')", Value::Float(1000.0)),
            ("str(1e16)", Value::Str("1e+16".into())),
            ("abs(-3)", int(3)),
            ("range(1, 10, 3)", list(&[1, 4, 7])),
            ("True + 1", int(2)),
        ] {
            assert_eq!(evaluate(text), Ok(want), "{text}");
        }
    }

    #[test]
    fn refused_with_a_reason() {
        for text in [
            "",
            "1 +",
            "1 2",
            "(1",
            "[1",
            "x",
            "__import__('os')",
            "open('/etc/passwd')",
            "(1).real",
            "1 / 0",
            "1 // 0",
            "5 % 0",
            "'a' + 1",
            "[1][5]",
            "9223372036854775807 + 1",
            "10 ** 100",
            "'a' * 10000000000",
            "range(10 ** 9)",
            "1 < 'a'",
            "lambda: 1",
            "int('x')",
            "max()",
            "max([])",
            "0 ** -1",
            "(-8) ** 0.5",
            "round('a')",
            "1 if 2",
            "'unclosed",
            "-9223372036854775808 // -1",
            "abs(-9223372036854775807 - 1)",
            "int(1e300)",
            "[[0] * 1000000] * 1000000",
        ] {
            assert!(evaluate(text).is_err(), "{text} gives {:?}", evaluate(text));
        }
        assert!(evaluate(&"(".repeat(100_000)).is_err());
        assert!(evaluate(&"-".repeat(100_000)).is_err());
        assert!(evaluate(&format!("1{}", " + 1".repeat(5000))).is_err());
        assert!(evaluate("str([[[0] * 1000] * 1000] * 1000)").is_err());
    }
}
