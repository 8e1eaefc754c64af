//! runner.
pub mod config;
pub mod data;
pub mod error;
pub mod losses;
pub mod metrics;
pub mod native;
pub mod nn;
pub mod optim;
pub mod registry;
pub mod tensor;

/// What a component's author needs.
pub mod prelude {
    pub use crate::error::{Context, Error, Result};
    pub use crate::registry::*;
    pub use schemars::JsonSchema;
    pub use serde::Deserialize;
}
