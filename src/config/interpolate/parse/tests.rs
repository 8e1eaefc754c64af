//! The grammar, production by production.

use super::*;

fn reference(dots: usize, steps: &[&str]) -> Interpolation {
    let steps = steps.iter().map(|s| Step::Name((*s).to_owned())).collect();
    Interpolation::Reference(Reference { dots, steps })
}

fn parts(text: &str) -> Vec<Part> {
    template(text).unwrap_or_else(|e| panic!("{text}: {e:?}")).parts
}

fn call(text: &str) -> Call {
    match parts(text).as_slice() {
        [Part::Interpolation(Interpolation::Call(call))] => call.clone(),
        other => panic!("{text}: {other:?}"),
    }
}

#[test]
fn paths() {
    for (text, dots, steps) in [
        ("${a}", 0, vec!["a"]),
        ("${ a.b }", 0, vec!["a", "b"]),
        ("${a[0].b}", 0, vec!["a", "0", "b"]),
        ("${[a][b]}", 0, vec!["a", "b"]),
        ("${.x}", 1, vec!["x"]),
        ("${...x.y}", 3, vec!["x", "y"]),
        ("${..[x]}", 2, vec!["x"]),
        ("${a/b@c-d.$e}", 0, vec!["a/b@c-d", "$e"]),
        ("${l.-1}", 0, vec!["l", "-1"]),
    ] {
        assert_eq!(parts(text), [Part::Interpolation(reference(dots, &steps))], "{text}");
    }
}

#[test]
fn escapes_outside() {
    let x = || Part::Interpolation(reference(0, &["x"]));
    let text = |t: &str| Part::Text(t.to_owned());
    for (source, want) in [
        (r"\${x}", vec![text("${x}")]),
        (r"\\${x}", vec![text(r"\"), x()]),
        (r"\\\${x}", vec![text(r"\${x}")]),
        (r"a\b\\c${x}", vec![text(r"a\b\\c"), x()]),
        (r"$x $${x}\\", vec![text("$x $"), x(), text(r"\\")]),
    ] {
        assert_eq!(parts(source), want, "{source}");
    }
}

#[test]
fn arguments() {
    let constant = |v: Value| Element::Constant(v);
    for (text, want) in [
        ("${f:}", vec![]),
        ("${f: 1, -2.5 ,true,NULL}", vec![1i64.into(), (-2.5).into(), true.into(), Value::Null]),
        ("${f:,a}", vec!["".into(), "a".into()]),
        ("${f:a,}", vec!["a".into(), "".into()]),
        ("${f:a b,c:d,1.2.3,%Y-%m}", vec!["a b".into(), "c:d".into(), "1.2.3".into(), "%Y-%m".into()]),
        (r"${f:a\,b,\}}", vec!["a,b".into(), "}".into()]),
        ("${f:007,1_0,1__0}", vec!["007".into(), 10i64.into(), "1__0".into()]),
    ] {
        assert_eq!(call(text).arguments, want.into_iter().map(constant).collect::<Vec<_>>(), "{text}");
    }
    let quoted = |t: &str| Element::Quoted(Template { parts: vec![Part::Text(t.to_owned())] });
    assert_eq!(call(r"${f:'it\'s \\', ' \n'}").arguments, [quoted(r"it's \"), quoted(r" \n")]);
    assert_eq!(call(r"${f:'a\\'}").arguments, [quoted(r"a\")]);
    assert_eq!(
        call("${f:[1,[]],{a: b:c, 1:[x]}}").arguments,
        [
            Element::List(vec![constant(1i64.into()), Element::List(vec![])]),
            Element::Map(vec![
                ("a".into(), constant("b:c".into())),
                (Key::Int(1), Element::List(vec![constant("x".into())]))
            ])
        ]
    );
}

#[test]
fn expressions_are_raw() {
    for (text, want) in [
        ("${eval:'1 + 2'}", "1 + 2"),
        ("${eval:(1 + 2) * 3}", "(1 + 2) * 3"),
        ("${eval:{1: '}'}[1]}", "{1: '}'}[1]"),
        ("${eval:'a' if 1 < 2 else 'b'}", "'a' if 1 < 2 else 'b'"),
    ] {
        let want = Element::Quoted(Template { parts: vec![Part::Text(want.to_owned())] });
        assert_eq!(call(text).arguments, [want], "{text}");
    }
}

#[test]
fn refused() {
    for text in [
        "${",
        "${}",
        "${a",
        "${a b}",
        "${a.}",
        "${.}",
        "${a..b}",
        "${a.[b]}",
        "${a[b}",
        "${foo${bar}}",
        "${f:'a' b}",
        "${f:a'b'}",
        "${f:[1}",
        "${f:{a}}",
        "${f:{a:1,}}",
        "${f:é}",
        "${1a:x}",
        "${f:(}",
        "${f:a=b}",
        "${f:'a}",
        "${a:b",
    ] {
        assert!(template(text).is_err(), "{text} should be refused");
    }
    let deep = format!("{}a{}", "${f:".repeat(2000), "}".repeat(2000));
    assert!(template(&deep).is_err());
    assert!(element(&"[".repeat(100_000)).is_err());
}
