//! A tensor's values elsewhere.

use tch::Tensor;

use crate::error::Result;

/// A copy in memory of its own, on the same device, outside autograd.
///
/// # Errors
/// When there is no room for it.
pub fn copied(tensor: &Tensor) -> Result<Tensor> {
    tch::no_grad(|| {
        let tensor = tensor.f_detach()?;
        let mut copy = tensor.f_empty_like()?;
        copy.f_copy_(&tensor)?;
        Ok(copy)
    })
}
