//! Weights written as lists in a config.

use std::borrow::Cow;
use std::cell::RefCell;
use std::fmt;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::{self, Deserialize, Deserializer, SeqAccess, Visitor};
use tch::{Kind, Tensor};

/// A tensor argument: a number, a list of numbers, or nested lists of equal lengths. Kept as float32 (float64 for
/// float64 inputs) and moved once to the device on which it is used.
#[derive(Debug)]
pub struct Weights {
    tensor: RefCell<Tensor>,
}

impl Weights {
    /// From a tensor at hand.
    pub fn new(tensor: Tensor) -> Self {
        Weights { tensor: RefCell::new(tensor) }
    }

    /// The weights where `like` is, in a precision that goes with it.
    pub fn on(&self, like: &Tensor) -> Tensor {
        let kind = if like.kind() == Kind::Double { Kind::Double } else { Kind::Float };
        let mut tensor = self.tensor.borrow_mut();
        if tensor.device() != like.device() {
            *tensor = tensor.to_device(like.device());
        }
        tensor.to_kind(kind)
    }

    /// How many weights there are.
    pub fn len(&self) -> usize {
        self.tensor.borrow().numel()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// Numbers with a shape, gathered while they are read.
struct Numbers {
    shape: Vec<i64>,
    values: Vec<f64>,
}

impl<'de> Deserialize<'de> for Numbers {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Take;
        impl<'de> Visitor<'de> for Take {
            type Value = Numbers;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a number or a list of numbers")
            }
            fn visit_f64<E: de::Error>(self, v: f64) -> Result<Numbers, E> {
                Ok(Numbers { shape: Vec::new(), values: vec![v] })
            }
            fn visit_i64<E: de::Error>(self, v: i64) -> Result<Numbers, E> {
                self.visit_f64(v as f64)
            }
            fn visit_u64<E: de::Error>(self, v: u64) -> Result<Numbers, E> {
                self.visit_f64(v as f64)
            }
            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Numbers, A::Error> {
                let (mut count, mut inner, mut values) = (0, None, Vec::new());
                while let Some(numbers) = seq.next_element::<Numbers>()? {
                    if *inner.get_or_insert_with(|| numbers.shape.clone()) != numbers.shape {
                        return Err(de::Error::custom("the inner lists differ in length"));
                    }
                    count += 1;
                    values.extend(numbers.values);
                }
                let mut shape = vec![count];
                shape.extend(inner.unwrap_or_default());
                Ok(Numbers { shape, values })
            }
        }
        deserializer.deserialize_any(Take)
    }
}

impl<'de> Deserialize<'de> for Weights {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let Numbers { shape, values } = Numbers::deserialize(deserializer)?;
        Ok(Weights::new(Tensor::from_slice(&values).to_kind(Kind::Float).reshape(shape)))
    }
}

impl JsonSchema for Weights {
    fn schema_name() -> Cow<'static, str> {
        "Weights".into()
    }
    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": ["number", "array"] })
    }
    fn inline_schema() -> bool {
        true
    }
}
