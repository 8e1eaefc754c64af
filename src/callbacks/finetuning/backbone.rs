//! A backbone that joins the training at an epoch, with a learning rate of its own.

use std::collections::HashSet;

use serde_json::json;

use crate::checkpoint::Checkpoint;
use crate::error::Error;
use crate::nn::Params;
use crate::optim::ParamGroup;
use crate::optim::schedulers::Formula;
use crate::prelude::*;
use crate::tensor::{State, Stateful};
use crate::train::{Callback, CallbackKind, Cx, Task, TrainerArgs, backbone};

/// Trains the head alone at first; at an epoch the backbone joins, as a group of parameters of its own whose learning
/// rate grows until it meets the head's.
///
/// Mirrors `lightning.pytorch.callbacks.BackboneFinetuning`: scale and shift of the frozen backbone's batch
/// normalizations are trained with the head, and their running statistics go on.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct BackboneFinetuning {
    /// The epoch at which the backbone joins, counted from 0.
    #[serde(default = "ten")]
    unfreeze_backbone_at_epoch: u64,
    /// By how much the backbone's rate is multiplied after each further epoch: a number, or a formula of `epoch`
    /// such as `1 + 1 / epoch` (a Python lambda can be pasted).
    #[serde(default = "double")]
    lambda_func: Factor,
    /// The backbone's first rate as a share of the head's.
    #[serde(default = "tenth")]
    backbone_initial_ratio_lr: NonNegative,
    /// The backbone's first rate itself.
    #[serde(default)]
    backbone_initial_lr: Option<NonNegative>,
    /// Once the backbone's rate is above the head's, it is the head's.
    #[serde(default = "yes")]
    should_align: bool,
    /// Of no effect, as in Lightning: the first rate is given by the two arguments above.
    #[serde(default)]
    #[allow(dead_code, reason = "accepted for compatibility")]
    initial_denom_lr: Ignored,
    /// Whether scale and shift of the backbone's batch normalizations are trained, from the start; otherwise never.
    #[serde(default = "yes")]
    train_bn: bool,
    /// Say both rates at every epoch.
    #[serde(default)]
    verbose: bool,
    /// With how many decimals they are said.
    #[serde(default = "twelve")]
    rounding: usize,
    /// Which parameters are the backbone, as patterns of their names (`net.features.*`). When not given: what lies
    /// below a child called `backbone`, or else everything but the classifier.
    #[serde(default)]
    backbone: Vec<String>,
}

fn ten() -> u64 {
    10
}

fn twelve() -> usize {
    12
}

fn double() -> Factor {
    Factor("2".into())
}

fn tenth() -> NonNegative {
    NonNegative(0.1)
}

fn yes() -> bool {
    true
}

/// A number, or a formula of the epoch.
#[derive(Clone, Debug)]
struct Factor(String);

impl Factor {
    fn parse(&self) -> std::result::Result<Formula, String> {
        Formula::parse(&self.0, &["epoch"])
    }

    fn at(&self, epoch: u64) -> Result<f64> {
        let value = self.parse().and_then(|formula| formula.evaluate(&|_| Ok(epoch as f64)));
        value.map_err(|error| Error::failed(format!("BackboneFinetuning's lambda_func at epoch {epoch}: {error}")))
    }
}

impl<'de> Deserialize<'de> for Factor {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> std::result::Result<Self, D::Error> {
        struct Take;
        impl serde::de::Visitor<'_> for Take {
            type Value = Factor;
            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("a number or a formula of `epoch`")
            }
            fn visit_u64<E: serde::de::Error>(self, v: u64) -> std::result::Result<Factor, E> {
                Ok(Factor(v.to_string()))
            }
            fn visit_f64<E: serde::de::Error>(self, v: f64) -> std::result::Result<Factor, E> {
                Ok(Factor(v.to_string()))
            }
            fn visit_str<E: serde::de::Error>(self, v: &str) -> std::result::Result<Factor, E> {
                Ok(Factor(v.to_owned()))
            }
        }
        deserializer.deserialize_any(Take)
    }
}

impl JsonSchema for Factor {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Factor".into()
    }
    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({ "type": ["number", "string"] })
    }
    fn inline_schema() -> bool {
        true
    }
}

impl serde::Serialize for Factor {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> std::result::Result<S::Ok, S::Error> {
        match self.0.parse::<f64>() {
            Ok(number) => serializer.serialize_f64(number),
            Err(_) => serializer.serialize_str(&self.0),
        }
    }
}

impl Component for BackboneFinetuning {
    type Kind = CallbackKind;
    const TARGETS: &'static [&'static str] = &["lightning.pytorch.callbacks.BackboneFinetuning"];

    fn check(&self, cx: &mut Check) {
        if let Err(message) = self.lambda_func.parse() {
            cx.problem("lambda_func", message).help = Some("write a number, or a formula of `epoch`: 2.0".into());
        }
    }

    fn build(self, _: &mut Build) -> Result<Box<dyn Callback>> {
        Ok(Box::new(Finetuning { args: self, names: Vec::new(), rate: None }))
    }
}

