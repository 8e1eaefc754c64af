//! What a component is: typed arguments, names, a kind, and how to build it.

use std::any::{Any, TypeId};
use std::collections::HashMap;

use schemars::{JsonSchema, Schema};
use serde::de::DeserializeOwned;

use super::extract::{self, Found};
use super::slot::{Kind, KindInfo, Slot};
use super::{Registry, special};
use crate::config::{KeyPath, Node, Problem, Problems, Value};
use crate::error::{Error, Result};

/// A component: the arguments are the type itself, its doc comment is the help text.
///
/// ```
/// # use runner::prelude::*;
/// # struct Greeting;
/// # impl Kind for Greeting { type Built = String; const NAME: &'static str = "greeting"; }
/// /// Says hello.
/// #[derive(Deserialize, JsonSchema)]
/// #[serde(deny_unknown_fields)]
/// struct Hello {
///     /// Whom to greet.
///     name: String,
/// }
///
/// impl Component for Hello {
///     type Kind = Greeting;
///     const TARGETS: &'static [&'static str] = &["my.Hello"];
///     fn build(self, _: &mut Build) -> Result<String> {
///         Ok(format!("hello {}", self.name))
///     }
/// }
/// ```
pub trait Component: DeserializeOwned + JsonSchema + 'static {
    /// What kind of component it is.
    type Kind: Kind;

    /// The `_target_` names, the documented one first, aliases after it.
    const TARGETS: &'static [&'static str];

    /// Whether it takes any number of positional arguments (`torch.nn.Sequential(*modules)`): `_args_` is then a
    /// field of its own, a list, and not the values of the first fields.
    const VARIADIC: bool = false;

    /// Reports what the types cannot say: a path that must exist, two arguments that exclude each other. Called
    /// before anything is started; must not touch the disk but to look.
    fn check(&self, _: &mut Check) {}

    /// Makes the instance. Nested components are built through `cx`.
    fn build(self, cx: &mut Build) -> Result<<Self::Kind as Kind>::Built>;
}

/// Gathers what [`Component::check`] finds.
pub struct Check<'a> {
    node: &'a Node,
    path: &'a KeyPath,
    pub(super) problems: Problems,
}

impl Check<'_> {
    /// Reports `message` about the argument `name` (or about the component when it is empty).
    pub fn problem(&mut self, name: &str, message: impl Into<String>) -> &mut Problem {
        let (path, origin) = match self.node.get(name) {
            Some(node) => (self.path.key(name), &node.origin),
            None if name.is_empty() => (self.path.clone(), &self.node.origin),
            None => (self.path.key(name), &self.node.origin),
        };
        self.problems.push(Problem::new(message).at(path).from(origin));
        let last = self.problems.0.len() - 1;
        &mut self.problems.0[last]
    }
}

/// What building a component may use: the registry, for nested components, and facts that the owner provides.
pub struct Build<'r> {
    registry: &'r Registry,
    facts: HashMap<TypeId, Box<dyn Any>>,
}

impl<'r> Build<'r> {
    /// A context with nothing provided.
    pub fn new(registry: &'r Registry) -> Self {
        Build { registry, facts: HashMap::new() }
    }

    /// The registry.
    pub fn registry(&self) -> &'r Registry {
        self.registry
    }

    /// Provides a fact, one a type: the seed, the run folder.
    pub fn provide<T: 'static>(&mut self, fact: T) {
        self.facts.insert(TypeId::of::<T>(), Box::new(fact));
    }

    /// A provided fact.
    pub fn fact<T: 'static>(&self) -> Option<&T> {
        self.facts.get(&TypeId::of::<T>())?.downcast_ref()
    }

    /// Builds the component in a slot.
    pub fn build<K: Kind>(&mut self, slot: &Slot<K>) -> Result<K::Built> {
        let entry = self.registry.find(&slot.node, &slot.path, KindInfo::of::<K>())?;
        let built = (entry.build)(&slot.node, &slot.path, self)?;
        built
            .downcast::<K::Built>()
            .map(|built| *built)
            .map_err(|_| Error::failed(format!("{} was built as something else than {}", entry.target(), K::NAME)))
    }

    /// Builds the component in an optional slot.
    pub fn build_opt<K: Kind>(&mut self, slot: &Option<Slot<K>>) -> Result<Option<K::Built>> {
        slot.as_ref().map(|slot| self.build(slot)).transpose()
    }

    /// Builds the components of several slots, in order.
    pub fn build_all<'s, K: Kind>(&mut self, slots: impl IntoIterator<Item = &'s Slot<K>>) -> Result<Vec<K::Built>> {
        slots.into_iter().map(|slot| self.build(slot)).collect()
    }
}

type CheckFn = fn(&Node, &KeyPath) -> (Problems, Found);
type BuildFn = fn(&Node, &KeyPath, &mut Build) -> Result<Box<dyn Any>>;

/// A registered component with its types erased.
pub struct Entry {
    /// Its `_target_` names, the documented one first.
    pub targets: &'static [&'static str],
    /// Its kind.
    pub kind: KindInfo,
    /// Its arguments' schema, with docs and defaults.
    pub schema: fn() -> Schema,
    pub(super) check: CheckFn,
    build: BuildFn,
}

impl Entry {
    pub(super) fn of<C: Component>() -> Self {
        Entry {
            targets: C::TARGETS,
            kind: KindInfo::of::<C::Kind>(),
            schema: schema_of::<C>,
            check: |node, path| {
                let (args, found) = read::<C>(node, path);
                match args {
                    Err(problems) => (problems, found),
                    Ok(args) => {
                        let mut check = Check { node, path, problems: Problems::default() };
                        args.check(&mut check);
                        (check.problems, found)
                    }
                }
            },
            build: |node, path, cx| {
                let args = read::<C>(node, path).0?;
                Ok(Box::new(args.build(cx)?))
            },
        }
    }

    /// The documented name.
    pub fn target(&self) -> &'static str {
        self.targets.first().copied().unwrap_or("?")
    }
}

fn schema_of<C: Component>() -> Schema {
    schemars::generate::SchemaSettings::draft2020_12()
        .with(|s| s.inline_subschemas = true)
        .into_generator()
        .into_root_schema_for::<C>()
}

fn read<C: Component>(node: &Node, path: &KeyPath) -> (Result<C, Problems>, Found) {
    let (mut args, mut positional) = special::split(node);
    if let (true, Some(list), Value::Map(map)) = (C::VARIADIC, node.get("_args_"), &mut args.value) {
        map.insert("_args_".into(), list.clone());
        positional.clear();
    }
    let required = || -> Vec<String> {
        let schema = schema_of::<C>();
        let names = schema.get("required").and_then(|r| r.as_array());
        names.into_iter().flatten().filter_map(|name| Some(name.as_str()?.to_owned())).collect()
    };
    let (result, found) = extract::extract_args::<C>(&args, &positional, path, &[]);
    match result {
        // Only a failure needs the schema: it is slow to make.
        Err(problems) if problems.0.iter().any(|p| p.message.starts_with("missing argument")) => {
            let _ = problems;
            extract::extract_args::<C>(&args, &positional, path, &required())
        }
        result => (result, found),
    }
}
