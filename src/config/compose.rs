//! Composing: search path, defaults list, layers merged in order, overrides applied in order, and the result with
//! all that later questions need.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use indexmap::IndexMap;

use super::apply::{self, Found, Lookup};
use super::defaults::{self, DefaultsList, Layer, TreeEntry};
use super::document::{Choice, Document};
use super::hydra::{self, Facts, Mode};
use super::interpolate::resolve::{LookupError, Missing, Resolved};
use super::interpolate::{Arena, Session};
use super::merge;
use super::node::{Key, KeyPath, Map, Node, Origin, Value};
use super::overrides::{self, Op, Override};
use super::problem::{Problem, Problems};
use super::resolvers::Resolvers;
use super::reused::Reused;
use super::sources::{Place, Sources};
use super::text::py_str;

/// Composes configs over one search path. It keeps what it has read, so the jobs of a sweep share one.
#[derive(Debug)]
pub struct Composer {
    sources: Arc<Sources>,
    resolvers: Arc<Resolvers>,
    facts: Facts,
    /// Search paths lengthened by `hydra.searchpath`, by its entries.
    longer: Mutex<HashMap<Vec<String>, Arc<Sources>>>,
    /// What the files alone make, by what was asked of groups: the jobs of a sweep mostly share it.
    bases: Mutex<HashMap<String, Arc<Base>>>,
}

/// How many bases are kept.
const MAX_BASES: usize = 64;

/// The merged files of one defaults list, before overrides of keys.
#[derive(Debug)]
struct Base {
    list: Arc<DefaultsList>,
    root: Node,
}

/// A composed config.
#[derive(Clone, Debug)]
pub struct Config {
    /// What the job sees: the tree without `hydra`, interpolations unresolved.
    pub job: Node,
    /// The `hydra` node, interpolations unresolved.
    pub hydra: Node,
    list: Arc<DefaultsList>,
    /// The overrides that are about the job, as typed.
    pub overrides: Vec<String>,
    /// The overrides that are about the `hydra` node, as typed.
    pub hydra_overrides: Vec<String>,
    /// What it was composed from.
    pub sources: Arc<Sources>,
    resolvers: Arc<Resolvers>,
}

/// A step of composing, told to an observer.
#[derive(Debug)]
pub enum Step<'s> {
    /// A file has been merged.
    Layer(&'s Layer, &'s Document),
    /// An override has been applied.
    Override(&'s Override),
}

type Observer<'o> = dyn FnMut(Step, &Node) + 'o;

impl Composer {
    /// A composer over a search path.
    pub fn new(sources: Sources, facts: Facts) -> Self {
        Composer {
            sources: Arc::new(sources),
            resolvers: Arc::default(),
            facts,
            longer: Mutex::default(),
            bases: Mutex::default(),
        }
    }

    /// Adds the resolvers of a user's crate.
    pub fn with_resolvers(mut self, resolvers: Resolvers) -> Self {
        self.resolvers = Arc::new(resolvers);
        self
    }

    /// The search path, without what `hydra.searchpath` adds.
    pub fn sources(&self) -> &Arc<Sources> {
        &self.sources
    }

    /// What the program knows about the run.
    pub fn facts(&self) -> &Facts {
        &self.facts
    }

    /// Composes a primary config with overrides; `None` starts from nothing.
    ///
    /// # Errors
    /// Everything that is wrong, as far as it can be seen at once.
    pub fn compose(&self, config_name: Option<&str>, overrides: &[Override]) -> Result<Config, Problems> {
        self.compose_for(&self.facts, config_name, overrides, None)
    }

    /// Composes the parent of a sweep: swept values are left out, and a choice that is `???` may be left to the jobs.
    ///
    /// # Errors
    /// As [`Composer::compose`].
    pub fn compose_parent(&self, config_name: Option<&str>, overrides: &[Override]) -> Result<Config, Problems> {
        self.compose_for(&Facts { mode: Mode::Multirun, ..self.facts.clone() }, config_name, overrides, None)
    }

