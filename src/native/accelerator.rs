//! The GPU's memory and its queue of work. Every function fails on the CPU and where there is no such device.

use tch::Device;

use super::{Result, check, device_number, ffi};

/// What libtorch's caching allocator holds on one device, in bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct MemoryStats {
    /// In tensors now.
    pub allocated: i64,
    /// In tensors at most, since the start or [`reset_peak`].
    pub allocated_peak: i64,
    /// Taken from the device now, in tensors or kept for later ones.
    pub reserved: i64,
    /// Taken from the device at most.
    pub reserved_peak: i64,
    /// How often memory was found only after the kept part was given back.
    pub retries: i64,
    /// How often memory was not found.
    pub out_of_memory: i64,
}

/// What the allocator holds.
pub fn memory_stats(device: Device) -> Result<MemoryStats> {
    let mut stats = ffi::MemoryStats::default();
    // SAFETY: here and below, plain values and places for the answers.
    check(unsafe { ffi::runner_memory_stats(device_number(device), &mut stats) })?;
    Ok(MemoryStats {
        allocated: stats.allocated,
        allocated_peak: stats.allocated_peak,
        reserved: stats.reserved,
        reserved_peak: stats.reserved_peak,
        retries: stats.retries,
        out_of_memory: stats.out_of_memory,
    })
}

/// Starts the peaks of [`memory_stats`] again from what is held now.
pub fn reset_peak(device: Device) -> Result<()> {
    check(unsafe { ffi::runner_memory_reset_peak(device_number(device)) })
}

/// The device's free and total memory in bytes, all processes counted.
pub fn memory_info(device: Device) -> Result<(u64, u64)> {
    let (mut free, mut total) = (0, 0);
    check(unsafe { ffi::runner_memory_info(device_number(device), &mut free, &mut total) })?;
    Ok((free, total))
}

/// Gives memory that is kept for later tensors back to the devices.
pub fn empty_cache() -> Result<()> {
    check(unsafe { ffi::runner_memory_empty_cache() })
}

/// Waits until the device has done all work that was given to it.
pub fn synchronize(device: Device) -> Result<()> {
    check(unsafe { ffi::runner_synchronize(device_number(device)) })
}

/// Makes the device the calling thread's current one.
pub fn set_device(device: Device) -> Result<()> {
    check(unsafe { ffi::runner_set_device(device_number(device)) })
}

#[cfg(test)]
mod tests {
    use super::*;
    use tch::{Cuda, Kind, Tensor};

    #[test]
    fn the_cpu_is_no_accelerator() {
        assert!(memory_stats(Device::Cpu).unwrap_err().0.contains("CPU"));
        assert!(synchronize(Device::Cuda(usize::MAX)).is_err());
        assert!(set_device(Device::Cuda(Cuda::device_count() as usize)).unwrap_err().0.contains("there is no device"));
    }

    #[test]
    fn memory_is_counted() {
        if !Cuda::is_available() {
            assert!(empty_cache().is_err());
            return;
        }
        let device = Device::Cuda(0);
        let before = memory_stats(device).unwrap();
        let tensor = Tensor::zeros([1 << 20], (Kind::Float, device));
        synchronize(device).unwrap();
        assert!(memory_stats(device).unwrap().allocated >= before.allocated + (4 << 20));
        drop(tensor);
        reset_peak(device).unwrap();
        empty_cache().unwrap();
        let (free, total) = memory_info(device).unwrap();
        assert!(0 < free && free <= total);
    }
}
