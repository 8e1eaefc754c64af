//! Autocast: inside a region, operations that gain by it run in a smaller dtype. A state of the calling thread.

use std::marker::PhantomData;

use tch::{Device, Kind};

use super::{NativeError, Result, check, device_number, dtype_number, ffi};

/// A region of autocast, from its making to its drop, also when a panic ends it. Regions nest and end in the reverse
/// order. Like `torch.autocast`, casted copies of parameters are kept until the outermost region ends, so the
/// optimizer's step lies outside.
#[must_use = "the region ends when this is dropped"]
pub struct Autocast {
    device: Device,
    before: ffi::AutocastState,
    // The state belongs to the thread that made the region.
    thread: PhantomData<*const ()>,
}

impl Autocast {
    /// Begins a region in which operations on the kind of `device` (CPU or CUDA) run in `dtype`, BFloat16 or Half.
    pub fn enter(device: Device, dtype: Kind) -> Result<Self> {
        if !matches!(dtype, Kind::BFloat16 | Kind::Half) {
            return Err(NativeError(format!("autocast runs in BFloat16 or Half, not in {dtype:?}")));
        }
        Self::begin(device, ffi::AutocastState { enabled: true, cache: true, dtype: dtype_number(dtype)? })
    }

    /// Begins a region in which nothing is cast, inside one that casts: for operations that need the full range.
    pub fn disabled(device: Device) -> Result<Self> {
        Self::begin(device, ffi::AutocastState { enabled: false, ..state(device)? })
    }

    fn begin(device: Device, state: ffi::AutocastState) -> Result<Self> {
        let mut before = ffi::AutocastState::default();
        // SAFETY: plain values, and a place for the state before.
        check(unsafe { ffi::runner_autocast_enter(device_number(device), state, &mut before) })?;
        Ok(Autocast { device, before, thread: PhantomData })
    }
}

impl Drop for Autocast {
    fn drop(&mut self) {
        // SAFETY: plain values. What could be entered can be left, so there is nothing to report.
        let _ = check(unsafe { ffi::runner_autocast_leave(device_number(self.device), self.before) });
    }
}

/// Whether the calling thread is in a region that casts on the kind of `device`.
pub fn is_enabled(device: Device) -> Result<bool> {
    Ok(state(device)?.enabled)
}

/// Drops the casted copies of parameters, after parameters were changed inside a region.
pub fn clear_cache() -> Result<()> {
    // SAFETY: takes nothing.
    check(unsafe { ffi::runner_autocast_clear_cache() })
}

fn state(device: Device) -> Result<ffi::AutocastState> {
    let mut state = ffi::AutocastState::default();
    // SAFETY: a place for the state.
    check(unsafe { ffi::runner_autocast_state(device_number(device), &mut state) })?;
    Ok(state)
}

#[cfg(test)]
mod tests {
    use super::*;
    use tch::Tensor;

    fn product() -> Kind {
        let a = Tensor::ones([2, 2], (Kind::Float, Device::Cpu));
        a.matmul(&a).kind()
    }

    #[test]
    fn regions_nest_and_end() {
        assert_eq!(product(), Kind::Float);
        let outer = Autocast::enter(Device::Cpu, Kind::BFloat16).unwrap();
        assert_eq!(product(), Kind::BFloat16);
        {
            let _inner = Autocast::disabled(Device::Cpu).unwrap();
            assert_eq!(product(), Kind::Float);
            let _half = Autocast::enter(Device::Cpu, Kind::Half).unwrap();
            assert_eq!(product(), Kind::Half);
        }
        assert_eq!(product(), Kind::BFloat16);
        drop(outer);
        assert_eq!(product(), Kind::Float);
        clear_cache().unwrap();
    }

    #[test]
    fn a_panic_ends_the_region() {
        let panic = std::panic::catch_unwind(|| {
            let _region = Autocast::enter(Device::Cpu, Kind::BFloat16).unwrap();
            std::panic::resume_unwind(Box::new("on purpose"));
        });
        assert!(panic.is_err());
        assert!(!is_enabled(Device::Cpu).unwrap());
    }

    #[test]
    fn other_threads_do_not_see_the_region() {
        let _region = Autocast::enter(Device::Cpu, Kind::BFloat16).unwrap();
        assert_eq!(std::thread::spawn(product).join().unwrap(), Kind::Float);
    }

    #[test]
    fn only_small_dtypes_and_known_devices() {
        let error = Autocast::enter(Device::Cpu, Kind::Float).err().unwrap();
        assert_eq!(error.0, "autocast runs in BFloat16 or Half, not in Float");
        assert!(Autocast::enter(Device::Vulkan, Kind::Half).is_err());
    }
}
