//! moths: its own tree of configs, and the experiment that stands in for it.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use runner::checkpoint::{Checkpoint, TensorFile};

use crate::pictures;
use crate::runner::{Place, json};

/// A tree of configs in moths' shape: groups `data`, `model`, `lit` and `trainer`, with Lightning 1.5's arguments.
fn write_configs(place: &Place) {
    place.write(
        "config/default.yaml",
        "defaults:\n  - code_config\n  - data: default\n  - model: default\n  - lit: default\n  - trainer: default\n  \
         - _self_\n  - override hydra/job_logging: colorlog\n  - override hydra/hydra_logging: colorlog\n\n\
         seed: 31415\ntune: false\ntest: false\n",
    );
    let transforms = |crop: &str| {
        format!(
            "  - _target_: torchvision.transforms.Resize\n    size: 224\n  - _target_: torchvision.transforms.{crop}\n    \
             size: 224\n  - _target_: torchvision.transforms.ToTensor\n  - _target_: torchvision.transforms.Normalize\n    \
             mean: [136.24, 133.32, 116.16]\n    std: [46.18, 46.70, 48.89]\n"
        )
    };
    let data = format!(
        "data_path: /data/image_folder\nlabel_hierarchy_file: /data/family.csv\ntest_fraction: 0.1\nbatch_size: 128\n\
         num_workers: 6\npin_memory: true\nmin_samples: 50\nweighted_sampling: false\n\
         weighted_sampling_fraction: 0.0\ntrain_transforms:\n{}test_transforms:\n{}",
        transforms("RandomCrop"),
        transforms("CenterCrop")
    );
    place.write("config/data/default.yaml", &data);
    place.write("config/model/default.yaml", "zoo_name: efficientnet_b7\npretrained: true\n");
    place.write(
        "config/lit/default.yaml",
        "optimizer:\n  _target_: torch.optim.Adam\n  lr: 0.003\n  weight_decay: 0.0\nloss:\n  \
         _target_: torch.nn.CrossEntropyLoss\n  label_smoothing: 0.004\nloss_weights: [5, 1, 1, 1]\n\
         unfreeze_backbone_epoch_start: 1\nunfreeze_backbone_epoch_duration: 4\nunfreeze_backbone_percentage: 0.4\n\
         metrics:\n  - {_target_: torchmetrics.Accuracy, average: micro}\n  \
         - {_target_: torchmetrics.Precision, average: macro}\n  - {_target_: torchmetrics.Recall, average: macro}\n  \
         - {_target_: torchmetrics.F1, average: macro}\n",
    );
    place.write(
        "config/trainer/default.yaml",
        "instance:\n  _target_: pytorch_lightning.Trainer\n  enable_checkpointing: true\n  default_root_dir: null\n  \
         gradient_clip_val: 0.0\n  gradient_clip_algorithm: norm\n  num_processes: 1\n  gpus: 1\n  \
         log_gpu_memory: null\n  overfit_batches: 0.0\n  fast_dev_run: false\n  max_epochs: 20\n  min_epochs: 4\n  \
         log_every_n_steps: 150\n  precision: 16\n  num_sanity_val_steps: 2\n  profiler: null\n  auto_lr_find: false\n\
         loggers:\n  tensorboard:\n    _target_: pytorch_lightning.loggers.TensorBoardLogger\n    \
         save_dir: \"tensorboard/\"\n    default_hp_metric: false\n    name: \"\"\n    version: \"\"\n    \
         log_graph: false\n    prefix: \"\"\n  wandb:\n    _target_: pytorch_lightning.loggers.wandb.WandbLogger\n    \
         entity: \"butterflies\"\n    project: \"session\"\n    offline: false\n    id: null\n    log_model: false\n    \
         prefix: \"\"\n    job_type: \"train\"\n    group: \"\"\n    tags: [ ]\ncallbacks:\n  checkpoint:\n    \
         _target_: pytorch_lightning.callbacks.ModelCheckpoint\n    monitor: \"epoch-val-loss\"\n    \
         dirpath: \"checkpoints/\"\n    save_last: true\n    filename: \"{epoch:03}-{epoch-val-loss:.4f}\"\n    \
         save_top_k: 1\n  lr_monitor:\n    _target_: pytorch_lightning.callbacks.LearningRateMonitor\n    \
         logging_interval: step\n    log_momentum: true\n  early_stopping:\n    \
         _target_: pytorch_lightning.callbacks.EarlyStopping\n    monitor: \"epoch-val-loss\"\n    patience: 1\n    \
         check_on_train_epoch_end: false\n",
    );
    place.write(
        "config/dev.yaml",
        "defaults:\n  - default\n  - _self_\n\ntune: false\n\ndata:\n  test_fraction: 0.25\n  batch_size: 4\n  \
         num_workers: 0\n  pin_memory: false\n  min_samples: 4\n\ntrainer:\n  instance:\n    gpus: null\n    \
         max_epochs: 1\n    min_epochs: 1\n    log_every_n_steps: 5\n  loggers:\n    wandb:\n      project: dev\n",
    );
}

