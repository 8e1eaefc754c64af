//! `runner validate`, `runner test` and `runner predict`: a checkpoint on the data it was trained on, or on other.

use std::path::Path;

use super::checkpoints;
use super::run::{Run, Wanted, shown};
use super::train::short;
use crate::checkpoint::TensorFile;
use crate::cli::compose::Request;
use crate::data::Split;
use crate::error::{Error, Result};
use crate::registry::Registry;
use crate::run::Results;
use crate::train::Signal;

/// `runner validate` and `runner test`.
pub fn evaluate(request: &Request, registry: &Registry, split: Split) -> Result<i32> {
    let mut run = start(request, registry, split)?;
    let outcome = run.trainer.evaluate(run.task.as_mut(), run.data.as_ref(), split);
    let stop = run.trainer.stop.clone();
    let (values, _, dir) = run.finish(outcome)?;
    let width = values.iter().map(|(name, _)| name.len()).max().unwrap_or(0);
    for (name, value) in &values {
        println!("{name:width$}  {}", short(&Results::number(*value)));
    }
    println!("{}", shown(dir.path()));
    Ok(stop.signal().map_or(0, Signal::exit_code))
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
            let path = checkpoints::find(given)?;
            match TensorFile::open(&path)?.metadata().get("config") {
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
            go_on: None,
            prepare: &mut |task, settings| {
                let given = settings.ckpt_path.as_deref().unwrap_or_default();
                checkpoints::load_into(task.params(), &checkpoints::find(given)?)
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
