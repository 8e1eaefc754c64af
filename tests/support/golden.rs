//! Golden cases: numbers computed with PyTorch, kept as data, and the rules by which ours are compared with them.
//!
//! `tests/golden/README.md` defines the format. A family is one test target:
//!
//! ```ignore
//! #[path = "support/golden.rs"]
//! mod golden;
//!
//! #[test]
//! fn losses() {
//!     golden::run_family("losses", |case| {
//!         let loss = golden::component::<LossKind>(&registry, &case.target, &case.args)?;
//!         Ok(golden::map([("loss", loss.forward(..).into())]))
//!     });
//! }
//! ```
//!
//! The folder is `$RUNNER_GOLDEN_DIR`, or `tests/golden`. `$RUNNER_GOLDEN_CASE` keeps only the cases whose id
//! holds that text, for work on one case.
#![allow(dead_code, reason = "every family uses another part")]

use std::path::PathBuf;
use std::time::Instant;

use indexmap::IndexMap;
use runner::config::{KeyPath, Map, Node, Value as ConfigValue};
use runner::error::{Context, Error, Result};
use runner::registry::{Build, Kind as ComponentKind, KindInfo, Registry, Slot, SlotRef};
use serde_json::Value;
use tch::{Kind, Tensor};

/// One case.
pub struct Case {
    /// Unique in its file.
    pub id: String,
    /// The component's or function's dotted name.
    pub target: String,
    /// Keyword arguments, JSON.
    pub args: Value,
    /// What it is given.
    pub inputs: Value,
    /// What must come out.
    pub expected: Value,
    /// What it depends on is not ours: reported apart, decides nothing.
    pub optional: bool,
    /// The rules by path.
    pub tolerance: Rules,
    /// The whole case as written.
    pub raw: Value,
}

impl Case {
    fn read(raw: Value) -> Result<Self> {
        let text =
            |key: &str| raw[key].as_str().map(str::to_owned).ok_or(Error::failed(format!("a case without {key}")));
        Ok(Case {
            id: text("id")?,
            target: text("target")?,
            args: raw["args"].clone(),
            inputs: raw["inputs"].clone(),
            expected: raw["expected"].clone(),
            optional: raw["optional"] == true,
            tolerance: Rules::read(&raw["tolerance"])?,
            raw,
        })
    }

    /// The input tensor of that name.
    pub fn input(&self, name: &str) -> Result<Tensor> {
        tensor(&self.inputs[name]).context(format!("inputs.{name}"))
    }
}

/// What a case gave: the same tree as `expected`.
#[derive(Debug)]
pub enum Got {
    Null,
    Bool(bool),
    Number(f64),
    Text(String),
    /// Against a tensor, a number, or nested lists of numbers.
    Tensor(Tensor),
    List(Vec<Got>),
    Map(IndexMap<String, Got>),
}

macro_rules! got_from {
    ($($from:ty => $value:ident $make:expr),* $(,)?) => {
        $(impl From<$from> for Got { fn from($value: $from) -> Self { $make } })*
    };
}
got_from! {
    bool => v Got::Bool(v),
    f64 => v Got::Number(v),
    f32 => v Got::Number(f64::from(v)),
    i64 => v Got::Number(v as f64),
    usize => v Got::Number(v as f64),
    &str => v Got::Text(v.to_owned()),
    String => v Got::Text(v),
    Tensor => v Got::Tensor(v),
    &Tensor => v Got::Tensor(v.shallow_clone()),
    IndexMap<String, Got> => v Got::Map(v),
}

impl<T: Into<Got>> From<Vec<T>> for Got {
    fn from(list: Vec<T>) -> Self {
        Got::List(list.into_iter().map(Into::into).collect())
    }
}

/// A mapping of results.
pub fn map<K: Into<String>, const N: usize>(entries: [(K, Got); N]) -> Got {
    Got::Map(entries.into_iter().map(|(key, value)| (key.into(), value)).collect())
}

