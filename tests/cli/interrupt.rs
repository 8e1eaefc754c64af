//! Ctrl-C: the first stops at the next step and saves, the second stops at once.
#![cfg(unix)]

use std::path::PathBuf;
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use crate::runner::{Place, json};

const ENDLESS: &str =
    "train trainer.max_epochs=-1 model.scheduler=null model.net.channels=[8] callbacks.early_stopping.patience=1000000";

fn interrupt(child: &Child) {
    std::process::Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap();
}

/// Waits until a checkpoint is there: the fit is under way.
fn wait_for_checkpoint(place: &Place) -> PathBuf {
    let start = Instant::now();
    while start.elapsed() < Duration::from_secs(120) {
        if let Some(run) = place.runs("train").first().filter(|run| run.join("checkpoints/last.ckpt").is_file()) {
            return run.clone();
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    panic!("no checkpoint after two minutes");
}

#[test]
fn the_first_saves_and_says_so_and_the_run_can_go_on() {
    let place = Place::new();
    let mut child = place.command(ENDLESS).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    let run = wait_for_checkpoint(&place);
    interrupt(&child);
    assert_eq!(child.wait().unwrap().code(), Some(130));
    let results = json(&run.join("results.json"));
    assert_eq!(results["status"], "interrupted");
    let steps = results["steps"].as_u64().unwrap();
    let last = run.join("checkpoints/last.ckpt");
    let other = Place::new();
    other.ok(&format!("train ckpt_path={} model.net.channels=[8] model.scheduler=null trainer.max_epochs=-1 trainer.max_steps={} test=false", last.display(), steps + 1));
    assert_eq!(json(&other.only_run("train").join("results.json"))["steps"].as_u64(), Some(steps + 1));
}

#[test]
fn a_signal_during_startup_does_not_leave_a_half_written_run() {
    let place = Place::new();
    let mut child = place.command(ENDLESS).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    let run = wait_for_checkpoint(&place);
    // Two at once: whichever handler comes first, the process ends, and every file there is whole.
    interrupt(&child);
    interrupt(&child);
    let code = child.wait().unwrap().code();
    assert_eq!(code, Some(130));
    let status = json(&run.join("results.json"))["status"].clone();
    assert!(status == "interrupted" || status == "running", "{status}");
    let leftovers = std::fs::read_dir(run.join("checkpoints")).unwrap().flatten();
    for name in leftovers.map(|entry| entry.file_name().to_string_lossy().into_owned()) {
        let whole = !name.ends_with(".ckpt") || {
            let bytes = std::fs::read(run.join("checkpoints").join(&name)).unwrap();
            safetensors::SafeTensors::deserialize(&bytes).is_ok()
        };
        assert!(whole, "{name} is broken");
    }
}
