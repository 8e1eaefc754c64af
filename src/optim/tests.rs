//! What the golden cases do not reach: errors, saved state, mixed precision, configs.

use serde_json::{Value, json};
use tch::{Device, Kind, Tensor};

use super::*;
use crate::config::{KeyPath, Map, Node};
use crate::native::grad;
use crate::registry::{Build, KindInfo, Registry, Slot, SlotRef};

fn registry() -> Registry {
    let mut registry = Registry::new();
    register(&mut registry);
    registry
}

/// JSON as config.
fn node(json: Value) -> Node {
    match json {
        Value::Null => Node::program(crate::config::Value::Null),
        Value::Bool(b) => Node::program(b),
        Value::Number(n) => n.as_i64().map_or_else(|| Node::program(n.as_f64().unwrap()), Node::program),
        Value::String(text) => Node::program(text),
        Value::Array(list) => Node::program(list.into_iter().map(node).collect::<Vec<_>>()),
        Value::Object(map) => {
            Node::program(map.into_iter().map(|(key, value)| (key.as_str().into(), node(value))).collect::<Map>())
        }
    }
}

fn build<K: Kind_>(json: Value) -> Result<K::Built> {
    Build::new(&registry()).build(&Slot::<K>::new(node(json), KeyPath::root()))
}
use crate::registry::Kind as Kind_;

fn problems<K: Kind_>(json: Value) -> Vec<String> {
    let slot = SlotRef { node: node(json), path: KeyPath::root().key("x"), kind: KindInfo::of::<K>() };
    registry().check(&slot).0.0.iter().map(|problem| format!("{} @ {}", problem.message, problem.path)).collect()
}

fn param(values: &[f32]) -> Tensor {
    Tensor::from_slice(values).set_requires_grad(true)
}

fn group(names: &[&str], options: &[(&str, Value)]) -> ParamGroup {
    ParamGroup {
        params: names.iter().map(|name| ((*name).to_owned(), param(&[1.0, -2.0]))).collect(),
        options: options.iter().map(|(name, value)| ((*name).to_owned(), value.clone())).collect(),
    }
}

fn make(target: &str, args: Value, groups: Vec<ParamGroup>) -> Result<Box<dyn Optimizer>> {
    let mut args = args;
    args["_target_"] = format!("torch.optim.{target}").into();
    build::<OptimizerKind>(args)?.make(groups)
}

fn set_grads(optimizer: &dyn Optimizer, values: &[f32]) {
    for (_, param) in optimizer.params().iter().flat_map(|group| group.iter()) {
        grad::set(param, &Tensor::from_slice(values)).unwrap();
    }
}

fn values(optimizer: &dyn Optimizer) -> Vec<f32> {
    Vec::try_from(optimizer.params()[0][0].1.detach()).unwrap()
}

#[test]
fn groups_have_options_of_their_own() {
    let options = [("lr_scale", json!(0.1)), ("weight_decay", json!(0)), ("betas", json!([0.5, 0.6]))];
    let groups = vec![group(&["a"], &[]), group(&["b"], &options)];
    let adam = make("AdamW", json!({ "lr": 0.5 }), groups).unwrap();
    let shown: Vec<_> = adam.groups().iter().map(|g| (g.lr, g.weight_decay, g.momentum)).collect();
    assert_eq!(shown, [(0.5, 0.01, Some(0.9)), (0.05, 0.0, Some(0.5))]);

    for (options, message) in [
        ([("lrr", json!(1))], "AdamW has no option `lrr` for a group of parameters; did you mean `lr`?"),
        (
            [("lr", json!(-1))],
            "an option of AdamW for a group of parameters: invalid value: floating point `-1.0`, expected a number of 0 or above",
        ),
        (
            [("betas", json!([0.9, 1.0]))],
            "an option of AdamW for a group of parameters: invalid value: floating point `1.0`, expected a number from 0 to below 1",
        ),
        ([("lr_scale", json!("a"))], "`lr_scale` of a group of parameters is a number of 0 or above"),
    ] {
        let error = make("AdamW", json!({}), vec![group(&["a"], &options)]).err().unwrap().to_string();
        assert_eq!(error, message);
    }
    let error = make("SGD", json!({}), vec![group(&["a"], &[]), group(&["a"], &[])]).err().unwrap().to_string();
    assert_eq!(error, "the parameter `a` is given to the optimizer twice");
}

