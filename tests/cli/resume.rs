//! A run that is stopped or killed goes on and ends as one that never was.
#![cfg(unix)]

use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use crate::runner::{Place, json};

/// Some seconds of training with everything that has a state or draws numbers: pictures decoded and augmented by
/// workers, samples mixed, dropout, an average, summed gradients, a schedule, validation within epochs (about as long
/// as training), checkpoints at other steps, values logged at every step.
const EXPERIMENT: &str = r#"
# @package _global_
defaults:
  - override /data: image_folder
  - override /callbacks: [default, learning_rate_monitor, ema_weight_averaging]
data:
  root: images
  image_mode: L
  batch_size: 4
  train_transforms:
    - {_target_: torchvision.transforms.RandomAffine, degrees: 8, translate: [0.1, 0.1]}
    - {_target_: torchvision.transforms.ToTensor}
  test_transforms: [{_target_: torchvision.transforms.ToTensor}]
  batch_transforms: [{_target_: timm.data.Mixup, mixup_alpha: 0.2, num_classes: 3}]
model: {net: {channels: [4, 8]}}
trainer:
  max_epochs: 12
  accumulate_grad_batches: 2
  log_every_n_steps: 1
  val_check_interval: 15
  enable_model_summary: false
callbacks:
  model_checkpoint: {monitor: null, every_n_train_steps: 5}
  early_stopping: null
  ema_weight_averaging: {decay: 0.9, update_every_n_steps: 2}
test: false
hydra: {run: {dir: outputs/train/day/run}}
"#;

const LINE: &str = "train experiment=killed data.num_workers=2";

/// A folder with the experiment and 300 small pictures of three classes.
fn prepared() -> Place {
    let place = Place::new();
    place.write("conf/experiment/killed.yaml", EXPERIMENT);
    for (split, count) in [("train", 80u32), ("val", 20)] {
        for class in 0..3u32 {
            let folder = place.path().join(format!("images/{split}/{class}"));
            std::fs::create_dir_all(&folder).unwrap();
            for number in 0..count {
                let pixel = |x: u32, y: u32| image::Luma([((x * (class + 1) * 37 + y * 11 + number * 53) % 256) as u8]);
                image::GrayImage::from_fn(8, 8, pixel).save(folder.join(format!("{number}.png"))).unwrap();
            }
        }
    }
    place
}

fn start(place: &Place, line: &str) -> Child {
    place.command(line).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap()
}

fn signal(child: &Child, name: &str) {
    std::process::Command::new("kill").args([&format!("-{name}"), &child.id().to_string()]).status().unwrap();
}

fn run_of(place: &Place) -> PathBuf {
    place.path().join("outputs/train/day/run")
}

