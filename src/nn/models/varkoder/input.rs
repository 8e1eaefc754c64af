//! What a network of timm is given in place of a picture: stretched to the size that it takes, and normalized as its
//! weights were trained.

use schemars::JsonSchema;
use serde::Deserialize;
use tch::{Device, Kind, Tensor};

use crate::error::Result;
use crate::nn::models::heads::FastaiHead;
use crate::nn::{Module, Path};

/// How images are stretched: by Pillow's filters, as varKoder does.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, serde::Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(super) enum Stretch {
    /// The nearest pixel.
    #[default]
    Nearest,
    /// The mean of the pixels whose centres a new pixel covers; the nearest one where images grow.
    Box,
}

impl Stretch {
    /// Images `[batch, channels, height, width]` as squares of `side` pixels.
    fn apply(self, images: &Tensor, side: i64) -> Tensor {
        let size = images.size();
        let (height, width) = (size[2], size[3]);
        if (height, width) == (side, side) {
            return images.shallow_clone();
        }
        match self {
            Stretch::Nearest => images.internal_upsample_nearest_exact2d([side, side], None, None),
            Stretch::Box => {
                let weights = |from: i64| box_weights(from, side).to_device(images.device()).to_kind(images.kind());
                weights(height).matmul(images).matmul(&weights(width).transpose(0, 1))
            }
        }
    }
}

/// How much each of `from` pixels counts in each of `to`, `[to, from]`: Pillow's `Image.BOX`.
fn box_weights(from: i64, to: i64) -> Tensor {
    let scale = from as f64 / to as f64;
    let half = 0.5 * scale.max(1.0);
    let mut weights = vec![0f32; (from * to) as usize];
    for (i, row) in weights.chunks_exact_mut(from as usize).enumerate() {
        let centre = (i as f64 + 0.5) * scale;
        let is_covered = |x: usize| {
            let away = x as f64 + 0.5 - centre;
            -half < away && away <= half
        };
        let covered: Vec<usize> = (0..from as usize).filter(|x| is_covered(*x)).collect();
        covered.iter().for_each(|x| row[*x] = 1.0 / covered.len() as f32);
    }
    Tensor::from_slice(&weights).view([to, from])
}

/// Mean and deviation of each channel. They are part of the state dict (`normalize.mean`, `normalize.std`), so that
/// what was trained with them is used with them; 0 and 1 change nothing.
struct Normalization {
    mean: Tensor,
    std: Tensor,
}

impl Normalization {
    fn new(path: &Path, [mean, std]: &[[f64; 3]; 2]) -> Result<Self> {
        let channels = |values: &[f64; 3]| Tensor::from_slice(values).to_kind(Kind::Float).to_device(Device::Cpu);
        Ok(Normalization { mean: path.buffer("mean", channels(mean))?, std: path.buffer("std", channels(std))? })
    }

    fn apply(&self, images: &Tensor) -> Tensor {
        let each = |values: &Tensor| values.to_kind(images.kind()).view([1, -1, 1, 1]);
        (images - each(&self.mean)) / each(&self.std)
    }
}

/// Statistics that change nothing.
pub(super) const UNCHANGED: [[f64; 3]; 2] = [[0.0; 3], [1.0; 3]];

/// A network of timm with fastai's head, behind what its images go through.
///
/// varKoder lights pictures between stretching and normalizing. Lighting looks at each pixel alone and pictures only
/// grow, so that it may as well come first; and mixing normalized pictures is normalizing mixed ones.
pub(super) struct Prepared {
    pub net: FastaiHead,
    /// The side of the images that the network takes, where it takes one only.
    side: Option<i64>,
    stretch: Stretch,
    normalization: Normalization,
}

impl Prepared {
    /// Puts the preparation before `net`.
    ///
    /// # Errors
    /// When a name below `path` is taken.
    pub fn new(
        path: &Path,
        net: FastaiHead,
        (side, stretch): (Option<i64>, Stretch),
        statistics: &[[f64; 3]; 2],
    ) -> Result<Self> {
        let normalization = Normalization::new(&path.child("normalize"), statistics)?;
        Ok(Prepared { net, side, stretch, normalization })
    }

    /// What the network is given for these images.
    pub fn prepare(&self, images: &Tensor) -> Tensor {
        let images = self.side.map_or_else(|| images.shallow_clone(), |side| self.stretch.apply(images, side));
        self.normalization.apply(&images)
    }
}

impl Module for Prepared {
    fn forward(&self, input: &Tensor, train: bool) -> Tensor {
        self.net.forward(&self.prepare(input), train)
    }
}
