//! Gradient accumulation that changes between epochs.

use std::collections::BTreeMap;
use std::fmt;

use serde::de::{self, Deserializer, MapAccess, Visitor};

use crate::error::Error;
use crate::prelude::*;
use crate::tensor::Stateful;
use crate::train::{Callback, CallbackKind, Task, TrainerArgs};

/// Sums gradients over another number of batches from given epochs on: `scheduling: {0: 8, 4: 2}`.
///
/// Mirrors `lightning.pytorch.callbacks.GradientAccumulationScheduler`. Schedulers that need the number of steps of
/// the whole run get the right one.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct GradientAccumulationScheduler {
    /// Epoch, counted from 0, to number of batches; 1 before the first of them.
    scheduling: Scheduling,
}

#[derive(Clone, Debug, PartialEq)]
struct Scheduling(BTreeMap<u64, u64>);

impl<'de> Deserialize<'de> for Scheduling {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> std::result::Result<Self, D::Error> {
        struct Take;
        impl<'de> Visitor<'de> for Take {
            type Value = Scheduling;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a mapping of epochs to numbers of batches: {0: 8, 4: 2}")
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> std::result::Result<Scheduling, A::Error> {
                let mut out = BTreeMap::new();
                // Keys of a mapping come as text, whatever they were written as.
                while let Some((epoch, batches)) = map.next_entry::<String, u64>()? {
                    let epoch = epoch
                        .parse()
                        .map_err(|_| de::Error::invalid_value(de::Unexpected::Str(&epoch), &"an epoch, from 0"))?;
                    if batches == 0 {
                        return Err(de::Error::invalid_value(de::Unexpected::Unsigned(0), &"1 batch or more"));
                    }
                    out.insert(epoch, batches);
                }
                if out.is_empty() {
                    return Err(de::Error::invalid_length(0, &"at least one epoch"));
                }
                Ok(Scheduling(out))
            }
        }
        deserializer.deserialize_any(Take)
    }
}

impl JsonSchema for Scheduling {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Scheduling".into()
    }
    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({ "type": "object", "additionalProperties": { "type": "integer", "minimum": 1 } })
    }
    fn inline_schema() -> bool {
        true
    }
}

impl Component for GradientAccumulationScheduler {
    type Kind = CallbackKind;
    const TARGETS: &'static [&'static str] = &["lightning.pytorch.callbacks.GradientAccumulationScheduler"];

    fn build(self, _: &mut Build) -> Result<Box<dyn Callback>> {
        Ok(Box::new(self))
    }
}

impl Stateful for GradientAccumulationScheduler {}

impl Callback for GradientAccumulationScheduler {
    fn name(&self) -> String {
        "GradientAccumulationScheduler".into()
    }

    fn accumulation(&self, epoch: u64) -> Option<u64> {
        Some(self.scheduling.0.range(..=epoch).next_back().map_or(1, |(_, batches)| *batches))
    }

    fn setup(&mut self, _: &mut dyn Task, args: &TrainerArgs) -> Result<()> {
        if args.accumulate_grad_batches == 1 {
            return Ok(());
        }
        Err(Error::request("trainer.accumulate_grad_batches and GradientAccumulationScheduler exclude each other")
            .help("put the first epochs' number into the callback: scheduling: {0: 4, …}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn the_last_entry_up_to_the_epoch_counts() {
        let read = |value| serde_json::from_value::<GradientAccumulationScheduler>(json!({ "scheduling": value }));
        let callback = read(json!({"1": 4, "3": 2})).unwrap();
        assert_eq!([0, 1, 2, 3, 9].map(|epoch| callback.accumulation(epoch).unwrap()), [1, 4, 4, 2, 2]);
        for wrong in [json!({}), json!({"a": 1}), json!({"1": 0}), json!(3)] {
            assert!(read(wrong.clone()).is_err(), "{wrong}");
        }
    }
}
