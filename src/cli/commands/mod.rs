//! The commands, one file each.

pub mod checkpoints;
pub mod evaluate;
pub mod run;
pub mod sweep;
pub mod train;
