//! Arguments whose values no type describes.

use std::fmt;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::{self, Deserialize, Deserializer, Visitor};
use serde::ser::{Serialize, Serializer};

use super::extract;
use crate::config::Value;

/// An argument of the Python component that has no effect here: accepted whatever its value, and mentioned once.
#[derive(Clone, Copy, Debug, Default)]
pub struct Ignored;

impl<'de> Deserialize<'de> for Ignored {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Take;
        impl Visitor<'_> for Take {
            type Value = Ignored;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("anything")
            }
            fn visit_unit<E: de::Error>(self) -> Result<Ignored, E> {
                if let Some((node, path)) = extract::take_capture()
                    && !matches!(node.value, Value::Null)
                {
                    extract::found(|found| found.notes.push((path, "has no effect here".into())));
                }
                Ok(Ignored)
            }
        }
        deserializer.deserialize_newtype_struct(extract::CAPTURE, Take)
    }
}

impl Serialize for Ignored {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_none()
    }
}

impl JsonSchema for Ignored {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Ignored".into()
    }
    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "x-ignored": true })
    }
    fn inline_schema() -> bool {
        true
    }
}

/// An argument that is known by name and whose value is not read, so that it can be refused with the reason whatever
/// was written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Given {
    /// Nothing, null, or an empty list or mapping.
    #[default]
    Nothing,
    /// `false`.
    Off,
    /// Anything else.
    Something,
}

impl Given {
    /// Whether it asks for anything.
    pub fn is_something(self) -> bool {
        self == Given::Something
    }
}

impl<'de> Deserialize<'de> for Given {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Take;
        impl Visitor<'_> for Take {
            type Value = Given;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("anything")
            }
            fn visit_unit<E: de::Error>(self) -> Result<Given, E> {
                Ok(match extract::take_capture().map(|(node, _)| node.value) {
                    None | Some(Value::Null) => Given::Nothing,
                    Some(Value::Bool(false)) => Given::Off,
                    Some(Value::List(list)) if list.is_empty() => Given::Nothing,
                    Some(Value::Map(map)) if map.is_empty() => Given::Nothing,
                    Some(_) => Given::Something,
                })
            }
        }
        deserializer.deserialize_newtype_struct(extract::CAPTURE, Take)
    }
}

impl JsonSchema for Given {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Given".into()
    }
    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({})
    }
    fn inline_schema() -> bool {
        true
    }
}
