//! Commands of a user's crate: functions of a config that are composed, get a folder, and are swept as the built-in
//! ones are.

use std::fmt;
use std::path::Path;

use indexmap::IndexMap;
use serde::de::DeserializeOwned;

use super::{Build, Kind, KindInfo, Registry, Slot, SlotRef, extract};
use crate::config::{KeyPath, Node, Problem, Resolvers, Segment};
use crate::error::Result;
use crate::run::append_report;

/// A command of a user's crate: `mine score data=moons`, `mine -m score data.points=8,16`.
///
/// Its config is `conf/<name>.yaml` where there is one, else that of `train`; its folder is
/// `outputs/<name>/<date>/<time>`. What it says with [`CommandCx::metric`] is what a sweep optimizes.
///
/// ```
/// use runner::error::Result;
/// use runner::registry::{CommandCx, OwnCommand, Registry};
///
/// fn area(cx: &mut CommandCx) -> Result<()> {
///     let [width, height]: [f64; 2] = cx.arguments("sides")?;
///     cx.metric("area", width * height);
///     Ok(())
/// }
///
/// let registry = Registry::new().with_command(OwnCommand::new("area", "multiply two sides", area).giving("area"));
/// ```
#[derive(Clone, Copy, Debug)]
pub struct OwnCommand {
    /// As it is typed.
    pub name: &'static str,
    /// What it does, in a line of the help.
    pub does: &'static str,
    /// The metric that a sweep optimizes when its config names none.
    pub metric: Option<&'static str>,
    check: Option<fn(&CommandCx) -> Result<()>>,
    run: fn(&mut CommandCx) -> Result<()>,
    instant: bool,
}

impl PartialEq for OwnCommand {
    fn eq(&self, other: &Self) -> bool {
        self.name == other.name
    }
}

impl Eq for OwnCommand {}

impl OwnCommand {
    /// A command by its name, a line of help, and what it does.
    pub const fn new(name: &'static str, does: &'static str, run: fn(&mut CommandCx) -> Result<()>) -> Self {
        OwnCommand { name, does, metric: None, check: None, run, instant: false }
    }

    /// The metric that a sweep over it optimizes when its config names none.
    pub const fn giving(self, metric: &'static str) -> Self {
        OwnCommand { metric: Some(metric), ..self }
    }

    /// What can be known to be wrong before anything is started: for a sweep, before its first job is.
    pub const fn checked_by(self, check: fn(&CommandCx) -> Result<()>) -> Self {
        OwnCommand { check: Some(check), ..self }
    }

    /// It is over at once: there is no log, no page and nothing to interrupt, and nobody waits for the disk.
    pub(crate) const fn in_an_instant(self) -> Self {
        OwnCommand { instant: true, ..self }
    }

    /// Whether it is over at once.
    pub fn is_instant(&self) -> bool {
        self.instant
    }

    /// Looks for what can be known to be wrong.
    pub fn check(&self, cx: &CommandCx) -> Result<()> {
        self.check.map_or(Ok(()), |check| check(cx))
    }

    /// Does it.
    pub fn run(&self, cx: &mut CommandCx) -> Result<()> {
        (self.run)(cx)
    }
}

/// What a command works with.
pub struct CommandCx<'a> {
    config: &'a Node,
    folder: &'a Path,
    seed: u64,
    registry: &'a Registry,
    interrupted: &'a dyn Fn() -> bool,
    metrics: IndexMap<String, f64>,
    reports: u64,
}

impl<'a> CommandCx<'a> {
    /// A command's surroundings; `interrupted` says whether the user or a sweep wants it to end.
    pub fn new(
        config: &'a Node,
        folder: &'a Path,
        seed: u64,
        registry: &'a Registry,
        interrupted: &'a dyn Fn() -> bool,
    ) -> Self {
        CommandCx { config, folder, seed, registry, interrupted, metrics: IndexMap::new(), reports: 0 }
    }

