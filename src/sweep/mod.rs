//! Sweeps: many jobs of one command. The journal says what was asked, started and finished; the table shows it.

mod journal;
mod table;

pub use journal::{Entry, Journal, State};
pub use table::Table;
