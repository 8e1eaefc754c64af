//! Argument types that say no by themselves: ranges, and Python's "int or float" and "bool or int".

use std::borrow::Cow;
use std::fmt;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::{self, Deserialize, Deserializer, Visitor};
use serde::{Serialize, Serializer};

macro_rules! bounded {
    ($(#[$doc:meta])* $name:ident, $words:literal, $test:expr, $schema:tt) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, PartialOrd)]
        pub struct $name(pub f64);

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                struct Take;
                impl Visitor<'_> for Take {
                    type Value = $name;
                    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                        f.write_str($words)
                    }
                    fn visit_f64<E: de::Error>(self, v: f64) -> Result<$name, E> {
                        let fits: fn(f64) -> bool = $test;
                        if fits(v) { Ok($name(v)) } else { Err(E::invalid_value(de::Unexpected::Float(v), &self)) }
                    }
                    fn visit_i64<E: de::Error>(self, v: i64) -> Result<$name, E> {
                        self.visit_f64(v as f64)
                    }
                    fn visit_u64<E: de::Error>(self, v: u64) -> Result<$name, E> {
                        self.visit_f64(v as f64)
                    }
                }
                deserializer.deserialize_f64(Take)
            }
        }

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_f64(self.0)
            }
        }

        impl JsonSchema for $name {
            fn schema_name() -> Cow<'static, str> {
                stringify!($name).into()
            }
            fn json_schema(_: &mut SchemaGenerator) -> Schema {
                json_schema!($schema)
            }
            fn inline_schema() -> bool {
                true
            }
        }

        impl From<$name> for f64 {
            fn from(v: $name) -> f64 {
                v.0
            }
        }
    };
}

bounded!(
    /// A number above 0.
    Positive, "a number above 0", |v| v > 0.0, { "type": "number", "exclusiveMinimum": 0 }
);
bounded!(
    /// A number of 0 or above.
    NonNegative, "a number of 0 or above", |v| v >= 0.0, { "type": "number", "minimum": 0 }
);
bounded!(
    /// A number from 0 to 1.
    Fraction, "a number from 0 to 1", |v| (0.0..=1.0).contains(&v), { "type": "number", "minimum": 0, "maximum": 1 }
);

/// Python's "int or float", where the two mean different things: `limit_train_batches: 10` is ten batches, `0.5`
/// is half of them.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
#[serde(untagged)]
pub enum IntOrFloat {
    /// A whole number: a count.
    Int(u64),
    /// A number with a point: a share.
    Float(f64),
}

impl<'de> Deserialize<'de> for IntOrFloat {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Take;
        impl Visitor<'_> for Take {
            type Value = IntOrFloat;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a whole number (a count) or a number with a point (a share)")
            }
            fn visit_u64<E: de::Error>(self, v: u64) -> Result<IntOrFloat, E> {
                Ok(IntOrFloat::Int(v))
            }
            fn visit_f64<E: de::Error>(self, v: f64) -> Result<IntOrFloat, E> {
                if v >= 0.0 { Ok(IntOrFloat::Float(v)) } else { Err(E::invalid_value(de::Unexpected::Float(v), &self)) }
            }
        }
        deserializer.deserialize_any(Take)
    }
}

impl JsonSchema for IntOrFloat {
    fn schema_name() -> Cow<'static, str> {
        "IntOrFloat".into()
    }
    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "number", "minimum": 0 })
    }
    fn inline_schema() -> bool {
        true
    }
}

/// Python's "bool or int": `fast_dev_run: true` is one batch, `3` three. `false` and `0` are off.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Switch(pub u64);

impl<'de> Deserialize<'de> for Switch {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Take;
        impl Visitor<'_> for Take {
            type Value = Switch;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("true, false or a whole number")
            }
            fn visit_bool<E: de::Error>(self, v: bool) -> Result<Switch, E> {
                Ok(Switch(u64::from(v)))
            }
            fn visit_u64<E: de::Error>(self, v: u64) -> Result<Switch, E> {
                Ok(Switch(v))
            }
        }
        deserializer.deserialize_any(Take)
    }
}

