//! Losses: value, and gradient of the sum of all elements.

#[path = "support/golden.rs"]
mod golden;
#[path = "support/golden_tests.rs"]
mod golden_tests;

use runner::losses::{LossKind, register};
use runner::registry::Registry;
use tch::Kind;

#[test]
fn losses() {
    tch::set_num_threads(1);
    let mut registry = Registry::new();
    register(&mut registry);
    golden::run_family("losses", |case| {
        let loss = golden::component::<LossKind>(&registry, &case.target, &case.args)?;
        let (input, target) = (case.input("input")?.set_requires_grad(true), case.input("target")?);
        let value = match loss.needs() {
            Some(third) => loss.forward_with(&input, &target, &case.input(third)?),
            None => loss.forward(&input, &target),
        };
        value.sum(None::<Kind>).backward();
        Ok(golden::map([("loss", value.into()), ("grad", input.grad().into())]))
    });
}
