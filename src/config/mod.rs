//! Text in, one resolved tree out. Knows neither torch nor components.

pub mod node;
pub mod problem;

pub use node::{Key, KeyPath, Map, Node, Origin, Segment, Source, SourceKind, Value};
pub use problem::{Problem, Problems};
