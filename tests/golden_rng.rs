//! Draws of torch's generator under a seed, and the data orders that follow from them.

#[path = "support/golden.rs"]
mod golden;
#[path = "support/network.rs"]
mod network;

use golden::{Case, Got};
use runner::error::{Error, Result};
use runner::registry::Registry;
use serde_json::Value;
use tch::{Device, Kind, Tensor};

#[test]
fn rng() {
    tch::set_num_threads(1);
    let registry = network::registry();
    golden::run_family("rng", |case| {
        tch::manual_seed(case.inputs["manual_seed"].as_i64().ok_or_else(|| Error::failed("no manual_seed"))?);
        Ok(golden::map([("out", out(&registry, case)?)]))
    });
}

fn out(registry: &Registry, case: &Case) -> Result<Got> {
    if let Some(layer) = ["torch.nn.", "torchvision.models."].iter().find(|start| case.target.starts_with(*start))
        && !case.target.contains("functional")
    {
        let _ = layer;
        return initial(registry, case);
    }
    if let Some(name) = case.target.strip_prefix("torch.utils.data.") {
        return order::out(case, name);
    }
    draw(case)
}

// ---------------------------------------------------------------- draws

fn float(case: &Case, name: &str) -> Result<f64> {
    golden::number(&case.args[name]).ok_or_else(|| Error::failed(format!("no argument {name}")))
}

fn int(case: &Case, name: &str) -> Result<i64> {
    case.args[name].as_i64().ok_or_else(|| Error::failed(format!("no argument {name}")))
}

fn size(case: &Case) -> Result<Vec<i64>> {
    let list = case.args["size"].as_array().map(|list| list.iter().map(Value::as_i64).collect::<Option<Vec<_>>>());
    list.flatten().ok_or_else(|| Error::failed("no size"))
}

fn floats(json: &Value) -> Result<Vec<f64>> {
    let list = json.as_array().map(|list| list.iter().map(golden::number).collect::<Option<Vec<_>>>());
    list.flatten().ok_or_else(|| Error::failed(format!("not a list of numbers: {json}")))
}

fn draw(case: &Case) -> Result<Got> {
    let kind = case.args["dtype"].as_str().map_or(Ok(Kind::Float), golden::dtype)?;
    let (integers, numbers) = ((Kind::Int64, Device::Cpu), (kind, Device::Cpu));
    let empty = || size(case).map(|size| Tensor::empty(size, numbers));
    // A list in `expected` is one draw after the other.
    let draws = case.expected["out"].as_array();
    Ok(match case.target.as_str() {
        "torch.randperm" => {
            let n = int(case, "n")?;
            match draws {
                Some(list) => list.iter().map(|_| Tensor::randperm(n, integers)).collect::<Vec<_>>().into(),
                None => Tensor::randperm(n, integers).into(),
            }
        }
        "torch.rand" => Tensor::rand(size(case)?, numbers).into(),
        "torch.randn" => match draws {
            // As the case's id says: normal numbers, uniform ones, normal ones.
            Some(list) => {
                let mut drawn = Vec::new();
                for (index, want) in list.iter().enumerate() {
                    let size = golden::tensor(want)?.size();
                    drawn.push(if index % 2 == 0 { Tensor::randn(size, numbers) } else { Tensor::rand(size, numbers) });
                }
                drawn.into()
            }
            None => Tensor::randn(size(case)?, numbers).into(),
        },
        "torch.randint" => Tensor::randint_low(int(case, "low")?, int(case, "high")?, size(case)?, integers).into(),
        "torch.Tensor.uniform_" => empty()?.uniform_(float(case, "a")?, float(case, "b")?).into(),
        "torch.Tensor.normal_" => empty()?.normal_(float(case, "mean")?, float(case, "std")?).into(),
        "torch.Tensor.exponential_" => empty()?.exponential_(float(case, "lambd")?).into(),
        "torch.multinomial" => {
            let weights = Tensor::from_slice(&floats(&case.args["weights"])?).to_kind(kind);
            weights.multinomial(int(case, "num_samples")?, case.args["replacement"] == true).into()
        }
        "torch.bernoulli" => Tensor::full(size(case)?, float(case, "p")?, numbers).bernoulli().into(),
        "torch.nn.functional.dropout" => Tensor::ones(size(case)?, numbers).dropout(float(case, "p")?, true).into(),
        other => return Err(Error::failed(format!("no draw `{other}`"))),
    })
}

