//! The search space: which overrides vary, over what, when, and which combinations may not be.

mod optuna;
mod parse;
#[cfg(test)]
mod tests;

use indexmap::IndexMap;

use super::trial::{ParamValue, Params};
use crate::config::resolvers::eval::Expression;
use crate::config::text::py_float;
use crate::config::{Origin, Value};

pub use parse::{Argument, MOST, Options};

/// What one parameter goes over.
#[derive(Clone, Debug, PartialEq)]
pub enum Domain {
    /// Floats from `low` to `high`, both included.
    Float {
        /// The lower end.
        low: f64,
        /// The upper end.
        high: f64,
        /// Whether the logarithm is what is spread evenly.
        log: bool,
        /// The distance between values, from `low` on.
        step: Option<f64>,
    },
    /// Whole numbers from `low` to `high`, both included.
    Int {
        /// The lower end.
        low: i64,
        /// The upper end.
        high: i64,
        /// Whether the logarithm is what is spread evenly.
        log: bool,
        /// The distance between values, from `low` on; 1 with `log`.
        step: i64,
    },
    /// Listed values.
    Choice {
        /// The values.
        values: Vec<Choice>,
        /// Whether near places in the list mean near values.
        ordered: bool,
    },
}

/// One of a list of values.
#[derive(Clone, Debug)]
pub struct Choice {
    /// As the override spells it.
    pub text: String,
    /// The value that the override sets.
    pub value: Value,
}

impl PartialEq for Choice {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text
    }
}

impl Domain {
    /// How many values there are; `None` for a continuum.
    pub fn count(&self) -> Option<u64> {
        match self {
            Domain::Float { low, high, step: Some(step), .. } => Some(((high - low) / step + 1e-8).floor() as u64 + 1),
            Domain::Float { low, high, step: None, .. } => (low == high).then_some(1),
            Domain::Int { low, high, step, .. } => Some(low.abs_diff(*high) / step.unsigned_abs().max(1) + 1),
            Domain::Choice { values, .. } => Some(values.len() as u64),
        }
    }

    /// Value number `i` of a countable domain.
    pub fn nth(&self, i: u64) -> ParamValue {
        match self {
            Domain::Float { low, high, step, .. } => {
                ParamValue::Float((low + i as f64 * step.unwrap_or(0.0)).min(*high))
            }
            Domain::Int { low, step, .. } => ParamValue::Int(low + i as i64 * step),
            Domain::Choice { .. } => ParamValue::Choice(i as usize),
        }
    }

    /// Whether the values are listed, without an order.
    pub fn is_choice(&self) -> bool {
        matches!(self, Domain::Choice { ordered: false, .. })
    }

    /// Whether `value` is one of the domain's.
    pub fn contains(&self, value: ParamValue) -> bool {
        match (self, value) {
            (Domain::Float { low, high, .. }, ParamValue::Float(v)) => *low <= v && v <= *high,
            (Domain::Int { low, high, step, .. }, ParamValue::Int(v)) => {
                *low <= v && v <= *high && (v - low) % step == 0
            }
            (Domain::Choice { values, .. }, ParamValue::Choice(i)) => i < values.len(),
            _ => false,
        }
    }
}

/// One parameter: an override that varies.
#[derive(Clone, Debug)]
pub struct Parameter {
    /// The override's key as typed, with its prefix: `model.optimizer.lr`, `+db@src`.
    pub key: String,
    /// What it goes over.
    pub domain: Domain,
    /// When it matters, in terms of parameters before it; always when `None`. Where it does not matter it is left
    /// out of the trial, and the config's own value stays.
    pub condition: Option<Expression>,
    /// Where it was written.
    pub origin: Origin,
}

impl Parameter {
    /// The value as the override spells it.
    pub fn spell(&self, value: ParamValue) -> String {
        match (value, &self.domain) {
            (ParamValue::Choice(i), Domain::Choice { values, .. }) => {
                values.get(i).map_or_else(String::new, |choice| choice.text.clone())
            }
            (ParamValue::Choice(i), _) => i.to_string(),
            (ParamValue::Int(v), _) => v.to_string(),
            (ParamValue::Float(v), _) => py_float(v),
        }
    }

