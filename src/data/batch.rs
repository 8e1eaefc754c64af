//! Samples and batches: named tensors.

use indexmap::IndexMap;
use tch::{Device, Tensor};

use crate::error::{Error, Result};

/// A part of a batch.
#[derive(Debug)]
pub enum Field {
    /// All samples stacked along the first dimension.
    Tensor(Tensor),
    /// One tensor a sample, where sizes differ (boxes, images for a detector).
    List(Vec<Tensor>),
}

/// One sample: named tensors. `input` and `target` are the names that most tasks use.
#[derive(Debug, Default)]
pub struct Sample {
    /// Tensors by name, on the CPU.
    pub fields: IndexMap<String, Tensor>,
}

/// Several samples together.
#[derive(Debug, Default)]
pub struct Batch {
    /// Fields by name.
    pub fields: IndexMap<String, Field>,
    /// The samples' indices in their dataset.
    pub indices: Vec<usize>,
    /// Samples that could not be read and were left out, with the reason; only where the data says that this is
    /// meant ([`super::DataModule::files`]). A batch may hold nothing else.
    pub failed: Vec<(usize, String)>,
}

impl Sample {
    /// A sample of an input and its target.
    pub fn pair(input: Tensor, target: Tensor) -> Self {
        Sample { fields: IndexMap::from([("input".into(), input), ("target".into(), target)]) }
    }
}

impl Batch {
    /// Stacks samples along a new first dimension. A field whose shapes differ cannot be stacked.
    ///
    /// # Errors
    /// When there are no samples, or they do not have the same fields, shapes and types.
    pub fn collate(samples: Vec<Sample>, indices: Vec<usize>) -> Result<Self> {
        let Some(first) = samples.first() else { return Err(Error::failed("a batch needs at least one sample")) };
        let names: Vec<String> = first.fields.keys().cloned().collect();
        let mut batch = Batch { indices, ..Batch::default() };
        for name in names {
            let mut parts = Vec::with_capacity(samples.len());
            for (sample, index) in samples.iter().zip(&batch.indices) {
                let part = sample.fields.get(&name);
                let part = part.ok_or_else(|| Error::failed(format!("sample {index} has no `{name}`")))?;
                parts.push(part);
            }
            let size = parts[0].size();
            if let Some(other) = parts.iter().position(|part| part.size() != size) {
                let (a, b) = (batch.indices[0], batch.indices[other]);
                return Err(Error::failed(format!(
                    "`{name}` is {size:?} in sample {a} and {:?} in sample {b}: samples of a batch have one shape",
                    parts[other].size()
                ))
                .help("resize or crop to one size in the transforms"));
            }
            batch.fields.insert(name, Field::Tensor(Tensor::f_stack(&parts, 0)?));
        }
        Ok(batch)
    }

    /// How many samples.
    pub fn len(&self) -> usize {
        self.indices.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.indices.is_empty()
    }

    /// A stacked field.
    ///
    /// # Errors
    /// When the data has no such field or keeps it as a list.
    pub fn tensor(&self, name: &str) -> Result<&Tensor> {
        match self.fields.get(name) {
            Some(Field::Tensor(tensor)) => Ok(tensor),
            Some(Field::List(_)) => Err(Error::failed(format!("the batch keeps `{name}` as a list, one per sample"))),
            None => {
                let names: Vec<&str> = self.fields.keys().map(String::as_str).collect();
                Err(Error::failed(format!("the batch has no `{name}`; it has {}", names.join(", "))))
            }
        }
    }

    /// The field `input`.
    pub fn input(&self) -> Result<&Tensor> {
        self.tensor("input")
    }

    /// The field `target`.
    pub fn target(&self) -> Result<&Tensor> {
        self.tensor("target")
    }

    /// Moves everything to `device`, without waiting for the copy where the memory allows it.
    pub fn to_device(mut self, device: Device) -> Result<Self> {
        if device == Device::Cpu {
            return Ok(self);
        }
        let moved = |tensor: Tensor| Ok::<_, Error>(tensor.f_to_device_(device, tensor.kind(), true, false)?);
        let mut fields = IndexMap::with_capacity(self.fields.len());
        for (name, field) in std::mem::take(&mut self.fields) {
            let field = match field {
                Field::Tensor(tensor) => Field::Tensor(moved(tensor)?),
                Field::List(list) => Field::List(list.into_iter().map(moved).collect::<Result<_>>()?),
            };
            fields.insert(name, field);
        }
        Ok(Batch { fields, ..self })
    }
}
