//! Sweeps that search: samplers, early stopping, several objectives, and what Optuna reads of them.

use std::path::Path;

use crate::python;
use crate::runner::{Place, json};
use crate::sweep::{SMALL, table};

/// A bowl over two parameters, with its least value 0.
const BOWL: &str = "objective +objective=\"${eval:'(${data.batch_size}-30)**2/100+(${model.optimizer.lr}-0.01)**2*1000'}\" \
                    data.batch_size=range(1,60) model.optimizer.lr=interval(0,0.1)";

fn column(sweep: &Path, name: &str) -> Vec<String> {
    let rows = table(sweep);
    let place =
        rows[0].iter().position(|header| header == name).unwrap_or_else(|| panic!("no {name} in {:?}", rows[0]));
    rows[1..].iter().map(|row| row[place].clone()).collect()
}

#[test]
fn every_sampler_is_chosen_by_its_name_and_the_seed_decides() {
    let place = Place::new();
    for name in ["sobol", "lhs", "tpe", "gp", "cmaes", "nsgaii"] {
        let line = format!("-m {BOWL} hydra/sweeper={name} hydra.sweeper.n_trials=4 hydra.sweeper.sampler.seed=3");
        place.ok(&format!("{line} hydra.sweep.dir={name}"));
        let states = column(&place.path().join(name), "status");
        assert_eq!(states, ["finished"; 4], "{name}");
    }
    let line =
        format!("-m {BOWL} hydra/sweeper=optuna hydra/sweeper/sampler=gp hydra.sweeper.sampler.n_startup_trials=3");
    let line = format!("{line} hydra.sweeper.n_trials=8 hydra/launcher=local hydra.launcher.n_jobs=2");
    for dir in ["one", "two"] {
        place.ok(&format!("{line} hydra.sweep.dir={dir}"));
    }
    assert_eq!(table(&place.path().join("one")), table(&place.path().join("two")));
    let call = place.run(&format!("-m {BOWL} hydra/sweeper=sobol hydra.sweeper.sampler.scramble=false"));
    assert_eq!(call.code, 2);
    assert!(call.err.contains("not scrambled"), "{}", call.err);
}

/// `configs/hparams_search/mnist_optuna.yaml` of the lightning-hydra-template, without its comments.
const TEMPLATE: &str = "# @package _global_

defaults:
  - override /hydra/sweeper: optuna

optimized_metric: \"val/acc_best\"

hydra:
  mode: \"MULTIRUN\"

  sweeper:
    _target_: hydra_plugins.hydra_optuna_sweeper.optuna_sweeper.OptunaSweeper
    storage: null
    study_name: null
    n_jobs: 1
    direction: maximize
    n_trials: 20
    sampler:
      _target_: optuna.samplers.TPESampler
      seed: 1234
      n_startup_trials: 10
    params:
      model.optimizer.lr: interval(0.0001, 0.1)
      data.batch_size: choice(32, 64, 128, 256)
      model.net.lin1_size: choice(64, 128, 256)
      model.net.lin2_size: choice(64, 128, 256)
      model.net.lin3_size: choice(32, 64, 128, 256)
";

#[test]
fn the_template_s_search_file_works_unchanged_and_optuna_reads_the_journal() {
    let place = Place::new();
    place.write("conf/hparams_search/mnist_optuna.yaml", TEMPLATE);
    let small = SMALL.replace("model.net.channels=[8]", "model=dense");
    place.ok(&format!("train hparams_search=mnist_optuna hydra.sweeper.n_trials=3 hydra.sweep.dir=sweep {small}"));
    let sweep = place.path().join("sweep");
    let values: Vec<f64> = column(&sweep, "val/acc_best").iter().map(|value| value.parse().unwrap()).collect();
    assert_eq!(values.len(), 3);
    let program = "
import json, sys, warnings
warnings.filterwarnings('ignore')
import optuna
from optuna.storages.journal import JournalFileBackend, JournalFileSymlinkLock
from optuna.storages import JournalStorage
study = optuna.load_study(study_name=None, storage=JournalStorage(JournalFileBackend(sys.argv[1])))
print(json.dumps({
    'values': [trial.value for trial in study.trials],
    'states': [trial.state.name for trial in study.trials],
    'direction': study.direction.name,
    'best': study.best_trial.number,
    'params': study.best_trial.params,
    'steps': [len(trial.intermediate_values) for trial in study.trials],
    'seconds': [trial.duration.total_seconds() for trial in study.trials],
}))";
    let path = sweep.join("optuna.journal");
    let Some(read) = python::json_of(program, &[path.to_str().unwrap()]) else { return };
    assert_eq!(read["values"], serde_json::json!(values));
    assert_eq!(read["states"], serde_json::json!(["COMPLETE", "COMPLETE", "COMPLETE"]));
    assert_eq!(read["direction"], "MAXIMIZE");
    assert_eq!(read["steps"], serde_json::json!([1, 1, 1]));
    let best = read["best"].as_u64().unwrap() as usize;
    assert_eq!(read["params"]["data.batch_size"].to_string(), column(&sweep, "data.batch_size")[best]);
    let rate: f64 = column(&sweep, "model.optimizer.lr")[best].parse().unwrap();
    assert_eq!(read["params"]["model.optimizer.lr"].as_f64().unwrap(), rate);
}

