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
    /// A name that whoever evaluates gives a value to.
    Variable(String),
}

/// An expression over named values: `model.depth >= 3 and data.batch_size * 2 <= 128`.
///
/// A name is a dotted key; a function of [`functions`] with its parenthesis is none.
#[derive(Clone, Debug)]
pub struct Expression {
    text: String,
    expression: Expr,
    names: Vec<String>,
}

impl Expression {
    /// Reads an expression.
    ///
    /// # Errors
    /// A syntax error, with its place.
    pub fn parse(text: &str) -> Result<Self, String> {
        let (expression, names) = parser::parse_with_names(text)?;
        Ok(Expression { text: text.to_owned(), expression, names })
    }

    /// The expression as written.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// The names it uses, each once, in order of appearance.
    pub fn names(&self) -> &[String] {
        &self.names
    }

    /// Its value when names have these values.
    ///
    /// # Errors
    /// A name without a value, and the errors of [`evaluate`].
    pub fn evaluate(&self, value_of: &dyn Fn(&str) -> Option<Value>) -> Result<Value, String> {
        run(&self.expression, &mut Work { steps: 0, value_of })
    }

    /// Whether its value counts as true.
    ///
    /// # Errors
    /// As [`Expression::evaluate`].
    pub fn holds(&self, value_of: &dyn Fn(&str) -> Option<Value>) -> Result<bool, String> {
        self.evaluate(value_of).map(|value| operators::truth(&value))
    }
}

/// What evaluating has taken so far, and the values of names.
struct Work<'a> {
    steps: usize,
    value_of: &'a dyn Fn(&str) -> Option<Value>,
}

/// The value of an expression.
///
/// # Errors
/// Says what is wrong: a syntax error with its place, an unknown name, operands that do not fit, a division by
/// zero, a result that is too large.
pub fn evaluate(text: &str) -> Result<Value, String> {
    let expression = parser::parse(text)?;
    run(&expression, &mut Work { steps: 0, value_of: &|_| None })
}

fn run(expression: &Expr, work: &mut Work) -> Result<Value, String> {
    work.steps += 1;
    if work.steps > MAX_STEPS {
        return Err("takes too many steps".to_owned());
    }
    let value = match expression {
        Expr::Value(value) => value.clone(),
        Expr::List(items) => Value::List(items.iter().map(|i| Ok(node(run(i, work)?))).collect::<Result<_, String>>()?),
        Expr::Map(pairs) => {
            let mut map = crate::config::node::Map::new();
            for (key, value) in pairs {
                let key = operators::key(&run(key, work)?)?;
                map.insert(key, node(run(value, work)?));
            }
            Value::Map(map)
        }
        Expr::Negate(inner) => operators::negate(&run(inner, work)?)?,
        Expr::Plus(inner) => operators::plus(run(inner, work)?)?,
        Expr::Not(inner) => Value::Bool(!operators::truth(&run(inner, work)?)),
        Expr::And(a, b) => {
            let a = run(a, work)?;
            if operators::truth(&a) { run(b, work)? } else { a }
        }
        Expr::Or(a, b) => {
            let a = run(a, work)?;
            if operators::truth(&a) { a } else { run(b, work)? }
        }
        Expr::If { condition, yes, no } => {
            let branch = if operators::truth(&run(condition, work)?) { yes } else { no };
            run(branch, work)?
        }
        Expr::Binary(operator, a, b) => operators::binary(operator, run(a, work)?, run(b, work)?)?,
        Expr::Compare(first, rest) => {
            let mut left = run(first, work)?;
            for (operator, right) in rest {
                let right = run(right, work)?;
                if !operators::compare(operator, &left, &right)? {
                    return Ok(Value::Bool(false));
                }
                left = right;
            }
            Value::Bool(true)
        }
        Expr::Index(base, index) => operators::index(&run(base, work)?, &run(index, work)?)?,
        Expr::Slice(base, from, to) => {
            let base = run(base, work)?;
            let from = from.as_ref().map(|e| run(e, work)).transpose()?;
            let to = to.as_ref().map(|e| run(e, work)).transpose()?;
            operators::slice(&base, from.as_ref(), to.as_ref())?
        }
        Expr::Variable(name) => (work.value_of)(name).ok_or_else(|| format!("`{name}` has no value"))?,
        Expr::Call(name, arguments) => {
            let arguments = arguments.iter().map(|a| run(a, work)).collect::<Result<Vec<_>, _>>()?;
            functions::call(name, arguments)?
        }
    };
    check_size(value, work)
}

/// Large values also count as work: they are copied.
fn check_size(value: Value, work: &mut Work) -> Result<Value, String> {
    let size = match &value {
        Value::Str(text) => text.len(),
        Value::List(list) => list.len(),
        Value::Map(map) => map.len(),
        _ => 0,
    };
    work.steps += size / 256;
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
    fn names_have_the_values_given() {
        let expression = Expression::parse("a.b_1 * 2 < max(x, 3) or w.0 == 'relu' and a.b_1").unwrap();
        assert_eq!(expression.names(), ["a.b_1", "x", "w.0"]);
        let value_of = |name: &str| match name {
            "a.b_1" => Some(Value::Int(4)),
            "x" => Some(Value::Float(1.0)),
            "w.0" => Some(Value::Str("relu".into())),
            _ => None,
        };
        assert_eq!(expression.holds(&value_of), Ok(true));
        assert_eq!(Expression::parse("y + 1").unwrap().evaluate(&value_of), Err("`y` has no value".into()));
        assert!(Expression::parse("a +").is_err());
        assert!(evaluate("a.b_1").is_err());
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
