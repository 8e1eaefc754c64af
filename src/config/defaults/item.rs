//! An entry of a defaults list at its place in the tree, and the package that this gives it.
//!
//! An entry's path is relative to the folder of the file that lists it; its package to that file's package. A
//! package comes from `@pkg` in the list, else from the header of the file, else from the folder; whatever follows
//! `_global_` is absolute.

use crate::config::document::{Choice, Entry, EntryKind, here};
use crate::config::node::Origin;

/// An entry at its place.
#[derive(Clone, Debug)]
pub(super) struct Item {
    pub kind: ItemKind,
    pub origin: Origin,
    /// Whether it is the primary config.
    pub primary: bool,
    /// Taken out by `~group`, or optional and not there.
    pub deleted: bool,
    package: Option<String>,
    header: Option<String>,
    /// Folder and package of the file that lists it.
    base: String,
    parent_package: String,
}

#[derive(Clone, Debug)]
pub(super) enum ItemKind {
    /// A file by its path; `_self_` is the listing file itself.
    Config { path: String, optional: bool },
    /// An option of a group.
    Group { group: String, choice: Choice, optional: bool, replaces: bool, appended: bool },
}

impl Item {
    pub fn config(path: impl Into<String>, origin: Origin) -> Self {
        Item::new(ItemKind::Config { path: path.into(), optional: false }, None, origin)
    }

    pub fn primary(path: impl Into<String>, origin: Origin) -> Self {
        Item { primary: true, ..Item::config(path, origin) }
    }

    /// An entry as written, not yet at its place.
    pub fn from_entry(entry: &Entry) -> Self {
        let kind = match &entry.kind {
            EntryKind::Config(path) => ItemKind::Config { path: path.clone(), optional: false },
            EntryKind::Group { group, choice, optional, replaces } => ItemKind::Group {
                group: group.clone(),
                choice: choice.clone(),
                optional: *optional,
                replaces: *replaces,
                appended: false,
            },
        };
        Item::new(kind, entry.package.clone(), entry.origin.clone())
    }

    /// `+group=option` of the command line.
    pub fn appended(group: &str, package: Option<String>, choice: Choice, origin: Origin) -> Self {
        let group = group.to_owned();
        let package = package.map(here);
        Item::new(ItemKind::Group { group, choice, optional: false, replaces: false, appended: true }, package, origin)
    }

    /// One option of several: a plain file of the group's folder.
    pub fn option(&self, group: &str, option: &str, optional: bool) -> Self {
        let kind = ItemKind::Config { path: format!("{group}/{option}"), optional };
        Item::new(kind, self.package.clone(), self.origin.clone())
    }

    fn new(kind: ItemKind, package: Option<String>, origin: Origin) -> Self {
        let (base, parent_package) = (String::new(), String::new());
        Item { kind, origin, primary: false, deleted: false, package, header: None, base, parent_package }
    }

    /// Puts it below a file: its folder and its package.
    pub fn place(&mut self, base: &str, parent_package: &str) {
        base.clone_into(&mut self.base);
        parent_package.clone_into(&mut self.parent_package);
        if let Some(package) = &self.package
            && package.contains("_group_")
        {
            self.package = Some(format!("_global_.{}", package.replace("_group_", &self.default_package())));
        }
    }

    /// Takes the header of its file, which is always absolute.
    pub fn set_header(&mut self, header: Option<&str>) {
        self.header = header.map(|header| match header {
            "_global_" => header.to_owned(),
            _ if header.starts_with("_global_.") => header.to_owned(),
            _ => format!("_global_.{header}"),
        });
    }

    pub fn is_self(&self) -> bool {
        match &self.kind {
            ItemKind::Config { path, .. } => path == "_self_",
            ItemKind::Group { choice, .. } => *choice == Choice::One("_self_".to_owned()),
        }
    }

    pub fn replaces(&self) -> bool {
        matches!(self.kind, ItemKind::Group { replaces: true, .. })
    }