impl Serialize for Switch {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.0 {
            0 => serializer.serialize_bool(false),
            1 => serializer.serialize_bool(true),
            n => serializer.serialize_u64(n),
        }
    }
}

impl JsonSchema for Switch {
    fn schema_name() -> Cow<'static, str> {
        "Switch".into()
    }
    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": ["boolean", "integer"], "minimum": 0 })
    }
    fn inline_schema() -> bool {
        true
    }
}

/// A number of threads, or `auto`: one for every core that this process may use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Workers {
    /// So many.
    Count(usize),
    /// As many as the machine has cores for this process.
    Auto,
}

impl Workers {
    /// How many threads that is here.
    pub fn count(self) -> usize {
        match self {
            Workers::Count(count) => count,
            Workers::Auto => std::thread::available_parallelism().map_or(1, usize::from),
        }
    }
}

impl Default for Workers {
    fn default() -> Self {
        Workers::Count(0)
    }
}

impl<'de> Deserialize<'de> for Workers {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Take;
        impl Visitor<'_> for Take {
            type Value = Workers;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a number of threads, or auto")
            }
            fn visit_u64<E: de::Error>(self, v: u64) -> Result<Workers, E> {
                usize::try_from(v).map(Workers::Count).map_err(|_| E::invalid_value(de::Unexpected::Unsigned(v), &self))
            }
            fn visit_str<E: de::Error>(self, v: &str) -> Result<Workers, E> {
                if v == "auto" { Ok(Workers::Auto) } else { Err(E::invalid_value(de::Unexpected::Str(v), &self)) }
            }
        }
        deserializer.deserialize_any(Take)
    }
}

impl Serialize for Workers {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Workers::Count(count) => serializer.serialize_u64(*count as u64),
            Workers::Auto => serializer.serialize_str("auto"),
        }
    }
}

impl JsonSchema for Workers {
    fn schema_name() -> Cow<'static, str> {
        "Workers".into()
    }
    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "anyOf": [{ "type": "integer", "minimum": 0 }, { "const": "auto" }] })
    }
    fn inline_schema() -> bool {
        true
    }
}

/// One value or a list of them, as many of torchvision's sizes: `224` or `[224, 224]`.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(untagged)]
pub enum OneOrMany<T> {
    /// A single value.
    One(T),
    /// A list.
    Many(Vec<T>),
}

impl<T> OneOrMany<T> {
    /// The values as a slice.
    pub fn as_slice(&self) -> &[T] {
        match self {
            OneOrMany::One(value) => std::slice::from_ref(value),
            OneOrMany::Many(values) => values,
        }
    }
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for OneOrMany<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Take<T>(std::marker::PhantomData<T>);
        macro_rules! one {
            ($($visit:ident: $from:ty),*) => {
                $(fn $visit<E: de::Error>(self, v: $from) -> Result<OneOrMany<T>, E> {
                    T::deserialize(de::IntoDeserializer::into_deserializer(v)).map(OneOrMany::One)
                })*
            };
        }
        impl<'de, T: Deserialize<'de>> Visitor<'de> for Take<T> {
            type Value = OneOrMany<T>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a value or a list of values")
            }
            one!(visit_bool: bool, visit_i64: i64, visit_u64: u64, visit_f64: f64, visit_str: &str);
            fn visit_seq<A: de::SeqAccess<'de>>(self, mut seq: A) -> Result<OneOrMany<T>, A::Error> {
                let mut values = Vec::new();
                while let Some(value) = seq.next_element()? {
                    values.push(value);
                }
                Ok(OneOrMany::Many(values))
            }
        }
        deserializer.deserialize_any(Take(std::marker::PhantomData))
    }
}

impl<T: JsonSchema> JsonSchema for OneOrMany<T> {
    fn schema_name() -> Cow<'static, str> {
        format!("OneOrMany_{}", T::schema_name()).into()
    }
    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let one = generator.subschema_for::<T>();
        json_schema!({ "anyOf": [one, { "type": "array", "items": one }] })
    }
    fn inline_schema() -> bool {
        true
    }
}
