//! Random generators of libtorch: their state, and numbers drawn from one's own, in PyTorch's order.
//!
//! A [`Generator`] with seed s draws what Python draws with `torch.Generator().manual_seed(s)`. A state is a 1-d
//! Uint8 tensor on the CPU, as `torch.get_rng_state()` gives it: 5,056 bytes for the CPU, 16 for CUDA.

use std::ptr;

use tch::{Device, Tensor};

use super::{Result, check, device_number, ffi, take};

/// The state of the device's default generator, from which tch draws.
pub fn default_state(device: Device) -> Result<Tensor> {
    // SAFETY: null means the default generator.
    take(|out| unsafe { ffi::runner_generator_state(ptr::null(), device_number(device), out) })
}

/// Puts the device's default generator into a state from [`default_state`].
pub fn restore_default(device: Device, state: &Tensor) -> Result<()> {
    // SAFETY: as above; libtorch checks the state.
    check(unsafe { ffi::runner_generator_restore(ptr::null_mut(), device_number(device), state.as_ptr()) })
}

/// A generator of one's own, apart from the default one.
pub struct Generator {
    pointer: *mut ffi::CGenerator,
}

// SAFETY: a generator has no ties to its thread, and every use takes `&mut self` or libtorch's own lock.
unsafe impl Send for Generator {}

impl Generator {
    /// A generator for tensors on `device`.
    pub fn new(device: Device, seed: u64) -> Result<Self> {
        let mut pointer = ptr::null_mut();
        // SAFETY: on success the shim has stored a new generator, which is ours.
        check(unsafe { ffi::runner_generator_new(device_number(device), seed, &mut pointer) })?;
        Ok(Generator { pointer })
    }

    /// Starts again with a seed.
    pub fn set_seed(&mut self, seed: u64) -> Result<()> {
        // SAFETY: here and below, the generator is alive and borrowed, and so are the tensors.
        check(unsafe { ffi::runner_generator_seed(self.pointer, seed) })
    }

    /// The state.
    pub fn state(&self) -> Result<Tensor> {
        take(|out| unsafe { ffi::runner_generator_state(self.pointer, -1, out) })
    }

    /// Goes back to a state from [`Generator::state`].
    pub fn restore(&mut self, state: &Tensor) -> Result<()> {
        check(unsafe { ffi::runner_generator_restore(self.pointer, -1, state.as_ptr()) })
    }

    /// The numbers 0 to n - 1 in random order, Int64 of shape [n]: `torch.randperm(n, generator=g)`.
    pub fn randperm(&mut self, n: i64) -> Result<Tensor> {
        take(|out| unsafe { ffi::runner_generator_randperm(self.pointer, n, out) })
    }

    /// Fills an integer tensor over its whole range from 0: `tensor.random_(generator=g)`.
    pub fn fill_random(&mut self, tensor: &Tensor) -> Result<()> {
        check(unsafe { ffi::runner_generator_random(self.pointer, tensor.as_ptr()) })
    }

    /// Fills a tensor with integers from `low` to `high` - 1: what `torch.randint(low, high, size, generator=g)` holds.
    pub fn fill_integers(&mut self, tensor: &Tensor, low: i64, high: i64) -> Result<()> {
        check(unsafe { ffi::runner_generator_integers(self.pointer, tensor.as_ptr(), low, high) })
    }

    /// Fills a floating-point tensor with numbers from [`low`, `high`): `tensor.uniform_(low, high, generator=g)`;
    /// with 0 and 1 what `torch.rand` holds. Not recorded by autograd.
    pub fn fill_uniform(&mut self, tensor: &Tensor, low: f64, high: f64) -> Result<()> {
        check(unsafe { ffi::runner_generator_uniform(self.pointer, tensor.as_ptr(), low, high) })
    }

    /// Fills a floating-point tensor with normal numbers: `tensor.normal_(mean, std, generator=g)`; with 0 and 1 what
    /// `torch.randn` holds. Not recorded by autograd.
    pub fn fill_normal(&mut self, tensor: &Tensor, mean: f64, std: f64) -> Result<()> {
        check(unsafe { ffi::runner_generator_normal(self.pointer, tensor.as_ptr(), mean, std) })
    }

    /// `n` indices drawn by their weights (floating point, 1-d or rows of 2-d), Int64:
    /// `torch.multinomial(weights, n, replacement, generator=g)`.
    pub fn multinomial(&mut self, weights: &Tensor, n: i64, replacement: bool) -> Result<Tensor> {
        take(|out| unsafe { ffi::runner_generator_multinomial(self.pointer, weights.as_ptr(), n, replacement, out) })
    }
}

impl Drop for Generator {
    fn drop(&mut self) {
        // SAFETY: ours, and not used again.
        unsafe { ffi::runner_generator_free(self.pointer) }
    }
}

#[cfg(test)]
mod tests {
    use super::super::elements::to_vec;
    use super::*;
    use tch::Kind;

    fn seeded(seed: u64) -> Generator {
        Generator::new(Device::Cpu, seed).unwrap()
    }

    fn empty(size: &[i64], kind: Kind) -> Tensor {
        Tensor::empty(size, (kind, Device::Cpu))
    }

