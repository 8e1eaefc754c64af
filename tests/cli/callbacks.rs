//! Callbacks and profilers, as a user configures them.

use std::collections::BTreeMap;
use std::path::Path;

use crate::runner::{Place, json};

/// Six batches an epoch, a small network, every epoch's checkpoint.
const SMALL: &str = "train model.net.channels=[8,16] trainer.limit_train_batches=6 trainer.limit_val_batches=2 \
                     trainer.log_every_n_steps=1 model.scheduler=null test=false callbacks.model_checkpoint.monitor=null \
                     callbacks.model_checkpoint.save_top_k=-1 trainer.enable_model_summary=false";

/// The tensors of a checkpoint, as bytes by name.
fn tensors(path: &Path) -> BTreeMap<String, Vec<u8>> {
    let bytes = std::fs::read(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let tensors = safetensors::SafeTensors::deserialize(&bytes).unwrap();
    tensors.tensors().into_iter().map(|(name, view)| (name, view.data().to_vec())).collect()
}

fn floats(bytes: &[u8]) -> Vec<f32> {
    bytes.chunks_exact(4).map(|b| f32::from_le_bytes(b.try_into().unwrap())).collect()
}

/// The values of a column of the metrics, in order.
fn column(run: &Path, name: &str) -> Vec<f64> {
    let mut reader = csv::Reader::from_path(run.join("csv/version_0/metrics.csv")).unwrap();
    let at = reader.headers().unwrap().iter().position(|column| column == name).unwrap_or_else(|| panic!("no {name}"));
    reader.records().filter_map(|row| row.unwrap()[at].parse().ok()).collect()
}

/// Trains in one go, and again in two parts of which the second begins after so many steps (six an epoch; a step at which
/// a checkpoint is saved): the same tensors, those of every optimizer and callback as well.
fn goes_on_exactly(after: u64, parts: &str) {
    let place = Place::new();
    let line = format!(
        "{SMALL} trainer.max_epochs=4 callbacks.model_checkpoint.every_n_train_steps=4 model.optimizer.lr=0.01 {parts}"
    );
    place.ok(&format!("{line} hydra.run.dir=whole"));
    place.ok(&format!("{line} hydra.run.dir=first trainer.max_steps={after}"));
    place.ok(&format!("{line} hydra.run.dir=second ckpt_path=first/checkpoints/last.ckpt"));
    let of = |run: &str| tensors(&place.path().join(run).join("checkpoints/last.ckpt"));
    let (whole, second) = (of("whole"), of("second"));
    assert_eq!(whole.keys().collect::<Vec<_>>(), second.keys().collect::<Vec<_>>());
    let differing: Vec<_> = whole.iter().filter(|(name, bytes)| second[*name] != **bytes).map(|(n, _)| n).collect();
    assert!(differing.is_empty(), "{differing:?}");
    let column = |run: &str| column(&place.path().join(run), "train/loss");
    let (whole, second) = (column("whole"), column("second"));
    assert!(second.len() > 1 && whole.ends_with(&second), "{whole:?} {second:?}");
}

const EMA: &str =
    "+callbacks.ema={_target_:lightning.pytorch.callbacks.EMAWeightAveraging,decay:0.8,update_every_n_steps:2}";
const SWA: &str = "+callbacks.swa={_target_:lightning.pytorch.callbacks.StochasticWeightAveraging,swa_lrs:0.05,\
                   swa_epoch_start:2,annealing_epochs:2}";
const BACKBONE: &str =
    "+callbacks.backbone={_target_:pytorch_lightning.callbacks.BackboneFinetuning,unfreeze_backbone_at_epoch:1}";
const RATES: &str = "+callbacks.rates={_target_:lightning.pytorch.callbacks.LearningRateMonitor}";

#[test]
fn an_average_goes_on_exactly() {
    goes_on_exactly(8, EMA);
    // In mixed precision, with gradients that are summed and clipped.
    goes_on_exactly(
        5,
        &format!(
            "{EMA} trainer.precision=bf16-mixed trainer.accumulate_grad_batches=4 trainer.gradient_clip_val=0.1 \
             callbacks.model_checkpoint.every_n_train_steps=5"
        ),
    );
}

#[test]
fn stochastic_weight_averaging_goes_on_exactly() {
    goes_on_exactly(8, &format!("{SWA} {RATES}"));
    // A backbone that joined before the rates were replaced, whichever of the two is named first.
    let later = SWA.replace("swa_epoch_start:2", "swa_epoch_start:3");
    goes_on_exactly(16, &format!("{later} {BACKBONE} {RATES}"));
}

#[test]
fn fine_tuning_goes_on_exactly() {
    let sum = "+callbacks.sum={_target_:lightning.pytorch.callbacks.GradientAccumulationScheduler,scheduling:{2:2}}";
    goes_on_exactly(8, &format!("{BACKBONE} {sum}"));
    goes_on_exactly(
        8,
        "+callbacks.tune={_target_:runner.callbacks.ProgressiveUnfreeze,epoch_start:1,epoch_duration:2,percentage:0.7}",
    );
    // At the border of the phases, where the optimizer starts anew.
    goes_on_exactly(12, "+callbacks.tune={_target_:runner.callbacks.FineTune,base_lr:0.01,freeze_epochs:2,epochs:2}");
}

#[test]
fn schedules_and_limits_go_on_exactly() {
    // The rates of several groups along one cycle; time that is counted.
    let one_cycle = "model.scheduler={scheduler:{_target_:torch.optim.lr_scheduler.OneCycleLR,max_lr:0.02,total_steps:24},interval:step}";
    let timer = "+callbacks.timer={_target_:lightning.pytorch.callbacks.Timer,duration:00:01:00:00}";
    goes_on_exactly(8, &format!("{one_cycle} {timer} {BACKBONE} {RATES} model.no_weight_decay=1d"));
    // A metric that is followed, and an early stop that waits.
    let plateau = "model.scheduler={scheduler:{_target_:torch.optim.lr_scheduler.ReduceLROnPlateau,patience:0,\
                   threshold:0.5},monitor:val/loss}";
    goes_on_exactly(8, &format!("{plateau} {RATES} callbacks.early_stopping.patience=3 trainer.val_check_interval=3"));
}

#[test]
fn validation_and_checkpoints_have_the_average() {
    let place = Place::new();
    // An average that keeps everything is that of the first step for ever.
    place.ok(&format!(
        "{SMALL} trainer.max_epochs=3 hydra.run.dir=run \
         +callbacks.ema={{_target_:lightning.pytorch.callbacks.EMAWeightAveraging,decay:1.0}}"
    ));
    let run = place.path().join("run");
    let losses = column(&run, "val/loss");
    assert!(losses.len() == 3 && losses.iter().all(|loss| *loss == losses[0]), "{losses:?}");
    let (first, last) = (tensors(&run.join("checkpoints/epoch_000.ckpt")), tensors(&run.join("checkpoints/last.ckpt")));
    assert_eq!(first["net.classifier.weight"], last["net.classifier.weight"]);
    let training: Vec<_> = last.keys().filter(|name| name.contains("current.net.classifier.weight")).collect();
    assert_eq!(training.len(), 1);
    assert_ne!(last[training[0]], last["net.classifier.weight"]);
    assert!(column(&run, "train/loss").windows(2).all(|pair| pair[0] > pair[1]));
}

#[test]
fn stochastic_weight_averaging_ends_with_the_mean_of_epochs() {
    let place = Place::new();
    place.ok(&format!(
        "{SMALL} trainer.max_epochs=4 hydra.run.dir=run \
         +callbacks.lr={{_target_:lightning.pytorch.callbacks.LearningRateMonitor}} \
         +callbacks.swa={{_target_:lightning.pytorch.callbacks.StochasticWeightAveraging,swa_lrs:0.02,\
         swa_epoch_start:2,annealing_epochs:0}}"
    ));
    let run = place.path().join("run");
    let of = |name: &str| tensors(&run.join(format!("checkpoints/{name}.ckpt")));
    let epochs = ["epoch_000", "epoch_001", "epoch_002"].map(|name| floats(&of(name)["net.classifier.weight"]));
    let result = of("epoch_004");
    for (i, found) in floats(&result["net.classifier.weight"]).iter().enumerate() {
        let mean = epochs.iter().map(|epoch| epoch[i]).sum::<f32>() / 3.0;
        assert!((found - mean).abs() < 1e-6, "{i}: {found}, not {mean}");
    }
    let counted: Vec<_> = result.iter().filter(|(name, _)| name.ends_with("num_batches_tracked")).collect();
    assert!(!counted.is_empty());
    assert!(counted.iter().all(|(_, bytes)| bytes[..8] == 6i64.to_le_bytes()), "statistics are gathered anew");
    // Validated after every epoch and at the end.
    assert_eq!(column(&run, "val/loss").len(), 5);
    assert!(column(&run, "lr-AdamW").contains(&0.02), "{:?}", column(&run, "lr-AdamW"));
}

#[test]
fn a_frozen_backbone_stays_while_the_head_and_the_statistics_move() {
    let place = Place::new();
    place.ok(&format!(
        "{SMALL} trainer.max_epochs=2 hydra.run.dir=run \
         +callbacks.tune={{_target_:runner.callbacks.ProgressiveUnfreeze,percentage:0.0}}"
    ));
    let of = |name: &str| tensors(&place.path().join(format!("run/checkpoints/{name}.ckpt")));
    let (first, second) = (of("epoch_000"), of("epoch_001"));
    for (name, bytes) in first.iter().filter(|(name, _)| !name.starts_with("runner/")) {
        let moves = name.contains("classifier") || name.contains("running_") || name.contains("num_batches");
        assert_eq!(second[name] != *bytes, moves, "{name}");
    }
}

#[test]
fn gradients_are_summed_as_scheduled_and_time_is_limited() {
    let place = Place::new();
    place.ok(&format!(
        "{SMALL} trainer.max_epochs=2 hydra.run.dir=sum \
         +callbacks.sum={{_target_:lightning.pytorch.callbacks.GradientAccumulationScheduler,scheduling:{{0:3,1:2}}}}"
    ));
    assert_eq!(json(&place.path().join("sum/results.json"))["steps"], 5);
    place.ok(&format!(
        "{SMALL} trainer.max_epochs=9 hydra.run.dir=time callbacks.model_checkpoint=null \
         +callbacks.timer={{_target_:lightning.pytorch.callbacks.Timer,duration:'00:00:00:00'}} \
         +callbacks.load={{_target_:lightning.pytorch.callbacks.DeviceStatsMonitor}}"
    ));
    let results = json(&place.path().join("time/results.json"));
    assert_eq!(results["epochs"], 1);
    assert!(results["reason"].as_str().unwrap().contains("the time of 0 s is over"), "{results}");
    let load = column(&place.path().join("time"), "DeviceStatsMonitor.on_train_batch_end/cpu_vm_percent");
    assert!(load.len() == 6 && load.iter().all(|percent| (0.0..=100.0).contains(percent)), "{load:?}");
}

#[test]
fn checkpoints_are_named_counted_and_removed_as_lightning_does() {
    let place = Place::new();
    let checkpoint = "callbacks.model_checkpoint";
    place.ok(&format!(
        "train {} trainer.max_epochs=3 hydra.run.dir=run {checkpoint}.save_top_k=2 {checkpoint}.filename=best \
         {checkpoint}.every_n_epochs=1 +callbacks.steps={{_target_:lightning.pytorch.callbacks.ModelCheckpoint,\
         every_n_train_steps:5,save_top_k:-1,dirpath:run/steps}}",
        SMALL.split_once(" test=false").unwrap().0.trim_start_matches("train ")
    ));
    let names = |folder: &str| {
        let mut names: Vec<String> = std::fs::read_dir(place.path().join(folder))
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    };
    let kept = names("run/checkpoints");
    assert!(kept.len() == 3 && kept.contains(&"last.ckpt".into()), "{kept:?}");
    assert!(kept.iter().filter(|name| name.starts_with("best")).count() == 2, "{kept:?}");
    assert_eq!(names("run/steps"), ["epoch=0-step=5.ckpt", "epoch=1-step=10.ckpt", "epoch=2-step=15.ckpt"]);
}

#[test]
fn what_needs_python_is_refused_by_name() {
    let place = Place::new();
    let call = place.run("train +callbacks.mine={_target_:lightning.pytorch.callbacks.LambdaCallback}");
    assert_eq!(call.code, 2);
    assert!(call.err.contains("LambdaCallback` is not supported") && call.err.contains("crate of your own"));
    let call = place.run(
        "train +callbacks.swa={_target_:lightning.pytorch.callbacks.StochasticWeightAveraging,swa_lrs:0.1,avg_fn:f}",
    );
    assert!(call.code == 2 && call.err.contains("EMAWeightAveraging"), "{}", call.err);
    let call = place.run("train trainer.profiler=pytorch");
    assert!(call.code == 2 && call.err.contains("`advanced` writes a trace"), "{}", call.err);
}

#[test]
fn profilers_say_where_the_time_went() {
    let place = Place::new();
    place.ok(&format!("{SMALL} trainer.max_epochs=1 hydra.run.dir=simple trainer.profiler=simple"));
    let log = std::fs::read_to_string(place.path().join("simple/runner.log")).unwrap();
    for part in ["action", "forward", "backward", "optimizer step", "validation", "checkpoint", "waiting for data"] {
        assert!(log.contains(part), "{part} in {log}");
    }
    assert!(!place.path().join("simple/trace.json").exists());
    place.ok(&format!(
        "{SMALL} trainer.max_epochs=1 hydra.run.dir=advanced \
         trainer.profiler={{_target_:lightning.pytorch.profilers.AdvancedProfiler,filename:parts}}"
    ));
    let trace = json(&place.path().join("advanced/fit-parts.json"));
    let events = trace["traceEvents"].as_array().unwrap();
    let count = |name: &str| events.iter().filter(|event| event["name"] == name && event["ph"] == "X").count();
    assert_eq!((count("forward"), count("backward"), count("optimizer step"), count("validation")), (6, 6, 6, 1));
    assert!(count("logging") > 0 && count("callback EarlyStopping(val/loss, Min)") > 0);
    assert!(place.path().join("advanced/fit-parts.txt").is_file());
}
