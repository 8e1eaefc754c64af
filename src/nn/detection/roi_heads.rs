//! Classification and refinement of proposals (Girshick, 2015).

use tch::{Kind, Reduction, Tensor};

use super::backbone::CHANNELS;
use super::matcher::{BELOW, BETWEEN};
use super::rpn::Sampler;
use super::{BoxCoder, Detections, Matcher, Target};
use crate::error::Result;
use crate::nn::layers::Linear;
use crate::nn::ops::{MultiScaleRoiAlign, batched_nms, boxes};
use crate::nn::{Module, Path};

/// Below this side, in pixels, a detection is dropped.
const MIN_SIZE: f64 = 1e-2;
/// Height and width of a region's features.
const GRID: i64 = 7;
/// Features of a region.
const FEATURES: i64 = 1024;

/// What is kept of what was found.
#[derive(Clone, Copy, Debug)]
pub(super) struct Keep {
    /// Detections have a score above this.
    pub score: f64,
    /// Detections of one class overlap by at most this IoU.
    pub nms: f64,
    /// The most detections of an image.
    pub count: i64,
}

pub(super) struct RoiHeads {
    align: MultiScaleRoiAlign,
    fc6: Linear,
    fc7: Linear,
    scores: Linear,
    codes: Linear,
    coder: BoxCoder,
    matcher: Matcher,
    sampler: Sampler,
    keep: Keep,
}

/// The regions of an image that are learned from.
struct Sampled {
    proposals: Tensor,
    labels: Tensor,
    wanted: Tensor,
}

impl RoiHeads {
    pub(super) fn new(
        path: &Path,
        classes: i64,
        coder: BoxCoder,
        matcher: Matcher,
        sampler: Sampler,
        keep: Keep,
    ) -> Result<Self> {
        let (head, predictor) = (path.child("box_head"), path.child("box_predictor"));
        Ok(RoiHeads {
            align: MultiScaleRoiAlign::new([GRID, GRID], 2),
            fc6: Linear::new(&head.child("fc6"), CHANNELS * GRID * GRID, FEATURES, true)?,
            fc7: Linear::new(&head.child("fc7"), FEATURES, FEATURES, true)?,
            scores: Linear::new(&predictor.child("cls_score"), FEATURES, classes, true)?,
            codes: Linear::new(&predictor.child("bbox_pred"), FEATURES, classes * 4, true)?,
            coder,
            matcher,
            sampler,
            keep,
        })
    }

    /// Class logits `[n, classes]` and codes `[n, 4 classes]` of all proposals, in order. The pyramid's last level is
    /// for proposals only.
    fn predict(&self, levels: &[Tensor], proposals: &[Tensor], sizes: &[[i64; 2]], train: bool) -> (Tensor, Tensor) {
        let x = self.align.forward(&levels[..levels.len() - 1], proposals, sizes).flatten(1, -1);
        let x = self.fc7.forward(&self.fc6.forward(&x, train).relu(), train).relu();
        (self.scores.forward(&x, train), self.codes.forward(&x, train))
    }

    /// The losses of classes and of boxes, over drawn proposals; the true boxes are proposals too.
    pub(super) fn losses(
        &self,
        levels: &[Tensor],
        proposals: &[Tensor],
        sizes: &[[i64; 2]],
        targets: &[Target],
    ) -> [Tensor; 2] {
        let sampled: Vec<Sampled> =
            proposals.iter().zip(targets).map(|(proposals, target)| self.sample(proposals, target)).collect();
        let proposals: Vec<Tensor> = sampled.iter().map(|s| s.proposals.shallow_clone()).collect();
        let (logits, codes) = self.predict(levels, &proposals, sizes, true);
        let all = |part: fn(&Sampled) -> &Tensor| Tensor::cat(&sampled.iter().map(part).collect::<Vec<_>>(), 0);
        let (labels, wanted) = (all(|s| &s.labels), all(|s| &s.wanted));
        let classes = logits.cross_entropy_loss(&labels, None::<&Tensor>, Reduction::Mean, -100, 0.0);
        let objects = labels.gt(0).nonzero().squeeze_dim(1);
        let codes = codes.reshape([labels.size()[0], codes.size()[1] / 4, 4]);
        let codes = codes.index(&[Some(&objects), Some(&labels.index_select(0, &objects))]);
        let boxes =
            codes.smooth_l1_loss(&wanted.index_select(0, &objects), Reduction::Sum, 1.0 / 9.0) / labels.numel() as f64;
        [classes, boxes]
    }

