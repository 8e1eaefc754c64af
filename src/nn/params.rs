//! Parameters and buffers by name, in the order in which PyTorch's state dict has them.
//!
//! Everything is made on the CPU and moved to the device when the network is complete ([`Params::settle`]): the
//! initial values are drawn from the same generator, in the same order, wherever the network will run.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use indexmap::IndexMap;
use tch::{Device, Kind, Tensor};

use super::trace::Label;
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

type Entries = IndexMap<String, Entry>;

/// All parameters and buffers of a task, by their state-dict names.
#[derive(Clone)]
pub struct Params {
    entries: Arc<Mutex<Entries>>,
    layers: Arc<Mutex<Vec<Arc<Label>>>>,
    heads: Arc<Mutex<Vec<String>>>,
    device: Device,
}

/// A place in [`Params`] below which a layer registers its tensors.
#[derive(Clone)]
pub struct Path {
    params: Params,
    prefix: String,
}

impl Params {
    /// An empty store for networks that will run on `device`; its tensors are 32-bit floats.
    pub fn new(device: Device) -> Self {
        Params { entries: Arc::default(), layers: Arc::default(), heads: Arc::default(), device }
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

    /// The leaf layers, in the order in which they were made.
    pub fn layers(&self) -> Vec<Arc<Label>> {
        self.layers.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The layers that belong to the network's head, by name: what it marked as such ([`Path::mark_head`]), else the
    /// last linear layer or convolution. Everything else is the backbone.
    pub fn head(&self) -> Vec<String> {
        let marked = self.heads.lock().unwrap_or_else(PoisonError::into_inner).clone();
        if !marked.is_empty() {
            return marked;
        }
        let weighted = |label: &&Arc<Label>| matches!(label.kind, "Linear" | "Conv2d" | "Conv1d");
        let layers = self.layers();
        let last = layers.iter().filter(weighted).rfind(|label| !label.is_bypassed());
        last.map(|label| label.name.clone()).into_iter().collect()
    }

    /// The layers that normalize, by name.
    pub fn normalizations(&self) -> Vec<String> {
        let layers = self.layers();
        layers.iter().filter(|label| label.kind.contains("Norm")).map(|label| label.name.clone()).collect()
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

    /// Sets the running statistics of batch normalizations back to where they began. Says whether there are any.
    pub fn reset_statistics(&self) -> bool {
        let mut any = false;
        tch::no_grad(|| {
            for (name, entry) in self.entries().iter_mut() {
                match name.rsplit('.').next() {
                    Some("running_mean" | "num_batches_tracked") => any |= entry.tensor.zero_().defined(),
                    Some("running_var") => any |= entry.tensor.fill_(1.0).defined(),
                    _ => {}
                }
            }
        });
        any
    }

    /// Whether batch normalizations now take the plain mean over all batches since
    /// [`Params::reset_statistics`] as their running statistics (PyTorch's `momentum=None`), or go on as configured.
    pub fn average_statistics(&self, on: bool) {
        self.layers().iter().for_each(|label| label.set_averaging(on));
    }

    /// Moves what is not there yet to the device, in place: the layers see it, as after PyTorch's `Module.to`.
    ///
    /// # Errors
    /// When the device has no room.
    pub fn settle(&self) -> Result<()> {
        for entry in self.entries().values_mut() {
            if entry.tensor.device() != self.device {
                let moved = entry.tensor.f_detach()?.f_to_device(self.device)?;
                entry.tensor.f_set_data(&moved)?;
            }
        }
        Ok(())
    }
}

impl Path {
    /// The path of a child: `layer1`, `0`.
    pub fn child(&self, name: impl std::fmt::Display) -> Path {
        Path { params: self.params.clone(), prefix: self.full(&name.to_string()) }
    }

    /// The device on which the network will run.
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

    /// Whether the entry `name` lies below this place.
    pub fn holds(&self, name: &str) -> bool {
        self.prefix.is_empty() || name.strip_prefix(&self.prefix).is_some_and(|rest| rest.starts_with('.'))
    }

    /// Registers a parameter of `shape`, uninitialised values replaced by `init` (which changes the tensor in place,
    /// without gradient).
    ///
    /// # Errors
    /// When the name is taken, or there is no room.
    pub fn parameter(&self, name: &str, shape: &[i64], init: impl FnOnce(&mut Tensor)) -> Result<Tensor> {
        let mut tensor = Tensor::f_empty(shape, (Kind::Float, Device::Cpu))?;
        tch::no_grad(|| init(&mut tensor));
        self.register(name, tensor.set_requires_grad(true), EntryKind::Parameter)
    }

    /// Registers a buffer.
    ///
    /// # Errors
    /// When the name is taken.
    pub fn buffer(&self, name: &str, tensor: Tensor) -> Result<Tensor> {
        self.register(name, tensor, EntryKind::Buffer)
    }

    /// Registers a parameter that exists already; `name` may hold dots.
    ///
    /// # Errors
    /// When the name is taken.
    pub fn adopt(&self, name: &str, tensor: Tensor) -> Result<()> {
        self.register(name, tensor, EntryKind::Parameter).map(drop)
    }

    /// Says that everything below this place is the network's head, for rules that treat head and backbone apart.
    pub fn mark_head(&self) {
        self.params.heads.lock().unwrap_or_else(PoisonError::into_inner).push(self.prefix.clone());
    }

    /// Registers a leaf layer, so that [`Params::layers`] knows it and observers of [`super::trace`] see it.
    pub fn layer(&self, kind: &'static str) -> Arc<Label> {
        let label = Arc::new(Label::new(&self.prefix, kind));
        self.params.layers.lock().unwrap_or_else(PoisonError::into_inner).push(label.clone());
        label
    }

    /// Puts everything below this place at the end of the state dict: for a child that Python makes first (its
    /// values are drawn first) but assigns last.
    pub fn move_last(&self) {
        self.move_where(|name, path| path.holds(name));
    }

    /// Puts the entry `name` of this place behind the entries that are there now.
    pub fn move_entry_last(&self, name: &str) {
        let full = self.full(name);
        self.move_where(|other, _| other == full);
    }

    fn move_where(&self, wanted: impl Fn(&str, &Path) -> bool) {
        let mut entries = self.params.entries();
        let (moved, kept): (Vec<_>, Vec<_>) =
            std::mem::take(&mut *entries).into_iter().partition(|(name, _)| wanted(name, self));
        entries.extend(kept);
        entries.extend(moved);
    }

    /// Goes over the entries below this place in state-dict order, without gradient: the second initialisation that
    /// many of torchvision's models do. `init` gets the class name of the layer that the entry belongs to (empty for
    /// an entry of no leaf layer), the entry's name in the layer (`weight`), and the tensor.
    pub fn reinitialize(&self, mut init: impl FnMut(&str, &str, &mut Tensor)) {
        let kinds: HashMap<String, &'static str> =
            self.params.layers().iter().map(|label| (label.name.clone(), label.kind)).collect();
        let mut entries = self.params.entries();
        tch::no_grad(|| {
            for (name, entry) in entries.iter_mut().filter(|(name, _)| self.holds(name)) {
                let (layer, name) = name.rsplit_once('.').unwrap_or(("", name));
                init(kinds.get(layer).copied().unwrap_or_default(), name, &mut entry.tensor);
            }
        });
    }

    /// Removes everything below this place: a head that Python makes (and draws) and then throws away.
    pub fn remove(&self) {
        self.params.entries().retain(|name, _| !self.holds(name));
        let mut layers = self.params.layers.lock().unwrap_or_else(PoisonError::into_inner);
        layers.retain(|label| label.name != self.prefix && !self.holds(&label.name));
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keeps_names_in_order_and_refuses_duplicates() {
        let params = Params::new(Device::Cpu);
        let root = params.root();
        let zero = |t: &mut Tensor| _ = t.zero_();
        let _ = root.child("down").parameter("weight", &[1], zero).unwrap();
        let _ = root.child("conv").parameter("weight", &[2, 2], zero).unwrap();
        root.child("down").move_last();
        assert_eq!(params.state_dict().keys().collect::<Vec<_>>(), ["conv.weight", "down.weight"]);
        let again = root.child("conv").parameter("weight", &[1], zero).unwrap_err();
        assert_eq!(again.to_string(), "two parameters of the network are called `conv.weight`");
        assert!(root.child("down").holds("down.weight") && !root.child("down").holds("downward.weight"));
    }
}
