//! Sweeps: many jobs of one command. The journal says what was asked, started and finished; launchers run the jobs;
//! the table and the report show what came of them.

mod best;
mod conduct;
mod journal;
pub mod launchers;
mod lock;
mod optuna;
mod pareto;
pub mod pruners;
mod random;
pub mod report;
pub mod reports;
pub mod samplers;
mod search;
pub mod space;
pub mod sweepers;
mod table;
mod trial;
mod view;

pub use best::{Aim, best_of, front_of};
pub use conduct::{Conductor, Program};
pub use journal::{Entry, Journal, Record, State, replay};
pub use lock::SweepLock;
pub use optuna::OptunaJournal;
pub use pareto::front;
pub use search::{Ask, OutcomeConstraint, Patience, Proposal, Search, SearchSettings};
pub use sweepers::Sweeper;
pub use table::Table;
pub use trial::{Direction, History, ParamValue, Params, Trial, TrialState};