    fn sample(&self, proposals: &Tensor, target: &Target) -> Sampled {
        let truths = target.boxes.to_kind(proposals.kind());
        let proposals = Tensor::cat(&[proposals, &truths], 0);
        let matches = self.matcher.of_boxes(&truths, &proposals);
        let none = truths.size()[0] == 0;
        let nearest = matches.clamp_min(0);
        let labels = match none {
            true => Tensor::zeros_like(&matches),
            false => target.labels.to_kind(Kind::Int64).index_select(0, &nearest),
        };
        let labels = labels.masked_fill(&matches.eq(BELOW), 0).masked_fill(&matches.eq(BETWEEN), -1);
        let (positive, negative) = self.sampler.draw(&labels);
        // Ascending, as the mask of torchvision's sampler gives them.
        let drawn = Tensor::cat(&[positive, negative], 0).sort(0, false).0;
        let [proposals, labels, nearest] = [proposals, labels, nearest].map(|tensor| tensor.index_select(0, &drawn));
        let truths = if none { Tensor::zeros_like(&proposals) } else { truths.index_select(0, &nearest) };
        let wanted = self.coder.encode(&truths, &proposals);
        Sampled { proposals, labels, wanted }
    }

    /// What is in each image, in pixels of the batch.
    pub(super) fn detect(&self, levels: &[Tensor], proposals: &[Tensor], sizes: &[[i64; 2]]) -> Vec<Detections> {
        let (logits, codes) = self.predict(levels, proposals, sizes, false);
        let boxes = self.coder.decode(&codes, &Tensor::cat(proposals, 0));
        let scores = logits.softmax(-1, None);
        let mut start = 0;
        proposals
            .iter()
            .zip(sizes)
            .map(|(proposals, &size)| {
                let count = proposals.size()[0];
                let (boxes, scores) = (boxes.narrow(0, start, count), scores.narrow(0, start, count));
                start += count;
                self.choose(&boxes::clip(&boxes, size), &scores)
            })
            .collect()
    }

    /// The detections of an image from boxes `[n, classes, 4]` and scores `[n, classes]`; class 0 is the background.
    fn choose(&self, boxes: &Tensor, scores: &Tensor) -> Detections {
        let objects = scores.size()[1] - 1;
        let labels = Tensor::arange_start(1, objects + 1, (Kind::Int64, scores.device()))
            .expand_as(&scores.narrow(1, 1, objects));
        let boxes = boxes.narrow(1, 1, objects).reshape([-1, 4]);
        let scores = scores.narrow(1, 1, objects).reshape([-1]);
        let labels = labels.reshape([-1]);
        let likely = scores.gt(self.keep.score).nonzero().squeeze_dim(1);
        let [boxes, scores, labels] = [boxes, scores, labels].map(|tensor| tensor.index_select(0, &likely));
        let large = boxes::remove_small(&boxes, MIN_SIZE);
        let [boxes, scores, labels] = [boxes, scores, labels].map(|tensor| tensor.index_select(0, &large));
        let kept = batched_nms(&boxes, &scores, &labels, self.keep.nms);
        let kept = kept.narrow(0, 0, self.keep.count.min(kept.size()[0]));
        let [boxes, scores, labels] = [boxes, scores, labels].map(|tensor| tensor.index_select(0, &kept));
        Detections { boxes, scores, labels }
    }
}
