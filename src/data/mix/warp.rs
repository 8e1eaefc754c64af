//! Time warp: signals that run faster or slower.

use tch::Tensor;

use super::{BatchTransform, BatchTransformKind};
use crate::data::rng::Rng;
use crate::data::{Batch, Field};
use crate::error::{Error, Result};
use crate::native::elements;
use crate::prelude::*;

/// Warps the time of signals `[batch, …, time]`: each sample stays itself, or is squeezed and filled up with zeros at
/// both ends, or stretched and cut at both ends, by a share drawn from 0 to `max_fraction`.
///
/// With `triple` a batch becomes three times as long: every sample with its squeezed and its stretched neighbor.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct TimeWarp {
    /// The largest share, below 1.
    #[serde(default = "fifth")]
    max_fraction: Fraction,
    /// Whether every sample is given in all three forms, one after the other; otherwise in one of them by chance.
    #[serde(default)]
    triple: bool,
}

fn fifth() -> Fraction {
    Fraction(0.2)
}

impl Component for TimeWarp {
    type Kind = BatchTransformKind;
    const TARGETS: &'static [&'static str] = &["runner.transforms.TimeWarp"];
    fn check(&self, cx: &mut Check) {
        if self.max_fraction.0 >= 1.0 {
            cx.problem("max_fraction", "`max_fraction` is below 1: nothing would be left of a signal");
        }
    }
    fn build(self, _: &mut Build) -> Result<Box<dyn BatchTransform>> {
        Ok(Box::new(self))
    }
}

/// Another number of points by straight lines: point `j` of `n_out` lies at `(j + 0.5) * n_in / n_out - 0.5`, and
/// beyond the ends at the ends.
pub fn resize(signal: &[f32], points: usize) -> Vec<f32> {
    let Some(last) = signal.len().checked_sub(1) else { return vec![0.0; points] };
    let scale = signal.len() as f64 / points.max(1) as f64;
    let at = |j: usize| {
        let position = ((j as f64 + 0.5) * scale - 0.5).clamp(0.0, last as f64);
        let left = position as usize;
        let share = position - left as f64;
        let right = signal[(left + 1).min(last)];
        (f64::from(signal[left]) * (1.0 - share) + f64::from(right) * share) as f32
    };
    (0..points).map(at).collect()
}

/// As many points as before: squeezed to `1 - share` of the time with zeros at both ends, one more at the end.
pub fn squeeze(signal: &[f32], share: f64) -> Vec<f32> {
    let inner = resize(signal, (signal.len() as f64 * (1.0 - share)) as usize);
    let before = (signal.len() - inner.len()) / 2;
    let mut out = vec![0.0; signal.len()];
    out[before..before + inner.len()].copy_from_slice(&inner);
    out
}

/// As many points as before: the middle of the signal stretched to `1 + share` of the time.
pub fn stretch(signal: &[f32], share: f64) -> Vec<f32> {
    let outer = resize(signal, (signal.len() as f64 * (1.0 + share)) as usize);
    let before = (outer.len() - signal.len()) / 2;
    outer[before..before + signal.len()].to_vec()
}