    /// Composes one job of a sweep, of which `facts` tell the number: the parent's overrides of `hydra`, then the
    /// job's own.
    ///
    /// # Errors
    /// As [`Composer::compose`].
    pub fn compose_job(
        &self,
        config_name: Option<&str>,
        parent: &Config,
        job: &[String],
        facts: &Facts,
    ) -> Result<Config, Problems> {
        let arguments: Vec<String> = parent.hydra_overrides.iter().chain(job).cloned().collect();
        self.compose_for(facts, config_name, &overrides::parse_all(&arguments)?, None)
    }

    /// As [`Composer::compose`], telling each step and the tree after it.
    pub(super) fn compose_for(
        &self,
        facts: &Facts,
        config_name: Option<&str>,
        overrides: &[Override],
        mut observer: Option<&mut Observer>,
    ) -> Result<Config, Problems> {
        let sources = self.search_path(config_name, overrides)?;
        check_sweeps(overrides, facts.mode)?;
        let skip_missing = facts.mode == Mode::Multirun;
        let work = Work { sources: &sources, resolvers: &self.resolvers };
        let signature = match observer {
            Some(_) => None,
            None => defaults::signature(&sources, config_name, overrides, skip_missing),
        };
        let known = signature.as_ref().and_then(|(signature, _)| self.base(&sources, signature));
        let (list, mut root, key_overrides) = match (known, signature) {
            (Some(base), Some((_, keys))) => (base.list.clone(), base.root.clone(), keys),
            (_, signature) => {
                let (list, keys) =
                    defaults::defaults_list(&sources, &self.resolvers, config_name, overrides, skip_missing)?;
                let list = Arc::new(list);
                let root = work.merge_layers(&list, &mut observer)?;
                if let Some((signature, _)) = signature {
                    self.keep_base(&sources, signature, Base { list: list.clone(), root: root.clone() });
                }
                (list, root, keys)
            }
        };
        work.apply(&mut root, &key_overrides, overrides, &mut observer)?;
        let mut node = match &mut root.value {
            Value::Map(map) => map.shift_remove("hydra").unwrap_or_else(|| Node::program(Map::new())),
            _ => Node::program(Map::new()),
        };
        hydra::typed(&mut node, None, true)?;
        hydra::fill(&mut node, facts, config_name, overrides, &list.choices, &sources, &self.resolvers)?;
        let texts =
            |hydra: bool| overrides.iter().filter(|o| o.is_hydra() == hydra).map(|o| o.source.text.clone()).collect();
        Ok(Config {
            job: root,
            hydra: node,
            list,
            overrides: texts(false),
            hydra_overrides: texts(true),
            sources: sources.clone(),
            resolvers: self.resolvers.clone(),
        })
    }

    fn base(&self, sources: &Arc<Sources>, signature: &str) -> Option<Arc<Base>> {
        // A longer search path reads other files: only the common case is kept.
        let is_own = Arc::ptr_eq(sources, &self.sources);
        let bases = self.bases.lock().unwrap_or_else(PoisonError::into_inner);
        bases.get(signature).filter(|_| is_own).cloned()
    }

    fn keep_base(&self, sources: &Arc<Sources>, signature: String, base: Base) {
        if Arc::ptr_eq(sources, &self.sources) {
            let mut bases = self.bases.lock().unwrap_or_else(PoisonError::into_inner);
            if bases.len() >= MAX_BASES {
                bases.clear();
            }
            bases.insert(signature, Arc::new(base));
        }
    }