    /// The value that the override sets.
    pub fn value(&self, value: ParamValue) -> Value {
        match (value, &self.domain) {
            (ParamValue::Choice(i), Domain::Choice { values, .. }) => {
                values.get(i).map_or(Value::Null, |choice| choice.value.clone())
            }
            (ParamValue::Choice(i), _) => Value::Int(i as i64),
            (ParamValue::Int(v), _) => Value::Int(v),
            (ParamValue::Float(v), _) => Value::Float(v),
        }
    }
}

/// Everything that is searched over.
#[derive(Clone, Debug, Default)]
pub struct SearchSpace {
    /// What varies, by key, in the order in which it was written; a condition's names stand before it.
    pub parameters: IndexMap<String, Parameter>,
    /// The overrides that are the same for every trial: key and spelt override.
    pub fixed: IndexMap<String, FixedOverride>,
    /// The keys of both, in the order in which they were written.
    pub order: Vec<String>,
    /// What must hold between parameters of one trial.
    pub constraints: Vec<Expression>,
}

/// An override that is the same for every trial.
#[derive(Clone, Debug)]
pub struct FixedOverride {
    /// As a job is given it: `key=value`.
    pub text: String,
    /// The value, for conditions and constraints; `None` for a deletion.
    pub value: Option<Value>,
}

impl SearchSpace {
    /// How many combinations there are, conditions and constraints aside; `None` for a continuum or a number that
    /// cannot be counted.
    pub fn count(&self) -> Option<u64> {
        self.parameters.values().try_fold(1u64, |product, p| product.checked_mul(p.domain.count()?))
    }

    /// The overrides of a trial's job, in the order in which they were written.
    pub fn overrides(&self, params: &Params) -> Vec<String> {
        let spelt = |key: &String| match self.fixed.get(key) {
            Some(fixed) => Some(fixed.text.clone()),
            None => Some(format!("{key}={}", self.parameters.get(key)?.spell(*params.get(key)?))),
        };
        self.order.iter().filter_map(spelt).collect()
    }

    /// The value of a name in an expression: a parameter of the trial, or a fixed override.
    pub fn value_of(&self, params: &Params, name: &str) -> Option<Value> {
        // `+model.depth` is `model.depth` in an expression.
        let plain = |key: &str| key.trim_start_matches('+') == name;
        if let Some((key, value)) = params.iter().find(|(key, _)| plain(key)) {
            return self.parameters.get(key).map(|parameter| parameter.value(*value));
        }
        self.fixed.iter().find(|(key, _)| plain(key)).and_then(|(_, fixed)| fixed.value.clone())
    }

    /// Whether a parameter matters, given those before it. A condition on a parameter that does not matter itself
    /// does not hold.
    pub fn is_active(&self, parameter: &Parameter, params: &Params) -> bool {
        let value_of = |name: &str| self.value_of(params, name);
        parameter.condition.as_ref().is_none_or(|condition| condition.holds(&value_of).unwrap_or(false))
    }

    /// The parameters of a trial from a value for every parameter: those that do not matter are left out.
    pub fn active(&self, mut value: impl FnMut(&Parameter) -> ParamValue) -> Params {
        let mut params = Params::new();
        for parameter in self.parameters.values() {
            // Drawn whether active or not, so that a condition does not shift what later parameters draw.
            let drawn = value(parameter);
            if self.is_active(parameter, &params) {
                params.insert(parameter.key.clone(), drawn);
            }
        }
        params
    }

    /// The first constraint that these parameters violate. A constraint on a parameter that does not matter is met.
    pub fn violated(&self, params: &Params) -> Option<&Expression> {
        let value_of = |name: &str| self.value_of(params, name);
        self.constraints.iter().find(|constraint| constraint.holds(&value_of) == Ok(false))
    }
}
