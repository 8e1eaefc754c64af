//! The defaults tree: every file that takes part, below the file that lists it.
//!
//! A list is walked from its end, as Hydra does: what comes last decides choices first, so that an `override` at
//! the end of a list, and the command line before all, meets the entries it changes. Entries whose option is an
//! interpolation wait until the choices of their list are known.

use std::sync::Arc;

use super::choices::Choices;
use super::item::{Item, ItemKind};
use crate::config::document::{Choice, Document};
use crate::config::interpolate::nearest::{alike, either};
use crate::config::interpolate::{Arena, Session};
use crate::config::node::{Key, Map, Node, Origin, Value};
use crate::config::problem::{Problem, Problems};
use crate::config::resolvers::Resolvers;
use crate::config::sources::Sources;

/// How deep files may list files.
const MAX_DEPTH: usize = 100;
/// How many entries one composition may have.
const MAX_ITEMS: usize = 20_000;

/// An entry and what its file lists.
#[derive(Debug)]
pub(super) struct Branch {
    pub item: Item,
    /// `None` when the file lists nothing.
    pub children: Option<Vec<Branch>>,
}

impl Branch {
    fn leaf(item: Item) -> Self {
        Branch { item, children: None }
    }
}

/// What the walk needs everywhere.
pub(super) struct Walk<'w> {
    pub sources: &'w Sources,
    pub resolvers: &'w Resolvers,
    pub choices: &'w mut Choices,
    /// Whether a choice that is still `???` is left out: the jobs of a sweep may make it.
    pub skip_missing: bool,
    items: usize,
    path: Vec<String>,
}

/// Where in the tree an entry stands.
#[derive(Clone, Copy)]
struct Around<'a> {
    parent: Option<&'a Item>,
    /// Whether a file above was chosen by an interpolation: overrides would come too late there.
    interpolated: bool,
}

impl<'w> Walk<'w> {
    pub fn new(sources: &'w Sources, resolvers: &'w Resolvers, choices: &'w mut Choices, skip_missing: bool) -> Self {
        Walk { sources, resolvers, choices, skip_missing, items: 0, path: Vec::new() }
    }

    /// The trees of the primary config and of Hydra's own, in the order in which they are merged.
    pub fn roots(&mut self, primary: Option<&str>) -> Result<Vec<Branch>, Problems> {
        let around = Around { parent: None, interpolated: false };
        let primary = match primary {
            Some(name) => Some(self.branch(Item::primary(name, Origin::program()), around)?),
            None => self.unnamed_primary(around)?,
        };
        let hydra = self.branch(Item::config("hydra/config", Origin::program()), around)?;
        Ok(std::iter::once(hydra).chain(primary).collect())
    }

    /// Without a primary config there is still what the command line appends.
    fn unnamed_primary(&mut self, around: Around) -> Result<Option<Branch>, Problems> {
        let root = Item::primary("", Origin::program());
        let mut items = std::mem::take(&mut self.choices.appended);
        let children = self.children(&root, &mut items, around)?;
        Ok((!children.is_empty()).then_some(Branch { item: root, children: Some(children) }))
    }

    fn branch(&mut self, mut item: Item, around: Around) -> Result<Branch, Problems> {
        self.items += 1;
        if self.path.len() >= MAX_DEPTH || self.items > MAX_ITEMS {
            return Err(self.too_many(&item).into());
        }
        let document = self.document(&item)?;
        if item.primary && document.is_none() {
            return Err(self.no_primary(&item).into());
        }
        if let Some(document) = &document {
            item.set_header(document.package.as_deref());
        }
        if self.choices.delete(&item) {
            item.deleted = true;
            return Ok(Branch::leaf(item));
        }
        self.choices.set_known(&item)?;
        if item.name().is_none() {
            return Ok(Branch::leaf(item));
        }
        if item.config_path().ends_with("???") {
            if self.skip_missing {
                return Ok(Branch::leaf(item));
            }
            return Err(self.not_chosen(&item).into());
        }
        let Some(document) = document else {
            if item.is_optional() {
                item.deleted = true;
                return Ok(Branch::leaf(item));
            }
            return Err(self.not_found(&item, around.parent).into());
        };
        let mut items = self.listed(&item, &document)?;
        self.path.push(item.config_path());
        let children = self.children(&item, &mut items, around);
        self.path.pop();
        let children = children?;
        Ok(Branch { item, children: (!children.is_empty()).then_some(children) })
    }

