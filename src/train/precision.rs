//! The numbers that a network computes in: Lightning's `precision`.

use tch::{Device, Kind, Tensor};

use crate::data::{Batch, Field};
use crate::error::Result;
use crate::native::autocast::Autocast;
use crate::nn::Params;

/// The numbers that a network computes in.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Precision {
    /// `32-true`: 32-bit floats.
    #[default]
    Single,
    /// `64-true`: weights and inputs in 64-bit floats.
    Double,
    /// `16-true`: weights and inputs in 16-bit floats.
    Half,
    /// `bf16-true`: weights and inputs in bfloat16.
    BFloat16,
    /// `16-mixed`: weights in 32-bit floats, what gains by it computed in 16-bit floats, the loss scaled so that
    /// small gradients survive.
    MixedHalf,
    /// `bf16-mixed`: weights in 32-bit floats, what gains by it computed in bfloat16.
    MixedBFloat16,
}

impl Precision {
    /// By Lightning's name or one of its aliases.
    pub fn named(name: &str) -> Option<Self> {
        Some(match name {
            "32" | "32-true" => Precision::Single,
            "64" | "64-true" => Precision::Double,
            "16-true" => Precision::Half,
            "bf16-true" => Precision::BFloat16,
            "16" | "16-mixed" => Precision::MixedHalf,
            "bf16" | "bf16-mixed" => Precision::MixedBFloat16,
            _ => return None,
        })
    }

    /// What it is on a device: the CPU has no mixed half precision and takes bfloat16 instead, as in Lightning.
    pub fn on(self, device: Device) -> Self {
        if self == Precision::MixedHalf && device == Device::Cpu {
            tracing::warn!("16-mixed is not there on the CPU: using bf16-mixed instead");
            return Precision::MixedBFloat16;
        }
        self
    }

    /// The dtype of weights and inputs, when it is not the usual one.
    fn weights(self) -> Option<Kind> {
        match self {
            Precision::Double => Some(Kind::Double),
            Precision::Half => Some(Kind::Half),
            Precision::BFloat16 => Some(Kind::BFloat16),
            Precision::Single | Precision::MixedHalf | Precision::MixedBFloat16 => None,
        }
    }

    /// The dtype that autocast computes in.
    fn cast_to(self) -> Option<Kind> {
        match self {
            Precision::MixedHalf => Some(Kind::Half),
            Precision::MixedBFloat16 => Some(Kind::BFloat16),
            _ => None,
        }
    }

    /// Whether products are computed in 16 bits.
    pub fn is_half(self) -> bool {
        !matches!(self, Precision::Single | Precision::Double)
    }

    /// Whether the loss is scaled.
    pub fn scales(self) -> bool {
        self == Precision::MixedHalf
    }

    /// Casts the weights and buffers of a network, in place. To be called before its optimizer is made.
    ///
    /// # Errors
    /// When there is no room for the cast copies.
    pub fn cast(self, params: &Params) -> Result<()> {
        let Some(kind) = self.weights() else { return Ok(()) };
        for entry in params.entries().values_mut() {
            if entry.tensor.is_floating_point() && entry.tensor.kind() != kind {
                let cast = entry.tensor.f_detach()?.f_to_kind(kind)?;
                entry.tensor.f_set_data(&cast)?;
            }
        }
        Ok(())
    }

    /// Casts the floating-point fields of a batch.
    ///
    /// # Errors
    /// When there is no room.
    pub fn convert(self, batch: Batch) -> Result<Batch> {
        let Some(kind) = self.weights() else { return Ok(batch) };
        let cast = |tensor: &mut Tensor| -> Result<()> {
            if tensor.is_floating_point() && tensor.kind() != kind {
                *tensor = tensor.f_to_kind(kind)?;
            }
            Ok(())
        };
        let mut batch = batch;
        for field in batch.fields.values_mut() {
            match field {
                Field::Tensor(tensor) => cast(tensor)?,
                Field::List(list) => list.iter_mut().try_for_each(cast)?,
            }
        }
        Ok(batch)
    }

    /// Runs a forward pass, its operations cast where this precision casts them.
    ///
    /// # Errors
    /// What `work` says, or that the device cannot do it.
    pub fn forward<T>(self, device: Device, work: impl FnOnce() -> Result<T>) -> Result<T> {
        let Some(kind) = self.cast_to() else { return work() };
        let _region = Autocast::enter(device, kind)?;
        work()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use indexmap::IndexMap;

    #[test]
    fn true_precisions_cast_weights_and_inputs_but_not_labels() {
        let params = Params::new(Device::Cpu);
        let weight = params.root().parameter("weight", &[2, 2], |t| drop(t.fill_(0.5))).unwrap();
        for (name, kind) in [("64-true", Kind::Double), ("bf16-true", Kind::BFloat16), ("16-true", Kind::Half)] {
            let precision = Precision::named(name).unwrap();
            precision.cast(&params).unwrap();
            assert_eq!(weight.kind(), kind);
            assert!(weight.requires_grad());
            let fields = IndexMap::from([
                ("input".to_owned(), Field::Tensor(Tensor::zeros([1, 2], (Kind::Float, Device::Cpu)))),
                ("target".to_owned(), Field::Tensor(Tensor::zeros([1], (Kind::Int64, Device::Cpu)))),
            ]);
            let batch = precision.convert(Batch { fields, indices: vec![0], failed: Vec::new() }).unwrap();
            assert_eq!(batch.input().unwrap().kind(), kind);
            assert_eq!(batch.target().unwrap().kind(), Kind::Int64);
            let loss = batch.input().unwrap().matmul(&weight).sum(kind);
            loss.backward();
            assert_eq!(weight.grad().kind(), kind);
            crate::native::grad::clear(&[&weight]).unwrap();
        }
    }

    #[test]
    fn mixed_precisions_cast_products_only() {
        let a = Tensor::ones([2, 2], (Kind::Float, Device::Cpu));
        let kind = |precision: Precision| precision.forward(Device::Cpu, || Ok(a.matmul(&a).kind())).unwrap();
        assert_eq!(kind(Precision::MixedBFloat16), Kind::BFloat16);
        assert_eq!(kind(Precision::MixedHalf.on(Device::Cpu)), Kind::BFloat16);
        assert_eq!(kind(Precision::Single), Kind::Float);
    }
}
