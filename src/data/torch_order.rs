//! PyTorch's data orders, draw by draw: the samplers of `torch.utils.data`, its `random_split` and the order that its
//! `DataLoader` shows.
//!
//! The loaders of this crate have an order of their own, a function of (seed, epoch) (see [`super::sampler`]). This
//! module is for those who must have the very samples, in the very order, of a run made with Python: a split that was
//! published by its seed, a run that is repeated. Numbers come from torch's default generator (`torch.manual_seed`),
//! or from a generator of one's own (`torch.Generator().manual_seed(s)`).

use tch::{Device, Kind, Tensor};

use crate::error::{Error, Result};
use crate::native::generator::Generator;

/// Where an order's numbers come from.
pub enum Source {
    /// torch's default generator.
    Default,
    /// A generator of one's own.
    Own(Generator),
}

impl Source {
    /// A generator of one's own with a seed.
    ///
    /// # Errors
    /// When libtorch cannot make one.
    pub fn seeded(seed: u64) -> Result<Self> {
        Ok(Source::Own(Generator::new(Device::Cpu, seed)?))
    }

    /// The numbers 0 to n - 1 in random order.
    fn permutation(&mut self, n: usize) -> Result<Vec<usize>> {
        let n = n as i64;
        indices(&match self {
            Source::Default => Tensor::f_randperm(n, (Kind::Int64, Device::Cpu))?,
            Source::Own(generator) => generator.randperm(n)?,
        })
    }

    /// A 64-bit seed: `torch.empty((), dtype=torch.int64).random_()`.
    fn seed(&mut self) -> Result<u64> {
        let mut seed = Tensor::f_empty([1], (Kind::Int64, Device::Cpu))?;
        match self {
            Source::Default => drop(seed.f_random_()?),
            Source::Own(generator) => generator.fill_random(&seed)?,
        }
        Ok(seed.f_int64_value(&[0])? as u64)
    }
}

fn indices(tensor: &Tensor) -> Result<Vec<usize>> {
    let list = Vec::<i64>::try_from(tensor)?;
    Ok(list.into_iter().map(|index| index as usize).collect())
}

/// All samples in random order, or samples drawn one by one (`torch.utils.data.RandomSampler`).
pub struct RandomSampler {
    /// How many samples there are.
    pub samples: usize,
    /// Whether a sample may come twice.
    pub replacement: bool,
    /// How many an epoch shows.
    pub count: usize,
}

impl RandomSampler {
    /// Every sample once.
    pub fn all(samples: usize) -> Self {
        RandomSampler { samples, replacement: false, count: samples }
    }

    /// The next epoch's order. From the default generator only a seed is drawn, for a generator of the epoch's own.
    ///
    /// # Errors
    /// When there is nothing to draw from.
    pub fn epoch(&self, source: &mut Source) -> Result<Vec<usize>> {
        if self.samples == 0 {
            return Err(Error::failed("no samples to draw from"));
        }
        match source {
            Source::Default => {
                let seed = source.seed()?;
                self.draw(&mut Generator::new(Device::Cpu, seed)?)
            }
            Source::Own(generator) => self.draw(generator),
        }
    }

    fn draw(&self, generator: &mut Generator) -> Result<Vec<usize>> {
        /// Python draws this many at once with replacement.
        const CHUNK: usize = 32;
        let mut order = Vec::with_capacity(self.count);
        if self.replacement {
            for chunk in [CHUNK].repeat(self.count / CHUNK).into_iter().chain([self.count % CHUNK]) {
                let drawn = Tensor::f_empty([chunk as i64], (Kind::Int64, Device::Cpu))?;
                generator.fill_integers(&drawn, 0, self.samples as i64)?;
                order.extend(indices(&drawn)?);
            }
            return Ok(order);
        }
        for _ in 0..self.count / self.samples {
            order.extend(indices(&generator.randperm(self.samples as i64)?)?);
        }
        // Drawn even when nothing of it is needed: the generator's next epoch depends on it.
        let rest = indices(&generator.randperm(self.samples as i64)?)?;
        order.extend(&rest[..self.count % self.samples]);
        Ok(order)
    }
}

/// The batches of one epoch of a shuffling `DataLoader`: a seed for its workers is drawn first, then the order.
///
/// # Errors
/// When there is nothing to draw from.
pub fn loader_epoch(
    sampler: &RandomSampler,
    batch: usize,
    drop_last: bool,
    source: &mut Source,
) -> Result<Vec<Vec<usize>>> {
    source.seed()?;
    Ok(batches(&sampler.epoch(source)?, batch, drop_last))
}

/// An order cut into batches; the last one may be smaller, or is dropped.
pub fn batches(order: &[usize], batch: usize, drop_last: bool) -> Vec<Vec<usize>> {
    let all = order.chunks(batch.max(1));
    all.filter(|chunk| !drop_last || chunk.len() == batch).map(<[usize]>::to_vec).collect()
}

