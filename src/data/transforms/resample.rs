//! Resizing. Of bytes: Pillow's `Image.resize` (Resample.c), value for value: the filter's support grows with the
//! reduction (antialiasing), weights in 22-bit fixed point, each pass rounded to bytes. Of floats: torch's.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tch::Tensor;

use super::geometry;
use crate::data::image::{Image, Planes};
use crate::error::{Error, Result};

/// How values between pixels are made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Interpolation {
    /// The nearest pixel.
    Nearest,
    /// The nearest pixel, by pixel centres. On 8-bit pictures the same as `nearest`, as in PIL.
    #[serde(rename = "nearest-exact")]
    NearestExact,
    /// Linear in both directions.
    #[default]
    Bilinear,
    /// Cubic convolution, a = -0.5.
    Bicubic,
    /// The mean of the covered pixels.
    Box,
    /// Hamming's window, support 1.
    Hamming,
    /// Lanczos's window, support 3.
    Lanczos,
}

/// A filter and its support at scale 1.
type Filter = (fn(f64) -> f64, f64);

impl Interpolation {
    /// The filter; none for the nearest pixel.
    fn filter(self) -> Option<Filter> {
        Some(match self {
            Interpolation::Nearest | Interpolation::NearestExact => return None,
            Interpolation::Bilinear => (|x| (1.0 - x.abs()).max(0.0), 1.0),
            Interpolation::Bicubic => (bicubic, 2.0),
            Interpolation::Box => (|x| f64::from(u8::from(x > -0.5 && x <= 0.5)), 0.5),
            Interpolation::Hamming => (hamming, 1.0),
            Interpolation::Lanczos => (lanczos, 3.0),
        })
    }
}

fn bicubic(x: f64) -> f64 {
    const A: f64 = -0.5;
    match x.abs() {
        x if x < 1.0 => ((A + 2.0) * x - (A + 3.0)) * x * x + 1.0,
        x if x < 2.0 => (((x - 5.0) * x + 8.0) * x - 4.0) * A,
        _ => 0.0,
    }
}

fn hamming(x: f64) -> f64 {
    match x.abs() {
        0.0 => 1.0,
        x if x >= 1.0 => 0.0,
        x => {
            let x = x * std::f64::consts::PI;
            x.sin() / x * (0.54 + 0.46 * x.cos())
        }
    }
}

fn sinc(x: f64) -> f64 {
    if x == 0.0 {
        return 1.0;
    }
    let x = x * std::f64::consts::PI;
    x.sin() / x
}

fn lanczos(x: f64) -> f64 {
    if (-3.0..3.0).contains(&x) { sinc(x) * sinc(x / 3.0) } else { 0.0 }
}

/// 8 bits of value and 2 of head room in 32.
const PRECISION: u32 = 22;

/// For each output position the first input and the weights.
struct Weights {
    first: Vec<usize>,
    count: Vec<usize>,
    weights: Vec<i32>,
    stride: usize,
}

impl Weights {
    fn new(from: usize, to: usize, (filter, support): Filter) -> Self {
        let scale = from as f64 / to as f64;
        let widened = scale.max(1.0);
        let support = support * widened;
        let stride = support.ceil() as usize * 2 + 1;
        let mut this = Weights {
            first: Vec::with_capacity(to),
            count: Vec::with_capacity(to),
            weights: vec![0; stride * to],
            stride,
        };
        let mut values = Vec::with_capacity(stride);
        for i in 0..to {
            let center = (i as f64 + 0.5) * scale;
            let first = (center - support + 0.5).max(0.0) as usize;
            let end = ((center + support + 0.5) as usize).min(from);
            values.clear();
            values.extend((first..end).map(|x| filter((x as f64 - center + 0.5) / widened)));
            let sum: f64 = values.iter().sum();
            for (weight, value) in this.weights[i * stride..].iter_mut().zip(&values) {
                let value = if sum == 0.0 { *value } else { *value / sum } * f64::from(1 << PRECISION);
                *weight = (value + 0.5f64.copysign(value)) as i32;
            }
            this.first.push(first);
            this.count.push(end - first);
        }
        this
    }

    fn at(&self, i: usize) -> (usize, &[i32]) {
        (self.first[i], &self.weights[i * self.stride..i * self.stride + self.count[i]])
    }
}

const HALF: i32 = 1 << (PRECISION - 1);

fn round(sum: i32) -> u8 {
    (sum >> PRECISION).clamp(0, 255) as u8
}