struct Finetuning {
    args: BackboneFinetuning,
    /// The backbone's parameters.
    names: Vec<String>,
    /// The backbone's rate; `None` while it is frozen.
    rate: Option<f64>,
}

impl Finetuning {
    /// The names of the backbone's parameters that wait until it joins: all but scale and shift of batch
    /// normalizations, unless these are never to be trained.
    fn waiting(&self, params: &Params) -> Vec<String> {
        let norms: HashSet<String> =
            params.layers().iter().filter(|l| l.kind.starts_with("BatchNorm")).map(|l| l.name.clone()).collect();
        let is_norm = |name: &str| name.rsplit_once('.').is_some_and(|(layer, _)| norms.contains(layer));
        self.names.iter().filter(|name| !is_norm(name)).cloned().collect()
    }

    /// Unfreezes the backbone and gives it to the optimizer.
    fn join(&self, cx: &mut Cx, rate: f64) -> Result<()> {
        let names = self.waiting(cx.task.params());
        let entries = cx.task.params().entries();
        let tensor = |name: String| {
            let tensor = entries[name.as_str()].tensor.shallow_clone();
            (name, tensor)
        };
        let params: Vec<_> = names.into_iter().map(tensor).collect();
        drop(entries);
        for (_, tensor) in &params {
            let _ = tensor.set_requires_grad(true);
        }
        match cx.optimizer.as_deref_mut() {
            Some(optimizer) => optimizer.add_group(ParamGroup { params, options: vec![("lr".into(), rate.into())] }),
            None => Ok(()),
        }
    }
}

impl Stateful for Finetuning {
    fn state(&self) -> State {
        State::of(json!({ "previous_backbone_lr": self.rate.map(f64::to_bits) }))
    }

    fn restore(&mut self, state: &State) -> Result<()> {
        self.rate = state.value["previous_backbone_lr"].as_u64().map(f64::from_bits);
        Ok(())
    }
}

impl Callback for Finetuning {
    fn name(&self) -> String {
        "BackboneFinetuning".into()
    }

    fn setup(&mut self, task: &mut dyn Task, _: &TrainerArgs) -> Result<()> {
        self.names = backbone(task.params(), &self.args.backbone)?;
        let frozen = if self.args.train_bn { self.waiting(task.params()) } else { self.names.clone() };
        let entries = task.params().entries();
        for name in &frozen {
            let _ = entries[name.as_str()].tensor.set_requires_grad(false);
        }
        Ok(())
    }

    /// Takes the backbone out of the optimizer: it comes back as a group of its own.
    fn on_optimizer(&mut self, cx: &mut Cx) -> Result<()> {
        let frozen = if self.args.train_bn { self.waiting(cx.task.params()) } else { self.names.clone() };
        let names: HashSet<&str> = frozen.iter().map(String::as_str).collect();
        if let Some(optimizer) = cx.optimizer.as_deref_mut() {
            optimizer.withdraw(&names);
            if optimizer.params().iter().all(|group| group.is_empty()) {
                return Err(Error::request("BackboneFinetuning leaves nothing to train before the backbone joins")
                    .help(
                        "say which part is the backbone, by patterns of parameter names: backbone=['net.layers.*']",
                    ));
            }
        }
        Ok(())
    }

    fn on_load_checkpoint(&mut self, _: &Checkpoint, cx: &mut Cx) -> Result<()> {
        self.rate.map_or(Ok(()), |rate| self.join(cx, rate))
    }

    fn on_train_epoch_start(&mut self, cx: &mut Cx) -> Result<()> {
        let epoch = cx.progress.epoch;
        let head = cx.optimizer.as_deref().and_then(|optimizer| optimizer.groups().first()).map_or(0.0, |g| g.lr);
        // A run resumed within an epoch has done this at the epoch's start.
        if cx.progress.batch != 0 || epoch < self.args.unfreeze_backbone_at_epoch {
            return Ok(());
        }
        let rate = match self.rate {
            None => {
                let first = self.args.backbone_initial_lr.map(|lr| lr.0);
                let first = first.unwrap_or(head * self.args.backbone_initial_ratio_lr.0);
                self.join(cx, first)?;
                tracing::info!("epoch {}: the backbone joins the training", epoch + 1);
                first
            }
            Some(rate) => {
                let next = rate * self.args.lambda_func.at(epoch + 1)?;
                let next = if self.args.should_align && next > head { head } else { next };
                if let Some(group) = cx.optimizer.as_deref_mut().and_then(|o| o.groups_mut().last_mut()) {
                    group.lr = next;
                }
                next
            }
        };
        self.rate = Some(rate);
        if self.args.verbose {
            let digits = self.args.rounding.min(17);
            tracing::info!("epoch {}: learning rate {head:.digits$}, the backbone's {rate:.digits$}", epoch + 1);
        }
        Ok(())
    }
}
