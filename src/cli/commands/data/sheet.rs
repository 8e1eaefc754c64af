//! A contact sheet: samples as the model sees them, with their labels.

use std::io::Cursor;
use std::path::Path;

use image::imageops::{self, FilterType};
use image::{ImageFormat, Rgb, RgbImage};
use tch::{Kind, Tensor};

use super::Options;
use crate::cli::evaluation::scene::{self, Anchor};
use crate::data::{Batch, DataFacts, Dataset, LabelKind, Loader};
use crate::error::{Error, Result};
use crate::run;

/// Pictures with their labels.
pub struct Sheet {
    /// In the order in which the loader gives them.
    pub tiles: Vec<Tile>,
}

/// One picture.
pub struct Tile {
    /// As the model sees it.
    pub picture: RgbImage,
    /// Its label in words.
    pub label: String,
    /// Its name.
    pub id: String,
}

/// Pictures are shown at least this large, and no larger than twice that.
const SIDE: u32 = 112;

/// The first samples of an epoch, and the shape of an input. No sheet where the inputs are no pictures.
///
/// # Errors
/// When a sample cannot be read.
pub fn take(loader: &Loader, facts: &DataFacts, options: &Options) -> Result<(Option<Sheet>, String)> {
    let loader = Loader { drop_last: false, ..loader.clone() };
    let mut tiles = Vec::new();
    let mut input = String::new();
    for batch in loader.epoch(options.epoch, 0) {
        let batch = batch?;
        let Ok(tensor) = batch.input() else { return Ok((None, "one tensor a sample".to_owned())) };
        if input.is_empty() {
            input = describe(tensor);
        }
        let Some(pictures) = pictures(tensor, loader.dataset.as_ref())? else { return Ok((None, input)) };
        let views = pictures.len() / batch.len().max(1);
        let labels = labels(&batch, facts, loader.dataset.as_ref());
        for (place, picture) in pictures.into_iter().enumerate() {
            let sample = place / views.max(1);
            let id = loader.dataset.id(batch.indices[sample]);
            tiles.push(Tile { picture, label: labels[sample].clone(), id });
            if tiles.len() == options.samples {
                return Ok((Some(Sheet { tiles }), input));
            }
        }
    }
    Ok(((!tiles.is_empty()).then_some(Sheet { tiles }), input))
}

fn describe(tensor: &Tensor) -> String {
    let kind = if tensor.kind() == Kind::Uint8 { "bytes" } else { "floats" };
    let one = &tensor.size()[1..];
    let ends = (tensor.numel() > 0)
        .then(|| (tensor.f_min().ok(), tensor.f_max().ok()))
        .and_then(|(low, high)| Some((low?.double_value(&[]), high?.double_value(&[]))));
    match ends {
        Some((low, high)) => format!("{kind} of shape {one:?}, from {low:.4} to {high:.4} in the first batch"),
        None => format!("{kind} of shape {one:?}"),
    }
}

/// Every picture of a batch; of several views of a sample all of them. `None` for what is no picture.
fn pictures(input: &Tensor, dataset: &dyn Dataset) -> Result<Option<Vec<RgbImage>>> {
    let size = input.size();
    let [.., channels, height, width] = size[..] else { return Ok(None) };
    let (4 | 5, Some(levels)) = (size.len(), dataset.levels(channels as usize)) else { return Ok(None) };
    let values = Vec::<f32>::try_from(input.f_to_kind(Kind::Float)?.f_contiguous()?.f_flatten(0, -1)?)?;
    let plane = (height * width) as usize;
    let shown: &[usize] = if channels >= 3 { &[0, 1, 2] } else { &[0, 0, 0] };
    let picture = |values: &[f32]| {
        let mut picture = RgbImage::new(width as u32, height as u32);
        for (at, pixel) in picture.pixels_mut().enumerate() {
            *pixel = Rgb([0, 1, 2].map(|color: usize| {
                let channel = shown[color];
                let [black, white] = levels[channel];
                let value = (values[channel * plane + at] - black) / (white - black);
                (value * 255.0).round().clamp(0.0, 255.0) as u8
            }));
        }
        picture
    };
    Ok(Some(values.chunks_exact((plane * channels as usize).max(1)).map(picture).collect()))
}

