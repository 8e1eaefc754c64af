//! Which parameters share their options, from config.

use std::fmt;

use globset::{Glob, GlobMatcher};
use indexmap::IndexMap;
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::Value;
use tch::Tensor;

use super::ParamGroup;
use crate::error::{Error, Result};
use crate::nn::Params;
use crate::registry::{NonNegative, suggest};

/// Parameters with options of their own.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[allow(dead_code, reason = "some arguments are only accepted")]
pub struct ParamRule {
    /// Which parameters: a name as in the state dict, with `*` for any text (`net.layer4.*`, `*.bias`), or a word: `1d`
    /// for all with fewer than two dimensions (biases and the weights of normalizations, as in timm), `norm` for those
    /// of normalizations, `head` for those of the network's head (the last layer, where it names none), `backbone`
    /// for all others. The first rule that fits a parameter is the one that counts.
    pub pattern: String,
    /// The group's learning rate.
    #[serde(default)]
    pub lr: Option<NonNegative>,
    /// The group's learning rate as a multiple of the optimizer's.
    #[serde(default)]
    pub lr_scale: Option<NonNegative>,
    /// The group's weight decay.
    #[serde(default)]
    pub weight_decay: Option<NonNegative>,
    /// The group's momentum.
    #[serde(default)]
    pub momentum: Option<NonNegative>,
    /// The group's betas.
    #[serde(default)]
    pub betas: Option<(f64, f64)>,
    /// The group's eps.
    #[serde(default)]
    pub eps: Option<NonNegative>,
}

impl ParamRule {
    fn options(&self) -> Vec<(String, Value)> {
        let number = |name: &str, value: Option<NonNegative>| Some((name.to_owned(), Value::from(value?.0)));
        let betas = self.betas.map(|(a, b)| ("betas".to_owned(), Value::from(vec![a, b])));
        [
            number("lr", self.lr),
            number("lr_scale", self.lr_scale),
            number("weight_decay", self.weight_decay),
            number("momentum", self.momentum),
            betas,
            number("eps", self.eps),
        ]
        .into_iter()
        .flatten()
        .collect()
    }
}

/// What the words of patterns mean in a network: layers by name.
#[derive(Clone, Debug, Default)]
pub struct Parts {
    /// The layers of the head.
    pub head: Vec<String>,
    /// The layers that normalize.
    pub norm: Vec<String>,
}

impl Parts {
    /// The parts of a network.
    pub fn of(params: &Params) -> Self {
        Parts { head: params.head(), norm: params.normalizations() }
    }
}

/// A pattern of parameters.
enum Pattern<'a> {
    FewDimensions,
    /// Below one of these layers, or below none of them.
    Below(&'a [String], bool),
    Name(GlobMatcher),
}

impl<'a> Pattern<'a> {
    fn parse(text: &str, parts: &'a Parts) -> Result<Self> {
        match text {
            "1d" => return Ok(Pattern::FewDimensions),
            "norm" => return Ok(Pattern::Below(&parts.norm, true)),
            "head" => return Ok(Pattern::Below(&parts.head, true)),
            "backbone" => return Ok(Pattern::Below(&parts.head, false)),
            _ => {}
        }
        let glob = Glob::new(text)
            .map_err(|error| Error::request(format!("`{text}` is no pattern of parameter names: {}", error.kind())))?;
        Ok(Pattern::Name(glob.compile_matcher()))
    }

    fn fits(&self, name: &str, tensor: &Tensor) -> bool {
        let below = |layer: &String| {
            layer.is_empty() || name.strip_prefix(layer.as_str()).is_some_and(|rest| rest.starts_with('.'))
        };
        match self {
            Pattern::FewDimensions => tensor.dim() < 2,
            Pattern::Below(layers, wanted) => layers.iter().any(below) == *wanted,
            Pattern::Name(glob) => glob.is_match(name),
        }
    }
}

/// The parameters that fit one of `patterns`, which are as in [`ParamRule::pattern`].
///
/// # Errors
/// When a pattern fits no parameter, which names the nearest, or is not one.
pub fn matching(params: Vec<(String, Tensor)>, parts: &Parts, patterns: &[String]) -> Result<Vec<(String, Tensor)>> {
    let parsed = parse_all(patterns.iter(), parts, &params)?;
    Ok(params.into_iter().filter(|(name, tensor)| parsed.iter().any(|pattern| pattern.fits(name, tensor))).collect())
}

/// Parses patterns, each of which must fit something.
fn parse_all<'a, 't>(
    texts: impl Iterator<Item = &'t String>,
    parts: &'a Parts,
    params: &[(String, Tensor)],
) -> Result<Vec<Pattern<'a>>> {
    let parse = |text: &String| {
        let pattern = Pattern::parse(text, parts)?;
        let fits = params.iter().any(|(name, tensor)| pattern.fits(name, tensor));
        if fits { Ok(pattern) } else { Err(unmatched(text, params)) }
    };
    texts.map(parse).collect()
}

/// A group that is being gathered: which rule made it, and whether decay was switched off.
type GroupKey = (Option<usize>, bool);

