//! libtorch's errors as ours.

use std::cell::Cell;
use std::panic::{self, AssertUnwindSafe};
use std::sync::Once;

use crate::error::{Error, Result};

thread_local! {
    static GUARDED: Cell<bool> = const { Cell::new(false) };
}

/// Runs `work`, whose tensor operations panic on failure, and turns such a panic into an error that keeps the first
/// line of libtorch's message and drops its C++ trace.
///
/// Layers and tasks write plain tensor expressions; the loops call them through this guard once a step.
pub fn guard<T>(work: impl FnOnce() -> Result<T>) -> Result<T> {
    static HOOK: Once = Once::new();
    // A guarded panic is reported as an error; only an unguarded one is a bug that the default hook should print.
    HOOK.call_once(|| {
        let default = panic::take_hook();
        panic::set_hook(Box::new(move |info| {
            if !GUARDED.get() {
                default(info);
            }
        }));
    });
    let outer = GUARDED.replace(true);
    let result = panic::catch_unwind(AssertUnwindSafe(work));
    GUARDED.set(outer);
    result.unwrap_or_else(|payload| {
        let text = payload
            .downcast_ref::<String>()
            .map(String::as_str)
            .or_else(|| payload.downcast_ref::<&str>().copied())
            .unwrap_or("an operation failed without a message");
        Err(Error::failed(first_line(text)))
    })
}

/// The sentence of libtorch's message: its first line, without the Rust wrapping around it.
pub(crate) fn first_line(text: &str) -> String {
    let text = text.split_once("Torch(\"").map_or(text, |(_, inner)| inner);
    let text = text.split("\\n").next().unwrap_or(text);
    text.lines().next().unwrap_or(text).trim_end_matches("\")").replace("\\\"", "\"")
}

/// Whether an error says that memory has run out, on a GPU or on the CPU, by the words that libtorch uses.
pub fn is_out_of_memory(error: &Error) -> bool {
    let text = error.to_string();
    let says = |words: &str| text.contains(words);
    says("out of memory")
        || says("DefaultCPUAllocator: can't allocate memory")
        || says("DefaultCPUAllocator: not enough memory")
        || says("CUBLAS_STATUS_ALLOC_FAILED")
        || says("cuDNN error: CUDNN_STATUS_NOT_SUPPORTED")
        || says("CUDNN_STATUS_ALLOC_FAILED")
}

impl From<tch::TchError> for Error {
    fn from(error: tch::TchError) -> Self {
        Error::failed(first_line(&error.to_string()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tch::{Device, Kind, Tensor};

    #[test]
    fn running_out_of_memory_is_told_from_other_errors() {
        let huge = guard(|| Ok(Tensor::zeros([1 << 60], (Kind::Float, Device::Cpu)))).unwrap_err();
        assert!(is_out_of_memory(&huge), "{huge}");
        let cuda = Error::failed("CUDA out of memory. Tried to allocate 2.00 GiB").context("epoch 0, batch 1");
        assert!(is_out_of_memory(&cuda));
        let a = Tensor::zeros([2, 3], (Kind::Float, Device::Cpu));
        assert!(!is_out_of_memory(&guard(|| Ok(a.matmul(&a))).unwrap_err()));
    }

    #[test]
    fn a_shape_error_is_one_line() {
        let a = Tensor::zeros([2, 3], (Kind::Float, Device::Cpu));
        let error = guard(|| Ok(a.matmul(&a))).unwrap_err().to_string();
        assert_eq!(error, "mat1 and mat2 shapes cannot be multiplied (2x3 and 2x3)");
    }
}