    // The numbers come from torch 2.11.0, each case after a fresh g = torch.Generator().manual_seed(0).
    #[test]
    fn draws_what_python_draws() {
        // torch.randperm(10, generator=g)
        let order = seeded(0).randperm(10).unwrap();
        assert_eq!(to_vec::<i64>(&order).unwrap(), [4, 1, 7, 5, 3, 9, 0, 8, 6, 2]);
        // torch.randint(0, 100, (12,), generator=g)
        let integers = empty(&[12], Kind::Int64);
        seeded(0).fill_integers(&integers, 0, 100).unwrap();
        assert_eq!(to_vec::<i64>(&integers).unwrap(), [44, 39, 33, 60, 63, 79, 27, 3, 97, 83, 1, 66]);
        // torch.empty(6).uniform_(-2, 3, generator=g)
        let uniform = empty(&[6], Kind::Float);
        seeded(0).fill_uniform(&uniform, -2.0, 3.0).unwrap();
        let wanted = [0.48128295f32, 1.841109, -1.5576129, -1.3398476, -0.46288592, 1.1703935];
        assert_eq!(to_vec::<f32>(&uniform).unwrap(), wanted);
        // torch.empty(6).normal_(1, 0.5, generator=g); vector units differ in the last digit of the logarithm
        let normal = empty(&[6], Kind::Float);
        seeded(0).fill_normal(&normal, 1.0, 0.5).unwrap();
        let wanted = [1.770498f32, 0.85328555, -0.08939469, 1.2842157, 0.45773882, 0.3007023];
        for (found, wanted) in to_vec::<f32>(&normal).unwrap().iter().zip(wanted) {
            assert!((found - wanted).abs() < 1e-6, "{found} is not {wanted}");
        }
        // torch.multinomial(torch.tensor([0.1, 0.2, 0.3, 0.4]), 12, True, generator=g)
        let weights = Tensor::from_slice(&[0.1f32, 0.2, 0.3, 0.4]);
        let drawn = seeded(0).multinomial(&weights, 12, true).unwrap();
        assert_eq!(to_vec::<i64>(&drawn).unwrap(), [3, 3, 2, 3, 3, 3, 1, 2, 2, 1, 2, 1]);
    }

    #[test]
    fn orders_as_the_random_sampler() {
        // list(torch.utils.data.RandomSampler(range(8))) after torch.manual_seed(0): a seed drawn by random_, then
        // one order from a generator with that seed.
        let seed = empty(&[], Kind::Int64);
        seeded(0).fill_random(&seed).unwrap();
        let order = seeded(seed.int64_value(&[]) as u64).randperm(8).unwrap();
        assert_eq!(to_vec::<i64>(&order).unwrap(), [2, 5, 4, 6, 1, 7, 0, 3]);
    }

    #[test]
    fn a_state_is_gone_back_to() {
        let mut g = seeded(1);
        let state = g.state().unwrap();
        let first = to_vec::<i64>(&g.randperm(100).unwrap()).unwrap();
        assert_ne!(to_vec::<i64>(&g.randperm(100).unwrap()).unwrap(), first);
        g.restore(&state).unwrap();
        assert_eq!(to_vec::<i64>(&g.randperm(100).unwrap()).unwrap(), first);
        g.set_seed(1).unwrap();
        assert_eq!(to_vec::<i64>(&g.randperm(100).unwrap()).unwrap(), first);
    }

    #[test]
    fn the_default_generator_goes_back_to_its_state() {
        crate::native::run_alone("native::generator::tests::alone_the_default_generator_goes_back_to_its_state");
    }

    #[test]
    #[ignore = "changes the state of the process; the_default_generator_goes_back_to_its_state runs it"]
    fn alone_the_default_generator_goes_back_to_its_state() {
        tch::manual_seed(3);
        let state = default_state(Device::Cpu).unwrap();
        assert_eq!((state.kind(), state.size()), (Kind::Uint8, vec![5056]));
        let draw = || to_vec::<i64>(&Tensor::randperm(100, (Kind::Int64, Device::Cpu))).unwrap();
        let first = draw();
        assert_eq!(first, to_vec::<i64>(&seeded(3).randperm(100).unwrap()).unwrap());
        assert_ne!(draw(), first);
        restore_default(Device::Cpu, &state).unwrap();
        assert_eq!(draw(), first);
        for wrong in [Tensor::from_slice(&[1u8, 2]), Tensor::new()] {
            assert!(restore_default(Device::Cpu, &wrong).is_err());
        }
    }

    #[test]
    fn wrong_draws_are_errors() {
        let mut g = seeded(0);
        assert!(g.randperm(-1).is_err());
        let tensor = Tensor::empty([2], (Kind::Int64, Device::Cpu));
        assert!(g.fill_integers(&tensor, 3, 3).is_err());
        assert!(g.fill_normal(&tensor, 0.0, 1.0).is_err());
        assert!(g.multinomial(&Tensor::from_slice(&[1f32]), 2, false).is_err());
        assert!(Generator::new(Device::Mps, 0).is_err());
    }
}
