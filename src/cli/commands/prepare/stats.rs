//! `runner prepare stats`: mean and deviation of pixels, exact: sums of whole numbers, so that neither the order nor
//! the number of threads shows.

use std::collections::BTreeMap;
use std::path::PathBuf;

use rayon::prelude::*;
use serde_json::json;
use walkdir::WalkDir;

use crate::cli::commands::data::Ready;
use crate::cli::compose::Request;
use crate::data::datasets::is_image;
use crate::data::decode::{Decode, Mode};
use crate::data::image::Picture;
use crate::data::progress::Progress;
use crate::data::{Dataset, Split};
use crate::error::{Error, Result};
use crate::registry::Registry;

/// A value is a whole number of 65535ths: bytes are multiples of 257.
const WHITE: f64 = 65535.0;

/// Sums over the values of a channel.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Sums {
    count: u64,
    sum: u128,
    squares: u128,
}

impl Sums {
    fn add(&mut self, value: u64) {
        self.count += 1;
        self.sum += u128::from(value);
        self.squares += u128::from(value) * u128::from(value);
    }

    fn merge(self, other: Sums) -> Sums {
        Sums { count: self.count + other.count, sum: self.sum + other.sum, squares: self.squares + other.squares }
    }

    fn mean(&self) -> f64 {
        self.sum as f64 / self.count.max(1) as f64 / WHITE
    }

    /// Of all values, not of a sample of them.
    fn deviation(&self) -> f64 {
        let count = u128::from(self.count.max(1));
        // count * squares - sum^2 is exact; only its root is rounded.
        let variance = (count * self.squares).saturating_sub(self.sum * self.sum);
        (variance as f64).sqrt() / count as f64 / WHITE
    }
}

/// Of pictures, a channel each, and how many of them there were.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Pixels {
    channels: Vec<Sums>,
    pictures: u64,
}

impl Pixels {
    fn of(picture: &Picture) -> Result<Self> {
        let (channels, height, width) = picture.size();
        let mut sums = vec![Sums::default(); channels];
        match picture {
            Picture::Bytes(image) => {
                for (channel, sums) in sums.iter_mut().enumerate() {
                    // 256 counts are quicker than as many sums as there are pixels.
                    let mut counts = [0u64; 256];
                    let values = image.data.get(channel..).unwrap_or_default().iter().step_by(channels.max(1));
                    values.for_each(|value| counts[usize::from(*value)] += 1);
                    for (value, count) in (0u128..).step_by(257).zip(counts) {
                        sums.count += count;
                        sums.sum += value * u128::from(count);
                        sums.squares += value * value * u128::from(count);
                    }
                }
            }
            Picture::Floats(planes) => {
                for (sums, plane) in sums.iter_mut().zip(planes.data.chunks_exact((width * height).max(1))) {
                    plane.iter().for_each(|value| sums.add((f64::from(*value) * WHITE).round().max(0.0) as u64));
                }
            }
            Picture::Lazy(..) | Picture::Many(_) => {
                return Err(Error::failed("a picture before its transforms is one"));
            }
        }
        Ok(Pixels { channels: sums, pictures: 1 })
    }

    fn merge(mut self, other: Pixels) -> Pixels {
        if self.channels.len() < other.channels.len() {
            return other.merge(self);
        }
        for (sums, more) in self.channels.iter_mut().zip(other.channels) {
            *sums = sums.merge(more);
        }
        self.pictures += other.pictures;
        self
    }

    fn pooled(&self) -> Sums {
        self.channels.iter().copied().fold(Sums::default(), Sums::merge)
    }
}

/// By the number of channels.
type Kinds = BTreeMap<usize, Pixels>;

fn gather(count: usize, picture: impl Fn(usize) -> Result<Picture> + Sync) -> Result<Kinds> {
    let progress = Progress::new("adding pixels up", count as u64);
    (0..count)
        .into_par_iter()
        .map(|index| {
            let pixels = Pixels::of(&picture(index)?)?;
            progress.advance(1);
            Ok(BTreeMap::from([(pixels.channels.len(), pixels)]))
        })
        .try_reduce(BTreeMap::new, |mut all, more| {
            for (channels, pixels) in more {
                let sum = all.remove(&channels).unwrap_or_default();
                all.insert(channels, Pixels::merge(sum, pixels));
            }
            Ok(all)
        })
}

