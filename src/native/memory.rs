//! The memory of tensors on the CPU (`memory.cpp`).

use std::sync::Once;

/// Keeps the big blocks that tensors give back for the next ones that want them, instead of handing them to the system
/// and having every page cleared anew. The process holds at most half more than it once had in use. Tensors that
/// exist already stay as they are.
pub fn keep_freed_blocks() {
    static ONCE: Once = Once::new();
    // SAFETY: the allocator lives as long as the process, and takes calls from any thread.
    ONCE.call_once(|| unsafe { super::ffi::runner_keep_memory() });
}

#[cfg(test)]
mod tests {
    use tch::{Device, Kind, Tensor};

    const FLOATS: i64 = 1 << 20;

    #[test]
    fn blocks_are_used_again() {
        crate::native::run_alone("native::memory::tests::alone");
    }

    #[test]
    #[ignore = "run by blocks_are_used_again: the allocator is that of the whole process"]
    fn alone() {
        let of = |value: f64, len: i64| Tensor::full([len], value, (Kind::Float, Device::Cpu));
        let before = of(1.0, FLOATS);
        super::keep_freed_blocks();
        super::keep_freed_blocks();
        // While much is in use, some may be kept.
        let _ballast = of(0.0, 8 * FLOATS);
        // A block goes to the next that is as large, or a little smaller, and to none that is much smaller.
        let first = of(2.0, FLOATS);
        let place = first.data_ptr();
        drop(first);
        let small = of(3.0, FLOATS / 2);
        assert_ne!(small.data_ptr(), place);
        let second = of(4.0, FLOATS - FLOATS / 16);
        assert_eq!(second.data_ptr(), place);
        let third = of(5.0, FLOATS);
        assert_ne!(third.data_ptr(), place);
        for (tensor, value) in [(&before, 1.0), (&small, 3.0), (&second, 4.0), (&third, 5.0)] {
            assert_eq!((tensor.min().double_value(&[]), tensor.max().double_value(&[])), (value, value));
        }
        // Many threads give back what others took, and nothing is lost.
        drop((before, second, third));
        let threads: Vec<_> = (0..4)
            .map(|thread| {
                std::thread::spawn(move || {
                    (0..50).map(|i| of(f64::from(i + thread), FLOATS + i64::from(i % 7) * 70_000)).collect::<Vec<_>>()
                })
            })
            .collect();
        for (thread, tensors) in threads.into_iter().enumerate() {
            for (i, tensor) in tensors.join().unwrap().iter().enumerate() {
                let value = (i + thread) as f64;
                assert_eq!((tensor.min().double_value(&[]), tensor.max().double_value(&[])), (value, value));
            }
        }
    }
}
