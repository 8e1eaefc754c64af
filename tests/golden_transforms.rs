//! Transforms against torchvision. Images follow the path `pil` (a PIL image through `torchvision.transforms`),
//! boxes and floats the only path there is.

#[path = "support/golden.rs"]
mod golden;

use golden::{Case, Got, Rules};
use runner::config::KeyPath;
use runner::data::SampleKey;
use runner::data::decode::{Decode, Mode};
use runner::data::image::{Image, Picture, Planes};
use runner::data::rng::Rng;
use runner::data::transforms::{
    self, AugMix, AutoAugment, Boxes, Canvas, Erase, Fill, Interpolation, Magnitudes, Op, Plan, Policy, RandAugment,
    Space, Transform, TransformKind, TrivialAugmentWide,
};
use runner::error::{Error, Result};
use runner::registry::{Registry, extract};
use serde::de::DeserializeOwned;
use serde_json::Value;
use tch::{Kind, Tensor};

#[test]
fn transforms() {
    tch::set_num_threads(1);
    let mut registry = Registry::new();
    transforms::register(&mut registry);
    golden::check_family("transforms", |case| {
        let (key, got) = run(&registry, case)?;
        let want = resolve(&case.expected, key)?;
        golden::compare(want, &got, &case.tolerance, "").map_err(Error::failed)
    });
}

/// What is expected under a key; `{"same_as": other}` stands for the value under that one.
fn resolve<'a>(expected: &'a Value, key: &str) -> Result<&'a Value> {
    let found = if key.is_empty() { expected } else { &expected[key] };
    match found["same_as"].as_str() {
        Some(other) => resolve(expected, other),
        None if found.is_null() => Err(Error::failed(format!("the case expects nothing for `{key}`"))),
        None => Ok(found),
    }
}

/// The part of `expected` that is compared, and what came out.
fn run(registry: &Registry, case: &Case) -> Result<(&'static str, Got)> {
    let target = case.target.as_str();
    if target == "PIL.Image.open" {
        let mode = argument::<Mode>(case, "convert")?;
        let bytes = base64(case.inputs["file_base64"].as_str().unwrap_or_default());
        let image = Decode { mode, ..Decode::default() }.bytes(&bytes)?;
        return Ok(("pil", Got::Tensor(Picture::Bytes(image).to_tensor()?)));
    }
    if let Some(name) = target.strip_suffix("._augmentation_space") {
        return Ok(("", golden::map([("space", space(name, case)?)])));
    }
    if target.ends_with(".AutoAugment") && case.expected.get("policies").is_some() {
        golden::component::<TransformKind>(registry, target, &case.args)?;
        return Ok(("", golden::map([("policies", policies(argument(case, "policy")?))])));
    }
    if case.inputs.get("boxes").is_some() {
        let transform = golden::component::<TransformKind>(registry, target, &case.args)?;
        return Ok(("", boxes(&*transform, case)?));
    }
    let picture = picture(&case.input("image")?)?;
    let key = if case.expected.get("pil").is_some() { "pil" } else { "out" };
    let ops = match function(target, case)? {
        Some(ops) => ops,
        None => {
            let transform = golden::component::<TransformKind>(registry, target, &case.args)?;
            plan(&*transform, canvas(&picture))?.ops
        }
    };
    let out = ops.iter().try_fold(picture, |picture, op| op.apply(picture))?;
    Ok((key, got(&out)?))
}

const KEY: SampleKey = SampleKey { seed: 1, epoch: 2, index: 3 };

fn plan(transform: &dyn Transform, canvas: Canvas) -> Result<Plan> {
    let mut plan = Plan::new(canvas);
    transform.plan(&mut Rng::of(KEY), &mut plan)?;
    Ok(plan)
}

fn got(picture: &Picture) -> Result<Got> {
    Ok(match picture {
        Picture::Many(list) => Got::List(list.iter().map(got).collect::<Result<_>>()?),
        one => Got::Tensor(one.to_tensor()?),
    })
}

