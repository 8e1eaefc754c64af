//! Names become components. A component is one argument struct (`#[derive(Deserialize, JsonSchema)]`), its
//! `_target_` names, its [`Kind`], and a `build`; the [`Registry`] is an explicit list of them. A name in a config
//! is a key in this table and nothing else: no config can run code that is not registered.

mod args;
mod component;
mod extract;
mod own;
mod slot;
mod special;
pub mod suggest;
mod untyped;

use std::sync::Arc;

use indexmap::IndexMap;

pub use args::{Fraction, IntOrFloat, NonNegative, OneOrMany, Positive, Switch, Workers};
pub use component::{Build, Check, Component, Entry};
pub use extract::{Found, extract};
pub use own::{Additions, CommandCx, OwnCommand};
pub use slot::{Complete, Completed, Kind, KindInfo, Slot, SlotOr, SlotRef};
pub use untyped::{Given, Ignored};

use crate::config::{KeyPath, Node, Problem, Problems, Value};

/// The known components.
#[derive(Default)]
pub struct Registry {
    names: IndexMap<&'static str, Arc<Entry>>,
    list: Vec<Arc<Entry>>,
    refused: IndexMap<&'static str, &'static str>,
    additions: Additions,
}

impl Registry {
    /// A registry with nothing in it.
    pub fn new() -> Self {
        Registry::default()
    }

    /// Adds a component. A later one replaces an earlier one of the same name.
    pub fn with<C: Component>(mut self) -> Self {
        self.add::<C>();
        self
    }

    /// Adds a component in place.
    pub fn add<C: Component>(&mut self) {
        let entry = Arc::new(Entry::of::<C>());
        for target in C::TARGETS {
            self.names.insert(target, entry.clone());
        }
        self.list.push(entry);
    }

    /// Says of a name of Python's world that is no component why it is none, and what to use instead.
    pub fn refuse(&mut self, target: &'static str, why: &'static str) {
        self.refused.insert(target, why);
    }

    /// Adds a resolver, so that configs may write `${name:…}`. A built-in one of the same name is replaced.
    ///
    /// ```
    /// use runner::config::Value;
    /// use runner::registry::Registry;
    /// let registry = Registry::new().with_resolver("double", |arguments| match arguments {
    ///     [Value::Int(i)] => Ok(Value::Int(2 * i)),
    ///     _ => Err("double takes one integer".to_owned()),
    /// });
    /// ```
    pub fn with_resolver(
        mut self,
        name: &str,
        resolver: impl Fn(&[Value]) -> Result<Value, String> + Send + Sync + 'static,
    ) -> Self {
        self.additions.resolvers = std::mem::take(&mut self.additions.resolvers).with(name, resolver);
        self
    }

    /// Adds a command. One of runner's own of the same name is replaced.
    pub fn with_command(mut self, command: OwnCommand) -> Self {
        self.additions.commands.retain(|known| *known != command);
        self.additions.commands.push(command);
        self
    }

    /// What the command line knows beside components: resolvers and commands.
    pub fn additions(&self) -> &Additions {
        &self.additions
    }

    /// All components, in the order in which they were added.
    pub fn entries(&self) -> impl Iterator<Item = &Entry> {
        self.list.iter().map(Arc::as_ref)
    }

    /// The component of a `_target_` name.
    ///
    /// The spellings of one Python object are one name: `pytorch_lightning.X`, `lightning.X` and
    /// `lightning.pytorch.X`, and the module that defines a class (`torch.optim.adam.Adam` for
    /// `torch.optim.Adam`).
    pub fn get(&self, target: &str) -> Option<&Arc<Entry>> {
        if let Some(entry) = self.names.get(target) {
            return Some(entry);
        }
        let target = canonical(target);
        self.names.get(target.as_str()).or_else(|| {
            let (modules, class) = target.rsplit_once('.')?;
            let mut owner = modules;
            while let Some((outer, inner)) = owner.rsplit_once('.') {
                if inner.chars().any(char::is_uppercase) {
                    return None;
                }
                if let Some(entry) = self.names.get(format!("{outer}.{class}").as_str()) {
                    return Some(entry);
                }
                owner = outer;
            }
            None
        })
    }