    /// The search path with the folders of `hydra.searchpath`: the command line's, else the primary config's.
    fn search_path(&self, config_name: Option<&str>, overrides: &[Override]) -> Result<Arc<Sources>, Problems> {
        let command_line = overrides.iter().find(|item| item.key == "hydra.searchpath" && item.op == Op::Set);
        let from_command_line = command_line.and_then(Override::to_node);
        let (provider, value) = match from_command_line {
            Some(value) => ("hydra.searchpath in command-line", value),
            None => {
                let primary = config_name.map(|name| self.sources.load(name)).transpose()?.flatten();
                let Some(value) = primary.and_then(|primary| self.searchpath_in(&primary).transpose()).transpose()?
                else {
                    return Ok(self.sources.clone());
                };
                ("hydra.searchpath in main", value)
            }
        };
        if value.is_null() || value.is_missing() {
            return Ok(self.sources.clone());
        }
        let wrong = || Problem::new("`hydra.searchpath` must be a list of folders").from(&value.origin);
        let Some(list) = value.as_list() else { return Err(wrong().into()) };
        let mut folders = Vec::new();
        for item in list {
            folders.push(item.as_str().ok_or_else(wrong)?.to_owned());
        }
        if folders.is_empty() {
            return Ok(self.sources.clone());
        }
        let mut longer = self.longer.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = longer.get(&folders) {
            return Ok(known.clone());
        }
        let mut places = Vec::new();
        for folder in &folders {
            places.push(Place::folder(provider, self.folder(folder, &value.origin)?));
        }
        let sources = Arc::new(self.sources.with_more(places));
        longer.insert(folders, sources.clone());
        Ok(sources)
    }

    fn searchpath_in(&self, primary: &Document) -> Result<Option<Node>, Problems> {
        if primary.body.select("hydra.searchpath").is_none() {
            return Ok(None);
        }
        let arena = Arena::default();
        let session = Session::new(&primary.body, None, &self.resolvers, self.sources.syntax(), &arena);
        session.at(&session.job_root(), "hydra.searchpath")
    }

    fn folder(&self, text: &str, origin: &Origin) -> Result<PathBuf, Problem> {
        match text.split_once("://") {
            None => Ok(self.facts.cwd.join(text)),
            Some(("file", path)) => Ok(self.facts.cwd.join(path)),
            // Packages of Python have no meaning here; Hydra only warns about places that are not there.
            Some(("pkg" | "structured", name)) => Ok(Path::new("/nonexistent").join(name)),
            Some((scheme, _)) => {
                let help = "write a path, or file://PATH";
                Err(Problem::new(format!("`{text}`: there are no configs at `{scheme}://`")).from(origin).help(help))
            }
        }
    }
}

/// A sweep needs a multirun, and the `hydra` node cannot be swept.
fn check_sweeps(overrides: &[Override], mode: Mode) -> Result<(), Problems> {
    let mut problems = Problems::default();
    for item in overrides.iter().filter(|item| item.is_sweep()) {
        let text = &item.source.text;
        let problem = match mode {
            Mode::Multirun if item.is_hydra() => Problem::new("the hydra node cannot be swept"),
            Mode::Multirun => continue,
            Mode::Run => {
                let value = text.split_once('=').map_or("", |(_, value)| value);
                let key = item.key_text();
                Problem::new(format!("`{text}` names several values, but this is one run")).help(format!(
                    "for a sweep add `-m`; for a list write `{key}=[{value}]`; for text `{key}='{value}'`"
                ))
            }
        };
        problems.push(problem.from(&item.value_origin()).width(item.value_span.width()));
    }
    problems.or(())
}

/// Building the tree of one config.
struct Work<'w> {
    sources: &'w Sources,
    resolvers: &'w Resolvers,
}

