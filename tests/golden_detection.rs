//! Detection: box operators, anchors, coders, the pyramid, whole detectors.

#[path = "support/golden.rs"]
mod golden;
#[path = "support/network.rs"]
mod network;

use golden::{Case, Got};
use runner::error::{Context, Error, Result};
use runner::nn::Params;
use runner::nn::detection::{
    AnchorGenerator, BoxCoder, BoxLinearCoder, DetectorKind, ExtraLevels, FeaturePyramid, Matcher, Target, Transform,
};
use runner::nn::ops::{self, MultiScaleRoiAlign, RoiAlign, boxes};
use runner::registry::Registry;
use serde_json::Value;
use tch::{Device, Kind, Tensor};

#[test]
fn detection() {
    tch::set_num_threads(1);
    let registry = network::registry();
    golden::run_family("detection", |case| {
        let name = case.target.rsplit('.').next().unwrap_or_default();
        match name {
            "BoxCoder" | "BoxLinearCoder" => coder(case, name),
            "Matcher" => matcher(case),
            "AnchorGenerator" => anchors(case),
            "GeneralizedRCNNTransform" => transform(case),
            "FeaturePyramidNetwork" => pyramid(case),
            "retinanet_resnet50_fpn" | "fasterrcnn_resnet50_fpn" => detector(&registry, case),
            _ => operator(case, name).map(|out| golden::map([("out", out.into())])),
        }
    });
}

// ---------------------------------------------------------------- arguments

fn number(case: &Case, name: &str) -> Result<f64> {
    golden::number(&case.args[name]).ok_or_else(|| Error::failed(format!("no argument {name}")))
}

fn numbers(json: &Value) -> Result<Vec<f64>> {
    let list = json.as_array().map(|list| list.iter().map(golden::number).collect::<Option<Vec<_>>>());
    list.flatten().ok_or_else(|| Error::failed(format!("not a list of numbers: {json}")))
}

fn pair(json: &Value) -> Result<[i64; 2]> {
    match json.as_i64() {
        Some(both) => Ok([both; 2]),
        None => Ok([numbers(json)?[0] as i64, numbers(json)?[1] as i64]),
    }
}

fn pairs(json: &Value) -> Result<Vec<[i64; 2]>> {
    json.as_array().into_iter().flatten().map(pair).collect()
}

fn lists(json: &Value) -> Result<Vec<Vec<f64>>> {
    json.as_array().into_iter().flatten().map(numbers).collect()
}

fn features(json: &Value) -> Result<(Vec<String>, Vec<Tensor>)> {
    let map = json.as_object().ok_or_else(|| Error::failed("features are a mapping"))?;
    let tensors = map.values().map(golden::tensor).collect::<Result<_>>()?;
    Ok((map.keys().cloned().collect(), tensors))
}

// ---------------------------------------------------------------- operators

fn operator(case: &Case, name: &str) -> Result<Tensor> {
    let input = |name: &str| case.input(name);
    let scale = || golden::number(&case.args["spatial_scale"]).unwrap_or(1.0);
    Ok(match name {
        "nms" => ops::nms(&input("boxes")?, &input("scores")?, number(case, "iou_threshold")?),
        "batched_nms" => {
            let threshold = number(case, "iou_threshold")?;
            ops::batched_nms(&input("boxes")?, &input("scores")?, &input("idxs")?, threshold)
        }
        "box_iou" => boxes::iou(&input("boxes1")?, &input("boxes2")?),
        "generalized_box_iou" => boxes::generalized_iou(&input("boxes1")?, &input("boxes2")?),
        "distance_box_iou" => boxes::distance_iou(&input("boxes1")?, &input("boxes2")?),
        "complete_box_iou" => boxes::complete_iou(&input("boxes1")?, &input("boxes2")?),
        "box_area" => boxes::area(&input("boxes")?),
        "clip_boxes_to_image" => boxes::clip(&input("boxes")?, pair(&case.args["size"])?),
        "remove_small_boxes" => boxes::remove_small(&input("boxes")?, number(case, "min_size")?),
        "box_convert" => {
            let format = |name: &str| {
                serde_json::from_value::<boxes::BoxFormat>(case.args[name].clone()).context(name.to_owned())
            };
            boxes::convert(&input("boxes")?, format("in_fmt")?, format("out_fmt")?)
        }
        "masks_to_boxes" => boxes::of_masks(&input("masks")?),
        "roi_align" => {
            let align = RoiAlign {
                output: pair(&case.args["output_size"])?,
                scale: scale(),
                sampling: golden::number(&case.args["sampling_ratio"]).unwrap_or(-1.0) as i64,
                aligned: case.args["aligned"] == true,
            };
            align.forward(&input("input")?, &input("boxes")?)
        }
        "roi_pool" => ops::roi_pool(&input("input")?, &input("boxes")?, pair(&case.args["output_size"])?, scale()),
        "MultiScaleRoIAlign" => {
            let align =
                MultiScaleRoiAlign::new(pair(&case.args["output_size"])?, number(case, "sampling_ratio")? as i64);
            let (_, levels) = features(&case.inputs["features"])?;
            align.forward(&levels, &[input("boxes")?], &[pair(&case.inputs["image_size"])?])
        }
        _ => return Err(Error::failed(format!("no operator `{name}`"))),
    })
}

