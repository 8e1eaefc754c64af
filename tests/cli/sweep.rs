//! `runner -m`: every combination, side by side, through kills and resumes.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};

use crate::runner::{Place, folders, json};

pub const SMALL: &str =
    "model.net.channels=[8] trainer.max_epochs=1 trainer.limit_train_batches=2 trainer.limit_val_batches=1 test=false";

#[test]
fn the_cartesian_product_runs_and_ends_with_a_table() {
    let place = Place::new();
    // The flag may stand after the command.
    let call = place.ok(&format!("train -m model.optimizer.lr=1e-3,1e-2 seed=1,2 {SMALL}"));
    let sweeps = folders(&place.path().join("outputs/train/multirun"));
    let sweep = &folders(&sweeps[0])[0];
    let names: Vec<_> = folders(sweep).iter().map(|run| run.file_name().unwrap().to_owned()).collect();
    // Beside the jobs what the sweep needs to go on.
    assert_eq!(names, [".sweep", "0", "1", "2", "3"]);
    for (job, (lr, seed)) in [("0.001", 1), ("0.001", 2), ("0.01", 1), ("0.01", 2)].iter().enumerate() {
        let run = sweep.join(job.to_string());
        assert_eq!(json(&run.join("results.json"))["status"], "finished");
        assert_eq!(json(&run.join("run.json"))["seed"], *seed);
        let overrides = std::fs::read_to_string(run.join(".hydra/overrides.yaml")).unwrap();
        assert!(overrides.contains(&format!("model.optimizer.lr={lr}")), "{overrides}");
        let hydra = std::fs::read_to_string(run.join(".hydra/hydra.yaml")).unwrap();
        // As Hydra leaves them for a job that its basic launcher has run.
        for line in [&format!("num: {job}"), &format!("id: '{job}'"), "  mode: MULTIRUN", "- hydra.mode=MULTIRUN"] {
            assert!(hydra.contains(line), "{line}\n{hydra}");
        }
    }
    let header = call.out.lines().find(|line| line.starts_with("job ")).expect("a table");
    assert!(
        header.contains("model.optimizer.lr") && header.contains("seed") && header.contains("val/acc_best"),
        "{header}"
    );
    assert!(sweep.join("multirun.yaml").is_file() && sweep.join("trials.jsonl").is_file());
    let rows = std::fs::read_to_string(sweep.join("results.csv")).unwrap();
    assert_eq!(rows.lines().count(), 5);
}

#[test]
fn a_failed_job_does_not_stop_the_others_and_shows_in_the_exit_code() {
    let place = Place::new();
    let call = place.run(&format!(
        "-m train model.optimizer.lr=1e30,1e-3 model.scheduler=null trainer.detect_anomaly=true {SMALL}"
    ));
    assert_eq!(call.code, 1, "{}\n{}", call.out, call.err);
    assert!(call.out.contains("1 of 2 jobs failed"), "{}", call.out);
    let sweep = folders(&folders(&place.path().join("outputs/train/multirun"))[0])[0].clone();
    let states = ["0", "1"].map(|job| json(&sweep.join(job).join("results.json"))["status"].clone());
    assert_eq!(states, ["failed", "finished"]);
}

#[test]
fn a_search_from_a_config_file_needs_no_flag() {
    let place = Place::new();
    place.write(
        "conf/hparams_search/two.yaml",
        "# @package _global_\noptimized_metric: val/loss\nhydra:\n  mode: MULTIRUN\n  sweeper:\n    params:\n      seed: 1,2\n",
    );
    let call = place.ok(&format!("train hparams_search=two {SMALL}"));
    assert!(call.out.contains("2 jobs") && call.out.contains("val/loss"), "{}", call.out);
}

/// The sweep folder of the only sweep of a command.
fn only_sweep(place: &Place, command: &str) -> PathBuf {
    let dates = folders(&place.path().join("outputs").join(command).join("multirun"));
    let sweeps = folders(&dates[0]);
    assert_eq!(sweeps.len(), 1, "{sweeps:?}");
    sweeps[0].clone()
}

/// `results.csv` without the times, which differ from run to run.
pub fn table(sweep: &Path) -> Vec<Vec<String>> {
    let mut reader = csv::Reader::from_path(sweep.join("results.csv")).unwrap();
    let header: Vec<String> = reader.headers().unwrap().iter().map(str::to_owned).collect();
    let mut rows = vec![header.clone()];
    rows.extend(reader.records().map(|row| row.unwrap().iter().map(str::to_owned).collect()));
    let kept: Vec<usize> = (0..header.len()).filter(|i| !header[*i].contains("duration")).collect();
    rows.iter().map(|row| kept.iter().map(|i| row[*i].clone()).collect()).collect()
}

