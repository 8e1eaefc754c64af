//! Operations that move whole pixels: crop, pad, flip.

use super::{Fill, PadMode};
use crate::data::image::{Image, Planes};

/// Whether a rectangle lies inside a picture.
pub fn inside(rows: usize, columns: usize, top: i64, left: i64, height: usize, width: usize) -> bool {
    top >= 0 && left >= 0 && top as usize + height <= rows && left as usize + width <= columns
}

/// The part of `start..start + len` that lies in `0..size`: (first in the result, first in the source, how many).
fn overlap(start: i64, len: usize, size: usize) -> (usize, usize, usize) {
    let skip = (-start).clamp(0, len as i64) as usize;
    let from = start.max(0) as usize;
    (skip, from, (len - skip).min(size.saturating_sub(from)))
}

/// A rectangle of an image; what lies outside has the colour `fill`.
pub fn crop(image: &Image, top: i64, left: i64, height: usize, width: usize, fill: &[u8]) -> Image {
    let c = image.channels;
    let (to_y, from_y, rows) = overlap(top, height, image.height);
    let (to_x, from_x, columns) = overlap(left, width, image.width);
    if rows == height && columns == width {
        let mut data = Vec::with_capacity(height * width * c);
        for y in 0..rows {
            data.extend_from_slice(&image.row(from_y + y)[from_x * c..(from_x + columns) * c]);
        }
        return Image { width, height, channels: c, data };
    }
    let mut out = Image::filled(width, height, fill);
    for y in 0..rows {
        let source = &image.row(from_y + y)[from_x * c..(from_x + columns) * c];
        out.row_mut(to_y + y)[to_x * c..(to_x + columns) * c].copy_from_slice(source);
    }
    out
}

/// As [`crop`], of floats.
pub fn crop_planes(planes: &Planes, top: i64, left: i64, height: usize, width: usize, fill: &Fill) -> Planes {
    let (to_y, from_y, rows) = overlap(top, height, planes.height);
    let (to_x, from_x, columns) = overlap(left, width, planes.width);
    let mut data = Vec::with_capacity(planes.channels * height * width);
    for channel in 0..planes.channels {
        let start = data.len();
        data.resize(start + height * width, fill.of(channel) as f32);
        let plane = &planes.data[channel * planes.height * planes.width..];
        for y in 0..rows {
            let from = (from_y + y) * planes.width + from_x;
            let to = start + (to_y + y) * width + to_x;
            data[to..to + columns].copy_from_slice(&plane[from..from + columns]);
        }
    }
    Planes { width, height, channels: planes.channels, data }
}

/// The source of each row (or column) of a padded picture.
fn padded(size: usize, before: usize, after: usize, mode: PadMode) -> Vec<usize> {
    let size = size as i64;
    (-(before as i64)..size + after as i64)
        .map(|i| match mode {
            PadMode::Constant | PadMode::Edge => i.clamp(0, size - 1),
            // Back and forth without repeating the edge; a picture of one pixel has only that.
            PadMode::Reflect if size == 1 => 0,
            PadMode::Reflect => {
                let period = 2 * (size - 1);
                let at = i.rem_euclid(period);
                at.min(period - at)
            }
            // Back and forth with the edge repeated.
            PadMode::Symmetric => {
                let at = i.rem_euclid(2 * size);
                at.min(2 * size - 1 - at)
            }
        } as usize)
        .collect()
}

/// Pads with content of the image. `padding` is left, top, right, bottom.
pub fn pad(image: &Image, [left, top, right, bottom]: [usize; 4], mode: PadMode) -> Image {
    gather(image, &padded(image.height, top, bottom, mode), &padded(image.width, left, right, mode))
}

/// As [`pad`], of floats.
pub fn pad_planes(planes: &Planes, [left, top, right, bottom]: [usize; 4], mode: PadMode) -> Planes {
    gather_planes(planes, &padded(planes.height, top, bottom, mode), &padded(planes.width, left, right, mode))
}

/// The image of these rows and columns.
pub fn gather(image: &Image, rows: &[usize], columns: &[usize]) -> Image {
    let c = image.channels;
    let mut data = Vec::with_capacity(rows.len() * columns.len() * c);
    for &y in rows {
        let row = image.row(y);
        for &x in columns {
            data.extend_from_slice(&row[x * c..(x + 1) * c]);
        }
    }
    Image { width: columns.len(), height: rows.len(), channels: c, data }
}

/// As [`gather`], of floats.
pub fn gather_planes(planes: &Planes, rows: &[usize], columns: &[usize]) -> Planes {
    let mut data = Vec::with_capacity(planes.channels * rows.len() * columns.len());
    for channel in 0..planes.channels {
        for &y in rows {
            let row = &planes.data[(channel * planes.height + y) * planes.width..];
            data.extend(columns.iter().map(|&x| row[x]));
        }
    }
    Planes { width: columns.len(), height: rows.len(), channels: planes.channels, data }
}

/// 0, 1, … n - 1.
pub fn all(n: usize) -> Vec<usize> {
    (0..n).collect()
}

/// n - 1, … 1, 0.
pub fn reversed(n: usize) -> Vec<usize> {
    (0..n).rev().collect()
}

/// Left and right exchanged.
pub fn flip_horizontally(mut image: Image) -> Image {
    match image.channels {
        1 => (0..image.height).for_each(|y| image.row_mut(y).reverse()),
        3 => {
            for y in 0..image.height {
                let (pixels, _) = image.row_mut(y).as_chunks_mut::<3>();
                pixels.reverse();
            }
        }
        _ => return gather(&image, &all(image.height), &reversed(image.width)),
    }
    image
}

/// Top and bottom exchanged.
pub fn flip_vertically(image: &Image) -> Image {
    let mut data = Vec::with_capacity(image.data.len());
    for y in (0..image.height).rev() {
        data.extend_from_slice(image.row(y));
    }
    Image { width: image.width, height: image.height, channels: image.channels, data }
}
