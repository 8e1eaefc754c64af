//! The region proposal network (Ren et al., 2015).

use tch::{Kind, Reduction, Tensor};

use super::backbone::CHANNELS;
use super::matcher::{BELOW, BETWEEN};
use super::{AnchorGenerator, BoxCoder, Matcher, Target};
use crate::error::Result;
use crate::nn::layers::{Conv2d, ConvOptions};
use crate::nn::ops::{batched_nms, boxes};
use crate::nn::{Module, Path, init};

/// Codes are relative to the anchor's size.
const CODER: BoxCoder = BoxCoder { weights: [1.0; 4] };

/// Below this side, in pixels, a proposal is dropped.
const MIN_SIZE: f64 = 1e-3;

/// Draws positives and negatives in a wanted ratio.
#[derive(Clone, Copy, Debug)]
pub(super) struct Sampler {
    /// How many are drawn of an image.
    pub count: i64,
    /// The largest share of positives.
    pub positive: f64,
}

impl Sampler {
    /// Indices of drawn positives (labels of 1 or more) and negatives (labels of 0), each ascending.
    pub(super) fn draw(&self, labels: &Tensor) -> (Tensor, Tensor) {
        let positive = labels.ge(1).nonzero().squeeze_dim(1);
        let negative = labels.eq(0).nonzero().squeeze_dim(1);
        let positives = ((self.count as f64 * self.positive) as i64).min(positive.size()[0]);
        let negatives = (self.count - positives).min(negative.size()[0]);
        let take = |from: Tensor, count: i64| {
            let order = Tensor::randperm(from.size()[0], (Kind::Int64, from.device())).narrow(0, 0, count);
            from.index_select(0, &order).sort(0, false).0
        };
        (take(positive, positives), take(negative, negatives))
    }
}

/// How proposals are chosen; the first of each pair is for training.
#[derive(Clone, Copy, Debug)]
pub(super) struct Proposals {
    /// How many of a level go into the suppression.
    pub before: [i64; 2],
    /// How many of an image come out of it.
    pub after: [i64; 2],
    /// Proposals overlap by at most this IoU.
    pub nms: f64,
    /// Proposals have at least this score.
    pub score: f64,
}

pub(super) struct Rpn {
    pub anchors: AnchorGenerator,
    conv: Conv2d,
    logits: Conv2d,
    codes: Conv2d,
    pub matcher: Matcher,
    pub sampler: Sampler,
    pub proposals: Proposals,
}

/// What the proposal network says about a batch.
pub(super) struct RpnOutputs {
    /// Proposals `[n, 4]` of each image, without gradient.
    pub proposals: Vec<Tensor>,
    /// `[batch, anchors]`.
    logits: Tensor,
    /// `[batch, anchors, 4]`.
    codes: Tensor,
    /// `[anchors, 4]`.
    anchors: Tensor,
}

impl Rpn {
    pub(super) fn new(
        path: &Path,
        anchors: AnchorGenerator,
        matcher: Matcher,
        sampler: Sampler,
        proposals: Proposals,
    ) -> Result<Self> {
        let head = path.child("head");
        let count = anchors.per_location()[0];
        let conv = Conv2d::new(&head.child("conv.0.0"), CHANNELS, CHANNELS, ConvOptions::new(3).padding(1))?;
        let logits = Conv2d::new(&head.child("cls_logits"), CHANNELS, count, ConvOptions::new(1))?;
        let codes = Conv2d::new(&head.child("bbox_pred"), CHANNELS, 4 * count, ConvOptions::new(1))?;
        head.reinitialize(|_, name, t| match name {
            "weight" => init::normal(t, 0.0, 0.01),
            _ => init::zeros(t),
        });
        Ok(Rpn { anchors, conv, logits, codes, matcher, sampler, proposals })
    }

    /// Proposals for a batch of `image` (height, width) whose pictures have the sizes `sizes`.
    pub(super) fn forward(&self, levels: &[Tensor], image: [i64; 2], sizes: &[[i64; 2]], train: bool) -> RpnOutputs {
        let maps: Vec<[i64; 2]> = levels.iter().map(|level| [level.size()[2], level.size()[3]]).collect();
        let anchors = self.anchors.grid(image, &maps, levels[0].device());
        let counts: Vec<i64> = anchors.iter().map(|level| level.size()[0]).collect();
        let anchors = Tensor::cat(&anchors, 0);
        let (mut logits, mut codes) = (Vec::new(), Vec::new());
        for level in levels {
            let x = self.conv.forward(level, train).relu();
            let flat = |output: Tensor, values: i64| {
                let (batch, _, height, width) = output.size4().unwrap_or_else(|error| panic!("{error}"));
                output.view([batch, -1, values, height, width]).permute([0, 3, 4, 1, 2]).reshape([batch, -1, values])
            };
            logits.push(flat(self.logits.forward(&x, train), 1).squeeze_dim(2));
            codes.push(flat(self.codes.forward(&x, train), 4));
        }
        let (logits, codes) = (Tensor::cat(&logits, 1), Tensor::cat(&codes, 1));
        let proposals = tch::no_grad(|| {
            let found = sizes.iter().enumerate().map(|(index, &size)| {
                let boxes = CODER.decode(&codes.get(index as i64), &anchors).squeeze_dim(1);
                self.filter(&boxes, &logits.get(index as i64), &counts, size, train)
            });
            found.collect()
        });
        RpnOutputs { proposals, logits, codes, anchors }
    }

