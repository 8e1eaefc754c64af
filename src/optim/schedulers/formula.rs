//! Formulas over numbers, for schedules: Python's arithmetic on floats, and nothing else.
//!
//! `+ - * / // % **`, comparisons, `and or not`, `a if c else b`, parentheses, `pi`, `e`, `inf` and a few functions.
//! Truth is 1 or 0. A leading `lambda epoch:` names the count, so that a Python lambda can be pasted.

use crate::registry::suggest;

/// The functions and how many arguments they take; `usize::MAX` is one or more.
const FUNCTIONS: [(&str, usize); 14] = [
    ("min", usize::MAX),
    ("max", usize::MAX),
    ("abs", 1),
    ("sqrt", 1),
    ("exp", 1),
    ("log", 1),
    ("sin", 1),
    ("cos", 1),
    ("tan", 1),
    ("tanh", 1),
    ("floor", 1),
    ("ceil", 1),
    ("round", 1),
    ("pow", 2),
];

/// How deep a formula may nest.
const DEPTH: usize = 64;

/// A formula.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Formula {
    Number(f64),
    Variable(String),
    Unary(&'static str, Box<Formula>),
    Binary(&'static str, Box<Formula>, Box<Formula>),
    If(Box<[Formula; 3]>),
    Call(&'static str, Vec<Formula>),
}

impl Formula {
    /// Reads a formula whose variables are among `variables`; the first of them is what a `lambda x:` renames.
    ///
    /// # Errors
    /// Says what is wrong and where.
    pub fn parse(text: &str, variables: &[&str]) -> Result<Self, String> {
        let mut parser = Parser { text, tokens: tokens(text)?, at: 0, depth: 0, variables, renamed: None };
        parser.lambda()?;
        let formula = parser.ternary()?;
        match parser.peek() {
            None => Ok(formula),
            Some(token) => Err(format!("`{}` does not belong here (at character {})", token.text, token.at + 1)),
        }
    }

    /// Its value; `value` gives the variables'.
    pub fn evaluate(&self, value: &dyn Fn(&str) -> Result<f64, String>) -> Result<f64, String> {
        let truth = |b: bool| f64::from(u8::from(b));
        Ok(match self {
            Formula::Number(number) => *number,
            Formula::Variable(name) => value(name)?,
            Formula::Unary("-", inner) => -inner.evaluate(value)?,
            Formula::Unary("not", inner) => truth(inner.evaluate(value)? == 0.0),
            Formula::Unary(_, inner) => inner.evaluate(value)?,
            Formula::Binary("and", a, b) => {
                let a = a.evaluate(value)?;
                if a == 0.0 { a } else { b.evaluate(value)? }
            }
            Formula::Binary("or", a, b) => {
                let a = a.evaluate(value)?;
                if a == 0.0 { b.evaluate(value)? } else { a }
            }
            Formula::Binary(operator, a, b) => {
                let (a, b) = (a.evaluate(value)?, b.evaluate(value)?);
                if b == 0.0 && ["/", "//", "%"].contains(operator) {
                    return Err("division by zero".into());
                }
                match *operator {
                    "+" => a + b,
                    "-" => a - b,
                    "*" => a * b,
                    "/" => a / b,
                    "//" => (a / b).floor(),
                    // Python's remainder has the sign of the divisor.
                    "%" => a - b * (a / b).floor(),
                    "**" => a.powf(b),
                    "<" => truth(a < b),
                    "<=" => truth(a <= b),
                    ">" => truth(a > b),
                    ">=" => truth(a >= b),
                    "==" => truth(a == b),
                    _ => truth(a != b),
                }
            }
            Formula::If(parts) => {
                let [yes, condition, no] = parts.as_ref();
                if condition.evaluate(value)? == 0.0 { no.evaluate(value)? } else { yes.evaluate(value)? }
            }
            Formula::Call(name, arguments) => {
                let values =
                    arguments.iter().map(|argument| argument.evaluate(value)).collect::<Result<Vec<_>, _>>()?;
                call(name, &values)
            }
        })
    }
}

fn call(name: &str, values: &[f64]) -> f64 {
    let x = values.first().copied().unwrap_or(f64::NAN);
    match name {
        "min" => values.iter().copied().fold(f64::INFINITY, f64::min),
        "max" => values.iter().copied().fold(f64::NEG_INFINITY, f64::max),
        "abs" => x.abs(),
        "sqrt" => x.sqrt(),
        "exp" => x.exp(),
        "log" => x.ln(),
        "sin" => x.sin(),
        "cos" => x.cos(),
        "tan" => x.tan(),
        "tanh" => x.tanh(),
        "floor" => x.floor(),
        "ceil" => x.ceil(),
        "round" => x.round_ties_even(),
        _ => x.powf(values.get(1).copied().unwrap_or(f64::NAN)),
    }
}

#[derive(Clone, Debug)]
struct Token<'a> {
    text: &'a str,
    at: usize,
}

const SYMBOLS: [&str; 17] = ["**", "//", "<=", ">=", "==", "!=", "+", "-", "*", "/", "%", "<", ">", "(", ")", ",", ":"];

fn tokens(text: &str) -> Result<Vec<Token<'_>>, String> {
    let mut tokens = Vec::new();
    let mut at = 0;
    while let Some(c) = text[at..].chars().next() {
        let rest = &text[at..];
        let word = |keep: fn(char) -> bool| rest.find(|c| !keep(c)).unwrap_or(rest.len());
        let length = if c.is_whitespace() {
            at += c.len_utf8();
            continue;
        } else if c.is_ascii_digit() || c == '.' {
            number_length(rest)
        } else if c.is_alphabetic() || c == '_' {
            word(|c| c.is_alphanumeric() || c == '_' || c == '.')
        } else if let Some(symbol) = SYMBOLS.iter().find(|symbol| rest.starts_with(**symbol)) {
            symbol.len()
        } else {
            return Err(format!("`{c}` does not belong in a formula (at character {})", at + 1));
        };
        tokens.push(Token { text: &rest[..length], at });
        at += length;
    }
    Ok(tokens)
}

