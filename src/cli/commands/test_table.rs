//! The tables that malpolon writes of a test set: the likeliest classes of every sample, one sample alone, the scores.

use std::path::Path;
use std::sync::Arc;

use super::checkpoints;
use super::run::{Run, Wanted, shown};
use crate::cli::compose::Composed;
use crate::config::Node;
use crate::config::text::py_str;
use crate::data::{DataContext, DataModule, Dataset, Loader, Sample, SampleKey, Split};
use crate::error::{Error, Result};
use crate::registry::Registry;
use crate::train::Rows;

/// What `run` asks for.
struct Asked {
    /// The whole test set (`run.predict_type: test_dataset`).
    table: bool,
    /// One of its samples (`test_point`); both unless one is named.
    point: bool,
    /// Which one: its number or its id.
    which: String,
    /// How many classes a sample's row names.
    top: Option<usize>,
    /// The coordinate system of longitudes and latitudes, an EPSG code.
    crs: String,
    /// Whether there is one question, whose answer is the rounded sigmoid.
    binary: bool,
}

impl Asked {
    fn of(config: &Node) -> Result<Self> {
        let text = |path: &str| config.select(path).filter(|node| !node.is_null()).map(py_str);
        let (table, point) = match text("run.predict_type").as_deref() {
            None => (true, true),
            Some("test_dataset") => (true, false),
            Some("test_point") => (false, true),
            Some(other) => {
                return Err(Error::request(format!("run.predict_type: `{other}` is nothing that can be predicted"))
                    .help("test_dataset, test_point, or null for both"));
            }
        };
        let top = match text("run.top_k").map(|text| text.parse::<usize>()) {
            None => None,
            Some(Ok(top)) if top > 0 => Some(top),
            Some(_) => return Err(Error::request("run.top_k is a number of classes, 1 or more")),
        };
        Ok(Asked {
            table,
            point,
            which: text("run.point").unwrap_or_else(|| "0".into()),
            top,
            crs: text("run.crs").unwrap_or_else(|| "4326".into()),
            binary: text("task.task").as_deref() == Some("classification_binary"),
        })
    }
}

/// `run.predict: true`: `predictions_test_dataset.csv`, `scores_test_dataset.csv` and `prediction_point.csv` in a
/// folder of their own.
///
/// # Errors
/// When no checkpoint is named, or it does not fit the network.
pub fn predict(composed: &Composed, registry: &Registry) -> Result<i32> {
    let config = composed.resolve(&composed.run_dir()?)?;
    if config.get("ckpt_path").is_none_or(Node::is_null) {
        return Err(Error::request("run.predict needs the weights to predict with")
            .help("name a checkpoint: run.checkpoint_path=outputs/…/last.ckpt"));
    }
    let asked = Asked::of(&config)?;
    let mut run = Run::start(
        composed,
        registry,
        Wanted {
            command: "predict",
            splits: &[Split::Predict],
            trains: false,
            go_on: None,
            prepare: &mut |task, settings| {
                let given = settings.ckpt_path.as_deref().unwrap_or_default();
                checkpoints::load_into(task.params(), &checkpoints::find(given)?)
            },
        },
    )?;
    let folder = run.dir.path().to_owned();
    let names = config.select("model.metrics").and_then(Node::as_map).cloned().unwrap_or_default();
    let names: Vec<String> = names.keys().map(ToString::to_string).collect();
    let outcome = write(&mut run, &folder, &asked, &names);
    let (lines, ..) = run.finish(outcome)?;
    lines.iter().for_each(|line| println!("{line}"));
    Ok(0)
}

/// Writes what is asked for; gives a line about each file of predictions.
fn write(run: &mut Run, folder: &Path, asked: &Asked, metrics: &[String]) -> Result<Vec<String>> {
    let loader = run.data.loader(Split::Predict)?;
    let loader = loader.ok_or_else(|| Error::request("the data has no test split: there is nothing to predict"))?;
    let mut lines = Vec::new();
    if asked.table {
        let path = folder.join("predictions_test_dataset.csv");
        let samples = table(run, &loader, &path, asked)?;
        lines.push(format!("{samples} predictions: {}", shown(&path)));
        scores(run, &folder.join("scores_test_dataset.csv"), metrics)?;
    }
    if asked.point {
        let path = folder.join("prediction_point.csv");
        let id = point(run, loader, &path, asked)?;
        lines.push(format!("prediction of {id}: {}", shown(&path)));
    }
    Ok(lines)
}

