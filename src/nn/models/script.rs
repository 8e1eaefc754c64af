//! TorchScript files as networks.

use std::path::Path as File;
use std::sync::{Mutex, PoisonError};

use schemars::JsonSchema;
use serde::Deserialize;
use tch::{CModule, Device, Tensor};

use crate::error::Context;
use crate::nn::{Module, net, trace};
use crate::registry::Ignored;

/// A network that was saved with `torch.jit.save`.
pub struct Script {
    name: String,
    state: Mutex<State>,
}

struct State {
    module: CModule,
    /// The mode in which it is; unknown at first.
    train: Option<bool>,
    device: Device,
}

impl Module for Script {
    fn forward(&self, input: &Tensor, train: bool) -> Tensor {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if state.train != Some(train) {
            if train {
                state.module.set_train()
            } else {
                state.module.set_eval()
            }
            state.train = Some(train);
        }
        // Its buffers are not among the parameters that settle on the device.
        if state.device != input.device() {
            state.module.to(input.device(), input.kind(), false);
            state.device = input.device();
        }
        let output = state.module.forward_ts(&[input]).unwrap_or_else(|error| panic!("{error}"));
        trace::container(&self.name, "ScriptModule", input, &output);
        output
    }
}

/// A TorchScript file as a network. Its parameters (not its buffers) are those of the network.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct ScriptArgs {
    /// The file that `torch.jit.save` wrote.
    f: String,
    /// The trainer places networks.
    #[serde(default)]
    #[allow(dead_code)]
    map_location: Ignored,
}

net!(ScriptArgs, ["torch.jit.load"], |args, path| {
    let file = File::new(&args.f);
    let module = CModule::load(file).context(format!("cannot load {} as TorchScript", file.display()))?;
    for (name, tensor) in module.named_parameters()? {
        path.adopt(&name, tensor)?;
    }
    let state = State { module, train: None, device: Device::Cpu };
    Ok(Script { name: path.name().to_owned(), state: Mutex::new(state) })
});
