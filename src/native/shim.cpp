#include "shim.h"

#include <torch/headeronly/version.h>
#include <cstring>
#include <memory>
#include <string>
#include <vector>

#include <ATen/CPUGeneratorImpl.h>
#include <ATen/Context.h>
#include <ATen/DeviceAccelerator.h>
#include <ATen/Parallel.h>
#include <ATen/autocast_mode.h>
#include <ATen/core/grad_mode.h>
#include <ATen/ops/_amp_foreach_non_finite_check_and_unscale.h>
#include <ATen/ops/_foreach_add.h>
#include <ATen/ops/_foreach_addcdiv.h>
#include <ATen/ops/_foreach_addcmul.h>
#include <ATen/ops/_foreach_copy.h>
#include <ATen/ops/_foreach_div.h>
#include <ATen/ops/_foreach_lerp.h>
#include <ATen/ops/_foreach_mul.h>
#include <ATen/ops/_foreach_norm.h>
#include <ATen/ops/_foreach_sqrt.h>
#include <ATen/ops/_foreach_zero.h>
#include <ATen/ops/_fused_adagrad.h>
#include <ATen/ops/_fused_adam.h>
#include <ATen/ops/_fused_adamw.h>
#include <ATen/ops/_fused_sgd.h>
#include <ATen/ops/empty_like.h>
#include <ATen/ops/from_blob.h>
#include <ATen/ops/multinomial.h>
#include <ATen/ops/randperm.h>

namespace {

Text first_line(const char *message) {
  return strndup(message, strcspn(message, "\n"));
}

// libtorch's own errors know their message without the C++ trace. They are told apart here and not by a catch clause,
// because the linker keeps the types in such clauses, and libc10 with them, even in the front, where nothing of this
// is called.
const char *message_of(const std::exception &error) {
  auto own = dynamic_cast<const c10::Error *>(&error);
  return own ? own->what_without_backtrace() : error.what();
}

// Runs `work`; a C++ exception becomes its message, because it must not cross into Rust.
template <class Work> Text attempt(Work &&work) noexcept {
  try {
    work();
    return nullptr;
  } catch (const std::exception &error) {
    return first_line(message_of(error));
  } catch (...) {
    return first_line("libtorch failed without a message");
  }
}

template <class Work> Text attempt_unrecorded(Work &&work) noexcept {
  return attempt([&] {
    at::NoGradGuard no_grad;
    work();
  });
}

std::vector<at::Tensor> tensors(List list) {
  std::vector<at::Tensor> out;
  out.reserve(list.len);
  for (size_t i = 0; i < list.len; i++) {
    TORCH_CHECK(list.tensors[i]->defined(), "tensor ", i, " of the list holds nothing");
    out.push_back(*list.tensors[i]);
  }
  return out;
}

std::optional<at::Tensor> optional(const at::Tensor *tensor) {
  return tensor ? std::optional<at::Tensor>(*tensor) : std::nullopt;
}

void hand_out(const std::vector<at::Tensor> &tensors, at::Tensor **out) {
  for (const auto &tensor : tensors)
    *out++ = new at::Tensor(tensor);
}

c10::Device device_of(int device) {
  TORCH_CHECK(device >= -1, "only the CPU and CUDA devices are supported here");
  return device < 0 ? c10::Device(c10::kCPU) : c10::Device(c10::kCUDA, static_cast<c10::DeviceIndex>(device));
}

} // namespace

void runner_text_free(Text text) { free(text); }

// ---- Fused optimizers ----

