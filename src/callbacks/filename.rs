//! Checkpoint file names from templates: `{epoch:03}-{val/loss:.4f}`, with Python's number formats.

use crate::error::{Error, Result};
use crate::train::MetricStore;

/// Whole numbers that a template may name beside the metrics.
pub(super) struct Counts {
    pub epoch: u64,
    pub step: u64,
}

/// Fills in a template. With `insert_names` a field is written `name=value`, as Lightning's
/// `auto_insert_metric_name` does. A metric that is not there counts as 0.
pub(super) fn fill(template: &str, counts: &Counts, metrics: &MetricStore, insert_names: bool) -> Result<String> {
    let mut out = String::new();
    let mut rest = template;
    while let Some((before, after)) = rest.split_once('{') {
        out.push_str(before);
        let Some((field, after)) = after.split_once('}') else {
            return Err(Error::request(format!("the file name template `{template}` has a `{{` without its `}}`")));
        };
        let (name, format) = field.split_once(':').unwrap_or((field, ""));
        if insert_names {
            out.push_str(name);
            out.push('=');
        }
        let value = match name {
            "epoch" => Number::Whole(counts.epoch),
            "step" => Number::Whole(counts.step),
            _ => Number::Real(metrics.get(name).copied().unwrap_or(0.0)),
        };
        out.push_str(&value.format(format).ok_or_else(|| {
            Error::request(format!("`{format}` in the file name template `{template}` is not a number format"))
                .help("write it as in {epoch:03} or {val/loss:.4f}")
        })?);
        rest = after;
    }
    out.push_str(rest);
    Ok(out)
}

enum Number {
    Whole(u64),
    Real(f64),
}

impl Number {
    /// Python's format mini-language for numbers: `[0][width][.precision][d|f|e|g]`.
    fn format(&self, spec: &str) -> Option<String> {
        let (spec, kind) = match spec.chars().last() {
            Some(kind) if kind.is_ascii_alphabetic() => (&spec[..spec.len() - 1], Some(kind)),
            _ => (spec, None),
        };
        let (width, precision) = match spec.split_once('.') {
            Some((width, precision)) => (width, Some(precision.parse::<usize>().ok()?)),
            None => (spec, None),
        };
        let zeros = width.starts_with('0');
        let width: usize = if width.is_empty() { 0 } else { width.parse().ok()? };
        if width > 64 || precision.is_some_and(|p| p > 32) {
            return None;
        }
        let digits = match (self, kind) {
            (Number::Whole(n), None | Some('d')) if precision.is_none() => n.to_string(),
            (Number::Whole(n), _) => Number::Real(*n as f64).digits(kind, precision)?,
            (Number::Real(_), Some('d')) => return None,
            (real, _) => real.digits(kind, precision)?,
        };
        let missing = width.saturating_sub(digits.chars().count());
        let filler = if zeros { "0" } else { " " };
        Some(match digits.strip_prefix('-') {
            Some(positive) if zeros => format!("-{}{positive}", filler.repeat(missing)),
            _ => format!("{}{digits}", filler.repeat(missing)),
        })
    }

    fn digits(&self, kind: Option<char>, precision: Option<usize>) -> Option<String> {
        let Number::Real(value) = *self else { return None };
        match (kind, precision) {
            (Some('f'), _) => Some(format!("{value:.*}", precision.unwrap_or(6))),
            (Some('e'), _) => {
                let text = format!("{value:.*e}", precision.unwrap_or(6));
                let (mantissa, exponent) = text.split_once('e')?;
                let exponent: i32 = exponent.parse().ok()?;
                Some(format!("{mantissa}e{}{:02}", if exponent < 0 { '-' } else { '+' }, exponent.abs()))
            }
            (None | Some('g'), None) => Some(crate::config::text::py_float(value)),
            // `.3` and `.3g`: significant digits.
            (None | Some('g'), Some(precision)) => {
                let magnitude = if value == 0.0 { 0 } else { value.abs().log10().floor() as i64 };
                let decimals = (precision.max(1) as i64 - 1 - magnitude).max(0) as usize;
                let text = format!("{value:.decimals$}");
                let trimmed = if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.') } else { &text };
                Some(trimmed.to_owned())
            }
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn templates_are_filled_as_lightning_fills_them() {
        let metrics = MetricStore::from([("val/loss".into(), 0.123456), ("epoch-val-loss".into(), 1.5)]);
        let counts = Counts { epoch: 3, step: 1200 };
        for (template, insert, expected) in [
            ("{epoch}-{step}", true, "epoch=3-step=1200"),
            ("epoch_{epoch:03d}", false, "epoch_003"),
            ("{epoch:03}-{epoch-val-loss:.4f}", true, "epoch=003-epoch-val-loss=1.5000"),
            ("{val/loss:.2f}", false, "0.12"),
            ("{val/loss:08.3f}", false, "0000.123"),
            ("{val/loss:.3e}", false, "1.235e-01"),
            ("{val/loss:.2}", false, "0.12"),
            ("{absent:.1f}", false, "0.0"),
            ("plain", true, "plain"),
        ] {
            assert_eq!(fill(template, &counts, &metrics, insert).unwrap(), expected, "{template}");
        }
        for template in ["{epoch", "{epoch:x}", "{val/loss:3d}"] {
            assert!(fill(template, &counts, &metrics, false).is_err(), "{template}");
        }
    }
}
