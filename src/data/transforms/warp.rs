//! Rotation, affine and perspective maps of 8-bit images: Pillow's `Image.transform`, value for value.
//!
//! A map takes the centre of an output pixel to a point of the input; the input is read there by a filter, and what
//! lies outside keeps the fill.

use super::{Fill, Interpolation};
use crate::data::image::Image;
use crate::error::{Error, Result};

/// From output to input coordinates.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Map {
    /// `(a x + b y + c, d x + e y + f)`.
    Affine([f64; 6]),
    /// `((a x + b y + c) / w, (d x + e y + f) / w)` with `w = g x + h y + 1`.
    Perspective([f64; 8]),
}

/// The inverse of `T C R S Sh C^-1`: the map that Pillow wants for a rotation by `angle` degrees clockwise, a scale,
/// shears in degrees and a translation, about a centre.
pub fn affine(center: [f64; 2], angle: f64, translate: [f64; 2], scale: f64, shear: [f64; 2]) -> [f64; 6] {
    let rotation = angle.to_radians();
    let (x, y) = (shear[0].to_radians(), shear[1].to_radians());
    let a = (rotation - y).cos() / y.cos();
    let b = -(rotation - y).cos() * x.tan() / y.cos() - rotation.sin();
    let c = (rotation - y).sin() / y.cos();
    let d = -(rotation - y).sin() * x.tan() / y.cos() + rotation.cos();
    // The determinant of the unscaled part is 1.
    let [a, b, c, d] = [d, -b, -c, a].map(|value| value / scale);
    let back = [-center[0] - translate[0], -center[1] - translate[1]];
    [a, b, a * back[0] + b * back[1] + center[0], c, d, c * back[0] + d * back[1] + center[1]]
}

/// The map of an output point through an affine matrix.
fn at([a, b, c, d, e, f]: [f64; 6], x: f64, y: f64) -> (f64, f64) {
    (a * x + b * y + c, d * x + e * y + f)
}

/// A point through a map.
pub fn mapped(map: Map, x: f64, y: f64) -> (f64, f64) {
    match map {
        Map::Affine(matrix) => at(matrix, x, y),
        Map::Perspective([a, b, c, d, e, f, g, h]) => {
            let w = g * x + h * y + 1.0;
            ((a * x + b * y + c) / w, (d * x + e * y + f) / w)
        }
    }
}

/// The map and the output's (height, width) of a rotation by `angle` degrees counter-clockwise. With `expand` the
/// output holds the whole rotated image.
pub fn rotation(
    angle: f64,
    size: (usize, usize),
    center: Option<[f64; 2]>,
    expand: bool,
) -> ([f64; 6], (usize, usize)) {
    let (height, width) = (size.0 as f64, size.1 as f64);
    let [cx, cy] = center.unwrap_or([width / 2.0, height / 2.0]);
    let angle = -angle.to_radians();
    // Pillow rounds to 15 digits, so that 90 degrees are exact.
    let round = |value: f64| (value * 1e15).round_ties_even() / 1e15;
    let (cos, sin) = (round(angle.cos()), round(angle.sin()));
    let mut matrix = [cos, sin, 0.0, -sin, cos, 0.0];
    let (x, y) = at(matrix, -cx, -cy);
    matrix[2] = x + cx;
    matrix[5] = y + cy;
    if !expand {
        return (matrix, size);
    }
    let corners = [(0.0, 0.0), (width, 0.0), (width, height), (0.0, height)].map(|(x, y)| at(matrix, x, y));
    let span = |values: [f64; 4]| {
        let max = values.into_iter().fold(f64::NEG_INFINITY, f64::max);
        let min = values.into_iter().fold(f64::INFINITY, f64::min);
        max.ceil() - min.floor()
    };
    let (new_width, new_height) = (span(corners.map(|c| c.0)), span(corners.map(|c| c.1)));
    let (x, y) = at(matrix, -(new_width - width) / 2.0, -(new_height - height) / 2.0);
    matrix[2] = x;
    matrix[5] = y;
    (matrix, (new_height as usize, new_width as usize))
}

/// How many quarter turns (counter-clockwise) a rotation is, where Pillow turns instead of interpolating.
pub fn quarter_turns(angle: f64, (height, width): (usize, usize), centered: bool, expand: bool) -> Option<u8> {
    let angle = angle.rem_euclid(360.0);
    let turns = [0.0, 90.0, 180.0, 270.0].iter().position(|turn| *turn == angle)? as u8;
    (centered && (turns.is_multiple_of(2) || expand || width == height)).then_some(turns)
}

