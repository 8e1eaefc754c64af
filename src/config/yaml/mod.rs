//! Reading YAML files as OmegaConf does, with the place of every key and value.
//!
//! The events come from `saphyr-parser`; what an unquoted scalar means is [`scalar`]'s table, because no crate
//! resolves scalars as PyYAML's YAML 1.1 does; anchors, aliases, merge keys and duplicate keys are [`build`]'s, and [`strict`]
//! evens out where that parser, which follows YAML 1.2, takes more or less than PyYAML.
//! Whatever the bytes, the answer is a tree or a list of problems, and memory stays in proportion to the file:
//! nesting and the growth by aliases are bounded.

mod build;
pub mod scalar;
mod strict;

use std::path::Path;
use std::sync::Arc;

use super::node::{Node, Origin, Source, SourceKind};
use super::problem::{Problem, Problems};

/// How deep lists and mappings may nest, in files and in overrides.
pub const MAX_DEPTH: usize = 200;

/// How many values the aliases and merge keys of one file may copy.
pub const MAX_COPIES: usize = 1_000_000;

/// Reads a YAML text.
///
/// An empty text is an empty mapping. The root may be any value: whether a list or a scalar can be a config is
/// the caller's business.
///
/// # Errors
/// What is wrong with the text: syntax, a repeated key, several documents, an unknown tag, a key that is not a
/// scalar, nesting below [`MAX_DEPTH`], aliases that copy more than [`MAX_COPIES`] values.
pub fn parse(source: Arc<Source>) -> Result<Node, Problems> {
    check_characters(&source)?;
    build::build(&source)
}

/// Reads a YAML file.
///
/// # Errors
/// As [`parse`], or that the file cannot be read or is not UTF-8.
pub fn read(path: &Path) -> Result<Node, Problems> {
    let bytes =
        std::fs::read(path).map_err(|error| Problem::new(format!("{} cannot be read: {error}", path.display())))?;
    parse(decode(SourceKind::File(path.to_owned()), bytes)?)
}

/// Makes a source of a file's bytes.
///
/// # Errors
/// Names the line of the first byte that is not UTF-8.
pub fn decode(kind: SourceKind, bytes: Vec<u8>) -> Result<Arc<Source>, Problems> {
    let error = match String::from_utf8(bytes) {
        Ok(text) => return Ok(Arc::new(Source { kind, text })),
        Err(error) => error,
    };
    let valid_up_to = error.utf8_error().valid_up_to();
    let bytes = error.into_bytes();
    let text = String::from_utf8_lossy(&bytes).into_owned();
    let before = String::from_utf8_lossy(&bytes[..valid_up_to]);
    let (line, column) = end_of(&before);
    let source = Arc::new(Source { kind, text });
    let problem = Problem::new(format!("the file is not UTF-8: byte 0x{:02x}", bytes[valid_up_to]))
        .from(&Origin::new(source, line, column))
        .width(1)
        .help("save the file as UTF-8");
    Err(problem.into())
}

/// Refuses control characters, as YAML does.
fn check_characters(source: &Arc<Source>) -> Result<(), Problems> {
    let printable = |c: char| match c {
        '\t' | '\n' | '\r' | '\u{85}' => true,
        '\u{fffe}' | '\u{ffff}' => false,
        _ => !c.is_control(),
    };
    let Some((at, c)) = source.text.char_indices().find(|&(_, c)| !printable(c)) else { return Ok(()) };
    let (line, column) = end_of(&source.text[..at]);
    let problem = Problem::new(format!("the control character U+{:04X} cannot stand in YAML", c as u32))
        .from(&Origin::new(source.clone(), line, column))
        .width(1)
        .help(format!("remove it, or write it as an escape in double quotes: \"\\u{:04x}\"", c as u32));
    Err(problem.into())
}

/// Line and column, from 1, of what follows a text.
fn end_of(text: &str) -> (u32, u32) {
    let line = text.bytes().filter(|&b| b == b'\n').count() + 1;
    let column = text[text.rfind('\n').map_or(0, |at| at + 1)..].chars().count() + 1;
    (line as u32, column as u32)
}

#[cfg(test)]
mod tests;
