//! `torch.nn.Sequential`.

use schemars::JsonSchema;
use serde::Deserialize;
use tch::Tensor;

use crate::error::Result;
use crate::nn::{Module, Net, NetSpec, Path, trace};
use crate::registry::{Build, Component, Slot};

/// Layers one after the other.
pub struct Sequential {
    name: String,
    kind: &'static str,
    layers: Vec<Box<dyn Module>>,
}

impl Sequential {
    /// An empty chain at `path`.
    pub fn new(path: &Path) -> Self {
        Self::called(path, "Sequential")
    }

    /// A chain that reports itself under another class name: torchvision's blocks that derive from `Sequential`.
    pub fn called(path: &Path, kind: &'static str) -> Self {
        Sequential { name: path.name().to_owned(), kind, layers: Vec::new() }
    }

    /// Adds a layer; the caller has made it at the right path.
    pub fn push(&mut self, layer: impl Module + 'static) {
        self.layers.push(Box::new(layer));
    }

    /// Adds a layer that is still to be checked for errors.
    ///
    /// # Errors
    /// The layer's own.
    pub fn with(mut self, layer: Result<impl Module + 'static>) -> Result<Self> {
        self.push(layer?);
        Ok(self)
    }

    /// How many layers there are: the name of the next one.
    pub fn len(&self) -> usize {
        self.layers.len()
    }

    /// Whether it passes its input on.
    pub fn is_empty(&self) -> bool {
        self.layers.is_empty()
    }

    /// The layers.
    pub fn layers(&self) -> &[Box<dyn Module>] {
        &self.layers
    }
}

impl Module for Sequential {
    fn forward(&self, input: &Tensor, train: bool) -> Tensor {
        let mut x = input.shallow_clone();
        let mut spare = false;
        for layer in &self.layers {
            x = if spare { layer.forward_in_place(&x, train) } else { layer.forward(&x, train) };
            // Who observes the layers sees each output as it was.
            spare = layer.spares_output() && !trace::is_observed();
        }
        trace::container(&self.name, self.kind, input, &x);
        x
    }
}

/// Networks one after the other. In a config: `_args_` is the list; their parameters are called `0.weight`,
/// `1.weight`, ….
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct SequentialArgs {
    /// The networks, first to last.
    #[serde(rename = "_args_", default)]
    modules: Vec<Slot<Net>>,
}

