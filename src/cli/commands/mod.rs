//! The commands, one file each.

pub mod evaluate;
pub mod run;
pub mod sweep;
pub mod train;
