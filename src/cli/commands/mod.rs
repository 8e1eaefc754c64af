//! The commands that compute, one file each.

pub mod arrays;
pub mod check;
pub mod checkpoints;
pub mod components;
pub mod data;
pub mod evaluate;
pub mod infer;
pub mod objective;
pub mod own;
pub mod pipeline;
pub mod prepare;
pub mod query;
pub mod report;
pub mod rerun;
pub mod resume;
pub mod run;
pub mod runs;
pub mod schema;
pub mod stage;
pub mod sweep;
pub mod sync;
pub mod test_table;
pub mod train;
pub mod tune;
