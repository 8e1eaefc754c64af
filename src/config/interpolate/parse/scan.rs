//! How far a token reaches: lengths in bytes, 0 when the text does not begin with it.

/// Text before a quote or `${`: of its trailing backslashes each pair stands for one, and an odd one escapes what
/// follows.
pub(super) fn undo_backslashes(text: &str) -> (String, bool) {
    let run = text.bytes().rev().take_while(|&b| b == b'\\').count();
    let kept = &text[..text.len() - run];
    (format!("{kept}{}", "\\".repeat(run / 2)), run % 2 == 1)
}

pub(super) fn blanks(bytes: &[u8]) -> usize {
    bytes.iter().take_while(|b| matches!(b, b' ' | b'\t')).count()
}

pub(super) fn every_second(text: &str) -> String {
    text.chars().skip(1).step_by(2).collect()
}

pub(super) fn identifier(bytes: &[u8]) -> usize {
    match bytes.first() {
        Some(b) if b.is_ascii_alphabetic() || *b == b'_' => {
            bytes.iter().take_while(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-')).count()
        }
        _ => 0,
    }
}

pub(super) fn escapes(bytes: &[u8]) -> usize {
    2 * bytes.chunks_exact(2).take_while(|pair| pair[0] == b'\\' && b"\\()[]{}:=, \t".contains(&pair[1])).count()
}

/// Digits with single underscores between them.
pub(super) fn digits(bytes: &[u8]) -> usize {
    let mut length = 0;
    loop {
        match (bytes.get(length), bytes.get(length + 1)) {
            (Some(b), _) if b.is_ascii_digit() => length += 1,
            (Some(b'_'), Some(b)) if length > 0 && b.is_ascii_digit() => length += 2,
            _ => return length,
        }
    }
}

/// An unsigned integer without leading zeros.
pub(super) fn unsigned(bytes: &[u8]) -> usize {
    match bytes.first() {
        Some(b'0') => 1,
        _ => digits(bytes),
    }
}

pub(super) fn sign(bytes: &[u8]) -> usize {
    usize::from(matches!(bytes.first(), Some(b'+' | b'-')))
}

pub(super) fn int(bytes: &[u8]) -> usize {
    let sign = sign(bytes);
    match unsigned(&bytes[sign..]) {
        0 => 0,
        length => sign + length,
    }
}

pub(super) fn float(bytes: &[u8]) -> usize {
    let sign = sign(bytes);
    let body = &bytes[sign..];
    if body.len() >= 3 && (body[..3].eq_ignore_ascii_case(b"inf") || body[..3].eq_ignore_ascii_case(b"nan")) {
        return sign + 3;
    }
    let whole = unsigned(body);
    let mut length = whole;
    let mut is_float = false;
    if body.get(whole) == Some(&b'.') {
        let fraction = digits(&body[whole + 1..]);
        if whole > 0 || fraction > 0 {
            length = whole + 1 + fraction;
            is_float = true;
        }
    }
    if length > 0 && matches!(body.get(length), Some(b'e' | b'E')) {
        let signed = length + 1 + usize::from(matches!(body.get(length + 1), Some(b'+' | b'-')));
        let exponent = digits(body.get(signed..).unwrap_or_default());
        if exponent > 0 {
            length = signed + exponent;
            is_float = true;
        }
    }
    if is_float { sign + length } else { 0 }
}
