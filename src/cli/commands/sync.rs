//! `runner sync DIR…`: tells trackers what they have not got yet because they were away.

use std::path::Path;

use crate::cli::compose::Request;
use crate::error::{Error, Result};
use crate::loggers;

/// Tells MLflow servers what waits in the outboxes below the given folders; gives a line for each.
///
/// # Errors
/// A folder that is not there; a server that is still away.
pub fn sync(request: &Request) -> Result<String> {
    let mut lines = Vec::new();
    for folder in request.words.iter().chain(&request.overrides) {
        if !Path::new(folder).is_dir() {
            return Err(Error::request(format!("there is no folder {folder}")));
        }
        let told = loggers::sync(Path::new(folder))?;
        lines.extend(told.iter().map(|outbox| format!("told: {}", outbox.display())));
    }
    Ok(if lines.is_empty() { "nothing waits".to_owned() } else { lines.join("\n") })
}
