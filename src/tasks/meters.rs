//! The metrics of a task: a copy for every split, logged by name at the end of each pass, with the best value of
//! validation so far.

use indexmap::IndexMap;
use serde_json::json;
use tch::{Kind, Tensor};

use crate::data::Split;
use crate::error::{Error, Result};
use crate::metrics::{Metric, MetricKind, Update, Value};
use crate::registry::{Build, Slot};
use crate::tensor::{State, Stateful};
use crate::train::{Log, LogTo};

const SPLITS: [Split; 3] = [Split::Train, Split::Val, Split::Test];

/// Named metrics, one set a split.
pub(super) struct Meters {
    sets: Vec<(Split, Vec<(String, Box<dyn Metric>)>)>,
    /// The best value of each validation metric that knows a direction.
    best: IndexMap<String, f64>,
}

impl Meters {
    /// Builds every metric once a split.
    pub fn build(slots: &IndexMap<String, Slot<MetricKind>>, cx: &mut Build) -> Result<Self> {
        let mut set =
            || slots.iter().map(|(name, slot)| Ok((name.clone(), cx.build(slot)?))).collect::<Result<Vec<_>>>();
        let sets = SPLITS.map(|split| set().map(|set| (split, set))).into_iter().collect::<Result<_>>()?;
        Ok(Meters { sets, best: IndexMap::new() })
    }

    fn set(&mut self, split: Split) -> &mut [(String, Box<dyn Metric>)] {
        let set = self.sets.iter_mut().find(|(of, _)| *of == split);
        set.map_or(&mut [], |(_, set)| set.as_mut_slice())
    }

    /// Takes in a batch.
    pub fn update(&mut self, split: Split, preds: &Tensor, target: &Tensor) -> Result<()> {
        for (name, metric) in self.set(split) {
            let update = Update::Pair { preds, target };
            metric.update(&update).map_err(|error| error.context(format!("metric {}/{name}", split.name())))?;
        }
        Ok(())
    }

    /// Starts a pass anew.
    pub fn reset(&mut self, split: Split) {
        self.set(split).iter_mut().for_each(|(_, metric)| metric.reset());
    }

    /// Forgets the best values.
    pub fn forget_best(&mut self) {
        self.best.clear();
    }

    /// Logs what a pass has accumulated: `val/acc`, and `val/acc_best` for validation.
    pub fn log(&mut self, split: Split, log: &mut Log) -> Result<()> {
        // A value of the whole pass, not of a batch.
        log.set_batch_size(1);
        let mut values = Vec::new();
        for (name, metric) in self.set(split) {
            let name = format!("{}/{name}", split.name());
            let value = metric.compute().map_err(|error| error.context(format!("metric {name}")))?;
            flatten(&name, &value, metric.higher_is_better(), &mut values);
        }
        for (name, value, higher) in values {
            log.value(&name, value, LogTo::EPOCH_BAR);
            if let (Split::Val, Some(higher)) = (split, higher) {
                let best = self.best.entry(format!("{name}_best")).or_insert(value);
                if (higher && value > *best) || (!higher && value < *best) || best.is_nan() {
                    *best = value;
                }
                log.value(&format!("{name}_best"), *best, LogTo::EPOCH);
            }
        }
        Ok(())
    }

    /// The names that [`Meters::log`] logs, as far as they are known beforehand.
    pub fn names(&self, split: Split) -> Vec<String> {
        let set = self.sets.iter().find(|(of, _)| *of == split);
        let names = set.into_iter().flat_map(|(_, set)| set).flat_map(|(name, metric)| {
            let name = format!("{}/{name}", split.name());
            let best = (split == Split::Val && metric.higher_is_better().is_some()).then(|| format!("{name}_best"));
            [Some(name), best]
        });
        names.flatten().collect()
    }
}

/// Several values of one metric become several names: `val/f1_3` for class 3, `val/map_50` for a member.
fn flatten(name: &str, value: &Value, higher: Option<bool>, out: &mut Vec<(String, f64, Option<bool>)>) {
    match value {
        Value::Tensor(tensor) if tensor.numel() == 1 => {
            out.push((name.to_owned(), tensor.to_kind(Kind::Double).view(-1).double_value(&[0]), higher));
        }
        Value::Tensor(tensor) => {
            let flat = tensor.to_kind(Kind::Double).flatten(0, -1);
            let values = (0..flat.numel() as i64).map(|i| (format!("{name}_{i}"), flat.double_value(&[i]), None));
            out.extend(values);
        }
        Value::Map(map) => map.iter().for_each(|(key, value)| flatten(&format!("{name}_{key}"), value, None, out)),
    }
}

impl Stateful for Meters {
    fn state(&self) -> State {
        let best: Vec<(&String, u64)> = self.best.iter().map(|(name, value)| (name, value.to_bits())).collect();
        let mut state = State::of(json!({ "best": best }));
        for (split, set) in &self.sets {
            for (name, metric) in set {
                for (part, tensor, _) in metric.state() {
                    state.tensors.insert(format!("{}.{name}.{part}", split.name()), tensor);
                }
            }
        }
        state
    }

    fn restore(&mut self, state: &State) -> Result<()> {
        let best: Vec<(String, u64)> = serde_json::from_value(state.value["best"].clone())
            .map_err(|error| Error::failed(format!("the state of the metrics cannot be read: {error}")))?;
        self.best = best.into_iter().map(|(name, bits)| (name, f64::from_bits(bits))).collect();
        for (split, set) in &mut self.sets {
            for (name, metric) in set {
                metric.restore(&state.nested(&format!("{}.{name}", split.name())).tensors)?;
            }
        }
        Ok(())
    }
}
