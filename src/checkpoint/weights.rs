//! Weights by name into a network that is already made.

use std::fmt;
use std::path::Path;

use indexmap::IndexMap;
use tch::{Kind, Tensor};

use super::{Bytes, STATE_PREFIX, TensorFile, TorchFile};
use crate::error::{Error, Result};

/// The weights in a file of any known form: safetensors, a checkpoint of runner's, what `torch.save` writes, Lightning's
/// `.ckpt`. What is no weight is left out. `place` says where in a PyTorch file they lie, with dots
/// ([`TorchFile::state_dict`]).
///
/// # Errors
/// When the file is missing, damaged, of another form, or a program; the message names it and says which.
pub fn read_weights(path: &Path, place: Option<&str>) -> Result<IndexMap<String, Tensor>> {
    let bytes = Bytes::open(path)?;
    // A safetensors file begins with a length and a JSON mapping.
    if bytes.get(8) == Some(&b'{') {
        let file = TensorFile::of(bytes, path)?;
        let weights = file.names().filter(|name| !name.starts_with(STATE_PREFIX));
        return weights.map(|name| Ok((name.to_owned(), file.tensor(name)?))).collect();
    }
    TorchFile::of(bytes, path)?.state_dict(place)
}

/// How the names in a file become names of the network.
#[derive(Clone, Debug, Default)]
pub struct KeyMap {
    /// Prefixes that are dropped wherever a name begins with them, in this order, each as often as it is there:
    /// `module.` (data parallel), `_orig_mod.` (compiled), `net.`.
    pub strip: Vec<String>,
    /// Prefixes that are exchanged after that, the first that fits: `("backbone.", "encoder.")`. An empty first half
    /// puts the second before every name.
    pub replace: Vec<(String, String)>,
}

impl KeyMap {
    /// The wrappers of PyTorch and Lightning, which say nothing about the network: `module.`, `_orig_mod.`.
    pub fn unwrapped() -> Self {
        KeyMap { strip: vec!["module.".into(), "_orig_mod.".into()], replace: Vec::new() }
    }

    /// The network's name for a name in the file.
    pub fn map(&self, name: &str) -> String {
        let mut name = name;
        while let Some(rest) = self.strip.iter().find_map(|prefix| {
            let rest = name.strip_prefix(prefix.as_str())?;
            (!prefix.is_empty() && !rest.is_empty()).then_some(rest)
        }) {
            name = rest;
        }
        let exchanged =
            self.replace.iter().find_map(|(from, to)| Some(format!("{to}{}", name.strip_prefix(from.as_str())?)));
        exchanged.unwrap_or_else(|| name.to_owned())
    }
}

/// How well the file must fit the network.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Fit {
    /// Every name on both sides, with equal shapes (PyTorch's `strict=True`).
    #[default]
    Exact,
    /// What fits is loaded, the rest is reported. At least one tensor must fit.
    Partial,
}

/// How [`load_weights`] goes about it.
#[derive(Clone, Debug, Default)]
pub struct LoadOptions {
    /// The mapping of names.
    pub keys: KeyMap,
    /// How well the file must fit.
    pub fit: Fit,
}

/// A tensor that is there on both sides, but differs.
#[derive(Clone, Debug, PartialEq)]
pub struct ShapeClash {
    /// The network's name for it.
    pub name: String,
    /// Shape and dtype in the file.
    pub found: (Vec<i64>, Kind),
    /// Shape and dtype in the network.
    pub wanted: (Vec<i64>, Kind),
}

/// What was loaded and what was not, by the network's names.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Report {
    /// How many tensors were loaded.
    pub loaded: usize,
    /// In the network, not in the file.
    pub missing: Vec<String>,
    /// In the file, not in the network.
    pub unexpected: Vec<String>,
    /// On both sides, but of other shapes or kinds of number: not loaded.
    pub mismatched: Vec<ShapeClash>,
    /// Loaded with a change of precision: name, dtype in the file, dtype in the network.
    pub converted: Vec<(String, Kind, Kind)>,
}

