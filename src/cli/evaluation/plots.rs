//! The pictures of an evaluation: confusion matrices, threshold curves, calibration.

use super::confusion::Matrix;
use super::scene::{Anchor, BLACK, Color, GRAY, Scene, WHITE, shortened, text_width};
use super::scores::{AtThreshold, Bin};

/// Dark blue, the color of much.
const MUCH: Color = [8, 48, 107];
/// The colors of lines, told apart by people with any color vision (Okabe and Ito, 2008).
const LINES: [Color; 4] = [[0, 114, 178], [230, 159, 0], [0, 158, 115], [204, 121, 167]];
const MIDDLE_GRAY: Color = [120, 124, 130];

fn between(a: Color, b: Color, share: f64) -> Color {
    std::array::from_fn(|i| (f64::from(a[i]) + (f64::from(b[i]) - f64::from(a[i])) * share).round() as u8)
}

/// A value's color: white to dark blue, the small ones spread out a little.
fn shade(share: f64) -> Color {
    if share <= 0.0 { WHITE } else { between([236, 244, 251], MUCH, share.min(1.0).powf(0.7)) }
}

/// A confusion matrix: true classes downward, predicted ones to the right.
pub fn confusion(matrix: &Matrix, title: &str, normalized: bool) -> Scene {
    let classes = matrix.columns.len().max(matrix.rows.len()).max(1);
    let cell = (900.0 / classes as f64).clamp(2.0, 56.0).floor();
    // Labels need a line each; where cells are smaller there is no room for them.
    let labelled = cell >= 14.0;
    let longest = matrix.rows.iter().chain(&matrix.columns).map(|name| text_width(name)).fold(0.0, f64::max);
    let room = if labelled { longest.min(220.0) + 10.0 } else { 8.0 };
    let (left, top) = (34.0 + room, 66.0);
    let (wide, high) = (cell * matrix.columns.len() as f64, cell * matrix.rows.len() as f64);
    let scale = 70.0;
    let width = (left + wide + 24.0 + scale).max(left + text_width(title) + 20.0).max(360.0);
    let mut scene = Scene::new(width, top + high.max(120.0) + room + 44.0);
    scene.title([left, 24.0], title, Anchor::Start);
    let samples: f64 = matrix.values.iter().flatten().sum();
    let subtitle = if normalized { "shares of each true class".to_owned() } else { format!("{samples:.0} samples") };
    scene.text([left, 46.0], &subtitle, Anchor::Start, MIDDLE_GRAY);
    let greatest = matrix.values.iter().flatten().copied().fold(0.0, f64::max).max(1e-12);
    let greatest = if normalized { 1.0 } else { greatest };
    for (row, values) in matrix.values.iter().enumerate() {
        for (column, value) in values.iter().enumerate() {
            let at = [left + cell * column as f64, top + cell * row as f64];
            let gap = if cell >= 8.0 { 1.0 } else { 0.0 };
            scene.rectangle(at, [cell - gap, cell - gap], shade(value / greatest));
            let text = if normalized { format!("{value:.2}") } else { format!("{value:.0}") };
            let text = text.strip_prefix('0').filter(|rest| rest.starts_with('.')).unwrap_or(&text).to_owned();
            if *value > 0.0 && text_width(&text) + 2.0 <= cell {
                let ink = if value / greatest > 0.45 { WHITE } else { BLACK };
                scene.text([at[0] + (cell - gap) / 2.0, at[1] + (cell - gap) / 2.0], &text, Anchor::Middle, ink);
            }
        }
    }
    frame(&mut scene, [left, top], [wide, high]);
    if labelled {
        for (row, name) in matrix.rows.iter().enumerate() {
            let y = top + cell * (row as f64 + 0.5);
            scene.text([left - 6.0, y], &shortened(name, 220.0), Anchor::End, BLACK);
        }
        for (column, name) in matrix.columns.iter().enumerate() {
            let x = left + cell * (column as f64 + 0.5);
            scene.upward([x, top + high + 6.0], &shortened(name, 220.0), Anchor::End, BLACK);
        }
    }
    scene.upward([16.0, top + high / 2.0], "true", Anchor::Middle, MIDDLE_GRAY);
    scene.text([left + wide / 2.0, top + high + room + 24.0], "predicted", Anchor::Middle, MIDDLE_GRAY);
    // The scale of colors.
    let (x, tall) = (left + wide + 20.0, high.clamp(96.0, 240.0));
    for step in 0..48 {
        let share = 1.0 - step as f64 / 47.0;
        scene.rectangle([x, top + tall * step as f64 / 48.0], [14.0, tall / 48.0 + 0.5], shade(share));
    }
    frame(&mut scene, [x, top], [14.0, tall]);
    for share in [0.0, 0.5, 1.0] {
        let text = if normalized { format!("{share}") } else { format!("{:.0}", greatest * share) };
        scene.text([x + 20.0, top + tall * (1.0 - share)], &text, Anchor::Start, BLACK);
    }
    scene
}