/// Small images, a small network.
const SMALL: &str = "data.data_path=images data.label_hierarchy_file=family.csv model.zoo_name=resnet18 \
    model.pretrained=false data.train_transforms.0.size=32 data.train_transforms.1.size=32 \
    data.test_transforms.0.size=32 data.test_transforms.1.size=32 trainer.instance.precision=32";

#[test]
fn its_own_configs_compose_and_train() {
    let place = Place::new();
    write_configs(&place);
    pictures::moths(place.path(), 32);
    place.ok(&format!(
        "train --config-path config --config-name dev hydra.run.dir=run {SMALL} lit.loss_weights=[4.75,0.5,1.0,1.25] \
         trainer.instance.log_every_n_steps=1"
    ));
    let run = place.path().join("run");
    let results = json(&run.join("results.json"));
    let best = results["best"].as_f64().unwrap();
    let checkpoint = results["best_checkpoint"].as_str().unwrap().to_owned();
    assert_eq!(checkpoint, format!("checkpoints/epoch=000-epoch-val-loss={best:.4}.ckpt"));
    assert_eq!(results["monitor"], "epoch-val-loss");
    // The best checkpoint's second name, and the levels, are in the run's folder.
    assert_eq!(std::fs::read(run.join("best.ckpt")).unwrap(), std::fs::read(run.join(&checkpoint)).unwrap());
    let facts = json(&run.join("data/facts.json"));
    let level = |index: usize| facts["levels"][index]["classes"].as_array().unwrap().clone();
    assert_eq!(level(0)[..3], ["Other", "Amata phegea", "Cydia microgrammana"]);
    assert_eq!(level(1), ["Other", "macro", "micro"]);
    assert_eq!((level(2).len(), level(3).len()), (3, 5));
    for folder in ["tensorboard", "wandb"] {
        assert!(run.join(folder).is_dir(), "{folder}");
    }
    let rows = std::fs::read_to_string(run.join("metrics.jsonl")).unwrap();
    // The loss is the mean of the levels' losses by their weights, as they are.
    let first: serde_json::Value = rows
        .lines()
        .filter_map(|line| serde_json::from_str(line).ok())
        .find(|row: &serde_json::Value| row.get("train-genus-loss").is_some())
        .unwrap();
    let losses = ["species", "group", "family", "genus"].map(|level| first[format!("train-{level}-loss")].as_f64());
    let weights = [4.75, 0.5, 1.0, 1.25];
    let sum: f64 = losses.iter().zip(weights).map(|(loss, weight)| loss.unwrap() * weight).sum();
    let loss = first["train-loss"].as_f64().unwrap();
    assert!((loss - sum / 7.5).abs() < 1e-5 * loss, "{loss} of {losses:?}");
    for name in ["train-loss", "train-species-accuracy", "epoch-train-loss", "epoch-val-genus-f1", "lr-Adam-momentum"] {
        assert!(rows.contains(&format!("\"{name}\"")), "{name} in {rows}");
    }
    let weights = TensorFile::open(&run.join("best.ckpt")).unwrap();
    let heads: Vec<i64> = ["species", "group", "family", "genus"]
        .map(|level| weights.tensor(&format!("net.heads.{level}.weight")).unwrap().size()[0])
        .to_vec();
    assert_eq!(heads, [5, 3, 3, 5]);

    // One image, with the run's folder alone.
    let image = "images/Amata phegea/0.png";
    std::fs::copy(place.path().join(image), place.path().join("moth.png")).unwrap();
    std::fs::rename(place.path().join("images"), place.path().join("away")).unwrap();
    place.ok("infer run moth.png out=result.json");
    let found = json(&place.path().join("result.json"));
    assert!(found[0]["score"].as_f64().unwrap() > 0.0 && found[0]["class"].is_string(), "{found}");
    let again = place.run("infer run moth.png out=result.json");
    assert!(again.code != 0 && again.err.contains("result.json exists"), "{}", again.err);
    place.write("broken.png", "no picture");
    let broken = place.run("infer run broken.png out=other.json");
    assert!(broken.code != 0 && broken.err.contains("broken.png"), "{}", broken.err);
}

