//! The arguments of the trainer, as Lightning means them.

use crate::runner::{Place, json};

const TINY: &str = "train model.net.channels=[4] trainer.limit_train_batches=6 trainer.limit_val_batches=1 \
    trainer.limit_test_batches=1 trainer.log_every_n_steps=1 trainer.enable_model_summary=false test=false";

fn results(place: &Place) -> serde_json::Value {
    json(&place.runs("train").last().unwrap().join("results.json"))
}

/// The columns `step` and `name` of the rows that have a value there.
fn logged(place: &Place, name: &str) -> Vec<(String, String)> {
    let run = place.runs("train").last().unwrap().clone();
    let mut table = csv::Reader::from_path(run.join("csv/version_0/metrics.csv")).unwrap();
    let headers = table.headers().unwrap().clone();
    let column = |name: &str| headers.iter().position(|header| header == name).unwrap();
    let (step, value) = (column("step"), column(name));
    let rows = table.records().map(Result::unwrap).filter(|row| !row[value].is_empty());
    rows.map(|row| (row[step].to_owned(), row[value].to_owned())).collect()
}

#[test]
fn every_precision_trains() {
    let place = Place::new();
    let mut losses = Vec::new();
    for precision in ["32-true", "64-true", "bf16-true", "bf16-mixed", "16-mixed", "16-true"] {
        place.ok(&format!("{TINY} trainer.max_epochs=1 trainer.precision={precision} model.scheduler=null"));
        losses.push(results(&place)["metrics"]["train/loss"].as_f64().unwrap());
    }
    let (single, mixed) = (losses[0], losses[3]);
    assert!(losses.iter().all(|loss| (loss - single).abs() < 0.2), "{losses:?}");
    assert!(losses[1] != single && (losses[1] - single).abs() < 1e-4, "{losses:?}");
    // The CPU takes bfloat16 for mixed half precision, as Lightning does.
    assert_eq!(losses[4], mixed);
}

#[test]
fn what_is_not_supported_is_refused_by_name_with_the_reason() {
    let place = Place::new();
    for (argument, reason) in [
        ("accelerator=tpu", "`tpu` is not supported"),
        ("devices=2", "`devices` other than 1 is not supported"),
        ("num_nodes=2", "`num_nodes` above 1"),
        ("strategy=ddp", "`strategy` other than `auto`"),
        ("precision=transformer-engine", "32-true, 64-true, 16-true"),
        ("val_check_interval=0", "`val_check_interval` must be above 0"),
        ("val_check_interval=7", "trainer.val_check_interval=7 is above the 6 batches"),
        ("check_val_every_n_epoch=null", "must be a number of batches when check_val_every_n_epoch is null"),
        ("limit_train_batches=0.001", "leaves none of"),
        ("num_sanity_val_steps=-2", "`num_sanity_val_steps` must be"),
        ("max_time=1:00", "DD:HH:MM:SS"),
        ("callbacks=[{_target_:lightning.pytorch.callbacks.Timer}]", "`callbacks` of the trainer is given at the top"),
        ("logger={_target_:lightning.pytorch.loggers.CSVLogger}", "under `logger:`"),
        ("plugins={_target_:my.Plugin}", "`plugins` are Python code"),
        ("model_registry=mine", "checkpoints stay in the run folder"),
    ] {
        let call = place.run(&format!("{TINY} trainer.{argument}"));
        assert_eq!(call.code, 2, "{argument}: {}", call.err);
        assert!(call.err.contains(reason), "{argument}: {}", call.err);
    }
    assert!(place.runs("train").is_empty());
}

#[test]
fn steps_are_counted_and_logged_as_lightning_does() {
    let place = Place::new();
    // Windows of four: steps after the fourth batch and the last. Validation after batch 3 is logged at the step to
    // come, the others at the step just taken.
    place.ok(&format!(
        "{TINY} trainer.max_epochs=2 trainer.accumulate_grad_batches=4 trainer.val_check_interval=3 model.scheduler=null"
    ));
    let steps: Vec<String> = logged(&place, "val/loss").into_iter().map(|(step, _)| step).collect();
    assert_eq!(steps, ["0", "1", "2", "3"]);
    // Batches counted across epochs.
    place.ok(&format!("{TINY} trainer.max_epochs=2 trainer.val_check_interval=4 trainer.check_val_every_n_epoch=null"));
    let steps: Vec<String> = logged(&place, "val/loss").into_iter().map(|(step, _)| step).collect();
    assert_eq!(steps, ["3", "7", "11"]);
    // A limit of steps within an epoch closes the epoch: its means are logged.
    place.ok(&format!("{TINY} trainer.max_epochs=-1 trainer.max_steps=8 model.scheduler=null"));
    assert_eq!(results(&place)["steps"], 8);
    let steps: Vec<String> = logged(&place, "train/loss").into_iter().map(|(step, _)| step).collect();
    assert_eq!(steps, ["5", "7"]);
}

#[test]
fn time_is_a_limit_and_a_stop_waits_for_min_steps() {
    let place = Place::new();
    place.ok(&format!(
        "{TINY} trainer.max_time=00:00:00:00 trainer.min_epochs=0 trainer.max_epochs=null model.scheduler=null"
    ));
    let done = results(&place);
    assert_eq!((done["steps"].as_u64(), done["status"].as_str()), (Some(1), Some("finished")));
    assert!(done["reason"].as_str().unwrap().contains("max_time"));
    // Stopped at once, but not before the epoch and the steps that were asked for; then it is validated.
    place.ok(&format!(
        "{TINY} trainer.max_time={{seconds:0}} trainer.min_epochs=1 trainer.min_steps=9 trainer.max_epochs=null \
         model.scheduler=null"
    ));
    assert_eq!(results(&place)["steps"], 9);
    assert_eq!(logged(&place, "val/loss").last().unwrap().0, "8");
}

#[test]
fn a_run_shorter_than_the_way_to_its_first_validation_is_a_run() {
    let place = Place::new();
    place.ok(&format!("{TINY} trainer.max_steps=2 trainer.max_epochs=-1 model.scheduler=null"));
    assert_eq!((results(&place)["steps"].as_u64(), results(&place)["status"].as_str()), (Some(2), Some("finished")));
}

#[test]
fn an_anomaly_names_the_layer() {
    let place = Place::new();
    let call = place.run(&format!("{TINY} model.optimizer.lr=1e38 trainer.detect_anomaly=true model.scheduler=null"));
    assert_eq!(call.code, 1);
    assert!(call.err.contains("epoch 0, batch ") && call.err.contains("the first that is not finite"), "{}", call.err);
    assert!(call.err.contains("net."), "{}", call.err);
}

#[test]
fn loaders_are_made_anew_and_switches_switch() {
    let place = Place::new();
    place.ok(&format!(
        "{TINY} trainer.max_epochs=2 trainer.reload_dataloaders_every_n_epochs=1 trainer.inference_mode=false \
         trainer.enable_checkpointing=false trainer.deterministic=warn trainer.benchmark=true"
    ));
    let run = place.runs("train").last().unwrap().clone();
    assert!(!run.join("checkpoints").exists());
    assert_eq!(results(&place)["epochs"], 2);
}
