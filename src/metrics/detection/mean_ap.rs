//! Mean average precision and recall.

use indexmap::IndexMap;
use schemars::JsonSchema;
use serde::Deserialize;
use tch::{Device, Kind, Tensor};

use super::coco::{Evaluation, Found, Image, Settings, True, evaluate};
use super::{BoxFormat, FOUND, TRUE, images, keep, keep_column, numbers, per_image, split};
use crate::error::Result;
use crate::metrics::args::{Arguments, metrics};
use crate::metrics::store::{Definition, Store};
use crate::metrics::{Update, Value};
use crate::registry::{Check, OneOrMany, Registry};

pub(super) fn register(registry: &mut Registry) {
    registry.add::<MeanAveragePrecision>();
}

/// Over what boxes of all classes are put together.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, serde::Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
enum ClassAverage {
    /// The mean over the classes.
    #[default]
    Macro,
    /// All boxes as one class.
    Micro,
}

fn bbox() -> OneOrMany<String> {
    OneOrMany::One("bbox".into())
}

metrics! {
    /// COCO's mean average precision and recall: `map`, `map_50`, `map_75`, by size of the boxes, and `mar_…` by
    /// number of detections; -1 where there is nothing to find.
    MeanAveragePrecision [
        "torchmetrics.detection.MeanAveragePrecision", "torchmetrics.detection.mean_ap.MeanAveragePrecision",
    ] {
        /// xyxy, xywh or cxcywh: what the four numbers of a box are.
        #[serde(default)]
        box_format: BoxFormat,
        /// bbox.
        #[serde(default = "bbox")]
        iou_type: OneOrMany<String>,
        /// The IoUs from which a prediction hits; none: 0.5, 0.55, … 0.95.
        #[serde(default)]
        iou_thresholds: Option<Vec<f64>>,
        /// The recalls at which the precision is read; none: 0, 0.01, … 1.
        #[serde(default)]
        rec_thresholds: Option<Vec<f64>>,
        /// Three numbers of detections per image and class; none: 1, 10, 100. `map` needs 100 among them.
        #[serde(default)]
        max_detection_thresholds: Option<Vec<u32>>,
        /// Also gives the values per class.
        #[serde(default)]
        class_metrics: bool,
        /// Only false: the extended summary is not computed.
        #[serde(default)]
        extended_summary: bool,
        /// macro or micro: the mean over the classes, or all boxes as one class.
        #[serde(default)]
        average: ClassAverage,
        /// There is one implementation.
        #[serde(default)]
        #[allow(dead_code, reason = "accepted for configs of torchmetrics")]
        backend: crate::registry::Ignored,
    }
}

/// Kept boxes, evaluated at the end.
#[derive(Debug)]
pub struct MeanAp {
    format: BoxFormat,
    settings: Settings,
    class_metrics: bool,
    micro: bool,
}

/// torchmetrics' thresholds come from a float32 linspace: a recall of 3/5 falls short of its 0.6.
fn spaced(from: f64, to: f64, steps: i64) -> Vec<f64> {
    let values = Tensor::linspace(from, to, steps, (Kind::Float, Device::Cpu)).to_kind(Kind::Double);
    Vec::<f64>::try_from(values).unwrap_or_default()
}

impl Arguments for MeanAveragePrecision {
    type Definition = MeanAp;

    fn validate(&self, cx: &mut Check) {
        if self.iou_type.as_slice().iter().any(|kind| kind != "bbox") || self.iou_type.as_slice().len() != 1 {
            cx.problem("iou_type", "only boxes are compared: iou_type is bbox");
        }
        if self.extended_summary {
            cx.problem("extended_summary", "the extended summary is not computed here");
        }
        if self.max_detection_thresholds.as_ref().is_some_and(|list| list.len() != 3) {
            cx.problem("max_detection_thresholds", "give three numbers, as 1, 10, 100");
        }
    }

    fn define(self) -> MeanAp {
        let given = |list: Option<Vec<f64>>| list.filter(|list| !list.is_empty());
        let mut max_detections: Vec<usize> =
            self.max_detection_thresholds.unwrap_or_else(|| vec![1, 10, 100]).into_iter().map(|n| n as usize).collect();
        max_detections.sort_unstable();
        MeanAp {
            format: self.box_format,
            settings: Settings {
                ious: given(self.iou_thresholds).unwrap_or_else(|| spaced(0.5, 0.95, 10)),
                recalls: given(self.rec_thresholds).unwrap_or_else(|| spaced(0.0, 1.0, 101)),
                max_detections,
            },
            class_metrics: self.class_metrics,
            micro: self.average == ClassAverage::Micro,
        }
    }
}

const SCORES: &str = "detection_scores";
const CROWDS: &str = "groundtruth_crowds";
const AREAS: &str = "groundtruth_area";