/// The places of longitude and latitude among a data set's further columns, where it has both.
fn coordinates(dataset: &dyn Dataset) -> Option<[usize; 2]> {
    let find = |names: [&str; 2]| {
        dataset.columns().iter().position(|column| names.iter().any(|n| n.eq_ignore_ascii_case(column)))
    };
    Some([find(["lon", "longitude"])?, find(["lat", "latitude"])?])
}

/// A sample's cell in one of the data set's further columns.
fn cell(row: &[String], column: usize) -> String {
    row.get(column).cloned().unwrap_or_default()
}

/// A row for every sample; with coordinates in malpolon's form for occurrences. Gives how many there are.
fn table(run: &mut Run, loader: &Loader, path: &Path, asked: &Asked) -> Result<usize> {
    let failed = |error: csv::Error| Error::io("write", path, error);
    let dataset = loader.dataset.clone();
    let places = coordinates(dataset.as_ref());
    let (separator, header, usual): (u8, &[&str], usize) = match places {
        None => (b',', &["ids", "predictions", "targets", "probas"], 3),
        Some(_) => (b';', &["observation_id", "lon", "lat", "target_species_id", "predictions", "probas"], 100),
    };
    let mut writer = csv::WriterBuilder::new().delimiter(separator).from_path(path).map_err(failed)?;
    writer.write_record(header).map_err(failed)?;
    let mut next = 0;
    let samples = run.trainer.predict(run.task.as_mut(), run.data.as_ref(), Split::Predict, |ids, rows| {
        for (id, row) in ids.iter().zip(likeliest(&rows, asked.top.unwrap_or(usual), asked.binary)) {
            let [predictions, target, probabilities] = row;
            let cells = match places {
                None => vec![id.clone(), predictions, target, probabilities],
                Some([lon, lat]) => {
                    let own = dataset.row(next);
                    vec![id.clone(), cell(&own, lon), cell(&own, lat), target, predictions, probabilities]
                }
            };
            writer.write_record(cells).map_err(failed)?;
            next += 1;
        }
        Ok(())
    })?;
    writer.flush().map_err(|error| Error::io("write", path, error))?;
    Ok(samples)
}

/// One sample in malpolon's form of a point: with its coordinates and their system, where it has some. Gives its id.
fn point(run: &mut Run, loader: Loader, path: &Path, asked: &Asked) -> Result<String> {
    let dataset = loader.dataset.clone();
    let by_id = (0..dataset.len()).find(|&index| dataset.id(index) == asked.which);
    let by_number = || asked.which.parse::<usize>().ok().filter(|&index| index < dataset.len());
    let index = by_id.or_else(by_number).ok_or_else(|| {
        Error::request(format!("run.point: there is no sample `{}` in the test set", asked.which))
            .help(format!("its id, or its number from 0 to {}", dataset.len().saturating_sub(1)))
    })?;
    let (id, own) = (dataset.id(index), dataset.row(index));
    let [lon, lat, crs] = match coordinates(dataset.as_ref()) {
        Some([lon, lat]) => [cell(&own, lon), cell(&own, lat), asked.crs.clone()],
        None => Default::default(),
    };
    let alone = OnePoint(Loader { dataset: Arc::new(One { dataset, index }), batch_size: 1, ..loader });
    let mut found = Vec::new();
    run.trainer.predict(run.task.as_mut(), &alone, Split::Predict, |_, rows| {
        found = likeliest(&rows, asked.top.unwrap_or(usize::MAX), asked.binary);
        Ok(())
    })?;
    let [predictions, target, probabilities] = found.pop().ok_or_else(|| Error::failed("nothing was predicted"))?;
    let failed = |error: csv::Error| Error::io("write", path, error);
    let mut writer = csv::WriterBuilder::new().delimiter(b';').from_path(path).map_err(failed)?;
    let header = ["observation_id", "lon", "lat", "crs", "target_species_id", "predictions", "probas"];
    writer.write_record(header).map_err(failed)?;
    writer.write_record([&id, &lon, &lat, &crs, &target, &predictions, &probabilities]).map_err(failed)?;
    writer.flush().map_err(|error| Error::io("write", path, error))?;
    Ok(id)
}