// ---------------------------------------------------------------- running a family

/// Runs every case of a family, compares what `run` gives with all of `expected`, prints `family: passed/total` and
/// fails below 100 %.
pub fn run_family(family: &str, run: impl Fn(&Case) -> Result<Got>) {
    check_family(family, |case| {
        let got = run(case)?;
        compare(&case.expected, &got, &case.tolerance, "").map_err(Error::failed)
    });
}

/// Like [`run_family`] for a family that compares by itself (one of several paths through the ecosystem); `check`
/// calls [`compare`] on the parts that it stands for.
pub fn check_family(family: &str, check: impl Fn(&Case) -> Result<()>) {
    let only = std::env::var("RUNNER_GOLDEN_CASE").unwrap_or_default();
    let cases: Vec<Case> = cases(family).into_iter().filter(|case| case.id.contains(&only)).collect();
    let start = Instant::now();
    let mut counts = [(0, 0); 2];
    let mut failures = Vec::new();
    for case in &cases {
        let (passed, total) = &mut counts[usize::from(case.optional)];
        *total += 1;
        match runner::tensor::guard(|| check(case)) {
            Ok(()) => *passed += 1,
            Err(error) => {
                println!(
                    "{} {} ({}): {error}",
                    if case.optional { "optional" } else { "FAILED" },
                    case.id,
                    case.target
                );
                if !case.optional {
                    failures.push(case.id.as_str());
                }
            }
        }
    }
    let [(passed, total), (optional, optionals)] = counts;
    let filter = if only.is_empty() { String::new() } else { format!(" (only ids with `{only}`)") };
    println!("{family}: {passed}/{total}{filter} in {:.1} s", start.elapsed().as_secs_f64());
    if optionals > 0 {
        println!("{family} optional: {optional}/{optionals}");
    }
    assert!(total > 0, "no cases of {family}");
    assert!(failures.is_empty(), "{family}: {} of {total} cases failed: {}", failures.len(), failures.join(", "));
}