fn picture(tensor: &Tensor) -> Result<Picture> {
    let [channels, height, width] = tensor.size()[..] else { return Err(Error::failed("an image is [C, H, W]")) };
    let (channels, height, width) = (channels as usize, height as usize, width as usize);
    let flat = tensor.flatten(0, -1);
    Ok(match tensor.kind() {
        Kind::Uint8 => Picture::Bytes(Image::from_planes(channels, height, width, &Vec::<u8>::try_from(flat)?)?),
        _ => Picture::Floats(Planes { width, height, channels, data: Vec::<f32>::try_from(flat)? }),
    })
}

fn canvas(picture: &Picture) -> Canvas {
    let (channels, height, width) = picture.size();
    Canvas { height, width, channels }
}

fn boxes(transform: &dyn Transform, case: &Case) -> Result<Got> {
    assert_eq!(case.inputs["format"], "XYXY");
    let side = |i: usize| case.inputs["canvas"][i].as_u64().unwrap_or(0) as usize;
    let canvas = Canvas { height: side(0), width: side(1), channels: 3 };
    let values = Vec::<f32>::try_from(case.input("boxes")?.flatten(0, -1))?;
    let boxes = values.as_chunks::<4>().0.to_vec();
    let n = boxes.len() as i64;
    let plan = plan(transform, canvas)?;
    let moved = plan.ops.iter().fold(Boxes { boxes, canvas }, Boxes::apply);
    let flat: Vec<f32> = moved.boxes.iter().flatten().copied().collect();
    let canvas = vec![moved.canvas.height, moved.canvas.width];
    Ok(golden::map([("boxes", Got::Tensor(Tensor::from_slice(&flat).reshape([n, 4]))), ("canvas", canvas.into())]))
}

fn space(name: &str, case: &Case) -> Result<Got> {
    let bins = argument::<usize>(case, "num_bins")?;
    let canvas = |case: &Case| -> Result<Canvas> {
        let size = argument::<Vec<usize>>(case, "image_size")?;
        Ok(Canvas { height: size[0], width: size[1], channels: 3 })
    };
    let space: Space = match name.rsplit('.').next().unwrap_or_default() {
        "RandAugment" => RandAugment::space(bins, canvas(case)?),
        "AutoAugment" => AutoAugment::space(bins, canvas(case)?),
        "TrivialAugmentWide" => TrivialAugmentWide::space(bins),
        "AugMix" => AugMix::space(bins, canvas(case)?, true),
        other => return Err(Error::failed(format!("no augmentation space of `{other}`"))),
    };
    let entry = |(name, magnitudes, signed): (&str, Magnitudes, bool)| {
        let magnitudes = match magnitudes {
            Magnitudes::None => Tensor::from(0f32),
            Magnitudes::Bins(bins) => Tensor::from_slice(&bins),
        };
        Got::List(vec![name.into(), magnitudes.into(), signed.into()])
    };
    Ok(Got::List(space.into_iter().map(entry).collect()))
}

fn policies(policy: Policy) -> Got {
    let op = |(name, p, bin): (&str, f64, Option<usize>)| {
        Got::List(vec![name.into(), p.into(), bin.map_or(Got::Null, Got::from)])
    };
    let pair = |pair: transforms::SubPolicy| Got::List(pair.map(op).into());
    Got::List(transforms::policies(policy).into_iter().map(pair).collect())
}

/// An argument in the type that a config would give it.
fn argument<T: DeserializeOwned>(case: &Case, name: &str) -> Result<T> {
    let node = golden::node(&case.args[name]);
    Ok(extract::<T>(&node, &KeyPath::root().key(name)).0?)
}

fn or<T: DeserializeOwned>(case: &Case, name: &str, default: T) -> Result<T> {
    if case.args.get(name).is_none_or(Value::is_null) { Ok(default) } else { argument(case, name) }
}

