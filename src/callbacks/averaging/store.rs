//! Tensors beside the network's own: the running average, and how it meets the network.

use indexmap::IndexMap;
use tch::Tensor;

use crate::error::{Error, Result};
use crate::native::foreach;
use crate::nn::Params;
use crate::tensor::{State, copied};

/// An average of a network's tensors, by their names.
#[derive(Debug, Default)]
pub(super) struct Average {
    tensors: IndexMap<String, Tensor>,
    /// How many times the network has been taken in.
    pub count: u64,
}

/// How a new value is taken in.
#[derive(Clone, Copy, Debug)]
pub(super) enum Rule {
    /// The plain mean of all values.
    Mean,
    /// `decay · average + (1 - decay) · value`.
    Exponential(f64),
}

impl Average {
    /// A copy of the network's parameters, and of its buffers when `buffers`.
    pub fn of(params: &Params, buffers: bool) -> Result<Self> {
        let mut tensors = params.parameters();
        if buffers {
            tensors.extend(params.buffers());
        }
        Self::copied(tensors)
    }

    fn copied(tensors: impl IntoIterator<Item = (String, Tensor)>) -> Result<Self> {
        let copy = |(name, tensor): (String, Tensor)| Ok((name, copied(&tensor)?));
        Ok(Average { tensors: tensors.into_iter().map(copy).collect::<Result<_>>()?, count: 0 })
    }

    /// Whether there is one.
    pub fn is_empty(&self) -> bool {
        self.tensors.is_empty()
    }

    /// The tensors by name.
    pub fn tensors(&self) -> &IndexMap<String, Tensor> {
        &self.tensors
    }

    /// The average's tensors and the network's, those of floating point and the others.
    fn pairs(&self, params: &Params) -> (Pairs, Pairs) {
        let entries = params.entries();
        let pairs = self
            .tensors
            .iter()
            .filter_map(|(name, average)| Some((average.shallow_clone(), entries.get(name)?.tensor.detach())));
        pairs.partition(|(average, _)| average.is_floating_point())
    }

    /// Takes in the network as it is now. The first time it is copied.
    pub fn update(&mut self, params: &Params, rule: Rule) -> Result<()> {
        let (floats, others) = self.pairs(params);
        let (average, current) = unzip(floats);
        if self.count == 0 {
            foreach::copy(&average, &current, false)?;
        } else {
            match rule {
                Rule::Exponential(decay) => {
                    foreach::mul_scalar(&average, decay)?;
                    foreach::add(&average, &current, 1.0 - decay)?;
                }
                Rule::Mean => foreach::lerp(&average, &current, 1.0 / (self.count + 1) as f64)?,
            }
        }
        // Counts of batches and the like have no mean.
        let (average, current) = unzip(others);
        foreach::copy(&average, &current, false)?;
        self.count += 1;
        Ok(())
    }

    /// Keeps what is not averaged (buffers) as the network has it.
    pub fn follow_buffers(&self, params: &Params) -> Result<()> {
        let buffers = params.buffers();
        let pairs = buffers.iter().filter_map(|(name, tensor)| Some((self.tensors.get(name)?, tensor)));
        let (average, current): (Vec<&Tensor>, Vec<&Tensor>) = pairs.unzip();
        Ok(foreach::copy(&average, &current, false)?)
    }

    /// Puts the average into the network.
    pub fn copy_to(&self, params: &Params) -> Result<()> {
        let (floats, others) = self.pairs(params);
        for pairs in [floats, others] {
            let (average, current) = unzip(pairs);
            foreach::copy(&current, &average, false)?;
        }
        Ok(())
    }

    /// Puts the average into the network, and the network's values into the average.
    pub fn swap(&self, params: &Params) -> Result<()> {
        let (floats, others) = self.pairs(params);
        for (average, current) in floats.into_iter().chain(others) {
            let kept = copied(&average)?;
            foreach::copy(&[&average], &[&current], false)?;
            foreach::copy(&[&current], &[&kept], false)?;
        }
        Ok(())
    }

    /// Puts values that were saved by [`Average::save_into`] into tensors of the same names.
    ///
    /// # Errors
    /// When a tensor is missing or has another shape.
    pub fn put(saved: &State, into: &IndexMap<String, Tensor>, who: &str) -> Result<()> {
        for (name, tensor) in into {
            let fits = |saved: &&Tensor| saved.size() == tensor.size();
            let saved = saved.tensors.get(name).filter(fits).ok_or_else(|| {
                Error::failed(format!("the checkpoint's state of {who} has no `{name}` of the network's shape"))
            })?;
            tch::no_grad(|| tensor.detach().f_copy_(saved))?;
        }
        Ok(())
    }

    /// The tensors as state, below `prefix`.
    pub fn save_into(&self, state: &mut State, prefix: &str) {
        for (name, tensor) in &self.tensors {
            state.tensors.insert(format!("{prefix}.{name}"), tensor.shallow_clone());
        }
    }
}

type Pairs = Vec<(Tensor, Tensor)>;

fn unzip(pairs: Pairs) -> (Vec<Tensor>, Vec<Tensor>) {
    pairs.into_iter().unzip()
}
