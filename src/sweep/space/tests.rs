use super::*;
use crate::config::overrides;

fn read(arguments: &[&str], listed: bool) -> Result<SearchSpace, String> {
    let arguments: Vec<Argument> =
        arguments.iter().map(|text| Argument { parsed: overrides::parse(text, 1).unwrap(), line: None }).collect();
    SearchSpace::read(&arguments, &|_| vec!["adam".into(), "sgd".into()], 0, listed).map_err(|p| p.to_string())
}

fn domain(argument: &str) -> Domain {
    read(&[argument], false).unwrap().parameters[0].domain.clone()
}

fn texts(domain: &Domain) -> Vec<String> {
    match domain {
        Domain::Choice { values, .. } => values.iter().map(|choice| choice.text.clone()).collect(),
        other => panic!("{other:?}"),
    }
}

#[test]
fn overrides_are_read_as_the_optuna_sweeper_reads_them() {
    let float = |low, high, log, step| Domain::Float { low, high, log, step };
    let int = |low, high, log, step| Domain::Int { low, high, log, step };
    for (argument, want) in [
        ("k=range(1,3)", int(1, 3, false, 1)),
        ("k=range(1,10,4)", int(1, 9, false, 4)),
        ("k=range(0.5,5.5,step=1)", float(0.5, 5.5, false, Some(1.0))),
        ("k=range(0,1,0.3)", float(0.0, 0.8999999999999999, false, Some(0.3))),
        ("k=interval(1,5)", float(1.0, 5.0, false, None)),
        ("k=int(interval(1,5))", int(1, 5, false, 1)),
        ("k=tag(int,interval(1,5))", int(1, 5, false, 1)),
        ("k=tag(log,interval(1,5))", float(1.0, 5.0, true, None)),
        ("k=tag(log,int(interval(1,5)))", int(1, 5, true, 1)),
    ] {
        assert_eq!(domain(argument), want, "{argument}");
    }
    assert_eq!(texts(&domain("k=1,2.5,null,true,relu")), ["1", "2.5", "null", "True", "relu"]);
    assert_eq!(texts(&domain("k=choice([1,2],{a:1})")), ["[1,2]", "{a:1}"]);
    assert_eq!(texts(&domain("optimizer=glob(*)")), ["adam", "sgd"]);
    assert_eq!(texts(&domain("k=shuffle(range(1,4))")).len(), 3);
    assert!(matches!(domain("k=tag(ordered,choice(1,2))"), Domain::Choice { ordered: true, .. }));
}

#[test]
fn a_later_override_replaces_and_fixes() {
    let space = read(&["a=1,2", "b=3", "c=interval(0,1)", "c=0.5", "~d", "hydra.job.name=x"], false).unwrap();
    assert_eq!(space.parameters.keys().collect::<Vec<_>>(), ["a"]);
    let params = Params::from_iter([("a".to_owned(), ParamValue::Choice(1))]);
    assert_eq!(space.overrides(&params), ["a=2", "b=3", "c=0.5", "~d"]);
}

#[test]
fn ranges_that_cannot_be_are_refused() {
    for (argument, words) in [
        ("k=tag(log,interval(0,1))", "the logarithmic range of `k` starts at 0"),
        ("k=tag(log,int(interval(0,9)))", "starts at 0"),
        ("k=interval(2,1)", "ends at 1, before its start 2"),
        ("hydra.sweeper.n_trials=1,2", "sweeps over hydra's own config"),
        ("k=glob(x*)", "has no values"),
    ] {
        let message = read(&[argument], false).unwrap_err();
        assert!(message.contains(words), "{argument}: {message}");
    }
    assert!(read(&["k=interval(0,1)"], true).unwrap_err().contains("cannot be enumerated"));
}

#[test]
fn conditions_and_constraints_are_over_the_sweep_s_own_keys() {
    let mut space = read(&["width.1=8,16", "depth=1,2,3", "+act=relu,gelu", "lr=0.1"], false).unwrap();
    space.restrict([("width.1", "depth >= 2")], ["depth * lr < 0.25 or act == 'relu'"]).unwrap();
    // A parameter stands behind what its condition names.
    assert_eq!(space.parameters.keys().collect::<Vec<_>>(), ["depth", "width.1", "+act"]);
    let all = |depth: usize, act: usize| {
        space.active(|p| match p.key.as_str() {
            "depth" => ParamValue::Choice(depth),
            "+act" => ParamValue::Choice(act),
            _ => ParamValue::Choice(1),
        })
    };
    assert_eq!(space.overrides(&all(0, 0)), ["depth=1", "+act=relu", "lr=0.1"]);
    assert_eq!(space.overrides(&all(1, 0)), ["width.1=16", "depth=2", "+act=relu", "lr=0.1"]);
    assert!(space.violated(&all(2, 0)).is_none() && space.violated(&all(1, 1)).is_none());
    assert_eq!(space.violated(&all(2, 1)).unwrap().text(), "depth * lr < 0.25 or act == 'relu'");

    for (conditions, constraints, words) in [
        (vec![("depht", "act == 'relu'")], vec![], "did you mean `depth`?"),
        (vec![("depth", "ackt == 1")], vec![], "did you mean `act`?"),
        (vec![("depth", "act == 'relu'"), ("act", "depth > 1")], vec![], "depend on each other"),
        (vec![], vec!["depth +"], "cannot be read"),
    ] {
        let mut space = read(&["depth=1,2", "+act=relu,gelu"], false).unwrap();
        let message = space.restrict(conditions, constraints).unwrap_err().to_string();
        assert!(message.contains(words), "{message}");
    }
}

#[test]
fn optuna_s_words_for_domains() {
    let distribution = |argument: &str| read(&[argument], false).unwrap().parameters[0].optuna_distribution();
    assert_eq!(
        distribution("k=tag(log,interval(0.001,1))"),
        r#"{"name":"FloatDistribution","attributes":{"step":null,"low":0.001,"high":1.0,"log":true}}"#
    );
    assert_eq!(
        distribution("k=choice(a,1,true)"),
        r#"{"name":"CategoricalDistribution","attributes":{"choices":["a",1,true]}}"#
    );
}
