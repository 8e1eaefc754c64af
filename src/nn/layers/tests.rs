//! Every layer from its config: the shapes that PyTorch gives, and the numbers where a short sum shows them.

use tch::{Device, Kind, Tensor};

use crate::config::{KeyPath, Map, Node, Value};
use crate::error::Result;
use crate::nn::{Module, Net, Params};
use crate::registry::{Build, KindInfo, Registry, Slot, SlotRef};

fn node(json: &serde_json::Value) -> Node {
    Node::program(match json {
        serde_json::Value::Null => Value::Null,
        serde_json::Value::Bool(b) => Value::Bool(*b),
        serde_json::Value::String(s) => Value::Str(s.clone()),
        serde_json::Value::Number(n) => n.as_i64().map_or(Value::Float(n.as_f64().unwrap()), Value::Int),
        serde_json::Value::Array(list) => Value::List(list.iter().map(node).collect()),
        serde_json::Value::Object(map) => {
            Value::Map(map.iter().map(|(k, v)| (k.as_str().into(), node(v))).collect::<Map>())
        }
    })
}

fn make(target: &str, args: serde_json::Value) -> Result<(Box<dyn Module>, Params)> {
    let mut registry = Registry::new();
    super::register(&mut registry);
    let mut config = node(&args);
    if let Value::Map(map) = &mut config.value {
        map.insert("_target_".into(), Node::program(format!("torch.nn.{target}")));
    }
    let slot = Slot::<Net>::new(config, KeyPath::root());
    let whole = SlotRef { node: slot.node.clone(), path: KeyPath::root(), kind: KindInfo::of::<Net>() };
    let problems = registry.check(&whole).0;
    if !problems.0.is_empty() {
        return Err(problems.into());
    }
    let params = Params::new(Device::Cpu);
    let net = Build::new(&registry).build(&slot)?.make(&params.root())?;
    Ok((net, params))
}

fn ramp(shape: &[i64]) -> Tensor {
    let count: i64 = shape.iter().product();
    (Tensor::arange(count, (Kind::Float, Device::Cpu)) / count as f64).view(shape)
}

#[test]
fn shapes() {
    use serde_json::json;
    let image = [2i64, 4, 9, 7];
    let cases: &[(&str, serde_json::Value, &[i64], &[i64])] = &[
        ("Linear", json!({"in_features": 7, "out_features": 3}), &image, &[2, 4, 9, 3]),
        ("Conv1d", json!({"in_channels": 4, "out_channels": 6, "kernel_size": 3}), &[2, 4, 9], &[2, 6, 7]),
        (
            "Conv2d",
            json!({"in_channels": 4, "out_channels": 6, "kernel_size": [3, 1], "groups": 2}),
            &image,
            &[2, 6, 7, 7],
        ),
        (
            "Conv2d",
            json!({"in_channels": 4, "out_channels": 6, "kernel_size": 4, "padding": "same", "dilation": [1, 2]}),
            &image,
            &[2, 6, 9, 7],
        ),
        (
            "Conv2d",
            json!({"in_channels": 4, "out_channels": 1, "kernel_size": 3, "stride": [2, 1], "padding": 1, "padding_mode": "reflect", "bias": false}),
            &image,
            &[2, 1, 5, 7],
        ),
        ("Conv2d", json!({"in_channels": 4, "out_channels": 1, "kernel_size": 3}), &[4, 9, 7], &[1, 7, 5]),
        (
            "ConvTranspose2d",
            json!({"in_channels": 4, "out_channels": 2, "kernel_size": 3, "stride": 2, "padding": 1, "output_padding": 1}),
            &image,
            &[2, 2, 18, 14],
        ),
        ("BatchNorm2d", json!({"num_features": 4}), &image, &image),
        ("BatchNorm1d", json!({"num_features": 4, "momentum": null, "affine": false}), &[2, 4, 9], &[2, 4, 9]),
        ("LayerNorm", json!({"normalized_shape": [9, 7], "bias": false}), &image, &image),
        ("GroupNorm", json!({"num_groups": 2, "num_channels": 4}), &image, &image),
        ("MaxPool2d", json!({"kernel_size": 2, "ceil_mode": true}), &image, &[2, 4, 5, 4]),
        ("AvgPool2d", json!({"kernel_size": [3, 2], "stride": 2, "padding": 1}), &image, &[2, 4, 5, 4]),
        ("AdaptiveAvgPool2d", json!({"output_size": [3, 2]}), &image, &[2, 4, 3, 2]),
        ("AdaptiveMaxPool2d", json!({"output_size": 1}), &image, &[2, 4, 1, 1]),
        ("Flatten", json!({"start_dim": 1, "end_dim": 2}), &image, &[2, 36, 7]),
        ("Identity", json!({}), &image, &image),
        ("Dropout2d", json!({"p": 0.1}), &image, &image),
        ("Softmax", json!({"dim": 1}), &image, &image),
        (
            "LSTM",
            json!({"input_size": 5, "hidden_size": 6, "num_layers": 2, "bidirectional": true, "batch_first": true}),
            &[3, 4, 5],
            &[3, 4, 12],
        ),
        ("GRU", json!({"input_size": 5, "hidden_size": 6, "bias": false}), &[4, 5], &[4, 6]),
        ("MultiheadAttention", json!({"embed_dim": 6, "num_heads": 2}), &[4, 3, 6], &[4, 3, 6]),
        ("Embedding", json!({"num_embeddings": 10, "embedding_dim": 3, "padding_idx": -1}), &[2, 5], &[2, 5, 3]),
    ];
    for (target, args, input, output) in cases {
        let (net, _) = make(target, args.clone()).unwrap_or_else(|error| panic!("{target} {args}: {error}"));
        for train in [true, false] {
            assert_eq!(net.forward(&ramp(input), train).size(), *output, "{target} {args}");
        }
    }
}

