//! What a metric accumulates, kept in one way for all of them.

use indexmap::IndexMap;
use tch::{Device, Kind, Tensor};

use super::{Metric, Reduction, Update, Value};
use crate::error::{Error, Result};
use crate::tensor::guard;

/// What differs between metrics; [`Accumulated`] adds the rest.
pub trait Definition: Send {
    /// The empty state.
    fn store(&self) -> Store;

    /// Takes in a batch, without gradient and under the guard.
    fn update(&self, store: &mut Store, update: &Update) -> Result<()>;

    /// The value of what was taken in.
    fn compute(&self, store: &Store) -> Result<Value>;

    /// Whether more is better.
    fn higher_is_better(&self) -> Option<bool>;
}

/// A metric made of a definition and its state.
pub struct Accumulated<D> {
    definition: D,
    store: Store,
}

impl<D: Definition> Accumulated<D> {
    /// A metric that has seen nothing.
    pub fn new(definition: D) -> Self {
        let store = definition.store();
        Accumulated { definition, store }
    }
}

impl<D: Definition> Metric for Accumulated<D> {
    fn update(&mut self, update: &Update) -> Result<()> {
        tch::no_grad(|| guard(|| self.definition.update(&mut self.store, update)))
    }

    fn compute(&self) -> Result<Value> {
        tch::no_grad(|| guard(|| Ok(squeezed(self.definition.compute(&self.store)?))))
    }

    fn reset(&mut self) {
        self.store = self.definition.store();
    }

    fn state(&self) -> Vec<(String, Tensor, Reduction)> {
        self.store.state()
    }

    fn restore(&mut self, state: &IndexMap<String, Tensor>) -> Result<()> {
        let mut store = self.definition.store();
        store.restore(state)?;
        self.store = store;
        Ok(())
    }

    fn higher_is_better(&self) -> Option<bool> {
        self.definition.higher_is_better()
    }
}

/// A value of one element has no dimensions, as torchmetrics returns it.
fn squeezed(value: Value) -> Value {
    match value {
        Value::Tensor(tensor) if tensor.numel() == 1 => Value::Tensor(tensor.reshape([0i64; 0])),
        Value::Tensor(tensor) => Value::Tensor(tensor),
        Value::Map(map) => Value::Map(map.into_iter().map(|(key, value)| (key, squeezed(value))).collect()),
    }
}

/// Named state tensors. They live where the batches live: nothing waits for the device and nothing moves.
#[derive(Default)]
pub struct Store {
    entries: IndexMap<&'static str, Entry>,
}

struct Entry {
    reduction: Reduction,
    /// The value that changes nothing.
    neutral: Tensor,
    /// Whether the first value decides the shape.
    elastic: bool,
    /// Nothing yet, one tensor, or (with [`Reduction::Cat`]) one per batch.
    parts: Vec<Tensor>,
}

const LOW: &str = "invalid_low";
const HIGH: &str = "invalid_high";

impl Store {
    /// Without states.
    pub fn new() -> Self {
        Store::default()
    }

    fn with(mut self, name: &'static str, reduction: Reduction, neutral: Tensor) -> Self {
        self.entries.insert(name, Entry { reduction, neutral, elastic: false, parts: Vec::new() });
        self
    }

    /// With a state that is added up.
    pub fn sum(self, name: &'static str, shape: &[i64], kind: Kind) -> Self {
        self.with(name, Reduction::Sum, Tensor::zeros(shape, (kind, Device::Cpu)))
    }

    /// With a state in double precision that is added up, of the shape that the first value has.
    pub fn sum_of_any_shape(self, name: &'static str) -> Self {
        self.with(name, Reduction::Sum, Tensor::from(0.0)).elastic()
    }

    /// With a state that keeps the largest, of the shape that the first value has.
    pub fn max(self, name: &'static str, neutral: f64) -> Self {
        self.with(name, Reduction::Max, Tensor::from(neutral)).elastic()
    }

    /// With a state that keeps the smallest, of the shape that the first value has.
    pub fn min(self, name: &'static str, neutral: f64) -> Self {
        self.with(name, Reduction::Min, Tensor::from(neutral)).elastic()
    }

    fn elastic(mut self) -> Self {
        if let Some((_, last)) = self.entries.last_mut() {
            last.elastic = true;
        }
        self
    }

