//! A length of time as an argument: Python's `timedelta`.

use std::fmt;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::{self, Deserialize, Deserializer, MapAccess, Visitor};

/// Seconds, written as a number of them, as `DD:HH:MM:SS`, or as a mapping with the arguments of Python's
/// `datetime.timedelta` (weeks, days, hours, minutes, seconds, milliseconds, microseconds).
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Seconds(pub f64);

/// The units of a mapping, in seconds.
const UNITS: [(&str, f64); 7] = [
    ("weeks", 604_800.0),
    ("days", 86_400.0),
    ("hours", 3_600.0),
    ("minutes", 60.0),
    ("seconds", 1.0),
    ("milliseconds", 1e-3),
    ("microseconds", 1e-6),
];

const NAMES: [&str; 7] = ["weeks", "days", "hours", "minutes", "seconds", "milliseconds", "microseconds"];

impl<'de> Deserialize<'de> for Seconds {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Take;
        impl<'de> Visitor<'de> for Take {
            type Value = Seconds;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("seconds, `DD:HH:MM:SS` or a mapping of days, hours, minutes, seconds")
            }
            fn visit_u64<E: de::Error>(self, v: u64) -> Result<Seconds, E> {
                Ok(Seconds(v as f64))
            }
            fn visit_f64<E: de::Error>(self, v: f64) -> Result<Seconds, E> {
                let fits = v.is_finite() && v >= 0.0;
                if fits { Ok(Seconds(v)) } else { Err(E::invalid_value(de::Unexpected::Float(v), &self)) }
            }
            fn visit_str<E: de::Error>(self, v: &str) -> Result<Seconds, E> {
                let parts: Option<Vec<f64>> =
                    v.split(':').map(|part| part.trim().parse::<u32>().ok().map(f64::from)).collect();
                match parts.as_deref() {
                    Some([days, hours, minutes, seconds]) => {
                        Ok(Seconds(((days * 24.0 + hours) * 60.0 + minutes) * 60.0 + seconds))
                    }
                    _ => Err(E::invalid_value(de::Unexpected::Str(v), &self)),
                }
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Seconds, A::Error> {
                let mut total = 0.0;
                while let Some(key) = map.next_key::<String>()? {
                    if key == "_target_" {
                        let target: String = map.next_value()?;
                        if target != "datetime.timedelta" {
                            return Err(de::Error::invalid_value(de::Unexpected::Str(&target), &"datetime.timedelta"));
                        }
                        continue;
                    }
                    let Some((_, unit)) = UNITS.iter().find(|(name, _)| *name == key) else {
                        return Err(de::Error::unknown_field(&key, &NAMES));
                    };
                    total += map.next_value::<f64>()? * unit;
                }
                self.visit_f64(total)
            }
        }
        deserializer.deserialize_any(Take)
    }
}

impl JsonSchema for Seconds {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Seconds".into()
    }
    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "anyOf": [
            { "type": "number", "minimum": 0 },
            { "type": "string", "pattern": r"^\d+:\d+:\d+:\d+$" },
            { "type": "object" },
        ] })
    }
    fn inline_schema() -> bool {
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn three_ways_to_write_it() {
        for (written, seconds) in [
            (json!(90), Some(90.0)),
            (json!(0.5), Some(0.5)),
            (json!("00:01:00:30"), Some(3630.0)),
            (json!({"minutes": 1.5, "milliseconds": 500}), Some(90.5)),
            (json!({"_target_": "datetime.timedelta", "days": 1}), Some(86_400.0)),
            (json!("1:30"), None),
            (json!("0:0:0:-1"), None),
            (json!(-1.0), None),
            (json!({"fortnights": 1}), None),
        ] {
            let found = serde_json::from_value::<Seconds>(written.clone()).ok().map(|s| s.0);
            assert_eq!(found, seconds, "{written}");
        }
    }
}
