//! Bad input: one clear message with the place and the remedy, the right exit code, nothing left behind.

use crate::runner::Place;

/// (arguments, exit code, what the message must say)
const REFUSED: &[(&str, &[&str])] = &[
    ("trian", &["no command `trian`", "did you mean `runner train`?"]),
    ("train data=digts", &["digts", "digits"]),
    ("train trainer.max_epoch=3", &["max_epoch", "max_epochs"]),
    ("train trainer.max_epochs=[1", &["[1"]),
    ("train trainer.max_time=5", &["max_time", "DD:HH:MM:SS"]),
    ("train trainer.max_epochs=many", &["trainer.max_epochs", "a whole number", "many"]),
    ("train model.optimizer._target_=torch.optim.Adm", &["unknown optimizer `torch.optim.Adm`", "torch.optim.Adam"]),
    ("train model.optimizer._target_=torch.nn.ReLU", &["`torch.nn.ReLU` is a network, but an optimizer goes here"]),
    ("train +model.optimizer.learning_rate=1", &["unknown argument `learning_rate`", "did you mean `lr`?"]),
    ("train model.optimizer.lr=-1", &["model.optimizer.lr", "-1"]),
    ("train ~model.net._target_", &["model.net", "_target_"]),
    ("train callbacks.model_checkpoint.monitor=val/acu", &["val/acu", "did you mean `val/acc`?"]),
    ("train model.net.num_classes=3", &["3 values", "10 classes"]),
    ("train trainer.precision=8", &["trainer.precision", "32-true"]),
    ("train trainer.devices=2", &["devices", "one device"]),
    ("train trainer.accelerator=cuda", &["GPU", "trainer.accelerator=cpu"]),
    ("train trainer.limit_train_batches=1.5", &["limit_train_batches", "0.0 to 1.0"]),
    ("train trainer.limit_train_batches=0.0001", &["limit_train_batches", "none of"]),
    ("train seed=1,2", &["seed=1,2", "-m"]),
    ("train seed=x", &["seed", "a whole number"]),
    ("train ckpt_path=nowhere.ckpt", &["nowhere.ckpt"]),
    ("test", &["needs a checkpoint", "ckpt_path="]),
    ("test ckpt_path=nowhere.ckpt", &["no checkpoint nowhere.ckpt"]),
    ("train --config-path nowhere", &["--config-path", "nowhere"]),
    ("train --config-name nothing", &["nothing"]),
    ("explain", &["needs KEY"]),
    ("-m train model.optimizer.lr=1e-3,x", &["model.optimizer.lr", "job 1"]),
];

#[test]
fn each_is_refused_with_its_place_and_remedy_before_anything_is_made() {
    let place = Place::new();
    let mut wrong = Vec::new();
    for (line, expected) in REFUSED {
        let call = place.run(line);
        let clear = expected.iter().all(|text| call.err.contains(text)) && call.err.starts_with("error: ");
        if call.code != 2 || !clear || call.err.contains("panicked") {
            wrong.push(format!("runner {line}\n(code {})\n{}", call.code, call.err));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n\n"));
    assert!(!place.path().join("outputs").exists(), "a refused request leaves nothing");
}

#[test]
fn several_faults_are_reported_together() {
    let place = Place::new();
    let call = place.run("train model.optimizer.lr=x +data.batchsize=3 trainer.max_epochs=a");
    assert_eq!(call.code, 2);
    for text in ["model.optimizer.lr", "batchsize", "trainer.max_epochs", "4 problems, nothing was started"] {
        assert!(call.err.contains(text), "{text}\n{}", call.err);
    }
}

#[test]
fn a_fault_in_a_file_shows_its_line() {
    let place = Place::new();
    place.write("conf/experiment/mine.yaml", "# @package _global_\nmodel:\n  optimizer:\n    learning_rate: 1e-3\n");
    let call = place.run("train experiment=mine");
    assert_eq!(call.code, 2);
    for text in ["conf/experiment/mine.yaml:4:5", "learning_rate: 1e-3", "did you mean `lr`?", "^^^^^^^^^^^^^"] {
        assert!(call.err.contains(text), "{text}\n{}", call.err);
    }
}

#[test]
fn a_checkpoint_of_another_architecture_or_a_broken_one_is_refused() {
    let place = Place::new();
    place.ok("train model.net.channels=[8] trainer.max_epochs=1 trainer.limit_train_batches=1 test=false");
    let last = place.only_run("train").join("checkpoints/last.ckpt");
    let call = place.run(&format!("train model.net.channels=[8,8] ckpt_path={}", last.display()));
    assert_eq!(call.code, 2, "{}", call.err);
    assert!(
        call.err.contains("last.ckpt cannot be used") && call.err.contains("net.features.1.0.weight"),
        "{}",
        call.err
    );

    let bytes = std::fs::read(&last).unwrap();
    let half = place.path().join("half.ckpt");
    std::fs::write(&half, &bytes[..bytes.len() / 2]).unwrap();
    let mut altered = bytes.clone();
    let middle = altered.len() - 100;
    altered[middle] ^= 1;
    std::fs::write(place.path().join("altered.ckpt"), altered).unwrap();
    for name in ["half.ckpt", "altered.ckpt"] {
        let call = place.run(&format!("test ckpt_path={name}"));
        assert_ne!(call.code, 0);
        assert!(call.err.contains(name) && !call.err.contains("panicked"), "{}", call.err);
    }
    assert_eq!(place.runs("train").len(), 1);
    assert!(place.runs("test").is_empty());
}

#[test]
#[cfg(unix)]
fn an_output_folder_that_cannot_be_made_is_named() {
    let place = Place::new();
    place.write("file", "not a folder");
    let call = place.run("train paths.log_dir=file/outputs");
    assert_eq!(call.code, 1);
    assert!(
        call.err.contains("cannot create the output folder") && call.err.contains("paths.log_dir="),
        "{}",
        call.err
    );
}
