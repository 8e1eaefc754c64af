//! Resizing. Of bytes: Pillow's `Image.resize` (Resample.c), value for value: the filter's support grows with the
//! reduction (antialiasing), weights in 22-bit fixed point, each pass rounded to bytes. Of floats: torch's.

use std::ops::Range;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tch::Tensor;

use super::geometry;
use crate::data::decode::Window;
use crate::data::image::{Image, Planes};
use crate::error::{Error, Result};
use crate::native::resample as native;

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
    first: Vec<u32>,
    count: Vec<u32>,
    weights: Vec<i32>,
    stride: usize,
}

impl Weights {
    /// The weights of the output positions `part` of `to`.
    fn new(from: usize, to: usize, part: Range<usize>, (filter, support): Filter) -> Self {
        let scale = from as f64 / to as f64;
        let widened = scale.max(1.0);
        let support = support * widened;
        let stride = support.ceil() as usize * 2 + 1;
        let mut this = Weights {
            first: Vec::with_capacity(part.len()),
            count: Vec::with_capacity(part.len()),
            weights: vec![0; stride * part.len()],
            stride,
        };
        let mut values = Vec::with_capacity(stride);
        for (place, i) in part.enumerate() {
            let center = (i as f64 + 0.5) * scale;
            let first = (center - support + 0.5).max(0.0) as usize;
            let end = ((center + support + 0.5) as usize).min(from);
            values.clear();
            values.extend((first..end).map(|x| filter((x as f64 - center + 0.5) / widened)));
            let sum: f64 = values.iter().sum();
            for (weight, value) in this.weights[place * stride..].iter_mut().zip(&values) {
                let value = if sum == 0.0 { *value } else { *value / sum } * f64::from(1 << PRECISION);
                *weight = (value + 0.5f64.copysign(value)) as i32;
            }
            this.first.push(first as u32);
            this.count.push((end - first) as u32);
        }
        this
    }

    fn at(&self, i: usize) -> (usize, &[i32]) {
        let start = i * self.stride;
        (self.first[i] as usize, &self.weights[start..start + self.count[i] as usize])
    }

    /// The inputs that are looked at.
    fn inputs(&self) -> Range<usize> {
        let end = self.first.iter().zip(&self.count).map(|(first, count)| first + count).max().unwrap_or(0);
        self.first.iter().min().copied().unwrap_or(0) as usize..end as usize
    }

    /// The same for inputs that begin later.
    fn from(mut self, start: usize) -> Self {
        self.first.iter_mut().for_each(|first| *first -= start as u32);
        self
    }

    fn native(&self) -> native::Weights<'_> {
        native::Weights { first: &self.first, count: &self.count, weights: &self.weights, stride: self.stride }
    }
}

const HALF: i32 = 1 << (PRECISION - 1);

fn round(sum: i32) -> u8 {
    (sum >> PRECISION).clamp(0, 255) as u8
}

fn resize_rows(image: &Image, weights: &Weights) -> Image {
    let (c, width) = (image.channels, weights.first.len());
    if c == 3
        && let Some(data) = native::rows(&image.data, image.width, image.height, &weights.native())
    {
        return Image { width, height: image.height, channels: c, data };
    }
    let mut out = Image { width, height: image.height, channels: c, data: vec![0; width * image.height * c] };
    for y in 0..image.height {
        let source = image.row(y);
        let target = out.row_mut(y);
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

fn resize_columns(image: &Image, weights: &Weights) -> Image {
    let (stride, height) = (image.width * image.channels, weights.first.len());
    let (width, channels) = (image.width, image.channels);
    if let Some(data) = native::columns(&image.data, stride, &weights.native()) {
        return Image { width, height, channels, data };
    }
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
    Image { width, height, channels, data }
}

/// The image in another size.
pub fn resize(image: &Image, height: usize, width: usize, interpolation: Interpolation) -> Image {
    if (height, width) == (image.height, image.width) || image.data.is_empty() {
        return image.clone();
    }
    let size = (image.height, image.width);
    let whole = Window { left: 0, top: 0, width, height };
    match Part::new(size, (height, width), whole, interpolation) {
        Some(part) => part.apply(image),
        None => geometry::gather(image, &nearest(image.height, height), &nearest(image.width, width)),
    }
}

/// A rectangle of an image in another size, made from no more of the image than it needs.
pub struct Part {
    rows: Option<Weights>,
    columns: Option<Weights>,
    source: Window,
}

impl Part {
    /// The rectangle `part` of an image that is resized from one size (height, width) to another; `None` for the
    /// nearest pixels.
    pub fn new(from: (usize, usize), to: (usize, usize), part: Window, interpolation: Interpolation) -> Option<Self> {
        let filter = interpolation.filter()?;
        let side = |from: usize, to: usize, part: Range<usize>| {
            if from == to {
                return (None, part);
            }
            let weights = Weights::new(from, to, part, filter);
            let inputs = weights.inputs();
            (Some(weights.from(inputs.start)), inputs)
        };
        let (rows, x) = side(from.1, to.1, part.left..part.left + part.width);
        let (columns, y) = side(from.0, to.0, part.top..part.top + part.height);
        Some(Part { rows, columns, source: Window { left: x.start, top: y.start, width: x.len(), height: y.len() } })
    }

    /// What it needs of the image.
    pub fn source(&self) -> Window {
        self.source
    }

    /// The rectangle, from what it needs of the image.
    pub fn apply(&self, source: &Image) -> Image {
        match (&self.rows, &self.columns) {
            (Some(rows), Some(columns)) => resize_columns(&resize_rows(source, rows), columns),
            (Some(rows), None) => resize_rows(source, rows),
            (None, Some(columns)) => resize_columns(source, columns),
            (None, None) => source.clone(),
        }
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
