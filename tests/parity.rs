//! What Hydra does with a config tree and a command line, case by case: see `tests/parity/README.md`.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use runner::config::overrides::{self, sweep};
use runner::config::{Composer, Facts, Place, Problems, Resolvers, Sources, json};
use serde_json::Value;

/// What a program did with a case.
enum Outcome {
    Composed(Value),
    Swept(Vec<Vec<String>>),
    Failed(String),
}

#[derive(Default)]
struct Row {
    total: usize,
    passed: usize,
}

fn corpus() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/parity")
}

fn run(case: &Value) -> Outcome {
    match carry_out(case) {
        Ok(outcome) => outcome,
        Err(problems) => Outcome::Failed(problems.to_string()),
    }
}

fn carry_out(case: &Value) -> Result<Outcome, Problems> {
    // A case of `found.jsonl` brings its tree along.
    let own = case["files"].as_object().map(written);
    let tree = match &own {
        Some(folder) => folder.path().to_owned(),
        None => corpus().join("trees").join(text(&case["tree"])),
    };
    let mut resolvers = Resolvers::new();
    for (name, value) in case["env"].as_object().into_iter().flatten() {
        resolvers = resolvers.with_variable(name, text(value));
    }
    let places = [Place::folder("main", tree), Place::shipped()];
    let composer = Composer::new(Sources::new(places), Facts::default()).with_resolvers(resolvers);
    let name = Some(text(&case["config_name"]));
    let arguments: Vec<String> = strings(&case["overrides"]);
    let overrides = overrides::parse_all(&arguments)?;
    if case["kind"] != "sweep" && case["multirun"] != true {
        let config = composer.compose(name, &overrides)?;
        return Ok(Outcome::Composed(parse(&json::compact(&config.resolved()?))));
    }
    let parent = composer.compose_parent(name, &overrides)?;
    let axes = overrides::parse_all(&parent.sweep_arguments()?)?;
    let jobs = sweep::expand(&axes, &|group| parent.sources.options(group), 0)?;
    let mut all = Vec::new();
    while let Some(job) = jobs.get(all.len() as u64) {
        composer.compose_job(name, &parent, &job, &composer.facts().of_job(all.len(), None))?;
        all.push(job);
    }
    Ok(Outcome::Swept(all))
}

/// A folder with these files.
fn written(files: &serde_json::Map<String, Value>) -> tempfile::TempDir {
    let folder = tempfile::tempdir().expect("a temporary folder");
    for (name, content) in files {
        let path = folder.path().join(name);
        std::fs::create_dir_all(path.parent().expect("a folder")).expect("a folder");
        std::fs::write(path, text(content)).expect("a file");
    }
    folder
}

/// Why an outcome is none of those that pass; `None` when it is one.
fn judge(case: &Value, outcome: &Outcome) -> Option<String> {
    let also = case["also"].as_array().into_iter().flatten();
    let mut reasons = std::iter::once(case).chain(also).map(|accepted| compare(case, accepted, outcome));
    let first = reasons.next().flatten()?;
    if reasons.any(|reason| reason.is_none()) { None } else { Some(first) }
}

fn compare(case: &Value, accepted: &Value, outcome: &Outcome) -> Option<String> {
    let want = &accepted["expected"];
    match (text(&accepted["kind"]), outcome) {
        ("error", Outcome::Failed(message)) => message.is_empty().then(|| "failed without a message".to_owned()),
        ("error", Outcome::Composed(got)) => Some(format!("should fail ({}), gave {got}", want["message"])),
        ("compose", Outcome::Composed(got)) => difference(want, got, "$"),
        ("sweep", Outcome::Swept(got)) => {
            let mut want: Vec<Vec<String>> = want.as_array().into_iter().flatten().map(strings).collect();
            let mut got = got.clone();
            if case["unordered"] == true {
                want.sort();
                got.sort();
            }
            (want != got).then(|| format!("want the jobs {want:?}, got {got:?}"))
        }
        (kind, Outcome::Failed(message)) => Some(format!("should {kind}, failed: {message}")),
        (kind, _) => Some(format!("should {kind}")),
    }
}

/// The first place where two values differ; integers and floats are different, and so is another order of keys.
fn difference(want: &Value, got: &Value, path: &str) -> Option<String> {
    let differs = || Some(format!("{path}: want {want}, got {got}"));
    match (want, got) {
        (Value::Object(a), Value::Object(b)) => {
            if a.keys().ne(b.keys()) {
                let (a, b): (Vec<_>, Vec<_>) = (a.keys().collect(), b.keys().collect());
                return Some(format!("{path}: want the keys {a:?}, got {b:?}"));
            }
            a.iter().find_map(|(key, value)| difference(value, &b[key], &format!("{path}.{key}")))
        }
        (Value::Array(a), Value::Array(b)) if a.len() == b.len() => {
            a.iter().zip(b).enumerate().find_map(|(i, (a, b))| difference(a, b, &format!("{path}[{i}]")))
        }
        (Value::Number(a), Value::Number(b)) if a.is_f64() && b.is_f64() => match a.as_f64() == b.as_f64() {
            true => None,
            false => differs(),
        },
        _ if want == got => None,
        _ => differs(),
    }
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

fn strings(value: &Value) -> Vec<String> {
    value.as_array().into_iter().flatten().map(|item| text(item).to_owned()).collect()
}

fn parse(text: &str) -> Value {
    serde_json::from_str(text).expect("the composed config is JSON")
}

#[test]
fn every_case_ends_as_in_hydra() {
    assert_eq!(all_pass("cases.jsonl"), 1550, "the corpus is complete");
}

#[test]
fn random_trees_compose_as_in_hydra() {
    assert!(all_pass("found.jsonl") > 300);
}

/// Runs a file of cases; gives their number.
fn all_pass(file: &str) -> usize {
    let lines = std::fs::read_to_string(corpus().join(file)).expect("a file of cases");
    let mut table: BTreeMap<String, Row> = BTreeMap::new();
    let mut failures = Vec::new();
    for line in lines.lines() {
        let case = parse(line);
        let row = table.entry(text(&case["area"]).to_owned()).or_default();
        row.total += 1;
        match judge(&case, &run(&case)) {
            None => row.passed += 1,
            Some(reason) => failures.push(format!(
                "{}: {} --config-name {} {}\n    {reason}",
                text(&case["id"]),
                text(&case["tree"]),
                text(&case["config_name"]),
                case["overrides"]
            )),
        }
    }
    let mut total = 0;
    for (area, row) in &table {
        println!("{area:24} {:5}/{}", row.passed, row.total);
        total += row.total;
    }
    assert!(failures.is_empty(), "{} of {total} cases differ:\n{}", failures.len(), failures.join("\n"));
    total
}
