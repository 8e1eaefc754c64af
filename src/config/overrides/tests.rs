use proptest::prelude::*;

use super::*;
use crate::config::json;

fn read(argument: &str) -> Override {
    parse(argument, 1).unwrap_or_else(|problem| panic!("{argument}: {problem}"))
}

fn value(argument: &str) -> String {
    json::compact(&read(argument).to_node().unwrap_or_else(|| panic!("{argument} is a sweep")))
}

fn jobs(arguments: &[&str]) -> Vec<String> {
    let arguments: Vec<String> = arguments.iter().map(|s| s.to_string()).collect();
    let options = |_: &str| ["fescue", "foxtail", "oat", "rye"].map(String::from).to_vec();
    let jobs = sweep::expand(&parse_all(&arguments).unwrap(), &options, 7).unwrap();
    assert_eq!(jobs.len() as usize, jobs.clone().count());
    jobs.map(|job| job.join(" ")).collect()
}

#[test]
fn keys_packages_and_operations() {
    let cases = [
        ("a=1", Op::Set, "a", None, vec!["a"]),
        ("+a.b-c.0=1", Op::Add, "a.b-c.0", None, vec!["a", "b-c", "0"]),
        ("++$x=1", Op::Force, "$x", None, vec!["$x"]),
        ("~a", Op::Delete, "a", None, vec!["a"]),
        ("~a=", Op::Delete, "a", None, vec!["a"]),
        ("db/engine@src.engine=x", Op::Set, "db/engine", Some("src.engine"), vec!["db/engine"]),
        ("+db@=x", Op::Add, "db", Some(""), vec!["db"]),
        ("steps[0].size=1", Op::Set, "steps[0].size", None, vec!["steps", "0", "size"]),
        ("a\\.b=1", Op::Set, "a\\.b", None, vec!["a.b"]),
        ("=1", Op::Set, "", None, vec![]),
        ("@p=1", Op::Set, "", Some("p"), vec![]),
    ];
    for (argument, op, key, package, parts) in cases {
        let parsed = read(argument);
        assert_eq!(
            (
                parsed.op,
                parsed.key.as_str(),
                parsed.package.as_deref(),
                parsed.parts.iter().map(String::as_str).collect()
            ),
            (op, key, package, parts),
            "{argument}"
        );
    }
    assert!(read("~a").value.is_none());
    assert!(read("~a=").value.is_some());
    assert!(read("hydra.run.dir=x").is_hydra() && read("hydra/launcher=x").is_hydra());
    assert!(!read("hydraulics.x=1").is_hydra());
}

#[test]
fn values_of_every_kind() {
    let cases = [
        ("v=10", "10"),
        ("v=-0", "0"),
        ("v=1_000", "1000"),
        ("v=007", "\"007\""),
        ("v=3.", "3.0"),
        ("v=-inf", "{\"__float__\":\"-inf\"}"),
        ("v=nULL", "null"),
        ("v=TRUE", "true"),
        ("v=", "\"\""),
        ("v=   ", "\"\""),
        ("v=  a  b  ", "\"a  b\""),
        ("v=a\\,b", "\"a,b\""),
        ("v=\\ a\\ ", "\" a \""),
        ("v=a : ", "\"a : \""),
        ("v='it\\'s'", "\"it's\""),
        ("v='end\\\\'", "\"end\\\\\""),
        ("v=\"日本\"", "\"日本\""),
        ("v=${a.b}", "\"${a.b}\""),
        ("v=[1, [a b], {x:null}]", "[1,[\"a b\"],{\"x\":null}]"),
        ("v={1:a,true:b,k:1,k:2}", "{\"1\":\"b\",\"k\":2}"),
        ("v={a:b:c}", "{\"a\":\"b:c\"}"),
        ("v=int([1.5,'2',true])", "[1,2,1]"),
        ("v=str({a:1,b:2.50})", "{\"a\":\"1\",\"b\":\"2.5\"}"),
        ("v=sort([2,1.5,true])", "[true,1.5,2]"),
        ("v=sort([b,a,C],reverse=true)", "[\"b\",\"a\",\"C\"]"),
        ("v=json_str({a:1,b:[x,null,true,1.5]})", "\"{\\\"a\\\": 1, \\\"b\\\": [\\\"x\\\", null, true, 1.5]}\""),
        ("v=json_str('é😀')", "\"\\\"\\\\u00e9\\\\ud83d\\\\ude00\\\"\""),
        ("v=extend_list(4,[5],x)", "[4,[5],\"x\"]"),
        ("v=shuffle(5)", "[5]"),
    ];
    for (argument, expected) in cases {
        assert_eq!(value(argument), expected, "{argument}");
    }
}

