//! What must survive a resume: one pair of calls, implemented by everything that has state.

use indexmap::IndexMap;
use serde_json::Value;
use tch::Tensor;

use crate::error::Result;

/// Saved state: named tensors and a JSON value.
#[derive(Debug, Default)]
pub struct State {
    /// Tensors by name; names hold dots as in PyTorch (`0.exp_avg`).
    pub tensors: IndexMap<String, Tensor>,
    /// Everything that is not a tensor. Floats survive exactly.
    pub value: Value,
}

impl State {
    /// State without tensors.
    pub fn of(value: Value) -> Self {
        State { tensors: IndexMap::new(), value }
    }

    /// Puts `other` below `prefix`: its tensors as `prefix.name`, its value as the member `prefix`.
    pub fn nest(&mut self, prefix: &str, other: State) {
        self.tensors.extend(other.tensors.into_iter().map(|(name, tensor)| (format!("{prefix}.{name}"), tensor)));
        if !self.value.is_object() {
            self.value = Value::Object(serde_json::Map::new());
        }
        self.value[prefix] = other.value;
    }

    /// The part below `prefix`, as [`State::nest`] put it there. Tensors are shared, not copied.
    pub fn nested(&self, prefix: &str) -> State {
        let tensors = self.tensors.iter().filter_map(|(name, tensor)| {
            let rest = name.strip_prefix(prefix)?.strip_prefix('.')?;
            Some((rest.to_owned(), tensor.shallow_clone()))
        });
        State { tensors: tensors.collect(), value: self.value.get(prefix).cloned().unwrap_or(Value::Null) }
    }
}

/// Something whose state is saved in a checkpoint and restored from it: tasks, optimizers, schedulers, samplers,
/// callbacks, loops.
pub trait Stateful {
    /// The state now. Tensors may be shared with the live ones; the checkpoint writer copies them.
    fn state(&self) -> State {
        State::default()
    }

    /// Puts a saved state back.
    ///
    /// # Errors
    /// When the state is not of this kind of thing: names, shapes or values that do not fit.
    fn restore(&mut self, _: &State) -> Result<()> {
        Ok(())
    }
}
