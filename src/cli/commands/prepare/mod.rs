//! `runner prepare`: what is done to data once, before training.

mod checked;
mod folder;
mod stats;

use crate::cli::compose::Request;
use crate::error::{Error, Result};
use crate::registry::Registry;
use crate::run::start_logging;

/// The command.
///
/// # Errors
/// An unknown tool; what the tool says.
pub fn prepare(request: &Request, registry: &Registry) -> Result<i32> {
    start_logging(None)?;
    let (tool, sources) = (request.words[0].as_str(), &request.words[1..]);
    match tool {
        "image-folder" => folder::prepare(sources, request.out()),
        "stats" => stats::stats(request, registry, sources),
        other => Err(Error::request(format!("`runner prepare` has no `{other}`"))
            .help("runner prepare image-folder SOURCE… --out DIR, or runner prepare stats data=… (or stats FOLDER…)")),
    }
}
