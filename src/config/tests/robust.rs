//! Configs that mean harm, or just too much.

use std::fmt::Write;

use proptest::prelude::*;

use super::Tree;
use crate::config::interpolate::parse;
use crate::config::overrides;
use crate::config::resolvers::eval;

#[test]
fn cycles_end() {
    for text in [
        "a: ${a}",
        "a: ${b}\nb: ${a}",
        "a: x${b}\nb: y${c}\nc: ${a}",
        "a: {b: '${a}'}",
        "a: {b: 'x${a}'}",
        "a: {x: '${b}'}\nb: {y: '${a}'}",
        "a: [1, '${a}']",
        "a: ['${b}']\nb: ['${a}']",
        "a: ${oc.select:a}",
        "a: {x: '${oc.select:.}'}",
        "a: ${oc.create:'{x: ${a}}'}",
        "d: {x: '${v.0}'}\nv: ${oc.dict.values:d}",
        "a: ${${a}}",
    ] {
        let tree = Tree::new(&[("config.yaml", text)]);
        assert!(!tree.problems(&[]).is_empty(), "{text}");
    }
}

#[test]
fn growth_is_bounded() {
    // Each level holds the one below ten times.
    let mut laughs = String::from("a0: [1, 1, 1, 1, 1, 1, 1, 1, 1, 1]\n");
    let mut texts = String::from("t0: 0123456789\n");
    for level in 1..20 {
        let below = format!("'${{a{}}}', ", level - 1).repeat(10);
        let _ = writeln!(laughs, "a{level}: [{}]", below.trim_end_matches(", "));
        let _ = writeln!(texts, "t{level}: '{}'", format!("${{t{}}}", level - 1).repeat(10));
    }
    assert!(Tree::new(&[("config.yaml", &laughs)]).problems(&[]).contains("copy more than"));
    assert!(Tree::new(&[("config.yaml", &texts)]).problems(&[]).contains("too much text"));
}

#[test]
fn depth_is_bounded() {
    let mut chain = String::from("k0: 1\n");
    for i in 1..5000 {
        let _ = writeln!(chain, "k{i}: ${{k{}}}", i - 1);
    }
    // In file order each link finds the one before it resolved.
    assert!(Tree::new(&[("config.yaml", &chain)]).resolved(&[]).is_ok());
    let mut backwards: Vec<&str> = chain.lines().collect();
    backwards.reverse();
    assert!(Tree::new(&[("config.yaml", &backwards.join("\n"))]).problems(&[]).contains("too deeply"));

    let tree = Tree::new(&[("config.yaml", "a: 1")]);
    let long = |n: usize| format!("+{}=1", vec!["k"; n].join("."));
    assert!(tree.resolved(&[&long(200)]).is_ok());
    assert!(tree.resolved(&[&long(100_000)]).is_err());
    let nested: Vec<String> =
        (0..50).map(|i| format!("++{}={}1{}", vec!["k"; 150].join("."), "{k:".repeat(i), "}".repeat(i))).collect();
    let nested: Vec<&str> = nested.iter().map(String::as_str).collect();
    assert!(tree.resolved(&nested).is_ok());
}

#[test]
fn files_that_include_each_other_end() {
    let twice = "defaults:\n  - b\n  - b\n";
    for files in [
        vec![("config.yaml", "defaults:\n  - config\n")],
        vec![("config.yaml", "defaults:\n  - a\n"), ("a.yaml", "defaults:\n  - b\n"), ("b.yaml", "defaults:\n  - a\n")],
        vec![("config.yaml", twice), ("b.yaml", "defaults:\n  - config\n  - config\n")],
        vec![("config.yaml", "defaults:\n  - g: x\n"), ("g/x.yaml", "defaults:\n  - /g@sub: x\n")],
    ] {
        let message = Tree::new(&files).problems(&[]);
        assert!(message.contains("include each other") || message.contains("too deep"), "{message}");
    }
}

#[test]
fn many_files_end() {
    // Two to the power of twenty entries.
    let mut files = vec![("config.yaml".to_owned(), "defaults: [f0, f0]\n".to_owned())];
    for i in 0..20 {
        files.push((format!("f{i}.yaml"), format!("defaults: [f{}@a, f{}@b]\n", i + 1, i + 1)));
    }
    files.push(("f20.yaml".to_owned(), "x: 1\n".to_owned()));
    let files: Vec<(&str, &str)> = files.iter().map(|(name, text)| (name.as_str(), text.as_str())).collect();
    assert!(Tree::new(&files).problems(&[]).contains("too deep or too long"));
}

