//! RetinaNet (Lin et al., 2017): dense detection with the focal loss.

use indexmap::IndexMap;
use schemars::JsonSchema;
use serde::Deserialize;
use tch::{Kind, Reduction, Tensor};

use super::backbone::{Backbone, BackboneArgs, CHANNELS};
use super::fpn::ExtraLevels;
use super::matcher::BETWEEN;
use super::{
    AnchorGenerator, BoxCoder, Detections, Detector, DetectorKind, DetectorSpec, Matcher, Target, Transform,
    check_targets,
};
use crate::error::Result;
use crate::nn::args::Count;
use crate::nn::layers::{Activation, Conv2d, ConvOptions, Function, Sequential};
use crate::nn::ops::{batched_nms, boxes};
use crate::nn::{Module, Path, init, weights};
use crate::registry::{Build, Component, Fraction, Ignored, OneOrMany};

/// Codes are relative to the anchor's size.
const CODER: BoxCoder = BoxCoder { weights: [1.0; 4] };

/// Four convolutions and a last one, over every level.
struct Head {
    convs: Sequential,
    last: Conv2d,
}

impl Head {
    /// `prior` is the probability that an untrained head gives.
    fn new(path: &Path, name: &str, outputs: i64, prior: Option<f64>) -> Result<Self> {
        let at = path.child("conv");
        let three = ConvOptions::new(3).padding(1);
        let mut convs = Sequential::new(&at);
        for index in 0..4 {
            let block = at.child(index);
            convs.push(Conv2d::new(&block.child(0), CHANNELS, CHANNELS, three)?);
            convs.push(Activation::in_place(&block.child(1), Function::Relu));
        }
        let head = path.child(name);
        let classes = prior.is_some();
        // The order of Python's draws: classification draws its convolutions again before the last layer is made.
        if classes {
            reinitialize(&at);
        }
        let last = Conv2d::new(&head, CHANNELS, outputs, three)?;
        reinitialize(&head);
        if let Some(prior) = prior {
            let bias = -((1.0 - prior) / prior).ln();
            head.reinitialize(|_, name, t| {
                if name == "bias" {
                    init::constant(t, bias);
                }
            });
        } else {
            reinitialize(&at);
        }
        Ok(Head { convs, last })
    }

    /// `[batch, anchors of all levels, values]`.
    fn forward(&self, levels: &[Tensor], values: i64, train: bool) -> Tensor {
        let outputs: Vec<Tensor> = levels
            .iter()
            .map(|level| {
                let x = self.last.forward(&self.convs.forward(level, train), train);
                let (batch, _, height, width) = x.size4().unwrap_or_else(|error| panic!("{error}"));
                x.view([batch, -1, values, height, width]).permute([0, 3, 4, 1, 2]).reshape([batch, -1, values])
            })
            .collect();
        Tensor::cat(&outputs, 1)
    }
}

fn reinitialize(path: &Path) {
    path.reinitialize(|_, name, t| match name {
        "weight" => init::normal(t, 0.0, 0.01),
        _ => init::zeros(t),
    });
}

struct RetinaNet {
    backbone: Backbone,
    anchors: AnchorGenerator,
    classification: Head,
    regression: Head,
    transform: Transform,
    matcher: Matcher,
    classes: i64,
    score: f64,
    nms: f64,
    detections: i64,
    candidates: i64,
}

/// What the network says about a batch.
struct Outputs {
    /// `[batch, anchors, classes]`.
    logits: Tensor,
    /// `[batch, anchors, 4]`.
    codes: Tensor,
    /// `[anchors of the level, 4]`.
    anchors: Vec<Tensor>,
}

impl RetinaNet {
    fn run(&self, batch: &Tensor, train: bool) -> Outputs {
        let levels = self.backbone.forward(batch, train);
        let logits = self.classification.forward(&levels, self.classes, train);
        let codes = self.regression.forward(&levels, 4, train);
        let maps: Vec<[i64; 2]> = levels.iter().map(|level| [level.size()[2], level.size()[3]]).collect();
        let size = batch.size();
        let anchors = self.anchors.grid([size[2], size[3]], &maps, batch.device());
        Outputs { logits, codes, anchors }
    }

