//! Which files have been found to be readable, kept on disk while they are looked at: a tool that is stopped goes on
//! where it was.

use std::collections::HashMap;
use std::fs::{File, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::time::UNIX_EPOCH;

use rayon::prelude::*;

use crate::data::decode::Decode;
use crate::data::progress::Progress;
use crate::error::{Error, Result};

/// A file as it was when it was looked at; another size or time makes it another file.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Stamp {
    path: PathBuf,
    bytes: u64,
    changed: u128,
}

impl Stamp {
    fn of(path: &Path) -> Result<Self> {
        let failed = |error: std::io::Error| Error::io("read", path, error);
        let metadata = std::fs::metadata(path).map_err(failed)?;
        let changed = metadata.modified().ok().and_then(|time| time.duration_since(UNIX_EPOCH).ok());
        let changed = changed.map_or(0, |since| since.as_nanos());
        Ok(Stamp { path: path.to_owned(), bytes: metadata.len(), changed })
    }
}

/// Why a file cannot be read; `None` for one that can.
pub type Verdict = Option<String>;

/// Looks at every file; what the journal at `path` knows already is not looked at again.
///
/// # Errors
/// When the journal cannot be written.
pub fn check(files: &[PathBuf], journal: &Path) -> Result<Vec<Verdict>> {
    let known = read(journal);
    let failed = |error: std::io::Error| Error::io("write", journal, error);
    let file = OpenOptions::new().create(true).append(true).open(journal).map_err(failed)?;
    let file = Mutex::new(file);
    let progress = Progress::new("reading images", files.len() as u64);
    files
        .par_iter()
        .map(|path| {
            // What is gone or may not be read is a file that cannot be read.
            let stamp = match Stamp::of(path) {
                Ok(stamp) => stamp,
                Err(error) => return Ok(Some(error.to_string())),
            };
            progress.advance(1);
            if let Some(verdict) = known.get(&stamp) {
                return Ok(verdict.clone());
            }
            let verdict = Decode::default().verify(path).err().map(|error| error.to_string());
            append(&file, &stamp, &verdict).map_err(failed)?;
            Ok(verdict)
        })
        .collect()
}

fn append(file: &Mutex<File>, stamp: &Stamp, verdict: &Verdict) -> std::io::Result<()> {
    let mut writer = csv::Writer::from_writer(Vec::new());
    let (bytes, changed) = (stamp.bytes.to_string(), stamp.changed.to_string());
    let why = verdict.as_deref().unwrap_or_default();
    writer
        .write_record([stamp.path.to_string_lossy().as_ref(), &bytes, &changed, why])
        .map_err(std::io::Error::other)?;
    let line = writer.into_inner().map_err(|error| std::io::Error::other(error.to_string()))?;
    // One call a line, so that a line is whole or not there.
    file.lock().unwrap_or_else(std::sync::PoisonError::into_inner).write_all(&line)
}

/// What a journal knows. Lines that are not whole are as good as none.
fn read(path: &Path) -> HashMap<Stamp, Verdict> {
    let reader = csv::ReaderBuilder::new().has_headers(false).flexible(true).from_path(path);
    let records = reader.into_iter().flat_map(csv::Reader::into_records).flatten();
    records
        .filter_map(|record| {
            let [path, bytes, changed, why] = [0, 1, 2, 3].map(|column: usize| record.get(column));
            let stamp = Stamp { path: path?.into(), bytes: bytes?.parse().ok()?, changed: changed?.parse().ok()? };
            Some((stamp, Some(why?.to_owned()).filter(|why| !why.is_empty())))
        })
        .collect()
}
