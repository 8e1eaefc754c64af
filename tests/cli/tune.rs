//! `runner tune`, and `tune: true` before training.

use crate::runner::{Place, json};

const SMALL: &str = "model.net.channels=[8,16] trainer.limit_train_batches=6 trainer.max_epochs=1 test=false";

#[test]
fn a_tuned_run_is_the_run_with_the_values_that_were_found() {
    let place = Place::new();
    place.ok(&format!(
        "train {SMALL} tune=true tuner=all tuner.batch_size.max_val=16 tuner.learning_rate.num_training=40 \
         tuner.learning_rate.suggestion=steep hydra.run.dir=tuned"
    ));
    let tuned = place.path().join("tuned");
    let results = json(&tuned.join("results.json"));
    assert_eq!(results["tuned"]["data.batch_size"], 16, "{results}");
    let rate = results["tuned"]["model.optimizer.lr"].as_f64().unwrap();
    assert!((1e-8..1.0).contains(&rate), "{results}");
    let config = std::fs::read_to_string(tuned.join(".hydra/config.yaml")).unwrap();
    for line in ["tune: false", "batch_size: 16", "tuned:"] {
        assert!(config.lines().any(|l| l.trim() == line), "{line} in {config}");
    }
    let sizes = std::fs::read_to_string(tuned.join("batch_size.csv")).unwrap();
    assert_eq!(sizes, "batch_size,fits\n2,true\n4,true\n8,true\n16,true\n");
    let curve = std::fs::read_to_string(tuned.join("lr_find.csv")).unwrap();
    assert!(curve.starts_with("lr,loss,raw_loss\n") && curve.lines().count() > 20, "{curve}");
    assert!(std::fs::read_to_string(tuned.join("lr_find.svg")).unwrap().contains("steep"));

    // Nothing of the trials is left: weights, random numbers and order are those of a run that was told the values.
    place.ok(&format!("train {SMALL} data.batch_size=16 model.optimizer.lr={rate} hydra.run.dir=told"));
    let metrics = |run: &str| json(&place.path().join(run).join("results.json"))["metrics"].clone();
    assert_eq!(metrics("tuned"), metrics("told"));
    place.ok("rerun tuned hydra.run.dir=again");
    assert_eq!(metrics("tuned"), metrics("again"));
    assert!(!place.path().join("again/lr_find.csv").exists());
}

#[test]
fn the_command_says_what_to_type() {
    let place = Place::new();
    let call = place.ok(&format!("tune {SMALL} tuner.learning_rate.num_training=30"));
    assert!(call.out.contains("use it: runner train model.optimizer.lr="), "{}", call.out);
    let run = place.only_run("tune");
    assert!(run.join("lr_find.svg").is_file() && !run.join("checkpoints").exists());
    assert_eq!(json(&run.join("results.json"))["status"], "finished");
}

#[test]
fn a_place_that_is_not_there_is_refused() {
    let place = Place::new();
    let call = place.run(&format!("tune {SMALL} tuner.learning_rate.attr_name=model.lr"));
    assert!(call.code != 0 && call.err.contains("no `model.lr`") && call.err.contains("attr_name"), "{}", call.err);
    let call = place.run("tune tuner.learning_rate=null");
    assert!(call.code == 2 && call.err.contains("nothing to tune"), "{}", call.err);
    let call = place.run("tune tuner.learning_rate.min_lr=2.0");
    assert!(call.code == 2 && call.err.contains("below max_lr"), "{}", call.err);
}
