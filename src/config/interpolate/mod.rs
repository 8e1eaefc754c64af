//! `${…}`: its grammar ([`parse`]), its parsed form ([`syntax`]) and its values ([`resolve`]).

pub mod arena;
pub mod cache;
pub mod nearest;
pub mod parse;
pub mod resolve;
pub mod syntax;

pub use arena::Arena;
pub use cache::SyntaxCache;
pub use resolve::{Session, TraceStep};