fn coder(case: &Case, name: &str) -> Result<Got> {
    let proposals = case.input("proposals")?;
    let encode = !case.inputs["reference"].is_null() && case.inputs["codes"].is_null();
    if name == "BoxLinearCoder" {
        let coder = BoxLinearCoder { normalize_by_size: case.args["normalize_by_size"] != false };
        return Ok(match encode {
            true => golden::map([("codes", coder.encode(&case.input("reference")?, &proposals).into())]),
            false => golden::map([("boxes", coder.decode(&case.input("codes")?, &proposals).into())]),
        });
    }
    let weights = numbers(&case.args["weights"])?;
    let coder = BoxCoder { weights: std::array::from_fn(|index| weights[index]) };
    Ok(match encode {
        true => golden::map([("codes", coder.encode(&case.input("reference")?, &proposals).into())]),
        false => golden::map([("boxes", coder.decode(&case.input("codes")?, &proposals).into())]),
    })
}

fn matcher(case: &Case) -> Result<Got> {
    let matcher = Matcher {
        high: number(case, "high_threshold")?,
        low: number(case, "low_threshold")?,
        low_quality: case.args["allow_low_quality_matches"] == true,
    };
    Ok(golden::map([("matches", matcher.matches(&case.input("match_quality")?).into())]))
}

fn anchors(case: &Case) -> Result<Got> {
    let generator = AnchorGenerator { sizes: lists(&case.args["sizes"])?, ratios: lists(&case.args["aspect_ratios"])? };
    let (size, maps) = (pair(&case.inputs["padded_image_size"])?, pairs(&case.inputs["feature_maps"])?);
    Ok(golden::map([
        ("anchors", Tensor::cat(&generator.grid(size, &maps, Device::Cpu), 0).into()),
        ("cell_anchors", generator.cells().into()),
        ("per_location", generator.per_location().into()),
    ]))
}

// ---------------------------------------------------------------- parts

fn targets(json: &Value) -> Result<Vec<Target>> {
    let target = |json: &Value| {
        let boxes = golden::tensor(&json["boxes"])?;
        let labels = match json["labels"].is_null() {
            true => Tensor::zeros([boxes.size()[0]], (Kind::Int64, Device::Cpu)),
            false => golden::tensor(&json["labels"])?,
        };
        Ok(Target { boxes, labels })
    };
    json.as_array().into_iter().flatten().map(target).collect()
}

fn images(case: &Case) -> Result<Vec<Tensor>> {
    case.inputs["images"].as_array().into_iter().flatten().map(golden::tensor).collect()
}

