//! The page of a run, and the list of runs.

use serde_json::Value;

use crate::runner::{Place, json};

const SHORT: &str =
    "trainer.max_epochs=1 trainer.log_every_n_steps=5 model.net.channels=[4] trainer.enable_progress_bar=false";

#[test]
fn every_run_leaves_a_page_and_the_runs_can_be_listed() {
    let place = Place::new();
    place.ok(&format!("train {SHORT} seed=7"));
    let run = place.only_run("train");
    let page = std::fs::read_to_string(run.join("report.html")).unwrap();
    for text in [
        "<title>train ",
        "class=\"status finished\"",
        "\"name\":\"val\"",
        "lr-",
        // The config with the origin of every value.
        "seed=7",
        "built-in conf/trainer/default.yaml:",
        "href=\"checkpoints/last.ckpt\"",
        "System",
    ] {
        assert!(page.contains(text), "{text}");
    }
    // Nothing is fetched from anywhere.
    assert!(!page.contains("src=\"http") && !page.contains("href=\"http") && !page.contains("@import"));

    // A run that fails tells why; one that was killed is known by its record, which nobody holds open.
    let failed =
        place.run(&format!("train {SHORT} test=false seed=8 trainer.detect_anomaly=true model.optimizer.lr=1e38"));
    assert_eq!(failed.code, 1, "{}", failed.err);
    let runs = place.runs("train");
    let page = std::fs::read_to_string(runs[1].join("report.html")).unwrap();
    assert!(page.contains("class=\"status failed\"") && page.contains("notice failed"));
    let killed = place.path().join("outputs/train/killed/0");
    std::fs::create_dir_all(&killed).unwrap();
    std::fs::copy(run.join("run.json"), killed.join("run.json")).unwrap();
    std::fs::write(killed.join("results.json"), "{\"status\":\"running\"}").unwrap();

    let list: Value = serde_json::from_str(&place.ok("runs --json --sort status").out).unwrap();
    let statuses: Vec<&str> = list.as_array().unwrap().iter().filter_map(|run| run["status"].as_str()).collect();
    assert_eq!(statuses, ["failed", "finished", "killed"]);
    assert_eq!(list[1]["best"], json(&run.join("results.json"))["best"]);
    let table = place.ok("runs outputs status=failed").out;
    assert_eq!(table.lines().count(), 2, "{table}");
    assert!(table.contains("seed=8") && table.starts_with("run "), "{table}");
    let sorted = place.ok("runs --sort -test/acc").out;
    assert!(sorted.lines().nth(1).unwrap().contains("finished"), "{sorted}");
    let wrong = place.run("runs --sort nothing");
    assert_eq!(wrong.code, 2);
    assert!(wrong.err.contains("no run has a value `nothing`"), "{}", wrong.err);

    // The page can be made again, and shows what an evaluation has left meanwhile.
    let folder = run.join("evaluation/test");
    std::fs::create_dir_all(&folder).unwrap();
    std::fs::write(folder.join("confusion.json"), "{\"classes\":[\"cat\",\"<dog>\"],\"matrix\":[[3,1],[0,4]]}")
        .unwrap();
    std::fs::remove_file(run.join("report.html")).unwrap();
    let made = place.ok("report outputs").out;
    assert_eq!(made.lines().count(), 3, "{made}");
    let page = std::fs::read_to_string(run.join("report.html")).unwrap();
    assert!(page.contains("Confusion matrix, test") && page.contains("&lt;dog&gt;") && !page.contains("<dog>"));
    assert_eq!(place.run("report nowhere").code, 2);
}
