//! The grammar of expressions: Python's, as far as it is needed, by precedence climbing.

use super::{Expr, MAX_DEPTH};
use crate::config::node::Value;

#[derive(Clone, Debug, PartialEq)]
enum Token {
    Value(Value),
    Name(String),
    Symbol(&'static str),
    End,
}

/// Longer symbols first.
const SYMBOLS: [&str; 25] = [
    "**", "//", "==", "!=", "<=", ">=", "+", "-", "*", "/", "%", "<", ">", "(", ")", "[", "]", "{", "}", ",", ":", ".",
    "=", "&", "|",
];

/// Binary operators by how tightly they bind.
const LEVELS: [&[&str]; 2] = [&["+", "-"], &["*", "/", "//", "%"]];

struct Parser {
    tokens: Vec<(Token, usize)>,
    at: usize,
    depth: usize,
    /// The names found so far; `None` where names are not allowed.
    names: Option<Vec<String>>,
}

/// How many tokens an expression may have: the tree is as deep as a chain of operators is long.
const MAX_TOKENS: usize = 2000;

pub(super) fn parse(text: &str) -> Result<Expr, String> {
    read(text, None).map(|(expression, _)| expression)
}

/// Parses an expression in which dotted names may stand for values; gives them too, each once.
pub(super) fn parse_with_names(text: &str) -> Result<(Expr, Vec<String>), String> {
    read(text, Some(Vec::new()))
}

fn read(text: &str, names: Option<Vec<String>>) -> Result<(Expr, Vec<String>), String> {
    let tokens = tokens(text, names.is_some())?;
    if tokens.len() > MAX_TOKENS {
        return Err(format!("longer than {MAX_TOKENS} words and signs"));
    }
    let mut parser = Parser { tokens, at: 0, depth: 0, names };
    let expression = parser.expression()?;
    match parser.peek() {
        Token::End => Ok((expression, parser.names.unwrap_or_default())),
        _ => parser.fail("an operator or the end expected"),
    }
}

fn tokens(text: &str, dotted: bool) -> Result<Vec<(Token, usize)>, String> {
    let mut tokens = Vec::new();
    let mut at = 0;
    while let Some(c) = text[at..].chars().next() {
        let rest = &text[at..];
        let start = at;
        if c.is_whitespace() {
            at += c.len_utf8();
            continue;
        }
        let token = if c.is_ascii_digit() || (c == '.' && rest[1..].starts_with(|d: char| d.is_ascii_digit())) {
            let length = number_length(rest.as_bytes());
            at += length;
            Token::Value(number(&rest[..length])?)
        } else if c.is_alphabetic() || c == '_' {
            let length = name_length(rest, dotted);
            at += length;
            word(&rest[..length])
        } else if c == '\'' || c == '"' {
            let (value, length) = string(rest, c)?;
            at += length;
            Token::Value(Value::Str(value))
        } else if let Some(symbol) = SYMBOLS.iter().find(|symbol| rest.starts_with(**symbol)) {
            at += symbol.len();
            Token::Symbol(symbol)
        } else {
            return Err(format!("`{}` cannot stand in an expression", c.escape_default()));
        };
        tokens.push((token, start));
    }
    tokens.push((Token::End, text.len()));
    Ok(tokens)
}

/// How long the name at the start of `text` is; with `dotted`, `model.widths.0` is one name.
fn name_length(text: &str, dotted: bool) -> usize {
    let part = |c: char| c.is_alphanumeric() || c == '_';
    let mut length = text.find(|c| !part(c)).unwrap_or(text.len());
    while dotted && text[length..].starts_with('.') && text[length + 1..].starts_with(part) {
        let rest = &text[length + 1..];
        length += 1 + rest.find(|c| !part(c)).unwrap_or(rest.len());
    }
    length
}

fn word(word: &str) -> Token {
    match word {
        "True" | "true" => Token::Value(Value::Bool(true)),
        "False" | "false" => Token::Value(Value::Bool(false)),
        "None" | "null" => Token::Value(Value::Null),
        "inf" => Token::Value(Value::Float(f64::INFINITY)),
        "nan" => Token::Value(Value::Float(f64::NAN)),
        "and" => Token::Symbol("and"),
        "or" => Token::Symbol("or"),
        "not" => Token::Symbol("not"),
        "if" => Token::Symbol("if"),
        "else" => Token::Symbol("else"),
        "in" => Token::Symbol("in"),
        "is" => Token::Symbol("is"),
        name => Token::Name(name.to_owned()),
    }
}

fn number_length(bytes: &[u8]) -> usize {
    let digits = |from: usize| bytes[from..].iter().take_while(|b| b.is_ascii_digit() || **b == b'_').count();
    let mut length = digits(0);
    if bytes.get(length) == Some(&b'.') {
        length += 1 + digits(length + 1);
    }
    if matches!(bytes.get(length), Some(b'e' | b'E')) {
        let sign = usize::from(matches!(bytes.get(length + 1), Some(b'+' | b'-')));
        let exponent = digits((length + 1 + sign).min(bytes.len()));
        if exponent > 0 {
            length += 1 + sign + exponent;
        }
    }
    length
}

fn number(text: &str) -> Result<Value, String> {
    let digits = text.replace('_', "");
    if digits.contains(['.', 'e', 'E']) {
        return digits.parse().map(Value::Float).map_err(|_| format!("`{text}` is no number"));
    }
    digits.parse().map(Value::Int).map_err(|_| format!("`{text}` does not fit 64 bits"))
}

fn string(rest: &str, quote: char) -> Result<(String, usize), String> {
    let mut value = String::new();
    let mut chars = rest.char_indices().skip(1);
    while let Some((i, c)) = chars.next() {
        match c {
            '\\' => match chars.next() {
                Some((_, 'n')) => value.push('\n'),
                Some((_, 't')) => value.push('\t'),
                Some((_, c @ ('\\' | '\'' | '"'))) => value.push(c),
                Some((_, c)) => value.extend(['\\', c]),
                None => break,
            },
            c if c == quote => return Ok((value, i + 1)),
            c => value.push(c),
        }
    }
    Err("a quote is not closed".to_owned())
}

impl Parser {
    fn peek(&self) -> &Token {
        self.tokens.get(self.at).map_or(&Token::End, |(token, _)| token)
    }