/// The tool: over the training split of the config's data, or over all images below folders.
///
/// # Errors
/// When an image cannot be read; the message names it.
pub fn stats(request: &Request, registry: &Registry, folders: &[String]) -> Result<i32> {
    let kinds = if folders.is_empty() {
        let ready = Ready::new(&request.without(&["out"]).compose()?, registry)?;
        let dataset = ready.loader(Split::Train)?.dataset;
        over(dataset.as_ref())?
    } else {
        let files = files(folders)?;
        // 16 bits keep all that a file holds, in its own channels.
        let decode = Decode { mode: Mode::Wide, ..Decode::default() };
        gather(files.len(), |index| decode.picture(&files[index]))?
    };
    let pooled = kinds.values().map(Pixels::pooled).fold(Sums::default(), Sums::merge);
    let pictures: u64 = kinds.values().map(|pixels| pixels.pictures).sum();
    let channels: Vec<_> = kinds
        .values()
        .map(|pixels| {
            let mean: Vec<f64> = pixels.channels.iter().map(Sums::mean).collect();
            let std: Vec<f64> = pixels.channels.iter().map(Sums::deviation).collect();
            json!({ "images": pixels.pictures, "mean": mean, "std": std })
        })
        .collect();
    let all = json!({
        "images": pictures,
        "values": pooled.count,
        "mean": pooled.mean(),
        "std": pooled.deviation(),
        "by_channels": channels,
    });
    if let Some(out) = request.out() {
        crate::run::write_atomic(&out, format!("{all:#}\n").as_bytes())?;
    }
    if request.args.json {
        println!("{all:#}");
        return Ok(0);
    }
    println!("{pictures} images, {} values", pooled.count);
    for (count, pixels) in &kinds {
        let list = |values: &dyn Fn(&Sums) -> f64| {
            pixels.channels.iter().map(|sums| format!("{:.6}", values(sums))).collect::<Vec<_>>().join(", ")
        };
        let several =
            if kinds.len() > 1 { format!(" ({} images of {count} channels)", pixels.pictures) } else { String::new() };
        println!("mean: [{}]{several}", list(&Sums::mean));
        println!("std: [{}]", list(&Sums::deviation));
    }
    println!(
        "all channels: mean {:.6}, std {:.6}; of 0 to 255: {:.3} and {:.3}",
        pooled.mean(),
        pooled.deviation(),
        pooled.mean() * 255.0,
        pooled.deviation() * 255.0
    );
    Ok(0)
}

fn over(dataset: &dyn Dataset) -> Result<Kinds> {
    gather(dataset.len(), |index| {
        dataset.original(index)?.ok_or_else(|| {
            Error::request("the samples of this data are no pictures")
                .help("statistics are of pixels: choose image data")
        })
    })
}

fn files(folders: &[String]) -> Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for folder in folders {
        if !std::path::Path::new(folder).is_dir() {
            return Err(Error::request(format!("there is no folder {folder}")));
        }
        for entry in WalkDir::new(folder).follow_links(true).sort_by_file_name() {
            let entry = entry.map_err(|error| Error::failed(format!("{folder}: {error}")))?;
            if entry.file_type().is_file() && is_image(entry.path()) {
                files.push(entry.into_path());
            }
        }
    }
    if files.is_empty() {
        return Err(Error::request(format!("there are no images in {}", folders.join(", "))));
    }
    Ok(files)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::image::{Image, Planes};

    #[test]
    fn sums_are_exact_for_bytes_and_16_bits_alike() {
        let data: Vec<u8> = (0..=255).collect();
        let bytes = Pixels::of(&Picture::Bytes(Image::new(16, 16, 1, data.clone()).unwrap())).unwrap();
        let floats = data.iter().map(|value| f32::from(*value) / 255.0).collect();
        let floats = Picture::Floats(Planes { width: 16, height: 16, channels: 1, data: floats });
        assert_eq!(bytes, Pixels::of(&floats).unwrap());
        let sums = bytes.pooled();
        assert!((sums.mean() - 0.5).abs() < 1e-15);
        assert!((sums.deviation() * 255.0 - (65535.0f64 / 12.0).sqrt()).abs() < 1e-12);
        let gray = Pixels::of(&Picture::Bytes(Image::filled(1, 1, &[9, 8]))).unwrap();
        assert_eq!(gray.clone().merge(bytes.clone()), bytes.merge(gray));
    }
}
