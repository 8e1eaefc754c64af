//! Small safe helpers over tch: errors without C++ traces, and the one form that saved state takes.

mod copy;
mod guard;
mod state;

pub use copy::copied;
pub use guard::{guard, is_out_of_memory};
pub use state::{State, Stateful};
