//! The rules by which samples become parts: what the data gives, chosen ids, folds, sizes; by groups.

use std::collections::{BTreeMap, HashMap, HashSet};

use super::{Parts, order, split};
use crate::data::datasets::images::Given;
use crate::data::rng::{Purpose, Rng};
use crate::error::{Error, Result};
use crate::registry::IntOrFloat;

/// How samples become parts.
#[derive(Clone, Debug)]
pub struct SplitRule {
    /// How large the parts are.
    pub sizes: Sizes,
    /// The split's own seed.
    pub seed: u64,
    /// Whether each part gets every class in proportion.
    pub stratify: bool,
    /// The number of folds, and which of them is validated on.
    pub folds: Option<(usize, usize)>,
    /// Ids of the validation part.
    pub val: Option<Vec<String>>,
    /// Ids of the test part.
    pub test: Option<Vec<String>>,
}

/// How large the parts are.
#[derive(Clone, Debug)]
pub enum Sizes {
    /// Shares or numbers of samples for training, validation and test; 0.8, 0.1, 0.1 when not given.
    Parts(Option<Vec<IntOrFloat>>),
    /// This share for the test and as much for validation, as scikit-learn rounds it: 2f of the samples, rounded up,
    /// are held out, and half of those, rounded up, are the test. A class needs two samples.
    Held(f64),
    /// Of each class this share for validation, rounded to the nearest number (halves to the even one).
    OfEach(f64),
}

/// Samples that are to be split.
pub struct Unsplit<'a> {
    /// A number for each sample by which classes are told apart.
    pub strata: Vec<i64>,
    /// The parts that the data itself gives.
    pub given: Option<&'a [Given]>,
    /// Samples with the same number stay together.
    pub groups: Option<&'a [u32]>,
    /// The name of a sample, and that of its group where it has one.
    pub names: Box<dyn Fn(usize) -> Vec<String> + 'a>,
    /// The class of a sample in words.
    pub class: Box<dyn Fn(usize) -> String + 'a>,
    /// The share for validation where the data gives the other parts and no sizes are chosen.
    pub val_share: f64,
}

impl SplitRule {
    /// Splits by sizes alone.
    pub fn sizes(sizes: Option<Vec<IntOrFloat>>, seed: u64) -> Self {
        SplitRule { sizes: Sizes::Parts(sizes), seed, stratify: true, folds: None, val: None, test: None }
    }

    /// The parts.
    ///
    /// # Errors
    /// When the sizes ask for more than there is, none of the ids is there, or no sample is left for training.
    pub fn apply(&self, samples: &Unsplit) -> Result<Parts> {
        let units = Units::of(samples, self.stratify);
        let parts = self.split(samples, &units)?;
        if parts.train.is_empty() && samples.given.is_none_or(|given| given.contains(&Given::Train)) {
            return Err(Error::request("the training part is empty")
                .help("give more data, or train_val_test_split a larger share for training"));
        }
        Ok(units.samples(parts))
    }

