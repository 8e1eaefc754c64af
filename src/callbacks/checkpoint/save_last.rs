//! `save_last`: three values.

use schemars::JsonSchema;
use serde::de::{self, Deserialize, Deserializer};

/// `true`, `false` or `link`; a link costs nothing and is what `true` makes as well, where it can.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct SaveLast(pub bool);

impl<'de> Deserialize<'de> for SaveLast {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> std::result::Result<Self, D::Error> {
        struct Take;
        impl de::Visitor<'_> for Take {
            type Value = SaveLast;
            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("true, false or `link`")
            }
            fn visit_bool<E: de::Error>(self, v: bool) -> std::result::Result<SaveLast, E> {
                Ok(SaveLast(v))
            }
            fn visit_str<E: de::Error>(self, v: &str) -> std::result::Result<SaveLast, E> {
                match v {
                    "link" => Ok(SaveLast(true)),
                    _ => Err(E::invalid_value(de::Unexpected::Str(v), &self)),
                }
            }
        }
        deserializer.deserialize_any(Take)
    }
}

impl JsonSchema for SaveLast {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "SaveLast".into()
    }
    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({ "enum": [true, false, "link", null] })
    }
    fn inline_schema() -> bool {
        true
    }
}
