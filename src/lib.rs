//! runner: one program for what a Python team needs Hydra, Lightning and Optuna for.
//!
//! Text becomes one resolved tree ([`config`]). The tree becomes a typed plan whose components are known by name
//! ([`registry`], [`plan`]). The plan is carried out in a claimed folder ([`run`], [`train`]), alone or as one of
//! many ([`sweep`]).
//!
//! # The map
//!
//! Each line may use only lines above it; a test reads the `use` lines and keeps it true.
//!
//! | modules | are |
//! |---|---|
//! | [`config`], [`error`] | the tree with its origins; problems; errors |
//! | [`run`], [`report`], [`native`] | the run folder, and its page; the C++ shim, the only unsafe code |
//! | [`registry`], [`sweep`] | names to components: typed arguments, slots, checks; the record of many runs |
//! | [`tensor`], [`checkpoint`] | helpers over tch; weights and state on disk |
//! | [`nn`], [`optim`], [`losses`], [`metrics`], [`data`] | what a task is made of |
//! | [`train`] | tasks, callbacks, loggers as traits; the loops |
//! | [`tasks`], [`callbacks`], [`loggers`] | the built-in ones |
//! | [`plan`] | the typed plan of a run |
//! | [`cli`] | the command line |
//!
//! # A crate of your own
//!
//! A component is a struct of arguments with a doc comment, a line in the registry, and nothing else (see
//! [`registry::Component`]); the program is one line:
//!
//! ```no_run
//! # use runner::prelude::*;
//! fn main() -> std::process::ExitCode {
//!     runner::main(Registry::builtin()) // .with::<MyNet>()
//! }
//! ```

#![deny(unsafe_code)]

mod builtin;
pub mod callbacks;
pub mod checkpoint;
pub mod cli;
pub mod config;
pub mod data;
pub mod error;
pub mod loggers;
pub mod losses;
pub mod metrics;
#[allow(unsafe_code, reason = "the one place that calls into C++")]
pub mod native;
pub mod nn;
pub mod optim;
pub mod plan;
pub mod registry;
pub mod report;
pub mod run;
pub mod sweep;
pub mod tasks;
pub mod tensor;
pub mod train;

pub use cli::main;
pub use tch;

/// What a component's author needs.
pub mod prelude {
    pub use crate::error::{Context, Error, Result};
    pub use crate::registry::*;
    pub use schemars::{self, JsonSchema};
    pub use serde::{self, Deserialize};
}
