//! The sweeper of hydra-ax-sweeper: Bayesian optimization with a Gaussian process, with Ax's configuration.

use indexmap::IndexMap;
use serde_json::Value as Json;

use super::{Definition, Params, Restrictions, Sweeper, SweeperKind, outcome_constraints};
use crate::config::overrides;
use crate::config::text::py_str;
use crate::config::{Node, Problem, Problems, Value};
use crate::prelude::*;
use crate::sweep::pruners::Never;
use crate::sweep::samplers::GaussianProcess;
use crate::sweep::search::{Patience, Search, SearchSettings};
use crate::sweep::space::Argument;
use crate::sweep::trial::Direction;

/// How many trials Ax runs side by side once it learns.
const SIDE_BY_SIDE: usize = 3;

/// How many trials are spread evenly first, at most.
const SPREAD: usize = 5;

/// Bayesian optimization with a Gaussian process and expected improvement, configured as Ax is.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct AxSweeper {
    /// How many trials run side by side; 3 when not given, as in Ax.
    #[serde(default)]
    max_batch_size: Option<usize>,
    /// Ax's own settings.
    #[serde(default)]
    ax_config: AxConfig,
    /// What varies, in the place where other sweepers have it.
    #[serde(default)]
    #[allow(dead_code, reason = "read from the tree")]
    params: Params,
}

/// Ax's settings.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct AxConfig {
    /// How many trials there are in all.
    #[serde(default = "ten")]
    max_trials: usize,
    /// When the search ends before that.
    #[serde(default)]
    early_stop: EarlyStop,
    /// What is optimized.
    #[serde(default)]
    experiment: Experiment,
    /// The seed.
    #[serde(default)]
    client: Client,
    /// What varies: key to `{type: range, bounds: [0, 1]}`, `{type: choice, values: [a, b]}`, `{type: fixed, value: 3}`.
    #[serde(default)]
    #[allow(dead_code, reason = "read from the tree")]
    params: Params,
    /// Whether equal trials may have different results.
    #[serde(default = "yes")]
    is_noisy: bool,
}

/// When a search ends early.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct EarlyStop {
    /// Whether less is better; `experiment.minimize` decides.
    #[serde(default = "yes")]
    #[allow(dead_code, reason = "accepted for compatibility")]
    minimize: bool,
    /// How many trials in a row may be no better than the best.
    #[serde(default = "ten", rename = "max_epochs_without_improvement")]
    patience: usize,
    /// By how much a better one must be better.
    #[serde(default = "small")]
    epsilon: f64,
}

/// What is optimized.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Experiment {
    /// The study's name.
    #[serde(default)]
    name: Option<String>,
    /// Ax's name for the result; `optimized_metric` says which metric it is.
    #[serde(default)]
    #[allow(dead_code, reason = "accepted for compatibility")]
    objective_name: Option<String>,
    /// Whether less is better.
    #[serde(default = "yes")]
    minimize: bool,
    /// What must hold between the parameters of a trial.
    #[serde(default)]
    parameter_constraints: Option<Vec<String>>,
    /// Bounds on metrics: `test/latency <= 10`.
    #[serde(default)]
    outcome_constraints: Option<Vec<String>>,
    /// Not supported.
    #[serde(default)]
    status_quo: Option<IndexMap<String, Json>>,
}

/// The seed.
#[derive(Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Client {
    /// What runner says does not depend on it.
    #[serde(default)]
    #[allow(dead_code, reason = "accepted for compatibility")]
    verbose_logging: bool,
    /// What makes the numbers; 0 when not given.
    #[serde(default)]
    random_seed: Option<u64>,
}

fn ten() -> usize {
    10
}

fn yes() -> bool {
    true
}

fn small() -> f64 {
    1e-5
}

impl Default for AxConfig {
    fn default() -> Self {
        let (early_stop, experiment, client) = (EarlyStop::default(), Experiment::default(), Client::default());
        AxConfig { max_trials: ten(), early_stop, experiment, client, params: None, is_noisy: true }
    }
}

impl Default for EarlyStop {
    fn default() -> Self {
        EarlyStop { minimize: true, patience: ten(), epsilon: small() }
    }
}

impl Default for Experiment {
    fn default() -> Self {
        Experiment {
            name: None,
            objective_name: None,
            minimize: true,
            parameter_constraints: None,
            outcome_constraints: None,
            status_quo: None,
        }
    }
}

impl Component for AxSweeper {
    type Kind = SweeperKind;
    const TARGETS: &'static [&'static str] = &["hydra_plugins.hydra_ax_sweeper.ax_sweeper.AxSweeper"];

    fn check(&self, check: &mut Check) {
        if self.max_batch_size == Some(0) {
            check.problem("max_batch_size", "is how many trials run side by side: at least 1");
        }
        if self.ax_config.max_trials == 0 {
            check.problem("ax_config", "ax_config.max_trials is 0: there is nothing to do");
        }
        if self.ax_config.experiment.status_quo.is_some() {
            check.problem("ax_config", "ax_config.experiment.status_quo is not supported").help =
                Some("remove it; a trial with the config's own values is a plain `runner train`".into());
        }
    }

    fn build(self, _: &mut Build) -> Result<Box<dyn Sweeper>> {
        Ok(Box::new(self))
    }
}

