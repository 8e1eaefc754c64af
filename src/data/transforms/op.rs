//! The deterministic operations that transforms are made of.

use std::sync::Arc;

use super::colour;
use super::geometry;
use super::lighting;
use super::resample::{self, Interpolation};
use super::values::{between_levels, fit, normalize, to_bytes, to_float};
use super::warp::{self, Map};
use super::{Canvas, Fill, PadMode};
use crate::data::decode;
use crate::data::image::{Image, Picture, Planes, Table};
use crate::data::rng::{Purpose, Rng};
use crate::error::{Error, Result};

/// One thing done to a picture. Sizes are in pixels; the top left corner is 0, 0.
#[derive(Clone, Debug)]
pub enum Op {
    /// Nothing.
    Identity,
    /// Cuts a rectangle out; what lies outside the picture is filled.
    Crop { top: i64, left: i64, height: usize, width: usize, fill: Fill },
    /// Adds rows and columns at left, top, right, bottom; their content is taken from the picture.
    Pad { padding: [usize; 4], mode: PadMode },
    /// Another size.
    Resize { height: usize, width: usize, interpolation: Interpolation, antialias: bool },
    /// Left and right exchanged.
    HorizontalFlip,
    /// Top and bottom exchanged.
    VerticalFlip,
    /// A rotation in degrees, counter-clockwise, about the middle or `center` = [x, y].
    Rotate { angle: f64, interpolation: Interpolation, expand: bool, center: Option<[f64; 2]>, fill: Fill },
    /// A rotation in degrees, clockwise, with a translation [x, y] in pixels, a scale and shears [x, y] in degrees.
    Affine {
        angle: f64,
        translate: [f64; 2],
        scale: f64,
        shear: [f64; 2],
        interpolation: Interpolation,
        center: Option<[f64; 2]>,
        fill: Fill,
    },
    /// Takes four points to four others: top left, top right, bottom right, bottom left, each [x, y].
    Perspective { startpoints: [[f64; 2]; 4], endpoints: [[f64; 2]; 4], interpolation: Interpolation, fill: Fill },
    /// Towards black (0) or brighter (above 1).
    Brightness(f64),
    /// Towards the mean gray (0) or away from it (above 1).
    Contrast(f64),
    /// Towards gray (0) or more colourful (above 1).
    Saturation(f64),
    /// The hue turned by a share of the circle.
    Hue(f64),
    /// `gain * value^gamma`, white being 1.
    Gamma { gamma: f64, gain: f64 },
    /// Towards a smoothed image (0) or sharper (above 1).
    Sharpness(f64),
    /// The upper bits of each byte.
    Posterize(u8),
    /// Inverts what is at or above a threshold.
    Solarize(f64),
    /// Each channel stretched to the whole range.
    AutoContrast,
    /// Each channel's values made equally frequent.
    Equalize,
    /// The negative.
    Invert,
    /// A Gaussian of a size [x, y] in pixels and deviations [x, y].
    GaussianBlur { kernel: [usize; 2], sigma: [f64; 2] },
    /// A rectangle overwritten.
    Erase { top: usize, left: usize, height: usize, width: usize, value: Erase },
    /// The four corners and the middle; with `flips`, those of the mirrored picture too (`Some(vertical)`).
    Crops { height: usize, width: usize, flips: Option<bool> },
    /// AugMix: the picture and chains of operations on it, weighted and added.
    Mix { keep: f64, chains: Vec<(f64, Vec<Op>)> },
    /// Gray, in 1 or 3 equal channels.
    Grayscale { channels: usize },
    /// Gray, in as many channels as the picture has.
    Gray,
    /// Bytes count as floats from now on: `byte * scale`.
    ToFloat { scale: f32 },
    /// Floats become bytes: `(x * 255.999)` truncated.
    ToBytes,
    /// `(x - mean) / std`, a channel each.
    Normalize { mean: Vec<f32>, std: Vec<f32> },
    /// Brightness and contrast in the logits of values 0…1: `sigmoid((logit(x) + logit(brightness)) * contrast)`.
    Lighting { brightness: f64, contrast: f64 },
    /// Several of the above as one table a channel.
    Table(Arc<Vec<Table>>),
}