/// The metrics of the whole test set.
fn scores(run: &mut Run, path: &Path, metrics: &[String]) -> Result<()> {
    let values = run.trainer.evaluate(run.task.as_mut(), run.data.as_ref(), Split::Test)?;
    let of = |name: &String| {
        let value = values.iter().find(|(logged, _)| *logged == format!("{name}/test"));
        value.map(|(_, value)| [name.clone(), value.to_string()])
    };
    crate::data::record::csv(path, &["metric_name", "score"], metrics.iter().filter_map(of))
}

/// One sample of a data set.
struct One {
    dataset: Arc<dyn Dataset>,
    index: usize,
}

impl Dataset for One {
    fn len(&self) -> usize {
        1
    }
    fn sample(&self, key: SampleKey) -> Result<Sample> {
        self.dataset.sample(SampleKey { index: self.index as u64, ..key })
    }
    fn id(&self, _: usize) -> String {
        self.dataset.id(self.index)
    }
}

/// Data of one sample.
struct OnePoint(Loader);

impl DataModule for OnePoint {
    fn setup(&mut self, _: &DataContext) -> Result<()> {
        Ok(())
    }
    fn loader(&self, _: Split) -> Result<Option<Loader>> {
        Ok(Some(self.0.clone()))
    }
}

/// Predictions, target and probabilities of every row: the `top` likeliest classes first, joined by blanks. Of one
/// question the answer, and how likely yes is.
fn likeliest(rows: &Rows, top: usize, binary: bool) -> Vec<[String; 3]> {
    let column = |wanted: &str| rows.columns.iter().position(|name| name == wanted);
    let (target, prediction) = (column("target"), column("prediction"));
    let classes: Vec<(usize, &str)> =
        rows.columns.iter().enumerate().filter_map(|(at, name)| Some((at, name.strip_prefix("p_")?))).collect();
    let line = |row: &Vec<String>| {
        let cell = |at: Option<usize>| at.map(|at| row[at].clone()).unwrap_or_default();
        if binary {
            return [cell(prediction), cell(target), cell(classes.last().map(|(at, _)| *at))];
        }
        let value = |at: usize| row[at].parse::<f64>().unwrap_or(f64::NAN);
        let mut order = classes.clone();
        order.sort_by(|a, b| value(b.0).total_cmp(&value(a.0)));
        order.truncate(top);
        let words = |part: &dyn Fn(&(usize, &str)) -> String| order.iter().map(part).collect::<Vec<_>>().join(" ");
        // Several labels are joined by blanks here, too.
        [words(&|(_, name)| (*name).to_owned()), cell(target).replace(';', " "), words(&|(at, _)| row[*at].clone())]
    };
    rows.rows.iter().map(line).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_likeliest_come_first() {
        let words = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect::<Vec<_>>();
        let rows = Rows {
            columns: words(&["target", "prediction", "p_cat", "p_dog", "p_frog"]),
            rows: vec![words(&["cat", "dog", "0.3", "0.5", "0.2"])],
            arrays: Vec::new(),
        };
        assert_eq!(likeliest(&rows, 2, false), [["dog cat", "cat", "0.5 0.3"].map(String::from)]);
        let rows = Rows {
            columns: words(&["target", "prediction", "p_no", "p_yes"]),
            rows: vec![words(&["yes", "no", "0.6", "0.4"])],
            arrays: Vec::new(),
        };
        assert_eq!(likeliest(&rows, 2, true), [["no", "yes", "0.4"].map(String::from)]);
    }
}
