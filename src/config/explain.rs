//! How a value came to be: which file or argument set it, what that replaced, and what its interpolations referred
//! to.
//!
//! Nothing is recorded while configs are composed. To explain a key, the config is composed once more and the key is
//! looked at after each step.

use std::fmt;

use super::compose::{Composer, Config, Step};
use super::interpolate::nearest;
use super::interpolate::resolve::{Missing, Resolved, TraceStep, split_path};
use super::interpolate::{Arena, Session};
use super::json;
use super::node::{Node, Origin};
use super::overrides::Override;
use super::problem::{Problem, Problems};

/// How deep a key is followed through interpolations of whole nodes.
const MAX_VIA: usize = 16;

/// How one key came to its value.
#[derive(Clone, Debug)]
pub struct Explanation {
    /// The key.
    pub key: String,
    /// What set it, in order; the last is in force.
    pub history: Vec<Event>,
    /// Its value, unresolved; `None` when the key is part of what an interpolation refers to (see `via`), or was
    /// deleted.
    pub value: Option<Node>,
    /// Its value, resolved; `None` when it cannot be.
    pub resolved: Option<Node>,
    /// What is wrong when it cannot be resolved.
    pub problems: Problems,
    /// The interpolations that were evaluated for it.
    pub trace: Vec<TraceStep>,
    /// The key that an interpolation above it refers to.
    pub via: Option<Box<Via>>,
}

/// A key that lies below an interpolation of a whole node.
#[derive(Clone, Debug)]
pub struct Via {
    /// The key with the interpolation, and its text.
    pub alias: (String, Node),
    /// The key that it leads to.
    pub target: Explanation,
}

/// One change of a key.
#[derive(Clone, Debug)]
pub struct Event {
    /// What changed it.
    pub by: By,
    /// The place.
    pub origin: Origin,
    /// The value from then on; `None` when it was deleted.
    pub value: Option<Node>,
}

/// What changes a key.
#[derive(Clone, Debug, PartialEq)]
pub enum By {
    /// A file.
    Layer {
        /// Its path below the config folder.
        config: String,
        /// The package that it is merged into.
        package: String,
        /// The file that lists it.
        parent: Option<String>,
    },
    /// An override, as typed.
    Override(String),
    /// The program.
    Program,
}

impl Composer {
    /// Explains a key such as `optimizer.lr` or `hydra.run.dir`.
    ///
    /// # Errors
    /// What [`Composer::compose`] says, or that there is no such key.
    pub fn explain(
        &self,
        config_name: Option<&str>,
        overrides: &[Override],
        key: &str,
    ) -> Result<Explanation, Problems> {
        let (config, history) = self.watch(config_name, overrides, key)?;
        self.explanation(config_name, overrides, &config, key, history, 0)
    }

    fn explanation(
        &self,
        config_name: Option<&str>,
        overrides: &[Override],
        config: &Config,
        key: &str,
        history: Vec<Event>,
        depth: usize,
    ) -> Result<Explanation, Problems> {
        let value = find(config, key).cloned();
        let mut explanation = Explanation {
            key: key.to_owned(),
            history,
            value,
            resolved: None,
            problems: Problems::default(),
            trace: Vec::new(),
            via: None,
        };
        match config.value(key) {
            Ok(resolved) => explanation.resolved = resolved,
            Err(problems) => explanation.problems = problems,
        }
        if explanation.value.is_some() {
            explanation.trace = trace(config, key);
        } else if let Some((alias, target)) = behind_alias(config, key).filter(|_| depth < MAX_VIA) {
            let (config, history) = self.watch(config_name, overrides, &target)?;
            let target = self.explanation(config_name, overrides, &config, &target, history, depth + 1)?;
            explanation.via = Some(Box::new(Via { alias, target }));
        } else if explanation.resolved.is_none() && explanation.history.is_empty() {
            let steps = split_path(key);
            let help = nearest::nearest(&config.all(), &steps);
            let problem = Problem::new(format!("the config has no key `{key}`"));
            return Err(match help {
                Some(help) => problem.help(help).into(),
                None => problem.into(),
            });
        }
        Ok(explanation)
    }

    /// Composes and notes each change of a key.
    fn watch(
        &self,
        config_name: Option<&str>,
        overrides: &[Override],
        key: &str,
    ) -> Result<(Config, Vec<Event>), Problems> {
        let steps: Vec<String> = split_path(key).into_iter().map(str::to_owned).collect();
        let mut history: Vec<Event> = Vec::new();
        let mut last: Option<Node> = None;
        let mut observe = |step: Step, root: &Node| {
            let now = lookup(root, &steps);
            if same(last.as_ref(), now) {
                return;
            }
            let (by, fallback) = match step {
                Step::Layer(layer, document) => {
                    let by = By::Layer {
                        config: layer.config.clone(),
                        package: layer.package.clone(),
                        parent: layer.parent.clone(),
                    };
                    (by, Origin::new(document.source.clone(), 1, 1))
                }
                Step::Override(item) => (By::Override(item.source.text.clone()), item.key_origin()),
            };
            // A container keeps the place of its first file; what changed it is the step.
            let is_scalar = now.is_some_and(|node| node.as_map().is_none());
            let origin = now.filter(|_| is_scalar).map_or(fallback, |node| node.origin.clone());
            history.push(Event { by, origin, value: now.cloned() });
            last = now.cloned();
        };
        let config = self.compose_for(self.facts(), config_name, overrides, Some(&mut observe))?;
        let end = find(&config, key);
        if key.starts_with("hydra") && !same(last.as_ref(), end) {
            history.push(Event { by: By::Program, origin: Origin::program(), value: end.cloned() });
        }
        Ok((config, history))
    }
}

