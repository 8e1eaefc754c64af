//! Loggers, read back by the programs whose files and servers they write to.
#![cfg(unix)]

use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use runner::config::{KeyPath, Map, Node, Value as Config};
use runner::registry::{Build, Registry, Slot};
use runner::train::{At, HyperParameters, Image, Logger, LoggerKind, Saved, Status};
use serde_json::{Value, json};

use crate::python;
use crate::runner::{Place, json as read_json};

fn node(value: &Value) -> Node {
    Node::program(match value {
        Value::Null => Config::Null,
        Value::Bool(v) => (*v).into(),
        Value::Number(v) => v.as_i64().map_or_else(|| v.as_f64().unwrap_or(0.0).into(), Config::from),
        Value::String(v) => v.as_str().into(),
        Value::Array(list) => list.iter().map(node).collect::<Vec<_>>().into(),
        Value::Object(map) => map.iter().map(|(key, value)| (key.as_str().into(), node(value))).collect::<Map>().into(),
    })
}

/// A logger as a config makes it.
fn logger(config: Value) -> Box<dyn Logger> {
    let registry = Registry::builtin();
    let slot: Slot<LoggerKind> = Slot::new(node(&config), KeyPath::root().key("logger"));
    Build::new(&registry).build(&slot).expect("a logger")
}

fn at(step: u64) -> At {
    At { epoch: step / 2, step, time_ms: 1_700_000_000_000 + step as i64 * 1000 }
}

fn loss(logger: &mut dyn Logger, steps: std::ops::Range<u64>) {
    for step in steps {
        logger.metrics(at(step), &[("train/loss".into(), 1.0 / (step + 1) as f64)]).unwrap();
    }
}

fn params() -> HyperParameters {
    let config = json!({ "model": { "lr": 0.5, "name": "net", "sizes": [1, 2] }, "deep": true });
    HyperParameters { config: node(&config), facts: vec![("model/params/total".into(), json!(7))] }
}

fn picture() -> Image {
    Image { width: 4, height: 3, rgb: (0..36).collect() }
}

/// Everything that a logger can be told, with a resume in between: what came after the checkpoint comes again.
fn tell_everything(make: &dyn Fn() -> Box<dyn Logger>, folder: &Path) {
    let figure = folder.join("figure.png");
    image::RgbImage::new(5, 6).save(&figure).unwrap();
    let file = folder.join("notes.md");
    std::fs::write(&file, "notes").unwrap();
    let checkpoint = folder.join("best.ckpt");
    std::fs::write(&checkpoint, "weights").unwrap();

    let mut first = make();
    first.params(&params()).unwrap();
    loss(first.as_mut(), 0..3);
    first.text(at(2), "remark", "# all is **well**").unwrap();
    first.image(at(2), "sample", &picture()).unwrap();
    first.flush().unwrap();
    let state = first.state();
    loss(first.as_mut(), 3..5);
    first.flush().unwrap();
    drop(first);
    let mut second = make();
    second.restore(&state).unwrap();
    second.params(&params()).unwrap();
    loss(second.as_mut(), 3..6);
    second.metrics(at(6), &[("odd".into(), f64::NAN)]).unwrap();
    second.artifact(at(6), "figure", &figure).unwrap();
    second.artifact(at(6), "notes.md", &file).unwrap();
    second.checkpoint(at(6), &checkpoint, Saved::Best).unwrap();
    second.finish(Status::Finished).unwrap();
}

