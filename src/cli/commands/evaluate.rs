//! `runner validate`, `runner test` and `runner predict`: a checkpoint on the data it was trained on, or on other.

use std::path::Path;

use super::arrays::Arrays;
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
    let outcome = run.evaluate(split);
    let stop = run.trainer.stop.clone();
    let (values, _, dir) = run.finish(outcome)?;
    let width = values.iter().map(|(name, _)| name.len()).max().unwrap_or(0);
    for (name, value) in &values {
        println!("{name:width$}  {}", short(&Results::number(*value)));
    }
    println!("{}", shown(dir.path()));
    Ok(stop.signal().map_or(0, Signal::exit_code))
}

/// What `runner predict` is asked for beside overrides of the config.
struct Asked {
    /// The split: `split=val`.
    split: Split,
    /// Arrays that are written: `arrays=[logits,features]`.
    arrays: Vec<String>,
    /// Whether images are copied into folders by what was predicted: `images=true`.
    images: bool,
}

impl Asked {
    fn of(request: &Request) -> Result<Self> {
        let split = match request.typed("split") {
            None | Some("predict") => Split::Predict,
            Some("train") => Split::Train,
            Some("val") => Split::Val,
            Some("test") => Split::Test,
            Some(other) => {
                return Err(Error::request(format!("there is no split `{other}`")).help("split=train, val or test"));
            }
        };
        let arrays = request.typed("arrays").unwrap_or_default().trim_matches(['[', ']']);
        let arrays = arrays.split(',').map(str::trim).filter(|name| !name.is_empty()).map(str::to_owned).collect();
        Ok(Asked { split, arrays, images: request.typed("images") == Some("true") })
    }
}

/// `runner predict`: `predictions.csv`, one row a sample; arrays and sorted images on request.
pub fn predict(request: &Request, registry: &Registry) -> Result<i32> {
    let options = Asked::of(request)?;
    let request = request.without(&["split", "arrays", "images"]);
    let mut run = start(&request, registry, options.split)?;
    let path = run.dir.path().join("predictions.csv");
    let outcome = write_predictions(&mut run, &path, &options);
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

fn write_predictions(run: &mut Run, path: &Path, asked: &Asked) -> Result<usize> {
    // Under a temporary name until it is whole: a file of predictions has a row for every sample or is not there.
    let partial = path.with_extension("csv.partial");
    let failed = |error: csv::Error| Error::io("write", path, error);
    let mut writer = csv::Writer::from_path(&partial).map_err(failed)?;
    let mut header = false;
    let folder = path.parent().unwrap_or(Path::new("."));
    let mut arrays = Arrays::new(folder.join("arrays"), asked.arrays.clone());
    let mut known = Vec::new();
    let loader = run.data.loader(asked.split)?;
    let none = || Error::request(format!("the data has no {} split", asked.split.name()));
    let dataset = loader.map(|loader| loader.dataset).ok_or_else(none)?;
    let mut next = 0;
    let samples = run.trainer.predict(run.task.as_mut(), run.data.as_ref(), asked.split, |ids, rows| {
        arrays.add(&rows.arrays)?;
        if !header {
            header = true;
            known = rows.arrays.iter().map(|(name, _)| name.clone()).collect();
            let columns = std::iter::once("id").chain(rows.columns.iter().map(String::as_str));
            writer.write_record(columns.chain(dataset.columns().iter().map(String::as_str))).map_err(failed)?;
        }
        for (id, row) in ids.iter().zip(&rows.rows) {
            if asked.images {
                sort_image(folder, dataset.path(next), &rows.columns, row)?;
            }
            let mut own = dataset.row(next);
            own.resize(dataset.columns().len(), String::new());
            writer.write_record(std::iter::once(id).chain(row).chain(&own)).map_err(failed)?;
            next += 1;
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
    arrays.close(&known)?;
    drop(writer);
    std::fs::rename(&partial, path).map_err(|error| Error::io("write", path, error))?;
    Ok(samples)
}

/// Copies an image into `images/<prediction>/`, its name marked by whether that is right.
fn sort_image(folder: &Path, image: Option<&Path>, columns: &[String], row: &[String]) -> Result<()> {
    let Some(image) = image else {
        return Err(Error::request("this data does not lie in a file an image: images=true has nothing to copy"));
    };
    let cell = |start: &str| {
        columns
            .iter()
            .position(|name| name == start || name.starts_with(&format!("{start}_")))
            .and_then(|at| row.get(at))
    };
    let prediction = cell("prediction").map_or("", String::as_str);
    let mark = match cell("target") {
        Some(target) if target == prediction => "correct_",
        Some(_) => "wrong_",
        None => "",
    };
    let plain = |text: &str| text.replace(['/', '\\'], "_");
    let folder = folder.join("images").join(plain(if prediction.is_empty() { "nothing" } else { prediction }));
    std::fs::create_dir_all(&folder).map_err(|error| Error::io("make", &folder, error))?;
    let name = image.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let mut place = folder.join(format!("{mark}{name}"));
    // Images of one name from several classes must not replace each other.
    let parent = image.parent().and_then(Path::file_name).unwrap_or_default().to_string_lossy().into_owned();
    let mut others = 0;
    while place.exists() {
        let number = if others == 0 { String::new() } else { format!("{others}_") };
        place = folder.join(format!("{mark}{}_{number}{name}", plain(&parent)));
        others += 1;
    }
    std::fs::copy(image, &place).map(drop).map_err(|error| Error::io("write", &place, error))
}
