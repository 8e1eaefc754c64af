//! Defaults lists: which files make up a config, in which order, each into which package.
//!
//! [`item`] knows where an entry lies and what it is called, [`choices`] what was asked for, [`tree`] walks the
//! lists. The result is flat: [`Layer`]s in the order in which they are merged.
//!
//! The reference is Hydra 1.3's `defaults_list.py`.

mod choices;
mod item;
mod tree;

use std::collections::HashSet;

use indexmap::IndexMap;

use super::document::{Choice, EntryKind};
use super::node::Origin;
use super::overrides::{Override, OverrideValue};
use super::problem::{Problem, Problems};
use super::resolvers::Resolvers;
use super::sources::{GroupKind, Sources};
use choices::Choices;
use tree::{Branch, Walk};

/// One file that takes part in a config.
#[derive(Clone, Debug)]
pub struct Layer {
    /// The file's path below the config folder, without `.yaml`.
    pub config: String,
    /// Where it is merged: a dotted path, empty for the root.
    pub package: String,
    /// The file that lists it.
    pub parent: Option<String>,
    /// Whether it is the primary config.
    pub primary: bool,
    /// Where it was chosen.
    pub origin: Origin,
}

/// A node of the defaults tree, for display.
#[derive(Clone, Debug)]
pub struct TreeEntry {
    /// How deep below the root.
    pub depth: usize,
    /// `group: option`, a file's path, or `_self_`.
    pub text: String,
}

/// A flat defaults list.
#[derive(Clone, Debug, Default)]
pub struct DefaultsList {
    /// The files in the order in which they are merged.
    pub layers: Vec<Layer>,
    /// The groups chosen, by their keys, in Hydra's order.
    pub choices: IndexMap<String, Choice>,
    /// The tree that the list was made of.
    pub tree: Vec<TreeEntry>,
}

/// Makes the list for a primary config and the overrides of a command line, and gives the positions of the overrides
/// that are about keys, not groups.
///
/// # Errors
/// Files and options that do not exist, choices that are missing, doubled or meet no entry, lists that are malformed
/// or include each other.
pub fn defaults_list(
    sources: &Sources,
    resolvers: &Resolvers,
    primary: Option<&str>,
    overrides: &[Override],
    skip_missing: bool,
) -> Result<(DefaultsList, Vec<usize>), Problems> {
    let mut choices = Choices::new(sources, primary, overrides)?;
    let roots = Walk::new(sources, resolvers, &mut choices, skip_missing).roots(primary)?;
    let mut list = DefaultsList::default();
    let mut groups = HashSet::new();
    for root in &roots {
        flatten(root, None, &mut groups, &mut list)?;
        show(root, 0, &mut list.tree);
    }
    choices.check_used(sources).or(())?;
    list.choices = choices.known;
    Ok((list, choices.config_overrides))
}

/// Whether an override is about a group. A group that only the shipped configs have may also be a key of the user's
/// own tree; it is a group for certain when the primary config lists it.
fn group_kind(sources: &Sources, primary: Option<&str>, item: &Override) -> GroupKind {
    // The root folder is no group: `+=x` has no key at all.
    if item.is_path || item.key.is_empty() {
        return GroupKind::No;
    }
    let kind = sources.group_kind(&item.key);
    let lists = |name: &str| {
        let Ok(Some(document)) = sources.load(name) else { return false };
        document.defaults.iter().any(|entry| match &entry.kind {
            EntryKind::Group { group, .. } => *group == item.key,
            EntryKind::Config(_) => false,
        })
    };
    if kind == GroupKind::Shipped && primary.is_some_and(lists) { GroupKind::Yes } else { kind }
}

/// Two command lines with the same signature make the same list: it names what is asked of groups. With it come the
/// positions of the overrides that are about keys. `None` when that cannot be told before the list is made.
pub fn signature(
    sources: &Sources,
    primary: Option<&str>,
    overrides: &[Override],
    skip_missing: bool,
) -> Option<(String, Vec<usize>)> {
    let mut signature = format!("{primary:?} {skip_missing}");
    let mut keys = Vec::new();
    for (number, item) in overrides.iter().enumerate().filter(|(_, item)| !item.is_sweep()) {
        match (group_kind(sources, primary, item), &item.value) {
            (GroupKind::Shipped, _) => return None,
            (GroupKind::No, _) | (_, Some(OverrideValue::Extend(_))) => keys.push(number),
            _ if item.to_node().is_some_and(|node| node.as_map().is_some()) => keys.push(number),
            _ => {
                signature.push('\n');
                signature.push_str(&item.source.text);
            }
        }
    }
    Some((signature, keys))
}

fn flatten(
    branch: &Branch,
    parent: Option<&Branch>,
    groups: &mut HashSet<String>,
    list: &mut DefaultsList,
) -> Result<(), Problem> {
    if let Some(children) = &branch.children {
        for child in children {
            if child.item.is_self() {
                push(branch, parent, list);
            } else {
                flatten(child, Some(branch), groups, list)?;
            }
        }
        return Ok(());
    }
    let item = &branch.item;
    if item.deleted || item.is_missing() || item.name().is_none() {
        return Ok(());
    }
    if item.is_group() {
        let key = item.override_key();
        if let Some(key) = groups.replace(key) {
            return Err(Problem::new(format!("the group `{key}` stands more than once in the defaults list"))
                .from(&item.origin)
                .help(format!("use one entry with several options, `- {key}: [a, b]`, or give one a package: `@…`")));
        }
    }
    push(branch, parent, list);
    Ok(())
}

fn push(branch: &Branch, parent: Option<&Branch>, list: &mut DefaultsList) {
    let item = &branch.item;
    if item.primary && item.name() == Some("") {
        return;
    }
    list.layers.push(Layer {
        config: item.config_path(),
        package: item.final_package(),
        parent: parent.map(|parent| parent.item.config_path()),
        primary: item.primary,
        origin: item.origin.clone(),
    });
}

fn show(branch: &Branch, depth: usize, tree: &mut Vec<TreeEntry>) {
    let item = &branch.item;
    let text = match (item.is_group(), item.name()) {
        _ if item.is_self() => "_self_".to_owned(),
        (true, name) => format!("{}: {}", item.override_key(), name.unwrap_or("null")),
        (false, _) => item.config_path(),
    };
    let text = if item.deleted { format!("{text} (left out)") } else { text };
    tree.push(TreeEntry { depth, text });
    for child in branch.children.iter().flatten() {
        show(child, depth + 1, tree);
    }
}
