//! Regions of interest: alignment (He et al., 2017), pooling (Girshick, 2015), and the choice of a pyramid level.

use tch::{Kind, Tensor};

use super::boxes;
use super::nms::floats;

/// Bilinear samples of a feature map in a grid over each region.
#[derive(Clone, Copy, Debug)]
pub struct RoiAlign {
    /// Height and width of the output.
    pub output: [i64; 2],
    /// Pixels of the feature map per pixel of the image.
    pub scale: f64,
    /// Samples per output pixel and axis; 0 or less for as many as the region has pixels per output pixel.
    pub sampling: i64,
    /// Whether pixel centres lie at halves (the corrected form).
    pub aligned: bool,
}

/// Samples by which output pixels are weighted sums of feature pixels.
#[derive(Default)]
struct Samples {
    pixels: Vec<i64>,
    weights: Vec<f32>,
    /// Where each output pixel's samples begin.
    starts: Vec<i64>,
}

impl RoiAlign {
    /// The features of each region: `input` `[batch, channels, h, w]`, `regions` `[n, 5]` as batch index and corners
    /// in pixels of the image; gives `[n, channels, output…]`. Gradients flow to `input`.
    pub fn forward(&self, input: &Tensor, regions: &Tensor) -> Tensor {
        let (_, channels, height, width) = input.size4().unwrap_or_else(|error| panic!("{error}"));
        let [rows, columns] = self.output;
        let count = regions.size()[0];
        if count == 0 {
            return Tensor::zeros([0, channels, rows, columns], (input.kind(), input.device()));
        }
        let mut samples = Samples::default();
        for region in floats(regions).chunks_exact(5) {
            self.sample(region, height, width, &mut samples);
        }
        let device = input.device();
        let table = input.permute([0, 2, 3, 1]).reshape([-1, channels]);
        let weights = Tensor::from_slice(&samples.weights).to_device(device).to_kind(input.kind());
        let pixels = Tensor::from_slice(&samples.pixels).to_device(device);
        let starts = Tensor::from_slice(&samples.starts).to_device(device);
        // A weighted sum of table rows per output pixel, without the samples in memory; mode 0 is the sum.
        let (sums, ..) = Tensor::embedding_bag(&table, &pixels, &starts, false, 0, false, Some(&weights), false);
        sums.view([count, rows, columns, channels]).permute([0, 3, 1, 2])
    }

    /// Adds the samples of one region, for every output pixel.
    fn sample(&self, region: &[f32], height: i64, width: i64, samples: &mut Samples) {
        let scale = self.scale as f32;
        let offset = if self.aligned { 0.5 } else { 0.0 };
        let [x1, y1, x2, y2] = [1, 2, 3, 4].map(|index| region[index] * scale - offset);
        let (mut w, mut h) = (x2 - x1, y2 - y1);
        if !self.aligned {
            (w, h) = (w.max(1.0), h.max(1.0));
        }
        let [rows, columns] = self.output;
        let (bin_h, bin_w) = (h / rows as f32, w / columns as f32);
        let grid = |size: f32, bins: i64| match self.sampling {
            n if n > 0 => n,
            _ => (size / bins as f32).ceil() as i64,
        };
        let (grid_h, grid_w) = (grid(h, rows), grid(w, columns));
        let share = 1.0 / (grid_h * grid_w).max(1) as f32;
        let base = region[0] as i64 * height * width;
        for row in 0..rows {
            for column in 0..columns {
                samples.starts.push(samples.pixels.len() as i64);
                for iy in 0..grid_h {
                    let y = y1 + row as f32 * bin_h + (iy as f32 + 0.5) * bin_h / grid_h as f32;
                    for ix in 0..grid_w {
                        let x = x1 + column as f32 * bin_w + (ix as f32 + 0.5) * bin_w / grid_w as f32;
                        bilinear(y, x, height, width, |pixel, weight| {
                            samples.pixels.push(base + pixel);
                            samples.weights.push(weight * share);
                        });
                    }
                }
            }
        }
    }
}

/// The four pixels around a point and their weights; nothing for a point more than a pixel outside.
fn bilinear(y: f32, x: f32, height: i64, width: i64, mut add: impl FnMut(i64, f32)) {
    if y < -1.0 || y > height as f32 || x < -1.0 || x > width as f32 {
        return;
    }
    let axis = |at: f32, size: i64| {
        let at = at.max(0.0);
        let low = at as i64;
        if low >= size - 1 { (size - 1, size - 1, 0.0) } else { (low, low + 1, at - low as f32) }
    };
    let ((y0, y1, fy), (x0, x1, fx)) = (axis(y, height), axis(x, width));
    add(y0 * width + x0, (1.0 - fy) * (1.0 - fx));
    add(y0 * width + x1, (1.0 - fy) * fx);
    add(y1 * width + x0, fy * (1.0 - fx));
    add(y1 * width + x1, fy * fx);
}

