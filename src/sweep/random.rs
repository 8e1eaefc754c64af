//! Random numbers of a search: small, the same on every machine and in every version.

/// SplitMix64 (Steele, Lea and Flood, 2014).
#[derive(Clone, Debug)]
pub struct Random(u64);

impl Random {
    /// The stream of a seed and of what it is for: a trial's number, an attempt. Different words, different streams.
    pub fn new(seed: u64, words: &[u64]) -> Self {
        let mut random = Random(seed);
        for word in words {
            random.0 = random.next_u64() ^ word.wrapping_mul(0xd134_2543_de82_ef95);
        }
        random
    }

    /// The next 64 bits.
    pub fn next_u64(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// Uniform in [0, 1).
    pub fn uniform(&mut self) -> f64 {
        (self.next_u64() >> 11) as f64 * (-53f64).exp2()
    }

    /// Uniform in 0..n.
    pub fn below(&mut self, n: usize) -> usize {
        // The bias of the product is below 2^-40 for any list that fits into memory.
        ((u128::from(self.next_u64()) * n as u128) >> 64) as usize
    }

    /// Normal with mean 0 and deviation 1 (Box and Muller, 1958).
    pub fn normal(&mut self) -> f64 {
        let radius = (-2.0 * (1.0 - self.uniform()).ln()).sqrt();
        radius * (std::f64::consts::TAU * self.uniform()).cos()
    }

    /// The position drawn by weights, which need not sum to 1.
    pub fn weighted(&mut self, weights: &[f64]) -> usize {
        let mut rest = self.uniform() * weights.iter().sum::<f64>();
        for (i, weight) in weights.iter().enumerate() {
            rest -= weight;
            if rest < 0.0 {
                return i;
            }
        }
        weights.len().saturating_sub(1)
    }

    /// Puts the items into a random order (Fisher and Yates).
    pub fn shuffle<T>(&mut self, items: &mut [T]) {
        for i in (1..items.len()).rev() {
            items.swap(i, self.below(i + 1));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn streams_are_apart_and_uniform() {
        let mut sums = [0.0; 3];
        for trial in 0..2000 {
            let mut random = Random::new(7, &[trial]);
            let (u, z) = (random.uniform(), random.normal());
            sums[0] += u;
            sums[1] += z;
            sums[2] += z * z;
        }
        let [u, z, zz] = sums.map(|sum| sum / 2000.0);
        assert!((u - 0.5).abs() < 0.02 && z.abs() < 0.06 && (zz - 1.0).abs() < 0.1, "{u} {z} {zz}");
        assert_ne!(Random::new(1, &[2]).next_u64(), Random::new(2, &[1]).next_u64());
        let mut random = Random::new(0, &[]);
        let counts = (0..3000).fold([0; 3], |mut counts, _| {
            counts[random.weighted(&[1.0, 0.0, 2.0])] += 1;
            counts
        });
        assert!(counts[1] == 0 && (counts[0] as f64 - 1000.0).abs() < 100.0, "{counts:?}");
    }
}