/// The cases of a family.
///
/// # Panics
/// When the file is missing or is not a golden file: a family that cannot be read has failed.
pub fn cases(family: &str) -> Vec<Case> {
    let folder = std::env::var_os("RUNNER_GOLDEN_DIR")
        .map_or_else(|| PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/golden"), PathBuf::from);
    let path = folder.join(format!("{family}.json"));
    let text = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let mut file: Value = serde_json::from_str(&text).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    assert_eq!(file["format"], "golden/1", "{}", path.display());
    let Value::Array(cases) = file["cases"].take() else { panic!("{}: no list of cases", path.display()) };
    cases.into_iter().map(|case| Case::read(case).unwrap_or_else(|e| panic!("{}: {e}", path.display()))).collect()
}

// ---------------------------------------------------------------- components

/// The component `target` built from `args` through the registry, checked first as a config is.
pub fn component<K: ComponentKind>(registry: &Registry, target: &str, args: &Value) -> Result<K::Built> {
    let slot = slot::<K>(target, args);
    let whole = SlotRef { node: slot.node.clone(), path: slot.path.clone(), kind: KindInfo::of::<K>() };
    let (problems, _) = registry.check(&whole);
    if !problems.0.is_empty() {
        return Err(problems.into());
    }
    Build::new(registry).build(&slot)
}

/// The config of a component: `args` with `_target_`.
pub fn slot<K: ComponentKind>(target: &str, args: &Value) -> Slot<K> {
    let mut entries = Map::new();
    entries.insert("_target_".into(), Node::program(target));
    if let ConfigValue::Map(args) = node(args).value {
        entries.extend(args);
    }
    Slot::new(Node::program(entries), KeyPath::root().key("case"))
}

/// JSON as config. A tensor becomes nested lists of numbers, `inf` and `nan` numbers, `{target, args}` a nested
/// component.
pub fn node(json: &Value) -> Node {
    Node::program(match json {
        Value::Null => ConfigValue::Null,
        Value::Bool(b) => (*b).into(),
        Value::Number(n) => match n.as_i64() {
            Some(i) if !n.is_f64() => i.into(),
            _ => number(json).unwrap_or(f64::NAN).into(),
        },
        Value::String(text) => match number(json) {
            Some(v) => v.into(),
            None => text.as_str().into(),
        },
        Value::Array(list) => list.iter().map(node).collect::<Vec<_>>().into(),
        Value::Object(map) if is_tensor(json) => {
            let _ = map;
            tensor(json).map_or(ConfigValue::Null, |tensor| nested(&tensor).value)
        }
        Value::Object(map) if map.contains_key("target") && map.contains_key("args") => {
            slot::<Anything>(map["target"].as_str().unwrap_or_default(), &map["args"]).node.value
        }
        Value::Object(map) => map.iter().map(|(key, value)| (key.as_str().into(), node(value))).collect::<Map>().into(),
    })
}

struct Anything;
impl ComponentKind for Anything {
    type Built = ();
    const NAME: &'static str = "anything";
}

/// A tensor as nested lists; whole numbers stay whole.
fn nested(tensor: &Tensor) -> Node {
    if tensor.dim() > 0 {
        let rows = (0..tensor.size()[0]).map(|i| nested(&tensor.get(i))).collect::<Vec<_>>();
        return Node::program(rows);
    }
    if tensor.is_floating_point() {
        Node::program(tensor.double_value(&[]))
    } else {
        Node::program(tensor.int64_value(&[]))
    }
}

// ---------------------------------------------------------------- tensors

/// Whether this JSON object stands for a tensor.
pub fn is_tensor(json: &Value) -> bool {
    json.get("shape").is_some_and(Value::is_array) && json.get("dtype").is_some()
}

/// The tensor that a JSON object stands for, from its data or its generator.
pub fn tensor(json: &Value) -> Result<Tensor> {
    let wrong = |what: &str| Error::failed(format!("not a tensor: {what}"));
    let shape: Vec<i64> = json["shape"]
        .as_array()
        .and_then(|shape| shape.iter().map(Value::as_i64).collect())
        .ok_or_else(|| wrong("no shape"))?;
    let kind = dtype(json["dtype"].as_str().unwrap_or_default())?;
    let count = shape.iter().product::<i64>() as u64;
    if let Some(data) = json["data"].as_array() {
        let values: Option<Vec<f64>> = data.iter().map(number).collect();
        let values = values.ok_or_else(|| wrong("data that is not numbers"))?;
        if values.len() as u64 != count {
            return Err(wrong("data and shape disagree"));
        }
        return Ok(Tensor::from_slice(&values).to_kind(kind).reshape(&shape));
    }
    let key = json["key"].as_str().ok_or_else(|| wrong("neither data nor key"))?;
    let number = |name: &str| number(&json[name]).ok_or_else(|| wrong(name));
    let made = match json["gen"].as_str().unwrap_or_default() {
        "uniform" => Tensor::from_slice(&uniform(key, number("lo")?, number("hi")?, count)),
        "int" => {
            let (lo, n) = (number("lo")? as i64, number("n")? as u64);
            Tensor::from_slice(&(0..count).map(|i| int(key, i, lo, n)).collect::<Vec<_>>())
        }
        "image" => match shape[..] {
            [c, h, w] => Tensor::from_slice(&image(key, c as u64, h as u64, w as u64)),
            _ => return Err(wrong("an image is [C, H, W]")),
        },
        other => return Err(wrong(&format!("generator `{other}`"))),
    };
    Ok(made.to_kind(kind).reshape(&shape))
}

/// `f32` and the like.
pub fn dtype(name: &str) -> Result<Kind> {
    Ok(match name {
        "f32" => Kind::Float,
        "f64" => Kind::Double,
        "i64" => Kind::Int64,
        "u8" => Kind::Uint8,
        "bool" => Kind::Bool,
        other => return Err(Error::failed(format!("dtype `{other}`"))),
    })
}

/// A JSON number, or `nan`, `inf`, `-inf`.
pub fn number(json: &Value) -> Option<f64> {
    match json {
        Value::Number(n) => n.as_f64(),
        Value::String(text) => match text.as_str() {
            "nan" => Some(f64::NAN),
            "inf" => Some(f64::INFINITY),
            "-inf" => Some(f64::NEG_INFINITY),
            _ => None,
        },
        _ => None,
    }
}

// ---------------------------------------------------------------- the generator

/// FNV-1a, 64 bits.
pub fn seed(key: &str) -> u64 {
    key.bytes().fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3))
}

