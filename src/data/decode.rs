//! Files to 8-bit images: JPEG by libjpeg-turbo's decoder (in mozjpeg), PNG, TIFF, WebP, BMP and GIF (first frame)
//! by the `image` crate.
//!
//! The pixels are those of Pillow's `Image.open(path).convert(mode)`, as torchvision loads them: a palette becomes
//! its colours, an alpha channel is dropped, a rotation noted in EXIF is not applied; but 16-bit values keep their upper
//! byte, where Pillow makes nearly all of them white. The format is what the file's first bytes say, whatever its name.

use std::io::Cursor;
use std::path::Path;

use image::{DynamicImage, ImageDecoder, ImageError, ImageReader, Limits};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::image::{Image, Picture, Planes};
use crate::error::{Error, Result};
use crate::native::jpeg::{self, Jpeg, JpegError};

/// File name endings that an image folder takes for images, in lower case.
pub const EXTENSIONS: [&str; 8] = ["jpg", "jpeg", "png", "bmp", "tif", "tiff", "webp", "gif"];

/// The channels of decoded images, in Pillow's words.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
pub enum Mode {
    /// Red, green and blue; a gray image gives three equal channels.
    #[default]
    #[serde(rename = "RGB")]
    Rgb,
    /// One channel: (19595 R + 38470 G + 7471 B + 32768) / 65536 of a colour image.
    L,
    /// Red, green, blue and opacity; what has none is opaque.
    #[serde(rename = "RGBA")]
    Rgba,
    /// Values of 16 bits as floats, 65535 being 1, in as many channels as the file has; 8-bit files give 0…1 too.
    #[serde(rename = "I;16")]
    Wide,
}

/// How images are decoded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Decode {
    /// The channels.
    pub mode: Mode,
    /// The most pixels that an image may have. A small file can claim to be huge (a decompression bomb); it is
    /// refused before memory is taken.
    pub max_pixels: u64,
    /// A JPEG file may be decoded at a half, a quarter or an eighth of its size if both sides are still at least
    /// this long; `None` decodes it whole. The result differs a little from a whole image that is reduced.
    pub at_least: Option<usize>,
}

/// Twice Pillow's limit for a warning: where Pillow raises its error.
pub const MAX_PIXELS: u64 = 178_956_970;

impl Default for Decode {
    fn default() -> Self {
        Decode { mode: Mode::Rgb, max_pixels: MAX_PIXELS, at_least: None }
    }
}

impl Decode {
    /// Reads and decodes a file.
    ///
    /// # Errors
    /// When the file cannot be read, is empty, truncated or corrupt, is no image of a known format, or has more
    /// pixels than allowed; the message names the file.
    pub fn file(&self, path: &Path) -> Result<Image> {
        let bytes = std::fs::read(path).map_err(|error| Error::io("read", path, error))?;
        self.bytes(&bytes).map_err(|error| error.context(format!("cannot read {}", path.display())))
    }

    /// Reads and decodes a file to what its mode says: bytes, or floats for [`Mode::Wide`].
    ///
    /// # Errors
    /// As [`Decode::file`].
    pub fn picture(&self, path: &Path) -> Result<Picture> {
        let bytes = std::fs::read(path).map_err(|error| Error::io("read", path, error))?;
        self.content(&bytes).map_err(|error| error.context(format!("cannot read {}", path.display())))
    }

    /// Decodes a file's content to what its mode says.
    ///
    /// # Errors
    /// As [`Decode::file`], without the name.
    pub fn content(&self, bytes: &[u8]) -> Result<Picture> {
        if self.mode == Mode::Wide {
            self.wide(bytes).map(Picture::Floats)
        } else {
            self.bytes(bytes).map(Picture::Bytes)
        }
    }

    /// The width and height of a file's picture, without decoding it.
    ///
    /// # Errors
    /// As [`Decode::file`].
    pub fn size(&self, path: &Path) -> Result<[usize; 2]> {
        let bytes = std::fs::read(path).map_err(|error| Error::io("read", path, error))?;
        self.size_of(&bytes).map_err(|error| error.context(format!("cannot read {}", path.display())))
    }