#[test]
fn arguments_are_checked() {
    let optimizer = |args: Value| problems::<OptimizerKind>(args);
    assert_eq!(
        optimizer(json!({ "_target_": "torch.optim.SGD", "lr": -1, "nesterov": true, "fused": true })),
        ["expected a number of 0 or above, found -1.0 @ x.lr"]
    );
    assert_eq!(
        optimizer(json!({ "_target_": "torch.optim.SGD", "nesterov": true })),
        ["Nesterov's momentum needs `momentum` above 0 and `dampening` 0 @ x.nesterov"]
    );
    assert_eq!(
        optimizer(json!({ "_target_": "torch.optim.Adam", "betas": [0.9, 1.5] })),
        ["expected a number from 0 to below 1, found 1.5 @ x.betas.1"]
    );
    assert_eq!(
        optimizer(json!({ "_target_": "torch.optim.Rprop", "etas": [1.5, 1.2] })),
        ["the first factor lies between 0 and 1, the second above 1 @ x.etas"]
    );
    let scheduler = |name: &str, args: Value| {
        let mut args = args;
        args["_target_"] = format!("torch.optim.lr_scheduler.{name}").into();
        problems::<SchedulerKind>(args)
    };
    assert_eq!(
        scheduler("StepLR", json!({ "step_size": 0 })),
        ["expected a whole number above 0, found 0 @ x.step_size"]
    );
    assert_eq!(
        scheduler("ExponentialLR", json!({ "gamma": 0.9, "last_epoch": 3 })),
        ["expected -1 (a run goes on from its checkpoint), found 3 @ x.last_epoch"]
    );
    assert_eq!(
        scheduler("ReduceLROnPlateau", json!({ "factor": 1.0, "mode": "min" })),
        ["the factor lies from 0 to below 1, not at 1 @ x.factor"]
    );
    let steps = json!({ "_target_": "torch.optim.lr_scheduler.StepLR", "step_size": 3 });
    assert_eq!(
        scheduler(
            "SequentialLR",
            json!({ "schedulers": [steps, { "_target_": "torch.optim.Adam" }], "milestones": [] })
        ),
        [
            "2 schedulers need 1 milestones, not 0 @ x.milestones",
            "`torch.optim.Adam` is an optimizer, but a scheduler goes here @ x.schedulers.1._target_",
        ]
    );
    assert_eq!(
        scheduler("LambdaLR", json!({ "lr_lambda": "0.9 ** epochs" })),
        ["unknown name `epochs` (at character 8); did you mean `epoch`? @ x.formula"]
    );
}