/// splitmix64.
pub fn mix(x: u64) -> u64 {
    let z = x.wrapping_add(0x9E37_79B9_7F4A_7C15);
    let z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    let z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^ (z >> 31)
}

/// Element `i` of the stream `key`, 24 bits.
pub fn u24(key: &str, i: u64) -> u64 {
    mix(seed(key).wrapping_add(i)) >> 40
}

/// Element `i` of the stream `key` in [0, 1).
pub fn unit(key: &str, i: u64) -> f64 {
    u24(key, i) as f64 / f64::from(1 << 24)
}

/// `count` values in [lo, hi), computed in f64 and rounded once.
pub fn uniform(key: &str, lo: f64, hi: f64, count: u64) -> Vec<f32> {
    let seed = seed(key);
    let unit = |i: u64| (mix(seed.wrapping_add(i)) >> 40) as f64 / f64::from(1 << 24);
    (0..count).map(|i| (lo + (hi - lo) * unit(i)) as f32).collect()
}

/// Element `i` of whole numbers from `lo`, `n` of them.
pub fn int(key: &str, i: u64, lo: i64, n: u64) -> i64 {
    lo + ((u24(key, i) * n) >> 24) as i64
}

/// An image of lattice noise with grain, row-major [C, H, W].
pub fn image(key: &str, channels: u64, height: u64, width: u64) -> Vec<u8> {
    let seed = seed(key);
    let (gh, gw) = (height / 8 + 2, width / 8 + 2);
    let lattice = |c: u64, y: u64, x: u64| mix(seed.wrapping_add((c * gh + y) * gw + x)) >> 56;
    let mut pixels = Vec::with_capacity((channels * height * width) as usize);
    for c in 0..channels {
        for y in 0..height {
            for x in 0..width {
                let (a, b, fy, fx) = (y / 8, x / 8, y % 8, x % 8);
                let smooth = (lattice(c, a, b) * (8 - fy) * (8 - fx)
                    + lattice(c, a, b + 1) * (8 - fy) * fx
                    + lattice(c, a + 1, b) * fy * (8 - fx)
                    + lattice(c, a + 1, b + 1) * fy * fx)
                    >> 6;
                let grain = (mix(seed.wrapping_add(65536 + (c * height + y) * width + x)) >> 60) as i64 - 8;
                pixels.push((smooth as i64 + grain).clamp(0, 255) as u8);
            }
        }
    }
    pixels
}

/// The order of `count` samples: `0..count` shuffled by the stream `key`.
pub fn shuffle(key: &str, count: usize) -> Vec<usize> {
    let mut order: Vec<usize> = (0..count).collect();
    for i in (1..count).rev() {
        let j = (u24(key, (count - 1 - i) as u64) * (i as u64 + 1)) >> 24;
        order.swap(i, j as usize);
    }
    order
}

