//! Tau normalization: what a classifier would predict if the rows of its last layer had other lengths.
//!
//! Classes with many training images have longer rows in the last layer. Each row `w` becomes `w / ‖w‖^p`: p = 0 is the
//! network as it is, at p = 1 all rows are alike (Kang et al., 2020). Features and targets come from a prediction
//! (`runner predict … arrays=all`), the layer and the training counts from its checkpoint.

use std::path::{Path, PathBuf};

use safetensors::SafeTensors;
use serde_json::Value;

use super::{number, write_csv};
use crate::error::{Error, Result};

/// Steps from p = 0 to 2.
const STEPS: usize = 21;
/// Classes with fewer training images are few, with more than the second number many.
const SEGMENTS: (u64, u64) = (50, 200);

/// A matrix, row by row.
struct Matrix {
    width: usize,
    values: Vec<f64>,
}

impl Matrix {
    fn rows(&self) -> impl Iterator<Item = &[f64]> {
        self.values.chunks_exact(self.width.max(1))
    }
}

/// The accuracies at one power.
#[derive(Debug, PartialEq)]
struct At {
    power: f64,
    overall: f64,
    /// Of classes with many, some and few training images; `None` when there is no sample of such a class.
    segments: [Option<f64>; 3],
}

/// Writes `tau.csv`; gives a line that says what is best.
///
/// # Errors
/// When the arrays or the checkpoint's layer are not there or do not fit each other.
pub(super) fn write(predicted: &Path, checkpoint: &Path, folder: &Path) -> Result<String> {
    let arrays = predicted.join("arrays");
    let file = if checkpoint.is_dir() { checkpoint.join("best.ckpt") } else { checkpoint.to_owned() };
    let bytes = std::fs::read(&file).map_err(|error| Error::io("read", &file, error))?;
    let facts = facts(&bytes, &file)?;
    let level = facts["levels"][0]["name"].as_str().map(|name| name.replace('.', "_"));
    let layer = Layer::read(&bytes, &file, level.as_deref())?;
    let features = floats(&arrays.join("features.npy"))?;
    let targets = match find(&arrays, level.as_deref(), "target") {
        Some(path) => integers(&path)?,
        None => {
            return Err(Error::request(format!("there are no targets in {}", arrays.display()))
                .help("predict with arrays=all on labelled data"));
        }
    };
    let counts: Vec<u64> = facts["class_counts"].as_array().into_iter().flatten().filter_map(Value::as_u64).collect();
    if features.width != layer.weight.width || features.rows().count() != targets.len() {
        return Err(Error::request(format!(
            "{} features of {} samples do not fit a layer of {} features and {} targets",
            features.width,
            features.rows().count(),
            layer.weight.width,
            targets.len()
        )));
    }
    let all = accuracies(&features, &targets, &layer, &counts);
    let cell = |value: &Option<f64>| value.map(number).unwrap_or_default();
    let rows = all.iter().map(|at| {
        let [many, some, few] = at.segments.each_ref().map(cell);
        vec![format!("{:.1}", at.power), number(at.overall), many, some, few]
    });
    write_csv(&folder.join("tau.csv"), &["p", "accuracy", "many", "some", "few"], rows)?;
    let best = all.iter().max_by(|a, b| a.overall.total_cmp(&b.overall).then(b.power.total_cmp(&a.power)));
    Ok(best.map_or_else(String::new, |best| {
        format!("tau: accuracy {:.4} as it is, {:.4} at p = {:.1}", all[0].overall, best.overall, best.power)
    }))
}

/// The accuracies at all powers.
fn accuracies(features: &Matrix, targets: &[i64], layer: &Layer, counts: &[u64]) -> Vec<At> {
    let dot = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f64>();
    let lengths: Vec<f64> = layer.weight.rows().map(|row| dot(row, row).sqrt()).collect();
    // Rescaling a row rescales its product: one pass over the features is enough.
    let mut hits = vec![vec![false; targets.len()]; STEPS];
    let powers: Vec<f64> = (0..STEPS).map(|step| 2.0 * step as f64 / (STEPS - 1) as f64).collect();
    for (sample, row) in features.rows().enumerate() {
        let products: Vec<f64> = layer.weight.rows().map(|weight| dot(row, weight)).collect();
        for (step, power) in powers.iter().enumerate() {
            let score =
                |class: usize| products[class] / lengths[class].max(f64::MIN_POSITIVE).powf(*power) + layer.bias[class];
            let mut best = (0, f64::NEG_INFINITY);
            for class in 0..products.len() {
                let score = score(class);
                if score > best.1 {
                    best = (class, score);
                }
            }
            hits[step][sample] = best.0 as i64 == targets[sample];
        }
    }
    let segment = |class: i64| match counts.get(class as usize) {
        Some(count) if *count > SEGMENTS.1 => 0,
        Some(count) if *count >= SEGMENTS.0 => 1,
        _ => 2,
    };
    let mean = |hits: &[bool], wanted: Option<usize>| {
        let of = hits.iter().zip(targets).filter(|(_, target)| wanted.is_none_or(|wanted| segment(**target) == wanted));
        let (count, right) = of.fold((0u64, 0u64), |(count, right), (hit, _)| (count + 1, right + u64::from(*hit)));
        (count > 0).then(|| right as f64 / count as f64)
    };
    let at = |(power, hits): (&f64, &Vec<bool>)| At {
        power: *power,
        overall: mean(hits, None).unwrap_or(0.0),
        segments: [0, 1, 2].map(|wanted| mean(hits, Some(wanted))),
    };
    powers.iter().zip(&hits).map(at).collect()
}

