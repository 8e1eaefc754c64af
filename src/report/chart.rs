//! Plots: what they show is JSON in the page, which the page's script (`assets/charts.js`) draws.

use indexmap::IndexMap;
use serde::Serialize;

use super::curve::Curve;
use super::history::{History, Point};

/// A plot.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Chart {
    /// Unique in its page: letters, digits and `-`.
    pub id: String,
    /// Above it.
    pub title: String,
    /// Over the whole width.
    pub wide: bool,
    /// Below it.
    pub note: Option<String>,
    /// What the script reads, see [`Chart::new`].
    pub json: String,
}

/// A line, or a cloud of dots, of a plot.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Line {
    /// In the legend.
    pub name: String,
    /// Which of the page's eight colours.
    pub color: usize,
    /// Dots without a line between them.
    #[serde(skip_serializing_if = "is_false")]
    pub dots: bool,
    /// A broken line.
    #[serde(skip_serializing_if = "is_false")]
    pub dashed: bool,
    /// Positions.
    pub x: Vec<f64>,
    /// Epochs at these positions, when they are steps.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub epochs: Vec<f64>,
    /// Values, `None` where there is none.
    pub y: Vec<Option<f64>>,
    /// The range behind each value.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub low: Vec<Option<f64>>,
    /// Its upper end.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub high: Vec<Option<f64>>,
    /// What to show for each point instead of the line's name.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub labels: Vec<String>,
}

fn is_false(value: &bool) -> bool {
    !value
}

impl Line {
    /// A line through a logged series.
    pub fn of(name: &str, color: usize, points: &[Point]) -> Self {
        let Curve { x, epochs, y, low, high, .. } = Curve::of(points);
        Line { name: name.to_owned(), color, x, epochs, y, low, high, ..Line::default() }
    }
}

/// What a plot's axes are.
#[derive(Clone, Debug, Default)]
pub struct Axes {
    /// Below the horizontal axis; `step` lets the reader change to epochs.
    pub x_label: String,
    /// Whether positions between whole numbers have ticks.
    pub fractions: bool,
    /// Neither logarithms nor smoothing make sense here.
    pub fixed: bool,
    /// Whether the vertical axis begins at 0.
    pub from_zero: bool,
    /// In pixels; 250 when not given.
    pub height: Option<u32>,
    /// A position that is marked, with what is there.
    pub mark: Option<Mark>,
}

/// A position of a plot that is marked.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Mark {
    /// Where, on an axis of steps.
    pub step: u64,
    /// Where, on an axis of epochs.
    pub epoch: u64,
    /// What is there: `best val/loss`.
    pub name: String,
}

impl Chart {
    /// A plot of these lines.
    pub fn new(id: &str, title: &str, axes: &Axes, lines: &[Line]) -> Self {
        let Axes { x_label, fractions, fixed, from_zero, height, mark } = axes;
        let json = serde_json::json!({
            "title": title, "x_label": x_label, "fractions": fractions, "fixed": fixed, "from_zero": from_zero,
            "height": height, "mark": mark,
            "bridge": true, "lines": lines,
        });
        Chart { id: id.to_owned(), title: title.to_owned(), json: inside_script(&json.to_string()), ..Chart::default() }
    }
}

/// JSON that may stand between script tags.
fn inside_script(json: &str) -> String {
    json.replace("</", "<\\/").replace("<!--", "<\\u0021--")
}

/// Which part of a run a metric is of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Part {
    Train,
    Val,
    Test,
    None,
}

/// `val/loss_epoch` is the metric `loss` of validation, averaged over epochs; so are malpolon's `loss/val_epoch` and
/// moths' `epoch-val-loss`.
fn parts_of(name: &str) -> (Part, &str, Option<&str>) {
    let splits = [
        ("train", Part::Train),
        ("val", Part::Val),
        ("valid", Part::Val),
        ("validation", Part::Val),
        ("test", Part::Test),
    ];
    let with_ending = ["_step", "_epoch"].iter().find_map(|ending| Some((name.strip_suffix(ending)?, &ending[1..])));
    let with_ending = with_ending.or_else(|| Some((name.strip_prefix("epoch-")?, "epoch")));
    let (whole, ending) = with_ending.map_or((name, None), |(whole, ending)| (whole, Some(ending)));
    let metric = |split: &str| {
        let behind = || whole.strip_prefix(split)?.strip_prefix(['/', '_', '-']);
        behind().or_else(|| whole.strip_suffix(split)?.strip_suffix('/'))
    };
    let found = splits.iter().find_map(|(split, part)| Some((*part, metric(split)?, ending)));
    found.unwrap_or((Part::None, name, None))
}

/// The plots of a run.
#[derive(Debug, Default)]
pub struct Curves {
    /// Metrics: training, validation and test in one plot each, losses first.
    pub metrics: Vec<Chart>,
    /// Learning rates.
    pub rates: Vec<Chart>,
    /// What is neither: the machine, callbacks.
    pub others: Vec<Chart>,
}

/// Lines with the points that they show, by the plot that they are in.
type Groups<'a> = IndexMap<String, Vec<(Line, &'a Vec<Point>)>>;

