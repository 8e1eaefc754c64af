//! Training the head of a network first, and its backbone later.

mod backbone;
mod progressive;

pub use backbone::BackboneFinetuning;
pub use progressive::ProgressiveUnfreeze;
