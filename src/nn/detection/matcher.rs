//! Which ground truth a prediction stands for.

use tch::{Kind, Tensor};

use crate::nn::ops::boxes;

/// No ground truth: below the low threshold.
pub const BELOW: i64 = -1;
/// Neither: between the thresholds.
pub const BETWEEN: i64 = -2;

/// Matches by quality.
#[derive(Clone, Copy, Debug)]
pub struct Matcher {
    /// From this quality on a prediction is matched.
    pub high: f64,
    /// Below this quality it is background.
    pub low: f64,
    /// Whether the best predictions of every ground truth are matched whatever their quality.
    pub low_quality: bool,
}

impl Matcher {
    /// For each prediction the row of its ground truth, [`BELOW`] or [`BETWEEN`] (i64, `[predictions]`);
    /// `quality` is `[ground truths, predictions]` with at least one row.
    pub fn matches(&self, quality: &Tensor) -> Tensor {
        let (best, rows) = quality.max_dim(0, false);
        let below = best.lt(self.low);
        let between = best.ge(self.low).logical_and(&best.lt(self.high));
        let mut matches = rows.masked_fill(&below, BELOW).masked_fill(&between, BETWEEN);
        if self.low_quality {
            let (top, _) = quality.max_dim(1, true);
            let best_of_some = quality.eq_tensor(&top).any_dim(0, false);
            matches = rows.where_self(&best_of_some, &matches);
        }
        matches
    }

    /// The matches of `anchors` with the boxes of a target; all background when it has none.
    pub fn of_boxes(&self, truths: &Tensor, anchors: &Tensor) -> Tensor {
        if truths.size()[0] == 0 {
            return Tensor::full([anchors.size()[0]], BELOW, (Kind::Int64, anchors.device()));
        }
        self.matches(&boxes::iou(truths, anchors))
    }
}
