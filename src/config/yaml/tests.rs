use super::*;
use crate::config::json;

fn source(text: &str) -> Arc<Source> {
    Arc::new(Source { kind: SourceKind::File("test.yaml".into()), text: text.to_owned() })
}

fn read_ok(text: &str) -> Node {
    parse(source(text)).unwrap_or_else(|problems| panic!("{text}: {problems}"))
}

fn read_err(text: &str) -> String {
    match parse(source(text)) {
        Ok(node) => panic!("{text:?} was read as {}", json::compact(&node)),
        Err(problems) => problems.to_string(),
    }
}

#[test]
fn documents_become_trees() {
    let cases = [
        ("", "{}"),
        ("# only a comment\n", "{}"),
        ("---\n", "{}"),
        ("\u{feff}a: 1\n", r#"{"a":1}"#),
        ("a: 1\r\nb: 2\r\n", r#"{"a":1,"b":2}"#),
        ("a: 1\n...\n", r#"{"a":1}"#),
        ("- 1\n- x\n", r#"[1,"x"]"#),
        ("a:\nb: ''\n", r#"{"a":null,"b":""}"#),
        ("a: !!str 1\nb: !!int '7'\nc: ! 3\nd: !!float 3\n", r#"{"a":"1","b":7,"c":3,"d":3.0}"#),
        ("a: yes\nyes: a\n7: b\n1.5: c\n", r#"{"a":true,"true":"a","7":"b","1.5":"c"}"#),
        ("1: a\n1.0: b\ntrue: c\n", r#"{"1":"c"}"#),
        ("=: 1\n'<<': 2\n", r#"{"=":1,"<<":2}"#),
        ("x: &a {p: 1, q: 2}\ny: {r: 0, <<: *a, q: 3}\n", r#"{"x":{"p":1,"q":2},"y":{"p":1,"q":3,"r":0}}"#),
        (
            "x: &a {p: 1}\ny: &b {p: 2, q: 3}\nz: {<<: [*a, *b]}\n",
            r#"{"x":{"p":1},"y":{"p":2,"q":3},"z":{"p":1,"q":3}}"#,
        ),
        ("x: &a k\n*a : v\n", r#"{"x":"k","k":"v"}"#),
        ("a: |\n  one\n   two\nb: >-\n  x\n  y\n", r#"{"a":"one\n two\n","b":"x y"}"#),
        ("a: \"tab\\there\\u00e9\"\nb: 'it''s'\n", r#"{"a":"tab\there\u00e9","b":"it's"}"#),
        ("b: 'p\tq' # c\td\n", r#"{"b":"p\tq"}"#),
        ("a: |\n  x\ty\n", r#"{"a":"x\ty\n"}"#),
        ("a: |\n  text", r#"{"a":"text"}"#),
        ("a: |\n  text\n", r#"{"a":"text\n"}"#),
        ("a: >\n  x\n  ", r#"{"a":"x\n"}"#),
        ("a: |+\n  x\n\n", r#"{"a":"x\n\n"}"#),
        ("a:\n  b: [\n    1\n]\nc: 2\n", r#"{"a":{"b":[1]},"c":2}"#),
        ("a:\n  b: {x: 1,\n  y: [2,\n3]}\n", r#"{"a":{"b":{"x":1,"y":[2,3]}}}"#),
        ("a:\n  b: 'one\n  it''s\nx'\n  c: 1\n", r#"{"a":{"b":"one it's x","c":1}}"#),
        ("a: \"one \\\" \\\ntwo\n\n three\"\nb: ${x}\n", r#"{"a":"one \" two\nthree","b":"${x}"}"#),
        ("a: ???\nb: [x, '?']\n", r#"{"a":"???","b":["x","?"]}"#),
        ("r:\n- {}\n- a?\n&k b: 1\n", r#"{"r":[{},"a?"],"b":1}"#),
        ("a: &x_1 [1]\nb: &y\n  c: *x_1\nd: &z !!str 1\n", r#"{"a":[1],"b":{"c":[1]},"d":"1"}"#),
        ("{a: [1, {b: c}], 'd': e}\n", r#"{"a":[1,{"b":"c"}],"d":"e"}"#),
    ];
    for (text, expected) in cases {
        let expected: serde_json::Value = serde_json::from_str(expected).unwrap();
        let actual: serde_json::Value = serde_json::from_str(&json::compact(&read_ok(text))).unwrap();
        assert_eq!(actual, expected, "{text:?}");
        assert_eq!(actual.to_string(), expected.to_string(), "order of {text:?}");
    }
}

#[test]
fn what_is_wrong_is_said_with_its_place() {
    let cases: &[(&str, &[&str])] = &[
        ("a: 1\nb: 2\na: 3\n", &["`a`", "lines 1 and 3", "test.yaml:3:1"]),
        ("a:\n  x: 1\n  x: 2\n", &["`x`", "lines 2 and 3"]),
        ("a: 1\n---\nb: 2\n", &["second YAML document", ":2:1"]),
        ("a: !foo 1\n", &["`!foo`", ":1:4"]),
        ("a: !!python/tuple [1]\n", &["`!!python/tuple`"]),
        ("a: !!set {x, y}\n", &["`!!set`"]),
        ("a: !!str [1]\n", &["`!!str`"]),
        ("a: !!int x\n", &["`x` is no integer"]),
        ("a: =\n", &["`=`", "'='"]),
        ("- <<\n", &["`<<`"]),
        ("~: 1\n", &["null cannot be a key", ":1:1"]),
        ("[1, 2]: x\n", &["a list cannot be a key"]),
        ("a: &x [1, *x]\n", &["contains it", ":1:11"]),
        ("a: *nowhere\n", &["not valid YAML"]),
        ("x: {<<: 3}\n", &["`<<` merges", ":1:5"]),
        ("\ta: 1\n", &["tab", "spaces", ":1:1"]),
        ("a: [1,\t2]\n", &["tab", ":1:7"]),
        ("a:\n\tb: 1\n", &["tab"]),
        ("a: x\ty\n", &["tab", ":1:5"]),
        ("a: 1\n\t\nb: 2\n", &["tab", ":2:1"]),
        ("a: 'é'\t# c\n", &["tab", ":1:7"]),
        ("a: [x, \"\t\"\t]\n", &["tab", ":1:11"]),
        ("a: 1\t", &["tab", ":1:5"]),
        ("a: [???, 1]\n", &["`?`", ":1:5", "'???'"]),
        ("a: {x: :b}\n", &["`:`", ":1:8"]),
        ("a: &x 1\nb: &x 2\n", &["`x`", "twice", ":2:5"]),
        ("a:\n  b: 'x\nyé", &["not valid YAML"]),
        ("- &paint: oil\n", &["anchor", ":1:4"]),
        ("a:\n  b: [1,\n2,\n???]\n", &["`?`", ":4:1"]),
        ("a: [1, 2\n", &["not valid YAML"]),
        ("a: b: c\n", &["not valid YAML", "quoted"]),
        ("a: ${x}\nb: [${y}]\n", &["not valid YAML"]),
        ("a: 99999999999999999999\n", &["too large", "64 bits", "99999999999999999999"]),
        ("a: \u{7}\n", &["U+0007", ":1:4"]),
        ("a: 'x\n", &["not valid YAML"]),
    ];
    for (text, words) in cases {
        let message = read_err(text);
        for word in *words {
            assert!(message.contains(word), "{text:?}: {message} lacks {word}");
        }
    }
}

#[test]
fn all_problems_of_a_file_come_together() {
    let problems = parse(source("a: 1\na: 2\nb: 1\nb: 2\nc: =\n")).unwrap_err();
    assert_eq!(problems.0.len(), 3, "{problems}");
}

#[test]
fn values_and_keys_know_their_places() {
    let node = read_ok("model:\n  lr: 0.1\n  layers:\n    - 64\n");
    let lr = node.select("model.lr").unwrap();
    assert_eq!((lr.origin.line, lr.origin.column, lr.origin.key), (2, 7, (2, 3)));
    let layer = node.select("model.layers.0").unwrap();
    assert_eq!((layer.origin.line, layer.origin.column, layer.origin.key), (4, 7, (0, 0)));
    assert_eq!(lr.origin.of_key().to_string(), "test.yaml:2:3");
}

#[test]
fn nesting_and_aliases_are_bounded() {
    let deep = |levels: usize| format!("{}{}", "[".repeat(levels), "]".repeat(levels));
    assert!(parse(source(&deep(MAX_DEPTH))).is_ok());
    assert!(read_err(&deep(MAX_DEPTH + 1)).contains("nest deeper"));
    assert!(read_err(&"[".repeat(100_000)).contains("nest deeper"));
    assert!(read_err(&"- ".repeat(100_000)).contains("nest deeper"));

    let mut bomb = String::from("a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n");
    for i in 1..12 {
        let aliases = vec![format!("*a{}", i - 1); 10].join(", ");
        bomb += &format!("a{i}: &a{i} [{aliases}]\n");
    }
    assert!(read_err(&bomb).contains("copy more than"));

    let mut chain = format!("a0: &a0 {}\n", deep(100));
    for i in 1..50 {
        chain += &format!("a{i}: &a{i} {}*a{}{}\n", "[".repeat(100), i - 1, "]".repeat(100));
    }
    assert!(read_err(&chain).contains("nest deeper"));
}

#[test]
fn bytes_that_are_not_utf8_are_named() {
    let problems = decode(SourceKind::File("x.yaml".into()), b"a: 1\nb: \xff\n".to_vec()).unwrap_err();
    let text = problems.to_string();
    assert!(text.contains("0xff") && text.contains("x.yaml:2:4"), "{text}");
}

#[test]
fn a_file_that_is_not_there_is_named() {
    let text = read(Path::new("no/such/file.yaml")).unwrap_err().to_string();
    assert!(text.contains("no/such/file.yaml"), "{text}");
}