#[test]
fn values_know_their_columns() {
    let node = read("+v={a: [x, 10]}").to_node().unwrap();
    let ten = node.select("a.1").unwrap();
    assert_eq!((ten.origin.line, ten.origin.column), (1, 12));
    assert_eq!(node.get("a").unwrap().origin.key, (1, 5));
    assert_eq!(node.origin.key, (1, 2));
    assert_eq!(ten.origin.to_string(), "argument 1: +v={a: [x, 10]}");
}

/// Where the grammar is left: the column, and words that the message must hold.
#[test]
fn errors_point_at_the_character_and_say_what_goes_there() {
    let cases: &[(&str, u32, &[&str])] = &[
        ("v=café", 6, &["`é`", "v='café'"]),
        ("v=it's é", 5, &["never closed", "v=\"it's é\""]),
        ("v=a#b 'x'", 4, &["`#`", "v=\"a#b 'x'\""]),
        ("v='a' #\"", 6, &["closing quote"]),
        ("v='unterminated", 3, &["never closed"]),
        ("v='a'b", 6, &["closing quote"]),
        ("v=[1] ", 6, &["closing bracket"]),
        ("v=[1", 3, &["`[` is never closed"]),
        ("v=[1,", 6, &["ends too early"]),
        ("v=[1,]", 6, &["a value goes here"]),
        ("v={a}", 5, &["`:` and a value"]),
        ("v={'q':1}", 4, &["without quotes"]),
        ("v={a:{null:1}}", 7, &["null cannot be a key"]),
        ("v=a=b", 4, &["`=`", "v='a=b'"]),
        ("v=a]", 4, &["`]`"]),
        ("v=1,", 5, &["ends too early"]),
        ("v=,1", 3, &["a value goes here"]),
        ("v=99999999999999999999", 3, &["too large"]),
        ("v=nosuch(1)", 3, &["no function `nosuch`"]),
        ("v=chioce(1,2)", 3, &["did you mean `choice`"]),
        ("v=int(1,'x')", 9, &["'x' is no integer"]),
        ("v=sort([1,a])", 11, &["no order"]),
        ("v=sort([1],foo=1)", 16, &["no argument `foo`"]),
        ("v=sort(reverse=true,[1,2])", 21, &["come before"]),
        ("v=range(a)", 9, &["`start` is a number"]),
        ("v=range()", 3, &["`start` is missing"]),
        ("v=range(1,2,3,4)", 15, &["at most 3"]),
        ("v=range(0,inf)", 3, &["finite"]),
        ("v=[choice(1,2)]", 4, &["inside a list"]),
        ("v=choice(1,2),3", 3, &["inside a comma list"]),
        ("v=choice(null,1)", 10, &["null cannot be a choice", "commas"]),
        ("v=tag(a,1)", 9, &["goes last"]),
        ("v=glob(['x'])", 9, &["without quotes"]),
        ("+v=extend_list(1)", 4, &["no prefix"]),
        ("temp", 5, &["no value", "temp=VALUE", "~temp"]),
        ("temp =5", 5, &["write temp=5"]),
        ("temp 5", 5, &["write temp=5"]),
        ("te mp=5", 3, &["a key cannot hold"]),
        ("v==1", 3, &["one `=`"]),
        ("v=${a.${b}}", 11, &["v='${a.${b}}'"]),
        ("v={b:(0.9,0.999)}", 6, &["[a,b]"]),
        (" temp=5", 1, &["blank"]),
        ("'temp'=5", 1, &["without quotes"]),
        ("1=2", 1, &["number"]),
        (".a=1", 1, &["dot"]),
        ("a.=1", 2, &["dot"]),
        ("a..b=1", 2, &["dot"]),
        ("a.01=1", 4, &["`=` goes here"]),
        ("a/=1", 3, &["name goes after `/`"]),
        ("+++a=1", 3, &["`+`"]),
        ("--help=1", 1, &["option"]),
        ("a@b:c=1", 4, &["`:`"]),
        ("a[=1", 2, &["brackets"]),
        ("café=1", 4, &["`é`"]),
        ("", 1, &["empty"]),
    ];
    for (argument, column, words) in cases {
        let problem = parse(argument, 3).map(|parsed| panic!("{argument} was read as {parsed:?}")).unwrap_err();
        let origin = problem.origin.clone().unwrap_or_else(|| panic!("{argument}: {problem} has no place"));
        assert_eq!(origin.column, *column, "{argument}: {problem}");
        assert_eq!(origin.source.kind, SourceKind::Argument(3));
        assert!(problem.width > 0 || argument.is_empty(), "{argument}");
        for word in *words {
            assert!(problem.to_string().contains(word), "{argument}: {problem} lacks {word}");
        }
    }
}