    /// The resolved config.
    pub fn config(&self) -> &'a Node {
        self.config
    }

    /// Its folder. While a command is checked it is not there yet.
    pub fn folder(&self) -> &'a Path {
        self.folder
    }

    /// The config's seed, or one that was drawn and recorded.
    pub fn seed(&self) -> u64 {
        self.seed
    }

    /// The part of the config under a dotted key, typed.
    ///
    /// # Errors
    /// When it is missing or does not fit, with the file or argument that set it.
    pub fn arguments<T: DeserializeOwned>(&self, key: &str) -> Result<T> {
        let (node, path) = self.part(key)?;
        Ok(extract(node, &path).0?)
    }

    /// Builds the component under a dotted key: `cx.build::<DataModuleKind>("data")`.
    ///
    /// # Errors
    /// When it is missing, no component, or not of this kind; what is wrong with its arguments.
    pub fn build<K: Kind>(&self, key: &str) -> Result<K::Built> {
        let (node, path) = self.part(key)?;
        let slot = SlotRef { node: node.clone(), path: path.clone(), kind: KindInfo::of::<K>() };
        self.registry.check(&slot).0.or(())?;
        Build::new(self.registry).build(&Slot::<K>::new(node.clone(), path))
    }

    fn part(&self, key: &str) -> Result<(&'a Node, KeyPath)> {
        let path = KeyPath(key.split('.').map(|part| Segment::Key(part.into())).collect());
        let missing = || Problem::new(format!("the config has no `{key}`")).help(format!("add it: +{key}=…"));
        Ok((self.config.select(key).ok_or_else(missing)?, path))
    }

    /// Says what came out: the newest value of each metric is the run's.
    pub fn metric(&mut self, name: &str, value: f64) {
        self.metrics.insert(name.to_owned(), value);
    }

    /// Ends a round of the work (an epoch): a sweep that stops what does not look promising sees the metrics so far.
    pub fn report(&mut self) {
        append_report(self.folder, self.reports, self.reports + 1, self.metrics.iter());
        self.reports += 1;
    }

    /// Whether it should end: the user has pressed Ctrl-C, or a sweep has given it up.
    pub fn is_interrupted(&self) -> bool {
        (self.interrupted)()
    }

    /// What it has said.
    pub fn metrics(&self) -> &IndexMap<String, f64> {
        &self.metrics
    }

    /// How many rounds have ended.
    pub fn rounds(&self) -> u64 {
        self.reports
    }
}

impl fmt::Debug for CommandCx<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CommandCx").field("folder", &self.folder).field("metrics", &self.metrics).finish()
    }
}

/// What a user's crate adds that the command line knows of.
#[derive(Clone, Debug, Default)]
pub struct Additions {
    /// Its resolvers.
    pub resolvers: Resolvers,
    /// Its commands.
    pub commands: Vec<OwnCommand>,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::yaml;

    fn twice(cx: &mut CommandCx) -> Result<()> {
        let value: f64 = cx.arguments("part.value")?;
        cx.metric("twice", 2.0 * value);
        cx.report();
        Ok(())
    }

    #[test]
    fn a_command_reads_typed_parts_and_says_what_came_out() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("c.yaml");
        std::fs::write(&file, "part:\n  value: 4\n  other: text\n").unwrap();
        let config = yaml::read(&file).unwrap();
        let registry = Registry::new();
        let command = OwnCommand::new("twice", "double a value", twice).giving("twice");
        let mut cx = CommandCx::new(&config, folder.path(), 1, &registry, &|| false);
        command.run(&mut cx).unwrap();
        assert_eq!(cx.metrics()["twice"], 8.0);
        let reports = std::fs::read_to_string(folder.path().join("reports.jsonl")).unwrap();
        assert_eq!(reports, "{\"epoch\":0,\"step\":1,\"values\":{\"twice\":8.0}}\n");
        let error = cx.arguments::<f64>("part.other").unwrap_err().to_string();
        assert!(error.contains("part.other") && error.contains("c.yaml"), "{error}");
        let error = cx.arguments::<f64>("nothing").unwrap_err().to_string();
        assert!(error.contains("the config has no `nothing`"), "{error}");
    }
}
