//! Anchors: boxes of several sizes and shapes at every pixel of every level.

use tch::{Device, Kind, Tensor};

/// Sizes and aspect ratios (height over width) of every level.
#[derive(Clone, Debug)]
pub struct AnchorGenerator {
    /// Sides of square anchors in pixels, per level.
    pub sizes: Vec<Vec<f64>>,
    /// Heights over widths, per level.
    pub ratios: Vec<Vec<f64>>,
}

impl AnchorGenerator {
    /// Anchors `[k, 4]` around the origin, per level: sizes vary fastest, then ratios; rounded to whole pixels.
    pub fn cells(&self) -> Vec<Tensor> {
        self.sizes.iter().zip(&self.ratios).map(|(sizes, ratios)| cell(sizes, ratios)).collect()
    }

    /// How many anchors a pixel of each level has.
    pub fn per_location(&self) -> Vec<i64> {
        self.sizes.iter().zip(&self.ratios).map(|(sizes, ratios)| (sizes.len() * ratios.len()) as i64).collect()
    }

    /// The anchors of an image padded to `image` (height, width) whose feature maps have the sizes `maps`: per level
    /// `[h × w × k, 4]`, x fastest, then y.
    pub fn grid(&self, image: [i64; 2], maps: &[[i64; 2]], device: Device) -> Vec<Tensor> {
        let cells = self.cells();
        maps.iter()
            .zip(cells)
            .map(|(&[height, width], cell)| {
                let axis = |count, size| Tensor::arange(count, (Kind::Float, Device::Cpu)) * (size / count) as f64;
                let (y, x) = (axis(height, image[0]), axis(width, image[1]));
                let y = y.view([-1, 1]).expand([height, width], false).reshape([-1]);
                let x = x.view([1, -1]).expand([height, width], false).reshape([-1]);
                let shifts = Tensor::stack(&[&x, &y, &x, &y], 1);
                (shifts.view([-1, 1, 4]) + cell.view([1, -1, 4])).reshape([-1, 4]).to_device(device)
            })
            .collect()
    }
}

fn cell(sizes: &[f64], ratios: &[f64]) -> Tensor {
    let tensor = |values: &[f64]| Tensor::from_slice(values).to_kind(Kind::Float);
    let sizes = tensor(sizes);
    let h = tensor(ratios).sqrt();
    let w = h.reciprocal();
    let spread = |side: &Tensor| (side.unsqueeze(1) * sizes.unsqueeze(0)).view([-1]);
    let (w, h) = (spread(&w), spread(&h));
    (Tensor::stack(&[-&w, -&h, w, h], 1) / 2.0).round()
}
