//! `runner objective`: computes the config's `objective` and trains nothing. It shows in seconds what a search does
//! with a function, and what a job costs that has nothing to do.

use crate::config::{Node, Problem, Value};
use crate::error::Result;
use crate::registry::{CommandCx, OwnCommand};

/// The key, and the name of the metric that it becomes.
const OBJECTIVE: &str = "objective";

/// The command.
pub const COMMAND: OwnCommand =
    OwnCommand::new(OBJECTIVE, "compute the config's `objective` and train nothing: to try a search", |cx| {
        let value = value(cx)?;
        cx.metric(OBJECTIVE, value);
        Ok(())
    })
    .giving(OBJECTIVE)
    .checked_by(|cx| value(cx).map(drop))
    .in_an_instant();

/// The number under `objective`.
fn value(cx: &CommandCx) -> Result<f64> {
    let found = cx.config().get(OBJECTIVE);
    match found.map(|node: &Node| &node.value) {
        Some(Value::Int(value)) => Ok(*value as f64),
        Some(Value::Float(value)) => Ok(*value),
        _ => {
            let problem = Problem::new("the config has no number under `objective`")
                .help("add one: +objective='${eval:\"${model.optimizer.lr} * ${seed}\"}'");
            let problem = found.map_or(problem.clone(), |node| problem.from(&node.origin));
            Err(problem.into())
        }
    }
}
