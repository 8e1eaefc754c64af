//! Names of both providers, changed layers, pools and strides, weights taken over.

use indexmap::IndexMap;
use tch::{Device, Kind, Tensor};

use crate::checkpoint::Checkpoint;
use crate::config::{KeyPath, yaml};
use crate::error::Result;
use crate::nn::{Module, Net, Params, modify};
use crate::registry::{Build, KindInfo, Registry, Slot, SlotRef};

struct Made {
    params: Params,
    net: Box<dyn Module>,
}

impl Made {
    fn shape(&self, input: &[i64]) -> Vec<i64> {
        self.output(&ramp(input)).size()
    }

    fn output(&self, input: &Tensor) -> Tensor {
        tch::no_grad(|| self.net.forward(input, false))
    }

    /// With the weights of another network of the same names.
    fn alike(self, other: &Made) -> Self {
        let weights = other.params.state_dict();
        tch::no_grad(|| {
            for (name, tensor) in self.params.state_dict() {
                tensor.shallow_clone().copy_(&weights[&name]);
            }
        });
        self
    }

    fn size(&self, name: &str) -> Vec<i64> {
        self.params.state_dict()[name].size()
    }
}

/// Numbers from -1 to 1 in a row.
fn ramp(shape: &[i64]) -> Tensor {
    let count: i64 = shape.iter().product();
    (Tensor::arange(count, (Kind::Float, Device::Cpu)) * (2.0 / count as f64) - 1.0).view(shape)
}

/// The network of a config.
fn make(text: &str) -> Result<Made> {
    let file = tempfile::Builder::new().suffix(".yaml").tempfile().unwrap();
    std::fs::write(file.path(), text).unwrap();
    let node = yaml::read(file.path())?;
    let mut registry = Registry::new();
    crate::nn::register(&mut registry);
    let path = KeyPath::root().key("net");
    let (problems, _) =
        registry.check(&SlotRef { node: node.clone(), path: path.clone(), kind: KindInfo::of::<Net>() });
    if !problems.is_empty() {
        return Err(problems.into());
    }
    let spec = Build::new(&registry).build(&Slot::<Net>::new(node, path))?;
    let params = Params::new(Device::Cpu);
    let net = spec.make(&params.root())?;
    Ok(Made { params, net })
}

/// What is wrong with a config, or with what it describes.
fn problem(text: &str) -> String {
    make(text).err().map(|error| error.to_string()).unwrap_or_default()
}

/// Ten channels in, ten classes out; without the last layer the features that it saw.
#[test]
fn first_and_last_layer_of_six_architectures() {
    for (name, args, side, features) in [
        ("vgg11", "init_weights: false", 32, 4096),
        ("resnet18", "weights: null", 32, 512),
        ("inception_v3", "init_weights: false, aux_logits: false", 75, 2048),
        ("densenet121", "weights: null", 32, 1024),
        ("efficientnet_b0", "weights: null", 32, 1280),
        ("vit_b_16", "image_size: 32", 32, 768),
    ] {
        let made = make(&format!(
            "_target_: runner.models.Modified\nnum_classes: 10\nflatten: true\nnet:\n  _target_: runner.models.Modified\n  \
             in_chans: 10\n  keep_first_weights: false\n  net: {{_target_: torchvision.models.{name}, {args}}}\n"
        ))
        .unwrap();
        let first = made.params.state_dict().into_values().find(|tensor| tensor.dim() == 4).unwrap();
        assert_eq!(first.size()[1], 10, "{name}");
        assert_eq!(made.shape(&[2, 10, side, side]), [2, 10], "{name}");
        assert_eq!(modify::last_layer_to_identity(&made.params.root()).unwrap(), features, "{name}");
        assert_eq!(made.shape(&[2, 10, side, side]), [2, features], "{name}");
    }
}