/// The labels of a batch in words; of mixed samples the classes with their shares.
fn labels(batch: &Batch, facts: &DataFacts, dataset: &dyn Dataset) -> Vec<String> {
    let words = || batch.indices.iter().map(|&index| dataset.target_words(index)).collect();
    let Ok(target) = batch.target() else { return words() };
    let (classes, size) = (facts.classes.len() as i64, target.size());
    let mixed =
        facts.labels == LabelKind::Single && target.is_floating_point() && size.len() == 2 && size[1] == classes;
    let Some(shares) = mixed.then(|| Vec::<f32>::try_from(target.flatten(0, -1)).ok()).flatten() else {
        return words();
    };
    let describe = |row: &[f32]| {
        let mut parts: Vec<(f32, &String)> = row.iter().copied().zip(&facts.classes).collect();
        parts.sort_by(|a, b| b.0.total_cmp(&a.0));
        let large = parts.iter().filter(|(share, _)| *share > 0.02).take(3);
        large.map(|(share, class)| format!("{class} {share:.2}")).collect::<Vec<_>>().join(" + ")
    };
    shares.chunks_exact((classes as usize).max(1)).map(describe).collect()
}

impl Tile {
    /// The picture in a size that can be looked at: small ones in whole multiples.
    pub fn shown(&self) -> RgbImage {
        let (width, height) = self.picture.dimensions();
        let longer = width.max(height).max(1);
        if longer >= 2 * SIDE {
            let side = |side: u32| (side * 2 * SIDE / longer).max(1);
            return imageops::resize(&self.picture, side(width), side(height), FilterType::Triangle);
        }
        let times = SIDE.div_ceil(longer);
        imageops::resize(&self.picture, width * times, height * times, FilterType::Nearest)
    }

    /// The shown picture as a PNG file's content.
    ///
    /// # Errors
    /// When it cannot be encoded.
    pub fn png(&self) -> Result<Vec<u8>> {
        png(&self.shown())
    }
}

fn png(picture: &RgbImage) -> Result<Vec<u8>> {
    let mut bytes = Cursor::new(Vec::new());
    let encoded = picture.write_to(&mut bytes, ImageFormat::Png);
    encoded.map_err(|error| Error::failed(format!("cannot make a picture: {error}")))?;
    Ok(bytes.into_inner())
}

impl Sheet {
    /// Writes all tiles as one PNG file.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn write(&self, path: &Path) -> Result<()> {
        const GAP: u32 = 8;
        const LABEL: u32 = 20;
        let shown: Vec<RgbImage> = self.tiles.iter().map(Tile::shown).collect();
        let width = shown.iter().map(RgbImage::width).max().unwrap_or(SIDE);
        let height = shown.iter().map(RgbImage::height).max().unwrap_or(SIDE);
        let columns = (self.tiles.len() as u32).clamp(1, 8);
        let rows = (self.tiles.len() as u32).div_ceil(columns);
        let size = (GAP + columns * (width + GAP), GAP + rows * (height + LABEL + GAP));
        let mut sheet = RgbImage::from_pixel(size.0, size.1, Rgb(scene::WHITE));
        for (place, (tile, picture)) in (0u32..).zip(self.tiles.iter().zip(&shown)) {
            let x = GAP + place % columns * (width + GAP);
            let y = GAP + place / columns * (height + LABEL + GAP);
            imageops::replace(&mut sheet, picture, i64::from(x), i64::from(y));
            let label = scene::shortened(&tile.label, f64::from(width));
            let at = [f64::from(x), f64::from(y + picture.height() + LABEL / 2)];
            scene::write_text(&mut sheet, at, &label, Anchor::Start, [false, false], scene::BLACK);
        }
        run::write_atomic(path, &png(&sheet)?)
    }
}