namespace {

std::string describe(const at::Tensor &tensor) {
  return c10::str(tensor.scalar_type(), " ", tensor.sizes(), " strides ", tensor.strides(), " on ", tensor.device());
}

// The kernels walk through memory without looking at shapes, so that a wrong one would read and write out of bounds.
void expect_dense(const std::vector<at::Tensor> &params) {
  TORCH_CHECK(!params.empty(), "there are no parameters");
  for (size_t i = 0; i < params.size(); i++)
    TORCH_CHECK(params[i].is_non_overlapping_and_dense(), "parameter ", i, " is not dense: ", describe(params[i]));
}

void expect_count(const char *what, size_t found, size_t wanted) {
  TORCH_CHECK(found == wanted, "there are ", found, " ", what, " for ", wanted, " parameters");
}

bool alike(const at::Tensor &a, const at::Tensor &b) {
  return a.sizes() == b.sizes() && a.strides() == b.strides() && a.scalar_type() == b.scalar_type() &&
         a.device() == b.device();
}

std::vector<at::Tensor> state(const char *what, List list, const std::vector<at::Tensor> &params) {
  auto found = tensors(list);
  expect_count(what, found.size(), params.size());
  for (size_t i = 0; i < found.size(); i++)
    TORCH_CHECK(alike(found[i], params[i]), what, " ", i, " is ", describe(found[i]), ", but its parameter is ",
                describe(params[i]));
  return found;
}

// Gradients come laid out as backward made them; one laid out unlike its parameter is copied.
std::vector<at::Tensor> gradients(List list, const std::vector<at::Tensor> &params) {
  auto found = tensors(list);
  expect_count("gradients", found.size(), params.size());
  for (size_t i = 0; i < found.size(); i++) {
    TORCH_CHECK(found[i].layout() == at::kStrided, "gradient ", i, " is sparse");
    if (found[i].sizes() == params[i].sizes() && found[i].strides() != params[i].strides())
      found[i] = at::empty_like(params[i], found[i].options()).copy_(found[i]);
    TORCH_CHECK(alike(found[i], params[i]), "gradient ", i, " is ", describe(found[i]), ", but its parameter is ",
                describe(params[i]));
  }
  return found;
}

std::vector<at::Tensor> step_counts(List list, const std::vector<at::Tensor> &params) {
  auto found = tensors(list);
  expect_count("step counts", found.size(), params.size());
  for (size_t i = 0; i < found.size(); i++)
    TORCH_CHECK(found[i].numel() == 1 && found[i].scalar_type() == at::kFloat &&
                    found[i].device() == params[i].device(),
                "step count ", i, " is ", describe(found[i]), ", not one Float on ", params[i].device());
  return found;
}

std::optional<at::Tensor> scalar(const char *what, const at::Tensor *tensor, const std::vector<at::Tensor> &params) {
  if (tensor)
    TORCH_CHECK(tensor->defined() && tensor->numel() == 1 && tensor->scalar_type() == at::kFloat &&
                    tensor->device() == params[0].device(),
                what, " is not one Float on ", params[0].device());
  return optional(tensor);
}

} // namespace

Text runner_fused_adam(bool decoupled, List params, List grads, List exp_avgs, List exp_avg_sqs, List max_exp_avg_sqs,
                       List steps, Adam a, const at::Tensor *grad_scale, const at::Tensor *found_inf) {
  return attempt_unrecorded([&] {
    auto p = tensors(params);
    expect_dense(p);
    auto g = gradients(grads, p);
    auto m = state("exp_avg", exp_avgs, p), v = state("exp_avg_sq", exp_avg_sqs, p);
    auto vmax = a.amsgrad ? state("max_exp_avg_sq", max_exp_avg_sqs, p) : std::vector<at::Tensor>();
    auto t = step_counts(steps, p);
    auto scale = scalar("grad_scale", grad_scale, p), inf = scalar("found_inf", found_inf, p);
    if (decoupled)
      at::_fused_adamw_(p, g, m, v, vmax, t, a.lr, a.beta1, a.beta2, a.weight_decay, a.eps, a.amsgrad, a.maximize,
                        scale, inf);
    else
      at::_fused_adam_(p, g, m, v, vmax, t, a.lr, a.beta1, a.beta2, a.weight_decay, a.eps, a.amsgrad, a.maximize,
                       scale, inf);
  });
}

