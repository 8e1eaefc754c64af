//! The keys of overrides: groups, dotted paths, and paths with indices in brackets.

/// A key's text, parted.
#[derive(Debug, PartialEq)]
pub struct Word {
    /// How many characters it takes.
    pub len: usize,
    /// Its names and indices, escapes taken off.
    pub parts: Vec<String>,
    /// Written with brackets or escapes.
    pub is_path: bool,
    /// One name of letters, digits, `_` and `-`: what the parts of a group with slashes must be.
    pub is_id: bool,
}

fn is_key_char(c: char) -> bool {
    c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '$')
}

fn is_key_escapable(c: char) -> bool {
    matches!(c, '.' | '[' | ']' | '=')
}

/// How many characters an unsigned integer takes: no leading zeros, single underscores between digits.
pub fn unsigned_len(chars: &[char]) -> usize {
    match chars.first() {
        Some('0') => 1,
        Some(c) if c.is_ascii_digit() => digits_len(chars),
        _ => 0,
    }
}

/// How many characters `DIGIT ('_'? DIGIT)*` takes.
pub fn digits_len(chars: &[char]) -> usize {
    let digit = |i: usize| chars.get(i).is_some_and(char::is_ascii_digit);
    if !digit(0) {
        return 0;
    }
    let mut len = 1;
    loop {
        if digit(len) {
            len += 1;
        } else if chars.get(len) == Some(&'_') && digit(len + 1) {
            len += 2;
        } else {
            return len;
        }
    }
}

/// Reads the longest word at the start of `chars`; `None` when there is none. A lone integer is none.
pub fn word(chars: &[char]) -> Option<Word> {
    let first = segment(chars)?;
    let mut word = Word { len: first.len, parts: vec![first.text], is_path: first.is_escaped, is_id: first.is_id };
    let mut is_lone_integer = first.is_integer;
    loop {
        let rest = &chars[word.len..];
        let (len, next) = match rest.first() {
            Some('.') => match segment(&rest[1..]) {
                Some(next) => (next.len + 1, next),
                None => break,
            },
            Some('[') if !is_lone_integer => match bracket(rest) {
                Some(next) => (next.len, next),
                None => break,
            },
            _ => break,
        };
        is_lone_integer = false;
        word.len += len;
        word.parts.push(next.text);
        word.is_path |= next.is_escaped;
        word.is_id = false;
    }
    if is_lone_integer { None } else { Some(word) }
}

struct Segment {
    len: usize,
    text: String,
    is_integer: bool,
    is_escaped: bool,
    is_id: bool,
}

/// A run of key characters and escapes.
fn run(chars: &[char]) -> Segment {
    let mut segment = Segment { len: 0, text: String::new(), is_integer: false, is_escaped: false, is_id: false };
    loop {
        match (chars.get(segment.len), chars.get(segment.len + 1)) {
            (Some(&c), _) if is_key_char(c) => {
                segment.text.push(c);
                segment.len += 1;
            }
            (Some('\\'), Some(&c)) if is_key_escapable(c) => {
                segment.text.push(c);
                segment.len += 2;
                segment.is_escaped = true;
            }
            _ => return segment,
        }
    }
}

/// The name or index between dots.
fn segment(chars: &[char]) -> Option<Segment> {
    let mut segment = run(chars);
    if segment.is_escaped {
        return Some(segment);
    }
    let first = *chars.first()?;
    if first.is_ascii_alphabetic() || matches!(first, '_' | '$') {
        segment.is_id = !segment.text.contains('$');
        return Some(segment);
    }
    let len = unsigned_len(chars);
    if len == 0 {
        return None;
    }
    Some(Segment { len, text: chars[..len].iter().collect(), is_integer: true, is_escaped: false, is_id: false })
}

/// `[name]`.
fn bracket(chars: &[char]) -> Option<Segment> {
    let inner = run(&chars[1..]);
    if inner.len == 0 || chars.get(inner.len + 1) != Some(&']') {
        return None;
    }
    Some(Segment { len: inner.len + 2, is_escaped: true, ..inner })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_the_longest_that_hydra_knows() {
        let cases: &[(&str, usize, &[&str])] = &[
            ("a=1", 1, &["a"]),
            ("a.b-c.0=1", 7, &["a", "b-c", "0"]),
            ("a.01=1", 3, &["a", "0"]),
            ("a..b", 1, &["a"]),
            ("1.2=x", 3, &["1", "2"]),
            ("$x_$=1", 4, &["$x_$"]),
            ("a/b", 1, &["a"]),
            ("steps[0].size=1", 13, &["steps", "0", "size"]),
            ("a[b][c]=1", 7, &["a", "b", "c"]),
            ("a[]=1", 1, &["a"]),
            ("a\\.b.c=1", 6, &["a.b", "c"]),
            ("a.b\\=c=1", 6, &["a", "b=c"]),
            ("1\\.5=1", 4, &["1.5"]),
        ];
        for (text, len, parts) in cases {
            let chars: Vec<char> = text.chars().collect();
            let word = word(&chars).unwrap_or_else(|| panic!("{text}"));
            assert_eq!(
                (word.len, word.parts.iter().map(String::as_str).collect::<Vec<_>>()),
                (*len, parts.to_vec()),
                "{text}"
            );
        }
        for text in ["1=2", "10a=1", "-a=1", ".a", "", "1[0]=1", "é=1", "007"] {
            let chars: Vec<char> = text.chars().collect();
            assert_eq!(word(&chars), None, "{text}");
        }
    }
}
