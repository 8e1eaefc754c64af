//! `hydra/launcher=slurm` on a real one-node SLURM.

use std::process::Stdio;
use std::time::{Duration, Instant};

use crate::cluster::Cluster;
use crate::runner::{Place, folders, json};

const SMALL: &str =
    "model.net.channels=[8] trainer.limit_train_batches=2 trainer.limit_val_batches=1 test=false trainer.max_epochs=2";

#[test]
fn an_array_runs_the_jobs_and_a_job_that_is_taken_away_goes_on() {
    let Some(cluster) = Cluster::start() else { return };
    let place = Place::new();
    let launcher = "hydra/launcher=submitit_slurm hydra.launcher.partition=test hydra.launcher.timeout_min=5 hydra.launcher.array_parallelism=2";
    let line = format!("-m train seed=1,2,3 hydra.sweep.dir=sweep {launcher} {SMALL}");
    let mut command = place.command(&line);
    command.env("SLURM_CONF", cluster.conf()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let child = command.spawn().expect("runner starts");
    // The first task is queued again while it runs, as a preemption does.
    let start = Instant::now();
    while !cluster.ask("squeue", &["--noheader", "--array", "--format=%t"]).contains('R') {
        assert!(start.elapsed() < Duration::from_secs(60), "no job started");
        std::thread::sleep(Duration::from_millis(20));
    }
    cluster.ask("scontrol", &["requeue", "1_0"]);
    let output = child.wait_with_output().expect("runner ends");
    let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{out}\n{err}");
    let sweep = place.path().join("sweep");
    for job in ["0", "1", "2"] {
        assert_eq!(json(&sweep.join(job).join("results.json"))["status"], "finished");
    }
    let arrays = folders(&sweep.join(".submitit"));
    assert_eq!(arrays.len(), 1, "one array for all jobs: {arrays:?}");
    let script = std::fs::read_to_string(arrays[0].join("array.sh")).unwrap();
    assert!(script.contains("#SBATCH --array=0-2%2") && script.contains("--partition=test"), "{script}");
}
