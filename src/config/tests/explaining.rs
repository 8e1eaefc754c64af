//! `explain`: where a value comes from.

use super::Tree;
use crate::config::explain::{By, Explanation};
use crate::config::{json, overrides};

fn explain(tree: &Tree, key: &str, arguments: &[&str]) -> Explanation {
    let arguments: Vec<String> = arguments.iter().map(|a| (*a).to_owned()).collect();
    let parsed = overrides::parse_all(&arguments).unwrap_or_else(|problems| panic!("{problems}"));
    tree.composer().explain(Some("config"), &parsed, key).unwrap_or_else(|problems| panic!("{problems}"))
}

#[test]
fn layers_and_overrides_in_order() {
    let tree = Tree::new(&[
        ("config.yaml", "defaults:\n  - optim: adam\n  - _self_\n  - experiment: null\noptim:\n  eps: 1\n"),
        ("optim/adam.yaml", "lr: 0.1\n"),
        ("experiment/fast.yaml", "# @package _global_\noptim:\n  lr: 0.5\n"),
    ]);
    let explanation = explain(&tree, "optim.lr", &["experiment=fast", "optim.lr=0.7"]);
    let values: Vec<Option<String>> =
        explanation.history.iter().map(|event| event.value.as_ref().map(json::compact)).collect();
    assert_eq!(values, [Some("0.1".into()), Some("0.5".into()), Some("0.7".into())]);
    assert!(
        matches!(&explanation.history[0].by, By::Layer { config, package, .. } if config == "optim/adam" && package == "optim")
    );
    assert!(matches!(&explanation.history[1].by, By::Layer { config, .. } if config == "experiment/fast"));
    assert_eq!(explanation.history[1].origin.line, 3);
    assert_eq!(explanation.history[2].by, By::Override("optim.lr=0.7".into()));
    let text = explanation.to_string();
    assert!(text.starts_with("optim.lr = 0.7\n") && text.contains("adam.yaml:1:5"), "{text}");
}

#[test]
fn interpolations_are_followed() {
    let tree = Tree::new(&[("config.yaml", "a: {x: 1}\nb: ${a}\nc: v${b.x}\n")]);
    let explanation = explain(&tree, "c", &[]);
    let steps: Vec<String> = explanation.trace.iter().map(|step| format!("{}{}", step.path, step.depth)).collect();
    assert_eq!(steps, ["c0", "b1"]);
    let explanation = explain(&tree, "b.x", &["a.x=2"]);
    let via = explanation.via.unwrap_or_else(|| panic!("b.x is seen through b"));
    assert_eq!((via.alias.0.as_str(), via.target.key.as_str(), via.target.history.len()), ("b", "a.x", 2));
}

#[test]
fn deletions_and_absent_keys() {
    let tree = Tree::new(&[("config.yaml", "a: {x: 1, y: 2}\n")]);
    let explanation = explain(&tree, "a.x", &["~a.x"]);
    assert_eq!(explanation.history.len(), 2);
    assert!(explanation.history[1].value.is_none() && explanation.resolved.is_none());
    let absent = tree.composer().explain(Some("config"), &[], "a.z");
    assert!(absent.is_err_and(|problems| problems.to_string().contains("no key `a.z`")));
    assert!(explain(&tree, "hydra.job.name", &[]).history.iter().any(|event| event.by == By::Program));
}
