//! `runner -m`: every combination, one after the other.

use crate::runner::{Place, folders, json};

const SMALL: &str =
    "model.net.channels=[8] trainer.max_epochs=1 trainer.limit_train_batches=2 trainer.limit_val_batches=1 test=false";

#[test]
fn the_cartesian_product_runs_and_ends_with_a_table() {
    let place = Place::new();
    // The flag may stand after the command.
    let call = place.ok(&format!("train -m model.optimizer.lr=1e-3,1e-2 seed=1,2 {SMALL}"));
    let sweeps = folders(&place.path().join("outputs/train/multirun"));
    let sweep = &folders(&sweeps[0])[0];
    let names: Vec<_> = folders(sweep).iter().map(|run| run.file_name().unwrap().to_owned()).collect();
    assert_eq!(names, ["0", "1", "2", "3"]);
    for (job, (lr, seed)) in [("0.001", 1), ("0.001", 2), ("0.01", 1), ("0.01", 2)].iter().enumerate() {
        let run = sweep.join(job.to_string());
        assert_eq!(json(&run.join("results.json"))["status"], "finished");
        assert_eq!(json(&run.join("run.json"))["seed"], *seed);
        let overrides = std::fs::read_to_string(run.join(".hydra/overrides.yaml")).unwrap();
        assert!(overrides.contains(&format!("model.optimizer.lr={lr}")), "{overrides}");
        let hydra = std::fs::read_to_string(run.join(".hydra/hydra.yaml")).unwrap();
        assert!(hydra.contains(&format!("num: {job}")), "{hydra}");
    }
    let header = call.out.lines().find(|line| line.starts_with("job ")).expect("a table");
    assert!(
        header.contains("model.optimizer.lr") && header.contains("seed") && header.contains("val/acc_best"),
        "{header}"
    );
    assert!(sweep.join("multirun.yaml").is_file() && sweep.join("trials.jsonl").is_file());
    let rows = std::fs::read_to_string(sweep.join("results.csv")).unwrap();
    assert_eq!(rows.lines().count(), 5);
}

#[test]
fn a_failed_job_does_not_stop_the_others_and_shows_in_the_exit_code() {
    let place = Place::new();
    let call = place.run(&format!(
        "-m train model.optimizer.lr=1e30,1e-3 model.scheduler=null trainer.detect_anomaly=true {SMALL}"
    ));
    assert_eq!(call.code, 1, "{}\n{}", call.out, call.err);
    assert!(call.out.contains("1 of 2 jobs failed"), "{}", call.out);
    let sweep = folders(&folders(&place.path().join("outputs/train/multirun"))[0])[0].clone();
    let states = ["0", "1"].map(|job| json(&sweep.join(job).join("results.json"))["status"].clone());
    assert_eq!(states, ["failed", "finished"]);
}

#[test]
fn a_search_from_a_config_file_needs_no_flag() {
    let place = Place::new();
    place.write(
        "conf/hparams_search/two.yaml",
        "# @package _global_\noptimized_metric: val/loss\nhydra:\n  mode: MULTIRUN\n  sweeper:\n    params:\n      seed: 1,2\n",
    );
    let call = place.ok(&format!("train hparams_search=two {SMALL}"));
    assert!(call.out.contains("2 jobs") && call.out.contains("val/loss"), "{}", call.out);
}