Text runner_fused_sgd(List params, List grads, List momentum_buffers, Sgd a, const at::Tensor *grad_scale,
                      const at::Tensor *found_inf) {
  return attempt_unrecorded([&] {
    auto p = tensors(params);
    expect_dense(p);
    auto g = gradients(grads, p);
    auto buffers = a.momentum != 0 ? state("momentum buffer", momentum_buffers, p) : std::vector<at::Tensor>();
    auto scale = scalar("grad_scale", grad_scale, p), inf = scalar("found_inf", found_inf, p);
    at::_fused_sgd_(p, g, buffers, a.weight_decay, a.momentum, a.lr, a.dampening, a.nesterov, a.maximize,
                    a.is_first_step, scale, inf);
  });
}

Text runner_fused_adagrad(List params, List grads, List state_sums, List steps, Adagrad a,
                          const at::Tensor *grad_scale, const at::Tensor *found_inf) {
  return attempt_unrecorded([&] {
    auto p = tensors(params);
    expect_dense(p);
    auto g = gradients(grads, p);
    auto sums = state("state_sum", state_sums, p);
    auto t = step_counts(steps, p);
    auto scale = scalar("grad_scale", grad_scale, p), inf = scalar("found_inf", found_inf, p);
    at::_fused_adagrad_(p, g, sums, t, a.lr, a.lr_decay, a.weight_decay, a.eps, a.maximize, scale, inf);
  });
}

// ---- Operations on lists ----

Text runner_foreach_norm(List list, double order, at::Tensor **out) {
  return attempt([&] { hand_out(at::_foreach_norm(tensors(list), order), out); });
}

Text runner_foreach_sqrt(List list, at::Tensor **out) {
  return attempt([&] { hand_out(at::_foreach_sqrt(tensors(list)), out); });
}

Text runner_foreach_zero(List list) {
  return attempt_unrecorded([&] { at::_foreach_zero_(tensors(list)); });
}

Text runner_foreach_copy(List list, List source, bool non_blocking) {
  return attempt_unrecorded([&] { at::_foreach_copy_(tensors(list), tensors(source), non_blocking); });
}

Text runner_foreach_add_scalar(List list, double scalar) {
  return attempt_unrecorded([&] { at::_foreach_add_(tensors(list), scalar); });
}

Text runner_foreach_add(List list, List other, double alpha) {
  return attempt_unrecorded([&] { at::_foreach_add_(tensors(list), tensors(other), alpha); });
}

Text runner_foreach_mul_scalar(List list, double scalar) {
  return attempt_unrecorded([&] { at::_foreach_mul_(tensors(list), scalar); });
}

Text runner_foreach_mul_tensor(List list, const at::Tensor *factor) {
  return attempt_unrecorded([&] { at::_foreach_mul_(tensors(list), *factor); });
}

Text runner_foreach_mul(List list, List other) {
  return attempt_unrecorded([&] { at::_foreach_mul_(tensors(list), tensors(other)); });
}

Text runner_foreach_div_scalar(List list, double scalar) {
  return attempt_unrecorded([&] { at::_foreach_div_(tensors(list), scalar); });
}

Text runner_foreach_div_tensor(List list, const at::Tensor *divisor) {
  return attempt_unrecorded([&] { at::_foreach_div_(tensors(list), *divisor); });
}

Text runner_foreach_div(List list, List other) {
  return attempt_unrecorded([&] { at::_foreach_div_(tensors(list), tensors(other)); });
}

Text runner_foreach_addcmul(List list, List left, List right, double value) {
  return attempt_unrecorded([&] { at::_foreach_addcmul_(tensors(list), tensors(left), tensors(right), value); });
}

Text runner_foreach_addcdiv(List list, List numerator, List denominator, double value) {
  return attempt_unrecorded(
      [&] { at::_foreach_addcdiv_(tensors(list), tensors(numerator), tensors(denominator), value); });
}

Text runner_foreach_lerp(List list, List end, double weight) {
  return attempt_unrecorded([&] { at::_foreach_lerp_(tensors(list), tensors(end), weight); });
}

