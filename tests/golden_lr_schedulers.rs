//! Schedulers: rates, and momentum or beta1, before and after each of 60 steps.

#[path = "support/golden.rs"]
mod golden;

use golden::{Case, Got};
use indexmap::IndexMap;
use runner::error::Result;
use runner::optim::{GroupOptions, Horizon, Optimizer, OptimizerKind, ParamGroup, SchedulerKind, register};
use runner::registry::Registry;
use serde_json::Value;
use tch::{Device, Kind, Tensor};

#[test]
fn lr_schedulers() {
    let mut registry = Registry::new();
    register(&mut registry);
    golden::run_family("lr_schedulers", |case| {
        let whole = trace(case, &registry, None)?;
        // The same again with a restart from saved state in the middle.
        let resumed = trace(case, &registry, Some(23))?;
        assert_eq!(format!("{whole:?}"), format!("{resumed:?}"), "{}: resumed", case.id);
        Ok(whole)
    });
}

fn optimizer(case: &Case, registry: &Registry) -> Result<Box<dyn Optimizer>> {
    let target = case.inputs["optimizer"].as_str().unwrap_or("torch.optim.SGD");
    let spec = golden::component::<OptimizerKind>(registry, target, &case.inputs["optimizer_args"])?;
    let rates = case.inputs["lrs"].as_array().into_iter().flatten().enumerate();
    let groups = rates.map(|(i, lr)| {
        let param = Tensor::zeros([1], (Kind::Float, Device::Cpu)).set_requires_grad(true);
        ParamGroup { params: vec![(format!("p{i}"), param)], options: vec![("lr".to_owned(), lr.clone())] }
    });
    spec.make(groups.collect())
}

/// The case's rates. With `resume`, optimizer and scheduler are made anew after so many steps, from saved state.
fn trace(case: &Case, registry: &Registry, resume: Option<u64>) -> Result<Got> {
    let steps = case.inputs["steps"].as_u64().unwrap_or(0);
    let mut optimizer_now = optimizer(case, registry)?;
    let spec = golden::component::<SchedulerKind>(registry, &case.target, &case.args)?;
    let mut scheduler = spec.make(optimizer_now.as_mut(), Horizon::default())?;
    let mut trace: Vec<Vec<GroupOptions>> = vec![optimizer_now.groups().to_vec()];
    for step in 0..steps {
        if resume == Some(step) {
            let saved = (optimizer_now.state(), scheduler.state());
            optimizer_now = optimizer(case, registry)?;
            scheduler = spec.make(optimizer_now.as_mut(), Horizon::default())?;
            optimizer_now.restore(&saved.0)?;
            scheduler.restore(&saved.1)?;
        }
        let metric = golden::number(&case.inputs["metrics"][step as usize]);
        scheduler.step(optimizer_now.as_mut(), metric)?;
        trace.push(optimizer_now.groups().to_vec());
    }
    let column = |read: &dyn Fn(&GroupOptions) -> f64| {
        let groups = trace[0].len();
        let group = |g: usize| Got::List(trace.iter().map(|options| read(&options[g]).into()).collect());
        Got::List((0..groups).map(group).collect())
    };
    let mut got = IndexMap::from([("lr".to_owned(), column(&|group| group.lr))]);
    for name in ["momentum", "beta1"] {
        if case.expected.get(name).is_some_and(Value::is_array) {
            got.insert(name.to_owned(), column(&|group| group.momentum.unwrap_or(f64::NAN)));
        }
    }
    Ok(Got::Map(got))
}
