//! Statistics of what is random: the draws of transforms, mixing, samplers and dropout, and initial weights.
//!
//! A transform writes down what it drew as a list of operations; the statistics are read off the list. Every case
//! makes as many draws as its tolerance was chosen for.

#[path = "support/golden.rs"]
mod golden;
#[path = "support/network.rs"]
mod network;
#[path = "support/statistics.rs"]
mod statistics;

use golden::{Case, Got};
use network::Network;
use runner::data::mix::{BatchTransformKind, Draw};
use runner::data::rng::{Purpose, Rng};
use runner::data::sampler::{Sampler, Weighted};
use runner::data::transforms::{self, Canvas};
use runner::error::{Error, Result};
use runner::registry::Registry;
use serde_json::{Value, json};
use statistics::{Samples, drawn};
use tch::{Device, Kind, Tensor};

#[test]
fn augment_stats() {
    tch::set_num_threads(1);
    let mut registry = network::registry();
    runner::data::register(&mut registry);
    golden::run_family("augment_stats", |case| {
        tch::manual_seed(20);
        let name = case.target.rsplit('.').next().unwrap_or_default();
        match case.target.as_str() {
            _ if case.expected.get("init").is_some() => initial(&registry, case),
            "timm.data.mixup.mixup_target" => mixed_labels(&registry, case),
            target if target.starts_with("torchvision.transforms.") && !["MixUp", "CutMix"].contains(&name) => {
                transform(&registry, case, name)
            }
            _ if ["MixUp", "CutMix", "Mixup"].contains(&name) => mixing(&registry, case),
            "torch.utils.data.WeightedRandomSampler" => sampled(case),
            _ => dropped(&registry, case),
        }
    });
}

fn draws(case: &Case) -> u64 {
    case.raw["tolerance"]["default"]["n"].as_u64().unwrap_or(1)
}

/// The picture's size; cases without one do not depend on it.
fn canvas(case: &Case) -> Canvas {
    let side = |i: usize| case.inputs["image_size"][i].as_u64().unwrap_or(64) as usize;
    Canvas { height: side(0), width: side(1), channels: 3 }
}

// ---------------------------------------------------------------- transforms of a picture

/// The argument `transforms` of those that choose among others, which a case leaves open: each is known by the
/// threshold of its operation.
fn with_choices(case: &Case, name: &str) -> Value {
    let mut args = case.args.clone();
    if let (Some(args), "RandomApply" | "RandomChoice" | "RandomOrder") = (args.as_object_mut(), name) {
        let count = args.remove("count").and_then(|count| count.as_u64()).unwrap_or(1);
        let solarize = |threshold: u64| {
            let args = json!({"threshold": threshold, "p": 1.0});
            json!({"target": "torchvision.transforms.RandomSolarize", "args": args})
        };
        args.entry("transforms").or_insert_with(|| (0..count).map(solarize).collect());
    }
    args
}

fn transform(registry: &Registry, case: &Case, name: &str) -> Result<Got> {
    let transform = golden::component::<transforms::TransformKind>(registry, &case.target, &with_choices(case, name))?;
    let end = |i: usize, default: f64| golden::number(&case.args["scale"][i]).unwrap_or(default);
    let scale = [end(0, 0.08), end(1, 1.0)];
    let mut samples = Samples::default();
    for index in 0..draws(case) {
        let mut plan = transforms::Plan::new(canvas(case));
        transform.plan(&mut Rng::new(Purpose::Transform, 7, &[0, index]), &mut plan)?;
        drawn(name, canvas(case), scale, &plan.ops, &mut samples);
    }
    samples.as_asked(&case.expected)
}

// ---------------------------------------------------------------- mixing of a batch

fn mixing(registry: &Registry, case: &Case) -> Result<Got> {
    let component = golden::component::<BatchTransformKind>(registry, &case.target, &case.args)?;
    let mixing = component.mixing().ok_or_else(|| Error::failed("it does not mix"))?;
    if let Some(lambda) = golden::number(&case.inputs["lambda"]) {
        let (x, labels) = (case.input("x")?, case.input("labels")?);
        let [.., height, width] = x.size()[..] else { return Err(Error::failed("no picture")) };
        let centre = |i: usize| case.inputs["centre_xy"][i].as_i64();
        let draw = match (centre(0), centre(1)) {
            (Some(x), Some(y)) => mixing.rectangle(lambda, x, y, height, width),
            _ => Draw::Blend { lambda },
        };
        let mut got = vec![
            ("x".to_owned(), mixing.inputs(&x, draw)?.into()),
            ("labels".to_owned(), mixing.labels(&labels, draw)?.into()),
        ];
        if let Draw::Paste { rectangle, lambda } = draw {
            got.push(("box_x1y1x2y2".to_owned(), rectangle.to_vec().into()));
            got.push(("lambda_adjusted".to_owned(), lambda.into()));
        }
        return Ok(network::map_of(got));
    }
    let mut samples = Samples::default();
    let size = canvas(case);
    let area = (size.height * size.width) as f64;
    for batch in 0..draws(case) {
        let mut rng = Rng::new(Purpose::Batch, 11, &[0, batch]);
        let draw = mixing.draw(size.height as i64, size.width as i64, &mut rng);
        samples.push("mixed", f64::from(draw != Draw::Nothing));
        match draw {
            Draw::Nothing => {}
            Draw::Blend { lambda } => {
                samples.push("lambda", lambda);
                samples.push("lambda_folded", lambda.max(1.0 - lambda));
                samples.push("cutmix_among_mixed", 0.0);
            }
            Draw::Paste { rectangle: [x1, y1, x2, y2], lambda } => {
                let pasted = ((x2 - x1).max(0) * (y2 - y1).max(0)) as f64;
                samples.push("box_area_fraction", pasted / area);
                samples.push("lambda_adjusted", lambda);
                samples.push("box_empty", f64::from(pasted == 0.0));
                samples.push("cutmix_among_mixed", 1.0);
            }
        }
    }
    samples.as_asked(&case.expected)
}

