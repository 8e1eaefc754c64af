use indexmap::IndexMap;
use tch::{Device, Kind, Tensor};

use super::*;
use crate::checkpoint::write_pt;
use crate::nn::layers::{Conv2d, ConvOptions, Flatten, Linear, Sequential};
use crate::nn::{Dims, Module, Params, Path};
use crate::registry::Registry;

fn args(architecture: &str) -> VarkoderArgs {
    VarkoderArgs {
        architecture: architecture.into(),
        random_weights: true,
        pretrained: None,
        continue_from: None,
        resize: Stretch::Nearest,
        mean: None,
        std: None,
        num_classes: None,
    }
}

/// The network for three classes, and its tensors.
fn made(args: VarkoderArgs) -> (Params, Box<dyn Module>) {
    let mut registry = Registry::new();
    crate::nn::register(&mut registry);
    let mut cx = Build::new(&registry);
    cx.provide(Dims { channels: Some(3), classes: Some(3) });
    let params = Params::new(Device::Cpu);
    let net = args.build(&mut cx).unwrap().make(&params.root().child("net")).unwrap();
    (params, net)
}

fn values(tensor: &Tensor) -> Vec<f32> {
    Vec::try_from(tensor.to_kind(Kind::Float).contiguous().view(-1)).unwrap()
}

#[test]
fn names_of_the_hub_and_of_timm() {
    let hub = args("hf-hub:brunoasm/vit_large_patch32_224.NCBI_SRA");
    assert_eq!((hub.timm_name(), timm::image_side(hub.timm_name())), ("vit_large_patch32_224", Some(224)));
    assert_eq!((args("resnet50").timm_name(), timm::image_side("resnet50")), ("resnet50", None));
    assert_eq!(timm::image_side("deit_small_patch16_224"), Some(224));
    assert_eq!(timm::statistics("vit_base_patch16_224.augreg_in21k")[0], [0.5; 3]);
    assert_eq!(timm::statistics("vit_base_patch16_224.mae")[0], [0.485, 0.456, 0.406]);
}

/// Two pictures of 48 pixels: every architecture gives numbers for three classes, those of one size too.
#[test]
fn architectures_see_pictures_of_any_size() {
    for (architecture, features) in
        [("resnet18", 1024), ("resnet50", 4096), ("resnext101_32x8d", 4096), ("vit_tiny_patch16_224", 192)]
    {
        let (params, net) = made(args(architecture));
        let images = Tensor::rand([2, 3, 48, 48], (Kind::Float, Device::Cpu));
        let logits = tch::no_grad(|| net.forward(&images, false));
        assert_eq!(logits.size(), [2, 3], "{architecture}");
        assert!(logits.isfinite().all().int64_value(&[]) == 1, "{architecture}");
        // fastai's head sees the greatest and the mean of each map, or the token of a transformer.
        assert_eq!(params.state_dict()["net.1.2.weight"].size(), [512, features], "{architecture}");
    }
}

/// A picture of 91 pixels as one of 224: column `i` is Pillow's, the one below the new pixel's centre.
#[test]
fn pictures_grow_without_new_values() {
    for stretch in [Stretch::Nearest, Stretch::Box] {
        let params = Params::new(Device::Cpu);
        let net = prepared_net(&params.root(), (Some(224), stretch), &UNCHANGED);
        let image =
            Tensor::arange(91 * 91, (Kind::Float, Device::Cpu)).view([1, 1, 91, 91]).expand([1, 3, 91, 91], false);
        let grown = net.prepare(&image);
        assert_eq!(grown.size(), [1, 3, 224, 224]);
        let from = |at: i64| ((at as f64 + 0.5) * 91.0 / 224.0).floor() as i64;
        let found = values(&grown.select(1, 2));
        for (place, value) in found.iter().enumerate() {
            let (row, column) = (place as i64 / 224, place as i64 % 224);
            assert_eq!(*value, (from(row) * 91 + from(column)) as f32, "{stretch:?} {row} {column}");
        }
    }
}

/// Four pixels as three: the middle one covers the centres of two.
#[test]
fn pictures_shrink_by_the_mean_of_what_is_covered() {
    let params = Params::new(Device::Cpu);
    let net = prepared_net(&params.root(), (Some(3), Stretch::Box), &UNCHANGED);
    let row = Tensor::from_slice(&[1f32, 2.0, 4.0, 8.0]);
    let image = row.view([1, 1, 1, 4]).expand([1, 3, 4, 4], false);
    assert_eq!(values(&net.prepare(&image).select(1, 0).select(1, 1)), [1.0, 3.0, 8.0]);
}

/// A convolution and a classifier, to be a body.
fn small() -> NetSpec {
    NetSpec::new(|path: &Path| {
        Sequential::new(path)
            .with(Conv2d::new(&path.child(0), 3, 4, ConvOptions::new(3)))?
            .with(Ok(Flatten::new(&path.child(1), 1, -1)))?
            .with(Linear::new(&path.child(2), 4, 10, true))
    })
}

fn prepared_net(path: &Path, size: (Option<i64>, Stretch), statistics: &[[f64; 3]; 2]) -> Prepared {
    let net = FastaiHead::new(path, &small(), HeadShape::new(3)).unwrap();
    Prepared::new(path, net, size, statistics).unwrap()
}

/// The first batch: of weights from a file its pixels are normalized as those were trained, else they are as they were.
#[test]
fn pixels_are_normalized_for_pretrained_weights_only() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("weights.pt").display().to_string();
    let (published, _) = made(args("resnet18"));
    let body: IndexMap<String, Tensor> = published
        .state_dict()
        .into_iter()
        .filter_map(|(name, tensor)| Some((name.strip_prefix("net.0.")?.to_owned(), tensor)))
        .collect();
    write_pt(std::path::Path::new(&file), &body, None).unwrap();

    let pretrained = VarkoderArgs { random_weights: false, pretrained: Some(file.clone()), ..args("resnet18") };
    let drawn = VarkoderArgs { pretrained: Some(file), ..args("resnet18") };
    let first = "net.0.conv1.weight";
    for (args, is_pretrained) in [(pretrained, true), (drawn, false)] {
        let statistics = args.statistics();
        let (params, _) = made(args);
        let dict = params.state_dict();
        assert_eq!(dict[first] == published.state_dict()[first], is_pretrained);
        let mean = values(&dict["net.normalize.mean"]);
        assert_eq!(mean, if is_pretrained { vec![0.485, 0.456, 0.406] } else { vec![0.0; 3] });

        let params = Params::new(Device::Cpu);
        let net = prepared_net(&params.root(), (None, Stretch::Nearest), &statistics);
        let batch = Tensor::rand([8, 3, 91, 91], (Kind::Float, Device::Cpu));
        let (before, after) = (batch.mean(Kind::Double).double_value(&[]), net.prepare(&batch));
        if is_pretrained {
            let channel = after.select(1, 2).mean(Kind::Double).double_value(&[]);
            let expected = (batch.select(1, 2).mean(Kind::Double).double_value(&[]) - 0.406) / 0.225;
            assert!((channel - expected).abs() < 1e-5, "{channel} {expected}");
        } else {
            assert_eq!((after.mean(Kind::Double).double_value(&[]), after == batch), (before, true));
        }
    }
    let given = VarkoderArgs { mean: Some([0.1, 0.2, 0.3]), ..args("resnet18") };
    assert_eq!(given.statistics(), [[0.1, 0.2, 0.3], [1.0; 3]]);
}
