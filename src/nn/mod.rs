//! Networks: parameters by name, layers, initialisers, models.
//!
//! A network is described by its config ([`NetSpec`]) and made where it belongs ([`Path`]): the path gives every
//! parameter the name that PyTorch's state dict has, and the draws of the initial values come from torch's generator
//! in PyTorch's order, so that `seed` gives the weights that Python has.
//!
//! [`layers`] holds `torch.nn`, [`models`] the architectures, [`trace`] lets others watch a forward pass.

pub mod args;
pub mod detection;
pub mod init;
pub mod layers;
pub mod models;
pub mod modify;
pub mod ops;
mod params;
pub mod trace;
pub mod weights;

use tch::Tensor;

pub use params::{Entry, EntryKind, Params, Path};

use crate::error::Result;
use crate::registry::{Kind, Registry};

/// A layer or network: a tensor in, a tensor out.
///
/// The operations may panic as tch's do; callers go through [`crate::tensor::guard`].
pub trait Module: Send {
    /// The output for `input`; `train` says whether dropout drops and normalisation uses the batch's statistics.
    fn forward(&self, input: &Tensor, train: bool) -> Tensor;

    /// Whether the output has memory of its own that the layer's gradient does not read: what follows may write there.
    fn spares_output(&self) -> bool {
        false
    }

    /// The output in the memory of `input`, which nobody reads any more; where that cannot be, as [`Module::forward`].
    fn forward_in_place(&self, input: &Tensor, train: bool) -> Tensor {
        self.forward(input, train)
    }

    /// Whether there is a [`Module::map`].
    fn has_map(&self) -> bool {
        false
    }

    /// The final feature map `[N, C, H, W]` of a convolutional classifier, before it is pooled, for other heads.
    fn map(&self, _: &Tensor, _: bool) -> Option<Tensor> {
        None
    }
}

impl Module for Box<dyn Module> {
    fn forward(&self, input: &Tensor, train: bool) -> Tensor {
        (**self).forward(input, train)
    }
    fn spares_output(&self) -> bool {
        (**self).spares_output()
    }
    fn forward_in_place(&self, input: &Tensor, train: bool) -> Tensor {
        (**self).forward_in_place(input, train)
    }
    fn has_map(&self) -> bool {
        (**self).has_map()
    }
    fn map(&self, input: &Tensor, train: bool) -> Option<Tensor> {
        (**self).map(input, train)
    }
}

/// How to make a network at a path.
pub type MakeNet = dyn Fn(&Path) -> Result<Box<dyn Module>>;

/// A network as its config describes it, not yet made: its owner says under which name. It can be made several
/// times (a student and a teacher).
pub struct NetSpec(pub Box<MakeNet>);

impl NetSpec {
    /// A network that `make` makes.
    pub fn new<M: Module + 'static>(make: impl Fn(&Path) -> Result<M> + 'static) -> Self {
        NetSpec(Box::new(move |path| Ok(Box::new(make(path)?))))
    }

    /// Makes the network below `path`; parameters are drawn from torch's generator, in PyTorch's order, and moved to
    /// the path's device.
    ///
    /// # Errors
    /// When arguments contradict each other, a name is taken, or the device has no room.
    pub fn make(&self, path: &Path) -> Result<Box<dyn Module>> {
        // Sizes come from a config: what libtorch refuses is the user's fault, and an error.
        let module = crate::tensor::guard(|| (self.0)(path))?;
        path.params().settle()?;
        Ok(module)
    }
}

/// What the data says of its samples, for networks that do not say it themselves.
#[derive(Clone, Copy, Debug, Default)]
pub struct Dims {
    /// Channels of an image input.
    pub channels: Option<i64>,
    /// Classes.
    pub classes: Option<i64>,
}

/// What the data says of its samples beyond [`Dims`].
#[derive(Clone, Debug, Default)]
pub struct DataShape {
    /// The shape of one input, when all have the same.
    pub input: Option<Vec<i64>>,
    /// The levels of a hierarchy of labels: names, and how many classes each has.
    pub heads: Vec<(String, i64)>,
}

/// The kind of networks.
pub struct Net;

impl Kind for Net {
    type Built = NetSpec;
    const NAME: &'static str = "network";
    const PARTIAL: bool = true;
}

/// Registers an argument struct as a network component: `net!(LinearArgs, ["torch.nn.Linear"], |args, path| …)`.
macro_rules! net {
    ($args:ty, [$($target:literal),+ $(,)?], $make:expr) => {
        impl $crate::registry::Component for $args {
            type Kind = $crate::nn::Net;
            const TARGETS: &'static [&'static str] = &[$($target),+];
            fn build(self, _: &mut $crate::registry::Build) -> $crate::error::Result<$crate::nn::NetSpec> {
                let make: fn(&$args, &$crate::nn::Path) -> $crate::error::Result<_> = $make;
                Ok($crate::nn::NetSpec::new(move |path| make(&self, path)))
            }
        }
    };
}
pub(crate) use net;

/// Adds every network component.
pub fn register(registry: &mut Registry) {
    layers::register(registry);
    models::register(registry);
    detection::register(registry);
}
