//! Which point of a learning-rate curve to take.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A rule that suggests a learning rate.
///
/// `lightning` is that of Lightning's finder; the others are fastai's (`fastai.callback.schedule`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Rule {
    /// Where the loss falls steepest over the rate, without the first 10 points and the last.
    #[default]
    Lightning,
    /// Two thirds of the way down the longest valley.
    Valley,
    /// The right end of the last interval in which the slope still changes.
    Slide,
    /// A tenth of the rate with the smallest loss.
    Minimum,
    /// Where the loss falls steepest over the logarithm of the rate.
    Steep,
}

impl Rule {
    /// All of them.
    pub const ALL: [Rule; 5] = [Rule::Lightning, Rule::Valley, Rule::Slide, Rule::Minimum, Rule::Steep];

    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            Rule::Lightning => "lightning",
            Rule::Valley => "valley",
            Rule::Slide => "slide",
            Rule::Minimum => "minimum",
            Rule::Steep => "steep",
        }
    }

    /// The rate that it suggests for smoothed `losses` at rising rates `lrs`, found with `planned` trials in mind;
    /// `None` when there are too few points.
    pub fn suggest(self, lrs: &[f64], losses: &[f64], planned: usize) -> Option<f64> {
        if self == Rule::Lightning {
            let points = kept(lrs, losses, 10, 1);
            let finite: Vec<(f64, f64)> = points.filter(|(_, loss)| loss.is_finite()).collect();
            return steepest(&finite);
        }
        // fastai drops the first tenth of the planned points and the last five, and what follows a NaN.
        let points: Vec<(f64, f64)> =
            kept(lrs, losses, planned / 10, 5).take_while(|(_, loss)| !loss.is_nan()).collect();
        let (lrs, losses): (Vec<f64>, Vec<f64>) = points.into_iter().unzip();
        if lrs.len() < 2 {
            return None;
        }
        Some(match self {
            Rule::Valley => lrs[valley(&losses)],
            Rule::Slide => slide(&lrs, &losses)?,
            Rule::Minimum => lrs[smallest(losses.iter().copied())?] / 10.0,
            Rule::Steep | Rule::Lightning => {
                let slopes = (1..lrs.len()).map(|i| (losses[i] - losses[i - 1]) / (lrs[i].ln() - lrs[i - 1].ln()));
                lrs[smallest(slopes)?]
            }
        })
    }
}

/// The points without the first `begin` and the last `end`.
fn kept<'a>(lrs: &'a [f64], losses: &'a [f64], begin: usize, end: usize) -> impl Iterator<Item = (f64, f64)> + use<'a> {
    let count = lrs.len().min(losses.len());
    let wanted = count.saturating_sub(begin + end);
    lrs.iter().copied().zip(losses.iter().copied()).skip(begin).take(wanted)
}

/// The first index of the smallest value.
fn smallest(values: impl Iterator<Item = f64>) -> Option<usize> {
    values.enumerate().min_by(|(_, a), (_, b)| a.total_cmp(b)).map(|(i, _)| i)
}

/// The rate at which the loss falls steepest: central differences on an uneven grid, one-sided at its ends, as
/// `torch.gradient` computes them.
fn steepest(points: &[(f64, f64)]) -> Option<f64> {
    let last = points.len().checked_sub(1).filter(|last| *last >= 1)?;
    let slope = |i: usize, j: usize| (points[j].1 - points[i].1) / (points[j].0 - points[i].0);
    let gradient = |i: usize| match i {
        0 => slope(0, 1),
        i if i == last => slope(last - 1, last),
        i => {
            let (before, after) = (points[i].0 - points[i - 1].0, points[i + 1].0 - points[i].0);
            (slope(i - 1, i) * after + slope(i, i + 1) * before) / (before + after)
        }
    };
    Some(points[smallest((0..=last).map(gradient))?].0)
}

/// The index two thirds down the longest falling subsequence: a third of its length past its start, and half a third.
fn valley(losses: &[f64]) -> usize {
    let mut longest = vec![1usize; losses.len()];
    let (mut start, mut end) = (0isize, 0usize);
    for i in 1..losses.len() {
        for j in 0..i {
            if losses[i] < losses[j] && longest[i] < longest[j] + 1 {
                longest[i] = longest[j] + 1;
            }
            if longest[end] < longest[i] {
                end = i;
                start = end as isize - longest[end] as isize;
            }
        }
    }
    let sections = (end as isize - start) as f64 / 3.0;
    let index = start + sections as isize + (sections / 2.0) as isize;
    index.clamp(0, losses.len() as isize - 1) as usize
}

/// Slides an interval of 15 points down from the end until the slopes at its ends are nearly equal.
fn slide(lrs: &[f64], losses: &[f64]) -> Option<f64> {
    const INTERVAL: usize = 15;
    const THRESHOLD: f64 = 0.005;
    let count = losses.len();
    if count <= INTERVAL {
        return None;
    }
    let slope = |i: usize| match i {
        0 => losses[1] - losses[0],
        i if i + 1 == count => losses[i] - losses[i - 1],
        i => (losses[i + 1] - losses[i - 1]) / 2.0,
    };
    let mut chosen = lrs[count - 1 - INTERVAL];
    for left in (0..count - INTERVAL).rev() {
        if (slope(left + INTERVAL) - slope(left)).abs() <= THRESHOLD {
            break;
        }
        chosen = lrs[left];
    }
    Some(chosen)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A curve with a plateau, a fall and an explosion, and what fastai 2.8's and Lightning 2.6's formulas give for it
    /// (computed with their Python).
    fn curve() -> (Vec<f64>, Vec<f64>) {
        let lrs: Vec<f64> = (0..100).map(|i| 1e-8f64 * 1e8f64.powf((i as f64) / 100.0)).collect();
        let losses = (0..100)
            .map(|i| {
                let x = f64::from(i);
                2.3 - 1.8 / (1.0 + (-(x - 60.0) / 5.0).exp()) + ((x - 88.0) / 3.0).exp() + 0.01 * (x * 1.7).sin()
            })
            .collect();
        (lrs, losses)
    }

    #[test]
    fn every_rule_finds_its_point() {
        let (lrs, losses) = curve();
        for (rule, index) in EXPECTED {
            let found = rule.suggest(&lrs, &losses, 100).unwrap();
            let wanted = lrs[index] / if rule == Rule::Minimum { 10.0 } else { 1.0 };
            assert!((found / wanted - 1.0).abs() < 1e-9, "{rule:?}: {found:e}, not {wanted:e}");
        }
    }

    const EXPECTED: [(Rule, usize); 5] =
        [(Rule::Lightning, 13), (Rule::Valley, 52), (Rule::Slide, 54), (Rule::Minimum, 77), (Rule::Steep, 60)];

    #[test]
    fn too_few_points_give_nothing() {
        let (lrs, losses) = curve();
        assert_eq!(Rule::Lightning.suggest(&lrs[..12], &losses[..12], 12), None);
        assert_eq!(Rule::Valley.suggest(&lrs[..6], &losses[..6], 100), None);
        assert_eq!(Rule::Slide.suggest(&lrs[..25], &losses[..25], 100), None);
    }
}