    fn fail<T>(&self, expected: &str) -> Result<T, String> {
        let column = self.tokens.get(self.at).map_or(0, |(_, at)| *at) + 1;
        Err(match self.peek() {
            Token::Name(name) => format!("`{name}` at character {column}: {expected}; quote it if it is text"),
            Token::End => format!("ends too early: {expected}"),
            _ => format!("at character {column}: {expected}"),
        })
    }

    fn accept(&mut self, symbol: &str) -> bool {
        let found = matches!(self.peek(), Token::Symbol(s) if *s == symbol);
        self.at += usize::from(found);
        found
    }

    fn expect(&mut self, symbol: &str) -> Result<(), String> {
        if self.accept(symbol) { Ok(()) } else { self.fail(&format!("`{symbol}` expected")) }
    }

    fn deeper(&mut self, inner: impl FnOnce(&mut Self) -> Result<Expr, String>) -> Result<Expr, String> {
        if self.depth >= MAX_DEPTH {
            return Err(format!("nested more than {MAX_DEPTH} levels deep"));
        }
        self.depth += 1;
        let result = inner(self);
        self.depth -= 1;
        result
    }

    /// `a if c else b`.
    fn expression(&mut self) -> Result<Expr, String> {
        self.deeper(|p| {
            let yes = p.or()?;
            if !p.accept("if") {
                return Ok(yes);
            }
            let condition = p.or()?;
            p.expect("else")?;
            let no = p.expression()?;
            Ok(Expr::If { condition: Box::new(condition), yes: Box::new(yes), no: Box::new(no) })
        })
    }

    fn or(&mut self) -> Result<Expr, String> {
        let mut left = self.and()?;
        while self.accept("or") {
            left = Expr::Or(Box::new(left), Box::new(self.and()?));
        }
        Ok(left)
    }

    fn and(&mut self) -> Result<Expr, String> {
        let mut left = self.not()?;
        while self.accept("and") {
            left = Expr::And(Box::new(left), Box::new(self.not()?));
        }
        Ok(left)
    }

    fn not(&mut self) -> Result<Expr, String> {
        if self.accept("not") {
            return self.deeper(|p| Ok(Expr::Not(Box::new(p.not()?))));
        }
        self.comparison()
    }

    fn comparison(&mut self) -> Result<Expr, String> {
        let first = self.binary(0)?;
        let mut rest = Vec::new();
        while let Some(operator) = self.comparator()? {
            rest.push((operator, self.binary(0)?));
        }
        Ok(if rest.is_empty() { first } else { Expr::Compare(Box::new(first), rest) })
    }