impl Work<'_> {
    fn merge_layers(&self, list: &DefaultsList, observer: &mut Option<&mut Observer>) -> Result<Node, Problems> {
        let mut root = Node::program(Map::new());
        let mut is_typed = false;
        let mut reused = Reused::new(&list.layers);
        for layer in &list.layers {
            let Some(document) = self.sources.load(&layer.config)? else { continue };
            let package: Vec<Key> = split_package(&layer.package).into_iter().map(Key::from).collect();
            let body = reused.body(layer, &document, &root);
            let body = body.as_ref().unwrap_or(&document.body);
            self.merge(&mut root, layer, &package, body, is_typed)?;
            reused.merged(&package, body, &root);
            is_typed |= layer.config == "hydra/config";
            if let Some(observer) = observer {
                observer(Step::Layer(layer, &document), &root);
            }
        }
        Ok(root)
    }

    fn apply(
        &self,
        root: &mut Node,
        keys: &[usize],
        overrides: &[Override],
        observer: &mut Option<&mut Observer>,
    ) -> Result<(), Problems> {
        let mut problems = Problems::default();
        let select = |root: &Node, parts: &[String]| self.select(root, parts);
        let dereference = |root: &Node, path: &KeyPath| self.dereference(root, path);
        let lookup = Lookup { select: &select, dereference: &dereference };
        for item in keys.iter().filter_map(|&number| overrides.get(number)) {
            if let Err(problem) = self.check_syntax(item).and_then(|()| Ok(apply::apply(root, item, &lookup)?)) {
                problems.extend(problem);
            }
            if let Some(observer) = observer {
                observer(Step::Override(item), root);
            }
        }
        problems.or(())
    }

    fn check_syntax(&self, item: &Override) -> Result<(), Problems> {
        match item.to_node() {
            Some(node) => self.sources.syntax().check(&node),
            None => Ok(()),
        }
    }

    fn merge(
        &self,
        root: &mut Node,
        layer: &Layer,
        package: &[Key],
        body: &Node,
        is_typed: bool,
    ) -> Result<(), Problem> {
        let dereference = |root: &Node, path: &KeyPath| self.dereference(root, path);
        let is_hydra = match package.first() {
            Some(first) => first.as_str() == Some("hydra"),
            None => body.get("hydra").is_some(),
        };
        if !is_typed || !is_hydra {
            return merge::into_package(root, package, body, &dereference);
        }
        // Hydra's own node has typed fields: check what goes into it as if it stood alone.
        let mut whole = Node::program(Map::new());
        merge::into_package(&mut whole, package, body, &dereference)?;
        if let Some(node) = whole.as_map_mut().and_then(|map| map.get_mut("hydra")) {
            hydra::typed(node, root.get("hydra"), false)?;
            if !layer.primary && node.get("searchpath").is_some_and(|path| !path.is_null() && !path.is_missing()) {
                let message = format!("`{}` sets `hydra.searchpath`, which only the primary config can", layer.config);
                return Err(Problem::new(message).from(&node.origin));
            }
        }
        merge::into_package(root, &[], &whole, &dereference)
    }

    /// The value at a path of a tree that still holds `hydra`, interpolations followed.
    fn select(&self, root: &Node, parts: &[String]) -> Result<Option<Found>, Problem> {
        let arena = Arena::default();
        let session = Session::new(root, None, self.resolvers, self.sources.syntax(), &arena);
        let frame = session.job_root();
        let steps: Vec<&str> = parts.iter().map(String::as_str).collect();
        let found = match session.walk(frame, &steps, Missing::Allowed) {
            Ok(found) => found,
            Err(LookupError::NotAContainer(_)) => None,
            Err(LookupError::Failed(failure)) => return Err((*failure).clone()),
        };
        Ok(found.map(|found| match &found {
            Resolved::Container(frame) => {
                let value = session.tree(frame).unwrap_or_else(|_| frame.node.clone());
                Found { value, path: frame.place_in_tree() }
            }
            Resolved::Scalar(node) => Found { value: (*node).clone(), path: None },
            Resolved::Plain(value) => Found { value: Node::program(value.clone()), path: None },
        }))
    }

    /// The container that the interpolation at a path refers to, as it stands there.
    fn dereference(&self, root: &Node, path: &KeyPath) -> Option<Node> {
        let arena = Arena::default();
        let session = Session::new(root, None, self.resolvers, self.sources.syntax(), &arena);
        match session.follow(path) {
            Some(Resolved::Container(frame)) => Some(frame.node.clone()),
            _ => None,
        }
    }
}

/// The keys of a package.
fn split_package(package: &str) -> Vec<&str> {
    if package.is_empty() { Vec::new() } else { super::interpolate::resolve::split_path(package) }
}

impl Config {
    /// The groups chosen, by their keys (`db`, `db@src`), in Hydra's order.
    pub fn choices(&self) -> &IndexMap<String, Choice> {
        &self.list.choices
    }

    /// The files in the order in which they were merged.
    pub fn layers(&self) -> &[Layer] {
        &self.list.layers
    }

