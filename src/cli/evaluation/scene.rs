//! Pictures as a list of shapes, written as SVG and drawn as PNG from the same list.

use std::fmt::Write;
use std::path::Path;

use image::{Rgb, RgbImage};
use noto_sans_mono_bitmap::{FontWeight, RasterHeight, get_raster, get_raster_width};

use crate::error::{Error, Result};
use crate::run;

/// Red, green, blue.
pub type Color = [u8; 3];

/// Ink.
pub const BLACK: Color = [32, 33, 36];
/// Lines that should not shout.
pub const GRAY: Color = [200, 203, 208];
/// Paper.
pub const WHITE: Color = [255, 255, 255];

/// Which point of a text is given.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Anchor {
    /// Its left end.
    Start,
    /// Its middle.
    Middle,
    /// Its right end.
    End,
}

/// A shape; lengths in pixels, from the upper left corner.
enum Shape {
    Rectangle { at: [f64; 2], size: [f64; 2], fill: Color },
    Line { points: Vec<[f64; 2]>, width: f64, color: Color },
    Text { at: [f64; 2], text: String, anchor: Anchor, upward: bool, bold: bool, color: Color },
}

/// A picture.
pub struct Scene {
    width: f64,
    height: f64,
    shapes: Vec<Shape>,
}

/// The height of the letters' boxes.
const LETTER: f64 = 16.0;

/// How wide a text is.
pub fn text_width(text: &str) -> f64 {
    text.chars().count() as f64 * get_raster_width(FontWeight::Regular, RasterHeight::Size16) as f64
}

/// A text that is not wider than `room`; what is cut off is shown by an ellipsis.
pub fn shortened(text: &str, room: f64) -> String {
    if text_width(text) <= room {
        return text.to_owned();
    }
    let letters = (room / text_width("m")) as usize;
    text.chars().take(letters.saturating_sub(1)).chain(['~']).collect()
}

impl Scene {
    /// An empty sheet.
    pub fn new(width: f64, height: f64) -> Self {
        Scene { width: width.ceil(), height: height.ceil(), shapes: Vec::new() }
    }

    /// Adds a filled rectangle.
    pub fn rectangle(&mut self, at: [f64; 2], size: [f64; 2], fill: Color) {
        self.shapes.push(Shape::Rectangle { at, size, fill });
    }

    /// Adds a line through points.
    pub fn line(&mut self, points: &[[f64; 2]], width: f64, color: Color) {
        self.shapes.push(Shape::Line { points: points.to_vec(), width, color });
    }

    /// Adds a text whose middle line is at `at`.
    pub fn text(&mut self, at: [f64; 2], text: &str, anchor: Anchor, color: Color) {
        let text = text.to_owned();
        self.shapes.push(Shape::Text { at, text, anchor, upward: false, bold: false, color });
    }

    /// Adds a bold text.
    pub fn title(&mut self, at: [f64; 2], text: &str, anchor: Anchor) {
        let text = text.to_owned();
        self.shapes.push(Shape::Text { at, text, anchor, upward: false, bold: true, color: BLACK });
    }

    /// Adds a text that runs upward.
    pub fn upward(&mut self, at: [f64; 2], text: &str, anchor: Anchor, color: Color) {
        let text = text.to_owned();
        self.shapes.push(Shape::Text { at, text, anchor, upward: true, bold: false, color });
    }

    /// The picture as SVG.
    pub fn svg(&self) -> String {
        let (width, height) = (self.width, self.height);
        let mut out = format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{width}\" height=\"{height}\" \
             viewBox=\"0 0 {width} {height}\" font-family=\"'Noto Sans Mono','DejaVu Sans Mono',monospace\" \
             font-size=\"12\">\n<rect width=\"100%\" height=\"100%\" fill=\"#ffffff\"/>\n"
        );
        let hex = |[r, g, b]: Color| format!("#{r:02x}{g:02x}{b:02x}");
        // Writing into a text cannot fail.
        for shape in &self.shapes {
            let _ = match shape {
                Shape::Rectangle { at: [x, y], size: [w, h], fill } => {
                    writeln!(out, "<rect x=\"{x}\" y=\"{y}\" width=\"{w}\" height=\"{h}\" fill=\"{}\"/>", hex(*fill))
                }
                Shape::Line { points, width, color } => {
                    let points = points.iter().map(|[x, y]| format!("{x:.2},{y:.2}")).collect::<Vec<_>>().join(" ");
                    let stroke = hex(*color);
                    writeln!(
                        out,
                        "<polyline points=\"{points}\" fill=\"none\" stroke=\"{stroke}\" stroke-width=\"{width}\"/>"
                    )
                }
                Shape::Text { at: [x, y], text, anchor, upward, bold, color } => {
                    let anchor = match anchor {
                        Anchor::Start => "start",
                        Anchor::Middle => "middle",
                        Anchor::End => "end",
                    };
                    let turn = if *upward { format!(" transform=\"rotate(-90 {x} {y})\"") } else { String::new() };
                    let weight = if *bold { " font-weight=\"bold\"" } else { "" };
                    writeln!(
                        out,
                        "<text x=\"{x}\" y=\"{y}\" dy=\"0.35em\" text-anchor=\"{anchor}\" fill=\"{}\"{weight}{turn}>{}\
                         </text>",
                        hex(*color),
                        escaped(text)
                    )
                }
            };
        }
        out.push_str("</svg>\n");
        out
    }

    /// The picture as pixels.
    pub fn pixels(&self) -> RgbImage {
        let mut image = RgbImage::from_pixel(self.width as u32, self.height as u32, Rgb(WHITE));
        for shape in &self.shapes {
            match shape {
                Shape::Rectangle { at: [x, y], size: [w, h], fill } => {
                    for py in y.round() as i64..(y + h).round() as i64 {
                        for px in x.round() as i64..(x + w).round() as i64 {
                            blend(&mut image, px, py, *fill, 1.0);
                        }
                    }
                }
                Shape::Line { points, width, color } => {
                    points.windows(2).for_each(|ends| segment(&mut image, ends[0], ends[1], *width, *color));
                }
                Shape::Text { at, text, anchor, upward, bold, color } => {
                    write_text(&mut image, *at, text, *anchor, [*upward, *bold], *color);
                }
            }
        }
        image
    }

    /// Writes `<stem>.svg` and `<stem>.png`.
    ///
    /// # Errors
    /// When a file cannot be written.
    pub fn write(&self, stem: &Path) -> Result<()> {
        let with = |ending: &str| {
            let mut name = stem.as_os_str().to_owned();
            name.push(ending);
            std::path::PathBuf::from(name)
        };
        run::write_atomic(&with(".svg"), self.svg().as_bytes())?;
        let mut png = std::io::Cursor::new(Vec::new());
        let path = with(".png");
        self.pixels()
            .write_to(&mut png, image::ImageFormat::Png)
            .map_err(|error| Error::failed(format!("{}: {error}", path.display())))?;
        run::write_atomic(&path, &png.into_inner())
    }
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

