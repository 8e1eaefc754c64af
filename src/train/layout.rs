//! The memory layout of images and convolutions: channels last where that is quicker.
//!
//! Convolutions on the CPU and half-precision convolutions on tensor cores are quicker when the channels of a pixel
//! lie side by side; elsewhere the usual layout is. The values are the same but for rounding.

use tch::Device;

use super::Precision;
use crate::data::{Batch, Field};
use crate::error::Result;
use crate::native::layout::{MemoryFormat, contiguous};
use crate::nn::Params;

/// Below so many input channels a convolution gains nothing: on a CPU, one of 32 channels loses a twentieth, ResNet-18's
/// of 64 and more gain a quarter.
const FEW_CHANNELS: i64 = 64;

/// How images and the weights of convolutions lie in memory.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Layout {
    /// As PyTorch has it: rows of one channel.
    #[default]
    Plain,
    /// `torch.channels_last`.
    ChannelsLast,
}

impl Layout {
    /// The quicker one for a network on a device, unless the user has said which.
    pub fn choose(wanted: Option<bool>, params: &Params, device: Device, precision: Precision) -> Self {
        let helps = || {
            let weights = params.parameters();
            let mut convolutions = weights.iter().filter(|(_, tensor)| tensor.dim() == 4);
            let gains = convolutions.any(|(_, tensor)| tensor.size()[1] >= FEW_CHANNELS);
            gains && (device == Device::Cpu || precision.is_half())
        };
        if wanted.unwrap_or_else(helps) { Layout::ChannelsLast } else { Layout::Plain }
    }

    /// Lays out the weights of convolutions, in place. To be called before the optimizer is made.
    ///
    /// # Errors
    /// When there is no room for the copies.
    pub fn arrange(self, params: &Params) -> Result<()> {
        if self == Layout::Plain {
            return Ok(());
        }
        for entry in params.entries().values_mut().filter(|entry| entry.tensor.dim() == 4) {
            let arranged = contiguous(&entry.tensor.f_detach()?, MemoryFormat::ChannelsLast)?;
            entry.tensor.f_set_data(&arranged)?;
        }
        Ok(())
    }

    /// Lays out the images of a batch: its stacked fields of four dimensions.
    ///
    /// # Errors
    /// When there is no room for the copies.
    pub fn convert(self, mut batch: Batch) -> Result<Batch> {
        if self == Layout::Plain {
            return Ok(batch);
        }
        for field in batch.fields.values_mut() {
            if let Field::Tensor(tensor) = field
                && tensor.dim() == 4
                && tensor.is_floating_point()
            {
                *tensor = contiguous(tensor, MemoryFormat::ChannelsLast)?;
            }
        }
        Ok(batch)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::native::layout::is_contiguous;

    #[test]
    fn only_networks_that_gain_are_laid_out() {
        let of = |channels: i64| {
            let params = Params::new(Device::Cpu);
            let weight = params.root().parameter("weight", &[16, channels, 3, 3], |t| drop(t.fill_(0.5))).unwrap();
            let layout = Layout::choose(None, &params, Device::Cpu, Precision::Single);
            layout.arrange(&params).unwrap();
            let last = is_contiguous(&weight, MemoryFormat::ChannelsLast).unwrap();
            (layout, last, weight.is_leaf() && weight.requires_grad())
        };
        assert_eq!((of(1).0, of(32).0), (Layout::Plain, Layout::Plain));
        assert_eq!(of(64), (Layout::ChannelsLast, true, true));
    }
}
