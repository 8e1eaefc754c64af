//! Files as memory.

use std::fs::File;
use std::io;

use memmap2::Mmap;

/// The content of a file, read when it is touched.
///
/// The files that are mapped here are replaced by a rename and never written in place, so what is mapped stays as it
/// is. Somebody who truncates such a file by hand while it is read ends the process, as with any mapped file.
pub fn map(file: &File) -> io::Result<Mmap> {
    // SAFETY: the mapping is read-only and private; nobody changes the file while it is mapped (see above).
    unsafe { Mmap::map(file) }
}