impl MeanAp {
    fn images(&self, store: &Store) -> Result<Vec<Image>> {
        let (found, truth) = (per_image(store, FOUND)?, per_image(store, TRUE)?);
        let scores = split(numbers(store, SCORES)?, &found);
        let crowds = split(numbers(store, CROWDS)?, &truth);
        let areas = split(numbers(store, AREAS)?, &truth);
        let found = found.into_iter().zip(scores).map(|(boxes, scores)| {
            boxes.into_iter().zip(scores).map(|((bbox, class), score)| Found { bbox, class, score }).collect()
        });
        let truth = truth.into_iter().zip(crowds).zip(areas).map(|((boxes, crowds), areas)| {
            boxes
                .into_iter()
                .zip(crowds)
                .zip(areas)
                .map(|(((bbox, class), crowd), area)| {
                    let area = if area > 0.0 { area } else { bbox[2] * bbox[3] };
                    True { bbox, class, crowd: crowd != 0.0, area }
                })
                .collect()
        });
        Ok(found.zip(truth).map(|(found, truth)| Image { found, truth }).collect())
    }

    fn stats(&self, evaluation: &Evaluation) -> Vec<(String, f64)> {
        let most = &self.settings.max_detections;
        let last = most.len() - 1;
        let at = |iou: f64| self.settings.ious.iter().position(|threshold| *threshold == iou);
        let with = |iou: f64| at(iou).map_or(-1.0, |t| evaluation.precision(Some(t), None, 0, Some(last)));
        let hundred = most.iter().position(|n| *n == 100);
        let mut stats = vec![
            ("map".to_owned(), evaluation.precision(None, None, 0, hundred)),
            ("map_50".to_owned(), with(0.5)),
            ("map_75".to_owned(), with(0.75)),
        ];
        let sizes = [(1, "small"), (2, "medium"), (3, "large")];
        for (area, size) in sizes {
            stats.push((format!("map_{size}"), evaluation.precision(None, None, area, Some(last))));
        }
        for (n, most) in most.iter().enumerate() {
            stats.push((format!("mar_{most}"), evaluation.recall(None, 0, n)));
        }
        for (area, size) in sizes {
            stats.push((format!("mar_{size}"), evaluation.recall(None, area, last)));
        }
        stats
    }
}

fn floats(values: &[f64]) -> Value {
    Tensor::from_slice(values).to_kind(Kind::Float).into()
}

impl Definition for MeanAp {
    fn store(&self) -> Store {
        [FOUND, TRUE].into_iter().flatten().fold(Store::new(), Store::cat).cat(SCORES).cat(CROWDS).cat(AREAS)
    }

    fn update(&self, store: &mut Store, update: &Update) -> Result<()> {
        let (preds, target) = images(update, true)?;
        keep(store, FOUND, preds, |boxes| self.format.sides(boxes));
        keep_column(store, SCORES, preds, |image| image.scores.as_ref());
        keep(store, TRUE, target, |boxes| self.format.sides(boxes));
        keep_column(store, CROWDS, target, |image| image.iscrowd.as_ref());
        keep_column(store, AREAS, target, |image| image.area.as_ref());
        Ok(())
    }

    fn compute(&self, store: &Store) -> Result<Value> {
        let mut images = self.images(store)?;
        let labels = |image: &Image| {
            image.found.iter().map(|b| b.class).chain(image.truth.iter().map(|b| b.class)).collect::<Vec<_>>()
        };
        let mut classes: Vec<i64> = images.iter().flat_map(labels).collect();
        classes.sort_unstable();
        classes.dedup();
        let hundred = self.settings.max_detections.iter().position(|n| *n == 100);
        let last = self.settings.max_detections.len() - 1;
        let mut per_class = (vec![-1.0], vec![-1.0]);
        let mut evaluation = None;
        if self.class_metrics || !self.micro {
            let each = evaluate(&images, &classes, &self.settings);
            if self.class_metrics {
                let all = 0..classes.len();
                per_class = (
                    all.clone().map(|c| each.precision(None, Some(c), 0, hundred)).collect(),
                    all.map(|c| each.recall(Some(c), 0, last)).collect(),
                );
            }
            evaluation = Some(each);
        }
        if self.micro {
            for image in &mut images {
                image.found.iter_mut().for_each(|found| found.class = 0);
                image.truth.iter_mut().for_each(|truth| truth.class = 0);
            }
            evaluation = Some(evaluate(&images, &[0], &self.settings));
        }
        let mut value: IndexMap<String, Value> = IndexMap::new();
        for (name, number) in evaluation.iter().flat_map(|evaluation| self.stats(evaluation)) {
            value.insert(name, floats(&[number]));
        }
        if !images.is_empty() {
            let most = self.settings.max_detections[last];
            value.insert("map_per_class".into(), floats(&per_class.0));
            value.insert(format!("mar_{most}_per_class"), floats(&per_class.1));
        }
        value.insert("classes".into(), Tensor::from_slice(&classes).into());
        Ok(Value::Map(value))
    }

    fn higher_is_better(&self) -> Option<bool> {
        Some(true)
    }
}