/// The operations that a function of `torchvision.transforms.functional` is.
fn function(target: &str, case: &Case) -> Result<Option<Vec<Op>>> {
    let Some(name) = target.strip_prefix("torchvision.transforms.") else { return Ok(None) };
    let fill = || or(case, "fill", Fill::default());
    let nearest = || or(case, "interpolation", Interpolation::Nearest);
    let bilinear = || or(case, "interpolation", Interpolation::Bilinear);
    let number = |name: &str| argument::<f64>(case, name);
    let whole = |name: &str| argument::<i64>(case, name);
    let size = |name: &str| argument::<usize>(case, name);
    let center = || or(case, "center", None::<Vec<f64>>).map(|c| c.and_then(|c| <[f64; 2]>::try_from(c).ok()));
    let op = match name {
        "autoaugment._apply_op" => {
            let name = argument::<String>(case, "op_name")?;
            transforms::augment(&name, number("magnitude")?, nearest()?, &fill()?)?
        }
        "functional.resized_crop" => {
            let (top, left, height, width) = (whole("top")?, whole("left")?, size("height")?, size("width")?);
            let to = argument::<[usize; 2]>(case, "size")?;
            let crop = Op::Crop { top, left, height, width, fill: Fill::default() };
            let (interpolation, antialias) = (bilinear()?, or(case, "antialias", true)?);
            return Ok(Some(vec![crop, Op::Resize { height: to[0], width: to[1], interpolation, antialias }]));
        }
        "functional.crop" => Op::Crop {
            top: whole("top")?,
            left: whole("left")?,
            height: size("height")?,
            width: size("width")?,
            fill: Fill::default(),
        },
        "functional.affine" => Op::Affine {
            angle: number("angle")?,
            translate: argument(case, "translate")?,
            scale: number("scale")?,
            shear: argument(case, "shear")?,
            interpolation: nearest()?,
            center: center()?,
            fill: fill()?,
        },
        "functional.rotate" => Op::Rotate {
            angle: number("angle")?,
            interpolation: nearest()?,
            expand: or(case, "expand", false)?,
            center: center()?,
            fill: fill()?,
        },
        "functional.perspective" => Op::Perspective {
            startpoints: argument(case, "startpoints")?,
            endpoints: argument(case, "endpoints")?,
            interpolation: bilinear()?,
            fill: fill()?,
        },
        "functional.adjust_brightness" => Op::Brightness(number("brightness_factor")?),
        "functional.adjust_contrast" => Op::Contrast(number("contrast_factor")?),
        "functional.adjust_saturation" => Op::Saturation(number("saturation_factor")?),
        "functional.adjust_hue" => Op::Hue(number("hue_factor")?),
        "functional.adjust_gamma" => Op::Gamma { gamma: number("gamma")?, gain: or(case, "gain", 1.0)? },
        "functional.adjust_sharpness" => Op::Sharpness(number("sharpness_factor")?),
        "functional.gaussian_blur" => {
            let kernel = argument::<[usize; 2]>(case, "kernel_size")?;
            Op::GaussianBlur { kernel, sigma: or(case, "sigma", kernel.map(transforms::default_sigma))? }
        }
        "functional.erase" => {
            let (top, left, height, width) = (size("i")?, size("j")?, size("h")?, size("w")?);
            Op::Erase { top, left, height, width, value: Erase::Values(vec![number("v")? as f32]) }
        }
        name if name.starts_with("functional.") => {
            return Err(Error::failed(format!("there is no function `{target}`")));
        }
        _ => return Ok(None),
    };
    Ok(Some(vec![op]))
}

/// RFC 4648, for the files in the cases.
fn base64(text: &str) -> Vec<u8> {
    const ALPHABET: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let digits: Vec<u32> =
        text.bytes().filter_map(|byte| ALPHABET.iter().position(|known| *known == byte)).map(|d| d as u32).collect();
    let mut bytes = Vec::new();
    for chunk in digits.chunks(4) {
        let word = chunk.iter().enumerate().fold(0, |word, (i, digit)| word | digit << (18 - 6 * i));
        bytes.extend(&word.to_be_bytes()[1..chunk.len()]);
    }
    bytes
}

/// The comparison sees what it should: one level too much fails.
#[test]
fn a_wrong_pixel_is_seen() {
    let rules = Rules::read(&serde_json::json!({ "default": { "levels": 0 } })).unwrap();
    let want = serde_json::json!({ "shape": [1, 1, 2], "dtype": "u8", "data": [3, 4] });
    let right = Got::Tensor(Tensor::from_slice(&[3u8, 4]).reshape([1, 1, 2]));
    let wrong = Got::Tensor(Tensor::from_slice(&[3u8, 5]).reshape([1, 1, 2]));
    assert!(golden::compare(&want, &right, &rules, "").is_ok());
    assert!(golden::compare(&want, &wrong, &rules, "").is_err());
}
