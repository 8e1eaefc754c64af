//! The grammar of `${…}`: OmegaConf's, read by recursive descent.
//!
//! Outside `${…}` only backslashes right before `${` mean something: an odd number escapes it. Inside, a path
//! (`a.b`, `..x`, `a[0]`) or a resolver (`oc.env:HOME,none`), whose arguments are typed like values of the command
//! line: numbers, `true`, `null`, lists, mappings, quoted text. `eval` takes its argument as raw text, so that
//! parentheses and comparisons need no quotes.
//!
//! The reference is OmegaConf 2.3's grammar (`OmegaConfGrammarLexer.g4`, `OmegaConfGrammarParser.g4`).

mod scan;

use scan::*;

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

#[cfg(test)]
mod tests;
