//! numpy arrays and scalars in a pickle.

use std::borrow::Cow;

use tch::{Kind, Tensor};

use super::Item;
use crate::error::{Error, Result};

/// An array as numpy pickles it.
#[derive(Debug)]
pub struct Array<'a> {
    /// What its elements are.
    pub dtype: Dtype,
    /// Its shape.
    pub shape: Vec<i64>,
    /// Whether the first index runs fastest.
    pub fortran: bool,
    /// Its elements.
    pub data: Cow<'a, [u8]>,
}

/// An element type.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Dtype {
    /// The type.
    pub kind: Kind,
    /// Whether the big end comes first.
    pub big_endian: bool,
}

impl<'a> Array<'a> {
    /// The array that `item` stands for; `None` when it is something else.
    pub fn of(item: Item<'a>) -> Option<Result<Self>> {
        let callee = item.callee()?;
        let (module, name) = callee.rsplit_once('.')?;
        let core = ["numpy.core.multiarray", "numpy._core.multiarray", "numpy.core.numeric", "numpy._core.numeric"];
        if !core.contains(&module) {
            return None;
        }
        match name {
            "_reconstruct" => Some(Self::reconstructed(item)),
            "_frombuffer" => Some(Self::from_buffer(item)),
            "scalar" => Some(Self::scalar(item)),
            _ => None,
        }
    }

    /// `_reconstruct(ndarray, (0,), b'b')` with the state `(version, shape, dtype, is_fortran, data)`.
    fn reconstructed(item: Item<'a>) -> Result<Self> {
        let state = item.state().and_then(|state| state.list()).ok_or_else(|| wrong("its content is missing"))?;
        let [_, shape, dtype, fortran, data] = state[..] else { return Err(wrong("its content has another form")) };
        let data = data.as_bytes().ok_or_else(|| wrong("it holds Python objects"))?;
        Self::checked(shape, dtype, fortran.as_bool().unwrap_or(false), data)
    }

    /// `_frombuffer(buffer, dtype, shape, order)`, which protocol 5 uses.
    fn from_buffer(item: Item<'a>) -> Result<Self> {
        let args = item.args().unwrap_or_default();
        let [buffer, dtype, shape, order] = args[..] else { return Err(wrong("its content has another form")) };
        let data = buffer.as_bytes().ok_or_else(|| wrong("its buffer is kept elsewhere"))?;
        Self::checked(shape, dtype, order.as_str() == Some("F"), data)
    }

    /// `scalar(dtype, bytes)`.
    fn scalar(item: Item<'a>) -> Result<Self> {
        let args = item.args().unwrap_or_default();
        let [dtype, data] = args[..] else { return Err(wrong("its content has another form")) };
        let data = data.as_bytes().ok_or_else(|| wrong("it holds Python objects"))?;
        let dtype = Dtype::of(dtype)?;
        if data.len() != dtype.kind.elt_size_in_bytes() {
            return Err(wrong("its size does not fit its type"));
        }
        Ok(Array { dtype, shape: Vec::new(), fortran: false, data })
    }

    fn checked(shape: Item, dtype: Item, fortran: bool, data: Cow<'a, [u8]>) -> Result<Self> {
        let shape: Option<Vec<i64>> = shape.list().and_then(|sizes| sizes.iter().map(Item::as_int).collect());
        let shape = shape.ok_or_else(|| wrong("it has no shape"))?;
        let dtype = Dtype::of(dtype)?;
        let count = shape.iter().try_fold(1i64, |count, size| count.checked_mul(*size).filter(|_| *size >= 0));
        let bytes = count.and_then(|count| usize::try_from(count).ok()?.checked_mul(dtype.kind.elt_size_in_bytes()));
        if bytes != Some(data.len()) {
            return Err(wrong(&format!("its shape {shape:?} does not fit its {} bytes", data.len())));
        }
        Ok(Array { dtype, shape, fortran, data })
    }

    /// The array as a tensor.
    ///
    /// # Errors
    /// When libtorch refuses.
    pub fn tensor(&self) -> Result<Tensor> {
        let size = self.dtype.kind.elt_size_in_bytes();
        let data = if self.dtype.big_endian && size > 1 {
            Cow::Owned(self.data.chunks_exact(size).flat_map(|element| element.iter().rev().copied()).collect())
        } else {
            Cow::Borrowed(self.data.as_ref())
        };
        if !self.fortran {
            return Ok(Tensor::f_from_data_size(&data, &self.shape, self.dtype.kind)?);
        }
        let reversed: Vec<i64> = self.shape.iter().rev().copied().collect();
        let order: Vec<i64> = (0..self.shape.len() as i64).rev().collect();
        Ok(Tensor::f_from_data_size(&data, &reversed, self.dtype.kind)?.f_permute(order)?.f_contiguous()?)
    }
}

impl Dtype {
    /// `dtype('f4', False, True)` with the state `(3, '<', …)`.
    fn of(item: Item) -> Result<Self> {
        let args = item.args().filter(|_| item.callee().as_deref() == Some("numpy.dtype")).unwrap_or_default();
        let name = args.first().and_then(Item::as_str).ok_or_else(|| wrong("it has no element type"))?;
        let kind = match name.trim_start_matches(['<', '>', '=', '|']) {
            "u1" => Kind::Uint8,
            "i1" => Kind::Int8,
            "i2" => Kind::Int16,
            "i4" => Kind::Int,
            "i8" => Kind::Int64,
            "f2" => Kind::Half,
            "f4" => Kind::Float,
            "f8" => Kind::Double,
            "b1" => Kind::Bool,
            "c8" => Kind::ComplexFloat,
            other => return Err(wrong(&format!("elements of type `{other}` have no place in a tensor"))),
        };
        let order = item.state().and_then(|state| state.list()?.get(1)?.as_str().map(str::to_owned));
        Ok(Dtype { kind, big_endian: order.as_deref() == Some(">") })
    }
}

fn wrong(what: &str) -> Error {
    Error::failed(format!("a numpy array cannot be read: {what}"))
}