#[test]
fn state_has_pytorchs_names_and_another_optimizers_is_refused() {
    let make = |names: &[&str]| make("Adam", json!({ "amsgrad": true }), vec![group(names, &[])]).unwrap();
    let mut adam = make(&["a", "b"]);
    set_grads(adam.as_ref(), &[0.5, 0.25]);
    adam.params()[0][1].1.shallow_clone().zero_grad();
    grad::clear(&[&adam.params()[0][1].1]).unwrap();
    adam.step(None).unwrap();
    let state = adam.state();
    let names: Vec<_> = state.tensors.keys().map(String::as_str).collect();
    assert_eq!(names, ["state.0.step", "state.0.exp_avg", "state.0.exp_avg_sq", "state.0.max_exp_avg_sq"]);
    assert_eq!(
        state.value,
        json!({ "param_groups": [{
            "lr": 0.001, "betas": [0.9, 0.999], "eps": 1e-8, "weight_decay": 0.0, "amsgrad": true, "maximize": false,
            "decoupled_weight_decay": false, "params": [0, 1], "param_names": ["a", "b"],
        }] })
    );
    make(&["a", "b"]).restore(&state).unwrap();
    let refused = |names: &[&str], state: &State| make(names).restore(state).unwrap_err().to_string();
    let start = "the saved state does not fit this Adam: ";
    assert_eq!(refused(&["a"], &state), format!("{start}a group has 2 parameters, not 1"));
    assert_eq!(refused(&["a", "c"], &state), format!("{start}it has `b` where this one has `c`"));
    let mut broken = state;
    broken.tensors.shift_remove("state.0.exp_avg");
    assert_eq!(refused(&["a", "b"], &broken), format!("{start}`exp_avg` of `a` is missing"));
    broken.tensors.insert("state.0.exp_avg".into(), Tensor::zeros([3], (Kind::Float, Device::Cpu)));
    assert_eq!(refused(&["a", "b"], &broken), format!("{start}`exp_avg` of `a` has the shape [3], not [2]"));
    assert!(refused(&["a", "b"], &State::default()).contains("`param_groups`"));
}
use crate::tensor::State;

#[test]
fn a_scaled_step_equals_a_plain_one_and_an_overflow_skips_it() {
    for name in ["SGD", "Adam", "AdamW", "NAdam", "RMSprop", "Adagrad"] {
        let fresh = || make(name, json!({ "lr": 0.1 }), vec![group(&["a"], &[])]).unwrap();
        let (mut plain, mut scaled) = (fresh(), fresh());
        let args = ScalerArgs { init_scale: 1024.0, growth_interval: 2, ..ScalerArgs::default() };
        let mut scaler = GradScaler::new(Device::Cpu, args);
        for overflows in [true, false, false, true, false] {
            let gradient = [0.5, 0.25];
            set_grads(plain.as_ref(), &gradient);
            let factor = if overflows { f32::INFINITY } else { scaler.value().unwrap() as f32 };
            set_grads(scaled.as_ref(), &gradient.map(|g| g * factor));
            scaler.step(scaled.as_mut()).unwrap();
            assert_eq!(scaler.skipped().unwrap(), overflows, "{name}");
            scaler.update().unwrap();
            if !overflows {
                plain.step(None).unwrap();
            }
            assert_eq!(values(plain.as_ref()), values(scaled.as_ref()), "{name}");
        }
        // Halved, doubled after two good steps, halved, one good step.
        assert_eq!(scaler.value().unwrap(), 512.0);
        let steps =
            |optimizer: &dyn Optimizer| optimizer.state().tensors.get("state.0.step").map(|t| t.double_value(&[]));
        assert_eq!(steps(scaled.as_ref()), steps(plain.as_ref()), "{name}");
        let mut again = GradScaler::new(Device::Cpu, ScalerArgs::default());
        again.restore(&scaler.state()).unwrap();
        assert_eq!(again.state().value, scaler.state().value);
    }
}

/// A step without gradient: decoupled decay shrinks weights, and leaves a group without decay as it is.
#[test]
fn decay_shrinks_weights_and_no_biases() {
    let groups = vec![group(&["weight"], &[]), group(&["bias"], &[("weight_decay", json!(0.0))])];
    let mut adam = make("AdamW", json!({ "lr": 0.5, "weight_decay": 0.1 }), groups).unwrap();
    set_grads(adam.as_ref(), &[0.0, 0.0]);
    adam.step(None).unwrap();
    let after = |group: usize| Vec::<f32>::try_from(adam.params()[group][0].1.detach()).unwrap();
    assert_eq!((after(0), after(1)), (vec![0.95, -1.9], vec![1.0, -2.0]));
}

