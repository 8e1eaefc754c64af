//! Event files: records framed by lengths and masked CRC-32C checksums, as TensorFlow's `record_writer` writes them.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};

use crate::error::{Error, Result};
use crate::loggers::protobuf::Message;

/// An event file being written.
pub struct EventFile {
    path: PathBuf,
    file: BufWriter<File>,
    bytes: u64,
}

impl EventFile {
    /// Makes `path` and writes the first event, which names the format's version.
    pub fn create(path: PathBuf, seconds: f64) -> Result<Self> {
        let file = File::create_new(&path).map_err(|error| Error::io("create", &path, error))?;
        let mut events = EventFile { path, file: BufWriter::new(file), bytes: 0 };
        events.write(&Message::new().double(1, seconds).field(3, "brain.Event:2"))?;
        Ok(events)
    }

    /// The file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// How long it is, flushed or not.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Adds an `Event`.
    pub fn write(&mut self, event: &Message) -> Result<()> {
        let data = event.as_ref();
        let length = (data.len() as u64).to_le_bytes();
        let record = [&length[..], &masked_crc(&length), data, &masked_crc(data)].concat();
        self.bytes += record.len() as u64;
        self.file.write_all(&record).map_err(|error| Error::io("write", &self.path, error))
    }

    /// Hands everything to the system.
    pub fn flush(&mut self) -> Result<()> {
        self.file.flush().map_err(|error| Error::io("write", &self.path, error))
    }
}

/// CRC-32C rotated and shifted, so that a checksum of data that holds checksums stays strong (TensorFlow's
/// `lib/hash/crc32c.h`).
fn masked_crc(data: &[u8]) -> [u8; 4] {
    crc32c(data).rotate_right(15).wrapping_add(0xa282_ead8).to_le_bytes()
}

/// CRC with Castagnoli's polynomial, reflected (RFC 3720, appendix B.4).
fn crc32c(data: &[u8]) -> u32 {
    const TABLE: [u32; 256] = {
        let mut table = [0; 256];
        let mut i = 0;
        while i < 256 {
            let mut value = i as u32;
            let mut bit = 0;
            while bit < 8 {
                value = if value & 1 == 1 { value >> 1 ^ 0x82f6_3b78 } else { value >> 1 };
                bit += 1;
            }
            table[i] = value;
            i += 1;
        }
        table
    };
    !data.iter().fold(!0, |crc, byte| TABLE[((crc ^ u32::from(*byte)) & 0xff) as usize] ^ crc >> 8)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn checksums_are_those_of_the_rfc() {
        assert_eq!(crc32c(b"123456789"), 0xe306_9283);
        assert_eq!(crc32c(&[0; 32]), 0x8a91_36aa);
        assert_eq!(crc32c(&[0xff; 32]), 0x62a8_ab43);
    }
}