/// The name-seeded value of a state dict's entry; `None` where an entry stays as constructed.
pub fn weight(name: &str, shape: &[i64], kind: Kind, salt: &str, gain: f64) -> Option<Tensor> {
    let count = shape.iter().product::<i64>().max(0) as u64;
    if name.ends_with("num_batches_tracked") {
        return Some(Tensor::zeros(shape, (kind, tch::Device::Cpu)));
    }
    if !matches!(kind, Kind::Float | Kind::Double | Kind::Half | Kind::BFloat16) {
        return None;
    }
    let fan_in = count as f64 / shape.first().map_or(1.0, |n| *n as f64);
    let value: Box<dyn Fn(f64) -> f64> = match name {
        n if n.ends_with("running_var") => Box::new(|u| 1.0 + 0.5 * u.abs()),
        n if n.ends_with("running_mean") => Box::new(|u| 0.1 * u),
        n if n.ends_with("weight") && shape.len() >= 2 => Box::new(move |u| u * (gain / fan_in).sqrt()),
        n if n.ends_with("weight") && shape.len() == 1 => Box::new(|u| 1.0 + 0.1 * u),
        n if n.ends_with("bias") => Box::new(|u| 0.1 * u),
        n if n.ends_with("layer_scale") || n.ends_with("gamma") => Box::new(|u| 0.5 + 0.1 * u),
        _ => Box::new(|u| 0.1 * u),
    };
    let seed = seed(&format!("{salt}{name}"));
    let unit = |i: u64| (mix(seed.wrapping_add(i)) >> 40) as f64 / f64::from(1 << 24);
    let values: Vec<f32> = (0..count).map(|i| value(2.0 * unit(i) - 1.0) as f32).collect();
    Some(Tensor::from_slice(&values).reshape(shape).to_kind(kind))
}

// ---------------------------------------------------------------- comparison

/// How two values are compared.
#[derive(Clone, Debug, PartialEq)]
pub enum Rule {
    /// |got - want| <= abs + rel * |want|.
    Close { abs: f64, rel: f64 },
    /// 8-bit images: every value within `levels` but a share of `outliers`; the mean difference at most `mean`.
    Levels { levels: f64, mean: f64, outliers: f64 },
    /// Element i of a list within entry i.
    PerStep(Vec<f64>),
    /// `{value, tol}` and `{constant}` leaves.
    Statistical { draws: u64 },
    /// Decides nothing.
    Informative,
}

/// The rules of a case: by the longest listed prefix of a path, else the default.
pub struct Rules {
    default: Rule,
    paths: Vec<(String, Rule)>,
}

impl Rule {
    fn read(json: &Value) -> Result<Self> {
        let field = |name: &str| number(&json[name]);
        if json["informative"] == true {
            Ok(Rule::Informative)
        } else if json["statistical"] == true {
            Ok(Rule::Statistical { draws: json["n"].as_u64().unwrap_or(1) })
        } else if let Some(steps) = json["abs_per_step"].as_array() {
            let steps: Option<Vec<f64>> = steps.iter().map(number).collect();
            Ok(Rule::PerStep(steps.ok_or_else(|| Error::failed("abs_per_step holds something else than numbers"))?))
        } else if let Some(levels) = field("levels") {
            let (mean, outliers) = (field("mean").unwrap_or(f64::INFINITY), field("outliers").unwrap_or(0.0));
            Ok(Rule::Levels { levels, mean, outliers })
        } else if let (Some(abs), Some(rel)) = (field("abs"), field("rel")) {
            Ok(Rule::Close { abs, rel })
        } else {
            Err(Error::failed(format!("unknown rule {json}")))
        }
    }
}

impl Rules {
    /// The rules of a case's `tolerance`.
    pub fn read(json: &Value) -> Result<Self> {
        let object = json.as_object().ok_or_else(|| Error::failed("a case without tolerance"))?;
        let mut rules = Rules { default: Rule::read(&json["default"])?, paths: Vec::new() };
        for (path, rule) in object.iter().filter(|(path, _)| *path != "default") {
            rules.paths.push((path.clone(), Rule::read(rule)?));
        }
        Ok(rules)
    }

