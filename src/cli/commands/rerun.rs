//! `runner rerun RUN`: the same config again, with further overrides on top.

use std::path::Path;

use super::train;
use crate::cli::compose::Request;
use crate::cli::diff::config_of;
use crate::config::emit;
use crate::error::Result;
use crate::registry::Registry;

/// Trains again what a run folder records. The config is the run's own, not what `conf/` says today.
pub fn rerun(request: &Request, registry: &Registry) -> Result<i32> {
    let run = Path::new(&request.words[0]);
    let config = config_of(run)?;
    let composed = request.compose_saved(&emit::to_yaml(&config), &run.join(".hydra/config.yaml"))?;
    train::train(&composed, registry)
}