fn lookup<'n>(root: &'n Node, steps: &[String]) -> Option<&'n Node> {
    steps.iter().try_fold(root, |node, step| node.select(step).filter(|_| !step.is_empty()))
}

fn find<'n>(config: &'n Config, key: &str) -> Option<&'n Node> {
    let steps: Vec<String> = split_path(key).into_iter().map(str::to_owned).collect();
    match steps.split_first() {
        Some((first, rest)) if first == "hydra" => lookup(&config.hydra, rest),
        _ => lookup(&config.job, &steps),
    }
}

/// Whether a value and its place are the same.
fn same(a: Option<&Node>, b: Option<&Node>) -> bool {
    match (a, b) {
        (None, None) => true,
        (Some(a), Some(b)) => {
            let place =
                |node: &Node| (std::sync::Arc::as_ptr(&node.origin.source), node.origin.line, node.origin.column);
            a == b && place(a) == place(b)
        }
        _ => false,
    }
}

fn trace(config: &Config, key: &str) -> Vec<TraceStep> {
    let arena = Arena::default();
    let session =
        Session::new(&config.job, Some(&config.hydra), config.resolvers(), config.sources.syntax(), &arena).tracing();
    // What is wrong has been said; the trace is good up to there.
    let _ = match key.strip_prefix("hydra.") {
        Some(rest) => session.hydra_frame().map(|frame| session.at(&frame, rest)),
        None => Some(session.at(&session.job_root(), key)),
    };
    session.into_trace()
}

/// The nearest key above that is an interpolation, and where the asked key really is.
fn behind_alias(config: &Config, key: &str) -> Option<((String, Node), String)> {
    let steps = split_path(key);
    for length in (1..steps.len()).rev() {
        let above = steps[..length].join(".");
        let Some(node) = find(config, &above) else { continue };
        if !node.as_str().is_some_and(|text| text.contains("${")) {
            return None;
        }
        let alias = (above.clone(), node.clone());
        return config.session(|session| match session.select(&session.job_root(), &above, Missing::Allowed) {
            Ok(Some(Resolved::Container(frame))) => {
                let real = frame.place_in_tree()?;
                let target = format!("{real}.{}", steps[length..].join("."));
                Some((alias, target.trim_start_matches('.').to_owned()))
            }
            _ => None,
        });
    }
    None
}

impl fmt::Display for By {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            By::Layer { config, package, parent } => {
                write!(f, "{config}")?;
                if !package.is_empty() {
                    write!(f, ", package {package}")?;
                }
                if let Some(parent) = parent {
                    write!(f, ", listed in {parent}")?;
                }
                Ok(())
            }
            By::Override(text) => write!(f, "override {text}"),
            By::Program => write!(f, "set by runner"),
        }
    }
}

impl fmt::Display for Explanation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shown = |node: &Option<Node>| node.as_ref().map_or_else(|| "deleted".to_owned(), short);
        match &self.resolved {
            Some(node) => writeln!(f, "{} = {}", self.key, short(node))?,
            None if self.problems.is_empty() => writeln!(f, "{} is deleted", self.key)?,
            None => writeln!(f, "{} cannot be resolved", self.key)?,
        }
        for (i, event) in self.history.iter().rev().enumerate() {
            let word = if i == 0 { "set to" } else { "before" };
            writeln!(f, "  {word} {}  [{}] ({})", shown(&event.value), event.origin, event.by)?;
        }
        if let Some(via) = &self.via {
            let (alias, node) = &via.alias;
            writeln!(f, "  {alias} is {}  [{}], so it is {}:", short(node), node.origin, via.target.key)?;
            for line in via.target.to_string().lines() {
                writeln!(f, "  {line}")?;
            }
        }
        for step in &self.trace {
            let value =
                step.value.as_ref().map_or_else(|| "?".to_owned(), |value| short(&Node::program(value.clone())));
            let indent = "  ".repeat(step.depth + 1);
            writeln!(f, "{indent}{} = {}  [{}] -> {value}", step.path, step.text, step.origin)?;
        }
        for problem in &self.problems.0 {
            writeln!(f, "  {problem}")?;
        }
        Ok(())
    }
}

/// A value on one line, cut when it is long.
fn short(node: &Node) -> String {
    const LONGEST: usize = 100;
    let text = json::compact(node);
    match text.char_indices().nth(LONGEST) {
        Some((at, _)) => format!("{}…", &text[..at]),
        None => text,
    }
}