impl BatchTransform for TimeWarp {
    fn apply(&self, mut batch: Batch, rng: &mut Rng) -> Result<Batch> {
        let input = batch.input()?;
        let shape = input.size();
        let (Some(&samples), Some(&time)) = (shape.first(), shape.last()) else {
            return Err(Error::failed("signals are warped, and the input has no dimensions"));
        };
        if shape.len() < 2 || !input.is_floating_point() {
            return Err(Error::failed(format!("signals [batch, …, time] of floats are warped, not {shape:?}")));
        }
        let values: Vec<f32> = elements::to_vec(&input.f_to_kind(tch::Kind::Float)?.f_contiguous()?)?;
        let sample_size = values.len() / samples.max(1) as usize;
        let mut out = Vec::with_capacity(values.len() * if self.triple { 3 } else { 1 });
        for sample in values.chunks_exact(sample_size.max(1)) {
            // Two numbers for each sample, whatever becomes of it: its neighbors do not depend on its choice.
            let shares = [rng.uniform(0.0, self.max_fraction.0), rng.uniform(0.0, self.max_fraction.0)];
            let form = if self.triple { None } else { Some(rng.below(3)) };
            for wanted in 0..3 {
                if form.is_some_and(|form| form != wanted) {
                    continue;
                }
                // All channels of a sample are warped alike.
                for signal in sample.chunks_exact(time.max(1) as usize) {
                    match wanted {
                        0 => out.extend_from_slice(signal),
                        1 => out.extend(squeeze(signal, shares[0])),
                        _ => out.extend(stretch(signal, shares[1])),
                    }
                }
            }
        }
        let times = if self.triple { 3 } else { 1 };
        let mut new_shape = shape.clone();
        new_shape[0] = samples * times;
        let warped = elements::from_vec(out, &new_shape)?;
        batch.fields.insert("input".into(), Field::Tensor(warped));
        if self.triple {
            let repeated = |tensor: &Tensor| tensor.f_repeat_interleave_self_int(3, Some(0), None);
            for (name, field) in &mut batch.fields {
                if let (false, Field::Tensor(tensor)) = (name == "input", field) {
                    *tensor = repeated(tensor)?;
                }
            }
            batch.indices = batch.indices.iter().flat_map(|&index| [index; 3]).collect();
        }
        Ok(batch)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::rng::Purpose;

    /// Capfinder's values, where the sample data has them.
    #[test]
    fn warped_as_the_reference_does() {
        let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/data/expected/signals.json");
        let Ok(text) = std::fs::read_to_string(path) else {
            eprintln!("skipped: the sample data expected/signals.json is not here");
            return;
        };
        let expected: serde_json::Value = serde_json::from_str(&text).unwrap();
        let list = |value: &serde_json::Value| -> Vec<f32> {
            value.as_array().unwrap().iter().map(|value| value.as_f64().unwrap() as f32).collect()
        };
        let warp = &expected["time_warp"];
        let signal = list(&warp["signal"]);
        for case in warp["cases"].as_array().unwrap() {
            let close = |found: Vec<f32>, name: &str| {
                let wanted = list(&case[name]);
                let off = found.iter().zip(&wanted).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
                assert!(found.len() == wanted.len() && off < 1e-5, "{name}: {found:?} {wanted:?}");
            };
            close(squeeze(&signal, case["squish_u"].as_f64().unwrap()), "squished");
            close(stretch(&signal, case["expand_u"].as_f64().unwrap()), "expanded");
        }
    }

    #[test]
    fn a_batch_is_tripled_or_keeps_its_length() {
        let make = || {
            let mut batch = Batch { indices: vec![5, 6], ..Batch::default() };
            let input = Tensor::arange(40, (tch::Kind::Float, tch::Device::Cpu)).view([2, 1, 20]);
            batch.fields.insert("input".into(), Field::Tensor(input));
            batch.fields.insert("target".into(), Field::Tensor(Tensor::from_slice(&[0i64, 1])));
            batch
        };
        let mut rng = Rng::new(Purpose::Batch, 1, &[]);
        let warp = TimeWarp { max_fraction: Fraction(0.2), triple: true };
        let three = warp.apply(make(), &mut rng).unwrap();
        assert_eq!((three.input().unwrap().size(), three.indices.clone()), (vec![6, 1, 20], vec![5, 5, 5, 6, 6, 6]));
        assert_eq!(Vec::<i64>::try_from(three.target().unwrap()).unwrap(), [0, 0, 0, 1, 1, 1]);
        assert_eq!(three.input().unwrap().select(0, 3), make().input().unwrap().select(0, 1));
        let one = TimeWarp { max_fraction: Fraction(0.2), triple: false }.apply(make(), &mut rng).unwrap();
        assert_eq!(one.input().unwrap().size(), [2, 1, 20]);
    }
}
