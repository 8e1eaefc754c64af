// What Rust asks of libtorch beyond the binding of tch. Each function does one thing.
//
// Every function returns null, or the first line of libtorch's message on failure, to be freed with runner_text_free.
// Tensors are the `at::Tensor*` that tch holds; one that is handed out belongs to the caller. A device is a number as in
// tch: -1 the CPU, 0 and more a CUDA device. A dtype is the number of its c10::ScalarType.
#pragma once

#include <cstddef>
#include <cstdint>

#include <ATen/core/Tensor.h>

extern "C" {

// Borrowed tensors, in order.
struct List {
  const at::Tensor *const *tensors;
  size_t len;
};

using Text = char *;

void runner_text_free(Text text);

// Fused optimizers. They write parameters and state and are never recorded by autograd. `grad_scale` and `found_inf` may
// be null.
struct Adam {
  double lr, beta1, beta2, weight_decay, eps;
  bool amsgrad, maximize;
};
struct Sgd {
  double lr, momentum, dampening, weight_decay;
  bool nesterov, maximize, is_first_step;
};
struct Adagrad {
  double lr, lr_decay, weight_decay, eps;
  bool maximize;
};
Text runner_fused_adam(bool decoupled, List params, List grads, List exp_avgs, List exp_avg_sqs, List max_exp_avg_sqs,
                       List steps, Adam args, const at::Tensor *grad_scale, const at::Tensor *found_inf);
Text runner_fused_sgd(List params, List grads, List momentum_buffers, Sgd args, const at::Tensor *grad_scale,
                      const at::Tensor *found_inf);
Text runner_fused_adagrad(List params, List grads, List state_sums, List steps, Adagrad args,
                          const at::Tensor *grad_scale, const at::Tensor *found_inf);

// Operations on lists. In-place ones are never recorded by autograd. `out` has room for one tensor per tensor of `list`.
Text runner_foreach_norm(List list, double order, at::Tensor **out);
Text runner_foreach_sqrt(List list, at::Tensor **out);
Text runner_foreach_zero(List list);
Text runner_foreach_copy(List list, List source, bool non_blocking);
Text runner_foreach_add_scalar(List list, double scalar);
Text runner_foreach_add(List list, List other, double alpha);
Text runner_foreach_mul_scalar(List list, double scalar);
Text runner_foreach_mul_tensor(List list, const at::Tensor *factor);
Text runner_foreach_mul(List list, List other);
Text runner_foreach_div_scalar(List list, double scalar);
Text runner_foreach_div_tensor(List list, const at::Tensor *divisor);
Text runner_foreach_div(List list, List other);
Text runner_foreach_addcmul(List list, List left, List right, double value);
Text runner_foreach_addcdiv(List list, List numerator, List denominator, double value);
Text runner_foreach_lerp(List list, List end, double weight);
Text runner_foreach_unscale(List list, at::Tensor *found_inf, const at::Tensor *inverse_scale);

// Autocast, which is a state of the calling thread.
struct AutocastState {
  bool enabled, cache;
  int dtype;
};
Text runner_autocast_enter(int device, AutocastState state, AutocastState *before);
Text runner_autocast_leave(int device, AutocastState before);
Text runner_autocast_state(int device, AutocastState *state);
Text runner_autocast_clear_cache();

// Random numbers. `generator` null means the device's default generator.
Text runner_generator_new(int device, uint64_t seed, at::Generator **out);
void runner_generator_free(at::Generator *generator);
Text runner_generator_seed(at::Generator *generator, uint64_t seed);
Text runner_generator_state(const at::Generator *generator, int device, at::Tensor **out);
Text runner_generator_restore(at::Generator *generator, int device, const at::Tensor *state);
Text runner_generator_randperm(at::Generator *generator, int64_t n, at::Tensor **out);
Text runner_generator_random(at::Generator *generator, const at::Tensor *tensor);
Text runner_generator_integers(at::Generator *generator, const at::Tensor *tensor, int64_t low, int64_t high);
Text runner_generator_uniform(at::Generator *generator, const at::Tensor *tensor, double low, double high);
Text runner_generator_normal(at::Generator *generator, const at::Tensor *tensor, double mean, double std);
Text runner_generator_multinomial(at::Generator *generator, const at::Tensor *weights, int64_t n, bool replacement,
                                  at::Tensor **out);

// How libtorch computes: determinism, precision, threads. States of the process.
Text runner_set_deterministic_algorithms(bool on, bool warn_only);
bool runner_deterministic_algorithms();
Text runner_set_deterministic_cudnn(bool on);
bool runner_deterministic_cudnn();
Text runner_set_benchmark_cudnn(bool on);
bool runner_benchmark_cudnn();
Text runner_set_float32_matmul_precision(int precision);
int runner_float32_matmul_precision();
Text runner_set_threads(int n);
int runner_threads();

// The version of the headers that the shim was built with: `2.11.0`.
const char *runner_libtorch_version();

// Memory layout of a tensor.
Text runner_contiguous(const at::Tensor *tensor, int format, at::Tensor **out);
Text runner_is_contiguous(const at::Tensor *tensor, int format, bool *out);

// The elements of a tensor.
Text runner_read_bytes(const at::Tensor *tensor, void *bytes, size_t len);
Text runner_write_bytes(const at::Tensor *tensor, const void *bytes, size_t len);
Text runner_unique_data(const at::Tensor *tensor, void **data);
Text runner_from_buffer(void *data, const int64_t *shape, size_t dims, int dtype, void *owner, void (*drop)(void *),
                        at::Tensor **out);

// Gradients of leaves, and hooks. `call` gets the gradient (borrowed) and may set `replacement` to an owned tensor; it returns false to
// make the backward pass fail. `drop` frees `owner` with the last reference to the hook.
using HookCall = bool (*)(void *owner, const at::Tensor *grad, at::Tensor **replacement);
Text runner_grad_clear(List list);
Text runner_grad_set(const at::Tensor *tensor, const at::Tensor *grad);
Text runner_hook_add(const at::Tensor *tensor, void *owner, HookCall call, void (*drop)(void *), unsigned *id);
Text runner_hook_remove(const at::Tensor *tensor, unsigned id);

// Accelerators.
struct MemoryStats {
  int64_t allocated, allocated_peak, reserved, reserved_peak, retries, out_of_memory;
};
Text runner_memory_stats(int device, MemoryStats *out);
Text runner_memory_reset_peak(int device);
Text runner_memory_info(int device, uint64_t *free, uint64_t *total);
Text runner_memory_empty_cache();
Text runner_synchronize(int device);
Text runner_set_device(int device);
}
