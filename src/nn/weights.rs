//! Weights that a model's `weights` argument names: a local file.

use std::path::Path as File;

use indexmap::IndexMap;
use tch::Tensor;

use super::Path;
use crate::checkpoint::{LoadOptions, TensorFile, load_weights};
use crate::error::{Error, Result};

/// Loads what `weights` names into the network below `path`; nothing when it is `None`. `targets` are the model's
/// names, by which published weights are known.
///
/// # Errors
/// When the file cannot be read or does not fit the network.
pub fn load_published(path: &Path, weights: Option<&str>, _targets: &[&str]) -> Result<()> {
    let Some(weights) = weights else { return Ok(()) };
    let dict = read(File::new(weights))?;
    load_weights(&below(path), &dict, &LoadOptions::default())
        .map_err(|error| error.context(format!("weights {weights}")))?;
    Ok(())
}

/// The state dict of the network below `path`, by the names that the network alone would have.
pub fn below(path: &Path) -> IndexMap<String, Tensor> {
    let skip = if path.name().is_empty() { 0 } else { path.name().len() + 1 };
    let dict = path.params().state_dict();
    dict.into_iter().filter(|(name, _)| path.holds(name)).map(|(name, t)| (name[skip..].to_owned(), t)).collect()
}

fn read(file: &File) -> Result<IndexMap<String, Tensor>> {
    match file.extension().and_then(|extension| extension.to_str()) {
        Some("safetensors") => TensorFile::open(file)?.tensors(),
        _ => Err(Error::failed(format!("{} is not a safetensors file", file.display()))),
    }
}
