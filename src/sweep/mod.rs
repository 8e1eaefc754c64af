//! Sweeps: many jobs of one command. The journal says what was asked, started and finished; launchers run the jobs;
//! the table and the report show what came of them.

mod best;
mod conduct;
mod journal;
pub mod launchers;
mod lock;
pub mod reports;
mod table;
mod view;

pub use best::{Aim, best_of};
pub use conduct::{Conductor, Program};
pub use journal::{Entry, Journal, Record, State, replay};
pub use lock::SweepLock;
pub use table::Table;
