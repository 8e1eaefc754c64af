//! What a plain (unquoted) scalar means: the table of PyYAML (YAML 1.1) with OmegaConf's floats, and without
//! timestamps, which OmegaConf leaves as text.

use crate::config::node::Value;

/// What an unquoted scalar means.
///
/// # Errors
/// Says why a text that looks like a number or a special mark has no value.
pub fn plain(text: &str) -> Result<Value, String> {
    match text {
        "" | "~" | "null" | "Null" | "NULL" => return Ok(Value::Null),
        "=" | "<<" => return Err(format!("`{text}` alone is a special mark of YAML 1.1, not a value")),
        _ => {}
    }
    if let Some(b) = boolean(text) {
        return Ok(Value::Bool(b));
    }
    if !text.starts_with(|c: char| c.is_ascii_digit() || matches!(c, '-' | '+' | '.')) {
        return Ok(Value::Str(text.to_owned()));
    }
    if is_int(text) {
        return int(text).map(Value::Int);
    }
    if is_float(text) {
        return float(text).map(Value::Float);
    }
    Ok(Value::Str(text.to_owned()))
}

/// What a scalar with an explicit tag of YAML's own (`!!int`, by its suffix) means; `None` for a tag that no
/// config value has.
pub fn tagged(suffix: &str, text: &str) -> Option<Result<Value, String>> {
    Some(match suffix {
        "str" => Ok(Value::Str(text.to_owned())),
        "int" => int(text).map(Value::Int),
        "float" => float(text).map(Value::Float),
        "bool" => boolean(&text.to_ascii_lowercase())
            .map(Value::Bool)
            .ok_or_else(|| format!("`{text}` is no boolean, `true` or `false` goes here")),
        "null" => Ok(Value::Null),
        _ => return None,
    })
}

/// Whether PyYAML reads the text as a date or a time. Our reader and OmegaConf do not, so this matters only to
/// what is written for others.
pub fn is_timestamp(text: &str) -> bool {
    let digits = |part: &str, range: std::ops::RangeInclusive<usize>| {
        range.contains(&part.len()) && part.bytes().all(|b| b.is_ascii_digit())
    };
    let Some((year, rest)) = text.split_once('-') else { return false };
    let Some((month, rest)) = rest.split_once('-') else { return false };
    if !digits(year, 4..=4) {
        return false;
    }
    if digits(month, 2..=2) && digits(rest, 2..=2) {
        return true;
    }
    let day_len = rest.bytes().take_while(u8::is_ascii_digit).count();
    let (day, rest) = rest.split_at(day_len);
    if !digits(month, 1..=2) || !digits(day, 1..=2) {
        return false;
    }
    let clock = match rest.strip_prefix(['T', 't']) {
        Some(clock) => clock,
        None if rest.starts_with([' ', '\t']) => rest.trim_start_matches([' ', '\t']),
        None => return false,
    };
    // Anything that starts with a clock time counts: one pair of quotes too many does no harm.
    let mut parts = clock.splitn(3, ':');
    let (Some(hour), Some(minute), Some(second)) = (parts.next(), parts.next(), parts.next()) else { return false };
    digits(hour, 1..=2)
        && digits(minute, 2..=2)
        && second.len() >= 2
        && digits(&second.chars().take(2).collect::<String>(), 2..=2)
}

fn boolean(text: &str) -> Option<bool> {
    match text {
        "yes" | "Yes" | "YES" | "true" | "True" | "TRUE" | "on" | "On" | "ON" => Some(true),
        "no" | "No" | "NO" | "false" | "False" | "FALSE" | "off" | "Off" | "OFF" => Some(false),
        _ => None,
    }
}

fn unsigned(text: &str) -> &str {
    text.strip_prefix(['-', '+']).unwrap_or(text)
}

/// Whether there is at least one character and all satisfy the condition.
fn all(text: &str, condition: impl Fn(u8) -> bool) -> bool {
    !text.is_empty() && text.bytes().all(condition)
}

fn starts_with_digit(text: &str) -> bool {
    text.starts_with(|c: char| c.is_ascii_digit())
}

/// `[0-9][0-9_]*`.
fn is_digits(text: &str) -> bool {
    starts_with_digit(text) && text.bytes().all(|b| b.is_ascii_digit() || b == b'_')
}

/// `[0-9]+(_[0-9]+)*`.
fn is_grouped_digits(text: &str) -> bool {
    text.split('_').all(|group| all(group, |b| b.is_ascii_digit()))
}

