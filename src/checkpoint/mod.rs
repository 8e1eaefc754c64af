//! Weights and run state on disk.
//!
//! A checkpoint is one [safetensors](https://huggingface.co/docs/safetensors) file: the network's weights under
//! their state-dict names, everything else that a resume needs under [`STATE_PREFIX`], and what is no tensor in the
//! file's metadata ([`Checkpoint`]). It is written whole or not at all ([`crate::run::write_atomic_with`]) and carries a checksum, so that a
//! truncated or altered file is refused by name. A [`Writer`] does the writing beside the training. Weights made elsewhere are read from safetensors files and from
//! PyTorch's own files ([`read_weights`]) and put into a network by name ([`load_weights`]).

mod bytes;
pub mod pickle;
pub mod safetensors;
mod state;
mod weights;
mod writer;

pub use bytes::Bytes;
pub use pickle::{TorchFile, write_pt};
pub use safetensors::{Snapshot, TensorFile};
pub use state::{Checkpoint, FORMAT_VERSION, STATE_PREFIX};
pub use weights::{Fit, KeyMap, LoadOptions, Report, ShapeClash, load_weights, read_weights};
pub use writer::Writer;
