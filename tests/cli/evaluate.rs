//! `runner validate|test|predict` on a checkpoint of `runner train`.

use crate::runner::{Place, json};

#[test]
fn a_checkpoint_gives_the_same_metrics_as_its_run_and_predicts_every_sample() {
    let place = Place::new();
    place.ok("train trainer.max_epochs=2 model.net.channels=[8,16]");
    let run = place.only_run("train");
    let trained = json(&run.join("results.json"));
    let best = run.join(trained["best_checkpoint"].as_str().unwrap());

    place.ok(&format!("test ckpt_path={}", best.display()));
    let tested = json(&place.only_run("test").join("results.json"));
    for name in ["test/acc", "test/loss"] {
        assert_eq!(trained["metrics"][name], tested["metrics"][name], "{name}");
    }
    // A run folder means its best checkpoint.
    place.ok(&format!("validate ckpt_path={} data.num_workers=2", run.display()));
    let validated = json(&place.only_run("validate").join("results.json"));
    assert_eq!(trained["best"], validated["metrics"]["val/loss"]);

    place.ok(&format!("predict ckpt_path={}", best.display()));
    let table = std::fs::read_to_string(place.only_run("predict").join("predictions.csv")).unwrap();
    let mut reader = csv::Reader::from_reader(table.as_bytes());
    let header: Vec<String> = reader.headers().unwrap().iter().map(str::to_owned).collect();
    assert_eq!(&header[..4], ["id", "target", "prediction", "p_0"]);
    assert_eq!(header.len(), 13);
    let rows: Vec<csv::StringRecord> = reader.records().map(Result::unwrap).collect();
    assert!(rows.len() > 100, "{}", rows.len());
    for row in &rows {
        let sum: f64 = row.iter().skip(3).map(|p| p.parse::<f64>().unwrap()).sum();
        assert!((sum - 1.0).abs() < 1e-4);
    }
    let ids: std::collections::HashSet<&str> = rows.iter().map(|row| &row[0]).collect();
    assert_eq!(ids.len(), rows.len());
}

#[test]
fn rerun_trains_what_the_folder_records() {
    let place = Place::new();
    place.ok("train model.net.channels=[8] trainer.max_epochs=1 trainer.limit_train_batches=2 test=false seed=5");
    let first = place.only_run("train");
    // What conf/ says today does not count.
    place.write("conf/model/small_cnn.yaml", "_target_: nothing\n");
    place.ok(&format!("rerun {} trainer.max_epochs=2", first.display()));
    let second = place.runs("train").into_iter().find(|run| *run != first).unwrap();
    assert_eq!(json(&second.join("results.json"))["epochs"], 2);
    assert_eq!(json(&second.join("run.json"))["seed"], 5);
    let diff = place.ok(&format!("diff {} {}", first.display(), second.display()));
    assert!(
        diff.out.contains("- trainer.max_epochs: 1") && diff.out.contains("+ trainer.max_epochs: 2"),
        "{}",
        diff.out
    );
    assert_eq!(diff.out.lines().count(), 4, "{}", diff.out);
}
