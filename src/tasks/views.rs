//! Test-time augmentation: several views of an image are predicted, and their predictions averaged.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tch::Tensor;

use super::levels::Level;
use super::metric::Reading;

/// Views of the images `[N, C, H, W]` whose predictions are averaged when testing and predicting.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct TestTimeAugmentation {
    /// The views beside the image itself.
    views: Vec<View>,
    /// What is averaged.
    #[serde(default)]
    average: Average,
}

/// What is averaged over views.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
enum Average {
    /// Probabilities.
    #[default]
    Probabilities,
    /// The network's outputs.
    Logits,
}

/// A view of an image.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
enum View {
    /// Left and right exchanged.
    HorizontalFlip,
    /// Up and down exchanged.
    VerticalFlip,
    /// A quarter turn to the left; the images must be square.
    #[serde(rename = "rotate_90")]
    Rotate90,
    /// A half turn.
    #[serde(rename = "rotate_180")]
    Rotate180,
    /// A quarter turn to the right; the images must be square.
    #[serde(rename = "rotate_270")]
    Rotate270,
}

impl View {
    fn of(self, images: &Tensor) -> Tensor {
        match self {
            View::HorizontalFlip => images.flip([-1]),
            View::VerticalFlip => images.flip([-2]),
            View::Rotate90 => images.rot90(1, [-2, -1]),
            View::Rotate180 => images.rot90(2, [-2, -1]),
            View::Rotate270 => images.rot90(3, [-2, -1]),
        }
    }
}

impl TestTimeAugmentation {
    /// The averaged output of `forward` over the views, as logits.
    pub(super) fn forward(
        &self,
        images: &Tensor,
        reading: Reading,
        levels: &[Level],
        forward: impl Fn(&Tensor) -> Tensor,
    ) -> Tensor {
        let value = |images: &Tensor| {
            let logits = forward(images);
            match self.average {
                Average::Logits => logits,
                Average::Probabilities => reading.probabilities(&logits, levels),
            }
        };
        let sum = self.views.iter().fold(value(images), |sum, view| sum + value(&view.of(images)));
        let mean = sum / (self.views.len() + 1) as f64;
        match self.average {
            Average::Logits => mean,
            Average::Probabilities => reading.logits(&mean),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tch::{Device, Kind};

    #[test]
    fn predictions_are_averaged_over_views() {
        let images = Tensor::arange(8, (Kind::Float, Device::Cpu)).view([1, 2, 2, 2]);
        // A network that looks at the corner only.
        let corner = |images: &Tensor| images.select(-1, 0).select(-1, 0);
        let with = |views: Vec<View>, average| {
            let level = Level::only(Vec::new(), 2);
            TestTimeAugmentation { views, average }.forward(&images, Reading::Softmax, &[level], corner)
        };
        let all = vec![View::HorizontalFlip, View::VerticalFlip, View::Rotate180];
        // The four corners of each channel: 0..3 and 4..7.
        let mean = with(all.clone(), Average::Logits);
        assert_eq!(Vec::<f32>::try_from(mean.view(-1)).unwrap(), [1.5, 5.5]);
        let probabilities = with(all, Average::Probabilities).softmax(-1, Kind::Float);
        let first = (1.0 + 4f64.exp()).recip();
        assert!((probabilities.double_value(&[0, 0]) - first).abs() < 1e-6);
        let turned = with(vec![View::Rotate90, View::Rotate270], Average::Logits);
        assert_eq!(Vec::<f32>::try_from(turned.view(-1)).unwrap(), [1.0, 5.0]);
    }
}