    /// With a state that keeps everything, joined along the first dimension.
    pub fn cat(self, name: &'static str) -> Self {
        self.with(name, Reduction::Cat, Tensor::zeros([0], (Kind::Float, Device::Cpu)))
    }

    /// With room for what [`Store::fault`] finds.
    pub fn faults(self) -> Self {
        self.min(LOW, 0.0).max(HIGH, 0.0)
    }

    /// Takes in `value` as the state's reduction says.
    pub fn take(&mut self, name: &'static str, value: &Tensor) {
        let entry = &mut self.entries[name];
        if entry.reduction == Reduction::Cat {
            entry.parts.push(value.detach());
            return;
        }
        let value = value.to_kind(entry.neutral.kind());
        let so_far = match entry.parts.pop() {
            Some(so_far) => so_far.to_device(value.device()),
            None => entry.neutral.to_device(value.device()),
        };
        entry.parts.push(match entry.reduction {
            Reduction::Max => so_far.maximum(&value),
            Reduction::Min => so_far.minimum(&value),
            Reduction::Sum | Reduction::Cat => so_far + value,
        });
    }

    /// The state now.
    pub fn get(&self, name: &'static str) -> Tensor {
        let entry = &self.entries[name];
        match &entry.parts[..] {
            [] => entry.neutral.shallow_clone(),
            [one] => one.shallow_clone(),
            many => Tensor::cat(many, 0),
        }
    }

    /// The state in double precision.
    pub fn double(&self, name: &'static str) -> Tensor {
        self.get(name).to_kind(Kind::Double)
    }

    /// What each batch left in a state that keeps everything.
    pub fn parts(&self, name: &'static str) -> &[Tensor] {
        &self.entries[name].parts
    }

    /// Keeps only the last `count` batches of a state that keeps everything.
    pub fn keep_last(&mut self, name: &'static str, count: usize) {
        let joined = self.get(name);
        let rows = joined.size()[0];
        let kept = rows.min(i64::try_from(count).unwrap_or(i64::MAX));
        self.entries[name].parts = vec![joined.narrow(0, rows - kept, kept)];
    }

    /// Reports values that do not fit, where `bad`: at once on the CPU, at [`Store::sound`] on a device that would
    /// have to be waited for. `word` makes the sentence from the value.
    pub fn fault(&mut self, values: &Tensor, bad: &Tensor, word: impl Fn(f64) -> Error) -> Result<()> {
        if values.device() == Device::Cpu {
            if bad.any().int64_value(&[]) != 0 {
                let first = values.masked_select(bad).to_kind(Kind::Double).double_value(&[0]);
                return Err(word(first));
            }
            return Ok(());
        }
        if values.numel() > 0 {
            let found = values.to_kind(Kind::Double).where_self(bad, &Tensor::from(0.0).to_device(values.device()));
            self.take(LOW, &found.min());
            self.take(HIGH, &found.max());
        }
        Ok(())
    }

    /// The faults that updates on a device have left for now.
    pub fn sound(&self, word: impl Fn(f64) -> Error) -> Result<()> {
        for name in [LOW, HIGH] {
            if let [found] = self.parts(name) {
                let value = found.double_value(&[]);
                if value != 0.0 {
                    return Err(word(value));
                }
            }
        }
        Ok(())
    }

    fn state(&self) -> Vec<(String, Tensor, Reduction)> {
        self.entries.iter().map(|(name, entry)| ((*name).to_owned(), self.get(name), entry.reduction)).collect()
    }

    fn restore(&mut self, state: &IndexMap<String, Tensor>) -> Result<()> {
        if let Some(name) = state.keys().find(|name| !self.entries.contains_key(name.as_str())) {
            return Err(Error::failed(format!("the saved state has `{name}`, which this metric does not keep")));
        }
        for (name, entry) in &mut self.entries {
            let Some(saved) = state.get(*name) else {
                return Err(Error::failed(format!("the saved state lacks the metric's `{name}`")));
            };
            let cat = entry.reduction == Reduction::Cat;
            if !cat && !entry.elastic && saved.size() != entry.neutral.size() {
                let (found, right) = (saved.size(), entry.neutral.size());
                return Err(Error::failed(format!(
                    "the saved `{name}` has the shape {found:?}, the metric's is {right:?}"
                )));
            }
            entry.parts = if cat && saved.size() == [0] { Vec::new() } else { vec![saved.copy()] };
        }
        Ok(())
    }
}
