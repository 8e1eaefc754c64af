//! The networks of varKoder: a timm body with fastai's head, and two published for pictures of k-mer counts.

use schemars::JsonSchema;
use serde::Deserialize;
use tch::Tensor;

use super::heads::{FastaiHead, HeadShape, classes};
use crate::config::{KeyPath, Map, Node};
use crate::error::{Error, Result};
use crate::nn::args::Count;
use crate::nn::layers::{Activation, Conv, ConvOptions, Dropout, Flatten, Function, Linear, Sequential};
use crate::nn::{DataShape, Module, Net, NetSpec, Path, weights};
use crate::registry::{Build, Check, Component, Slot, suggest};

/// A network for pictures of k-mer counts, by varKoder's names: `fiannaca2018`, `arias2022`, or a model of timm with
/// fastai's head.
///
/// A model of timm for images of one size (`vit_base_patch16_224`) sees its images stretched to it.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct VarkoderArgs {
    /// `fiannaca2018`, `arias2022`, or a model's name in timm; `hf-hub:` before it names weights of the hub.
    architecture: String,
    /// Whether to draw the weights rather than to load pretrained ones.
    #[serde(default)]
    random_weights: bool,
    /// A local file with pretrained weights of the body.
    #[serde(default)]
    pretrained: Option<String>,
    /// A checkpoint, or the folder of a run: every tensor whose name and shape agree is taken over, all others are
    /// drawn.
    #[serde(default)]
    continue_from: Option<String>,
    /// How images are stretched to the size of a model that has one.
    #[serde(default)]
    resize: Stretch,
    /// Outputs; null: the classes of the data.
    #[serde(default)]
    num_classes: Option<Count>,
}

/// How images are stretched.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, serde::Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
enum Stretch {
    /// The nearest pixel.
    #[default]
    Nearest,
    /// The mean over the area that a pixel covers.
    Box,
}

/// The names that are no models of timm.
const OWN: [&str; 2] = ["fiannaca2018", "arias2022"];

impl VarkoderArgs {
    /// The model's name in timm, without the hub and the name of its weights.
    fn timm_name(&self) -> &str {
        let name = self.architecture.as_str();
        let name = name.strip_prefix("hf-hub:").or_else(|| name.strip_prefix("hf_hub:")).unwrap_or(name);
        let name = name.rsplit('/').next().unwrap_or(name);
        name.split('.').next().unwrap_or(name)
    }

    fn is_own(&self) -> bool {
        OWN.contains(&self.architecture.as_str())
    }

    /// timm's model as a component.
    fn timm(&self) -> Slot<Net> {
        let mut args: Map = [
            ("_target_".into(), Node::program("timm.create_model")),
            ("model_name".into(), Node::program(self.timm_name())),
        ]
        .into_iter()
        .collect();
        if let Some(file) = self.pretrained.as_ref().filter(|_| !self.random_weights) {
            args.insert("pretrained".into(), Node::program(file.as_str()));
        }
        Slot::new(Node::program(args), KeyPath::root())
    }

    /// The side of the images that the model takes, where it takes one only: the number at the name's end.
    fn side(&self) -> Option<i64> {
        let name = self.timm_name();
        let fixed = name.starts_with("vit_") || name.starts_with("swin");
        name.rsplit('_').next().filter(|_| fixed)?.parse().ok()
    }
}

impl Component for VarkoderArgs {
    type Kind = Net;
    const TARGETS: &'static [&'static str] = &["runner.models.Varkoder"];

    fn check(&self, cx: &mut Check) {
        if self.is_own() {
            return;
        }
        let name = self.timm_name();
        if !super::timm::is_known(name) {
            let mut known = super::timm::known();
            known.extend(OWN.map(String::from));
            let near = OWN.into_iter().find(|own| own.starts_with(name));
            let near = near.or_else(|| suggest::nearest(name, known.iter().map(String::as_str)));
            let problem = cx.problem("architecture", format!("unknown architecture `{}`", self.architecture));
            problem.help = Some(match near {
                Some(near) => format!("did you mean `{near}`? Known are fiannaca2018, arias2022 and timm's names"),
                None => "known are fiannaca2018, arias2022 and timm's resnet*, efficientnet_b* and vit_*".into(),
            });
        } else if !self.random_weights && self.pretrained.is_none() && self.continue_from.is_none() {
            cx.problem("architecture", format!("the pretrained weights of `{}` are not here", self.architecture))
                .help = Some(
                "give a local file with them (pretrained: weights.safetensors), or draw them: random_weights: true"
                    .into(),
            );
        }
    }

    fn build(self, cx: &mut Build) -> Result<NetSpec> {
        let classes = classes(self.num_classes, cx)?;
        if self.is_own() {
            let shape = cx.fact::<DataShape>().and_then(|data| data.input.clone());
            let [_, height, width] = shape.as_deref().unwrap_or_default() else {
                return Err(Error::request(format!("{} needs to know the size of the images", self.architecture))
                    .help("its input is `[channels, height, width]` of one size for all"));
            };
            let pixels = height * width;
            let is_fiannaca = self.architecture == OWN[0];
            return Ok(NetSpec::new(move |path| {
                let chain = if is_fiannaca { fiannaca(path, pixels, classes)? } else { arias(path, pixels, classes)? };
                weights::take_over(path, self.continue_from.as_deref())?;
                Ok(FirstChannel(chain))
            }));
        }
        let (side, stretch) = (self.side(), self.resize);
        let body = cx.build(&self.timm())?;
        Ok(NetSpec::new(move |path| {
            let net = FastaiHead::new(path, &body, HeadShape::new(classes))?;
            weights::take_over(path, self.continue_from.as_deref())?;
            Ok(Stretched { net, side, stretch })
        }))
    }
}