#[test]
fn a_config_is_chosen_and_its_values_changed() {
    let place = Place::new();
    write_configs(&place);
    let shown = |line: &str| place.run(&format!("train --config-path config {line} --cfg job")).out;
    assert!(shown("--config-name default").contains("batch_size: 128"));
    assert!(shown("--config-name dev").contains("batch_size: 4\n"));
    let mut command = place.command("train --config-path config --cfg job data.min_samples=7");
    let output = command.env("RUNNER_CONFIG_NAME", "dev").output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(text.contains("batch_size: 4\n") && text.contains("min_samples: 7"), "{text}");
    let nested = shown("--config-name dev trainer.loggers.wandb.project=mine lit.loss_weights.0=10");
    assert!(nested.contains("project: mine") && nested.contains("- 10\n"), "{nested}");
    pictures::moths(place.path(), 32);
    let wrong = place.run(&format!(
        "train --config-path config --config-name dev {} lit.optimizer._target_=torch.optim.Adan",
        SMALL
    ));
    assert!(wrong.code == 2 && wrong.err.contains("torch.optim.Adam"), "{}", wrong.err);
    assert!(wrong.err.contains("lit.optimizer._target_=torch.optim.Adan"), "{}", wrong.err);
    let vgg = SMALL.replace("resnet18", "vgg11");
    let wrong = place.run(&format!("train --config-path config --config-name dev {vgg}"));
    assert!(wrong.code == 2 && wrong.err.contains("no EfficientNet, ResNet or RegNet"), "{}", wrong.err);
    let wrong = place.run(&format!("train --config-path config --config-name dev {SMALL} data.batch_sise=3"));
    assert!(wrong.code == 2 && wrong.err.contains("batch_sise"), "{}", wrong.err);
}

/// The experiment on small pictures with a small network.
const EXPERIMENT: &str = "train experiment=moths data.root=images data.hierarchy.path=family.csv data.min_samples=4 \
    data.test_fraction=0.2 data.batch_size=8 data.num_workers=0 data.pin_memory=false \
    model.net.backbone._target_=torchvision.models.resnet18 model.net.backbone.weights=null \
    data.train_transforms.0.size=32 data.train_transforms.1.size=32 data.test_transforms.0.size=32 \
    data.test_transforms.1.size=32 trainer.precision=32-true trainer.enable_progress_bar=false \
    callbacks.model_summary=null logger=csv trainer.log_every_n_steps=1";