    /// The rule for a dotted path.
    pub fn of(&self, path: &str) -> &Rule {
        let covers =
            |prefix: &str| path.strip_prefix(prefix).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'));
        let longest = self.paths.iter().filter(|(prefix, _)| covers(prefix)).max_by_key(|(prefix, _)| prefix.len());
        longest.map_or(&self.default, |(_, rule)| rule)
    }
}

/// Compares a result with what was expected at `path`; the error names the first place that differs.
pub fn compare(want: &Value, got: &Got, rules: &Rules, path: &str) -> Result<(), String> {
    let rule = rules.of(path);
    if *rule == Rule::Informative {
        return Ok(());
    }
    let at = |what: String| if path.is_empty() { what } else { format!("{path}: {what}") };
    let differ = || at(format!("{} instead of {}", brief(&format!("{got:?}")), brief(&want.to_string())));
    if is_tensor(want) {
        let want = tensor(want).map_err(|error| at(error.to_string()))?;
        return match got {
            Got::Tensor(got) => tensors(&want, got, rule).map_err(at),
            Got::Number(v) if want.dim() == 0 => tensors(&want, &Tensor::from(*v), rule).map_err(at),
            _ => Err(differ()),
        };
    }
    if let (Value::Object(leaf), Rule::Statistical { .. }) = (want, rule)
        && (leaf.contains_key("constant") || (leaf.contains_key("value") && leaf.contains_key("tol")))
    {
        return statistic(want, got).map_err(at);
    }
    match (want, got) {
        (Value::Object(want), Got::Map(got)) => {
            let below = |key: &str| if path.is_empty() { key.to_owned() } else { format!("{path}.{key}") };
            for (key, want) in want {
                match got.get(key) {
                    Some(got) => compare(want, got, rules, &below(key))?,
                    None if *rules.of(&below(key)) == Rule::Informative => {}
                    None => return Err(at(format!("`{key}` is missing"))),
                }
            }
            match got.keys().find(|key| !want.contains_key(*key)) {
                Some(key) => Err(at(format!("`{key}` is not expected"))),
                None => Ok(()),
            }
        }
        (Value::Array(want), Got::Tensor(got)) => compare(&Value::Array(want.clone()), &lists(got), rules, path),
        (Value::Array(want), Got::List(got)) => {
            if want.len() != got.len() {
                return Err(at(format!("{} elements instead of {}", got.len(), want.len())));
            }
            for (i, (want, got)) in want.iter().zip(got).enumerate() {
                let result = match (rule, number(want), got) {
                    (Rule::PerStep(steps), Some(want), Got::Number(got)) => match steps.get(i) {
                        Some(abs) => close(want, *got, *abs, 0.0),
                        None => Err("beyond the last step that has a tolerance".to_owned()),
                    },
                    _ => compare(want, got, rules, path).map_err(|e| e.trim_start_matches(&format!("{path}: ")).into()),
                };
                result.map_err(|error| at(format!("[{i}] {error}")))?;
            }
            Ok(())
        }
        (Value::Number(_) | Value::String(_), Got::Tensor(got)) if got.numel() == 1 => {
            compare(want, &Got::Number(scalar(got)), rules, path)
        }
        (Value::Number(_) | Value::String(_), Got::Number(v)) => {
            let want = number(want).ok_or_else(differ)?;
            let (abs, rel) = match rule {
                Rule::Close { abs, rel } => (*abs, *rel),
                _ => (0.0, 0.0),
            };
            close(want, *v, abs, rel).map_err(at)
        }
        (Value::String(want), Got::Text(got)) if want == got => Ok(()),
        (Value::Bool(want), Got::Bool(got)) if want == got => Ok(()),
        (Value::Null, Got::Null) => Ok(()),
        _ => Err(differ()),
    }
}

fn brief(text: &str) -> String {
    let mut short: String = text.chars().take(80).collect();
    if short.len() < text.len() {
        short.push('…');
    }
    short
}

