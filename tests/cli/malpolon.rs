//! malpolon: its CIFAR-10 example as an experiment, and a config in its own shape.

use crate::pictures;
use crate::runner::{Place, json};

/// The experiment on a hundred pictures with a small network.
const EXPERIMENT: &str = "train experiment=malpolon_cifar10 data.dataset_path=dataset data.num_workers=0 \
    trainer.log_every_n_steps=1 trainer.accelerator=cpu callbacks.model_summary=null";

fn place() -> Place {
    let place = Place::new();
    pictures::cifar(&place.path().join("dataset"), 20);
    place
}

fn table(path: &std::path::Path) -> (Vec<String>, Vec<Vec<String>>) {
    let mut reader = csv::Reader::from_path(path).unwrap();
    let header = reader.headers().unwrap().iter().map(str::to_owned).collect();
    (header, reader.records().map(|row| row.unwrap().iter().map(str::to_owned).collect()).collect())
}

#[test]
fn the_experiment_trains_validates_and_predicts() {
    let place = place();
    place.ok(&format!("{EXPERIMENT} trainer.max_epochs=1 hydra.run.dir=run"));
    let run = place.path().join("run");
    let results = json(&run.join("results.json"));
    let names: Vec<_> = std::fs::read_dir(&run).unwrap().flatten().map(|entry| entry.file_name()).collect();
    let names: Vec<_> = names.iter().map(|name| name.to_string_lossy().into_owned()).collect();
    for name in ["last.ckpt", "metrics.csv", "hparams.yaml", "tensorboard_logs", ".hydra"] {
        assert!(names.iter().any(|found| found == name), "{name} in {names:?}");
    }
    let loss = results["best"].as_f64().unwrap();
    assert!(names.contains(&format!("checkpoint-epoch=00-step=3-loss_val={loss:.4}.ckpt")), "{names:?}");
    let (header, rows) = table(&run.join("metrics.csv"));
    for name in ["loss/train_step", "loss/train_epoch", "multiclass_accuracy/val_epoch", "top3/train_step"] {
        assert!(header.iter().any(|column| column == name), "{name} in {header:?}");
    }
    // Validated once in the epoch and once more after the fit, with the best weights.
    let column = header.iter().position(|name| name == "loss/val_epoch").unwrap();
    let validated: Vec<&String> = rows.iter().map(|row| &row[column]).filter(|cell| !cell.is_empty()).collect();
    assert_eq!(validated.len(), 2);
    assert!(!names.iter().any(|name| name.contains("crash")));

    let line = format!("{EXPERIMENT} run.predict=true");
    let without = place.run(&line);
    assert!(without.code == 2 && without.err.contains("run.checkpoint_path="), "{}", without.err);
    place.ok(&format!("{line} run.checkpoint_path=run/last.ckpt hydra.run.dir=predicted"));
    let (header, rows) = table(&place.path().join("predicted/predictions_test_dataset.csv"));
    assert_eq!(header, ["ids", "predictions", "targets", "probas"]);
    assert_eq!(rows.len(), 20);
    let mut right = std::collections::BTreeMap::new();
    for row in &rows {
        let probabilities: Vec<f64> = row[3].split(' ').map(|p| p.parse().unwrap()).collect();
        assert_eq!(row[1].split(' ').count(), 3);
        assert!(probabilities.is_sorted_by(|a, b| a >= b), "{row:?}");
        let of_class: &mut (f64, f64) = right.entry(row[2].clone()).or_default();
        of_class.0 += f64::from(u8::from(row[1].split(' ').next() == Some(&row[2])));
        of_class.1 += 1.0;
    }
    let (_, scores) = table(&place.path().join("predicted/scores_test_dataset.csv"));
    assert_eq!(scores[0][0], "multiclass_accuracy");
    // Macro average: the mean over the classes that there are, those that are predicted alone counting as 0.
    let predicted: std::collections::BTreeSet<&str> = rows.iter().filter_map(|row| row[1].split(' ').next()).collect();
    let all = right.keys().map(String::as_str).chain(predicted).collect::<std::collections::BTreeSet<_>>().len();
    let accuracy = right.values().map(|(hits, count)| hits / count).sum::<f64>() / all as f64;
    assert!((scores[0][1].parse::<f64>().unwrap() - accuracy).abs() < 1e-6, "{scores:?} {accuracy}");
}

