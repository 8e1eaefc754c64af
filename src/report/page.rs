//! The frame of every page: styles, script and parts are inside it, so that one file is everything.

use minijinja::value::Serde;
use minijinja::{AutoEscape, Environment, Value, context};
use serde::Serialize;

use crate::error::{Error, Result};

const STYLE: &str = include_str!("assets/style.css");
const SCRIPT: &str = include_str!("assets/charts.js");

/// A part of a page that the contents lead to.
#[derive(Clone, Debug, Serialize)]
pub struct Section {
    /// The id of its heading.
    pub id: &'static str,
    /// Its name.
    pub name: &'static str,
}

/// A page to render.
pub struct Page<'a> {
    /// The title of the window.
    pub title: &'a str,
    /// A template that extends `page.html`: blocks `header` and `content`; `parts.html` has macros for tiles, facts,
    /// tables and charts.
    pub template: &'a str,
    /// The contents.
    pub sections: Vec<Section>,
}

impl Page<'_> {
    /// The page with what the template asks for.
    ///
    /// # Errors
    /// A fault of the template.
    pub fn render(&self, values: impl Serialize) -> Result<String> {
        let failed = |error: minijinja::Error| Error::failed(format!("cannot make the page: {error:#}"));
        let mut environment = Environment::new();
        environment.set_auto_escape_callback(|_| AutoEscape::Html);
        for (name, template) in
            [("page.html", include_str!("assets/page.html")), ("parts.html", include_str!("assets/parts.html"))]
        {
            environment.add_template(name, template).map_err(failed)?;
        }
        environment.add_template("this.html", self.template).map_err(failed)?;
        let frame = context! {
            title => self.title,
            sections => Value::from(Serde(&self.sections)),
            style => Value::from_safe_string(STYLE.to_owned()),
            script => Value::from_safe_string(SCRIPT.to_owned()),
            version => env!("CARGO_PKG_VERSION"),
            made => chrono::Local::now().format("%Y-%m-%d at %H:%M").to_string(),
        };
        let values = context! { ..Value::from(Serde(values)), ..frame };
        environment.get_template("this.html").and_then(|template| template.render(values)).map_err(failed)
    }
}

/// A name with a value, for the macro `facts`.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Fact {
    /// What it is.
    pub name: String,
    /// The value.
    pub value: String,
    /// Where it leads.
    pub href: Option<String>,
    /// In the typewriter's letters.
    pub mono: bool,
}

impl Fact {
    /// A plain fact.
    pub fn new(name: &str, value: impl Into<String>) -> Self {
        Fact { name: name.to_owned(), value: value.into(), ..Fact::default() }
    }
}

/// A number that stands out, for the macro `tiles`.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Tile {
    /// What it is.
    pub name: String,
    /// The number.
    pub value: String,
    /// A remark.
    pub note: Option<String>,
    /// Whether it is what the run is judged by.
    pub best: bool,
}

/// A table, for the macro `table`.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Table {
    /// The names of the columns.
    pub head: Vec<String>,
    /// Rows of as many cells.
    pub rows: Vec<Vec<String>>,
    /// Which columns hold numbers.
    pub numbers: Vec<bool>,
}

impl Table {
    /// A table whose columns of numbers are found by looking.
    pub fn new(head: Vec<String>, rows: Vec<Vec<String>>) -> Self {
        let is_number = |column: usize| {
            let mut cells = rows.iter().filter_map(|row| row.get(column)).filter(|cell| !cell.is_empty()).peekable();
            cells.peek().is_some() && cells.all(|cell| cell.parse::<f64>().is_ok())
        };
        let numbers = (0..head.len()).map(is_number).collect();
        Table { head, rows, numbers }
    }
}

/// A span of time as people say it.
pub fn duration(seconds: f64) -> String {
    let whole = seconds.round() as u64;
    match whole {
        0 if seconds < 0.095 => format!("{:.0} ms", seconds * 1000.0),
        0..60 => format!("{seconds:.1} s"),
        60..3600 => format!("{} min {:02} s", whole / 60, whole % 60),
        3600..86400 => format!("{} h {:02} min", whole / 3600, whole % 3600 / 60),
        _ => format!("{} d {:02} h", whole / 86400, whole % 86400 / 3600),
    }
}

/// A size in bytes as people say it.
pub fn size(bytes: u64) -> String {
    let units = ["B", "kB", "MB", "GB", "TB"];
    let power = (bytes.max(1).ilog10() / 3).min(4);
    let value = bytes as f64 / 1000f64.powi(power as i32);
    if power == 0 { format!("{bytes} B") } else { format!("{value:.1} {}", units[power as usize]) }
}

/// A metric's value in few digits.
pub fn number(value: f64) -> String {
    let digits = value.abs();
    if !value.is_finite() {
        value.to_string()
    } else if value == 0.0 || (1e-3..1e6).contains(&digits) {
        let text = format!("{value:.4}");
        if value.fract() == 0.0 { format!("{value}") } else { text }
    } else {
        format!("{value:.3e}")
    }
}