/// A network whose images are stretched to the size that it takes.
struct Stretched {
    net: FastaiHead,
    side: Option<i64>,
    stretch: Stretch,
}

impl Module for Stretched {
    fn forward(&self, input: &Tensor, train: bool) -> Tensor {
        let size = input.size();
        match self.side {
            Some(side) if size[2..] != [side, side] => {
                let input = match self.stretch {
                    Stretch::Nearest => input.upsample_nearest2d([side, side], None, None),
                    Stretch::Box => input.adaptive_avg_pool2d([side, side]),
                };
                self.net.forward(&input, train)
            }
            _ => self.net.forward(input, train),
        }
    }
}

/// Looks at the first channel of images only, as one row of pixels.
struct FirstChannel(Sequential);

impl Module for FirstChannel {
    fn forward(&self, input: &Tensor, train: bool) -> Tensor {
        self.0.forward(&input.select(1, 0).flatten(1, -1), train)
    }
}

/// Fiannaca et al. (2018), as varKoder has it: two convolutions over the row, two linear layers.
fn fiannaca(path: &Path, pixels: i64, classes: i64) -> Result<Sequential> {
    let half = |length: i64| (length - 4) / 2;
    let flat = half(half(pixels)) * 10;
    if flat < 10 {
        return Err(Error::request(format!("fiannaca2018 needs images of 16 pixels or more, not {pixels}")));
    }
    let mut net = Sequential::new(path);
    net.push(Row(Conv::<1>::new(&path.child(0), 1, 5, ConvOptions::new(5))?));
    net.push(Row(Conv::<1>::new(&path.child(1), 5, 10, ConvOptions::new(5))?));
    net.push(Flatten::new(&path.child(2), 1, -1));
    net.push(Linear::new(&path.child(3), flat, 500, true)?);
    net.push(Activation::in_place(&path.child(4), Function::Relu));
    net.push(Linear::new(&path.child(5), 500, classes, true)?);
    Ok(net)
}

/// A convolution over a row of pixels, a rectifier, and the greater of every two values.
struct Row(Conv<1>);

impl Module for Row {
    fn forward(&self, input: &Tensor, train: bool) -> Tensor {
        let input = if input.dim() == 2 { input.unsqueeze(1) } else { input.shallow_clone() };
        self.0.forward(&input, train).relu().max_pool1d([2], [2], [0], [1], false)
    }
}

/// Arias et al. (2022), as varKoder has it: three linear layers.
fn arias(path: &Path, pixels: i64, classes: i64) -> Result<Sequential> {
    let mut net = Sequential::new(path);
    for (index, [inputs, outputs]) in [[pixels, 512], [512, 64]].into_iter().enumerate() {
        net.push(Linear::new(&path.child(3 * index), inputs, outputs, true)?);
        net.push(Activation::in_place(&path.child(3 * index + 1), Function::Relu));
        net.push(Dropout::new(&path.child(3 * index + 2), 0.5));
    }
    net.push(Linear::new(&path.child(6), 64, classes, true)?);
    Ok(net)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::nn::Params;
    use tch::{Device, Kind};

    fn parameters(make: impl Fn(&Path) -> Result<Sequential>, side: i64) -> i64 {
        let params = Params::new(Device::Cpu);
        let net = FirstChannel(make(&params.root()).unwrap());
        let output = net.forward(&Tensor::ones([2, 3, side, side], (Kind::Float, Device::Cpu)), false);
        assert_eq!(output.size(), [2, 7]);
        params.parameters().iter().map(|(_, tensor)| tensor.numel() as i64).sum()
    }

    #[test]
    fn widths_are_those_of_the_published_networks() {
        // 91x91 pixels give 20,670 values after the convolutions, 128x128 give 40,930.
        for (side, flat) in [(91, 20_670), (128, 40_930)] {
            let convolutions = 5 * 5 + 5 + 10 * 5 * 5 + 10;
            let linear = flat * 500 + 500 + 500 * 7 + 7;
            assert_eq!(parameters(|path| fiannaca(path, side * side, 7), side), convolutions + linear);
            let linear = side * side * 512 + 512 + 512 * 64 + 64 + 64 * 7 + 7;
            assert_eq!(parameters(|path| arias(path, side * side, 7), side), linear);
        }
    }

    #[test]
    fn names_of_the_hub_and_of_timm() {
        let args = |architecture: &str| VarkoderArgs {
            architecture: architecture.into(),
            random_weights: true,
            pretrained: None,
            continue_from: None,
            resize: Stretch::Nearest,
            num_classes: None,
        };
        let hub = args("hf-hub:brunoasm/vit_large_patch32_224.NCBI_SRA");
        assert_eq!((hub.timm_name(), hub.side()), ("vit_large_patch32_224", Some(224)));
        assert_eq!((args("resnet50").timm_name(), args("resnet50").side()), ("resnet50", None));
    }
}
