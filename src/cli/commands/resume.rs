//! `runner resume DIR`: goes on with a run or a sweep that was stopped or killed, in its own folder.

use std::path::Path;

use super::run::GoOn;
use super::{checkpoints, sweep, train};
use crate::cli::compose::Request;
use crate::cli::diff::config_of;
use crate::config::emit;
use crate::error::{Error, Result};
use crate::loggers::OUTBOX;
use crate::registry::Registry;
use crate::run::{Events, Manifest, RunDir, remove_leftovers};
use crate::train::BEGINNING;

/// What a run that begins again from nothing keeps in its folder.
const KEPT: [&str; 8] = [
    ".hydra",
    "run.json",
    "results.json",
    "events.jsonl",
    "runner.log",
    SET_ASIDE,
    // What a remote server was told already is not told twice.
    BEGINNING,
    OUTBOX,
];

/// Where the rest of the folder goes then.
const SET_ASIDE: &str = "set_aside";

/// Goes on where the newest whole checkpoint of the run was saved (or the one that `ckpt_path=last|best|PATH` names),
/// with the run's own config and further overrides. A run without a checkpoint begins again; what it had written is
/// set aside.
///
/// # Errors
/// When the folder is no run's, when a process is still at work there, or the checkpoint cannot be used.
pub fn resume(request: &Request, registry: &Registry) -> Result<i32> {
    let given = Path::new(&request.words[0]);
    let folder = std::path::absolute(given).map_err(|error| Error::io("find", given, error))?;
    if sweep::is_sweep(&folder) {
        return sweep::resume(request, &folder, registry);
    }
    let config = config_of(&folder)?;
    let composed = request.compose_saved(&emit::to_yaml(&config), &folder.join(".hydra/config.yaml"))?;
    let manifest = Manifest::read(&folder)?;
    if manifest.command != "train" {
        return Err(Error::request(format!("{} is a run of `runner {}`", given.display(), manifest.command))
            .help("only training can go on; run the command again"));
    }
    let given = request.typed("ckpt_path").map(|text| text.trim_matches(['\'', '"']));
    let go_on = reopen(&folder, given)?;
    let composed = composed.in_folder(&folder).with_recorded_seed(u32::try_from(manifest.seed).ok());
    train::go_on(&composed, registry, go_on)
}

/// Opens a run's folder to go on there: from the newest whole checkpoint, or the one that is given. What a run
/// without one had written is set aside.
///
/// # Errors
/// When a process is still at work there, or the checkpoint cannot be used.
pub fn reopen(folder: &Path, given: Option<&str>) -> Result<GoOn> {
    // From here on no other process works in this folder.
    let events = Events::open(folder)?;
    remove_leftovers(folder);
    remove_leftovers(&folder.join("checkpoints"));
    let found = match given {
        None | Some("last") => checkpoints::newest(folder)?,
        Some("best") => checkpoints::Found::sure(checkpoints::best(folder)?),
        Some(path) => checkpoints::Found::sure(checkpoints::to_go_on(path, folder)?),
    };
    if found.checkpoint.is_none() {
        set_aside(folder)?;
    }
    Ok(GoOn { dir: RunDir::reopen(folder), events, checkpoint: found.checkpoint, warnings: found.broken })
}

/// Moves what a run left that begins again: its rows of metrics must not be there twice.
fn set_aside(folder: &Path) -> Result<()> {
    let failed = |error: std::io::Error| Error::io("set aside what is in", folder, error);
    let entries = std::fs::read_dir(folder).map_err(failed)?.flatten();
    let stale: Vec<_> = entries.filter(|entry| !KEPT.iter().any(|kept| entry.file_name() == *kept)).collect();
    if stale.is_empty() {
        return Ok(());
    }
    let place = (1..).map(|n| folder.join(SET_ASIDE).join(n.to_string())).find(|place| !place.exists());
    let Some(place) = place else { return Ok(()) };
    std::fs::create_dir_all(&place).map_err(failed)?;
    stale.iter().try_for_each(|entry| std::fs::rename(entry.path(), place.join(entry.file_name()))).map_err(failed)
}
