//! Backbones with other heads: one for each level of a hierarchy, or fastai's.

use schemars::JsonSchema;
use serde::Deserialize;
use tch::{Kind, Tensor};

use crate::error::{Error, Result};
use crate::nn::args::Count;
use crate::nn::layers::{Activation, BatchNorm, Dropout, Function, Linear, Sequential};
use crate::nn::{DataShape, Dims, Module, Net, NetSpec, Path, init, modify};
use crate::registry::{Build, Component, Fraction, Slot};

/// Takes the last linear layer off a network, so that it gives features, and says how many.
///
/// # Errors
/// When the last layer with weights is no linear one.
fn take_head_off(path: &Path) -> Result<i64> {
    let layers = path.params().layers();
    let mut weighted = layers.iter().filter(|label| matches!(label.kind, "Linear" | "Conv2d" | "Conv1d"));
    match weighted.rfind(|label| path.holds(&label.name)) {
        Some(label) if label.kind == "Linear" => modify::last_layer_to_identity(path),
        _ => Err(Error::request("the backbone does not end with a linear layer that another head could replace")
            .help("take an EfficientNet, ResNet, RegNet or another classifier, with its classes")),
    }
}

/// A backbone with a linear head for every level of a hierarchy: `[batch, …]` to the levels' logits side by side,
/// `[batch, sum of classes]`.
///
/// The backbone is a classifier whose last linear layer is taken off. Heads are called `heads.<level>`.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct MultiHeadArgs {
    /// The network whose features the heads see.
    backbone: Slot<Net>,
    /// Classes of each head; null: the levels of the data.
    #[serde(default)]
    num_classes: Option<Vec<Count>>,
}

impl Component for MultiHeadArgs {
    type Kind = Net;
    const TARGETS: &'static [&'static str] = &["runner.models.MultiHead"];

    fn build(self, cx: &mut Build) -> Result<NetSpec> {
        let backbone = cx.build(&self.backbone)?;
        let heads: Vec<(String, i64)> = match &self.num_classes {
            Some(counts) => counts.iter().enumerate().map(|(index, count)| (index.to_string(), count.0)).collect(),
            None => cx.fact::<DataShape>().map(|data| data.heads.clone()).unwrap_or_default(),
        };
        if heads.is_empty() {
            return Err(Error::request("the data has no levels, so it is not known how many heads there are")
                .help("use data with a hierarchy of labels, or set num_classes of the heads"));
        }
        Ok(NetSpec(Box::new(move |path| {
            let below = path.child("backbone");
            let module = (backbone.0)(&below)?;
            let features = take_head_off(&below)?;
            let path = path.child("heads");
            path.mark_head();
            let head = |(name, classes): &(String, i64)| {
                // A dot would look like a layer within a layer.
                Linear::new(&path.child(name.replace('.', "_")), features, *classes, true)
            };
            Ok(Box::new(MultiHead { backbone: module, heads: heads.iter().map(head).collect::<Result<_>>()? }))
        })))
    }
}

struct MultiHead {
    backbone: Box<dyn Module>,
    heads: Vec<Linear>,
}

impl Module for MultiHead {
    fn forward(&self, input: &Tensor, train: bool) -> Tensor {
        let features = self.backbone.forward(input, train);
        let logits: Vec<Tensor> = self.heads.iter().map(|head| head.forward(&features, train)).collect();
        Tensor::cat(&logits, 1)
    }
}

/// A body with fastai's head: `[batch, channels, height, width]` to `[batch, num_classes]`.
///
/// Where the body is convolutional, the greatest and the mean value over each of its final maps, else its features;
/// then BatchNorm, Dropout, Linear, ReLU, BatchNorm, Dropout, Linear, the linear ones without bias and drawn by
/// Kaiming's normal distribution (fastai's `create_head`). The body is a classifier whose last linear layer is taken
/// off. Parameters are called `0.…` (body) and `1.…` (head), as in fastai.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct FastaiHeadArgs {
    /// The network whose features the head sees.
    body: Slot<Net>,
    /// Outputs; null: the classes of the data.
    #[serde(default)]
    num_classes: Option<Count>,
    /// Width of the hidden layer.
    #[serde(default = "hidden")]
    hidden: Count,
    /// Dropout before the last layer; half of it before the hidden one.
    #[serde(default = "half")]
    dropout: Fraction,
}

fn hidden() -> Count {
    Count(512)
}

fn half() -> Fraction {
    Fraction(0.5)
}

/// How fastai's head is made.
#[derive(Clone, Copy)]
pub(super) struct HeadShape {
    pub classes: i64,
    pub hidden: i64,
    pub dropout: f64,
}

