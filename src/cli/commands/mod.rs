//! The commands that compute, one file each.

pub mod arrays;
pub mod check;
pub mod checkpoints;
pub mod components;
pub mod evaluate;
pub mod infer;
pub mod rerun;
pub mod run;
pub mod schema;
pub mod sweep;
pub mod train;