/// How often the run folder says that a fit has begun.
fn fits(run: &Path) -> usize {
    std::fs::read_to_string(run.join("events.jsonl")).unwrap_or_default().matches(r#""event":"fit""#).count()
}

/// When the last checkpoint was written.
fn age(run: &Path) -> Option<std::time::SystemTime> {
    run.join("checkpoints/last.ckpt").metadata().and_then(|file| file.modified()).ok()
}

/// Waits for something, or for the end of the process; says whether the process still runs.
fn wait(child: &mut Child, mut until: impl FnMut() -> bool) -> bool {
    let start = Instant::now();
    while child.try_wait().unwrap().is_none() {
        if until() {
            return true;
        }
        assert!(start.elapsed() < Duration::from_secs(120), "nothing happens");
        std::thread::sleep(Duration::from_millis(1));
    }
    false
}

/// Everything that a run has learned: weights and optimizer state as bytes, positions and metrics, the table of
/// metrics. Names of folders are taken out.
fn learned(run: &Path) -> (Vec<(String, Vec<u8>)>, String, String) {
    let bytes = std::fs::read(run.join("checkpoints/last.ckpt")).unwrap();
    let tensors = safetensors::SafeTensors::deserialize(&bytes).unwrap();
    let (_, header) = safetensors::SafeTensors::read_metadata(&bytes).unwrap();
    let state = header.metadata().as_ref().unwrap()["runner.state"].replace(&*run.to_string_lossy(), "");
    let mut found: Vec<_> = tensors.tensors().into_iter().map(|(name, view)| (name, view.data().to_vec())).collect();
    found.sort();
    (found, state, std::fs::read_to_string(run.join("csv/version_0/metrics.csv")).unwrap())
}

fn assert_same(run: &Path, whole: &Path) {
    let ((tensors, state, table), (wanted, wanted_state, wanted_table)) = (learned(run), learned(whole));
    assert!(tensors.iter().any(|(name, _)| name.starts_with("runner/optimizer.")), "no optimizer state");
    let differing = tensors.iter().zip(&wanted).filter(|(a, b)| a != b).map(|((name, _), _)| name);
    assert_eq!(differing.collect::<Vec<_>>(), Vec::<&String>::new());
    assert_eq!(tensors.len(), wanted.len());
    assert_eq!(state, wanted_state);
    assert_eq!(table, wanted_table);
    let metrics = |run: &Path| json(&run.join("results.json"))["metrics"].clone();
    assert_eq!(metrics(run), metrics(whole));
}

/// The numbers of this test's random moments; what happens at them is random anyway.
fn next(state: &mut u64) -> u64 {
    *state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
    *state >> 33
}

#[test]
fn killed_at_twenty_random_moments_it_ends_as_if_it_never_was() {
    let whole = prepared();
    // The killed one has other workers: their number changes nothing.
    whole.ok(&LINE.replace("num_workers=2", "num_workers=0"));
    let place = prepared();
    let run = run_of(&place);
    let mut child = start(&place, LINE);
    let mut random = 20;
    let mut kills = 0;
    while kills < 20 {
        let begun = fits(&run);
        if !wait(&mut child, || fits(&run) > begun.min(kills)) {
            break;
        }
        // A few checkpoints later, or none; every third dies while it writes one, the others anywhere.
        let mut saved = next(&mut random) % 3;
        let mut last = age(&run);
        let later = wait(&mut child, || {
            let now = age(&run);
            saved = saved.saturating_sub(u64::from(now != last));
            last = now;
            saved == 0
        });
        let still = if !later {
            false
        } else if kills % 3 == 0 {
            let writing = |entry: std::fs::DirEntry| entry.file_name().to_string_lossy().starts_with(".writing-");
            let folder = run.join("checkpoints");
            wait(&mut child, || std::fs::read_dir(&folder).into_iter().flatten().flatten().any(writing))
        } else {
            let moment = Duration::from_millis(next(&mut random) % 40);
            let since = Instant::now();
            wait(&mut child, || since.elapsed() >= moment)
        };
        if !still {
            break;
        }
        child.kill().unwrap();
        child.wait().unwrap();
        kills += 1;
        child = start(&place, "resume outputs/train/day/run");
    }
    assert_eq!(child.wait().unwrap().code(), Some(0), "after {kills} kills");
    assert_eq!(kills, 20, "the run ended too early to be killed often");
    let events = std::fs::read_to_string(run.join("events.jsonl")).unwrap();
    let from_checkpoints =
        events.lines().filter(|line| line.contains(r#""event":"resumed","checkpoint":"checkpoints/"#));
    assert!(from_checkpoints.count() >= 10, "{events}");
    let text = |run: &Path| std::fs::read_to_string(run.join(".hydra/config.yaml")).unwrap();
    assert_eq!(text(&run).replace("num_workers: 2", "num_workers: 0"), text(&run_of(&whole)));
    assert_same(&run, &run_of(&whole));
    let left = std::fs::read_dir(run.join("checkpoints")).unwrap().flatten();
    let left: Vec<_> = left.map(|entry| entry.file_name()).filter(|name| name != "last.ckpt").collect();
    assert_eq!(left.len(), 1, "one best checkpoint, nothing half written: {left:?}");
}

#[test]
fn told_to_stop_it_saves_and_says_so_and_goes_on_to_the_same_end() {
    let whole = prepared();
    let line = format!("{LINE} trainer.max_epochs=4");
    whole.ok(&line);
    for name in ["TERM", "USR1"] {
        let place = prepared();
        let run = run_of(&place);
        let mut child = start(&place, &line);
        let first = run.join("checkpoints/last.ckpt");
        assert!(wait(&mut child, || first.is_file()));
        signal(&child, name);
        assert_eq!(child.wait().unwrap().code(), Some(75), "{name}");
        let results = json(&run.join("results.json"));
        assert_eq!(
            (results["status"].as_str(), results["reason"].as_str().map(|r| r.contains(name))),
            (Some("interrupted"), Some(true))
        );
        // A newer checkpoint that is damaged is named and left out; asked for by its name it is refused.
        if name == "TERM" {
            let bytes = std::fs::read(&first).unwrap();
            let broken = run.join("checkpoints/newer.ckpt");
            let mut altered = bytes.clone();
            let at = altered.len() - 5;
            altered[at] ^= 1;
            std::fs::write(&broken, altered).unwrap();
            let call = place.run(&format!("resume outputs/train/day/run ckpt_path={}", broken.display()));
            assert_ne!(call.code, 0);
            assert!(call.err.contains("newer.ckpt: its content was altered"), "{}", call.err);
            let call = place.ok("resume outputs/train/day/run");
            assert!(call.err.contains("left out: cannot read") && call.err.contains("newer.ckpt"), "{}", call.err);
            std::fs::remove_file(&broken).unwrap();
        } else {
            place.ok("resume outputs/train/day/run");
        }
        assert_same(&run, &run_of(&whole));
    }
}

#[test]
fn after_ctrl_c_the_best_weights_are_tested() {
    let place = Place::new();
    let line = "train trainer.max_epochs=-1 model.scheduler=null model.net.channels=[4] callbacks.early_stopping=null \
                hydra.run.dir=outputs/train/day/run";
    let mut child = start(&place, line);
    let run = run_of(&place);
    let last = run.join("checkpoints/last.ckpt");
    assert!(wait(&mut child, || last.is_file()));
    signal(&child, "INT");
    assert_eq!(child.wait().unwrap().code(), Some(130));
    let results = json(&run.join("results.json"));
    assert_eq!(results["status"], "interrupted");
    // Those of the best checkpoint, not of the last step.
    place.ok("test ckpt_path=outputs/train/day/run");
    let best = json(&place.only_run("test").join("results.json"));
    assert!(results["metrics"]["test/loss"].is_number(), "{results}");
    assert_eq!(results["metrics"]["test/loss"], best["metrics"]["test/loss"]);
}

#[test]
fn what_cannot_go_on_is_refused() {
    let place = prepared();
    assert!(place.run("resume nowhere").err.contains("is not a run folder"));
    let call = place.run("train ckpt_path=last");
    assert_eq!(call.code, 2);
    assert!(call.err.contains("no run with a checkpoint is there yet"), "{}", call.err);
    // While a process is at work in a folder, no other may be.
    let mut child = start(&place, &format!("{LINE} trainer.max_epochs=600"));
    let run = run_of(&place);
    assert!(wait(&mut child, || age(&run).is_some()));
    let call = place.run("resume outputs/train/day/run");
    child.kill().unwrap();
    child.wait().unwrap();
    assert_eq!(call.code, 2);
    assert!(call.err.contains("a process is at work"), "{}", call.err);
    // The best so far is known of a killed run, too.
    let call = place.ok("resume outputs/train/day/run ckpt_path=best trainer.max_epochs=1");
    assert!(call.err.contains("going on from checkpoints/epoch_"), "{}", call.err);
}
