//! `run-ID.wandb`: LevelDB's log format with W&B's header and zlib's CRC-32, as `wandb/sdk/internal/datastore.py`
//! reads it. Records are cut at blocks of 32 KiB.

use std::fs::File;
use std::io::{BufWriter, Seek, SeekFrom, Write};
use std::path::PathBuf;

use crate::error::{Error, Result};

const BLOCK: usize = 32768;
/// Checksum, length and kind of a piece; also the length of the file's header.
const HEADER: usize = 7;
const FULL: u8 = 1;
const FIRST: u8 = 2;
const MIDDLE: u8 = 3;
const LAST: u8 = 4;

/// A file of records being written.
pub struct DataStore {
    path: PathBuf,
    file: BufWriter<File>,
    at: usize,
}

impl DataStore {
    /// Makes the file.
    pub fn create(path: PathBuf) -> Result<Self> {
        let file = File::create_new(&path).map_err(|error| Error::io("create", &path, error))?;
        let mut store = DataStore { path, file: BufWriter::new(file), at: 0 };
        store.put(&[b":W&B".as_slice(), &0xBEE1_u16.to_le_bytes(), &[0]].concat())?;
        Ok(store)
    }

    /// Opens a file whose first `bytes` are whole records, and cuts the rest.
    pub fn cut(path: PathBuf, bytes: usize) -> Result<Self> {
        let failed = |error: std::io::Error| Error::io("cut", &path, error);
        let mut file = File::options().write(true).open(&path).map_err(failed)?;
        file.set_len(bytes as u64).and_then(|()| file.seek(SeekFrom::End(0))).map_err(failed)?;
        Ok(DataStore { file: BufWriter::new(file), at: bytes, path })
    }

    /// The file.
    pub fn path(&self) -> &std::path::Path {
        &self.path
    }

    /// How long it is, flushed or not.
    pub fn bytes(&self) -> usize {
        self.at
    }

    /// Adds a record.
    pub fn write(&mut self, record: &[u8]) -> Result<()> {
        let mut rest = record;
        let mut first = true;
        loop {
            let left = BLOCK - self.at % BLOCK;
            if left < HEADER {
                self.put(&[0; HEADER][..left])?;
                continue;
            }
            let (piece, after) = rest.split_at(rest.len().min(left - HEADER));
            let kind = match (first, after.is_empty()) {
                (true, true) => FULL,
                (true, false) => FIRST,
                (false, false) => MIDDLE,
                (false, true) => LAST,
            };
            self.piece(kind, piece)?;
            if after.is_empty() {
                return Ok(());
            }
            (rest, first) = (after, false);
        }
    }

    /// Hands everything to the system.
    pub fn flush(&mut self) -> Result<()> {
        self.file.flush().map_err(|error| Error::io("write", &self.path, error))
    }

    fn piece(&mut self, kind: u8, data: &[u8]) -> Result<()> {
        let mut checksum = flate2::Crc::new();
        checksum.update(&[kind]);
        checksum.update(data);
        let length = (data.len() as u16).to_le_bytes();
        self.put(&[&checksum.sum().to_le_bytes()[..], &length, &[kind], data].concat())
    }

    fn put(&mut self, bytes: &[u8]) -> Result<()> {
        self.at += bytes.len();
        self.file.write_all(bytes).map_err(|error| Error::io("write", &self.path, error))
    }
}