fn blend(image: &mut RgbImage, x: i64, y: i64, color: Color, share: f64) {
    let (Ok(x), Ok(y)) = (u32::try_from(x), u32::try_from(y)) else { return };
    if x >= image.width() || y >= image.height() {
        return;
    }
    let Rgb(pixel) = image.get_pixel_mut(x, y);
    for (old, new) in pixel.iter_mut().zip(color) {
        *old = (f64::from(*old) * (1.0 - share) + f64::from(new) * share).round() as u8;
    }
}

/// A straight line with soft edges: a pixel's share falls with its distance from the line.
fn segment(image: &mut RgbImage, [x1, y1]: [f64; 2], [x2, y2]: [f64; 2], width: f64, color: Color) {
    let (dx, dy) = (x2 - x1, y2 - y1);
    let length = (dx * dx + dy * dy).max(1e-9);
    let reach = width / 2.0 + 1.0;
    let range = |a: f64, b: f64| (a.min(b) - reach).floor() as i64..=(a.max(b) + reach).ceil() as i64;
    for py in range(y1, y2) {
        for px in range(x1, x2) {
            let (x, y) = (px as f64 + 0.5, py as f64 + 0.5);
            let along = (((x - x1) * dx + (y - y1) * dy) / length).clamp(0.0, 1.0);
            let distance = ((x - x1 - along * dx).powi(2) + (y - y1 - along * dy).powi(2)).sqrt();
            let share = (width / 2.0 + 0.5 - distance).clamp(0.0, 1.0);
            if share > 0.0 {
                blend(image, px, py, color, share);
            }
        }
    }
}

/// Draws a text whose middle line is at `at`, upward or not, bold or not.
pub fn write_text(
    image: &mut RgbImage,
    [x, y]: [f64; 2],
    text: &str,
    anchor: Anchor,
    [upward, bold]: [bool; 2],
    color: Color,
) {
    let weight = if bold { FontWeight::Bold } else { FontWeight::Regular };
    let width = text_width(text);
    let before = match anchor {
        Anchor::Start => 0.0,
        Anchor::Middle => width / 2.0,
        Anchor::End => width,
    };
    let mut along = -before;
    for letter in text.chars() {
        let raster =
            get_raster(letter, weight, RasterHeight::Size16).or_else(|| get_raster('?', weight, RasterHeight::Size16));
        let Some(raster) = raster else { continue };
        for (row, values) in raster.raster().iter().enumerate() {
            for (column, value) in values.iter().enumerate() {
                let (a, b) = (along + column as f64, row as f64 - LETTER / 2.0);
                let (px, py) = if upward { (x + b, y - a) } else { (x + a, y + b) };
                blend(image, px.round() as i64, py.round() as i64, color, f64::from(*value) / 255.0);
            }
        }
        along += raster.width() as f64;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_shapes_become_svg_and_pixels() {
        let mut scene = Scene::new(40.0, 30.0);
        scene.rectangle([10.0, 5.0], [20.0, 10.0], [255, 0, 0]);
        scene.text([20.0, 22.0], "a<b", Anchor::Middle, BLACK);
        scene.line(&[[0.0, 29.0], [40.0, 29.0]], 1.0, GRAY);
        let svg = scene.svg();
        assert!(svg.contains("a&lt;b") && svg.contains("#ff0000"), "{svg}");
        let pixels = scene.pixels();
        assert_eq!(pixels.get_pixel(12, 7).0, [255, 0, 0]);
        assert_eq!(pixels.get_pixel(2, 2).0, WHITE);
        let dark = pixels.pixels().filter(|pixel| pixel.0[0] < 120).count();
        assert!(dark > 20, "the text is there: {dark}");
        assert_eq!(shortened("abcdef", text_width("abc")), "ab~");
    }
}
