//! JPEG files, whole or in part: libjpeg-turbo's decoder as mozjpeg has it, its slow steps by AVX2 (`jpeg.cpp`).

use std::marker::PhantomData;
use std::os::raw::{c_char, c_int};
use std::ptr::NonNull;

// Nothing of it is called from here, but the library is linked.
use mozjpeg_sys as _;

/// Room for an error message of the library.
const MESSAGE: usize = 200;

/// What a file's header says.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Header {
    /// Pixels in a row.
    pub width: u32,
    /// Rows.
    pub height: u32,
    /// What it is decoded to: 1 gray, 3 RGB, 4 CMYK as the file holds it.
    pub channels: u32,
}

/// Which part of a picture is wanted, in pixels of its size at `eighths` of the whole.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Window {
    /// 1 to 8.
    pub eighths: u32,
    /// The first column.
    pub left: u32,
    /// The first row.
    pub top: u32,
    /// Columns.
    pub width: u32,
    /// Rows.
    pub height: u32,
}

/// Why a file cannot be decoded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum JpegError {
    /// It ends too early.
    Truncated,
    /// The library's message.
    Broken(String),
}

#[repr(C)]
struct Raw {
    _private: [u8; 0],
}

unsafe extern "C" {
    fn runner_jpeg_open(bytes: *const u8, length: usize, header: *mut Header, message: *mut c_char) -> *mut Raw;
    fn runner_jpeg_decode(decoder: *mut Raw, window: *const Window, out: *mut u8, message: *mut c_char) -> c_int;
    fn runner_jpeg_close(decoder: *mut Raw);
}

/// A file whose header has been read.
pub struct Jpeg<'a> {
    decoder: NonNull<Raw>,
    header: Header,
    bytes: PhantomData<&'a [u8]>,
}

/// A side at a number of eighths, as the library rounds it.
pub fn scaled(side: u32, eighths: u32) -> u32 {
    ((u64::from(side) * u64::from(eighths)).div_ceil(8)) as u32
}

fn text(message: &[u8; MESSAGE]) -> String {
    let end = message.iter().position(|byte| *byte == 0).unwrap_or(MESSAGE);
    String::from_utf8_lossy(&message[..end]).into_owned()
}

impl<'a> Jpeg<'a> {
    /// Reads a file's header.
    ///
    /// # Errors
    /// When there is none.
    pub fn open(bytes: &'a [u8]) -> Result<Self, JpegError> {
        let (mut header, mut message) = (Header::default(), [0u8; MESSAGE]);
        // SAFETY: the pointers are valid, the message has the room that the shim expects, and the bytes outlive the
        // decoder by its lifetime.
        let decoder =
            unsafe { runner_jpeg_open(bytes.as_ptr(), bytes.len(), &mut header, message.as_mut_ptr().cast()) };
        match NonNull::new(decoder) {
            Some(decoder) => Ok(Jpeg { decoder, header, bytes: PhantomData }),
            None => Err(JpegError::Broken(text(&message))),
        }
    }

    /// What the header says.
    pub fn header(&self) -> Header {
        self.header
    }

    /// Decodes a window: rows of interleaved channels.
    ///
    /// # Errors
    /// When the file is broken or ends too early, wherever that is, or the window lies outside of the picture.
    pub fn decode(self, window: Window) -> Result<Vec<u8>, JpegError> {
        let outside = |start: u32, length: u32, side: u32| {
            length == 0 || u64::from(start) + u64::from(length) > u64::from(scaled(side, window.eighths))
        };
        if !(1..=8).contains(&window.eighths)
            || outside(window.left, window.width, self.header.width)
            || outside(window.top, window.height, self.header.height)
        {
            return Err(JpegError::Broken("the window is outside of the picture".into()));
        }
        let mut out = vec![0u8; window.width as usize * window.height as usize * self.header.channels as usize];
        let mut message = [0u8; MESSAGE];
        // SAFETY: the decoder is open and used once; `out` has room for the window, which lies in the picture.
        let code = unsafe {
            runner_jpeg_decode(self.decoder.as_ptr(), &window, out.as_mut_ptr(), message.as_mut_ptr().cast())
        };
        match code {
            0 => Ok(out),
            1 => Err(JpegError::Truncated),
            _ => Err(JpegError::Broken(text(&message))),
        }
    }
}