#[test]
fn tensorboard_reads_scalars_texts_images_figures_and_hyper_parameters() {
    let dir = tempfile::tempdir().unwrap();
    let make = || {
        logger(
            json!({ "_target_": "lightning.pytorch.loggers.TensorBoardLogger", "save_dir": dir.path().join("tb").display().to_string(), "prefix": "" }),
        )
    };
    tell_everything(&make, dir.path());
    let program = r#"
import json, sys
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.plugins.hparams import plugin_data_pb2
events = EventAccumulator(sys.argv[1], size_guidance={"scalars": 0, "images": 0, "tensors": 0})
events.Reload()
def plugin(tag):
    data = plugin_data_pb2.HParamsPluginData()
    data.ParseFromString(events.SummaryMetadata(tag).plugin_data.content)
    return data
start, end, experiment = (plugin("_hparams_/" + name) for name in ("session_start_info", "session_end_info", "experiment"))
value = lambda v: getattr(v, v.WhichOneof("kind"))
print(json.dumps({
    "loss": [[event.step, event.value, event.wall_time] for event in events.Scalars("train/loss")],
    "epoch": [event.value for event in events.Scalars("epoch")],
    "odd": str(events.Scalars("odd")[0].value),
    "hp_metric": events.Scalars("hp_metric")[0].value,
    "images": {tag: [events.Images(tag)[0].width, events.Images(tag)[0].height] for tag in events.Tags()["images"]},
    "text": events.Tensors("remark/text_summary")[0].tensor_proto.string_val[0].decode(),
    "plugin": events.SummaryMetadata("remark/text_summary").plugin_data.plugin_name,
    "hparams": {key: value(entry) for key, entry in start.session_start_info.hparams.items()},
    "types": {info.name: info.type for info in experiment.experiment.hparam_infos},
    "status": end.session_end_info.status,
}))
"#;
    let folder = dir.path().join("tb/lightning_logs/version_0");
    let Some(read) = python::json_of(program, &[&folder.display().to_string()]) else { return };
    let losses: Vec<Value> = (0..6)
        .map(|step| json!([step, f64::from((1.0 / (step + 1) as f64) as f32), 1_700_000_000.0 + step as f64]))
        .collect();
    assert_eq!(read["loss"], json!(losses));
    assert_eq!(read["epoch"], json!([0.0, 0.0, 1.0, 1.0, 2.0, 2.0, 3.0]));
    assert_eq!((&read["odd"], &read["hp_metric"]), (&json!("nan"), &json!(-1.0)));
    assert_eq!(read["images"], json!({ "sample": [4, 3], "figure": [5, 6] }));
    assert_eq!((&read["text"], &read["plugin"]), (&json!("# all is **well**"), &json!("text")));
    let expected = json!({ "model/lr": 0.5, "model/name": "net", "model/sizes": "[1,2]", "deep": true, "model/params/total": 7.0 });
    assert_eq!(read["hparams"], expected);
    assert_eq!(read["types"]["deep"], 2);
    assert_eq!(read["status"], 1);
    assert!(!dir.path().join("tb/lightning_logs/version_1").exists(), "a resumed run goes on in its folder");
}

