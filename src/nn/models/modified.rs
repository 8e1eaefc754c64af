//! A network with another first or last layer, and with weights of its own.

use schemars::JsonSchema;
use serde::Deserialize;

use crate::error::Result;
use crate::nn::args::{Count, yes};
use crate::nn::{Net, NetSpec, modify, weights};
use crate::registry::{Build, Check, Component, Slot};

/// A network with changes: other input channels, another number of classes, no head, weights from a file.
///
/// The weights are loaded first, into the network as it is described; then its layers are changed. Parameters keep
/// their names.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct ModifiedArgs {
    /// The network.
    net: Slot<Net>,
    /// Channels of the images, for the first convolution.
    #[serde(default)]
    in_chans: Option<Count>,
    /// Whether the first layer's new weights are made from the old ones (with `in_chans`).
    #[serde(default = "yes")]
    keep_first_weights: bool,
    /// Outputs of the last layer, which is drawn anew.
    #[serde(default)]
    num_classes: Option<Count>,
    /// Whether what the new last layer sees is flattened first, `[batch, …]` to `[batch, features]`.
    #[serde(default)]
    flatten: bool,
    /// Whether the last layer passes its input on, so that the network gives features.
    #[serde(default)]
    last_layer_to_identity: bool,
    /// A local file with weights for the network as it is described.
    #[serde(default)]
    weights: Option<String>,
    /// Whether the file may lack or have some entries more than the network; what fits is loaded.
    #[serde(default)]
    partial: bool,
    /// What the names in the file begin with that the network's do not: `model.`.
    #[serde(default)]
    remove_prefix: String,
    /// Parts of the names in the file and what they are in the network: `[[backbone., ""]]`.
    #[serde(default)]
    replace_keys: Vec<[String; 2]>,
    /// The file's MD5 sum, if it is to be checked.
    #[serde(default)]
    weights_md5: Option<String>,
}

impl Component for ModifiedArgs {
    type Kind = Net;
    const TARGETS: &'static [&'static str] = &["runner.models.Modified"];

    fn check(&self, cx: &mut Check) {
        if self.last_layer_to_identity && self.num_classes.is_some() {
            cx.problem("num_classes", "a network without its last layer has no classes").help =
                Some("remove num_classes or last_layer_to_identity".into());
        }
    }

    fn build(self, cx: &mut Build) -> Result<NetSpec> {
        let net = cx.build(&self.net)?;
        Ok(NetSpec(Box::new(move |path| {
            let module = (net.0)(path)?;
            if let Some(file) = &self.weights {
                let how = weights::Transfer {
                    remove_prefix: self.remove_prefix.clone(),
                    replace: self.replace_keys.clone(),
                    partial: self.partial,
                    md5: self.weights_md5.clone(),
                };
                weights::transfer(path, file, &how)?;
            }
            if let Some(channels) = self.in_chans {
                modify::replace_first_layer(path, channels.0, self.keep_first_weights)?;
            }
            if let Some(classes) = self.num_classes {
                modify::replace_last_layer(path, classes.0, self.flatten)?;
            }
            if self.last_layer_to_identity {
                modify::last_layer_to_identity(path)?;
            }
            Ok(module)
        })))
    }
}