#[test]
fn a_run_goes_on_from_its_checkpoint() {
    let place = place();
    let quick = format!("{EXPERIMENT} trainer.limit_val_batches=1 trainer.limit_train_batches=2");
    place.ok(&format!("{quick} trainer.max_epochs=2 hydra.run.dir=whole"));
    place.ok(&format!("{quick} trainer.max_epochs=1 hydra.run.dir=half"));
    place.ok(&format!("{quick} trainer.max_epochs=2 run.checkpoint_path=half/last.ckpt hydra.run.dir=rest"));
    let weights = |run: &str| {
        let file = runner::checkpoint::TensorFile::open(&place.path().join(run).join("last.ckpt")).unwrap();
        file.tensor("net.layer4.1.conv2.weight").unwrap()
    };
    assert_eq!(weights("whole"), weights("rest"));
    assert_eq!(json(&place.path().join("rest/results.json"))["epochs"], 2);
}

/// malpolon's own shape: the older form of the optimizer, anchors, YAML 1.1's words.
const OWN: &str = "hydra:\n  run:\n    dir: outputs/${hydra.job.name}/${now:%Y-%m-%d_%H-%M-%S}\n\
    run:\n  predict: false\n  checkpoint_path:\n\
    data:\n  num_classes: &num_classes 10\n  dataset_path: \"dataset/\"\n  train_batch_size: 32\n  \
    inference_batch_size: 16\n  num_workers: 0\n\
    task:\n  task: \"classification_multiclass\"\n\
    trainer:\n  accelerator: \"cpu\"\n  devices: \"auto\"\n  max_epochs: 1\n  check_val_every_n_epoch: 1\n  \
    log_every_n_steps: 300\n\
    model:\n  provider_name: \"timm\"\n  model_name: \"resnet18\"\n  model_kwargs:\n    pretrained: no\n    \
    num_classes:\n    in_chans:\n    output_stride:\n    global_pool:\n  modifiers:\n    \
    change_first_convolutional_layer:\n      num_input_channels: 3\n    change_last_layer:\n      \
    num_outputs: *num_classes\n\
    optimizer:\n  lr: 1e-2\n  weight_decay: 0\n  momentum: 0.9\n  nesterov: true\n  metrics:\n    \
    multiclass_accuracy:\n      kwargs:\n        num_classes: *num_classes\n";

#[test]
fn its_own_config_composes_and_trains() {
    let place = place();
    place.write("config/cnn_cifar10.yaml", OWN);
    let line = "train --config-path config --config-name cnn_cifar10 hydra.job.name=mine";
    let shown = place.ok(&format!("{line} --cfg job")).out;
    for text in ["lr: 0.01", "nesterov: true", "pretrained: false", "in_chans: null", "num_outputs: 10"] {
        assert!(shown.contains(text), "{text} in {shown}");
    }
    place.ok(&format!("{line} +trainer.fast_dev_run=false +trainer.limit_train_batches=1"));
    let runs = crate::runner::folders(&place.path().join("outputs/mine"));
    assert_eq!(runs.len(), 1, "the job's name decides the folder");
    for name in ["last.ckpt", "metrics.csv", "hparams.yaml", "tensorboard_logs", "runner.log"] {
        assert!(runs[0].join(name).exists(), "{name}");
    }
}

/// What is wrong with a config, before anything is made.
fn problem(place: &Place, more: &str) -> String {
    let call = place.run(&format!("{EXPERIMENT} {more}"));
    assert_eq!(call.code, 2, "{more}: {}{}", call.out, call.err);
    assert!(!place.path().join("outputs").exists());
    call.err
}