#[test]
fn wandb_reads_the_offline_run() {
    let dir = tempfile::tempdir().unwrap();
    let make = || {
        logger(json!({
            "_target_": "lightning.pytorch.loggers.WandbLogger", "save_dir": dir.path().display().to_string(),
            "offline": true, "project": "p", "name": "n", "group": "", "tags": ["a", "b"], "log_model": true,
        }))
    };
    tell_everything(&make, dir.path());
    let program = r#"
import glob, json, os, sys
from wandb.sdk.internal.datastore import DataStore
from wandb.proto import wandb_internal_pb2 as proto
folder = glob.glob(os.path.join(sys.argv[1], "wandb", "offline-run-*"))
assert len(folder) == 1, folder
path = glob.glob(os.path.join(folder[0], "run-*.wandb"))
store = DataStore()
store.open_for_scan(path[0])
records = []
while (data := store.scan_data()) is not None:
    record = proto.Record()
    record.ParseFromString(data)
    records.append(record)
of = lambda kind: [getattr(record, kind) for record in records if record.WhichOneof("record_type") == kind]
row = lambda history: {"/".join(item.nested_key): json.loads(item.value_json) for item in history.item}
run, artifact = of("run")[0], of("artifact")[0]
rows = [row(history) for history in of("history")]
files = [item.path for record in of("files") for item in record.files]
print(json.dumps({
    "kinds": [record.WhichOneof("record_type") for record in records][:5] + [records[-1].WhichOneof("record_type")],
    "numbers": [record.num for record in records] == list(range(1, len(records) + 1)),
    "run": [run.project, run.display_name, list(run.tags), run.run_id in path[0], run.run_group],
    "config": {item.key: json.loads(item.value_json) for item in run.config.update},
    "metrics": [[metric.name, metric.glob_name, metric.step_metric] for metric in of("metric")],
    "steps": [history.step.num for history in of("history")],
    "loss": [[r["trainer/global_step"], r["train/loss"]] for r in rows if "train/loss" in r],
    "odd": [str(r["odd"]) for r in rows if "odd" in r],
    "images": [[r[name + "/width"], r[name + "/height"], r[name + "/_type"]] for name in ("sample", "figure") for r in rows if name + "/width" in r],
    "files": sorted(path.split("/")[-1].split("_")[0] for path in files),
    "there": all(os.path.isfile(os.path.join(folder[0], "files", path)) for path in files),
    "summary": {"/".join(item.nested_key): item.value_json for item in of("summary")[-1].update}["train/loss"],
    "artifact": [artifact.type, list(artifact.aliases), artifact.manifest.contents[0].path, artifact.manifest.contents[0].size,
                 artifact.manifest.contents[0].digest, os.path.isfile(artifact.manifest.contents[0].local_path)],
    "exit": of("exit")[0].exit_code,
}))
"#;
    let Some(read) = python::json_of(program, &[&dir.path().display().to_string()]) else { return };
    assert_eq!(read["kinds"], json!(["header", "run", "metric", "metric", "history", "exit"]));
    assert_eq!((&read["numbers"], &read["there"]), (&json!(true), &json!(true)));
    assert_eq!(read["run"], json!(["p", "n", ["a", "b"], true, ""]));
    assert_eq!(read["config"]["model"], json!({ "lr": 0.5, "name": "net", "sizes": [1, 2] }));
    assert_eq!(read["metrics"], json!([["trainer/global_step", "", ""], ["", "*", "trainer/global_step"]]));
    assert_eq!(read["steps"], json!((0..10).collect::<Vec<_>>()));
    assert_eq!(read["loss"], json!((0..6).map(|step| json!([step, 1.0 / (step + 1) as f64])).collect::<Vec<_>>()));
    assert_eq!(read["odd"], json!(["nan"]));
    assert_eq!(read["images"], json!([[4, 3, "images/separated"], [5, 6, "images/separated"]]));
    assert_eq!(read["files"], json!(["figure", "notes.md", "remark", "sample"]));
    // MD5 of "weights".
    assert_eq!(
        read["artifact"],
        json!(["model", ["latest", "best"], "best.ckpt", 7, "Y/Tx6bclNw9FlyBXXNX5Uw==", true])
    );
    assert_eq!((&read["summary"], &read["exit"]), (&json!("0.16666666666666666"), &json!(0)));
}

/// Several epochs that log the learning rate at every step, and checkpoints in between.
const LOGGED: &str = "train logger=[csv,jsonl,tensorboard,wandb] trainer.log_every_n_steps=1 trainer.max_epochs=3 \
    model.net.channels=[4] data.batch_size=16 trainer.limit_train_batches=60 trainer.limit_val_batches=2 \
    trainer.val_check_interval=20 callbacks.early_stopping=null callbacks.model_checkpoint.monitor=null \
    callbacks.model_checkpoint.every_n_train_steps=7 trainer.enable_progress_bar=false \
    +callbacks.rate._target_=lightning.pytorch.callbacks.LearningRateMonitor +callbacks.rate.logging_interval=step";

