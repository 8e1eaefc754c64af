//! The tokens of an override's value: the longest match of Hydra's lexer in its value mode.
//!
//! Blanks around brackets, commas, colons and equal signs belong to those tokens; a token of blanks of its own
//! appears only inside and after text.

use super::element::{Span, is_escapable};
use super::key::{digits_len, unsigned_len};

/// A token and where it stands.
#[derive(Clone, Debug)]
pub struct Token {
    pub kind: TokenKind,
    pub span: Span,
}

/// What a token is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TokenKind {
    ParenOpen,
    ParenClose,
    BracketOpen,
    BracketClose,
    BraceOpen,
    BraceClose,
    Comma,
    Colon,
    Equal,
    Float,
    Int,
    Bool,
    Null,
    /// A name: letters, digits, `_`, `-`.
    Id,
    /// One of the other characters that text may hold without quotes.
    Char,
    /// A run of escapes such as `\,\ `.
    Escapes,
    Blanks,
    Quoted,
    /// `${…}` up to the first `}`.
    Interpolation,
    /// A quote that is never closed.
    OpenQuote,
    /// A character that cannot stand here without quotes.
    Bad,
    /// The end of the argument.
    End,
}

impl TokenKind {
    /// Whether unquoted text may hold the token.
    pub fn is_text(self) -> bool {
        use TokenKind::*;
        matches!(self, Id | Null | Int | Float | Bool | Interpolation | Char | Colon | Escapes | Blanks)
    }

    /// Whether an unquoted key of a mapping may hold the token.
    pub fn is_key_text(self) -> bool {
        self.is_text() && !matches!(self, TokenKind::Colon | TokenKind::Interpolation)
    }
}

/// Whether text may hold the character without quotes or escapes.
pub fn is_plain_char(c: char) -> bool {
    c.is_ascii_alphanumeric() || c == '_' || is_special_char(c)
}

fn is_special_char(c: char) -> bool {
    matches!(c, '/' | '-' | '\\' | '+' | '.' | '$' | '%' | '*' | '@' | '?' | '|')
}

/// Cuts the value that starts at `start` into tokens, the last of them an `End`, `Bad` or `OpenQuote`.
pub fn tokens(chars: &[char], start: usize) -> Vec<Token> {
    let mut tokens = Vec::new();
    let mut at = start;
    loop {
        let (kind, len) = token(&chars[at..]);
        tokens.push(Token { kind, span: Span { start: at, end: at + len } });
        if matches!(kind, TokenKind::End | TokenKind::Bad | TokenKind::OpenQuote) {
            return tokens;
        }
        at += len;
    }
}

/// How many blanks stand at the start.
pub fn blanks_len(chars: &[char]) -> usize {
    chars.iter().take_while(|c| matches!(c, ' ' | '\t')).count()
}

fn token(chars: &[char]) -> (TokenKind, usize) {
    use TokenKind::*;
    let blanks = blanks_len(chars);
    let Some(&c) = chars.get(blanks) else {
        return if blanks == 0 { (End, 0) } else { (Blanks, blanks) };
    };
    let with_blanks_after = |kind| (kind, blanks + 1 + blanks_len(&chars[blanks + 1..]));
    match c {
        '(' => return with_blanks_after(ParenOpen),
        ',' => return with_blanks_after(Comma),
        ':' => return with_blanks_after(Colon),
        '=' => return with_blanks_after(Equal),
        ')' => return (ParenClose, blanks + 1),
        ']' => return (BracketClose, blanks + 1),
        '}' => return (BraceClose, blanks + 1),
        _ if blanks > 0 => return (Blanks, blanks),
        '[' => return with_blanks_after(BracketOpen),
        '{' => return with_blanks_after(BraceOpen),
        '\'' | '"' => return quoted(chars),
        _ => {}
    }
    if c == '$' && chars.get(1) == Some(&'{') {
        let inside = chars[2..].iter().take_while(|c| **c != '}').count();
        if inside > 0 && inside + 2 < chars.len() {
            return (Interpolation, inside + 3);
        }
    }
    let escapes = escapes_len(chars);
    if escapes > 0 {
        return (Escapes, escapes);
    }
    if let Some(number) = number(chars) {
        return number;
    }
    if c.is_ascii_alphabetic() || c == '_' {
        return name(chars);
    }
    if is_special_char(c) { (Char, 1) } else { (Bad, 1) }
}

fn escapes_len(chars: &[char]) -> usize {
    chars.chunks_exact(2).take_while(|pair| pair[0] == '\\' && is_escapable(pair[1])).count() * 2
}

