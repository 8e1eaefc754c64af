//! What PyYAML refuses and the parser takes, and the reverse, so that a file is read here exactly when Hydra reads
//! it: tabs between tokens, some characters of plain text inside brackets, names of anchors; and lines inside
//! brackets or quotes that are indented less than YAML 1.2 asks for.

use std::borrow::Cow;
use std::cell::Cell;
use std::collections::HashSet;

use saphyr_parser::{ScanError, Span};

/// Something that PyYAML would not read.
pub struct Refusal {
    /// What is wrong.
    pub message: String,
    /// Where, in bytes of the text.
    pub offset: usize,
    /// What to do.
    pub help: Option<String>,
}

/// The text of a document, and how far it has been looked at.
pub struct Strict<'a> {
    text: &'a str,
    /// Where each line starts, in bytes.
    lines: Vec<usize>,
    /// Where the last scalar ended, in bytes.
    covered: usize,
    /// Most files have no tab and skip the search.
    has_tabs: bool,
    anchors: HashSet<&'a str>,
    /// The place that was asked for last: its line, its column and its byte. A long line is walked once, not from its
    /// start for each value on it.
    last: Cell<(usize, usize, usize)>,
}

impl<'a> Strict<'a> {
    /// Starts at the beginning of a text.
    pub fn new(text: &'a str) -> Self {
        let lines = std::iter::once(0).chain(text.match_indices('\n').map(|(at, _)| at + 1)).collect();
        Strict {
            text,
            lines,
            covered: 0,
            has_tabs: text.contains('\t'),
            anchors: HashSet::new(),
            last: Cell::default(),
        }
    }

    /// The byte at a line, from 1, and a column in characters, from 0.
    pub fn offset(&self, line: usize, column: usize) -> usize {
        let Some(&start) = line.checked_sub(1).and_then(|line| self.lines.get(line)) else { return self.text.len() };
        let (last_line, last_column, last_byte) = self.last.get();
        let (from, skip) = match column.checked_sub(last_column) {
            Some(skip) if line == last_line => (last_byte, skip),
            _ => (start, column),
        };
        let rest = &self.text[from..];
        let byte = from + rest.char_indices().nth(skip).map_or(rest.len(), |(at, _)| at);
        self.last.set((line, column, byte));
        byte
    }

    /// Line, from 1, and column, from 0, of a byte.
    pub fn place(&self, offset: usize) -> (usize, usize) {
        let line = self.lines.partition_point(|&start| start <= offset);
        (line, self.text[self.lines[line - 1]..offset].chars().count())
    }

    /// Looks at what precedes a node and, when it has one, at its anchor. Gives the text from where the node itself
    /// starts.
    pub fn enter(&mut self, span: Span, has_anchor: bool) -> Result<&'a str, Refusal> {
        let start = self.offset(span.start.line(), span.start.col());
        self.check_tabs(start)?;
        let mut rest = &self.text[start..];
        loop {
            if let Some(named) = rest.strip_prefix('&') {
                // A block mapping starts where its first key does, and the anchor may be the key's.
                rest = if has_anchor { &named[self.check_anchor(named)?..] } else { skip_word(named) };
            } else if rest.starts_with('!') {
                rest = skip_word(rest);
            } else {
                return Ok(rest);
            }
            rest = rest.trim_start();
        }
    }

    /// Whether the span of a list's or mapping's start is that of a bracket. Where a block starts, it ends too.
    pub fn is_bracket(&self, span: Span) -> bool {
        !span.is_empty() && self.text[..self.offset(span.end.line(), span.end.col())].ends_with(['[', '{'])
    }

    /// Looks at plain text, as it is written.
    pub fn plain(&mut self, span: Span, node: &'a str, in_flow: bool) -> Result<(), Refusal> {
        let start = self.text.len() - node.len();
        let end = self.offset(span.end.line(), span.end.col()).max(start);
        let written = &self.text[start..end];
        if self.has_tabs
            && let Some(at) = written.find('\t')
        {
            return Err(tab(start + at));
        }
        if in_flow {
            let bad = match written.chars().next() {
                Some(':' | '|' | '>') => Some(0),
                _ => written.find('?'),
            };
            if let Some(at) = bad {
                let c = &written[at..at + 1];
                return Err(Refusal {
                    message: format!("`{c}` cannot stand in text inside brackets without quotes"),
                    offset: start + at,
                    help: Some(format!("quote it: '{}'", written.replace('\'', "''"))),
                });
            }
        }
        Ok(())
    }

    /// Passes the end of a scalar that is not in quotes.
    pub fn leave(&mut self, span: Span) {
        self.covered = self.covered.max(self.offset(span.end.line(), span.end.col()));
    }

    /// Passes the end of a scalar in quotes. The parser counts what follows on the line to the scalar.
    pub fn leave_quoted(&mut self, node: &str) {
        self.covered = self.covered.max(self.text.len() - node.len() + quoted_len(node));
    }

    /// Looks at what follows the last node.
    pub fn end(&mut self) -> Result<(), Refusal> {
        self.check_tabs(self.text.len())
    }

    /// Whether the text ends where a scalar does, without a new line.
    pub fn ends_unbroken(&self, span: Span) -> bool {
        !self.text.ends_with('\n') && self.text[self.offset(span.end.line(), span.end.col())..].trim().is_empty()
    }

    /// Refuses a tab outside of scalars and comments.
    fn check_tabs(&mut self, end: usize) -> Result<(), Refusal> {
        let start = self.covered;
        self.covered = start.max(end);
        if !self.has_tabs || start >= end {
            return Ok(());
        }
        let mut at = start;
        for line in self.text[start..end].split_inclusive('\n') {
            let code = line.find('#').map_or(line, |comment| &line[..comment]);
            if let Some(found) = code.find('\t') {
                return Err(tab(at + found));
            }
            at += line.len();
        }
        Ok(())
    }

    /// Looks at the name of an anchor; gives its length.
    fn check_anchor(&mut self, text: &'a str) -> Result<usize, Refusal> {
        let is_name = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_');
        let offset = self.text.len() - text.len();
        let name = &text[..text.find(|c| !is_name(c)).unwrap_or(text.len())];
        let next = text[name.len()..].chars().next();
        let ends = next.is_none_or(|c| c.is_whitespace() || matches!(c, '?' | ',' | ']' | '}' | '%' | '@' | '`'));
        let refuse = |message: String, help: &str| Err(Refusal { message, offset, help: Some(help.to_owned()) });
        if name.is_empty() || !ends {
            let help = "the name of an anchor is made of letters, digits, `-` and `_`; quote the value if it is text";
            return refuse("this is no name for an anchor".to_owned(), help);
        }
        if !self.anchors.insert(name) {
            return refuse(format!("the anchor `{name}` is set twice in one file"), "give one of them another name");
        }
        Ok(name.len())
    }
}

