//! The bytes of a file, for readers that pick tensors out of it.

use std::fs;
use std::ops::Deref;
use std::path::Path;

use crate::error::{Error, Result};

/// A whole file's bytes.
pub struct Bytes(Vec<u8>);

impl Bytes {
    /// Opens `path`.
    ///
    /// # Errors
    /// When there is no such file or it cannot be read.
    pub fn open(path: &Path) -> Result<Self> {
        fs::read(path).map(Bytes).map_err(|error| Error::io("read", path, error))
    }
}

impl Deref for Bytes {
    type Target = [u8];
    fn deref(&self) -> &[u8] {
        &self.0
    }
}

impl From<Vec<u8>> for Bytes {
    fn from(bytes: Vec<u8>) -> Self {
        Bytes(bytes)
    }
}
