//! Which parameters are a network's backbone, and which its head.

use globset::Glob;

use crate::error::{Error, Result};
use crate::nn::Params;
use crate::registry::suggest;

/// How the classifiers of torchvision's and timm's networks are called.
const HEADS: [&str; 7] = ["fc", "classifier", "head", "heads", "head_drop", "last_linear", "head_dist"];

/// The names of the parameters of the backbone, in the order of the state dict.
///
/// With `patterns` those that fit one of them (`*` stands for any text). Without, those below a child called
/// `backbone`; in a network without one everything but the classifier, by the names that torchvision and timm give
/// it (`fc`, `classifier`, `head`, `heads`, …).
///
/// # Errors
/// When a pattern fits nothing, or there is neither a backbone nor a classifier of a known name.
pub fn backbone(params: &Params, patterns: &[String]) -> Result<Vec<String>> {
    let all: Vec<String> = params.parameters().into_iter().map(|(name, _)| name).collect();
    if !patterns.is_empty() {
        let mut wanted = vec![false; all.len()];
        for pattern in patterns {
            let glob = Glob::new(pattern).map_err(|error| {
                Error::request(format!("`{pattern}` is no pattern of parameter names: {}", error.kind()))
            })?;
            let glob = glob.compile_matcher();
            let mut found = false;
            for (name, wanted) in all.iter().zip(&mut wanted) {
                if glob.is_match(name) {
                    (found, *wanted) = (true, true);
                }
            }
            if !found {
                let near = suggest::nearest(pattern, all.iter().map(String::as_str));
                let near = near.map_or_else(String::new, |near| format!("; the nearest is `{near}`"));
                return Err(Error::request(format!("no parameter fits the pattern `{pattern}` of a backbone{near}")));
            }
        }
        return Ok(all.into_iter().zip(wanted).filter_map(|(name, wanted)| wanted.then_some(name)).collect());
    }
    let has = |name: &str, children: &[&str]| name.split('.').any(|child| children.contains(&child));
    let below: Vec<String> = all.iter().filter(|name| has(name, &["backbone"])).cloned().collect();
    if !below.is_empty() {
        return Ok(below);
    }
    let rest: Vec<String> = all.iter().filter(|name| !has(name, &HEADS)).cloned().collect();
    if rest.len() == all.len() || rest.is_empty() {
        let shown = all.iter().take(4).map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ");
        return Err(Error::request(format!(
            "the network has neither a `backbone` nor a classifier by which it could be told (parameters: {shown}, …)"
        ))
        .help("say which parameters are the backbone, by patterns of their names: backbone=['net.layers.*']"));
    }
    Ok(rest)
}

#[cfg(test)]
mod tests {
    use super::*;
    use tch::{Device, Tensor};

    fn params(names: &[&str]) -> Params {
        let params = Params::new(Device::Cpu);
        for name in names {
            params.root().adopt(name, Tensor::from(0.0)).unwrap();
        }
        params
    }

    #[test]
    fn by_name_by_classifier_or_by_pattern() {
        let named = params(&["net.backbone.fc.weight", "net.heads.0.weight"]);
        assert_eq!(backbone(&named, &[]).unwrap(), ["net.backbone.fc.weight"]);
        let resnet = params(&["net.conv1.weight", "net.layer1.0.weight", "net.fc.weight"]);
        assert_eq!(backbone(&resnet, &[]).unwrap(), ["net.conv1.weight", "net.layer1.0.weight"]);
        assert_eq!(backbone(&resnet, &["net.layer*".into()]).unwrap(), ["net.layer1.0.weight"]);
        let error = backbone(&resnet, &["net.conv2*".into()]).unwrap_err().to_string();
        assert!(error.contains("`net.conv2*`"), "{error}");
        assert!(backbone(&params(&["net.0.weight", "net.1.weight"]), &[]).is_err());
    }
}