    /// The defaults tree.
    pub fn tree(&self) -> &[TreeEntry] {
        &self.list.tree
    }

    /// What the job sees, resolved.
    ///
    /// # Errors
    /// All interpolations that cannot be resolved.
    pub fn resolved(&self) -> Result<Node, Problems> {
        self.session(|session| session.tree(&session.job_root()))
    }

    /// The `hydra` node, resolved.
    ///
    /// # Errors
    /// All interpolations that cannot be resolved.
    pub fn resolved_hydra(&self) -> Result<Node, Problems> {
        self.session(|session| match session.hydra_frame() {
            Some(frame) => session.tree(&frame),
            None => Ok(Node::program(Map::new())),
        })
    }

    /// One value, resolved: `trainer.max_epochs`, `hydra.run.dir`; `None` when there is no such key.
    ///
    /// # Errors
    /// Interpolations that cannot be resolved.
    pub fn value(&self, path: &str) -> Result<Option<Node>, Problems> {
        self.session(|session| match path.strip_prefix("hydra.") {
            Some(rest) => session.hydra_frame().map_or(Ok(None), |frame| session.at(&frame, rest)),
            None => session.at(&session.job_root(), path),
        })
    }

    /// The arguments that a sweep goes over: `hydra.sweeper.params`, then the overrides about the job.
    ///
    /// # Errors
    /// Interpolations of the parameters that cannot be resolved.
    pub fn sweep_arguments(&self) -> Result<Vec<String>, Problems> {
        let params = match self.value("hydra.sweeper.params")? {
            Some(Node { value: Value::Map(map), .. }) => map,
            _ => Map::new(),
        };
        let params = params.iter().map(|(key, value)| format!("{key}={}", py_str(value)));
        Ok(params.chain(self.overrides.iter().cloned()).collect())
    }

    /// Sets a field of the `hydra` node that is known only now, such as `runtime.output_dir`.
    pub fn set_hydra(&mut self, path: &str, value: impl Into<Value>) {
        hydra::set(&mut self.hydra, path, value);
    }

    /// Sets a value of the job's tree that the program has chosen, as the override `path=value` would; `spelt` is how
    /// the override is recorded.
    pub fn set_job(&mut self, path: &str, value: impl Into<Value>, spelt: String) {
        hydra::set(&mut self.job, path, value);
        self.overrides.push(spelt);
    }

    /// The `hydra` node of something that was started. Hydra makes the mode an override then, unless the config or the
    /// user did.
    pub fn as_started(&self) -> Node {
        let mut hydra = self.hydra.clone();
        let is_typed = self.hydra_overrides.iter().any(|text| text.trim_start_matches('+').starts_with("hydra.mode="));
        if let (false, Some(mode)) = (is_typed, self.hydra.get("mode").and_then(Node::as_str)) {
            hydra::append(&mut hydra, "overrides.hydra", std::iter::once(format!("hydra.mode={mode}").as_str()));
        }
        hydra
    }

    /// The tree with `hydra` as its first key, unresolved, of something that was started.
    pub fn all(&self) -> Node {
        let mut map = Map::from_iter([(Key::from("hydra"), self.as_started())]);
        if let Value::Map(job) = &self.job.value {
            map.extend(job.iter().map(|(key, node)| (key.clone(), node.clone())));
        }
        Node { value: Value::Map(map), origin: self.job.origin.clone() }
    }

    /// The resolvers that its interpolations may name.
    pub(super) fn resolvers(&self) -> &Resolvers {
        &self.resolvers
    }

    /// Runs questions over the interpolations of this config.
    pub(super) fn session<T>(&self, ask: impl FnOnce(&Session) -> T) -> T {
        let arena = Arena::default();
        let session = Session::new(&self.job, Some(&self.hydra), &self.resolvers, self.sources.syntax(), &arena);
        ask(&session)
    }

    /// Warnings of resolving: uses of `oc.deprecated`.
    pub fn warnings(&self) -> Vec<String> {
        self.session(|session| {
            // Problems are reported by whoever resolves for the value.
            let _ = session.tree(&session.job_root());
            session.warnings.take()
        })
    }
}
