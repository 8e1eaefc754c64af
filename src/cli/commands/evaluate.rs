//! `runner validate`, `runner test` and `runner predict`: a checkpoint on the data it was trained on, or on other.

use std::path::{Path, PathBuf};

use super::run::{Run, Wanted, shown};
use super::train::{INTERRUPTED, short};
use crate::checkpoint::Checkpoint;
use crate::cli::compose::Request;
use crate::data::Split;
use crate::error::{Error, Result};
use crate::registry::Registry;
use crate::run::Results;

/// The file that `ckpt_path` means: a checkpoint, or a run folder with one.
///
/// # Errors
/// When there is no such file; names the checkpoints nearby.
pub fn find_checkpoint(given: &str) -> Result<PathBuf> {
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

/// `runner validate` and `runner test`.
pub fn evaluate(request: &Request, registry: &Registry, split: Split) -> Result<i32> {
    let mut run = start(request, registry, split)?;
    let outcome = run.trainer.evaluate(run.task.as_mut(), run.data.as_ref(), split);
    let interrupted = run.trainer.stop.is_interrupted();
    let (values, _, dir) = run.finish(outcome)?;
    let width = values.iter().map(|(name, _)| name.len()).max().unwrap_or(0);
    for (name, value) in &values {
        println!("{name:width$}  {}", short(&Results::number(*value)));
    }
    println!("{}", shown(dir.path()));
    Ok(if interrupted { INTERRUPTED } else { 0 })
}

/// `runner predict`: `predictions.csv`, one row a sample.
pub fn predict(request: &Request, registry: &Registry) -> Result<i32> {
    let mut run = start(request, registry, Split::Predict)?;
    let path = run.dir.path().join("predictions.csv");
    let outcome = write_predictions(&mut run, &path);
    let (samples, _, _) = run.finish(outcome)?;
    println!("{samples} predictions: {}", shown(&path));
    Ok(0)
}

/// Reads the checkpoint, composes the config that it brings along (or `--config-name`'s), loads the weights.
fn start(request: &Request, registry: &Registry, split: Split) -> Result<Run> {
    let command = request.command.name();
    let given = request.typed("ckpt_path").map(|text| text.trim_matches(['\'', '"']).to_owned());
    let composed = match (&given, &request.args.config_name) {
        (Some(given), None) => {
            let path = find_checkpoint(given)?;
            match Checkpoint::read_info(&path)?.get("config") {
                Some(config) => request.compose_saved(config, &path)?,
                None => request.compose()?,
            }
        }
        (None, None) => {
            return Err(Error::request(format!("`runner {command}` needs a checkpoint"))
                .help(format!("runner {command} ckpt_path=outputs/train/…/checkpoints/last.ckpt")));
        }
        (_, Some(_)) => request.compose()?,
    };
    Run::start(
        &composed,
        registry,
        Wanted {
            command,
            splits: &[split],
            trains: false,
            prepare: &mut |task, settings| {
                let given = settings.ckpt_path.as_deref().unwrap_or_default();
                Checkpoint::read(&find_checkpoint(given)?)?.load_weights(task.params())
            },
        },
    )
}

fn write_predictions(run: &mut Run, path: &Path) -> Result<usize> {
    // Under a temporary name until it is whole: a file of predictions has a row for every sample or is not there.
    let partial = path.with_extension("csv.partial");
    let failed = |error: csv::Error| Error::io("write", path, error);
    let mut writer = csv::Writer::from_path(&partial).map_err(failed)?;
    let mut header = false;
    let samples = run.trainer.predict(run.task.as_mut(), run.data.as_ref(), Split::Predict, |ids, rows| {
        if !header {
            header = true;
            let columns = std::iter::once("id").chain(rows.columns.iter().map(String::as_str));
            writer.write_record(columns).map_err(failed)?;
        }
        for (id, row) in ids.iter().zip(&rows.rows) {
            writer.write_record(std::iter::once(id).chain(row)).map_err(failed)?;
        }
        Ok(())
    });
    let samples = match samples {
        Ok(samples) => samples,
        Err(error) => {
            drop(writer);
            let _ = std::fs::remove_file(&partial);
            return Err(error);
        }
    };
    writer.flush().map_err(|error| Error::io("write", path, error))?;
    drop(writer);
    std::fs::rename(&partial, path).map_err(|error| Error::io("write", path, error))?;
    Ok(samples)
}
