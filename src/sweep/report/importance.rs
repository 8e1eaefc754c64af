//! How much of a metric's variance each parameter explains by itself.
//!
//! Jobs are grouped by a parameter's value, numbers with many values by quintile. The share is the variance between
//! groups over the whole, less what chance would explain (Hays' omega squared), and at least 0: the main effects of
//! fANOVA (Hutter, Hoos and Leyton-Brown, 2014) without its forest. Interactions are in nobody's share.

use indexmap::IndexMap;

use super::Setting;

/// More different numbers than this are grouped by quintile.
const FEW: usize = 6;

/// The shares by parameter, the largest first; empty when there is too little to say anything.
pub fn importance(jobs: &[(&IndexMap<String, Setting>, f64)], parameters: &[String]) -> Vec<(String, f64)> {
    if jobs.len() < 4 {
        return Vec::new();
    }
    let shares = parameters.iter().filter_map(|name| Some((name.clone(), share(jobs, name)?)));
    let mut shares: Vec<(String, f64)> = shares.collect();
    shares.sort_by(|a, b| b.1.total_cmp(&a.1));
    shares
}

fn share(jobs: &[(&IndexMap<String, Setting>, f64)], name: &str) -> Option<f64> {
    let groups = group(jobs, name);
    let (k, n) = (groups.len() as f64, jobs.len() as f64);
    if groups.len() < 2 || n <= k {
        return None;
    }
    let mean = |values: &[f64]| values.iter().sum::<f64>() / values.len() as f64;
    let all: Vec<f64> = groups.values().flatten().copied().collect();
    let grand = mean(&all);
    let total: f64 = all.iter().map(|value| (value - grand).powi(2)).sum();
    let between: f64 = groups.values().map(|values| values.len() as f64 * (mean(values) - grand).powi(2)).sum();
    let within = (total - between) / (n - k);
    (total > 0.0).then(|| ((between - (k - 1.0) * within) / (total + within)).clamp(0.0, 1.0))
}

fn group(jobs: &[(&IndexMap<String, Setting>, f64)], name: &str) -> IndexMap<String, Vec<f64>> {
    let mut numbers: Vec<f64> = jobs
        .iter()
        .filter_map(|(settings, _)| match settings.get(name) {
            Some(Setting::Number(value)) => Some(*value),
            _ => None,
        })
        .collect();
    numbers.sort_by(f64::total_cmp);
    let all = numbers.clone();
    numbers.dedup();
    let many = numbers.len() > FEW;
    let mut groups: IndexMap<String, Vec<f64>> = IndexMap::new();
    for (settings, value) in jobs {
        let key = match settings.get(name) {
            None => "absent".to_owned(),
            Some(Setting::Text(text)) => text.clone(),
            Some(Setting::Number(number)) if many => {
                let below = all.partition_point(|other| other < number);
                format!("quintile {}", below * 5 / all.len())
            }
            Some(Setting::Number(number)) => number.to_string(),
        };
        groups.entry(key).or_default().push(*value);
    }
    groups
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_decides_gets_the_share_and_what_does_not_gets_none() {
        let jobs: Vec<(IndexMap<String, Setting>, f64)> = (0..40)
            .map(|i| {
                let (a, b) = (f64::from(i % 10), f64::from(i / 10));
                let settings = [("a".to_owned(), Setting::Number(a)), ("b".to_owned(), Setting::Number(b))];
                (settings.into_iter().collect(), a + 0.01 * b)
            })
            .collect();
        let jobs: Vec<_> = jobs.iter().map(|(settings, value)| (settings, *value)).collect();
        let shares = importance(&jobs, &["b".to_owned(), "a".to_owned()]);
        assert_eq!(shares[0].0, "a");
        assert!(shares[0].1 > 0.9 && shares[1].1 < 0.01, "{shares:?}");
        assert!(importance(&jobs[..3], &["a".to_owned()]).is_empty());
    }
}
