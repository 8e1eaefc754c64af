//! A sample of the parity corpus through the binary: the command line that other programs compare.

use std::path::Path;

use crate::runner::Place;

/// Every so many cases; the whole corpus runs in-process in `tests/parity.rs`.
const STRIDE: usize = 37;

#[test]
fn a_sample_of_the_corpus_through_the_binary() {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/parity");
    let cases = std::fs::read_to_string(corpus.join("cases.jsonl")).unwrap();
    let place = Place::new();
    let (mut wrong, mut count) = (Vec::new(), 0);
    for line in cases.lines().step_by(STRIDE) {
        let case: serde_json::Value = serde_json::from_str(line).unwrap();
        // A further accepted outcome is compared by the whole corpus.
        if case.get("also").is_some() || case.get("unordered").is_some() {
            continue;
        }
        count += 1;
        let kind = case["kind"].as_str().unwrap();
        let is_sweep = kind == "sweep" || case.get("multirun").is_some();
        let mut command = place.command(if is_sweep {
            "--multirun --dry-run --format json"
        } else {
            "--cfg job --resolve --format json"
        });
        command.arg("--config-path").arg(corpus.join("trees").join(case["tree"].as_str().unwrap()));
        command.args(["--config-name", case["config_name"].as_str().unwrap()]);
        command.args(case["overrides"].as_array().unwrap().iter().map(|text| text.as_str().unwrap()));
        for (name, value) in case["env"].as_object().into_iter().flatten() {
            command.env(name, value.as_str().unwrap());
        }
        let output = command.output().unwrap();
        let fits = if kind == "error" {
            output.status.code() == Some(2) && output.stderr.starts_with(b"error: ")
        } else {
            let found: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap_or_default();
            let expected = &case["expected"];
            match kind {
                "sweep" => {
                    let jobs: Vec<_> =
                        found.as_array().into_iter().flatten().map(|job| job["overrides"].clone()).collect();
                    serde_json::Value::Array(jobs) == *expected
                }
                _ => found == *expected,
            }
        };
        if !fits {
            wrong.push(format!("{}: {}", case["id"], String::from_utf8_lossy(&output.stderr)));
        }
    }
    assert!(count > 30);
    assert!(wrong.is_empty(), "{} of {count}\n{}", wrong.len(), wrong.join("\n"));
    assert!(place.path().read_dir().unwrap().next().is_none(), "composing creates nothing");
}