// ---------------------------------------------------------------- initial weights

fn initial(registry: &Registry, case: &Case) -> Result<Got> {
    let mut args = case.args.clone();
    let first = args.as_object_mut().and_then(|args| args.remove("first")).and_then(|first| first.as_i64());
    let params = network::make(registry, &case.target, &args)?.params;
    let dict = params.state_dict();
    let Value::Object(wanted) = &case.expected["out"] else { return Err(Error::failed("no expected weights")) };
    let mut got = Vec::new();
    for name in wanted.keys() {
        let tensor = dict.get(name).ok_or_else(|| Error::failed(format!("no {name}")))?;
        let tensor = tensor.detach();
        let value = match first {
            Some(count) => tensor.flatten(0, -1).narrow(0, 0, count),
            None => tensor,
        };
        got.push((name.clone(), Got::from(value)));
    }
    Ok(network::map_of(got))
}

// ---------------------------------------------------------------- data order

mod order {
    use super::*;
    use runner::data::torch_order::{
        DistributedSampler, RandomSampler, Source, loader_epoch, random_split, subset_random, weighted_random,
    };

    fn source(case: &Case) -> Result<Source> {
        case.args["generator_seed"].as_u64().map_or(Ok(Source::Default), Source::seeded)
    }

    fn count(case: &Case, name: &str) -> Option<usize> {
        case.args[name].as_u64().map(|count| count as usize)
    }

    fn got(order: Vec<usize>) -> Got {
        order.into()
    }

    fn list<T>(lists: Vec<T>, each: impl Fn(T) -> Got) -> Got {
        Got::List(lists.into_iter().map(each).collect())
    }

    pub fn out(case: &Case, name: &str) -> Result<Got> {
        let length = || count(case, "length").ok_or_else(|| Error::failed("no length"));
        let source = &mut source(case)?;
        let flag = |name: &str, default: bool| case.args[name].as_bool().unwrap_or(default);
        let sampler = || {
            let samples = length()?;
            let replacement = flag("replacement", false);
            Ok::<_, Error>(RandomSampler { samples, replacement, count: count(case, "num_samples").unwrap_or(samples) })
        };
        let epochs = count(case, "epochs");
        Ok(match name {
            "random_split" => list(random_split(length()?, &floats(&case.args["lengths"])?, source)?, got),
            "DataLoader" => {
                let (batch, sampler) = (count(case, "batch_size").unwrap_or(1), sampler()?);
                let epochs = (0..epochs.unwrap_or(1))
                    .map(|_| loader_epoch(&sampler, batch, flag("drop_last", false), source))
                    .collect::<Result<Vec<_>>>()?;
                list(epochs, |batches| list(batches, got))
            }
            "RandomSampler" => match epochs {
                None => got(sampler()?.epoch(source)?),
                Some(epochs) => {
                    let sampler = sampler()?;
                    list((0..epochs).map(|_| sampler.epoch(source)).collect::<Result<Vec<_>>>()?, got)
                }
            },
            "SubsetRandomSampler" => {
                let subset: Vec<usize> = floats(&case.args["indices"])?.into_iter().map(|i| i as usize).collect();
                got(subset_random(&subset, source)?)
            }
            "WeightedRandomSampler" => {
                let weights = floats(&case.args["weights"])?;
                let drawn = count(case, "num_samples").ok_or_else(|| Error::failed("no num_samples"))?;
                got(weighted_random(&weights, drawn, flag("replacement", true), source)?)
            }
            "DistributedSampler" => {
                let sampler = DistributedSampler {
                    samples: length()?,
                    replicas: count(case, "num_replicas").ok_or_else(|| Error::failed("no num_replicas"))?,
                    shuffle: flag("shuffle", true),
                    seed: case.args["seed"].as_u64().unwrap_or(0),
                    drop_last: flag("drop_last", false),
                };
                let epoch = case.args["epoch"].as_u64().unwrap_or(0);
                let shares = (0..sampler.replicas).map(|rank| sampler.epoch(rank, epoch));
                list(shares.collect::<Result<Vec<_>>>()?, got)
            }
            other => return Err(Error::failed(format!("no order `{other}`"))),
        })
    }
}
