//! Sweepers: what `hydra/sweeper=…` chooses. A sweeper reads the space from its `params` and the command line, and
//! plans a [`Search`].

mod ax;
mod basic;
mod halving;
mod learners;
mod optuna;
mod pruners;
mod samplers;

use serde_json::Value as Json;

use super::search::{OutcomeConstraint, Search};
use super::space::{Argument, Options, SearchSpace};
use crate::config::overrides::{self, Override};
use crate::config::text::py_str;
use crate::config::{KeyPath, Node, Problem, Problems, Value};
use crate::error::Result;
use crate::registry::{Build, Kind, KindInfo, Registry, Slot, SlotRef};

pub use pruners::PrunerKind;
pub use samplers::{SamplerKind, SamplerPlan, Scope};

/// The kind of `hydra.sweeper`.
pub struct SweeperKind;

impl Kind for SweeperKind {
    type Built = Box<dyn Sweeper>;
    const NAME: &'static str = "sweeper";
}

/// What plans a search.
pub trait Sweeper {
    /// Plans the search.
    ///
    /// # Errors
    /// Everything that is wrong with the sweep: nothing has been started then.
    fn plan(self: Box<Self>, definition: &Definition) -> Result<Search>;
}

/// What a sweep goes over, as the user wrote it.
#[derive(Clone)]
pub struct Definition<'a> {
    /// `hydra.sweeper.params` whose values are overrides, then the command line's overrides.
    pub arguments: Vec<Argument>,
    /// `hydra.sweeper.params` whose values are mappings, as Ax writes them.
    pub described: Vec<(String, Node)>,
    /// The options of config groups.
    pub options: Options<'a>,
}

/// Parameters that are read from the sub-tree itself; here they are only accepted.
pub type Params = Option<indexmap::IndexMap<String, Json>>;

impl<'a> Definition<'a> {
    /// Reads `params` of the sweeper's sub-tree (resolved) and the overrides typed.
    ///
    /// # Errors
    /// What does not fit the grammar of overrides.
    pub fn new(sweeper: &Node, typed: &[Override], options: Options<'a>) -> Result<Self, Problems> {
        let mut problems = Problems::default();
        let mut definition = Definition { arguments: Vec::new(), described: Vec::new(), options };
        let mut params = crate::config::Map::new();
        // Ax has them among its own settings.
        for node in [sweeper.select("ax_config.params"), sweeper.get("params")].into_iter().flatten() {
            match &node.value {
                Value::Null => {}
                Value::Map(map) => params.extend(map.iter().map(|(key, node)| (key.clone(), node.clone()))),
                _ => {
                    let problem = Problem::new("hydra.sweeper.params is a mapping from keys to what they go over");
                    return Err(problem.from(&node.origin).into());
                }
            }
        }
        for (key, node) in &params {
            if matches!(node.value, Value::Map(_)) {
                definition.described.push((key.to_string(), node.clone()));
                continue;
            }
            match overrides::parse(&format!("{key}={}", py_str(node)), 1) {
                Ok(parsed) => definition.arguments.push(Argument { parsed, line: Some(node.origin.clone()) }),
                Err(problem) => problems.push(Problem { width: 0, ..problem.from(&node.origin) }),
            }
        }
        let typed = typed.iter().map(|parsed| Argument { parsed: parsed.clone(), line: None });
        definition.arguments.extend(typed);
        problems.or(definition)
    }

    /// The space of a search, with conditions and constraints; not empty.
    ///
    /// # Errors
    /// Ranges that cannot be, expressions that cannot be read, nothing to vary.
    pub fn space(&self, restrictions: &Restrictions, seed: u64) -> Result<SearchSpace, Problems> {
        if let Some((key, node)) = self.described.first() {
            return Err(Problem::new(format!("`{key}` is described by a mapping, which only the sweeper ax reads"))
                .from(&node.origin)
                .help("write it as an override: choice(a, b), interval(0, 1), range(1, 10)")
                .into());
        }
        let mut space = SearchSpace::read(&self.arguments, self.options, seed, false)?;
        restrictions.apply(&mut space)?;
        not_empty(&space)?;
        Ok(space)
    }
}