fn resize_rows(image: &Image, width: usize, weights: &Weights) -> Image {
    let c = image.channels;
    let mut out = Image { width, height: image.height, channels: c, data: vec![0; width * image.height * c] };
    for y in 0..image.height {
        let source = image.row(y);
        let target = out.row_mut(y);
        if c == 3 {
            let (pixels, _) = source.as_chunks::<3>();
            for (x, out) in target.as_chunks_mut::<3>().0.iter_mut().enumerate() {
                let (first, weights) = weights.at(x);
                let mut sums = [HALF; 3];
                for (pixel, weight) in pixels[first..].iter().zip(weights) {
                    sums[0] += i32::from(pixel[0]) * weight;
                    sums[1] += i32::from(pixel[1]) * weight;
                    sums[2] += i32::from(pixel[2]) * weight;
                }
                *out = sums.map(round);
            }
            continue;
        }
        for x in 0..width {
            let (first, weights) = weights.at(x);
            for channel in 0..c {
                let mut sum = HALF;
                for (i, weight) in weights.iter().enumerate() {
                    sum += i32::from(source[(first + i) * c + channel]) * weight;
                }
                target[x * c + channel] = round(sum);
            }
        }
    }
    out
}

fn resize_columns(image: &Image, height: usize, weights: &Weights) -> Image {
    let stride = image.width * image.channels;
    let mut data = Vec::with_capacity(height * stride);
    let mut sums = vec![0i32; stride];
    for y in 0..height {
        let (first, weights) = weights.at(y);
        sums.fill(HALF);
        for (i, weight) in weights.iter().enumerate() {
            for (sum, value) in sums.iter_mut().zip(image.row(first + i)) {
                *sum += i32::from(*value) * weight;
            }
        }
        data.extend(sums.iter().map(|sum| round(*sum)));
    }
    Image { width: image.width, height, channels: image.channels, data }
}

/// The image in another size.
pub fn resize(image: &Image, height: usize, width: usize, interpolation: Interpolation) -> Image {
    if (height, width) == (image.height, image.width) || image.data.is_empty() {
        return image.clone();
    }
    let Some(filter) = interpolation.filter() else {
        return geometry::gather(image, &nearest(image.height, height), &nearest(image.width, width));
    };
    let rows = (width != image.width).then(|| Weights::new(image.width, width, filter));
    let columns = (height != image.height).then(|| Weights::new(image.height, height, filter));
    match (rows, columns) {
        (Some(rows), Some(columns)) => resize_columns(&resize_rows(image, width, &rows), height, &columns),
        (Some(rows), None) => resize_rows(image, width, &rows),
        (None, Some(columns)) => resize_columns(image, height, &columns),
        (None, None) => image.clone(),
    }
}

/// The pixel under each new pixel's centre. Pillow adds the step up; where a centre falls between two pixels, the
/// rounding of that sum decides which one it is.
fn nearest(from: usize, to: usize) -> Vec<usize> {
    let step = from as f64 / to as f64;
    let mut centre = 0.5 * step;
    (0..to)
        .map(|_| {
            let pixel = (centre as usize).min(from - 1);
            centre += step;
            pixel
        })
        .collect()
}

/// As [`resize`], of floats, as `torch.nn.functional.interpolate` does it.
///
/// # Errors
/// When torch has no such interpolation of floats (box, hamming, lanczos).
pub fn resize_planes(
    planes: &Planes,
    height: usize,
    width: usize,
    interpolation: Interpolation,
    antialias: bool,
) -> Result<Planes> {
    if (height, width) == (planes.height, planes.width) {
        return Ok(planes.clone());
    }
    let size = [1, planes.channels as i64, planes.height as i64, planes.width as i64];
    let input = Tensor::f_from_slice(&planes.data)?.f_reshape(size)?;
    let to = [height as i64, width as i64];
    let out = match interpolation {
        Interpolation::Bilinear if antialias => input.f_internal_upsample_bilinear2d_aa(to, false, None, None)?,
        Interpolation::Bilinear => input.f_upsample_bilinear2d(to, false, None, None)?,
        Interpolation::Bicubic if antialias => input.f_internal_upsample_bicubic2d_aa(to, false, None, None)?,
        Interpolation::Bicubic => input.f_upsample_bicubic2d(to, false, None, None)?,
        Interpolation::Nearest => input.f_upsample_nearest2d(to, None, None)?,
        Interpolation::NearestExact => input.f_internal_upsample_nearest_exact2d(to, None, None)?,
        other => {
            return Err(Error::failed(format!("{other:?} resizes 8-bit pictures, and this one is floats"))
                .help("put Resize before ToTensor"));
        }
    };
    let data = Vec::<f32>::try_from(out.f_flatten(0, -1)?)?;
    Ok(Planes { width, height, channels: planes.channels, data })
}
