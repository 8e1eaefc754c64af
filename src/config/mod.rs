//! Text in, one resolved tree out. Knows neither torch nor components.

pub mod emit;
pub mod json;
pub mod node;
pub mod overrides;
pub mod problem;
pub mod text;
pub mod yaml;

pub use node::{Key, KeyPath, Map, Node, Origin, Segment, Source, SourceKind, Value};
pub use problem::{Problem, Problems};
