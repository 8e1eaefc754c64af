//! The deterministic operations that transforms are made of.

use std::sync::Arc;

use super::geometry;
use super::resample::{self, Interpolation};
use super::{Canvas, Fill, PadMode};
use crate::data::decode;
use crate::data::image::{Image, Picture, Planes, Table};
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
    /// Several of the above as one table a channel.
    Table(Arc<Vec<Table>>),
}

impl Op {
    /// The size after the operation.
    pub fn canvas(&self, canvas: Canvas) -> Canvas {
        match *self {
            Op::Crop { height, width, .. } | Op::Resize { height, width, .. } => Canvas { height, width, ..canvas },
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
            Op::Table(tables) => match picture {
                Picture::Bytes(image) => {
                    let tables = fit(tables, image.channels)?;
                    Picture::Lazy(image, tables)
                }
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

    /// The operation's name, without its numbers.
    pub fn name(&self) -> String {
        let text = format!("{self:?}");
        text.split([' ', '(', '{']).next().unwrap_or_default().to_owned()
    }
}

/// Tables for as many channels as an image has: one table serves all.
fn fit(tables: &Arc<Vec<Table>>, channels: usize) -> Result<Arc<Vec<Table>>> {
    match tables.len() {
        n if n == channels => Ok(tables.clone()),
        1 => Ok(Arc::new(vec![tables[0]; channels])),
        n => Err(mismatch(n, channels)),
    }
}

fn mismatch(values: usize, channels: usize) -> Error {
    Error::failed(format!("Normalize has {values} means for a picture of {channels} channels"))
        .help("give one mean and one std a channel, or one for all")
}

/// The tables of a plain cast.
pub(super) fn cast_table(scale: f32) -> Table {
    // torch divides by 255 where it scales; a product with 1/255 would differ in the last bit.
    std::array::from_fn(|i| if scale == 1.0 { i as f32 } else { i as f32 / (1.0 / scale).round() })
}

fn to_float(picture: Picture, scale: f32) -> Picture {
    match picture {
        Picture::Bytes(image) => {
            let tables = Arc::new(vec![cast_table(scale); image.channels]);
            Picture::Lazy(image, tables)
        }
        other => other,
    }
}

fn to_bytes(picture: Picture) -> Picture {
    let Picture::Floats(planes) = picture.clone().into_floats() else { return picture };
    let Planes { width, height, channels, data } = planes;
    let mut image = Image { width, height, channels, data: vec![0; data.len()] };
    for (channel, plane) in data.chunks_exact((width * height).max(1)).enumerate() {
        for (pixel, value) in plane.iter().enumerate() {
            // 255.999 is torch's: 1 becomes 255 and each byte gets an equal share of the interval.
            image.data[pixel * channels + channel] = (value * 255.999) as u8;
        }
    }
    Picture::Bytes(image)
}

/// A table after normalizing.
pub(super) fn normalized(table: &Table, mean: f32, std: f32) -> Table {
    table.map(|value| (value - mean) / std)
}

fn normalize(picture: Picture, mean: &[f32], std: &[f32]) -> Result<Picture> {
    let (channels, ..) = picture.size();
    if mean.len() != channels && mean.len() != 1 {
        return Err(mismatch(mean.len(), channels));
    }
    let of = |values: &[f32], channel: usize| values[if values.len() == 1 { 0 } else { channel }];
    match picture {
        Picture::Lazy(image, tables) => {
            let tables = tables.iter().enumerate().map(|(c, table)| normalized(table, of(mean, c), of(std, c)));
            let tables = Arc::new(tables.collect());
            Ok(Picture::Lazy(image, tables))
        }
        Picture::Floats(mut planes) => {
            let plane = (planes.width * planes.height).max(1);
            for (c, values) in planes.data.chunks_exact_mut(plane).enumerate() {
                let (mean, std) = (of(mean, c), of(std, c));
                for value in values {
                    *value = (*value - mean) / std;
                }
            }
            Ok(Picture::Floats(planes))
        }
        _ => Err(Error::failed("Normalize acts on floats, and this picture is bytes")
            .help("put ToTensor (or v2's ToDtype with scale: true) before Normalize")),
    }
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
