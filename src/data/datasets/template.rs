//! File names made from a table's columns: `rgb/{id[-2:]}/{id[-4:-2]}/{id}.jpeg`, slices as in Python.

use crate::error::{Error, Result};

/// A file name with columns in it.
#[derive(Clone, Debug, PartialEq)]
pub struct Template(Vec<Piece>);

#[derive(Clone, Debug, PartialEq)]
enum Piece {
    Text(String),
    Column { name: String, from: Option<i64>, to: Option<i64> },
}

impl Template {
    /// Reads a template. `{{` and `}}` stand for braces.
    ///
    /// # Errors
    /// When a brace is not closed, or what stands in it is no column with a slice.
    pub fn parse(text: &str) -> Result<Self> {
        let wrong = |what: &str| {
            Error::request(format!("`{text}`: {what}"))
                .help("columns stand in braces, and parts of them as in Python: {id}, {id[-2:]}, {id[0:4]}")
        };
        let mut pieces = Vec::new();
        let mut plain = String::new();
        let mut rest = text;
        while let Some(at) = rest.find(['{', '}']) {
            let (before, brace) = rest.split_at(at);
            plain.push_str(before);
            let doubled = brace.starts_with("{{") || brace.starts_with("}}");
            if doubled {
                plain.push_str(&brace[..1]);
                rest = &brace[2..];
                continue;
            }
            let Some(inner) = brace.strip_prefix('{') else { return Err(wrong("a `}` closes nothing")) };
            let Some((inner, after)) = inner.split_once('}') else { return Err(wrong("a `{` is not closed")) };
            if !plain.is_empty() {
                pieces.push(Piece::Text(std::mem::take(&mut plain)));
            }
            pieces.push(column(inner).ok_or_else(|| wrong(&format!("`{{{inner}}}` is no column")))?);
            rest = after;
        }
        plain.push_str(rest);
        if !plain.is_empty() {
            pieces.push(Piece::Text(plain));
        }
        Ok(Template(pieces))
    }

    /// The names of the columns in it.
    pub fn columns(&self) -> impl Iterator<Item = &str> {
        self.0
            .iter()
            .filter_map(|piece| if let Piece::Column { name, .. } = piece { Some(name.as_str()) } else { None })
    }

    /// The text for a row; `value` gives a column's.
    pub fn fill<'a>(&self, value: impl Fn(&str) -> &'a str) -> String {
        let mut out = String::new();
        for piece in &self.0 {
            match piece {
                Piece::Text(text) => out.push_str(text),
                Piece::Column { name, from, to } => {
                    let value = value(name);
                    let length = value.chars().count() as i64;
                    let place = |at: i64| if at < 0 { (length + at).max(0) } else { at.min(length) };
                    let (from, to) = (place(from.unwrap_or(0)), place(to.unwrap_or(length)));
                    out.extend(value.chars().skip(from as usize).take((to - from).max(0) as usize));
                }
            }
        }
        out
    }
}

/// `name`, `name[from:to]` or `name[at]`.
fn column(text: &str) -> Option<Piece> {
    let Some((name, slice)) = text.split_once('[') else {
        return (!text.is_empty()).then(|| Piece::Column { name: text.into(), from: None, to: None });
    };
    let slice = slice.strip_suffix(']')?;
    let number = |text: &str| if text.trim().is_empty() { Some(None) } else { text.trim().parse().ok().map(Some) };
    let (from, to) = match slice.split_once(':') {
        Some((from, to)) => (number(from)?, number(to)?),
        None => {
            let at: i64 = slice.trim().parse().ok()?;
            (Some(at), if at == -1 { None } else { Some(at + 1) })
        }
    };
    (!name.is_empty()).then(|| Piece::Column { name: name.into(), from, to })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slices_are_pythons() {
        let fill = |text: &str| Template::parse(text).unwrap().fill(|name| if name == "id" { "5982155" } else { "ü" });
        assert_eq!(fill("rgb/{id[-2:]}/{id[-4:-2]}/{id}.jpeg"), "rgb/55/21/5982155.jpeg");
        assert_eq!(fill("{id[0]}{id[-1]}{id[:2]}{id[9:]}{name[0]}"), "5559ü");
        assert_eq!(fill("{{x}}"), "{x}");
        assert_eq!(Template::parse("{a}/{b[1:]}").unwrap().columns().collect::<Vec<_>>(), ["a", "b"]);
        for wrong in ["{id", "id}", "{}", "{id[x]}", "{[1]}", "{id[1}"] {
            assert!(Template::parse(wrong).is_err(), "{wrong}");
        }
    }
}
