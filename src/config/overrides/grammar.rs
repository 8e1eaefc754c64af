//! From tokens to an override, by recursive descent along Hydra's grammar:
//!
//! ```text
//! override: key '=' value? | '+' '+'? key '=' value? | '~' key ('=' value?)?
//! key:      (path | group ('/' group)*)? ('@' path?)?
//! value:    element (',' element)*
//! element:  quoted | text | '[' elements ']' | '{' pairs '}' | name '(' arguments ')'
//! ```

use std::sync::Arc;

use super::element::{self, Element, Literal, Quote, Span, without_repeats};
use super::functions::{self, Argument};
use super::head;
use super::lexer::{self, Token, TokenKind};
use super::sweep::{Sweep, SweepKind};
use super::{Op, Override, OverrideValue};
use crate::config::node::Source;
use crate::config::problem::Problem;
use crate::config::text::read_py_float;
use crate::config::yaml::MAX_DEPTH;

/// Parses the argument that `source` holds.
pub fn parse(source: Arc<Source>, seed: u64) -> Result<Override, Problem> {
    let chars: Vec<char> = source.text.chars().collect();
    let head = head::parse(&source, &chars)?;
    let (value, value_span) = match head.value_start {
        None => (None, Span { start: chars.len(), end: chars.len() }),
        Some(equal) => {
            let start = equal + 1 + lexer::blanks_len(&chars[equal + 1..]);
            let tokens = lexer::tokens(&chars, start);
            let parser = ValueParser { source: &source, chars: &chars, tokens, at: 0, depth: 0, equal, seed };
            (Some(parser.parse(head.op)?), Span { start, end: chars.len() })
        }
    };
    Ok(Override {
        key: head.key,
        parts: head.parts,
        is_path: head.is_path,
        package: head.package,
        op: head.op,
        value,
        key_span: head.span,
        value_span,
        source,
    })
}

struct ValueParser<'a> {
    source: &'a Arc<Source>,
    chars: &'a [char],
    tokens: Vec<Token>,
    at: usize,
    depth: usize,
    /// Where the `=` before the value stands.
    equal: usize,
    seed: u64,
}