/// moths' `optim.yaml` in this program's keys: integers, floats, an item of a list, and an early stop.
const OPTIM: &str = "# @package _global_
defaults:
  - override /hydra/sweeper: ax
hydra:
  mode: MULTIRUN
  sweeper:
    ax_config:
      max_trials: 6
      early_stop:
        minimize: true
        max_epochs_without_improvement: 6
      experiment:
        minimize: true
        parameter_constraints: [data.batch_size + weights.0 <= 60]
      is_noisy: true
      params:
        smoothing: {type: range, bounds: [0.0, 0.1]}
        weights.0: {type: range, bounds: [1, 10], value_type: float}
        data.batch_size: {type: range, bounds: [2, 64]}
        kind: {type: choice, values: [plain, two words]}
        depth: {type: choice, values: [1, 2, 4], is_ordered: true}
        rate: {type: range, bounds: [1.0e-4, 1.0], log_scale: true}
        name: {type: fixed, value: moth}
smoothing: 0.004
weights: [5, 1, 1, 1]
kind: plain
depth: 1
rate: 0.1
name: none
objective: ${eval:'${smoothing}*10 + (${weights.0} - 3)**2 + ${data.batch_size}/64 + ${rate} + ${depth}'}
";

#[test]
fn ax_s_configuration_searches_with_a_gaussian_process() {
    let place = Place::new();
    place.write("conf/hparams_search/optim.yaml", OPTIM);
    place.ok("objective hparams_search=optim hydra.sweep.dir=sweep");
    let sweep = place.path().join("sweep");
    assert_eq!(column(&sweep, "status"), ["finished"; 6]);
    let numbers = |name: &str| column(&sweep, name).iter().map(|text| text.parse::<f64>().unwrap()).collect::<Vec<_>>();
    assert!(numbers("smoothing").iter().all(|v| (0.0..=0.1).contains(v)));
    assert!(numbers("data.batch_size").iter().all(|v| v.fract() == 0.0 && (2.0..=64.0).contains(v)));
    assert!(numbers("depth").iter().all(|v| [1.0, 2.0, 4.0].contains(v)));
    let sums = numbers("data.batch_size").into_iter().zip(numbers("weights.0")).map(|(a, b)| a + b);
    assert!(sums.into_iter().all(|sum| sum <= 60.0));
    assert_eq!(json(&sweep.join("0/results.json"))["status"], "finished");
    let config = std::fs::read_to_string(sweep.join("0/.hydra/config.yaml")).unwrap();
    assert!(config.contains("name: moth"), "{config}");
    let best = place.ok("best sweep");
    assert!(best.out.contains("less is better"), "{}", best.out);
    let call = place.run("objective hparams_search=optim +hydra.sweeper.ax_config.params.depth.digits=3");
    assert_eq!(call.code, 2);
    assert!(call.err.contains("`digits` of the parameter `depth` is not known"), "{}", call.err);
}

#[test]
fn hyperband_pauses_and_continues_jobs_as_if_nothing_had_been() {
    let place = Place::new();
    let small = SMALL.replace("trainer.max_epochs=1", "trainer.max_epochs=4");
    let line = format!(
        "-m train hydra/sweeper=hyperband optimized_metric=val/loss model.optimizer.lr=tag(log,interval(1e-4,1e-1)) \
         hydra.sweeper.successive_halving=4 hydra.sweeper.reduction_factor=2 seed=5 {small}"
    );
    place.ok(&format!("{line} hydra/launcher=local hydra.launcher.n_jobs=2 hydra.sweep.dir=sweep"));
    place.ok(&format!("{line} hydra.sweeper.n_jobs=1 hydra.sweep.dir=alone"));
    let sweep = place.path().join("sweep");
    assert_eq!(table(&sweep), table(&place.path().join("alone")), "what runs side by side changes nothing");
    let states = column(&sweep, "status");
    let epochs =
        |job: usize| std::fs::read_to_string(sweep.join(format!("{job}/reports.jsonl"))).unwrap().lines().count();
    let mut all: Vec<usize> = (0..4).map(epochs).collect();
    let winner = states.iter().position(|state| state == "finished").unwrap();
    assert_eq!(all[winner], 4);
    all.sort_unstable();
    assert_eq!(all, [1, 1, 2, 4], "{states:?}");
    assert_eq!(states.iter().filter(|state| *state == "pruned").count(), 3);
    assert!(column(&sweep, "reason").iter().any(|reason| reason.contains("stopped after 2 epochs")));
    // The winner was paused twice; its numbers are those of a run that was left alone.
    let rate = &column(&sweep, "model.optimizer.lr")[winner];
    place.ok(&format!("train model.optimizer.lr={rate} seed=5 hydra.run.dir=plain {small}"));
    let metrics = |run: &Path| json(&run.join("results.json"))["metrics"].clone();
    assert_eq!(metrics(&sweep.join(winner.to_string())), metrics(&place.path().join("plain")));
    // Nothing is missing, and nothing runs again.
    let again = place.ok("resume sweep");
    assert!(again.out.contains("0 of 4 jobs are missing"), "{}", again.out);
    assert_eq!(table(&sweep), table(&place.path().join("alone")));
}

