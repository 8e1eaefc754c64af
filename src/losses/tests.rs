//! What the golden cases cannot show: refusals and precision.

use tch::{Device, Kind as Dtype, Tensor};

use super::*;
use crate::config::{KeyPath, Map, Node};
use crate::error::Result;
use crate::registry::{Build, KindInfo, Slot, SlotRef};
use crate::tensor::guard;

fn build(target: &str, args: Vec<(&str, Node)>) -> Result<Box<dyn Loss>> {
    let mut registry = Registry::new();
    register(&mut registry);
    let mut entries: Map = args.into_iter().map(|(name, node)| (name.into(), node)).collect();
    entries.insert("_target_".into(), Node::program(target));
    let slot = Slot::<LossKind>::new(Node::program(entries), KeyPath::root().key("loss"));
    let whole = SlotRef { node: slot.node.clone(), path: slot.path.clone(), kind: KindInfo::of::<LossKind>() };
    let (problems, _) = registry.check(&whole);
    if !problems.0.is_empty() {
        return Err(problems.into());
    }
    Build::new(&registry).build(&slot)
}

fn numbers(values: &[f64]) -> Node {
    Node::program(values.iter().map(|v| Node::program(*v)).collect::<Vec<_>>())
}

#[test]
fn refuses_shapes_that_would_broadcast() {
    let options = (Dtype::Float, Device::Cpu);
    let (column, row) = (Tensor::zeros([8, 1], options), Tensor::zeros([8], options));
    for target in ["torch.nn.MSELoss", "torch.nn.L1Loss", "torch.nn.HuberLoss", "torch.nn.BCEWithLogitsLoss"] {
        let loss = build(target, vec![]).expect(target);
        let error = guard(|| Ok(loss.forward(&column, &row))).expect_err(target).to_string();
        assert!(error.contains("[8, 1]") && error.contains("[8]"), "{error}");
    }
}

#[test]
fn refuses_arguments() {
    let table = [
        ("torch.nn.CrossEntropyLoss", "reduction", Node::program("avg"), "`avg` is not one of none, mean, sum"),
        ("torch.nn.CrossEntropyLoss", "label_smoothing", Node::program(1.5), "a number from 0 to 1"),
        ("torch.nn.CrossEntropyLoss", "weight", Node::program("auto"), "a number or a list of numbers"),
        ("torch.nn.CrossEntropyLoss", "weights", numbers(&[1.0]), "unknown argument `weights`"),
        ("torch.nn.MultiMarginLoss", "p", Node::program(3i64), "the power is 1 or 2"),
        ("torch.nn.HuberLoss", "delta", Node::program(0.0), "a number above 0"),
    ];
    for (target, name, node, message) in table {
        let error = build(target, vec![(name, node)]).err().expect(target).to_string();
        assert!(error.contains(message), "{error}");
    }
}

#[test]
fn class_weights_go_with_half_precision() {
    let loss = build("torch.nn.CrossEntropyLoss", vec![("weight", numbers(&[0.3, 0.7]))]).expect("a loss");
    let logits = Tensor::from_slice(&[0.5f32, -0.5]).reshape([1, 2]).to_kind(Dtype::BFloat16);
    let value = guard(|| Ok(loss.forward(&logits, &Tensor::from_slice(&[0i64])))).expect("a value");
    assert!((value.double_value(&[]) - 0.31326).abs() < 1e-4);
}

#[test]
fn the_old_switches_still_decide() {
    let (input, target) = (Tensor::from_slice(&[1f32, 3.0]), Tensor::from_slice(&[0f32, 0.0]));
    let table =
        [(vec![("size_average", false)], 10.0), (vec![("size_average", true)], 5.0), (vec![("reduce", true)], 5.0)];
    for (switches, value) in table {
        let args = switches.into_iter().map(|(name, on)| (name, Node::program(on))).collect();
        let loss = build("torch.nn.MSELoss", args).expect("a loss");
        assert_eq!(loss.forward(&input, &target).double_value(&[]), value);
    }
}

#[test]
fn a_third_tensor_is_asked_for_by_name() {
    let loss = build("torch.nn.GaussianNLLLoss", vec![]).expect("a loss");
    assert_eq!(loss.needs(), Some("var"));
    let x = Tensor::from_slice(&[1f32]);
    let error = guard(|| Ok(loss.forward(&x, &x))).expect_err("no variance").to_string();
    assert!(error.contains("`var`"), "{error}");
}
