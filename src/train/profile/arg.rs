//! `trainer.profiler`: a name or a component.

use std::fmt;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::{self, Deserialize, Deserializer, Visitor};

use super::{ProfilerKind, Profiling};
use crate::error::Result;
use crate::registry::{Build, Slot, SlotOr};

/// `simple`, `advanced`, or a profiler with arguments of its own.
#[derive(Clone, Debug)]
pub enum ProfilerArg {
    /// A name.
    Named(Profiling),
    /// A component.
    Component(Slot<ProfilerKind>),
}

impl ProfilerArg {
    /// What is measured.
    pub fn profiling(&self, cx: &mut Build) -> Result<Profiling> {
        match self {
            ProfilerArg::Named(profiling) => Ok(profiling.clone()),
            ProfilerArg::Component(slot) => cx.build(slot),
        }
    }
}

/// A name, as written.
struct Name(Profiling);

impl<'de> Deserialize<'de> for Name {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> std::result::Result<Self, D::Error> {
        struct Take;
        impl Visitor<'_> for Take {
            type Value = Name;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("`simple` (a table), `advanced` (a table and a trace) or a profiler with its `_target_`")
            }
            fn visit_str<E: de::Error>(self, v: &str) -> std::result::Result<Name, E> {
                match v {
                    "simple" => Ok(Name(Profiling::default())),
                    "advanced" => Ok(Name(Profiling { trace: true, ..Profiling::default() })),
                    "pytorch" | "xla" => Err(E::custom(format!(
                        "the profiler `{v}` belongs to Python's torch: `advanced` writes a trace of the loop's parts"
                    ))),
                    _ => Err(E::invalid_value(de::Unexpected::Str(v), &self)),
                }
            }
        }
        deserializer.deserialize_str(Take)
    }
}

impl<'de> Deserialize<'de> for ProfilerArg {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> std::result::Result<Self, D::Error> {
        Ok(match SlotOr::<ProfilerKind, Name>::deserialize(deserializer)? {
            SlotOr::Slot(slot) => ProfilerArg::Component(slot),
            SlotOr::Other(Name(profiling)) => ProfilerArg::Named(profiling),
        })
    }
}

impl JsonSchema for ProfilerArg {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "ProfilerArg".into()
    }
    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let slot = generator.subschema_for::<Slot<ProfilerKind>>();
        json_schema!({ "anyOf": [{ "enum": ["simple", "advanced", null] }, slot] })
    }
    fn inline_schema() -> bool {
        true
    }
}
