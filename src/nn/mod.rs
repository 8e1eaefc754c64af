//! Networks: parameters by name, layers, initialisers, models.
//!
//! A network is described by its config ([`NetSpec`]) and made where it belongs ([`Path`]): the path gives every
//! parameter the name that PyTorch's state dict has.

mod params;

use tch::Tensor;

pub use params::{Entry, EntryKind, Params, Path};

use crate::error::Result;
use crate::registry::Kind;

/// A layer or network: a tensor in, a tensor out.
///
/// The operations may panic as tch's do; callers go through [`crate::tensor::guard`].
pub trait Module: Send {
    /// The output for `input`; `train` says whether dropout drops and normalisation uses the batch's statistics.
    fn forward(&self, input: &Tensor, train: bool) -> Tensor;
}

/// How to make a network at a path.
pub type MakeNet = dyn FnOnce(&Path) -> Result<Box<dyn Module>>;

/// A network as its config describes it, not yet made: its owner says under which name.
pub struct NetSpec(pub Box<MakeNet>);

impl NetSpec {
    /// Makes the network below `path`; parameters are drawn from torch's generator, in PyTorch's order.
    pub fn make(self, path: &Path) -> Result<Box<dyn Module>> {
        (self.0)(path)
    }
}

/// The kind of networks.
pub struct Net;

impl Kind for Net {
    type Built = NetSpec;
    const NAME: &'static str = "network";
    const PARTIAL: bool = true;
}