/// The lines of a run: of metrics, losses first; of learning rates; of what is neither.
fn grouped(history: &History) -> [Groups<'_>; 3] {
    let (mut groups, mut others) = (Groups::new(), Groups::new());
    let mut rates = Vec::new();
    for (name, points) in &history.series {
        let (part, metric, ending) = parts_of(name);
        if name.starts_with("lr-") || name == "lr" || metric == "lr" {
            rates.push((Line::of(name, rates.len(), points), points));
        } else if part == Part::None {
            // `cpu/percent` and `cpu/memory` belong together.
            let (group, own) = name.rsplit_once('/').unwrap_or((name, name));
            let lines = others.entry(group.to_owned()).or_default();
            lines.push((Line::of(own, lines.len(), points), points));
        } else {
            let (label, color) = match part {
                Part::Train => ("train", 0),
                Part::Val => ("val", 1),
                _ => ("test", 2),
            };
            let label = ending.map_or_else(|| label.to_owned(), |ending| format!("{label} ({ending})"));
            let mut line = Line::of(&label, color, points);
            line.dashed = ending == Some("epoch") && part == Part::Train;
            line.dots = part == Part::Test;
            groups.entry(metric.to_owned()).or_default().push((line, points));
        }
    }
    groups.sort_by(|a, _, b, _| b.contains("loss").cmp(&a.contains("loss")));
    groups.values_mut().for_each(|lines| lines.sort_by_key(|(line, _)| (line.color, line.dashed)));
    let mut rate_groups = Groups::new();
    if !rates.is_empty() {
        rate_groups.insert("learning rate".to_owned(), rates);
    }
    // A metric that only the test gives is a number, not a curve.
    groups.retain(|_, lines| lines.iter().any(|(line, _)| !line.dots));
    [groups, rate_groups, others]
}

/// The plots of a run by title: its metrics, losses first, and its learning rates.
pub fn plots(history: &History) -> Vec<(String, Vec<Line>)> {
    let [metrics, rates, _] = grouped(history);
    let lines = |lines: Vec<(Line, &Vec<Point>)>| lines.into_iter().map(|(line, _)| line).collect();
    metrics.into_iter().chain(rates).map(|(title, group)| (title, lines(group))).collect()
}

/// Sorts a run's series into plots; those of metrics show the mark.
pub fn curves(history: &History, mark: Option<&Mark>) -> Curves {
    let draw = |kind: &str, groups: Groups| {
        let groups = groups.into_iter().enumerate();
        let mark = mark.filter(|_| kind == "metric");
        groups.map(|(i, (title, lines))| drawn(&format!("{kind}-{i}"), &title, lines, mark)).collect::<Vec<_>>()
    };
    let [metrics, rates, others] = grouped(history);
    Curves { metrics: draw("metric", metrics), rates: draw("rate", rates), others: draw("other", others) }
}

fn drawn(id: &str, title: &str, lines: Vec<(Line, &Vec<Point>)>, mark: Option<&Mark>) -> Chart {
    let mut notes = Vec::new();
    for (line, points) in &lines {
        let curve = Curve::of(points);
        if let Some(step) = curve.first_not_finite {
            notes.push(format!("{}: {} values are not finite, the first at step {step}.", line.name, curve.not_finite));
        }
        if !line.low.is_empty() {
            notes.push(format!("{}: mean and range of {} values.", line.name, points.len()));
        }
    }
    let lines: Vec<Line> = lines.into_iter().map(|(line, _)| line).collect();
    let axes = Axes { x_label: "step".into(), mark: mark.cloned(), ..Axes::default() };
    let mut chart = Chart::new(id, title, &axes, &lines);
    chart.note = (!notes.is_empty()).then(|| notes.join(" "));
    chart
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_metric_of_all_splits_is_one_plot() {
        let mut history = History::default();
        for name in [
            "train/acc",
            "train/loss_step",
            "train/loss_epoch",
            "val/loss",
            "val/acc",
            "test/loss",
            "lr-Adam",
            "gpu/use",
        ] {
            history.series.insert(name.into(), vec![Point { step: 0, epoch: 0, value: 1.0 }]);
        }
        let curves = curves(&history, None);
        let titles: Vec<&str> = curves.metrics.iter().map(|chart| chart.title.as_str()).collect();
        assert_eq!(titles, ["loss", "acc"]);
        for name in ["train (step)", "train (epoch)", "val", "test"] {
            assert!(curves.metrics[0].json.contains(&format!("\"name\":\"{name}\"")), "{}", curves.metrics[0].json);
        }
        assert_eq!((curves.rates.len(), curves.others.len()), (1, 1));
    }

    #[test]
    fn other_programs_names_are_the_same_metrics() {
        for (name, expected) in [
            ("val/loss_epoch", (Part::Val, "loss", Some("epoch"))),
            ("loss/val_epoch", (Part::Val, "loss", Some("epoch"))),
            ("multiclass_accuracy/train_step", (Part::Train, "multiclass_accuracy", Some("step"))),
            ("epoch-val-genus-f1", (Part::Val, "genus-f1", Some("epoch"))),
            ("train-species-recall", (Part::Train, "species-recall", None)),
            ("test_acc", (Part::Test, "acc", None)),
            ("trainer/time_step", (Part::None, "trainer/time_step", None)),
            ("interval", (Part::None, "interval", None)),
        ] {
            assert_eq!(parts_of(name), expected, "{name}");
        }
    }

    #[test]
    fn data_cannot_end_the_script() {
        let line = Line { name: "</script><b>".into(), ..Line::default() };
        let chart = Chart::new("a", "b", &Axes::default(), &[line]);
        assert!(!chart.json.contains("</"));
        let value: serde_json::Value = serde_json::from_str(&chart.json).unwrap();
        assert_eq!(value["lines"][0]["name"], "</script><b>");
    }
}
