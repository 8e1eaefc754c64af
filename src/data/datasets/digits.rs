//! The handwritten digits that come with the program.

use std::io::Read;

use super::common::{FileOptions, data_module};
use super::images::{ImageModule, Images, Records, Source};
use crate::data::transforms::Pipeline;
use crate::data::{DataModule, DataModuleKind};
use crate::error::{Error, Result};
use crate::prelude::*;

data_module! {
    /// The 1,797 handwritten digits of Alpaydin and Kaynak (1998), 8x8 pixels, that come with the program.
    ///
    /// Inputs are `[1, 8, 8]`, normalized to mean 0 and deviation 1 unless transforms say otherwise; targets are the
    /// classes 0 to 9. The split is stratified.
    pub struct Digits {}
}

/// Mean and standard deviation of all pixels, white being 1.
const MEAN: f32 = 0.3053;
const STD: f32 = 0.3760;

impl Component for Digits {
    type Kind = DataModuleKind;
    const TARGETS: &'static [&'static str] = &["runner.data.Digits"];

    fn check(&self, cx: &mut Check) {
        self.check_common(cx);
    }

    fn build(self, cx: &mut Build) -> Result<Box<dyn DataModule>> {
        let common = self.common(cx, || Pipeline::normalize(&[MEAN], &[STD]))?;
        Ok(Box::new(ImageModule::new(Embedded, common, FileOptions::none())))
    }
}

struct Embedded;

static FILE: &[u8] = include_bytes!("../digits/digits.csv.gz");

impl Source for Embedded {
    fn load(&self) -> Result<Records> {
        let (data, labels) = read()?;
        let images = Images::Memory { width: 8, height: 8, channels: 1, data };
        Ok(Records::classes(images, labels, (0..10).map(|class| class.to_string()).collect()))
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
