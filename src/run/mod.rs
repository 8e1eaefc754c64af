//! The run folder: claimed whole, written atomically, described so that a run can be found and named again.

mod claim;
mod events;
mod files;
mod logging;
mod manifest;
mod provenance;
mod reports;
mod store;
mod unfinished;
mod usage;

pub use claim::RunDir;
pub use events::Events;
pub use files::{link_atomic, remove_leftovers, write_atomic, write_atomic_with, write_derived};
pub use logging::{OUTCOME, console_through, start_logging};
pub use manifest::{Manifest, Results};
pub use provenance::{Git, Host, host_name};
pub use reports::{REPORTS, append_report};
pub use store::{Found, find_runs, is_at_work};
pub use unfinished::so_far;
pub use usage::{cpu_time, peak_memory};
