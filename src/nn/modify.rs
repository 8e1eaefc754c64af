//! Changes to a network that is already made: another number of input channels, another head, no head.
//!
//! The first and the last layer are the first and the last with weights, in the order in which the network makes
//! them, which is the order of the data in every model here. They are changed in place: the layer's tensors get new
//! shapes and freshly drawn values.

use tch::{Device, Kind, Tensor};

use super::trace::Label;
use super::{Path, init};
use crate::error::{Error, Result};

/// A layer with weights: its label, its weight, its bias.
struct Found {
    label: std::sync::Arc<Label>,
    weight: Tensor,
    bias: Option<Tensor>,
}

fn layers(path: &Path) -> Vec<Found> {
    let dict = path.params().state_dict();
    let layers = path
        .params()
        .layers()
        .into_iter()
        .filter(|label| matches!(label.kind, "Linear" | "Conv2d" | "Conv1d") && !label.is_bypassed());
    layers
        .filter(|label| path.name().is_empty() || label.name == path.name() || path.holds(&label.name))
        .filter_map(|label| {
            let name = |part: &str| if label.name.is_empty() { part.into() } else { format!("{}.{part}", label.name) };
            let weight = dict.get(&name("weight"))?.shallow_clone();
            let bias = dict.get(&name("bias")).map(Tensor::shallow_clone);
            Some(Found { label, weight, bias })
        })
        .collect()
}

fn none(which: &str) -> Error {
    Error::request(format!("the network has no {which} linear layer or convolution to change"))
}

/// Puts a new tensor of `shape` in the place of `tensor`, which every holder of it sees.
fn replace(tensor: &Tensor, shape: &[i64], fill: impl FnOnce(&mut Tensor)) -> Result<()> {
    let mut new = Tensor::f_empty(shape, (Kind::Float, Device::Cpu))?;
    tch::no_grad(|| fill(&mut new));
    let new = new.f_to_device(tensor.device())?.f_to_kind(tensor.f_kind()?)?;
    Ok(tensor.shallow_clone().f_set_data(&new)?)
}

/// Gives the first layer `channels` input channels (a convolution) or features (a linear layer). With `keep`, the
/// new weights are made from the old ones, so that a pretrained network still sees what it saw: summed for one
/// channel, else repeated and scaled to the same sum (timm's `adapt_input_conv`); otherwise they are
/// drawn, also when there are as many channels as before.
///
/// # Errors
/// When there is no such layer, or its channels are grouped.
pub fn replace_first_layer(path: &Path, channels: i64, keep: bool) -> Result<()> {
    let Found { label, weight, .. } = layers(path).into_iter().next().ok_or_else(|| none("first"))?;
    let old = weight.size();
    if old[1] == channels && keep {
        return Ok(());
    }
    if old.len() > 2 && old[1] == 1 && old[0] > 1 && label.kind == "Conv2d" && channels % old[0] == 0 {
        return Err(Error::request(format!("`{}` sees every channel alone and cannot be changed", label.name)));
    }
    let mut shape = old.clone();
    shape[1] = channels;
    let kept = keep.then(|| tch::no_grad(|| adapt(&weight.detach(), channels)));
    replace(&weight, &shape, |t| match &kept {
        Some(kept) => t.copy_(kept),
        None => init::default_weight(t),
    })
}

/// Weights for other input channels, with the same sum over them.
pub(super) fn adapt(weight: &Tensor, channels: i64) -> Tensor {
    let old = weight.size()[1];
    if channels == 1 {
        return weight.sum_dim_intlist([1i64].as_slice(), true, None);
    }
    let times = (channels + old - 1) / old;
    let mut repeats = vec![1; weight.dim()];
    repeats[1] = times;
    weight.repeat(&repeats).narrow(1, 0, channels) * (old as f64 / channels as f64)
}

/// Gives the last layer `outputs` outputs, with PyTorch's default initial values. With `flatten`, what it sees is
/// flattened to `[batch, features]` first, if it is a linear layer.
///
/// # Errors
/// When there is no such layer.
pub fn replace_last_layer(path: &Path, outputs: i64, flatten: bool) -> Result<()> {
    let Found { label, weight, bias } = layers(path).into_iter().next_back().ok_or_else(|| none("last"))?;
    if flatten {
        label.flatten();
    }
    let mut shape = weight.size();
    shape[0] = outputs;
    replace(&weight, &shape, init::default_weight)?;
    match bias {
        Some(bias) => replace(&bias, &[outputs], |t| init::default_bias(t, &shape)),
        None => Ok(()),
    }
}

/// Makes the last layer pass its input on: the network gives features. Its parameters leave the state dict. Returns
/// how many features there are.
///
/// # Errors
/// When there is no such layer.
pub fn last_layer_to_identity(path: &Path) -> Result<i64> {
    let Found { label, weight, bias } = layers(path).into_iter().next_back().ok_or_else(|| none("last"))?;
    label.bypass();
    let mut entries = path.params().entries();
    entries.retain(|name, _| {
        let part = name.strip_prefix(&label.name).map(|rest| rest.trim_start_matches('.'));
        !(part == Some("weight") || (bias.is_some() && part == Some("bias")))
    });
    Ok(weight.size()[1])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::nn::layers::{Conv2d, ConvOptions, Flatten, Linear, Sequential};
    use crate::nn::{Module, Params};

    fn small() -> (Params, Sequential) {
        let params = Params::new(Device::Cpu);
        let root = params.root();
        let mut net = Sequential::new(&root);
        net.push(Conv2d::new(&root.child(0), 3, 4, ConvOptions::new(3).padding(1)).unwrap());
        net.push(Flatten::new(&root.child(1), 1, -1));
        net.push(Linear::new(&root.child(2), 4 * 25, 10, true).unwrap());
        (params, net)
    }

    fn run(net: &Sequential, channels: i64) -> Vec<i64> {
        net.forward(&Tensor::ones([2, channels, 5, 5], (Kind::Float, Device::Cpu)), false).size()
    }

    #[test]
    fn layers_change_in_place() {
        let (params, net) = small();
        let root = params.root();
        let sum = params.state_dict()["0.weight"].sum(Kind::Double).double_value(&[]);
        replace_first_layer(&root, 1, true).unwrap();
        let now = params.state_dict()["0.weight"].sum(Kind::Double).double_value(&[]);
        assert!((sum - now).abs() < 1e-5);
        assert_eq!(run(&net, 1), [2, 10]);
        replace_first_layer(&root, 6, false).unwrap();
        replace_last_layer(&root, 3, true).unwrap();
        assert_eq!(run(&net, 6), [2, 3]);
        assert_eq!(params.state_dict()["2.bias"].size(), [3]);
        assert_eq!(last_layer_to_identity(&root).unwrap(), 100);
        assert_eq!(run(&net, 6), [2, 100]);
        assert_eq!(params.state_dict().keys().collect::<Vec<_>>(), ["0.weight", "0.bias"]);
    }
}
