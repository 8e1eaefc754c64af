//! runner.
pub mod config;
pub mod error;
pub mod registry;

/// What a component's author needs.
pub mod prelude {
    pub use crate::error::{Context, Error, Result};
    pub use crate::registry::*;
    pub use schemars::JsonSchema;
    pub use serde::Deserialize;
}