#[test]
fn the_experiment_trains_predicts_and_is_evaluated() {
    let place = Place::new();
    pictures::moths(place.path(), 32);
    place.ok(&format!("{EXPERIMENT} trainer.max_epochs=1 trainer.min_epochs=1 hydra.run.dir=run"));
    let run = place.path().join("run");
    let table = std::fs::read_to_string(run.join("csv/version_0/metrics.csv")).unwrap();
    let header = table.lines().next().unwrap();
    for name in ["epoch-val-family-precision", "train-genus-recall", "epoch-test-loss", "lr-Adam-momentum"] {
        assert!(header.split(',').any(|column| column == name), "{name} in {header}");
    }
    place.ok("predict ckpt_path=run split=val arrays=all images=true hydra.run.dir=predicted");
    let predicted = place.path().join("predicted");
    let arrays = predicted.join("arrays");
    let read = |name: &str| tch::Tensor::read_npy(arrays.join(format!("{name}.npy"))).unwrap();
    let samples = read("features").size()[0];
    assert_eq!(read("features").size(), [samples, 512]);
    for (level, classes) in [("species", 5), ("group", 3), ("family", 3), ("genus", 5)] {
        let logits = read(&format!("{level}_logits"));
        assert_eq!(logits.size(), [samples, classes]);
        assert_eq!(logits.argmax(-1, false), read(&format!("{level}_prediction")));
        assert_eq!(read(&format!("{level}_target")).size(), [samples]);
    }
    // Every picture lies in the folder of what was predicted, as it was.
    let sorted: Vec<_> = walkdir::WalkDir::new(predicted.join("images")).into_iter().flatten().collect();
    let files: Vec<_> = sorted.iter().filter(|entry| entry.file_type().is_file()).collect();
    assert_eq!(files.len() as i64, samples);
    assert!(files.iter().all(|file| {
        let name = file.file_name().to_string_lossy().into_owned();
        name.starts_with("correct_") || name.starts_with("wrong_")
    }));
    let contents = |folder: &Path| -> BTreeSet<Vec<u8>> {
        let files = walkdir::WalkDir::new(folder).into_iter().flatten().filter(|entry| entry.file_type().is_file());
        files.map(|file| std::fs::read(file.path()).unwrap()).collect()
    };
    let (sorted, inputs) = (contents(&predicted.join("images")), contents(&place.path().join("images")));
    assert!(sorted.is_subset(&inputs) && sorted.len() as i64 == samples);
    // A row for every sample of every part.
    let splits = std::fs::read_to_string(run.join("data/splits.csv")).unwrap();
    for part in ["train", "val", "test"] {
        place.ok(&format!("predict ckpt_path=run split={part} arrays=[logits] hydra.run.dir=of_{part}"));
        let count = splits.lines().filter(|line| line.split(',').any(|cell| cell == part)).count() as i64;
        let logits = place.path().join(format!("of_{part}/arrays/genus_logits.npy"));
        assert_eq!(tch::Tensor::read_npy(logits).unwrap().size(), [count, 5], "{part}");
    }
    place.ok("evaluate predicted");
    let folder = predicted.join("evaluation");
    for name in ["confusion_matrix_family.png", "confusion_matrix_species_normalized.svg", "per_class_genus.csv"] {
        assert!(folder.join(name).is_file(), "{name}");
    }
}