Text runner_foreach_unscale(List list, at::Tensor *found_inf, const at::Tensor *inverse_scale) {
  return attempt_unrecorded(
      [&] { at::_amp_foreach_non_finite_check_and_unscale_(tensors(list), *found_inf, *inverse_scale); });
}

// ---- Autocast ----

namespace {

AutocastState autocast_state(c10::DeviceType type) {
  return {at::autocast::is_autocast_enabled(type), at::autocast::is_autocast_cache_enabled(),
          static_cast<int>(at::autocast::get_autocast_dtype(type))};
}

void set_autocast_state(c10::DeviceType type, AutocastState state) {
  at::autocast::set_autocast_enabled(type, state.enabled);
  at::autocast::set_autocast_dtype(type, static_cast<at::ScalarType>(state.dtype));
  at::autocast::set_autocast_cache_enabled(state.cache);
}

} // namespace

Text runner_autocast_enter(int device, AutocastState state, AutocastState *before) {
  return attempt([&] {
    auto type = device_of(device).type();
    *before = autocast_state(type);
    set_autocast_state(type, state);
    at::autocast::increment_nesting();
  });
}

// The casted copies of parameters are dropped with the outermost region: the optimizer changes the originals.
Text runner_autocast_leave(int device, AutocastState before) {
  return attempt([&] {
    if (at::autocast::decrement_nesting() == 0)
      at::autocast::clear_cache();
    set_autocast_state(device_of(device).type(), before);
  });
}

Text runner_autocast_state(int device, AutocastState *state) {
  return attempt([&] { *state = autocast_state(device_of(device).type()); });
}

Text runner_autocast_clear_cache() {
  return attempt([] { at::autocast::clear_cache(); });
}

// ---- Random numbers ----

namespace {

at::Generator generator_of(const at::Generator *generator, int device) {
  return generator ? *generator : at::globalContext().defaultGenerator(device_of(device));
}

} // namespace

Text runner_generator_new(int device, uint64_t seed, at::Generator **out) {
  return attempt([&] {
    auto place = device_of(device);
    auto generator =
        place.is_cpu() ? at::detail::createCPUGenerator(seed)
                       : at::globalContext().getAcceleratorHooksInterface(place.type()).getNewGenerator(place.index());
    generator.set_current_seed(seed);
    *out = new at::Generator(generator);
  });
}

void runner_generator_free(at::Generator *generator) { delete generator; }

Text runner_generator_seed(at::Generator *generator, uint64_t seed) {
  return attempt([&] {
    std::lock_guard<std::mutex> lock(generator->mutex());
    generator->set_current_seed(seed);
  });
}

Text runner_generator_state(const at::Generator *generator, int device, at::Tensor **out) {
  return attempt([&] {
    auto chosen = generator_of(generator, device);
    std::lock_guard<std::mutex> lock(chosen.mutex());
    *out = new at::Tensor(chosen.get_state());
  });
}

Text runner_generator_restore(at::Generator *generator, int device, const at::Tensor *state) {
  return attempt([&] {
    TORCH_CHECK(state->defined(), "the state holds nothing");
    auto chosen = generator_of(generator, device);
    std::lock_guard<std::mutex> lock(chosen.mutex());
    chosen.set_state(*state);
  });
}

Text runner_generator_randperm(at::Generator *generator, int64_t n, at::Tensor **out) {
  return attempt([&] {
    *out = new at::Tensor(at::randperm(n, *generator, at::TensorOptions(at::kLong).device(generator->device())));
  });
}

Text runner_generator_random(at::Generator *generator, const at::Tensor *tensor) {
  return attempt_unrecorded([&] { tensor->random_(*generator); });
}

Text runner_generator_integers(at::Generator *generator, const at::Tensor *tensor, int64_t low, int64_t high) {
  return attempt_unrecorded([&] { tensor->random_(low, high, *generator); });
}

