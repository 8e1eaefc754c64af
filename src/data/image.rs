//! Images as transforms see them: 8-bit buffers as long as possible, floats at the end.
//!
//! [`Image`] is bytes, rows of interleaved channels, as decoders give them. [`Planes`] is floats, one plane a
//! channel, as networks take them. [`Picture`] is either, or bytes with a table that says which float each byte
//! will become: the cast and the normalization happen in one pass, when the picture is written into its batch.

use std::sync::Arc;

use tch::{Kind, Tensor};

use crate::error::{Error, Result};
use crate::native::elements;

/// An 8-bit image: `height` rows of `width` pixels of `channels` bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Image {
    /// Pixels in a row.
    pub width: usize,
    /// Rows.
    pub height: usize,
    /// Bytes in a pixel: 1 gray, 3 RGB, or any other number.
    pub channels: usize,
    /// `height * width * channels` bytes.
    pub data: Vec<u8>,
}

/// A float image: `channels` planes of `height` rows of `width` values.
#[derive(Clone, Debug, PartialEq)]
pub struct Planes {
    /// Values in a row.
    pub width: usize,
    /// Rows.
    pub height: usize,
    /// Planes.
    pub channels: usize,
    /// `channels * height * width` values.
    pub data: Vec<f32>,
}

/// Which float a byte becomes, for one channel.
pub type Table = [f32; 256];

/// What flows through a pipeline of transforms.
#[derive(Clone, Debug)]
pub enum Picture {
    /// Bytes, as decoded.
    Bytes(Image),
    /// Bytes that count as the floats of a table a channel.
    Lazy(Image, Arc<Vec<Table>>),
    /// Floats.
    Floats(Planes),
    /// Several pictures made from one, as `FiveCrop` does.
    Many(Vec<Picture>),
}

impl Image {
    /// An image over a buffer.
    ///
    /// # Errors
    /// When the buffer's length is not `width * height * channels`.
    pub fn new(width: usize, height: usize, channels: usize, data: Vec<u8>) -> Result<Self> {
        let image = Image { width, height, channels, data };
        if image.data.len() != width * height * channels {
            let found = image.data.len();
            return Err(Error::failed(format!("{found} bytes do not make an image of {width}x{height}x{channels}")));
        }
        Ok(image)
    }

    /// An image of one colour; `colour` has a byte a channel.
    pub fn filled(width: usize, height: usize, colour: &[u8]) -> Self {
        Image { width, height, channels: colour.len(), data: colour.repeat(width * height) }
    }

    /// An image from planes `[channels, height, width]`, as tensors hold it.
    pub fn from_planes(channels: usize, height: usize, width: usize, planes: &[u8]) -> Result<Self> {
        let mut image = Image::new(width, height, channels, planes.to_vec())?;
        for (channel, plane) in planes.chunks_exact((width * height).max(1)).enumerate() {
            for (pixel, value) in plane.iter().enumerate() {
                image.data[pixel * channels + channel] = *value;
            }
        }
        Ok(image)
    }

    /// The bytes of row `y`.
    pub fn row(&self, y: usize) -> &[u8] {
        let stride = self.width * self.channels;
        &self.data[y * stride..(y + 1) * stride]
    }

    /// The bytes of row `y`, to change them.
    pub fn row_mut(&mut self, y: usize) -> &mut [u8] {
        let stride = self.width * self.channels;
        &mut self.data[y * stride..(y + 1) * stride]
    }

    /// Writes the bytes as planes `[channels, height, width]`.
    fn write_planes(&self, out: &mut [u8]) {
        let plane = self.width * self.height;
        for (channel, out) in out.chunks_exact_mut(plane.max(1)).enumerate() {
            let source = self.data[channel..].iter().step_by(self.channels);
            for (out, value) in out.iter_mut().zip(source) {
                *out = *value;
            }
        }
    }
}

/// Writes bytes of interleaved channels as planes of floats, each byte looked up in its channel's table.
pub fn write_table(bytes: &[u8], tables: &[Table], out: &mut [f32]) {
    let channels = tables.len();
    let plane = out.len() / channels.max(1);
    match (tables, channels) {
        ([table], 1) => {
            for (out, value) in out.iter_mut().zip(bytes) {
                *out = table[usize::from(*value)];
            }
        }
        // One pass over the pixels: they are in the cache once.
        ([r, g, b], 3) => {
            let (red, rest) = out.split_at_mut(plane);
            let (green, blue) = rest.split_at_mut(plane);
            let pixels = bytes.chunks_exact(3).zip(red).zip(green).zip(blue);
            for (((pixel, red), green), blue) in pixels {
                *red = r[usize::from(pixel[0])];
                *green = g[usize::from(pixel[1])];
                *blue = b[usize::from(pixel[2])];
            }
        }
        _ => {
            for (channel, (out, table)) in out.chunks_exact_mut(plane.max(1)).zip(tables).enumerate() {
                for (out, value) in out.iter_mut().zip(bytes[channel..].iter().step_by(channels)) {
                    *out = table[usize::from(*value)];
                }
            }
        }
    }
}