    /// The losses of one image: focal over all anchors but the doubtful ones, L1 over the matched ones, both divided
    /// by how many are matched.
    fn image_losses(&self, target: &Target, logits: &Tensor, codes: &Tensor, anchors: &Tensor) -> [Tensor; 2] {
        let matches = self.matcher.of_boxes(&target.boxes, anchors);
        let matched = matches.ge(0).nonzero().squeeze_dim(1);
        let count = matched.size()[0];
        let truths = matches.index_select(0, &matched);
        let mut classes = logits.zeros_like();
        if count > 0 {
            let labels = target.labels.to_kind(Kind::Int64).index_select(0, &truths);
            let ones = Tensor::ones([count], (logits.kind(), logits.device()));
            let _ = classes.index_put_(&[Some(&matched), Some(&labels)], &ones, false);
        }
        let certain = matches.ne(BETWEEN).nonzero().squeeze_dim(1);
        let logits = logits.index_select(0, &certain);
        let focal = focal_loss(&logits, &classes.index_select(0, &certain));
        let proposals = anchors.index_select(0, &matched);
        let wanted = CODER.encode(&target.boxes.index_select(0, &truths).to_kind(proposals.kind()), &proposals);
        let regression = codes.index_select(0, &matched).l1_loss(&wanted, Reduction::Sum);
        [focal, regression].map(|loss| loss / count.max(1) as f64)
    }

    fn image_detections(&self, logits: &Tensor, codes: &Tensor, anchors: &[Tensor], size: [i64; 2]) -> Detections {
        let (mut all_boxes, mut all_scores, mut all_labels) = (Vec::new(), Vec::new(), Vec::new());
        let mut start = 0;
        for anchors in anchors {
            let count = anchors.size()[0];
            let scores = logits.narrow(0, start, count).sigmoid().flatten(0, -1);
            let codes = codes.narrow(0, start, count);
            start += count;
            let above = scores.gt(self.score).nonzero().squeeze_dim(1);
            let scores = scores.index_select(0, &above);
            let (scores, order) = scores.topk(self.candidates.min(scores.size()[0]), 0, true, true);
            let above = above.index_select(0, &order);
            let at = above.divide_scalar_mode(self.classes, "floor");
            let boxes = CODER.decode(&codes.index_select(0, &at), &anchors.index_select(0, &at)).squeeze_dim(1);
            all_boxes.push(boxes::clip(&boxes, size));
            all_scores.push(scores);
            all_labels.push(above.remainder(self.classes));
        }
        let [boxes, scores, labels] = [all_boxes, all_scores, all_labels].map(|list| Tensor::cat(&list, 0));
        let kept = batched_nms(&boxes, &scores, &labels, self.nms);
        let kept = kept.narrow(0, 0, self.detections.min(kept.size()[0]));
        let [boxes, scores, labels] = [boxes, scores, labels].map(|tensor| tensor.index_select(0, &kept));
        Detections { boxes, scores, labels }
    }
}

/// The sigmoid focal loss with alpha 0.25 and gamma 2, summed (Lin et al., 2017, equation 5).
fn focal_loss(logits: &Tensor, targets: &Tensor) -> Tensor {
    let p = logits.sigmoid();
    let entropy = logits.binary_cross_entropy_with_logits(targets, None::<&Tensor>, None::<&Tensor>, Reduction::None);
    let miss: Tensor = 1.0 - (&p * targets + (1.0 - &p) * (1.0 - targets));
    let alpha: Tensor = targets * 0.25 + (1.0 - targets) * 0.75;
    (alpha * entropy * miss.square()).sum(logits.kind())
}

impl Detector for RetinaNet {
    fn losses(&self, images: &[Tensor], targets: &[Target]) -> Result<IndexMap<String, Tensor>> {
        check_targets(images, targets)?;
        let images = self.transform.images(images, true);
        let targets = self.transform.targets(targets, &images);
        let outputs = self.run(&images.batch, true);
        let anchors = Tensor::cat(&outputs.anchors, 0);
        let (mut classification, mut regression) = (Vec::new(), Vec::new());
        for (index, target) in targets.iter().enumerate() {
            let (logits, codes) = (outputs.logits.get(index as i64), outputs.codes.get(index as i64));
            let [focal, l1] = self.image_losses(target, &logits, &codes, &anchors);
            classification.push(focal);
            regression.push(l1);
        }
        let mean = |losses: Vec<Tensor>| Tensor::stack(&losses, 0).mean(None::<Kind>);
        Ok(IndexMap::from([
            ("classification".to_owned(), mean(classification)),
            ("bbox_regression".to_owned(), mean(regression)),
        ]))
    }

    fn detect(&self, images: &[Tensor]) -> Vec<Detections> {
        let images = self.transform.images(images, false);
        let outputs = self.run(&images.batch, false);
        (0..images.sizes.len())
            .map(|index| {
                let (logits, codes) = (outputs.logits.get(index as i64), outputs.codes.get(index as i64));
                let found = self.image_detections(&logits, &codes, &outputs.anchors, images.sizes[index]);
                Detections { boxes: self.transform.restore(&found.boxes, &images, index), ..found }
            })
            .collect()
    }
}

