//! What is said when something is wrong: where, what would be right.

use super::Tree;

fn tree() -> Tree {
    Tree::new(&[
        (
            "config.yaml",
            "defaults:\n  - _self_\n  - model: resnet\n  - optim@train.optim: adam\n\nseed: 1\nnone: null\nlist: [1, 2]\n",
        ),
        ("model/resnet.yaml", "name: resnet\nlayers: 18\n"),
        ("model/vit.yaml", "name: vit\n"),
        ("optim/adam.yaml", "lr: 0.1\n"),
        ("optim/sgd.yaml", "lr: 0.2\n"),
    ])
}

#[test]
fn the_remedy_is_named() {
    for (argument, words) in [
        ("sead=1", vec!["no key `sead`", "did you mean `seed`?", "+sead=1", "argument 1"]),
        ("model.layer=1", vec!["did you mean `model.layers`?"]),
        ("lr=1", vec!["did you mean `train.optim.lr`?"]),
        ("model=resnt", vec!["no option `resnt`", "did you mean `resnet`?", "resnet, vit", "argument 1"]),
        ("model=3", vec!["config group", "an integer", "resnet, vit"]),
        ("optim=sgd", vec!["not in the defaults list", "did you mean `optim@train.optim`?"]),
        ("+model=vit", vec!["chosen twice"]),
        ("++model=vit", vec!["`++` does not work"]),
        ("~optim", vec!["deletes nothing"]),
        ("+seed=2", vec!["exists already", "config.yaml:6", "leave the `+` out"]),
        ("~none", vec!["null or missing"]),
        ("~seed=2", vec!["it is 1, not 2"]),
        ("list.5=1", vec!["indices 0 to 1", "list=extend_list"]),
        ("list={a: 1}", vec!["a list", "a mapping"]),
        ("model={sizes: 3}", vec!["`model.sizes` does not exist"]),
        ("seed=1,2", vec!["several values", "-m", "seed=[1,2]"]),
        ("+x=${sed}", vec!["`sed` not found", "did you mean `seed`?"]),
        ("+x=${hydra.run.dir}", vec!["${hydra:run.dir}"]),
        ("+x=${model.layers.deep}", vec!["`model.layers` is no mapping or list"]),
        ("+x=${oc.evn:HOME}", vec!["no resolver `oc.evn`", "did you mean `oc.env`"]),
        ("+x=${oc.env:NO_SUCH_VARIABLE}", vec!["NO_SUCH_VARIABLE", "is not set", "DEFAULT"]),
        ("hydra.rnu.dir=x", vec!["no key `hydra.rnu.dir`", "did you mean `hydra.run.dir`"]),
        ("+hydra.job.num=x", vec!["`hydra.job.num` must be a whole number", "a string"]),
        ("hydra/launcher=jobib", vec!["no option `jobib`", "did you mean `joblib`?"]),
        ("a@b=1", vec!["no config group `a`"]),
    ] {
        let message = tree().problems(&[argument]);
        for word in words {
            assert!(message.contains(word), "{argument} should say {word}: {message}");
        }
    }
}

#[test]
fn chains_are_named_whole() {
    let tree = Tree::new(&[("config.yaml", "a: ${b}\nb: x_${c.d}\nc:\n  d: ${nosuch}\n")]);
    let message = tree.problems(&[]);
    assert!(message.contains("a = ${b} -> b = x_${c.d} -> c.d = ${nosuch}"), "{message}");
    assert_eq!(message.matches("not found").count(), 1, "one fault, said once: {message}");
    let message = Tree::new(&[("config.yaml", "a: ${b}\nb: ${c}\nc: ${a}\n")]).problems(&[]);
    assert!(message.contains("a = ${b} -> b = ${c} -> c = ${a} -> a"), "{message}");
}

#[test]
fn all_faults_come_together() {
    let tree = Tree::new(&[("config.yaml", "a: ${x}\nb: ${y}\nc: ${oc.env:NO_SUCH_VARIABLE}\n")]);
    assert_eq!(tree.resolved(&[]).err().map(|problems| problems.0.len()), Some(3));
    assert_eq!(tree.resolved(&["d=1", "e=2"]).err().map(|problems| problems.0.len()), Some(2));
}

#[test]
fn a_fault_in_a_file_names_its_line() {
    for (file, words) in [
        ("defaults:\n  - g: {a: 1}\n", vec!["config.yaml:2", "a mapping"]),
        ("defaults:\n  - a: x\n    b: y\n", vec!["several keys: a, b"]),
        ("defaults: x\n", vec!["must be a list"]),
        ("defaults:\n  - _self_\n  - _self_\n", vec!["config.yaml:3", "twice"]),
        ("defaults:\n  - nosuch\n", vec!["config.yaml:2", "`nosuch`", "does not exist"]),
        ("defaults:\n  - override g: x\n", vec!["config.yaml:2", "not in the defaults list"]),
        ("a: 1\nb: ${a\n", vec!["config.yaml:2", "`}` expected"]),
        ("hydra:\n  job:\n    nmae: x\n", vec!["config.yaml:3", "no field `nmae`", "did you mean `name`?"]),
        ("# @package a b\n", vec!["config.yaml:1", "one key and one value"]),
        ("- 1\n", vec!["a list", "a mapping"]),
    ] {
        let message = Tree::new(&[("config.yaml", file)]).problems(&[]);
        for word in words {
            assert!(message.contains(word), "{file:?} should say {word}: {message}");
        }
    }
}
