//! The random numbers of data: a counter-based generator, so that a sample's randomness is a function of
//! (seed, epoch, index) and of nothing else, and an epoch's order of (seed, epoch).
//!
//! Number n of a stream is SplitMix64's finalizer (Steele, Lea and Flood, 2014) of `key + n * golden ratio`; the
//! key is made from the seed, the epoch, the index and the purpose by the same finalizer. It is portable and does
//! not touch torch's global generator, which belongs to the model.

use super::SampleKey;

const GOLDEN: u64 = 0x9E37_79B9_7F4A_7C15;

fn mix(x: u64) -> u64 {
    let z = (x ^ (x >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    let z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^ (z >> 31)
}

/// What a stream of random numbers is for; streams of different purposes are independent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u64)]
pub enum Purpose {
    /// Order of the samples in an epoch.
    Order = 1,
    /// Transforms of a sample.
    Transform = 2,
    /// Splitting a data set into parts.
    Split = 3,
    /// Mixing the samples of a batch.
    Batch = 4,
}

/// A stream of random numbers.
#[derive(Clone, Debug)]
pub struct Rng {
    counter: u64,
}

impl Rng {
    /// The stream of a seed and some numbers, for a purpose.
    pub fn new(purpose: Purpose, seed: u64, numbers: &[u64]) -> Self {
        let start = mix(seed.wrapping_add(GOLDEN).wrapping_mul(GOLDEN) ^ purpose as u64);
        let counter = numbers.iter().fold(start, |key, &n| mix(key.wrapping_add(GOLDEN) ^ mix(n.wrapping_add(GOLDEN))));
        Rng { counter }
    }

    /// The stream of a sample's transforms.
    pub fn of(key: SampleKey) -> Self {
        Rng::new(Purpose::Transform, key.seed, &[key.epoch, key.index])
    }

    /// The next 64 bits.
    pub fn bits(&mut self) -> u64 {
        self.counter = self.counter.wrapping_add(GOLDEN);
        mix(self.counter)
    }

    /// A number in [0, 1), with 53 random bits.
    pub fn unit(&mut self) -> f64 {
        (self.bits() >> 11) as f64 / (1u64 << 53) as f64
    }

    /// A number in [low, high), or `low` when they are equal.
    pub fn uniform(&mut self, low: f64, high: f64) -> f64 {
        low + (high - low) * self.unit()
    }

    /// A whole number in 0..n without bias (Lemire, 2019); 0 when n is 0.
    pub fn below(&mut self, n: u64) -> u64 {
        let mut wide = u128::from(self.bits()) * u128::from(n);
        if (wide as u64) < n {
            let threshold = n.wrapping_neg() % n;
            while (wide as u64) < threshold {
                wide = u128::from(self.bits()) * u128::from(n);
            }
        }
        (wide >> 64) as u64
    }

    /// True with probability `p`.
    pub fn chance(&mut self, p: f64) -> bool {
        self.unit() < p
    }

    /// A standard normal number (Box and Muller, 1958).
    pub fn normal(&mut self) -> f64 {
        let radius = (-2.0 * (1.0 - self.unit()).ln()).sqrt();
        radius * (std::f64::consts::TAU * self.unit()).cos()
    }

    /// A Gamma(shape, 1) number (Marsaglia and Tsang, 2000); `shape` above 0.
    pub fn gamma(&mut self, shape: f64) -> f64 {
        if shape < 1.0 {
            let boost = (1.0 - self.unit()).powf(1.0 / shape);
            return self.gamma(shape + 1.0) * boost;
        }
        let d = shape - 1.0 / 3.0;
        let c = 1.0 / (9.0 * d).sqrt();
        loop {
            let x = self.normal();
            let v = (1.0 + c * x).powi(3);
            if v > 0.0 && (1.0 - self.unit()).ln() < 0.5 * x * x + d - d * v + d * v.ln() {
                return d * v;
            }
        }
    }

    /// A Beta(a, b) number; `a` and `b` above 0.
    pub fn beta(&mut self, a: f64, b: f64) -> f64 {
        let x = self.gamma(a);
        let y = self.gamma(b);
        // Both can underflow to 0 for tiny shapes; the distribution then sits on its two ends.
        if x + y > 0.0 { x / (x + y) } else { f64::from(u8::from(self.chance(a / (a + b)))) }
    }

    /// Puts `items` into a random order (Fisher and Yates).
    pub fn shuffle<T>(&mut self, items: &mut [T]) {
        for i in (1..items.len()).rev() {
            items.swap(i, self.below(i as u64 + 1) as usize);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The order of an epoch is a promise: a resumed run, another machine and a later version must agree.
    #[test]
    fn streams_stay_what_they_are() {
        let mut rng = Rng::new(Purpose::Order, 42, &[0]);
        let mut order: Vec<u32> = (0..10).collect();
        rng.shuffle(&mut order);
        assert_eq!(order, [1, 6, 9, 0, 3, 2, 8, 7, 5, 4]);
        let first = |index| Rng::of(SampleKey { seed: 1, epoch: 2, index }).bits();
        assert_ne!(first(3), first(4));
    }

    #[test]
    fn draws_have_their_moments() {
        let n = 40_000;
        let moments = |draw: &mut dyn FnMut(&mut Rng) -> f64| {
            let mut rng = Rng::new(Purpose::Batch, 7, &[]);
            let values: Vec<f64> = (0..n).map(|_| draw(&mut rng)).collect();
            let mean = values.iter().sum::<f64>() / n as f64;
            (mean, (values.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / n as f64).sqrt())
        };
        let close = |(mean, std): (f64, f64), (m, s): (f64, f64)| {
            assert!((mean - m).abs() < 0.02 && (std - s).abs() < 0.02, "{mean} {std}, not {m} {s}");
        };
        close(moments(&mut |rng| rng.unit()), (0.5, 1.0 / 12f64.sqrt()));
        close(moments(&mut |rng| rng.normal()), (0.0, 1.0));
        close(moments(&mut |rng| rng.below(3) as f64), (1.0, (2.0f64 / 3.0).sqrt()));
        close(moments(&mut |rng| rng.gamma(2.0)), (2.0, 2f64.sqrt()));
        close(moments(&mut |rng| rng.beta(0.2, 0.2)), (0.5, (1.0f64 / (4.0 * 1.4)).sqrt()));
    }

    #[test]
    fn every_order_is_equally_likely() {
        let mut counts = std::collections::BTreeMap::new();
        for epoch in 0..6000 {
            let mut order = [0u8, 1, 2];
            Rng::new(Purpose::Order, 9, &[epoch]).shuffle(&mut order);
            *counts.entry(order).or_insert(0) += 1;
        }
        assert_eq!(counts.len(), 6);
        assert!(counts.values().all(|&count| (850..1150).contains(&count)), "{counts:?}");
    }
}
