//! Long series thinned out for a plot: per pixel column the mean, the lowest and the highest value.

use super::history::Point;

/// How many columns a plot can tell apart.
const COLUMNS: usize = 600;

/// A series as it is drawn.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Curve {
    /// Positions.
    pub x: Vec<f64>,
    /// Epochs at these positions.
    pub epochs: Vec<f64>,
    /// Values; means when the series was thinned out. `None` is a gap: no finite value there.
    pub y: Vec<Option<f64>>,
    /// The range of values behind each mean; empty when the series is whole.
    pub low: Vec<Option<f64>>,
    /// Its upper end.
    pub high: Vec<Option<f64>>,
    /// How many values are infinite or not a number.
    pub not_finite: usize,
    /// The step of the first of them.
    pub first_not_finite: Option<u64>,
}

impl Curve {
    /// The curve of a series whose steps do not fall.
    pub fn of(points: &[Point]) -> Self {
        let mut curve = Curve {
            not_finite: points.iter().filter(|point| !point.value.is_finite()).count(),
            first_not_finite: points.iter().find(|point| !point.value.is_finite()).map(|point| point.step),
            ..Curve::default()
        };
        if points.len() <= 2 * COLUMNS {
            curve.x = points.iter().map(|point| point.step as f64).collect();
            curve.epochs = points.iter().map(|point| point.epoch as f64).collect();
            curve.y = points.iter().map(|point| point.value.is_finite().then(|| short(point.value))).collect();
            return curve;
        }
        let (first, last) = (points[0].step, points[points.len() - 1].step);
        let column = |point: &Point| (point.step - first) as usize * COLUMNS / (last - first + 1).max(1) as usize;
        for group in points.chunk_by(|a, b| column(a) == column(b)) {
            curve.add(group);
        }
        curve
    }

    fn add(&mut self, group: &[Point]) {
        let mean = |of: &dyn Fn(&Point) -> f64| group.iter().map(of).sum::<f64>() / group.len() as f64;
        self.x.push(mean(&|point| point.step as f64).round());
        self.epochs.push(mean(&|point| point.epoch as f64).round());
        let values: Vec<f64> = group.iter().map(|point| point.value).filter(|value| value.is_finite()).collect();
        let some = |value: f64| (!values.is_empty()).then(|| short(value));
        self.y.push(some(values.iter().sum::<f64>() / values.len() as f64));
        self.low.push(some(values.iter().copied().fold(f64::INFINITY, f64::min)));
        self.high.push(some(values.iter().copied().fold(f64::NEG_INFINITY, f64::max)));
    }
}

/// Six digits are more than a plot or a pointer can show.
pub fn short(value: f64) -> f64 {
    format!("{value:.5e}").parse().unwrap_or(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn points(count: u64) -> Vec<Point> {
        (0..count).map(|step| Point { step, epoch: step / 100, value: (step % 7) as f64 }).collect()
    }

    #[test]
    fn a_long_series_keeps_its_extremes() {
        let mut points = points(100_000);
        points[55_555].value = -40.0;
        points[77_777].value = f64::NAN;
        let curve = Curve::of(&points);
        assert!(curve.x.len() <= COLUMNS && curve.x.is_sorted());
        assert_eq!(curve.low.iter().flatten().copied().fold(0.0, f64::min), -40.0);
        assert_eq!(curve.high.iter().flatten().copied().fold(0.0, f64::max), 6.0);
        assert_eq!((curve.not_finite, curve.first_not_finite), (1, Some(77_777)));
    }

    #[test]
    fn a_short_series_stays_whole() {
        let mut points = points(50);
        points[7].value = f64::INFINITY;
        let curve = Curve::of(&points);
        assert_eq!(curve.x.len(), 50);
        assert_eq!((curve.y[6], curve.y[7], curve.y[8]), (Some(6.0), None, Some(1.0)));
        assert!(curve.low.is_empty());
    }
}