pub fn kill(signal: &str, process: u32) {
    let _ = std::process::Command::new("kill").args([signal, &process.to_string()]).status();
}

pub const COMPUTE: &str = "objective +objective=\"${eval:'${data.batch_size}*${seed}'}\"";

#[test]
fn jobs_run_side_by_side_and_the_journal_is_for_optuna_too() {
    let place = Place::new();
    let call = place.ok(&format!("-m {COMPUTE} hydra/launcher=local hydra.launcher.n_jobs=2 seed=range(1,6)"));
    let sweep = only_sweep(&place, "objective");
    assert_eq!(table(&sweep).len(), 6, "{}", call.out);
    let values: Vec<String> = table(&sweep)[1..].iter().map(|row| row[4].clone()).collect();
    let batch: f64 = values[0].parse().unwrap();
    for (i, value) in values.iter().enumerate() {
        assert_eq!(value.parse::<f64>().unwrap(), batch * (i + 1) as f64);
    }
    let best = place.ok(&format!("best {} --copy-config conf/experiment/found.yaml", sweep.display()));
    assert!(best.out.contains("#0") && best.out.contains("seed=1"), "{}", best.out);
    let shown = place.ok("train experiment=found --cfg job -p seed");
    assert!(shown.out.trim_end().ends_with('1'), "{}", shown.out);
    let journal = std::fs::read_to_string(sweep.join("optuna.journal")).unwrap();
    let codes = |code: u8| journal.lines().filter(|line| line.contains(&format!("\"op_code\":{code},"))).count();
    // One study; each trial is created, starts and completes.
    assert_eq!((codes(0), codes(4), codes(6)), (1, 5, 10));
}

#[test]
fn the_launchers_of_hydras_plugins_are_known_and_a_typo_is_refused() {
    let place = Place::new();
    place.ok(&format!("-m {COMPUTE} hydra/launcher=joblib hydra.launcher.n_jobs=2 seed=1,2"));
    place.ok(&format!("-m {COMPUTE} hydra/launcher=submitit_local seed=1,2 hydra.sweep.dir=second"));
    let call = place.run(&format!("-m {COMPUTE} hydra/launcher=local +hydra.launcher.njobs=2 seed=1,2"));
    assert_eq!(call.code, 2);
    assert!(call.err.contains("njobs"), "{}", call.err);
}

#[test]
fn a_killed_job_runs_again_and_a_killed_sweep_is_resumed_without_repeating_anything() {
    let line = format!(
        "-m train hydra/launcher=local hydra.launcher.n_jobs=2 seed=1,2,3 hydra.sweep.dir=sweep {SMALL} trainer.max_epochs=3"
    );
    let quiet = Place::new();
    quiet.ok(&line);
    let place = Place::new();
    let sweep = place.path().join("sweep");
    let mut child = place.command(&line).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    let journal = || std::fs::read_to_string(sweep.join("trials.jsonl")).unwrap_or_default();
    let wait = |what: &str| {
        let start = Instant::now();
        while !journal().contains(what) {
            assert!(start.elapsed() < Duration::from_secs(120), "no {what} in\n{}", journal());
            std::thread::sleep(Duration::from_millis(5));
        }
    };
    // A job writes its process into run.json.
    wait("\"started\"");
    wait("\"finished\"");
    kill("-KILL", child.id());
    child.wait().unwrap();
    let before = journal();
    let call = place.ok("resume sweep");
    assert!(call.out.contains("of 3 jobs are missing"), "{}", call.out);
    assert_eq!(table(&sweep), table(&quiet.path().join("sweep")));
    let after = journal();
    assert!(after.starts_with(&before[..before.rfind('\n').unwrap()]), "the journal only grows");
    for job in 0..3 {
        let ends = after.lines().filter(|l| l.contains(&format!("\"job\":{job},\"state\":\"finished\""))).count();
        assert_eq!(ends, 1, "job {job} in\n{after}");
    }
    let again = place.ok("resume sweep");
    assert!(again.out.contains("0 of 3 jobs are missing"), "{}", again.out);
    assert_eq!(journal(), after);
}

#[test]
fn a_changed_config_is_refused_with_the_difference_and_other_values_too() {
    let place = Place::new();
    place.write("conf/data/own.yaml", "defaults: [digits]\nbatch_size: 10\n");
    place.ok(&format!("-m {COMPUTE} data=own seed=1,2 hydra.sweep.dir=sweep"));
    place.write("conf/data/own.yaml", "defaults: [digits]\nbatch_size: 20\n");
    let call = place.run("resume sweep");
    assert_eq!(call.code, 2, "{}", call.err);
    assert!(call.err.contains("line 2: `batch_size: 20` was `batch_size: 10`"), "{}", call.err);
    let call = place.run("resume sweep seed=3");
    assert!(call.err.contains("resumed as it was begun"), "{}", call.err);
    let call = place.run("resume conf");
    assert!(call.err.contains("is not"), "{}", call.err);
}

