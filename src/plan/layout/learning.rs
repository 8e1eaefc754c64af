//! malpolon's optimizers, schedules and metrics, by their short names or by a `callable`.

use std::collections::BTreeSet;
use std::sync::{Mutex, PoisonError};

use super::made::{Made, Part};
use super::malpolon::Asked;
use crate::config::{Key, KeyPath, Map, Node, Problem, Problems, Value};

const OPTIMIZERS: [(&str, &str); 7] = [
    ("sgd", "torch.optim.SGD"),
    ("adam", "torch.optim.Adam"),
    ("adamw", "torch.optim.AdamW"),
    ("adadelta", "torch.optim.Adadelta"),
    ("adagrad", "torch.optim.Adagrad"),
    ("adamax", "torch.optim.Adamax"),
    ("rmsprop", "torch.optim.RMSprop"),
];
const SCHEDULERS: [(&str, &str); 3] = [
    ("step_lr", "torch.optim.lr_scheduler.StepLR"),
    ("reduce_lr_on_plateau", "torch.optim.lr_scheduler.ReduceLROnPlateau"),
    ("cosine_annealing_lr", "torch.optim.lr_scheduler.CosineAnnealingLR"),
];
const METRICS: [&str; 3] = ["binary_accuracy", "multiclass_accuracy", "multilabel_accuracy"];

/// A name's class: of the short names, or what `callable` says.
fn target(part: &mut Part, name: &str, known: &[(&str, &str)], problems: &mut Problems) -> Option<Node> {
    if let Some(callable) = part.take("callable") {
        let text = callable.as_str().unwrap_or_default();
        let full = match text.split_once('.') {
            Some(("optim", rest)) => format!("torch.optim.{rest}"),
            Some(("lr_scheduler", rest)) => format!("torch.optim.lr_scheduler.{rest}"),
            Some(("Fmetrics", rest)) => format!("torchmetrics.functional.{rest}"),
            _ => text.to_owned(),
        };
        return Some(Node::new(full, callable.origin));
    }
    let found = known.iter().find(|(short, _)| *short == name).map(|(_, class)| Node::program(*class));
    if found.is_none() {
        let names = known.iter().map(|(short, _)| *short).collect::<Vec<_>>().join(", ");
        problems.push(
            Problem::new(format!("`{name}` is none of the names known here"))
                .at(part.path().clone())
                .help(format!("one of {names}; for another give its class: callable: torch.optim.…")),
        );
    }
    found
}

/// The optimizer and its schedule; of several, one that holds them all.
pub(super) fn optimizers(mut optim: Part, problems: &mut Problems) -> (Option<Node>, Option<Node>) {
    let names_none = optim.is_empty("optimizer");
    let several = optim.part("optimizer");
    let mut own = optim.rest();
    own.retain(|_, node| !node.is_null());
    let path = several.path().clone();
    let several = several.rest();
    if names_none {
        if is_news("no optimizer") {
            tracing::warn!("optim.optimizer names no optimizer: the network learns nothing");
        }
        return (Some(Made::component("runner.optim.Several").with("optimizers", Map::default()).node()), None);
    }
    if several.is_empty() {
        // The older form: the arguments of SGD.
        return (Some(sgd(own).node()), None);
    }
    for (key, node) in own {
        problems.push(
            Problem::new(format!("unknown key `{key}` beside `optimizer`"))
                .at(path.key(key))
                .from(&node.origin.of_key())
                .help("an optimizer's arguments stand in its kwargs"),
        );
    }
    let mut made: Vec<(Key, Node, Option<Node>)> = Vec::new();
    for (name, node) in several {
        let at = path.key(name.clone());
        let Value::Map(map) = node.value else {
            problems.push(
                Problem::new(format!("the optimizer `{name}` says nothing about itself"))
                    .at(at)
                    .from(&node.origin.of_key())
                    .help(format!("give its arguments: {name}: {{kwargs: {{lr: 0.01}}}}")),
            );
            continue;
        };
        let mut part = Part::new(map, at);
        let target = target(&mut part, &name.to_string(), &OPTIMIZERS, problems);
        let scheduler = schedule(part.part("scheduler"), problems);
        let optimizer = Made::default().moved("_target_", target).and(part.part("kwargs").rest()).and(part.rest());
        made.push((name, optimizer.node(), scheduler));
    }
    if made.len() < 2 {
        return made.pop().map_or((None, None), |(_, optimizer, scheduler)| (Some(optimizer), scheduler));
    }
    together(made)
}