Text runner_generator_uniform(at::Generator *generator, const at::Tensor *tensor, double low, double high) {
  return attempt_unrecorded([&] { tensor->uniform_(low, high, *generator); });
}

Text runner_generator_normal(at::Generator *generator, const at::Tensor *tensor, double mean, double std) {
  return attempt_unrecorded([&] { tensor->normal_(mean, std, *generator); });
}

Text runner_generator_multinomial(at::Generator *generator, const at::Tensor *weights, int64_t n, bool replacement,
                                  at::Tensor **out) {
  return attempt_unrecorded(
      [&] { *out = new at::Tensor(at::multinomial(*weights, n, replacement, *generator)); });
}

// ---- How libtorch computes ----

Text runner_set_deterministic_algorithms(bool on, bool warn_only) {
  return attempt([&] { at::globalContext().setDeterministicAlgorithms(on, warn_only); });
}

bool runner_deterministic_algorithms() { return at::globalContext().deterministicAlgorithms(); }

Text runner_set_deterministic_cudnn(bool on) {
  return attempt([&] { at::globalContext().setDeterministicCuDNN(on); });
}

bool runner_deterministic_cudnn() { return at::globalContext().deterministicCuDNN(); }

Text runner_set_benchmark_cudnn(bool on) {
  return attempt([&] { at::globalContext().setBenchmarkCuDNN(on); });
}

bool runner_benchmark_cudnn() { return at::globalContext().benchmarkCuDNN(); }

Text runner_set_float32_matmul_precision(int precision) {
  static const char *const names[] = {"highest", "high", "medium"};
  return attempt([&] { at::globalContext().setFloat32MatmulPrecision(names[precision]); });
}

int runner_float32_matmul_precision() { return static_cast<int>(at::globalContext().float32MatmulPrecision()); }

Text runner_set_threads(int n) {
  return attempt([&] { at::set_num_threads(n); });
}

int runner_threads() { return at::get_num_threads(); }

// ---- Memory layout ----

const char *runner_libtorch_version() { return TORCH_VERSION; }

Text runner_contiguous(const at::Tensor *tensor, int format, at::Tensor **out) {
  return attempt([&] { *out = new at::Tensor(tensor->contiguous(static_cast<at::MemoryFormat>(format))); });
}

Text runner_is_contiguous(const at::Tensor *tensor, int format, bool *out) {
  return attempt([&] { *out = tensor->is_contiguous(static_cast<at::MemoryFormat>(format)); });
}

// ---- Elements ----

namespace {

void expect_plain(const at::Tensor *tensor) {
  TORCH_CHECK(tensor->defined(), "the tensor holds nothing");
  TORCH_CHECK(tensor->device().is_cpu(), "the tensor is on ", tensor->device(), ", not on the CPU");
  TORCH_CHECK(tensor->layout() == at::kStrided && tensor->is_contiguous(), "the tensor is not contiguous");
  TORCH_CHECK(!tensor->is_conj() && !tensor->is_neg(), "the tensor is a lazy conjugate or negative view");
}

} // namespace

Text runner_read_bytes(const at::Tensor *tensor, void *bytes, size_t len) {
  return attempt([&] {
    expect_plain(tensor);
    TORCH_CHECK(tensor->nbytes() == len, "the tensor has ", tensor->nbytes(), " bytes, the buffer ", len);
    if (len > 0)
      memcpy(bytes, tensor->const_data_ptr(), len);
  });
}

Text runner_write_bytes(const at::Tensor *tensor, const void *bytes, size_t len) {
  return attempt([&] {
    expect_plain(tensor);
    TORCH_CHECK(tensor->nbytes() == len, "the tensor has ", tensor->nbytes(), " bytes, the buffer ", len);
    if (len > 0)
      memcpy(tensor->mutable_data_ptr(), bytes, len);
    tensor->unsafeGetTensorImpl()->bump_version(); // autograd refuses to use what it saved before
  });
}

