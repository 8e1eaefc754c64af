//! What happens to images before and to boxes after a detector (`GeneralizedRCNNTransform`).

use tch::{Device, Kind, Tensor};

use super::Target;
use crate::nn::args::Count;
use crate::registry::OneOrMany;

/// Normalises, resizes and pads images of any sizes into one batch.
#[derive(Clone, Debug)]
pub struct Transform {
    /// The length that the shorter side gets; of several, one is drawn per image in training, the last is used in
    /// evaluation.
    pub min_size: Vec<i64>,
    /// The length that the longer side must not exceed.
    pub max_size: i64,
    /// Mean of each channel.
    pub mean: Vec<f64>,
    /// Deviation of each channel.
    pub std: Vec<f64>,
    /// Height and width of the batch are multiples of this.
    pub divisible: i64,
    /// A size (width, height) that every image gets instead, whatever its shape.
    pub fixed: Option<[i64; 2]>,
}

/// A batch of images as the network sees them.
pub struct Transformed {
    /// `[batch, 3, height, width]`, zeros beyond an image.
    pub batch: Tensor,
    /// Height and width of each image in the batch.
    pub sizes: Vec<[i64; 2]>,
    /// Height and width of each image as it came.
    pub original: Vec<[i64; 2]>,
}

/// Boxes scaled with their image, from one size (height, width) to another.
fn resize_boxes(boxes: &Tensor, from: [i64; 2], to: [i64; 2]) -> Tensor {
    // The ratio is a 32-bit float, as torchvision computes it.
    let ratio = |axis: usize| f64::from(to[axis] as f32 / from[axis] as f32);
    let (y, x) = (ratio(0), ratio(1));
    let factors = Tensor::from_slice(&[x, y, x, y]).to_kind(boxes.kind()).to_device(boxes.device());
    boxes * factors
}

impl Transform {
    /// The batch of `images`, each `[3, height, width]`; `train` draws the size.
    pub fn images(&self, images: &[Tensor], train: bool) -> Transformed {
        let mut resized = Vec::new();
        let (mut sizes, mut original) = (Vec::new(), Vec::new());
        for image in images {
            let image = self.resize(&self.normalize(image), train);
            sizes.push([image.size()[1], image.size()[2]]);
            resized.push(image);
        }
        original.extend(images.iter().map(|image| [image.size()[1], image.size()[2]]));
        let padded = |axis: usize| {
            let largest = sizes.iter().map(|size| size[axis]).max().unwrap_or(0);
            (largest + self.divisible - 1) / self.divisible * self.divisible
        };
        let (height, width) = (padded(0), padded(1));
        let padded: Vec<Tensor> = resized
            .iter()
            .zip(&sizes)
            .map(|(image, size)| image.constant_pad_nd([0, width - size[1], 0, height - size[0]]))
            .collect();
        Transformed { batch: Tensor::stack(&padded, 0), sizes, original }
    }

    /// The targets in pixels of the batch.
    pub fn targets(&self, targets: &[Target], images: &Transformed) -> Vec<Target> {
        let sizes = images.original.iter().zip(&images.sizes);
        targets
            .iter()
            .zip(sizes)
            .map(|(target, (&from, &to))| Target {
                boxes: resize_boxes(&target.boxes, from, to),
                labels: target.labels.shallow_clone(),
            })
            .collect()
    }

    /// The boxes of image `index` in pixels of the image as it came.
    pub fn restore(&self, boxes: &Tensor, images: &Transformed, index: usize) -> Tensor {
        resize_boxes(boxes, images.sizes[index], images.original[index])
    }

    fn normalize(&self, image: &Tensor) -> Tensor {
        let channel = |values: &[f64]| {
            Tensor::from_slice(values).to_kind(image.kind()).to_device(image.device()).view([-1, 1, 1])
        };
        (image - channel(&self.mean)) / channel(&self.std)
    }

    fn resize(&self, image: &Tensor, train: bool) -> Tensor {
        let (_, height, width) = image.size3().unwrap_or_else(|error| panic!("{error}"));
        let image = image.unsqueeze(0);
        if let Some([fixed_width, fixed_height]) = self.fixed {
            return image.upsample_bilinear2d([fixed_height, fixed_width], false, None, None).squeeze_dim(0);
        }
        let wanted = self.draw_size(train) as f64;
        let (short, long) = (height.min(width) as f64, height.max(width) as f64);
        let scale = (wanted / short).min(self.max_size as f64 / long);
        let size = [height, width].map(|side| ((side as f64 * scale).floor() as i64).max(1));
        image.upsample_bilinear2d(size, false, None, None).squeeze_dim(0)
    }

    /// torchvision draws with `uniform_` from torch's generator.
    fn draw_size(&self, train: bool) -> i64 {
        let last = self.min_size.len() - 1;
        let index = if train && last > 0 {
            let drawn = Tensor::empty([1], (Kind::Float, Device::Cpu)).uniform_(0.0, self.min_size.len() as f64);
            (drawn.double_value(&[0]) as usize).min(last)
        } else {
            last
        };
        self.min_size[index]
    }
}

/// ImageNet's mean and deviation of red, green and blue.
pub(super) const IMAGENET: [[f64; 3]; 2] = [[0.485, 0.456, 0.406], [0.229, 0.224, 0.225]];

impl Transform {
    /// With the arguments that every detector passes on: ImageNet's statistics unless others are given.
    pub(super) fn of(min: &OneOrMany<Count>, max: Count, mean: &Option<Vec<f64>>, std: &Option<Vec<f64>>) -> Self {
        Transform {
            min_size: min.as_slice().iter().map(|size| size.0).collect(),
            max_size: max.0,
            mean: mean.clone().unwrap_or_else(|| IMAGENET[0].to_vec()),
            std: std.clone().unwrap_or_else(|| IMAGENET[1].to_vec()),
            divisible: 32,
            fixed: None,
        }
    }
}
