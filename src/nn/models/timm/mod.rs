//! `timm.create_model`: its families under timm's names, arguments and state-dict names.

mod efficientnet;
mod pool;
mod vit;

use schemars::JsonSchema;
use serde::Deserialize;

use pool::{GlobalPool, Pooling};

use super::vision::resnet::{Pooled, ResNet, Shape as ResNetShape};
use crate::error::Result;
use crate::nn::args::Count;
use crate::nn::{Module, Net, NetSpec, Path, weights};
use crate::registry::{Build, Check, Component, Fraction, Ignored, Registry, suggest};

/// `pretrained: true` asks for timm's published weights; text is the path of a local file.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) enum Pretrained {
    /// Drawn.
    #[default]
    No,
    /// timm's own, from the network.
    Published,
    /// A local file.
    File(String),
}

impl<'de> Deserialize<'de> for Pretrained {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Take;
        impl serde::de::Visitor<'_> for Take {
            type Value = Pretrained;
            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("true, false or the path of a weights file")
            }
            fn visit_bool<E: serde::de::Error>(self, v: bool) -> Result<Pretrained, E> {
                Ok(if v { Pretrained::Published } else { Pretrained::No })
            }
            fn visit_str<E: serde::de::Error>(self, v: &str) -> Result<Pretrained, E> {
                Ok(Pretrained::File(v.to_owned()))
            }
        }
        deserializer.deserialize_any(Take)
    }
}

impl JsonSchema for Pretrained {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Pretrained".into()
    }
    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({ "type": ["boolean", "string"] })
    }
    fn inline_schema() -> bool {
        true
    }
}

impl serde::Serialize for Pretrained {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Pretrained::No => serializer.serialize_bool(false),
            Pretrained::Published => serializer.serialize_bool(true),
            Pretrained::File(path) => serializer.serialize_str(path),
        }
    }
}

/// A timm model by its name: `resnet18`, `efficientnet_b0`, `vit_small_patch16_224`, ….
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct CreateModelArgs {
    /// The model's name; a tag (`.augreg_in21k`) is accepted and names the published weights.
    model_name: String,
    /// Whether to load weights: the path of a local file, or true for `checkpoint_path`.
    #[serde(default)]
    pretrained: Pretrained,
    /// timm's own configuration of weights.
    #[serde(default)]
    #[allow(dead_code)]
    pretrained_cfg: Ignored,
    /// timm's own configuration of weights.
    #[serde(default)]
    #[allow(dead_code)]
    pretrained_cfg_overlay: Ignored,
    /// The path of a local file with weights of all layers.
    #[serde(default)]
    checkpoint_path: Option<String>,
    /// timm's own cache.
    #[serde(default)]
    #[allow(dead_code)]
    cache_dir: Ignored,
    /// Nothing is scripted here.
    #[serde(default)]
    #[allow(dead_code)]
    scriptable: Ignored,
    /// Nothing is exported here.
    #[serde(default)]
    #[allow(dead_code)]
    exportable: Ignored,
    /// Outputs: classes; 0 for features without a head.
    #[serde(default = "imagenet")]
    num_classes: u32,
    /// Channels of the images.
    #[serde(default = "rgb")]
    in_chans: Count,
    /// Dropout before the last layer.
    #[serde(default = "zero")]
    drop_rate: Fraction,
    /// Stochastic depth of the last block; the others have less, linearly.
    #[serde(default = "zero")]
    drop_path_rate: Fraction,
    /// Pixels of a side of the image, for networks that depend on it; null for the name's.
    #[serde(default)]
    img_size: Option<Count>,
    /// What becomes of the final feature map: avg, max, avgmax, catavgmax, "" (it stays, with `num_classes: 0`); of
    /// transformers token, avg, max, avgmax. null is the network's own: avg, or token.
    #[serde(default)]
    global_pool: Option<GlobalPool>,
    /// By how much the final feature map is smaller than the image: 32, 16 or 8. Strides beyond it become dilations.
    #[serde(default)]
    output_stride: Option<Count>,
}

fn imagenet() -> u32 {
    1000
}

fn rgb() -> Count {
    Count(3)
}

fn zero() -> Fraction {
    Fraction(0.0)
}

/// By how much the networks make an image smaller, unless told otherwise.
const LARGEST_STRIDE: i64 = 32;

/// What every family is given.
struct Common {
    classes: Option<i64>,
    channels: i64,
    dropout: f64,
    depth: f64,
    image: Option<i64>,
    pool: Option<GlobalPool>,
    /// Of the final feature map.
    stride: i64,
}

/// A family's member by its name, if it has one.
enum Family {
    ResNet(ResNetShape),
    EfficientNet(efficientnet::Scale),
    Vit(vit::Shape),
}

fn family(name: &str) -> Option<Family> {
    let name = name.split('.').next().unwrap_or(name);
    ResNetShape::named(name)
        .map(Family::ResNet)
        .or_else(|| efficientnet::Scale::named(name).map(Family::EfficientNet))
        .or_else(|| vit::Shape::named(name).map(Family::Vit))
}

/// Whether timm has a model of this name, and it is here.
pub(super) fn is_known(name: &str) -> bool {
    family(name).is_some()
}

/// The side of the images that a model takes, where it takes one size only.
pub(super) fn image_side(name: &str) -> Option<i64> {
    match family(name) {
        Some(Family::Vit(shape)) => Some(shape.image()),
        _ => None,
    }
}

