//! Models: state-dict names and shapes, logits, one training pass.

#[path = "support/golden.rs"]
mod golden;
#[path = "support/network.rs"]
mod network;

use golden::{Case, Got};
use network::Network;
use runner::error::Result;
use runner::nn::Module;
use runner::registry::Registry;
use tch::{Reduction, Tensor};

#[test]
fn models() {
    tch::set_num_threads(1);
    let registry = network::registry();
    golden::run_family("models", |case| model(&registry, case));
}

/// Further models, pools and strides (`scripts/golden_models`).
#[test]
fn more_models() {
    tch::set_num_threads(1);
    let registry = network::registry();
    golden::run_family("more_models", |case| model(&registry, case));
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
