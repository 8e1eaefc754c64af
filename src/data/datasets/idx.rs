//! The idx format of the MNIST family: arrays of bytes with a big-endian head, plain or gzip.

use std::io::Read;
use std::path::Path;

use crate::error::{Error, Result};

/// An array of bytes.
#[derive(Debug)]
pub struct Idx {
    /// Sizes of its dimensions.
    pub shape: Vec<usize>,
    /// The values, row-major.
    pub data: Vec<u8>,
}

/// Reads an idx file of bytes with `dimensions` dimensions; gzip is recognized by its first bytes.
///
/// # Errors
/// When the file cannot be read, is not such a file, or is shorter or longer than its head says. Names the file.
pub fn read(path: &Path, dimensions: usize) -> Result<Idx> {
    let raw = std::fs::read(path).map_err(|error| Error::io("read", path, error))?;
    let broken = |what: String| Error::failed(format!("{}: {what}", path.display()));
    let bytes = if raw.starts_with(&[0x1F, 0x8B]) {
        let mut bytes = Vec::new();
        flate2::read::GzDecoder::new(raw.as_slice())
            .read_to_end(&mut bytes)
            .map_err(|error| broken(format!("the gzip file is truncated or corrupt ({error})")))?;
        bytes
    } else {
        raw
    };
    let word = |at: usize| Some(u32::from_be_bytes(bytes.get(at..at + 4)?.try_into().ok()?) as usize);
    let expected = 0x0800 + dimensions;
    match word(0) {
        Some(magic) if magic == expected => {}
        Some(magic) => {
            let what = if dimensions == 3 { "images" } else { "labels" };
            return Err(broken(format!(
                "not an idx file of {what}: it starts with {magic:#010x}, not {expected:#010x}"
            )));
        }
        None => return Err(broken("the file is too short for an idx head".into())),
    }
    let head = 4 + 4 * dimensions;
    let shape: Option<Vec<usize>> = (0..dimensions).map(|i| word(4 + 4 * i)).collect();
    let shape = shape.ok_or_else(|| broken("the file is too short for an idx head".into()))?;
    let size = shape.iter().try_fold(1usize, |size, side| size.checked_mul(*side));
    let found = bytes.len() - head;
    if size != Some(found) {
        let sides = shape.iter().map(usize::to_string).collect::<Vec<_>>().join("x");
        return Err(broken(format!("the head says {sides} values, and {found} follow: truncated or corrupt")));
    }
    Ok(Idx { shape, data: bytes[head..].to_vec() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn broken_files_are_named() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("labels");
        let cases: &[(&[u8], &str)] = &[
            (b"", "too short for an idx head"),
            (b"\0\0\x08\x01\0\0", "too short for an idx head"),
            (b"PK\x03\x04\0\0\0\0", "it starts with 0x504b0304, not 0x00000801"),
            (b"\0\0\x08\x03\0\0\0\x02ab", "not an idx file of labels: it starts with 0x00000803"),
            (b"\0\0\x08\x01\0\0\0\x02a", "the head says 2 values, and 1 follow"),
            (b"\0\0\x08\x01\0\0\0\x02abc", "the head says 2 values, and 3 follow"),
            (b"\x1f\x8b\x08\0garbage", "the gzip file is truncated or corrupt"),
        ];
        for (bytes, wanted) in cases {
            std::fs::write(&path, bytes).unwrap();
            let error = read(&path, 1).unwrap_err().to_string();
            assert!(error.contains(wanted) && error.contains("labels"), "{error}");
        }
        std::fs::write(&path, b"\0\0\x08\x01\0\0\0\x02ab").unwrap();
        assert_eq!(read(&path, 1).unwrap().data, b"ab");
    }
}
