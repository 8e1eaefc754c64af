//! Times optimizer steps on ResNet-50's parameters: `optimizer_step TARGET STEPS` prints the milliseconds of each
//! step as a JSON list. `scripts/bench optimizer` runs it beside PyTorch.

use std::time::Instant;

use runner::error::{Error, Result};
use runner::native::grad;
use runner::nn::{Net, NetSpec, Params};
use runner::optim::{OptimizerKind, ParamGroup};
use runner::prelude::*;
use serde_json::json;
use tch::Device;

fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [target, steps] = arguments.as_slice() else {
        return Err(Error::request("give an optimizer and a number of steps: optimizer_step torch.optim.AdamW 30"));
    };
    let steps: usize = steps.parse().map_err(|_| Error::request("the number of steps is a whole number"))?;
    let mut registry = Registry::new();
    runner::nn::register(&mut registry);
    runner::optim::register(&mut registry);
    let params = Params::new(Device::Cpu);
    let net: NetSpec = Build::new(&registry).build(&slot::<Net>("torchvision.models.resnet50"))?;
    net.make(&params.root())?;
    let spec = Build::new(&registry).build(&slot::<OptimizerKind>(target))?;
    let parameters = params.parameters();
    for (_, parameter) in &parameters {
        grad::set(parameter, &(parameter.randn_like() * 1e-3))?;
    }
    let mut optimizer = spec.make(vec![ParamGroup { params: parameters, options: Vec::new() }])?;
    let mut times = Vec::with_capacity(steps);
    for step in 0..steps + 5 {
        let start = Instant::now();
        optimizer.step(None)?;
        if step >= 5 {
            times.push(start.elapsed().as_secs_f64() * 1e3);
        }
    }
    println!("{}", json!(times));
    Ok(())
}

/// A component with its default arguments; SGD with momentum, which is what training uses.
fn slot<K: Kind>(target: &str) -> Slot<K> {
    use runner::config::{KeyPath, Map, Node, Value};
    let mut entries = Map::new();
    entries.insert("_target_".into(), Node::program(target));
    if target == "torch.optim.SGD" {
        entries.insert("momentum".into(), Node::program(Value::from(0.9)));
    }
    Slot::new(Node::program(entries), KeyPath::root().key("bench"))
}