#[test]
fn contradictions_are_errors() {
    use serde_json::json;
    for (target, args, want) in [
        (
            "Conv2d",
            json!({"in_channels": 4, "out_channels": 6, "kernel_size": 3, "groups": 3}),
            "groups (3) must divide",
        ),
        (
            "Conv2d",
            json!({"in_channels": 4, "out_channels": 6, "kernel_size": 3, "stride": 2, "padding": "same"}),
            "needs a stride of 1",
        ),
        ("GroupNorm", json!({"num_groups": 3, "num_channels": 4}), "num_groups (3) must divide num_channels (4)"),
        ("MultiheadAttention", json!({"embed_dim": 6, "num_heads": 4}), "num_heads (4) must divide embed_dim (6)"),
        ("Embedding", json!({"num_embeddings": 3, "embedding_dim": 3, "padding_idx": 3}), "padding_idx 3"),
        ("Linear", json!({"in_features": 3, "out_features": 2, "biass": true}), "unknown argument `biass`"),
    ] {
        let error = make(target, args).map(|_| ()).unwrap_err().to_string();
        assert!(error.contains(want), "{target}: {error}");
    }
}

#[test]
fn same_padding_is_padding_by_hand() {
    use serde_json::json;
    let args = |padding: serde_json::Value| json!({"in_channels": 1, "out_channels": 1, "kernel_size": 4, "padding": padding, "bias": false});
    let (same, params) = make("Conv2d", args(json!("same"))).unwrap();
    let (valid, other) = make("Conv2d", args(json!("valid"))).unwrap();
    tch::no_grad(|| other.state_dict()["weight"].shallow_clone().copy_(&params.state_dict()["weight"]));
    let x = ramp(&[1, 1, 6, 5]);
    // The odd row and column go behind.
    let by_hand = valid.forward(&x.constant_pad_nd([1, 2, 1, 2]), false);
    assert!(same.forward(&x, false).allclose(&by_hand, 1e-6, 1e-7, false));
}

#[test]
fn batch_statistics_are_averaged_without_momentum() {
    let (net, params) = make("BatchNorm1d", serde_json::json!({"num_features": 1, "momentum": null})).unwrap();
    for mean in [1.0, 2.0, 6.0] {
        let _ = net.forward(&Tensor::from_slice(&[mean - 1.0, mean + 1.0]).to_kind(Kind::Float).view([2, 1]), true);
    }
    let dict = params.state_dict();
    assert!((dict["running_mean"].double_value(&[0]) - 3.0).abs() < 1e-6);
    assert_eq!(dict["num_batches_tracked"].int64_value(&[]), 3);
    let _ = net.forward(&Tensor::zeros([2, 1], (Kind::Float, Device::Cpu)), false);
    assert_eq!(dict["num_batches_tracked"].int64_value(&[]), 3);
}