/// The last layer of the first level.
struct Layer {
    weight: Matrix,
    bias: Vec<f64>,
}

impl Layer {
    fn read(bytes: &[u8], file: &Path, level: Option<&str>) -> Result<Self> {
        let failed = |error: &dyn std::fmt::Display| Error::failed(format!("{}: {error}", file.display()));
        let tensors = SafeTensors::deserialize(bytes).map_err(|error| failed(&error))?;
        let wanted = level.map(|level| format!("heads.{level}.weight"));
        let mut names: Vec<String> = tensors.names().iter().map(|name| (*name).to_owned()).collect();
        names.retain(|name| !name.starts_with("runner/"));
        let name = match &wanted {
            Some(wanted) => names.iter().find(|name| name.ends_with(wanted.as_str())),
            None => ["fc.weight", "classifier.weight", "head.weight", "classifier.1.weight"]
                .iter()
                .find_map(|ending| names.iter().find(|name| name.ends_with(ending))),
        };
        let name = name.ok_or_else(|| failed(&"there is no last layer of a known name to rescale"))?;
        let tensor = tensors.tensor(name).map_err(|error| failed(&error))?;
        let [_, width] = tensor.shape()[..] else { return Err(failed(&format!("`{name}` is no matrix"))) };
        let weight = Matrix { width, values: single(tensor.data()) };
        let classes = weight.rows().count();
        let bias = tensors.tensor(&name.replace(".weight", ".bias")).map(|tensor| single(tensor.data()));
        Ok(Layer { weight, bias: bias.unwrap_or_else(|_| vec![0.0; classes]) })
    }
}

/// 32-bit floats.
fn single(bytes: &[u8]) -> Vec<f64> {
    bytes.chunks_exact(4).map(|four| f64::from(f32::from_le_bytes([four[0], four[1], four[2], four[3]]))).collect()
}

/// What the checkpoint says about the data that it was trained on.
fn facts(bytes: &[u8], file: &Path) -> Result<Value> {
    let (_, metadata) =
        SafeTensors::read_metadata(bytes).map_err(|error| Error::failed(format!("{}: {error}", file.display())))?;
    let text = metadata.metadata().as_ref().and_then(|map| map.get("facts").cloned());
    text.and_then(|text| serde_json::from_str(&text).ok()).ok_or_else(|| {
        Error::request(format!("{} does not say on which data it was trained", file.display()))
            .help("give a checkpoint of `runner train`")
    })
}

/// The array called `what`, of the first level where there are several.
fn find(arrays: &Path, level: Option<&str>, what: &str) -> Option<PathBuf> {
    let name = level.map_or_else(|| what.to_owned(), |level| format!("{level}_{what}"));
    [name.as_str(), what].iter().map(|name| arrays.join(format!("{name}.npy"))).find(|path| path.is_file())
}

/// The header and the bytes of an array as `runner predict` writes it.
fn array(path: &Path) -> Result<(Vec<usize>, Vec<u8>)> {
    let bytes = std::fs::read(path).map_err(|error| {
        Error::io("read", path, error).help("predict with arrays=all, and give the folder of that run")
    })?;
    let odd = || Error::failed(format!("{} is no array of `runner predict`", path.display()));
    if !bytes.starts_with(b"\x93NUMPY\x01\x00") || bytes.len() < 10 {
        return Err(odd());
    }
    let start = 10 + usize::from(u16::from_le_bytes([bytes[8], bytes[9]]));
    let header = bytes.get(10..start).map(|header| String::from_utf8_lossy(header).into_owned()).ok_or_else(odd)?;
    let shape = header.split_once("'shape': (").and_then(|(_, rest)| rest.split_once(')')).ok_or_else(odd)?.0;
    let shape = shape.split(',').filter_map(|size| size.trim().parse().ok()).collect();
    Ok((shape, bytes[start..].to_vec()))
}

fn floats(path: &Path) -> Result<Matrix> {
    let (shape, bytes) = array(path)?;
    Ok(Matrix { width: shape.get(1).copied().unwrap_or(1), values: single(&bytes) })
}

fn integers(path: &Path) -> Result<Vec<i64>> {
    let (_, bytes) = array(path)?;
    Ok(bytes.chunks_exact(8).filter_map(|eight| Some(i64::from_le_bytes(eight.try_into().ok()?))).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_rescaled() {
        // Two classes: the first row is twice as long as it should be.
        let layer = Layer { weight: Matrix { width: 2, values: vec![2.0, 0.0, 0.0, 1.0] }, bias: vec![0.0, 0.0] };
        let features = Matrix { width: 2, values: vec![0.6, 1.0, 1.0, 0.1] };
        let all = accuracies(&features, &[1, 0], &layer, &[300, 10]);
        assert_eq!(all.len(), 21);
        assert_eq!(all[0], At { power: 0.0, overall: 0.5, segments: [Some(1.0), None, Some(0.0)] });
        assert_eq!((all[10].power, all[10].overall), (1.0, 1.0));
        // Beyond 1 the long row is the short one.
        assert_eq!(all[20].segments, [Some(1.0), None, Some(1.0)]);
    }
}