impl From<Image> for Picture {
    fn from(image: Image) -> Self {
        Picture::Bytes(image)
    }
}

impl Picture {
    /// (channels, height, width); of the first picture where there are several.
    pub fn size(&self) -> (usize, usize, usize) {
        match self {
            Picture::Bytes(image) | Picture::Lazy(image, _) => (image.channels, image.height, image.width),
            Picture::Floats(planes) => (planes.channels, planes.height, planes.width),
            Picture::Many(list) => list.first().map_or((0, 0, 0), Picture::size),
        }
    }

    /// The shape of the tensor that it becomes: `[C, H, W]`, or `[N, C, H, W]` for several pictures.
    pub fn shape(&self) -> Vec<i64> {
        match self {
            Picture::Many(list) => {
                let mut shape = list.first().map_or_else(Vec::new, Picture::shape);
                shape.insert(0, list.len() as i64);
                shape
            }
            _ => {
                let (channels, height, width) = self.size();
                [channels, height, width].map(|n| n as i64).to_vec()
            }
        }
    }

    /// The type of the tensor that it becomes: `Uint8` or `Float`.
    pub fn kind(&self) -> Kind {
        match self {
            Picture::Bytes(_) => Kind::Uint8,
            Picture::Lazy(..) | Picture::Floats(_) => Kind::Float,
            Picture::Many(list) => list.first().map_or(Kind::Float, Picture::kind),
        }
    }

    /// The floats, computed now if they have not been.
    pub fn into_floats(self) -> Picture {
        match self {
            Picture::Lazy(image, tables) => {
                let Image { width, height, channels, .. } = image;
                let mut planes = Planes { width, height, channels, data: vec![0.0; width * height * channels] };
                write_table(&image.data, &tables, &mut planes.data);
                Picture::Floats(planes)
            }
            Picture::Many(list) => Picture::Many(list.into_iter().map(Picture::into_floats).collect()),
            other => other,
        }
    }

    /// Writes the floats; `out` is as long as [`Picture::shape`] says. Bytes are written as their values.
    pub fn write_floats(&self, out: &mut [f32]) {
        match self {
            Picture::Floats(planes) => out.copy_from_slice(&planes.data),
            Picture::Lazy(image, tables) => write_table(&image.data, tables, out),
            Picture::Bytes(image) => {
                let plane = image.width * image.height;
                for (channel, out) in out.chunks_exact_mut(plane.max(1)).enumerate() {
                    for (out, value) in out.iter_mut().zip(image.data[channel..].iter().step_by(image.channels)) {
                        *out = f32::from(*value);
                    }
                }
            }
            Picture::Many(list) => {
                let each = out.len() / list.len().max(1);
                for (picture, out) in list.iter().zip(out.chunks_exact_mut(each.max(1))) {
                    picture.write_floats(out);
                }
            }
        }
    }

    /// Writes the bytes of a picture that is bytes as planes.
    pub fn write_bytes(&self, out: &mut [u8]) {
        match self {
            Picture::Bytes(image) => image.write_planes(out),
            Picture::Many(list) => {
                let each = out.len() / list.len().max(1);
                for (picture, out) in list.iter().zip(out.chunks_exact_mut(each.max(1))) {
                    picture.write_bytes(out);
                }
            }
            Picture::Lazy(..) | Picture::Floats(_) => {}
        }
    }

    /// The picture as a tensor of [`Picture::shape`] and [`Picture::kind`], on the CPU.
    pub fn to_tensor(&self) -> Result<Tensor> {
        let shape = self.shape();
        let elements = shape.iter().product::<i64>() as usize;
        Ok(if self.kind() == Kind::Uint8 {
            let mut bytes = vec![0u8; elements];
            self.write_bytes(&mut bytes);
            elements::from_vec(bytes, &shape)?
        } else {
            let mut floats = vec![0f32; elements];
            self.write_floats(&mut floats);
            elements::from_vec(floats, &shape)?
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn planes_and_pixels() {
        for channels in [1, 2, 3, 4] {
            let planes: Vec<u8> = (0..channels as u8 * 6).collect();
            let image = Image::from_planes(channels, 2, 3, &planes).unwrap();
            let mut back = vec![0; planes.len()];
            Picture::Bytes(image.clone()).write_bytes(&mut back);
            assert_eq!(back, planes);

            let table: Table = std::array::from_fn(|i| i as f32 * 2.0);
            let lazy = Picture::Lazy(image.clone(), Arc::new(vec![table; channels]));
            let mut floats = vec![0.0; planes.len()];
            lazy.write_floats(&mut floats);
            assert_eq!(floats, planes.iter().map(|&v| f32::from(v) * 2.0).collect::<Vec<_>>());
            let Picture::Floats(computed) = lazy.into_floats() else { panic!("not floats") };
            assert_eq!(computed.data, floats);
        }
        assert!(Image::new(2, 2, 3, vec![0; 11]).is_err());
    }
}
