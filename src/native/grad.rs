//! Gradients: dropping and setting those of leaves, and hooks that see a gradient on its way.

use std::borrow::Borrow;
use std::os::raw::{c_uint, c_void};
use std::panic::{self, AssertUnwindSafe};

use tch::Tensor;
use torch_sys::C_tensor;

use super::elements::drop_box;
use super::{Pointers, Result, check, ffi};

/// Drops the gradients, so that their memory is free and the next backward pass stores instead of adding:
/// `zero_grad(set_to_none=True)`.
pub fn clear(list: &[impl Borrow<Tensor>]) -> Result<()> {
    let list = Pointers::new(list);
    // SAFETY: the tensors are borrowed for the call.
    check(unsafe { ffi::runner_grad_clear(list.list()) })
}

/// Makes `grad` the gradient of `tensor`, of the same shape, dtype and device. The memory is shared.
pub fn set(tensor: &Tensor, grad: &Tensor) -> Result<()> {
    // SAFETY: as above.
    check(unsafe { ffi::runner_grad_set(tensor.as_ptr(), grad.as_ptr()) })
}

/// A function that a backward pass calls with the gradient of a tensor; it may give another one in its place.
type Hook = Box<dyn Fn(&Tensor) -> Option<Tensor> + Send + Sync>;

/// A hook's name on its tensor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HookId(c_uint);

/// Calls `hook` with the gradient of `tensor` in each backward pass, as `Tensor.register_hook`. The tensor must require
/// a gradient. The hook runs on the thread of the device; if it panics, the backward pass fails.
pub fn add_hook(tensor: &Tensor, hook: impl Fn(&Tensor) -> Option<Tensor> + Send + Sync + 'static) -> Result<HookId> {
    let owner: Box<Hook> = Box::new(Box::new(hook));
    let owner = Box::into_raw(owner).cast::<c_void>();
    let mut id = 0;
    // SAFETY: `owner` is given away; the shim drops it with the hook, or at once if it fails.
    check(unsafe { ffi::runner_hook_add(tensor.as_ptr(), owner, call_hook, drop_box::<Hook>, &mut id) })?;
    Ok(HookId(id))
}

/// Removes a hook of this tensor.
pub fn remove_hook(tensor: &Tensor, id: HookId) -> Result<()> {
    // SAFETY: as above.
    check(unsafe { ffi::runner_hook_remove(tensor.as_ptr(), id.0) })
}

/// # Safety
/// `owner` is a `Box<Hook>` that is alive, `grad` a tensor, `replacement` a place for one.
unsafe extern "C" fn call_hook(owner: *mut c_void, grad: *const C_tensor, replacement: *mut *mut C_tensor) -> bool {
    let hook = unsafe { &*owner.cast::<Hook>() };
    // A panic must not cross into C++.
    let called = panic::catch_unwind(AssertUnwindSafe(|| {
        let grad = unsafe { Tensor::clone_from_ptr(grad.cast_mut()) };
        hook(&grad)
    }));
    match called {
        Ok(given) => {
            if let Some(mut given) = given {
                unsafe { *replacement = given.as_mut_ptr() };
                std::mem::forget(given); // the shim owns it now
            }
            true
        }
        Err(_) => false,
    }
}

#[cfg(test)]
mod tests {
    use super::super::elements::to_vec;
    use super::*;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::sync::{Arc, Mutex};
    use tch::{Device, Kind};

    fn leaf() -> Tensor {
        Tensor::from_slice(&[1f32, 2.0]).set_requires_grad(true)
    }

    #[test]
    fn gradients_are_dropped_and_set() {
        let weight = leaf();
        weight.square().sum(Kind::Float).backward();
        assert_eq!(to_vec::<f32>(&weight.grad()).unwrap(), [2.0, 4.0]);
        clear(&[&weight]).unwrap();
        assert!(!weight.grad().defined());
        set(&weight, &Tensor::from_slice(&[5f32, 6.0])).unwrap();
        assert_eq!(to_vec::<f32>(&weight.grad()).unwrap(), [5.0, 6.0]);
        let error = set(&weight, &Tensor::zeros([3], (Kind::Float, Device::Cpu))).unwrap_err();
        assert!(error.0.starts_with("a gradient of Float [3]"), "{error}");
    }

    #[test]
    fn a_hook_sees_and_replaces_the_gradient_until_it_is_removed() {
        let weight = leaf();
        let seen = Arc::new(Mutex::new(Vec::new()));
        let id = {
            let seen = Arc::clone(&seen);
            add_hook(&weight, move |grad| {
                seen.lock().unwrap().push(to_vec::<f32>(grad).unwrap());
                Some(grad * 10.0)
            })
        };
        weight.square().sum(Kind::Float).backward();
        assert_eq!(*seen.lock().unwrap(), [[2.0, 4.0]]);
        assert_eq!(to_vec::<f32>(&weight.grad()).unwrap(), [20.0, 40.0]);
        remove_hook(&weight, id.unwrap()).unwrap();
        weight.square().sum(Kind::Float).backward();
        assert_eq!(seen.lock().unwrap().len(), 1);
    }

    struct CountDrops(Arc<AtomicUsize>);
    impl Drop for CountDrops {
        fn drop(&mut self) {
            self.0.fetch_add(1, Ordering::SeqCst);
        }
    }

    #[test]
    fn a_hook_is_freed_with_its_tensor_or_when_it_is_refused() {
        let drops = Arc::new(AtomicUsize::new(0));
        // The hook owns the counter, and is dropped with it.
        let guarded = |count: CountDrops| {
            move |_: &Tensor| {
                let _ = &count;
                None
            }
        };
        let weight = leaf();
        add_hook(&weight, guarded(CountDrops(Arc::clone(&drops)))).unwrap();
        assert_eq!(drops.load(Ordering::SeqCst), 0);
        drop(weight);
        assert_eq!(drops.load(Ordering::SeqCst), 1);
        let constant = Tensor::from_slice(&[1f32]);
        assert!(add_hook(&constant, guarded(CountDrops(Arc::clone(&drops)))).is_err());
        assert_eq!(drops.load(Ordering::SeqCst), 2);
    }

    #[test]
    fn a_panic_in_a_hook_fails_the_backward_pass() {
        let weight = leaf();
        add_hook(&weight, |_| panic::resume_unwind(Box::new("on purpose"))).unwrap();
        let error = weight.sum(Kind::Float).f_backward().unwrap_err();
        assert!(error.to_string().contains("a gradient hook panicked"), "{error}");
    }
}
