//! Sweeps: many jobs of one command. The journal says what was asked, started and finished; the table shows it.

mod journal;
mod pareto;
pub mod pruners;
mod random;
pub mod samplers;
mod search;
pub mod space;
pub mod sweepers;
mod table;
mod trial;

pub use journal::{Entry, Journal, State};
pub use pareto::front;
pub use search::{Ask, OutcomeConstraint, Patience, Proposal, Search, SearchSettings};
pub use sweepers::Sweeper;
pub use table::Table;
pub use trial::{Direction, History, ParamValue, Params, Trial, TrialState};
