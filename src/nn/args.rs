//! Argument types of layers: sizes that are one number or one per axis, counts, and PyTorch's padding.

use std::borrow::Cow;
use std::fmt;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::{self, Deserialize, Deserializer, SeqAccess, Visitor};
use serde::{Serialize, Serializer};

/// A whole number above 0: features, channels, heads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Count(pub i64);

struct TakeCount;

impl Visitor<'_> for TakeCount {
    type Value = Count;
    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a whole number above 0")
    }
    fn visit_u64<E: de::Error>(self, v: u64) -> Result<Count, E> {
        match i64::try_from(v) {
            Ok(v) if v > 0 => Ok(Count(v)),
            _ => Err(E::invalid_value(de::Unexpected::Unsigned(v), &self)),
        }
    }
}

impl<'de> Deserialize<'de> for Count {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_u64(TakeCount)
    }
}

impl Serialize for Count {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_i64(self.0)
    }
}

impl JsonSchema for Count {
    fn schema_name() -> Cow<'static, str> {
        "Count".into()
    }
    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "integer", "minimum": 1 })
    }
    fn inline_schema() -> bool {
        true
    }
}

/// One whole number for all `N` axes, or a list of `N`; none below `MIN`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Extent<const N: usize, const MIN: i64>(pub [i64; N]);

impl<const N: usize, const MIN: i64> Extent<N, MIN> {
    /// The same on every axis.
    pub const fn all(value: i64) -> Self {
        Extent([value; N])
    }
}

/// The smallest: 1 for strides and dilations, 0 for padding.
impl<const N: usize, const MIN: i64> Default for Extent<N, MIN> {
    fn default() -> Self {
        Extent::all(MIN)
    }
}

struct TakeExtent<const N: usize, const MIN: i64>;

impl<'de, const N: usize, const MIN: i64> Visitor<'de> for TakeExtent<N, MIN> {
    type Value = Extent<N, MIN>;
    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match N {
            1 => write!(f, "a whole number of {MIN} or above"),
            _ => write!(f, "a whole number of {MIN} or above, or a list of {N}"),
        }
    }
    fn visit_u64<E: de::Error>(self, v: u64) -> Result<Self::Value, E> {
        match i64::try_from(v) {
            Ok(value) if value >= MIN => Ok(Extent([value; N])),
            _ => Err(E::invalid_value(de::Unexpected::Unsigned(v), &self)),
        }
    }
    fn visit_i64<E: de::Error>(self, v: i64) -> Result<Self::Value, E> {
        Err(E::invalid_value(de::Unexpected::Signed(v), &self))
    }
    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Self::Value, A::Error> {
        let mut values = Vec::new();
        while let Some(value) = seq.next_element::<Extent<1, MIN>>()? {
            values.push(value.0[0]);
        }
        let length = values.len();
        <[i64; N]>::try_from(values).map(Extent).map_err(|_| de::Error::invalid_length(length, &self))
    }
}

impl<'de, const N: usize, const MIN: i64> Deserialize<'de> for Extent<N, MIN> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(TakeExtent)
    }
}

impl<const N: usize, const MIN: i64> Serialize for Extent<N, MIN> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.0.first() {
            Some(first) if self.0.iter().all(|v| v == first) => serializer.serialize_i64(*first),
            _ => serializer.collect_seq(self.0),
        }
    }
}

impl<const N: usize, const MIN: i64> JsonSchema for Extent<N, MIN> {
    fn schema_name() -> Cow<'static, str> {
        format!("Extent{N}From{MIN}").into()
    }
    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        let one = json_schema!({ "type": "integer", "minimum": MIN });
        json_schema!({ "anyOf": [one, { "type": "array", "items": one, "minItems": N, "maxItems": N }] })
    }
    fn inline_schema() -> bool {
        true
    }
}

/// A convolution's padding: pixels per side and axis, `same` (the output is as large as the input), or `valid`
/// (none).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Padding<const N: usize> {
    /// This many on both sides of each axis.
    Size([i64; N]),
    /// As many as keep the size.
    Same,
}

impl<const N: usize> Default for Padding<N> {
    fn default() -> Self {
        Padding::Size([0; N])
    }
}

impl<'de, const N: usize> Deserialize<'de> for Padding<N> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Take<const N: usize>;
        impl<'de, const N: usize> Visitor<'de> for Take<N> {
            type Value = Padding<N>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "a whole number, a list of {N}, \"same\" or \"valid\"")
            }
            fn visit_str<E: de::Error>(self, v: &str) -> Result<Padding<N>, E> {
                match v {
                    "same" => Ok(Padding::Same),
                    "valid" => Ok(Padding::default()),
                    other => Err(E::invalid_value(de::Unexpected::Str(other), &self)),
                }
            }
            fn visit_u64<E: de::Error>(self, v: u64) -> Result<Padding<N>, E> {
                TakeExtent::<N, 0>.visit_u64(v).map(|extent| Padding::Size(extent.0))
            }
            fn visit_seq<A: SeqAccess<'de>>(self, seq: A) -> Result<Padding<N>, A::Error> {
                TakeExtent::<N, 0>.visit_seq(seq).map(|extent| Padding::Size(extent.0))
            }
        }
        deserializer.deserialize_any(Take)
    }
}

impl<const N: usize> Serialize for Padding<N> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Padding::Same => serializer.serialize_str("same"),
            Padding::Size(size) => Extent::<N, 0>(*size).serialize(serializer),
        }
    }
}

impl<const N: usize> JsonSchema for Padding<N> {
    fn schema_name() -> Cow<'static, str> {
        format!("Padding{N}").into()
    }
    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let size = generator.subschema_for::<Extent<N, 0>>();
        json_schema!({ "anyOf": [size, { "enum": ["same", "valid"] }] })
    }
    fn inline_schema() -> bool {
        true
    }
}

/// `#[serde(default = "yes")]`: Python's `True`.
pub(super) fn yes() -> bool {
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_one_or_one_per_axis() {
        let extent = |text: &str| serde_json::from_str::<Extent<2, 1>>(text).map(|e| e.0).ok();
        for (text, want) in [
            ("3", Some([3, 3])),
            ("[3, 5]", Some([3, 5])),
            ("0", None),
            ("-1", None),
            ("[3]", None),
            ("[3, 0]", None),
            ("[1, 2, 3]", None),
            ("2.5", None),
        ] {
            assert_eq!(extent(text), want, "{text}");
        }
        let padding = |text: &str| serde_json::from_str::<Padding<2>>(text).ok();
        assert_eq!(padding("\"same\""), Some(Padding::Same));
        assert_eq!(padding("\"valid\""), Some(Padding::Size([0, 0])));
        assert_eq!(padding("[1, 0]"), Some(Padding::Size([1, 0])));
        assert_eq!(padding("\"full\""), None);
    }
}
