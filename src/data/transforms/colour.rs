//! Colour arithmetic of 8-bit images: Pillow's `ImageEnhance`, `ImageOps` and HSV, value for value.

use crate::data::decode::luma;
use crate::data::image::Image;

/// `degenerate + factor * (image - degenerate)`, as Pillow's `Image.blend` computes and truncates it.
fn blend(degenerate: u8, value: u8, factor: f32) -> u8 {
    let (low, high) = (f32::from(degenerate), f32::from(value));
    // A cast to u8 truncates and, outside 0 to 255, clips.
    (low + factor * (high - low)) as u8
}

/// Each byte of each channel through a table of its own.
pub fn look_up(mut image: Image, tables: &[[u8; 256]]) -> Image {
    if let [table] = tables {
        image.data.iter_mut().for_each(|value| *value = table[usize::from(*value)]);
    } else {
        for pixel in image.data.chunks_exact_mut(image.channels) {
            pixel.iter_mut().zip(tables).for_each(|(value, table)| *value = table[usize::from(*value)]);
        }
    }
    image
}

fn table(of: impl Fn(u8) -> u8) -> [u8; 256] {
    std::array::from_fn(|i| of(i as u8))
}

/// Towards black (0) or brighter (above 1).
pub fn brightness(image: Image, factor: f64) -> Image {
    look_up(image, &[table(|value| blend(0, value, factor as f32))])
}

fn gray(pixel: &[u8]) -> u8 {
    if let [r, g, b] = pixel { luma(*r, *g, *b) } else { pixel[0] }
}

/// Towards the mean gray (0) or away from it (above 1).
pub fn contrast(image: Image, factor: f64) -> Image {
    let pixels = image.width * image.height;
    let sum: u64 = image.data.chunks_exact(image.channels).map(|pixel| u64::from(gray(pixel))).sum();
    let mean = (sum as f64 / pixels.max(1) as f64 + 0.5) as u8;
    look_up(image, &[table(|value| blend(mean, value, factor as f32))])
}

/// Towards gray (0) or more colourful (above 1).
pub fn saturation(mut image: Image, factor: f64) -> Image {
    if image.channels == 3 {
        for pixel in image.data.chunks_exact_mut(3) {
            let gray = gray(pixel);
            pixel.iter_mut().for_each(|value| *value = blend(gray, *value, factor as f32));
        }
    }
    image
}

/// Turns the hue by a share of the circle, -0.5 to 0.5. Gray images stay as they are.
pub fn hue(mut image: Image, factor: f64) -> Image {
    if image.channels == 3 {
        let shift = (factor * 255.0) as i32 as u8;
        for pixel in image.data.as_chunks_mut::<3>().0 {
            let [h, s, v] = to_hsv(*pixel);
            *pixel = to_rgb([h.wrapping_add(shift), s, v]);
        }
    }
    image
}

/// Pillow's 8-bit HSV of a colour; single and double precision as there.
fn to_hsv([r, g, b]: [u8; 3]) -> [u8; 3] {
    let (max, min) = (r.max(g).max(b), r.min(g).min(b));
    if max == min {
        return [0, 0, max];
    }
    let range = f32::from(max - min);
    let saturation = range / f32::from(max);
    let [rc, gc, bc] = [r, g, b].map(|value| f32::from(max - value) / range);
    let sector = if r == max {
        bc - gc
    } else if g == max {
        (2.0 + f64::from(rc) - f64::from(bc)) as f32
    } else {
        (4.0 + f64::from(gc) - f64::from(rc)) as f32
    };
    let hue = ((f64::from(sector) / 6.0 + 1.0) % 1.0) as f32;
    [(f64::from(hue) * 255.0) as u8, (f64::from(saturation) * 255.0) as u8, max]
}

fn to_rgb([h, s, v]: [u8; 3]) -> [u8; 3] {
    if s == 0 {
        return [v; 3];
    }
    let place = f64::from(h) * 6.0 / 255.0;
    let sector = place.floor();
    let rest = (place - sector) as f32;
    let saturation = (f64::from(s) / 255.0) as f32;
    let value = f64::from(v);
    let p = (value * (1.0 - f64::from(saturation))).round() as u8;
    let q = (value * (1.0 - f64::from(saturation * rest))).round() as u8;
    let t = (value * (1.0 - f64::from(saturation) * (1.0 - f64::from(rest)))).round() as u8;
    match sector as u8 % 6 {
        0 => [v, t, p],
        1 => [q, v, p],
        2 => [p, v, t],
        3 => [p, q, v],
        4 => [t, p, v],
        _ => [v, p, q],
    }
}

/// `gain * value^gamma`, white being 1.
pub fn gamma(image: Image, gamma: f64, gain: f64) -> Image {
    look_up(image, &[table(|value| (255.999 * gain * (f64::from(value) / 255.0).powf(gamma)) as u8)])
}

/// Keeps the upper `bits` of each byte.
pub fn posterize(image: Image, bits: u8) -> Image {
    let mask = if bits == 0 { 0 } else { !(0xFFu16 >> bits) as u8 };
    look_up(image, &[table(|value| value & mask)])
}

/// Inverts what is at or above the threshold.
pub fn solarize(image: Image, threshold: f64) -> Image {
    look_up(image, &[table(|value| if f64::from(value) < threshold { value } else { 255 - value })])
}

