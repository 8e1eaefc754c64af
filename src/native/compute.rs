//! How libtorch computes: determinism, precision and threads. These are states of the whole process.

use std::os::raw::c_int;

use super::{NativeError, Result, check, ffi};

/// The version of libtorch that this program was built with: `2.11.0`.
pub fn libtorch_version() -> String {
    // SAFETY: a string literal of the shim.
    unsafe { std::ffi::CStr::from_ptr(ffi::runner_libtorch_version()) }.to_string_lossy().into_owned()
}

/// Makes operations choose deterministic algorithms, as `torch.use_deterministic_algorithms`. An operation without
/// one then fails, or warns with `warn_only`.
pub fn set_deterministic_algorithms(on: bool, warn_only: bool) -> Result<()> {
    // SAFETY: here and below, plain values.
    check(unsafe { ffi::runner_set_deterministic_algorithms(on, warn_only) })
}

/// Lets cuBLAS compute the same again: libtorch wants its workspace fixed before the first product on a GPU.
pub fn set_deterministic_cublas() {
    const NAME: &str = "CUBLAS_WORKSPACE_CONFIG";
    if std::env::var_os(NAME).is_none() {
        // SAFETY: called while a run is set up, before it starts threads that read the environment.
        unsafe { std::env::set_var(NAME, ":4096:8") };
    }
}

/// Whether deterministic algorithms are chosen.
pub fn deterministic_algorithms() -> bool {
    unsafe { ffi::runner_deterministic_algorithms() }
}

/// Restricts cuDNN to deterministic algorithms: `torch.backends.cudnn.deterministic`.
pub fn set_deterministic_cudnn(on: bool) -> Result<()> {
    check(unsafe { ffi::runner_set_deterministic_cudnn(on) })
}

/// Whether cuDNN is restricted to deterministic algorithms.
pub fn deterministic_cudnn() -> bool {
    unsafe { ffi::runner_deterministic_cudnn() }
}

/// Lets cuDNN time its algorithms for each new shape: `torch.backends.cudnn.benchmark`.
pub fn set_benchmark_cudnn(on: bool) -> Result<()> {
    check(unsafe { ffi::runner_set_benchmark_cudnn(on) })
}

/// Whether cuDNN times its algorithms.
pub fn benchmark_cudnn() -> bool {
    unsafe { ffi::runner_benchmark_cudnn() }
}

/// How precisely Float matrices are multiplied, as `torch.set_float32_matmul_precision`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MatmulPrecision {
    /// In Float.
    Highest,
    /// In TensorFloat32 or as two BFloat16 parts, where the device can.
    High,
    /// In BFloat16, where the device can.
    Medium,
}

impl MatmulPrecision {
    const ALL: [Self; 3] = [Self::Highest, Self::High, Self::Medium];
}

impl std::str::FromStr for MatmulPrecision {
    type Err = NativeError;

    /// PyTorch's names: `highest`, `high`, `medium`.
    fn from_str(name: &str) -> Result<Self> {
        match name {
            "highest" => Ok(Self::Highest),
            "high" => Ok(Self::High),
            "medium" => Ok(Self::Medium),
            _ => Err(NativeError(format!("`{name}` is no matmul precision; there are highest, high and medium"))),
        }
    }
}

/// Sets the precision of products of Float matrices.
pub fn set_float32_matmul_precision(precision: MatmulPrecision) -> Result<()> {
    check(unsafe { ffi::runner_set_float32_matmul_precision(precision as c_int) })
}

/// The precision of products of Float matrices.
pub fn float32_matmul_precision() -> MatmulPrecision {
    let number = unsafe { ffi::runner_float32_matmul_precision() };
    usize::try_from(number).ok().and_then(|i| MatmulPrecision::ALL.get(i)).copied().unwrap_or(MatmulPrecision::Highest)
}

/// Sets how many threads one operation on the CPU may use, at least 1. Sums may change in their last digits.
pub fn set_threads(n: usize) -> Result<()> {
    let n = c_int::try_from(n).map_err(|_| NativeError(format!("{n} threads are too many")))?;
    check(unsafe { ffi::runner_set_threads(n) })
}

/// How many threads one operation on the CPU may use.
pub fn threads() -> usize {
    usize::try_from(unsafe { ffi::runner_threads() }).unwrap_or(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_set_is_read() {
        crate::native::run_alone("native::compute::tests::alone_what_is_set_is_read");
    }

    #[test]
    #[ignore = "changes the state of the process; what_is_set_is_read runs it"]
    fn alone_what_is_set_is_read() {
        let precision = float32_matmul_precision();
        for wanted in ["highest", "high", "medium"] {
            let wanted: MatmulPrecision = wanted.parse().unwrap();
            set_float32_matmul_precision(wanted).unwrap();
            assert_eq!(float32_matmul_precision(), wanted);
        }
        set_float32_matmul_precision(precision).unwrap();

        type Switch = (fn(bool) -> Result<()>, fn() -> bool);
        let switches: [Switch; 3] = [
            (|on| set_deterministic_algorithms(on, true), deterministic_algorithms),
            (set_deterministic_cudnn, deterministic_cudnn),
            (set_benchmark_cudnn, benchmark_cudnn),
        ];
        for (set, get) in switches {
            let before = get();
            set(!before).unwrap();
            assert_eq!(get(), !before);
            set(before).unwrap();
        }

        let before = threads();
        set_threads(before + 1).unwrap();
        assert_eq!(threads(), before + 1);
        set_threads(before).unwrap();
        assert!(set_threads(0).is_err());
        assert!("fast".parse::<MatmulPrecision>().is_err());
    }
}