impl Sweeper for AxSweeper {
    fn plan(self: Box<Self>, definition: &Definition) -> Result<Search> {
        let AxConfig { max_trials, early_stop, experiment, client, is_noisy, .. } = self.ax_config;
        let seed = client.random_seed.unwrap_or(0);
        let constraints = experiment.parameter_constraints;
        let mut problems = Problems::default();
        let mut arguments = Vec::new();
        for (key, node) in &definition.described {
            match described(key, node) {
                Ok(argument) => arguments.push(argument),
                Err(problem) => problems.push(problem),
            }
        }
        problems.or(())?;
        let given = definition.arguments.iter().cloned();
        let own = Definition {
            arguments: arguments.into_iter().chain(given).collect(),
            described: Vec::new(),
            ..*definition
        };
        let space = own.space(&Restrictions { conditions: None, constraints }, seed)?;
        let settings = SearchSettings {
            n_trials: Some(max_trials),
            n_jobs: self.max_batch_size.unwrap_or(SIDE_BY_SIDE),
            seed,
            directions: vec![if experiment.minimize { Direction::Minimize } else { Direction::Maximize }],
            study_name: experiment.name,
            outcome_constraints: outcome_constraints(experiment.outcome_constraints.as_deref())?,
            patience: Some(Patience { trials: early_stop.patience.max(1), min_delta: early_stop.epsilon }),
            ..SearchSettings::default()
        };
        let n_startup_trials = SPREAD.min(max_trials / 2);
        let sampler = GaussianProcess { n_startup_trials, deterministic: !is_noisy };
        Ok(Search::new(space, settings, Box::new(sampler), Box::new(Never)))
    }
}

/// A parameter in Ax's words as an override.
fn described(key: &str, node: &Node) -> Result<Argument, Problem> {
    const KNOWN: [&str; 10] = [
        "type",
        "bounds",
        "values",
        "value",
        "value_type",
        "parameter_type",
        "log_scale",
        "is_ordered",
        "name",
        "sort_values",
    ];
    let refuse = |message: String| Problem::new(message).from(&node.origin);
    for (name, value) in node.as_map().into_iter().flatten() {
        if !name.as_str().is_some_and(|name| KNOWN.contains(&name)) {
            return Err(Problem::new(format!("`{name}` of the parameter `{key}` is not known"))
                .from(&value.origin)
                .help("Ax's words are type, bounds, values, value, value_type, log_scale and is_ordered"));
        }
    }
    let is_true = |name: &str| matches!(node.get(name).map(|node| &node.value), Some(Value::Bool(true)));
    let list = |name: &str| match node.get(name).map(|node| &node.value) {
        Some(Value::List(list)) => Some(list.as_slice()),
        _ => None,
    };
    let value_type = ["value_type", "parameter_type"].iter().find_map(|name| node.get(name)).and_then(Node::as_str);
    let text = match node.get("type").and_then(Node::as_str) {
        Some("range") => {
            let Some([low, high]) = list("bounds") else {
                return Err(refuse(format!("the range of `{key}` needs two bounds"))
                    .help(format!("write {key}: {{type: range, bounds: [0, 1]}}")));
            };
            let whole = |node: &Node| matches!(node.value, Value::Int(_));
            let whole = value_type.map_or(whole(low) && whole(high), |name| name.eq_ignore_ascii_case("int"));
            let interval = format!("interval({}, {})", py_str(low), py_str(high));
            let interval = if whole { format!("int({interval})") } else { interval };
            if is_true("log_scale") { format!("tag(log, {interval})") } else { interval }
        }
        Some("choice") => {
            let Some(values) = list("values").filter(|values| !values.is_empty()) else {
                return Err(refuse(format!("the choice of `{key}` needs values"))
                    .help(format!("write {key}: {{type: choice, values: [a, b]}}")));
            };
            let values: Vec<String> = values.iter().map(spelt).collect();
            let choice = format!("choice({})", values.join(", "));
            if is_true("is_ordered") { format!("tag(ordered, {choice})") } else { choice }
        }
        Some("fixed") => match node.get("value") {
            Some(value) => spelt(value),
            None => return Err(refuse(format!("the fixed parameter `{key}` needs a value"))),
        },
        _ => {
            return Err(
                refuse(format!("the parameter `{key}` needs a type")).help("it is one of range, choice and fixed")
            );
        }
    };
    let parsed = overrides::parse(&format!("{key}={text}"), 1)
        .map_err(|problem| Problem { width: 0, ..problem.from(&node.origin) })?;
    Ok(Argument { parsed, line: Some(node.origin.clone()) })
}

/// A value as an override spells it.
fn spelt(node: &Node) -> String {
    match &node.value {
        Value::Str(text) => format!("'{}'", text.replace('\\', "\\\\").replace('\'', "\\'")),
        _ => py_str(node),
    }
}
