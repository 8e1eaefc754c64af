//! Weights to and from Python, with the real PyTorch where there is one: `RUNNER_PYTHON`, or `python3`. Without it the
//! test says so and passes; the formats themselves are tested byte by byte beside the code.

use std::path::Path;
use std::process::Command;

use indexmap::IndexMap;
use runner::checkpoint::{
    Checkpoint, KeyMap, LoadOptions, TorchFile, load_weights, read_weights, safetensors, write_pt,
};
use runner::native::grad;
use runner::optim::{OptimizerKind, ParamGroup, register};
use runner::registry::{Build, Registry, Slot};
use runner::tensor::State;
use serde_json::json;
use tch::{Device, Kind, Tensor};

fn python() -> String {
    std::env::var("RUNNER_PYTHON").unwrap_or_else(|_| "python3".into())
}

/// Runs a script with `folder` as its first argument; `None` when Python lacks one of the modules.
fn run(modules: &str, script: &str, folder: &Path) -> Option<String> {
    let found = Command::new(python()).args(["-c", &format!("import {modules}")]).output();
    if !found.is_ok_and(|output| output.status.success()) {
        println!("SKIPPED: `{}` has no {modules}; set RUNNER_PYTHON to one that has", python());
        return None;
    }
    let output = Command::new(python()).args(["-c", script]).arg(folder).output().unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    assert!(output.status.success(), "{}", text(&output.stderr));
    Some(text(&output.stdout))
}

fn weights() -> IndexMap<String, Tensor> {
    let cpu = |kind| (kind, Device::Cpu);
    let odd = Tensor::arange(6, cpu(Kind::Float)).view([2, 3]).transpose(0, 1);
    [
        ("layer1.0.weight", Tensor::arange(24, cpu(Kind::Float)).view([2, 3, 4]) / 7),
        ("bn.num_batches_tracked", Tensor::from(7i64)),
        ("flag", Tensor::from_slice(&[true, false])),
        ("half", Tensor::arange(3, cpu(Kind::Half)) / 3),
        ("bf16", Tensor::arange(3, cpu(Kind::BFloat16)) / 3),
        ("empty", Tensor::zeros([0, 3], cpu(Kind::Double))),
        ("transposed", odd),
    ]
    .map(|(name, tensor)| (name.to_owned(), tensor))
    .into()
}

/// What both sides say about a state dict: name, dtype, shape, sum of values times place.
const DESCRIBE: &str = r#"
import sys, torch
def describe(d):
    for k in sorted(d):
        v = d[k].double().flatten()
        s = float((v * (torch.arange(v.numel(), dtype=torch.float64) + 1)).sum())
        print(k, str(d[k].dtype)[6:], list(d[k].shape), f"{s:.9f}")
"#;

fn described(weights: &IndexMap<String, Tensor>) -> String {
    let mut lines: Vec<String> = weights
        .iter()
        .map(|(name, tensor)| {
            let kind = match tensor.kind() {
                Kind::Float => "float32",
                Kind::Double => "float64",
                Kind::Half => "float16",
                Kind::BFloat16 => "bfloat16",
                Kind::Int64 => "int64",
                Kind::Bool => "bool",
                other => panic!("{other:?}"),
            };
            let values = tensor.to_kind(Kind::Double).reshape([-1]);
            let places = Tensor::arange(values.size()[0], (Kind::Double, Device::Cpu)) + 1;
            let sum = (values * places).sum(Kind::Double).double_value(&[]);
            format!("{name} {kind} {:?} {sum:.9}\n", tensor.size())
        })
        .collect();
    lines.sort();
    lines.concat()
}

#[test]
fn python_reads_what_is_written() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    safetensors::write(&at("w.safetensors"), &weights(), IndexMap::new()).unwrap();
    let mut state = State::default();
    state.nest(
        "optimizer",
        State { tensors: [("state.0.step".to_owned(), Tensor::from(3f32))].into(), value: json!({}) },
    );
    Checkpoint { weights: weights(), state, info: [("config".to_owned(), "a: 1".to_owned())].into() }
        .write(&at("last.ckpt"))
        .unwrap();
    write_pt(&at("w.pt"), &weights(), None).unwrap();
    write_pt(&at("l.ckpt"), &weights(), Some(&json!({ "epoch": 3, "lr": 0.5, "names": ["a", null, true] }))).unwrap();
    let script = format!(
        r#"{DESCRIBE}
from safetensors.torch import load_file
from safetensors import safe_open
folder = sys.argv[1]
describe(load_file(folder + "/w.safetensors"))
d = load_file(folder + "/last.ckpt")
assert float(d.pop("runner/optimizer.state.0.step")) == 3
describe(d)
with safe_open(folder + "/last.ckpt", "pt") as f:
    assert f.metadata()["config"] == "a: 1" and f.metadata()["format"] == "pt"
describe(torch.load(folder + "/w.pt", weights_only=True))
d = torch.load(folder + "/l.ckpt", weights_only=True, mmap=True)
assert d["epoch"] == 3 and d["lr"] == 0.5 and d["names"] == ["a", None, True]
describe(d["state_dict"])
"#
    );
    if let Some(printed) = run("torch, safetensors.torch", &script, folder.path()) {
        assert_eq!(printed, described(&weights()).repeat(4));
    }
}

