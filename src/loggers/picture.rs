//! Images as files: what trackers show are PNGs.

use std::path::Path;

use crate::error::{Error, Result};
use crate::train::Image;

/// An image as a PNG file.
///
/// # Errors
/// When its pixels are not as many as its size says.
pub fn png(image: &Image) -> Result<Vec<u8>> {
    use image::{ExtendedColorType, ImageEncoder, codecs::png::PngEncoder};
    if image.rgb.len() != image.width as usize * image.height as usize * 3 {
        let message = format!("{image:?} has {} values instead of 3 a pixel", image.rgb.len());
        return Err(Error::failed(message));
    }
    let mut bytes = Vec::new();
    PngEncoder::new(&mut bytes)
        .write_image(&image.rgb, image.width, image.height, ExtendedColorType::Rgb8)
        .map_err(|error| Error::failed(format!("cannot encode an image: {error}")))?;
    Ok(bytes)
}

/// Width and height of a picture that trackers show; `None` for other files.
pub fn size_of(file: &Path) -> Option<(u32, u32)> {
    match file.extension()?.to_str()?.to_lowercase().as_str() {
        "png" | "gif" | "webp" => {
            image::ImageReader::open(file).ok()?.with_guessed_format().ok()?.into_dimensions().ok()
        }
        _ => None,
    }
}
