//! Optimizers: parameters after 4, 8 and 12 steps; clipped gradients.

#[path = "support/golden.rs"]
mod golden;

use golden::{Case, Got};
use indexmap::IndexMap;
use runner::error::{Error, Result};
use runner::native::grad;
use runner::optim::{OptimizerKind, ParamGroup, clip_grad_norm_of, clip_grad_value, register};
use runner::registry::Registry;
use serde_json::Value;
use tch::Tensor;

#[test]
fn optimizers() {
    tch::set_num_threads(1);
    let mut registry = Registry::new();
    register(&mut registry);
    golden::run_family("optimizers", |case| match case.target.as_str() {
        target if target.ends_with("clip_grad_norm_") => clip(case, |params| {
            let argument = |name: &str| golden::number(&case.args[name]);
            let norm_type = argument("norm_type").unwrap_or(2.0);
            let max_norm = argument("max_norm").ok_or_else(|| Error::failed("no max_norm"))?;
            clip_grad_norm_of(params, max_norm, norm_type, case.args["error_if_nonfinite"] == true).map(Some)
        }),
        target if target.ends_with("clip_grad_value_") => clip(case, |params| {
            let value = golden::number(&case.args["clip_value"]).ok_or_else(|| Error::failed("no clip_value"))?;
            clip_grad_value(params, value).map(|()| None)
        }),
        _ => {
            let whole = steps(case, &registry, None)?;
            // The same again, resumed from saved state in the middle, must be equal to the last bit.
            let resumed = steps(case, &registry, Some(6))?;
            assert_eq!(bits(&whole), bits(&resumed), "{}: resumed", case.id);
            Ok(whole)
        }
    });
}

/// Named tensors of a JSON object, `null` left out.
fn tensors(json: &Value) -> Result<IndexMap<String, Tensor>> {
    let entries = json.as_object().into_iter().flatten().filter(|(_, value)| !value.is_null());
    entries.map(|(name, value)| Ok((name.clone(), golden::tensor(value)?))).collect()
}

fn copies<'a>(tensors: impl IntoIterator<Item = (&'a String, Tensor)>) -> Got {
    Got::Map(tensors.into_iter().map(|(name, tensor)| (name.clone(), tensor.detach().copy().into())).collect())
}

fn clip(case: &Case, clip: impl FnOnce(Vec<&Tensor>) -> Result<Option<Tensor>>) -> Result<Got> {
    let mut params = tensors(&case.inputs["grads"])?;
    for tensor in params.values_mut() {
        let param = tensor.zeros_like().set_requires_grad(true);
        grad::set(&param, tensor)?;
        *tensor = param;
    }
    let norm = clip(params.values().collect())?;
    let mut got = IndexMap::from([("grads".to_owned(), copies(params.iter().map(|(name, p)| (name, p.grad()))))]);
    got.extend(norm.map(|norm| ("total_norm".to_owned(), norm.into())));
    Ok(Got::Map(got))
}

/// All numbers of a result, exactly.
fn bits(got: &Got) -> Vec<f64> {
    match got {
        Got::Map(map) => map.values().flat_map(bits).collect(),
        Got::Tensor(tensor) => Vec::try_from(tensor.to_kind(tch::Kind::Double).view(-1)).unwrap_or_default(),
        _ => Vec::new(),
    }
}

/// Groups of a case's parameters with their own options.
fn groups(case: &Case, params: &IndexMap<String, Tensor>) -> Vec<ParamGroup> {
    let groups = case.inputs["param_groups"].as_array().into_iter().flatten().map(|group| {
        let names = group["params"].as_array().into_iter().flatten().filter_map(Value::as_str);
        let options = group.as_object().into_iter().flatten().filter(|(name, _)| *name != "params");
        ParamGroup {
            params: names.map(|name| (name.to_owned(), params[name].shallow_clone())).collect(),
            options: options.map(|(name, value)| (name.clone(), value.clone())).collect(),
        }
    });
    groups.collect()
}

/// The parameters after the steps that are asked for. With `resume`, the optimizer is made anew after so many steps.
fn steps(case: &Case, registry: &Registry, resume: Option<usize>) -> Result<Got> {
    let spec = golden::component::<OptimizerKind>(registry, &case.target, &case.args)?;
    let mut params = tensors(&case.inputs["init"])?;
    for tensor in params.values_mut() {
        *tensor = tensor.set_requires_grad(true);
    }
    let mut optimizer = spec.make(groups(case, &params))?;
    let mut after = IndexMap::new();
    for (i, grads) in case.inputs["grads"].as_array().into_iter().flatten().enumerate() {
        let step = (i + 1).to_string();
        if resume == Some(i) {
            let mut saved = optimizer.state();
            for tensor in saved.tensors.values_mut() {
                *tensor = tensor.copy();
            }
            optimizer = spec.make(groups(case, &params))?;
            optimizer.restore(&saved)?;
        }
        if let Some(lr) = golden::number(&case.inputs["lr_at"][&step]) {
            optimizer.groups_mut().iter_mut().for_each(|group| group.lr = lr);
        }
        optimizer.zero_grad();
        for (name, value) in tensors(grads)? {
            grad::set(&params[&name], &value)?;
        }
        optimizer.step(None)?;
        if case.expected["after"].get(&step).is_some() {
            after.insert(step, copies(params.iter().map(|(name, p)| (name, p.shallow_clone()))));
        }
    }
    Ok(golden::map([("after", Got::Map(after))]))
}