fn tab(offset: usize) -> Refusal {
    let message = "a tab cannot separate or indent YAML".to_owned();
    Refusal { message, offset, help: Some("use spaces; in text, put it between quotes".to_owned()) }
}

/// How much text may be parsed again in all to mend indentation.
const MAX_MENDED: usize = 20_000_000;

/// A text whose lines inside brackets and quotes are indented as far as the parser asks for.
pub struct Mended<'a> {
    /// The text.
    pub text: Cow<'a, str>,
    /// By how many columns each line, from 0, has been shifted.
    shifts: Vec<usize>,
    mended: usize,
}

impl<'a> Mended<'a> {
    /// The text as it is.
    pub fn new(text: &'a str) -> Self {
        Mended { text: Cow::Borrowed(text), shifts: Vec::new(), mended: 0 }
    }

    /// The column, from 0, that a place had before.
    pub fn column(&self, line: usize, column: usize) -> usize {
        let shift = line.checked_sub(1).and_then(|line| self.shifts.get(line)).copied().unwrap_or(0);
        column.saturating_sub(shift)
    }

    /// Shifts the line at which the parser gave up. PyYAML does not look at the indentation inside brackets and
    /// quotes, and blanks at the start of such a line have no meaning. `false` when the error is another one.
    pub fn mend(&mut self, error: &ScanError) -> bool {
        let line = error.marker().line();
        let first = match error.info() {
            "invalid indentation in quoted scalar" => line + 1,
            "invalid indentation" | "invalid indentation in flow construct" => line,
            _ => return false,
        };
        self.mended += self.text.len();
        if self.mended > MAX_MENDED {
            return false;
        }
        let lines: Vec<&str> = self.text.split('\n').collect();
        let last = if first == line { line } else { self.closing_line(error, lines.len()) };
        if first == 0 || first > last || last > lines.len() {
            return false;
        }
        let deepest = lines[..first - 1].iter().map(|line| line.len() - line.trim_start_matches(' ').len()).max();
        let shift = deepest.unwrap_or(0) + 1;
        self.shifts.resize(lines.len(), 0);
        let mut text = String::with_capacity(self.text.len() + shift);
        for (i, line) in lines.iter().enumerate() {
            if i > 0 {
                text.push('\n');
            }
            if (first - 1..last).contains(&i) {
                text.extend(std::iter::repeat_n(' ', shift));
                self.shifts[i] += shift;
            }
            text.push_str(line);
        }
        self.text = Cow::Owned(text);
        true
    }

    /// The line, from 1, on which the quoted text that starts at an error is closed.
    fn closing_line(&self, error: &ScanError, lines: usize) -> usize {
        let strict = Strict::new(&self.text);
        let start = strict.offset(error.marker().line(), error.marker().col());
        let len = quoted_len(&self.text[start..]);
        let breaks = self.text[start..start + len].matches('\n').count();
        (error.marker().line() + breaks).min(lines)
    }
}

/// How many bytes the quoted text at the start takes, its quotes included.
fn quoted_len(text: &str) -> usize {
    let mut chars = text.char_indices();
    let Some((_, quote)) = chars.next() else { return 0 };
    while let Some((at, c)) = chars.next() {
        match c {
            '\\' if quote == '"' => drop(chars.next()),
            // A doubled single quote is one of the text's own.
            '\'' if quote == '\'' && text[at + 1..].starts_with('\'') => drop(chars.next()),
            _ if c == quote => return at + 1,
            _ => {}
        }
    }
    text.len()
}

/// What follows a run of characters without blanks.
fn skip_word(text: &str) -> &str {
    text.trim_start_matches(|c: char| !c.is_whitespace())
}
