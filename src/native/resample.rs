//! The two passes of a resize with Pillow's weights, by AVX2 (`resample.cpp`) where the machine has it.

/// For each output position the first input, the number of inputs, and `stride` weights.
#[derive(Clone, Copy, Debug)]
pub struct Weights<'a> {
    /// The first input of each position.
    pub first: &'a [u32],
    /// How many inputs each position has.
    pub count: &'a [u32],
    /// The weights of each position, 22 bits of fraction; those beyond its inputs are 0.
    pub weights: &'a [i32],
    /// Weights a position.
    pub stride: usize,
}

#[repr(C)]
struct Raw {
    first: *const u32,
    count: *const u32,
    weights: *const i32,
    stride: usize,
    positions: usize,
}

unsafe extern "C" {
    fn runner_resample_available() -> bool;
    fn runner_resample_rows(
        source: *const u8,
        width: usize,
        rows: usize,
        weights: *const Raw,
        line: *mut u8,
        out: *mut u8,
    );
    fn runner_resample_columns(source: *const u8, stride: usize, weights: *const Raw, out: *mut u8);
}

impl Weights<'_> {
    /// For inputs `0..size`; none when they do not describe such a pass, or the machine lacks what it needs.
    fn raw(&self, size: usize) -> Option<Raw> {
        let positions = self.first.len();
        let whole = self.count.len() == positions && self.weights.len() == positions * self.stride;
        let inside =
            |(first, count): (&u32, &u32)| *first as usize + *count as usize <= size && *count as usize <= self.stride;
        let sound = whole && self.first.iter().zip(self.count).all(inside);
        // SAFETY: a question about the processor.
        let usable = sound && unsafe { runner_resample_available() };
        usable.then_some(Raw {
            first: self.first.as_ptr(),
            count: self.count.as_ptr(),
            weights: self.weights.as_ptr(),
            stride: self.stride,
            positions,
        })
    }
}

/// `RUNNER_RESAMPLE_ROOM` of the header.
const ROOM: usize = 32;

/// Resizes rows of `width` pixels of three bytes; `None` where that is to be done without.
pub fn rows(source: &[u8], width: usize, rows: usize, weights: &Weights) -> Option<Vec<u8>> {
    let raw = weights.raw(width).filter(|_| source.len() == width * rows * 3)?;
    let mut line = vec![0u8; 3 * width + ROOM];
    let mut out = vec![0u8; rows * raw.positions * 3];
    // SAFETY: the lengths are those that the function reads and writes; all inputs lie inside of a row, of which four at
    // a time are read, 16 bytes: `line` has more than those.
    unsafe { runner_resample_rows(source.as_ptr(), width, rows, &raw, line.as_mut_ptr(), out.as_mut_ptr()) };
    Some(out)
}

/// Resizes columns of rows of `stride` bytes; `None` where that is to be done without.
pub fn columns(source: &[u8], stride: usize, weights: &Weights) -> Option<Vec<u8>> {
    if stride == 0 || !source.len().is_multiple_of(stride) {
        return None;
    }
    let raw = weights.raw(source.len() / stride)?;
    let mut out = vec![0u8; raw.positions * stride];
    // SAFETY: as above; all inputs are rows of `source`.
    unsafe { runner_resample_columns(source.as_ptr(), stride, &raw, out.as_mut_ptr()) };
    Some(out)
}
