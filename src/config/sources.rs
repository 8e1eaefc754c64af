//! The search path: where config files are looked for, in order.
//!
//! First what Hydra itself ships (`hydra/…`), then the primary config folder, further folders (`--config-dir`,
//! `hydra.searchpath`), last the configs embedded in the binary. The first place that has a file wins; the options
//! of a group are those of all places. Names never leave their folder, links may lead anywhere, and each file is
//! read once.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};

use include_dir::{Dir, include_dir};

use super::document::Document;
use super::interpolate::SyntaxCache;
use super::node::{Source, SourceKind};
use super::problem::{Problem, Problems};
use super::yaml;

static HYDRA: Dir<'static> = include_dir!("$CARGO_MANIFEST_DIR/src/config/hydra");
static SHIPPED: Dir<'static> = include_dir!("$CARGO_MANIFEST_DIR/conf");

/// How deep groups may nest when all are listed.
const MAX_GROUP_DEPTH: usize = 16;

/// A place that holds config files.
#[derive(Clone, Debug)]
pub struct Place {
    /// Who named it: `hydra`, `main`, `command-line`, `hydra.searchpath in main`, `shipped`.
    pub provider: String,
    root: Root,
}

#[derive(Clone, Debug)]
enum Root {
    Folder(PathBuf),
    Embedded {
        dir: &'static Dir<'static>,
        below: &'static str,
    },
    /// One file that exists only here: the config saved in a checkpoint.
    Text {
        name: String,
        source: Arc<Source>,
    },
}

type Read = Result<Option<Arc<Document>>, Problems>;

/// The places in order, and what has been read from them.
#[derive(Debug, Default)]
pub struct Sources {
    places: Vec<Place>,
    documents: RwLock<HashMap<String, Read>>,
    groups: RwLock<HashMap<String, GroupKind>>,
    syntax: Arc<SyntaxCache>,
}

/// Whether a name is a group, and whose.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GroupKind {
    /// No folder has that name.
    No,
    /// One of the user's folders, or Hydra's own groups, has it.
    Yes,
    /// Only the shipped configs have it.
    Shipped,
}

impl Place {
    /// A folder.
    pub fn folder(provider: impl Into<String>, path: impl Into<PathBuf>) -> Self {
        Place { provider: provider.into(), root: Root::Folder(path.into()) }
    }

    /// The configs embedded in the binary.
    pub fn shipped() -> Self {
        Place { provider: "shipped".to_owned(), root: Root::Embedded { dir: &SHIPPED, below: "" } }
    }

    /// A single config called `name`, given as text; `kind` says where the text came from.
    pub fn text(provider: impl Into<String>, name: &str, kind: SourceKind, text: String) -> Self {
        let source = Arc::new(Source { kind, text });
        Place { provider: provider.into(), root: Root::Text { name: format!("{name}.yaml"), source } }
    }

    fn hydra() -> Self {
        Place { provider: "hydra".to_owned(), root: Root::Embedded { dir: &HYDRA, below: "hydra" } }
    }

