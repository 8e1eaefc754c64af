//! `<save_dir>/<name>/version_<n>`: how Lightning's local loggers number their folders.

use std::borrow::Cow;
use std::path::Path;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::{Deserializer, Error, Visitor};
use serde::{Deserialize, Serialize};

/// A run's version below a logger's folder: a number, or a name of the user's.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Version(pub String);

impl<'de> Deserialize<'de> for Version {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Take;
        impl Visitor<'_> for Take {
            type Value = Version;
            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("a whole number or a name")
            }
            fn visit_str<E: Error>(self, v: &str) -> Result<Version, E> {
                Ok(Version(v.to_owned()))
            }
            fn visit_u64<E: Error>(self, v: u64) -> Result<Version, E> {
                Ok(Version(format!("version_{v}")))
            }
        }
        deserializer.deserialize_any(Take)
    }
}

impl JsonSchema for Version {
    fn schema_name() -> Cow<'static, str> {
        "Version".into()
    }
    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": ["string", "integer"] })
    }
    fn inline_schema() -> bool {
        true
    }
}

/// The given version's folder name, or `version_<n>` with the first number above all that are below `base`.
pub fn version_below(base: &Path, given: Option<Version>) -> String {
    let next = || {
        let names = std::fs::read_dir(base).into_iter().flatten().flatten();
        let taken = names.filter_map(|entry| entry.file_name().to_str()?.strip_prefix("version_")?.parse::<u64>().ok());
        format!("version_{}", taken.max().map_or(0, |n| n + 1))
    };
    given.map_or_else(next, |version| version.0)
}

/// A metric's name with Lightning's prefix: `prefix-name`.
pub fn prefixed<'a>(prefix: &str, name: &'a str) -> Cow<'a, str> {
    if prefix.is_empty() { Cow::Borrowed(name) } else { Cow::Owned(format!("{prefix}-{name}")) }
}

/// Lightning's `log_model`: `false`, `true` (the best checkpoint, at the end) or `all`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LogModel {
    /// Checkpoints stay where they are.
    #[default]
    No,
    /// The best one, when the run is over.
    Best,
    /// Every one, as it is saved.
    All,
}

impl<'de> Deserialize<'de> for LogModel {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Take;
        impl Visitor<'_> for Take {
            type Value = LogModel;
            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("true, false or `all`")
            }
            fn visit_bool<E: Error>(self, v: bool) -> Result<LogModel, E> {
                Ok(if v { LogModel::Best } else { LogModel::No })
            }
            fn visit_str<E: Error>(self, v: &str) -> Result<LogModel, E> {
                if v == "all" { Ok(LogModel::All) } else { Err(E::invalid_value(serde::de::Unexpected::Str(v), &self)) }
            }
        }
        deserializer.deserialize_any(Take)
    }
}

impl JsonSchema for LogModel {
    fn schema_name() -> Cow<'static, str> {
        "LogModel".into()
    }
    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "enum": [true, false, "all"] })
    }
    fn inline_schema() -> bool {
        true
    }
}
