//! A user's own crate: depends on this one, adds a network and a data module, trains them.

use std::path::Path;
use std::process::{Command, Output, Stdio};

#[test]
fn a_crate_of_its_own_trains_its_own_components() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let user = root.join("tests/user_crate");
    let copy = tempfile::tempdir().unwrap();
    // Built elsewhere than it lies, so that no lock file or target folder appears in the sources.
    for name in ["Cargo.toml", "build.rs", "src/main.rs", "conf/data/moons.yaml", "conf/model/two_layers.yaml"] {
        let to = copy.path().join(name);
        std::fs::create_dir_all(to.parent().unwrap()).unwrap();
        let text = std::fs::read_to_string(user.join(name)).unwrap();
        std::fs::write(to, text.replace("../..", &root.display().to_string())).unwrap();
    }
    std::fs::copy(root.join("Cargo.lock"), copy.path().join("Cargo.lock")).unwrap();
    // The dependencies are already built here, for this profile.
    let target = std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root.join("target"), Into::into);
    let libtorch = std::env::var_os("LIBTORCH").map_or_else(|| root.join(".cache/libtorch-2.11.0-cpu"), Into::into);
    let built = Command::new(env!("CARGO"))
        .args(["build", "--quiet"])
        .current_dir(copy.path())
        .env("CARGO_TARGET_DIR", &target)
        .env("LIBTORCH", libtorch)
        .stdin(Stdio::null())
        .output()
        .unwrap();
    assert!(built.status.success(), "{}", String::from_utf8_lossy(&built.stderr));

    let run = |arguments: &[&str]| {
        let mut command = Command::new(target.join("debug/moons"));
        command.args(arguments).current_dir(copy.path()).env_remove("LIBTORCH").env_remove("LD_LIBRARY_PATH");
        command.env("NO_COLOR", "1").stdin(Stdio::null()).output().unwrap()
    };
    let done = run(&["train", "data=moons", "model=two_layers", "trainer.max_epochs=20"]);
    let text = String::from_utf8_lossy(&done.stdout).into_owned();
    assert!(done.status.success(), "{text}\n{}", String::from_utf8_lossy(&done.stderr));
    let accuracy = text.split("test/acc: ").nth(1).and_then(|rest| rest.split_whitespace().next()?.parse::<f64>().ok());
    assert!(accuracy.is_some_and(|accuracy| accuracy > 0.95), "{text}");

    let stopped = run(&[
        "train",
        "data=moons",
        "model=two_layers",
        "trainer.max_epochs=20",
        "trainer.min_epochs=null",
        "+callbacks.limit={_target_: moons.callbacks.StepLimit, steps: 10}",
        "hydra.run.dir=stopped",
    ]);
    assert!(stopped.status.success(), "{}", String::from_utf8_lossy(&stopped.stderr));
    let results = std::fs::read_to_string(copy.path().join("stopped/results.json")).unwrap();
    assert!(results.contains("10 steps are enough") && results.contains("\"steps\": 10,"), "{results}");

    let refused = run(&["train", "data=moons", "model=two_layers", "data.points=1", "model.net.width=wide"]);
    let error = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert_eq!(refused.status.code(), Some(2));
    assert!(error.contains("two moons need at least two points") && error.contains("model.net.width"), "{error}");
    a_command_of_its_own(&run, copy.path());
    let listed = run(&["components", "moons.nets.TwoLayers"]);
    assert!(String::from_utf8_lossy(&listed.stdout).contains("Width of the hidden layer."));
}

/// It is called, helped, completed, checked, swept and resumed like runner's own.
fn a_command_of_its_own(run: &dyn Fn(&[&str]) -> Output, place: &Path) {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let done = run(&["count", "data=moons", "data.points=20", "hydra.run.dir=counted"]);
    assert!(text(&done.stdout).contains("samples: 60"), "{}\n{}", text(&done.stdout), text(&done.stderr));
    let results = std::fs::read_to_string(place.join("counted/results.json")).unwrap();
    assert!(results.contains("\"status\": \"finished\"") && results.contains("\"val/samples\": 20.0"), "{results}");
    let manifest = std::fs::read_to_string(place.join("counted/run.json")).unwrap();
    assert!(manifest.contains("\"command\": \"count\"") && manifest.contains("libtorch"), "{manifest}");
    assert_eq!(std::fs::read_to_string(place.join("counted/reports.jsonl")).unwrap().lines().count(), 3);
    for file in ["sum.txt", "report.html", "runner.log", ".hydra/config.yaml"] {
        assert!(place.join("counted").join(file).is_file(), "{file}");
    }

    let sweep = ["-m", "count", "data=moons", "data.points=8,32,16", "hydra/launcher=joblib", "hydra.sweep.dir=counts"];
    let swept = run(&sweep);
    assert!(text(&swept.stdout).contains("best: #1, samples 96"), "{}\n{}", text(&swept.stdout), text(&swept.stderr));
    let resumed = run(&["resume", "counts"]);
    assert!(text(&resumed.stdout).contains("0 of 3 jobs are missing"), "{}", text(&resumed.stdout));
    let search = ["hydra/sweeper=optuna", "hydra.sweeper.n_trials=4", "hydra.sweeper.direction=maximize"];
    let space = ["-m", "count", "data=moons", "data.points=choice(4,6)", "hydra.sweep.dir=searched"];
    let searched = run(&[&space[..], &search[..]].concat());
    assert!(text(&searched.stdout).contains("samples 18"), "{}\n{}", text(&searched.stdout), text(&searched.stderr));

    let odd = run(&["-m", "count", "data=moons", "data.points=8,9", "hydra.sweep.dir=odd"]);
    assert_eq!(odd.status.code(), Some(2));
    assert!(text(&odd.stderr).contains("job 1 (data=moons data.points=9)"), "{}", text(&odd.stderr));
    assert!(!place.join("odd").exists(), "nothing was started");
    let halved = run(&["halve", "data=moons", "data.points=8", "hydra.run.dir=halved"]);
    assert!(text(&halved.stdout).contains("half: 4"), "{}\n{}", text(&halved.stdout), text(&halved.stderr));
    let odd = run(&["halve", "data=moons", "data.points=9", "hydra.run.dir=unhalved"]);
    assert_eq!(odd.status.code(), Some(1));
    let said = text(&odd.stderr);
    assert!(said.contains("invalid for input of size 9") && !said.contains("panicked"), "{said}");
    assert!(!place.join("unhalved").exists(), "nothing was started");
    let misspelt = run(&["cuont"]);
    assert!(text(&misspelt.stderr).contains("did you mean `runner count`?"), "{}", text(&misspelt.stderr));
    assert!(text(&run(&["--help"]).stdout).contains("count the samples of each split"));
    assert!(text(&run(&["--complete", "cou"]).stdout).contains("count"));

    // A config by the command's name is its own.
    std::fs::write(place.join("conf/count.yaml"), "defaults: [data: moons, _self_]\ndata: {points: 4}\n").unwrap();
    let own = run(&["count", "hydra.run.dir=own"]);
    assert!(text(&own.stdout).contains("samples: 12"), "{}\n{}", text(&own.stdout), text(&own.stderr));
}