    /// Its scheme: `file` or `embedded`.
    pub fn scheme(&self) -> &'static str {
        match self.root {
            Root::Folder(_) => "file",
            Root::Embedded { .. } | Root::Text { .. } => "embedded",
        }
    }

    /// Its path, as shown in the search path.
    pub fn path(&self) -> String {
        match &self.root {
            Root::Folder(path) => path.display().to_string(),
            Root::Embedded { below: "", .. } => "conf".to_owned(),
            Root::Embedded { below, .. } => (*below).to_owned(),
            Root::Text { source, .. } => source.kind.to_string(),
        }
    }

    /// Whether it exists.
    pub fn is_available(&self) -> bool {
        match &self.root {
            Root::Folder(path) => path.is_dir(),
            Root::Embedded { .. } | Root::Text { .. } => true,
        }
    }

    fn read(&self, name: &str) -> Result<Option<Arc<Source>>, Problems> {
        match &self.root {
            Root::Folder(folder) => {
                let path = folder.join(name);
                if !path.is_file() {
                    return Ok(None);
                }
                match std::fs::read(&path) {
                    Ok(bytes) => yaml::decode(SourceKind::File(path), bytes).map(Some),
                    Err(error) => Err(Problem::new(format!("{} cannot be read: {error}", path.display())).into()),
                }
            }
            Root::Embedded { dir, below } => {
                let Some(inner) = strip(name, below) else { return Ok(None) };
                let Some(file) = dir.get_file(inner) else { return Ok(None) };
                yaml::decode(SourceKind::Embedded(name.to_owned()), file.contents().to_vec()).map(Some)
            }
            Root::Text { name: own, source } => Ok((name == own).then(|| source.clone())),
        }
    }

    fn has_folder(&self, name: &str) -> bool {
        match &self.root {
            Root::Folder(folder) => folder.join(name).is_dir(),
            Root::Embedded { dir, below } => {
                name == *below || strip(name, below).is_some_and(|inner| dir.get_dir(inner).is_some())
            }
            Root::Text { .. } => false,
        }
    }

    /// The names in a folder: files without their extension, or folders.
    fn list(&self, folder: &str, kind: Listed) -> Vec<String> {
        match &self.root {
            Root::Folder(root) => {
                let Ok(entries) = std::fs::read_dir(root.join(folder)) else { return Vec::new() };
                entries
                    .flatten()
                    .filter_map(|entry| listed(&entry.path(), kind, |p| p.is_dir(), |p| p.is_file()))
                    .collect()
            }
            Root::Embedded { dir, below } => {
                if folder.is_empty() && !below.is_empty() {
                    return if kind == Listed::Folders { vec![(*below).to_owned()] } else { Vec::new() };
                }
                let inner = if folder == *below { Some("") } else { strip(folder, below) };
                let found = inner.and_then(|inner| if inner.is_empty() { Some(*dir) } else { dir.get_dir(inner) });
                let Some(found) = found else { return Vec::new() };
                let entries = found.entries().iter();
                entries
                    .filter_map(|e| listed(e.path(), kind, |_| e.as_dir().is_some(), |_| e.as_file().is_some()))
                    .collect()
            }
            Root::Text { .. } => Vec::new(),
        }
    }
}

#[derive(Clone, Copy, PartialEq)]
enum Listed {
    Files,
    Folders,
}

fn listed(
    path: &Path,
    kind: Listed,
    is_dir: impl Fn(&Path) -> bool,
    is_file: impl Fn(&Path) -> bool,
) -> Option<String> {
    let name = path.file_name()?.to_str()?;
    match kind {
        Listed::Files => name.strip_suffix(".yaml").filter(|stem| !stem.is_empty() && is_file(path)).map(str::to_owned),
        Listed::Folders => (!name.starts_with('.') && name != "__pycache__" && is_dir(path)).then(|| name.to_owned()),
    }
}

fn strip<'n>(name: &'n str, below: &str) -> Option<&'n str> {
    if below.is_empty() { Some(name) } else { name.strip_prefix(below)?.strip_prefix('/') }
}

/// Whether a name stays inside its folder.
fn is_inside(name: &str) -> bool {
    let path = Path::new(name);
    !name.contains('\0')
        && path.components().all(|part| matches!(part, std::path::Component::Normal(_) | std::path::Component::CurDir))
}

impl Sources {
    /// The search path over `places`; Hydra's own groups come before them.
    pub fn new(places: impl IntoIterator<Item = Place>) -> Self {
        let places = std::iter::once(Place::hydra()).chain(places).collect();
        Sources { places, ..Sources::default() }
    }

    /// The same with further folders before the shipped configs; what has been read is read again.
    pub fn with_more(&self, more: impl IntoIterator<Item = Place>) -> Self {
        let mut places = self.places.clone();
        let at = places.iter().position(|place| place.provider == "shipped").unwrap_or(places.len());
        places.splice(at..at, more);
        Sources { places, syntax: self.syntax.clone(), ..Sources::default() }
    }