#[test]
fn checkpoints_are_swept_over_by_a_glob_of_files() {
    let place = Place::new();
    for seed in [1, 2] {
        place.ok(&format!("train seed={seed} hydra.run.dir=runs/{seed} {SMALL}"));
    }
    let call = place.ok("-m validate ckpt_path=glob(runs/*/checkpoints/last.ckpt) hydra.sweep.dir=sweep");
    let rows = table(&place.path().join("sweep"));
    assert_eq!(rows.len(), 3, "{}", call.out);
    assert!(rows[1][2].contains("runs/1") && rows[2][2].contains("runs/2"), "{rows:?}");
    assert!(rows[0].iter().any(|name| name == "val/loss"), "{rows:?}");
}

#[test]
fn options_of_a_command_are_swept_with_its_checkpoints() {
    let place = Place::new();
    for seed in [1, 2] {
        place.ok(&format!("train seed={seed} hydra.run.dir=runs/{seed} {SMALL}"));
    }
    place.ok("-m predict ckpt_path=glob(runs/*/checkpoints/last.ckpt) split=val,test hydra.sweep.dir=sweep");
    let lines = |job: usize| {
        let path = place.path().join(format!("sweep/{job}/predictions.csv"));
        std::fs::read_to_string(path).unwrap().lines().count()
    };
    assert_eq!([0, 1, 2, 3].map(lines), [65, 181, 65, 181]);
}

#[test]
fn a_job_knows_its_name_and_mode_as_hydra_tells_them() {
    let place = Place::new();
    let subdir = "hydra.sweep.subdir=\"${hydra.job.id}-${seed}\"";
    place.ok(&format!("-m objective +objective=1 seed=1,2 hydra.sweep.dir=basic {subdir}"));
    assert!(place.path().join("basic/1-2/results.json").is_file());
    let values = "+values={RUN:{},MULTIRUN:{objective_0:30,objective_1:40}}";
    let line = format!("objective +objective=\"${{values.${{hydra:mode}}.${{hydra:job.id}}}}\" {values} seed=1,2");
    place.ok(&format!("-m {line} hydra.sweep.dir=joblib {subdir} hydra/launcher=joblib"));
    for (run, objective) in [("joblib/objective_0-1", 30.0), ("joblib/objective_1-2", 40.0)] {
        assert_eq!(json(&place.path().join(run).join("results.json"))["metrics"]["objective"], objective, "{run}");
    }
}

#[test]
fn a_search_asks_for_its_jobs_and_gives_up_what_fails() {
    let place = Place::new();
    let line = "-m objective +objective=\"${eval:'(${data.batch_size}-30)**2'}\" hydra/sweeper=optuna hydra/sweeper/sampler=random hydra.sweeper.sampler.seed=1 hydra.sweeper.n_trials=6 hydra/launcher=local data.batch_size=range(1,60)";
    place.ok(&format!("{line} hydra.sweep.dir=a"));
    place.ok(&format!("{line} hydra.sweep.dir=b"));
    let (a, b) = (table(&place.path().join("a")), table(&place.path().join("b")));
    assert_eq!(a.len(), 7);
    assert_eq!(a, b, "the seed decides");
    let doubted = place.run(&format!("{line} optimized_metric=val/acc hydra.sweep.dir=c"));
    assert!(doubted.out.contains("note: the search minimizes val/acc"), "{}", doubted.out);
}

#[test]
fn a_pipeline_tunes_trains_and_tests_and_does_nothing_twice() {
    let place = Place::new();
    place.write(
        "conf/hparams_search/two.yaml",
        "# @package _global_\noptimized_metric: val/loss\nhydra:\n  mode: MULTIRUN\n  sweeper:\n    params:\n      seed: 1,2\n",
    );
    let small = SMALL.replace("test=false", "");
    let line = format!("pipeline pipeline.tune.overrides=['hparams_search=two','test=false'] {small}");
    let call = place.ok(&line);
    assert!(call.out.contains("tune: the best so far is #"), "{}", call.out);
    let dir = place.path().join("outputs/pipeline/pipeline");
    assert_eq!(json(&dir.join("train/results.json"))["status"], "finished");
    assert_eq!(json(&dir.join("test/results.json"))["status"], "finished");
    let again = place.ok(&line);
    for stage in ["prepare", "tune", "train", "test"] {
        assert!(again.out.contains(&format!("{stage}: done already")), "{}", again.out);
    }
    let other = place.ok(&format!("{line} pipeline.train.overrides=['trainer.max_epochs=2']"));
    assert!(other.out.contains("tune: done already") && !other.out.contains("train: done already"), "{}", other.out);
    assert!(dir.join("train_1").is_dir(), "what was there stays");
}

