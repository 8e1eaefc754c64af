//! Small safe helpers over tch: errors without C++ traces, and the one form that saved state takes.

mod guard;
mod state;

pub use guard::guard;
pub use state::{State, Stateful};
