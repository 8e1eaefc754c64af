//! A tensor's elements as Rust values, by plain copies of memory.
//!
//! These functions take contiguous tensors on the CPU of exactly the element's dtype, and refuse others: what they cost
//! is a copy, never a hidden conversion. Use `to_device`, `to_kind` and `contiguous` before.

use std::os::raw::c_void;
use std::slice;

use tch::{Kind, Tensor};

use super::{NativeError, Result, check, dtype_number, ffi, take};

mod sealed {
    pub trait Sealed {}
}

/// A Rust type that a tensor's elements are.
pub trait Element: Copy + Default + Send + 'static + sealed::Sealed {
    /// Its dtype.
    const KIND: Kind;
}

macro_rules! element {
    ($($type:ty => $kind:ident),*) => {
        $(
            impl sealed::Sealed for $type {}
            impl Element for $type {
                const KIND: Kind = Kind::$kind;
            }
        )*
    };
}

// Not bool: memory may hold other bytes than 0 and 1, which is no bool in Rust. Read it as bytes.
element!(u8 => Uint8, i8 => Int8, i16 => Int16, i32 => Int, i64 => Int64, f32 => Float, f64 => Double);

/// The elements, in row-major order.
pub fn to_vec<T: Element>(tensor: &Tensor) -> Result<Vec<T>> {
    let mut values = vec![T::default(); tensor.numel()];
    read(tensor, &mut values)?;
    Ok(values)
}

/// Copies all elements into `values`, which has room for exactly them.
pub fn read<T: Element>(tensor: &Tensor, values: &mut [T]) -> Result<()> {
    expect_kind::<T>(tensor)?;
    // SAFETY: `values` is valid for its size in bytes, any bytes are a T, and the shim checks the size.
    check(unsafe { ffi::runner_read_bytes(tensor.as_ptr(), values.as_mut_ptr().cast::<c_void>(), size_of_val(values)) })
}

/// Overwrites all elements with `values`, exactly as many. Not recorded by autograd.
pub fn write<T: Element>(tensor: &mut Tensor, values: &[T]) -> Result<()> {
    expect_kind::<T>(tensor)?;
    // SAFETY: `values` is valid for its size in bytes, and the shim checks the size.
    check(unsafe { ffi::runner_write_bytes(tensor.as_ptr(), values.as_ptr().cast::<c_void>(), size_of_val(values)) })
}

/// Copies the memory of a tensor of any dtype, in the machine's byte order.
pub fn read_bytes(tensor: &Tensor, bytes: &mut [u8]) -> Result<()> {
    // SAFETY: as for `read`.
    check(unsafe { ffi::runner_read_bytes(tensor.as_ptr(), bytes.as_mut_ptr().cast::<c_void>(), bytes.len()) })
}

/// Overwrites the memory of a tensor of any dtype, in the machine's byte order. Not recorded by autograd.
pub fn write_bytes(tensor: &mut Tensor, bytes: &[u8]) -> Result<()> {
    // SAFETY: as for `write`.
    check(unsafe { ffi::runner_write_bytes(tensor.as_ptr(), bytes.as_ptr().cast::<c_void>(), bytes.len()) })
}

/// The elements themselves, without a copy, to be read or changed. The tensor must share its memory with no other
/// tensor (no view, no shallow clone, no graph that saved it), and `&mut` keeps it so.
pub fn as_mut_slice<T: Element>(tensor: &mut Tensor) -> Result<&mut [T]> {
    expect_kind::<T>(tensor)?;
    let mut data = std::ptr::null_mut();
    // SAFETY: a borrowed tensor and a place for the answer.
    check(unsafe { ffi::runner_unique_data(tensor.as_ptr(), &mut data) })?;
    let len = tensor.numel();
    if len == 0 {
        return Ok(&mut []);
    }
    // SAFETY: contiguous CPU memory of `len` elements of T, which no other tensor holds, and this one is borrowed.
    Ok(unsafe { slice::from_raw_parts_mut(data.cast::<T>(), len) })
}

/// A tensor on the CPU that owns the vector's memory, without a copy. The shape's product is the vector's length.
pub fn from_vec<T: Element>(values: Vec<T>, shape: &[i64]) -> Result<Tensor> {
    from_owner(values, |values| values, shape)
}

/// As [`from_vec`], of a vector in something that is dropped with the tensor.
pub(super) fn from_owner<T: Element, O: Send>(
    owner: O,
    values: impl FnOnce(&mut O) -> &mut Vec<T>,
    shape: &[i64],
) -> Result<Tensor> {
    let mut owner = Box::new(owner);
    let values = values(&mut owner);
    let wanted = shape.iter().try_fold(1usize, |product, &size| product.checked_mul(usize::try_from(size).ok()?));
    if wanted != Some(values.len()) {
        return Err(NativeError(format!("{} elements do not fill the shape {shape:?}", values.len())));
    }
    let dtype = dtype_number(T::KIND)?;
    let data = values.as_mut_ptr().cast::<c_void>();
    let owner = Box::into_raw(owner).cast::<c_void>();
    // SAFETY: `data` lies in `owner`, which the shim drops with the tensor, or at once if it fails.
    take(|out| unsafe { ffi::runner_from_buffer(data, shape.as_ptr(), shape.len(), dtype, owner, drop_box::<O>, out) })
}