fn transform(case: &Case) -> Result<Got> {
    let min_size = match case.args["min_size"].as_i64() {
        Some(one) => vec![one],
        None => numbers(&case.args["min_size"])?.into_iter().map(|size| size as i64).collect(),
    };
    let transform = Transform {
        min_size,
        max_size: number(case, "max_size")? as i64,
        mean: numbers(&case.args["image_mean"])?,
        std: numbers(&case.args["image_std"])?,
        divisible: golden::number(&case.args["size_divisible"]).unwrap_or(32.0) as i64,
        fixed: None,
    };
    let images = transform.images(&images(case)?, false);
    let boxes = transform.targets(&targets(&case.inputs["targets"])?, &images);
    let sum = |each: fn(Tensor) -> Tensor| -> Got {
        let count = images.batch.size()[0];
        (0..count).map(|index| network::sum(&each(images.batch.get(index)))).collect::<Vec<f64>>().into()
    };
    Ok(golden::map([
        ("image_sizes", images.sizes.iter().map(|size| size.to_vec()).collect::<Vec<_>>().into()),
        ("batch_shape", images.batch.size().into()),
        ("boxes", boxes.into_iter().map(|target| target.boxes).collect::<Vec<_>>().into()),
        ("sum", sum(|image| image)),
        ("sum_abs", sum(|image| image.abs())),
        ("row", images.batch.get(0).get(CHANNEL).get(ROW).into()),
    ]))
}

/// The row of the first image that the cases state.
const CHANNEL: i64 = 1;
const ROW: i64 = 5;

fn pyramid(case: &Case) -> Result<Got> {
    let inputs: Vec<i64> = numbers(&case.args["in_channels_list"])?.into_iter().map(|n| n as i64).collect();
    let outputs = number(case, "out_channels")? as i64;
    let (extra, more): (_, &[&str]) = match case.args["extra_blocks"].as_str() {
        None => (None, &[]),
        Some("LastLevelMaxPool") => (Some(ExtraLevels::MaxPool), &["pool"]),
        Some("LastLevelP6P7") => (Some(ExtraLevels::P6P7 { channels: outputs }), &["p6", "p7"]),
        Some(other) => return Err(Error::failed(format!("no extra blocks `{other}`"))),
    };
    let params = Params::new(Device::Cpu);
    let pyramid = FeaturePyramid::new(&params.root(), &inputs, outputs, extra)?;
    network::seed_weights(&params, case)?;
    let (mut names, features) = features(&case.inputs["features"])?;
    names.extend(more.iter().map(|name| (*name).to_owned()));
    let levels = pyramid.forward(&features);
    let out = names.into_iter().zip(levels).map(|(name, level)| {
        let brief = !case.expected["out"][&name]["sum_abs"].is_null();
        let first = case.expected["out"][&name]["first"]["shape"][0].as_i64().unwrap_or_default();
        let got = match brief {
            true => golden::map([
                ("shape", level.size().into()),
                ("sum_abs", network::sum(&level.abs()).into()),
                ("first", level.flatten(0, -1).narrow(0, 0, first).into()),
            ]),
            false => level.into(),
        };
        (name, got)
    });
    Ok(golden::map([("out", network::map_of(out)), ("state_dict", network::state_dict(&params))]))
}

// ---------------------------------------------------------------- detectors

fn detector(registry: &Registry, case: &Case) -> Result<Got> {
    let spec = golden::component::<DetectorKind>(registry, &case.target, &case.args)?;
    let params = Params::new(Device::Cpu);
    let detector = spec.make(&params.root())?;
    network::seed_weights(&params, case)?;
    let images = images(case)?;
    let found = tch::no_grad(|| detector.detect(&images));
    let found = found.into_iter().map(|found| {
        golden::map([("boxes", found.boxes.into()), ("scores", found.scores.into()), ("labels", found.labels.into())])
    });
    let mut got = vec![
        ("state_dict".to_owned(), network::state_dict(&params)),
        ("parameter_count".to_owned(), network::parameter_count(&params)),
        ("detections".to_owned(), Got::List(found.collect())),
    ];
    if !case.expected["losses"].is_null() {
        let losses = detector.losses(&images, &targets(&case.inputs["targets"])?)?;
        let total = Tensor::stack(&losses.values().collect::<Vec<_>>(), 0).sum(Kind::Float);
        total.backward();
        got.push(("losses".to_owned(), network::map_of(losses.into_iter().map(|(name, loss)| (name, loss.into())))));
        got.push(("grad_abs_sum".to_owned(), stated(network::gradient_sums(&params), &case.expected["grad_abs_sum"])));
    }
    Ok(network::map_of(got))
}

/// The gradients that the case states: it leaves most of the backbone out.
fn stated(got: Got, expected: &Value) -> Got {
    match got {
        Got::Map(map) => Got::Map(map.into_iter().filter(|(name, _)| !expected[name].is_null()).collect()),
        other => other,
    }
}
