//! Metrics: what a fresh one gives after the first batch, and what it gives after all of them.

#[path = "support/golden.rs"]
mod golden;

use golden::{Case, Got};
use runner::error::{Error, Result};
use runner::metrics::{Boxes, Metric, MetricKind, Update, Value, register};
use runner::registry::Registry;
use serde_json::Value as Json;

/// One `update(**batch)`.
fn update(metric: &mut dyn Metric, batch: &Json) -> Result<()> {
    let tensor = |name: &str| batch.get(name).map(golden::tensor).transpose();
    if let Some(value) = tensor("value")? {
        let weight = tensor("weight")?;
        return metric.update(&Update::Value { value: &value, weight: weight.as_ref() });
    }
    if batch["preds"].is_array() {
        let (preds, target) = (boxes(&batch["preds"])?, boxes(&batch["target"])?);
        return metric.update(&Update::Boxes { preds: &preds, target: &target });
    }
    let missing = || Error::failed("a batch without predictions and targets");
    let (preds, target) = (tensor("preds")?.ok_or_else(missing)?, tensor("target")?.ok_or_else(missing)?);
    metric.update(&Update::Pair { preds: &preds, target: &target })
}

fn boxes(images: &Json) -> Result<Vec<Boxes>> {
    let images = images.as_array().map(Vec::as_slice).unwrap_or_default();
    let read = |image: &Json| {
        Ok(Boxes {
            boxes: golden::tensor(&image["boxes"])?,
            labels: golden::tensor(&image["labels"])?,
            scores: image.get("scores").map(golden::tensor).transpose()?,
            iscrowd: image.get("iscrowd").map(golden::tensor).transpose()?,
            area: image.get("area").map(golden::tensor).transpose()?,
        })
    };
    images.iter().map(read).collect()
}

fn got(value: Value) -> Got {
    match value {
        Value::Tensor(tensor) => tensor.into(),
        Value::Map(map) => Got::Map(map.into_iter().map(|(key, value)| (key, got(value))).collect()),
    }
}

/// The same values from a metric that was reset, and from one that took over the state half way.
fn again(case: &Case, registry: &Registry, metric: &mut dyn Metric, batches: &[Json]) -> Result<Got> {
    metric.reset();
    let (first, rest) = batches.split_at(1);
    update(metric, &first[0])?;
    let state = metric.state().into_iter().map(|(name, tensor, _)| (name, tensor)).collect();
    let mut other = golden::component::<MetricKind>(registry, &case.target, &case.args)?;
    other.restore(&state)?;
    rest.iter().try_for_each(|batch| update(other.as_mut(), batch))?;
    Ok(got(other.compute()?))
}

fn as_expected(case: &Case, key: &str, got: &Got) -> Result<()> {
    golden::compare(&case.expected[key], got, &case.tolerance, key).map_err(Error::failed)
}

#[test]
fn metrics() {
    tch::set_num_threads(1);
    let mut registry = Registry::new();
    register(&mut registry);
    golden::check_family("metrics", |case| {
        let mut metric = golden::component::<MetricKind>(&registry, &case.target, &case.args)?;
        let batches = case.inputs["batches"].as_array().map(Vec::as_slice).unwrap_or_default();
        for (i, batch) in batches.iter().enumerate() {
            update(metric.as_mut(), batch)?;
            if i == 0 && case.expected.get("compute_first").is_some() {
                as_expected(case, "compute_first", &got(metric.compute()?))?;
            }
        }
        if case.expected.get("compute").is_none() {
            return golden::compare(&case.expected, &got(metric.compute()?), &case.tolerance, "")
                .map_err(Error::failed);
        }
        as_expected(case, "compute", &got(metric.compute()?))?;
        as_expected(case, "compute", &again(case, &registry, metric.as_mut(), batches)?)
    });
}
