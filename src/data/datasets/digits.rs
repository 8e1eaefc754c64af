//! The handwritten digits that come with the program.

use std::io::Read;
use std::num::NonZeroUsize;
use std::sync::Arc;

use super::images::{self, Batching, ImageModule, Images, Loaded, Source};
use super::split::{self, split};
use crate::data::mix::BatchTransformKind;
use crate::data::transforms::{Pipeline, Transforms};
use crate::data::{DataModule, DataModuleKind};
use crate::error::{Error, Result};
use crate::prelude::*;

/// The 1,797 handwritten digits of Alpaydin and Kaynak (1998), 8x8 pixels, that come with the program.
///
/// Inputs are `[1, 8, 8]`, normalized to mean 0 and deviation 1 unless transforms say otherwise; targets are the
/// classes 0 to 9. The split is stratified.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Digits {
    /// Sizes of the parts: shares, or numbers of samples.
    #[serde(default = "eighths")]
    train_val_test_split: Vec<IntOrFloat>,
    /// Samples in a batch.
    #[serde(default = "batch_size")]
    batch_size: NonZeroUsize,
    /// Threads that read ahead; images in memory do not need them.
    #[serde(default)]
    num_workers: usize,
    /// Whether batches lie in page-locked memory, for a GPU.
    #[serde(default)]
    pin_memory: bool,
    /// No effect: worker threads start in no time.
    #[serde(default)]
    #[allow(dead_code, reason = "accepted because PyTorch has it")]
    persistent_workers: Ignored,
    /// The seed of the split. It is not the run's seed, so that runs with other seeds have the same test part.
    #[serde(default = "split_seed")]
    split_seed: u64,
    /// Transforms of the training part; null casts and normalizes.
    #[serde(default)]
    train_transforms: Option<Transforms>,
    /// Transforms of the other parts; null casts and normalizes.
    #[serde(default)]
    test_transforms: Option<Transforms>,
    /// Transforms of whole training batches: MixUp, CutMix.
    #[serde(default)]
    batch_transforms: Option<Vec<Slot<BatchTransformKind>>>,
}

fn eighths() -> Vec<IntOrFloat> {
    [0.8, 0.1, 0.1].map(IntOrFloat::Float).to_vec()
}

fn batch_size() -> NonZeroUsize {
    const { NonZeroUsize::new(64).unwrap() }
}

fn split_seed() -> u64 {
    42
}

/// Mean and standard deviation of all pixels, white being 1.
const MEAN: f32 = 0.3053;
const STD: f32 = 0.3760;

impl Component for Digits {
    type Kind = DataModuleKind;
    const TARGETS: &'static [&'static str] = &["runner.data.Digits"];

    fn check(&self, cx: &mut Check) {
        split::check(&self.train_val_test_split, cx);
    }

    fn build(self, cx: &mut Build) -> Result<Box<dyn DataModule>> {
        let normalized = || Pipeline::normalize(&[MEAN], &[STD]);
        let train = images::pipeline(cx, &self.train_transforms, normalized)?;
        let test = images::pipeline(cx, &self.test_transforms, normalized)?;
        let batching = Batching {
            batch_size: self.batch_size.get(),
            num_workers: self.num_workers,
            pin_memory: self.pin_memory,
            transforms: images::batch_transforms(cx, &self.batch_transforms)?,
        };
        let source = Embedded { sizes: self.train_val_test_split, seed: self.split_seed };
        Ok(Box::new(ImageModule::new(source, batching, train, test)))
    }
}

struct Embedded {
    sizes: Vec<IntOrFloat>,
    seed: u64,
}

static FILE: &[u8] = include_bytes!("../digits/digits.csv.gz");

impl Source for Embedded {
    fn load(&self) -> Result<Loaded> {
        let (data, labels) = read()?;
        let parts = split(&labels, &self.sizes, self.seed)?;
        let images = Arc::new(Images::Memory { width: 8, height: 8, channels: 1, data });
        let classes = (0..10).map(|class| class.to_string()).collect();
        Ok(Loaded { images, labels: Arc::new(labels), classes, parts })
    }
}

/// Pixels, 0 to 16 scaled to bytes, and classes.
fn read() -> Result<(Vec<u8>, Vec<i64>)> {
    let mut text = String::new();
    flate2::read::GzDecoder::new(FILE).read_to_string(&mut text).context("the built-in digits")?;
    let (mut pixels, mut labels) = (Vec::new(), Vec::new());
    for line in text.lines() {
        let values: Vec<u16> = line.split(',').filter_map(|value| value.trim().parse().ok()).collect();
        let [image @ .., label] = values.as_slice() else { continue };
        if image.len() != 64 || image.iter().any(|value| *value > 16) || *label > 9 {
            return Err(Error::failed(format!("the built-in digits: line {} is broken", labels.len() + 1)));
        }
        pixels.extend(image.iter().map(|value| ((value * 255 + 8) / 16) as u8));
        labels.push(i64::from(*label));
    }
    Ok((pixels, labels))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_file_is_whole() {
        let (pixels, labels) = read().unwrap();
        assert_eq!((pixels.len(), labels.len()), (1797 * 64, 1797));
        assert_eq!((labels[0], labels[1]), (0, 1));
        // The first digit's first row: 0 0 5 13 9 1 0 0 of 16.
        assert_eq!(pixels[..8], [0, 0, 80, 207, 143, 16, 0, 0]);
        let mean = pixels.iter().map(|v| f64::from(*v) / 255.0).sum::<f64>() / pixels.len() as f64;
        let variance = pixels.iter().map(|v| (f64::from(*v) / 255.0 - mean).powi(2)).sum::<f64>() / pixels.len() as f64;
        assert!((mean - f64::from(MEAN)).abs() < 5e-4 && (variance.sqrt() - f64::from(STD)).abs() < 5e-4);
    }
}
