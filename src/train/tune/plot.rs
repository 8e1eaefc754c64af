//! The learning-rate curve as a picture.

use super::{LrCurve, Rule};

const WIDTH: f64 = 720.0;
const HEIGHT: f64 = 420.0;
/// Left, right, top, bottom.
const MARGINS: [f64; 4] = [64.0, 20.0, 44.0, 52.0];

/// One direction of the plane: values to pixels.
struct Axis {
    from: f64,
    to: f64,
    start: f64,
    end: f64,
    log: bool,
}

impl Axis {
    fn at(&self, value: f64) -> f64 {
        let scale = |v: f64| if self.log { v.log10() } else { v };
        let share = (scale(value) - scale(self.from)) / (scale(self.to) - scale(self.from)).max(1e-12);
        self.start + share.clamp(0.0, 1.0) * (self.end - self.start)
    }

    /// Round values along the axis.
    fn ticks(&self) -> Vec<f64> {
        if self.log {
            let (low, high) = (self.from.log10().ceil() as i32, self.to.log10().floor() as i32);
            let every = ((high - low) / 8 + 1).max(1) as usize;
            return (low..=high).step_by(every).map(|power| 10f64.powi(power)).collect();
        }
        let rough = (self.to - self.from) / 5.0;
        let power = 10f64.powf(rough.log10().floor());
        let step = [1.0, 2.0, 5.0, 10.0].map(|m| m * power).into_iter().find(|s| *s >= rough).unwrap_or(rough);
        let first = (self.from / step).ceil() as i64;
        (first..).map(|i| i as f64 * step).take_while(|v| *v <= self.to).take(20).collect()
    }
}

/// The curve with the suggestions of `rules`, the first of them filled, as an SVG for light and dark pages.
pub fn plot(curve: &LrCurve, rules: &[(Rule, f64)]) -> String {
    let finite: Vec<(f64, f64)> =
        curve.lrs.iter().copied().zip(curve.losses.iter().copied()).filter(|(_, loss)| loss.is_finite()).collect();
    let lowest = finite.iter().map(|(_, loss)| *loss).fold(f64::INFINITY, f64::min);
    // The explosion at the end would flatten everything else.
    let first = finite.iter().map(|(_, loss)| *loss).take(10.max(finite.len() / 2)).fold(lowest, f64::max);
    let highest = finite.iter().map(|(_, loss)| *loss).fold(lowest, f64::max).min(lowest + 1.6 * (first - lowest));
    let [left, right, top, bottom] = MARGINS;
    let pad = ((highest - lowest) * 0.06).max(1e-9);
    let x = Axis {
        from: curve.lrs.first().copied().unwrap_or(1e-8),
        to: curve.lrs.last().copied().unwrap_or(1.0),
        start: left,
        end: WIDTH - right,
        log: curve.exponential,
    };
    let y = Axis { from: lowest - pad, to: highest + pad, start: HEIGHT - bottom, end: top, log: false };
    let mut out = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {HEIGHT}\" font-family=\"sans-serif\" \
         font-size=\"12\" role=\"img\" aria-label=\"Loss over learning rate\">\n<style>\
         .back{{fill:#fff}}.text{{fill:#333}}.grid{{stroke:#ddd}}.line{{stroke:#1565c0;fill:none;stroke-width:2}}\
         .dot{{fill:#fff;stroke:#d84315;stroke-width:2}}.chosen{{fill:#d84315}}\
         @media(prefers-color-scheme:dark){{.back{{fill:#161a1d}}.text{{fill:#ccc}}.grid{{stroke:#333}}\
         .line{{stroke:#64b5f6}}.dot{{fill:#161a1d;stroke:#ff8a65}}.chosen{{fill:#ff8a65}}}}</style>\n\
         <rect class=\"back\" width=\"{WIDTH}\" height=\"{HEIGHT}\"/>\n"
    );
    for value in x.ticks() {
        let (at, foot) = (x.at(value), HEIGHT - bottom);
        let label = if x.log { format!("{value:e}") } else { format!("{}", (value * 1e6).round() / 1e6) };
        out += &format!("<line class=\"grid\" x1=\"{at:.1}\" x2=\"{at:.1}\" y1=\"{top}\" y2=\"{foot}\"/>");
        out += &format!(
            "<text class=\"text\" x=\"{at:.1}\" y=\"{}\" text-anchor=\"middle\">{label}</text>\n",
            foot + 18.0
        );
    }
    for value in y.ticks() {
        let at = y.at(value);
        let label = format!("{}", (value * 1e6).round() / 1e6);
        out += &format!("<line class=\"grid\" x1=\"{left}\" x2=\"{}\" y1=\"{at:.1}\" y2=\"{at:.1}\"/>", WIDTH - right);
        out += &format!(
            "<text class=\"text\" x=\"{}\" y=\"{:.1}\" text-anchor=\"end\">{label}</text>\n",
            left - 8.0,
            at + 4.0
        );
    }
    let points: Vec<String> = finite.iter().map(|(lr, loss)| format!("{:.1},{:.1}", x.at(*lr), y.at(*loss))).collect();
    out += &format!("<polyline class=\"line\" points=\"{}\"/>\n", points.join(" "));
    let on_curve = |lr: f64| {
        let near = finite.iter().min_by(|a, b| (a.0.ln() - lr.ln()).abs().total_cmp(&(b.0.ln() - lr.ln()).abs()));
        near.map_or(lowest, |(_, loss)| *loss)
    };
    let mut legend = left;
    for (i, (rule, lr)) in rules.iter().enumerate() {
        let class = if i == 0 { "dot chosen" } else { "dot" };
        let (cx, cy) = (x.at(*lr), y.at(on_curve(*lr)));
        out += &format!(
            "<circle class=\"{class}\" cx=\"{cx:.1}\" cy=\"{cy:.1}\" r=\"5\"><title>{} {lr:.3e}</title></circle>",
            rule.name()
        );
        out += &format!(
            "<text class=\"text\" x=\"{cx:.1}\" y=\"{:.1}\" text-anchor=\"middle\">{}</text>",
            cy - 10.0,
            i + 1
        );
        let text = format!("{}: {} {lr:.2e}", i + 1, rule.name());
        out += &format!("<text class=\"text\" x=\"{legend:.0}\" y=\"24\">{text}</text>\n");
        legend += 7.0 * text.len() as f64 + 10.0;
    }
    let middle = (left + WIDTH - right) / 2.0;
    out += &format!(
        "<text class=\"text\" x=\"{middle}\" y=\"{}\" text-anchor=\"middle\">learning rate</text>\n",
        HEIGHT - 12.0
    );
    out += &format!(
        "<text class=\"text\" transform=\"translate(16,{}) rotate(-90)\" text-anchor=\"middle\">smoothed loss</text>\n</svg>\n",
        (top + HEIGHT - bottom) / 2.0
    );
    out
}