#[test]
fn the_backbone_is_frozen_at_first_but_for_its_statistics() {
    let place = Place::new();
    pictures::moths(place.path(), 32);
    let line = format!("{EXPERIMENT} test=false trainer.limit_val_batches=1 trainer.min_epochs=1");
    // The second epoch unfreezes 8 % of the backbone's tensors: the last ones.
    place.ok(&format!("{line} trainer.max_epochs=1 trainer.limit_train_batches=1 hydra.run.dir=one"));
    place.ok(&format!("{line} trainer.max_epochs=1 hydra.run.dir=many"));
    place.ok(&format!("{line} trainer.max_epochs=2 callbacks.early_stopping=null hydra.run.dir=two"));
    let open = |run: &str| TensorFile::open(&place.path().join(run).join("checkpoints/last.ckpt")).unwrap();
    let (one, many, two) = (open("one"), open("many"), open("two"));
    let differs = |name: &str, a: &TensorFile, b: &TensorFile| a.tensor(name).unwrap() != b.tensor(name).unwrap();
    assert!(!differs("net.backbone.conv1.weight", &one, &many));
    assert!(!differs("net.backbone.layer4.1.bn2.weight", &one, &many));
    assert!(differs("net.backbone.bn1.running_mean", &one, &many));
    assert!(differs("net.heads.species.weight", &one, &many));
    assert!(!differs("net.backbone.layer4.0.conv1.weight", &one, &two));
    assert!(differs("net.backbone.layer4.1.bn2.weight", &one, &two));

    // What the optimizer knows of the heads goes on while it begins anew for what is unfrozen.
    let adam = |run: &str| Adam::of(&place.path().join(run).join("checkpoints/last.ckpt"));
    let (many, two) = (adam("many"), adam("two"));
    let (head, late) = ("net.heads.species.weight", "net.backbone.layer4.1.bn2.weight");
    let steps = many.slot(head, "step").double_value(&[]);
    assert!(steps > 1.0);
    assert_eq!(two.slot(head, "step").double_value(&[]), 2.0 * steps);
    assert_eq!(two.slot(late, "step").double_value(&[]), steps);
    // The mean square is at least what the first epoch left of it: it is a sum of squares with old ones fading.
    let faded = many.slot(head, "exp_avg_sq") * 0.999f64.powi(steps as i32);
    let rises = (two.slot(head, "exp_avg_sq") - &faded * (1.0 - 1e-5)).min().double_value(&[]);
    assert!(rises >= 0.0 && faded.max().double_value(&[]) > 0.0, "{rises}");
}

/// What a checkpoint holds of an optimizer.
struct Adam {
    checkpoint: Checkpoint,
    names: Vec<String>,
}

impl Adam {
    fn of(path: &Path) -> Self {
        let checkpoint = Checkpoint::read(path).unwrap();
        let groups = checkpoint.state.value["optimizer"]["param_groups"].as_array().unwrap().clone();
        let names = groups.iter().flat_map(|group| group["param_names"].as_array().unwrap().clone());
        let names = names.map(|name| name.as_str().unwrap().to_owned()).collect();
        Adam { checkpoint, names }
    }

    fn slot(&self, parameter: &str, slot: &str) -> tch::Tensor {
        let index = self.names.iter().position(|name| name == parameter).unwrap();
        self.checkpoint.state.tensors[&format!("optimizer.state.{index}.{slot}")].shallow_clone()
    }
}

/// moths' search, on the small configuration.
const OPTIM: &str = "defaults:\n  - dev\n  - _self_\n  - override hydra/sweeper: ax\n\nhydra:\n  sweeper:\n    \
    ax_config:\n      max_trials: 2\n      experiment:\n        minimize: true\n      early_stop:\n        \
    max_epochs_without_improvement: 6\n      is_noisy: true\n      params:\n        lit.loss.label_smoothing:\n          \
    type: range\n          value_type: float\n          bounds: [0.0, 0.1]\n        lit.loss_weights.0:\n          \
    type: range\n          value_type: int\n          bounds: [1, 10]\n        lit.unfreeze_backbone_epoch_start:\n          \
    type: range\n          value_type: int\n          bounds: [0, 1]\n        lit.unfreeze_backbone_percentage:\n          \
    type: range\n          value_type: float\n          bounds: [0.0, 1.0]\n";

