//! What a string with `${…}` means: the parsed form that [`super::parse`] makes and [`super::resolve`] evaluates.

use crate::config::node::{Key, Value};

/// A string with interpolations: its parts are joined, and a lone interpolation keeps its type.
#[derive(Clone, Debug, PartialEq)]
pub struct Template {
    /// Text and interpolations in order; neighbouring texts are joined.
    pub parts: Vec<Part>,
}

/// A piece of a [`Template`].
#[derive(Clone, Debug, PartialEq)]
pub enum Part {
    /// Text, escapes already undone.
    Text(String),
    /// `${…}`.
    Interpolation(Interpolation),
}

/// What stands between `${` and `}`.
#[derive(Clone, Debug, PartialEq)]
pub enum Interpolation {
    /// `${a.b}`, `${..x}`, `${a[0]}`: another node of the config.
    Reference(Reference),
    /// `${oc.env:HOME}`: a resolver with its arguments.
    Call(Call),
}

/// A path to another node.
#[derive(Clone, Debug, PartialEq)]
pub struct Reference {
    /// Leading dots: none is absolute, one a sibling, each more a level up.
    pub dots: usize,
    /// The steps below that point.
    pub steps: Vec<Step>,
}

/// One step of a [`Reference`].
#[derive(Clone, Debug, PartialEq)]
pub enum Step {
    /// A key or an index, as written.
    Name(String),
    /// A key that another interpolation gives; its value may hold dots.
    Computed {
        /// What gives the key.
        inner: Box<Interpolation>,
        /// Whether it was written `[${…}]`.
        bracket: bool,
    },
}

/// A resolver with its arguments.
#[derive(Clone, Debug, PartialEq)]
pub struct Call {
    /// The parts of its dotted name.
    pub name: Vec<Step>,
    /// The arguments in order.
    pub arguments: Vec<Element>,
}

/// An argument of a resolver, or a part of one.
#[derive(Clone, Debug, PartialEq)]
pub enum Element {
    /// A constant: null, boolean, number or text.
    Constant(Value),
    /// Unquoted text with interpolations; a lone interpolation keeps its type.
    Template(Template),
    /// Quoted text: always a string.
    Quoted(Template),
    /// `[…]`.
    List(Vec<Element>),
    /// `{…}`.
    Map(Vec<(Key, Element)>),
}

impl Reference {
    /// The path as written, computed steps shown as `${…}`.
    pub fn text(&self) -> String {
        let mut text = ".".repeat(self.dots);
        for (i, step) in self.steps.iter().enumerate() {
            match step {
                Step::Name(name) => {
                    if i > 0 {
                        text.push('.');
                    }
                    text.push_str(name);
                }
                Step::Computed { inner, bracket } => {
                    if i > 0 && !bracket {
                        text.push('.');
                    }
                    let inner = inner.text();
                    text.push_str(&if *bracket { format!("[{inner}]") } else { inner });
                }
            }
        }
        text
    }

    /// The plain steps, when none is computed.
    pub fn plain(&self) -> Option<Vec<&str>> {
        self.steps
            .iter()
            .map(|step| match step {
                Step::Name(name) => Some(name.as_str()),
                Step::Computed { .. } => None,
            })
            .collect()
    }
}

impl Interpolation {
    /// As a user would write it; a resolver's arguments are left out.
    pub fn text(&self) -> String {
        match self {
            Interpolation::Reference(reference) => format!("${{{}}}", reference.text()),
            Interpolation::Call(call) => format!("${{{}:…}}", call.title()),
        }
    }
}

impl Call {
    /// The resolver's name, computed parts shown as `${…}`.
    pub fn title(&self) -> String {
        let parts: Vec<String> = self
            .name
            .iter()
            .map(|step| match step {
                Step::Name(name) => name.clone(),
                Step::Computed { inner, .. } => inner.text(),
            })
            .collect();
        parts.join(".")
    }
}