/// Several optimizers as one, their schedules as one: when those move on is what the first of them says.
fn together(made: Vec<(Key, Node, Option<Node>)>) -> (Option<Node>, Option<Node>) {
    let mut when = Map::default();
    let (mut optimizers, mut schedules) = (Map::default(), Vec::new());
    for (name, optimizer, schedule) in made {
        optimizers.insert(name, optimizer);
        let mut schedule =
            Part::new(schedule.and_then(|node| node.as_map().cloned()).unwrap_or_default(), KeyPath::root());
        schedules.push(schedule.take("scheduler").unwrap_or(Node::program(Value::Null)));
        for (key, node) in schedule.rest() {
            when.entry(key).or_insert(node);
        }
    }
    let optimizer = Made::component("runner.optim.Several").with("optimizers", optimizers).node();
    let has_schedule = schedules.iter().any(|schedule| !schedule.is_null());
    let schedule = Made::component("runner.optim.SeveralSchedules").with("schedulers", schedules);
    let schedule = has_schedule.then(|| Made::default().with_made("scheduler", schedule).and(when).node());
    (Some(optimizer), schedule)
}

/// SGD with malpolon's defaults.
fn sgd(given: Map) -> Made {
    Made::component("torch.optim.SGD").with("lr", 0.01).with("momentum", 0.9).with("nesterov", true).and(given)
}

/// A schedule and when it moves on; null and an empty mapping are none.
fn schedule(part: Part, problems: &mut Problems) -> Option<Node> {
    let path = part.path().clone();
    let (name, node) = part.rest().into_iter().next()?;
    let Value::Map(map) = node.value else { return None };
    let mut part = Part::new(map, path.key(name.clone()));
    let target = target(&mut part, &name.to_string(), &SCHEDULERS, problems);
    let mut when = part.part("lr_scheduler_config");
    when.take("scheduler");
    let scheduler = Made::default().moved("_target_", target).and(part.part("kwargs").rest()).and(part.rest());
    Some(Made::default().with_made("scheduler", scheduler).and(when.rest()).node())
}

/// The metrics by name.
pub(super) fn metrics(node: Option<Node>, asked: Asked, problems: &mut Problems) -> Map {
    let path = KeyPath::root().key("optim").key("metrics");
    let given = match node {
        Some(Node { value: Value::Map(map), .. }) => map,
        _ => Map::default(),
    };
    let mut made = Map::default();
    for (name, node) in given {
        let text = name.to_string();
        let mut part = Part::new(node.as_map().cloned().unwrap_or_default(), path.key(name.clone()));
        let known = METRICS.contains(&text.as_str());
        if !known && !part.has("callable") {
            let known = METRICS.join(", ");
            if is_news(&format!("left out {text}")) {
                tracing::warn!("the metric `{text}` is left out: it is none of {known}, and names no callable");
            }
            continue;
        }
        let callable = target(&mut part, &text, &METRICS.map(|name| (name, name)), problems);
        let Some(callable) = callable else { continue };
        let class = class_of(callable.as_str().unwrap_or_default());
        let target = Node::new(format!("torchmetrics.{class}"), callable.origin);
        let metric = Made::default().moved("_target_", Some(target)).and(part.part("kwargs").rest()).and(part.rest());
        made.insert(name, metric.node());
    }
    if made.is_empty() {
        let name = asked.metric();
        if is_news(name) {
            tracing::info!("no metric is named: taking {name}");
        }
        made.insert(name.into(), Made::component(&format!("torchmetrics.{}", class_of(name))).node());
    }
    made
}

/// Whether this was not said before: a config is put into its shape more than once.
fn is_news(what: &str) -> bool {
    static SAID: Mutex<BTreeSet<String>> = Mutex::new(BTreeSet::new());
    SAID.lock().unwrap_or_else(PoisonError::into_inner).insert(what.to_owned())
}

/// The class of a function of torchmetrics: `classification.MulticlassF1Score` of `…multiclass_f1_score`.
fn class_of(function: &str) -> String {
    let name = function.rsplit('.').next().unwrap_or(function);
    if name.chars().any(char::is_uppercase) {
        return name.to_owned();
    }
    let word = |word: &str| match word {
        "auroc" | "roc" => word.to_uppercase(),
        "fbeta" => "FBeta".to_owned(),
        "corrcoef" => "CorrCoef".to_owned(),
        _ => {
            let mut letters = word.chars();
            letters.next().map_or_else(String::new, |first| first.to_uppercase().chain(letters).collect())
        }
    };
    let class: String = name.split('_').map(word).collect();
    let of_a_task = ["Binary", "Multiclass", "Multilabel"].iter().any(|task| class.starts_with(task));
    if of_a_task { format!("classification.{class}") } else { class }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn functions_and_their_classes() {
        for (function, class) in [
            ("Fmetrics.accuracy", "Accuracy"),
            ("torchmetrics.functional.classification.multiclass_accuracy", "classification.MulticlassAccuracy"),
            ("multilabel_f1_score", "classification.MultilabelF1Score"),
            ("multiclass_auroc", "classification.MulticlassAUROC"),
            ("binary_fbeta_score", "classification.BinaryFBetaScore"),
            ("torchmetrics.classification.MulticlassRecall", "MulticlassRecall"),
        ] {
            assert_eq!(class_of(function), class);
        }
    }
}