/// The image after quarter turns, counter-clockwise.
pub fn turn(image: &Image, turns: u8) -> Image {
    let (height, width, c) = (image.height, image.width, image.channels);
    let (out_height, out_width) = if turns.is_multiple_of(2) { (height, width) } else { (width, height) };
    let mut data = Vec::with_capacity(image.data.len());
    for y in 0..out_height {
        for x in 0..out_width {
            let (from_y, from_x) = match turns % 4 {
                0 => (y, x),
                1 => (x, width - 1 - y),
                2 => (height - 1 - y, width - 1 - x),
                _ => (height - 1 - x, y),
            };
            let at = (from_y * width + from_x) * c;
            data.extend_from_slice(&image.data[at..at + c]);
        }
    }
    Image { width: out_width, height: out_height, channels: c, data }
}

/// The perspective map that takes `endpoints` back to `startpoints` (torchvision's `_get_perspective_coeffs`).
///
/// # Errors
/// When the points do not determine a map: three of them on a line.
pub fn perspective(startpoints: &[[f64; 2]; 4], endpoints: &[[f64; 2]; 4]) -> Result<[f64; 8]> {
    let mut rows = [[0.0; 9]; 8];
    for (i, ([x, y], [u, v])) in endpoints.iter().zip(startpoints).enumerate() {
        rows[2 * i] = [*x, *y, 1.0, 0.0, 0.0, 0.0, -u * x, -u * y, *u];
        rows[2 * i + 1] = [0.0, 0.0, 0.0, *x, *y, 1.0, -v * x, -v * y, *v];
    }
    // Gauss and Jordan with the largest pivot.
    for column in 0..8 {
        let best = (column..8).max_by(|a, b| rows[*a][column].abs().total_cmp(&rows[*b][column].abs()));
        let best = best.unwrap_or(column);
        rows.swap(column, best);
        let pivot = rows[column];
        if pivot[column].abs() < 1e-12 {
            return Err(Error::failed("the four points of a perspective do not span a plane"));
        }
        for (i, row) in rows.iter_mut().enumerate() {
            let factor = row[column] / pivot[column];
            if i != column {
                row.iter_mut().zip(pivot).for_each(|(value, pivot)| *value -= factor * pivot);
            }
        }
    }
    // torchvision keeps the coefficients in single precision.
    Ok(std::array::from_fn(|i| f64::from((rows[i][8] / rows[i][i]) as f32)))
}

/// The image seen through a map, in a size.
///
/// # Errors
/// When Pillow has no such filter for maps (box, hamming, lanczos).
pub fn warp(
    image: &Image,
    map: Map,
    (height, width): (usize, usize),
    interpolation: Interpolation,
    fill: &Fill,
) -> Result<Image> {
    let mut out = Image::filled(width, height, &fill.bytes(image.channels));
    match (interpolation, map) {
        (Interpolation::Nearest | Interpolation::NearestExact, Map::Affine(matrix)) => nearest(image, matrix, &mut out),
        (Interpolation::Nearest | Interpolation::NearestExact, map) => {
            generic(image, map, &mut out, |image, out, x, y| {
                if let Some(from) = pixel(image, coordinate(x), coordinate(y)) {
                    out.copy_from_slice(from);
                }
            });
        }
        (Interpolation::Bilinear, map) => generic(image, map, &mut out, bilinear),
        (Interpolation::Bicubic, map) => generic(image, map, &mut out, bicubic),
        (other, _) => {
            return Err(Error::failed(format!("{other:?} interpolation does not rotate or warp"))
                .help("take nearest, bilinear or bicubic"));
        }
    }
    Ok(out)
}

fn coordinate(value: f64) -> i64 {
    if value < 0.0 { -1 } else { value as i64 }
}

fn pixel(image: &Image, x: i64, y: i64) -> Option<&[u8]> {
    let inside = x >= 0 && y >= 0 && (x as usize) < image.width && (y as usize) < image.height;
    let at = (y as usize).wrapping_mul(image.width).wrapping_add(x as usize).wrapping_mul(image.channels);
    inside.then(|| &image.data[at..at + image.channels])
}

