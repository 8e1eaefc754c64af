//! Samples as small pictures.

use image::{RgbImage, imageops};
use tch::Kind;

use super::scene::{Anchor, BLACK, Color, Scene, shortened};
use crate::data::{Dataset, SampleKey, decode::Decode, image::Image as Decoded};
use crate::error::{Error, Result};
use crate::report::evaluation::WorstSample;

/// The longest side of a picture.
const SIDE: u32 = 192;
/// Pictures up to this size are kept pixel by pixel: their pixels should be seen.
const TINY: u32 = 64;

/// A sample as a picture: its file, or what the network was given when that has one or three channels. `None` for
/// samples that are no pictures or cannot be read.
pub fn of(dataset: &dyn Dataset, index: usize, seed: u64) -> Option<RgbImage> {
    let picture = match dataset.path(index) {
        Some(path) => of_file(path),
        None => of_tensor(dataset, index, seed),
    }?;
    let (width, height) = picture.dimensions();
    let longest = width.max(height);
    let scaled = |side: u32| (u64::from(side) * u64::from(SIDE) / u64::from(longest)).max(1) as u32;
    Some(if longest <= SIDE { picture } else { imageops::thumbnail(&picture, scaled(width), scaled(height)) })
}

fn of_file(path: &std::path::Path) -> Option<RgbImage> {
    let decode = Decode { at_least: Some(SIDE as usize), ..Decode::default() };
    let Decoded { width, height, data, .. } = decode.file(path).ok()?;
    RgbImage::from_raw(u32::try_from(width).ok()?, u32::try_from(height).ok()?, data)
}

/// `[1 or 3, height, width]`; floats are stretched so that the smallest is black and the largest white, because nobody
/// knows here how they were normalized.
fn of_tensor(dataset: &dyn Dataset, index: usize, seed: u64) -> Option<RgbImage> {
    let sample = dataset.sample(SampleKey { seed, epoch: 0, index: index as u64 }).ok()?;
    let input = sample.fields.get("input")?;
    let [1 | 3, height, width] = input.size()[..] else { return None };
    if height < 4 || width < 4 {
        return None;
    }
    let values = input.to_kind(Kind::Float).expand([3, height, width], false).permute([1, 2, 0]).contiguous();
    let values = Vec::<f32>::try_from(values.view(-1)).ok()?;
    let (low, high) = match input.kind() {
        Kind::Uint8 => (0.0, 255.0),
        _ => values.iter().fold((f32::INFINITY, f32::NEG_INFINITY), |(low, high), v| (low.min(*v), high.max(*v))),
    };
    let scale = 255.0 / (high - low).max(f32::MIN_POSITIVE);
    let bytes = values.iter().map(|value| ((value - low) * scale).round().clamp(0.0, 255.0) as u8).collect();
    RgbImage::from_raw(width as u32, height as u32, bytes)
}

/// The picture as a file, with the ending of its name: PNG when it is tiny, else JPEG.
///
/// # Errors
/// When the encoder refuses.
pub fn encoded(picture: &RgbImage) -> Result<(Vec<u8>, &'static str)> {
    let failed = |error: String| Error::failed(format!("cannot encode a picture: {error}"));
    let (width, height) = picture.dimensions();
    if width.max(height) <= TINY {
        let mut png = std::io::Cursor::new(Vec::new());
        picture.write_to(&mut png, image::ImageFormat::Png).map_err(|error| failed(error.to_string()))?;
        return Ok((png.into_inner(), "png"));
    }
    let mut compress = mozjpeg::Compress::new(mozjpeg::ColorSpace::JCS_RGB);
    compress.set_size(width as usize, height as usize);
    compress.set_quality(82.0);
    let mut compress = compress.start_compress(Vec::new()).map_err(|error| failed(error.to_string()))?;
    compress.write_scanlines(picture.as_raw()).map_err(|error| failed(error.to_string()))?;
    Ok((compress.finish().map_err(|error| failed(error.to_string()))?, "jpg"))
}

/// The worst predictions side by side, with what they are and were taken for.
pub fn sheet(samples: &[(RgbImage, WorstSample)]) -> RgbImage {
    const COLUMNS: usize = 6;
    const CELL: [f64; 2] = [152.0, 184.0];
    const PICTURE: u32 = 136;
    const WRONG: Color = [179, 38, 30];
    const SOFT: Color = [96, 100, 108];
    let rows = samples.len().div_ceil(COLUMNS);
    let place = |i: usize| [8.0 + CELL[0] * (i % COLUMNS) as f64, 8.0 + CELL[1] * (i / COLUMNS) as f64];
    let columns = samples.len().min(COLUMNS);
    let mut scene = Scene::new(16.0 + CELL[0] * columns as f64, 16.0 + CELL[1] * rows as f64);
    for (i, (_, sample)) in samples.iter().enumerate() {
        let ([x, y], picture) = (place(i), f64::from(PICTURE));
        let ink = if sample.truth == sample.prediction { BLACK } else { WRONG };
        let text = |text: &str| shortened(text, picture);
        scene.text([x, y + picture + 12.0], &text(&sample.truth), Anchor::Start, SOFT);
        scene.text([x, y + picture + 29.0], &text(&format!("> {}", sample.prediction)), Anchor::Start, ink);
    }
    let mut sheet = scene.pixels();
    for (i, (picture, _)) in samples.iter().enumerate() {
        let (width, height) = picture.dimensions();
        let longest = width.max(height).max(1);
        let scaled = |side: u32| (side * PICTURE / longest).max(1);
        let filter = if longest <= TINY { imageops::FilterType::Nearest } else { imageops::FilterType::Triangle };
        let picture = imageops::resize(picture, scaled(width), scaled(height), filter);
        let [x, y] = place(i);
        imageops::overlay(&mut sheet, &picture, x as i64, y as i64);
    }
    sheet
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::Sample;
    use tch::Tensor;

    /// A sample of these sizes: bytes that are all 9, or floats that count up.
    struct One(&'static [i64], Kind);

    impl Dataset for One {
        fn len(&self) -> usize {
            1
        }
        fn sample(&self, _: SampleKey) -> Result<Sample> {
            let options = (self.1, tch::Device::Cpu);
            let input = match self.1 {
                Kind::Uint8 => Tensor::full(self.0, 9, options),
                _ => Tensor::arange(self.0.iter().product::<i64>(), options).view(self.0) - 3.0,
            };
            Ok(Sample::pair(input, Tensor::from(0)))
        }
    }

    #[test]
    fn what_the_network_sees_is_shown_when_it_is_a_picture() {
        let gray = of(&One(&[1, 4, 4], Kind::Float), 0, 0).unwrap();
        assert_eq!((gray.dimensions(), gray.get_pixel(0, 0).0, gray.get_pixel(3, 3).0), ((4, 4), [0; 3], [255; 3]));
        assert_eq!(encoded(&gray).unwrap().1, "png");
        let wide = of(&One(&[3, 300, 600], Kind::Uint8), 0, 0).unwrap();
        assert_eq!((wide.dimensions(), wide.get_pixel(5, 5).0), ((192, 96), [9; 3]));
        let (bytes, kind) = encoded(&wide).unwrap();
        assert_eq!((kind, &bytes[..2]), ("jpg", &[0xff, 0xd8][..]));
        assert!(of(&One(&[64], Kind::Float), 0, 0).is_none());
        let samples = [gray, wide].map(|picture| (picture, WorstSample::default()));
        assert_eq!(sheet(&samples).dimensions(), (320, 200));
    }
}
