//! What needs no tensors: printing configs, help, jobs, completion.

use crate::runner::Place;

#[test]
fn printing_a_config_creates_nothing() {
    let place = Place::new();
    let job = place.ok("--cfg job trainer.max_epochs=3");
    assert!(job.out.contains("max_epochs: 3") && !job.out.contains("\nhydra:"), "{}", job.out);
    let hydra = place.ok("--cfg hydra");
    assert!(hydra.out.starts_with("hydra:"), "{}", hydra.out);
    let part = place.ok("--cfg job --package trainer.max_epochs --resolve");
    assert!(part.out.trim().ends_with("20"), "{}", part.out);
    let jobs = place.ok("-m train --dry-run --format json seed=1,2 trainer.max_epochs=1,2");
    let jobs: serde_json::Value = serde_json::from_str(&jobs.out).unwrap();
    assert_eq!(jobs.as_array().unwrap().len(), 4);
    assert_eq!(jobs[1]["overrides"], serde_json::json!(["seed=1", "trainer.max_epochs=2"]));
    assert!(place.path().read_dir().unwrap().next().is_none());
}

#[test]
fn help_names_commands_groups_and_options() {
    let place = Place::new();
    let help = place.ok("--help").out;
    for text in ["runner train", "runner predict", "data: arrays, cifar10", "max_epochs: 20"] {
        assert!(help.contains(text), "{text}\n{help}");
    }
    assert!(place.ok("--hydra-help").out.contains("--multirun"));
    let info = place.ok("--info defaults").out;
    assert!(info.contains("data/digits") && info.contains("hydra/config"), "{info}");
}

#[test]
fn own_configs_win_over_the_shipped_ones() {
    let place = Place::new();
    place.write("conf/trainer/long.yaml", "defaults:\n- default\nmax_epochs: 77\n");
    place.write("more/trainer/longer.yaml", "defaults:\n- default\nmax_epochs: 99\n");
    place.write("conf/local/default.yaml", "# @package _global_\nseed: 1234\n");
    assert!(place.ok("--cfg job trainer=long").out.contains("max_epochs: 77"));
    let both = place.ok("--cfg job --config-dir more trainer=longer").out;
    assert!(both.contains("max_epochs: 99") && both.contains("seed: 1234"), "{both}");
}

#[test]
fn completion_offers_what_can_follow() {
    let place = Place::new();
    let complete = |words: &str| place.ok(&format!("--complete {words}")).out;
    assert!(complete("tr").lines().any(|line| line == "train"));
    assert_eq!(complete("train data=di").trim(), "data=digits");
    assert!(complete("train trainer.max_").contains("trainer.max_epochs="));
    assert!(complete("train model.opt").contains("model.optimizer."));
    assert_eq!(complete("train test=f").trim(), "test=false");
    for shell in ["bash", "zsh", "fish"] {
        assert!(place.ok(&format!("completion {shell}")).out.contains("runner --complete"));
    }
}

#[test]
fn explain_names_the_layers() {
    let place = Place::new();
    place.write("conf/experiment/mine.yaml", "# @package _global_\ntrainer:\n  max_epochs: 5\n");
    let told = place.ok("explain trainer.max_epochs experiment=mine trainer.max_epochs=6").out;
    for text in ["trainer.max_epochs", "conf/experiment/mine.yaml:3", "6", "20", "argument"] {
        assert!(told.contains(text), "{text}\n{told}");
    }
}

#[test]
fn components_are_listed_and_described() {
    let place = Place::new();
    let list = place.ok("components").out;
    for name in [
        "torch.optim.Adam",
        "runner.models.SmallCNN",
        "lightning.pytorch.callbacks.ModelCheckpoint",
        "runner.data.Digits",
    ] {
        assert!(list.contains(name), "{name}");
    }
    let adam = place.ok("components torch.optim.AdamW").out;
    for text in ["lr", "weight_decay", "default 0.01", "betas"] {
        assert!(adam.contains(text), "{text}\n{adam}");
    }
    assert_eq!(place.run("components torch.optim.Adan").code, 2);
}

#[test]
fn check_traces_shapes_and_starts_nothing() {
    let place = Place::new();
    let good = place.ok("check").out;
    assert!(good.contains("net.classifier") && good.contains("10 classes"), "{good}");
    let bad = place.run("check model=dense model.net.input_size=65");
    assert_eq!(bad.code, 2);
    assert!(bad.err.contains("[1, 8, 8]") && bad.err.contains("model.net"), "{}", bad.err);
    assert!(place.path().read_dir().unwrap().next().is_none());
}

#[test]
fn shipped_configs_fit_their_schemas() {
    let place = Place::new();
    place.ok("schema");
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("conf");
    let mut checked = 0;
    for group in ["data", "model", "trainer", "callbacks", "logger"] {
        let schema = crate::runner::json(&place.path().join(format!(".runner/schema/{group}.json")));
        let validator = jsonschema::validator_for(&schema).expect("a schema");
        for file in root.join(group).read_dir().unwrap().flatten().map(|entry| entry.path()) {
            let text = std::fs::read_to_string(&file).unwrap();
            let value: serde_json::Value = serde_yaml::from_str(&text).unwrap();
            let errors: Vec<String> = validator.iter_errors(&value).map(|error| error.to_string()).collect();
            assert!(errors.is_empty(), "{}: {errors:?}", file.display());
            checked += 1;
        }
        let wrong = match group {
            "callbacks" | "logger" => {
                serde_json::json!({"x": {"_target_": "lightning.pytorch.callbacks.EarlyStopping", "patiense": 1}})
            }
            _ => serde_json::json!({"_target_": "lightning.pytorch.Trainer", "max_epochs": [1]}),
        };
        let refused = !validator.is_valid(&wrong);
        assert!(refused || !matches!(group, "trainer" | "callbacks"), "{group} accepts {wrong}");
    }
    assert!(checked > 12, "{checked}");
}