/// The length of a number: digits, a point, an exponent.
fn number_length(text: &str) -> usize {
    let bytes = text.as_bytes();
    let digits = |mut at: usize| {
        while bytes.get(at).is_some_and(|b| b.is_ascii_digit() || *b == b'_') {
            at += 1;
        }
        at
    };
    let mut end = digits(0);
    if bytes.get(end) == Some(&b'.') {
        end = digits(end + 1);
    }
    if bytes.get(end).is_some_and(|b| matches!(b, b'e' | b'E')) {
        let sign = usize::from(bytes.get(end + 1).is_some_and(|b| matches!(b, b'+' | b'-')));
        let exponent = digits(end + 1 + sign);
        if exponent > end + 1 + sign {
            end = exponent;
        }
    }
    end
}

struct Parser<'a> {
    text: &'a str,
    tokens: Vec<Token<'a>>,
    at: usize,
    depth: usize,
    variables: &'a [&'a str],
    renamed: Option<&'a str>,
}

impl<'a> Parser<'a> {
    fn peek(&self) -> Option<&Token<'a>> {
        self.tokens.get(self.at)
    }

    fn takes(&mut self, wanted: &[&'static str]) -> Option<&'static str> {
        let found = self.peek()?.text;
        let taken = wanted.iter().find(|text| **text == found)?;
        self.at += 1;
        Some(taken)
    }

    fn expect(&mut self, wanted: &'static str) -> Result<(), String> {
        match self.takes(&[wanted]) {
            Some(_) => Ok(()),
            None => Err(match self.peek() {
                Some(token) => format!("`{wanted}` is missing before `{}` (at character {})", token.text, token.at + 1),
                None => format!("`{wanted}` is missing at the end"),
            }),
        }
    }

    fn lambda(&mut self) -> Result<(), String> {
        if self.takes(&["lambda"]).is_some() {
            self.renamed = self.peek().map(|token| token.text);
            self.at += 1;
            self.expect(":")?;
        }
        Ok(())
    }

    fn ternary(&mut self) -> Result<Formula, String> {
        self.depth += 1;
        if self.depth > DEPTH {
            return Err("it nests too deeply".into());
        }
        let yes = self.either()?;
        let formula = if self.takes(&["if"]).is_some() {
            let condition = self.either()?;
            self.expect("else")?;
            Formula::If(Box::new([yes, condition, self.ternary()?]))
        } else {
            yes
        };
        self.depth -= 1;
        Ok(formula)
    }

    fn either(&mut self) -> Result<Formula, String> {
        self.left(&["or"], |parser| parser.left(&["and"], Self::inverted))
    }

    fn inverted(&mut self) -> Result<Formula, String> {
        let mut turns = 0;
        while self.takes(&["not"]).is_some() {
            turns += 1;
        }
        let mut formula = self.left(&["<=", ">=", "==", "!=", "<", ">"], |p| {
            p.left(&["+", "-"], |p| p.left(&["*", "//", "/", "%"], Self::signed))
        })?;
        for _ in 0..turns.min(2 + turns % 2) {
            formula = Formula::Unary("not", Box::new(formula));
        }
        Ok(formula)
    }

    /// Operators of one rank, from the left.
    fn left(
        &mut self,
        operators: &[&'static str],
        next: impl Fn(&mut Self) -> Result<Formula, String>,
    ) -> Result<Formula, String> {
        let mut formula = next(self)?;
        while let Some(operator) = self.takes(operators) {
            formula = Formula::Binary(operator, Box::new(formula), Box::new(next(self)?));
        }
        Ok(formula)
    }

    /// `-x ** y` is `-(x ** y)`, and `x ** -y` is allowed.
    fn signed(&mut self) -> Result<Formula, String> {
        self.depth += 1;
        if self.depth > DEPTH {
            return Err("it nests too deeply".into());
        }
        let formula = match self.takes(&["-", "+"]) {
            Some(sign) => Formula::Unary(sign, Box::new(self.signed()?)),
            None => {
                let base = self.atom()?;
                match self.takes(&["**"]) {
                    Some(operator) => Formula::Binary(operator, Box::new(base), Box::new(self.signed()?)),
                    None => base,
                }
            }
        };
        self.depth -= 1;
        Ok(formula)
    }

    fn atom(&mut self) -> Result<Formula, String> {
        let Some(token) = self.peek().cloned() else { return Err(format!("`{}` ends too early", self.text)) };
        self.at += 1;
        let place = token.at + 1;
        if token.text == "(" {
            let inner = self.ternary()?;
            self.expect(")")?;
            return Ok(inner);
        }
        if token.text.starts_with(|c: char| c.is_ascii_digit() || c == '.') {
            let digits = token.text.replace('_', "");
            let number = digits.parse().map_err(|_| format!("`{}` is no number (at character {place})", token.text))?;
            return Ok(Formula::Number(number));
        }
        // `math.cos` and `np.cos` are `cos`.
        let name = token.text.rsplit('.').next().unwrap_or(token.text);
        if self.takes(&["("]).is_some() {
            return self.call(name, place);
        }
        if self.renamed == Some(name) {
            return Ok(Formula::Variable(self.variables[0].to_owned()));
        }
        match name {
            "pi" => Ok(Formula::Number(std::f64::consts::PI)),
            "e" => Ok(Formula::Number(std::f64::consts::E)),
            "inf" => Ok(Formula::Number(f64::INFINITY)),
            _ if self.variables.contains(&name) => Ok(Formula::Variable(name.to_owned())),
            _ => Err(unknown("name", name, place, self.variables.iter().copied())),
        }
    }

    fn call(&mut self, name: &str, place: usize) -> Result<Formula, String> {
        let known = FUNCTIONS.iter().find(|(function, _)| *function == name);
        let Some((function, count)) = known else {
            return Err(unknown("function", name, place, FUNCTIONS.iter().map(|(function, _)| *function)));
        };
        let mut arguments = vec![self.ternary()?];
        while self.takes(&[","]).is_some() {
            arguments.push(self.ternary()?);
        }
        self.expect(")")?;
        if *count != usize::MAX && *count != arguments.len() {
            return Err(format!("`{name}` takes {count} arguments, not {} (at character {place})", arguments.len()));
        }
        Ok(Formula::Call(function, arguments))
    }
}

fn unknown<'a>(what: &str, name: &str, place: usize, known: impl Iterator<Item = &'a str> + Clone) -> String {
    let near = suggest::nearest(name, known.clone()).map(|near| format!("; did you mean `{near}`?"));
    let list = || format!("; there are {}", known.clone().collect::<Vec<_>>().join(", "));
    format!("unknown {what} `{name}` (at character {place}){}", near.unwrap_or_else(list))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str, step: f64) -> Result<f64, String> {
        Formula::parse(text, &["step", "total_steps"])?.evaluate(&|name| match name {
            "step" => Ok(step),
            _ => Ok(100.0),
        })
    }

    #[test]
    fn values_are_pythons() {
        for (text, value) in [
            ("1 + 2 * 3 - 4 / 8", 6.5),
            ("-2 ** 2", -4.0),
            ("2 ** -1", 0.5),
            ("2 ** 3 ** 2", 512.0),
            ("-7 // 2", -4.0),
            ("-7 % 3", 2.0),
            ("0.95 ** step", 0.95f64.powf(10.0)),
            ("lambda epoch: 0.95 ** (epoch // 4)", 0.95f64.powf(2.0)),
            ("min(1, (step + 1) / 5)", 1.0),
            ("0.5 * (1 + math.cos(pi * step / total_steps))", 0.5 * (1.0 + (std::f64::consts::PI * 0.1).cos())),
            ("1 if step < 5 else 0.1 if step < 20 else 0.01", 0.1),
            ("step > 5 and not step > 20", 1.0),
            ("not not (1 or 0)", 1.0),
            ("not not not 0", 1.0),
            ("max(1e-3, 1_0 * .5, -inf)", 5.0),
            ("round(2.5) + floor(-0.5) + pow(2, 3)", 9.0),
        ] {
            let found = at(text, 10.0).unwrap_or_else(|error| panic!("{text}: {error}"));
            assert!((found - value).abs() < 1e-12, "{text} is {value}, not {found}");
        }
    }

    #[test]
    fn faults_are_named_with_their_place() {
        let deep = format!("{}1{}", "(".repeat(100), ")".repeat(100));
        for (text, message) in [
            ("1 +", "`1 +` ends too early"),
            ("stp * 2", "unknown name `stp` (at character 1); did you mean `step`?"),
            ("coss(1)", "unknown function `coss` (at character 1); did you mean `cos`?"),
            ("__import__('os')", "`'` does not belong in a formula (at character 12)"),
            ("(1 + 2", "`)` is missing at the end"),
            ("1 2", "`2` does not belong here (at character 3)"),
            ("pow(2)", "`pow` takes 2 arguments, not 1 (at character 1)"),
            ("1 if step", "`else` is missing at the end"),
            ("1 / (step - 10)", "division by zero"),
            (deep.as_str(), "it nests too deeply"),
            (&"-".repeat(1000), "it nests too deeply"),
            ("", "`` ends too early"),
        ] {
            assert_eq!(at(text, 10.0).unwrap_err(), message, "{text}");
        }
    }

    proptest::proptest! {
        #[test]
        fn no_text_panics(text in "[-+*/%()<>=!,.: a-z0-9_]{0,40}") {
            let _ = at(&text, 3.0);
        }
    }
}