/// timm's function that mixes labels, by the component that does so.
fn mixed_labels(registry: &Registry, case: &Case) -> Result<Got> {
    let number = |name: &str, default: f64| golden::number(&case.args[name]).unwrap_or(default);
    let args = json!({"num_classes": case.args["num_classes"], "label_smoothing": number("smoothing", 0.0)});
    let component = golden::component::<BatchTransformKind>(registry, "timm.data.Mixup", &args)?;
    let mixing = component.mixing().ok_or_else(|| Error::failed("it does not mix"))?;
    let draw = Draw::Blend { lambda: number("lam", 1.0) };
    Ok(golden::map([("target", mixing.labels(&case.input("labels")?, draw)?.into())]))
}

// ---------------------------------------------------------------- samplers

fn sampled(case: &Case) -> Result<Got> {
    let weights: Option<Vec<f64>> = case.args["weights"].as_array().into_iter().flatten().map(Value::as_f64).collect();
    let weights = weights.ok_or_else(|| Error::failed("weights that are no numbers"))?;
    let count = case.args["num_samples"].as_u64().unwrap_or(1) as usize;
    let order = Weighted::new(weights.clone(), count, case.args["replacement"] != false)?.order(3, 0);
    let mut samples = Samples::default();
    for drawn in order {
        for index in 0..weights.len() {
            samples.push(&format!("index{index}"), f64::from(drawn as usize == index));
        }
    }
    samples.as_asked(&case.expected)
}

// ---------------------------------------------------------------- layers and models

fn initial(registry: &Registry, case: &Case) -> Result<Got> {
    let Network { params, .. } = network::make(registry, &case.target, &case.args)?;
    let dict = params.state_dict();
    let Value::Object(wanted) = &case.expected["init"] else { return Err(Error::failed("no init")) };
    let mut got = Vec::new();
    for (name, want) in wanted {
        let tensor = dict.get(name).ok_or_else(|| Error::failed(format!("no {name}")))?;
        // A constant is compared with every element; of the statistics only those that the case states: a small
        // tensor has no kurtosis worth comparing.
        let value = match (want.get("constant"), network::statistics(tensor)) {
            (Some(_), _) => tensor.flatten(0, -1).into(),
            (None, Got::Map(map)) => Got::Map(map.into_iter().filter(|(key, _)| want.get(key).is_some()).collect()),
            (None, other) => other,
        };
        got.push((name.clone(), value));
    }
    Ok(golden::map([("init", network::map_of(got))]))
}

/// Shares of zeros: of elements, or of rows. What is kept is divided by 1 - p, and evaluation changes nothing.
fn dropped(registry: &Registry, case: &Case) -> Result<Got> {
    let Network { net, .. } = network::make(registry, &case.target, &case.args)?;
    let count = draws(case) as i64;
    // In mode `batch` a forward pass is one draw.
    let passes = if case.args["mode"] == "batch" { count } else { 1 };
    let ones = Tensor::ones([count / passes, 3, 1, 1], (Kind::Float, Device::Cpu));
    let p = golden::number(&case.args["p"]).or(golden::number(&case.args["drop_prob"])).unwrap_or(0.5);
    if tch::no_grad(|| net.forward(&ones, false)).not_equal_tensor(&ones).any().int64_value(&[]) != 0 {
        return Err(Error::failed("evaluation drops"));
    }
    let mut samples = Samples::default();
    for _ in 0..passes {
        let out = net.forward(&ones, true);
        let kept = (&out - 1.0 / (1.0 - p)).abs().lt(1e-6).logical_or(&out.eq(0.0));
        if kept.all().int64_value(&[]) != 1 {
            return Err(Error::failed("what is kept is not divided by 1 - p"));
        }
        // The first column of each row: independent draws whatever a draw is for.
        let first = Vec::<f64>::try_from(out.select(1, 0).flatten(0, -1).eq(0.0).to_kind(Kind::Double))?;
        for zero in first {
            samples.push("zeroed", zero);
            samples.push("rows_zeroed", zero);
        }
    }
    samples.as_asked(&case.expected)
}