/// What all four have of one series: a list of steps each, in the order of the files.
const STEPS: &str = r#"
import csv, glob, json, os, sys
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from wandb.sdk.internal.datastore import DataStore
from wandb.proto import wandb_internal_pb2 as proto
run = sys.argv[1]
with open(os.path.join(run, "csv/version_0/metrics.csv")) as file:
    table = list(csv.DictReader(file))
with open(os.path.join(run, "metrics.jsonl")) as file:
    lines = [json.loads(line) for line in file]
events = EventAccumulator(os.path.join(run, "tensorboard/version_0"), size_guidance={"scalars": 0, "images": 0, "tensors": 0})
events.Reload()
folders = glob.glob(os.path.join(run, "wandb", "offline-run-*"))
assert len(folders) == 1, folders
store = DataStore()
store.open_for_scan(glob.glob(os.path.join(folders[0], "run-*.wandb"))[0])
rows, exits = [], []
while (data := store.scan_data()) is not None:
    record = proto.Record()
    record.ParseFromString(data)
    if record.WhichOneof("record_type") == "history":
        rows.append({"/".join(item.nested_key): json.loads(item.value_json) for item in record.history.item})
    if record.WhichOneof("record_type") == "exit":
        exits.append(record.exit.exit_code)
def steps(name):
    return [
        [int(row["step"]) for row in table if row.get(name)],
        [line["step"] for line in lines if name in line],
        [event.step for event in events.Scalars(name)],
        [row["trainer/global_step"] for row in rows if name in row],
    ]
text = events.Tensors("test/per_class/text_summary")[0].tensor_proto.string_val[0].decode()
images = [[image.width > 100 for image in events.Images(tag)] for tag in sorted(events.Tags()["images"])]
shown = sorted({key.rsplit("/", 1)[0] for row in rows for key in row if key.endswith("/_type")})
print(json.dumps({"rate": steps("lr-AdamW"), "val": steps("val/loss"), "test": steps("test/loss"), "exits": exits,
                  "tags": sorted(events.Tags()["images"]), "images": images, "shown": shown, "text": text.splitlines()[0]}))
"#;

#[test]
fn killed_and_resumed_every_logger_has_every_point_once() {
    if python::python().is_none() {
        return;
    }
    let place = Place::new();
    let mut child =
        place.command(&format!("{LOGGED} test=false")).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    let started = Instant::now();
    let written = || place.runs("train").iter().any(|run| run.join("checkpoints/last.ckpt").exists());
    while child.try_wait().unwrap().is_none() && !written() {
        assert!(started.elapsed() < Duration::from_secs(120), "no checkpoint is written");
        std::thread::sleep(Duration::from_millis(1));
    }
    child.kill().unwrap();
    child.wait().unwrap();
    let run = place.only_run("train");
    // The test comes with the resumed run: what it draws is logged too.
    place.ok(&format!("resume {} test=true", run.display()));
    let read = python::json_of(STEPS, &[&run.display().to_string()]).unwrap();
    // The rate of a batch is told before its step: with the step to come.
    let once: Vec<u64> = (0..180).collect();
    assert_eq!(read["rate"], json!([once, once, once, once]));
    let validated: Vec<u64> = (1..=9).map(|n| n * 20 - 1).collect();
    assert_eq!(read["val"], json!([validated, validated, validated, validated]));
    assert_eq!((&read["test"], &read["exits"]), (&json!([[179], [179], [179], [179]]), &json!([0])));
    assert_eq!(read["tags"], json!(["test/confusion_matrix", "test/worst_predictions"]));
    assert_eq!(read["shown"], json!(["test/confusion_matrix", "test/per_class", "test/worst_predictions"]));
    assert_eq!(read["text"], "| class | samples | precision | recall | F1 |");
    assert_eq!(read["images"], json!([[true], [true]]));
}