#[test]
fn unscaling_twice_is_an_error() {
    let adam = make("Adam", json!({}), vec![group(&["a"], &[])]).unwrap();
    set_grads(adam.as_ref(), &[1.0, 1.0]);
    let mut scaler = GradScaler::new(Device::Cpu, ScalerArgs::default());
    scaler.unscale(adam.as_ref()).unwrap();
    assert!(scaler.unscale(adam.as_ref()).unwrap_err().to_string().contains("unscaled already"));
}

#[test]
fn parameters_of_several_dtypes_step_together() {
    let mut params = group(&["a", "b"], &[]);
    params.params[1].1 = param(&[1.0, -2.0]).to_kind(Kind::Double).detach().set_requires_grad(true);
    for name in ["SGD", "AdamW", "RAdam"] {
        let params = ParamGroup {
            params: params.params.iter().map(|(n, t)| (n.clone(), t.detach().copy().set_requires_grad(true))).collect(),
            options: vec![],
        };
        let mut optimizer = make(name, json!({ "lr": 0.1 }), vec![params]).unwrap();
        for (_, param) in optimizer.params().iter().flat_map(|group| group.iter()) {
            grad::set(param, &Tensor::from_slice(&[0.5f32, 0.25]).to_kind(param.kind())).unwrap();
        }
        optimizer.step(None).unwrap();
        let groups = optimizer.params();
        let (a, b) = (&groups[0][0].1, &groups[0][1].1);
        assert!((a.to_kind(Kind::Double) - b).abs().max().double_value(&[]) < 1e-6, "{name}");
        assert!(a.double_value(&[0]) < 1.0, "{name}");
    }
}

fn rates(target: &str, args: Value, horizon: Horizon, steps: usize) -> Result<Vec<f64>> {
    let mut optimizer = make("SGD", json!({ "lr": 0.1 }), vec![group(&["a"], &[])])?;
    let mut args = args;
    args["_target_"] = target.into();
    let mut scheduler = build::<SchedulerKind>(args)?.make(optimizer.as_mut(), horizon)?;
    let mut rates = vec![optimizer.groups()[0].lr];
    for _ in 0..steps {
        scheduler.step(optimizer.as_mut(), None)?;
        rates.push(optimizer.groups()[0].lr);
    }
    Ok(rates)
}

#[test]
fn a_formula_is_a_schedule() {
    let horizon = Horizon { total_steps: Some(4), epochs: None };
    let found =
        rates("runner.schedulers.Expression", json!({ "formula": "1 - step / total_steps" }), horizon, 4).unwrap();
    assert_eq!(found, [0.1, 0.1 * 0.75, 0.05, 0.1 * 0.25, 0.0]);
    let unknown = rates("runner.schedulers.Expression", json!({ "formula": "total_epochs" }), horizon, 1).unwrap_err();
    assert!(unknown.to_string().contains("`total_epochs` is not known for this run"), "{unknown}");
    let negative = rates("runner.schedulers.Expression", json!({ "formula": "1 - step" }), horizon, 2).unwrap_err();
    assert!(negative.to_string().contains("at count 2 gives -1"), "{negative}");
}

#[test]
fn one_cycle_is_as_long_as_the_run_unless_told() {
    let one = |args, total_steps, steps| {
        rates("torch.optim.lr_scheduler.OneCycleLR", args, Horizon { total_steps, epochs: None }, steps)
    };
    let told = one(json!({ "max_lr": 1.0, "total_steps": 20 }), None, 20).unwrap();
    assert_eq!(one(json!({ "max_lr": 1.0 }), Some(20), 20).unwrap(), told);
    assert!(one(json!({ "max_lr": 1.0 }), None, 0).unwrap_err().to_string().contains("needs `total_steps`"));
    let past = one(json!({ "max_lr": 1.0 }), Some(5), 6).unwrap_err().to_string();
    assert!(past.contains("was made for 5 steps and is asked for step 6"), "{past}");
    let lists = one(json!({ "max_lr": [1.0, 2.0], "total_steps": 5 }), None, 0).unwrap_err().to_string();
    assert!(lists.contains("`max_lr` of the scheduler has 2 values, but the optimizer has 1 groups"), "{lists}");
    for odd in
        [json!({ "max_lr": 1.0, "total_steps": 1 }), json!({ "max_lr": 1.0, "total_steps": 5, "pct_start": 1.0 })]
    {
        assert!(one(odd, None, 1).unwrap().iter().all(|rate| rate.is_finite()));
    }
}

