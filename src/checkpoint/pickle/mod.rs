//! Python pickles, read without executing anything.
//!
//! A pickle is a program for a small stack machine. [`Pickle::parse`] runs the part of it that builds values; where the
//! program would call Python (a class, a function), the machine notes the name and the arguments and goes on. So
//! everything is shown and nothing is called. Names that only an attack would use (`os.system`, `builtins.eval`) are
//! refused at once.
//!
//! What a noted call stands for is decided by those who know it: numpy arrays by [`numpy`], tensors by [`torch`], whose
//! [`TorchFile`] reads what `torch.save` writes.

mod machine;
pub mod numpy;
pub mod torch;
mod value;
mod write;

pub use torch::TorchFile;
pub use value::{Item, Pickle};
pub use write::write_pt;

#[cfg(test)]
mod tests;
