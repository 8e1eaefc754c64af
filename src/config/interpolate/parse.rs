//! The grammar of `${…}`: OmegaConf's, read by recursive descent.
//!
//! Outside `${…}` only backslashes right before `${` mean something: an odd number escapes it. Inside, a path
//! (`a.b`, `..x`, `a[0]`) or a resolver (`oc.env:HOME,none`), whose arguments are typed like values of the command
//! line: numbers, `true`, `null`, lists, mappings, quoted text. `eval` takes its argument as raw text, so that
//! parentheses and comparisons need no quotes.
//!
//! The reference is OmegaConf 2.3's grammar (`OmegaConfGrammarLexer.g4`, `OmegaConfGrammarParser.g4`).

use super::syntax::{Call, Element, Interpolation, Part, Reference, Step, Template};
use crate::config::node::{Key, Value};

/// How deep interpolations, lists and mappings may nest inside one string.
const MAX_DEPTH: usize = 64;

/// Why a string is no valid template.
#[derive(Clone, Debug, PartialEq)]
pub struct SyntaxError {
    /// Byte offset of the character that cannot stand there.
    pub at: usize,
    /// What was expected.
    pub message: String,
}

type Parsed<T> = Result<T, SyntaxError>;

/// Parses a string that may hold interpolations.
pub fn template(text: &str) -> Parsed<Template> {
    Parser { text, at: 0, depth: 0 }.top_level()
}

/// Parses one element as `oc.decode` does: `12`, `[1, 2]`, `{a: ${x}}`, `some text`.
pub fn element(text: &str) -> Parsed<Element> {
    let mut parser = Parser { text, at: 0, depth: 0 };
    let element = parser.element()?;
    if parser.at < text.len() {
        return parser.fail("the value ends before this");
    }
    Ok(element)
}

struct Parser<'t> {
    text: &'t str,
    at: usize,
    depth: usize,
}

/// A token between a resolver's colon and its closing brace.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Token {
    Open,
    BraceOpen,
    BraceClose,
    Quote(u8),
    Comma,
    BracketOpen,
    BracketClose,
    Colon,
    Float,
    Int,
    Bool,
    Null,
    Other,
    Id,
    Escape,
    Blank,
    End,
}