#[test]
fn what_has_no_momentum_cannot_cycle_it() {
    let mut adagrad = make("Adagrad", json!({}), vec![group(&["a"], &[])]).unwrap();
    let args = json!({ "_target_": "torch.optim.lr_scheduler.CyclicLR", "base_lr": 0.1, "max_lr": 1.0 });
    let error = build::<SchedulerKind>(args).unwrap().make(adagrad.as_mut(), Horizon::default()).err().unwrap();
    assert!(error.to_string().contains("cycles the momentum, which Adagrad does not have"), "{error}");
}

#[test]
fn a_chain_within_a_sequence_begins_at_its_milestone() {
    let exponential = json!({ "_target_": "torch.optim.lr_scheduler.ExponentialLR", "gamma": 0.5 });
    let constant = json!({ "_target_": "torch.optim.lr_scheduler.ConstantLR", "factor": 0.5, "total_iters": 2 });
    let chain =
        json!({ "_target_": "torch.optim.lr_scheduler.ChainedScheduler", "schedulers": [exponential, constant] });
    let args = json!({ "schedulers": [constant, chain], "milestones": [3] });
    let found = rates("torch.optim.lr_scheduler.SequentialLR", args, Horizon::default(), 6).unwrap();
    let wanted = [0.05, 0.05, 0.1, 0.05, 0.025, 0.025, 0.0125];
    assert!(found.iter().zip(wanted).all(|(a, b)| (a - b).abs() < 1e-12), "{found:?}");
    let plateau = json!({ "_target_": "torch.optim.lr_scheduler.ReduceLROnPlateau" });
    let args = json!({ "schedulers": [constant, plateau], "milestones": [3] });
    let error = rates("torch.optim.lr_scheduler.SequentialLR", args, Horizon::default(), 0).unwrap_err();
    assert!(error.to_string().contains("ReduceLROnPlateau cannot be one of several"), "{error}");
}

#[test]
fn a_scheduler_stands_alone_or_in_lightnings_mapping() {
    #[derive(serde::Deserialize, schemars::JsonSchema)]
    struct Holder {
        scheduler: Option<SchedulerConfig>,
    }
    let read = |json: Value| crate::registry::extract::<Holder>(&node(json), &KeyPath::root().key("model"));
    let steps = json!({ "_target_": "torch.optim.lr_scheduler.StepLR", "step_size": 3 });

    let (alone, found) = read(json!({ "scheduler": steps }));
    let alone = alone.unwrap().scheduler.unwrap();
    assert_eq!((alone.each_step(), alone.frequency, alone.strict), (false, 1, true));
    assert_eq!(alone.scheduler.path.to_string(), "model.scheduler");
    assert_eq!(found.slots.len(), 1);

    let (mapping, found) = read(json!({ "scheduler": {
        "scheduler": steps, "interval": "step", "frequency": 2, "monitor": "val/loss", "strict": false, "name": "lr",
    } }));
    let mapping = mapping.unwrap().scheduler.unwrap();
    assert_eq!((mapping.each_step(), mapping.frequency, mapping.strict), (true, 2, false));
    assert_eq!((mapping.monitor.as_deref(), mapping.name.as_deref()), (Some("val/loss"), Some("lr")));
    assert_eq!(found.slots[0].path.to_string(), "model.scheduler.scheduler");

    assert!(read(json!({ "scheduler": null })).0.unwrap().scheduler.is_none());
    for (wrong, message) in [
        (
            json!({ "scheduler": steps, "intervall": "step" }),
            "unknown argument `intervall` @ model.scheduler.intervall",
        ),
        (
            json!({ "scheduler": steps, "interval": "batch" }),
            "`batch` is not one of step, epoch @ model.scheduler.interval",
        ),
        (
            json!({ "scheduler": steps, "frequency": 0 }),
            "expected a whole number above 0, found 0 @ model.scheduler.frequency",
        ),
    ] {
        let problems = read(json!({ "scheduler": wrong })).0.err().unwrap();
        let first = &problems.0[0];
        assert_eq!(format!("{} @ {}", first.message, first.path), message);
    }
}

