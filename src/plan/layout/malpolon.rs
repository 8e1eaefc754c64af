//! The configs of malpolon: `run`, `task.task`, `data`, `model` with its `modifiers`, `optim` (or `optimizer`),
//! `trainer`.

use std::path::Path;

use super::learning;
use super::made::{Made, Part, put};
use crate::config::{KeyPath, Map, Node, Problem, Problems, Value};

/// Whether a config has malpolon's shape.
pub(super) fn is_written_in(config: &Node) -> bool {
    config.select("task.task").is_some()
        && config.select("model._target_").is_none()
        && (config.select("model.model_name").is_some() || config.select("model.provider_name").is_some())
}

/// What is asked of a sample.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Asked {
    Binary,
    Multiclass,
    Multilabel,
}

impl Asked {
    const NAMES: [(&'static str, Asked); 3] = [
        ("classification_binary", Asked::Binary),
        ("classification_multiclass", Asked::Multiclass),
        ("classification_multilabel", Asked::Multilabel),
    ];

    fn of(config: &Node) -> Result<Self, Problem> {
        let path = KeyPath::root().key("task").key("task");
        let node = config.select("task.task").ok_or_else(|| Problem::new("task.task is missing").at(path.clone()))?;
        let found = Asked::NAMES.iter().find(|(name, _)| node.as_str() == Some(name));
        found.map(|(_, asked)| *asked).ok_or_else(|| {
            let names = Asked::NAMES.map(|(name, _)| name).join(", ");
            Problem::new("task.task names no task").at(path).from(&node.origin).help(format!("one of {names}"))
        })
    }

    fn target(self) -> &'static str {
        match self {
            Asked::Binary => "runner.tasks.BinaryClassification",
            Asked::Multiclass => "runner.tasks.Classification",
            Asked::Multilabel => "runner.tasks.MultiLabelClassification",
        }
    }

    fn loss(self) -> &'static str {
        match self {
            Asked::Multiclass => "torch.nn.CrossEntropyLoss",
            Asked::Binary | Asked::Multilabel => "torch.nn.BCEWithLogitsLoss",
        }
    }

    /// The metric that stands in when none is named.
    pub fn metric(self) -> &'static str {
        match self {
            Asked::Binary => "binary_accuracy",
            Asked::Multiclass => "multiclass_accuracy",
            Asked::Multilabel => "multilabel_accuracy",
        }
    }
}

pub(super) fn adopt(mut config: Node, folder: &Path) -> Result<Node, Problems> {
    let mut problems = Problems::default();
    let root = KeyPath::root();
    let asked = Asked::of(&config)?;
    let data = data(Part::of(&config, "data", &root));
    let key = if config.get("optim").is_some() { "optim" } else { "optimizer" };
    let optim = Part::of(&config, key, &root);
    let predicts = config.select("run.predict").and_then(Node::as_bool) == Some(true);
    let model = model(Part::of(&config, "model", &root), optim, asked, predicts, &mut problems);
    let trainer = Made::component("lightning.pytorch.Trainer").and(Part::of(&config, "trainer", &root).rest());
    put(&mut config, "data", data);
    put(&mut config, "model", model);
    put(&mut config, "trainer", trainer.node());
    if config.get("callbacks").is_none() {
        put(&mut config, "callbacks", callbacks(folder));
    }
    if config.get("logger").is_none() {
        put(&mut config, "logger", loggers(folder));
    }
    if let Some(path) = config.select("run.checkpoint_path").filter(|node| !node.is_null()).cloned() {
        put(&mut config, "ckpt_path", path);
    }
    // After the fit it validates with the best weights.
    for (key, value) in [("validate", true), ("test", false)] {
        if config.get(key).is_none() {
            put(&mut config, key, Node::program(value));
        }
    }
    if problems.is_empty() { Ok(config) } else { Err(problems) }
}

/// CIFAR-10 in its original files, a fifth of the training images for validation.
fn data(mut part: Part) -> Node {
    if part.has("_target_") {
        return Node::program(part.rest());
    }
    part.take("num_classes");
    let to_tensor = || vec![Made::component("torchvision.transforms.ToTensor").node()];
    Made::component("runner.data.CIFAR10")
        .moved("root", part.take("dataset_path"))
        .moved("batch_size", part.take("train_batch_size"))
        .moved("test_batch_size", part.take("inference_batch_size"))
        .with("train_val_test_split", vec![Node::program(0.8), Node::program(0.2), Node::program(0.0)])
        .with("stratify", false)
        .with("train_transforms", to_tensor())
        .with("test_transforms", to_tensor())
        .and(part.rest())
        .node()
}

fn model(mut model: Part, mut optim: Part, asked: Asked, predicts: bool, problems: &mut Problems) -> Node {
    let net = net(&mut model, problems);
    let mut loss = Made::component(asked.loss());
    for of in [&mut optim, &mut model] {
        loss = loss.and(of.part("loss_kwargs").rest());
    }
    let metrics = learning::metrics(optim.take("metrics"), asked, problems);
    let (optimizer, scheduler) = learning::optimizers(optim, problems);
    let both = "{name}/{split}";
    let log_names = Made::default().with("epoch", both);
    // The scores of a prediction are those of the whole set rather than means over its batches.
    let log_names = if predicts { log_names } else { log_names.with("step", both) };
    let made = Made::component(asked.target()).with_made("net", net).with_made("loss", loss);
    made.moved("optimizer", optimizer)
        .moved("scheduler", scheduler)
        .with("metrics", metrics)
        .with_made("log_names", log_names)
        .and(model.rest())
        .node()
}