#[test]
fn modifiers_follow_each_other() {
    let made = make(
        "_target_: runner.models.Modified\nlast_layer_to_identity: true\nnet:\n  _target_: runner.models.Modified\n  \
         num_classes: 7\n  net:\n    _target_: runner.models.Modified\n    in_chans: 4\n    \
         keep_first_weights: false\n    net: {_target_: timm.create_model, model_name: resnet18}\n",
    )
    .unwrap();
    assert_eq!(made.shape(&[2, 4, 32, 32]), [2, 512]);
    assert!(!made.params.state_dict().contains_key("fc.weight"));
    // A first layer that is to be drawn anew is, also for as many channels as it had.
    let redrawn = "_target_: runner.models.Modified\nin_chans: 3\nkeep_first_weights: KEEP\n\
                   net: {_target_: timm.create_model, model_name: resnet18}\n";
    let first = |keep: &str| make(&redrawn.replace("KEEP", keep)).unwrap().params.state_dict()["conv1.weight"].copy();
    assert_ne!(first("false"), first("true"));
}

/// The heads of a hierarchy are as wide as its levels, whatever network they take the place of.
#[test]
fn heads_of_a_hierarchy_on_three_families() {
    for (name, features) in [("resnet18", 512), ("regnet_y_400mf", 440), ("efficientnet_b0", 1280)] {
        let made = make(&format!(
            "_target_: runner.models.MultiHead\nnum_classes: [9, 4, 5, 7]\n\
             backbone: {{_target_: torchvision.models.{name}, weights: null}}\n"
        ))
        .unwrap();
        for (head, classes) in [9, 4, 5, 7].into_iter().enumerate() {
            assert_eq!(made.size(&format!("heads.{head}.weight")), [classes, features], "{name}");
            assert_eq!(made.size(&format!("heads.{head}.bias")), [classes], "{name}");
        }
        assert_eq!(made.shape(&[2, 3, 32, 32]), [2, 25], "{name}");
    }
    let ends_otherwise = "_target_: runner.models.MultiHead\nnum_classes: [2]\nbackbone:\n  \
        _target_: torch.nn.Conv2d\n  in_channels: 3\n  out_channels: 2\n  kernel_size: 3\n";
    assert!(problem(ends_otherwise).contains("does not end with a linear layer"), "{}", problem(ends_otherwise));
}

#[test]
fn pools_of_timm() {
    let of = |pool: &str, classes: i64| {
        make(&format!(
            "{{_target_: timm.create_model, model_name: resnet18, num_classes: {classes}, global_pool: {pool}}}"
        ))
        .unwrap()
    };
    let images = ramp(&[2, 3, 64, 64]);
    let usual = of("null", 0);
    let [mean, largest, half, both] =
        ["avg", "max", "avgmax", "catavgmax"].map(|pool| of(pool, 0).alike(&usual).output(&images));
    assert_eq!(mean, usual.output(&images));
    assert_eq!(half, (&mean + &largest) * 0.5);
    assert_eq!(both, Tensor::cat(&[mean, largest], 1));
    assert_eq!(of("catavgmax", 3).size("fc.weight"), [3, 1024]);
    assert_eq!(of("max", 3).size("fc.weight"), [3, 512]);
    assert_eq!(of("catavgmax", 3).shape(&[2, 3, 64, 64]), [2, 3]);

    let vit = |pool: &str| {
        make(&format!(
            "{{_target_: timm.create_model, model_name: vit_tiny_patch16_224, img_size: 32, num_classes: 0, \
             global_pool: {pool}}}"
        ))
        .unwrap()
    };
    for (pool, shape) in [("token", vec![2, 192]), ("avg", vec![2, 192]), ("avgmax", vec![2, 192])] {
        assert_eq!(vit(pool).shape(&[2, 3, 32, 32]), shape, "{pool}");
    }
    assert_eq!(vit("''").shape(&[2, 3, 32, 32]), [2, 5, 192]);
    assert!(vit("max").params.state_dict().contains_key("fc_norm.weight"));
    assert!(vit("token").params.state_dict().contains_key("norm.weight"));
}

#[test]
fn strides_of_timm_become_dilations() {
    for (name, channels) in [("resnet18", 512), ("resnet50", 2048), ("efficientnet_b0", 1280)] {
        let mut whole = None;
        for (stride, side) in [(32, 2), (16, 4), (8, 8)] {
            let made = make(&format!(
                "{{_target_: timm.create_model, model_name: {name}, num_classes: 0, global_pool: '', \
                 output_stride: {stride}}}"
            ))
            .unwrap();
            assert_eq!(made.shape(&[1, 3, 64, 64]), [1, channels, side, side], "{name} {stride}");
            let names: Vec<String> = made.params.state_dict().into_keys().collect();
            assert_eq!(whole.get_or_insert(names.clone()), &names, "the same weights fit");
        }
    }
}

