//! The README's test vectors, and that the comparison says no.

use super::golden::*;
use serde_json::{Value, json};
use tch::{Kind, Tensor};

fn floats(tensor: &Tensor) -> Vec<f32> {
    Vec::try_from(tensor.reshape([-1])).expect("floats")
}

#[test]
fn hashes_and_streams() {
    assert_eq!(seed(""), 0xcbf29ce484222325);
    assert_eq!(seed("a"), 0xaf63dc4c8601ec8c);
    assert_eq!(seed("conv1.weight"), 0x69a29a2cee47d254);
    assert_eq!(seed("golden/test"), 0xa9b42c51e8d54c49);
    assert_eq!([mix(0), mix(1), mix(2)], [0xe220a8397b1dcdaf, 0x910a2dec89025cc1, 0x975835de1c9756ce]);
    assert_eq!([0, 1, 2].map(|i| u24("golden/test", i)), [2379547, 12419908, 6571785]);
    assert_eq!(uniform("golden/test", 0.0, 1.0, 4), [0.14183205, 0.7402842, 0.3917089, 0.56757295]);
    assert_eq!(uniform("golden/test", -3.0, 3.0, 4), [-2.1490078, 1.4417052, -0.64974654, 0.4054377]);
    let ints: Vec<i64> = (0..12).map(|i| int("golden/test", i, -1, 6)).collect();
    assert_eq!(ints, [-1, 3, 1, 2, -1, -1, 2, -1, 0, 3, 4, 0]);
    assert_eq!(shuffle("golden/test", 10), [9, 8, 4, 2, 5, 0, 7, 3, 6, 1]);
}

#[test]
fn images() {
    let pixels = image("golden/test", 3, 9, 10);
    assert_eq!(pixels[..10], [32, 52, 68, 90, 108, 127, 144, 169, 186, 177]);
    assert_eq!(pixels[260..], [47, 72, 86, 123, 137, 158, 184, 211, 240, 232]);
    assert_eq!(pixels.iter().map(|p| u32::from(*p)).sum::<u32>(), 36329);
}

#[test]
fn name_seeded_weights() {
    let make = |name: &str, shape: &[i64]| weight(name, shape, Kind::Float, "", 6.0).expect("a float entry");
    let conv = make("conv1.weight", &[64, 3, 7, 7]);
    assert_eq!(floats(&conv)[..4], [0.018213026, -0.17180079, 0.1858757, 0.13886991]);
    assert!((conv.sum(Kind::Double).double_value(&[]) - 0.90006).abs() < 1e-5);
    assert_eq!(floats(&make("bn1.weight", &[64]))[..3], [0.9720408, 0.992056, 0.95629823]);
    assert_eq!(floats(&make("bn1.bias", &[64]))[..3], [-0.06556076, -0.088719174, -0.02548479]);
    assert_eq!(floats(&make("bn1.running_mean", &[64]))[..3], [0.046889983, -0.026100408, 0.03004011]);
    assert_eq!(floats(&make("bn1.running_var", &[64]))[..3], [1.1423075, 1.0151932, 1.4109503]);
    assert_eq!(weight("bn1.num_batches_tracked", &[], Kind::Int64, "", 6.0).expect("0").int64_value(&[]), 0);
    assert!(weight("relative_position_index", &[4], Kind::Int64, "", 6.0).is_none());
}

#[test]
fn tensors_from_data_and_generators() {
    let read = |json: Value| tensor(&json).expect("a tensor");
    let t = read(json!({"shape": [2, 2], "dtype": "f32", "data": [1.5, "nan", "-inf", 0.1]}));
    let values = floats(&t);
    assert!(values[1].is_nan() && values[2] == f32::NEG_INFINITY && values[3] == 0.1);
    let t = read(json!({"shape": [3], "dtype": "i64", "gen": "int", "key": "golden/test", "lo": -1, "n": 6}));
    assert_eq!(Vec::<i64>::try_from(&t).expect("ints"), [-1, 3, 1]);
    assert_eq!(read(json!({"shape": [0, 4], "dtype": "f32", "data": []})).size(), [0, 4]);
    assert!(tensor(&json!({"shape": [3], "dtype": "f32", "data": [1]})).is_err());
}

#[test]
fn arguments_become_config() {
    let args = json!({"weight": {"shape": [2], "dtype": "f32", "data": [0.5, 1]}, "norm": "inf", "n": 3, "x": 1.0,
        "schedulers": [{"target": "a.B", "args": {"k": null}}]});
    let node = node(&args);
    assert_eq!(node.select("weight.0").map(|n| n.value.clone()), Some(0.5.into()));
    assert_eq!(node.select("norm").map(|n| n.value.clone()), Some(f64::INFINITY.into()));
    assert_eq!(node.select("n").map(|n| n.value.clone()), Some(3i64.into()));
    assert_eq!(node.select("x").map(|n| n.value.clone()), Some(1.0.into()));
    assert_eq!(node.select("schedulers.0._target_").and_then(|n| n.as_str()), Some("a.B"));
}

