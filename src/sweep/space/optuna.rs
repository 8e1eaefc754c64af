//! The space in the words of Optuna's storage.

use serde_json::{Value as Json, json};

use super::{Domain, Parameter};
use crate::config::Value;

impl Parameter {
    /// The distribution as Optuna's `distribution_to_json` writes it.
    pub fn optuna_distribution(&self) -> String {
        let distribution = match &self.domain {
            Domain::Float { low, high, log, step } => json!({
                "name": "FloatDistribution",
                "attributes": { "step": step, "low": low, "high": high, "log": log },
            }),
            Domain::Int { low, high, log, step } => json!({
                "name": "IntDistribution",
                "attributes": { "log": log, "step": step, "low": low, "high": high },
            }),
            Domain::Choice { values, .. } => {
                let choices: Vec<Json> = values.iter().map(|choice| scalar(&choice.value, &choice.text)).collect();
                json!({ "name": "CategoricalDistribution", "attributes": { "choices": choices } })
            }
        };
        distribution.to_string()
    }
}

/// Optuna's choices are scalars; anything else stands there as it is spelt.
fn scalar(value: &Value, text: &str) -> Json {
    match value {
        Value::Null => Json::Null,
        Value::Bool(b) => json!(b),
        Value::Int(i) => json!(i),
        Value::Float(v) if v.is_finite() => json!(v),
        Value::Str(text) => json!(text),
        _ => json!(text),
    }
}