/// The largest feature in each field of a grid over each region, whose corners are rounded to pixels; arguments as
/// [`RoiAlign::forward`].
pub fn roi_pool(input: &Tensor, regions: &Tensor, output: [i64; 2], scale: f64) -> Tensor {
    let (_, channels, height, width) = input.size4().unwrap_or_else(|error| panic!("{error}"));
    let [rows, columns] = output;
    let mut pooled = Vec::new();
    for region in floats(regions).chunks_exact(5) {
        let image = input.get(region[0] as i64);
        let [x1, y1, x2, y2] = [1, 2, 3, 4].map(|index| (region[index] * scale as f32).round() as i64);
        let bins = |start: i64, end: i64, count: i64, size: i64, bin: i64| {
            let step = (end - start + 1).max(1) as f32 / count as f32;
            let low = (bin as f32 * step).floor() as i64 + start;
            let high = ((bin + 1) as f32 * step).ceil() as i64 + start;
            (low.clamp(0, size), high.clamp(0, size))
        };
        for row in 0..rows {
            let (top, bottom) = bins(y1, y2, rows, height, row);
            for column in 0..columns {
                let (left, right) = bins(x1, x2, columns, width, column);
                pooled.push(if bottom <= top || right <= left {
                    Tensor::zeros([channels], (input.kind(), input.device()))
                } else {
                    let field = image.narrow(1, top, bottom - top).narrow(2, left, right - left);
                    field.amax([1i64, 2].as_slice(), false)
                });
            }
        }
    }
    if pooled.is_empty() {
        return Tensor::zeros([0, channels, rows, columns], (input.kind(), input.device()));
    }
    Tensor::stack(&pooled, 0).view([-1, rows, columns, channels]).permute([0, 3, 1, 2])
}

/// [`RoiAlign`] on the level of a feature pyramid that fits a region's size (equation 1 of Lin et al., 2017).
#[derive(Clone, Copy, Debug)]
pub struct MultiScaleRoiAlign {
    /// Height and width of the output.
    pub output: [i64; 2],
    /// Samples per output pixel and axis.
    pub sampling: i64,
    /// The size of a region, in pixels, that belongs to `canonical_level`.
    pub canonical_scale: f64,
    /// The level of such a region.
    pub canonical_level: f64,
}

impl MultiScaleRoiAlign {
    /// With torchvision's canonical size of 224 pixels for level 4.
    pub fn new(output: [i64; 2], sampling: i64) -> Self {
        MultiScaleRoiAlign { output, sampling, canonical_scale: 224.0, canonical_level: 4.0 }
    }

    /// The features of every image's boxes, in order: `levels` of features `[batch, channels, h, w]` from the largest
    /// to the smallest, `boxes[i]` `[n, 4]` in pixels of image i, whose size (height, width) is `sizes[i]`.
    pub fn forward(&self, levels: &[Tensor], boxes: &[Tensor], sizes: &[[i64; 2]]) -> Tensor {
        let regions: Vec<Tensor> = boxes
            .iter()
            .enumerate()
            .map(|(image, boxes)| {
                let index = Tensor::full([boxes.size()[0], 1], image as i64, (boxes.kind(), boxes.device()));
                Tensor::cat(&[&index, boxes], 1)
            })
            .collect();
        let regions = Tensor::cat(&regions, 0);
        let largest = sizes.iter().fold([0, 0], |a, b| [a[0].max(b[0]), a[1].max(b[1])]);
        let scales: Vec<f64> = levels
            .iter()
            .map(|level| 2f64.powf((level.size()[2] as f64 / largest[0] as f64).log2().round_ties_even()))
            .collect();
        let align = |level: usize, regions: &Tensor| {
            let align = RoiAlign { output: self.output, scale: scales[level], sampling: self.sampling, aligned: false };
            align.forward(&levels[level], regions)
        };
        if levels.len() == 1 {
            return align(0, &regions);
        }
        let (first, last) = (-scales[0].log2(), -scales[scales.len() - 1].log2());
        let side = boxes::area(&regions.narrow(1, 1, 4)).sqrt();
        let wanted = ((side / self.canonical_scale).log2() + self.canonical_level + 1e-6).floor();
        let wanted = (wanted.clamp(first, last) - first).to_kind(Kind::Int64);
        let channels = levels[0].size()[1];
        let [rows, columns] = self.output;
        let mut result =
            Tensor::zeros([regions.size()[0], channels, rows, columns], (levels[0].kind(), levels[0].device()));
        for level in 0..levels.len() {
            let members = wanted.eq(level as i64).nonzero().squeeze_dim(1);
            let features = align(level, &regions.index_select(0, &members)).to_kind(result.kind());
            result = result.index_copy(0, &members, &features);
        }
        result
    }
}
