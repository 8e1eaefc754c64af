//! The feature pyramid (Lin et al., 2017).

use tch::Tensor;

use crate::error::Result;
use crate::nn::layers::{Conv2d, ConvOptions};
use crate::nn::{Module, Path, init};

/// Levels above those of the backbone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ExtraLevels {
    /// Every second pixel of the last level.
    MaxPool,
    /// Two convolutions of stride 2 (RetinaNet), on the last level of the pyramid when its channels fit, else on the
    /// last of the backbone.
    P6P7 {
        /// Channels that they read.
        channels: i64,
    },
}

/// Features of every level with as many channels, each with what the coarser levels know.
pub struct FeaturePyramid {
    inner: Vec<Conv2d>,
    layers: Vec<Conv2d>,
    extra: Extra,
}

enum Extra {
    None,
    MaxPool,
    Convolutions { p6: Conv2d, p7: Conv2d, from_pyramid: bool },
}

impl FeaturePyramid {
    /// Over levels with the channels `inputs`, from the largest image to the smallest.
    ///
    /// # Errors
    /// When the names are taken.
    pub fn new(path: &Path, inputs: &[i64], outputs: i64, extra: Option<ExtraLevels>) -> Result<Self> {
        // Python makes the extra blocks first, as an argument, and assigns them last.
        let at = path.child("extra_blocks");
        let extra = match extra {
            None => Extra::None,
            Some(ExtraLevels::MaxPool) => Extra::MaxPool,
            Some(ExtraLevels::P6P7 { channels }) => {
                let options = ConvOptions::new(3).stride(2).padding(1);
                let p6 = Conv2d::new(&at.child("p6"), channels, outputs, options)?;
                let p7 = Conv2d::new(&at.child("p7"), outputs, outputs, options)?;
                reinitialize(&at);
                Extra::Convolutions { p6, p7, from_pyramid: channels == outputs }
            }
        };
        let (mut inner, mut layers) = (Vec::new(), Vec::new());
        for (index, &channels) in inputs.iter().enumerate() {
            let name = |list: &str| path.child(list).child(index).child(0);
            inner.push(Conv2d::new(&name("inner_blocks"), channels, outputs, ConvOptions::new(1))?);
            layers.push(Conv2d::new(&name("layer_blocks"), outputs, outputs, ConvOptions::new(3).padding(1))?);
        }
        path.child("layer_blocks").move_last();
        reinitialize(&path.child("inner_blocks"));
        reinitialize(&path.child("layer_blocks"));
        at.move_last();
        Ok(FeaturePyramid { inner, layers, extra })
    }

    /// The levels of the pyramid for the backbone's `features`, both from the largest image to the smallest.
    pub fn forward(&self, features: &[Tensor]) -> Vec<Tensor> {
        let mut levels = Vec::new();
        let mut coarser: Option<Tensor> = None;
        for ((feature, inner), layer) in features.iter().zip(&self.inner).zip(&self.layers).rev() {
            let mut x = inner.forward(feature, false);
            if let Some(coarser) = &coarser {
                let size = x.size();
                x += coarser.upsample_nearest2d([size[2], size[3]], None, None);
            }
            levels.push(layer.forward(&x, false));
            coarser = Some(x);
        }
        levels.reverse();
        match (&self.extra, levels.last(), features.last()) {
            (Extra::MaxPool, Some(last), _) => {
                levels.push(last.max_pool2d([1, 1], [2, 2], [0, 0], [1, 1], false));
            }
            (Extra::Convolutions { p6, p7, from_pyramid }, Some(last), Some(feature)) => {
                let p6 = p6.forward(if *from_pyramid { last } else { feature }, false);
                let p7 = p7.forward(&p6.relu(), false);
                levels.extend([p6, p7]);
            }
            _ => {}
        }
        levels
    }
}

/// Convolutions uniform by fan in, biases 0.
fn reinitialize(path: &Path) {
    path.reinitialize(|_, name, t| match name {
        "weight" => init::kaiming_uniform(t, 1.0),
        _ => init::zeros(t),
    });
}
