//! The tables that malpolon writes of a test set: the likeliest classes of every sample, and the scores.

use std::path::Path;

use super::checkpoints;
use super::run::{Run, Wanted, shown};
use crate::cli::compose::Composed;
use crate::config::Node;
use crate::data::Split;
use crate::error::{Error, Result};
use crate::registry::Registry;
use crate::train::Rows;

/// How many classes a sample's row names, unless `run.top_k` says so.
const TOP: usize = 3;

/// `run.predict: true`: `predictions_test_dataset.csv` and `scores_test_dataset.csv` in a folder of their own.
///
/// # Errors
/// When no checkpoint is named, or it does not fit the network.
pub fn predict(composed: &Composed, registry: &Registry) -> Result<i32> {
    let config = composed.resolve(&composed.run_dir()?)?;
    if config.get("ckpt_path").is_none_or(Node::is_null) {
        return Err(Error::request("run.predict needs the weights to predict with")
            .help("name a checkpoint: run.checkpoint_path=outputs/…/last.ckpt"));
    }
    let top = config.select("run.top_k").and_then(Node::as_int).map_or(TOP, |top| top.max(1) as usize);
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
    let outcome = tables(&mut run, &folder, top, &names.keys().map(ToString::to_string).collect::<Vec<_>>());
    let (samples, ..) = run.finish(outcome)?;
    println!("{samples} predictions: {}", shown(&folder.join("predictions_test_dataset.csv")));
    Ok(0)
}

fn tables(run: &mut Run, folder: &Path, top: usize, metrics: &[String]) -> Result<usize> {
    let path = folder.join("predictions_test_dataset.csv");
    let failed = |error: csv::Error| Error::io("write", &path, error);
    let mut writer = csv::Writer::from_path(&path).map_err(failed)?;
    writer.write_record(["ids", "predictions", "targets", "probas"]).map_err(failed)?;
    let samples = run.trainer.predict(run.task.as_mut(), run.data.as_ref(), Split::Predict, |ids, rows| {
        for (id, row) in ids.iter().zip(likeliest(&rows, top)) {
            writer.write_record(std::iter::once(id).chain(&row)).map_err(failed)?;
        }
        Ok(())
    })?;
    writer.flush().map_err(|error| Error::io("write", &path, error))?;
    let values = run.trainer.evaluate(run.task.as_mut(), run.data.as_ref(), Split::Test)?;
    let of = |name: &String| {
        let value = values.iter().find(|(logged, _)| *logged == format!("{name}/test"));
        value.map(|(_, value)| [name.clone(), value.to_string()])
    };
    let path = folder.join("scores_test_dataset.csv");
    crate::data::record::csv(&path, &["metric_name", "score"], metrics.iter().filter_map(of))?;
    Ok(samples)
}

/// Predictions, target and probabilities of every row: the `top` likeliest classes first, joined by blanks.
fn likeliest(rows: &Rows, top: usize) -> Vec<[String; 3]> {
    let target = rows.columns.iter().position(|name| name == "target");
    let classes: Vec<(usize, &str)> =
        rows.columns.iter().enumerate().filter_map(|(at, name)| Some((at, name.strip_prefix("p_")?))).collect();
    let line = |row: &Vec<String>| {
        let value = |at: usize| row[at].parse::<f64>().unwrap_or(f64::NAN);
        let mut order = classes.clone();
        order.sort_by(|a, b| value(b.0).total_cmp(&value(a.0)));
        order.truncate(top);
        let words = |part: &dyn Fn(&(usize, &str)) -> String| order.iter().map(part).collect::<Vec<_>>().join(" ");
        let target = target.map(|at| row[at].clone()).unwrap_or_default();
        [words(&|(_, name)| (*name).to_owned()), target, words(&|(at, _)| row[*at].clone())]
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
        assert_eq!(likeliest(&rows, 2), [["dog cat", "cat", "0.5 0.3"].map(String::from)]);
    }
}
