//! runner.
pub mod config;