#[test]
fn a_run_that_begins_with_another_runs_checkpoint_leaves_that_runs_files_alone() {
    let place = Place::new();
    let line = "train trainer.max_epochs=1 trainer.limit_train_batches=4 trainer.limit_val_batches=1 test=false \
        model.net.channels=[4] trainer.enable_progress_bar=false logger.csv.save_dir=shared logger.csv.name=csv";
    place.ok(line);
    let first = place.only_run("train").join("checkpoints/last.ckpt");
    place.ok(&format!("{line} ckpt_path={} trainer.max_epochs=2", first.display()));
    let rows = |version: &str| {
        let text = std::fs::read_to_string(place.path().join("shared/csv").join(version).join("metrics.csv")).unwrap();
        text.lines().skip(1).map(|line| line.split(',').next().unwrap().to_owned()).collect::<Vec<_>>()
    };
    assert!(rows("version_0").iter().all(|epoch| epoch == "0") && rows("version_1").iter().all(|epoch| epoch == "1"));
}

/// A server on a free port of this machine, killed when it is dropped.
struct Server {
    child: Child,
    uri: String,
}

impl Server {
    fn start(python: &Path, folder: &Path, port: u16) -> Self {
        let store = format!("sqlite:///{}", folder.join("mlflow.db").display());
        let log = std::fs::File::create(folder.join("server.log")).unwrap();
        let child = python::command(python)
            .args(["-m", "mlflow", "server", "--host", "127.0.0.1", "--workers", "1", "--port", &port.to_string()])
            .args(["--backend-store-uri", &store, "--artifacts-destination"])
            .arg(folder.join("artifacts"))
            .env("MLFLOW_SERVER_ENABLE_JOB_EXECUTION", "false")
            .stdout(Stdio::null())
            .stderr(log)
            .process_group(0)
            .spawn()
            .unwrap();
        let server = Server { child, uri: format!("http://127.0.0.1:{port}") };
        let started = Instant::now();
        while ureq::get(format!("{}/health", server.uri)).call().is_err() {
            let log = || std::fs::read_to_string(folder.join("server.log")).unwrap_or_default();
            assert!(started.elapsed() < Duration::from_secs(120), "the server does not start\n{}", log());
            std::thread::sleep(Duration::from_millis(100));
        }
        server
    }

    fn get(&self, call: &str) -> Value {
        let url = format!("{}/api/2.0/mlflow/{call}", self.uri);
        let text = ureq::get(url).call().unwrap().body_mut().read_to_string().unwrap();
        serde_json::from_str(&text).unwrap()
    }

    fn runs(&self, experiment: &str) -> Vec<Value> {
        let found = self.get(&format!("experiments/get-by-name?experiment_name={experiment}"));
        let id = found["experiment"]["experiment_id"].as_str().unwrap().to_owned();
        let url = format!("{}/api/2.0/mlflow/runs/search", self.uri);
        let body = json!({ "experiment_ids": [id], "max_results": 100 }).to_string();
        let text = ureq::post(url)
            .header("content-type", "application/json")
            .send(body)
            .unwrap()
            .body_mut()
            .read_to_string()
            .unwrap();
        serde_json::from_str::<Value>(&text).unwrap()["runs"].as_array().cloned().unwrap_or_default()
    }

    fn history(&self, run: &str, metric: &str) -> Vec<(u64, f64)> {
        let found = self.get(&format!("metrics/get-history?run_id={run}&metric_key={metric}&max_results=1000"));
        let mut points: Vec<(u64, f64)> = found["metrics"]
            .as_array()
            .into_iter()
            .flatten()
            .map(|point| (point["step"].as_u64().unwrap_or(0), point["value"].as_f64().unwrap_or(f64::NAN)))
            .collect();
        points.sort_by_key(|point| point.0);
        points
    }

    /// Ends the server and what it started.
    fn kill(&mut self) {
        // The server and its workers are one group of processes.
        let group = format!("-{}", self.child.id());
        let _ = std::process::Command::new("kill").args(["-KILL", "--", &group]).status();
        let _ = self.child.wait();
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.kill();
    }
}

