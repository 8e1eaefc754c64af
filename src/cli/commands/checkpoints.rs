//! Finding the checkpoint that the user means, and loading it.

use std::path::{Path, PathBuf};

use indexmap::IndexMap;
use tch::Tensor;

use crate::callbacks::ModelCheckpoint;
use crate::checkpoint::{Checkpoint, LoadOptions, STATE_PREFIX, TensorFile, load_weights};
use crate::error::{Error, Result};
use crate::nn::Params;
use crate::run::{Manifest, Results};
use crate::train::Progress;

/// The newest checkpoint of a run that is whole, and what was found broken on the way to it.
#[derive(Debug, Default)]
pub struct Found {
    /// The file.
    pub checkpoint: Option<PathBuf>,
    /// A sentence for each newer one that cannot be used.
    pub broken: Vec<String>,
}

impl Found {
    /// A checkpoint that the user has named.
    pub fn sure(checkpoint: PathBuf) -> Self {
        Found { checkpoint: Some(checkpoint), broken: Vec::new() }
    }
}

/// The newest whole checkpoint below a run folder: the furthest in training, whatever its name. Files of weights
/// alone do not count.
///
/// # Errors
/// When the folder cannot be read.
pub fn newest(run: &Path) -> Result<Found> {
    let mut found = Found::default();
    let mut candidates = Vec::new();
    let files = walkdir::WalkDir::new(run).sort_by_file_name().into_iter();
    // What `runner resume` has set aside is no part of the run.
    let files = files.filter_entry(|entry| entry.depth() != 1 || entry.file_name() != "set_aside");
    for path in files.flatten().map(walkdir::DirEntry::into_path) {
        if path.extension().is_some_and(|ending| ending == "ckpt") {
            match position(&path) {
                Ok(Some(position)) => candidates.push((position, path)),
                Ok(None) => {}
                Err(error) => found.broken.push(format!("left out: {error}")),
            }
        }
    }
    candidates.sort();
    while let Some((_, path)) = candidates.pop() {
        match Checkpoint::read_info(&path) {
            Ok(_) => {
                found.checkpoint = Some(path);
                break;
            }
            Err(error) => found.broken.push(format!("left out: {error}")),
        }
    }
    Ok(found)
}

/// How far in training a checkpoint is; `None` when it holds weights alone.
fn position(path: &Path) -> Result<Option<(u64, u64, bool, bool)>> {
    let state = Checkpoint::peek_state(path)?;
    let Some(progress) = state.get("progress") else { return Ok(None) };
    let at: Progress = serde_json::from_value(progress.clone())
        .map_err(|error| Error::failed(format!("cannot read {}: {error}", path.display())))?;
    let batches = at.total_batches;
    Ok(Some((batches, at.epoch, at.settled_at == batches, at.validated_at == Some(batches))))
}

/// The best checkpoint of a run folder.
///
/// # Errors
/// When the run has kept none.
pub fn best(run: &Path) -> Result<PathBuf> {
    let results = Results::read(run).ok().and_then(|results| results.best_checkpoint).map(|best| run.join(best));
    let best = results.filter(|path| path.is_file()).or_else(|| best_so_far(run));
    best.ok_or_else(|| {
        Error::request(format!("{} has no best checkpoint", run.display())).help("ckpt_path=last takes the newest")
    })
}

/// The best checkpoint of a run that was killed: its newest one knows.
fn best_so_far(run: &Path) -> Option<PathBuf> {
    let state = Checkpoint::peek_state(&newest(run).ok()?.checkpoint?).ok()?;
    let best = ModelCheckpoint::best_in(&state["callbacks"])?;
    // As it was written, or in a folder that was moved.
    let moved = run.join("checkpoints").join(best.file_name()?);
    [best, moved].into_iter().find(|path| path.is_file())
}

/// The checkpoint that training goes on from: a file, `last` (the newest) or `best` of the newest run beside
/// `run_dir`, the newest of a run folder.
///
/// # Errors
/// When there is none; a newer one that is broken is named.
pub fn to_go_on(given: &str, run_dir: &Path) -> Result<PathBuf> {
    let run = match given {
        "last" | "best" => newest_run(run_dir)
            .ok_or_else(|| Error::request(format!("ckpt_path={given}: no run with a checkpoint is there yet")))?,
        _ => PathBuf::from(given),
    };
    if !run.is_dir() {
        return find(given);
    }
    if given == "best" {
        return best(&run);
    }
    let found = newest(&run)?;
    for sentence in &found.broken {
        eprintln!("warning: {sentence}");
    }
    found.checkpoint.ok_or_else(|| Error::request(format!("{} has no checkpoint to go on from", run.display())))
}

/// The training run begun last among those whose folders lie where `run_dir` will (`outputs/train/<date>/<time>`).
fn newest_run(run_dir: &Path) -> Option<PathBuf> {
    let base = run_dir.ancestors().skip(1).take(2).filter(|folder| folder.is_dir()).last()?;
    let folders = walkdir::WalkDir::new(base).min_depth(1).max_depth(2).into_iter().flatten();
    let runs = folders.filter(|entry| entry.file_type().is_dir()).filter_map(|entry| {
        let manifest = Manifest::read(entry.path()).ok().filter(|manifest| manifest.command == "train")?;
        Some((manifest.started, entry.into_path()))
    });
    let mut runs: Vec<_> = runs.collect();
    runs.sort();
    let has_one = |run: &PathBuf| newest(run).is_ok_and(|found| found.checkpoint.is_some());
    runs.into_iter().rev().map(|(_, run)| run).find(has_one)
}

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