#[test]
fn its_search_minimizes_the_best_checkpoints_score() {
    let place = Place::new();
    write_configs(&place);
    place.write("config/optim.yaml", OPTIM);
    pictures::moths(place.path(), 32);
    place.ok(&format!("-m train --config-path config --config-name optim hydra.sweep.dir=sweep {SMALL}"));
    let sweep = place.path().join("sweep");
    let score = |job: &str| {
        let results = json(&sweep.join(job).join("results.json"));
        let best = results["best"].as_f64().unwrap();
        let named = format!("checkpoints/epoch=000-epoch-val-loss={best:.4}.ckpt");
        assert_eq!(results["best_checkpoint"], named.as_str());
        best
    };
    let scores = [score("0"), score("1")];
    let table = std::fs::read_to_string(sweep.join("results.csv")).unwrap();
    for score in scores {
        assert!(table.contains(&score.to_string()), "{score} in {table}");
    }
    let best = place.ok("best sweep").out;
    let least = if scores[0] <= scores[1] { 0 } else { 1 };
    let line = format!("#{least}, best:epoch-val-loss {} (less is better)", scores[least]);
    assert!(best.contains(&line), "{best}");
    assert!(best.contains("lit.loss_weights.0="), "{best}");
}

#[test]
fn its_tuning_sets_the_batch_size_and_the_rate() {
    let place = Place::new();
    write_configs(&place);
    pictures::moths(place.path(), 32);
    place.ok(&format!(
        "train --config-path config --config-name dev hydra.run.dir=run {SMALL} tune=true \
         +tuner.batch_size.max_val=8 +tuner.learning_rate.num_training=20"
    ));
    let run = place.path().join("run");
    let results = json(&run.join("results.json"));
    assert_eq!(results["tuned"]["data.batch_size"], 8, "{results}");
    let rate = results["tuned"]["lit.optimizer.lr"].as_f64().unwrap();
    let config = std::fs::read_to_string(run.join(".hydra/config.yaml")).unwrap();
    let of = |key: &str| -> Vec<f64> {
        config.lines().filter_map(|line| line.trim().strip_prefix(key)?.parse().ok()).collect()
    };
    // In its place, and noted at the end.
    assert!(of("batch_size: ") == [8.0; 2] && of("lr: ") == [rate; 2], "{rate} in {config}");
    let sizes = std::fs::read_to_string(run.join("batch_size.csv")).unwrap();
    assert_eq!(sizes, "batch_size,fits\n2,true\n4,true\n8,true\n");
}

/// An endless training of the experiment that has kept its first best checkpoint.
fn endless(place: &Place) -> Child {
    let line = format!("{EXPERIMENT} trainer.max_epochs=100000 callbacks.early_stopping=null test=false");
    let mut command = place.command(&format!("{line} hydra.run.dir=run"));
    let child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    let start = Instant::now();
    let kept = |entry: std::fs::DirEntry| entry.file_name().to_string_lossy().contains("epoch-val-loss");
    let folder = place.path().join("run/checkpoints");
    while !std::fs::read_dir(&folder).into_iter().flatten().flatten().any(kept) {
        assert!(start.elapsed() < Duration::from_secs(120), "no checkpoint after two minutes");
        std::thread::sleep(Duration::from_millis(20));
    }
    child
}

#[test]
fn however_the_fit_ends_the_best_checkpoint_has_its_second_name() {
    // Ctrl-C, and pictures that are gone in the middle of the training.
    for interrupts in [true, false] {
        let place = Place::new();
        pictures::moths(place.path(), 32);
        let mut child = endless(&place);
        if interrupts {
            Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap();
        } else {
            std::fs::rename(place.path().join("images"), place.path().join("away")).unwrap();
        }
        let code = child.wait().unwrap().code();
        let results = json(&place.path().join("run/results.json"));
        let expected = if interrupts { (Some(130), "interrupted") } else { (Some(1), "failed") };
        assert_eq!((code, results["status"].as_str().unwrap()), expected);
        let best = place.path().join("run").join(results["best_checkpoint"].as_str().unwrap());
        let copy = std::fs::read(place.path().join("run/best.ckpt")).unwrap();
        assert_eq!(copy, std::fs::read(best).unwrap());
    }
}