impl Component for SequentialArgs {
    type Kind = Net;
    const TARGETS: &'static [&'static str] = &["torch.nn.Sequential"];
    const VARIADIC: bool = true;

    fn build(self, cx: &mut Build) -> Result<NetSpec> {
        let modules = cx.build_all(&self.modules)?;
        Ok(NetSpec::new(move |path| {
            let mut chain = Sequential::new(path);
            for (index, module) in modules.iter().enumerate() {
                let layer = (module.0)(&path.child(index))?;
                chain.push(layer);
            }
            Ok(chain)
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{KeyPath, Node, Value};
    use crate::nn::Params;
    use crate::registry::Registry;
    use tch::{Device, Kind};

    fn node(json: serde_json::Value) -> Node {
        Node::program(match json {
            serde_json::Value::Bool(b) => Value::Bool(b),
            serde_json::Value::String(s) => Value::Str(s),
            serde_json::Value::Number(n) => n.as_i64().map_or(Value::Float(n.as_f64().unwrap()), Value::Int),
            serde_json::Value::Array(list) => Value::List(list.into_iter().map(node).collect()),
            serde_json::Value::Object(map) => {
                Value::Map(map.into_iter().map(|(k, v)| (k.as_str().into(), node(v))).collect())
            }
            serde_json::Value::Null => Value::Null,
        })
    }

    #[test]
    fn a_config_is_a_chain_with_pytorchs_names() {
        let mut registry = Registry::new();
        crate::nn::register(&mut registry);
        let config = node(serde_json::json!({
            "_target_": "torch.nn.Sequential",
            "_args_": [
                {"_target_": "torch.nn.Linear", "_args_": [4, 3]},
                {"_target_": "torch.nn.BatchNorm1d", "num_features": 3},
                {"_target_": "torch.nn.ReLU"},
                {"_target_": "torch.nn.Sequential", "_args_": [{"_target_": "torch.nn.Linear", "in_features": 3, "out_features": 2, "bias": false}]},
            ],
        }));
        let slot = Slot::<Net>::new(config, KeyPath::root());
        let spec = Build::new(&registry).build(&slot).unwrap();
        let params = Params::new(Device::Cpu);
        tch::manual_seed(0);
        let net = spec.make(&params.root().child("net")).unwrap();
        let names: Vec<String> = params.state_dict().keys().cloned().collect();
        assert_eq!(
            names,
            [
                "net.0.weight",
                "net.0.bias",
                "net.1.weight",
                "net.1.bias",
                "net.1.running_mean",
                "net.1.running_var",
                "net.1.num_batches_tracked",
                "net.3.0.weight"
            ]
        );
        // The first number that Python draws for torch.nn.Linear(4, 3) after manual_seed(0).
        let first = params.state_dict()["net.0.weight"].double_value(&[0, 0]);
        assert!((first + 0.00374341).abs() < 1e-7, "{first}");
        let (output, records) = trace::record(|| net.forward(&Tensor::ones([5, 4], (Kind::Float, Device::Cpu)), true));
        assert_eq!(output.size(), [5, 2]);
        let told: Vec<_> = records.iter().map(|r| (r.name.as_str(), r.kind, r.parameters, r.flops)).collect();
        assert_eq!(
            told,
            [
                ("net.0", "Linear", 15, 120),
                ("net.1", "BatchNorm1d", 6, 0),
                ("net.2", "ReLU", 0, 0),
                ("net.3.0", "Linear", 6, 60),
                ("net.3", "Sequential", 0, 0),
                ("net", "Sequential", 0, 0)
            ]
        );
        assert_eq!(params.state_dict()["net.1.num_batches_tracked"].int64_value(&[]), 1);
    }

    #[test]
    fn a_rectifier_writes_over_what_a_convolution_gave_and_changes_no_number() {
        use crate::nn::layers::{Activation, Conv, ConvOptions, Function};
        tch::manual_seed(1);
        let params = Params::new(Device::Cpu);
        let path = params.root();
        let conv = |name: &str| Conv::<2>::new(&path.child(name), 3, 3, ConvOptions::new(3)).unwrap();
        let (first, second) = (conv("0"), conv("1"));
        let relu = || Activation::new(&path.child("relu"), Function::Relu);
        let input = Tensor::randn([2, 3, 9, 9], (Kind::Float, Device::Cpu)).set_requires_grad(true);
        let expected = second.forward(&first.forward(&input, true).relu(), true).relu();
        let gradient =
            |output: &Tensor| Tensor::run_backward(&[output.sin().sum(Kind::Float)], &[&input], false, false);
        let expected_gradient = gradient(&expected);
        let before = first.forward(&input, true);
        let after = relu().forward_in_place(&before, true);
        assert_eq!(after.data_ptr(), before.data_ptr());
        let mut chain = Sequential::new(&path);
        chain.push(first);
        chain.push(relu());
        chain.push(second);
        chain.push(relu());
        let output = chain.forward(&input, true);
        assert_eq!((&output, gradient(&output)), (&expected, expected_gradient));
        // One that begins a chain leaves what it was given.
        let mut alone = Sequential::new(&path);
        alone.push(relu());
        alone.push(relu());
        let kept = before.detach().neg();
        let copy = kept.copy();
        let _ = alone.forward(&kept, true);
        assert_eq!(kept, copy);
        // Who observes sees what the convolution gave.
        let (_, events) = trace::first_non_finite(|| chain.forward(&input, true));
        assert_eq!(events, None);
    }

    #[test]
    fn faults_in_a_chain_are_named_by_their_place() {
        let mut registry = Registry::new();
        crate::nn::register(&mut registry);
        let config = node(serde_json::json!({
            "_target_": "torch.nn.Sequential",
            "_args_": [{"_target_": "torch.nn.Linear", "in_features": 0, "out_features": 2}],
        }));
        let slot = crate::registry::SlotRef {
            node: config,
            path: KeyPath::root().key("net"),
            kind: crate::registry::KindInfo::of::<Net>(),
        };
        let problems = registry.check(&slot).0;
        let told: Vec<_> = problems.0.iter().map(|p| format!("{} @ {}", p.message, p.path)).collect();
        assert_eq!(told, ["expected a whole number above 0, found 0 @ net._args_.0.in_features"]);
    }
}