    /// The known names nearest to `target`.
    pub fn nearest(&self, target: &str, kind: Option<KindInfo>) -> Option<&'static str> {
        let fits = |entry: &Entry| kind.is_none_or(|kind| entry.kind.id == kind.id);
        let names = || self.names.iter().filter(|(_, entry)| fits(entry)).map(|(name, _)| *name);
        let class = |name: &str| name.rsplit('.').next().unwrap_or(name).to_lowercase();
        // The class name says more than the module: `torch.nn.Adam` means `torch.optim.Adam`.
        names().find(|name| class(name) == class(target)).or_else(|| suggest::nearest(target, names())).or_else(|| {
            let wanted = class(target);
            let near = suggest::nearest(&wanted, names().map(|name| name.rsplit('.').next().unwrap_or(name)))?;
            names().find(|name| name.rsplit('.').next() == Some(near))
        })
    }

    /// The entry that `node` names, or the problem: no `_target_`, an unknown name, a component of another kind.
    pub fn find(&self, node: &Node, path: &KeyPath, kind: KindInfo) -> Result<&Entry, Problem> {
        let Some(target) = node.get("_target_") else {
            return Err(Problem::new(format!("{} goes here, as a mapping with `_target_`", kind.with_article()))
                .at(path.clone())
                .from(&node.origin)
                .help(format!("`runner components` lists every {}", kind.name)));
        };
        let at = |message: String| Problem::new(message).at(path.key("_target_")).from(&target.origin);
        let Some(name) = target.as_str() else {
            return Err(at(format!("`_target_` is a name, not {}", target.value.describe())));
        };
        let Some(entry) = self.get(name) else {
            if let Some(why) = self.refused.get(canonical(name).as_str()) {
                return Err(at(format!("`{name}` is not supported")).width(name.chars().count()).help(*why));
            }
            let mut problem = at(format!("unknown {} `{name}`", kind.name)).width(name.chars().count());
            if let Some(near) = self.nearest(name, Some(kind)) {
                problem = problem.label(format!("did you mean `{near}`?"));
            }
            return Err(problem.help(format!("`runner components` lists every {}", kind.name)));
        };
        if entry.kind.id != kind.id {
            let what = entry.kind.with_article();
            return Err(
                at(format!("`{name}` is {what}, but {} goes here", kind.with_article())).width(name.chars().count())
            );
        }
        Ok(entry)
    }

    /// Checks the component in a slot and everything nested in it.
    pub fn check(&self, slot: &SlotRef) -> (Problems, Vec<(KeyPath, String)>) {
        let entry = match self.find(&slot.node, &slot.path, slot.kind) {
            Ok(entry) => entry,
            Err(problem) => return (problem.into(), Vec::new()),
        };
        let mut problems = Problems::default();
        special::check(&slot.node, &slot.path, &entry.kind, &mut problems);
        let (own, found) = (entry.check)(&slot.node, &slot.path);
        let mut notes = found.notes;
        for mut problem in own.0 {
            if ["unknown argument", "missing argument"].iter().any(|start| problem.message.starts_with(start)) {
                problem.message = format!("{} for {}", problem.message, entry.target());
            }
            problems.push(problem);
        }
        for nested in found.slots {
            let (inner, inner_notes) = self.check(&nested);
            problems.extend(inner);
            notes.extend(inner_notes);
        }
        (problems, notes)
    }
}

/// One spelling for Lightning's three import names.
fn canonical(target: &str) -> String {
    for prefix in ["pytorch_lightning.", "lightning.pytorch.", "lightning."] {
        if let Some(rest) = target.strip_prefix(prefix) {
            return format!("lightning.pytorch.{rest}");
        }
    }
    target.to_owned()
}

#[cfg(test)]
mod tests;