/// What an erased rectangle is filled with.
#[derive(Clone, Debug, PartialEq)]
pub enum Erase {
    /// One value a channel, or one for all.
    Values(Vec<f32>),
    /// Standard normal numbers of a stream.
    Normal(u64),
}

impl Op {
    /// The size after the operation.
    pub fn canvas(&self, canvas: Canvas) -> Canvas {
        match *self {
            Op::Crop { height, width, .. } | Op::Resize { height, width, .. } | Op::Crops { height, width, .. } => {
                Canvas { height, width, ..canvas }
            }
            Op::Rotate { angle, expand, center, .. } => {
                let (_, (height, width)) = self::rotation(angle, canvas, center, expand);
                Canvas { height, width, ..canvas }
            }
            Op::Pad { padding: [left, top, right, bottom], .. } => {
                Canvas { height: canvas.height + top + bottom, width: canvas.width + left + right, ..canvas }
            }
            Op::Grayscale { channels } => Canvas { channels, ..canvas },
            _ => canvas,
        }
    }

    /// Carries the operation out.
    ///
    /// # Errors
    /// When the picture is not of the kind that the operation acts on.
    pub fn apply(&self, picture: Picture) -> Result<Picture> {
        if let Picture::Many(list) = picture {
            return Ok(Picture::Many(list.into_iter().map(|picture| self.apply(picture)).collect::<Result<_>>()?));
        }
        Ok(match self {
            Op::Identity => picture,
            Op::ToFloat { scale } => to_float(picture, *scale),
            Op::ToBytes => to_bytes(picture),
            Op::Normalize { mean, std } => normalize(picture, mean, std)?,
            Op::Lighting { brightness, contrast } => lighting::apply(picture, *brightness, *contrast)?,
            Op::Erase { .. } => self.erase(picture.into_floats())?,
            Op::Crops { height, width, flips } => crops(&picture, *height, *width, *flips)?,
            Op::Table(tables) => match picture {
                Picture::Bytes(image) => {
                    let tables = fit(tables, image.channels)?;
                    Picture::Lazy(image, tables)
                }
                // Values of 16 bits are floats already, 1 where a byte is 255.
                Picture::Floats(planes) => Picture::Floats(between_levels(planes, tables)?),
                _ => return Err(Error::failed("the picture is made of floats twice")),
            },
            _ => match picture {
                Picture::Bytes(image) => Picture::Bytes(self.on_image(image)?),
                // Moving pixels and then looking their values up is the same as the other way round.
                Picture::Lazy(image, tables) if self.moves_pixels(&image) => {
                    Picture::Lazy(self.on_image(image)?, tables)
                }
                lazy @ Picture::Lazy(..) => self.apply(lazy.into_floats())?,
                Picture::Floats(planes) => Picture::Floats(self.on_planes(planes)?),
                Picture::Many(_) => picture,
            },
        })
    }

    /// Whether the operation only moves pixels of this image, and makes no new values.
    fn moves_pixels(&self, image: &Image) -> bool {
        match *self {
            Op::HorizontalFlip | Op::VerticalFlip | Op::Pad { .. } => true,
            Op::Crop { top, left, height, width, .. } => {
                geometry::inside(image.height, image.width, top, left, height, width)
            }
            _ => false,
        }
    }