/// A quoted text ends at the first quote with an even number of backslashes before it.
fn quoted(chars: &[char]) -> (TokenKind, usize) {
    let mut backslashes = 0;
    for (i, &c) in chars.iter().enumerate().skip(1) {
        if c == chars[0] && backslashes % 2 == 0 {
            return (TokenKind::Quoted, i + 1);
        }
        backslashes = if c == '\\' { backslashes + 1 } else { 0 };
    }
    (TokenKind::OpenQuote, 1)
}

fn name(chars: &[char]) -> (TokenKind, usize) {
    let len = chars.iter().take_while(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '-')).count();
    let word: String = chars[..len].iter().map(char::to_ascii_lowercase).collect();
    let kind = match word.as_str() {
        "null" => TokenKind::Null,
        "true" | "false" => TokenKind::Bool,
        "inf" | "nan" => TokenKind::Float,
        _ => TokenKind::Id,
    };
    (kind, len)
}

/// A number, with its sign; `inf` and `nan` only with one (without, they are [`name`]s).
fn number(chars: &[char]) -> Option<(TokenKind, usize)> {
    let sign = usize::from(matches!(chars.first(), Some('+' | '-')));
    let digits = &chars[sign..];
    if sign == 1 && digits.len() >= 3 {
        let word: String = digits[..3].iter().map(char::to_ascii_lowercase).collect();
        if matches!(word.as_str(), "inf" | "nan") {
            return Some((TokenKind::Float, 4));
        }
    }
    let whole = unsigned_len(digits);
    let mut len = whole;
    let mut kind = TokenKind::Int;
    if digits.get(whole) == Some(&'.') {
        let fraction = digits_len(&digits[whole + 1..]);
        if whole + fraction > 0 {
            len = whole + 1 + fraction;
            kind = TokenKind::Float;
        }
    }
    if len == 0 {
        return None;
    }
    if matches!(digits.get(len), Some('e' | 'E')) {
        let sign = usize::from(matches!(digits.get(len + 1), Some('+' | '-')));
        let exponent = digits_len(&digits[len + 1 + sign..]);
        if exponent > 0 {
            len += 1 + sign + exponent;
            kind = TokenKind::Float;
        }
    }
    Some((kind, sign + len))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_longest_token_wins() {
        use TokenKind::*;
        let cases: &[(&str, &[TokenKind])] = &[
            ("1_000", &[Int]),
            ("1__0", &[Int, Id]),
            ("007", &[Int, Int, Int]),
            ("3.", &[Float]),
            (".5", &[Float]),
            ("-.5e+3", &[Float]),
            ("1.2.3", &[Float, Float]),
            ("1e", &[Int, Id]),
            ("-inf", &[Float]),
            ("-info", &[Float, Id]),
            ("info", &[Id]),
            ("inf-1", &[Id]),
            ("nUll", &[Null]),
            ("1-2", &[Int, Int]),
            ("a , b", &[Id, Comma, Id]),
            ("a  b ", &[Id, Blanks, Id, Blanks]),
            ("[ 1 ]", &[BracketOpen, Int, BracketClose]),
            ("a [", &[Id, Blanks, BracketOpen]),
            ("f (x )", &[Id, ParenOpen, Id, ParenClose]),
            ("${a.b}x", &[Interpolation, Id]),
            ("${}", &[Char, BraceOpen, BraceClose]),
            ("${a", &[Char, BraceOpen, Id]),
            ("$x", &[Char, Id]),
            (r"a\,\ b\c", &[Id, Escapes, Id, Char, Id]),
            (r"\\\\", &[Escapes]),
            (r"'it\'s'", &[Quoted]),
            (r"'end\\'x", &[Quoted, Id]),
            ("'a''b'", &[Quoted, Quoted]),
        ];
        for (text, kinds) in cases {
            let chars: Vec<char> = text.chars().collect();
            let tokens = tokens(&chars, 0);
            let found: Vec<TokenKind> = tokens.iter().map(|token| token.kind).filter(|kind| *kind != End).collect();
            assert_eq!(found, *kinds, "{text}");
            assert_eq!(tokens.last().map(|token| token.span.end), Some(chars.len()), "{text}");
        }
        for (text, kind) in [("a#", Bad), ("é", Bad), ("a\nb", Bad), ("'x", OpenQuote), (r"'\'", OpenQuote)] {
            let chars: Vec<char> = text.chars().collect();
            assert_eq!(tokens(&chars, 0).last().map(|token| token.kind), Some(kind), "{text}");
        }
    }
}