/// RetinaNet with a ResNet-50 feature pyramid; 34.0 million parameters for the 91 classes of COCO.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct RetinaNetArgs {
    /// Where the weights of the whole detector come from: a local file, a published name (`COCO_V1`, `DEFAULT`), or
    /// null to draw them.
    #[serde(default)]
    weights: Option<String>,
    /// Downloads report themselves.
    #[serde(default)]
    #[allow(dead_code)]
    progress: Ignored,
    /// Classes; every number from 0 on is one.
    #[serde(default = "coco")]
    num_classes: Count,
    /// Where the weights of the residual network come from; null (not torchvision's `IMAGENET1K_V1`) unless given.
    /// With weights, its normalisation is frozen.
    #[serde(default)]
    weights_backbone: Option<String>,
    /// How many parts of a backbone with weights learn, from the last on, 0 to 5; null for 3.
    #[serde(default)]
    trainable_backbone_layers: Option<u32>,
    /// The length that the shorter side of an image gets, in pixels; one of several is drawn in training.
    #[serde(default = "min_size")]
    min_size: OneOrMany<Count>,
    /// The length that the longer side does not exceed.
    #[serde(default = "max_size")]
    max_size: Count,
    /// Mean of each channel; null for ImageNet's.
    #[serde(default)]
    image_mean: Option<Vec<f64>>,
    /// Deviation of each channel; null for ImageNet's.
    #[serde(default)]
    image_std: Option<Vec<f64>>,
    /// Detections have a score above this.
    #[serde(default = "score_thresh")]
    score_thresh: Fraction,
    /// Detections of one class overlap by at most this IoU.
    #[serde(default = "half")]
    nms_thresh: Fraction,
    /// The most detections of an image.
    #[serde(default = "detections")]
    detections_per_img: Count,
    /// From this IoU on an anchor stands for a box.
    #[serde(default = "half")]
    fg_iou_thresh: Fraction,
    /// Below this IoU an anchor is background.
    #[serde(default = "bg_iou_thresh")]
    bg_iou_thresh: Fraction,
    /// The most detections of a level before overlaps are removed.
    #[serde(default = "candidates")]
    topk_candidates: Count,
}

pub(super) fn coco() -> Count {
    Count(91)
}

pub(super) fn min_size() -> OneOrMany<Count> {
    OneOrMany::One(Count(800))
}

pub(super) fn max_size() -> Count {
    Count(1333)
}

fn score_thresh() -> Fraction {
    Fraction(0.05)
}

fn half() -> Fraction {
    Fraction(0.5)
}

fn bg_iou_thresh() -> Fraction {
    Fraction(0.4)
}

fn detections() -> Count {
    Count(300)
}

fn candidates() -> Count {
    Count(1000)
}

const TARGET: &str = "torchvision.models.detection.retinanet_resnet50_fpn";

impl Component for RetinaNetArgs {
    type Kind = DetectorKind;
    const TARGETS: &'static [&'static str] = &[TARGET];

    fn build(self, _: &mut Build) -> Result<DetectorSpec> {
        Ok(DetectorSpec(Box::new(move |path| Ok(Box::new(self.make(path)?)))))
    }
}

impl RetinaNetArgs {
    fn make(&self, path: &Path) -> Result<RetinaNet> {
        let backbone = BackboneArgs {
            weights: self.weights.as_deref(),
            backbone: self.weights_backbone.as_deref(),
            trainable: self.trainable_backbone_layers,
            first: 1,
            extra: ExtraLevels::P6P7 { channels: 256 },
        };
        let backbone = Backbone::new(&path.child("backbone"), &backbone)?;
        // Three sizes an octave, whole pixels as torchvision has them.
        let octave =
            |size: f64| vec![size, (size * 2f64.powf(1.0 / 3.0)).floor(), (size * 2f64.powf(2.0 / 3.0)).floor()];
        let sizes: Vec<Vec<f64>> = [32.0, 64.0, 128.0, 256.0, 512.0].map(octave).into();
        let ratios = vec![vec![0.5, 1.0, 2.0]; sizes.len()];
        let anchors = AnchorGenerator { sizes, ratios };
        let (per_pixel, classes) = (anchors.per_location()[0], self.num_classes.0);
        let head = path.child("head");
        let classification =
            Head::new(&head.child("classification_head"), "cls_logits", per_pixel * classes, Some(0.01))?;
        let regression = Head::new(&head.child("regression_head"), "bbox_reg", per_pixel * 4, None)?;
        weights::load_published(path, self.weights.as_deref(), TARGET)?;
        Ok(RetinaNet {
            backbone,
            anchors,
            classification,
            regression,
            transform: Transform::of(&self.min_size, self.max_size, &self.image_mean, &self.image_std),
            matcher: Matcher { high: self.fg_iou_thresh.0, low: self.bg_iou_thresh.0, low_quality: true },
            classes,
            score: self.score_thresh.0,
            nms: self.nms_thresh.0,
            detections: self.detections_per_img.0,
            candidates: self.topk_candidates.0,
        })
    }
}