/// Mean and deviation of each channel with which timm's weights of a model were trained (its `default_cfg`):
/// ImageNet's, but 0.5 for vision transformers other than DeiT and those of the tags `mae` and `dino`.
pub(super) fn statistics(name: &str) -> [[f64; 3]; 2] {
    let (model, tag) = name.split_once('.').unwrap_or((name, ""));
    if model.starts_with("vit_") && !["mae", "dino"].contains(&tag) {
        return [[0.5; 3], [0.5; 3]];
    }
    [[0.485, 0.456, 0.406], [0.229, 0.224, 0.225]]
}

/// Names that are often meant, for the nearest-name search.
pub(super) fn known() -> Vec<String> {
    let mut names: Vec<String> =
        ["resnet18", "resnet34", "resnet50", "resnet101", "resnet152"].map(String::from).into();
    names.extend(["wide_resnet50_2", "wide_resnet101_2", "resnext50_32x4d", "resnext101_32x8d"].map(String::from));
    names.extend((0..8).map(|scale| format!("efficientnet_b{scale}")));
    for size in ["tiny", "small", "base", "large"] {
        names.extend(["16_224", "16_384", "32_224", "32_384"].map(|rest| format!("vit_{size}_patch{rest}")));
    }
    names.push("vit_base_patch8_224".into());
    names
}

impl Component for CreateModelArgs {
    type Kind = Net;
    const TARGETS: &'static [&'static str] = &["timm.create_model", "timm.models.create_model"];

    fn check(&self, cx: &mut Check) {
        if family(&self.model_name).is_none() {
            let known = known();
            let near = suggest::nearest(&self.model_name, known.iter().map(String::as_str));
            let problem = cx.problem("model_name", format!("unknown timm model `{}`", self.model_name));
            problem.help = Some(match near {
                Some(near) => format!("did you mean `{near}`?"),
                None => "resnet*, efficientnet_b* and vit_* are known".into(),
            });
        }
        let stride = self.output_stride.map_or(LARGEST_STRIDE, |stride| stride.0);
        if ![8, 16, LARGEST_STRIDE].contains(&stride) {
            cx.problem("output_stride", format!("{stride} is none of 32, 16 and 8"));
        }
        let is_transformer = matches!(family(&self.model_name), Some(Family::Vit(_)));
        if is_transformer && self.output_stride.is_some() {
            cx.problem("output_stride", format!("`{}` has no strides that could be changed", self.model_name)).help =
                Some("remove it; the patch's size is in the network's name".into());
        }
        let known: &[GlobalPool] = match is_transformer {
            true => &[GlobalPool::Token, GlobalPool::Avg, GlobalPool::Max, GlobalPool::AvgMax, GlobalPool::None],
            false => &[GlobalPool::Avg, GlobalPool::Max, GlobalPool::AvgMax, GlobalPool::CatAvgMax, GlobalPool::None],
        };
        if let Some(pool) = self.global_pool {
            if !known.contains(&pool) {
                let kind = if is_transformer { "a transformer" } else { "a convolutional network" };
                let problem = cx.problem("global_pool", format!("{kind} cannot be pooled like this"));
                problem.help = Some(match is_transformer {
                    true => "one of token, avg, max, avgmax".into(),
                    false => "one of avg, max, avgmax, catavgmax".into(),
                });
            } else if pool == GlobalPool::None && self.num_classes > 0 {
                cx.problem("global_pool", "a head needs features, not a map").help =
                    Some("set num_classes: 0 too, or a pooling".into());
            }
        }
        if self.pretrained == Pretrained::Published && self.checkpoint_path.is_none() {
            cx.problem("pretrained", "timm's weights have no fixed address with a checksum").help =
                Some("give the path of a local file: pretrained: weights.safetensors".into());
        }
    }

    fn build(self, _: &mut Build) -> Result<NetSpec> {
        Ok(NetSpec(Box::new(move |path| self.make(path))))
    }
}

impl CreateModelArgs {
    fn make(&self, path: &Path) -> Result<Box<dyn Module>> {
        let common = Common {
            classes: (self.num_classes > 0).then_some(i64::from(self.num_classes)),
            channels: self.in_chans.0,
            dropout: self.drop_rate.0,
            depth: self.drop_path_rate.0,
            image: self.img_size.map(|size| size.0),
            pool: self.global_pool,
            stride: self.output_stride.map_or(LARGEST_STRIDE, |stride| stride.0),
        };
        let net: Box<dyn Module> = match family(&self.model_name) {
            Some(Family::ResNet(shape)) => {
                // The stages after the first would halve the map that the stem has made a quarter of the image.
                let dilate = [8, 16, 32].map(|reached| reached > common.stride);
                let shape = ResNetShape { channels: common.channels, dilate, ..shape };
                let pool = common.pool.unwrap_or_default();
                let pooled = |path: &Path| Pooled { module: Box::new(Pooling::new(path, pool)), times: pool.times() };
                Box::new(ResNet::pooled(path, &shape, common.classes, true, pooled)?.with_dropout(common.dropout))
            }
            Some(Family::EfficientNet(scale)) => Box::new(efficientnet::EfficientNet::new(path, &scale, &common)?),
            Some(Family::Vit(shape)) => Box::new(vit::VisionTransformer::new(path, &shape, &common)?),
            None => return Err(crate::error::Error::request(format!("unknown timm model `{}`", self.model_name))),
        };
        let file = match &self.pretrained {
            Pretrained::File(file) => Some(file.as_str()),
            _ => self.checkpoint_path.as_deref(),
        };
        if let Some(file) = file {
            let head = match family(&self.model_name) {
                Some(Family::ResNet(_)) => "fc",
                Some(Family::EfficientNet(_)) => "classifier",
                _ => "head",
            };
            weights::load_adapted(path, file, head)?;
        }
        Ok(net)
    }
}

/// Adds `timm.create_model`.
pub fn register(registry: &mut Registry) {
    registry.add::<CreateModelArgs>();
}