#[test]
fn ctrl_c_saves_the_jobs_and_two_resumes_at_once_are_refused() {
    let line = |dir: &str| {
        format!(
            "-m train hydra/launcher=local hydra.launcher.n_jobs=2 seed=1,2 hydra.sweep.dir={dir} {SMALL} trainer.max_epochs=2000"
        )
    };
    let place = Place::new();
    place.ok(&line("quiet"));
    let mut child = place.command(&line("sweep")).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
    let sweep = place.path().join("sweep");
    let start = Instant::now();
    while !(0..2).all(|job| sweep.join(format!("{job}/reports.jsonl")).is_file()) {
        assert!(start.elapsed() < Duration::from_secs(120), "no job has reported");
        std::thread::sleep(Duration::from_millis(10));
    }
    let second = place.run("resume sweep");
    assert_eq!(second.code, 2);
    assert!(second.err.contains("running already by process"), "{}", second.err);
    kill("-INT", child.id());
    let code = child.wait().unwrap().code();
    let unfinished = table(&sweep).iter().any(|row| row.contains(&"interrupted".to_owned()));
    assert!(code == Some(130) && unfinished, "{code:?} {:?}", table(&sweep));
    place.ok("resume sweep");
    assert_eq!(table(&sweep), table(&place.path().join("quiet")));
}

/// The processes that a process has started, directly and through others, with their depth below it.
fn descendants(process: u32) -> Vec<(u32, usize)> {
    let parent = |id: u32| -> Option<u32> {
        let stat = std::fs::read_to_string(format!("/proc/{id}/stat")).ok()?;
        stat.rsplit_once(')')?.1.split_whitespace().nth(1)?.parse().ok()
    };
    let all: Vec<u32> =
        std::fs::read_dir("/proc").unwrap().flatten().filter_map(|e| e.file_name().to_str()?.parse().ok()).collect();
    let depth = |mut id: u32| {
        for depth in 0..6 {
            if id == process {
                return Some(depth);
            }
            id = parent(id)?;
        }
        None
    };
    all.into_iter().filter_map(|id| Some((id, depth(id)?))).filter(|(_, depth)| *depth > 0).collect()
}

/// `RUNNER_KILLS=50 cargo test --test cli kills_at_random` is the long version.
#[test]
fn kills_at_random_moments_lose_nothing_and_repeat_nothing() {
    let kills: usize = std::env::var("RUNNER_KILLS").ok().and_then(|n| n.parse().ok()).unwrap_or(3);
    let line = |dir: &str| {
        format!(
            "-m train hydra/launcher=local hydra.launcher.n_jobs=2 hydra.launcher.retries=1000 seed=1,2,3,4 hydra.sweep.dir={dir} {SMALL} trainer.max_epochs=4"
        )
    };
    let place = Place::new();
    place.ok(&line("quiet"));
    let expected = table(&place.path().join("quiet"));
    let mut random = 12345u64;
    let mut draw = |below: u64| {
        random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (random >> 33) % below
    };
    let (mut done, mut sweeps) = (0, 0);
    while done < kills {
        let dir = format!("sweep{sweeps}");
        sweeps += 1;
        let mut next = line(&dir);
        loop {
            let log = std::fs::File::create(place.path().join("log")).unwrap();
            let mut child = place.command(&next).stdout(log.try_clone().unwrap()).stderr(log).spawn().unwrap();
            let mut killed = false;
            while child.try_wait().unwrap().is_none() {
                std::thread::sleep(Duration::from_millis(20 + draw(900)));
                if done >= kills {
                    continue;
                }
                let jobs: Vec<u32> =
                    descendants(child.id()).into_iter().filter(|(_, depth)| *depth == 2).map(|(id, _)| id).collect();
                if draw(2) == 0 && place.path().join(&dir).join("trials.jsonl").is_file() {
                    kill("-KILL", child.id());
                    killed = true;
                    done += 1;
                } else if !jobs.is_empty() {
                    kill("-KILL", jobs[draw(jobs.len() as u64) as usize]);
                    done += 1;
                }
            }
            let status = child.wait().unwrap();
            if !killed && status.success() {
                break;
            }
            let said = std::fs::read_to_string(place.path().join("log")).unwrap();
            assert!(killed || status.success(), "{said}");
            next = format!("resume {dir}");
        }
        assert_eq!(table(&place.path().join(&dir)), expected, "{dir} after {done} kills");
    }
    println!("{done} kills in {sweeps} sweeps");
}
