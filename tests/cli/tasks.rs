//! Tasks: groups of parameters, what is frozen, names of what is logged, test-time augmentation.

use runner::checkpoint::TensorFile;

use crate::runner::{Place, json};

/// A small network on the digits, one epoch of a few batches.
const QUICK: &str = "train model.net.channels=[8,16] trainer.max_epochs=1 trainer.limit_train_batches=4 \
                     trainer.limit_val_batches=1 test=false callbacks=none trainer.enable_progress_bar=false";

fn columns(place: &Place) -> (Vec<String>, Vec<Vec<String>>) {
    let path = place.only_run("train").join("csv/version_0/metrics.csv");
    let mut reader = csv::Reader::from_path(&path).unwrap();
    let header = reader.headers().unwrap().iter().map(str::to_owned).collect();
    let rows = reader.records().map(|row| row.unwrap().iter().map(str::to_owned).collect()).collect();
    (header, rows)
}

#[test]
fn a_loss_for_something_else_is_refused_before_anything_starts() {
    let place = Place::new();
    for loss in ["GaussianNLLLoss", "TripletMarginLoss", "CrossEntropyLoss,weight:[1.0,2.0]"] {
        let call = place.run(&format!("train ++model.loss={{_target_:torch.nn.{loss}}}"));
        assert_eq!(call.code, 2, "{loss}: {}", call.err);
        assert!(call.err.contains("model.loss does not fit this task"), "{}", call.err);
        assert!(!place.path().join("outputs").exists());
    }
}

#[test]
fn groups_of_parameters_have_their_own_rates() {
    let place = Place::new();
    place.write(
        "conf/experiment/groups.yaml",
        "# @package _global_\n\
         model:\n  scheduler: null\n  optimizer: {lr: 0.01}\n  backbone_lr_scale: 0.1\n  no_weight_decay: 1d\n  \
         param_groups:\n  - {pattern: 'net.*.0.*', lr: 0.5}\n  - {pattern: head, lr_scale: 2.0}\n\
         callbacks:\n  rate: {_target_: lightning.pytorch.callbacks.LearningRateMonitor, logging_interval: step}\n\
         trainer: {log_every_n_steps: 1}\n",
    );
    place.ok(&format!("{QUICK} experiment=groups"));
    let (header, rows) = columns(&place);
    let mut rates: Vec<f64> = header
        .iter()
        .enumerate()
        .filter(|(_, name)| name.starts_with("lr-AdamW"))
        .map(|(column, _)| rows.iter().find_map(|row| row[column].parse().ok()).unwrap())
        .collect();
    rates.sort_by(f64::total_cmp);
    rates.dedup();
    assert_eq!(rates, [0.001, 0.02, 0.5], "{header:?}");

    let wrong = place.run(&format!("{QUICK} model.frozen=net.blocks.0.wieght"));
    assert_eq!(wrong.code, 2);
    assert!(wrong.err.contains("no parameter fits the pattern"), "{}", wrong.err);
}

#[test]
fn what_is_frozen_stays_as_it_was_drawn() {
    let trained = |steps: u64| {
        let place = Place::new();
        let line = QUICK.replace("trainer.limit_train_batches=4", &format!("trainer.limit_train_batches={steps}"));
        place.ok(&line.replace(
            "callbacks=none",
            "callbacks=model_checkpoint callbacks.model_checkpoint.save_last=true model.frozen=backbone",
        ));
        let run = place.only_run("train");
        let file = TensorFile::open(&run.join("checkpoints/last.ckpt")).unwrap();
        let names: Vec<String> = file.names().filter(|name| !name.starts_with("runner/")).map(str::to_owned).collect();
        names.into_iter().map(|name| (file.tensor(&name).unwrap(), name)).collect::<Vec<_>>()
    };
    let changed: Vec<String> = trained(1)
        .into_iter()
        .zip(trained(3))
        .filter(|((a, _), (b, _))| a != b)
        .map(|((_, name), _)| name)
        .filter(|name| name.ends_with("weight") || name.ends_with("bias"))
        .collect();
    assert_eq!(changed.len(), 2, "only the head is learned: {changed:?}");
}

#[test]
fn values_are_logged_under_the_names_asked_for() {
    let place = Place::new();
    place.ok(&format!(
        "{QUICK} trainer.log_every_n_steps=1 +model.log_names={{epoch:\"{{name}}/{{split}}\",step:\"{{name}}/{{split}}\"}}"
    ));
    let (header, _) = columns(&place);
    for name in ["loss/train_step", "loss/train_epoch", "acc/train_step", "loss/val_epoch", "acc/val_epoch"] {
        assert!(header.iter().any(|column| column == name), "{name} in {header:?}");
    }
    let results = json(&place.only_run("train").join("results.json"));
    assert_eq!(results["metrics"]["loss/val"], results["metrics"]["loss/val_epoch"]);
}

#[test]
fn test_time_augmentation_changes_what_is_tested_and_nothing_else() {
    let results = |more: &str| {
        let place = Place::new();
        place.ok(&format!("{} {more}", QUICK.replace("test=false", "test=true")));
        json(&place.only_run("train").join("results.json"))["metrics"].clone()
    };
    let plain = results("");
    let views = results("+model.test_time_augmentation={views:[horizontal_flip,rotate_90]}");
    assert_eq!(plain["val/loss"], views["val/loss"]);
    assert_ne!(plain["test/loss"], views["test/loss"]);
}