#[test]
fn errors_of_its_configs_are_named() {
    let place = place();
    for (line, expected) in [
        ("+trainer.gpus=1", "trainer.accelerator=gpu and trainer.devices=1"),
        ("task.task=classification", "classification_multilabel"),
        ("model.provider_name=keras", "timm, torchvision"),
        ("model.model_name=resnet19", "resnet18"),
        ("+model.modifiers.change_middle_layer.num=3", "change_last_layer_to_identity"),
        ("optim.optimizer.sgd=null", "says nothing about itself"),
        ("+optim.optimizer.gibberish.kwargs.lr=0.1 ~optim.optimizer.sgd", "`gibberish` is none of the names"),
        (
            "~optim.optimizer.sgd.scheduler +optim.optimizer.sgd.scheduler.gibberish.kwargs.gamma=0.1",
            "`gibberish` is none of the names",
        ),
        ("+optim.optimizer.sgd.kwargs.gibberish=1", "gibberish"),
        ("+optim.optimizer.sgd.scheduler.reduce_lr_on_plateau.kwargs.gibberish=1", "gibberish"),
        (
            "optim.optimizer.sgd.scheduler.reduce_lr_on_plateau.lr_scheduler_config.monitor=nothing",
            "`nothing` is monitored",
        ),
        ("+optim.optimizer.sgd.scheduler.reduce_lr_on_plateau.lr_scheduler_config.often=1", "often"),
        ("data.dataset_path=nowhere", "nowhere"),
        ("data.integrity=true", "MD5"),
    ] {
        let found = problem(&place, line);
        assert!(found.contains(expected), "{line}: {found}");
    }
    std::fs::remove_file(place.path().join("dataset/cifar-10-batches-py/data_batch_3")).unwrap();
    assert!(problem(&place, "").contains("data_batch_3"));
    let skipped = place.ok(&format!("{EXPERIMENT} data.missing_files=skip trainer.fast_dev_run=true"));
    assert!(skipped.err.contains("data_batch_3"), "{}", skipped.err);
    assert!(!place.path().join("outputs/cnn_cifar10").join("last.ckpt").exists());
}

#[test]
fn optimizers_schedules_and_metrics_by_their_short_names() {
    let place = place();
    let quick = "trainer.fast_dev_run=true";
    for name in ["adam", "adamw", "adadelta", "adagrad", "adamax", "rmsprop"] {
        let line = format!("{EXPERIMENT} {quick} ~optim.optimizer.sgd +optim.optimizer.{name}.kwargs.lr=0.001");
        place.ok(&line);
    }
    for schedule in [
        "{step_lr:{kwargs:{step_size:1}}}",
        "{cosine_annealing_lr:{kwargs:{T_max:4},lr_scheduler_config:{interval:step}}}",
        "{mine:{callable:lr_scheduler.ExponentialLR,kwargs:{gamma:0.9}}}",
    ] {
        let other = format!("~optim.optimizer.sgd.scheduler +optim.optimizer.sgd.scheduler={schedule}");
        place.ok(&format!("{EXPERIMENT} {quick} {other}"));
    }
    // Two optimizers of the same weights, the second with a schedule of its own.
    place.ok(&format!(
        "{EXPERIMENT} trainer.max_epochs=2 trainer.limit_train_batches=1 trainer.limit_val_batches=1 \
         optim.optimizer.sgd.scheduler=null +optim.optimizer.adam.kwargs.lr=0.001 \
         +optim.optimizer.adam.scheduler={{step_lr:{{kwargs:{{step_size:1,gamma:0.5}}}}}} hydra.run.dir=two"
    ));
    let (header, rows) = table(&place.path().join("two/metrics.csv"));
    let rates = |name: &str| -> [String; 2] {
        let column = header.iter().position(|column| column == name).unwrap_or_else(|| panic!("{name} in {header:?}"));
        let mut rates = rows.iter().map(|row| row[column].clone()).filter(|cell| !cell.is_empty());
        let first = rates.next().unwrap_or_default();
        [first.clone(), rates.next_back().unwrap_or(first)]
    };
    assert_eq!(rates("lr-Several/pg1"), ["0.01", "0.01"]);
    assert_eq!(rates("lr-Several/pg2"), ["0.001", "0.0005"]);
    let call =
        place.ok(&format!("{EXPERIMENT} {quick} optim.optimizer.sgd.scheduler=null +optim.metrics.odd.kwargs={{}}"));
    assert!(call.err.contains("`odd` is left out"), "{}", call.err);
    let call = place.ok(&format!("{EXPERIMENT} {quick} ~optim.metrics"));
    assert!(call.err.contains("taking multiclass_accuracy"), "{}", call.err);
}
