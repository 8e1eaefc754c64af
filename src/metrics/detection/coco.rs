//! Precision and recall of detection as COCO defines them (Lin et al., 2014, arXiv:1405.0312; the reference is
//! pycocotools' COCOeval, whose order of matching and of equal scores is kept).

use std::collections::{BTreeMap, HashMap};

/// A predicted box: left, top, width, height.
#[derive(Clone, Copy, Debug)]
pub(super) struct Found {
    pub bbox: [f64; 4],
    pub class: i64,
    pub score: f64,
}

/// A true box. A crowd may absorb any number of predictions and is never missed.
#[derive(Clone, Copy, Debug)]
pub(super) struct True {
    pub bbox: [f64; 4],
    pub class: i64,
    pub crowd: bool,
    pub area: f64,
}

/// The boxes of one image.
#[derive(Debug, Default)]
pub(super) struct Image {
    pub found: Vec<Found>,
    pub truth: Vec<True>,
}

/// Where precision is looked at.
#[derive(Debug)]
pub(super) struct Settings {
    /// IoU from which a prediction hits.
    pub ious: Vec<f64>,
    /// Recalls at which the precision is read, ascending.
    pub recalls: Vec<f64>,
    /// How many of the best predictions of an image and class count, ascending.
    pub max_detections: Vec<usize>,
}

/// Sizes by area in square pixels: all, small, medium, large.
const AREAS: [[f64; 2]; 4] = [[0.0, 1e10], [0.0, 1024.0], [1024.0, 9216.0], [9216.0, 1e10]];

/// Precision per (IoU, recall, class, size, number of detections) and recall without the second; -1 where there
/// is nothing to find.
#[derive(Debug)]
pub(super) struct Evaluation {
    precision: Vec<f64>,
    recall: Vec<f64>,
    shape: [usize; 5],
}

/// A choice of entries: all, or one.
pub(super) type Pick = Option<usize>;

impl Evaluation {
    /// Mean precision over the picked IoUs and classes, at a size and a number of detections; -1 without any.
    pub fn precision(&self, iou: Pick, class: Pick, area: usize, detections: Pick) -> f64 {
        let [t, r, k, a, m] = self.shape;
        let Some(detections) = detections else { return -1.0 };
        mean(range(iou, t).flat_map(|t| {
            (0..r).flat_map(move |r| {
                range(class, k)
                    .map(move |c| self.precision[(((t * self.shape[1] + r) * k + c) * a + area) * m + detections])
            })
        }))
    }

    /// Mean recall likewise.
    pub fn recall(&self, class: Pick, area: usize, detections: usize) -> f64 {
        let [t, _, k, a, m] = self.shape;
        mean((0..t).flat_map(|t| range(class, k).map(move |c| self.recall[((t * k + c) * a + area) * m + detections])))
    }
}

fn range(pick: Pick, all: usize) -> std::ops::Range<usize> {
    pick.map_or(0..all, |one| one..one + 1)
}

/// The mean of what is there.
fn mean(values: impl Iterator<Item = f64>) -> f64 {
    let (sum, count) = values.filter(|v| *v > -1.0).fold((0.0, 0usize), |(sum, n), v| (sum + v, n + 1));
    if count == 0 { -1.0 } else { sum / count as f64 }
}

/// Evaluates all images for all classes.
pub(super) fn evaluate(images: &[Image], classes: &[i64], settings: &Settings) -> Evaluation {
    let shape =
        [settings.ious.len(), settings.recalls.len(), classes.len(), AREAS.len(), settings.max_detections.len()];
    let [t, r, k, a, m] = shape;
    let mut evaluation =
        Evaluation { precision: vec![-1.0; t * r * k * a * m], recall: vec![-1.0; t * k * a * m], shape };
    let mut by_class = group(images, settings.max_detections.last().copied().unwrap_or(0));
    for (c, class) in classes.iter().enumerate() {
        let Some(pairs) = by_class.remove(class) else { continue };
        let overlaps: Vec<Vec<Vec<f64>>> = pairs.iter().map(overlaps).collect();
        for (area, bounds) in AREAS.iter().enumerate() {
            let matched: Vec<Matched> = pairs
                .iter()
                .zip(&overlaps)
                .map(|(pair, ious)| match_boxes(pair, ious, *bounds, &settings.ious))
                .collect();
            for (n, most) in settings.max_detections.iter().enumerate() {
                accumulate(&mut evaluation, &matched, settings, *most, [c, area, n]);
            }
        }
    }
    evaluation
}

/// The boxes of each class, image by image, predictions best first and no more than counted.
fn group(images: &[Image], most: usize) -> HashMap<i64, Vec<Image>> {
    let mut by_class: HashMap<i64, Vec<Image>> = HashMap::new();
    for image in images {
        let mut own: BTreeMap<i64, Image> = BTreeMap::new();
        for found in &image.found {
            own.entry(found.class).or_default().found.push(*found);
        }
        for truth in &image.truth {
            own.entry(truth.class).or_default().truth.push(*truth);
        }
        for (class, mut pair) in own {
            pair.found.sort_by(|a, b| b.score.total_cmp(&a.score));
            pair.found.truncate(most);
            by_class.entry(class).or_default().push(pair);
        }
    }
    by_class
}

