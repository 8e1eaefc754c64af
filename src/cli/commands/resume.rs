//! `runner resume DIR`: goes on with a sweep.

use std::path::Path;

use super::sweep;
use crate::cli::compose::Request;
use crate::error::Result;
use crate::registry::Registry;

/// Goes on with what is missing in a folder.
pub fn resume(request: &Request, registry: &Registry) -> Result<i32> {
    sweep::resume(request, Path::new(&request.words[0]), registry)
}
