//! Metrics of detection: boxes found against boxes that are there.
//!
//! Updates keep the boxes on their device; everything that depends on how many there are happens when a metric is
//! computed.

mod assignment;
mod box_recall;
mod coco;
mod iou;
mod mean_ap;

use serde::Deserialize;
use tch::{Kind, Tensor};

use super::store::Store;
use super::{Boxes, Update};
use crate::error::{Error, Result};
use crate::registry::Registry;

pub(super) fn register(registry: &mut Registry) {
    mean_ap::register(registry);
    iou::register(registry);
    box_recall::register(registry);
}

/// What the four numbers of a box are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, serde::Serialize, schemars::JsonSchema)]
#[serde(rename_all = "lowercase")]
enum BoxFormat {
    /// Left, top, right, bottom.
    #[default]
    Xyxy,
    /// Left, top, width, height.
    Xywh,
    /// Centre, width, height.
    Cxcywh,
}

impl BoxFormat {
    /// Boxes as left, top, right, bottom, in their own precision.
    fn corners(self, boxes: &Tensor) -> Tensor {
        let [a, b, c, d] = [0, 1, 2, 3].map(|i| boxes.select(-1, i));
        match self {
            BoxFormat::Xyxy => boxes.shallow_clone(),
            BoxFormat::Xywh => Tensor::stack(&[&a, &b, &(&a + c), &(&b + d)], -1),
            BoxFormat::Cxcywh => {
                let (w, h) = (c * 0.5, d * 0.5);
                Tensor::stack(&[&a - &w, &b - &h, a + w, b + h], -1)
            }
        }
    }

    /// Boxes as left, top, width, height, in their own precision.
    fn sides(self, boxes: &Tensor) -> Tensor {
        if self == BoxFormat::Xywh {
            return boxes.shallow_clone();
        }
        let corners = self.corners(boxes);
        let [x1, y1, x2, y2] = [0, 1, 2, 3].map(|i| corners.select(-1, i));
        Tensor::stack(&[&x1, &y1, &(x2 - &x1), &(y2 - &y1)], -1)
    }
}

/// Names of one side's kept tensors: numbers of boxes per image, boxes, labels.
type Names = [&'static str; 3];

const FOUND: Names = ["detection_count", "detection_box", "detection_labels"];
const TRUE: Names = ["groundtruth_count", "groundtruth_box", "groundtruth_labels"];

/// The images of a batch, checked.
fn images<'a>(update: &Update<'a>, scores: bool) -> Result<(&'a [Boxes], &'a [Boxes])> {
    let (preds, target) = update.boxes()?;
    for (side, images) in [("predictions", preds), ("targets", target)] {
        for (i, image) in images.iter().enumerate() {
            check(image, side == "predictions" && scores)
                .map_err(|error| error.context(format_args!("the {side} of image {i} of the batch")))?;
        }
    }
    Ok((preds, target))
}

fn check(image: &Boxes, scores: bool) -> Result<()> {
    let shape = image.boxes.size();
    let empty = image.boxes.numel() == 0;
    if !empty && !matches!(shape[..], [_, 4]) {
        return Err(Error::failed(format!("boxes have the shape {shape:?}; they need (n, 4)")));
    }
    let n = if empty { 0 } else { shape[0] };
    let columns = [
        ("labels", Some(&image.labels)),
        ("scores", image.scores.as_ref()),
        ("iscrowd", image.iscrowd.as_ref()),
        ("area", image.area.as_ref()),
    ];
    for (name, column) in columns {
        let Some(column) = column else { continue };
        if column.numel() as i64 != n {
            return Err(Error::failed(format!("{n} boxes and {} {name}; give one per box", column.numel())));
        }
    }
    match &image.scores {
        None if scores => Err(Error::failed("no scores; every predicted box needs one")),
        _ => Ok(()),
    }
}

/// Keeps one side of a batch.
fn keep(store: &mut Store, [count, boxes, labels]: Names, images: &[Boxes], format: impl Fn(&Tensor) -> Tensor) {
    for image in images {
        let n = image.labels.numel() as i64;
        store.take(count, &Tensor::from_slice(&[n]).to_device(image.labels.device()));
        store.take(boxes, &format(&image.boxes.reshape([n, 4])).to_kind(Kind::Double));
        store.take(labels, &image.labels.reshape([n]).to_kind(Kind::Int64));
    }
}

/// One number per box, kept: those given or `otherwise`.
fn keep_column(store: &mut Store, name: &'static str, images: &[Boxes], column: impl Fn(&Boxes) -> Option<&Tensor>) {
    for image in images {
        let n = image.labels.numel() as i64;
        let values = match column(image) {
            Some(values) => values.reshape([n]).to_kind(Kind::Double),
            None => Tensor::zeros([n], (Kind::Double, image.labels.device())),
        };
        store.take(name, &values);
    }
}

/// Kept numbers on the host.
fn numbers(store: &Store, name: &'static str) -> Result<Vec<f64>> {
    Ok(Vec::<f64>::try_from(store.double(name).to_device(tch::Device::Cpu).reshape([-1]))?)
}

/// Kept boxes per image on the host: box and label.
fn per_image(store: &Store, [count, boxes, labels]: Names) -> Result<Vec<Vec<([f64; 4], i64)>>> {
    let (counts, boxes, labels) = (numbers(store, count)?, numbers(store, boxes)?, numbers(store, labels)?);
    let mut all = boxes.chunks_exact(4).zip(labels).map(|(b, label)| ([b[0], b[1], b[2], b[3]], label as i64));
    Ok(counts.into_iter().map(|n| all.by_ref().take(n as usize).collect()).collect())
}

/// Kept columns per image, cut as the boxes are.
fn split(values: Vec<f64>, images: &[Vec<([f64; 4], i64)>]) -> Vec<Vec<f64>> {
    let mut values = values.into_iter();
    images.iter().map(|boxes| values.by_ref().take(boxes.len()).collect()).collect()
}