fn frame(scene: &mut Scene, [x, y]: [f64; 2], [w, h]: [f64; 2]) {
    scene.line(&[[x, y], [x + w, y], [x + w, y + h], [x, y + h], [x, y]], 1.0, GRAY);
}

/// The plane of a chart whose axes go from 0 to 1.
struct Plane {
    scene: Scene,
}

const SIDE: f64 = 380.0;
const ORIGIN: [f64; 2] = [70.0, 470.0];

impl Plane {
    fn new(title: &str, across: &str, up: &str) -> Self {
        let mut scene = Scene::new(660.0, 540.0);
        scene.title([ORIGIN[0], 30.0], title, Anchor::Start);
        for tick in 0..=5 {
            let share = f64::from(tick) / 5.0;
            let ([x, _], [_, y]) = (Self::at(share, 0.0), Self::at(0.0, share));
            scene.line(&[[x, ORIGIN[1]], [x, ORIGIN[1] - SIDE]], 1.0, [234, 236, 239]);
            scene.line(&[[ORIGIN[0], y], [ORIGIN[0] + SIDE, y]], 1.0, [234, 236, 239]);
            scene.text([x, ORIGIN[1] + 16.0], &format!("{share:.1}"), Anchor::Middle, BLACK);
            scene.text([ORIGIN[0] - 8.0, y], &format!("{share:.1}"), Anchor::End, BLACK);
        }
        frame(&mut scene, [ORIGIN[0], ORIGIN[1] - SIDE], [SIDE, SIDE]);
        scene.text([ORIGIN[0] + SIDE / 2.0, ORIGIN[1] + 44.0], across, Anchor::Middle, MIDDLE_GRAY);
        scene.upward([18.0, ORIGIN[1] - SIDE / 2.0], up, Anchor::Middle, MIDDLE_GRAY);
        Plane { scene }
    }

    fn at(x: f64, y: f64) -> [f64; 2] {
        [ORIGIN[0] + SIDE * x, ORIGIN[1] - SIDE * y]
    }

    fn legend(&mut self, entry: usize, text: &str, color: Color) {
        let (x, y) = (ORIGIN[0] + SIDE + 18.0, ORIGIN[1] - SIDE + 12.0 + 22.0 * entry as f64);
        self.scene.line(&[[x, y], [x + 18.0, y]], 3.0, color);
        self.scene.text([x + 26.0, y], text, Anchor::Start, BLACK);
    }

    fn curve(&mut self, entry: usize, name: &str, points: &[[f64; 2]]) {
        let color = LINES[entry % LINES.len()];
        let points: Vec<[f64; 2]> = points.iter().map(|[x, y]| Self::at(*x, *y)).collect();
        self.scene.line(&points, 2.0, color);
        self.legend(entry, name, color);
    }
}

/// Precision, recall, F1 and coverage by threshold.
pub fn thresholds(sweep: &[AtThreshold], title: &str) -> Scene {
    let mut plane = Plane::new(title, "threshold", "score");
    for (index, name) in ["precision", "recall", "F1"].into_iter().enumerate() {
        let points: Vec<[f64; 2]> = sweep.iter().map(|at| [at.threshold, at.scores[index]]).collect();
        plane.curve(index, name, &points);
    }
    let covered: Vec<[f64; 2]> = sweep.iter().map(|at| [at.threshold, at.coverage]).collect();
    plane.curve(3, "samples covered", &covered);
    plane.scene
}

/// How often predictions of a probability are right.
pub fn calibration(bins: &[Bin], error: f64, title: &str) -> Scene {
    let mut plane = Plane::new(title, "probability", "share that is right");
    let most = bins.iter().map(|bin| bin.count).max().unwrap_or(1).max(1) as f64;
    for bin in bins.iter().filter(|bin| bin.count > 0) {
        let [x, y] = Plane::at(bin.from, bin.accuracy);
        let fill = between([214, 230, 244], LINES[0], bin.count as f64 / most);
        plane.scene.rectangle([x + 2.0, y], [SIDE / 10.0 - 4.0, ORIGIN[1] - y], fill);
        let label = [x + SIDE / 20.0, (y - 10.0).max(ORIGIN[1] - SIDE + 10.0)];
        plane.scene.text(label, &bin.count.to_string(), Anchor::Middle, MIDDLE_GRAY);
    }
    plane.scene.line(&[Plane::at(0.0, 0.0), Plane::at(1.0, 1.0)], 1.5, MIDDLE_GRAY);
    plane.legend(0, "predictions", LINES[0]);
    plane.legend(1, "perfect", MIDDLE_GRAY);
    let at = [ORIGIN[0] + SIDE + 18.0, ORIGIN[1] - SIDE + 64.0];
    plane.scene.text(at, &format!("error {error:.4}"), Anchor::Start, BLACK);
    plane.scene
}