    fn on_image(&self, image: Image) -> Result<Image> {
        Ok(match self {
            Op::Crop { top, left, height, width, fill } => {
                geometry::crop(&image, *top, *left, *height, *width, &fill.bytes(image.channels))
            }
            Op::Pad { padding, mode } => geometry::pad(&image, *padding, *mode),
            Op::Resize { height, width, interpolation, .. } => {
                resample::resize(&image, *height, *width, *interpolation)
            }
            Op::HorizontalFlip => geometry::flip_horizontally(image),
            Op::VerticalFlip => geometry::flip_vertically(&image),
            Op::Grayscale { channels } => gray(&image, *channels)?,
            Op::Rotate { angle, interpolation, expand, center, fill } => {
                let size = (image.height, image.width);
                match warp::quarter_turns(*angle, size, center.is_none(), *expand) {
                    Some(0) => image,
                    Some(turns) => warp::turn(&image, turns),
                    None => {
                        let (matrix, size) = warp::rotation(*angle, size, *center, *expand);
                        warp::warp(&image, Map::Affine(matrix), size, *interpolation, fill)?
                    }
                }
            }
            Op::Affine { angle, translate, scale, shear, interpolation, center, fill } => {
                let size = (image.height, image.width);
                let center = center.unwrap_or([size.1 as f64 * 0.5, size.0 as f64 * 0.5]);
                let matrix = warp::affine(center, *angle, *translate, *scale, *shear);
                warp::warp(&image, Map::Affine(matrix), size, *interpolation, fill)?
            }
            Op::Perspective { startpoints, endpoints, interpolation, fill } => {
                let map = Map::Perspective(warp::perspective(startpoints, endpoints)?);
                warp::warp(&image, map, (image.height, image.width), *interpolation, fill)?
            }
            Op::Brightness(factor) => colour::brightness(image, *factor),
            Op::Contrast(factor) => colour::contrast(image, *factor),
            Op::Saturation(factor) => colour::saturation(image, *factor),
            Op::Hue(factor) => colour::hue(image, *factor),
            Op::Gamma { gamma, gain } => colour::gamma(image, *gamma, *gain),
            Op::Sharpness(factor) => colour::sharpness(image, *factor),
            Op::Posterize(bits) => colour::posterize(image, *bits),
            Op::Solarize(threshold) => colour::solarize(image, *threshold),
            Op::AutoContrast => colour::autocontrast(image),
            Op::Equalize => colour::equalize(image),
            Op::Invert => colour::invert(image),
            Op::GaussianBlur { kernel, sigma } => colour::gaussian_blur(&image, *kernel, *sigma),
            Op::Mix { keep, chains } => mix(&image, *keep, chains)?,
            Op::Gray => gray(&image, image.channels)?,
            _ => image,
        })
    }

    fn on_planes(&self, planes: Planes) -> Result<Planes> {
        Ok(match self {
            Op::Crop { top, left, height, width, fill } => {
                geometry::crop_planes(&planes, *top, *left, *height, *width, fill)
            }
            Op::Pad { padding, mode } => geometry::pad_planes(&planes, *padding, *mode),
            Op::Resize { height, width, interpolation, antialias } => {
                resample::resize_planes(&planes, *height, *width, *interpolation, *antialias)?
            }
            Op::HorizontalFlip => {
                geometry::gather_planes(&planes, &geometry::all(planes.height), &geometry::reversed(planes.width))
            }
            Op::VerticalFlip => {
                geometry::gather_planes(&planes, &geometry::reversed(planes.height), &geometry::all(planes.width))
            }
            _ => {
                return Err(Error::failed(format!("{} acts on 8-bit pictures, and this one is floats", self.name()))
                    .help("put it before ToTensor, ToDtype or ConvertImageDtype in the list of transforms"));
            }
        })
    }

    fn erase(&self, picture: Picture) -> Result<Picture> {
        let (Op::Erase { top, left, height, width, value }, Picture::Floats(mut planes)) = (self, picture) else {
            return Err(Error::failed("RandomErasing acts on floats, and this picture is bytes")
                .help("put it after ToTensor, ToDtype or ConvertImageDtype in the list of transforms"));
        };
        let mut rng =
            if let Erase::Normal(seed) = value { Some(Rng::new(Purpose::Transform, *seed, &[])) } else { None };
        for channel in 0..planes.channels {
            let constant = match value {
                Erase::Values(values) => values.get(channel).or(values.first()).copied().unwrap_or(0.0),
                Erase::Normal(_) => 0.0,
            };
            for y in *top..(top + height).min(planes.height) {
                let row = (channel * planes.height + y) * planes.width;
                for out in &mut planes.data[row + left..row + (left + width).min(planes.width)] {
                    *out = rng.as_mut().map_or(constant, |rng| rng.normal() as f32);
                }
            }
        }
        Ok(Picture::Floats(planes))
    }

