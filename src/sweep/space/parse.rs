//! From overrides to a search space, as Hydra's Optuna sweeper reads them.

use indexmap::IndexMap;

use super::{Choice, Domain, FixedOverride, Parameter, SearchSpace};
use crate::config::overrides::{self, Number, Override, OverrideValue, Sweep, SweepKind, sweep};
use crate::config::resolvers::eval::Expression;
use crate::config::{Origin, Problem, Problems, Value};

/// Gives the options of a config group, sorted: what a `glob(…)` picks from.
pub type Options<'a> = &'a dyn Fn(&str) -> Vec<String>;

/// More values of one parameter, or combinations of a grid, than anybody waits for.
pub const MOST: u64 = 1_000_000;

/// An override of the sweep, and where the user wrote it.
#[derive(Clone)]
pub struct Argument {
    /// The override.
    pub parsed: Override,
    /// The line of the config that holds it; `None` for the command line.
    pub line: Option<Origin>,
}

impl Argument {
    fn problem(&self, message: impl Into<String>) -> Problem {
        let problem = Problem::new(message);
        match &self.line {
            Some(line) => problem.from(line),
            None => problem.from(&self.parsed.value_origin()).width(self.parsed.value_span.width()),
        }
    }
}

impl SearchSpace {
    /// Reads a space for a search: `choice` and `glob` are choices, `interval` a continuum (of whole numbers after
    /// `int(…)` or with `tag(int, …)`, of the logarithm with `tag(log, …)`), `range` steps from `start` to `stop`,
    /// both included, as in Optuna. With `listed`, every sweep becomes the list of its values, as in Hydra.
    ///
    /// A later override of the same key replaces the value and keeps the place. Overrides of `hydra` are left out.
    pub fn read(arguments: &[Argument], options: Options, seed: u64, listed: bool) -> Result<Self, Problems> {
        let mut problems = Problems::default();
        let mut read: IndexMap<String, Result<Parameter, FixedOverride>> = IndexMap::new();
        for (i, argument) in arguments.iter().enumerate() {
            let parsed = &argument.parsed;
            if parsed.is_hydra() {
                if parsed.is_sweep() {
                    problems.push(argument.problem(format!("`{}` sweeps over hydra's own config", parsed.source.text)));
                }
                continue;
            }
            let key = parsed.key_text();
            let Some(swept) = parsed.sweep() else {
                let value = match &parsed.value {
                    Some(OverrideValue::Element(_)) => parsed.to_node().map(|node| node.value),
                    _ => None,
                };
                // The check of what can be spelt is that of Hydra's own sweeper.
                match sweep::expand(std::slice::from_ref(parsed), options, seed).map(|jobs| jobs.get(0)) {
                    Ok(job) => {
                        let text = job.and_then(|mut job| job.pop()).unwrap_or_default();
                        read.insert(key, Err(FixedOverride { text, value }));
                    }
                    Err(found) => problems.extend(found),
                }
                continue;
            };
            let domain = if listed {
                choices(argument, options, seed + i as u64)
            } else {
                domain(argument, swept, options, seed + i as u64)
            };
            match domain {
                Ok(domain) => {
                    let origin = argument.line.clone().unwrap_or_else(|| parsed.key_origin());
                    read.insert(key.clone(), Ok(Parameter { key, domain, condition: None, origin }));
                }
                Err(found) => problems.extend(found),
            }
        }
        let mut space = SearchSpace::default();
        for (key, item) in read {
            space.order.push(key.clone());
            match item {
                Ok(parameter) => drop(space.parameters.insert(key, parameter)),
                Err(fixed) => drop(space.fixed.insert(key, fixed)),
            }
        }
        problems.or(space)
    }

    /// Attaches conditions (parameter to expression) and constraints; every name must be a parameter, or a fixed
    /// override, of this space. Parameters are put behind those that their conditions name.
    pub fn restrict<'t>(
        &mut self,
        conditions: impl IntoIterator<Item = (&'t str, &'t str)>,
        constraints: impl IntoIterator<Item = &'t str>,
    ) -> Result<(), Problems> {
        let mut problems = Problems::default();
        for (key, text) in conditions {
            let named = self.parameters.keys().find(|name| name.trim_start_matches('+') == key.trim_start_matches('+'));
            let Some(name) = named.cloned() else {
                problems.push(self.unknown(key, "condition"));
                continue;
            };
            match self.expression(text, "condition") {
                Ok(expression) => {
                    if let Some(parameter) = self.parameters.get_mut(&name) {
                        parameter.condition = Some(expression);
                    }
                }
                Err(problem) => problems.push(problem),
            }
        }
        for text in constraints {
            match self.expression(text, "constraint") {
                Ok(expression) => self.constraints.push(expression),
                Err(problem) => problems.push(problem),
            }
        }
        if problems.is_empty() {
            self.sort_by_conditions()?;
        }
        problems.or(())
    }

    fn expression(&self, text: &str, what: &str) -> Result<Expression, Problem> {
        let expression = Expression::parse(text)
            .map_err(|reason| Problem::new(format!("the {what} `{text}` cannot be read: {reason}")))?;
        match expression.names().iter().find(|name| !self.knows(name)) {
            Some(name) => Err(self.unknown(name, what)),
            None => Ok(expression),
        }
    }

    fn knows(&self, name: &str) -> bool {
        self.order.iter().any(|key| key.trim_start_matches('+') == name)
    }

    fn unknown(&self, name: &str, what: &str) -> Problem {
        let keys = || self.order.iter().map(|key| key.trim_start_matches('+'));
        let problem = Problem::new(format!("a {what} names `{name}`, which this sweep does not set"));
        match crate::registry::suggest::nearest(name, keys()) {
            Some(near) => problem.help(format!("did you mean `{near}`?")),
            None => problem.help(format!("it may name {}", keys().collect::<Vec<_>>().join(", "))),
        }
    }

    fn sort_by_conditions(&mut self) -> Result<(), Problem> {
        let mut sorted: IndexMap<String, Parameter> = IndexMap::new();
        let mut rest = std::mem::take(&mut self.parameters);
        while !rest.is_empty() {
            let waits = |parameter: &Parameter| {
                let names = parameter.condition.iter().flat_map(|condition| condition.names());
                names.into_iter().any(|name| rest.keys().any(|key| key.trim_start_matches('+') == name))
            };
            let Some(next) = rest.values().find(|parameter| !waits(parameter)).map(|p| p.key.clone()) else {
                let keys: Vec<&str> = rest.keys().map(String::as_str).collect();
                return Err(Problem::new(format!("the conditions of {} depend on each other", keys.join(", "))));
            };
            if let Some(parameter) = rest.shift_remove(&next) {
                sorted.insert(next, parameter);
            }
        }
        self.parameters = sorted;
        Ok(())
    }
}

