//! `runner explain KEY`: which layer set a value, what it overrode, how interpolation resolved it.

use super::compose::Request;
use crate::config::overrides;
use crate::error::Result;

/// The explanation as text.
pub fn explain(request: &Request) -> Result<String> {
    let parsed = overrides::parse_all(&request.overrides)?;
    let explanation = request.composer().explain(Some(request.config_name()), &parsed, &request.words[0])?;
    Ok(explanation.to_string())
}