impl Report {
    /// Whether every tensor of the network was loaded and none of the file was left over.
    pub fn is_complete(&self) -> bool {
        self.missing.is_empty() && self.unexpected.is_empty() && self.mismatched.is_empty()
    }
}

/// How many names a message shows of each list.
const SHOWN: usize = 5;

fn few(names: &[String]) -> String {
    let mut text = names.iter().take(SHOWN).map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ");
    if names.len() > SHOWN {
        text.push_str(&format!(" and {} more", names.len() - SHOWN));
    }
    text
}

fn shown((shape, kind): &(Vec<i64>, Kind)) -> String {
    format!("{shape:?} {kind:?}")
}

/// `58 tensors loaded; 2 missing in the file: …; 1 not in the network: …; 1 that does not fit: …`.
impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} tensors loaded", self.loaded)?;
        if !self.missing.is_empty() {
            write!(f, "; {} missing in the file: {}", self.missing.len(), few(&self.missing))?;
        }
        if !self.unexpected.is_empty() {
            write!(f, "; {} not in the network: {}", self.unexpected.len(), few(&self.unexpected))?;
        }
        if !self.mismatched.is_empty() {
            let clashes = self.mismatched.iter().take(SHOWN).map(|clash| {
                let (found, wanted) = (shown(&clash.found), shown(&clash.wanted));
                format!("`{}` is {found} in the file and {wanted} in the network", clash.name)
            });
            let clashes = clashes.collect::<Vec<_>>().join(", ");
            write!(f, "; {} that do not fit: {clashes}", self.mismatched.len())?;
            if self.mismatched.len() > SHOWN {
                write!(f, " and {} more", self.mismatched.len() - SHOWN)?;
            }
        }
        if let Some((name, from, to)) = self.converted.first() {
            write!(f, "; {} converted, as `{name}` from {from:?} to {to:?}", self.converted.len())?;
        }
        Ok(())
    }
}

/// Copies the tensors of `dict` into those of `network` (its state dict, whose tensors are the live ones), in place.
///
/// Floating-point values are converted to the network's precision, which the report says; an integer tensor never
/// becomes a floating-point one or the other way round.
///
/// # Errors
/// With [`Fit::Exact`], when anything is missing, unexpected or mismatched; with [`Fit::Partial`], when nothing fits.
/// Nothing has been changed then.
pub fn load_weights(
    network: &IndexMap<String, Tensor>,
    dict: &IndexMap<String, Tensor>,
    options: &LoadOptions,
) -> Result<Report> {
    let mut report = Report::default();
    let mut given: IndexMap<String, &Tensor> = IndexMap::new();
    for (name, tensor) in dict {
        let mapped = options.keys.map(name);
        if given.insert(mapped.clone(), tensor).is_some() {
            return Err(Error::failed(format!("two tensors of the file become `{mapped}` in the network"))
                .help("change the mapping of names"));
        }
    }
    let mut pairs = Vec::new();
    for (name, to) in network {
        let Some(from) = given.shift_remove(name) else {
            report.missing.push(name.clone());
            continue;
        };
        let (found, wanted) = ((from.size(), from.f_kind()?), (to.size(), to.f_kind()?));
        let both_float = from.is_floating_point() && to.is_floating_point();
        if found.0 != wanted.0 || (found.1 != wanted.1 && !both_float) {
            report.mismatched.push(ShapeClash { name: name.clone(), found, wanted });
            continue;
        }
        if found.1 != wanted.1 {
            report.converted.push((name.clone(), found.1, wanted.1));
        }
        pairs.push((from, to));
    }
    report.unexpected = given.into_keys().collect();
    if options.fit == Fit::Exact && !report.is_complete() {
        return Err(Error::failed(format!("the weights do not fit the network: {report}"))
            .help("load what fits with a partial load, or map the names"));
    }
    if pairs.is_empty() && !network.is_empty() {
        return Err(Error::failed(format!("no tensor of the file fits the network: {report}"))
            .help("a prefix may differ: compare the names"));
    }
    tch::no_grad(|| pairs.iter().try_for_each(|(from, to)| to.shallow_clone().f_copy_(from)))?;
    report.loaded = pairs.len();
    Ok(report)
}

