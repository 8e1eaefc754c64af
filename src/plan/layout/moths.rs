//! The configs of moths: `data`, `model` (a name of torchvision's), `lit` (what a LightningModule holds) and
//! `trainer` with its `instance`, `loggers` and `callbacks`.

use std::path::Path;

use super::legacy;
use super::made::{Made, Part, put, within, words};
use crate::config::{KeyPath, Map, Node, Problem, Problems, Value};

/// Its levels, in the order of targets, losses and heads.
const LEVELS: [&str; 4] = ["species", "group", "family", "genus"];
/// The architectures whose last layer it takes off.
const FAMILIES: [&str; 5] = ["efficientnet_", "resnet", "resnext", "wide_resnet", "regnet_"];

/// The score of the best checkpoint: what its training returns.
pub(super) const OBJECTIVE: &str = "best:epoch-val-loss";

/// Whether a config has moths' shape.
pub(super) fn is_written_in(config: &Node) -> bool {
    config.get("lit").and_then(Node::as_map).is_some() && config.select("trainer.instance").is_some()
}

pub(super) fn adopt(mut config: Node, folder: &Path) -> Result<Node, Problems> {
    let mut problems = Problems::default();
    let root = KeyPath::root();
    let data = data(Part::of(&config, "data", &root));
    let mut lit = Part::of(&config, "lit", &root);
    let callbacks = callbacks(&config, &mut lit, folder);
    let model = model(Part::of(&config, "model", &root), lit, &mut problems);
    let mut trainer = Part::of(&config, "trainer", &root);
    let loggers = loggers(trainer.part("loggers").rest(), folder);
    let instance = Made::component("lightning.pytorch.Trainer").with("benchmark", true);
    let instance = instance.and(legacy::trainer(trainer.part("instance")));
    // What its predict command takes beside the config.
    for (key, node) in [
        ("data", data),
        ("model", model),
        ("trainer", instance.node()),
        ("callbacks", callbacks),
        ("logger", loggers),
        ("tuner", tuner(Part::of(&config, "tuner", &root))),
        ("best_checkpoint_copy", Node::program(folder.join("best.ckpt").display().to_string())),
    ] {
        put(&mut config, key, node);
    }
    if config.get("optimized_metric").is_none() {
        put(&mut config, "optimized_metric", Node::program(OBJECTIVE));
    }
    if problems.is_empty() { Ok(config) } else { Err(problems) }
}

/// A folder of images a class, with the table of their families.
fn data(mut part: Part) -> Node {
    if part.has("_target_") {
        return Node::program(part.rest());
    }
    let hierarchy = Made::default()
        .moved("path", part.take("label_hierarchy_file"))
        .with("separator", ";")
        .with("name_column", "speciesName")
        .with("name", LEVELS[0])
        .with("levels", words(&LEVELS[1..]));
    let fraction = part.take("weighted_sampling_fraction");
    let weighted = part.take("weighted_sampling").and_then(|node| node.as_bool()).unwrap_or(false);
    let sampler = (weighted && fraction.as_ref().and_then(number).is_some_and(|fraction| fraction > 0.0))
        .then(|| Made::component("runner.data.InverseFrequency").moved("fraction", fraction).node());
    Made::component("runner.data.HierarchicalImageFolder")
        .moved("root", part.take("data_path"))
        .with_made("hierarchy", hierarchy)
        .with("drop_last", true)
        .moved("sampler", sampler)
        .and(part.rest())
        .node()
}

