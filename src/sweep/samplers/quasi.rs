//! Points that fill the space more evenly than independent draws do.

use super::{Context, Sampler, Suggestion, draw, from_unit};
use crate::error::Result;
use crate::sweep::random::Random;
use crate::sweep::space::SearchSpace;
use crate::sweep::trial::Params;

/// The longest sequence and the most dimensions that the numbers of one seed have.
const LENGTH: u64 = 1 << 16;
const DIMENSIONS: usize = sobol_burley::NUM_DIMENSIONS as usize;

/// Coordinate `dimension` of point `index` of Sobol's sequence with Owen's scrambling, in [0, 1) (Burley, *Practical
/// Hash-based Owen Scrambling*, 2020).
pub fn sobol(index: u64, dimension: usize, seed: u64) -> f64 {
    let words = [index / LENGTH, (dimension / DIMENSIONS) as u64];
    let seed = Random::new(seed, &words).next_u64() >> 32;
    let (index, dimension) = (index % LENGTH, dimension % DIMENSIONS);
    f64::from(sobol_burley::sample(index as u32, dimension as u32, seed as u32))
}

/// Sobol's sequence, scrambled.
pub struct Sobol;

impl Sampler for Sobol {
    fn suggest(&mut self, context: &Context) -> Result<Suggestion> {
        let (number, seed) = (context.number as u64, context.seed);
        Ok(Suggestion::Params(point(context, |dimension| sobol(number, dimension, seed))))
    }

    fn learns(&self) -> bool {
        false
    }
}

/// A Latin hypercube: of as many points as there are trials, one lies in each of as many equal parts of every
/// parameter (McKay, Beckman and Conover, 1979).
pub struct LatinHypercube {
    /// How many points one hypercube has.
    pub points: usize,
}

impl LatinHypercube {
    /// The trial's point; where it breaks a constraint, independent draws.
    pub fn point(&self, context: &Context) -> Params {
        let points = self.points.max(1);
        let (cube, place) = (context.number / points, context.number % points);
        let coordinate = |dimension: usize| {
            let mut random = Random::new(context.seed, &[cube as u64, dimension as u64]);
            let mut cells: Vec<usize> = (0..points).collect();
            random.shuffle(&mut cells);
            let mut jitter = Random::new(context.seed, &[cube as u64, dimension as u64, place as u64]);
            (cells[place] as f64 + jitter.uniform()) / points as f64
        };
        point(context, coordinate)
    }
}

impl Sampler for LatinHypercube {
    fn suggest(&mut self, context: &Context) -> Result<Suggestion> {
        Ok(Suggestion::Params(self.point(context)))
    }

    fn learns(&self) -> bool {
        false
    }
}

/// The point with these coordinates; one that breaks a constraint is replaced by independent draws.
fn point(context: &Context, mut coordinate: impl FnMut(usize) -> f64) -> Params {
    let space: &SearchSpace = context.space;
    if context.attempt > 0 {
        return draw(space, &mut context.random());
    }
    let mut dimension = 0;
    space.active(|parameter| {
        let unit = coordinate(dimension);
        dimension += 1;
        from_unit(&parameter.domain, unit)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sweep::samplers::tests::{space, suggest};
    use crate::sweep::trial::ParamValue;

    fn unit(params: &Params, key: &str) -> f64 {
        match params[key] {
            ParamValue::Float(value) => value,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn every_cell_has_its_point() {
        let space = space(&["a=interval(0,1)", "b=interval(0,1)", "c=choice(x,y)"]);
        let n = 64;
        let samplers: [(Box<dyn Sampler>, usize); 2] =
            [(Box::new(Sobol), n), (Box::new(LatinHypercube { points: n }), n)];
        for (mut sampler, cells) in samplers {
            for seed in 0..3 {
                let points: Vec<Params> =
                    (0..n).map(|number| suggest(sampler.as_mut(), &space, &[], number, seed)).collect();
                for key in ["a", "b"] {
                    let mut taken = vec![0; cells];
                    points.iter().for_each(|p| taken[(unit(p, key) * cells as f64) as usize] += 1);
                    assert!(taken.iter().all(|count| *count == 1), "{key}: {taken:?}");
                }
                let half = points.iter().filter(|p| p["c"] == ParamValue::Choice(0)).count();
                assert_eq!(half, n / 2);
            }
        }
        assert_ne!(sobol(3, 1, 0), sobol(3, 1, 1));
        assert_eq!(sobol(70_000, 300, 5), sobol(70_000, 300, 5));
    }
}