/// The negative.
pub fn invert(image: Image) -> Image {
    look_up(image, &[table(|value| 255 - value)])
}

fn histograms(image: &Image) -> Vec<[u64; 256]> {
    let mut counts = vec![[0; 256]; image.channels];
    for pixel in image.data.chunks_exact(image.channels) {
        pixel.iter().zip(&mut counts).for_each(|(value, counts)| counts[usize::from(*value)] += 1);
    }
    counts
}

/// Stretches each channel to the whole range.
pub fn autocontrast(image: Image) -> Image {
    let tables: Vec<[u8; 256]> = histograms(&image)
        .iter()
        .map(|counts| {
            let low = counts.iter().position(|count| *count > 0).unwrap_or(0);
            let high = counts.iter().rposition(|count| *count > 0).unwrap_or(0);
            if high <= low {
                return table(|value| value);
            }
            let scale = 255.0 / (high - low) as f64;
            let offset = -(low as f64) * scale;
            table(|value| (f64::from(value) * scale + offset) as u8)
        })
        .collect();
    look_up(image, &tables)
}

/// Makes each channel's values equally frequent.
pub fn equalize(image: Image) -> Image {
    let tables: Vec<[u8; 256]> = histograms(&image)
        .iter()
        .map(|counts| {
            let total: u64 = counts.iter().sum();
            let last = counts.iter().rev().find(|count| **count > 0).copied().unwrap_or(0);
            let step = (total - last) / 255;
            if step == 0 {
                return table(|value| value);
            }
            let mut sum = step / 2;
            std::array::from_fn(|i| {
                let value = (sum / step).min(255) as u8;
                sum += counts[i];
                value
            })
        })
        .collect();
    look_up(image, &tables)
}

/// Towards a smoothed image (0) or sharper (above 1). The outermost pixels stay as they are.
pub fn sharpness(image: Image, factor: f64) -> Image {
    let (width, height, c) = (image.width, image.height, image.channels);
    if width < 3 || height < 3 {
        return image;
    }
    // Pillow's SMOOTH: ones around a 5, over 13, in single precision; rows from below to above.
    let (side, middle) = (1.0f32 / 13.0, 5.0f32 / 13.0);
    let mut out = image.clone();
    for y in 1..height - 1 {
        let [above, here, below] = [y - 1, y, y + 1].map(|y| image.row(y));
        let row = out.row_mut(y);
        for i in c..(width - 1) * c {
            let line = |row: &[u8], middle: f32| {
                f32::from(row[i - c]) * side + f32::from(row[i]) * middle + f32::from(row[i + c]) * side
            };
            let smooth = (0.5 + line(below, side) + line(here, middle) + line(above, side)) as u8;
            row[i] = blend(smooth, here[i], factor as f32);
        }
    }
    out
}

/// The deviation that torchvision takes for a kernel of a size when none is given.
pub fn default_sigma(size: usize) -> f64 {
    size as f64 * 0.15 + 0.35
}

/// Blurs with a Gaussian of `kernel` = [x, y] pixels (odd) and `sigma` = [x, y]; edges are mirrored.
pub fn gaussian_blur(image: &Image, kernel: [usize; 2], sigma: [f64; 2]) -> Image {
    let (width, height, c) = (image.width, image.height, image.channels);
    let [across, down] = [0, 1].map(|i| gaussian(kernel[i], sigma[i]));
    let mirror = |i: i64, size: usize| {
        let period = (2 * (size as i64 - 1)).max(1);
        let at = i.rem_euclid(period);
        at.min(period - at).min(size as i64 - 1) as usize
    };
    let places = |size: usize, reach: usize| -> Vec<usize> {
        (0..size + 2 * reach).map(|i| mirror(i as i64 - reach as i64, size)).collect()
    };
    let columns = places(width, kernel[0] / 2);
    let mut rows = vec![0f32; width * height * c];
    for y in 0..height {
        let source = image.row(y);
        let target = &mut rows[y * width * c..(y + 1) * width * c];
        for x in 0..width {
            for channel in 0..c {
                let taps = across.iter().zip(&columns[x..]);
                target[x * c + channel] = taps.map(|(weight, x)| weight * f32::from(source[x * c + channel])).sum();
            }
        }
    }
    let lines = places(height, kernel[1] / 2);
    let mut out = Image { data: vec![0; rows.len()], ..Image { width, height, channels: c, data: Vec::new() } };
    let mut sums = vec![0f32; width * c];
    for y in 0..height {
        sums.fill(0.0);
        for (weight, from) in down.iter().zip(&lines[y..]) {
            let source = &rows[from * width * c..(from + 1) * width * c];
            sums.iter_mut().zip(source).for_each(|(sum, value)| *sum += weight * value);
        }
        out.row_mut(y).iter_mut().zip(&sums).for_each(|(out, sum)| *out = sum.round_ties_even() as u8);
    }
    out
}

fn gaussian(size: usize, sigma: f64) -> Vec<f32> {
    let half = (size as f64 - 1.0) / 2.0;
    let weights: Vec<f64> = (0..size).map(|i| (-0.5 * ((i as f64 - half) / sigma).powi(2)).exp()).collect();
    let sum: f64 = weights.iter().sum();
    weights.into_iter().map(|weight| (weight / sum) as f32).collect()
}
