//! moths: its own tree of configs, and the experiment that stands in for it.

use runner::checkpoint::TensorFile;

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
    place.ok(&format!("train --config-path config --config-name dev hydra.run.dir=run {SMALL}"));
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
}
