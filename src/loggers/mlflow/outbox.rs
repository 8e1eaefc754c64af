//! What an MLflow server is to hear, on disk until it has: one JSON object a line, and how many bytes of them were
//! taken. A server that is away loses nothing, and a process that dies neither.

use std::collections::HashMap;
use std::fs::{File, OpenOptions};
use std::io::{BufRead, BufReader, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};
use crate::run::write_atomic;

/// One thing to tell the server.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Item {
    /// A hyper-parameter.
    Param { key: String, value: String },
    /// A point of a curve; the value as text, for infinities and NaN.
    Metric { key: String, value: String, step: u64, time_ms: i64 },
    /// A tag.
    Tag { key: String, value: String },
    /// A file to keep with the run.
    Artifact { name: String, file: PathBuf },
    /// How the run is.
    Status { status: String, time_ms: i64 },
}

impl Item {
    /// By what a resumed run knows it again; `None` for what is told every time.
    fn identity(&self) -> Option<(String, u64)> {
        match self {
            Item::Metric { key, step, .. } => Some((key.clone(), *step)),
            Item::Param { key, .. } => Some((format!("parameter {key}"), 0)),
            Item::Tag { .. } | Item::Artifact { .. } | Item::Status { .. } => None,
        }
    }
}

/// The file of items, where new ones go.
pub struct Outbox {
    folder: PathBuf,
    file: File,
    /// Bytes written so far.
    pub bytes: u64,
    /// What was written after the checkpoint that the run goes on from, and how often: it comes again.
    known: HashMap<(String, u64), usize>,
}

const ITEMS: &str = "outbox.jsonl";
const TAKEN: &str = "taken";

impl Outbox {
    /// Opens the outbox in `folder`, made when missing.
    pub fn open(folder: &Path) -> Result<Self> {
        let failed = |error: std::io::Error| Error::io("write", &folder.join(ITEMS), error);
        std::fs::create_dir_all(folder).map_err(failed)?;
        let mut file = OpenOptions::new()
            .create(true)
            .truncate(false)
            .read(true)
            .write(true)
            .open(folder.join(ITEMS))
            .map_err(failed)?;
        // A killed process may have left half a line.
        let mut bytes = 0;
        for line in lines(&file) {
            let line = line.map_err(failed)?;
            if !line.ends_with(b"\n") {
                break;
            }
            bytes += line.len() as u64;
        }
        file.set_len(bytes).and_then(|()| file.seek(SeekFrom::Start(bytes))).map_err(failed)?;
        Ok(Outbox { folder: folder.to_owned(), file, bytes, known: HashMap::new() })
    }

    /// Notes what was written after `bytes`, so that a resumed run does not tell it twice.
    pub fn resume_at(&mut self, bytes: u64) -> Result<()> {
        let reader = Reader::open(&self.folder)?;
        let mut position = bytes;
        loop {
            let items = reader.items_from(position)?;
            let Some((_, end)) = items.last() else { return Ok(()) };
            position = *end;
            for (item, _) in items {
                if let Some(identity) = item.identity() {
                    *self.known.entry(identity).or_default() += 1;
                }
            }
        }
    }

    /// Whether an item was written before the run was resumed; each time counts once.
    fn is_known(&mut self, item: &Item) -> bool {
        if self.known.is_empty() {
            return false;
        }
        let Some(identity) = item.identity() else { return false };
        let Some(count) = self.known.get_mut(&identity) else { return false };
        *count -= 1;
        if *count == 0 {
            self.known.remove(&identity);
        }
        true
    }

    /// Adds items.
    pub fn add(&mut self, items: &[Item]) -> Result<()> {
        let mut text = String::new();
        for item in items {
            if self.is_known(item) {
                continue;
            }
            text += &serde_json::to_string(item).map_err(|error| Error::failed(error.to_string()))?;
            text.push('\n');
        }
        let written = self.file.write_all(text.as_bytes());
        written.map_err(|error| Error::io("write", &self.folder.join(ITEMS), error))?;
        self.bytes += text.len() as u64;
        Ok(())
    }
}

fn lines(file: &File) -> impl Iterator<Item = std::io::Result<Vec<u8>>> {
    let mut reader = BufReader::new(file);
    std::iter::from_fn(move || {
        let mut line = Vec::new();
        match reader.read_until(b'\n', &mut line) {
            Ok(0) => None,
            Ok(_) => Some(Ok(line)),
            Err(error) => Some(Err(error)),
        }
    })
}

/// The sender's side: reads what was not taken yet.
pub struct Reader {
    folder: PathBuf,
    /// How many bytes the server has taken.
    pub taken: u64,
}

impl Reader {
    /// Opens the outbox of `folder` where the last sender stopped.
    pub fn open(folder: &Path) -> Result<Self> {
        let taken = std::fs::read_to_string(folder.join(TAKEN)).ok().and_then(|text| text.trim().parse().ok());
        Ok(Reader { folder: folder.to_owned(), taken: taken.unwrap_or(0) })
    }

    /// The next items, at most a batch, each with the position after it.
    pub fn waiting(&self) -> Result<Vec<(Item, u64)>> {
        self.items_from(self.taken)
    }

    fn items_from(&self, start: u64) -> Result<Vec<(Item, u64)>> {
        /// What MLflow takes in one request.
        const BATCH: usize = 1000;
        let path = self.folder.join(ITEMS);
        let failed = |error: std::io::Error| Error::io("read", &path, error);
        let mut file = File::open(&path).map_err(failed)?;
        file.seek(SeekFrom::Start(start)).map_err(failed)?;
        let mut position = start;
        let mut items = Vec::new();
        for line in lines(&file).take(BATCH) {
            let line = line.map_err(failed)?;
            // A line that is still being written has no end yet.
            let Some(item) = line.ends_with(b"\n").then(|| serde_json::from_slice(&line).ok()).flatten() else { break };
            position += line.len() as u64;
            items.push((item, position));
        }
        Ok(items)
    }

    /// The server has everything up to `position`.
    pub fn take(&mut self, position: u64) -> Result<()> {
        self.taken = position;
        write_atomic(&self.folder.join(TAKEN), position.to_string().as_bytes())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn metric(step: u64) -> Item {
        Item::Metric { key: "loss".into(), value: "NaN".into(), step, time_ms: 5 }
    }

    #[test]
    fn nothing_is_lost_or_told_twice() {
        let dir = tempfile::tempdir().unwrap();
        let mut outbox = Outbox::open(dir.path()).unwrap();
        outbox.add(&[metric(0), metric(1)]).unwrap();
        let at_checkpoint = outbox.bytes;
        outbox.add(&[metric(2), metric(2)]).unwrap();
        let mut reader = Reader::open(dir.path()).unwrap();
        let first = reader.waiting().unwrap();
        reader.take(first[0].1).unwrap();
        drop(outbox);
        // Killed in the middle of a line, then resumed.
        File::options().append(true).open(dir.path().join(ITEMS)).unwrap().write_all(b"{\"metr").unwrap();
        let mut outbox = Outbox::open(dir.path()).unwrap();
        outbox.resume_at(at_checkpoint).unwrap();
        outbox.add(&[metric(2), metric(2), metric(2), metric(3)]).unwrap();
        let rest: Vec<Item> =
            Reader::open(dir.path()).unwrap().waiting().unwrap().into_iter().map(|(item, _)| item).collect();
        assert_eq!(rest, [1, 2, 2, 2, 3].map(metric));
    }
}
