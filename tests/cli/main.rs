//! The binary as a user runs it, one file a topic.

#[path = "../support/runner.rs"]
mod runner;

mod config;
mod data;
mod errors;
mod evaluation;
mod evaluate;
mod interrupt;
mod parity;
mod sweep;
mod tasks;
mod train;