    fn document(&self, item: &Item) -> Result<Option<Arc<Document>>, Problems> {
        if item.name().is_none() || item.is_missing() {
            return Ok(None);
        }
        self.sources.load(&item.config_path())
    }

    /// The entries of a file with `_self_` in its place; the primary config's list ends with what was appended.
    fn listed(&mut self, item: &Item, document: &Document) -> Result<Vec<Item>, Problem> {
        let mut items: Vec<Item> = document.defaults.iter().map(Item::from_entry).collect();
        let appends = item.primary && !self.choices.appended.is_empty();
        if !items.is_empty() || appends {
            let mut selves = items.iter().filter(|item| item.is_self());
            let first = selves.next();
            if let (Some(_), Some(second)) = (first, selves.next()) {
                return Err(Problem::new("`_self_` stands twice in the defaults list").from(&second.origin));
            }
            let chooses = items.iter().any(|item| !item.replaces());
            if items.is_empty() || (first.is_none() && chooses) {
                items.push(Item::config("_self_", item.origin.clone()));
            }
        }
        if item.primary {
            items.append(&mut self.choices.appended);
        }
        Ok(items)
    }

    fn children(&mut self, parent: &Item, items: &mut Vec<Item>, around: Around) -> Result<Vec<Branch>, Problems> {
        let (base, package) = (parent.group_path(), parent.final_package());
        for item in items.iter_mut() {
            item.place(&base, &package);
        }
        self.gather_overrides(parent, items, around)?;
        let within = Around { parent: Some(parent), interpolated: around.interpolated };
        let mut children = Vec::new();
        let mut waiting = Vec::new();
        for mut item in items.drain(..).rev() {
            if item.is_self() {
                children.push(Branch::leaf(item));
                continue;
            }
            if item.replaces() {
                continue;
            }
            self.choices.apply(&mut item);
            match &item.kind {
                ItemKind::Group { group, choice: Choice::Several(options), optional, .. } => {
                    for option in options.iter().rev() {
                        if option.contains("${") {
                            let message = format!("`{option}`: interpolations do not work in a list of options");
                            return Err(Problem::new(message).from(&item.origin).into());
                        }
                        let mut file = item.option(group, option, *optional);
                        file.place(&base, &package);
                        children.push(self.branch(file, within)?);
                    }
                }
                _ if item.is_interpolation() => {
                    waiting.push(children.len());
                    children.push(Branch::leaf(item));
                }
                _ => children.push(self.branch(item, within)?),
            }
        }
        if !waiting.is_empty() {
            let known = self.known_choices();
            for at in waiting {
                let mut item = children[at].item.clone();
                self.resolve(&mut item, &known)?;
                item.place(&base, &package);
                children[at] = self.branch(item, Around { parent: Some(parent), interpolated: true })?;
            }
        }
        children.reverse();
        Ok(children)
    }

    fn gather_overrides(&mut self, parent: &Item, items: &[Item], around: Around) -> Result<(), Problem> {
        let mut last_override: Option<&Item> = None;
        for item in items.iter().filter(|item| !item.is_self()) {
            if let Some(last) = last_override
                && !item.replaces()
                && !item.is_appended()
            {
                return Err(Problem::new(format!(
                    "`override {}` stands before `{}`",
                    last.override_key(),
                    item.config_path()
                ))
                .from(&item.origin)
                .help("overrides go to the end of the defaults list; only `_self_` may follow them"));
            }
            if item.replaces() {
                last_override = Some(item);
                if around.interpolated {
                    return Err(Problem::new(format!(
                        "`override {}` stands below a group that an interpolation chooses: it would come too late",
                        item.override_key()
                    ))
                    .from(&item.origin)
                    .help("move the override to a file that is listed by name"));
                }
                self.choices.add_override(&parent.config_path(), item);
            }
        }
        Ok(())
    }

    /// What an interpolated choice may refer to: the choices made so far by their keys.
    fn known_choices(&self) -> Node {
        let known = self.choices.known.iter();
        let map: Map = known.map(|(key, choice)| (Key::Str(key.clone()), Node::program(choice.value()))).collect();
        Node::program(map)
    }