    /// The parts, of units.
    fn split(&self, samples: &Unsplit, units: &Units) -> Result<Parts> {
        let named = |ids: &Option<Vec<String>>, what: &str| match ids {
            Some(ids) => units.named(ids, what, samples).map(Some),
            None => Ok(None),
        };
        let (val, test) = (named(&self.val, "val_ids")?, named(&self.test, "test_ids")?);
        let has = |given: Given| samples.given.is_some_and(|all| all.contains(&given));
        let chosen_test = test.is_some();
        let part = |unit: u32| match &units.given {
            _ if test.as_ref().is_some_and(|ids| ids.contains(&unit)) => Given::Test,
            _ if val.as_ref().is_some_and(|ids| ids.contains(&unit)) => Given::Val,
            // A chosen part takes the place of the data's own.
            Some(given) => match given[unit as usize] {
                Given::Val if val.is_some() => Given::Train,
                Given::Test if chosen_test => Given::Train,
                part => part,
            },
            None => Given::Train,
        };
        let of = |wanted: Given| (0..units.len() as u32).filter(|&unit| part(unit) == wanted).collect::<Vec<u32>>();
        let (mut pool, val_part, mut test_part) = (of(Given::Train), of(Given::Val), of(Given::Test));
        let has_test = chosen_test || has(Given::Test);
        let has_val = val.is_some() || has(Given::Val);
        // A data set with parts of its own has no test samples to take from elsewhere.
        let fixed = has_test || has_val || has(Given::Out);
        let shares = [0.8, 0.1, 0.1].map(IntOrFloat::Float);
        let none = IntOrFloat::Int(0);
        let sizes = match &self.sizes {
            Sizes::Parts(sizes) => sizes.as_deref(),
            _ => None,
        };
        if let (Some([.., IntOrFloat::Int(count)]), true) = (sizes, has_test && !chosen_test) {
            test_part = self.take(units, &test_part, &[IntOrFloat::Int(*count), none, none])?.train;
        }
        if let Some((folds, fold)) = self.folds {
            pool.extend(val_part);
            pool.sort_unstable();
            if !fixed {
                let [a, b, c] = sizes.unwrap_or(&shares) else { return Err(three()) };
                let cut = self.take(units, &pool, &[*a, *b, *c])?;
                test_part = cut.test;
                pool = [cut.train, cut.val].concat();
                pool.sort_unstable();
            }
            let (train, val) = self.fold(units, &pool, folds, fold)?;
            return Ok(Parts { train, val, test: test_part });
        }
        if has_val {
            return Ok(Parts { train: pool, val: val_part, test: test_part });
        }
        match self.sizes {
            Sizes::Held(share) => self.held(samples, units, &pool, share, (has_test, test_part)),
            Sizes::OfEach(share) => {
                let val = self.of_each(units, &pool, share);
                Ok(Parts { train: pool.into_iter().filter(|unit| !val.contains(unit)).collect(), val, test: test_part })
            }
            Sizes::Parts(_) if !fixed => self.take(units, &pool, sizes.unwrap_or(&shares)),
            Sizes::Parts(_) => {
                let (train, val) = match sizes {
                    Some([IntOrFloat::Float(a), IntOrFloat::Float(b), _]) => {
                        (IntOrFloat::Float(a / (a + b)), IntOrFloat::Float(b / (a + b)))
                    }
                    Some([train, val, _]) => (*train, *val),
                    _ => (IntOrFloat::Float(1.0 - samples.val_share), IntOrFloat::Float(samples.val_share)),
                };
                Ok(Parts { test: test_part, ..self.take(units, &pool, &[train, val, none])? })
            }
        }
    }

    /// Splits some of the units by sizes.
    fn take(&self, units: &Units, pool: &[u32], sizes: &[IntOrFloat]) -> Result<Parts> {
        let parts = split(&units.strata(pool), sizes, self.seed)?;
        let back = |part: Vec<u32>| part.into_iter().map(|place| pool[place as usize]).collect();
        Ok(Parts { train: back(parts.train), val: back(parts.val), test: back(parts.test) })
    }

    /// Everything but one fold, and that fold.
    fn fold(&self, units: &Units, pool: &[u32], folds: usize, fold: usize) -> Result<(Vec<u32>, Vec<u32>)> {
        if pool.len() < folds {
            return Err(Error::request(format!("{} samples cannot be cut into {folds} folds", pool.len())));
        }
        let order = order(&units.strata(pool), self.seed);
        // Neighbours in the order are alike, so every folds-th of it has all classes in proportion.
        let (mut val, mut train) = (Vec::new(), Vec::new());
        for (place, unit) in order.into_iter().enumerate() {
            if place % folds == fold { &mut val } else { &mut train }.push(pool[unit as usize]);
        }
        val.sort_unstable();
        train.sort_unstable();
        Ok((train, val))
    }

    fn held(
        &self,
        samples: &Unsplit,
        units: &Units,
        pool: &[u32],
        share: f64,
        (has_test, test): (bool, Vec<u32>),
    ) -> Result<Parts> {
        let strata = units.strata(pool);
        let mut counts: HashMap<i64, (usize, u32)> = HashMap::new();
        for (stratum, unit) in strata.iter().zip(pool) {
            counts.entry(*stratum).or_insert((0, *unit)).0 += 1;
        }
        let mut single: Vec<u32> = counts.values().filter(|(count, _)| *count == 1).map(|(_, unit)| *unit).collect();
        single.sort_unstable();
        if let (Some(unit), true) = (single.first(), self.stratify) {
            let class = (samples.class)(units.first(*unit));
            return Err(Error::request(format!("the class `{class}` has one sample: it cannot be in all parts")).help(
                "raise min_samples so that small classes are bundled, remove the class, or set stratify: false",
            ));
        }
        let n = pool.len();
        // scikit-learn rounds up, of a product that floating point may have carried above a whole number.
        let up = |x: f64| (x - 1e-9).ceil().max(0.0) as usize;
        let held = up(2.0 * share * n as f64).min(n);
        let (val, test_count) =
            if has_test { (up(share * n as f64), 0) } else { (held - held.div_ceil(2), held.div_ceil(2)) };
        let sizes = [n - val - test_count, val, test_count].map(|count| IntOrFloat::Int(count as u64));
        let parts = self.take(units, pool, &sizes)?;
        Ok(if has_test { Parts { test, ..parts } } else { parts })
    }

