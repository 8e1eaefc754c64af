//! A buffer whose parts are written by several threads at once, and which is used again when its tensor is gone: fresh
//! memory costs the system more than a third of the time that decoding takes.

use std::cell::UnsafeCell;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};

use tch::Tensor;

use super::Result;
use super::elements::{self, Element};

/// Elements whose buffers are kept.
pub trait Kept: Element {
    #[doc(hidden)]
    fn kept() -> &'static Mutex<Option<Vec<Self>>>;
}

macro_rules! kept {
    ($($type:ty),*) => {
        $(
            impl Kept for $type {
                fn kept() -> &'static Mutex<Option<Vec<Self>>> {
                    static KEPT: Mutex<Option<Vec<$type>>> = Mutex::new(None);
                    &KEPT
                }
            }
        )*
    };
}

kept!(u8, f32);

/// A buffer that is kept for the next when it is dropped; one of each type, the last.
struct Returned<T: Kept>(Vec<T>);

impl<T: Kept> Drop for Returned<T> {
    fn drop(&mut self) {
        *T::kept().lock().unwrap_or_else(PoisonError::into_inner) = Some(std::mem::take(&mut self.0));
    }
}

/// The kept buffer if it has about this length, or a fresh one. Its content means nothing.
fn buffer<T: Kept>(length: usize) -> Vec<T> {
    let mut kept = T::kept().lock().unwrap_or_else(PoisonError::into_inner);
    if kept.as_ref().is_some_and(|kept| kept.capacity() >= length && kept.capacity() / 2 <= length)
        && let Some(mut values) = kept.take()
    {
        values.resize(length, T::default());
        return values;
    }
    vec![T::default(); length]
}

/// A buffer of equal parts, each of which is written once, by whichever thread comes first.
pub struct Slots<T> {
    values: Vec<UnsafeCell<T>>,
    size: usize,
    taken: Box<[AtomicBool]>,
}

// SAFETY: a part is handed out once (`taken`), so no two threads reach the same elements.
unsafe impl<T: Send> Sync for Slots<T> {}

impl<T: Kept> Slots<T> {
    /// `count` parts of `size` elements, of no particular value.
    pub fn new(count: usize, size: usize) -> Self {
        let mut values = std::mem::ManuallyDrop::new(buffer::<T>(count * size));
        let (data, length, capacity) = (values.as_mut_ptr(), values.len(), values.capacity());
        // SAFETY: a cell lies in memory as what is in it.
        let values = unsafe { Vec::from_raw_parts(data.cast::<UnsafeCell<T>>(), length, capacity) };
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

    fn into_vec(self) -> Vec<T> {
        let mut values = std::mem::ManuallyDrop::new(self.values);
        let (data, length, capacity) = (values.as_mut_ptr(), values.len(), values.capacity());
        // SAFETY: as in `new`, the other way round.
        unsafe { Vec::from_raw_parts(data.cast::<T>(), length, capacity) }
    }

    /// A tensor of the parts `kept`, which ascend, in the shape of all of them together.
    ///
    /// # Errors
    /// When the parts do not fill the shape.
    pub fn tensor(self, kept: &[usize], shape: &[i64]) -> Result<Tensor> {
        let size = self.size;
        let mut values = self.into_vec();
        for (place, &from) in kept.iter().enumerate().filter(|(place, from)| place != *from) {
            values.copy_within(from * size..(from + 1) * size, place * size);
        }
        values.truncate(kept.len() * size);
        elements::from_owner(Returned(values), |owner| &mut owner.0, shape)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_part_is_written_once() {
        let slots = Slots::<f32>::new(64, 100);
        let written = AtomicBool::new(true);
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    for part in 0..64 {
                        slots.write(part, |values| values.iter_mut().for_each(|value| *value = part as f32 + 1.0));
                    }
                    written.fetch_and(!slots.write(64, |_| ()), Ordering::Relaxed);
                });
            }
        });
        assert!(written.into_inner(), "there is no part 64");
        let expected: Vec<f32> = (0..6400).map(|at| (at / 100 + 1) as f32).collect();
        assert_eq!(slots.into_vec(), expected);
    }

    #[test]
    fn a_tensor_has_the_parts_that_are_kept() {
        let slots = Slots::<f32>::new(3, 2);
        for part in [2, 0] {
            slots.write(part, |values| values.fill(part as f32));
        }
        let tensor = slots.tensor(&[0, 2], &[2, 2]).unwrap();
        assert_eq!(Vec::<f32>::try_from(tensor.flatten(0, -1)).unwrap(), [0.0, 0.0, 2.0, 2.0]);
        let held = tensor.shallow_clone();
        drop(tensor);
        // The memory of a tensor that is still there is not used again.
        let other = Slots::<f32>::new(2, 2);
        (0..2).for_each(|part| assert!(other.write(part, |values| values.fill(9.0))));
        assert_eq!(held.double_value(&[1, 1]), 2.0);
        assert!(other.tensor(&[0], &[3]).is_err());
    }
}