Text runner_unique_data(const at::Tensor *tensor, void **data) {
  return attempt([&] {
    expect_plain(tensor);
    TORCH_CHECK(tensor->use_count() == 1 && tensor->storage().use_count() == 1,
                "the tensor shares its memory with another one; copy it first");
    *data = tensor->mutable_data_ptr();
    tensor->unsafeGetTensorImpl()->bump_version();
  });
}

Text runner_from_buffer(void *data, const int64_t *shape, size_t dims, int dtype, void *owner, void (*drop)(void *),
                        at::Tensor **out) {
  return attempt([&] {
    // Holds the buffer also when something below throws.
    std::shared_ptr<void> buffer(owner, drop);
    auto options = at::TensorOptions(static_cast<at::ScalarType>(dtype));
    *out = new at::Tensor(at::from_blob(data, at::IntArrayRef(shape, dims), [buffer](void *) {}, options));
  });
}

// ---- Gradients ----

Text runner_grad_clear(List list) {
  return attempt([&] {
    for (const auto &tensor : tensors(list))
      tensor.mutable_grad() = at::Tensor();
  });
}

// Autograd adds to a gradient in place, so one of another shape would be found out late.
Text runner_grad_set(const at::Tensor *tensor, const at::Tensor *grad) {
  return attempt([&] {
    TORCH_CHECK(tensor->defined() && grad->defined(), "the tensor or its gradient holds nothing");
    TORCH_CHECK(tensor->sizes() == grad->sizes() && tensor->scalar_type() == grad->scalar_type() &&
                    tensor->device() == grad->device(),
                "a gradient of ", describe(*grad), " does not fit ", describe(*tensor));
    tensor->mutable_grad() = *grad;
  });
}

Text runner_hook_add(const at::Tensor *tensor, void *owner, HookCall call, void (*drop)(void *), unsigned *id) {
  return attempt([&] {
    std::shared_ptr<void> hook(owner, drop);
    *id = tensor->register_hook([hook, call](const at::Tensor &grad) -> at::Tensor {
      at::Tensor *replacement = nullptr;
      bool good = call(hook.get(), &grad, &replacement);
      std::unique_ptr<at::Tensor> owned(replacement);
      TORCH_CHECK(good, "a gradient hook panicked");
      return owned ? *owned : at::Tensor();
    });
  });
}

Text runner_hook_remove(const at::Tensor *tensor, unsigned id) {
  return attempt([&] { tensor->remove_hook(id); });
}

// ---- Accelerators ----

namespace {

c10::DeviceIndex accelerator(int device) {
  auto place = device_of(device);
  TORCH_CHECK(!place.is_cpu(), "the CPU has no memory statistics or streams");
  auto count = at::accelerator::deviceCount();
  TORCH_CHECK(place.index() < count, "there is no device ", place, ": ", static_cast<int>(count), " found");
  return place.index();
}

} // namespace

Text runner_memory_stats(int device, MemoryStats *out) {
  return attempt([&] {
    auto stats = at::accelerator::getDeviceStats(accelerator(device));
    const auto &allocated = stats.allocated_bytes[0], &reserved = stats.reserved_bytes[0]; // 0: all pools
    *out = {allocated.current, allocated.peak,         reserved.current,
            reserved.peak,     stats.num_alloc_retries, stats.num_ooms};
  });
}

Text runner_memory_reset_peak(int device) {
  return attempt([&] { at::accelerator::resetPeakStats(accelerator(device)); });
}

Text runner_memory_info(int device, uint64_t *free, uint64_t *total) {
  return attempt([&] {
    auto [free_bytes, total_bytes] = at::accelerator::getMemoryInfo(accelerator(device));
    *free = free_bytes;
    *total = total_bytes;
  });
}

Text runner_memory_empty_cache() {
  return attempt([] { at::accelerator::emptyCache(); });
}

Text runner_synchronize(int device) {
  return attempt([&] { at::accelerator::synchronizeDevice(accelerator(device)); });
}

Text runner_set_device(int device) {
  return attempt([&] { at::accelerator::setDeviceIndex(accelerator(device)); });
}
