//! What runner needs of libtorch and tch does not bind: fused optimizers, operations on lists of tensors, autocast,
//! random generators and their state, determinism, memory layout, statistics and reuse, gradient hooks, fast copies; and the
//! inner loops of the image path: decoding JPEG files, resizing.
//!
//! The only `unsafe` code and the only C++ of the project lie here. `shim.cpp` catches every C++ exception and hands
//! back the first line of its message, which is a [`NativeError`]; the Rust side is safe. Each file is one idea, and
//! each function does one thing. The build script (`build.rs`) also says how binaries find libtorch.

pub mod accelerator;
pub mod autocast;
pub mod compute;
pub mod elements;
mod ffi;
pub mod foreach;
pub mod fused;
pub mod generator;
pub mod grad;
pub mod jpeg;
pub mod layout;
pub mod map;
pub mod memory;
#[cfg(target_os = "linux")]
pub mod process;
pub mod resample;
pub mod slots;

use std::borrow::Borrow;
use std::ffi::CStr;
use std::marker::PhantomData;
use std::os::raw::c_int;
use std::ptr;

use tch::{Device, Kind, Tensor};
use torch_sys::C_tensor;

/// The first line of libtorch's message.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct NativeError(pub String);

/// A result of this module.
pub type Result<T, E = NativeError> = std::result::Result<T, E>;

impl From<NativeError> for crate::error::Error {
    fn from(error: NativeError) -> Self {
        crate::error::Error::failed(error.0)
    }
}

/// What a shim function returned, as a result.
fn check(text: ffi::Text) -> Result<()> {
    if text.is_null() {
        return Ok(());
    }
    // SAFETY: the shim returns null or a C string of ours to free.
    let message = unsafe { CStr::from_ptr(text) }.to_string_lossy().into_owned();
    unsafe { ffi::runner_text_free(text) };
    Err(NativeError(message))
}

/// The tensor that a shim function hands out through its `out` argument.
fn take(call: impl FnOnce(*mut *mut C_tensor) -> ffi::Text) -> Result<Tensor> {
    let mut out = ptr::null_mut();
    check(call(&mut out))?;
    // SAFETY: on success the shim has stored a new tensor, which is ours.
    Ok(unsafe { Tensor::from_ptr(out) })
}

/// The `len` tensors that a shim function hands out.
fn take_list(len: usize, call: impl FnOnce(*mut *mut C_tensor) -> ffi::Text) -> Result<Vec<Tensor>> {
    let mut out = vec![ptr::null_mut(); len];
    check(call(out.as_mut_ptr()))?;
    // SAFETY: on success the shim has stored `len` new tensors, which are ours.
    Ok(out.into_iter().map(|tensor| unsafe { Tensor::from_ptr(tensor) }).collect())
}

/// Tensors as the shim takes them, borrowed for as long as this lives.
struct Pointers<'a> {
    pointers: Vec<*const C_tensor>,
    tensors: PhantomData<&'a Tensor>,
}

impl<'a> Pointers<'a> {
    fn new(tensors: &'a [impl Borrow<Tensor>]) -> Self {
        Pointers { pointers: tensors.iter().map(|tensor| tensor.borrow().as_ptr()).collect(), tensors: PhantomData }
    }

    fn list(&self) -> ffi::List {
        ffi::List { tensors: self.pointers.as_ptr(), len: self.pointers.len() }
    }
}

/// A tensor that may be missing, as the shim takes it.
fn optional(tensor: Option<&Tensor>) -> *const C_tensor {
    tensor.map_or(ptr::null(), Tensor::as_ptr)
}

/// A device as a number, as in tch.
fn device_number(device: Device) -> c_int {
    match device {
        Device::Cpu => -1,
        // An index that does not fit is no device either way; the shim says so.
        Device::Cuda(index) => c_int::try_from(index).unwrap_or(c_int::MAX),
        Device::Mps => -2,
        Device::Vulkan => -3,
    }
}

/// The number of a dtype in `c10/core/ScalarType.h`.
fn dtype_number(kind: Kind) -> Result<c_int> {
    Ok(match kind {
        Kind::Uint8 => 0,
        Kind::Int8 => 1,
        Kind::Int16 => 2,
        Kind::Int => 3,
        Kind::Int64 => 4,
        Kind::Half => 5,
        Kind::Float => 6,
        Kind::Double => 7,
        Kind::Bool => 11,
        Kind::BFloat16 => 15,
        other => return Err(NativeError(format!("tensors of {other:?} are not supported here"))),
    })
}

/// Runs one ignored test of this crate in a process of its own: for what changes a state of the process, which other
/// tests, running side by side, must not see.
#[cfg(test)]
fn run_alone(test: &str) {
    let this = std::env::current_exe().unwrap();
    let output = std::process::Command::new(this).args(["--exact", test, "--ignored"]).output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && text.contains("1 passed"), "{text}");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_is_one_line() {
        let tensors = [Tensor::zeros([2], (Kind::Float, Device::Cpu)), Tensor::new()];
        let error = foreach::zero(&tensors).unwrap_err();
        assert_eq!(error.to_string(), "tensor 1 of the list holds nothing");
    }

    #[test]
    fn numbers_of_dtypes_are_those_of_libtorch() {
        let kinds = [Kind::Uint8, Kind::Int8, Kind::Int16, Kind::Int, Kind::Int64, Kind::Half, Kind::Float];
        for kind in kinds.into_iter().chain([Kind::Double, Kind::Bool, Kind::BFloat16]) {
            let tensor = Tensor::zeros([1], (kind, Device::Cpu));
            // SAFETY: a tensor's own pointer.
            let number = unsafe { torch_sys::at_scalar_type(tensor.as_ptr().cast_mut()) };
            assert_eq!(dtype_number(kind).unwrap(), number, "{kind:?}");
        }
        assert!(dtype_number(Kind::QInt8).is_err());
    }
}