/// Sorts `params` into groups: by the first of `rules` that fits, and apart from that those without weight decay
/// (`no_weight_decay`, patterns as in [`ParamRule::pattern`]). Groups come in the order of their first parameter.
///
/// A frozen parameter stays in its group; it gets no gradient, and so no step.
///
/// # Errors
/// When a pattern fits no parameter, which names the nearest, or is not one.
pub fn param_groups(
    params: Vec<(String, Tensor)>,
    parts: &Parts,
    rules: &[ParamRule],
    no_weight_decay: &[String],
) -> Result<Vec<ParamGroup>> {
    let patterns = parse_all(rules.iter().map(|rule| &rule.pattern), parts, &params)?;
    let undecayed = parse_all(no_weight_decay.iter(), parts, &params)?;
    let mut groups: IndexMap<GroupKey, ParamGroup> = IndexMap::new();
    for (name, tensor) in params {
        let rule = patterns.iter().position(|pattern| pattern.fits(&name, &tensor));
        let bare = undecayed.iter().any(|pattern| pattern.fits(&name, &tensor));
        let group = groups.entry((rule, bare)).or_insert_with(|| {
            let mut options = rule.map_or_else(Vec::new, |rule| rules[rule].options());
            if bare {
                options.retain(|(name, _)| name != "weight_decay");
                options.push(("weight_decay".into(), 0.0.into()));
            }
            ParamGroup { params: Vec::new(), options }
        });
        group.params.push((name, tensor));
    }
    Ok(groups.into_values().collect())
}

fn unmatched(text: &str, params: &[(String, Tensor)]) -> Error {
    let names = params.iter().map(|(name, _)| name.as_str());
    let help = match suggest::nearest(text, names.clone()) {
        Some(near) => format!("the nearest is `{near}`"),
        None => format!("they are called {}", Few(names.collect())),
    };
    Error::request(format!("no parameter fits the pattern `{text}`")).help(help)
}

struct Few<'a>(Vec<&'a str>);

impl fmt::Display for Few<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shown = self.0.iter().take(4).map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ");
        f.write_str(&shown)?;
        if self.0.len() > 4 { write!(f, ", … ({} in all)", self.0.len()) } else { Ok(()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tch::{Device, Kind};

    fn params() -> Vec<(String, Tensor)> {
        let shapes: [(&str, &[i64]); 5] = [
            ("net.conv1.weight", &[4, 3, 3, 3]),
            ("net.bn1.weight", &[4]),
            ("net.bn1.bias", &[4]),
            ("net.fc.weight", &[10, 4]),
            ("net.fc.bias", &[10]),
        ];
        shapes.map(|(name, shape)| (name.to_owned(), Tensor::zeros(shape, (Kind::Float, Device::Cpu)))).into()
    }

    fn parts() -> Parts {
        Parts { head: vec!["net.fc".into()], norm: vec!["net.bn1".into()] }
    }

    fn shown(groups: &[ParamGroup]) -> Vec<String> {
        let name = |(name, _): &(String, Tensor)| name.trim_start_matches("net.").to_owned();
        let line = |group: &ParamGroup| {
            let names = group.params.iter().map(name).collect::<Vec<_>>().join(" ");
            let options = group.options.iter().map(|(k, v)| format!(" {k}={v}")).collect::<String>();
            format!("{names}:{options}")
        };
        groups.iter().map(line).collect()
    }

    fn rule(pattern: &str, lr: Option<f64>, lr_scale: Option<f64>) -> ParamRule {
        ParamRule {
            pattern: pattern.into(),
            lr: lr.map(NonNegative),
            lr_scale: lr_scale.map(NonNegative),
            weight_decay: Some(NonNegative(0.5)),
            ..ParamRule::default()
        }
    }

    #[test]
    fn parameters_are_sorted_by_the_first_rule_and_by_decay() {
        assert_eq!(
            shown(&param_groups(params(), &parts(), &[], &[]).unwrap()),
            ["conv1.weight bn1.weight bn1.bias fc.weight fc.bias:"]
        );
        assert_eq!(
            shown(&param_groups(params(), &parts(), &[], &["1d".into()]).unwrap()),
            ["conv1.weight fc.weight:", "bn1.weight bn1.bias fc.bias: weight_decay=0.0"]
        );
        assert_eq!(
            shown(&param_groups(params(), &parts(), &[rule("head", Some(0.1), None)], &["norm".into()]).unwrap()),
            ["conv1.weight:", "bn1.weight bn1.bias: weight_decay=0.0", "fc.weight fc.bias: lr=0.1 weight_decay=0.5"]
        );
        let frozen = matching(params(), &parts(), &["backbone".into()]).unwrap();
        assert_eq!(frozen.len(), 3);
        let rules = [rule("net.fc.*", Some(0.1), None), rule("*.bias", None, Some(2.0))];
        assert_eq!(
            shown(&param_groups(params(), &parts(), &rules, &["*bn*".into(), "net.fc.bias".into()]).unwrap()),
            [
                "conv1.weight:",
                "bn1.weight: weight_decay=0.0",
                "bn1.bias: lr_scale=2.0 weight_decay=0.0",
                "fc.weight: lr=0.1 weight_decay=0.5",
                "fc.bias: lr=0.1 weight_decay=0.0",
            ]
        );
    }

    #[test]
    fn a_pattern_that_fits_nothing_is_an_error() {
        let error =
            param_groups(params(), &parts(), &[rule("net.fc.wieght", None, None)], &[]).err().unwrap().to_string();
        assert_eq!(error, "no parameter fits the pattern `net.fc.wieght`; the nearest is `net.fc.weight`");
        let error = param_groups(params(), &parts(), &[], &["head.*".into()]).err().unwrap().to_string();
        assert!(error.contains("`head.*`") && error.contains("(5 in all)"), "{error}");
        assert!(param_groups(params(), &parts(), &[], &["[".into()]).is_err());
    }
}
