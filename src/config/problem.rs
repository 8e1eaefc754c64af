//! A problem is a value: what is wrong, at which key, in which file or argument, and what to do about it.
//!
//! Problems are gathered and shown together. [`std::fmt::Display`] gives the plain form; the command line
//! renders them with their source lines.

use std::fmt;

use super::node::{KeyPath, Origin};

/// One thing that is wrong with what the user wrote.
#[derive(Clone, Debug)]
pub struct Problem {
    /// One sentence about the user's world, lower case, no full stop.
    pub message: String,
    /// The key it is about; the root when it is about no key.
    pub path: KeyPath,
    /// The place to look at.
    pub origin: Option<Origin>,
    /// How many characters the place spans, for the caret; 0 when unknown.
    pub width: usize,
    /// Words under the caret: "did you mean `lr`?".
    pub label: Option<String>,
    /// What to do: the remedy, nearest names, the file to edit.
    pub help: Option<String>,
}

impl Problem {
    /// A problem that is only a sentence yet.
    pub fn new(message: impl Into<String>) -> Self {
        Problem { message: message.into(), path: KeyPath::root(), origin: None, width: 0, label: None, help: None }
    }

    /// Names the key.
    pub fn at(mut self, path: KeyPath) -> Self {
        self.path = path;
        self
    }

    /// Names the place.
    pub fn from(mut self, origin: &Origin) -> Self {
        self.origin = Some(origin.clone());
        self
    }

    /// Says how many characters the place spans.
    pub fn width(mut self, characters: usize) -> Self {
        self.width = characters;
        self
    }

    /// Puts words under the caret.
    pub fn label(mut self, label: impl Into<String>) -> Self {
        self.label = Some(label.into());
        self
    }

    /// Names the remedy.
    pub fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.message)?;
        if !self.path.is_root() {
            write!(f, " (key {})", self.path)?;
        }
        if let Some(origin) = &self.origin {
            write!(f, " [{origin}]")?;
        }
        if let Some(label) = &self.label {
            write!(f, "; {label}")?;
        }
        if let Some(help) = &self.help {
            write!(f, "; {help}")?;
        }
        Ok(())
    }
}

/// Everything found wrong, in the order in which it was found.
#[derive(Clone, Debug, Default)]
pub struct Problems(pub Vec<Problem>);

impl Problems {
    /// Whether nothing is wrong.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Adds one.
    pub fn push(&mut self, problem: Problem) {
        self.0.push(problem);
    }

    /// Adds all of `other`.
    pub fn extend(&mut self, other: Problems) {
        self.0.extend(other.0);
    }

    /// `Ok(value)` when nothing is wrong.
    pub fn or<T>(self, value: T) -> Result<T, Problems> {
        if self.is_empty() { Ok(value) } else { Err(self) }
    }
}

impl From<Problem> for Problems {
    fn from(problem: Problem) -> Self {
        Problems(vec![problem])
    }
}

impl fmt::Display for Problems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, problem) in self.0.iter().enumerate() {
            if i > 0 {
                writeln!(f)?;
            }
            write!(f, "{problem}")?;
        }
        Ok(())
    }
}

impl std::error::Error for Problems {}
