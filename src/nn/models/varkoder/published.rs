//! The two networks published for pictures of k-mer counts.

use tch::Tensor;

use crate::error::{Error, Result};
use crate::nn::layers::{Activation, Conv, ConvOptions, Dropout, Flatten, Function, Linear, Sequential};
use crate::nn::{Module, Path};

/// Looks at the first channel of images only, as one row of pixels.
pub(super) struct FirstChannel(pub Sequential);

impl Module for FirstChannel {
    fn forward(&self, input: &Tensor, train: bool) -> Tensor {
        self.0.forward(&input.select(1, 0).flatten(1, -1), train)
    }
}

/// Fiannaca et al. (2018), as varKoder has it: two convolutions over the row, two linear layers.
///
/// # Errors
/// When the images have too few pixels, or a name is taken.
pub(super) fn fiannaca(path: &Path, pixels: i64, classes: i64) -> Result<Sequential> {
    let half = |length: i64| (length - 4) / 2;
    let flat = half(half(pixels)) * 10;
    if flat < 10 {
        return Err(Error::request(format!("fiannaca2018 needs images of 16 pixels or more, not {pixels}")));
    }
    let mut net = Sequential::new(path);
    net.push(Row(Conv::<1>::new(&path.child(0), 1, 5, ConvOptions::new(5))?));
    net.push(Row(Conv::<1>::new(&path.child(1), 5, 10, ConvOptions::new(5))?));
    net.push(Flatten::new(&path.child(2), 1, -1));
    net.push(Linear::new(&path.child(3), flat, 500, true)?);
    net.push(Activation::in_place(&path.child(4), Function::Relu));
    net.push(Linear::new(&path.child(5), 500, classes, true)?);
    Ok(net)
}

/// A convolution over a row of pixels, a rectifier, and the greater of every two values.
struct Row(Conv<1>);

impl Module for Row {
    fn forward(&self, input: &Tensor, train: bool) -> Tensor {
        let input = if input.dim() == 2 { input.unsqueeze(1) } else { input.shallow_clone() };
        self.0.forward(&input, train).relu().max_pool1d([2], [2], [0], [1], false)
    }
}

/// Arias et al. (2022), as varKoder has it: three linear layers.
///
/// # Errors
/// When a name is taken.
pub(super) fn arias(path: &Path, pixels: i64, classes: i64) -> Result<Sequential> {
    let mut net = Sequential::new(path);
    for (index, [inputs, outputs]) in [[pixels, 512], [512, 64]].into_iter().enumerate() {
        net.push(Linear::new(&path.child(3 * index), inputs, outputs, true)?);
        net.push(Activation::in_place(&path.child(3 * index + 1), Function::Relu));
        net.push(Dropout::new(&path.child(3 * index + 2), 0.5));
    }
    net.push(Linear::new(&path.child(6), 64, classes, true)?);
    Ok(net)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::nn::Params;
    use tch::{Device, Kind};

    fn parameters(make: impl Fn(&Path) -> Result<Sequential>, side: i64) -> i64 {
        let params = Params::new(Device::Cpu);
        let net = FirstChannel(make(&params.root()).unwrap());
        let output = net.forward(&Tensor::ones([2, 3, side, side], (Kind::Float, Device::Cpu)), false);
        assert_eq!(output.size(), [2, 7]);
        params.parameters().iter().map(|(_, tensor)| tensor.numel() as i64).sum()
    }

    #[test]
    fn widths_are_those_of_the_published_networks() {
        // 91x91 pixels give 20,670 values after the convolutions, 128x128 give 40,930.
        for (side, flat) in [(91, 20_670), (128, 40_930)] {
            let convolutions = 5 * 5 + 5 + 10 * 5 * 5 + 10;
            let linear = flat * 500 + 500 + 500 * 7 + 7;
            assert_eq!(parameters(|path| fiannaca(path, side * side, 7), side), convolutions + linear);
            let linear = side * side * 512 + 512 + 512 * 64 + 64 + 64 * 7 + 7;
            assert_eq!(parameters(|path| arias(path, side * side, 7), side), linear);
        }
    }
}
