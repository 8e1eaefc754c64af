//! Faster R-CNN (Ren et al., 2015) with a ResNet-50 feature pyramid.

use indexmap::IndexMap;
use schemars::JsonSchema;
use serde::Deserialize;
use tch::Tensor;

use super::backbone::{Backbone, BackboneArgs};
use super::fpn::ExtraLevels;
use super::retinanet::{coco, max_size, min_size};
use super::roi_heads::{Keep, RoiHeads};
use super::rpn::{Proposals, Rpn, Sampler};
use super::{
    AnchorGenerator, BoxCoder, Detections, Detector, DetectorKind, DetectorSpec, Matcher, Target, Transform,
    check_targets,
};
use crate::error::Result;
use crate::nn::args::Count;
use crate::nn::{Path, weights};
use crate::registry::{Build, Component, Fraction, Ignored, OneOrMany};

struct FasterRcnn {
    backbone: Backbone,
    rpn: Rpn,
    heads: RoiHeads,
    transform: Transform,
}

impl Detector for FasterRcnn {
    fn losses(&self, images: &[Tensor], targets: &[Target]) -> Result<IndexMap<String, Tensor>> {
        check_targets(images, targets)?;
        let images = self.transform.images(images, true);
        let targets = self.transform.targets(targets, &images);
        let levels = self.backbone.forward(&images.batch, true);
        let size = images.batch.size();
        let regions = self.rpn.forward(&levels, [size[2], size[3]], &images.sizes, true);
        // torchvision draws the anchors of the proposal network before those of the heads.
        let [objectness, rpn_boxes] = self.rpn.losses(&regions, &targets);
        let [classes, boxes] = self.heads.losses(&levels, &regions.proposals, &images.sizes, &targets);
        Ok(IndexMap::from([
            ("loss_classifier".to_owned(), classes),
            ("loss_box_reg".to_owned(), boxes),
            ("loss_objectness".to_owned(), objectness),
            ("loss_rpn_box_reg".to_owned(), rpn_boxes),
        ]))
    }

    fn detect(&self, images: &[Tensor]) -> Vec<Detections> {
        let images = self.transform.images(images, false);
        let levels = self.backbone.forward(&images.batch, false);
        let size = images.batch.size();
        let regions = self.rpn.forward(&levels, [size[2], size[3]], &images.sizes, false);
        let found = self.heads.detect(&levels, &regions.proposals, &images.sizes);
        let restored = found
            .into_iter()
            .enumerate()
            .map(|(index, found)| Detections { boxes: self.transform.restore(&found.boxes, &images, index), ..found });
        restored.collect()
    }
}

/// Faster R-CNN with a ResNet-50 feature pyramid; 41.8 million parameters for the 91 classes of COCO.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct FasterRcnnArgs {
    /// Where the weights of the whole detector come from: a local file, a published name (`COCO_V1`, `DEFAULT`), or
    /// null to draw them.
    #[serde(default)]
    weights: Option<String>,
    /// Downloads report themselves.
    #[serde(default)]
    #[allow(dead_code)]
    progress: Ignored,
    /// Classes, with 0 for the background.
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
    /// Proposals of a level before overlaps are removed, in training.
    #[serde(default = "two_thousand")]
    rpn_pre_nms_top_n_train: Count,
    /// Proposals of a level before overlaps are removed, in evaluation.
    #[serde(default = "thousand")]
    rpn_pre_nms_top_n_test: Count,
    /// Proposals of an image, in training.
    #[serde(default = "two_thousand")]
    rpn_post_nms_top_n_train: Count,
    /// Proposals of an image, in evaluation.
    #[serde(default = "thousand")]
    rpn_post_nms_top_n_test: Count,
    /// Proposals overlap by at most this IoU.
    #[serde(default = "seven_tenths")]
    rpn_nms_thresh: Fraction,
    /// From this IoU on an anchor stands for a box.
    #[serde(default = "seven_tenths")]
    rpn_fg_iou_thresh: Fraction,
    /// Below this IoU an anchor is background.
    #[serde(default = "three_tenths")]
    rpn_bg_iou_thresh: Fraction,
    /// Anchors of an image that are learned from.
    #[serde(default = "anchors")]
    rpn_batch_size_per_image: Count,
    /// The largest share of positives among them.
    #[serde(default = "half")]
    rpn_positive_fraction: Fraction,
    /// Proposals have at least this score.
    #[serde(default = "zero")]
    rpn_score_thresh: Fraction,
    /// Detections have a score above this.
    #[serde(default = "twentieth")]
    box_score_thresh: Fraction,
    /// Detections of one class overlap by at most this IoU.
    #[serde(default = "half")]
    box_nms_thresh: Fraction,
    /// The most detections of an image.
    #[serde(default = "hundred")]
    box_detections_per_img: Count,
    /// From this IoU on a proposal stands for a box.
    #[serde(default = "half")]
    box_fg_iou_thresh: Fraction,
    /// Below this IoU a proposal is background.
    #[serde(default = "half")]
    box_bg_iou_thresh: Fraction,
    /// Proposals of an image that are learned from.
    #[serde(default = "regions")]
    box_batch_size_per_image: Count,
    /// The largest share of positives among them.
    #[serde(default = "quarter")]
    box_positive_fraction: Fraction,
    /// Factors of the codes x, y, width, height; null for 10, 10, 5, 5.
    #[serde(default)]
    bbox_reg_weights: Option<[f64; 4]>,
}

