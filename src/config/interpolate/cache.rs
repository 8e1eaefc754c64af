//! Parsed strings, kept so that the jobs of a sweep parse each text once.

use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock};

use super::parse::{self, SyntaxError};
use super::syntax::Template;
use crate::config::node::{Node, Origin, Value};
use crate::config::problem::{Problem, Problems};

/// How many texts are kept; a sweep over texts with interpolations would fill memory otherwise.
const MAX_TEXTS: usize = 20_000;

/// Templates by their text.
#[derive(Debug, Default)]
pub struct SyntaxCache(RwLock<HashMap<String, Result<Arc<Template>, SyntaxError>>>);

impl SyntaxCache {
    /// The parsed form of a text.
    pub fn template(&self, text: &str) -> Result<Arc<Template>, SyntaxError> {
        if let Some(known) = self.0.read().unwrap_or_else(PoisonError::into_inner).get(text) {
            return known.clone();
        }
        let parsed = parse::template(text).map(Arc::new);
        let mut texts = self.0.write().unwrap_or_else(PoisonError::into_inner);
        if texts.len() >= MAX_TEXTS {
            texts.clear();
        }
        texts.insert(text.to_owned(), parsed.clone());
        parsed
    }

    /// Checks every string of a tree, as OmegaConf does when a value is set, used or not.
    pub fn check(&self, node: &Node) -> Result<(), Problems> {
        let mut problems = Problems::default();
        self.gather(node, &mut problems);
        problems.or(())
    }

    fn gather(&self, node: &Node, problems: &mut Problems) {
        match &node.value {
            Value::Str(text) if text.contains("${") => {
                if let Err(error) = self.template(text) {
                    problems.push(error.problem(text, &node.origin));
                }
            }
            Value::Map(map) => map.values().for_each(|child| self.gather(child, problems)),
            Value::List(list) => list.iter().for_each(|child| self.gather(child, problems)),
            _ => {}
        }
    }
}

impl SyntaxError {
    /// The problem to show for a text that was written at `origin`.
    pub fn problem(&self, text: &str, origin: &Origin) -> Problem {
        let column = text.get(..self.at).map_or(0, |before| before.chars().count()) + 1;
        Problem::new(format!("`{text}` is no valid interpolation: {} (at its character {column})", self.message))
            .from(origin)
            .help(r"write `\${` for a plain `${`; quote text with other characters inside `${…}`")
    }
}