/// The nearest pixel of an affine map, in the three arithmetics that Pillow uses.
fn nearest(image: &Image, a: [f64; 6], out: &mut Image) {
    let c = out.channels;
    let (height, width) = (out.height, out.width);
    let mut put = |x: usize, y: usize, from_x: i64, from_y: i64| {
        if let Some(from) = pixel(image, from_x, from_y) {
            let at = (y * width + x) * c;
            out.data[at..at + c].copy_from_slice(from);
        }
    };
    if a[1] == 0.0 && a[3] == 0.0 {
        // A scale: positions are summed up, row by row and column by column.
        let mut columns = Vec::with_capacity(width);
        let mut x = a[2] + a[0] * 0.5;
        for _ in 0..width {
            columns.push(coordinate(x));
            x += a[0];
        }
        let mut from_y = a[5] + a[4] * 0.5;
        for y in 0..height {
            columns.iter().enumerate().for_each(|(x, from_x)| put(x, y, *from_x, coordinate(from_y)));
            from_y += a[4];
        }
        return;
    }
    let near = |x: usize, y: usize| {
        let (x, y) = at(a, x as f64, y as f64);
        x.abs() < 32768.0 && y.abs() < 32768.0
    };
    let (start_x, start_y) = at(a, 0.5, 0.5);
    if near(0, 0) && near(width, height) && near(0, height) && near(width, 0) {
        let fixed = |value: f64| (value * 65536.0 + 0.5).floor() as i64;
        let [ax, ay, bx, by] = [a[0], a[3], a[1], a[4]].map(fixed);
        // Pillow adds the three terms in this order before it rounds.
        let mut row = (fixed(a[2] + a[0] * 0.5 + a[1] * 0.5), fixed(a[5] + a[3] * 0.5 + a[4] * 0.5));
        for y in 0..height {
            let (mut from_x, mut from_y) = row;
            for x in 0..width {
                put(x, y, from_x >> 16, from_y >> 16);
                from_x += ax;
                from_y += ay;
            }
            row = (row.0 + bx, row.1 + by);
        }
        return;
    }
    let mut row = (start_x, start_y);
    for y in 0..height {
        let (mut from_x, mut from_y) = row;
        for x in 0..width {
            put(x, y, coordinate(from_x), coordinate(from_y));
            from_x += a[0];
            from_y += a[3];
        }
        row = (row.0 + a[1], row.1 + a[4]);
    }
}

fn generic(image: &Image, map: Map, out: &mut Image, filter: impl Fn(&Image, &mut [u8], f64, f64)) {
    let (height, width, c) = (out.height, out.width, out.channels);
    for y in 0..height {
        for x in 0..width {
            let (fx, fy) = (x as f64 + 0.5, y as f64 + 0.5);
            let (from_x, from_y) = mapped(map, fx, fy);
            let at = (y * width + x) * c;
            let inside = from_x >= 0.0 && from_x < image.width as f64 && from_y >= 0.0 && from_y < image.height as f64;
            if inside {
                filter(image, &mut out.data[at..at + c], from_x, from_y);
            }
        }
    }
}

/// The value of a channel, with the edges repeated.
fn clamped(image: &Image, x: i64, y: i64, channel: usize) -> f64 {
    let x = x.clamp(0, image.width as i64 - 1) as usize;
    let y = y.clamp(0, image.height as i64 - 1) as usize;
    f64::from(image.data[(y * image.width + x) * image.channels + channel])
}

fn bilinear(image: &Image, out: &mut [u8], x: f64, y: f64) {
    let (x, y) = (x - 0.5, y - 0.5);
    let (left, top) = (x.floor(), y.floor());
    let (dx, dy) = (x - left, y - top);
    let (left, top) = (left as i64, top as i64);
    for (channel, out) in out.iter_mut().enumerate() {
        let row = |y: i64| {
            let (a, b) = (clamped(image, left, y, channel), clamped(image, left + 1, y, channel));
            a + (b - a) * dx
        };
        let (above, below) = (row(top), row(top + 1));
        *out = (above + (below - above) * dy) as u8;
    }
}

fn bicubic(image: &Image, out: &mut [u8], x: f64, y: f64) {
    let (x, y) = (x - 0.5, y - 0.5);
    let (left, top) = (x.floor(), y.floor());
    let (dx, dy) = (x - left, y - top);
    let (left, top) = (left as i64 - 1, top as i64 - 1);
    let cubic =
        |[a, b, c, d]: [f64; 4], t: f64| b + t * ((c - a) + t * ((2.0 * (a - b) + c - d) + t * (b - a - c + d)));
    for (channel, out) in out.iter_mut().enumerate() {
        let row = |y: i64| cubic(std::array::from_fn(|i| clamped(image, left + i as i64, y, channel)), dx);
        let value = cubic(std::array::from_fn(|i| row(top + i as i64)), dy);
        *out = value.clamp(0.0, 255.0) as u8;
    }
}