fn domain(argument: &Argument, swept: &Sweep, options: Options, seed: u64) -> Result<Domain, Problems> {
    let log = swept.tags.iter().any(|tag| tag == "log");
    let whole = swept.tags.iter().any(|tag| tag == "int");
    let ordered = swept.tags.iter().any(|tag| tag == "ordered");
    match &swept.kind {
        SweepKind::Choice { .. } | SweepKind::Glob { .. } => match choices(argument, options, seed)? {
            Domain::Choice { values, .. } => Ok(Domain::Choice { values, ordered }),
            other => Ok(other),
        },
        SweepKind::Range(_) if swept.shuffle => choices(argument, options, seed),
        SweepKind::Range(range) => {
            let (start, stop) = (range.start.as_f64(), range.stop.as_f64());
            let (low, high) = if start <= stop { (range.start, range.stop) } else { (range.stop, range.start) };
            numbers(argument, low, high, false, Some(range.step))
        }
        SweepKind::Interval { start, end } => {
            let to_int = |number: Number| Number::Int(number.as_f64() as i64);
            let (start, end) = if whole { (to_int(*start), to_int(*end)) } else { (*start, *end) };
            numbers(argument, start, end, log, None)
        }
    }
}

/// A domain of numbers; every fault of it is refused here.
fn numbers(
    argument: &Argument,
    low: Number,
    high: Number,
    log: bool,
    step: Option<Number>,
) -> Result<Domain, Problems> {
    let key = argument.parsed.key_text();
    let (from, to) = (low.as_f64(), high.as_f64());
    if !(from.is_finite() && to.is_finite()) {
        return Err(argument.problem(format!("the range of `{key}` needs finite ends")).into());
    }
    if from > to {
        return Err(argument.problem(format!("the range of `{key}` ends at {to}, before its start {from}")).into());
    }
    match (low, high, step) {
        (Number::Int(low), Number::Int(high), None | Some(Number::Int(_))) => {
            if log && low < 1 {
                let problem = argument.problem(format!("the logarithmic range of `{key}` starts at {low}"));
                return Err(problem.help("a logarithm needs whole numbers from 1 on").into());
            }
            let step = match step {
                Some(Number::Int(step)) => step.abs(),
                _ => 1,
            };
            Ok(Domain::Int { low, high: low + (high - low) / step * step, log, step })
        }
        _ => {
            if log && from <= 0.0 {
                let problem = argument.problem(format!("the logarithmic range of `{key}` starts at {from}"));
                return Err(problem.help("a logarithm needs numbers above 0: a small start such as 1e-6").into());
            }
            let step = step.map(|step| step.as_f64().abs());
            let high = step.map_or(to, |step| from + ((to - from) / step + 1e-8).floor() * step);
            Ok(Domain::Float { low: from, high, log, step })
        }
    }
}

/// The values of a sweep one by one, as Hydra's own sweeper spells them.
fn choices(argument: &Argument, options: Options, seed: u64) -> Result<Domain, Problems> {
    let parsed = &argument.parsed;
    let jobs = sweep::expand(std::slice::from_ref(parsed), options, seed)?;
    if jobs.len() > MOST {
        let problem = argument.problem(format!("`{}` has {} values, more than {MOST}", parsed.key_text(), jobs.len()));
        return Err(problem.help("sweep over fewer values").into());
    }
    let skip = parsed.key_text().len() + 1;
    let mut values = Vec::with_capacity(jobs.len() as usize);
    for mut job in jobs {
        let text = job.pop().unwrap_or_default();
        // A job that cannot be read again has been refused by the expansion.
        let value = overrides::parse(&text, 1)?.to_node().map_or(Value::Null, |node| node.value);
        values.push(Choice { text: text[skip..].to_owned(), value });
    }
    if values.is_empty() {
        return Err(argument.problem(format!("the sweep over `{}` has no values", parsed.key_text())).into());
    }
    Ok(Domain::Choice { values, ordered: false })
}
