//! A run's history as pictures: a plot for each metric.

use std::path::{Path, PathBuf};

use super::scene::{Anchor, BLACK, Color, GRAY, Scene, shortened};
use crate::error::{Error, Result};
use crate::report::{History, Line, plots};

/// Where the pictures go, below a run's folder.
const FOLDER: &str = "curves";
/// The colors of lines, told apart by people with any color vision (Okabe and Ito, 2008).
const LINES: [Color; 6] = [[0, 114, 178], [230, 159, 0], [0, 158, 115], [204, 121, 167], [86, 180, 233], [213, 94, 0]];
const PALE: Color = [234, 236, 239];
const MIDDLE_GRAY: Color = [120, 124, 130];

/// The plane in the picture: its upper left corner and its size.
const AT: [f64; 2] = [86.0, 54.0];
const SIZE: [f64; 2] = [560.0, 320.0];
/// Room for the legend.
const LEGEND: f64 = 190.0;

/// Draws `curves/<metric>.svg` and `.png` of the run in `folder`; gives the folder of the pictures, `None` when the run
/// has logged nothing that has a curve.
///
/// # Errors
/// When a picture cannot be written.
pub fn draw(folder: &Path) -> Result<Option<PathBuf>> {
    let plots = plots(&History::read(folder));
    let below = folder.join(FOLDER);
    let mut any = None;
    for (title, lines) in plots {
        let Some(scene) = plot(&title, &lines) else { continue };
        if any.is_none() {
            std::fs::create_dir_all(&below).map_err(|error| Error::io("make", &below, error))?;
            any = Some(below.clone());
        }
        let plain = |letter: char| if letter.is_alphanumeric() || "-_.".contains(letter) { letter } else { '_' };
        scene.write(&below.join(title.chars().map(plain).collect::<String>()))?;
    }
    Ok(any)
}

/// The plot of some lines over the steps; `None` without a finite value.
fn plot(title: &str, lines: &[Line]) -> Option<Scene> {
    let points: Vec<Vec<[f64; 2]>> = lines.iter().map(finite).collect();
    let of = |axis: usize| points.iter().flatten().map(move |point| point[axis]);
    let (x, y) = (Axis::over(of(0))?, Axis::over(of(1))?);
    let mut scene = Scene::new(AT[0] + SIZE[0] + LEGEND, AT[1] + SIZE[1] + 60.0);
    scene.title([AT[0], 26.0], &shortened(title, SIZE[0] + LEGEND - 20.0), Anchor::Start);
    let place = |[a, b]: [f64; 2]| [AT[0] + SIZE[0] * x.share(a), AT[1] + SIZE[1] * (1.0 - y.share(b))];
    for tick in x.ticks() {
        let [at, _] = place([tick, y.from]);
        scene.line(&[[at, AT[1]], [at, AT[1] + SIZE[1]]], 1.0, PALE);
        scene.text([at, AT[1] + SIZE[1] + 16.0], &x.label(tick), Anchor::Middle, BLACK);
    }
    for tick in y.ticks() {
        let [_, at] = place([x.from, tick]);
        scene.line(&[[AT[0], at], [AT[0] + SIZE[0], at]], 1.0, PALE);
        scene.text([AT[0] - 8.0, at], &y.label(tick), Anchor::End, BLACK);
    }
    let ([left, top], [wide, high]) = (AT, SIZE);
    let corners = [[left, top], [left + wide, top], [left + wide, top + high], [left, top + high], [left, top]];
    scene.line(&corners, 1.0, GRAY);
    scene.text([left + wide / 2.0, top + high + 42.0], "step", Anchor::Middle, MIDDLE_GRAY);
    for (number, (line, points)) in lines.iter().zip(&points).enumerate() {
        let color = LINES[number % LINES.len()];
        let points: Vec<[f64; 2]> = points.iter().map(|point| place(*point)).collect();
        // A value alone is no line; nor are a test's.
        if line.dots || points.len() == 1 {
            for [a, b] in &points {
                scene.rectangle([a - 3.0, b - 3.0], [6.0, 6.0], color);
            }
        } else {
            scene.line(&points, 2.0, color);
        }
        let at = [left + wide + 16.0, top + 12.0 + 22.0 * number as f64];
        scene.line(&[at, [at[0] + 18.0, at[1]]], 3.0, color);
        scene.text([at[0] + 26.0, at[1]], &shortened(&line.name, LEGEND - 46.0), Anchor::Start, BLACK);
    }
    Some(scene)
}