/// The given samples in random order (`torch.utils.data.SubsetRandomSampler`).
///
/// # Errors
/// When libtorch fails.
pub fn subset_random(subset: &[usize], source: &mut Source) -> Result<Vec<usize>> {
    Ok(source.permutation(subset.len())?.into_iter().map(|index| subset[index]).collect())
}

/// Samples drawn in proportion to their weights (`torch.utils.data.WeightedRandomSampler`).
///
/// # Errors
/// When the weights cannot be drawn from: negative, all 0, fewer than `count` without replacement.
pub fn weighted_random(weights: &[f64], count: usize, replacement: bool, source: &mut Source) -> Result<Vec<usize>> {
    let weights = Tensor::f_from_slice(weights)?;
    indices(&match source {
        Source::Default => weights.f_multinomial(count as i64, replacement)?,
        Source::Own(generator) => generator.multinomial(&weights, count as i64, replacement)?,
    })
}

/// One process's share of every epoch (`torch.utils.data.DistributedSampler`).
#[derive(Clone, Copy, Debug)]
pub struct DistributedSampler {
    /// How many samples there are.
    pub samples: usize,
    /// How many processes share them.
    pub replicas: usize,
    /// Whether the order is drawn.
    pub shuffle: bool,
    /// The seed, the same in every process.
    pub seed: u64,
    /// Whether samples that do not fill every process are left out; otherwise the first ones come again.
    pub drop_last: bool,
}

impl DistributedSampler {
    /// What process `rank` shows in `epoch`.
    ///
    /// # Errors
    /// When there is nothing to share.
    pub fn epoch(&self, rank: usize, epoch: u64) -> Result<Vec<usize>> {
        let (samples, replicas) = (self.samples, self.replicas);
        if samples == 0 || rank >= replicas {
            return Err(Error::failed(format!("process {rank} of {replicas} has no share of {samples} samples")));
        }
        let order = match self.shuffle {
            true => Source::seeded(self.seed.wrapping_add(epoch))?.permutation(samples)?,
            false => (0..samples).collect(),
        };
        let share = if self.drop_last { samples / replicas } else { samples.div_ceil(replicas) };
        let padded = order.iter().cycle().take(share * replicas);
        Ok(padded.copied().skip(rank).step_by(replicas).collect())
    }
}

/// The sizes of the parts of `samples`: counts that add up to it, or shares that add up to 1. Of shares, each part
/// has the whole number below; what is left is dealt one by one from the first part on.
///
/// # Errors
/// When they do not add up.
pub fn split_sizes(samples: usize, parts: &[f64]) -> Result<Vec<usize>> {
    let total: f64 = parts.iter().sum();
    let shares = total <= 1.0 && (total - 1.0).abs() <= 1e-9;
    let mut sizes: Vec<usize> = match shares {
        true => parts.iter().map(|share| (samples as f64 * share).floor() as usize).collect(),
        false => parts.iter().map(|count| *count as usize).collect(),
    };
    if shares {
        let rest = samples - sizes.iter().sum::<usize>();
        let count = sizes.len();
        for part in 0..rest {
            sizes[part % count] += 1;
        }
    }
    match sizes.iter().sum::<usize>() == samples && parts.iter().all(|part| *part >= 0.0) {
        true => Ok(sizes),
        false => Err(Error::failed(format!("the parts {parts:?} do not add up to {samples} samples"))
            .help("give counts that add up to the samples, or shares that add up to 1")),
    }
}

/// Samples dealt at random into parts (`torch.utils.data.random_split`); `parts` as in [`split_sizes`].
///
/// # Errors
/// When the parts do not add up.
pub fn random_split(samples: usize, parts: &[f64], source: &mut Source) -> Result<Vec<Vec<usize>>> {
    let sizes = split_sizes(samples, parts)?;
    let order = source.permutation(samples)?;
    let mut rest = order.as_slice();
    Ok(sizes
        .into_iter()
        .map(|size| {
            let (part, others) = rest.split_at(size);
            rest = others;
            part.to_vec()
        })
        .collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_add_up() {
        let cases: [(usize, &[f64], Option<&[usize]>); 6] = [
            (10, &[7.0, 3.0], Some(&[7, 3])),
            (10, &[0.7, 0.3], Some(&[7, 3])),
            (11, &[0.5, 0.25, 0.25], Some(&[6, 3, 2])),
            (10, &[7.0, 2.0], None),
            (10, &[12.0, -2.0], None),
            (1, &[1.0], Some(&[1])),
        ];
        for (samples, parts, want) in cases {
            assert_eq!(split_sizes(samples, parts).ok().as_deref(), want, "{parts:?}");
        }
    }

    #[test]
    fn every_process_has_as_many_samples() {
        let sampler = DistributedSampler { samples: 2, replicas: 5, shuffle: true, seed: 1, drop_last: false };
        let shares: Vec<_> = (0..5).map(|rank| sampler.epoch(rank, 0).unwrap()).collect();
        assert!(shares.iter().all(|share| share.len() == 1), "{shares:?}");
        assert!(sampler.epoch(5, 0).is_err());
    }
}
