//! What some of the trainer's arguments are read as.

use schemars::JsonSchema;
use serde::Deserialize;

use crate::train::Precision;

/// Which device to compute on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, serde::Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Accelerator {
    /// A GPU when there is one, else the CPU.
    #[default]
    Auto,
    /// The CPU.
    Cpu,
    /// A CUDA GPU.
    Gpu,
    /// A CUDA GPU.
    Cuda,
    /// Apple's GPU; not supported.
    Mps,
    /// Google's; not supported.
    Tpu,
    /// Intel's; not supported.
    Hpu,
}

/// How gradients are clipped.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, serde::Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum ClipAlgorithm {
    /// Their common 2-norm is at most the value.
    #[default]
    Norm,
    /// Each element is between minus the value and the value.
    Value,
}

/// One entry of `devices`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
pub enum Devices {
    /// As many as there are, which is one.
    Auto,
    /// A count, or an index in a list.
    Number(i64),
}

/// `true`, `false` or `warn`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Deterministic {
    /// As fast as can be.
    Off,
    /// Same numbers again, or an error.
    On,
    /// Same numbers again where that is possible; a warning where not.
    Warn,
}

/// A type that is read from a piece of text or a number.
macro_rules! from_scalar {
    ($name:ident, $schema:tt, $expecting:literal, $parse:expr) => {
        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> std::result::Result<Self, D::Error> {
                struct Take;
                fn parse<E: serde::de::Error>(text: &str) -> std::result::Result<$name, E> {
                    let parse: fn(&str) -> Option<$name> = $parse;
                    parse(text).ok_or_else(|| E::invalid_value(serde::de::Unexpected::Str(text), &Take))
                }
                impl serde::de::Visitor<'_> for Take {
                    type Value = $name;
                    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                        f.write_str($expecting)
                    }
                    fn visit_str<E: serde::de::Error>(self, v: &str) -> std::result::Result<$name, E> {
                        parse(v)
                    }
                    fn visit_bool<E: serde::de::Error>(self, v: bool) -> std::result::Result<$name, E> {
                        parse(&v.to_string())
                    }
                    fn visit_i64<E: serde::de::Error>(self, v: i64) -> std::result::Result<$name, E> {
                        parse(&v.to_string())
                    }
                    fn visit_u64<E: serde::de::Error>(self, v: u64) -> std::result::Result<$name, E> {
                        parse(&v.to_string())
                    }
                }
                deserializer.deserialize_any(Take)
            }
        }
        impl JsonSchema for $name {
            fn schema_name() -> std::borrow::Cow<'static, str> {
                stringify!($name).into()
            }
            fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
                schemars::json_schema!($schema)
            }
            fn inline_schema() -> bool {
                true
            }
        }
    };
}

from_scalar!(Precision, { "enum": ["32-true", "64-true", "16-true", "bf16-true", "16-mixed", "bf16-mixed",
    "32", "64", "16", "bf16", 32, 64, 16] },
"a precision: 32-true, 64-true, 16-true, bf16-true, 16-mixed or bf16-mixed",
Precision::named);
from_scalar!(Devices, { "type": ["string", "integer"] }, "`auto`, 1, or a list with the index of one GPU",
|text| match text {
    "auto" => Some(Devices::Auto),
    number => number.parse().ok().map(Devices::Number),
});
from_scalar!(Deterministic, { "enum": [true, false, "warn"] }, "true, false or `warn`",
|text| match text {
    "true" => Some(Deterministic::On),
    "warn" => Some(Deterministic::Warn),
    "false" => Some(Deterministic::Off),
    _ => None,
});
