//! ResNet with a feature pyramid.

use tch::Tensor;

use super::fpn::{ExtraLevels, FeaturePyramid};
use crate::error::{Error, Result};
use crate::nn::models::vision::resnet::{self, Body, NormKind, Shape};
use crate::nn::{Path, weights};

/// Channels of every level of the pyramid.
pub(super) const CHANNELS: i64 = 256;

/// A residual network without head, and the pyramid over its stages.
pub(super) struct Backbone {
    body: Body,
    pyramid: FeaturePyramid,
    /// The first stage that the pyramid reads.
    first: usize,
}

/// What a backbone is made of.
pub(super) struct BackboneArgs<'a> {
    /// Weights of the whole detector, if any.
    pub weights: Option<&'a str>,
    /// Weights of the residual network alone, if any.
    pub backbone: Option<&'a str>,
    /// How many of the five parts learn, from the last on; `None` for torchvision's choice.
    pub trainable: Option<u32>,
    /// The first stage that the pyramid reads.
    pub first: usize,
    /// Levels above.
    pub extra: ExtraLevels,
}

impl Backbone {
    pub(super) fn new(path: &Path, args: &BackboneArgs) -> Result<Self> {
        let trained = args.weights.is_some() || args.backbone.is_some();
        // As torchvision: statistics of published weights stay as they are, a new network learns its own.
        // Its published detectors were trained with an epsilon of 0.
        let eps = if args.weights.is_some_and(weights::is_published) { 0.0 } else { 1e-5 };
        let norm = if trained { NormKind::Frozen { eps } } else { NormKind::Batch };
        let trainable = match (trained, args.trainable) {
            (_, Some(parts)) if parts > 5 => {
                return Err(Error::request(format!("trainable_backbone_layers is from 0 to 5, not {parts}")));
            }
            (false, _) => 5,
            (true, parts) => parts.unwrap_or(3),
        };
        let shape = Shape { norm, ..Shape::named("resnet50").ok_or_else(|| Error::failed("no resnet50"))? };
        let at = path.child("body");
        let body = Body::new(&at, &shape)?;
        // Python makes the head too, whose values are drawn, and throws it away.
        let head = at.child("fc");
        let _ = crate::nn::layers::Linear::new(&head, shape.features(), 1000, true)?;
        resnet::reinitialize(&at, None);
        head.remove();
        if args.weights.is_none() {
            weights::load_backbone(&at, args.backbone, "torchvision.models.resnet50")?;
        }
        freeze(&at, trainable);
        let inputs: Vec<i64> = (args.first..4).map(|stage| 256 << stage).collect();
        let pyramid = FeaturePyramid::new(&path.child("fpn"), &inputs, CHANNELS, Some(args.extra))?;
        Ok(Backbone { body, pyramid, first: args.first })
    }

    /// The levels of the pyramid.
    pub(super) fn forward(&self, batch: &Tensor, train: bool) -> Vec<Tensor> {
        let stages = self.body.stages(batch, train);
        self.pyramid.forward(&stages[self.first..])
    }
}

/// Keeps all but the last `trainable` parts from learning.
fn freeze(path: &Path, trainable: u32) {
    let parts = ["layer4", "layer3", "layer2", "layer1", "conv1"];
    let mut learning: Vec<Path> = parts.iter().take(trainable as usize).map(|part| path.child(part)).collect();
    if trainable == 5 {
        learning.push(path.child("bn1"));
    }
    for (name, tensor) in path.params().parameters() {
        if path.holds(&name) && !learning.iter().any(|part| part.holds(&name)) {
            let _ = tensor.set_requires_grad(false);
        }
    }
}