    fn size_of(&self, bytes: &[u8]) -> Result<[usize; 2]> {
        if bytes.is_empty() {
            return Err(Error::failed("the file is empty"));
        }
        if bytes.starts_with(&JPEG) {
            let file = Decode { at_least: None, ..*self }.open_jpeg(bytes)?;
            return Ok([file.width, file.height]);
        }
        let reader = ImageReader::new(Cursor::new(bytes)).with_guessed_format();
        let size = reader.map_err(ImageError::IoError).and_then(ImageReader::into_dimensions);
        let (width, height) = size.map_err(|error| Error::failed(error.to_string()))?;
        Ok([width as usize, height as usize])
    }

    /// Finds out whether a file can be read, faster than by decoding it whole where that is possible.
    ///
    /// # Errors
    /// As [`Decode::file`].
    pub fn verify(&self, path: &Path) -> Result<()> {
        // An eighth of a JPEG file's size needs all of the file but little of the work.
        Decode { at_least: Some(1), ..*self }.picture(path).map(drop)
    }

    /// Decodes a file's content.
    ///
    /// # Errors
    /// As [`Decode::file`], without the name.
    pub fn bytes(&self, bytes: &[u8]) -> Result<Image> {
        if bytes.is_empty() {
            return Err(Error::failed("the file is empty"));
        }
        if bytes.starts_with(&JPEG) { self.jpeg(bytes) } else { self.other(bytes) }
    }

    fn limit(&self, width: usize, height: usize) -> Result<()> {
        if width as u64 * height as u64 > self.max_pixels {
            let message = format!("it has {width}x{height} pixels, more than the {} allowed", self.max_pixels);
            return Err(Error::failed(message).help("raise max_image_pixels if the file is meant to be so large"));
        }
        Ok(())
    }

    fn jpeg(&self, bytes: &[u8]) -> Result<Image> {
        let file = self.open_jpeg(bytes)?;
        let (width, height) = (file.width, file.height);
        file.window(Window { left: 0, top: 0, width, height })
    }