/// A line's points that have a value, the first of each step: what is validated once more after the fit is no part of
/// its course.
fn finite(line: &Line) -> Vec<[f64; 2]> {
    let mut points: Vec<[f64; 2]> = line.x.iter().zip(&line.y).filter_map(|(x, y)| Some([*x, (*y)?])).collect();
    points.dedup_by_key(|point| point[0].to_bits());
    points
}

/// A range of values with round ticks.
#[derive(Debug, PartialEq)]
struct Axis {
    from: f64,
    to: f64,
    step: f64,
}

impl Axis {
    /// The range of values, to the next ticks; `None` without values.
    fn over(values: impl Iterator<Item = f64>) -> Option<Self> {
        let (low, high) = values.fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), v| (low.min(v), high.max(v)));
        if !(high - low).is_finite() {
            return None;
        }
        // Equal values lie in the middle.
        let room = if high > low { 0.0 } else { low.abs().max(1.0) * 0.5 };
        let (low, high) = (low - room, high + room);
        let rough = (high - low) / 5.0;
        let power = 10f64.powf(rough.log10().floor());
        let step = [1.0, 2.0, 5.0, 10.0].map(|times| times * power).into_iter().find(|step| *step >= rough * 0.999)?;
        Some(Axis { from: (low / step).floor() * step, to: (high / step).ceil() * step, step })
    }

    fn share(&self, value: f64) -> f64 {
        (value - self.from) / (self.to - self.from)
    }

    fn ticks(&self) -> impl Iterator<Item = f64> + use<> {
        let (from, step) = (self.from, self.step);
        (0..=((self.to - from) / step).round() as usize).map(move |tick| from + step * tick as f64)
    }

    /// A tick with as many digits as tell it from the next; powers of ten where it would be long.
    fn label(&self, tick: f64) -> String {
        let tick = if tick.abs() < self.step * 1e-6 { 0.0 } else { tick };
        if tick != 0.0 && !(1e-3..1e6).contains(&self.step) {
            return format!("{tick:.1e}");
        }
        let digits = (-self.step.log10().floor()).max(0.0) as usize;
        format!("{tick:.digits$}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ticks_are_round() {
        let axis = Axis::over([0.13, 0.87].into_iter()).unwrap();
        assert_eq!(
            axis.ticks().map(|tick| axis.label(tick)).collect::<Vec<_>>(),
            ["0.0", "0.2", "0.4", "0.6", "0.8", "1.0"]
        );
        let axis = Axis::over([3.0, 3.0].into_iter()).unwrap();
        assert!(axis.from < 3.0 && axis.to > 3.0 && axis.share(3.0) > 0.2 && axis.share(3.0) < 0.8, "{axis:?}");
        let axis = Axis::over([1e-8, 4e-8].into_iter()).unwrap();
        assert_eq!(axis.label(2e-8), "2.0e-8");
        assert_eq!(Axis::over([0.0, 5000.0].into_iter()).unwrap().ticks().last(), Some(5000.0));
        assert_eq!(Axis::over(std::iter::empty()), None);
    }

    #[test]
    fn lines_and_lonely_values_are_drawn() {
        let line = |name: &str, y: Vec<Option<f64>>| Line {
            name: name.into(),
            x: (0..y.len()).map(|x| x as f64).collect(),
            y,
            ..Line::default()
        };
        let lines = [line("train", vec![Some(2.0), None, Some(1.0)]), line("val", vec![Some(1.5)])];
        let svg = plot("loss", &lines).unwrap().svg();
        assert!(svg.contains(">loss<") && svg.contains(">train<") && svg.contains("#e69f00"), "{svg}");
        assert!(plot("loss", &[line("train", vec![None])]).is_none());
        let again = Line { x: vec![1.0, 2.0, 2.0], ..line("val", vec![Some(2.0), Some(1.0), Some(3.0)]) };
        assert_eq!(finite(&again), [[1.0, 2.0], [2.0, 1.0]]);
    }
}