#[test]
fn all_bad_arguments_are_reported_together() {
    let arguments = ["a=1", "b", "c=[", "d=2"].map(String::from);
    let problems = parse_all(&arguments).unwrap_err();
    assert_eq!(problems.0.len(), 2);
    assert!(problems.0[1].to_string().contains("argument 3: c=["), "{problems}");
}

#[test]
fn nesting_is_bounded() {
    let depth = crate::config::yaml::MAX_DEPTH;
    let nested = |open: &str, close: &str, n: usize| format!("v={}{}", open.repeat(n), close.repeat(n));
    assert!(parse(&nested("[", "]", depth), 1).is_ok());
    for (open, close) in [("[", "]"), ("{a:", "}"), ("str(", ")"), ("[", ""), ("f(", "")] {
        let problem = parse(&nested(open, close, 100_000), 1).unwrap_err();
        assert!(problem.to_string().contains("nest deeper"), "{open}: {problem}");
    }
}

#[test]
fn jobs_are_the_product_with_the_last_axis_fastest() {
    let cases: &[(&[&str], &[&str])] = &[
        (&[], &[""]),
        (&["a=5"], &["a=5"]),
        (
            &["a=1,2", "b=x", "c=true,false"],
            &["a=1 b=x c=True", "a=1 b=x c=False", "a=2 b=x c=True", "a=2 b=x c=False"],
        ),
        (&["a=1,2", "b=3,4", "a=9"], &["a=9 b=3", "a=9 b=4"]),
        (&["a=1", "+a=2,3"], &["a=1 +a=2", "a=1 +a=3"]),
        (&["hydra.run.dir=x", "a=1,2"], &["a=1", "a=2"]),
        (&["~a", "b=1,2"], &["~a b=1", "~a b=2"]),
        (&["a=1.0,1e-5,1E3,1e16,.5,inf"], &["a=1.0", "a=1e-05", "a=1000.0", "a=1e+16", "a=0.5", "a=inf"]),
        (&["a=a b,a:b,${x},'a,b',\"q\""], &["a=a\\ b", "a=a\\:b", "a=$\\{x\\}", "a='a,b'", "a=\"q\""]),
        (&["a=choice('a,b',[1, 'q'])"], &["a=a\\,b", "a=[1,'q']"]),
        (&["a=json_str(x,1)"], &["a=\"x\"", "a=1"]),
        (&["a=range(5,0)", "b=1,2"], &[]),
        (&["a=int(1.5,2.5)"], &["a=1", "a=2"]),
        (&["a=float(range(1,3))"], &["a=1.0", "a=2.0"]),
        (&["a=sort(range(5,0,-2))"], &["a=1", "a=3", "a=5"]),
        (&["g=glob(*,exclude=f*)"], &["g=oat", "g=rye"]),
        (&["g=glob([r*,o*])"], &["g=oat", "g=rye"]),
        (&["a=tag(t1,t2,choice(1,2))"], &["a=1", "a=2"]),
        (&["a=extend_list(1,'x')", "b=1,2"], &["a=extend_list(1,x) b=1", "a=extend_list(1,x) b=2"]),
    ];
    for (arguments, expected) in cases {
        assert_eq!(jobs(arguments), *expected, "{arguments:?}");
    }
}

#[test]
fn shuffled_jobs_are_a_permutation_that_the_seed_decides() {
    let parsed = parse_all(&["a=shuffle(range(0,50))".to_owned()]).unwrap();
    let draw = |seed| sweep::expand(&parsed, &|_: &str| Vec::new(), seed).unwrap().flatten().collect::<Vec<_>>();
    assert_eq!(draw(1), draw(1));
    assert_ne!(draw(1), draw(2));
    let mut sorted = draw(1);
    sorted.sort_by_key(|job| job[2..].parse::<i64>().unwrap());
    assert_eq!(sorted, (0..50).map(|i| format!("a={i}")).collect::<Vec<_>>());
    assert_eq!(
        parse_seeded("v=shuffle([1,2,3,4,5,6])", 1, 5).unwrap().value,
        parse_seeded("v=shuffle([1,2,3,4,5,6])", 1, 5).unwrap().value
    );
}

