use super::*;
use crate::config::{KeyPath, Map, Node};
use crate::data::SampleKey;
use crate::data::image::{Image, Picture, Planes};
use crate::registry::{Build, Slot};

fn node(value: &serde_json::Value) -> Node {
    use serde_json::Value as Json;
    match value {
        Json::Null => Node::program(crate::config::Value::Null),
        Json::Bool(b) => Node::program(*b),
        Json::Number(n) => n.as_i64().map_or_else(|| Node::program(n.as_f64().unwrap()), Node::program),
        Json::String(s) => Node::program(s.as_str()),
        Json::Array(list) => Node::program(list.iter().map(node).collect::<Vec<_>>()),
        Json::Object(map) => Node::program(map.iter().map(|(k, v)| (k.as_str().into(), node(v))).collect::<Map>()),
    }
}

fn pipeline(transforms: &[serde_json::Value]) -> Pipeline {
    let mut registry = Registry::new();
    register(&mut registry);
    let mut cx = Build::new(&registry);
    let slots: Vec<Slot<TransformKind>> =
        transforms.iter().map(|json| Slot::new(node(json), KeyPath::root())).collect();
    Pipeline::new(cx.build_all(&slots).unwrap())
}

fn ramp(width: usize, height: usize) -> Image {
    let data = (0..width * height * 3).map(|i| (i * 7 % 256) as u8).collect();
    Image::new(width, height, 3, data).unwrap()
}

const KEY: SampleKey = SampleKey { seed: 1, epoch: 0, index: 5 };

fn floats(picture: &Picture) -> Vec<f32> {
    let mut out = vec![0.0; picture.shape().iter().product::<i64>() as usize];
    picture.write_floats(&mut out);
    out
}

#[test]
fn cast_and_normalization_are_one_table_and_equal_the_steps() {
    let normalize = serde_json::json!({
        "_target_": "torchvision.transforms.v2.Normalize", "mean": [0.4, 0.5, 0.6], "std": [0.2, 0.3, 0.25]
    });
    let to_tensor = serde_json::json!({ "_target_": "torchvision.transforms.ToTensor" });
    let fused = pipeline(&[to_tensor.clone(), normalize.clone()]);
    assert_eq!(fused.tables(3).map(|tables| tables.len()), Some(3));
    assert!(fused.tables(1).is_none());
    // A flip between them keeps them apart; flipped back it is the same picture.
    let flip = serde_json::json!({ "_target_": "torchvision.transforms.RandomHorizontalFlip", "p": 1.0 });
    let apart = pipeline(&[to_tensor, flip.clone(), normalize, flip]);
    assert!(apart.tables(3).is_none());
    let image = ramp(5, 4);
    let a = floats(&fused.run(image.clone(), KEY).unwrap());
    assert_eq!(a, floats(&apart.run(image.clone(), KEY).unwrap()));
    assert_eq!(a[0], (f32::from(image.data[0]) / 255.0 - 0.4f32) / 0.2f32);
}

#[test]
fn a_sample_has_the_same_draw_every_time() {
    let crop = serde_json::json!({ "_target_": "torchvision.transforms.RandomCrop", "size": 8, "padding": 2 });
    let pipeline = pipeline(&[crop]);
    let at = |index| floats(&pipeline.run(ramp(12, 9), SampleKey { index, ..KEY }).unwrap());
    assert_eq!(at(3), at(3));
    assert!((4..20).any(|index| at(index) != at(3)));
}

#[test]
fn a_crop_larger_than_the_picture_says_what_to_do() {
    let crop = serde_json::json!({ "_target_": "torchvision.transforms.RandomCrop", "size": [8, 20] });
    let error = pipeline(&[crop]).run(ramp(12, 9), KEY).unwrap_err().to_string();
    assert_eq!(error, "RandomCrop cannot cut 8x20 out of a picture of 9x12; set pad_if_needed: true, or resize first");
}

#[test]
fn wrong_order_says_what_to_do() {
    let normalize = serde_json::json!({ "_target_": "torchvision.transforms.Normalize", "mean": 0.5, "std": 0.5 });
    let error = pipeline(std::slice::from_ref(&normalize)).run(ramp(3, 3), KEY).unwrap_err().to_string();
    assert!(error.contains("put ToTensor"), "{error}");
    let to_tensor = serde_json::json!({ "_target_": "torchvision.transforms.ToTensor" });
    let gray = serde_json::json!({ "_target_": "torchvision.transforms.Grayscale" });
    let error = pipeline(&[to_tensor, normalize, gray]).run(ramp(3, 3), KEY).unwrap_err().to_string();
    assert!(error.starts_with("Grayscale acts on 8-bit pictures"), "{error}");
}

/// 16-bit pictures go through the usual transforms: what is 257 times a byte becomes what the byte becomes.
#[test]
fn floats_are_normalized_as_bytes_are() {
    let to_tensor = serde_json::json!({ "_target_": "torchvision.transforms.ToTensor" });
    let normalize = serde_json::json!({ "_target_": "torchvision.transforms.Normalize", "mean": [0.4, 0.5, 0.6], "std": [0.2, 0.25, 0.3] });
    let bytes = ramp(5, 4);
    let pixels = bytes.width * bytes.height;
    let data = (0..bytes.channels)
        .flat_map(|channel| (0..pixels).map(move |pixel| (channel, pixel)))
        .map(|(channel, pixel)| f32::from(bytes.data[pixel * bytes.channels + channel]) / 255.0)
        .collect();
    let wide = Planes { width: bytes.width, height: bytes.height, channels: bytes.channels, data };
    for steps in [vec![to_tensor.clone()], vec![to_tensor, normalize]] {
        let pipeline = pipeline(&steps);
        let expected = floats(&pipeline.run(bytes.clone(), KEY).unwrap());
        let found = floats(&pipeline.run(Picture::Floats(wide.clone()), KEY).unwrap());
        let far = found.iter().zip(&expected).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
        assert!(found.len() == expected.len() && far < 1e-6, "{far}");
    }
}

/// Pillow 13: where a centre falls between two pixels, the rounding of the summed step decides.
#[test]
fn nearest_neighbours_are_pillow_s() {
    let image = Image::new(6, 1, 1, (0..6).collect()).unwrap();
    let resized = resample::resize(&image, 1, 9, Interpolation::Nearest);
    assert_eq!(resized.data, [0, 1, 1, 2, 2, 3, 4, 5, 5]);
}

/// torchvision 0.26, `v2.RandomRotation([20, 20], expand=True)` of a box in a picture of 37 x 53.
#[test]
fn boxes_in_an_expanded_rotation() {
    let canvas = Canvas { height: 37, width: 53, channels: 3 };
    let fill = Fill::default();
    let op = Op::Rotate { angle: 20.0, interpolation: Interpolation::Nearest, expand: true, center: None, fill };
    let moved = Boxes { boxes: vec![[5.0, 6.0, 20.0, 16.0]], canvas }.apply(&op);
    assert_eq!((moved.canvas.height, moved.canvas.width), (53, 63));
    for (got, want) in moved.boxes[0].iter().zip([6.7506, 16.9248, 24.2662, 31.4520]) {
        assert!((got - want).abs() < 1e-3, "{:?}", moved.boxes);
    }
}