    /// The places in order.
    pub fn places(&self) -> &[Place] {
        &self.places
    }

    /// The parsed interpolations of everything read so far.
    pub fn syntax(&self) -> &SyntaxCache {
        &self.syntax
    }

    /// A config by its path without `.yaml`, such as `model/resnet`; `None` when no place has it.
    ///
    /// # Errors
    /// What is wrong with the file, or that the path leaves the config folder.
    pub fn load(&self, path: &str) -> Read {
        if let Some(known) = self.documents.read().unwrap_or_else(PoisonError::into_inner).get(path) {
            return known.clone();
        }
        let read = self.read(path);
        self.documents.write().unwrap_or_else(PoisonError::into_inner).insert(path.to_owned(), read.clone());
        read
    }

    fn read(&self, path: &str) -> Read {
        if !is_inside(path) {
            return Err(Problem::new(format!("`{path}` leads out of the config folder"))
                .help("add the other folder with `--config-dir` or `hydra.searchpath`")
                .into());
        }
        let name = if path.ends_with(".yaml") { path.to_owned() } else { format!("{path}.yaml") };
        for place in &self.places {
            if let Some(source) = place.read(&name)? {
                return Document::read(source, &self.syntax).map(|document| Some(Arc::new(document)));
            }
        }
        Ok(None)
    }

    /// Whether a folder of that name exists.
    pub fn group_kind(&self, group: &str) -> GroupKind {
        if let Some(known) = self.groups.read().unwrap_or_else(PoisonError::into_inner).get(group) {
            return *known;
        }
        let mut kind = GroupKind::No;
        if is_inside(group) {
            for place in self.places.iter().filter(|place| place.has_folder(group)) {
                kind = if place.provider == "shipped" { GroupKind::Shipped } else { GroupKind::Yes };
                if kind == GroupKind::Yes {
                    break;
                }
            }
        }
        self.groups.write().unwrap_or_else(PoisonError::into_inner).insert(group.to_owned(), kind);
        kind
    }

    /// Whether a folder of that name exists in any place.
    pub fn is_group(&self, group: &str) -> bool {
        self.group_kind(group) != GroupKind::No
    }

    /// The options of a group, sorted.
    pub fn options(&self, group: &str) -> Vec<String> {
        self.list(group, Listed::Files)
    }

    /// The groups directly inside a group, sorted; the top level for an empty name.
    pub fn subgroups(&self, group: &str) -> Vec<String> {
        self.list(group, Listed::Folders)
    }

    fn list(&self, group: &str, kind: Listed) -> Vec<String> {
        if !group.is_empty() && !is_inside(group) {
            return Vec::new();
        }
        let names: BTreeSet<String> = self.places.iter().flat_map(|place| place.list(group, kind)).collect();
        names.into_iter().collect()
    }

    /// All groups, nested ones as `a/b`, sorted. A link that leads back to a folder above is not followed.
    pub fn groups(&self) -> Vec<String> {
        let mut groups = BTreeSet::new();
        for place in &self.places {
            let mut above = HashSet::new();
            gather(place, "", &mut above, &mut groups);
        }
        groups.into_iter().collect()
    }
}

fn gather(place: &Place, group: &str, above: &mut HashSet<PathBuf>, groups: &mut BTreeSet<String>) {
    let real = match &place.root {
        Root::Folder(root) => match root.join(group).canonicalize() {
            Ok(real) => real,
            Err(_) => return,
        },
        Root::Embedded { .. } | Root::Text { .. } => PathBuf::from(group),
    };
    if group.split('/').count() > MAX_GROUP_DEPTH || !above.insert(real.clone()) {
        return;
    }
    for name in place.list(group, Listed::Folders) {
        let path = if group.is_empty() { name } else { format!("{group}/{name}") };
        gather(place, &path, above, groups);
        groups.insert(path);
    }
    above.remove(&real);
}
