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

/// The worked values of varKoder's and moths' losses: logits, hard and soft marks, arguments, the sum.
#[test]
fn worked_values_of_the_three_systems() {
    let logits = Tensor::from_slice(&[2.0, -1.5, 0.3, -4.0, -0.2, 0.8, -3.0, 1.1]).view([2, 4]).to_kind(Dtype::Float);
    let hard = Tensor::from_slice(&[1f32, 0.0, 0.0, 1.0, 0.0, 1.0, 0.0, 0.0]).view([2, 4]);
    let soft = Tensor::from_slice(&[0.7f32, 0.3, 0.0, 0.7, 0.3, 0.7, 0.0, 0.3]).view([2, 4]);
    let close = |found: &Tensor, expected: f64| {
        let found = found.double_value(&[]);
        assert!((found - expected).abs() < 1e-5 * expected.abs().max(1.0), "{found} for {expected}");
    };
    for (is_soft, gamma_neg, gamma_pos, clip, eps, sum) in [
        (false, 4.0, 0.0, 0.1, 0.01, 4.7430906),
        (false, 4.0, 1.0, 0.05, 1e-08, 4.4351474),
        (false, 0.0, 0.0, 0.0, 1e-08, 7.6060087),
        (false, 2.0, 0.0, 0.0, 1e-08, 5.7070445),
        (true, 4.0, 0.0, 0.1, 0.01, 2.3400083),
        (true, 4.0, 1.0, 0.05, 1e-08, 1.8446269),
        (true, 0.0, 0.0, 0.0, 1e-08, 7.4260087),
        (true, 2.0, 0.0, 0.0, 1e-08, 4.2106763),
    ] {
        let args = [("gamma_neg", gamma_neg), ("gamma_pos", gamma_pos), ("clip", clip), ("eps", eps)];
        let mut args: Vec<(&str, Node)> = args.map(|(name, value)| (name, Node::program(value))).to_vec();
        args.push(("reduction", Node::program("sum")));
        let loss = build("timm.loss.AsymmetricLossMultiLabel", args).unwrap();
        close(&loss.forward(&logits, if is_soft { &soft } else { &hard }), sum);
    }
    let weighted = build("torch.nn.BCEWithLogitsLoss", vec![("pos_weight", Node::program(10.0))]).unwrap();
    close(&weighted.forward(&logits, &hard), 6.031452);
    let each = build("torch.nn.BCEWithLogitsLoss", vec![("pos_weight", numbers(&[10.0; 4]))]).unwrap();
    close(&each.forward(&logits, &hard), 6.031452);
    let logits = Tensor::from_slice(&[1f32, 2.0, -0.5, 0.2, -0.1, 0.4]).view([2, 3]);
    for (smoothing, mean) in [(0.0, 0.7287392), (0.004, 0.7311392), (0.1, 0.7887392)] {
        let loss = build("torch.nn.CrossEntropyLoss", vec![("label_smoothing", Node::program(smoothing))]).unwrap();
        close(&loss.forward(&logits, &Tensor::from_slice(&[1i64, 0])), mean);
    }
    // Mixed classes: the weighted pair of losses is the loss of weighted targets.
    let loss = build("torch.nn.CrossEntropyLoss", vec![]).unwrap();
    let one =
        |row: i64, class: i64| loss.forward(&logits.narrow(0, row, 1), &Tensor::from_slice(&[class])).double_value(&[]);
    let (first, second) = (0.7 * one(0, 1) + 0.3 * one(0, 0), 0.9 * one(1, 0) + 0.1 * one(1, 1));
    let targets = Tensor::from_slice(&[0.3f32, 0.7, 0.0, 0.9, 0.1, 0.0]).view([2, 3]);
    close(&loss.forward(&logits, &targets), (first + second) / 2.0);
}