    /// Of each stratum a rounded share.
    fn of_each(&self, units: &Units, pool: &[u32], share: f64) -> Vec<u32> {
        let mut strata: BTreeMap<i64, Vec<u32>> = BTreeMap::new();
        for &unit in pool {
            strata.entry(units.stratum[unit as usize]).or_default().push(unit);
        }
        let mut val = Vec::new();
        for (stratum, mut members) in strata {
            let count = (share * members.len() as f64).round_ties_even() as usize;
            Rng::new(Purpose::Split, self.seed, &[stratum as u64]).shuffle(&mut members);
            val.extend_from_slice(&members[..count.min(members.len())]);
        }
        val.sort_unstable();
        val
    }
}

fn three() -> Error {
    Error::request("train_val_test_split has three sizes")
}

/// What is split: samples, or groups of them.
struct Units {
    /// The samples of each unit.
    members: Vec<Vec<u32>>,
    stratum: Vec<i64>,
    given: Option<Vec<Given>>,
}

impl Units {
    fn of(samples: &Unsplit, stratify: bool) -> Self {
        let count = samples.strata.len() as u32;
        let members: Vec<Vec<u32>> = match samples.groups {
            None => (0..count).map(|sample| vec![sample]).collect(),
            Some(groups) => {
                let mut members: BTreeMap<u32, Vec<u32>> = BTreeMap::new();
                for (sample, group) in (0..count).zip(groups) {
                    members.entry(*group).or_default().push(sample);
                }
                members.into_values().collect()
            }
        };
        // The first sample speaks for its group.
        let stratum = members.iter().map(|unit| if stratify { samples.strata[unit[0] as usize] } else { 0 });
        let given = samples.given.map(|given| members.iter().map(|unit| given[unit[0] as usize]).collect());
        Units { stratum: stratum.collect(), given, members }
    }

    fn len(&self) -> usize {
        self.members.len()
    }

    fn first(&self, unit: u32) -> usize {
        self.members[unit as usize][0] as usize
    }

    fn strata(&self, pool: &[u32]) -> Vec<i64> {
        pool.iter().map(|&unit| self.stratum[unit as usize]).collect()
    }

    /// The units of these names. Some may be unknown, which is said; all may not.
    fn named(&self, ids: &[String], what: &str, samples: &Unsplit) -> Result<HashSet<u32>> {
        let mut units: HashMap<String, u32> = HashMap::new();
        for (unit, members) in (0u32..).zip(&self.members) {
            let names = members.iter().flat_map(|&sample| (samples.names)(sample as usize));
            units.extend(names.map(|name| (name, unit)));
        }
        let unknown: Vec<&str> = ids.iter().filter(|id| !units.contains_key(*id)).map(String::as_str).collect();
        let found: HashSet<u32> = ids.iter().filter_map(|id| units.get(id).copied()).collect();
        if found.is_empty() {
            let example = if self.len() > 0 { (samples.names)(self.first(0)).pop() } else { None }.unwrap_or_default();
            return Err(Error::request(format!("none of the {} samples that {what} names is in the data", ids.len()))
                .help(format!("samples are named like `{example}`")));
        }
        if !unknown.is_empty() {
            let shown = unknown.iter().take(5).copied().collect::<Vec<_>>().join(", ");
            let more = if unknown.len() > 5 { ", …" } else { "" };
            tracing::warn!("{what}: {} of {} are not in the data: {shown}{more}", unknown.len(), ids.len());
        }
        Ok(found)
    }

