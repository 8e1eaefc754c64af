//! The networks of varKoder: a timm body with fastai's head, and two published for pictures of k-mer counts.

mod input;
mod published;

use schemars::JsonSchema;
use serde::Deserialize;

use super::heads::{FastaiHead, HeadShape, classes};
use super::timm;
use crate::config::{KeyPath, Map, Node};
use crate::error::{Error, Result};
use crate::nn::args::Count;
use crate::nn::{DataShape, Net, NetSpec, weights};
use crate::registry::{Build, Check, Component, Positive, Slot, suggest};
use input::{Prepared, Stretch, UNCHANGED};
use published::{FirstChannel, arias, fiannaca};

/// A network for pictures of k-mer counts, by varKoder's names: `fiannaca2018`, `arias2022`, or a model of timm with
/// fastai's head.
///
/// A model of timm for images of one size (`vit_base_patch16_224`) sees its images stretched to it; one with
/// pretrained weights sees them normalized as those were trained.
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
    /// The mean of each channel that is taken off images; null: that of timm's weights with `pretrained`, else 0.
    #[serde(default)]
    mean: Option<[f64; 3]>,
    /// The deviation of each channel by which images are divided; null: that of timm's weights with `pretrained`,
    /// else 1.
    #[serde(default)]
    std: Option<[Positive; 3]>,
    /// Outputs; null: the classes of the data.
    #[serde(default)]
    num_classes: Option<Count>,
}

/// The names that are no models of timm.
const OWN: [&str; 2] = ["fiannaca2018", "arias2022"];

impl VarkoderArgs {
    /// The model's name in timm with the name of its weights, without the hub.
    fn tagged_name(&self) -> &str {
        let name = self.architecture.as_str();
        let name = name.strip_prefix("hf-hub:").or_else(|| name.strip_prefix("hf_hub:")).unwrap_or(name);
        name.rsplit('/').next().unwrap_or(name)
    }

    /// The model's name in timm.
    fn timm_name(&self) -> &str {
        let name = self.tagged_name();
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

    /// Mean and deviation with which images are normalized.
    fn statistics(&self) -> [[f64; 3]; 2] {
        let is_pretrained = self.pretrained.is_some() && !self.random_weights;
        let [mean, std] = if is_pretrained { timm::statistics(self.tagged_name()) } else { UNCHANGED };
        [self.mean.unwrap_or(mean), self.std.map_or(std, |std| std.map(f64::from))]
    }
}

impl Component for VarkoderArgs {
    type Kind = Net;
    const TARGETS: &'static [&'static str] = &["runner.models.Varkoder"];

    fn check(&self, cx: &mut Check) {
        if self.is_own() {
            if self.mean.is_some() || self.std.is_some() || self.pretrained.is_some() {
                let named = [("pretrained", self.pretrained.is_some()), ("mean", self.mean.is_some())];
                let named = named.iter().find(|(_, given)| *given).map_or("std", |(name, _)| name);
                cx.problem(named, format!("{} has no pretrained weights and normalizes nothing", self.architecture))
                    .help = Some(format!("leave `{named}` out; weights of a run go to continue_from"));
            }
            return;
        }
        let name = self.timm_name();
        if !timm::is_known(name) {
            let mut known = timm::known();
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
        let (size, statistics) = ((timm::image_side(self.timm_name()), self.resize), self.statistics());
        let body = cx.build(&self.timm())?;
        Ok(NetSpec::new(move |path| {
            let net = FastaiHead::new(path, &body, HeadShape::new(classes))?;
            let net = Prepared::new(path, net, size, &statistics)?;
            weights::take_over(path, self.continue_from.as_deref())?;
            Ok(net)
        }))
    }
}

#[cfg(test)]
mod tests;