    fn resolve(&self, item: &mut Item, known: &Node) -> Result<(), Problem> {
        let text = match &item.kind {
            ItemKind::Group { choice: Choice::One(name), .. } => name.clone(),
            _ => item.config_path(),
        };
        if text.starts_with("${defaults.") && text.as_bytes().get(11).is_some_and(u8::is_ascii_digit) {
            return Err(Problem::new(format!("`{text}` refers to a place in the defaults list"))
                .from(&item.origin)
                .help("refer to the group by its name: `${group}`"));
        }
        let mut known = known.clone();
        if let Value::Map(map) = &mut known.value {
            map.insert("_choice_".into(), Node::new(text.as_str(), item.origin.clone()));
        }
        let arena = Arena::default();
        let session = Session::new(&known, None, self.resolvers, self.sources.syntax(), &arena);
        let resolved = session.at(&session.job_root(), "_choice_").map_err(|problems| {
            let why = problems.0.into_iter().next();
            let groups: Vec<String> = self.choices.known.keys().filter(|k| !k.starts_with("hydra/")).cloned().collect();
            let message = match &why {
                Some(why) => format!("`{text}` cannot be resolved: {}", why.message),
                None => format!("`{text}` cannot be resolved"),
            };
            let problem = Problem::new(message).from(&item.origin);
            match groups.as_slice() {
                [] => problem.help("no group has been chosen yet"),
                groups => problem.help(format!("chosen so far: {}", groups.join(", "))),
            }
        })?;
        let name = match resolved.map(|node| node.value) {
            Some(Value::Str(name)) => name,
            other => {
                let found = other.as_ref().map_or("nothing", Value::describe);
                return Err(Problem::new(format!("`{text}` must give a name, it gives {found}")).from(&item.origin));
            }
        };
        match &mut item.kind {
            ItemKind::Group { choice, .. } => *choice = Choice::One(name),
            ItemKind::Config { path, .. } => *path = name,
        }
        Ok(())
    }

    fn too_many(&self, item: &Item) -> Problem {
        let path = item.config_path();
        let message = match self.path.iter().rposition(|above| *above == path) {
            Some(start) => format!("config files include each other: {} -> {path}", self.path[start..].join(" -> ")),
            None => format!("the defaults lists are too deep or too long, at `{path}`"),
        };
        Problem::new(message).from(&item.origin).help("take one of them out of its defaults list")
    }

    fn no_primary(&self, item: &Item) -> Problem {
        let path = item.config_path();
        let folder = item.group_path();
        let options = self.sources.options(&folder);
        let problem = Problem::new(format!("there is no primary config `{path}`"));
        let name = item.name().unwrap_or_default();
        match alike(name, options.iter().map(String::as_str)).as_slice() {
            [] if options.is_empty() => problem.help(format!("looked in {}", self.places())),
            [] => problem.help(format!("there are {}; looked in {}", options.join(", "), self.places())),
            near => problem.help(format!("did you mean {}? looked in {}", either(near), self.places())),
        }
    }

    fn places(&self) -> String {
        let places: Vec<String> = self.sources.places().iter().map(crate::config::sources::Place::path).collect();
        places.join(", ")
    }

    fn not_chosen(&self, item: &Item) -> Problem {
        if !item.is_group() {
            return Problem::new(format!("`{}` names no file", item.config_path())).from(&item.origin);
        }
        let key = item.override_key();
        let options = self.sources.options(&item.group_path());
        Problem::new(format!("an option of `{key}` must be chosen"))
            .from(&item.origin)
            .help(format!("write `{key}=OPTION`; available: {}", options.join(", ")))
    }

    fn not_found(&self, item: &Item, parent: Option<&Item>) -> Problem {
        let path = item.config_path();
        let group = item.group_path();
        let options = self.sources.options(&group);
        let listed_by = parent.map(|parent| parent.config_path()).filter(|path| !path.is_empty());
        let message = match (item.is_group(), listed_by) {
            (true, _) => format!("the config group `{group}` has no option `{}`", item.name().unwrap_or_default()),
            (false, Some(file)) => format!("`{path}`, listed in `{file}`, does not exist"),
            (false, None) => format!("`{path}` does not exist"),
        };
        let problem = Problem::new(message).from(&item.origin);
        if options.is_empty() {
            let groups = self.sources.groups();
            let near = alike(&group, groups.iter().map(String::as_str));
            return problem.help(match near.as_slice() {
                _ if group.is_empty() => format!("looked in {}", self.places()),
                [] => format!("there is no group `{group}` with files in {}", self.places()),
                near => format!("did you mean the group {}?", either(near)),
            });
        }
        let all = match options.len() {
            ..=20 => options.join(", "),
            n => format!("{}, … ({n} in all)", options[..20].join(", ")),
        };
        match alike(item.name().unwrap_or_default(), options.iter().map(String::as_str)).as_slice() {
            [] => problem.help(format!("available: {all}")),
            near => problem.help(format!("did you mean {}? available: {all}", either(near))),
        }
    }
}
