//! malpolon: its CIFAR-10 example as an experiment, and a config in its own shape.

use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

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

/// All rows of a table with semicolons.
fn semicolons(path: &std::path::Path) -> Vec<Vec<String>> {
    let mut reader = csv::ReaderBuilder::new().delimiter(b';').has_headers(false).from_path(path).unwrap();
    reader.records().map(|row| row.unwrap().iter().map(str::to_owned).collect()).collect()
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
    // What is trained with what on what.
    let log = std::fs::read_to_string(run.join("runner.log")).unwrap();
    for line in [
        "Modified(net=Modified(net=create_model(model_name=resnet18)",
        "loss: CrossEntropyLoss()",
        "optimizer: SGD(lr=0.01, weight_decay=0, momentum=0.9, nesterov=True)",
        "scheduler: dict(scheduler=ReduceLROnPlateau(factor=0.1, patience=5), monitor=loss/val)",
        "train data: 80 samples, 3 batches of 32",
        "val data: 20 samples, 1 batches of 32",
        "test data: 20 samples, 2 batches of 16",
    ] {
        assert!(log.contains(line), "{line} in {log}");
    }
    // Pictures of the history, one a metric.
    let drawn = place.ok("report run images=true").out;
    assert!(drawn.contains("run/report.html") && drawn.contains("run/curves"), "{drawn}");
    for name in ["loss", "multiclass_accuracy", "top3", "learning_rate"] {
        let svg = std::fs::read_to_string(run.join(format!("curves/{name}.svg"))).unwrap();
        assert!(name == "learning_rate" || (svg.contains(">train (step)<") && svg.contains(">val (epoch)<")), "{svg}");
        assert!(image::open(run.join(format!("curves/{name}.png"))).unwrap().width() > 400);
    }
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
    // One sample alone: here the first, or the one that is named; in malpolon's form of a point.
    let first = semicolons(&place.path().join("predicted/prediction_point.csv"));
    let header = ["observation_id", "lon", "lat", "crs", "target_species_id", "predictions", "probas"];
    assert_eq!(first[0], header);
    assert_eq!((first.len(), &first[1][0], &first[1][4]), (2, &rows[0][0], &rows[0][2]));
    assert!(first[1][5].starts_with(rows[0][1].split(' ').next().unwrap()) && first[1][5].split(' ').count() == 10);
    let id = &rows[7][0];
    let line = format!("{line} run.checkpoint_path=run/last.ckpt run.predict_type=test_point run.top_k=2");
    place.ok(&format!("{line} run.point={id} hydra.run.dir=point"));
    let seventh = semicolons(&place.path().join("point/prediction_point.csv"));
    assert_eq!((&seventh[1][0], &seventh[1][4], seventh[1][5].split(' ').count()), (id, &rows[7][2], 2));
    assert!(!place.path().join("point/predictions_test_dataset.csv").exists());
    let wrong = place.run(&format!("{line} run.point=nobody"));
    assert!(wrong.code != 0 && wrong.err.contains("no sample `nobody`"), "{}", wrong.err);
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
    // No optimizer at all: the network stays as it was drawn.
    let none = place.ok(&format!("{EXPERIMENT} {quick} ~optim.optimizer.sgd"));
    assert!(none.err.contains("the network learns nothing"), "{}", none.err);
    // The other provider; arguments of timm's network.
    place.ok(&format!("{EXPERIMENT} {quick} model.provider_name=torchvision model.model_name=mobilenet_v3_small"));
    place.ok(&format!(
        "{EXPERIMENT} {quick} model.model_kwargs.output_stride=8 model.model_kwargs.global_pool=catavgmax"
    ));
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

/// The experiment on other data, with its metrics exchanged on the command line.
const TO_TENSOR: &str = "data.train_transforms=[{_target_:torchvision.transforms.ToTensor}] \
    data.test_transforms=[{_target_:torchvision.transforms.ToTensor}] data.num_workers=0 data.batch_size=8 \
    trainer.accelerator=cpu trainer.max_epochs=1 callbacks.model_summary=null";

fn log_of(place: &Place, run: &str) -> String {
    std::fs::read_to_string(place.path().join(run).join("runner.log")).unwrap()
}

#[test]
fn one_question_and_weights_of_another_training() {
    let place = Place::new();
    pictures::folders(&place.path().join("pictures"), 32, &[("no", 16), ("yes", 16)]);
    let data =
        format!("train experiment=malpolon_cifar10 data=image_folder data.root=pictures {TO_TENSOR} ~optim.metrics");
    let binary = format!(
        "{data} task.task=classification_binary model.modifiers.change_last_layer.num_outputs=1 \
         +optim.metrics={{binary_accuracy:{{kwargs:{{}}}}}} +optim.loss_kwargs.pos_weight=2.0"
    );
    place.ok(&format!("{binary} hydra.run.dir=binary"));
    assert!(log_of(&place, "binary").contains("loss: BCEWithLogitsLoss(pos_weight=2.0)"));
    let (header, _) = table(&place.path().join("binary/metrics.csv"));
    assert!(header.iter().any(|name| name == "binary_accuracy/val_epoch"), "{header:?}");
    place.ok(&format!("{binary} run.predict=true run.checkpoint_path=binary/last.ckpt hydra.run.dir=predicted"));
    let (_, rows) = table(&place.path().join("predicted/predictions_test_dataset.csv"));
    assert!(!rows.is_empty());
    for row in rows {
        let rounded = if row[3].parse::<f64>().unwrap() >= 0.5 { "yes" } else { "no" };
        assert_eq!(row[1], rounded, "{row:?}");
    }
    // Both answers of the question are scored in the house's own table.
    place.ok("predict ckpt_path=binary/last.ckpt split=train hydra.run.dir=both");
    let (header, rows) = table(&place.path().join("both/predictions.csv"));
    assert_eq!(header[3..5], ["p_no", "p_yes"]);
    for row in rows {
        let [no, yes] = [3, 4].map(|column: usize| row[column].parse::<f64>().unwrap());
        assert!((no + yes - 1.0).abs() < 1e-6 && (row[2] == "yes") == (yes >= 0.5), "{row:?}");
    }

    // The same network with two classes, from these weights: all but the last layer.
    let classes = format!("{data} model.modifiers.change_last_layer.num_outputs=2 trainer.limit_train_batches=1");
    let from = |more: &str| format!("{classes} model.transfer={{weights:binary/last.ckpt{more}}}");
    let told = place.ok(&format!("{} hydra.run.dir=second", from(",remove_prefix:net.,partial:true"))).err;
    let report = "tensors loaded; 2 that do not fit: `fc.weight` is [1, 512] Float in the file and [2, 512]";
    assert!(told.contains(report), "{told}");
    let strict = place.run(&from(",remove_prefix:net."));
    assert!(strict.code != 0 && strict.err.contains("do not fit the network"), "{}", strict.err);
    let unnamed = place.run(&from(",partial:true"));
    assert!(unnamed.code != 0 && unnamed.err.contains("no tensor of the file fits"), "{}", unnamed.err);
    let damaged = place.run(&from(",remove_prefix:net.,partial:true,weights_md5:d41d8cd98f00b204e9800998ecf8427e"));
    assert!(damaged.code != 0 && damaged.err.contains("has the MD5 sum"), "{}", damaged.err);
    let call = place.run(&format!("{classes} model.transfer=binary/last.ckpt"));
    assert!(call.code == 2 && call.err.contains("are a mapping"), "{}", call.err);
}

#[test]
fn several_labels_with_coordinates() {
    let place = Place::new();
    pictures::folders(&place.path().join("pictures"), 32, &[("a", 12), ("b", 12)]);
    let labels = ["w;x", "x", "y;z;x", "z"];
    let rows: Vec<String> = (0..24)
        .map(|i| {
            let part = ["train", "train", "val", "test"][i % 4];
            format!("s{i},{}/{}.png,{},{}.5,-{i},{part}", ["a", "b"][i / 12], i % 12, labels[(i / 4) % 4], i + 1)
        })
        .collect();
    place.write("labels.csv", &format!("id,path,label,lon,lat,part\n{}\n", rows.join("\n")));
    let line = format!(
        "train experiment=malpolon_cifar10 data=image_table data.table=labels.csv data.root=pictures {TO_TENSOR} \
         data.label_separator=';' data.id_column=id data.split_column=part data.columns=[lon,lat] \
         task.task=classification_multilabel model.modifiers.change_last_layer.num_outputs=4 ~optim.metrics \
         +optim.metrics={{multilabel_accuracy:{{kwargs:{{num_labels:4}}}}}} +optim.loss_kwargs.pos_weight=[1,2,3,0.5]"
    );
    place.ok(&format!("{line} hydra.run.dir=run"));
    assert!(log_of(&place, "run").contains("loss: BCEWithLogitsLoss(pos_weight=[1, 2, 3, 0.5])"));
    place.ok(&format!("{line} run.predict=true run.checkpoint_path=run/last.ckpt hydra.run.dir=predicted"));
    let rows = semicolons(&place.path().join("predicted/predictions_test_dataset.csv"));
    assert_eq!(rows[0], ["observation_id", "lon", "lat", "target_species_id", "predictions", "probas"]);
    assert_eq!(rows.len(), 7);
    assert_eq!(rows[1][..4], ["s3", "4.5", "-3", "w x"]);
    for row in &rows[1..] {
        let mut names: Vec<&str> = row[4].split(' ').collect();
        names.sort_unstable();
        assert_eq!(names, ["w", "x", "y", "z"]);
        let probabilities: Vec<f64> = row[5].split(' ').map(|p| p.parse().unwrap()).collect();
        assert!(probabilities.is_sorted_by(|a, b| a >= b), "{row:?}");
    }
    let point = semicolons(&place.path().join("predicted/prediction_point.csv"));
    assert_eq!(point[1][..5], ["s3", "4.5", "-3", "4326", "w x"]);
    assert_eq!(point[1][5..], rows[1][4..]);
    // The table's further columns stand in the house's own table of predictions, too.
    place.ok("predict ckpt_path=run/last.ckpt split=val hydra.run.dir=own");
    let (header, rows) = table(&place.path().join("own/predictions.csv"));
    assert_eq!(header[header.len() - 2..], ["lon", "lat"]);
    assert_eq!(rows[0][header.len() - 2..], ["3.5", "-2"]);
}

#[test]
fn after_ctrl_c_it_goes_on_from_what_the_crash_left() {
    let place = place();
    let line = format!("{EXPERIMENT} hydra.run.dir=run");
    let mut command = place.command(&format!("{line} trainer.max_epochs=100000"));
    let mut child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    let start = Instant::now();
    while !place.path().join("run/last.ckpt").is_file() {
        assert!(start.elapsed() < Duration::from_secs(120), "no checkpoint after two minutes");
        std::thread::sleep(Duration::from_millis(20));
    }
    Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(130));
    let steps = json(&place.path().join("run/results.json"))["steps"].as_u64().unwrap();
    let left = "run.checkpoint_path=run/crash_latest_checkpoint.ckpt";
    let on = format!("{EXPERIMENT} {left} trainer.max_epochs=-1 trainer.max_steps={} validate=false", steps + 1);
    place.ok(&format!("{on} hydra.run.dir=on"));
    assert_eq!(json(&place.path().join("on/results.json"))["steps"].as_u64(), Some(steps + 1));
}
