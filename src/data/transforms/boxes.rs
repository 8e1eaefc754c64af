//! Boxes carried along by operations, as `torchvision.transforms.v2` carries `BoundingBoxes`.

use super::op::rotation;
use super::warp::{self, Map};
use super::{Canvas, Op};

/// Boxes `[x1, y1, x2, y2]` in pixels, on a picture of a size.
#[derive(Clone, Debug, PartialEq)]
pub struct Boxes {
    /// The boxes; one may become empty when it is cut away, so that labels keep their places.
    pub boxes: Vec<[f32; 4]>,
    /// The picture's size.
    pub canvas: Canvas,
}

impl Boxes {
    /// The boxes after an operation on the picture.
    pub fn apply(mut self, op: &Op) -> Self {
        let before = self.canvas;
        let (width, height) = (before.width as f32, before.height as f32);
        self.canvas = op.canvas(before);
        match op {
            Op::HorizontalFlip => self.each(|[x1, y1, x2, y2]| [width - x2, y1, width - x1, y2]),
            Op::VerticalFlip => self.each(|[x1, y1, x2, y2]| [x1, height - y2, x2, height - y1]),
            Op::Crop { top, left, .. } => {
                self.shift(-*left as f32, -*top as f32);
                self.clamp();
            }
            Op::Pad { padding: [left, top, ..], .. } => {
                self.shift(*left as f32, *top as f32);
                self.clamp();
            }
            Op::Resize { height: new_height, width: new_width, .. } => {
                let (x, y) = (*new_width as f32 / width, *new_height as f32 / height);
                self.each(|[x1, y1, x2, y2]| [x1 * x, y1 * y, x2 * x, y2 * y]);
            }
            Op::Rotate { angle, expand, center, .. } => {
                let (matrix, _) = rotation(*angle, before, *center, false);
                let map = Map::Affine(inverse(matrix));
                let mut offset = [0.0; 2];
                if *expand {
                    // Boxes keep fractions: the rotated picture's own corner becomes the origin, and only the size of
                    // the picture is rounded.
                    let (width, height) = (f64::from(width), f64::from(height));
                    let corners = [(0.0, 0.0), (width, 0.0), (width, height), (0.0, height)];
                    let corners = corners.map(|(x, y)| warp::mapped(map, x, y));
                    let least = |of: fn(&(f64, f64)) -> f64| corners.iter().map(of).fold(f64::INFINITY, f64::min);
                    offset = [least(|c| c.0), least(|c| c.1)];
                }
                self.hull_from(map, offset);
            }
            Op::Affine { angle, translate, scale, shear, center, .. } => {
                let center = center.unwrap_or([before.width as f64 * 0.5, before.height as f64 * 0.5]);
                self.hull(Map::Affine(inverse(warp::affine(center, *angle, *translate, *scale, *shear))));
            }
            Op::Perspective { startpoints, endpoints, .. } => {
                if let Ok(forward) = warp::perspective(endpoints, startpoints) {
                    self.hull(Map::Perspective(forward));
                }
            }
            _ => {}
        }
        self
    }

    /// Each box becomes the upright hull of its mapped corners.
    fn hull(&mut self, map: Map) {
        self.hull_from(map, [0.0; 2]);
    }

    /// As [`Boxes::hull`], with the origin moved to a point.
    fn hull_from(&mut self, map: Map, [left, top]: [f64; 2]) {
        self.each(|[x1, y1, x2, y2]| {
            let corners = [(x1, y1), (x2, y1), (x2, y2), (x1, y2)];
            let corners = corners.map(|(x, y)| warp::mapped(map, f64::from(x), f64::from(y)));
            let least = |of: fn(&(f64, f64)) -> f64| corners.iter().map(of).fold(f64::INFINITY, f64::min) as f32;
            let most = |of: fn(&(f64, f64)) -> f64| corners.iter().map(of).fold(f64::NEG_INFINITY, f64::max) as f32;
            let (left, top) = (left as f32, top as f32);
            [least(|c| c.0) - left, least(|c| c.1) - top, most(|c| c.0) - left, most(|c| c.1) - top]
        });
        self.clamp();
    }

    fn each(&mut self, change: impl Fn([f32; 4]) -> [f32; 4]) {
        self.boxes.iter_mut().for_each(|one| *one = change(*one));
    }

    fn shift(&mut self, x: f32, y: f32) {
        self.each(|[x1, y1, x2, y2]| [x1 + x, y1 + y, x2 + x, y2 + y]);
    }

    fn clamp(&mut self) {
        let (width, height) = (self.canvas.width as f32, self.canvas.height as f32);
        self.each(|[x1, y1, x2, y2]| {
            [x1.clamp(0.0, width), y1.clamp(0.0, height), x2.clamp(0.0, width), y2.clamp(0.0, height)]
        });
    }
}

/// The map back.
fn inverse([a, b, c, d, e, f]: [f64; 6]) -> [f64; 6] {
    let det = a * e - b * d;
    let [ia, ib, id, ie] = [e, -b, -d, a].map(|value| value / det);
    [ia, ib, -(ia * c + ib * f), id, ie, -(id * c + ie * f)]
}
