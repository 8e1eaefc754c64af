//! Resolvers: the functions of `${name:argument,…}`.
//!
//! The built-in ones are OmegaConf's (`oc.*`), Hydra's (`now`, `hydra`) and `eval`; a user's crate adds its own with
//! [`Resolvers::with`]. None can run a program, and only `oc.env` looks outside the config.

pub mod clock;
pub mod eval;
mod oc;

use std::collections::HashMap;
use std::rc::Rc;
use std::sync::Arc;

use super::interpolate::nearest::{alike, either};
use super::interpolate::resolve::{Failure, Frame, Missing, Resolved, Session};
use super::node::{Node, Value};

/// A resolver of a user's crate: the arguments' values to a value, or what is wrong with them.
pub type Resolver = dyn Fn(&[Value]) -> Result<Value, String> + Send + Sync;

/// The resolvers that configs may name.
#[derive(Clone, Default)]
pub struct Resolvers {
    custom: HashMap<String, Arc<Resolver>>,
    variables: HashMap<String, String>,
}

/// The names of the built-in resolvers.
pub const BUILTIN: [&str; 10] = [
    "oc.env",
    "oc.select",
    "oc.decode",
    "oc.create",
    "oc.dict.keys",
    "oc.dict.values",
    "oc.deprecated",
    "now",
    "hydra",
    "eval",
];

impl Resolvers {
    /// The built-in ones.
    pub fn new() -> Self {
        Resolvers::default()
    }

    /// Adds one; a built-in of the same name is replaced.
    ///
    /// ```
    /// use runner::config::{Resolvers, Value};
    /// let resolvers = Resolvers::new().with("double", |arguments| match arguments {
    ///     [Value::Int(i)] => Ok(Value::Int(2 * i)),
    ///     _ => Err("double takes one integer".to_owned()),
    /// });
    /// assert!(resolvers.names().contains(&"double"));
    /// ```
    pub fn with(
        mut self,
        name: impl Into<String>,
        resolver: impl Fn(&[Value]) -> Result<Value, String> + Send + Sync + 'static,
    ) -> Self {
        self.custom.insert(name.into(), Arc::new(resolver));
        self
    }

    /// Gives `oc.env` a variable; it hides the process's own of that name.
    pub fn with_variable(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.variables.insert(name.into(), value.into());
        self
    }

    /// An environment variable as configs see it; an error when it is no UTF-8 text.
    pub(super) fn variable(&self, name: &str) -> Result<Option<String>, String> {
        if let Some(value) = self.variables.get(name) {
            return Ok(Some(value.clone()));
        }
        // Asking for a name with `=` or a null character would panic; no variable has one.
        if name.is_empty() || name.contains(['=', '\0']) {
            return Ok(None);
        }
        let value = std::env::var_os(name).map(std::ffi::OsString::into_string).transpose();
        value.map_err(|_| format!("the environment variable `{name}` is no UTF-8 text"))
    }

    /// All names, sorted.
    pub fn names(&self) -> Vec<&str> {
        let mut names: Vec<&str> = BUILTIN.into_iter().chain(self.custom.keys().map(String::as_str)).collect();
        names.sort_unstable();
        names.dedup();
        names
    }
}

impl std::fmt::Debug for Resolvers {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_list().entries(self.names()).finish()
    }
}

/// What a resolver is called with.
pub(crate) struct Call<'s, 'a> {
    session: &'s Session<'a>,
    name: &'s str,
    arguments: &'s [Resolved<'a>],
    /// The node that holds the interpolation.
    holder: &'s Node,
    /// The container around it: relative keys start here.
    container: &'s Rc<Frame<'a>>,
}

/// Calls a resolver by name.
pub(crate) fn call<'a>(
    session: &Session<'a>,
    name: &str,
    arguments: &[Resolved<'a>],
    holder: &Node,
    container: &Rc<Frame<'a>>,
) -> Result<Resolved<'a>, Failure> {
    let call = Call { session, name, arguments, holder, container };
    if let Some(custom) = session.resolvers.custom.get(name) {
        return call.custom(custom.as_ref());
    }
    match name {
        "oc.env" => oc::env(&call),
        "oc.select" => oc::select(&call),
        "oc.decode" => oc::decode(&call),
        "oc.create" => oc::create(&call),
        "oc.dict.keys" => oc::dict_keys(&call),
        "oc.dict.values" => oc::dict_values(&call),
        "oc.deprecated" => oc::deprecated(&call),
        "now" => call.now(),
        "hydra" => call.hydra(),
        "eval" => call.eval(),
        _ => {
            let names = session.resolvers.names();
            let help = match alike(name, names.iter().copied()).as_slice() {
                [] => format!("there are {}", names.join(", ")),
                near => format!("did you mean {}?", either(near)),
            };
            Err(Rc::new(session.problem(format!("there is no resolver `{name}`"), &holder.origin).help(help)))
        }
    }
}

