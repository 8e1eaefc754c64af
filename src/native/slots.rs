//! A buffer whose parts are written by several threads at once.

use std::cell::UnsafeCell;
use std::sync::atomic::{AtomicBool, Ordering};

/// A buffer of equal parts, each of which is written once, by whichever thread comes first.
pub struct Slots<T> {
    values: Box<[UnsafeCell<T>]>,
    size: usize,
    taken: Box<[AtomicBool]>,
}

// SAFETY: a part is handed out once (`taken`), so no two threads reach the same elements.
unsafe impl<T: Send> Sync for Slots<T> {}

impl<T: Copy + Default> Slots<T> {
    /// `count` parts of `size` elements.
    pub fn new(count: usize, size: usize) -> Self {
        let values = Box::into_raw(vec![T::default(); count * size].into_boxed_slice());
        // SAFETY: a cell lies in memory as what is in it.
        let values = unsafe { Box::from_raw(values as *mut [UnsafeCell<T>]) };
        Slots { values, size, taken: (0..count).map(|_| AtomicBool::new(false)).collect() }
    }

    /// Writes a part; false, and nothing happens, when it has been written or there is none of this number.
    pub fn write(&self, part: usize, write: impl FnOnce(&mut [T])) -> bool {
        if self.taken.get(part).is_none_or(|taken| taken.swap(true, Ordering::AcqRel)) {
            return false;
        }
        let cells = &self.values[part * self.size..(part + 1) * self.size];
        // SAFETY: the part has just been taken: nobody else has a reference into its cells, now or later.
        write(unsafe { std::slice::from_raw_parts_mut(UnsafeCell::raw_get(cells.as_ptr()), cells.len()) });
        true
    }

    /// The whole buffer.
    pub fn into_vec(self) -> Vec<T> {
        let values = Box::into_raw(self.values);
        // SAFETY: as in `new`, the other way round.
        unsafe { Box::from_raw(values as *mut [T]) }.into_vec()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_part_is_written_once() {
        let slots = Slots::<u32>::new(64, 100);
        let written = AtomicBool::new(true);
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    for part in 0..64 {
                        slots.write(part, |values| values.iter_mut().for_each(|value| *value += part as u32 + 1));
                    }
                    written.fetch_and(!slots.write(64, |_| ()), Ordering::Relaxed);
                });
            }
        });
        assert!(written.into_inner(), "there is no part 64");
        let expected: Vec<u32> = (0..6400).map(|at| at / 100 + 1).collect();
        assert_eq!(slots.into_vec(), expected);
    }
}