macro_rules! defaults {
    ($($name:ident: $ty:ident = $value:literal),* $(,)?) => {
        $(fn $name() -> $ty {
            $ty($value)
        })*
    };
}

defaults! {
    two_thousand: Count = 2000,
    thousand: Count = 1000,
    hundred: Count = 100,
    anchors: Count = 256,
    regions: Count = 512,
    zero: Fraction = 0.0,
    twentieth: Fraction = 0.05,
    quarter: Fraction = 0.25,
    three_tenths: Fraction = 0.3,
    half: Fraction = 0.5,
    seven_tenths: Fraction = 0.7,
}

const TARGET: &str = "torchvision.models.detection.fasterrcnn_resnet50_fpn";

impl Component for FasterRcnnArgs {
    type Kind = DetectorKind;
    const TARGETS: &'static [&'static str] = &[TARGET];

    fn build(self, _: &mut Build) -> Result<DetectorSpec> {
        Ok(DetectorSpec(Box::new(move |path| Ok(Box::new(self.make(path)?)))))
    }
}

impl FasterRcnnArgs {
    fn make(&self, path: &Path) -> Result<FasterRcnn> {
        let backbone = BackboneArgs {
            weights: self.weights.as_deref(),
            backbone: self.weights_backbone.as_deref(),
            trainable: self.trainable_backbone_layers,
            first: 0,
            extra: ExtraLevels::MaxPool,
        };
        let backbone = Backbone::new(&path.child("backbone"), &backbone)?;
        let sizes: Vec<Vec<f64>> = [32.0, 64.0, 128.0, 256.0, 512.0].map(|size| vec![size]).into();
        let ratios = vec![vec![0.5, 1.0, 2.0]; sizes.len()];
        let rpn = Rpn::new(
            &path.child("rpn"),
            AnchorGenerator { sizes, ratios },
            Matcher { high: self.rpn_fg_iou_thresh.0, low: self.rpn_bg_iou_thresh.0, low_quality: true },
            Sampler { count: self.rpn_batch_size_per_image.0, positive: self.rpn_positive_fraction.0 },
            Proposals {
                before: [self.rpn_pre_nms_top_n_train.0, self.rpn_pre_nms_top_n_test.0],
                after: [self.rpn_post_nms_top_n_train.0, self.rpn_post_nms_top_n_test.0],
                nms: self.rpn_nms_thresh.0,
                score: self.rpn_score_thresh.0,
            },
        )?;
        let heads = RoiHeads::new(
            &path.child("roi_heads"),
            self.num_classes.0,
            BoxCoder { weights: self.bbox_reg_weights.unwrap_or([10.0, 10.0, 5.0, 5.0]) },
            Matcher { high: self.box_fg_iou_thresh.0, low: self.box_bg_iou_thresh.0, low_quality: false },
            Sampler { count: self.box_batch_size_per_image.0, positive: self.box_positive_fraction.0 },
            Keep { score: self.box_score_thresh.0, nms: self.box_nms_thresh.0, count: self.box_detections_per_img.0 },
        )?;
        weights::load_published(path, self.weights.as_deref(), TARGET)?;
        let transform = Transform::of(&self.min_size, self.max_size, &self.image_mean, &self.image_std);
        Ok(FasterRcnn { backbone, rpn, heads, transform })
    }
}
