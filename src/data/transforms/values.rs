//! Values of pictures: bytes to floats and back, by tables of 256 values where there are bytes.

use std::sync::Arc;

use crate::data::image::{Image, Picture, Planes, Table};
use crate::error::{Error, Result};

/// Tables for as many channels as an image has: one table serves all.
pub(super) fn fit(tables: &Arc<Vec<Table>>, channels: usize) -> Result<Arc<Vec<Table>>> {
    match tables.len() {
        n if n == channels => Ok(tables.clone()),
        1 => Ok(Arc::new(vec![tables[0]; channels])),
        n => Err(mismatch(n, channels)),
    }
}

/// Floats from 0 to 1 as the bytes from 0 to 255 become in tables, which are straight lines: a cast, and normalizations.
pub(super) fn between_levels(mut planes: Planes, tables: &Arc<Vec<Table>>) -> Result<Planes> {
    let tables = fit(tables, planes.channels)?;
    let size = (planes.width * planes.height).max(1);
    for (plane, table) in planes.data.chunks_exact_mut(size).zip(tables.iter()) {
        let (black, span) = (table[0], table[255] - table[0]);
        plane.iter_mut().for_each(|value| *value = black + span * *value);
    }
    Ok(planes)
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

/// Bytes become floats when they are written into their batch; floats are floats already.
pub(super) fn to_float(picture: Picture, scale: f32) -> Picture {
    match picture {
        Picture::Bytes(image) => {
            let tables = Arc::new(vec![cast_table(scale); image.channels]);
            Picture::Lazy(image, tables)
        }
        other => other,
    }
}

/// Floats from 0 to 1 become bytes.
pub(super) fn to_bytes(picture: Picture) -> Picture {
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

/// Floats less the mean, divided by the deviation, of each channel or of all.
///
/// # Errors
/// When there are other channels, or no floats.
pub(super) fn normalize(picture: Picture, mean: &[f32], std: &[f32]) -> Result<Picture> {
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
