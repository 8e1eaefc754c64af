//! Nearest names: "did you mean …?".

/// The candidate nearest to `name`, if any is near enough to be what was meant.
pub fn nearest<'a>(name: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let lower = name.to_lowercase();
    candidates
        .into_iter()
        .map(|candidate| (likeness(&lower, &candidate.to_lowercase()), candidate))
        .filter(|(score, _)| *score >= 0.6)
        .max_by(|a, b| a.0.total_cmp(&b.0).then_with(|| b.1.cmp(a.1)))
        .map(|(_, candidate)| candidate)
}

/// From 0 to 1. Typing errors count by edit distance; an abbreviation of the whole (`learning_rate` for `lr`) by
/// its initials, a name of several words by the words it shares.
fn likeness(a: &str, b: &str) -> f64 {
    let initials = |s: &str| s.split(['_', '.', '-']).filter_map(|w| w.chars().next()).collect::<String>();
    if a == b {
        return 1.0;
    }
    if (a.contains('_') && initials(a) == b) || (b.contains('_') && initials(b) == a) {
        return 0.9;
    }
    if a.len() >= 3 && b.len() >= 3 && (a.starts_with(b) || b.starts_with(a)) {
        return 0.75;
    }
    strsim::normalized_damerau_levenshtein(a, b)
}

#[cfg(test)]
mod tests {
    use super::nearest;

    #[test]
    fn finds_what_was_meant() {
        let args = ["lr", "betas", "eps", "weight_decay", "amsgrad"];
        for (typed, meant) in [
            ("learning_rate", Some("lr")),
            ("weigth_decay", Some("weight_decay")),
            ("beta", Some("betas")),
            ("momentum", None),
        ] {
            assert_eq!(nearest(typed, args), meant, "{typed}");
        }
    }
}
