//! Random erasing.

use serde::Serialize;

use super::flip::half;
use crate::data::rng::Rng;
use crate::data::transforms::{Erase, Op, Plan, Transform, TransformKind};
use crate::error::{Error, Result};
use crate::prelude::*;

/// The word `random`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
enum Word {
    Random,
}

/// Numbers, or the word `random`.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(untagged)]
enum Value {
    Numbers(Vec<f64>),
    Random(Word),
}

impl<'de> Deserialize<'de> for Value {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        use serde::de::{Error, SeqAccess, Unexpected, Visitor};
        struct Take;
        impl<'de> Visitor<'de> for Take {
            type Value = Value;
            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("a number, a list of one number a channel, or `random`")
            }
            fn visit_u64<E: Error>(self, v: u64) -> Result<Value, E> {
                Ok(Value::Numbers(vec![v as f64]))
            }
            fn visit_i64<E: Error>(self, v: i64) -> Result<Value, E> {
                Ok(Value::Numbers(vec![v as f64]))
            }
            fn visit_f64<E: Error>(self, v: f64) -> Result<Value, E> {
                Ok(Value::Numbers(vec![v]))
            }
            fn visit_str<E: Error>(self, v: &str) -> Result<Value, E> {
                if v == "random" {
                    Ok(Value::Random(Word::Random))
                } else {
                    Err(E::invalid_value(Unexpected::Str(v), &self))
                }
            }
            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Value, A::Error> {
                let mut numbers = Vec::new();
                while let Some(number) = seq.next_element()? {
                    numbers.push(number);
                }
                Ok(Value::Numbers(numbers))
            }
        }
        deserializer.deserialize_any(Take)
    }
}

impl JsonSchema for Value {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "EraseValue".into()
    }
    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({ "anyOf": [
            { "type": "number" }, { "type": "array", "items": { "type": "number" } }, { "const": "random" }
        ] })
    }
    fn inline_schema() -> bool {
        true
    }
}

/// Overwrites a drawn rectangle of a picture of floats, with a probability (Zhong et al., 2017).
///
/// Mirrors `torchvision.transforms.RandomErasing`.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RandomErasing {
    /// The probability.
    #[serde(default = "half")]
    p: Fraction,
    /// [low, high] of the rectangle's share of the picture.
    #[serde(default = "scale")]
    scale: Vec<Fraction>,
    /// [low, high] of height / width.
    #[serde(default = "ratio")]
    ratio: Vec<Positive>,
    /// What stands there: a number, one a channel, or `random` for normal numbers.
    #[serde(default = "zero")]
    value: Value,
    /// No effect: nothing is erased in place.
    #[serde(default)]
    #[allow(dead_code, reason = "accepted because torchvision has it")]
    inplace: Ignored,
}

fn scale() -> Vec<Fraction> {
    vec![Fraction(0.02), Fraction(0.33)]
}

fn ratio() -> Vec<Positive> {
    vec![Positive(0.3), Positive(3.3)]
}

fn zero() -> Value {
    Value::Numbers(vec![0.0])
}

struct Eraser {
    p: f64,
    scale: [f64; 2],
    ratio: [f64; 2],
    value: Value,
}

impl Transform for Eraser {
    fn plan(&self, rng: &mut Rng, plan: &mut Plan) -> Result<()> {
        if !rng.chance(self.p) {
            return Ok(());
        }
        let (rows, columns) = (plan.canvas.height, plan.canvas.width);
        let area = (rows * columns) as f64;
        for _ in 0..10 {
            let erased = area * rng.uniform(self.scale[0], self.scale[1]);
            let aspect = rng.uniform(self.ratio[0].ln(), self.ratio[1].ln()).exp();
            let height = (erased * aspect).sqrt().round_ties_even() as usize;
            let width = (erased / aspect).sqrt().round_ties_even() as usize;
            if height >= rows || width >= columns {
                continue;
            }
            let value = match &self.value {
                Value::Numbers(numbers) => Erase::Values(numbers.iter().map(|v| *v as f32).collect()),
                Value::Random(_) => Erase::Normal(rng.bits()),
            };
            let top = rng.below((rows - height) as u64 + 1) as usize;
            let left = rng.below((columns - width) as u64 + 1) as usize;
            plan.push(Op::Erase { top, left, height, width, value });
            break;
        }
        Ok(())
    }
}

impl RandomErasing {
    fn ranges(&self) -> Result<([f64; 2], [f64; 2]), (&'static str, &'static str)> {
        let scale = match *self.scale {
            [low, high] if low.0 <= high.0 => [low.0, high.0],
            _ => return Err(("scale", "`scale` is [low, high], shares of the picture")),
        };
        let ratio = match *self.ratio {
            [low, high] if low.0 <= high.0 => [low.0, high.0],
            _ => return Err(("ratio", "`ratio` is [low, high] of height / width")),
        };
        Ok((scale, ratio))
    }
}

impl Component for RandomErasing {
    type Kind = TransformKind;
    const TARGETS: &'static [&'static str] = &["torchvision.transforms.RandomErasing"];

    fn check(&self, cx: &mut Check) {
        if let Err((name, message)) = self.ranges() {
            cx.problem(name, message);
        }
        if self.value == Value::Numbers(Vec::new()) {
            cx.problem("value", "`value` is an empty list");
        }
    }

    fn build(self, _: &mut Build) -> Result<Box<dyn Transform>> {
        let (scale, ratio) = self.ranges().map_err(|(_, message)| Error::request(message))?;
        Ok(Box::new(Eraser { p: self.p.0, scale, ratio, value: self.value }))
    }
}

pub(super) fn register(registry: &mut Registry) {
    registry.add::<RandomErasing>();
}