impl<'t> Parser<'t> {
    fn rest(&self) -> &'t str {
        &self.text[self.at..]
    }

    fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    fn fail<T>(&self, message: impl Into<String>) -> Parsed<T> {
        Err(SyntaxError { at: self.at, message: message.into() })
    }

    fn skip_blanks(&mut self) {
        self.at += blanks(self.rest().as_bytes());
    }

    fn deeper<T>(&mut self, inner: impl FnOnce(&mut Self) -> Parsed<T>) -> Parsed<T> {
        if self.depth >= MAX_DEPTH {
            return self.fail(format!("nested more than {MAX_DEPTH} levels deep"));
        }
        self.depth += 1;
        let result = inner(self);
        self.depth -= 1;
        result
    }

    fn top_level(&mut self) -> Parsed<Template> {
        let mut parts = Parts::default();
        while let Some(found) = self.rest().find("${") {
            let (before, escaped) = undo_backslashes(&self.rest()[..found]);
            parts.push_text(&before);
            self.at += found;
            if escaped {
                parts.push_text("${");
                self.at += 2;
            } else {
                parts.push(self.interpolation()?);
            }
        }
        parts.push_text(self.rest());
        Ok(parts.finish())
    }

    /// At `${`; ends after the matching `}`.
    fn interpolation(&mut self) -> Parsed<Interpolation> {
        self.deeper(|parser| {
            parser.at += 2;
            parser.skip_blanks();
            parser.path_or_call()
        })
    }

    fn path_or_call(&mut self) -> Parsed<Interpolation> {
        let dots = self.rest().bytes().take_while(|&b| b == b'.').count();
        self.at += dots;
        let mut steps: Vec<Step> = Vec::new();
        // A resolver's name: identifiers joined by dots, before a colon.
        let mut may_be_name = dots == 0;
        loop {
            if self.peek() == Some(b'[') {
                may_be_name = false;
                self.at += 1;
                let (step, _) = self.config_key(true)?;
                if self.peek() != Some(b']') {
                    return self.fail("`]` expected");
                }
                self.at += 1;
                steps.push(step);
            } else {
                let (step, identifier) = self.config_key(false)?;
                may_be_name &= identifier;
                steps.push(step);
            }
            let blank = blanks(self.rest().as_bytes());
            match self.text.as_bytes().get(self.at + blank) {
                Some(b'}') => {
                    self.at += blank + 1;
                    return Ok(Interpolation::Reference(Reference { dots, steps }));
                }
                Some(b':') if may_be_name => {
                    self.at += blank + 1;
                    self.skip_blanks();
                    return self.call(steps);
                }
                Some(b':') => {
                    self.at += blank;
                    return self.fail("a resolver's name goes before `:`: letters, digits, `_`, `-` and dots");
                }
                Some(b'.') if blank == 0 => {
                    self.at += 1;
                    if self.peek() == Some(b'[') {
                        return self.fail("a key expected after `.`");
                    }
                }
                Some(b'[') if blank == 0 => {}
                None => return self.fail("`}` expected: the interpolation does not end"),
                Some(_) => {
                    self.at += blank;
                    return self.fail("`}`, `.`, `[` or `:` expected");
                }
            }
        }
    }

    /// A step of a path, and whether it could be part of a resolver's name.
    fn config_key(&mut self, bracket: bool) -> Parsed<(Step, bool)> {
        if self.rest().starts_with("${") {
            let inner = Box::new(self.interpolation()?);
            return Ok((Step::Computed { inner, bracket }, true));
        }
        let length = self.rest().find(|c| "\\{}()[]:. \t'\"".contains(c)).unwrap_or(self.rest().len());
        if length == 0 {
            return self.fail("a key expected");
        }
        let name = &self.rest()[..length];
        self.at += length;
        Ok((Step::Name(name.to_owned()), identifier(name.as_bytes()) == name.len()))
    }

    fn call(&mut self, name: Vec<Step>) -> Parsed<Interpolation> {
        if let [Step::Name(only)] = name.as_slice()
            && only == "eval"
        {
            let argument = self.raw_argument()?;
            return Ok(Interpolation::Call(Call { name, arguments: vec![argument] }));
        }
        let arguments = self.sequence(Token::BraceClose)?;
        Ok(Interpolation::Call(Call { name, arguments }))
    }

    /// The text up to the closing brace of `${eval:…}`, brackets and quotes balanced; a lone quoted argument is
    /// unquoted as anywhere else.
    fn raw_argument(&mut self) -> Parsed<Element> {
        if let Some(quote @ (b'\'' | b'"')) = self.peek() {
            let (start, depth) = (self.at, self.depth);
            if let Ok(quoted) = self.quoted(quote) {
                self.skip_blanks();
                if self.peek() == Some(b'}') {
                    self.at += 1;
                    return Ok(Element::Quoted(quoted));
                }
            }
            (self.at, self.depth) = (start, depth);
        }
        let mut parts = Parts::default();
        let mut open: Vec<u8> = Vec::new();
        let mut quote: Option<u8> = None;
        loop {
            let Some(c) = self.rest().chars().next() else {
                return self.fail("`}` expected: the expression does not end");
            };
            if self.rest().starts_with("${") {
                parts.push(self.interpolation()?);
                continue;
            }
            match (c, quote) {
                ('\'' | '"', None) => quote = Some(c as u8),
                (_, Some(q)) if c as u32 == u32::from(q) => quote = None,
                ('(' | '[' | '{', None) => open.push(c as u8),
                ('}', None) if open.is_empty() => {
                    self.at += 1;
                    return Ok(Element::Quoted(parts.finish()));
                }
                (')' | ']' | '}', None) if open.pop().is_none() => {
                    return self.fail(format!("`{c}` closes nothing"));
                }
                _ => {}
            }
            parts.push_text(c.encode_utf8(&mut [0; 4]));
            self.at += c.len_utf8();
        }
    }

    /// Elements up to `close`; an element left out is an empty string, as in OmegaConf.
    fn sequence(&mut self, close: Token) -> Parsed<Vec<Element>> {
        let empty = || Element::Constant(Value::Str(String::new()));
        let mut elements = Vec::new();
        let mut after_comma = true;
        loop {
            let (token, length) = self.token()?;
            if token == close {
                self.at += length;
                if after_comma && !elements.is_empty() {
                    elements.push(empty());
                }
                return Ok(elements);
            }
            match token {
                Token::Comma => {
                    self.at += length;
                    if after_comma {
                        elements.push(empty());
                    }
                    after_comma = true;
                }
                Token::End => return self.fail("the interpolation does not end: `}` expected"),
                _ if after_comma => {
                    elements.push(self.element()?);
                    after_comma = false;
                }
                _ => return self.fail("`,` or the end of the arguments expected"),
            }
        }
    }

    fn element(&mut self) -> Parsed<Element> {
        self.deeper(|parser| {
            let (token, length) = parser.token()?;
            match token {
                Token::BracketOpen => {
                    parser.at += length;
                    Ok(Element::List(parser.sequence(Token::BracketClose)?))
                }
                Token::BraceOpen => {
                    parser.at += length;
                    parser.mapping()
                }
                Token::Quote(quote) => Ok(Element::Quoted(parser.quoted(quote)?)),
                _ => parser.primitive(false),
            }
        })
    }

    fn mapping(&mut self) -> Parsed<Element> {
        let mut pairs: Vec<(Key, Element)> = Vec::new();
        let (token, length) = self.token()?;
        if token == Token::BraceClose {
            self.at += length;
            return Ok(Element::Map(pairs));
        }
        loop {
            let start = self.at;
            let key = match self.primitive(true)? {
                Element::Constant(Value::Str(text)) => Key::Str(text),
                Element::Constant(Value::Int(i)) => Key::Int(i),
                Element::Constant(Value::Float(f)) => Key::Float(f),
                Element::Constant(Value::Bool(b)) => Key::Bool(b),
                _ => {
                    self.at = start;
                    return self.fail("null cannot be a key");
                }
            };
            let (token, length) = self.token()?;
            if token != Token::Colon {
                return self.fail("`:` expected after the key");
            }
            self.at += length;
            let value = self.element()?;
            match pairs.iter_mut().find(|(existing, _)| *existing == key) {
                Some(pair) => pair.1 = value,
                None => pairs.push((key, value)),
            }
            let (token, length) = self.token()?;
            match token {
                Token::Comma => self.at += length,
                Token::BraceClose => {
                    self.at += length;
                    return Ok(Element::Map(pairs));
                }
                _ => return self.fail("`,` or `}` expected"),
            }
        }
    }

    /// A run of tokens: typed when it is only one, text otherwise.
    fn primitive(&mut self, key: bool) -> Parsed<Element> {
        let mut parts = Parts::default();
        let mut tokens = 0;
        let mut single = None;
        loop {
            let (token, length) = self.token()?;
            let text = &self.rest()[..length];
            match token {
                Token::Open if !key => {
                    parts.push(self.interpolation()?);
                    tokens += 1;
                    single = None;
                    continue;
                }
                Token::Colon if key => break,
                Token::Float | Token::Int | Token::Bool | Token::Null => {
                    if tokens == 0 {
                        single = Some(self.constant(token, text)?);
                    }
                    parts.push_text(text);
                }
                Token::Escape => parts.push_text(&every_second(text)),
                Token::Other | Token::Id | Token::Blank | Token::Colon => parts.push_text(text),
                _ => break,
            }
            self.at += length;
            tokens += 1;
        }
        match (tokens, single) {
            (0, _) => self.fail("a value expected"),
            (1, Some(constant)) => Ok(Element::Constant(constant)),
            _ => Ok(match parts.finish().parts.as_slice() {
                [] => Element::Constant(Value::Str(String::new())),
                [Part::Text(text)] => Element::Constant(Value::Str(text.clone())),
                parts => Element::Template(Template { parts: parts.to_vec() }),
            }),
        }
    }

    fn constant(&self, token: Token, text: &str) -> Parsed<Value> {
        let digits = text.replace('_', "");
        Ok(match token {
            Token::Null => Value::Null,
            Token::Bool => Value::Bool(text.eq_ignore_ascii_case("true")),
            Token::Int => match digits.parse() {
                Ok(int) => Value::Int(int),
                Err(_) => return self.fail("this integer does not fit 64 bits"),
            },
            _ => match digits.parse() {
                Ok(float) => Value::Float(float),
                Err(_) => return self.fail("not a number"),
            },
        })
    }

    /// At the opening quote; ends after the closing one.
    fn quoted(&mut self, quote: u8) -> Parsed<Template> {
        let quote = char::from(quote);
        self.at += 1;
        let mut parts = Parts::default();
        loop {
            let rest = self.rest();
            let stop = rest.char_indices().find(|&(i, c)| c == quote || rest[i..].starts_with("${"));
            let Some((stop, found)) = stop else {
                return self.fail(format!("closing {quote} expected"));
            };
            let (before, escaped) = undo_backslashes(&rest[..stop]);
            parts.push_text(&before);
            self.at += stop;
            match (found == quote, escaped) {
                (true, true) => {
                    parts.push_text(quote.encode_utf8(&mut [0; 4]));
                    self.at += 1;
                }
                (true, false) => {
                    self.at += 1;
                    return Ok(parts.finish());
                }
                (false, true) => {
                    parts.push_text("${");
                    self.at += 2;
                }
                (false, false) => parts.push(self.interpolation()?),
            }
        }
    }

    /// The next token among a resolver's arguments and its length: the longest that matches, blanks joined to the
    /// separator they stand at.
    fn token(&self) -> Parsed<(Token, usize)> {
        let bytes = self.rest().as_bytes();
        let Some(&first) = bytes.first() else {
            return Ok((Token::End, 0));
        };
        let blank = blanks(bytes);
        let with_blanks = |at: usize| at + 1 + blanks(&bytes[at + 1..]);
        match bytes.get(blank) {
            Some(b',') => return Ok((Token::Comma, with_blanks(blank))),
            Some(b':') => return Ok((Token::Colon, with_blanks(blank))),
            Some(b'}') => return Ok((Token::BraceClose, blank + 1)),
            Some(b']') => return Ok((Token::BracketClose, blank + 1)),
            _ if blank > 0 => return Ok((Token::Blank, blank)),
            _ => {}
        }
        match first {
            b'$' if bytes.get(1) == Some(&b'{') => return Ok((Token::Open, 2)),
            b'{' => return Ok((Token::BraceOpen, with_blanks(0))),
            b'[' => return Ok((Token::BracketOpen, with_blanks(0))),
            b'\'' | b'"' => return Ok((Token::Quote(first), 1)),
            _ => {}
        }
        let id = identifier(bytes);
        let word = &self.rest()[..id];
        let word = match word {
            _ if word.eq_ignore_ascii_case("true") || word.eq_ignore_ascii_case("false") => Token::Bool,
            _ if word.eq_ignore_ascii_case("null") => Token::Null,
            _ => Token::Id,
        };
        let other = usize::from(b"/-\\+.$%*@?|".contains(&first));
        let candidates = [
            (Token::Float, float(bytes)),
            (Token::Int, int(bytes)),
            (Token::Other, other),
            (word, id),
            (Token::Escape, escapes(bytes)),
        ];
        let mut best = (Token::End, 0);
        for candidate in candidates {
            if candidate.1 > best.1 {
                best = candidate;
            }
        }
        if best.1 == 0 {
            let c = self.rest().chars().next().unwrap_or(' ');
            return self.fail(format!("`{}` must be quoted here", c.escape_default()));
        }
        Ok(best)
    }
}

