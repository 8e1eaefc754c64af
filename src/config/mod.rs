//! Text in, one resolved tree out. Knows neither torch nor components.

mod apply;
pub mod compose;
pub mod defaults;
pub mod document;
pub mod emit;
pub mod explain;
pub mod hydra;
pub mod interpolate;
pub mod json;
mod merge;
pub mod node;
pub mod overrides;
pub mod problem;
pub mod resolvers;
mod reused;
pub mod sources;
pub mod text;
pub mod yaml;

pub use compose::{Composer, Config};
pub use hydra::{Facts, Mode};
pub use node::{Key, KeyPath, Map, Node, Origin, Segment, Source, SourceKind, Value};
pub use problem::{Problem, Problems};
pub use resolvers::Resolvers;
pub use sources::{Place, Sources};

#[cfg(test)]
mod tests;
