//! Models: state-dict names and shapes, logits, one training pass; and the statistics of initial weights.

#[path = "support/golden.rs"]
mod golden;
#[path = "support/network.rs"]
mod network;

use std::sync::Mutex;

use golden::{Case, Got};
use network::Network;
use runner::error::{Error, Result};
use runner::nn::Module;
use runner::registry::Registry;
use serde_json::Value;
use tch::{Kind, Reduction, Tensor};

/// torch's generator and thread count belong to the process.
static PROCESS: Mutex<()> = Mutex::new(());

#[test]
fn models() {
    let _process = PROCESS.lock();
    tch::set_num_threads(1);
    let registry = network::registry();
    golden::run_family("models", |case| model(&registry, case));
}

fn model(registry: &Registry, case: &Case) -> Result<Got> {
    let Network { net, params } = network::make(registry, &case.target, &case.args)?;
    network::seed_weights(&params, case)?;
    let x = case.input("x")?;
    let logits = tch::no_grad(|| net.forward(&x, false));
    let mut got = vec![
        ("state_dict".to_owned(), network::state_dict(&params)),
        ("parameter_count".to_owned(), network::parameter_count(&params)),
        ("trainable_count".to_owned(), network::trainable_count(&params)),
        ("logits".to_owned(), logits.into()),
    ];
    if !case.expected["train"].is_null() {
        let logits = net.forward(&case.input("x_train")?, true);
        let loss = logits.cross_entropy_loss(&case.input("target")?, None::<&Tensor>, Reduction::Mean, -100, 0.0);
        loss.backward();
        let train = [
            ("loss", loss.into()),
            ("grad_abs_sum", network::gradient_sums(&params)),
            ("running_sum_after", network::running_sums(&params)),
        ];
        got.push(("train".to_owned(), golden::map(train)));
    }
    Ok(network::map_of(got))
}

/// The cases of `augment_stats` that speak of layers and models.
#[test]
fn initial_weights_and_dropout() {
    let _process = PROCESS.lock();
    let registry = network::registry();
    let (mut passed, mut failed) = (0, Vec::new());
    for case in golden::cases("augment_stats") {
        let layer = case.target == "torch.nn.Dropout" || case.target == "torchvision.ops.StochasticDepth";
        if case.expected["init"].is_null() && !layer {
            continue;
        }
        tch::manual_seed(20);
        let got = if layer { dropped(&registry, &case) } else { initial(&registry, &case) };
        let result = got.map_err(|error| error.to_string());
        match result.and_then(|got| golden::compare(&case.expected, &got, &case.tolerance, "")) {
            Ok(()) => passed += 1,
            Err(error) => failed.push(format!("{}: {error}", case.id)),
        }
    }
    println!("initial weights: {passed}/{}", passed + failed.len());
    assert!(failed.is_empty() && passed > 0, "{}", failed.join("\n"));
}

fn initial(registry: &Registry, case: &Case) -> Result<Got> {
    let Network { params, .. } = network::make(registry, &case.target, &case.args)?;
    let dict = params.state_dict();
    let Value::Object(wanted) = &case.expected["init"] else { return Err(Error::failed("no init")) };
    let mut got = Vec::new();
    for (name, want) in wanted {
        let tensor = dict.get(name).ok_or_else(|| Error::failed(format!("no {name}")))?;
        let statistics = match want.get("constant") {
            Some(_) => golden::map([("constant", tensor.flatten(0, -1).into())]),
            None => network::statistics(tensor),
        };
        // Only what the case states: a small tensor has no kurtosis worth comparing.
        got.push((name.clone(), keep(statistics, want)));
    }
    Ok(golden::map([("init", network::map_of(got))]))
}

fn keep(got: Got, want: &Value) -> Got {
    match got {
        Got::Map(map) if want.get("constant").is_none() => {
            Got::Map(map.into_iter().filter(|(name, _)| want.get(name).is_some()).collect())
        }
        Got::Map(mut map) => map.swap_remove("constant").unwrap_or(Got::Null),
        other => other,
    }
}

fn dropped(registry: &Registry, case: &Case) -> Result<Got> {
    let Network { net, .. } = network::make(registry, &case.target, &case.args)?;
    let rows = case.raw["tolerance"]["default"]["n"].as_i64().unwrap_or(1);
    let ones = Tensor::ones([rows, 3], (Kind::Float, tch::Device::Cpu));
    let p = golden::number(&case.args["p"]).unwrap_or_default();
    if tch::no_grad(|| net.forward(&ones, false)).not_equal_tensor(&ones).any().int64_value(&[]) != 0 {
        return Err(Error::failed("evaluation drops"));
    }
    let out = net.forward(&ones, true);
    let kept = (&out - 1.0 / (1.0 - p)).abs().lt(1e-6).logical_or(&out.eq(0.0));
    if kept.all().int64_value(&[]) != 1 {
        return Err(Error::failed("what is kept is not divided by 1 - p"));
    }
    // Elements of independent draws: the first column of each row.
    let zeros = out.select(1, 0).eq(0.0).to_kind(Kind::Double).mean(Kind::Double).double_value(&[]);
    let name = if case.target == "torch.nn.Dropout" { "zeroed" } else { "rows_zeroed" };
    Ok(golden::map([(name, golden::map([("share", zeros.into())]))]))
}