    /// Opens a JPEG file's content, to decode a part of it; `None` for other formats, and where 16-bit values are
    /// asked for.
    ///
    /// # Errors
    /// When its header is broken, or it has more pixels than allowed.
    pub fn open<'a>(&self, bytes: &'a [u8]) -> Result<Option<JpegFile<'a>>> {
        if !bytes.starts_with(&JPEG) || self.mode == Mode::Wide { Ok(None) } else { self.open_jpeg(bytes).map(Some) }
    }

    fn open_jpeg<'a>(&self, bytes: &'a [u8]) -> Result<JpegFile<'a>> {
        let jpeg = Jpeg::open(bytes).map_err(broken_jpeg)?;
        let header = jpeg.header();
        let (width, height) = (header.width as usize, header.height as usize);
        self.limit(width, height)?;
        let eighths = self.at_least.map_or(8, |least| eighths(width.min(height), least));
        let side = |side: u32| jpeg::scaled(side, eighths as u32) as usize;
        let (width, height) = (side(header.width), side(header.height));
        Ok(JpegFile { decode: *self, eighths: eighths as u32, width, height, channels: header.channels, jpeg })
    }

    fn other(&self, bytes: &[u8]) -> Result<Image> {
        let (image, name) = self.dynamic(bytes)?;
        self.narrow(image, &name)
    }

    /// Decodes anything but JPEG; with the name of its format.
    fn dynamic(&self, bytes: &[u8]) -> Result<(DynamicImage, String)> {
        let mut reader = ImageReader::new(Cursor::new(bytes))
            .with_guessed_format()
            .map_err(|error| Error::failed(format!("it cannot be read: {error}")))?;
        let Some(format) = reader.format() else {
            return Err(Error::failed("it is not an image of a known format (JPEG, PNG, TIFF, WebP, BMP, GIF)"));
        };
        let name = format!("{format:?}").to_uppercase();
        let broken = |error: ImageError| match error {
            ImageError::Unsupported(error) => Error::failed(format!("{name} files of this kind are not read: {error}")),
            error => Error::failed(format!("a broken {name} file ({error})")),
        };
        // A broken file may claim tables of any size; what the pixels allow must be enough for them.
        let mut limits = Limits::no_limits();
        limits.max_alloc = Some(self.max_pixels.saturating_mul(8).max(1 << 29));
        reader.limits(limits);
        let decoder = reader.into_decoder().map_err(broken)?;
        let (width, height) = decoder.dimensions();
        self.limit(width as usize, height as usize)?;
        Ok((DynamicImage::from_decoder(decoder).map_err(broken)?, name))
    }

    /// The bytes of a decoded image; values of 16 bits keep their upper one.
    fn narrow(&self, image: DynamicImage, name: &str) -> Result<Image> {
        let (width, height) = (image.width() as usize, image.height() as usize);
        let high = |values: &[u16]| -> Vec<u8> { values.iter().map(|v| (v >> 8) as u8).collect() };
        let (channels, data) = match image {
            DynamicImage::ImageLuma8(image) => (1, image.into_raw()),
            DynamicImage::ImageLumaA8(image) => (2, image.into_raw()),
            DynamicImage::ImageRgb8(image) => (3, image.into_raw()),
            DynamicImage::ImageRgba8(image) => (4, image.into_raw()),
            DynamicImage::ImageLuma16(image) => (1, high(&image)),
            DynamicImage::ImageLumaA16(image) => (2, high(&image)),
            DynamicImage::ImageRgb16(image) => (3, high(&image)),
            DynamicImage::ImageRgba16(image) => (4, high(&image)),
            _ => return Err(Error::failed(format!("{name} files of floats are no pictures"))),
        };
        Image::new(width, height, channels, data).map(|image| self.convert(image))
    }

    /// Values of 16 bits as floats 0…1, a plane a channel.
    fn wide(&self, bytes: &[u8]) -> Result<Planes> {
        if bytes.is_empty() {
            return Err(Error::failed("the file is empty"));
        }
        let interleaved = |width: usize, height: usize, channels: usize, values: Vec<f32>| {
            let data = (0..channels).flat_map(|channel| values[channel..].iter().step_by(channels).copied()).collect();
            Planes { width, height, channels, data }
        };
        if bytes.starts_with(&JPEG) {
            let Image { width, height, channels, data } = self.jpeg(bytes)?;
            let values = data.iter().map(|value| f32::from(*value) / 255.0).collect();
            return Ok(interleaved(width, height, channels, values));
        }
        let (image, name) = self.dynamic(bytes)?;
        let (width, height) = (image.width() as usize, image.height() as usize);
        let wide = |values: &[u16]| -> Vec<f32> { values.iter().map(|v| f32::from(*v) / 65535.0).collect() };
        let (channels, values) = match image {
            DynamicImage::ImageLuma16(image) => (1, wide(&image)),
            DynamicImage::ImageLumaA16(image) => (2, wide(&image)),
            DynamicImage::ImageRgb16(image) => (3, wide(&image)),
            DynamicImage::ImageRgba16(image) => (4, wide(&image)),
            other => {
                let Image { channels, data, .. } = self.narrow(other, &name)?;
                (channels, data.iter().map(|value| f32::from(*value) / 255.0).collect())
            }
        };
        Ok(interleaved(width, height, channels, values))
    }

    /// Drops an alpha channel and gives the image the channels of the mode.
    fn convert(&self, image: Image) -> Image {
        let Image { width, height, channels, data } = image;
        let pixels = || data.chunks_exact(channels);
        let colour = channels >= 3;
        let (channels, data) = match self.mode {
            Mode::Rgb if channels == 3 => (3, data),
            Mode::Rgb if colour => (3, pixels().flat_map(|p| [p[0], p[1], p[2]]).collect()),
            Mode::Rgb => (3, pixels().flat_map(|p| [p[0]; 3]).collect()),
            Mode::L if channels == 1 => (1, data),
            Mode::L if colour => (1, pixels().map(|p| luma(p[0], p[1], p[2])).collect()),
            Mode::L => (1, pixels().map(|p| p[0]).collect()),
            Mode::Rgba if channels == 4 => (4, data),
            Mode::Rgba if channels == 3 => (4, pixels().flat_map(|p| [p[0], p[1], p[2], 255]).collect()),
            Mode::Rgba if channels == 2 => (4, pixels().flat_map(|p| [p[0], p[0], p[0], p[1]]).collect()),
            Mode::Rgba => (4, pixels().flat_map(|p| [p[0], p[0], p[0], 255]).collect()),
            Mode::Wide => (channels, data),
        };
        Image { width, height, channels, data }
    }
}

