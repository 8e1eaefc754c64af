//! The page of a run, and the list of runs.

use std::path::Path;

use serde_json::Value;

use crate::runner::{Place, json};

const SHORT: &str =
    "trainer.max_epochs=1 trainer.log_every_n_steps=5 model.net.channels=[4] trainer.enable_progress_bar=false";

/// A run's page, its slashes as they are read.
fn page_of(run: &Path) -> String {
    std::fs::read_to_string(run.join("report.html")).unwrap().replace("&#x2f;", "/")
}

#[test]
fn every_run_leaves_a_page_and_the_runs_can_be_listed() {
    let place = Place::new();
    place.ok(&format!("train {SHORT} seed=7"));
    let run = place.only_run("train");
    let page = page_of(&run);
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
    let page = page_of(&runs[1]);
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
    assert!(sorted.ends_with("3 runs: 1 finished, 1 failed, 1 killed\n"), "{sorted}");
    // What each of them took.
    assert!(list[1]["cpu_s"].as_f64().unwrap() > 0.0 && list[1]["peak_memory_mib"].as_f64().unwrap() > 1.0, "{list}");
    assert!(sorted.lines().nth(1).unwrap().contains("finished"), "{sorted}");
    let wrong = place.run("runs --sort nothing");
    assert_eq!(wrong.code, 2);
    assert!(wrong.err.contains("no run has a value `nothing`"), "{}", wrong.err);

    // The page can be made again.
    std::fs::remove_file(run.join("report.html")).unwrap();
    let made = place.ok("report outputs").out;
    assert_eq!(made.lines().count(), 3, "{made}");
    assert!(run.join("report.html").is_file());
    let page = page_of(&killed);
    assert!(page.contains("class=\"status killed\""));
    assert_eq!(place.run("report nowhere").code, 2);
}

/// The data of a page's plots, by their titles.
fn plots(page: &str) -> Vec<(String, Value)> {
    let parts = page.split("<script type=\"application/json\">").skip(1);
    let data = parts.map(|part| part.split("</script>").next().unwrap());
    data.map(|text| serde_json::from_str(text).unwrap())
        .map(|plot: Value| (plot["title"].as_str().unwrap().to_owned(), plot))
        .collect()
}

#[test]
fn a_page_shows_curves_rates_times_and_what_the_test_took_for_what() {
    let place = Place::new();
    place.ok(
        "train trainer.max_epochs=3 model.net.channels=[8] trainer.enable_progress_bar=false trainer.log_every_n_steps=2",
    );
    let run = place.only_run("train");
    let page = page_of(&run);
    let plots = plots(&page);
    let plot = |title: &str| &plots.iter().find(|(name, _)| name == title).expect(title).1;
    let names = |title: &str| -> Vec<&str> {
        plot(title)["lines"].as_array().unwrap().iter().map(|line| line["name"].as_str().unwrap()).collect()
    };
    assert_eq!((names("loss"), names("learning rate")), (vec!["train", "val", "test"], vec!["lr-AdamW"]));
    assert_eq!(names("seconds by epoch"), ["training", "validation"]);
    assert_eq!(plot("seconds by epoch")["lines"][0]["x"], serde_json::json!([0.0, 1.0, 2.0]));
    let results = json(&run.join("results.json"));
    let best = plot("loss")["lines"][1]["y"].as_array().unwrap();
    let close = |a: &Value, b: &Value| (a.as_f64().unwrap() - b.as_f64().unwrap()).abs() < 1e-4;
    assert!(best.iter().any(|value| close(value, &results["best"])));
    assert_eq!(plot("loss")["mark"]["name"], "best val/loss");

    // What the test took for what: the matrix says the same as the metrics.
    let folder = run.join("evaluation/test");
    let confusion = json(&folder.join("confusion.json"));
    let cell = |row: usize, column: usize| confusion["matrix"][row][column].as_f64().unwrap();
    let classes = confusion["classes"].as_array().unwrap().len();
    let all: f64 = (0..classes * classes).map(|i| cell(i / classes, i % classes)).sum();
    let right: f64 = (0..classes).map(|i| cell(i, i)).sum();
    assert!((right / all - results["metrics"]["test/acc"].as_f64().unwrap()).abs() < 1e-6);
    let per_class = std::fs::read_to_string(folder.join("per_class.csv")).unwrap();
    assert_eq!(per_class.lines().count(), classes + 1);
    let worst = json(&folder.join("worst_predictions.json"));
    let samples = worst["samples"].as_array().unwrap();
    let losses: Vec<f64> = samples.iter().map(|sample| sample["loss"].as_f64().unwrap()).collect();
    assert!(losses.len() == 24 && losses.is_sorted_by(|a, b| a >= b), "{losses:?}");
    for sample in samples {
        assert!(folder.join(sample["image"].as_str().unwrap()).is_file());
    }
    assert!(page.contains("Confusion matrix, test") && page.contains("Worst predictions, test"));
    assert!(page.contains("By class, test"));
    assert_eq!(page.matches("src=\"data:image/png;base64,").count(), 24);

    // The same of `runner validate`; a class' name is text, whatever it holds.
    let checkpoint = run.join("checkpoints/last.ckpt");
    place.ok(&format!("validate ckpt_path={} trainer.enable_progress_bar=false", checkpoint.display()));
    let validated = place.only_run("validate");
    assert!(validated.join("evaluation/val/confusion.json").is_file());
    std::fs::write(folder.join("confusion.json"), "{\"classes\":[\"cat\",\"<dog>\"],\"matrix\":[[3,1],[0,4]]}")
        .unwrap();
    place.ok(&format!("report {}", run.display()));
    let page = page_of(&run);
    assert!(page.contains("&lt;dog&gt;") && !page.contains("<dog>"));
    // Nothing is fetched from anywhere.
    let addresses = page.split("http").skip(1).map(|rest| rest.split(['"', '\'', ' ']).next().unwrap());
    let foreign: Vec<&str> = addresses.filter(|rest| !rest.contains("www.w3.org")).collect();
    assert_eq!(foreign, Vec::<&str>::new());

    // A try leaves none of it.
    place.ok("train trainer.fast_dev_run=true model.net.channels=[4] trainer.enable_progress_bar=false");
    let runs = place.runs("train");
    assert!(!runs[1].join("evaluation").exists() && !runs[1].join("report.html").exists());
}
