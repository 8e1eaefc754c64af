//! What a transform drew, as numbers with a name each, and their statistics.

use indexmap::IndexMap;
use runner::data::transforms::{Canvas, Op};
use runner::error::{Error, Result};
use serde_json::Value;

use super::golden::{Got, map, number};

/// Numbers by name.
#[derive(Default)]
pub struct Samples(IndexMap<String, Vec<f64>>);

impl Samples {
    pub fn push(&mut self, name: &str, value: f64) {
        match self.0.get_mut(name) {
            Some(values) => values.push(value),
            None => {
                self.0.insert(name.to_owned(), vec![value]);
            }
        }
    }

    /// The statistics that a case states of its numbers.
    pub fn as_asked(&self, expected: &Value) -> Result<Got> {
        let Value::Object(wanted) = expected else { return Err(Error::failed("no statistics")) };
        let mut got = IndexMap::new();
        for (name, statistics) in wanted {
            let value = match (name.as_str(), self.0.get(name)) {
                ("bounds", _) => self.bounds(statistics),
                (_, Some(values)) => of(values, statistics)?,
                // An operation that was never drawn.
                (name, None) if name.starts_with("op_") || name.starts_with("choice") => of(&[0.0], statistics)?,
                (name, None) => return Err(Error::failed(format!("nothing is known of `{name}`"))),
            };
            got.insert(name.clone(), value);
        }
        Ok(Got::Map(got))
    }

    /// The bounds of heights and widths as stated, where they hold; else how far the numbers went.
    fn bounds(&self, stated: &Value) -> Got {
        let within = |(short, long): (&'static str, &str)| {
            let values = self.0.get(long).map(Vec::as_slice).unwrap_or_default();
            let (low, high) = extremes(values);
            let bound = |i: usize| number(&stated[short][i]).unwrap_or(f64::NAN);
            let holds = bound(0) <= low && high <= bound(1);
            (short, if holds { vec![bound(0), bound(1)] } else { vec![low, high] }.into())
        };
        map([("h", "height"), ("w", "width")].map(within))
    }
}

fn extremes(values: &[f64]) -> (f64, f64) {
    values.iter().fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), v| (low.min(*v), high.max(*v)))
}

fn of(values: &[f64], statistics: &Value) -> Result<Got> {
    let Value::Object(statistics) = statistics else { return Err(Error::failed("no statistics")) };
    let n = values.len() as f64;
    let mean = values.iter().sum::<f64>() / n;
    let one = |name: &str| {
        Ok(match name {
            "mean" | "share" => mean,
            "std" => (values.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / n).sqrt(),
            "min" => extremes(values).0,
            "max" => extremes(values).1,
            other => return Err(Error::failed(format!("there is no statistic `{other}`"))),
        })
    };
    let statistics = statistics.keys().map(|name| Ok((name.clone(), Got::Number(one(name)?))));
    Ok(Got::Map(statistics.collect::<Result<_>>()?))
}