fn scalar(tensor: &Tensor) -> f64 {
    tensor.to_kind(Kind::Double).reshape([1]).double_value(&[0])
}

fn lists(tensor: &Tensor) -> Got {
    if tensor.dim() == 0 {
        return Got::Number(scalar(tensor));
    }
    Got::List((0..tensor.size()[0]).map(|i| lists(&tensor.get(i))).collect())
}

fn close(want: f64, got: f64, abs: f64, rel: f64) -> Result<(), String> {
    let fits = if want.is_finite() { (got - want).abs() <= abs + rel * want.abs() } else { same(want, got) };
    if fits { Ok(()) } else { Err(format!("{got} instead of {want} (off by {:.3e})", (got - want).abs())) }
}

/// nan is nan, an infinity itself.
fn same(want: f64, got: f64) -> bool {
    want == got || (want.is_nan() && got.is_nan())
}

fn statistic(want: &Value, got: &Got) -> Result<(), String> {
    let got = match got {
        Got::Number(v) => Tensor::from(*v),
        Got::Tensor(tensor) => tensor.to_kind(Kind::Double).detach(),
        other => return Err(format!("{other:?} is not a statistic")),
    };
    if let Some(constant) = number(&want["constant"]) {
        let off = if got.numel() == 0 { 0.0 } else { scalar(&(got - constant).abs().max()) };
        return if off <= 1e-6 { Ok(()) } else { Err(format!("off by {off:.3e} from the constant {constant}")) };
    }
    match (number(&want["value"]), number(&want["tol"])) {
        (Some(value), Some(tol)) if got.numel() == 1 => close(value, scalar(&got), tol, 0.0),
        _ => Err(format!("{want} is not a statistic of one number")),
    }
}

fn tensors(want: &Tensor, got: &Tensor, rule: &Rule) -> Result<(), String> {
    if want.size() != got.size() {
        return Err(format!("shape {:?} instead of {:?}", got.size(), want.size()));
    }
    let values =
        |t: &Tensor| Vec::<f64>::try_from(t.detach().to_device(tch::Device::Cpu).to_kind(Kind::Double).reshape([-1]));
    let (want_values, got_values) = (values(want), values(got));
    let (Ok(wants), Ok(gots)) = (want_values, got_values) else { return Err("values that cannot be read".into()) };
    let differences = || wants.iter().zip(&gots).map(|(w, g)| if same(*w, *g) { 0.0 } else { (w - g).abs() });
    let count = wants.len().max(1) as f64;
    if let Rule::Levels { levels, mean, outliers } = rule {
        let share = differences().filter(|d| d.is_nan() || d > levels).count() as f64 / count;
        let average = differences().sum::<f64>() / count;
        let largest = differences().fold(0.0, f64::max);
        return if share <= *outliers && average <= *mean {
            Ok(())
        } else {
            Err(format!(
                "{:.2} % beyond {levels} levels (largest {largest}), mean difference {average:.4}",
                share * 100.0
            ))
        };
    }
    for (i, (want_value, got_value)) in wants.iter().zip(&gots).enumerate() {
        let (abs, rel) = match rule {
            Rule::Close { abs, rel } => (*abs, *rel),
            Rule::PerStep(steps) => (steps.get(i).copied().unwrap_or(0.0), 0.0),
            _ => (0.0, 0.0),
        };
        close(*want_value, *got_value, abs, rel).map_err(|error| {
            format!(
                "{:?} {error}; largest difference {:.3e}",
                index(i, &want.size()),
                differences().fold(0.0, f64::max)
            )
        })?;
    }
    Ok(())
}

/// The position of flat element `i`.
fn index(mut i: usize, shape: &[i64]) -> Vec<usize> {
    let mut position: Vec<usize> = shape
        .iter()
        .rev()
        .map(|n| {
            let here = i % *n as usize;
            i /= *n as usize;
            here
        })
        .collect();
    position.reverse();
    position
}
