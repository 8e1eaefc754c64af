//! Finding the checkpoint that the user means, and loading it.

use std::path::{Path, PathBuf};

use indexmap::IndexMap;
use tch::Tensor;

use crate::checkpoint::{LoadOptions, STATE_PREFIX, TensorFile, load_weights};
use crate::error::{Error, Result};
use crate::nn::Params;
use crate::run::Results;

/// The file that `ckpt_path` means: a checkpoint, or a run folder with one.
///
/// # Errors
/// When there is no such file; names the checkpoints nearby.
pub fn find(given: &str) -> Result<PathBuf> {
    let path = PathBuf::from(given);
    if path.is_dir() {
        let results = Results::read(&path).ok().and_then(|results| results.best_checkpoint);
        let choices = [results.map(|best| path.join(best)), Some(path.join("checkpoints/last.ckpt"))];
        return choices.into_iter().flatten().find(|choice| choice.is_file()).ok_or_else(|| {
            Error::request(format!("{given} is a folder without a checkpoint"))
                .help("give the file, or the folder of a run that kept one")
        });
    }
    if path.is_file() {
        return Ok(path);
    }
    let mut error = Error::request(format!("there is no checkpoint {given}"));
    let nearby = path.parent().and_then(|parent| std::fs::read_dir(parent).ok()).into_iter().flatten().flatten();
    let mut names: Vec<String> = nearby
        .map(|entry| entry.file_name().to_string_lossy().into_owned())
        .filter(|name| name.ends_with(".ckpt"))
        .collect();
    names.sort();
    if !names.is_empty() {
        error = error.help(format!("in that folder are {}", names.join(", ")));
    }
    Err(error)
}

/// The weights in a file, by their state-dict names.
pub fn weights(path: &Path) -> Result<IndexMap<String, Tensor>> {
    let file = TensorFile::open(path)?;
    let names = file.names().filter(|name| !name.starts_with(STATE_PREFIX));
    names.map(|name| Ok((name.to_owned(), file.tensor(name)?))).collect()
}

/// Copies the weights in a file into a network.
///
/// # Errors
/// When the file cannot be read, or is of another architecture.
pub fn load_into(params: &Params, path: &Path) -> Result<()> {
    load_weights(&params.state_dict(), &weights(path)?, &LoadOptions::default()).map(drop).map_err(|error| {
        let text = error.to_string();
        Error::request(format!("the checkpoint {} cannot be used: {text}", path.display()))
            .help("use the config that it was trained with, or another checkpoint")
    })
}