impl<'a> Call<'_, 'a> {
    fn fail<T>(&self, message: impl std::fmt::Display) -> Result<T, Failure> {
        Err(Rc::new(self.session.problem(format!("`{}`: {message}", self.name), &self.holder.origin)))
    }

    /// The arguments, when there are `least` to `most` of them.
    fn arguments(&self, least: usize, most: usize) -> Result<&[Resolved<'a>], Failure> {
        let found = self.arguments.len();
        if (least..=most).contains(&found) {
            return Ok(self.arguments);
        }
        let expected = match (least, most) {
            (1, 1) => "one argument".to_owned(),
            (a, b) if a == b => format!("{a} arguments"),
            (a, b) => format!("{a} to {b} arguments"),
        };
        self.fail(format!("takes {expected}, here are {found}"))
    }

    /// A scalar argument's value; of a container what it is.
    fn value_of<'v>(&self, argument: &'v Resolved<'a>) -> &'v Value {
        match argument {
            Resolved::Scalar(node) => &node.value,
            Resolved::Plain(value) => value,
            Resolved::Container(frame) => &frame.node.value,
        }
    }

    fn text<'v>(&self, argument: &'v Resolved<'a>, what: &str) -> Result<&'v str, Failure> {
        match self.value_of(argument) {
            Value::Str(text) => Ok(text),
            other => self.fail(format!("{what} must be a string, it is {}", other.describe())),
        }
    }

    fn custom(&self, resolver: &Resolver) -> Result<Resolved<'a>, Failure> {
        let mut values = Vec::with_capacity(self.arguments.len());
        for argument in self.arguments {
            values.push(self.session.materialized(argument, &self.holder.origin)?.value);
        }
        match resolver(&values) {
            Ok(value @ (Value::Map(_) | Value::List(_))) => {
                self.session.made(Node { value, origin: self.holder.origin.clone() }, self.container)
            }
            Ok(scalar) => Ok(Resolved::Plain(scalar)),
            Err(message) => self.fail(message),
        }
    }

    fn now(&self) -> Result<Resolved<'a>, Failure> {
        let [format] = self.arguments(1, 1)? else { return self.fail("takes a format") };
        match clock::format(self.text(format, "the format")?) {
            Ok(text) => Ok(Resolved::Plain(Value::Str(text))),
            Err(message) => self.fail(message),
        }
    }

    /// A value of the `hydra` node; null while it is missing.
    fn hydra(&self) -> Result<Resolved<'a>, Failure> {
        let [key] = self.arguments(1, 1)? else { return self.fail("takes a key") };
        let key = self.text(key, "the key")?;
        let Some(frame) = self.session.hydra_frame() else { return self.fail("there is no hydra node here") };
        match self.session.select(&frame, &format!(".{key}"), Missing::Allowed)? {
            Some(Resolved::Scalar(node)) if node.is_missing() => Ok(Resolved::Plain(Value::Null)),
            Some(found) => Ok(found),
            None => {
                let steps: Vec<&str> = key.split('.').collect();
                let help = super::interpolate::nearest::nearest(frame.node, &steps);
                let problem = self.session.problem(format!("the hydra node has no `{key}`"), &self.holder.origin);
                Err(Rc::new(match help {
                    Some(help) => problem.help(help),
                    None => problem,
                }))
            }
        }
    }

    fn eval(&self) -> Result<Resolved<'a>, Failure> {
        let [expression] = self.arguments(1, 1)? else { return self.fail("takes an expression") };
        let expression = match self.value_of(expression) {
            Value::Str(text) => text,
            // `${eval:${x}}` with a value that needs no evaluation.
            _ => return Ok(expression.clone()),
        };
        match eval::evaluate(expression) {
            Ok(value) => Ok(Resolved::Plain(value)),
            Err(message) => self.fail(format!("`{expression}`: {message}")),
        }
    }
}