#[test]
fn what_python_writes_is_read() {
    let folder = tempfile::tempdir().unwrap();
    let script = format!(
        r#"{DESCRIBE}
import collections, argparse
folder = sys.argv[1]
base = torch.arange(24, dtype=torch.float32)
d = collections.OrderedDict()
d["whole"] = base.view(2, 3, 4)
d["shared"] = base[4:10]
d["strided"] = base.view(4, 6)[1:3, ::2]
d["transposed"] = base.view(4, 6).t()
d["expanded"] = torch.tensor([1.0, 2.0]).expand(3, 2)
d["channels_last"] = torch.arange(48, dtype=torch.float32).view(2, 2, 3, 4).contiguous(memory_format=torch.channels_last)
d["half"] = (torch.arange(5) / 3).half()
d["bf16"] = (torch.arange(5) / 3).bfloat16()
d["long"] = torch.tensor(-7)
d["bool"] = torch.tensor([True, False, True])
d["empty"] = torch.zeros(0, 3, dtype=torch.float64)
d["parameter"] = torch.nn.Parameter(torch.tensor([1.5, 2.5]))
torch.save(d, folder + "/new.pt")
torch.save(d, folder + "/old.pth", _use_new_zipfile_serialization=False)
net = torch.nn.Linear(2, 3)
net.load_state_dict({{"weight": torch.arange(6.0).view(3, 2), "bias": torch.ones(3)}})
adam = torch.optim.AdamW(net.parameters(), lr=0.1)
for _ in range(3):
    adam.zero_grad(); (net(torch.ones(1, 2)) ** 2).sum().backward(); adam.step()
wrapped = {{"module._orig_mod." + k: v.clone() for k, v in net.state_dict().items()}}
torch.save({{"state_dict": wrapped, "epoch": 2, "pytorch-lightning_version": "2.6.0",
    "hyper_parameters": {{"lr": 0.1}}, "callbacks": {{"c": argparse.Namespace(a=1)}},
    "optimizer_states": [adam.state_dict()]}}, folder + "/lightning.ckpt")
adam.zero_grad(); (net(torch.ones(1, 2)) ** 2).sum().backward()
torch.save({{"weight": net.weight.grad, "bias": net.bias.grad}}, folder + "/grads.pt")
adam.step()
torch.save(net.state_dict(), folder + "/after.pt")
torch.jit.script(net).save(folder + "/script.pt")
describe(d)
"#
    );
    let Some(printed) = run("torch", &script, folder.path()) else { return };
    let at = |name: &str| folder.path().join(name);
    assert_eq!(described(&read_weights(&at("new.pt"), None).unwrap()), printed);
    assert_eq!(described(&read_weights(&at("old.pth"), None).unwrap()), printed);
    let error = read_weights(&at("script.pt"), None).unwrap_err().to_string();
    assert!(error.contains("script.pt: it is a TorchScript model"), "{error}");

    // A network goes on where PyTorch's left off: weights, optimizer state, one more step.
    let file = TorchFile::open(&at("lightning.ckpt")).unwrap();
    assert_eq!(file.root().get("callbacks").unwrap().to_json(), json!({ "c": "<argparse.Namespace>" }));
    let network: IndexMap<String, Tensor> = [("weight", vec![3, 2]), ("bias", vec![3])]
        .map(|(name, shape)| {
            (name.to_owned(), Tensor::zeros(shape, (Kind::Float, Device::Cpu)).set_requires_grad(true))
        })
        .into();
    let options = LoadOptions { keys: KeyMap::unwrapped(), ..LoadOptions::default() };
    load_weights(&network, &file.state_dict(None).unwrap(), &options).unwrap();
    let mut registry = Registry::new();
    register(&mut registry);
    let node = runner::config::Node::program(runner::config::Map::from_iter([(
        "_target_".into(),
        runner::config::Node::program("torch.optim.AdamW"),
    )]));
    let slot = Slot::<OptimizerKind>::new(node, runner::config::KeyPath::root());
    let params = network.iter().map(|(name, tensor)| (name.clone(), tensor.shallow_clone())).collect();
    let group = ParamGroup { params, options: Vec::new() };
    let mut optimizer = Build::new(&registry).build(&slot).unwrap().make(vec![group]).unwrap();
    let saved = file.root().get("optimizer_states").unwrap().list().unwrap()[0];
    optimizer.restore(&file.optimizer_state(saved).unwrap()).unwrap();
    assert_eq!(optimizer.groups()[0].lr, 0.1);
    for (name, value) in read_weights(&at("grads.pt"), None).unwrap() {
        grad::set(&network[&name], &value).unwrap();
    }
    optimizer.step(None).unwrap();
    for (name, wanted) in read_weights(&at("after.pt"), None).unwrap() {
        let error = (&network[&name] - wanted).abs().max().double_value(&[]);
        assert!(error < 1e-6, "{name} is off by {error}");
    }
}