/// The first bytes of a JPEG file.
const JPEG: [u8; 3] = [0xFF, 0xD8, 0xFF];

/// The least of 1, 2, 4, 8 eighths at which the shorter side is not below `least`; never more than 8.
fn eighths(side: usize, least: usize) -> usize {
    [1, 2, 4].into_iter().find(|&eighths| (side * eighths).div_ceil(8) >= least).unwrap_or(8)
}

/// A rectangle of a picture, in pixels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Window {
    /// The first column.
    pub left: usize,
    /// The first row.
    pub top: usize,
    /// Columns.
    pub width: usize,
    /// Rows.
    pub height: usize,
}

/// A JPEG file whose header has been read.
pub struct JpegFile<'a> {
    decode: Decode,
    eighths: u32,
    /// Pixels in a row, reduced if that is asked for.
    pub width: usize,
    /// Rows, reduced if that is asked for.
    pub height: usize,
    channels: u32,
    jpeg: Jpeg<'a>,
}

impl JpegFile<'_> {
    /// The channels of what is decoded.
    pub fn channels(&self) -> usize {
        match self.decode.mode {
            Mode::Rgb => 3,
            Mode::L => 1,
            Mode::Rgba => 4,
            Mode::Wide if self.channels == 1 => 1,
            Mode::Wide => 3,
        }
    }

    /// Decodes a part: the same pixels as those of the whole picture.
    ///
    /// # Errors
    /// When the file is truncated or broken, wherever that is.
    pub fn window(self, window: Window) -> Result<Image> {
        let Window { left, top, width, height } = window;
        let [left, top, wide, high] = [left, top, width, height].map(|side| u32::try_from(side).unwrap_or(u32::MAX));
        let window = jpeg::Window { eighths: self.eighths, left, top, width: wide, height: high };
        let data = self.jpeg.decode(window).map_err(broken_jpeg)?;
        if self.channels == 4 {
            let data = data.as_chunks::<4>().0.iter().flat_map(|pixel| from_cmyk(*pixel)).collect();
            return Image::new(width, height, 3, data).map(|image| self.decode.convert(image));
        }
        Image::new(width, height, self.channels as usize, data).map(|image| self.decode.convert(image))
    }
}

fn broken_jpeg(error: JpegError) -> Error {
    match error {
        // The library would fill what is missing with gray.
        JpegError::Truncated => Error::failed("the JPEG file is truncated"),
        JpegError::Broken(why) => Error::failed(format!("a broken JPEG file ({why})")),
    }
}

/// Pillow's RGB of a CMYK pixel as JPEG files hold it: inverted, as Adobe writes it.
fn from_cmyk([c, m, y, k]: [u8; 4]) -> [u8; 3] {
    let white = u32::from(k);
    [c, m, y].map(|ink| {
        let product = u32::from(255 - ink) * white + 128;
        (white - ((product + (product >> 8)) >> 8).min(white)) as u8
    })
}

/// Pillow's gray value of a colour (ITU-R 601-2 luma in 16-bit fixed point).
pub fn luma(r: u8, g: u8, b: u8) -> u8 {
    ((19595 * u32::from(r) + 38470 * u32::from(g) + 7471 * u32::from(b) + 0x8000) >> 16) as u8
}

#[cfg(test)]
mod tests;
