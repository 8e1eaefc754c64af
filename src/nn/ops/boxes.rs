//! Areas, intersections over unions, formats (`torchvision.ops.boxes`).

use std::f64::consts::PI;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tch::{Kind, Tensor};

/// Added to denominators by the distance-based measures.
const EPS: f64 = 1e-7;

/// Column `index` of boxes `[…, 4]`.
fn side(boxes: &Tensor, index: i64) -> Tensor {
    boxes.select(-1, index)
}

/// Widths.
fn width(boxes: &Tensor) -> Tensor {
    side(boxes, 2) - side(boxes, 0)
}

/// Heights.
fn height(boxes: &Tensor) -> Tensor {
    side(boxes, 3) - side(boxes, 1)
}

/// The areas `[n]` of boxes `[n, 4]`.
pub fn area(boxes: &Tensor) -> Tensor {
    width(boxes) * height(boxes)
}

/// Intersection and union of every pair: two tensors `[n, m]`.
fn inter_union(a: &Tensor, b: &Tensor) -> (Tensor, Tensor) {
    let low = a.narrow(1, 0, 2).unsqueeze(1).maximum(&b.narrow(1, 0, 2));
    let high = a.narrow(1, 2, 2).unsqueeze(1).minimum(&b.narrow(1, 2, 2));
    let sides = (high - low).clamp_min(0.0);
    let inter = sides.select(2, 0) * sides.select(2, 1);
    let union = area(a).unsqueeze(1) + area(b) - &inter;
    (inter, union)
}

/// Width and height `[n, m, 2]` of the smallest box around every pair.
fn hull(a: &Tensor, b: &Tensor) -> Tensor {
    let low = a.narrow(1, 0, 2).unsqueeze(1).minimum(&b.narrow(1, 0, 2));
    let high = a.narrow(1, 2, 2).unsqueeze(1).maximum(&b.narrow(1, 2, 2));
    (high - low).clamp_min(0.0)
}

/// Intersection over union of every pair, `[n, m]`; two empty boxes give nan.
pub fn iou(a: &Tensor, b: &Tensor) -> Tensor {
    let (inter, union) = inter_union(a, b);
    inter / union
}

/// Generalized IoU (Rezatofighi et al., 2019) of every pair.
pub fn generalized_iou(a: &Tensor, b: &Tensor) -> Tensor {
    let (inter, union) = inter_union(a, b);
    let hull = hull(a, b);
    let area = hull.select(2, 0) * hull.select(2, 1);
    inter / &union - (&area - &union) / &area
}

/// Distance IoU (Zheng et al., 2020) of every pair.
pub fn distance_iou(a: &Tensor, b: &Tensor) -> Tensor {
    let hull = hull(a, b);
    let diagonal = hull.select(2, 0).square() + hull.select(2, 1).square() + EPS;
    let centre = |boxes: &Tensor, axis: i64| (side(boxes, axis) + side(boxes, axis + 2)) / 2.0;
    let apart = |axis: i64| (centre(a, axis).unsqueeze(1) - centre(b, axis)).square();
    iou(a, b) - (apart(0) + apart(1)) / diagonal
}

/// Complete IoU (Zheng et al., 2020) of every pair: the distance and the aspect ratio; the weight of the latter is
/// not differentiated.
pub fn complete_iou(a: &Tensor, b: &Tensor) -> Tensor {
    let angle = |boxes: &Tensor| (width(boxes) / height(boxes)).atan();
    let v = (angle(a).unsqueeze(1) - angle(b)).square() * (4.0 / (PI * PI));
    let alpha = tch::no_grad(|| &v / (1.0 - iou(a, b) + &v + EPS));
    distance_iou(a, b) - alpha * v
}

/// Cuts boxes `[…, 4]` at the borders of an image of `height` and `width`.
pub fn clip(boxes: &Tensor, [height, width]: [i64; 2]) -> Tensor {
    let x = |index| side(boxes, index).clamp(0, width);
    let y = |index| side(boxes, index).clamp(0, height);
    Tensor::stack(&[x(0), y(1), x(2), y(3)], -1)
}

/// Indices of the boxes with both sides at least `min_size`.
pub fn remove_small(boxes: &Tensor, min_size: f64) -> Tensor {
    let keep = width(boxes).ge(min_size).logical_and(&height(boxes).ge(min_size));
    keep.nonzero().squeeze_dim(1)
}

/// How four numbers are a box.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum BoxFormat {
    /// Two corners.
    Xyxy,
    /// A corner and the size.
    Xywh,
    /// The centre and the size.
    Cxcywh,
}

/// Boxes `[…, 4]` from one format in another.
pub fn convert(boxes: &Tensor, from: BoxFormat, to: BoxFormat) -> Tensor {
    if from == to {
        return boxes.copy();
    }
    let column = |index| side(boxes, index);
    let corners = match from {
        BoxFormat::Xyxy => boxes.shallow_clone(),
        BoxFormat::Xywh => Tensor::stack(&[column(0), column(1), column(0) + column(2), column(1) + column(3)], -1),
        BoxFormat::Cxcywh => {
            let (w, h) = (column(2) * 0.5, column(3) * 0.5);
            Tensor::stack(&[column(0) - &w, column(1) - &h, column(0) + &w, column(1) + &h], -1)
        }
    };
    let (x, y, w, h) = (side(&corners, 0), side(&corners, 1), width(&corners), height(&corners));
    match to {
        BoxFormat::Xyxy => corners,
        BoxFormat::Xywh => Tensor::stack(&[x, y, w, h], -1),
        BoxFormat::Cxcywh => {
            let (x2, y2) = (side(&corners, 2), side(&corners, 3));
            Tensor::stack(&[(x + x2) / 2.0, (y + y2) / 2.0, w, h], -1)
        }
    }
}

/// The boxes `[n, 4]` around the pixels that are set in masks `[n, height, width]`; an empty mask gives zeros.
pub fn of_masks(masks: &Tensor) -> Tensor {
    let boxes: Vec<Tensor> = (0..masks.size()[0])
        .map(|index| {
            let at = masks.get(index).nonzero();
            if at.size()[0] == 0 {
                return Tensor::zeros([4], (Kind::Float, masks.device()));
            }
            let (low, high) = (at.amin([0i64].as_slice(), false), at.amax([0i64].as_slice(), false));
            Tensor::cat(&[low.flip([0]), high.flip([0])], 0).to_kind(Kind::Float)
        })
        .collect();
    match boxes.is_empty() {
        true => Tensor::zeros([0, 4], (Kind::Float, masks.device())),
        false => Tensor::stack(&boxes, 0),
    }
}