/// IoU of each prediction with each target; with a crowd, the share of the prediction that it covers.
fn overlaps(image: &Image) -> Vec<Vec<f64>> {
    let iou = |[x, y, w, h]: [f64; 4], truth: &True| {
        let [tx, ty, tw, th] = truth.bbox;
        let width = (x + w).min(tx + tw) - x.max(tx);
        let height = (y + h).min(ty + th) - y.max(ty);
        if width <= 0.0 || height <= 0.0 {
            return 0.0;
        }
        let shared = width * height;
        shared / if truth.crowd { w * h } else { w * h + tw * th - shared }
    };
    image.found.iter().map(|found| image.truth.iter().map(|truth| iou(found.bbox, truth)).collect()).collect()
}

/// What became of one image's predictions of one class, best first.
struct Matched {
    scores: Vec<f64>,
    /// Per IoU threshold and prediction: whether it hit.
    hits: Vec<Vec<bool>>,
    /// Per IoU threshold and prediction: whether it does not count.
    ignored: Vec<Vec<bool>>,
    /// How many targets there are to find.
    targets: usize,
}

fn match_boxes(image: &Image, ious: &[Vec<f64>], [low, high]: [f64; 2], thresholds: &[f64]) -> Matched {
    let outside = |area: f64| area < low || area > high;
    let ignored: Vec<bool> = image.truth.iter().map(|truth| truth.crowd || outside(truth.area)).collect();
    let mut order: Vec<usize> = (0..image.truth.len()).collect();
    order.sort_by_key(|g| ignored[*g]);
    let mut matched = Matched {
        scores: image.found.iter().map(|found| found.score).collect(),
        hits: Vec::with_capacity(thresholds.len()),
        ignored: Vec::with_capacity(thresholds.len()),
        targets: ignored.iter().filter(|ignored| !**ignored).count(),
    };
    for threshold in thresholds {
        let mut taken = vec![false; image.truth.len()];
        let (mut hits, mut skipped) = (Vec::new(), Vec::new());
        for (found, ious) in image.found.iter().zip(ious) {
            let mut best = threshold.min(1.0 - 1e-10);
            let mut hit: Option<usize> = None;
            for &g in &order {
                if taken[g] && !image.truth[g].crowd {
                    continue;
                }
                // Targets that count come first: one of them is not given up for one that does not.
                if hit.is_some_and(|hit| !ignored[hit]) && ignored[g] {
                    break;
                }
                if ious[g] >= best {
                    best = ious[g];
                    hit = Some(g);
                }
            }
            if let Some(g) = hit {
                taken[g] = true;
            }
            hits.push(hit.is_some());
            skipped.push(hit.map_or_else(|| outside(found.bbox[2] * found.bbox[3]), |g| ignored[g]));
        }
        matched.hits.push(hits);
        matched.ignored.push(skipped);
    }
    matched
}

/// Puts the images of one class, size and number of detections together.
fn accumulate(evaluation: &mut Evaluation, images: &[Matched], settings: &Settings, most: usize, at: [usize; 3]) {
    let targets: usize = images.iter().map(|image| image.targets).sum();
    if targets == 0 {
        return;
    }
    let [c, area, n] = at;
    let [_, r, k, a, m] = evaluation.shape;
    let mut order: Vec<(usize, usize)> = images
        .iter()
        .enumerate()
        .flat_map(|(i, image)| (0..image.scores.len().min(most)).map(move |d| (i, d)))
        .collect();
    order.sort_by(|(i, d), (j, e)| images[*j].scores[*e].total_cmp(&images[*i].scores[*d]));
    for t in 0..settings.ious.len() {
        let (mut right, mut wrong) = (0.0, 0.0);
        let (mut recalls, mut precisions) = (Vec::with_capacity(order.len()), Vec::with_capacity(order.len()));
        for &(i, d) in &order {
            let (hit, ignored) = (images[i].hits[t][d], images[i].ignored[t][d]);
            right += f64::from(u8::from(hit && !ignored));
            wrong += f64::from(u8::from(!hit && !ignored));
            recalls.push(right / targets as f64);
            precisions.push(right / (right + wrong + f64::EPSILON));
        }
        evaluation.recall[((t * k + c) * a + area) * m + n] = recalls.last().copied().unwrap_or(0.0);
        for i in (1..precisions.len()).rev() {
            precisions[i - 1] = precisions[i - 1].max(precisions[i]);
        }
        for (s, recall) in settings.recalls.iter().enumerate() {
            let reached = recalls.partition_point(|r| r < recall);
            evaluation.precision[(((t * r + s) * k + c) * a + area) * m + n] =
                precisions.get(reached).copied().unwrap_or(0.0);
        }
    }
}
