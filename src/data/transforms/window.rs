//! Which part of a picture the transforms look at, so that no more than that is decoded.

use super::resample::Part;
use super::{Canvas, Op, Plan, geometry};
use crate::data::decode::Window;
use crate::data::image::{Image, Picture};
use crate::error::Result;

/// A plan that begins with a part of the picture.
pub struct Windowed {
    /// The part that is needed.
    pub window: Window,
    /// What makes the first result out of it, where a crop follows a resize.
    part: Option<Part>,
    /// What is done then.
    ops: Vec<Op>,
}

impl Windowed {
    /// The same plan for a picture of this size (before it), on no more of the picture than it needs.
    pub fn new(canvas: Canvas, plan: Plan) -> Self {
        let inside = |top: i64, left: i64, height: usize, width: usize, rows: usize, columns: usize| {
            height > 0 && width > 0 && geometry::inside(rows, columns, top, left, height, width)
        };
        let rectangle = |top: i64, left: i64, width: usize, height: usize| Window {
            left: left as usize,
            top: top as usize,
            width,
            height,
        };
        let mut ops = plan.ops;
        ops.retain(|op| !matches!(op, Op::Identity));
        let (rows, columns) = (canvas.height, canvas.width);
        match ops.as_slice() {
            [Op::Crop { top, left, height, width, .. }, ..] if inside(*top, *left, *height, *width, rows, columns) => {
                let window = rectangle(*top, *left, *width, *height);
                ops.remove(0);
                return Windowed { window, part: None, ops };
            }
            [
                Op::Resize { height: high, width: wide, interpolation, .. },
                Op::Crop { top, left, height, width, .. },
                ..,
            ] if inside(*top, *left, *height, *width, *high, *wide) => {
                let part = rectangle(*top, *left, *width, *height);
                if let Some(part) = Part::new((rows, columns), (*high, *wide), part, *interpolation) {
                    ops.drain(..2);
                    return Windowed { window: part.source(), part: Some(part), ops };
                }
            }
            _ => {}
        }
        Windowed { window: Window { left: 0, top: 0, width: columns, height: rows }, part: None, ops }
    }

    /// Carries the plan out on the part of the picture.
    ///
    /// # Errors
    /// When an operation meets a picture of another kind than it acts on.
    pub fn finish(self, image: Image) -> Result<Picture> {
        let image = match &self.part {
            Some(part) => part.apply(&image),
            None => image,
        };
        self.ops.iter().try_fold(Picture::Bytes(image), |picture, op| op.apply(picture))
    }
}
