//! Shell patterns as Python's `fnmatch` knows them: `*`, `?`, `[seq]`, `[!seq]`, case matters, a slash is a
//! character like others, and a backslash escapes nothing. (The crate `globset` differs in the last two, and
//! knows braces.)

/// Whether a name matches a pattern.
pub fn matches(pattern: &str, name: &str) -> bool {
    let pattern: Vec<char> = pattern.chars().collect();
    let name: Vec<char> = name.chars().collect();
    let (mut p, mut n) = (0, 0);
    // Where to go on when a match fails: behind the last star, and one character further in the name.
    let mut retry: Option<(usize, usize)> = None;
    loop {
        let step = match pattern.get(p) {
            Some('*') => {
                retry = Some((p + 1, n));
                p += 1;
                continue;
            }
            None if n == name.len() => return true,
            None => None,
            Some(_) => name.get(n).and_then(|c| one(&pattern[p..], *c)),
        };
        match (step, retry) {
            (Some(len), _) => {
                p += len;
                n += 1;
            }
            (None, Some((after_star, from))) if from < name.len() => {
                retry = Some((after_star, from + 1));
                p = after_star;
                n = from + 1;
            }
            (None, _) => return false,
        }
    }
}

/// Whether a character matches the start of a pattern, and how much of the pattern that takes.
fn one(pattern: &[char], c: char) -> Option<usize> {
    match pattern[0] {
        '?' => Some(1),
        '[' => match set_len(pattern) {
            Some(len) => in_set(&pattern[1..len - 1], c).then_some(len),
            None => (c == '[').then_some(1),
        },
        literal => (c == literal).then_some(1),
    }
}

/// How many characters `[…]` takes; a `]` directly after the bracket, or after its `!`, belongs to the set.
fn set_len(pattern: &[char]) -> Option<usize> {
    let first = if pattern.get(1) == Some(&'!') { 2 } else { 1 };
    let close = pattern.iter().skip(first + 1).position(|c| *c == ']')?;
    Some(first + 1 + close + 1)
}

fn in_set(set: &[char], c: char) -> bool {
    let (negated, mut rest) = match set {
        ['!', rest @ ..] => (true, rest),
        _ => (false, set),
    };
    let mut found = false;
    loop {
        match rest {
            [low, '-', high, tail @ ..] => {
                found |= (*low..=*high).contains(&c);
                rest = tail;
            }
            [single, tail @ ..] => {
                found |= *single == c;
                rest = tail;
            }
            [] => return found != negated,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_match_as_in_python() {
        let cases = [
            ("*", "", true),
            ("*", "a/b", true),
            ("f*", "fescue", true),
            ("f*", "Fescue", false),
            ("?at", "oat", true),
            ("?at", "at", false),
            ("[fo]*", "oat", true),
            ("[!fo]*", "oat", false),
            ("[a-c]x", "bx", true),
            ("[]x]", "]", true),
            ("[!]x]", "]", false),
            ("[x", "[x", true),
            ("*a*b*", "xxaxxbxx", true),
            ("*a*b*", "xxbxxaxx", false),
            ("a\\*", "a\\bc", true),
            ("", "", true),
            ("", "a", false),
            ("**a", "bca", true),
        ];
        for (pattern, name, expected) in cases {
            assert_eq!(matches(pattern, name), expected, "{pattern} {name}");
        }
    }

    #[test]
    fn many_stars_do_not_explode() {
        let pattern = "*a".repeat(50) + "b";
        assert!(!matches(&pattern, &"a".repeat(2000)));
    }
}
