//! `runner train`: the main job, end to end.

use std::path::Path;

use crate::runner::{Place, json};

#[test]
fn the_default_run_learns_the_digits_and_leaves_a_complete_folder() {
    let place = Place::new();
    let call = place.ok("train");
    let run = place.only_run("train");
    let results = json(&run.join("results.json"));
    assert_eq!(results["status"], "finished");
    assert!(results["metrics"]["test/acc"].as_f64().unwrap() >= 0.97, "{results}");
    assert!(results["metrics"]["val/acc_best"].as_f64().unwrap() >= 0.97, "{results}");
    assert!(results["best"].as_f64().unwrap() <= results["metrics"]["val/loss"].as_f64().unwrap(), "{results}");
    assert_eq!(results["monitor"], "val/loss");
    assert!(results["duration_s"].as_f64().unwrap() > 0.0);

    let best = run.join(results["best_checkpoint"].as_str().unwrap());
    assert!(best.is_file() && run.join("checkpoints/last.ckpt").is_file());
    for name in [".hydra/config.yaml", ".hydra/hydra.yaml", ".hydra/overrides.yaml", "runner.log", "events.jsonl"] {
        assert!(run.join(name).is_file(), "{name}");
    }
    let shown = call.out;
    assert!(shown.contains("best val/loss: ") && shown.contains("outputs/train/"), "{shown}");

    let manifest = json(&run.join("run.json"));
    assert_eq!(manifest["command"], "train");
    assert_eq!(manifest["seed"], 42);
    assert_eq!(manifest["versions"]["libtorch"], "2.11.0");

    let table = std::fs::read_to_string(run.join("csv/version_0/metrics.csv")).unwrap();
    let header = table.lines().next().unwrap();
    for name in ["epoch", "step", "train/loss", "train/acc", "val/loss", "val/acc", "val/acc_best", "test/acc"] {
        assert!(header.split(',').any(|column| column == name), "{name} in {header}");
    }
    let names = names_of(&best);
    assert!(names.iter().any(|name| name == "net.classifier.weight"), "{names:?}");
    assert!(names.iter().any(|name| name.ends_with("num_batches_tracked")), "{names:?}");
}

/// The tensors' names in a safetensors file.
fn names_of(path: &Path) -> Vec<String> {
    let bytes = std::fs::read(path).unwrap();
    let length = u64::from_le_bytes(bytes[..8].try_into().unwrap()) as usize;
    let header: serde_json::Value = serde_json::from_slice(&bytes[8..8 + length]).unwrap();
    header.as_object().unwrap().keys().cloned().collect()
}

/// The weights in a checkpoint, as bytes by name.
fn weights(path: &Path) -> Vec<(String, Vec<u8>)> {
    let bytes = std::fs::read(path).unwrap();
    let tensors = safetensors::SafeTensors::deserialize(&bytes).unwrap();
    let mut found: Vec<_> = tensors.tensors().into_iter().map(|(name, view)| (name, view.data().to_vec())).collect();
    found.retain(|(name, _)| !name.starts_with("runner/"));
    found.sort();
    found
}

const SMALL: &str =
    "trainer.max_epochs=2 model.net.channels=[8,16] trainer.limit_train_batches=6 trainer.log_every_n_steps=1";

#[test]
fn the_same_seed_gives_the_same_numbers_whatever_the_workers() {
    let metrics = [0, 1, 3].map(|workers| {
        let place = Place::new();
        place.ok(&format!("train {SMALL} data.num_workers={workers}"));
        let run = place.only_run("train");
        (
            std::fs::read_to_string(run.join("csv/version_0/metrics.csv")).unwrap(),
            weights(&run.join("checkpoints/last.ckpt")),
        )
    });
    assert!(metrics[0] == metrics[1] && metrics[0] == metrics[2]);
    let place = Place::new();
    place.ok(&format!("train {SMALL} seed=7"));
    let other = weights(&place.only_run("train").join("checkpoints/last.ckpt"));
    assert_ne!(metrics[0].1, other);
}

#[test]
fn a_resumed_run_ends_with_the_weights_of_an_uninterrupted_one() {
    let line = "train trainer.max_epochs=3 model.net.channels=[8,16] trainer.limit_train_batches=5 test=false \
                callbacks.model_checkpoint.save_top_k=-1 model.scheduler=null";
    let whole = Place::new();
    whole.ok(line);
    let run = whole.only_run("train");
    let second = run.join("checkpoints/epoch_001.ckpt");
    let resumed = Place::new();
    resumed.ok(&format!("{line} ckpt_path={}", second.display()));
    let again = resumed.only_run("train");
    assert_eq!(json(&again.join("results.json"))["epochs"], 3);
    assert!(weights(&run.join("checkpoints/last.ckpt")) == weights(&again.join("checkpoints/last.ckpt")));
}

