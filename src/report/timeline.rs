//! `timeline.jsonl`: how long every epoch took, and its learning rates.

use std::path::Path;

use serde::{Deserialize, Serialize};

use super::chart::{Axes, Chart, Line};
use super::history::Point;
use super::page::{Fact, duration};

/// The file in a run folder.
pub const TIMELINE: &str = "timeline.jsonl";

/// An epoch, a line of the file.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Epoch {
    /// The epoch, from 0.
    pub epoch: u64,
    /// Optimizer steps taken at its end.
    pub step: u64,
    /// Seconds of training; of an epoch that was resumed in its middle those after the resume.
    pub train_s: f64,
    /// Seconds of validation in it.
    pub val_s: f64,
    /// Samples trained on in it.
    pub samples: u64,
    /// The optimizer's name.
    pub optimizer: String,
    /// Steps at which learning rates changed, with the rate of every parameter group.
    pub rates: Vec<(u64, Vec<f64>)>,
}

/// The epochs of a run in order; of an epoch that was done again after a resume the last time.
pub fn read(run: &Path) -> Vec<Epoch> {
    let text = std::fs::read_to_string(run.join(TIMELINE)).unwrap_or_default();
    let mut epochs: Vec<Epoch> = Vec::new();
    for epoch in text.lines().filter_map(|line| serde_json::from_str::<Epoch>(line).ok()) {
        epochs.retain(|earlier| earlier.epoch < epoch.epoch);
        epochs.push(epoch);
    }
    epochs
}

/// The learning rate of every parameter group, named as LearningRateMonitor names them.
pub fn rates(epochs: &[Epoch]) -> Vec<(String, Vec<Point>)> {
    let groups = epochs.iter().flat_map(|epoch| &epoch.rates).map(|(_, rates)| rates.len()).max().unwrap_or(0);
    let name = epochs.iter().map(|epoch| epoch.optimizer.as_str()).rfind(|name| !name.is_empty()).unwrap_or_default();
    let of_group = |group: usize| {
        let ending = if groups > 1 { format!("/pg{}", group + 1) } else { String::new() };
        let mut points = Vec::new();
        for epoch in epochs {
            let own = epoch.rates.iter().filter_map(|(step, rates)| Some((*step, *rates.get(group)?)));
            points.extend(own.map(|(step, value)| Point { step, epoch: epoch.epoch, value }));
            // What stays the same within an epoch is noted once: the line goes on to the epoch's end.
            if let Some(last) = points.last().copied().filter(|last: &Point| last.step + 1 < epoch.step) {
                points.push(Point { step: epoch.step - 1, ..last });
            }
        }
        (format!("lr-{name}{ending}"), points)
    };
    (0..groups).map(of_group).collect()
}

/// Seconds by epoch, when there are enough epochs to compare.
pub fn chart(epochs: &[Epoch]) -> Option<Chart> {
    if epochs.len() < 2 {
        return None;
    }
    let line = |name: &str, color: usize, value: fn(&Epoch) -> f64| Line {
        name: name.to_owned(),
        color,
        x: epochs.iter().map(|epoch| epoch.epoch as f64).collect(),
        y: epochs.iter().map(|epoch| Some(super::curve::short(value(epoch)))).collect(),
        ..Line::default()
    };
    let mut lines = vec![line("training", 0, |epoch| epoch.train_s)];
    if epochs.iter().any(|epoch| epoch.val_s > 0.0) {
        lines.push(line("validation", 1, |epoch| epoch.val_s));
    }
    let axes = Axes { x_label: "epoch".into(), from_zero: true, height: Some(200), ..Axes::default() };
    Some(Chart::new("epoch-seconds", "seconds by epoch", &axes, &lines))
}

/// What an epoch and a second hold.
pub fn facts(epochs: &[Epoch]) -> Vec<Fact> {
    let sum = |of: fn(&Epoch) -> f64| epochs.iter().map(of).sum::<f64>();
    let (train, val, samples) = (sum(|e| e.train_s), sum(|e| e.val_s), sum(|e| e.samples as f64));
    let steps = epochs.last().map_or(0, |epoch| epoch.step);
    if epochs.is_empty() || train <= 0.0 {
        return Vec::new();
    }
    let count = epochs.len() as f64;
    let rate =
        |per_second: f64| if per_second >= 10.0 { format!("{per_second:.0}") } else { format!("{per_second:.2}") };
    let mut facts = vec![Fact::new("An epoch", format!("{} of training", duration(train / count)))];
    if val > 0.0 {
        facts[0].value += &format!(", {} of validation", duration(val / count));
    }
    facts.push(Fact::new("Throughput", format!("{} samples a second while training", rate(samples / train))));
    // A run that was resumed has steps of earlier processes, whose time is known too unless they were killed.
    if epochs.first().is_some_and(|epoch| epoch.epoch == 0) {
        facts.push(Fact::new("Steps", format!("{} a second", rate(steps as f64 / train))));
    }
    facts
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_epoch_that_was_done_again_counts_once_and_rates_reach_its_end() {
        let dir = tempfile::tempdir().unwrap();
        let line = |epoch: u64, train_s: f64, lr: f64| Epoch {
            epoch,
            step: (epoch + 1) * 10,
            train_s,
            val_s: 1.0,
            samples: 100,
            optimizer: "SGD".into(),
            rates: vec![(epoch * 10, vec![lr, lr / 2.0])],
        };
        let lines = [line(0, 4.0, 0.1), line(1, 9.0, 0.9), line(1, 6.0, 0.05)];
        let text: Vec<String> = lines.iter().map(|line| serde_json::to_string(line).unwrap()).collect();
        std::fs::write(dir.path().join(TIMELINE), text.join("\n") + "\n{\"half").unwrap();
        let epochs = read(dir.path());
        assert_eq!(epochs.iter().map(|epoch| epoch.train_s).collect::<Vec<_>>(), [4.0, 6.0]);
        let rates = rates(&epochs);
        assert_eq!(rates[1].0, "lr-SGD/pg2");
        let points: Vec<(u64, f64)> = rates[0].1.iter().map(|point| (point.step, point.value)).collect();
        assert_eq!(points, [(0, 0.1), (9, 0.1), (10, 0.05), (19, 0.05)]);
        let values: Vec<String> = facts(&epochs).into_iter().map(|fact| fact.value).collect();
        assert_eq!(
            values,
            ["5.0 s of training, 1.0 s of validation", "20 samples a second while training", "2.00 a second"]
        );
        assert!(chart(&epochs).unwrap().json.contains("\"y\":[4.0,6.0]"));
    }
}
