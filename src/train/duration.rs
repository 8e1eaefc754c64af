//! Durations as Lightning writes them.

use std::borrow::Cow;
use std::fmt;

use schemars::JsonSchema;
use serde::de::{Deserializer, Error, MapAccess, Unexpected, Visitor};
use serde::{Deserialize, Serialize};

/// A duration in seconds, written `DD:HH:MM:SS` or as a mapping of the arguments of Python's `timedelta`: weeks,
/// days, hours, minutes and seconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct MaxTime(pub u64);

impl MaxTime {
    /// Reads `DD:HH:MM:SS`.
    pub fn parse(text: &str) -> Option<Self> {
        let parts: Vec<u64> = text.trim().split(':').map(str::parse).collect::<Result<_, _>>().ok()?;
        match parts.as_slice() {
            [days, hours, minutes, seconds] if *hours < 24 && *minutes < 60 && *seconds < 60 => {
                let total = days.checked_mul(24)?.checked_add(*hours)?.checked_mul(60)?.checked_add(*minutes)?;
                Some(MaxTime(total.checked_mul(60)?.checked_add(*seconds)?))
            }
            _ => None,
        }
    }
}

impl<'de> Deserialize<'de> for MaxTime {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Take;
        impl<'de> Visitor<'de> for Take {
            type Value = MaxTime;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a time as DD:HH:MM:SS (two digits each), or a mapping of days, hours, minutes, seconds")
            }
            fn visit_str<E: Error>(self, text: &str) -> Result<MaxTime, E> {
                MaxTime::parse(text).ok_or_else(|| E::invalid_value(Unexpected::Str(text), &self))
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<MaxTime, A::Error> {
                const UNITS: [(&str, f64); 5] =
                    [("weeks", 604_800.0), ("days", 86_400.0), ("hours", 3600.0), ("minutes", 60.0), ("seconds", 1.0)];
                let mut total = 0.0;
                while let Some((name, count)) = map.next_entry::<String, f64>()? {
                    let Some((_, unit)) = UNITS.iter().find(|(unit, _)| *unit == name) else {
                        return Err(A::Error::unknown_field(&name, &["weeks", "days", "hours", "minutes", "seconds"]));
                    };
                    total += count * unit;
                }
                if total >= 0.0 {
                    Ok(MaxTime(total.round() as u64))
                } else {
                    Err(A::Error::invalid_value(Unexpected::Float(total), &"a time of 0 or above"))
                }
            }
        }
        deserializer.deserialize_any(Take)
    }
}

impl JsonSchema for MaxTime {
    fn schema_name() -> Cow<'static, str> {
        "MaxTime".into()
    }
    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        let count = serde_json::json!({ "type": "number" });
        schemars::json_schema!({ "anyOf": [
            { "type": "string", "pattern": r"^\d+:\d+:\d+:\d+$" },
            {
                "type": "object",
                "additionalProperties": false,
                "properties": { "weeks": count, "days": count, "hours": count, "minutes": count, "seconds": count },
            },
        ] })
    }
    fn inline_schema() -> bool {
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_spellings() {
        let read = |json: &str| serde_json::from_str::<MaxTime>(json).ok().map(|time| time.0);
        assert_eq!(read(r#""01:02:03:04""#), Some(93784));
        assert_eq!(read(r#"{"hours": 1.5, "seconds": 2}"#), Some(5402));
        for wrong in [r#""1:2:3""#, r#""00:24:00:00""#, r#""00:00:60:00""#, r#"{"years": 1}"#, r#"{"days": -1}"#] {
            assert_eq!(read(wrong), None, "{wrong}");
        }
    }
}