fn free_port() -> u16 {
    std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

/// A run whose tracker is never there ends as any other, and says what to do.
fn a_run_whose_server_is_away(port: u16) -> Place {
    let place = Place::new();
    let call = place.ok(&format!(
        "train logger=mlflow logger.mlflow.tracking_uri=http://127.0.0.1:{port} logger.mlflow.experiment_name=never \
         trainer.max_epochs=1 model.net.channels=[4] trainer.enable_progress_bar=false"
    ));
    assert!(call.err.contains("is away") && call.err.contains("runner sync"), "{}", call.err);
    assert_eq!(read_json(&place.only_run("train").join("results.json"))["status"], "finished");
    assert!(place.run("sync outputs").err.contains("is away"));
    place
}

#[test]
fn mlflow_gets_everything_though_its_server_was_away() {
    let Some(python) = python::python() else { return };
    let dir = tempfile::tempdir().unwrap();
    let port = free_port();
    let away = a_run_whose_server_is_away(port);
    let mut server = Server::start(&python, dir.path(), port);
    assert_eq!(away.ok("sync outputs").out.matches("told: ").count(), 1);
    assert_eq!(away.ok("sync outputs").out.trim(), "nothing waits");
    let run = &server.runs("never")[0];
    assert_eq!(run["info"]["status"], "FINISHED");
    assert_eq!(server.history(run["info"]["run_id"].as_str().unwrap(), "val/loss").len(), 1);
    let make = || {
        logger(json!({
            "_target_": "lightning.pytorch.loggers.MLFlowLogger", "tracking_uri": format!("http://127.0.0.1:{port}"),
            "experiment_name": "away", "run_name": "n", "save_dir": dir.path().display().to_string(),
            "tags": { "who": "me", "count": 3 }, "log_model": true,
        }))
    };
    // The server dies after some points, and comes back only when all has been said.
    let mut early = make();
    early.params(&params()).unwrap();
    loss(early.as_mut(), 0..50);
    let started = Instant::now();
    while server.history_of_only_run("away").is_empty() && started.elapsed() < Duration::from_secs(30) {
        std::thread::sleep(Duration::from_millis(50));
    }
    server.kill();
    loss(early.as_mut(), 50..200);
    early.artifact(at(200), "deep/notes.txt", &write(dir.path(), "notes.txt", "notes")).unwrap();
    drop(server);
    let server = Server::start(&python, dir.path(), port);
    early.finish(Status::Failed).unwrap();
    let run = &server.runs("away")[0];
    let id = run["info"]["run_id"].as_str().unwrap();
    let expected: Vec<(u64, f64)> = (0..200).map(|step| (step, 1.0 / (step + 1) as f64)).collect();
    assert_eq!(server.history(id, "train/loss"), expected);
    assert_eq!((&run["info"]["status"], &run["info"]["run_name"]), (&json!("FAILED"), &json!("n")));
    let named = |list: &Value, name: &str| {
        let found = list.as_array().into_iter().flatten().find(|entry| entry["key"] == name);
        found.map(|entry| entry["value"].as_str().unwrap_or_default().to_owned())
    };
    assert_eq!(named(&run["data"]["params"], "model/lr").as_deref(), Some("0.5"));
    assert_eq!(named(&run["data"]["tags"], "count").as_deref(), Some("3"));
    let artifacts = server.get(&format!("artifacts/list?run_id={id}&path=deep"));
    assert_eq!(artifacts["files"][0]["path"], "deep/notes.txt");

    // A run of the program, and one that is resumed: every point once.
    let place = Place::new();
    place.ok(&format!(
        "train logger=mlflow logger.mlflow.tracking_uri={} logger.mlflow.experiment_name=digits trainer.max_epochs=2 \
         trainer.log_every_n_steps=5 model.net.channels=[8] trainer.enable_progress_bar=false",
        server.uri
    ));
    let folder = place.only_run("train");
    let steps: Vec<u64> = std::fs::read_to_string(folder.join("metrics.jsonl"))
        .unwrap()
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).unwrap())
        .filter(|row| row.get("val/loss").is_some())
        .map(|row| row["step"].as_u64().unwrap())
        .collect();
    let runs = server.runs("digits");
    assert_eq!((runs.len(), &runs[0]["info"]["status"]), (1, &json!("FINISHED")));
    let id = runs[0]["info"]["run_id"].as_str().unwrap();
    assert_eq!(server.history(id, "val/loss").iter().map(|point| point.0).collect::<Vec<_>>(), steps);
    assert_eq!(named(&runs[0]["data"]["params"], "trainer/max_epochs").as_deref(), Some("2"));
    let resumed = tempfile::tempdir().unwrap();
    let other = || {
        logger(json!({
            "_target_": "pytorch_lightning.loggers.MLFlowLogger", "tracking_uri": server.uri,
            "experiment_name": "all", "save_dir": resumed.path().display().to_string(), "log_model": true,
        }))
    };
    tell_everything(&other, resumed.path());
    let run = &server.runs("all")[0];
    let id = run["info"]["run_id"].as_str().unwrap();
    let expected: Vec<(u64, f64)> = (0..6).map(|step| (step, 1.0 / (step + 1) as f64)).collect();
    assert_eq!(server.history(id, "train/loss"), expected);
    assert!(server.history(id, "odd")[0].1.is_nan());
    let top = server.get(&format!("artifacts/list?run_id={id}"));
    let names: Vec<&str> = top["files"].as_array().unwrap().iter().filter_map(|file| file["path"].as_str()).collect();
    for name in ["figure", "model", "notes.md", "remark_2.txt", "sample_2_1.png"] {
        assert!(names.contains(&name), "{names:?}");
    }
}