/// Adds what `ops` say about one draw of the transform `name` on a picture of a size. `scale` is the range of a crop's
/// area, whose thirds are counted.
pub fn drawn(name: &str, canvas: Canvas, scale: [f64; 2], ops: &[Op], samples: &mut Samples) {
    let (height, width) = (canvas.height as f64, canvas.width as f64);
    samples.push("applied", f64::from(!ops.is_empty()));
    if name == "RandomErasing" {
        samples.push("erased", f64::from(!ops.is_empty()));
    }
    if ["TrivialAugmentWide", "RandAugment", "AutoAugment"].contains(&name) {
        ops.iter().for_each(|op| augmentation(op, samples));
        return;
    }
    let colours = ops.iter().filter(|op| colour(op).is_some());
    if let Some(first) = colours.clone().next() {
        for name in ["brightness", "contrast", "saturation", "hue"] {
            let leads = colour(first).is_some_and(|(known, _)| known == name);
            samples.push(&format!("{name}_first"), f64::from(leads));
        }
    }
    // Padding comes before a crop, and may be a crop that is larger than the picture.
    let crop = ops.iter().rposition(|op| matches!(op, Op::Crop { .. }));
    for (i, op) in ops.iter().enumerate() {
        if let Some((name, factor)) = colour(op) {
            samples.push(&format!("{name}_factor"), factor);
        }
        match op {
            Op::Crop { top, left, height: h, width: w, .. } if crop == Some(i) => {
                let (h, w) = (*h as f64, *w as f64);
                samples.push("top", *top as f64);
                samples.push("left", *left as f64);
                samples.push("height", h);
                samples.push("width", w);
                let share = h * w / (height * width);
                samples.push("area_fraction", share);
                samples.push("log_aspect", (w / h).ln());
                let [low, high] = scale;
                samples.push("area_below_one_third", f64::from(share < low + (high - low) / 3.0));
                samples.push("area_above_two_thirds", f64::from(share > low + (high - low) * 2.0 / 3.0));
                samples.push("top_fraction", *top as f64 / (height - h).max(1.0));
                samples.push("left_fraction", *left as f64 / (width - w).max(1.0));
            }
            Op::Erase { top, left, height: h, width: w, .. } => {
                let (h, w) = (*h as f64, *w as f64);
                samples.push("area_fraction", h * w / (height * width));
                samples.push("log_aspect_h_over_w", (h / w).ln());
                samples.push("top_fraction", *top as f64 / (height - h).max(1.0));
                samples.push("left_fraction", *left as f64 / (width - w).max(1.0));
            }
            Op::Rotate { angle, .. } => samples.push("angle", *angle),
            Op::Affine { angle, translate, scale, shear, .. } => {
                samples.push("angle", *angle);
                samples.push("translate_x", translate[0]);
                samples.push("translate_y", translate[1]);
                samples.push("scale", *scale);
                samples.push("shear_x", shear[0]);
                samples.push("shear_y", shear[1]);
            }
            Op::GaussianBlur { sigma, .. } => samples.push("sigma", sigma[0]),
            Op::Perspective { endpoints, .. } => {
                for (corner, [x, y]) in ["top_left", "top_right", "bottom_right", "bottom_left"].iter().zip(endpoints) {
                    samples.push(&format!("{corner}_x"), *x);
                    samples.push(&format!("{corner}_y"), *y);
                }
            }
            Op::Solarize(chosen) => {
                for choice in 0..10 {
                    samples.push(&format!("choice{choice}"), f64::from(*chosen == f64::from(choice)));
                }
            }
            _ => {}
        }
    }
}

fn colour(op: &Op) -> Option<(&'static str, f64)> {
    Some(match op {
        Op::Brightness(factor) => ("brightness", *factor),
        Op::Contrast(factor) => ("contrast", *factor),
        Op::Saturation(factor) => ("saturation", *factor),
        Op::Hue(turn) => ("hue", *turn),
        _ => return None,
    })
}

const AUGMENTATIONS: [&str; 15] = [
    "Identity",
    "ShearX",
    "ShearY",
    "TranslateX",
    "TranslateY",
    "Rotate",
    "Brightness",
    "Color",
    "Contrast",
    "Sharpness",
    "Posterize",
    "Solarize",
    "AutoContrast",
    "Equalize",
    "Invert",
];

/// Counts an operation under its name in the automatic augmentations. Those of magnitude 0 along x and y are the same
/// operation: each of the two gets half of it.
fn augmentation(op: &Op, samples: &mut Samples) {
    let names: &[&str] = match op {
        Op::Identity => &["Identity"],
        Op::Affine { shear, translate, center, .. } => match (center, shear, translate) {
            (Some(_), [x, _], _) if *x != 0.0 => &["ShearX"],
            (Some(_), [_, y], _) if *y != 0.0 => &["ShearY"],
            (Some(_), ..) => &["ShearX", "ShearY"],
            (None, _, [x, _]) if *x != 0.0 => &["TranslateX"],
            (None, _, [_, y]) if *y != 0.0 => &["TranslateY"],
            (None, ..) => &["TranslateX", "TranslateY"],
        },
        Op::Rotate { .. } => &["Rotate"],
        Op::Brightness(_) => &["Brightness"],
        Op::Saturation(_) => &["Color"],
        Op::Contrast(_) => &["Contrast"],
        Op::Sharpness(_) => &["Sharpness"],
        Op::Posterize(_) => &["Posterize"],
        Op::Solarize(_) => &["Solarize"],
        Op::AutoContrast => &["AutoContrast"],
        Op::Equalize => &["Equalize"],
        Op::Invert => &["Invert"],
        _ => &[],
    };
    for name in AUGMENTATIONS {
        let share = if names.contains(&name) { 1.0 / names.len() as f64 } else { 0.0 };
        samples.push(&format!("op_{name}"), share);
    }
}
