//! The run folder: claimed whole, written atomically, described so that a run can be found and named again.

mod claim;
mod events;
mod files;
mod logging;
mod manifest;
mod provenance;

pub use claim::RunDir;
pub use events::Events;
pub use files::{link_atomic, write_atomic, write_derived};
pub use logging::{OUTCOME, console_through, start_logging};
pub use manifest::{Manifest, Results};
pub use provenance::{Git, Host};
