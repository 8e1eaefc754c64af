//! The bytes of a file, for readers that pick tensors out of it.

use std::fs::File;
use std::ops::Deref;
use std::path::Path;

use memmap2::Mmap;

use crate::error::{Error, Result};
use crate::native::map;

/// A whole file's bytes: mapped, or in memory.
pub struct Bytes(Inner);

enum Inner {
    Mapped(Mmap),
    Memory(Vec<u8>),
}

impl Bytes {
    /// Opens `path`. Nothing is read before it is looked at.
    ///
    /// # Errors
    /// When there is no such file or it cannot be read.
    pub fn open(path: &Path) -> Result<Self> {
        let failed = |error| Error::io("read", path, error);
        let file = File::open(path).map_err(failed)?;
        if file.metadata().map_err(failed)?.is_dir() {
            return Err(failed(std::io::Error::from(std::io::ErrorKind::IsADirectory)));
        }
        map::map(&file).map(|mapped| Bytes(Inner::Mapped(mapped))).map_err(failed)
    }
}

impl Deref for Bytes {
    type Target = [u8];
    fn deref(&self) -> &[u8] {
        match &self.0 {
            Inner::Mapped(bytes) => bytes,
            Inner::Memory(bytes) => bytes,
        }
    }
}

impl From<Vec<u8>> for Bytes {
    fn from(bytes: Vec<u8>) -> Self {
        Bytes(Inner::Memory(bytes))
    }
}
