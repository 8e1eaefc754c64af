//! Which job of a sweep is the best one.

use super::journal::{Record, State};
use super::pareto::dominates;
use super::trial::Trial;

/// What a sweep is after: a metric, and whether more of it is better.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Aim {
    /// The metric.
    pub metric: String,
    /// Whether more is better.
    pub more: bool,
}

impl Aim {
    /// The aim when a direction (`minimize`, `maximize`) is known or not. Without one the metric's name decides: less
    /// is better of what is called a loss or an error.
    pub fn of(metric: &str, direction: Option<&str>) -> Self {
        const LESS: [&str; 9] = ["loss", "err", "mse", "mae", "perplexity", "wer", "cer", "objective", "distance"];
        let more = match direction {
            Some(direction) => direction.starts_with("max"),
            None => {
                let name = metric.to_lowercase();
                !LESS.iter().any(|word| name.contains(word))
            }
        };
        Aim { metric: metric.to_owned(), more }
    }

    /// The metric's value in a job; `None` when it has none or it is no number.
    pub fn value(&self, record: &Record) -> Option<f64> {
        record.metrics.get(&self.metric)?.as_f64().filter(|value| !value.is_nan())
    }

    /// Whether `a` is better than `b`.
    pub fn better(&self, a: f64, b: f64) -> bool {
        if self.more { a > b } else { a < b }
    }

    /// What to say when the metric's name speaks against the direction: Optuna minimizes unless it is told otherwise.
    pub fn doubt(&self) -> Option<String> {
        const MORE: [&str; 12] = [
            "acc",
            "accuracy",
            "auc",
            "auroc",
            "dice",
            "f1",
            "iou",
            "jaccard",
            "kappa",
            "precision",
            "r2score",
            "recall",
        ];
        const LESS: [&str; 5] = ["loss", "error", "mse", "mae", "rmse"];
        let name = self.metric.to_lowercase();
        let has = |words: &[&str]| name.split(|c: char| !c.is_alphanumeric()).any(|part| words.contains(&part));
        let (does, direction) = match self.more {
            false if has(&MORE) && !has(&LESS) => ("minimizes", "maximize"),
            true if has(&LESS) && !has(&MORE) => ("maximizes", "minimize"),
            _ => return None,
        };
        let metric = &self.metric;
        Some(format!(
            "the search {does} {metric}; hydra.sweeper.direction={direction} (Ax: experiment.minimize) says otherwise"
        ))
    }

    /// The aim in words.
    pub fn words(&self) -> &'static str {
        if self.more { "more is better" } else { "less is better" }
    }
}

/// The best finished job, the first of several equal ones, with its value. Jobs that violate a bound on their results
/// count only when all do.
pub fn best_of<'r>(records: &'r [Record], aim: &Aim) -> Option<(&'r Record, f64)> {
    let valued: Vec<(&Record, f64)> =
        finished(records).into_iter().filter_map(|record| Some((record, aim.value(record)?))).collect();
    valued.into_iter().reduce(|best, next| if aim.better(next.1, best.1) { next } else { best })
}

/// The finished jobs that no other one beats in every aim: the Pareto front, by number.
pub fn front_of<'r>(records: &'r [Record], aims: &[Aim]) -> Vec<&'r Record> {
    let losses = |record: &Record| -> Option<Vec<f64>> {
        aims.iter().map(|aim| aim.value(record).map(|value| if aim.more { -value } else { value })).collect()
    };
    let valued: Vec<(&Record, Vec<f64>)> =
        finished(records).into_iter().filter_map(|record| Some((record, losses(record)?))).collect();
    let beaten = |own: &[f64]| valued.iter().any(|(_, other)| dominates(other, own));
    valued.iter().filter(|(_, own)| !beaten(own)).map(|(record, _)| *record).collect()
}

/// The finished jobs, without those that violate a bound unless all do.
fn finished(records: &[Record]) -> Vec<&Record> {
    let finished = || records.iter().filter(|record| record.state == State::Finished);
    let feasible: Vec<&Record> = finished().filter(|record| is_feasible(record)).collect();
    if feasible.is_empty() { finished().collect() } else { feasible }
}

fn is_feasible(record: &Record) -> bool {
    let trial = record.trial.clone().and_then(|trial| serde_json::from_value::<Trial>(trial).ok());
    trial.is_none_or(|trial| trial.is_feasible())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_name_decides_when_nothing_else_does() {
        for (name, direction, more) in
            [("val/loss", None, false), ("val/acc_best", None, true), ("val/loss", Some("maximize"), true)]
        {
            assert_eq!(Aim::of(name, direction).more, more, "{name}");
        }
    }

    #[test]
    fn a_direction_that_the_name_speaks_against_is_noticed() {
        let doubt = |name, direction| Aim::of(name, Some(direction)).doubt();
        let said = doubt("val/acc_best", "minimize").unwrap();
        assert_eq!(
            said,
            "the search minimizes val/acc_best; hydra.sweeper.direction=maximize (Ax: experiment.minimize) says otherwise"
        );
        assert!(doubt("best:val/loss", "maximize").unwrap().contains("maximizes best:val/loss"));
        for (name, direction) in
            [("val/acc", "maximize"), ("val/loss", "minimize"), ("accident", "minimize"), ("f1/loss", "minimize")]
        {
            assert_eq!(doubt(name, direction), None, "{name}");
        }
    }
}