impl Server {
    fn history_of_only_run(&self, experiment: &str) -> Vec<(u64, f64)> {
        let known =
            ureq::get(format!("{}/api/2.0/mlflow/experiments/get-by-name?experiment_name={experiment}", self.uri))
                .call();
        let runs = if known.is_ok() { self.runs(experiment) } else { Vec::new() };
        runs.first()
            .map_or_else(Vec::new, |run| self.history(run["info"]["run_id"].as_str().unwrap_or_default(), "train/loss"))
    }
}

fn write(folder: &Path, name: &str, text: &str) -> PathBuf {
    let path = folder.join(name);
    std::fs::write(&path, text).unwrap();
    path
}

#[test]
fn trackers_that_cannot_be_are_refused_before_anything_starts() {
    let place = Place::new();
    for (line, says) in [
        ("logger=wandb logger.wandb.offline=false", "wandb sync"),
        ("logger=mlflow logger.mlflow.tracking_uri=file:///tmp/mlruns", "is not an MLflow server"),
        ("logger=tensorboard logger.tensorboard.log_graph=true", "log_graph is not supported"),
    ] {
        let call = place.run(&format!("train {line}"));
        assert_eq!(call.code, 2, "{}", call.err);
        assert!(call.err.contains(says), "{}", call.err);
    }
    assert!(place.runs("train").is_empty());
}

#[test]
fn a_logger_that_cannot_write_does_not_stop_training() {
    let place = Place::new();
    place.write("taken", "a file where a folder is wanted");
    let call = place.ok("train trainer.fast_dev_run=false trainer.max_epochs=1 model.net.channels=[8] test=false logger.csv.save_dir=taken/csv trainer.enable_progress_bar=false");
    assert_eq!(call.err.matches("CSVLogger: cannot").count(), 2, "once in the middle, once at the end\n{}", call.err);
    assert_eq!(read_json(&place.only_run("train").join("results.json"))["status"], "finished");
}
