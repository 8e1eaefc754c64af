//! Parameters and buffers by name, in the order in which the network registers them.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use indexmap::IndexMap;
use tch::{Device, Kind, Tensor};

use crate::error::{Error, Result};

/// Whether an entry is learned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EntryKind {
    /// Learned by an optimizer.
    Parameter,
    /// Part of the state dict, not learned: running statistics, index tables.
    Buffer,
}

/// A named tensor of a network.
#[derive(Debug)]
pub struct Entry {
    /// The tensor; shared with the layer that uses it.
    pub tensor: Tensor,
    /// Parameter or buffer.
    pub kind: EntryKind,
}

/// All parameters and buffers of a task, by their state-dict names, in registration order.
#[derive(Clone)]
pub struct Params {
    entries: Arc<Mutex<IndexMap<String, Entry>>>,
    device: Device,
}

/// A place in [`Params`] below which a layer registers its tensors.
#[derive(Clone)]
pub struct Path {
    params: Params,
    prefix: String,
}

impl Params {
    /// An empty store whose tensors are made on `device`, as 32-bit floats.
    pub fn new(device: Device) -> Self {
        Params { entries: Arc::default(), device }
    }

    /// The device.
    pub fn device(&self) -> Device {
        self.device
    }

    /// The root path.
    pub fn root(&self) -> Path {
        Path { params: self.clone(), prefix: String::new() }
    }

    /// The entries, locked for reading or changing.
    pub fn entries(&self) -> MutexGuard<'_, IndexMap<String, Entry>> {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Names and tensors of the parameters (not the buffers), in order.
    pub fn parameters(&self) -> Vec<(String, Tensor)> {
        self.of_kind(EntryKind::Parameter)
    }

    /// Names and tensors of the buffers, in order.
    pub fn buffers(&self) -> Vec<(String, Tensor)> {
        self.of_kind(EntryKind::Buffer)
    }

    fn of_kind(&self, kind: EntryKind) -> Vec<(String, Tensor)> {
        let entries = self.entries();
        let wanted = entries.iter().filter(|(_, entry)| entry.kind == kind);
        wanted.map(|(name, entry)| (name.clone(), entry.tensor.shallow_clone())).collect()
    }

    /// Names and tensors of everything, in order: PyTorch's state dict.
    pub fn state_dict(&self) -> IndexMap<String, Tensor> {
        self.entries().iter().map(|(name, entry)| (name.clone(), entry.tensor.shallow_clone())).collect()
    }
}

impl Path {
    /// The path of a child: `layer1`, `0`.
    pub fn child(&self, name: impl std::fmt::Display) -> Path {
        Path { params: self.params.clone(), prefix: self.full(&name.to_string()) }
    }

    /// The device on which tensors are made.
    pub fn device(&self) -> Device {
        self.params.device
    }

    /// The store.
    pub fn params(&self) -> &Params {
        &self.params
    }

    /// The dotted name of this place; empty at the root.
    pub fn name(&self) -> &str {
        &self.prefix
    }

    fn full(&self, name: &str) -> String {
        if self.prefix.is_empty() { name.to_owned() } else { format!("{}.{name}", self.prefix) }
    }

    /// Registers a parameter of `shape`, uninitialised values replaced by `init` (which changes the tensor in place,
    /// without gradient).
    ///
    /// # Errors
    /// When the name is taken.
    pub fn parameter(&self, name: &str, shape: &[i64], init: impl FnOnce(&mut Tensor)) -> Result<Tensor> {
        let mut tensor = Tensor::f_empty(shape, (Kind::Float, self.device()))?;
        tch::no_grad(|| init(&mut tensor));
        self.register(name, tensor.set_requires_grad(true), EntryKind::Parameter)
    }

    /// Registers a buffer.
    ///
    /// # Errors
    /// When the name is taken.
    pub fn buffer(&self, name: &str, tensor: Tensor) -> Result<Tensor> {
        let tensor = tensor.f_to_device(self.device())?;
        self.register(name, tensor, EntryKind::Buffer)
    }

    fn register(&self, name: &str, tensor: Tensor, kind: EntryKind) -> Result<Tensor> {
        let name = self.full(name);
        let mut entries = self.params.entries();
        if entries.contains_key(&name) {
            return Err(Error::failed(format!("two parameters of the network are called `{name}`")));
        }
        let shared = tensor.shallow_clone();
        entries.insert(name, Entry { tensor, kind });
        Ok(shared)
    }
}