/// `[0-9_]*`.
fn is_fraction(text: &str) -> bool {
    text.bytes().all(|b| b.is_ascii_digit() || b == b'_')
}

/// `(:[0-5]?[0-9])+`, without the first colon.
fn is_sixties(text: &str) -> bool {
    text.split(':').all(|part| {
        let b = part.as_bytes();
        match b.len() {
            1 => b[0].is_ascii_digit(),
            2 => (b'0'..=b'5').contains(&b[0]) && b[1].is_ascii_digit(),
            _ => false,
        }
    })
}

fn is_int(text: &str) -> bool {
    let text = unsigned(text);
    if let Some(digits) = text.strip_prefix("0b") {
        return all(digits, |b| matches!(b, b'0' | b'1' | b'_'));
    }
    if let Some(digits) = text.strip_prefix("0x") {
        return all(digits, |b| b.is_ascii_hexdigit() || b == b'_');
    }
    if let Some(digits) = text.strip_prefix('0') {
        return digits.bytes().all(|b| matches!(b, b'0'..=b'7' | b'_'));
    }
    match text.split_once(':') {
        Some((first, rest)) => is_digits(first) && is_sixties(rest),
        None => is_digits(text),
    }
}

fn is_float(text: &str) -> bool {
    if matches!(text, ".nan" | ".NaN" | ".NAN") {
        return true;
    }
    let magnitude = unsigned(text);
    if matches!(magnitude, ".inf" | ".Inf" | ".INF") {
        return true;
    }
    let (mantissa, exponent) = match magnitude.find(['e', 'E']) {
        Some(at) => (&magnitude[..at], Some(&magnitude[at + 1..])),
        None => (magnitude, None),
    };
    let signed = |e: &str| e.starts_with(['-', '+']) && all(unsigned(e), |b| b.is_ascii_digit());
    let any = |e: &str| all(unsigned(e), |b| b.is_ascii_digit());
    match mantissa.split_once('.') {
        // `.5` takes no sign, and its exponent must have one.
        Some(("", fraction)) => magnitude.len() == text.len() && is_digits(fraction) && exponent.is_none_or(signed),
        Some((whole, fraction)) => match whole.split_once(':') {
            Some((first, rest)) => is_digits(first) && is_sixties(rest) && is_fraction(fraction) && exponent.is_none(),
            None if is_grouped_digits(whole) => is_fraction(fraction) && exponent.is_none_or(any),
            None => is_digits(whole) && is_fraction(fraction) && exponent.is_none_or(signed),
        },
        None => is_grouped_digits(mantissa) && exponent.is_some_and(any),
    }
}

/// The integer that a text spells, as PyYAML constructs it.
fn int(text: &str) -> Result<i64, String> {
    let digits = text.replace('_', "");
    let negative = digits.starts_with('-');
    let digits = unsigned(&digits);
    let (radix, digits) = match digits.as_bytes() {
        [b'0', b'b', ..] => (2, &digits[2..]),
        [b'0', b'x', ..] => (16, &digits[2..]),
        [b'0', _, ..] => (8, digits),
        _ => (10, digits),
    };
    let no_integer = || format!("`{text}` is no integer");
    if digits.is_empty() {
        return Err(no_integer());
    }
    let mut value: i128 = 0;
    for part in digits.split(':') {
        let mut number: i128 = 0;
        if part.is_empty() {
            return Err(no_integer());
        }
        for c in part.chars() {
            let digit = c.to_digit(radix).ok_or_else(no_integer)?;
            number = number.saturating_mul(radix.into()).saturating_add(digit.into());
        }
        value = value.saturating_mul(60).saturating_add(number);
    }
    let value = if negative { -value } else { value };
    i64::try_from(value).map_err(|_| format!("the integer {text} is too large: integers here have 64 bits"))
}

