//! Gives `${…}` its value: one [`Session`] resolves one tree.
//!
//! A reference is looked up where the node sits in the tree, so a node keeps a [`Frame`] for each container around
//! it. A whole node keeps its type and its own place: what it holds resolves there, not where it was referred to.
//! Values are computed once per node. Cycles, missing keys and missing values name the chain that led to them, and
//! depth, size and text are bounded: no config makes the program hang or run out of memory.

use std::cell::{Cell, RefCell};
use std::collections::{HashMap, HashSet};
use std::rc::Rc;
use std::sync::Arc;

mod build;
mod frame;
mod reference;

use build::Report;
pub use frame::Frame;
use frame::climb;
pub(crate) use frame::{Place, python_index, split_path};

use super::arena::Arena;
use super::cache::SyntaxCache;
use super::syntax::{Call, Element, Interpolation, Part, Reference, Step, Template};
use crate::config::node::{KeyPath, Map, Node, Origin, Segment, Value};
use crate::config::problem::{Problem, Problems};
use crate::config::resolvers::Resolvers;
use crate::config::text::py_str;

/// How much nesting of containers and references one value may need; a reference counts for several levels.
const MAX_DEPTH: usize = 480;
/// What a reference counts for: its evaluation takes more of the stack than a container does.
const REFERENCE_DEPTH: usize = 6;
/// How many values references may copy in one tree.
const MAX_COPIES: usize = 1_000_000;
/// How many bytes of text interpolations may make in one tree.
const MAX_TEXT: usize = 64 << 20;

/// A failure, shared by everything that runs into it, so that it is reported once.
pub type Failure = Rc<Problem>;

/// What an interpolation came to.
#[derive(Clone, Debug)]
pub enum Resolved<'a> {
    /// A node of the tree that is no container.
    Scalar(&'a Node),
    /// A container of the tree, or one that a resolver made: it can be looked into.
    Container(Rc<Frame<'a>>),
    /// A value that a resolver or joined text made; it cannot be looked into.
    Plain(Value),
}

/// One step of how a value came to be, for `explain`.
#[derive(Clone, Debug)]
pub struct TraceStep {
    /// How deep below the asked value.
    pub depth: usize,
    /// The key that holds the interpolation.
    pub path: KeyPath,
    /// Its text.
    pub text: String,
    /// Where it was written.
    pub origin: Origin,
    /// What it came to; none when it failed.
    pub value: Option<Value>,
}

/// Resolves one tree.
pub struct Session<'a> {
    job: &'a Node,
    hydra: Option<&'a Node>,
    pub(crate) resolvers: &'a Resolvers,
    syntax: &'a SyntaxCache,
    made: &'a Arena,
    known: RefCell<HashMap<*const Node, Result<Resolved<'a>, Failure>>>,
    active: RefCell<Vec<Active>>,
    building: RefCell<Vec<*const Node>>,
    depth: Cell<usize>,
    inside_reference: Cell<usize>,
    copies: Cell<usize>,
    text: Cell<usize>,
    trace: Option<RefCell<Vec<TraceStep>>>,
    pub(crate) warnings: RefCell<Vec<String>>,
}

/// An interpolation that is being resolved.
struct Active {
    node: *const Node,
    path: KeyPath,
    text: String,
    origin: Origin,
}

/// How a look-up treats what it meets.
#[derive(Clone, Copy, PartialEq)]
pub(crate) enum Missing {
    /// A missing value on the way is an error.
    Fails,
    /// A missing value is given back.
    Allowed,
}

/// Why a look-up failed: `oc.select` forgives looking into what is no container.
pub(crate) enum LookupError {
    NotAContainer(Problem),
    Failed(Failure),
}

impl From<Failure> for LookupError {
    fn from(failure: Failure) -> Self {
        LookupError::Failed(failure)
    }
}

impl From<LookupError> for Failure {
    fn from(error: LookupError) -> Self {
        match error {
            LookupError::NotAContainer(problem) => Rc::new(problem),
            LookupError::Failed(failure) => failure,
        }
    }
}

impl<'a> Session<'a> {
    /// A session over a job's tree; `hydra` is what `${hydra:…}` asks.
    pub fn new(
        job: &'a Node,
        hydra: Option<&'a Node>,
        resolvers: &'a Resolvers,
        syntax: &'a SyntaxCache,
        made: &'a Arena,
    ) -> Self {
        Session {
            job,
            hydra,
            resolvers,
            syntax,
            made,
            known: RefCell::default(),
            active: RefCell::default(),
            building: RefCell::default(),
            depth: Cell::new(0),
            inside_reference: Cell::new(0),
            copies: Cell::new(0),
            text: Cell::new(0),
            trace: None,
            warnings: RefCell::default(),
        }
    }