    /// The operation's name, without its numbers.
    pub fn name(&self) -> String {
        let text = format!("{self:?}");
        text.split([' ', '(', '{']).next().unwrap_or_default().to_owned()
    }
}

/// The corners and the middle of a picture: top left, top right, bottom left, bottom right, middle.
fn crops(picture: &Picture, height: usize, width: usize, flips: Option<bool>) -> Result<Picture> {
    let (_, rows, columns) = picture.size();
    if rows < height || columns < width {
        return Err(Error::failed(format!("crops of {height}x{width} do not fit into a picture of {rows}x{columns}"))
            .help("resize first"));
    }
    let middle = |have: usize, want: usize| ((have - want) as f64 / 2.0).round_ties_even() as usize;
    let (bottom, right) = (rows - height, columns - width);
    let places = [(0, 0), (0, right), (bottom, 0), (bottom, right), (middle(rows, height), middle(columns, width))];
    let five = |picture: &Picture| -> Result<Vec<Picture>> {
        let crop = |&(top, left): &(usize, usize)| {
            let op = Op::Crop { top: top as i64, left: left as i64, height, width, fill: Fill::default() };
            op.apply(picture.clone())
        };
        places.iter().map(crop).collect()
    };
    let mut list = five(picture)?;
    if let Some(vertical) = flips {
        let flip = if vertical { Op::VerticalFlip } else { Op::HorizontalFlip };
        list.extend(five(&flip.apply(picture.clone())?)?);
    }
    Ok(Picture::Many(list))
}

fn mix(image: &Image, keep: f64, chains: &[(f64, Vec<Op>)]) -> Result<Image> {
    let mut sums: Vec<f32> = image.data.iter().map(|value| keep as f32 * f32::from(*value)).collect();
    for (weight, ops) in chains {
        let mixed = ops.iter().try_fold(Picture::Bytes(image.clone()), |picture, op| op.apply(picture))?;
        let Picture::Bytes(mixed) = mixed else { return Err(Error::failed("a chain of AugMix left the bytes")) };
        sums.iter_mut().zip(&mixed.data).for_each(|(sum, value)| *sum += *weight as f32 * f32::from(*value));
    }
    let data = sums.into_iter().map(|sum| sum as u8).collect();
    Image::new(image.width, image.height, image.channels, data)
}

/// The map and the size of a rotation, quarter turns included.
pub(super) fn rotation(
    angle: f64,
    canvas: Canvas,
    center: Option<[f64; 2]>,
    expand: bool,
) -> ([f64; 6], (usize, usize)) {
    let size = (canvas.height, canvas.width);
    let (matrix, mut to) = warp::rotation(angle, size, center, expand);
    if let Some(turns) = warp::quarter_turns(angle, size, center.is_none(), expand) {
        to = if turns.is_multiple_of(2) { size } else { (size.1, size.0) };
    }
    (matrix, to)
}

fn gray(image: &Image, channels: usize) -> Result<Image> {
    let values: Vec<u8> = match image.channels {
        1 => image.data.clone(),
        3 => image.data.chunks_exact(3).map(|p| decode::luma(p[0], p[1], p[2])).collect(),
        n => return Err(Error::failed(format!("a picture of {n} channels cannot be made gray"))),
    };
    let data = if channels == 1 { values } else { values.iter().flat_map(|v| [*v; 3]).collect() };
    Image::new(image.width, image.height, channels, data)
}