/// The float that a text spells, as PyYAML constructs it.
fn float(text: &str) -> Result<f64, String> {
    let digits = text.replace('_', "").to_ascii_lowercase();
    let sign = if digits.starts_with('-') { -1.0 } else { 1.0 };
    let digits = unsigned(&digits);
    let no_float = |_| format!("`{text}` is no number");
    let value = match digits {
        ".inf" => f64::INFINITY,
        ".nan" => return Ok(f64::NAN),
        _ => {
            let mut value = 0.0;
            for part in digits.split(':') {
                value = value * 60.0 + part.parse::<f64>().map_err(no_float)?;
            }
            value
        }
    };
    Ok(sign * value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_scalars_mean_what_omegaconf_reads() {
        let s = |text: &str| Value::Str(text.to_owned());
        let cases = [
            ("", Value::Null),
            ("~", Value::Null),
            ("Null", Value::Null),
            ("nULL", s("nULL")),
            ("yes", Value::Bool(true)),
            ("Off", Value::Bool(false)),
            ("y", s("y")),
            ("tRUE", s("tRUE")),
            ("0", Value::Int(0)),
            ("-0", Value::Int(0)),
            ("+12", Value::Int(12)),
            ("1_000", Value::Int(1000)),
            ("1__0_", Value::Int(10)),
            ("010", Value::Int(8)),
            ("-010", Value::Int(-8)),
            ("08", s("08")),
            ("0o17", s("0o17")),
            ("0x1F", Value::Int(31)),
            ("0X1F", s("0X1F")),
            ("0b101", Value::Int(5)),
            ("12:30", Value::Int(750)),
            ("12:30:45", Value::Int(45045)),
            ("12:60", s("12:60")),
            ("0:30", s("0:30")),
            ("9223372036854775807", Value::Int(i64::MAX)),
            ("-9223372036854775808", Value::Int(i64::MIN)),
            ("1.", Value::Float(1.0)),
            ("1e3", Value::Float(1000.0)),
            ("1E-3", Value::Float(0.001)),
            ("08e1", Value::Float(80.0)),
            ("-1_0.5e+3", Value::Float(-10500.0)),
            ("1_.5e+3", Value::Float(1500.0)),
            ("1_.5e3", s("1_.5e3")),
            (".5", Value::Float(0.5)),
            ("-.5", s("-.5")),
            (".5e1", s(".5e1")),
            (".5e+1", Value::Float(5.0)),
            ("1:30.5", Value::Float(90.5)),
            ("0:30.5", Value::Float(30.5)),
            (".inf", Value::Float(f64::INFINITY)),
            ("-.INF", Value::Float(f64::NEG_INFINITY)),
            (".NaN", Value::Float(f64::NAN)),
            ("+.nan", s("+.nan")),
            ("inf", s("inf")),
            ("1e400", Value::Float(f64::INFINITY)),
            ("-", s("-")),
            (".", s(".")),
            ("+", s("+")),
            ("1e", s("1e")),
            ("1.2.3", s("1.2.3")),
            ("2024-01-31", s("2024-01-31")),
            ("-0.0", Value::Float(-0.0)),
        ];
        for (text, value) in cases {
            assert_eq!(plain(text), Ok(value), "{text}");
        }
        for text in
            ["=", "<<", "9223372036854775808", "-9223372036854775809", "0x_", "0b_", "9999999999999999999999:59"]
        {
            assert!(plain(text).is_err(), "{text}");
        }
    }

    #[test]
    fn explicit_tags_convert_or_say_why_not() {
        assert_eq!(tagged("int", "0x10"), Some(Ok(Value::Int(16))));
        assert_eq!(tagged("float", "3"), Some(Ok(Value::Float(3.0))));
        assert_eq!(tagged("str", "3"), Some(Ok(Value::Str("3".into()))));
        assert_eq!(tagged("bool", "YeS"), Some(Ok(Value::Bool(true))));
        assert_eq!(tagged("null", "x"), Some(Ok(Value::Null)));
        assert!(matches!(tagged("int", "x"), Some(Err(_))));
        assert!(matches!(tagged("int", "1::2"), Some(Err(_))));
        assert!(matches!(tagged("float", ""), Some(Err(_))));
        assert!(matches!(tagged("bool", "maybe"), Some(Err(_))));
        assert_eq!(tagged("set", "x"), None);
    }

    #[test]
    fn timestamps_are_known_so_that_they_can_be_quoted() {
        for text in ["2024-01-31", "2024-1-3T1:02:03", "2024-01-31 10:20:30.5 +01:00", "2024-01-31t10:20:30Z"] {
            assert!(is_timestamp(text), "{text}");
        }
        for text in ["2024-01", "2024-1-3", "24-01-31", "2024-01-31x", "1-2", "2024-01-31 noon", "-", ""] {
            assert!(!is_timestamp(text), "{text}");
        }
    }
}