/// Frees a `Box<B>` that was given away.
///
/// # Safety
/// `owner` comes from `Box::<B>::into_raw` and is not used again.
pub(super) unsafe extern "C" fn drop_box<B>(owner: *mut c_void) {
    drop(unsafe { Box::from_raw(owner.cast::<B>()) });
}

fn expect_kind<T: Element>(tensor: &Tensor) -> Result<()> {
    if !tensor.defined() {
        return Err(NativeError("the tensor holds nothing".into()));
    }
    match tensor.kind() {
        kind if kind == T::KIND => Ok(()),
        kind => Err(NativeError(format!("the tensor is {kind:?}, not {:?}", T::KIND))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tch::Device;

    #[test]
    fn there_and_back() {
        let mut tensor = Tensor::zeros([2, 2], (Kind::Int64, Device::Cpu));
        write(&mut tensor, &[1i64, 2, 3, 4]).unwrap();
        assert_eq!(tensor.int64_value(&[1, 0]), 3);
        assert_eq!(to_vec::<i64>(&tensor).unwrap(), [1, 2, 3, 4]);
        let mut bytes = [9u8; 4];
        read_bytes(&Tensor::from_slice(&[true, false, true, true]), &mut bytes).unwrap();
        assert_eq!(bytes, [1, 0, 1, 1]);
        let mut half = Tensor::zeros([2], (Kind::Half, Device::Cpu));
        write_bytes(&mut half, &[0x00, 0x3c, 0x00, 0xc0]).unwrap();
        assert_eq!(to_vec::<f32>(&half.to_kind(Kind::Float)).unwrap(), [1.0, -2.0]);
    }

    #[test]
    fn a_vector_becomes_a_tensor_without_a_copy() {
        let values = vec![1f32, 2.0, 3.0, 4.0, 5.0, 6.0];
        let address = values.as_ptr();
        let mut tensor = from_vec(values, &[2, 3]).unwrap();
        assert_eq!(as_mut_slice::<f32>(&mut tensor).unwrap().as_ptr(), address);
        let view = tensor.get(1);
        drop(tensor);
        assert_eq!(to_vec::<f32>(&view).unwrap(), [4.0, 5.0, 6.0]);
        assert_eq!(from_vec(Vec::<u8>::new(), &[0, 3]).unwrap().size(), [0, 3]);
        for shape in [&[2i64, 2][..], &[-1], &[i64::MAX, i64::MAX]] {
            let error = from_vec(vec![0u8; 5], shape).unwrap_err();
            assert_eq!(error.0, format!("5 elements do not fill the shape {shape:?}"));
        }
    }

    #[test]
    fn a_slice_is_given_only_of_memory_that_nobody_shares() {
        let mut tensor = Tensor::zeros([3], (Kind::Float, Device::Cpu));
        as_mut_slice::<f32>(&mut tensor).unwrap()[1] = 5.0;
        assert_eq!(tensor.double_value(&[1]), 5.0);
        for mut shared in [tensor.shallow_clone(), tensor.get(0)] {
            assert!(as_mut_slice::<f32>(&mut shared).unwrap_err().0.contains("shares its memory"));
        }
        assert!(as_mut_slice::<f32>(&mut tensor).is_ok());
        assert!(as_mut_slice::<f32>(&mut Tensor::zeros([0], (Kind::Float, Device::Cpu))).unwrap().is_empty());
    }

    #[test]
    fn nothing_is_converted_behind_the_back() {
        let mut tensor = Tensor::zeros([2, 3], (Kind::Float, Device::Cpu));
        assert_eq!(to_vec::<i64>(&tensor).unwrap_err().0, "the tensor is Float, not Int64");
        assert_eq!(write(&mut tensor, &[0f32]).unwrap_err().0, "the tensor has 24 bytes, the buffer 4");
        assert_eq!(to_vec::<f32>(&tensor.tr()).unwrap_err().0, "the tensor is not contiguous");
        assert_eq!(to_vec::<f32>(&Tensor::new()).unwrap_err().0, "the tensor holds nothing");
    }

    #[test]
    fn autograd_notices_an_overwritten_tensor() {
        let weight = Tensor::from_slice(&[2f32]).set_requires_grad(true);
        let mut input = Tensor::from_slice(&[3f32]);
        let product = &weight * &input;
        write(&mut input, &[7f32]).unwrap();
        assert!(product.f_backward().unwrap_err().to_string().contains("modified by an inplace operation"));
    }
}
