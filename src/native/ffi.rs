//! The shim's declarations, line by line those of `shim.h`.

use std::os::raw::{c_char, c_int, c_uint, c_void};

use torch_sys::C_tensor;

pub type Text = *mut c_char;
pub type Tensor = *const C_tensor;
pub type Out = *mut *mut C_tensor;

/// An `at::Generator`.
#[repr(C)]
pub struct CGenerator {
    _private: [u8; 0],
}

#[repr(C)]
#[derive(Clone, Copy)]
pub struct List {
    pub tensors: *const Tensor,
    pub len: usize,
}

#[repr(C)]
pub struct Adam {
    pub lr: f64,
    pub beta1: f64,
    pub beta2: f64,
    pub weight_decay: f64,
    pub eps: f64,
    pub amsgrad: bool,
    pub maximize: bool,
}

#[repr(C)]
pub struct Sgd {
    pub lr: f64,
    pub momentum: f64,
    pub dampening: f64,
    pub weight_decay: f64,
    pub nesterov: bool,
    pub maximize: bool,
    pub is_first_step: bool,
}

#[repr(C)]
pub struct Adagrad {
    pub lr: f64,
    pub lr_decay: f64,
    pub weight_decay: f64,
    pub eps: f64,
    pub maximize: bool,
}

#[repr(C)]
#[derive(Clone, Copy, Default)]
pub struct AutocastState {
    pub enabled: bool,
    pub cache: bool,
    pub dtype: c_int,
}

#[repr(C)]
#[derive(Default)]
pub struct MemoryStats {
    pub allocated: i64,
    pub allocated_peak: i64,
    pub reserved: i64,
    pub reserved_peak: i64,
    pub retries: i64,
    pub out_of_memory: i64,
}

pub type HookCall = unsafe extern "C" fn(owner: *mut c_void, grad: Tensor, replacement: Out) -> bool;
pub type Drop = unsafe extern "C" fn(*mut c_void);