#[test]
fn asha_stops_a_running_job_that_is_worse_at_a_rung() {
    let place = Place::new();
    let line = format!(
        "-m train hydra/sweeper=asha hydra/sweeper/sampler=grid hydra.sweeper.n_trials=2 optimized_metric=val/loss \
         model.optimizer.lr=0.01,1e-9 hydra.sweep.dir=sweep {SMALL} trainer.max_epochs=60"
    );
    place.ok(&line);
    let sweep = place.path().join("sweep");
    assert_eq!(column(&sweep, "status"), ["finished", "pruned"]);
    assert!(column(&sweep, "reason")[1].contains("at step 1 it had"), "{:?}", column(&sweep, "reason"));
    let reports = std::fs::read_to_string(sweep.join("1/reports.jsonl")).unwrap().lines().count();
    assert!(reports < 60, "{reports}");
    let page = std::fs::read_to_string(sweep.join("report.html")).unwrap();
    assert!(page.contains("at step 1 it had"));
}

#[test]
fn several_objectives_have_a_front() {
    let place = Place::new();
    place.ok(&format!(
        "-m train hydra/sweeper=nsgaii hydra.sweeper.n_trials=4 hydra.sweeper.direction=[minimize,maximize] \
         hydra.sweeper.sampler.population_size=2 optimized_metric=[val/loss,val/acc] \
         model.optimizer.lr=tag(log,interval(1e-5,1e-1)) hydra.sweep.dir=sweep {SMALL}"
    ));
    let best = place.ok("best sweep");
    assert!(best.out.contains("the Pareto front:"), "{}", best.out);
    let page = std::fs::read_to_string(place.path().join("sweep/report.html")).unwrap();
    assert!(page.contains(r#""objectives":[{"metric":"val/loss","more":false},{"metric":"val/acc","more":true}]"#));
    let call = place.run(
        "-m train hydra/sweeper=gp hydra.sweeper.direction=[minimize,maximize] optimized_metric=[a,b] seed=range(1,9)",
    );
    assert_eq!(call.code, 2);
    assert!(call.err.contains("knows one objective"), "{}", call.err);
}

#[test]
fn conditions_constraints_and_failed_trials() {
    let place = Place::new();
    place.ok(
        "-m objective +objective=\"${eval:'${seed}+${data.batch_size}'}\" hydra/sweeper=random hydra.sweeper.n_trials=12 \
         hydra.sweeper.constraints=['seed+data.batch_size<=30'] hydra.sweeper.conditions={model.optimizer.lr:'seed>=5'} \
         seed=range(1,9) data.batch_size=range(1,60) model.optimizer.lr=interval(0.1,0.2) hydra.sweep.dir=sweep",
    );
    let sweep = place.path().join("sweep");
    let numbers = |name: &str| column(&sweep, name).iter().map(|text| text.parse::<f64>().ok()).collect::<Vec<_>>();
    for ((seed, batch), lr) in
        numbers("seed").into_iter().zip(numbers("data.batch_size")).zip(numbers("model.optimizer.lr"))
    {
        assert!(seed.unwrap() + batch.unwrap() <= 30.0);
        assert_eq!(lr.is_some(), seed.unwrap() >= 5.0, "{seed:?} {lr:?}");
    }
    // 1/0 cannot be composed: the trial fails, the sampler is told, and the search goes on if it may.
    let line =
        "-m objective +objective=\"${eval:'1/(${seed}-2)'}\" hydra/sweeper=tpe hydra/sweeper/sampler=grid seed=1,2,3";
    let call = place.run(&format!("{line} hydra.sweeper.max_failure_rate=1 hydra.sweep.dir=fails"));
    assert_eq!(call.code, 1, "{}", call.err);
    assert_eq!(column(&place.path().join("fails"), "status"), ["finished", "failed", "finished"]);
    let call = place.run(&format!("{line} hydra.sweep.dir=strict"));
    assert_eq!(call.code, 1);
    assert!(call.err.contains("max_failure_rate"), "{}", call.err);
}