fn not_empty(space: &SearchSpace) -> Result<(), Problem> {
    if space.parameters.is_empty() {
        return Err(Problem::new("the search has nothing to vary").help(
            "name a range: hydra.sweeper.params, or on the command line model.optimizer.lr=interval(1e-4,1e-1)",
        ));
    }
    Ok(())
}

/// What limits a search beside its ranges.
#[derive(Clone, Debug, Default)]
pub struct Restrictions {
    /// When parameters matter: key to expression.
    pub conditions: Option<indexmap::IndexMap<String, String>>,
    /// What must hold between parameters.
    pub constraints: Option<Vec<String>>,
}

impl Restrictions {
    fn apply(&self, space: &mut SearchSpace) -> Result<(), Problems> {
        let conditions = self.conditions.iter().flatten().map(|(key, text)| (key.as_str(), text.as_str()));
        space.restrict(conditions, self.constraints.iter().flatten().map(String::as_str))
    }
}

/// Reads bounds on metrics: `NAME <= NUMBER` and `NAME >= NUMBER`.
///
/// # Errors
/// What is neither.
fn outcome_constraints(texts: Option<&[String]>) -> Result<Vec<OutcomeConstraint>, Problem> {
    let read = |text: &String| {
        let parts = text.split_once("<=").map(|parts| (parts, true));
        let ((metric, bound), upper) = parts.or_else(|| text.split_once(">=").map(|parts| (parts, false)))?;
        let bound = bound.trim().parse::<f64>().ok().filter(|bound| bound.is_finite())?;
        let metric = metric.trim();
        (!metric.is_empty()).then(|| OutcomeConstraint { metric: metric.to_owned(), upper, bound })
    };
    let refuse = |text: &String| {
        Problem::new(format!("`{text}` is no bound on a metric")).help("write test/loss <= 0.3, or test/acc >= 0.9")
    };
    texts.unwrap_or_default().iter().map(|text| read(text).ok_or_else(|| refuse(text))).collect()
}

impl Search {
    /// Plans the search of a sweep: `sweeper` is the resolved sub-tree `hydra.sweeper`, `typed` the overrides of
    /// the command line, `options` the options of a config group.
    ///
    /// ```no_run
    /// # use runner::{config::Node, registry::Registry, sweep::{Ask, Search, Trial}};
    /// # fn run(sweeper: &Node, registry: &Registry) -> runner::error::Result<()> {
    /// let mut search = Search::plan(sweeper, &[], &|_| Vec::new(), registry)?;
    /// let mut trials: Vec<Trial> = Vec::new(); // or those of the journal, to go on
    /// while let Ask::Start(proposal) = search.ask(&trials)? {
    ///     trials.push(proposal.trial); // start its job; on its end set the state and the values
    /// }
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    /// Everything that is wrong with the sweep.
    pub fn plan(sweeper: &Node, typed: &[Override], options: Options, registry: &Registry) -> Result<Search> {
        let path = KeyPath::root().key("hydra").key("sweeper");
        let slot = SlotRef { node: sweeper.clone(), path: path.clone(), kind: KindInfo::of::<SweeperKind>() };
        let (mut problems, notes) = registry.check(&slot);
        for (path, note) in notes {
            tracing::info!("{path} {note}");
        }
        let definition = match Definition::new(sweeper, typed, options) {
            Ok(definition) => definition,
            Err(found) => {
                problems.extend(found);
                return Err(problems.into());
            }
        };
        problems.or(())?;
        Build::new(registry).build(&Slot::<SweeperKind>::new(sweeper.clone(), path))?.plan(&definition)
    }
}

/// Registers the sweepers, samplers and pruners.
pub fn register(registry: &mut Registry) {
    registry.add::<basic::BasicSweeper>();
    registry.add::<optuna::OptunaSweeper>();
    registry.add::<ax::AxSweeper>();
    halving::register(registry);
    samplers::register(registry);
    learners::register(registry);
    pruners::register(registry);
}