/// The network of a provider, changed by the modifiers in their order.
fn net(model: &mut Part, problems: &mut Problems) -> Made {
    let name = model.take("model_name");
    let provider = model.take("provider_name");
    let kwargs = model.part("model_kwargs").rest();
    // What is null is left to the network.
    let kwargs: Map = kwargs.into_iter().filter(|(_, node)| !node.is_null()).collect();
    let mut net = match provider.as_ref().and_then(Node::as_str).unwrap_or("timm") {
        "timm" => Made::component("timm.create_model").moved("model_name", name).and(kwargs),
        "torchvision" => {
            let target = name.as_ref().and_then(Node::as_str).map(|name| format!("torchvision.models.{name}"));
            let origin = name.map_or_else(crate::config::Origin::program, |node| node.origin);
            Made::default().moved("_target_", target.map(|target| Node::new(target, origin))).and(torchvision(kwargs))
        }
        other => {
            let node = provider.clone().unwrap_or(Node::program(Value::Null));
            let message = format!("`{other}` is no provider of models");
            problems.push(model.problem("provider_name", &node, message).help("one of timm, torchvision"));
            return Made::default();
        }
    };
    let modifiers = model.part("modifiers");
    let path = modifiers.path().clone();
    for (key, node) in modifiers.rest() {
        let mut part = Part::new(node.as_map().cloned().unwrap_or_default(), path.key(key.clone()));
        let around = |net| Made::component("runner.models.Modified").with_made("net", net);
        net = match key.as_str().unwrap_or_default() {
            "change_first_convolutional_layer" => {
                around(net).moved("in_chans", part.take("num_input_channels")).with("keep_first_weights", false)
            }
            "change_last_layer" => {
                around(net).moved("num_classes", part.take("num_outputs")).moved("flatten", part.take("flatten"))
            }
            "change_last_layer_to_identity" => around(net).with("last_layer_to_identity", true),
            _ => {
                let names = "change_first_convolutional_layer, change_last_layer, change_last_layer_to_identity";
                let problem = Problem::new(format!("`{key}` is no modifier")).at(path.key(key));
                problems.push(problem.from(&node.origin.of_key()).help(format!("one of {names}")));
                continue;
            }
        }
        .and(part.rest());
    }
    // Weights of another training, for the network as it is now.
    match model.take("transfer") {
        Some(Node { value: Value::Map(transfer), .. }) => {
            Made::component("runner.models.Modified").with_made("net", net).and(transfer)
        }
        Some(other) => {
            let message = "the weights to begin with are a mapping";
            let help = "transfer: {weights: FILE, remove_prefix: net., partial: true}";
            problems.push(model.problem("transfer", &other, message).help(help));
            net
        }
        None => net,
    }
}

/// torchvision's arguments of today: `pretrained` is now `weights`.
fn torchvision(mut kwargs: Map) -> Map {
    match kwargs.shift_remove("pretrained") {
        Some(Node { value: Value::Bool(true), origin }) => {
            kwargs.insert("weights".into(), Node::new("DEFAULT", origin));
        }
        Some(Node { value: Value::Bool(false), .. }) | None => {}
        Some(path) => {
            kwargs.insert("weights".into(), path);
        }
    }
    kwargs
}

/// What its script adds: the best checkpoint and the last, one after a crash, the rates.
fn callbacks(folder: &Path) -> Node {
    let dirpath = folder.display().to_string();
    let checkpoint = Made::component("lightning.pytorch.callbacks.ModelCheckpoint")
        .with("dirpath", dirpath.as_str())
        // A slash in the metric's name would make a folder.
        .with("filename", "checkpoint-epoch={epoch:02d}-step={step}-loss_val={loss/val:.4f}")
        .with("auto_insert_metric_name", false)
        .with("monitor", "loss/val")
        .with("mode", "min")
        .with("save_on_train_epoch_end", true)
        .with("save_last", true);
    let crash = Made::component("lightning.pytorch.callbacks.OnExceptionCheckpoint")
        .with("dirpath", dirpath.as_str())
        .with("filename", "crash_latest_checkpoint");
    let rate = Made::component("lightning.pytorch.callbacks.LearningRateMonitor");
    Made::default().with_made("checkpoint", checkpoint).with_made("crash", crash).with_made("rate", rate).node()
}

fn loggers(folder: &Path) -> Node {
    let logger = |class: &str, name: &str| {
        let made = Made::component(&format!("lightning.pytorch.loggers.{class}"));
        made.with("save_dir", folder.display().to_string()).with("name", name).with("version", "")
    };
    Made::default()
        .with_made("csv", logger("CSVLogger", ""))
        .with_made("tensorboard", logger("TensorBoardLogger", "tensorboard_logs"))
        .node()
}