#[cfg(test)]
mod tests {
    use super::*;
    use tch::Device;

    fn dict(entries: &[(&str, &[i64], Kind, f64)]) -> IndexMap<String, Tensor> {
        let make = |(name, shape, kind, value): &(&str, &[i64], Kind, f64)| {
            ((*name).to_owned(), Tensor::full(*shape, *value, (*kind, Device::Cpu)))
        };
        entries.iter().map(make).collect()
    }

    fn network() -> IndexMap<String, Tensor> {
        let mut network = dict(&[
            ("conv.weight", &[2, 3], Kind::Float, 0.0),
            ("fc.weight", &[10, 4], Kind::Float, 0.0),
            ("bn.num_batches_tracked", &[], Kind::Int64, 0.0),
        ]);
        let weight = network["conv.weight"].set_requires_grad(true);
        network.insert("conv.weight".into(), weight);
        network
    }

    #[test]
    fn names_are_mapped() {
        let keys = KeyMap {
            strip: vec!["module.".into(), "_orig_mod.".into()],
            replace: vec![("backbone.".into(), "net.".into())],
        };
        for (from, to) in [
            ("module._orig_mod.module.fc.weight", "fc.weight"),
            ("backbone.conv.weight", "net.conv.weight"),
            ("_orig_mod.backbone.a", "net.a"),
            ("conv.module.x", "conv.module.x"),
        ] {
            assert_eq!(keys.map(from), to);
        }
        let keys = KeyMap { strip: vec![], replace: vec![(String::new(), "net.".into())] };
        assert_eq!(keys.map("fc"), "net.fc");
    }

    #[test]
    fn an_exact_load_copies_in_place() {
        let network = network();
        let live = network["conv.weight"].shallow_clone();
        let file = dict(&[
            ("module.fc.weight", &[10, 4], Kind::Half, 2.0),
            ("module.conv.weight", &[2, 3], Kind::Float, 1.0),
            ("module.bn.num_batches_tracked", &[], Kind::Int64, 5.0),
        ]);
        let options = LoadOptions { keys: KeyMap::unwrapped(), fit: Fit::Exact };
        let report = load_weights(&network, &file, &options).unwrap();
        assert_eq!(report.loaded, 3);
        assert_eq!(report.converted, [("fc.weight".to_owned(), Kind::Half, Kind::Float)]);
        assert_eq!(live.sum(Kind::Float).double_value(&[]), 6.0);
        assert!(live.requires_grad());
        assert_eq!(network["bn.num_batches_tracked"].int64_value(&[]), 5);
    }

    #[test]
    fn a_misfit_is_reported_and_changes_nothing() {
        let network = network();
        let file = dict(&[
            ("conv.weight", &[2, 3], Kind::Float, 1.0),
            ("fc.weight", &[1000, 4], Kind::Float, 1.0),
            ("head.bias", &[3], Kind::Float, 1.0),
        ]);
        let error = load_weights(&network, &file, &LoadOptions::default()).unwrap_err().to_string();
        assert_eq!(
            error,
            "the weights do not fit the network: 0 tensors loaded; 1 missing in the file: `bn.num_batches_tracked`; \
             1 not in the network: `head.bias`; 1 that do not fit: `fc.weight` is [1000, 4] Float in the file and \
             [10, 4] Float in the network; load what fits with a partial load, or map the names"
        );
        assert_eq!(network["conv.weight"].sum(Kind::Float).double_value(&[]), 0.0);

        let options = LoadOptions { fit: Fit::Partial, ..LoadOptions::default() };
        let report = load_weights(&network, &file, &options).unwrap();
        assert_eq!((report.loaded, report.mismatched.len()), (1, 1));
        assert_eq!(network["conv.weight"].sum(Kind::Float).double_value(&[]), 6.0);

        let strangers = dict(&[("a", &[1], Kind::Float, 0.0)]);
        assert!(load_weights(&network, &strangers, &options).is_err());
        let integers = dict(&[("conv.weight", &[2, 3], Kind::Int64, 0.0)]);
        assert!(load_weights(&network, &integers, &options).is_err());
    }
}