unsafe extern "C" {
    pub fn runner_text_free(text: Text);
    pub fn runner_libtorch_version() -> *const std::os::raw::c_char;

    pub fn runner_fused_adam(
        decoupled: bool,
        params: List,
        grads: List,
        exp_avgs: List,
        exp_avg_sqs: List,
        max_exp_avg_sqs: List,
        steps: List,
        args: Adam,
        grad_scale: Tensor,
        found_inf: Tensor,
    ) -> Text;
    pub fn runner_fused_sgd(
        params: List,
        grads: List,
        momentum_buffers: List,
        args: Sgd,
        grad_scale: Tensor,
        found_inf: Tensor,
    ) -> Text;
    pub fn runner_fused_adagrad(
        params: List,
        grads: List,
        state_sums: List,
        steps: List,
        args: Adagrad,
        grad_scale: Tensor,
        found_inf: Tensor,
    ) -> Text;

    pub fn runner_foreach_norm(list: List, order: f64, out: Out) -> Text;
    pub fn runner_foreach_sqrt(list: List, out: Out) -> Text;
    pub fn runner_foreach_zero(list: List) -> Text;
    pub fn runner_foreach_copy(list: List, source: List, non_blocking: bool) -> Text;
    pub fn runner_foreach_add_scalar(list: List, scalar: f64) -> Text;
    pub fn runner_foreach_add(list: List, other: List, alpha: f64) -> Text;
    pub fn runner_foreach_mul_scalar(list: List, scalar: f64) -> Text;
    pub fn runner_foreach_mul_tensor(list: List, factor: Tensor) -> Text;
    pub fn runner_foreach_mul(list: List, other: List) -> Text;
    pub fn runner_foreach_div_scalar(list: List, scalar: f64) -> Text;
    pub fn runner_foreach_div_tensor(list: List, divisor: Tensor) -> Text;
    pub fn runner_foreach_div(list: List, other: List) -> Text;
    pub fn runner_foreach_addcmul(list: List, left: List, right: List, value: f64) -> Text;
    pub fn runner_foreach_addcdiv(list: List, numerator: List, denominator: List, value: f64) -> Text;
    pub fn runner_foreach_lerp(list: List, end: List, weight: f64) -> Text;
    pub fn runner_foreach_unscale(list: List, found_inf: Tensor, inverse_scale: Tensor) -> Text;

    pub fn runner_autocast_enter(device: c_int, state: AutocastState, before: *mut AutocastState) -> Text;
    pub fn runner_autocast_leave(device: c_int, before: AutocastState) -> Text;
    pub fn runner_autocast_state(device: c_int, state: *mut AutocastState) -> Text;
    pub fn runner_autocast_clear_cache() -> Text;

    pub fn runner_generator_new(device: c_int, seed: u64, out: *mut *mut CGenerator) -> Text;
    pub fn runner_generator_free(generator: *mut CGenerator);
    pub fn runner_generator_seed(generator: *mut CGenerator, seed: u64) -> Text;
    pub fn runner_generator_state(generator: *const CGenerator, device: c_int, out: Out) -> Text;
    pub fn runner_generator_restore(generator: *mut CGenerator, device: c_int, state: Tensor) -> Text;
    pub fn runner_generator_randperm(generator: *mut CGenerator, n: i64, out: Out) -> Text;
    pub fn runner_generator_random(generator: *mut CGenerator, tensor: Tensor) -> Text;
    pub fn runner_generator_integers(generator: *mut CGenerator, tensor: Tensor, low: i64, high: i64) -> Text;
    pub fn runner_generator_uniform(generator: *mut CGenerator, tensor: Tensor, low: f64, high: f64) -> Text;
    pub fn runner_generator_normal(generator: *mut CGenerator, tensor: Tensor, mean: f64, std: f64) -> Text;
    pub fn runner_generator_multinomial(
        generator: *mut CGenerator,
        weights: Tensor,
        n: i64,
        replacement: bool,
        out: Out,
    ) -> Text;

    pub fn runner_set_deterministic_algorithms(on: bool, warn_only: bool) -> Text;
    pub fn runner_deterministic_algorithms() -> bool;
    pub fn runner_set_deterministic_cudnn(on: bool) -> Text;
    pub fn runner_deterministic_cudnn() -> bool;
    pub fn runner_set_benchmark_cudnn(on: bool) -> Text;
    pub fn runner_benchmark_cudnn() -> bool;
    pub fn runner_set_float32_matmul_precision(precision: c_int) -> Text;
    pub fn runner_float32_matmul_precision() -> c_int;
    pub fn runner_set_threads(n: c_int) -> Text;
    pub fn runner_threads() -> c_int;

    pub fn runner_contiguous(tensor: Tensor, format: c_int, out: Out) -> Text;
    pub fn runner_is_contiguous(tensor: Tensor, format: c_int, out: *mut bool) -> Text;

    pub fn runner_read_bytes(tensor: Tensor, bytes: *mut c_void, len: usize) -> Text;
    pub fn runner_write_bytes(tensor: Tensor, bytes: *const c_void, len: usize) -> Text;
    pub fn runner_unique_data(tensor: Tensor, data: *mut *mut c_void) -> Text;
    pub fn runner_from_buffer(
        data: *mut c_void,
        shape: *const i64,
        dims: usize,
        dtype: c_int,
        owner: *mut c_void,
        drop: Drop,
        out: Out,
    ) -> Text;

    pub fn runner_keep_memory();

    pub fn runner_grad_clear(list: List) -> Text;
    pub fn runner_grad_set(tensor: Tensor, grad: Tensor) -> Text;
    pub fn runner_hook_add(tensor: Tensor, owner: *mut c_void, call: HookCall, drop: Drop, id: *mut c_uint) -> Text;
    pub fn runner_hook_remove(tensor: Tensor, id: c_uint) -> Text;

    pub fn runner_memory_stats(device: c_int, out: *mut MemoryStats) -> Text;
    pub fn runner_memory_reset_peak(device: c_int) -> Text;
    pub fn runner_memory_info(device: c_int, free: *mut u64, total: *mut u64) -> Text;
    pub fn runner_memory_empty_cache() -> Text;
    pub fn runner_synchronize(device: c_int) -> Text;
    pub fn runner_set_device(device: c_int) -> Text;
}