    fn comparator(&mut self) -> Result<Option<&'static str>, String> {
        for operator in ["==", "!=", "<=", ">=", "<", ">", "in"] {
            if self.accept(operator) {
                return Ok(Some(operator));
            }
        }
        if self.accept("is") {
            return Ok(Some(if self.accept("not") { "is not" } else { "is" }));
        }
        if self.accept("not") {
            self.expect("in")?;
            return Ok(Some("not in"));
        }
        Ok(None)
    }

    fn binary(&mut self, level: usize) -> Result<Expr, String> {
        let Some(operators) = LEVELS.get(level) else { return self.unary() };
        let mut left = self.binary(level + 1)?;
        let mut length = 0;
        'more: loop {
            for operator in *operators {
                if self.accept(operator) {
                    length += 1;
                    if length > 500 {
                        return Err("too many operators in a row".to_owned());
                    }
                    left = Expr::Binary(operator, Box::new(left), Box::new(self.binary(level + 1)?));
                    continue 'more;
                }
            }
            return Ok(left);
        }
    }

    fn unary(&mut self) -> Result<Expr, String> {
        if self.accept("-") {
            return self.deeper(|p| Ok(Expr::Negate(Box::new(p.unary()?))));
        }
        if self.accept("+") {
            return self.deeper(|p| Ok(Expr::Plus(Box::new(p.unary()?))));
        }
        let base = self.postfix()?;
        if self.accept("**") {
            // Binds tighter than a sign on its left, looser than one on its right.
            return self.deeper(|p| Ok(Expr::Binary("**", Box::new(base), Box::new(p.unary()?))));
        }
        Ok(base)
    }

    fn postfix(&mut self) -> Result<Expr, String> {
        let mut base = self.atom()?;
        let mut length = 0;
        while self.accept("[") {
            length += 1;
            if length > MAX_DEPTH {
                return Err("too many indices in a row".to_owned());
            }
            let from = if self.peek() == &Token::Symbol(":") { None } else { Some(Box::new(self.expression()?)) };
            if self.accept(":") {
                let to = if self.peek() == &Token::Symbol("]") { None } else { Some(Box::new(self.expression()?)) };
                base = Expr::Slice(Box::new(base), from, to);
            } else if let Some(index) = from {
                base = Expr::Index(Box::new(base), index);
            }
            self.expect("]")?;
        }
        Ok(base)
    }

    fn atom(&mut self) -> Result<Expr, String> {
        match self.peek().clone() {
            Token::Value(value) => {
                self.at += 1;
                Ok(Expr::Value(value))
            }
            Token::Name(name) => {
                let known = super::functions::NAMES;
                let called = matches!(self.tokens.get(self.at + 1), Some((Token::Symbol("("), _)));
                if let (Some(names), false) = (&mut self.names, called) {
                    self.at += 1;
                    if !names.contains(&name) {
                        names.push(name.clone());
                    }
                    return Ok(Expr::Variable(name));
                }
                if !known.contains(&name.as_str()) {
                    return self.fail(&format!("no such name; the functions are {}", known.join(", ")));
                }
                self.at += 1;
                self.expect("(")?;
                Ok(Expr::Call(name, self.items(")")?))
            }
            Token::Symbol("(") => {
                self.at += 1;
                let inner = self.expression()?;
                self.expect(")")?;
                Ok(inner)
            }
            Token::Symbol("[") => {
                self.at += 1;
                Ok(Expr::List(self.items("]")?))
            }
            Token::Symbol("{") => {
                self.at += 1;
                self.pairs()
            }
            _ => self.fail("a value expected"),
        }
    }

    fn items(&mut self, close: &str) -> Result<Vec<Expr>, String> {
        let mut items = Vec::new();
        while !self.accept(close) {
            items.push(self.expression()?);
            if !self.accept(",") {
                self.expect(close)?;
                break;
            }
        }
        Ok(items)
    }

    fn pairs(&mut self) -> Result<Expr, String> {
        let mut pairs = Vec::new();
        while !self.accept("}") {
            let key = self.expression()?;
            self.expect(":")?;
            pairs.push((key, self.expression()?));
            if !self.accept(",") {
                self.expect("}")?;
                break;
            }
        }
        Ok(Expr::Map(pairs))
    }
}