impl Drop for Jpeg<'_> {
    fn drop(&mut self) {
        // SAFETY: the decoder is ours and closed once.
        unsafe { runner_jpeg_close(self.decoder.as_ptr()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A file of these pixels: `noise` of 256 is nothing else, 0 a smooth slope.
    fn file(side: [usize; 2], noise: usize, quality: f32, sampling: (u8, u8), own_codes: bool) -> Vec<u8> {
        let [width, height] = side;
        let mut state = 7u32;
        let mut draw = || {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (state >> 24) as usize
        };
        let slope = |i: usize| (i / 3 % width + i / 3 / width * 2 + i % 3 * 50) % 256;
        let pixels: Vec<u8> =
            (0..width * height * 3).map(|i| ((draw() * noise + slope(i) * (256 - noise)) / 256) as u8).collect();
        let mut compress = mozjpeg::Compress::new(mozjpeg::ColorSpace::JCS_RGB);
        compress.set_fastest_defaults();
        compress.set_size(width, height);
        compress.set_quality(quality);
        compress.set_chroma_sampling_pixel_sizes(sampling, sampling);
        compress.set_optimize_coding(own_codes);
        let mut compress = compress.start_compress(Vec::new()).unwrap();
        compress.write_scanlines(&pixels).unwrap();
        compress.finish().unwrap()
    }

    fn whole(bytes: &[u8]) -> Result<Vec<u8>, JpegError> {
        let jpeg = Jpeg::open(bytes)?;
        let Header { width, height, .. } = jpeg.header();
        jpeg.decode(Window { eighths: 8, left: 0, top: 0, width, height })
    }

    /// The steps that are ours give what the library's own give: short codes and long ones, coefficients of all sizes,
    /// stuffed bytes, blocks at the edges, a file that ends while blocks are read ahead.
    #[test]
    fn pixels_are_those_of_the_library() {
        let sides = [[1, 1], [17, 3], [64, 64], [250, 131]];
        let samplings = [(1, 1), (2, 1), (2, 2)];
        let qualities = [1.0, 35.0, 90.0, 100.0];
        for side in sides {
            for sampling in samplings {
                for (quality, noise) in qualities.into_iter().flat_map(|q| [0, 60, 256].map(|noise| (q, noise))) {
                    for own_codes in [false, true] {
                        let bytes = file(side, noise, quality, sampling, own_codes);
                        let library = mozjpeg::Decompress::new_mem(&bytes).unwrap();
                        let expected: Vec<u8> = library.rgb().unwrap().read_scanlines().unwrap();
                        let pixels = whole(&bytes).unwrap();
                        assert!(
                            pixels == expected,
                            "{side:?} {sampling:?} quality {quality} noise {noise} {own_codes}"
                        );
                    }
                }
            }
        }
    }

    /// What is wrong in a file may give other pixels, but no harm, and the same each time.
    #[test]
    fn broken_bytes_do_no_harm() {
        let good = file([90, 70], 60, 90.0, (2, 2), false);
        for at in (20..good.len()).step_by(3) {
            for value in [0x00, 0xFF, good[at] ^ 0x10] {
                let mut bytes = good.clone();
                bytes[at] = value;
                if Jpeg::open(&bytes).is_ok_and(|jpeg| jpeg.header().width < 1000 && jpeg.header().height < 1000) {
                    assert_eq!(whole(&bytes), whole(&bytes));
                }
            }
            assert!(at + 8 > good.len() || whole(&good[..at]).is_err());
        }
    }
}
