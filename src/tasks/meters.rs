//! The metrics of a task: a copy for every split and level, logged by name at the end of each pass, with the best
//! value of validation so far.

use indexmap::IndexMap;
use serde_json::json;
use tch::{Kind, Tensor};

use super::levels::Level;
use super::metric::{self, MetricSlot, Reading, Reads};
use super::names::LogNames;
use crate::data::Split;
use crate::error::{Error, Result};
use crate::metrics::{Metric, Update, Value};
use crate::registry::Build;
use crate::tensor::{State, Stateful};
use crate::train::{Log, LogTo};

const SPLITS: [Split; 3] = [Split::Train, Split::Val, Split::Test];

/// One metric of one level.
struct Meter {
    level: usize,
    /// Its name in the config, with the level's.
    name: String,
    metric: Box<dyn Metric>,
    /// The classes that it is given; `None`: all.
    kept: Option<Tensor>,
}

impl Meter {
    fn update(&mut self, preds: &Tensor, target: &Tensor) -> Result<()> {
        let cut = |tensor: &Tensor| match &self.kept {
            Some(kept) => tensor.index_select(1, &kept.to_device(tensor.device())),
            None => tensor.shallow_clone(),
        };
        self.metric.update(&Update::Pair { preds: &cut(preds), target: &cut(target) })
    }
}

/// Named metrics, one set a split.
pub(super) struct Meters {
    sets: Vec<(Split, Vec<Meter>)>,
    /// Metrics of one batch, where batches are logged.
    batch: Vec<Meter>,
    names: LogNames,
    /// The best value of each validation metric that knows a direction.
    best: IndexMap<String, f64>,
}

impl Meters {
    /// Builds every metric once a split and level.
    pub fn build<R: Reads>(
        slots: &IndexMap<String, MetricSlot<R>>,
        reading: Reading,
        levels: &[Level],
        names: LogNames,
        cx: &mut Build,
    ) -> Result<Self> {
        let mut set = || -> Result<Vec<Meter>> {
            let mut set = Vec::new();
            for (index, level) in levels.iter().enumerate() {
                for (name, slot) in slots {
                    let (metric, kept) = metric::build(&slot.node, &slot.path, reading, level, cx)?;
                    let name = names.of_level(&level.name, name);
                    let kept = kept.map(|kept| Tensor::from_slice(&kept));
                    set.push(Meter { level: index, name, metric, kept });
                }
            }
            Ok(set)
        };
        let sets = SPLITS.map(|split| set().map(|set| (split, set))).into_iter().collect::<Result<_>>()?;
        let batch = if names.is_step() { set()? } else { Vec::new() };
        Ok(Meters { sets, batch, names, best: IndexMap::new() })
    }

    /// Takes in a batch: predictions and targets of every level.
    pub fn update(&mut self, split: Split, values: &[(Tensor, Tensor)], log: &mut Log) -> Result<()> {
        let at = |name: &str| format!("metric {}", self.names.epoch(split, name));
        if !self.names.is_both()
            && let Some((_, set)) = self.sets.iter_mut().find(|(of, _)| *of == split)
        {
            for meter in set {
                let (preds, target) = &values[meter.level];
                meter.update(preds, target).map_err(|error| error.context(at(&meter.name)))?;
            }
        }
        if split != Split::Train && !self.names.is_both() {
            return Ok(());
        }
        for meter in &mut self.batch {
            let (preds, target) = &values[meter.level];
            meter.metric.reset();
            meter.update(preds, target).map_err(|error| error.context(at(&meter.name)))?;
            let value = meter.metric.compute().map_err(|error| error.context(at(&meter.name)))?;
            let (name, to) = match self.names.step(split, &meter.name) {
                _ if self.names.is_both() => (self.names.epoch(split, &meter.name), LogTo::BOTH),
                Some(name) => (name, LogTo::STEP),
                None => continue,
            };
            let mut flat = Vec::new();
            flatten(&name, &value, None, &mut flat);
            flat.iter().for_each(|(name, value, _)| log.value(name, *value, to));
        }
        Ok(())
    }

    /// Starts a pass anew.
    pub fn reset(&mut self, split: Split) {
        let sets = self.sets.iter_mut().filter(|(of, _)| *of == split);
        sets.flat_map(|(_, set)| set).for_each(|meter| meter.metric.reset());
    }

    /// Forgets the best values.
    pub fn forget_best(&mut self) {
        self.best.clear();
    }

    /// Logs what a pass has accumulated: `val/acc`, and `val/acc_best` for validation.
    pub fn log(&mut self, split: Split, log: &mut Log) -> Result<()> {
        // With one name for both, a pass is the mean of its batches, which the log has.
        if self.names.is_both() {
            return Ok(());
        }
        // A value of the whole pass, not of a batch.
        log.set_batch_size(1);
        let mut values = Vec::new();
        for meter in self.sets.iter().filter(|(of, _)| *of == split).flat_map(|(_, set)| set) {
            let name = self.names.epoch(split, &meter.name);
            let value = meter.metric.compute().map_err(|error| error.context(format!("metric {name}")))?;
            flatten(&name, &value, meter.metric.higher_is_better(), &mut values);
        }
        for (name, value, higher) in values {
            log.value(&name, value, LogTo::EPOCH_BAR);
            if let (Split::Val, Some(higher), true) = (split, higher, self.names.best()) {
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
        let set = self.sets.iter().filter(|(of, _)| *of == split).flat_map(|(_, set)| set);
        set.flat_map(|meter| {
            let mut names = self.names.logged(split, &meter.name);
            if split == Split::Val && self.names.best() && meter.metric.higher_is_better().is_some() {
                names.push(format!("{}_best", self.names.epoch(split, &meter.name)));
            }
            names
        })
        .collect()
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
            for meter in set {
                for (part, tensor, _) in meter.metric.state() {
                    state.tensors.insert(format!("{}.{}.{part}", split.name(), meter.name), tensor);
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
            for meter in set {
                let name = format!("{}.{}", split.name(), meter.name);
                meter.metric.restore(&state.nested(&name).tensors)?;
            }
        }
        Ok(())
    }
}