impl ValueParser<'_> {
    fn parse(mut self, op: Op) -> Result<OverrideValue, Problem> {
        let start = self.peek().span;
        if self.peek().kind == TokenKind::End {
            // `key=` is the empty text.
            return Ok(OverrideValue::Element(Element { literal: Literal::Text(String::new()), span: start }));
        }
        let first = self.value()?;
        let value = if self.peek().kind == TokenKind::Comma {
            let mut items = vec![self.element_of(first, start, "a comma list")?];
            while self.take(TokenKind::Comma) {
                let start = self.peek().span;
                let value = self.value()?;
                items.push(self.element_of(value, start, "a comma list")?);
            }
            let span = start.to(self.previous().span);
            OverrideValue::Sweep(Sweep::new(SweepKind::Choice { items, simple: true }, span))
        } else {
            first
        };
        if self.peek().kind != TokenKind::End {
            return Err(self.unexpected_after());
        }
        self.check(&value, op, start)?;
        Ok(value)
    }

    /// What the grammar allows and a config does not.
    fn check(&self, value: &OverrideValue, op: Op, start: Span) -> Result<(), Problem> {
        let elements: &[Element] = match value {
            OverrideValue::Element(element) => std::slice::from_ref(element),
            OverrideValue::Extend(items) => items,
            OverrideValue::Sweep(Sweep { kind: SweepKind::Choice { items, .. }, .. }) => items,
            OverrideValue::Sweep(_) => &[],
        };
        if let Some(key) = elements.iter().find_map(Element::null_key) {
            return Err(self.at_span("null cannot be a key", key.span).label("a name, number or boolean goes here"));
        }
        if matches!(value, OverrideValue::Extend(_)) && op != Op::Set {
            let end = self.previous().span;
            return Err(self
                .at_span("extend_list(…) changes a list that exists, so its key takes no prefix", start.to(end))
                .label("only key=extend_list(…) works"));
        }
        Ok(())
    }

    fn peek(&self) -> &Token {
        // The last token is never passed.
        &self.tokens[self.at.min(self.tokens.len() - 1)]
    }

    fn peek_second(&self) -> Option<TokenKind> {
        self.tokens.get(self.at + 1).map(|token| token.kind)
    }

    fn previous(&self) -> &Token {
        &self.tokens[self.at.saturating_sub(1)]
    }

    fn take(&mut self, kind: TokenKind) -> bool {
        let found = self.peek().kind == kind;
        if found {
            self.at += 1;
        }
        found
    }

    fn text(&self, span: Span) -> String {
        self.chars[span.start..span.end].iter().collect()
    }

    fn at_span(&self, message: impl Into<String>, span: Span) -> Problem {
        Problem::new(message).from(&span.origin(self.source)).width(span.width())
    }

    /// An element, or what a function makes.
    fn value(&mut self) -> Result<OverrideValue, Problem> {
        let token = self.peek().clone();
        let nested = matches!(token.kind, TokenKind::BracketOpen | TokenKind::BraceOpen)
            || (token.kind == TokenKind::Id && self.peek_second() == Some(TokenKind::ParenOpen));
        if !nested {
            return self.scalar().map(OverrideValue::Element);
        }
        if self.depth >= MAX_DEPTH {
            return Err(self.at_span(format!("values nest deeper than {MAX_DEPTH} levels"), token.span));
        }
        self.depth += 1;
        let value = match token.kind {
            TokenKind::BracketOpen => self.list().map(OverrideValue::Element),
            TokenKind::BraceOpen => self.dict().map(OverrideValue::Element),
            _ => self.function(),
        };
        self.depth -= 1;
        value
    }

    /// Refuses a sweep where only an element can stand.
    fn element_of(&self, value: OverrideValue, start: Span, place: &str) -> Result<Element, Problem> {
        match value {
            OverrideValue::Element(element) => Ok(element),
            OverrideValue::Sweep(_) | OverrideValue::Extend(_) => {
                let span = start.to(self.previous().span);
                Err(self
                    .at_span(format!("`{}` cannot stand inside {place}", self.text(span).trim_end()), span)
                    .label("one value goes here"))
            }
        }
    }

    fn element(&mut self, place: &str) -> Result<Element, Problem> {
        let start = self.peek().span;
        let value = self.value()?;
        self.element_of(value, start, place)
    }

    fn list(&mut self) -> Result<Element, Problem> {
        let open = self.peek().span;
        self.at += 1;
        let mut items = Vec::new();
        if !self.take(TokenKind::BracketClose) {
            loop {
                items.push(self.element("a list")?);
                if self.take(TokenKind::BracketClose) {
                    break;
                }
                self.comma(open, "[", "`,` or `]` goes here")?;
            }
        }
        Ok(Element { literal: Literal::List(items), span: open.to(self.previous().span) })
    }

    fn dict(&mut self) -> Result<Element, Problem> {
        let open = self.peek().span;
        self.at += 1;
        let mut entries = Vec::new();
        if !self.take(TokenKind::BraceClose) {
            loop {
                let key = self.dict_key()?;
                if !self.take(TokenKind::Colon) {
                    return Err(self.unexpected("`:` and a value go here"));
                }
                entries.push((key, self.element("a mapping")?));
                if self.take(TokenKind::BraceClose) {
                    break;
                }
                self.comma(open, "{", "`,` or `}` goes here")?;
            }
        }
        let literal = Literal::Dict(without_repeats(entries));
        Ok(Element { literal, span: open.to(self.previous().span) })
    }

    fn dict_key(&mut self) -> Result<Element, Problem> {
        if !self.peek().kind.is_key_text() {
            let problem = self.unexpected("a key goes here");
            return Err(match self.peek().kind {
                TokenKind::Quoted => problem.help("keys inside braces are written without quotes; escape with `\\`"),
                _ => problem,
            });
        }
        self.run(TokenKind::is_key_text)
    }

    fn comma(&mut self, open: Span, bracket: &str, label: &str) -> Result<(), Problem> {
        if self.take(TokenKind::Comma) {
            return Ok(());
        }
        if self.peek().kind == TokenKind::End {
            let opened = Span { start: open.start, end: open.start + 1 };
            return Err(self
                .at_span(format!("this `{bracket}` is never closed"), opened)
                .label(format!("at the end, {label}")));
        }
        Err(self.unexpected(label))
    }

    fn function(&mut self) -> Result<OverrideValue, Problem> {
        let name = self.peek().span;
        let open = self.tokens[self.at + 1].span;
        self.at += 2;
        let mut arguments: Vec<Argument> = Vec::new();
        if !self.take(TokenKind::ParenClose) {
            loop {
                arguments.push(self.argument(arguments.last())?);
                if self.take(TokenKind::ParenClose) {
                    break;
                }
                self.comma(open, "(", "`,` or `)` goes here")?;
            }
        }
        let span = name.to(self.previous().span);
        let call = functions::Call { name: self.text(name), arguments, span, seed: self.seed };
        call.evaluate().map_err(|fault| {
            let at = fault.span.unwrap_or(span);
            let problem = self.at_span(format!("{}: {}", self.text(span), fault.message), at);
            match fault.help {
                Some(help) => problem.help(help),
                None => problem,
            }
        })
    }

    fn argument(&mut self, last: Option<&Argument>) -> Result<Argument, Problem> {
        let start = self.peek().span;
        let name = (self.peek().kind == TokenKind::Id && self.peek_second() == Some(TokenKind::Equal))
            .then(|| self.text(start));
        if name.is_some() {
            self.at += 2;
        } else if last.is_some_and(|argument| argument.name.is_some()) {
            return Err(self.at_span("arguments without a name come before those with one", start));
        }
        let from = self.peek().span;
        let value = self.value()?;
        Ok(Argument { name, value, span: from.to(self.previous().span) })
    }

    fn scalar(&mut self) -> Result<Element, Problem> {
        let token = self.peek().clone();
        if token.kind == TokenKind::Quoted {
            self.at += 1;
            let quote = if self.chars[token.span.start] == '"' { Quote::Double } else { Quote::Single };
            let inside = self.text(Span { start: token.span.start + 1, end: token.span.end - 1 });
            let literal = Literal::Quoted(quote, element::unquote(&inside, quote.character()));
            return Ok(Element { literal, span: token.span });
        }
        if !token.kind.is_text() {
            return Err(self.unexpected("a value goes here"));
        }
        self.run(TokenKind::is_text)
    }

    /// A run of tokens that make one text; a run of one token may be a number, a boolean or null instead.
    fn run(&mut self, belongs: fn(TokenKind) -> bool) -> Result<Element, Problem> {
        let first = self.at;
        while belongs(self.peek().kind) {
            self.at += 1;
        }
        let mut run = &self.tokens[first..self.at];
        if let [rest @ .., Token { kind: TokenKind::Blanks, .. }] = run {
            run = rest;
        }
        let (Some(start), Some(end)) = (run.first(), run.last()) else {
            return Err(self.unexpected("a value goes here"));
        };
        let span = start.span.to(end.span);
        let literal = match run {
            [token] => self.literal(token)?,
            _ => Literal::Text(run.iter().map(|token| self.plain_text(token)).collect()),
        };
        Ok(Element { literal, span })
    }

    fn plain_text(&self, token: &Token) -> String {
        let text = self.text(token.span);
        match token.kind {
            TokenKind::Escapes => text.chars().skip(1).step_by(2).collect(),
            _ => text,
        }
    }

    fn literal(&self, token: &Token) -> Result<Literal, Problem> {
        let text = self.plain_text(token);
        Ok(match token.kind {
            TokenKind::Null => Literal::Null,
            TokenKind::Bool => Literal::Bool(text.eq_ignore_ascii_case("true")),
            // The token's shape is a number's; only its size can be wrong.
            TokenKind::Int => Literal::Int(text.replace('_', "").parse().map_err(|_| {
                self.at_span(format!("the integer {text} is too large: integers here have 64 bits"), token.span)
                    .help("quote it to keep it as text, or write it as a float")
            })?),
            TokenKind::Float => Literal::Float(read_py_float(&text).unwrap_or(f64::NAN)),
            _ => Literal::Text(text),
        })
    }

    /// Something else than the end came after a whole value.
    fn unexpected_after(&self) -> Problem {
        match (self.previous().kind, self.peek().kind) {
            (TokenKind::Quoted | TokenKind::BracketClose | TokenKind::BraceClose | TokenKind::ParenClose, kind)
                if !matches!(kind, TokenKind::Bad | TokenKind::OpenQuote) =>
            {
                let what = if self.previous().kind == TokenKind::Quoted { "quote" } else { "bracket" };
                self.unexpected(&format!("nothing may follow the closing {what}, not even a blank"))
            }
            _ => self.unexpected("this must be quoted or escaped here"),
        }
    }

    /// A problem at the current token.
    fn unexpected(&self, label: &str) -> Problem {
        let token = self.peek();
        let text = self.text(token.span);
        match token.kind {
            TokenKind::End => self.at_span("the value ends too early", token.span).label(label),
            TokenKind::OpenQuote => self
                .at_span(format!("this {text} is never closed"), token.span)
                .label("a quoted value starts here")
                .help(match self.at {
                    0 => format!("close it; inside the quotes, write \\{text} for a {text} that belongs to the text"),
                    _ => format!("if the whole value is text, write {}", self.with_quotes()),
                }),
            TokenKind::Bad => self
                .at_span(format!("`{}` cannot stand in a value without quotes", text.escape_debug()), token.span)
                .label("quote the value")
                .help(format!("write {}", self.with_quotes())),
            _ => {
                let problem = self.at_span(format!("`{}` cannot stand here", text.trim()), token.span).label(label);
                let quoted = || format!("if the whole value is text, write {}", self.with_quotes());
                match token.kind {
                    TokenKind::ParenOpen if label.starts_with("a value") => {
                        problem.help("a list is written [a,b]; a text with parentheses needs quotes")
                    }
                    TokenKind::Equal if token.span.start == self.equal + 1 => problem.help("one `=` is enough"),
                    TokenKind::BraceClose if self.source.text.contains("${") => {
                        problem.help(format!("a nested `${{…}}` needs quotes: {}", self.with_quotes()))
                    }
                    TokenKind::Equal | TokenKind::ParenOpen | TokenKind::ParenClose | TokenKind::Quoted => {
                        problem.help(quoted())
                    }
                    _ => problem,
                }
            }
        }
    }

    /// The argument with its whole value in quotes.
    fn with_quotes(&self) -> String {
        let value = self.text(Span { start: self.equal + 1, end: self.chars.len() });
        let quote = if value.contains('\'') && !value.contains('"') { '"' } else { '\'' };
        let mut out = self.text(Span { start: 0, end: self.equal + 1 });
        element::requote(value.trim(), quote, &mut out);
        out
    }
}
