//! Networks with name-seeded weights, shared by the families that run whole models.
#![allow(dead_code, reason = "every family uses another part")]

use indexmap::IndexMap;
use runner::error::{Error, Result};
use runner::nn::{EntryKind, Module, Net, NetSpec, Params};
use runner::registry::Registry;
use serde_json::Value;
use tch::{Device, Kind, Tensor};

use super::golden::{self, Case, Got};

/// A network made through the registry, with its parameters.
pub struct Network {
    pub net: Box<dyn Module>,
    pub params: Params,
}

/// Every network component.
pub fn registry() -> Registry {
    let mut registry = Registry::new();
    runner::nn::register(&mut registry);
    registry
}

/// Builds `target` from `args` through the registry and makes it.
pub fn make(registry: &Registry, target: &str, args: &Value) -> Result<Network> {
    let spec: NetSpec = golden::component::<Net>(registry, target, args)?;
    let params = Params::new(Device::Cpu);
    let net = spec.make(&params.root())?;
    Ok(Network { net, params })
}

/// Gives every entry the value that the case's `weights` scheme says.
pub fn seed_weights(params: &Params, case: &Case) -> Result<()> {
    let weights = &case.inputs["weights"];
    if weights["scheme"] != "name-seeded/1" {
        return Err(Error::failed(format!("weights scheme {}", weights["scheme"])));
    }
    let salt = weights["salt"].as_str().unwrap_or_default();
    let gain = golden::number(&weights["gain"]).ok_or_else(|| Error::failed("weights without gain"))?;
    for (name, tensor) in params.state_dict() {
        if let Some(value) = golden::weight(&name, &tensor.size(), tensor.kind(), salt, gain) {
            tch::no_grad(|| tensor.shallow_clone().copy_(&value));
        }
    }
    Ok(())
}

/// Names and shapes in order, as `[[name, [shape]], …]`.
pub fn state_dict(params: &Params) -> Got {
    let entries = params.state_dict().into_iter().map(|(name, tensor)| {
        Got::List(vec![name.into(), Got::List(tensor.size().into_iter().map(Got::from).collect())])
    });
    Got::List(entries.collect())
}

/// Elements of all parameters.
pub fn parameter_count(params: &Params) -> Got {
    Got::from(params.parameters().iter().map(|(_, tensor)| tensor.numel() as i64).sum::<i64>())
}

/// Elements of the parameters that require a gradient.
pub fn trainable_count(params: &Params) -> Got {
    let parameters = params.parameters();
    // How many tensors, as the reference counts them.
    Got::from(parameters.iter().filter(|(_, tensor)| tensor.requires_grad()).count() as i64)
}

/// The sum of the absolute gradient of every parameter that has one.
pub fn gradient_sums(params: &Params) -> Got {
    let parameters = params.parameters().into_iter().filter(|(_, tensor)| tensor.grad().defined());
    Got::Map(parameters.map(|(name, tensor)| (name, sum(&tensor.grad().abs()).into())).collect())
}

/// The sum of every running mean and variance.
pub fn running_sums(params: &Params) -> Got {
    let entries = params.entries();
    let running = entries.iter().filter(|(name, entry)| {
        entry.kind == EntryKind::Buffer && (name.ends_with("running_mean") || name.ends_with("running_var"))
    });
    Got::Map(running.map(|(name, entry)| (name.clone(), sum(&entry.tensor).into())).collect())
}

/// The sum in double precision.
pub fn sum(tensor: &Tensor) -> f64 {
    tensor.to_kind(Kind::Double).sum(Kind::Double).double_value(&[])
}

/// Mean, population deviation, largest magnitude and kurtosis of a tensor's elements.
pub fn statistics(tensor: &Tensor) -> Got {
    let x = tensor.detach().to_kind(Kind::Double).flatten(0, -1);
    let mean = x.mean(Kind::Double);
    let centred = &x - &mean;
    let moment = |power: f64| centred.pow_tensor_scalar(power).mean(Kind::Double).double_value(&[]);
    let std = moment(2.0).sqrt();
    golden::map([
        ("count", (x.numel()).into()),
        ("mean", mean.double_value(&[]).into()),
        ("std", std.into()),
        ("max_abs", x.abs().max().double_value(&[]).into()),
        ("kurtosis", (moment(4.0) / std.powi(4)).into()),
    ])
}

/// A mapping from names.
pub fn map_of(entries: impl IntoIterator<Item = (String, Got)>) -> Got {
    Got::Map(entries.into_iter().collect::<IndexMap<_, _>>())
}