    /// The best proposals of each level of an image, without overlaps.
    fn filter(&self, boxes: &Tensor, logits: &Tensor, counts: &[i64], size: [i64; 2], train: bool) -> Tensor {
        let mode = usize::from(!train);
        let (mut chosen, mut levels) = (Vec::new(), Vec::new());
        let mut start = 0;
        for (level, &count) in counts.iter().enumerate() {
            let most = self.proposals.before[mode].min(count);
            chosen.push(logits.narrow(0, start, count).topk(most, 0, true, true).1 + start);
            levels.push(Tensor::full([most], level as i64, (Kind::Int64, boxes.device())));
            start += count;
        }
        let (chosen, levels) = (Tensor::cat(&chosen, 0), Tensor::cat(&levels, 0));
        let boxes = boxes::clip(&boxes.index_select(0, &chosen), size);
        let scores = logits.index_select(0, &chosen).sigmoid();
        let mut kept = boxes::remove_small(&boxes, MIN_SIZE);
        kept = kept.index_select(0, &scores.index_select(0, &kept).ge(self.proposals.score).nonzero().squeeze_dim(1));
        let [boxes, scores, levels] = [boxes, scores, levels].map(|tensor| tensor.index_select(0, &kept));
        let kept = batched_nms(&boxes, &scores, &levels, self.proposals.nms);
        boxes.index_select(0, &kept.narrow(0, 0, self.proposals.after[mode].min(kept.size()[0])))
    }

    /// The losses of objectness and of the boxes, over drawn anchors of the batch.
    pub(super) fn losses(&self, outputs: &RpnOutputs, targets: &[Target]) -> [Tensor; 2] {
        let anchors = &outputs.anchors;
        let (mut labels, mut wanted, mut positives, mut negatives) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
        for (index, target) in targets.iter().enumerate() {
            let matches = self.matcher.of_boxes(&target.boxes, anchors);
            let label = matches.ge(0).to_kind(Kind::Float).masked_fill(&matches.eq(BELOW), 0.0);
            labels.push(label.masked_fill(&matches.eq(BETWEEN), -1.0));
            let truths = if target.boxes.size()[0] == 0 {
                Tensor::zeros_like(anchors)
            } else {
                target.boxes.to_kind(anchors.kind()).index_select(0, &matches.clamp_min(0))
            };
            wanted.push(CODER.encode(&truths, anchors));
            let (positive, negative) = self.sampler.draw(&labels[index]);
            let offset = index as i64 * anchors.size()[0];
            positives.push(positive + offset);
            negatives.push(negative + offset);
        }
        let [labels, wanted, positives, negatives] =
            [labels, wanted, positives, negatives].map(|list| Tensor::cat(&list, 0));
        let sampled = Tensor::cat(&[&positives, &negatives], 0);
        let codes = outputs.codes.reshape([-1, 4]).index_select(0, &positives);
        let boxes = codes.smooth_l1_loss(&wanted.index_select(0, &positives), Reduction::Sum, 1.0 / 9.0)
            / sampled.size()[0] as f64;
        let logits = outputs.logits.flatten(0, -1).index_select(0, &sampled);
        let none = None::<&Tensor>;
        let objectness =
            logits.binary_cross_entropy_with_logits(&labels.index_select(0, &sampled), none, none, Reduction::Mean);
        [objectness, boxes]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn positives_are_at_most_their_share_and_negatives_fill_up() {
        let labels = Tensor::from_slice(&[1.0f32, 0.0, -1.0, 1.0, 1.0, 0.0, 0.0, 0.0, 0.0]);
        for (count, positive, want) in [(4, 0.5, (2, 2)), (8, 0.5, (3, 5)), (8, 0.25, (2, 5)), (2, 0.0, (0, 2))] {
            let (p, n) = Sampler { count, positive }.draw(&labels);
            assert_eq!((p.size()[0], n.size()[0]), want);
            assert!(labels.index_select(0, &n).abs().max().double_value(&[]) == 0.0);
        }
    }
}
