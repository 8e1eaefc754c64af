//! Non-maximum suppression.

use tch::{Device, Kind, Tensor};

/// Values of a tensor as 32-bit floats, row by row, on the host.
pub(super) fn floats(tensor: &Tensor) -> Vec<f32> {
    let flat = tensor.detach().to_device(Device::Cpu).to_kind(Kind::Float).contiguous().view([-1]);
    Vec::try_from(flat).unwrap_or_else(|error| panic!("{error}"))
}

/// Indices (i64) of the boxes that stay, by descending score: a box goes when its IoU with a better one that stays is
/// above `threshold`. Equal scores keep the order of the input.
///
/// The suppression is a chain of decisions: it runs on the host, in 32-bit floats as torchvision's kernel.
pub fn nms(boxes: &Tensor, scores: &Tensor, threshold: f64) -> Tensor {
    let order = scores.sort_stable(true, 0, true).1;
    let sorted = floats(&boxes.index_select(0, &order));
    let kept: Vec<i64> = suppress(&sorted, threshold).into_iter().map(|index| index as i64).collect();
    order.index_select(0, &Tensor::from_slice(&kept).to_device(order.device()))
}

/// Positions that stay of boxes sorted by score.
fn suppress(boxes: &[f32], threshold: f64) -> Vec<usize> {
    let boxes: Vec<[f32; 4]> = boxes.chunks_exact(4).map(|b| [b[0], b[1], b[2], b[3]]).collect();
    let areas: Vec<f32> = boxes.iter().map(|[x1, y1, x2, y2]| (x2 - x1) * (y2 - y1)).collect();
    let mut gone = vec![false; boxes.len()];
    let mut kept = Vec::new();
    for i in 0..boxes.len() {
        if gone[i] {
            continue;
        }
        kept.push(i);
        let [x1, y1, x2, y2] = boxes[i];
        for j in i + 1..boxes.len() {
            if gone[j] {
                continue;
            }
            let other = boxes[j];
            let w = (x2.min(other[2]) - x1.max(other[0])).max(0.0);
            let h = (y2.min(other[3]) - y1.max(other[1])).max(0.0);
            let inter = w * h;
            gone[j] = f64::from(inter / (areas[i] + areas[j] - inter)) > threshold;
        }
    }
    kept
}

/// [`nms`] within each group: boxes of different `groups` (i64, `[n]`) do not suppress each other.
///
/// Few boxes are moved apart by their group and go through one suppression, many go group by group; torchvision does
/// the same, with the same limits.
pub fn batched_nms(boxes: &Tensor, scores: &Tensor, groups: &Tensor, threshold: f64) -> Tensor {
    let limit = if boxes.device() == Device::Cpu { 4000 } else { 20_000 };
    if boxes.numel() == 0 {
        return Tensor::zeros([0], (Kind::Int64, boxes.device()));
    }
    if boxes.numel() > limit {
        return grouped(boxes, scores, groups, threshold);
    }
    let apart = groups.to_kind(boxes.kind()) * (boxes.max() + 1.0);
    nms(&(boxes + apart.unsqueeze(1)), scores, threshold)
}

fn grouped(boxes: &Tensor, scores: &Tensor, groups: &Tensor, threshold: f64) -> Tensor {
    let present = distinct(groups);
    let kept: Vec<Tensor> = present
        .into_iter()
        .map(|group| {
            let members = groups.eq(group).nonzero().squeeze_dim(1);
            let kept = nms(&boxes.index_select(0, &members), &scores.index_select(0, &members), threshold);
            members.index_select(0, &kept)
        })
        .collect();
    // In the order of the boxes first, as torchvision's mask gives them.
    let kept = Tensor::cat(&kept, 0).sort(0, false).0;
    let order = scores.index_select(0, &kept).sort_stable(true, 0, true).1;
    kept.index_select(0, &order)
}

/// The distinct values of an integer tensor, ascending.
fn distinct(values: &Tensor) -> Vec<i64> {
    let values = values.to_device(Device::Cpu).to_kind(Kind::Int64).contiguous();
    let mut values = Vec::<i64>::try_from(values).unwrap_or_else(|error| panic!("{error}"));
    values.sort_unstable();
    values.dedup();
    values
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_ways_of_batched_suppression_agree() {
        tch::manual_seed(3);
        let corner = Tensor::rand([300, 2], (Kind::Float, Device::Cpu)) * 80.0;
        let size = Tensor::rand([300, 2], (Kind::Float, Device::Cpu)) * 40.0;
        let boxes = Tensor::cat(&[&corner, &(&corner + size)], 1);
        let scores = Tensor::rand([300], (Kind::Float, Device::Cpu));
        let groups = Tensor::randint(4, [300], (Kind::Int64, Device::Cpu));
        let (one, other) = (batched_nms(&boxes, &scores, &groups, 0.3), grouped(&boxes, &scores, &groups, 0.3));
        assert!(one.size()[0] < 300 && one.equal(&other), "{one:?} {other:?}");
    }
}