#[test]
fn what_a_provider_does_not_have_is_named() {
    let timm = |args: &str| problem(&format!("{{_target_: timm.create_model, {args}}}"));
    for (args, message) in [
        ("model_name: resnet19", "did you mean `resnet18`"),
        ("model_name: resnet18, output_stride: 4", "4 is none of 32, 16 and 8"),
        ("model_name: resnet18, global_pool: token", "one of avg, max, avgmax, catavgmax"),
        ("model_name: resnet18, global_pool: ''", "num_classes: 0"),
        ("model_name: resnet18, global_pool: mean", "global_pool"),
        ("model_name: vit_tiny_patch16_224, output_stride: 16", "has no strides"),
        ("model_name: vit_tiny_patch16_224, global_pool: catavgmax", "one of token, avg, max, avgmax"),
    ] {
        let found = format!("{:?}", make(&format!("{{_target_: timm.create_model, {args}}}")).err());
        assert!(found.contains(message), "{args}: {found}");
        assert!(!timm(args).is_empty());
    }
    let unknown = format!("{:?}", make("_target_: torchvision.models.resnet19\n").err());
    assert!(unknown.contains("torchvision.models.resnet18"), "{unknown}");
    assert!(
        problem("{_target_: torchvision.models.resnet18, replace_stride_with_dilation: [false, false, true]}")
            .contains("have no dilation")
    );
}

/// A file whose names are a wrapper's and whose last layer has other classes.
#[test]
fn weights_of_another_training_are_taken_over_by_name() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("other.ckpt");
    let entry = |name: &str, shape: &[i64]| (name.to_owned(), Tensor::ones(shape, (Kind::Float, Device::Cpu)) * 3.0);
    let weights: IndexMap<String, Tensor> = [
        entry("model.encoder.weight", &[3, 4]),
        entry("model.encoder.bias", &[3]),
        entry("model.1.weight", &[2, 3]),
        entry("model.1.bias", &[2]),
    ]
    .into();
    Checkpoint { weights, ..Checkpoint::default() }.write(&file).unwrap();
    let text = |more: &str| {
        format!(
            "_target_: runner.models.Modified\nweights: {}\n{more}net:\n  _target_: torch.nn.Sequential\n  _args_:\n  \
             - {{_target_: torch.nn.Linear, in_features: 4, out_features: 3}}\n  \
             - {{_target_: torch.nn.Linear, in_features: 3, out_features: 5}}\n",
            file.display()
        )
    };
    let renamed = "remove_prefix: model.\nreplace_keys: [[encoder., '0.']]\n";
    let made = make(&text(&format!("{renamed}partial: true\n"))).unwrap();
    let sum = |name: &str| made.params.state_dict()[name].sum(Kind::Double).double_value(&[]);
    assert_eq!((sum("0.weight"), sum("0.bias")), (36.0, 9.0));
    assert!(sum("1.bias").abs() < 5.0, "what does not fit stays as it was drawn");

    let strict = problem(&text(renamed));
    for part in ["2 that do not fit", "`1.weight` is [2, 3] Float in the file and [5, 3] Float in the network"] {
        assert!(strict.contains(part), "{strict}");
    }
    let unnamed = problem(&text("partial: true\n"));
    assert!(unnamed.contains("no tensor of the file fits") && unnamed.contains("`0.weight`"), "{unnamed}");

    use md5::Digest;
    let sum = md5::Md5::digest(std::fs::read(&file).unwrap());
    let sum: String = sum.iter().map(|byte| format!("{byte:02X}")).collect();
    make(&text(&format!("{renamed}partial: true\nweights_md5: {sum}\n"))).unwrap();
    let wrong = problem(&text(&format!("{renamed}partial: true\nweights_md5: '{}'\n", "0".repeat(32))));
    assert!(wrong.contains("has the MD5 sum") && wrong.contains(&sum.to_lowercase()), "{wrong}");
}
