//! Weights that a model's `weights` argument names: a local file, or published ones by their name.
//!
//! Published files come from torchvision's store. Their names end with the beginning of their SHA-256 digest, which
//! is checked after the download and again whenever a file of the cache is read.

use std::io::{Read, Write};
use std::path::{Path as File, PathBuf};

use indexmap::IndexMap;
use sha2::{Digest, Sha256};
use tch::Tensor;

use super::Path;
use crate::checkpoint::{Fit, LoadOptions, load_weights, read_weights};
use crate::error::{Error, Result};

/// torchvision's store.
const STORE: &str = "https://download.pytorch.org/models/";

/// A model, a name of its weights, and their file.
type Published = (&'static str, &'static str, &'static str);

/// The weights that torchvision publishes; the last of a model is its `DEFAULT`.
const PUBLISHED: &[Published] = &[
    ("resnet18", "IMAGENET1K_V1", "resnet18-f37072fd.pth"),
    ("resnet34", "IMAGENET1K_V1", "resnet34-b627a593.pth"),
    ("resnet50", "IMAGENET1K_V1", "resnet50-0676ba61.pth"),
    ("resnet50", "IMAGENET1K_V2", "resnet50-11ad3fa6.pth"),
    ("resnet101", "IMAGENET1K_V1", "resnet101-63fe2227.pth"),
    ("resnet101", "IMAGENET1K_V2", "resnet101-cd907fc2.pth"),
    ("resnet152", "IMAGENET1K_V1", "resnet152-394f9c45.pth"),
    ("resnet152", "IMAGENET1K_V2", "resnet152-f82ba261.pth"),
    ("wide_resnet50_2", "IMAGENET1K_V1", "wide_resnet50_2-95faca4d.pth"),
    ("wide_resnet50_2", "IMAGENET1K_V2", "wide_resnet50_2-9ba9bcbe.pth"),
    ("wide_resnet101_2", "IMAGENET1K_V1", "wide_resnet101_2-32ee1156.pth"),
    ("wide_resnet101_2", "IMAGENET1K_V2", "wide_resnet101_2-d733dc28.pth"),
    ("resnext50_32x4d", "IMAGENET1K_V1", "resnext50_32x4d-7cdf4587.pth"),
    ("resnext50_32x4d", "IMAGENET1K_V2", "resnext50_32x4d-1a0047aa.pth"),
    ("resnext101_32x8d", "IMAGENET1K_V1", "resnext101_32x8d-8ba56ff5.pth"),
    ("resnext101_32x8d", "IMAGENET1K_V2", "resnext101_32x8d-110c445d.pth"),
    ("efficientnet_b0", "IMAGENET1K_V1", "efficientnet_b0_rwightman-7f5810bc.pth"),
    ("efficientnet_b1", "IMAGENET1K_V1", "efficientnet_b1_rwightman-bac287d4.pth"),
    ("efficientnet_b1", "IMAGENET1K_V2", "efficientnet_b1-c27df63c.pth"),
    ("efficientnet_b2", "IMAGENET1K_V1", "efficientnet_b2_rwightman-c35c1473.pth"),
    ("efficientnet_b3", "IMAGENET1K_V1", "efficientnet_b3_rwightman-b3899882.pth"),
    ("efficientnet_b4", "IMAGENET1K_V1", "efficientnet_b4_rwightman-23ab8bcd.pth"),
    ("efficientnet_b5", "IMAGENET1K_V1", "efficientnet_b5_lukemelas-1a07897c.pth"),
    ("efficientnet_b6", "IMAGENET1K_V1", "efficientnet_b6_lukemelas-24a108a5.pth"),
    ("efficientnet_b7", "IMAGENET1K_V1", "efficientnet_b7_lukemelas-c5b4e57e.pth"),
    ("efficientnet_v2_s", "IMAGENET1K_V1", "efficientnet_v2_s-dd5fe13b.pth"),
    ("efficientnet_v2_m", "IMAGENET1K_V1", "efficientnet_v2_m-dc08266a.pth"),
    ("efficientnet_v2_l", "IMAGENET1K_V1", "efficientnet_v2_l-59c71312.pth"),
    ("mobilenet_v2", "IMAGENET1K_V1", "mobilenet_v2-b0353104.pth"),
    ("mobilenet_v2", "IMAGENET1K_V2", "mobilenet_v2-7ebf99e0.pth"),
    ("mobilenet_v3_large", "IMAGENET1K_V1", "mobilenet_v3_large-8738ca79.pth"),
    ("mobilenet_v3_large", "IMAGENET1K_V2", "mobilenet_v3_large-5c1a4163.pth"),
    ("mobilenet_v3_small", "IMAGENET1K_V1", "mobilenet_v3_small-047dcff4.pth"),
    ("vgg16", "IMAGENET1K_V1", "vgg16-397923af.pth"),
    ("vgg19", "IMAGENET1K_V1", "vgg19-dcbb9e9d.pth"),
    ("vgg11_bn", "IMAGENET1K_V1", "vgg11_bn-6002323d.pth"),
    ("vgg13_bn", "IMAGENET1K_V1", "vgg13_bn-abd245e5.pth"),
    ("vgg16_bn", "IMAGENET1K_V1", "vgg16_bn-6c64b313.pth"),
    ("vgg19_bn", "IMAGENET1K_V1", "vgg19_bn-c79401a0.pth"),
    ("densenet121", "IMAGENET1K_V1", "densenet121-a639ec97.pth"),
    ("inception_v3", "IMAGENET1K_V1", "inception_v3_google-0cc3c7bd.pth"),
    ("convnext_tiny", "IMAGENET1K_V1", "convnext_tiny-983f1562.pth"),
    ("convnext_small", "IMAGENET1K_V1", "convnext_small-0c510722.pth"),
    ("convnext_base", "IMAGENET1K_V1", "convnext_base-6075fbad.pth"),
    ("convnext_large", "IMAGENET1K_V1", "convnext_large-ea097f82.pth"),
    ("vit_b_16", "IMAGENET1K_V1", "vit_b_16-c867db91.pth"),
    ("vit_b_32", "IMAGENET1K_V1", "vit_b_32-d86f8d99.pth"),
    ("vit_l_16", "IMAGENET1K_V1", "vit_l_16-852ce7e3.pth"),
    ("vit_l_32", "IMAGENET1K_V1", "vit_l_32-c7638314.pth"),
    ("swin_t", "IMAGENET1K_V1", "swin_t-704ceda3.pth"),
    ("regnet_y_400mf", "IMAGENET1K_V1", "regnet_y_400mf-c65dace8.pth"),
    ("regnet_y_400mf", "IMAGENET1K_V2", "regnet_y_400mf-e6988f5f.pth"),
    ("regnet_y_800mf", "IMAGENET1K_V1", "regnet_y_800mf-1b27b58c.pth"),
    ("regnet_y_800mf", "IMAGENET1K_V2", "regnet_y_800mf-58fc7688.pth"),
    ("regnet_y_1_6gf", "IMAGENET1K_V1", "regnet_y_1_6gf-b11a554e.pth"),
    ("regnet_y_1_6gf", "IMAGENET1K_V2", "regnet_y_1_6gf-0d7bc02a.pth"),
    ("regnet_y_3_2gf", "IMAGENET1K_V1", "regnet_y_3_2gf-b5a9779c.pth"),
    ("regnet_y_3_2gf", "IMAGENET1K_V2", "regnet_y_3_2gf-9180c971.pth"),
    ("regnet_y_8gf", "IMAGENET1K_V1", "regnet_y_8gf-d0d0e4a8.pth"),
    ("regnet_y_8gf", "IMAGENET1K_V2", "regnet_y_8gf-dc2b1b54.pth"),
    ("regnet_y_16gf", "IMAGENET1K_V1", "regnet_y_16gf-9e6ed7dd.pth"),
    ("regnet_y_16gf", "IMAGENET1K_V2", "regnet_y_16gf-3e4a00f9.pth"),
    ("regnet_y_32gf", "IMAGENET1K_V1", "regnet_y_32gf-4dee3f7a.pth"),
    ("regnet_y_32gf", "IMAGENET1K_V2", "regnet_y_32gf-8db6d4b5.pth"),
    ("retinanet_resnet50_fpn", "COCO_V1", "retinanet_resnet50_fpn_coco-eeacb38b.pth"),
    ("fasterrcnn_resnet50_fpn", "COCO_V1", "fasterrcnn_resnet50_fpn_coco-258fb6c6.pth"),
];

/// Loads what `weights` names into the network below `path`; nothing when it is `None`. `target` is the model's
/// `_target_`, by which published weights are known.
///
/// # Errors
/// When the name is unknown, the file cannot be had or read, or it does not fit the network.
pub fn load_published(path: &Path, weights: Option<&str>, target: &str) -> Result<()> {
    let Some(weights) = weights else { return Ok(()) };
    let mut dict = read_weights(&locate(weights, target)?, None)?;
    // A frozen normalisation counts no batches.
    let network = below(path);
    dict.retain(|name, _| !name.ends_with("num_batches_tracked") || network.contains_key(name));
    fit(&network, &renamed(dict), weights, Fit::Exact)
}

/// Loads what `weights` names into a model without its head: what the file has and the network lacks is left out.
///
/// # Errors
/// As [`load_published`].
pub fn load_backbone(path: &Path, weights: Option<&str>, target: &str) -> Result<()> {
    let Some(weights) = weights else { return Ok(()) };
    let network = below(path);
    let mut dict = renamed(read_weights(&locate(weights, target)?, None)?);
    dict.retain(|name, _| network.contains_key(name));
    fit(&network, &dict, weights, Fit::Exact)
}

/// How the names of a file's tensors become the network's, and how much must fit.
#[derive(Clone, Debug, Default)]
pub struct Transfer {
    /// What all names begin with that is taken off.
    pub remove_prefix: String,
    /// Parts of names and what stands in their place.
    pub replace: Vec<[String; 2]>,
    /// Whether tensors may be missing, left over or of other shapes.
    pub partial: bool,
    /// The file's MD5 sum.
    pub md5: Option<String>,
}

/// Loads a local file into the network below `path` under other names.
///
/// # Errors
/// When the file cannot be read, has another sum, or does not fit.
pub fn transfer(path: &Path, file: &str, how: &Transfer) -> Result<()> {
    if let Some(wanted) = &how.md5 {
        use md5::Digest;
        let bytes = std::fs::read(file).map_err(|error| Error::io("read", File::new(file), error))?;
        let found: String = md5::Md5::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect();
        if !wanted.eq_ignore_ascii_case(&found) {
            return Err(Error::request(format!("{file} has the MD5 sum {found}, not {wanted}")).help("fetch it again"));
        }
    }
    let rename = |name: String| {
        let name = name.strip_prefix(how.remove_prefix.as_str()).map_or(name.clone(), str::to_owned);
        how.replace.iter().fold(name, |name, [from, to]| name.replace(from.as_str(), to))
    };
    let dict = read_weights(File::new(file), None)?;
    let dict = dict.into_iter().map(|(name, tensor)| (rename(name), tensor)).collect();
    fit(&below(path), &dict, file, if how.partial { Fit::Partial } else { Fit::Exact })
}

/// Takes over every tensor of a checkpoint whose name and shape agree; all others stay as they were drawn. `from` is
/// a checkpoint, or the folder of a run that left one.
///
/// # Errors
/// When the file is not there or cannot be read, or nothing agrees.
pub fn take_over(path: &Path, from: Option<&str>) -> Result<()> {
    let Some(from) = from else { return Ok(()) };
    let places = ["trained_model.ckpt", "best.ckpt", "checkpoints/last.ckpt", "last.ckpt"];
    let folder = File::new(from);
    let file = if folder.is_dir() {
        let found = places.iter().map(|place| folder.join(place)).find(|place| place.is_file());
        found.ok_or_else(|| {
            Error::request(format!("there is no checkpoint in {from}"))
                .help(format!("looked for {}", places.join(", ")))
        })?
    } else {
        folder.to_owned()
    };
    let prefix = if path.name().is_empty() { String::new() } else { format!("{}.", path.name()) };
    let dict = read_weights(&file, None)?;
    let dict: IndexMap<String, Tensor> = dict
        .into_iter()
        .map(|(name, tensor)| (name.strip_prefix(prefix.as_str()).map_or(name.clone(), str::to_owned), tensor))
        .collect();
    let network = below(path);
    let options = LoadOptions { fit: Fit::Partial, ..LoadOptions::default() };
    let report = load_weights(&network, &dict, &options).map_err(|error| error.context(format!("weights {from}")))?;
    let drawn: Vec<String> = network
        .keys()
        .filter(|name| report.missing.contains(name) || report.mismatched.iter().any(|clash| clash.name == **name))
        .cloned()
        .collect();
    let count = network.len() - drawn.len();
    tracing::info!("{count} tensors are taken over from {}", file.display());
    if !drawn.is_empty() {
        tracing::info!("drawn anew, because the file has none of the name and shape: {}", drawn.join(", "));
    }
    Ok(())
}

/// Loads a local file as timm does: a first convolution for other channels is adapted, and a `head` (`fc`) for other
/// classes, or one that the file does not have, is left as drawn.
///
/// # Errors
/// When the file cannot be read, or anything else does not fit.
pub fn load_adapted(path: &Path, file: &str, head: &str) -> Result<()> {
    let network = below(path);
    let mut dict = read_weights(File::new(file), None)?;
    let is_head = |name: &str| name.strip_prefix(head).is_some_and(|rest| rest.starts_with('.'));
    if network.keys().any(|name| is_head(name)) && !dict.keys().any(|name| is_head(name)) {
        tracing::info!("weights {file}: they have no `{head}`, which stays as it was drawn");
        let drawn = network.iter().filter(|(name, _)| is_head(name));
        dict.extend(drawn.map(|(name, tensor)| (name.clone(), tensor.shallow_clone())));
    }
    for (name, wanted) in &network {
        let Some(found) = dict.get(name) else { continue };
        let (size, want) = (found.size(), wanted.size());
        let in_head = is_head(name);
        if size == want {
            continue;
        } else if in_head {
            dict.insert(name.clone(), wanted.shallow_clone());
        } else if size.len() == 4 && want.len() == 4 && size[0] == want[0] && size[2..] == want[2..] {
            let adapted = tch::no_grad(|| super::modify::adapt(found, want[1]));
            dict.insert(name.clone(), adapted);
        }
    }
    if network.keys().all(|name| !name.starts_with(head)) {
        // Features without a head.
        dict.retain(|name, _| network.contains_key(name));
    }
    fit(&network, &dict, file, Fit::Exact)
}

fn fit(network: &IndexMap<String, Tensor>, dict: &IndexMap<String, Tensor>, name: &str, how: Fit) -> Result<()> {
    let options = LoadOptions { fit: how, ..LoadOptions::default() };
    let report = load_weights(network, dict, &options).map_err(|error| error.context(format!("weights {name}")))?;
    if !report.is_complete() {
        tracing::warn!("weights {name}: {report}");
    }
    Ok(())
}

/// The state dict of the network below `path`, by the names that the network alone would have.
pub fn below(path: &Path) -> IndexMap<String, Tensor> {
    let skip = if path.name().is_empty() { 0 } else { path.name().len() + 1 };
    let dict = path.params().state_dict();
    dict.into_iter().filter(|(name, _)| path.holds(name)).map(|(name, t)| (name[skip..].to_owned(), t)).collect()
}

/// The names of a dense layer as they are now: `denselayer1.norm.1.weight` was published.
fn renamed(dict: IndexMap<String, Tensor>) -> IndexMap<String, Tensor> {
    let rename = |name: String| {
        if !name.contains("denselayer") {
            return name;
        }
        ["norm", "relu", "conv"].iter().fold(name, |name, part| {
            name.replace(&format!(".{part}.1."), &format!(".{part}1."))
                .replace(&format!(".{part}.2."), &format!(".{part}2."))
        })
    };
    dict.into_iter().map(|(name, tensor)| (rename(name), tensor)).collect()
}

/// Whether a name means published weights, which are then fetched.
pub fn is_published(weights: &str) -> bool {
    let name = weights.rsplit('.').next().unwrap_or(weights);
    name == "DEFAULT" || PUBLISHED.iter().any(|(_, known, _)| *known == name)
}

/// The local file that `weights` means.
fn locate(weights: &str, target: &str) -> Result<PathBuf> {
    if !is_published(weights) {
        return Ok(PathBuf::from(weights));
    }
    // Also `ResNet18_Weights.IMAGENET1K_V1`.
    let name = weights.rsplit('.').next().unwrap_or(weights);
    let model = target.rsplit('.').next().unwrap_or(target);
    let mut of_model = PUBLISHED.iter().filter(|(of, ..)| *of == model);
    let found = if name == "DEFAULT" { of_model.clone().next_back() } else { of_model.clone().find(|p| p.1 == name) };
    let Some((.., file)) = found else {
        let known: Vec<&str> = of_model.by_ref().map(|(_, name, _)| *name).collect();
        let known = if known.is_empty() { "none".to_owned() } else { known.join(", ") };
        return Err(Error::request(format!("{model} has no published weights `{name}`"))
            .help(format!("known are: {known}; the path of a local file is accepted too")));
    };
    cached(file)
}

/// The folder of downloaded weights: `$RUNNER_CACHE_DIR`, else `$XDG_CACHE_HOME/runner`, else `~/.cache/runner`.
fn cache() -> PathBuf {
    let variable = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    variable("RUNNER_CACHE_DIR")
        .or_else(|| variable("XDG_CACHE_HOME").map(|cache| cache.join("runner")))
        .or_else(|| variable("HOME").map(|home| home.join(".cache/runner")))
        .unwrap_or_else(|| PathBuf::from(".cache/runner"))
        .join("weights")
}

/// The file in the cache, downloaded unless it is there.
fn cached(file: &str) -> Result<PathBuf> {
    let folder = cache();
    let path = folder.join(file);
    let wanted = checksum_of(file);
    if path.exists() {
        let mut reader = std::fs::File::open(&path).map_err(|error| Error::io("open", &path, error))?;
        let found = digest(&mut reader, &mut std::io::sink()).map_err(|error| Error::io("read", &path, error))?;
        if found.starts_with(wanted) {
            return Ok(path);
        }
        return Err(Error::failed(format!("{} is damaged: its checksum is {found}, not {wanted}…", path.display()))
            .help("delete the file, so that it is downloaded again"));
    }
    std::fs::create_dir_all(&folder).map_err(|error| Error::io("create", &folder, error))?;
    download(file, wanted, &path)?;
    Ok(path)
}

/// The digest's beginning in a published file's name: `resnet18-f37072fd.pth`.
fn checksum_of(file: &str) -> &str {
    let stem = file.split('.').next().unwrap_or(file);
    stem.rsplit('-').next().unwrap_or(stem)
}

fn download(file: &str, wanted: &str, to: &File) -> Result<()> {
    let url = format!("{STORE}{file}");
    let offline = |reason: String| {
        Error::failed(format!("cannot download {url}: {reason}")).help(format!(
            "on a machine without network, put the file at {} or give its path as `weights`",
            to.display()
        ))
    };
    tracing::info!("downloading {url}");
    let mut response = ureq::get(&url).call().map_err(|error| offline(error.to_string()))?;
    let folder = to.parent().unwrap_or(File::new("."));
    let mut part = tempfile::NamedTempFile::new_in(folder).map_err(|error| Error::io("write in", folder, error))?;
    let mut body = response.body_mut().as_reader();
    let found = digest(&mut body, &mut part).map_err(|error| offline(error.to_string()))?;
    if !found.starts_with(wanted) {
        return Err(Error::failed(format!("{url} came with the checksum {found}, not {wanted}…")));
    }
    part.persist(to).map_err(|error| Error::io("write", to, error))?;
    Ok(())
}

/// Copies everything and gives the SHA-256 digest in hexadecimal.
fn digest(from: &mut dyn Read, to: &mut dyn Write) -> std::io::Result<String> {
    let mut hash = Sha256::new();
    let mut buffer = vec![0; 1 << 20];
    loop {
        match from.read(&mut buffer)? {
            0 => return Ok(hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect()),
            count => {
                hash.update(&buffer[..count]);
                to.write_all(&buffer[..count])?;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_published_weights() {
        assert_eq!(checksum_of("efficientnet_b5_lukemelas-1a07897c.pth"), "1a07897c");
        assert!(PUBLISHED.iter().all(|(.., file)| checksum_of(file).len() == 8));
        for (name, published) in
            [("DEFAULT", true), ("ResNet18_Weights.IMAGENET1K_V1", true), ("weights/my.pth", false), ("V3", false)]
        {
            assert_eq!(is_published(name), published, "{name}");
        }
        let error = locate("IMAGENET1K_V2", "torchvision.models.resnet18").unwrap_err();
        assert!(error.to_string().contains("resnet18 has no published weights `IMAGENET1K_V2`"), "{error}");
    }

    #[test]
    fn a_damaged_file_is_refused() {
        let text = digest(&mut &b"abc"[..], &mut std::io::sink()).unwrap();
        // FIPS 180-2, appendix B.1.
        assert_eq!(text, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    }
}
