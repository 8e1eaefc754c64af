//! Interpolations and resolvers on whole configs.

use super::Tree;
use crate::config::{Node, Resolvers, Value, json};

#[test]
fn arithmetic_on_values_of_the_config() {
    let config = "\
batch: 32
lr: 0.1
name: net
sizes: [8, 16]
steps: ${eval:'${batch} * 2 + 1'}
scaled: ${eval:${lr} * ${batch} / 256}
first: ${eval:${sizes}[0] + max(${sizes})}
both: ${eval:(1 + 2) * 3}
title: ${eval:'\"${name}\" + \"_\" + str(${batch})'}
big: ${eval:'large' if ${batch} > 16 else 'small'}
half: ${eval:${batch} // 3}
all: ${eval:${sizes} + [32]}
";
    let root = Tree::new(&[("config.yaml", config)]).resolved(&[]).unwrap_or_else(|problems| panic!("{problems}"));
    for (key, want) in [
        ("steps", "65"),
        ("scaled", "0.0125"),
        ("first", "24"),
        ("both", "9"),
        ("title", "\"net_32\""),
        ("big", "\"large\""),
        ("half", "10"),
        ("all", "[8,16,32]"),
    ] {
        assert_eq!(root.get(key).map(json::compact).as_deref(), Some(want), "{key}");
    }
}

#[test]
fn a_crate_adds_resolvers() {
    let tree = Tree::new(&[("config.yaml", "a: 3\nb: ${double:${a}}\nc: ${pair:x}\nd: ${c.second}\ne: ${double:x}")]);
    let resolvers = Resolvers::new()
        .with("double", |arguments| match arguments {
            [Value::Int(i)] => Ok(Value::Int(2 * i)),
            _ => Err("double takes one integer".to_owned()),
        })
        .with("pair", |arguments| {
            let pairs = ["first", "second"].into_iter().zip(arguments.iter().cycle());
            Ok(Value::Map(pairs.map(|(k, v)| (k.into(), Node::program(v.clone()))).collect()))
        });
    let config = tree.composer_with(resolvers).compose(Some("config"), &[]).unwrap_or_else(|p| panic!("{p}"));
    let value = |key: &str| config.value(key).ok().flatten().map(|node| json::compact(&node));
    assert_eq!(value("b").as_deref(), Some("6"));
    assert_eq!(value("d").as_deref(), Some("\"x\""));
    assert_eq!(value("e"), None);
    assert!(config.resolved().is_err_and(|problems| problems.to_string().contains("double takes one integer")));
}

#[test]
fn the_hydra_node_is_asked_with_its_resolver() {
    let tree = Tree::new(&[(
        "config.yaml",
        "name: ${hydra:job.name}\nout: ${hydra:runtime.output_dir}\ndir: ${hydra:run.dir}",
    )]);
    let mut config =
        tree.compose(&["hydra.run.dir=runs/${name}", "hydra.job.name=exp"]).unwrap_or_else(|p| panic!("{p}"));
    config.set_hydra("runtime.output_dir", "here");
    assert_eq!(
        config.resolved().map(|node| json::compact(&node)).ok().as_deref(),
        Some(r#"{"name":"exp","out":"here","dir":"runs/exp"}"#)
    );
    assert_eq!(config.value("hydra.run.dir").ok().flatten().as_ref().and_then(Node::as_str), Some("runs/exp"));
}

#[test]
fn deprecated_keys_warn() {
    let tree =
        Tree::new(&[("config.yaml", "new: 1\nold: ${oc.deprecated:new}\nsay: ${oc.deprecated:new,'no $OLD_KEY'}")]);
    let config = tree.compose(&[]).unwrap_or_else(|problems| panic!("{problems}"));
    assert_eq!(tree.json(&[]), r#"{"new":1,"old":1,"say":1}"#);
    let warnings = config.warnings();
    assert!(warnings[0].contains("'old' is deprecated") && warnings[1] == "no say", "{warnings:?}");
}

#[test]
fn the_time_is_one() {
    let tree = Tree::new(&[("config.yaml", "a: '${now:%Y-%m-%d_%H-%M-%S-%f}'\nb: '${now:%Y-%m-%d_%H-%M-%S-%f}'")]);
    let root = tree.resolved(&[]).unwrap_or_else(|problems| panic!("{problems}"));
    assert_eq!(root.get("a"), root.get("b"));
}
