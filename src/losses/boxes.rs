//! Losses of boxes `[N, 4]` (x1, y1, x2, y2) against boxes, one to one: `1 - IoU` and what it lacks where boxes
//! do not touch. Boxes have `x1 <= x2` and `y1 <= y2`.

use std::f64::consts::PI;

use schemars::JsonSchema;
use serde::Deserialize;
use tch::{Kind, Tensor};

use super::{Loss, Reduction, losses, same_rank};

fn none() -> Reduction {
    Reduction::None
}
fn eps() -> f64 {
    1e-7
}

/// Generalized IoU loss (Rezatofighi et al., 2019, arXiv:1902.09630).
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct GeneralizedBoxIoULoss {
    /// none, mean or sum.
    #[serde(default = "none")]
    reduction: Reduction,
    /// Keeps the divisions away from 0.
    #[serde(default = "eps")]
    eps: f64,
}

/// Distance IoU loss (Zheng et al., 2019, arXiv:1911.08287).
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct DistanceBoxIoULoss {
    /// none, mean or sum.
    #[serde(default = "none")]
    reduction: Reduction,
    /// Keeps the divisions away from 0.
    #[serde(default = "eps")]
    eps: f64,
}

/// Complete IoU loss (Zheng et al., 2019, arXiv:1911.08287); the weight of the aspect term is a constant in the
/// backward pass.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct CompleteBoxIoULoss {
    /// none, mean or sum.
    #[serde(default = "none")]
    reduction: Reduction,
    /// Keeps the divisions away from 0.
    #[serde(default = "eps")]
    eps: f64,
}

losses! {
    GeneralizedBoxIoULoss: "torchvision.ops.generalized_box_iou_loss",
    DistanceBoxIoULoss: "torchvision.ops.distance_box_iou_loss",
    CompleteBoxIoULoss: "torchvision.ops.complete_box_iou_loss",
}

/// Corners of boxes, and the measures that all three losses share.
struct Pair {
    a: [Tensor; 4],
    b: [Tensor; 4],
}

impl Pair {
    fn new(a: &Tensor, b: &Tensor) -> Self {
        same_rank(a, b);
        let wide = |boxes: &Tensor| match boxes.kind() {
            Kind::Float | Kind::Double => boxes.shallow_clone(),
            _ => boxes.to_kind(Kind::Float),
        };
        let corners = |boxes: Tensor| [0, 1, 2, 3].map(|i| boxes.select(-1, i));
        Pair { a: corners(wide(a)), b: corners(wide(b)) }
    }

    fn area([x1, y1, x2, y2]: &[Tensor; 4]) -> Tensor {
        (x2 - x1) * (y2 - y1)
    }

    /// Intersection and union.
    fn overlap(&self) -> (Tensor, Tensor) {
        let [x1, y1] = [0, 1].map(|i| self.a[i].maximum(&self.b[i]));
        let [x2, y2] = [2, 3].map(|i| self.a[i].minimum(&self.b[i]));
        let touch = x2.gt_tensor(&x1).logical_and(&y2.gt_tensor(&y1));
        let area = (x2 - x1) * (y2 - y1);
        // Where they do not touch there is no gradient either.
        let intersection = area.where_self(&touch, &area.zeros_like());
        let union = Self::area(&self.a) + Self::area(&self.b) - &intersection;
        (intersection, union)
    }

    /// Width and height of the smallest box around both.
    fn hull(&self) -> (Tensor, Tensor) {
        let side = |low: usize| self.a[low + 2].maximum(&self.b[low + 2]) - self.a[low].minimum(&self.b[low]);
        (side(0), side(1))
    }

    /// IoU, and the squared distance of the centres over the squared diagonal of the hull.
    fn distance(&self, eps: f64) -> (Tensor, Tensor) {
        let (intersection, union) = self.overlap();
        let iou = intersection / (union + eps);
        let (width, height) = self.hull();
        let diagonal = width.square() + height.square() + eps;
        let apart = |low: usize| {
            let centre = |corners: &[Tensor; 4]| (&corners[low + 2] + &corners[low]) / 2.0;
            (centre(&self.a) - centre(&self.b)).square()
        };
        (iou, (apart(0) + apart(1)) / diagonal)
    }
}

/// torchvision's mean of no boxes is 0, not nan.
fn reduce(reduction: Reduction, loss: &Tensor) -> Tensor {
    if reduction == Reduction::Mean && loss.numel() == 0 { loss.sum(None) * 0.0 } else { reduction.apply(loss) }
}

impl Loss for GeneralizedBoxIoULoss {
    fn forward(&self, input: &Tensor, target: &Tensor) -> Tensor {
        let pair = Pair::new(input, target);
        let (intersection, union) = pair.overlap();
        let (width, height) = pair.hull();
        let hull = width * height;
        let iou = intersection / (&union + self.eps);
        let loss = -(iou - (&hull - union) / (&hull + self.eps)) + 1.0;
        reduce(self.reduction, &loss)
    }
}

impl Loss for DistanceBoxIoULoss {
    fn forward(&self, input: &Tensor, target: &Tensor) -> Tensor {
        let (iou, distance) = Pair::new(input, target).distance(self.eps);
        reduce(self.reduction, &(-iou + 1.0 + distance))
    }
}

impl Loss for CompleteBoxIoULoss {
    fn forward(&self, input: &Tensor, target: &Tensor) -> Tensor {
        let pair = Pair::new(input, target);
        let (iou, distance) = pair.distance(self.eps);
        let angle = |[x1, y1, x2, y2]: &[Tensor; 4]| ((x2 - x1) / (y2 - y1)).atan();
        let aspect = (angle(&pair.b) - angle(&pair.a)).square() * (4.0 / PI.powi(2));
        let alpha = tch::no_grad(|| &aspect / (-&iou + 1.0 + &aspect + self.eps));
        reduce(self.reduction, &(-iou + 1.0 + distance + alpha * aspect))
    }
}