#[test]
fn huge_lists_work() {
    let list = vec!["1"; 200_000].join(", ");
    let tree = Tree::new(&[("config.yaml", &format!("l: [{list}]\nm: ${{l}}\nn: ${{l.199999}}\n"))]);
    assert!(tree.resolved(&["l.199999=2"]).is_ok_and(|root| root.select("n").and_then(|n| n.as_int()) == Some(2)));
}

#[test]
fn names_stay_in_their_folder() {
    let tree = Tree::new(&[
        ("config.yaml", "defaults:\n  - g: a\n"),
        ("g/a.yaml", "x: 1"),
        ("up.yaml", "defaults:\n  - ../up\n"),
    ]);
    for argument in ["g='../config'", "+g@x='../../etc/passwd'", "g='/etc/passwd'", "g='a/../../config'"] {
        assert!(tree.resolved(&[argument]).is_err(), "{argument}");
    }
    assert!(tree.composer().compose(Some("../up"), &[]).is_err());
    assert!(tree.composer().compose(Some("up"), &[]).is_err());
}

#[cfg(unix)]
#[test]
fn links_may_loop() {
    let tree = Tree::new(&[("config.yaml", "defaults:\n  - g: a\n"), ("g/a.yaml", "x: 1")]);
    std::os::unix::fs::symlink("..", tree.0.path().join("g/loop")).expect("a link");
    std::os::unix::fs::symlink("self", tree.0.path().join("self")).expect("a link");
    std::os::unix::fs::symlink("self.yaml", tree.0.path().join("self.yaml")).expect("a link");
    assert_eq!(tree.json(&[]), r#"{"g":{"x":1}}"#);
    let groups = tree.composer().sources().groups();
    assert!(groups.contains(&"g".to_owned()) && groups.len() < 100, "{groups:?}");
    assert!(tree.composer().compose(Some("self"), &[]).is_err());
}

#[test]
fn merging_onto_many_interpolations_ends() {
    let mut before = String::from("d: {x: 1}\n");
    let mut after = String::new();
    for i in 0..1000 {
        let _ = writeln!(before, "k{i}: ${{d}}");
        let _ = writeln!(after, "k{i}: {{y: {i}}}");
    }
    let config = format!("defaults:\n  - before\n  - _self_\n{after}");
    let tree = Tree::new(&[("config.yaml", &config), ("before.yaml", &before)]);
    let root = tree.resolved(&[]).unwrap_or_else(|problems| panic!("{problems}"));
    assert_eq!(root.select("k999.x").and_then(|x| x.as_int()), Some(1));
    assert_eq!(root.select("k999.y").and_then(|y| y.as_int()), Some(999));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_text_is_parsed_or_refused(text in r#"([$]\{|[}{\[\]().:,'"\\ ]|oc\.(env|select|decode|create)|eval|[a-z0-9+*/-]{1,3}|.){0,24}"#) {
        let _ = parse::template(&text);
        let _ = parse::element(&text);
        let _ = eval::evaluate(&text);
    }

    #[test]
    fn any_expression_ends(text in r"([0-9]{1,3}|\*\*|//|[-+*/%<>()\[\],: ]|'a'|and |or |not |in | if 1 else |len\(|range\(|max\(|str\(){0,16}") {
        let _ = eval::evaluate(&text);
    }

    #[test]
    fn any_tree_composes_or_says_why(
        values in prop::collection::vec(r"([$]\{[a-d.\[\]0-2]{0,4}\}|[$]\{oc\.(select|decode|create|dict\.keys|dict\.values):[a-d.]{0,3}\}|[a-d1-3?]|\\){0,3}", 4),
        arguments in prop::collection::vec(r"(\+|\+\+|~)?[a-d](\.[a-d0-1]){0,2}=(\[1,a\]|\{a:1\}|[a-d1]|'[$]\{[a-d.]{1,3}\}'|null)", 0..3),
    ) {
        let config: String = ["a", "b", "c", "d"].iter().zip(&values)
            .map(|(key, value)| format!("{key}: '{}'\n", value.replace('\'', "''"))).collect();
        let tree = Tree::new(&[("config.yaml", &config), ("base.yaml", "a: {b: 1, c: [1, 2]}\nb: {a: '${c}'}")]);
        if let Ok(parsed) = overrides::parse_all(&arguments) {
            for name in ["config", "base"] {
                let _ = tree.composer().compose(Some(name), &parsed).and_then(|config| config.resolved());
            }
        }
    }
}
