//! Names of varKoder's pictures: `<sample>@<8 digits>K+<mapping>+k<k>`, the digits being thousands of base pairs.

/// What a file's name says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Name {
    pub sample: String,
    pub base_pairs: u64,
    /// varKode or cgr.
    pub mapping: &'static str,
    /// The length of the k-mers.
    pub k: u8,
}

/// How long k-mers may be.
pub(super) const LENGTHS: std::ops::RangeInclusive<u8> = 5..=9;

/// Characters that separate the parts of a name.
pub(super) const FORBIDDEN: [char; 3] = ['@', '~', '+'];

impl Name {
    /// Reads a file's name without its ending; `None` for names of another form.
    pub fn parse(stem: &str) -> Option<Self> {
        let (sample, rest) = stem.split_once('@')?;
        let (digits, rest) = rest.split_once("K+")?;
        let (mapping, k) = match rest.split_once('+') {
            Some(("varKode", k)) => ("varKode", k),
            Some(("cgr", k)) => ("cgr", k),
            Some(_) => return None,
            None => ("varKode", rest),
        };
        let k = k.strip_prefix('k')?.parse().ok()?;
        let whole = digits.len() == 8 && digits.bytes().all(|digit| digit.is_ascii_digit());
        if sample.is_empty() || sample.contains(FORBIDDEN) || !whole {
            return None;
        }
        Some(Name { sample: sample.to_owned(), base_pairs: digits.parse::<u64>().ok()? * 1000, mapping, k })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_both_forms() {
        let name = Name::parse("Fungi_S1@00010000K+cgr+k7").unwrap();
        assert_eq!((name.sample.as_str(), name.base_pairs, name.mapping, name.k), ("Fungi_S1", 10_000_000, "cgr", 7));
        assert_eq!(Name::parse("S@00000500K+k5").unwrap().mapping, "varKode");
        for wrong in ["S@500K+k5", "S@00000500K+other+k5", "S+1@00000500K+k5", "S", "@00000500K+k5", "S@00000500K+k"] {
            assert_eq!(Name::parse(wrong), None, "{wrong}");
        }
    }
}
