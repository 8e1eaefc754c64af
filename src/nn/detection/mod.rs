//! Object detectors (`torchvision.models.detection`) and their parts.
//!
//! A [`Detector`] takes images of any sizes and gives, in training, its losses, and in evaluation, boxes in pixels of
//! the images as they came.

mod anchors;
mod backbone;
mod coders;
mod fpn;
mod matcher;
mod rcnn;
mod retinanet;
mod roi_heads;
mod rpn;
mod transform;

use indexmap::IndexMap;
use tch::Tensor;

pub use anchors::AnchorGenerator;
pub use coders::{BoxCoder, BoxLinearCoder};
pub use fpn::{ExtraLevels, FeaturePyramid};
pub use matcher::{BELOW, BETWEEN, Matcher};
pub use transform::{Transform, Transformed};

use super::Path;
use crate::error::{Error, Result};
use crate::registry::{Kind, Registry};

/// What is in an image.
#[derive(Debug)]
pub struct Target {
    /// Boxes `[n, 4]` as x1, y1, x2, y2 in pixels.
    pub boxes: Tensor,
    /// Classes `[n]`, i64. A region-based detector keeps 0 for the background.
    pub labels: Tensor,
}

/// What a detector found in an image, best first.
#[derive(Debug)]
pub struct Detections {
    /// Boxes `[n, 4]` as x1, y1, x2, y2 in pixels of the image as it came.
    pub boxes: Tensor,
    /// Scores `[n]` from 0 to 1.
    pub scores: Tensor,
    /// Classes `[n]`, i64.
    pub labels: Tensor,
}

/// A network that finds objects.
///
/// The operations may panic as tch's do; callers go through [`crate::tensor::guard`].
pub trait Detector: Send {
    /// The named losses of a batch, in training mode: images `[3, height, width]` with values from 0 to 1, one target
    /// each. Their sum is what is minimised.
    ///
    /// # Errors
    /// When a target has a box without area.
    fn losses(&self, images: &[Tensor], targets: &[Target]) -> Result<IndexMap<String, Tensor>>;

    /// What is in each image, in evaluation mode.
    fn detect(&self, images: &[Tensor]) -> Vec<Detections>;
}

/// How to make a detector at a path.
pub type MakeDetector = dyn Fn(&Path) -> Result<Box<dyn Detector>>;

/// A detector as its config describes it, not yet made.
pub struct DetectorSpec(pub Box<MakeDetector>);

impl DetectorSpec {
    /// Makes the detector below `path`, with values drawn in PyTorch's order, and moves it to the path's device.
    ///
    /// # Errors
    /// When arguments contradict each other, a name is taken, or the device has no room.
    pub fn make(&self, path: &Path) -> Result<Box<dyn Detector>> {
        let detector = crate::tensor::guard(|| (self.0)(path))?;
        path.params().settle()?;
        Ok(detector)
    }
}

/// The kind of detectors.
pub struct DetectorKind;

impl Kind for DetectorKind {
    type Built = DetectorSpec;
    const NAME: &'static str = "detector";
    const PARTIAL: bool = true;
}

/// Refuses boxes that no detector can learn from.
fn check_targets(images: &[Tensor], targets: &[Target]) -> Result<()> {
    if images.len() != targets.len() {
        return Err(Error::failed(format!("{} images, but {} targets", images.len(), targets.len())));
    }
    for (index, target) in targets.iter().enumerate() {
        if target.boxes.dim() != 2 || target.boxes.size()[1] != 4 {
            let shape = target.boxes.size();
            return Err(Error::failed(format!("the boxes of image {index} of the batch have the shape {shape:?}"))
                .help("boxes are [n, 4]; an image without objects has [0, 4]"));
        }
        let sides = target.boxes.narrow(1, 2, 2) - target.boxes.narrow(1, 0, 2);
        let empty = sides.le(0.0).any_dim(1, false).nonzero();
        if empty.size()[0] > 0 {
            let row = empty.int64_value(&[0, 0]);
            let sides: Vec<f64> = (0..4).map(|side| target.boxes.double_value(&[row, side])).collect();
            return Err(Error::failed(format!("box {row} of image {index} of the batch has no area: {sides:?}"))
                .help("boxes are x1, y1, x2, y2 in pixels with x1 < x2 and y1 < y2"));
        }
    }
    Ok(())
}

/// Adds every detector.
pub fn register(registry: &mut Registry) {
    registry.add::<retinanet::RetinaNetArgs>();
    registry.add::<rcnn::FasterRcnnArgs>();
}