#[test]
fn groups_come_and_go() {
    let mut adam = make("Adam", json!({ "lr": 0.5 }), vec![group(&["a", "b"], &[])]).unwrap();
    let mut step = build::<SchedulerKind>(json!({
        "_target_": "torch.optim.lr_scheduler.StepLR", "step_size": 1, "gamma": 0.5
    }))
    .unwrap()
    .make(adam.as_mut(), Horizon::default())
    .unwrap();
    set_grads(adam.as_ref(), &[1.0, 1.0]);
    adam.step(None).unwrap();
    adam.withdraw(&HashSet::from(["b"]));
    let names = |adam: &dyn Optimizer| -> Vec<Vec<String>> {
        adam.params().iter().map(|group| group.iter().map(|(name, _)| name.clone()).collect()).collect()
    };
    assert_eq!(names(adam.as_ref()), [vec!["a"]]);
    assert!(adam.state().tensors.keys().all(|name| name.starts_with("state.0.")));
    adam.add_group(group(&["b"], &[("lr", json!(0.2))])).unwrap();
    assert_eq!(names(adam.as_ref()), [vec!["a"], vec!["b"]]);
    assert!(adam.add_group(group(&["a"], &[])).unwrap_err().to_string().contains("already"));
    // The schedule multiplies the new group's rate, as PyTorch's does.
    step.step(adam.as_mut(), None).unwrap();
    assert_eq!(adam.groups().iter().map(|group| group.lr).collect::<Vec<_>>(), [0.25, 0.1]);
    set_grads(adam.as_ref(), &[1.0, 1.0]);
    adam.step(None).unwrap();
    let mut again = make("Adam", json!({ "lr": 0.5 }), vec![group(&["a"], &[]), group(&["b"], &[])]).unwrap();
    again.restore(&adam.state()).unwrap();
    assert_eq!(again.groups()[1].lr, 0.1);
}

#[test]
fn the_rate_of_weight_averaging_is_reached_and_kept() {
    let mut sgd = make("SGD", json!({ "lr": 1.0 }), vec![group(&["a"], &[])]).unwrap();
    let spec = json!({
        "_target_": "torch.optim.swa_utils.SWALR", "swa_lr": 0.2, "anneal_epochs": 4, "anneal_strategy": "linear"
    });
    let mut schedule = build::<SchedulerKind>(spec).unwrap().make(sgd.as_mut(), Horizon::default()).unwrap();
    let mut rates = vec![sgd.groups()[0].lr];
    for _ in 0..6 {
        schedule.step(sgd.as_mut(), None).unwrap();
        rates.push(sgd.groups()[0].lr);
    }
    for (found, wanted) in rates.iter().zip([1.0, 0.8, 0.6, 0.4, 0.2, 0.2, 0.2]) {
        assert!((found - wanted).abs() < 1e-12, "{rates:?}");
    }
    let at_once = json!({ "_target_": "torch.optim.swa_utils.SWALR", "swa_lr": 0.2, "anneal_epochs": 0 });
    let _made = build::<SchedulerKind>(at_once).unwrap().make(sgd.as_mut(), Horizon::default()).unwrap();
    assert_eq!(sgd.groups()[0].lr, 0.2);
}