impl HeadShape {
    /// The usual head for so many classes.
    pub fn new(classes: i64) -> Self {
        HeadShape { classes, hidden: 512, dropout: 0.5 }
    }
}

/// The classes that a network has: those given, else those of the data.
pub(super) fn classes(given: Option<Count>, cx: &Build) -> Result<i64> {
    given.map(|count| count.0).or_else(|| cx.fact::<Dims>()?.classes).ok_or_else(|| {
        Error::request("the data does not say how many classes there are").help("set the network's num_classes")
    })
}

impl Component for FastaiHeadArgs {
    type Kind = Net;
    const TARGETS: &'static [&'static str] = &["runner.models.FastaiHead"];

    fn build(self, cx: &mut Build) -> Result<NetSpec> {
        let body = cx.build(&self.body)?;
        let shape =
            HeadShape { classes: classes(self.num_classes, cx)?, hidden: self.hidden.0, dropout: self.dropout.0 };
        Ok(NetSpec(Box::new(move |path| Ok(Box::new(FastaiHead::new(path, &body, shape)?)))))
    }
}

/// A body with fastai's head.
pub(super) struct FastaiHead {
    body: Box<dyn Module>,
    head: Sequential,
}

impl FastaiHead {
    /// Makes both.
    ///
    /// # Errors
    /// When the body cannot be made, or has no linear layer at its end.
    pub fn new(path: &Path, body: &NetSpec, shape: HeadShape) -> Result<Self> {
        let below = path.child(0);
        let body = (body.0)(&below)?;
        let features = take_head_off(&below)? * if body.has_map() { 2 } else { 1 };
        let path = path.child(1);
        path.mark_head();
        let mut head = Sequential::new(&path);
        let HeadShape { classes, hidden, dropout } = shape;
        head.push(BatchNorm::one_dimensional(&path.child(0), features)?);
        head.push(Dropout::new(&path.child(1), dropout / 2.0));
        head.push(Linear::new(&path.child(2), features, hidden, false)?);
        head.push(Activation::in_place(&path.child(3), Function::Relu));
        head.push(BatchNorm::one_dimensional(&path.child(4), hidden)?);
        head.push(Dropout::new(&path.child(5), dropout));
        head.push(Linear::new(&path.child(6), hidden, classes, false)?);
        path.reinitialize(|kind, name, t| {
            if (kind, name) == ("Linear", "weight") {
                init::kaiming_normal(t, init::Fan::In);
            }
        });
        Ok(FastaiHead { body, head })
    }
}

impl Module for FastaiHead {
    fn forward(&self, input: &Tensor, train: bool) -> Tensor {
        let features = match self.body.map(input, train) {
            Some(map) => {
                let axes = [2i64, 3];
                let mean = map.mean_dim(axes.as_slice(), false, None::<Kind>);
                Tensor::cat(&[map.amax(axes.as_slice(), false), mean], 1)
            }
            None => self.body.forward(input, train),
        };
        self.head.forward(&features, train)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::nn::Params;
    use crate::nn::layers::{Conv2d, ConvOptions, Flatten};
    use tch::Device;

    /// A convolution and a classifier.
    fn small() -> NetSpec {
        NetSpec::new(|path: &Path| {
            Sequential::new(path)
                .with(Conv2d::new(&path.child(0), 1, 4, ConvOptions::new(3)))?
                .with(Ok(Flatten::new(&path.child(1), 1, -1)))?
                .with(Linear::new(&path.child(2), 4, 10, true))
        })
    }

    #[test]
    fn heads_see_the_features_and_are_known_as_head() {
        let params = Params::new(Device::Cpu);
        let net = FastaiHead::new(&params.root().child("net"), &small(), HeadShape::new(3)).unwrap();
        let output = net.forward(&Tensor::ones([2, 1, 3, 3], (Kind::Float, Device::Cpu)), true);
        assert_eq!(output.size(), [2, 3]);
        assert_eq!(params.head(), ["net.1"]);
        let names: Vec<String> = params.parameters().into_iter().map(|(name, _)| name).collect();
        assert_eq!(names[..3], ["net.0.0.weight", "net.0.0.bias", "net.1.0.weight"]);
    }

    #[test]
    fn a_network_without_a_linear_end_is_refused() {
        let body = NetSpec::new(|path: &Path| Conv2d::new(path, 1, 4, ConvOptions::new(3)));
        let error = FastaiHead::new(&Params::new(Device::Cpu).root().child("net"), &body, HeadShape::new(3)).err();
        assert!(error.unwrap().to_string().contains("does not end with a linear layer"));
    }
}