/// Heads on a backbone, a loss a level.
fn model(mut model: Part, mut lit: Part, problems: &mut Problems) -> Node {
    let name = model.take("zoo_name");
    let weights = match model.take("pretrained") {
        Some(Node { value: Value::Bool(true), origin }) => Some(Node::new("DEFAULT", origin)),
        Some(Node { value: Value::Bool(false), .. }) | None => None,
        // The path of a local file.
        other => other,
    };
    let mut target = String::new();
    match name.as_ref().and_then(Node::as_str) {
        Some(text) if FAMILIES.iter().any(|family| text.starts_with(family)) => {
            target = format!("torchvision.models.{text}");
        }
        Some(text) => {
            let message = format!("`{text}` is no EfficientNet, ResNet or RegNet of torchvision");
            let node = name.clone().unwrap_or(Node::program(Value::Null));
            problems.push(
                model
                    .problem("zoo_name", &node, message)
                    .help("its heads take the place of the last layer of one of these, efficientnet_b0 or resnet18"),
            );
        }
        None => {
            problems.push(Problem::new("model.zoo_name names no model of torchvision").at(model.path().key("zoo_name")))
        }
    }
    let origin = name.map(|node| node.origin).unwrap_or_else(crate::config::Origin::program);
    let backbone =
        Made::default().moved("_target_", Some(Node::new(target, origin))).moved("weights", weights).and(model.rest());
    let net = Made::component("runner.models.MultiHead").with_made("backbone", backbone);
    let scheduler = lit.take("scheduler");
    let interval = lit.take("scheduler_interval").filter(|node| node.as_str() != Some("None"));
    let scheduler = scheduler
        .map(|scheduler| Made::default().moved("scheduler", Some(scheduler)).moved("interval", interval).node());
    let metrics = lit.take("metrics").map(metrics);
    for of_predict in ["prediction_output_path", "prediction_write_images"] {
        lit.take(of_predict);
    }
    let log_names = Made::default()
        .with("epoch", "epoch-{split}-{name}")
        .with("step", "{split}-{name}")
        .with("level", "{level}-{name}")
        .with("best", false);
    Made::component("runner.tasks.HierarchicalClassification")
        .with_made("net", net)
        .moved("scheduler", scheduler)
        .moved("metrics", metrics)
        .with("level_names", words(&LEVELS))
        .with_made("log_names", log_names)
        .and(lit.rest())
        .node()
}

/// Metrics by the names of their classes, as they are logged.
fn metrics(node: Node) -> Node {
    let Value::List(list) = node.value else { return node };
    let named = |mut metric: Node| {
        let target = metric.get("_target_").and_then(Node::as_str).unwrap_or_default().to_owned();
        let class = target.rsplit('.').next().unwrap_or_default().to_lowercase();
        // The names of torchmetrics before 0.7.
        let today = match class.as_str() {
            "f1" => Some("F1Score"),
            "fbeta" => Some("FBetaScore"),
            "iou" => Some("JaccardIndex"),
            _ => None,
        };
        if let (Some(today), Some(map)) = (today, metric.as_map_mut()) {
            map.insert("_target_".into(), Node::program(format!("torchmetrics.{today}")));
        }
        (class.into(), metric)
    };
    Node::new(list.into_iter().map(named).collect::<Map>(), node.origin)
}

/// The callbacks that the config names, and the one that unfreezes the backbone.
fn callbacks(config: &Node, lit: &mut Part, folder: &Path) -> Node {
    let unfreeze = Made::component("runner.callbacks.ProgressiveUnfreeze")
        .moved("epoch_start", lit.take("unfreeze_backbone_epoch_start"))
        .moved("epoch_duration", lit.take("unfreeze_backbone_epoch_duration"))
        .moved("percentage", lit.take("unfreeze_backbone_percentage"));
    let mut map = Map::default();
    map.insert("unfreeze".into(), unfreeze.node());
    for path in ["trainer.callbacks", "callbacks"] {
        map.extend(config.select(path).and_then(Node::as_map).cloned().unwrap_or_default());
    }
    for callback in map.values_mut() {
        within(callback, "dirpath", folder);
    }
    Node::program(map)
}

/// The loggers, leaving their files in the run's folder.
fn loggers(mut map: Map, folder: &Path) -> Node {
    for logger in map.values_mut() {
        within(logger, "save_dir", folder);
        let is_wandb = logger.get("_target_").and_then(Node::as_str).is_some_and(|name| name.ends_with("WandbLogger"));
        // An offline run holds the same; `wandb sync` uploads it.
        if let Some(args) = logger.as_map_mut().filter(|_| is_wandb) {
            args.insert("offline".into(), Node::program(true));
            args.entry("save_dir".into()).or_insert_with(|| Node::program(folder.display().to_string()));
        }
    }
    Node::program(map)
}

/// What `tune: true` looks for: a batch size, then a learning rate; with what the config says of either.
fn tuner(mut given: Part) -> Node {
    let batch_size = Made::default().with("batch_arg_name", "data.batch_size");
    let learning_rate = Made::default().with("attr_name", "lit.optimizer.lr").with("min_lr", 1e-8).with("max_lr", 1.0);
    let (of_size, of_rate) = (given.part("batch_size").rest(), given.part("learning_rate").rest());
    Made::component("runner.tuner.Tuner")
        .with_made("batch_size", batch_size.and(of_size))
        .with_made("learning_rate", learning_rate.and(of_rate))
        .and(given.rest())
        .node()
}

fn number(node: &Node) -> Option<f64> {
    match node.value {
        Value::Int(number) => Some(number as f64),
        Value::Float(number) => Some(number),
        _ => None,
    }
}
