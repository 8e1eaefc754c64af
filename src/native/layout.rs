//! In which order a tensor's elements lie in memory.

use std::os::raw::c_int;

use tch::Tensor;

use super::{Result, check, ffi, take};

/// An order of elements. The numbers are those of `c10::MemoryFormat`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MemoryFormat {
    /// Last dimension fastest.
    Contiguous = 0,
    /// Images (N, C, H, W) with the channels fastest.
    ChannelsLast = 2,
    /// Volumes (N, C, D, H, W) with the channels fastest.
    ChannelsLast3d = 3,
}

/// The tensor in that order: itself if it already is, else a copy. Recorded by autograd. The channels-last orders need
/// 4 and 5 dimensions.
pub fn contiguous(tensor: &Tensor, format: MemoryFormat) -> Result<Tensor> {
    // SAFETY: here and below, a borrowed tensor and a place for the answer.
    take(|out| unsafe { ffi::runner_contiguous(tensor.as_ptr(), format as c_int, out) })
}

/// Whether the tensor is in that order.
pub fn is_contiguous(tensor: &Tensor, format: MemoryFormat) -> Result<bool> {
    let mut answer = false;
    check(unsafe { ffi::runner_is_contiguous(tensor.as_ptr(), format as c_int, &mut answer) })?;
    Ok(answer)
}

#[cfg(test)]
mod tests {
    use super::*;
    use tch::{Device, Kind};

    #[test]
    fn channels_last_changes_strides_only() {
        let images = Tensor::arange(24, (Kind::Float, Device::Cpu)).reshape([1, 2, 3, 4]);
        let last = contiguous(&images, MemoryFormat::ChannelsLast).unwrap();
        assert_eq!((last.size(), last.stride()), (vec![1, 2, 3, 4], vec![24, 1, 8, 2]));
        assert!(last.equal(&images));
        assert!(is_contiguous(&last, MemoryFormat::ChannelsLast).unwrap());
        assert!(!is_contiguous(&last, MemoryFormat::Contiguous).unwrap());
        let volumes = Tensor::zeros([1, 2, 2, 3, 4], (Kind::Float, Device::Cpu));
        let last = contiguous(&volumes, MemoryFormat::ChannelsLast3d).unwrap();
        assert!(is_contiguous(&last, MemoryFormat::ChannelsLast3d).unwrap());
    }

    #[test]
    fn channels_last_needs_four_dimensions() {
        let error = contiguous(&Tensor::zeros([2, 3], (Kind::Float, Device::Cpu)), MemoryFormat::ChannelsLast);
        assert!(error.unwrap_err().0.contains("rank 4"));
    }
}