    /// The same, remembering each interpolation on the way.
    pub fn tracing(mut self) -> Self {
        self.trace = Some(RefCell::default());
        self
    }

    /// What tracing has remembered, in order of evaluation.
    pub fn into_trace(self) -> Vec<TraceStep> {
        self.trace.map(RefCell::into_inner).unwrap_or_default()
    }

    /// The root as the job sees it.
    pub fn job_root(&self) -> Rc<Frame<'a>> {
        Rc::new(Frame { node: self.job, key: Place::JobRoot, parent: None })
    }

    /// The root as the `hydra` node sees it.
    pub fn full_root(&self) -> Rc<Frame<'a>> {
        Rc::new(Frame { node: self.job, key: Place::FullRoot, parent: None })
    }

    /// The `hydra` node, when there is one.
    pub fn hydra_frame(&self) -> Option<Rc<Frame<'a>>> {
        let node = self.hydra?;
        Some(Rc::new(Frame { node, key: Place::Hydra, parent: Some(self.full_root()) }))
    }

    /// The whole tree below a frame, resolved; all problems at once.
    pub fn tree(&self, frame: &Rc<Frame<'a>>) -> Result<Node, Problems> {
        let mut report = Report::default();
        match self.container(frame, &mut report) {
            Ok(built) => report.finish(built),
            Err(failure) => {
                report.add(failure, &frame.path());
                report.finish(frame.node.clone())
            }
        }
    }

    /// One node below a frame, resolved, by a dotted path; `None` when there is no such key.
    pub fn at(&self, frame: &Rc<Frame<'a>>, path: &str) -> Result<Option<Node>, Problems> {
        let found = self.select(frame, &format!(".{path}"), Missing::Allowed).map_err(|e| one(e.into()))?;
        let Some(found) = found else { return Ok(None) };
        let mut report = Report::default();
        let origin = frame.node.origin.clone();
        match self.materialize(&found, &origin, &mut report) {
            Ok(node) => report.finish(Some(node)),
            Err(failure) => Err(one(failure)),
        }
    }

    /// The key whose value is being resolved.
    pub(crate) fn active_path(&self) -> KeyPath {
        self.active.borrow().last().map_or_else(KeyPath::root, |last| last.path.clone())
    }

    /// A container that a resolver made. What it holds resolves as if it stood in `parent`.
    pub(crate) fn made(&self, node: Node, parent: &Rc<Frame<'a>>) -> Result<Resolved<'a>, Failure> {
        let origin = node.origin.clone();
        match self.made.keep(node) {
            Some(node) => {
                Ok(Resolved::Container(Rc::new(Frame { node, key: Place::Made, parent: Some(parent.clone()) })))
            }
            None => Err(Rc::new(self.problem("resolvers make too many containers".to_owned(), &origin))),
        }
    }

    /// What the interpolation at a path comes to; `None` when it cannot be resolved.
    pub(crate) fn follow(&self, path: &KeyPath) -> Option<Resolved<'a>> {
        let mut frame = self.job_root();
        for (i, segment) in path.0.iter().enumerate() {
            let (key, node) = match (segment, &frame.node.value) {
                (Segment::Key(key), Value::Map(map)) => {
                    let (key, node) = map.get_key_value(key)?;
                    (Place::Key(key), node)
                }
                (Segment::Index(index), Value::List(list)) => (Place::Index(*index), list.get(*index)?),
                _ => return None,
            };
            if i + 1 == path.0.len() {
                return self.value(node, key, &frame).ok();
            }
            frame = Rc::new(Frame { node, key, parent: Some(frame) });
        }
        None
    }

    /// A child of a container, resolved when it is an interpolation.
    fn value(&self, node: &'a Node, key: Place<'a>, parent: &Rc<Frame<'a>>) -> Result<Resolved<'a>, Failure> {
        match &node.value {
            Value::Str(text) if text.contains("${") => self.interpolated(node, text, key, parent),
            Value::Map(_) | Value::List(_) => {
                Ok(Resolved::Container(Rc::new(Frame { node, key, parent: Some(parent.clone()) })))
            }
            _ => Ok(Resolved::Scalar(node)),
        }
    }

    fn interpolated(
        &self,
        node: &'a Node,
        text: &str,
        key: Place<'a>,
        parent: &Rc<Frame<'a>>,
    ) -> Result<Resolved<'a>, Failure> {
        if let Some(known) = self.known.borrow().get(&std::ptr::from_ref(node)) {
            return known.clone();
        }
        let path = parent.child_path(key);
        if self.active.borrow().iter().any(|active| std::ptr::eq(active.node, node)) {
            return Err(Rc::new(self.cycle(&path, node)));
        }
        let trace = self.trace.as_ref().map(|trace| {
            let mut trace = trace.borrow_mut();
            let depth = self.active.borrow().len();
            let step =
                TraceStep { depth, path: path.clone(), text: text.into(), origin: node.origin.clone(), value: None };
            trace.push(step);
            trace.len() - 1
        });
        self.active.borrow_mut().push(Active { node, path, text: text.to_owned(), origin: node.origin.clone() });
        let result = self.deeper(REFERENCE_DEPTH, node, || {
            let template = self.template(text, node)?;
            self.evaluate_template(&template, node, parent)
        });
        self.active.borrow_mut().pop();
        if let (Some(at), Some(trace), Ok(resolved)) = (trace, &self.trace, &result) {
            let value = self.preview(resolved);
            trace.borrow_mut()[at].value = Some(value);
        }
        self.known.borrow_mut().insert(node, result.clone());
        result
    }

    /// What a trace shows of a result: containers unresolved.
    fn preview(&self, resolved: &Resolved) -> Value {
        match resolved {
            Resolved::Scalar(node) => node.value.clone(),
            Resolved::Container(frame) => frame.node.value.clone(),
            Resolved::Plain(value) => value.clone(),
        }
    }

    fn template(&self, text: &str, node: &Node) -> Result<Arc<Template>, Failure> {
        self.syntax.template(text).map_err(|error| Rc::new(error.problem(text, &node.origin)))
    }

    fn deeper<T>(&self, cost: usize, node: &Node, inner: impl FnOnce() -> Result<T, Failure>) -> Result<T, Failure> {
        let depth = self.depth.get();
        if depth + cost > MAX_DEPTH {
            return Err(Rc::new(
                self.problem("nested too deeply to be resolved".to_owned(), &node.origin)
                    .help("shorten the chain of interpolations or the nesting of the config"),
            ));
        }
        self.depth.set(depth + cost);
        let result = inner();
        self.depth.set(depth);
        result
    }

    /// A problem at the interpolation being resolved, with the chain that led there; at `otherwise` when there is
    /// none.
    pub(crate) fn problem(&self, message: String, otherwise: &Origin) -> Problem {
        let active = self.active.borrow();
        let (path, origin) = match active.last() {
            Some(last) => (last.path.clone(), &last.origin),
            None => (KeyPath::root(), otherwise),
        };
        let message = match active.len() {
            0 | 1 => message,
            _ => format!("{message}, reached through {}", chain(&active)),
        };
        Problem::new(message).at(path).from(origin)
    }

    fn cycle(&self, path: &KeyPath, node: &Node) -> Problem {
        let active = self.active.borrow();
        let start = active.iter().position(|active| std::ptr::eq(active.node, node)).unwrap_or(0);
        Problem::new(format!("interpolation cycle: {} -> {path}", chain(&active[start..])))
            .at(path.clone())
            .from(&node.origin)
            .help("give one of these keys a value of its own")
    }

    fn evaluate_template(
        &self,
        template: &Template,
        holder: &Node,
        container: &Rc<Frame<'a>>,
    ) -> Result<Resolved<'a>, Failure> {
        if let [Part::Interpolation(only)] = template.parts.as_slice() {
            return self.evaluate(only, holder, container);
        }
        self.text_of(template, holder, container).map(|text| Resolved::Plain(Value::Str(text)))
    }

    /// The parts joined as text, each spelt as Python's `str()` does.
    fn text_of(&self, template: &Template, holder: &Node, container: &Rc<Frame<'a>>) -> Result<String, Failure> {
        let mut joined = String::new();
        for part in &template.parts {
            match part {
                Part::Text(text) => joined.push_str(text),
                Part::Interpolation(inner) => {
                    let value = self.evaluate(inner, holder, container)?;
                    joined.push_str(&self.python_text(&value));
                }
            }
            if joined.len() > MAX_TEXT {
                break;
            }
        }
        let total = self.text.get() + joined.len();
        self.text.set(total);
        if total > MAX_TEXT {
            return Err(Rc::new(self.problem("interpolations make too much text".to_owned(), &holder.origin)));
        }
        Ok(joined)
    }

    /// Python's `str()` of a result.
    pub(crate) fn python_text(&self, value: &Resolved) -> String {
        match value {
            Resolved::Scalar(node) => py_str(node),
            Resolved::Container(frame) => py_str(frame.node),
            Resolved::Plain(Value::Str(text)) => text.clone(),
            Resolved::Plain(value) => py_str(&Node::program(value.clone())),
        }
    }

    pub(crate) fn evaluate(
        &self,
        interpolation: &Interpolation,
        holder: &Node,
        container: &Rc<Frame<'a>>,
    ) -> Result<Resolved<'a>, Failure> {
        match interpolation {
            Interpolation::Reference(reference) => self.reference(reference, holder, container),
            Interpolation::Call(call) => self.call(call, holder, container),
        }
    }

    /// Looks a path up: absolute, or relative to `container` with leading dots.
    pub(crate) fn select(
        &self,
        container: &Rc<Frame<'a>>,
        path: &str,
        missing: Missing,
    ) -> Result<Option<Resolved<'a>>, LookupError> {
        let dots = path.bytes().take_while(|&b| b == b'.').count();
        let start = match dots {
            0 => Some(container.root()),
            dots => climb(container, dots),
        };
        let Some(start) = start else {
            let problem = self.problem(format!("`{path}` climbs above the root of the config"), &container.node.origin);
            return Err(LookupError::Failed(Rc::new(problem)));
        };
        let steps = split_path(&path[dots..]);
        if steps.is_empty() {
            return Ok(Some(Resolved::Container(start)));
        }
        self.walk(start, &steps, missing)
    }

    pub(crate) fn walk(
        &self,
        start: Rc<Frame<'a>>,
        steps: &[&str],
        missing: Missing,
    ) -> Result<Option<Resolved<'a>>, LookupError> {
        let mut current = Resolved::Container(start);
        for (i, step) in steps.iter().enumerate() {
            let next = match &current {
                Resolved::Container(frame) => self.child(frame, step)?,
                Resolved::Scalar(_) | Resolved::Plain(_) => {
                    let message = format!("`{}` is no mapping or list and has no `{step}`", steps[..i].join("."));
                    return Err(LookupError::NotAContainer(self.problem(message, &Origin::program())));
                }
            };
            let Some(next) = next else { return Ok(None) };
            if let Resolved::Scalar(node) = &next
                && node.is_missing()
                && missing == Missing::Fails
            {
                let path = steps[..=i].join(".");
                let problem = self.problem(format!("`{path}` has no value yet (it is `???`)"), &node.origin);
                return Err(LookupError::Failed(Rc::new(problem.help(format!("set it with `{path}=VALUE`")))));
            }
            current = next;
        }
        Ok(Some(current))
    }

    fn call(&self, call: &Call, holder: &Node, container: &Rc<Frame<'a>>) -> Result<Resolved<'a>, Failure> {
        let mut name = String::new();
        for step in &call.name {
            if !name.is_empty() {
                name.push('.');
            }
            match step {
                Step::Name(part) => name.push_str(part),
                Step::Computed { inner, .. } => name.push_str(&self.computed_name(inner, holder, container)?),
            }
        }
        let mut arguments = Vec::with_capacity(call.arguments.len());
        for argument in &call.arguments {
            arguments.push(self.element(argument, holder, container)?);
        }
        crate::config::resolvers::call(self, &name, &arguments, holder, container)
    }

    /// The value of an argument.
    pub(crate) fn element(
        &self,
        element: &Element,
        holder: &Node,
        container: &Rc<Frame<'a>>,
    ) -> Result<Resolved<'a>, Failure> {
        match element {
            Element::Constant(value) => Ok(Resolved::Plain(value.clone())),
            Element::Template(template) => self.evaluate_template(template, holder, container),
            Element::Quoted(template) => {
                self.text_of(template, holder, container).map(|text| Resolved::Plain(Value::Str(text)))
            }
            Element::List(elements) => {
                let mut list = Vec::with_capacity(elements.len());
                for element in elements {
                    let value = self.element(element, holder, container)?;
                    list.push(self.argument_node(&value, holder)?);
                }
                Ok(Resolved::Plain(Value::List(list)))
            }
            Element::Map(pairs) => {
                let mut map = Map::new();
                for (key, element) in pairs {
                    let value = self.element(element, holder, container)?;
                    map.insert(key.clone(), self.argument_node(&value, holder)?);
                }
                Ok(Resolved::Plain(Value::Map(map)))
            }
        }
    }

    /// A value inside a list or mapping argument.
    fn argument_node(&self, value: &Resolved<'a>, holder: &Node) -> Result<Node, Failure> {
        self.materialized(value, &holder.origin)
    }

    fn exhausted(&self) -> bool {
        self.copies.get() > MAX_COPIES || self.text.get() > MAX_TEXT
    }
}

fn one(failure: Failure) -> Problems {
    Problems::from((*failure).clone())
}

fn chain(active: &[Active]) -> String {
    let links: Vec<String> = active.iter().map(|link| format!("{} = {}", link.path, link.text)).collect();
    links.join(" -> ")
}