    /// Units as samples.
    fn samples(&self, parts: Parts) -> Parts {
        let samples = |units: Vec<u32>| {
            let mut samples: Vec<u32> = units.iter().flat_map(|&unit| &self.members[unit as usize]).copied().collect();
            samples.sort_unstable();
            samples
        };
        Parts { train: samples(parts.train), val: samples(parts.val), test: samples(parts.test) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn apply(rule: &SplitRule, strata: Vec<i64>, given: Option<&[Given]>, groups: Option<&[u32]>) -> Result<Parts> {
        let (names, class) = (Box::new(|i: usize| vec![format!("s{i}")]), Box::new(|i: usize| format!("c{i}")));
        rule.apply(&Unsplit { strata, given, groups, names, class, val_share: 0.1 })
    }

    fn lengths(parts: &Parts) -> [usize; 3] {
        [parts.train.len(), parts.val.len(), parts.test.len()]
    }

    #[test]
    fn folds_cover_everything_once_and_share_a_test_part() {
        let strata: Vec<i64> = (0..100).map(|i| i64::from(i % 4 == 0)).collect();
        let mut seen = Vec::new();
        let mut test = None;
        for fold in 0..5 {
            let parts =
                apply(&SplitRule { folds: Some((5, fold)), ..SplitRule::sizes(None, 42) }, strata.clone(), None, None)
                    .unwrap();
            assert_eq!(lengths(&parts), [72, 18, 10]);
            let rare = parts.val.iter().filter(|&&i| strata[i as usize] == 1).count();
            assert!((4..=5).contains(&rare), "{rare}");
            assert_eq!(*test.get_or_insert(parts.test.clone()), parts.test);
            seen.extend(parts.val);
        }
        seen.sort_unstable();
        seen.dedup();
        assert_eq!(seen.len(), 90);
        let given = [[Given::Train; 8].as_slice(), &[Given::Test; 2]].concat();
        let rule = SplitRule { folds: Some((4, 0)), ..SplitRule::sizes(None, 42) };
        assert_eq!(lengths(&apply(&rule, vec![0; 10], Some(&given), None).unwrap()), [6, 2, 2]);
    }

    #[test]
    fn groups_stay_together() {
        let groups: Vec<u32> = (0..60).map(|i| i / 3).collect();
        let parts = apply(&SplitRule::sizes(None, 1), vec![0; 60], None, Some(&groups)).unwrap();
        assert_eq!(lengths(&parts), [48, 6, 6]);
        for part in [&parts.train, &parts.val, &parts.test] {
            part.chunks(3).for_each(|three| assert_eq!(groups[three[0] as usize], groups[three[2] as usize]));
        }
    }

    #[test]
    fn chosen_ids() {
        let ids = |ids: &[&str]| Some(ids.iter().map(|id| (*id).to_owned()).collect());
        let rule = SplitRule { val: ids(&["s3", "s4", "unknown"]), ..SplitRule::sizes(None, 42) };
        let parts = apply(&rule, vec![0; 10], None, None).unwrap();
        assert_eq!((parts.val, parts.train.len(), parts.test.len()), (vec![3, 4], 8, 0));
        let rule = SplitRule { test: ids(&["s9"]), ..SplitRule::sizes(None, 42) };
        let parts = apply(&rule, vec![0; 11], None, None).unwrap();
        assert_eq!((lengths(&parts), parts.test), ([9, 1, 1], vec![9]));
        let rule = SplitRule { val: ids(&["nowhere"]), ..SplitRule::sizes(None, 42) };
        let error = apply(&rule, vec![0; 10], None, None).unwrap_err().to_string();
        assert!(error.contains("none of the 1 samples that val_ids names") && error.contains("like `s0`"), "{error}");
    }

    /// moths: 18 images of which a quarter is for each of validation and test make 9, 4, 5.
    #[test]
    fn held_out_as_scikit_learn_rounds() {
        let rule = SplitRule { sizes: Sizes::Held(0.25), ..SplitRule::sizes(None, 42) };
        let strata: Vec<i64> = (0..18).map(|i| i % 4).collect();
        assert_eq!(lengths(&apply(&rule, strata, None, None).unwrap()), [9, 4, 5]);
        let rule = SplitRule { sizes: Sizes::Held(0.1), ..SplitRule::sizes(None, 42) };
        assert_eq!(lengths(&apply(&rule, vec![0; 100], None, None).unwrap()), [80, 10, 10]);
        let error = apply(&rule, vec![0, 0, 1, 0], None, None).unwrap_err().to_string();
        assert!(error.contains("the class `c2` has one sample"), "{error}");
    }

    /// varKoder: validation samples of a group by its size.
    #[test]
    fn a_rounded_share_of_each_class() {
        let rule = SplitRule { sizes: Sizes::OfEach(0.2), ..SplitRule::sizes(None, 42) };
        for (size, val) in [(1, 0), (2, 0), (3, 1), (4, 1), (7, 1), (8, 2), (12, 2)] {
            assert_eq!(apply(&rule, vec![7; size], None, None).unwrap().val.len(), val, "{size}");
        }
    }

    #[test]
    fn an_empty_training_part_is_refused() {
        let sizes = Some(vec![IntOrFloat::Float(0.01), IntOrFloat::Float(0.9), IntOrFloat::Float(0.0)]);
        let error = apply(&SplitRule::sizes(sizes, 1), vec![0; 5], None, None).unwrap_err().to_string();
        assert!(error.starts_with("the training part is empty"), "{error}");
        assert!(apply(&SplitRule::sizes(None, 1), vec![0; 3], Some(&[Given::Test; 3]), None).is_ok());
    }
}
