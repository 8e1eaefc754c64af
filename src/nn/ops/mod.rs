//! `torchvision.ops`: boxes and regions of interest.
//!
//! Boxes are `[n, 4]` floats `x1, y1, x2, y2` in pixels, with x1 ≤ x2 and y1 ≤ y2. The operations panic on wrong
//! shapes as tch's do.

pub mod boxes;
mod nms;
mod roi;

pub use nms::{batched_nms, nms};
pub use roi::{MultiScaleRoiAlign, RoiAlign, roi_pool};
