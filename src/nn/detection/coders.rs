//! Boxes as numbers relative to proposals, and back.

use tch::Tensor;

/// Offsets of the centre and logarithms of the size, relative to a proposal (Girshick et al., 2014).
#[derive(Clone, Copy, Debug)]
pub struct BoxCoder {
    /// Factors of x, y, width, height.
    pub weights: [f64; 4],
}

/// Width, height and centre of boxes `[n, 4]`.
fn centred(boxes: &Tensor) -> [Tensor; 4] {
    let side = |index| boxes.select(1, index);
    let (w, h) = (side(2) - side(0), side(3) - side(1));
    let (x, y) = (side(0) + &w * 0.5, side(1) + &h * 0.5);
    [w, h, x, y]
}

impl BoxCoder {
    /// The largest logarithm of a size that is decoded: 1000 / 16 times the proposal.
    fn clip() -> f64 {
        (1000.0f64 / 16.0).ln()
    }

    /// The codes `[n, 4]` of `reference` boxes relative to `proposals`, both `[n, 4]`.
    pub fn encode(&self, reference: &Tensor, proposals: &Tensor) -> Tensor {
        let [wx, wy, ww, wh] = self.weights;
        let ([rw, rh, rx, ry], [pw, ph, px, py]) = (centred(reference), centred(proposals));
        let dx = (rx - px) / &pw * wx;
        let dy = (ry - py) / &ph * wy;
        Tensor::stack(&[dx, dy, (rw / pw).log() * ww, (rh / ph).log() * wh], 1)
    }

    /// The boxes of codes `[n, 4 k]` relative to `proposals` `[n, 4]`: `[n, k, 4]`.
    pub fn decode(&self, codes: &Tensor, proposals: &Tensor) -> Tensor {
        let [wx, wy, ww, wh] = self.weights;
        let proposals = proposals.to_kind(codes.kind());
        let [w, h, x, y] = centred(&proposals).map(|side| side.unsqueeze(1));
        // The count is explicit: there may be no proposals at all.
        let codes = codes.view([codes.size()[0], codes.size()[1] / 4, 4]);
        let code = |index| codes.select(2, index);
        let size = |code: Tensor, weight: f64| (code / weight).clamp_max(Self::clip()).exp();
        let (cx, cy) = (code(0) / wx * &w + x, code(1) / wy * &h + y);
        let (half_w, half_h) = (size(code(2), ww) * w * 0.5, size(code(3), wh) * h * 0.5);
        Tensor::stack(&[&cx - &half_w, &cy - &half_h, cx + half_w, cy + half_h], 2)
    }
}

/// Distances of a proposal's sides from a box's centre (FCOS).
#[derive(Clone, Copy, Debug)]
pub struct BoxLinearCoder {
    /// Whether the distances are divided by the size.
    pub normalize_by_size: bool,
}

impl BoxLinearCoder {
    /// The distances left, top, right, bottom `[n, 4]` from the centres of `reference` to the sides of `proposals`.
    pub fn encode(&self, reference: &Tensor, proposals: &Tensor) -> Tensor {
        let [w, h, x, y] = self.middle(reference);
        let side = |index| proposals.select(1, index);
        let codes = Tensor::stack(&[&x - side(0), &y - side(1), side(2) - x, side(3) - y], 1);
        if self.normalize_by_size { codes / Tensor::stack(&[&w, &h, &w, &h], 1) } else { codes }
    }

    /// The boxes `[n, 4]` whose sides lie at the distances `codes` from the centres of `reference`.
    pub fn decode(&self, codes: &Tensor, reference: &Tensor) -> Tensor {
        let [w, h, x, y] = self.middle(&reference.to_kind(codes.kind()));
        let codes = if self.normalize_by_size { codes * Tensor::stack(&[&w, &h, &w, &h], 1) } else { codes.copy() };
        let code = |index| codes.select(1, index);
        Tensor::stack(&[&x - code(0), &y - code(1), x + code(2), y + code(3)], 1)
    }

    fn middle(&self, boxes: &Tensor) -> [Tensor; 4] {
        let side = |index| boxes.select(1, index);
        let (x, y) = ((side(0) + side(2)) * 0.5, (side(1) + side(3)) * 0.5);
        [side(2) - side(0), side(3) - side(1), x, y]
    }
}
