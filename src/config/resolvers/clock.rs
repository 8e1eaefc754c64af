//! The time that `${now:…}` tells: one instant for the whole process, so that every mention agrees.

use std::fmt::Write;
use std::sync::OnceLock;

use chrono::format::{Item, StrftimeItems};
use chrono::{DateTime, Local};

static NOW: OnceLock<DateTime<Local>> = OnceLock::new();

/// The instant of this process's first question.
pub fn now() -> DateTime<Local> {
    *NOW.get_or_init(Local::now)
}

/// The instant in Python's `strftime` codes.
///
/// # Errors
/// Names the code that does not exist.
pub fn format(pattern: &str) -> Result<String, String> {
    // Python's %f is microseconds with leading zeros; chrono spells that %6f.
    let pattern = microseconds(pattern);
    let items: Vec<Item> = StrftimeItems::new(&pattern).collect();
    if items.contains(&Item::Error) {
        return Err(format!("`{pattern}` has a code that strftime does not know; %Y-%m-%d and %H-%M-%S are usual"));
    }
    let mut text = String::new();
    match write!(text, "{}", now().format_with_items(items.iter())) {
        Ok(()) => Ok(text),
        Err(_) => Err(format!("`{pattern}` cannot be shown")),
    }
}

fn microseconds(pattern: &str) -> String {
    let mut out = String::with_capacity(pattern.len());
    let mut chars = pattern.chars();
    while let Some(c) = chars.next() {
        out.push(c);
        if c == '%' {
            match chars.next() {
                Some('f') => out.push_str("6f"),
                Some(code) => out.push(code),
                None => out.push('%'),
            }
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes() {
        assert_eq!(format("%Y").map(|year| year.len()), Ok(4));
        assert_eq!(format("%f").map(|micro| micro.len()), Ok(6));
        assert_eq!(format("50%%"), Ok("50%".to_owned()));
        assert_eq!(format("50%"), Ok("50%".to_owned()));
        assert!(format("%!").is_err());
        assert_eq!(format("%Y-%m-%d_%H-%M-%S"), format("%Y-%m-%d_%H-%M-%S"));
    }
}