/// (what was expected, what came, its tolerance, the error or none)
#[test]
fn comparison() {
    let close = json!({"default": {"abs": 0.01, "rel": 0.0}});
    let exact = json!({"default": {"abs": 0, "rel": 0}});
    let vector = |values: &[f32]| Got::from(Tensor::from_slice(values));
    let tensor = |data: Value| json!({"shape": [2], "dtype": "f32", "data": data});
    let levels = json!({"default": {"levels": 1, "mean": 0.5, "outliers": 0.0}});
    let outliers = json!({"default": {"levels": 0, "outliers": 0.5}});
    let steps = json!({"default": {"abs": 0, "rel": 0}, "loss": {"abs_per_step": [0.1, 0.5]}});
    let nested = json!({"default": {"abs": 0, "rel": 0}, "a": {"abs": 1, "rel": 0}, "a.b": {"abs": 3, "rel": 0}});
    let statistical = json!({"default": {"statistical": true, "n": 10}});
    let informative = json!({"default": {"abs": 0, "rel": 0}, "probes": {"informative": true, "abs": 1, "rel": 1}});
    let table: Vec<(Value, Got, &Value, Option<&str>)> = vec![
        (tensor(json!([1, 2])), vector(&[1.005, 2.0]), &close, None),
        (tensor(json!([1, 2])), vector(&[1.0, 2.02]), &close, Some("[1] 2.0199999809265137 instead of 2")),
        (tensor(json!([1, 2])), vector(&[1.0]), &close, Some("shape [1] instead of [2]")),
        (tensor(json!(["nan", "inf"])), vector(&[f32::NAN, f32::INFINITY]), &close, None),
        (tensor(json!([1, "inf"])), vector(&[1.0, 1e30]), &close, Some("[1]")),
        (tensor(json!([1, 2])), vector(&[1.0, f32::NAN]), &close, Some("[1] NaN")),
        (tensor(json!([1, 2])), vector(&[2.0, 2.4]), &levels, Some("mean difference 0.7")),
        (tensor(json!([1, 2])), vector(&[2.0, 2.0]), &levels, None),
        (tensor(json!([1, 2])), vector(&[2.0, 2.0]), &outliers, None),
        (tensor(json!([1, 2])), vector(&[2.0, 3.0]), &outliers, Some("100.00 %")),
        (json!({"loss": [1, 2]}), map([("loss", vec![1.05, 2.4].into())]), &steps, None),
        (json!({"loss": [1, 2]}), map([("loss", vec![1.2, 2.0].into())]), &steps, Some("loss: [0] 1.2")),
        (json!({"loss": [1]}), map([("loss", vec![1.0, 2.0].into())]), &steps, Some("loss: 2 elements instead of 1")),
        (
            json!({"a": {"b": [2], "c": 1}}),
            map([("a", map([("b", vec![4.5].into()), ("c", 2.0.into())]))]),
            &nested,
            None,
        ),
        (
            json!({"a": {"b": 2, "c": 1}}),
            map([("a", map([("b", 4.5.into()), ("c", 2.5.into())]))]),
            &nested,
            Some("a.c:"),
        ),
        (json!({"ab": 1}), map([("ab", 1.5.into())]), &nested, Some("ab:")),
        (json!({"a": 1}), map([("a", 1.0.into()), ("b", 1.0.into())]), &exact, Some("`b` is not expected")),
        (json!({"a": 1, "b": 1}), map([("a", 1.0.into())]), &exact, Some("`b` is missing")),
        (json!("nan"), Tensor::from(f64::NAN).into(), &exact, None),
        (json!("same"), "same".into(), &exact, None),
        (json!("same"), "other".into(), &exact, Some("instead of")),
        (json!(true), false.into(), &exact, Some("instead of")),
        (json!([[1, 2], [3, 4]]), Tensor::from_slice(&[1i64, 2, 3, 4]).reshape([2, 2]).into(), &exact, None),
        (json!({"s": {"value": 0.5, "tol": 0.1}}), map([("s", 0.45.into())]), &statistical, None),
        (json!({"s": {"value": 0.5, "tol": 0.1}}), map([("s", 0.39.into())]), &statistical, Some("s: 0.39")),
        (json!({"w": {"constant": 1.0}}), map([("w", vector(&[1.0, 1.0]))]), &statistical, None),
        (json!({"w": {"constant": 1.0}}), map([("w", vector(&[1.0, 1.1]))]), &statistical, Some("from the constant")),
        (
            json!({"w": {"count": 3, "mean": {"value": 0, "tol": 1}}}),
            map([("w", map([("count", 4.0.into()), ("mean", 0.0.into())]))]),
            &statistical,
            Some("w.count: 4"),
        ),
        (json!({"probes": {"x": 1}, "y": 1}), map([("y", 1.0.into())]), &informative, None),
    ];
    for (want, got, rules, error) in table {
        let result = compare(&want, &got, &Rules::read(rules).expect("rules"), "");
        match (result, error) {
            (Ok(()), None) => {}
            (Err(message), Some(part)) if message.contains(part) => {}
            (result, error) => panic!("{want} against {got:?}: {result:?}, not {error:?}"),
        }
    }
}