#[test]
fn sweeps_that_have_no_jobs_say_why() {
    let fail = |argument: &str| {
        let parsed = parse_all(&[argument.to_owned()]).unwrap();
        match sweep::expand(&parsed, &|_: &str| Vec::new(), 1) {
            Ok(jobs) => panic!("{argument} has {} jobs", jobs.len()),
            Err(problems) => problems.to_string(),
        }
    };
    assert!(fail("a=interval(0,1)").contains("cannot be enumerated"));
    assert!(fail("hydra.job.name=a,b").contains("hydra's own config"));
    assert!(fail("a=choice('é',b)").contains("needs quotes"));
    assert!(fail("a=shuffle(range(0,10000000))").contains("shuffled"));
}

#[test]
fn huge_sweeps_take_no_memory() {
    let arguments = ["a=range(0,4000000000)", "b=range(0,1000000000)"].map(String::from);
    let jobs = sweep::expand(&parse_all(&arguments).unwrap(), &|_: &str| Vec::new(), 1).unwrap();
    assert_eq!(jobs.len(), 4_000_000_000_000_000_000);
    assert_eq!(jobs.get(1_000_000_001), Some(vec!["a=1".to_owned(), "b=1".to_owned()]));
    let arguments = ["a=range(0,4000000000)", "b=range(0,4000000000)", "c=range(0,4000000000)"].map(String::from);
    assert!(sweep::expand(&parse_all(&arguments).unwrap(), &|_: &str| Vec::new(), 1).is_err());
}

/// Values that the grammar can express, as elements.
fn any_element() -> impl Strategy<Value = Element> {
    let scalar = prop_oneof![
        Just(Literal::Null),
        any::<bool>().prop_map(Literal::Bool),
        any::<i64>().prop_map(Literal::Int),
        any::<f64>().prop_map(Literal::Float),
        ("[a-z]", "[a-zA-Z0-9_/\\-+.$%*@?|()\\[\\]{}:=, \t]{0,8}[a-z]").prop_map(|(a, b)| Literal::Text(a + &b)),
        ("\\PC*", any::<bool>())
            .prop_map(|(text, double)| { Literal::Quoted(if double { Quote::Double } else { Quote::Single }, text) }),
    ];
    let element = |literal| Element { literal, span: Span::default() };
    scalar.prop_map(element).prop_recursive(3, 16, 4, move |inner| {
        let key = prop_oneof![
            "[a-z][a-z0-9_ :,-]{0,5}x".prop_map(Literal::Text),
            any::<i64>().prop_map(Literal::Int),
            any::<bool>().prop_map(Literal::Bool),
        ]
        .prop_map(element);
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(move |items| element(Literal::List(items))),
            prop::collection::vec((key, inner), 0..4)
                .prop_map(move |entries| element(Literal::Dict(element::without_repeats(entries)))),
        ]
    })
}

/// Text that reads as a number, boolean or null does not come back as text; Hydra has that too.
fn reads_as_itself(element: &Element) -> bool {
    match &element.literal {
        Literal::Text(text) => !["null", "true", "false", "inf", "nan"].contains(&text.as_str()),
        Literal::List(items) => items.iter().all(reads_as_itself),
        Literal::Dict(entries) => entries.iter().all(|(key, value)| reads_as_itself(key) && reads_as_itself(value)),
        Literal::Float(v) => !v.is_nan(),
        _ => true,
    }
}

proptest! {
    #[test]
    fn what_is_spelt_reads_back_equal(element in any_element().prop_filter("itself", reads_as_itself)) {
        let spelt = format!("v={}", element.spell());
        let parsed = parse(&spelt, 1).map_err(|problem| TestCaseError::fail(format!("{spelt}: {problem}")))?;
        prop_assert_eq!(parsed.element(), Some(&element), "{}", spelt);
        prop_assert_eq!(parsed.spell(), Some(spelt));
    }

    #[test]
    fn no_argument_panics(argument in "\\PC*") {
        drop(parse(&argument, 1).map(|parsed| parsed.to_node()));
    }

    #[test]
    fn no_value_panics(text in "[-a-c0-9_+.$%*@?|/\\\\:=,()\\[\\]{}'\" \t~é]{0,40}") {
        if let Ok(parsed) = parse(&format!("v={text}"), 1) {
            drop(sweep::expand(&[parsed], &|_: &str| Vec::new(), 1));
        }
    }
}
