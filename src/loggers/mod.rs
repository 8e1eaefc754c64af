//! Loggers: where metrics go.

mod csv;
mod jsonl;

use crate::registry::Registry;

pub use self::csv::CsvLogger;

/// The loggers, one line each.
pub fn register(registry: &mut Registry) {
    registry.add::<csv::CsvLoggerArgs>();
    registry.add::<jsonl::JsonLinesArgs>();
}