#[test]
fn a_trial_run_leaves_no_checkpoints_and_no_metrics() {
    let place = Place::new();
    for line in ["train trainer.fast_dev_run=true", "train debug=fdr"] {
        place.ok(line);
    }
    for run in place.runs("train") {
        assert!(run.join("results.json").is_file());
        assert!(!run.join("checkpoints").exists() && !run.join("csv").exists());
        assert_eq!(json(&run.join("results.json"))["steps"], 1);
    }
    place.ok("train trainer.fast_dev_run=3");
    let steps: Vec<_> =
        place.runs("train").iter().map(|run| json(&run.join("results.json"))["steps"].clone()).collect();
    assert!(steps.contains(&serde_json::json!(3)), "{steps:?}");
}

#[test]
fn two_runs_of_one_second_get_two_folders() {
    let place = Place::new();
    let line = "train trainer.fast_dev_run=true hydra.run.dir=outputs/train/day/same";
    let children: Vec<_> = (0..3)
        .map(|_| {
            place.command(line).stdout(std::process::Stdio::null()).stderr(std::process::Stdio::null()).spawn().unwrap()
        })
        .collect();
    for mut child in children {
        assert!(child.wait().unwrap().success());
    }
    let names: Vec<_> = place.runs("train").iter().map(|run| run.file_name().unwrap().to_owned()).collect();
    assert_eq!(names, ["same", "same_1", "same_2"]);
}

#[test]
fn limits_intervals_and_accumulation_count_as_in_lightning() {
    let place = Place::new();
    place.ok(
        "train trainer.max_epochs=2 trainer.limit_train_batches=6 trainer.limit_val_batches=1 trainer.limit_test_batches=1 \
         trainer.accumulate_grad_batches=4 trainer.val_check_interval=3 model.net.channels=[8]",
    );
    let run = place.only_run("train");
    // Six batches in windows of four: steps after the fourth and the last, twice.
    assert_eq!(json(&run.join("results.json"))["steps"], 4);
    let table = std::fs::read_to_string(run.join("csv/version_0/metrics.csv")).unwrap();
    let mut reader = csv::Reader::from_reader(table.as_bytes());
    let column = reader.headers().unwrap().iter().position(|name| name == "val/loss").unwrap();
    let validations = reader.records().filter(|row| !row.as_ref().unwrap()[column].is_empty()).count();
    assert_eq!(validations, 4, "{table}");
}

#[test]
fn early_stopping_waits_for_min_epochs() {
    let place = Place::new();
    let line = "train trainer.max_epochs=9 trainer.limit_train_batches=1 trainer.limit_val_batches=1 model.net.channels=[8] \
                model.optimizer.lr=1e-12 callbacks.early_stopping.patience=1 callbacks.early_stopping.min_delta=0.5";
    place.ok(line);
    place.ok(&format!("{line} trainer.min_epochs=4"));
    let epochs: Vec<_> =
        place.runs("train").iter().map(|run| json(&run.join("results.json"))["epochs"].clone()).collect();
    assert_eq!(epochs, [2, 4]);
}

#[test]
fn a_not_finite_loss_is_named_and_the_run_says_that_it_failed() {
    let place = Place::new();
    let call = place
        .run("train model.optimizer.lr=1e30 trainer.detect_anomaly=true model.scheduler=null trainer.max_epochs=2");
    assert_eq!(call.code, 1);
    assert!(call.err.contains("epoch 0, batch "), "{}", call.err);
    let results = json(&place.only_run("train").join("results.json"));
    assert_eq!(results["status"], "failed");
    assert!(results["reason"].as_str().unwrap().contains("batch"));
}

#[test]
fn every_shipped_experiment_and_debug_config_runs() {
    let place = Place::new();
    for line in
        ["experiment=digits", "debug=default", "debug=limit", "debug=overfit trainer.max_epochs=2", "debug=profiler"]
    {
        place.ok(&format!("train {line} model.net.channels=[8] test=false"));
    }
    for line in
        ["model=dense", "logger=[csv,jsonl]", "logger=many_loggers", "trainer=cpu", "callbacks=none logger=none"]
    {
        place.ok(&format!("train {line} trainer.fast_dev_run=2"));
    }
}