/// Collects parts, joining neighbouring texts.
#[derive(Default)]
struct Parts(Vec<Part>);

impl Parts {
    fn push_text(&mut self, text: &str) {
        match self.0.last_mut() {
            _ if text.is_empty() => {}
            Some(Part::Text(last)) => last.push_str(text),
            _ => self.0.push(Part::Text(text.to_owned())),
        }
    }

    fn push(&mut self, interpolation: Interpolation) {
        self.0.push(Part::Interpolation(interpolation));
    }

    fn finish(self) -> Template {
        Template { parts: self.0 }
    }
}

/// Text before a quote or `${`: of its trailing backslashes each pair stands for one, and an odd one escapes what
/// follows.
fn undo_backslashes(text: &str) -> (String, bool) {
    let run = text.bytes().rev().take_while(|&b| b == b'\\').count();
    let kept = &text[..text.len() - run];
    (format!("{kept}{}", "\\".repeat(run / 2)), run % 2 == 1)
}

fn blanks(bytes: &[u8]) -> usize {
    bytes.iter().take_while(|b| matches!(b, b' ' | b'\t')).count()
}

fn every_second(text: &str) -> String {
    text.chars().skip(1).step_by(2).collect()
}

fn identifier(bytes: &[u8]) -> usize {
    match bytes.first() {
        Some(b) if b.is_ascii_alphabetic() || *b == b'_' => {
            bytes.iter().take_while(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-')).count()
        }
        _ => 0,
    }
}

fn escapes(bytes: &[u8]) -> usize {
    2 * bytes.chunks_exact(2).take_while(|pair| pair[0] == b'\\' && b"\\()[]{}:=, \t".contains(&pair[1])).count()
}

/// Digits with single underscores between them.
fn digits(bytes: &[u8]) -> usize {
    let mut length = 0;
    loop {
        match (bytes.get(length), bytes.get(length + 1)) {
            (Some(b), _) if b.is_ascii_digit() => length += 1,
            (Some(b'_'), Some(b)) if length > 0 && b.is_ascii_digit() => length += 2,
            _ => return length,
        }
    }
}

/// An unsigned integer without leading zeros.
fn unsigned(bytes: &[u8]) -> usize {
    match bytes.first() {
        Some(b'0') => 1,
        _ => digits(bytes),
    }
}

fn sign(bytes: &[u8]) -> usize {
    usize::from(matches!(bytes.first(), Some(b'+' | b'-')))
}

fn int(bytes: &[u8]) -> usize {
    let sign = sign(bytes);
    match unsigned(&bytes[sign..]) {
        0 => 0,
        length => sign + length,
    }
}

fn float(bytes: &[u8]) -> usize {
    let sign = sign(bytes);
    let body = &bytes[sign..];
    if body.len() >= 3 && (body[..3].eq_ignore_ascii_case(b"inf") || body[..3].eq_ignore_ascii_case(b"nan")) {
        return sign + 3;
    }
    let whole = unsigned(body);
    let mut length = whole;
    let mut is_float = false;
    if body.get(whole) == Some(&b'.') {
        let fraction = digits(&body[whole + 1..]);
        if whole > 0 || fraction > 0 {
            length = whole + 1 + fraction;
            is_float = true;
        }
    }
    if length > 0 && matches!(body.get(length), Some(b'e' | b'E')) {
        let signed = length + 1 + usize::from(matches!(body.get(length + 1), Some(b'+' | b'-')));
        let exponent = digits(body.get(signed..).unwrap_or_default());
        if exponent > 0 {
            length = signed + exponent;
            is_float = true;
        }
    }
    if is_float { sign + length } else { 0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reference(dots: usize, steps: &[&str]) -> Interpolation {
        let steps = steps.iter().map(|s| Step::Name((*s).to_owned())).collect();
        Interpolation::Reference(Reference { dots, steps })
    }

    fn parts(text: &str) -> Vec<Part> {
        template(text).unwrap_or_else(|e| panic!("{text}: {e:?}")).parts
    }

    fn call(text: &str) -> Call {
        match parts(text).as_slice() {
            [Part::Interpolation(Interpolation::Call(call))] => call.clone(),
            other => panic!("{text}: {other:?}"),
        }
    }

    #[test]
    fn paths() {
        for (text, dots, steps) in [
            ("${a}", 0, vec!["a"]),
            ("${ a.b }", 0, vec!["a", "b"]),
            ("${a[0].b}", 0, vec!["a", "0", "b"]),
            ("${[a][b]}", 0, vec!["a", "b"]),
            ("${.x}", 1, vec!["x"]),
            ("${...x.y}", 3, vec!["x", "y"]),
            ("${..[x]}", 2, vec!["x"]),
            ("${a/b@c-d.$e}", 0, vec!["a/b@c-d", "$e"]),
            ("${l.-1}", 0, vec!["l", "-1"]),
        ] {
            assert_eq!(parts(text), [Part::Interpolation(reference(dots, &steps))], "{text}");
        }
    }

    #[test]
    fn escapes_outside() {
        let x = || Part::Interpolation(reference(0, &["x"]));
        let text = |t: &str| Part::Text(t.to_owned());
        for (source, want) in [
            (r"\${x}", vec![text("${x}")]),
            (r"\\${x}", vec![text(r"\"), x()]),
            (r"\\\${x}", vec![text(r"\${x}")]),
            (r"a\b\\c${x}", vec![text(r"a\b\\c"), x()]),
            (r"$x $${x}\\", vec![text("$x $"), x(), text(r"\\")]),
        ] {
            assert_eq!(parts(source), want, "{source}");
        }
    }

    #[test]
    fn arguments() {
        let constant = |v: Value| Element::Constant(v);
        for (text, want) in [
            ("${f:}", vec![]),
            ("${f: 1, -2.5 ,true,NULL}", vec![1i64.into(), (-2.5).into(), true.into(), Value::Null]),
            ("${f:,a}", vec!["".into(), "a".into()]),
            ("${f:a,}", vec!["a".into(), "".into()]),
            ("${f:a b,c:d,1.2.3,%Y-%m}", vec!["a b".into(), "c:d".into(), "1.2.3".into(), "%Y-%m".into()]),
            (r"${f:a\,b,\}}", vec!["a,b".into(), "}".into()]),
            ("${f:007,1_0,1__0}", vec!["007".into(), 10i64.into(), "1__0".into()]),
        ] {
            assert_eq!(call(text).arguments, want.into_iter().map(constant).collect::<Vec<_>>(), "{text}");
        }
        let quoted = |t: &str| Element::Quoted(Template { parts: vec![Part::Text(t.to_owned())] });
        assert_eq!(call(r"${f:'it\'s \\', ' \n'}").arguments, [quoted(r"it's \"), quoted(r" \n")]);
        assert_eq!(call(r"${f:'a\\'}").arguments, [quoted(r"a\")]);
        assert_eq!(
            call("${f:[1,[]],{a: b:c, 1:[x]}}").arguments,
            [
                Element::List(vec![constant(1i64.into()), Element::List(vec![])]),
                Element::Map(vec![
                    ("a".into(), constant("b:c".into())),
                    (Key::Int(1), Element::List(vec![constant("x".into())]))
                ])
            ]
        );
    }

    #[test]
    fn expressions_are_raw() {
        for (text, want) in [
            ("${eval:'1 + 2'}", "1 + 2"),
            ("${eval:(1 + 2) * 3}", "(1 + 2) * 3"),
            ("${eval:{1: '}'}[1]}", "{1: '}'}[1]"),
            ("${eval:'a' if 1 < 2 else 'b'}", "'a' if 1 < 2 else 'b'"),
        ] {
            let want = Element::Quoted(Template { parts: vec![Part::Text(want.to_owned())] });
            assert_eq!(call(text).arguments, [want], "{text}");
        }
    }

    #[test]
    fn refused() {
        for text in [
            "${",
            "${}",
            "${a",
            "${a b}",
            "${a.}",
            "${.}",
            "${a..b}",
            "${a.[b]}",
            "${a[b}",
            "${foo${bar}}",
            "${f:'a' b}",
            "${f:a'b'}",
            "${f:[1}",
            "${f:{a}}",
            "${f:{a:1,}}",
            "${f:é}",
            "${1a:x}",
            "${f:(}",
            "${f:a=b}",
            "${f:'a}",
            "${a:b",
        ] {
            assert!(template(text).is_err(), "{text} should be refused");
        }
        let deep = format!("{}a{}", "${f:".repeat(2000), "}".repeat(2000));
        assert!(template(&deep).is_err());
        assert!(element(&"[".repeat(100_000)).is_err());
    }
}