    pub fn is_appended(&self) -> bool {
        matches!(self.kind, ItemKind::Group { appended: true, .. })
    }

    pub fn is_group(&self) -> bool {
        matches!(self.kind, ItemKind::Group { .. })
    }

    pub fn is_optional(&self) -> bool {
        match self.kind {
            ItemKind::Config { optional, .. } | ItemKind::Group { optional, .. } => optional,
        }
    }

    /// Path of the group or file as written, without a leading slash, and whether it had one.
    fn written(&self) -> (&str, bool) {
        let path = match &self.kind {
            ItemKind::Config { path, .. } => path,
            ItemKind::Group { group, .. } => group,
        };
        match path.strip_prefix('/') {
            Some(absolute) => (absolute, true),
            None => (path, false),
        }
    }

    fn join(&self, path: &str, absolute: bool) -> String {
        match (absolute || self.base.is_empty(), path.is_empty()) {
            (true, _) => path.to_owned(),
            (false, true) => self.base.clone(),
            (false, false) => format!("{}/{path}", self.base),
        }
    }

    /// The folder that holds it.
    pub fn group_path(&self) -> String {
        let (written, absolute) = self.written();
        self.join(self.folder(written), absolute)
    }

    /// The folder part of a written path: all of a group's, all but the name of a file's.
    fn folder<'w>(&self, written: &'w str) -> &'w str {
        match self.kind {
            ItemKind::Config { .. } => written.rsplit_once('/').map_or("", |(folder, _)| folder),
            ItemKind::Group { .. } => written,
        }
    }

    /// The file's name; `None` for `null` and for several options.
    pub fn name(&self) -> Option<&str> {
        match &self.kind {
            ItemKind::Config { path, .. } => Some(path.rsplit_once('/').map_or(path.as_str(), |(_, name)| name)),
            ItemKind::Group { choice: Choice::One(name), .. } => Some(name),
            ItemKind::Group { .. } => None,
        }
    }

    /// The file's path below the config folder.
    pub fn config_path(&self) -> String {
        match &self.kind {
            ItemKind::Config { .. } => {
                let (written, absolute) = self.written();
                self.join(written, absolute)
            }
            ItemKind::Group { choice, .. } => format!("{}/{}", self.group_path(), choice.text()),
        }
    }

    fn default_package(&self) -> String {
        self.group_path().replace('/', ".")
    }

    /// The package it is merged into.
    pub fn final_package(&self) -> String {
        self.package_with(self.package.as_ref().or(self.header.as_ref()))
    }

    fn package_with(&self, package: Option<&String>) -> String {
        let package = package.cloned().unwrap_or_else(|| self.folder(self.written().0).replace('/', "."));
        let joined = match (self.parent_package.is_empty(), package.is_empty()) {
            (true, _) => package,
            (false, true) => self.parent_package.clone(),
            (false, false) => format!("{}.{package}", self.parent_package),
        };
        match joined.rfind("_global_") {
            Some(at) => joined.get(at + "_global_.".len()..).unwrap_or("").to_owned(),
            None => joined,
        }
    }

    /// What an override calls it: the group, with its package when that is not the group's own. Headers do not
    /// count: they belong to the option, not to the group.
    pub fn override_key(&self) -> String {
        let package = self.package_with(self.package.as_ref());
        let group = self.group_path();
        match package.as_str() {
            _ if package == self.default_package() => group,
            "" => format!("{group}@_global_"),
            _ => format!("{group}@{package}"),
        }
    }

    /// Whether its choice is still to be computed from other choices.
    pub fn is_interpolation(&self) -> bool {
        match &self.kind {
            ItemKind::Config { .. } => self.config_path().contains("${"),
            ItemKind::Group { choice: Choice::One(name), .. } => name.contains("${"),
            ItemKind::Group { .. } => false,
        }
    }

    /// Whether it must be chosen yet.
    pub fn is_missing(&self) -> bool {
        self.name() == Some("???")
    }
}
