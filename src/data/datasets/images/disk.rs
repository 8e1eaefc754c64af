//! Decoded images in a mapped file, for data sets that are read often and decode slowly but fit on the disk.
//!
//! The file's name is a hash of the content of every image file and of how they are decoded: other files or other
//! settings make another file, the same ones find it, wherever they lie. It is written whole beside its name and then
//! renamed, so that an interrupted run leaves nothing that looks finished.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};
use std::sync::Mutex;

use memmap2::Mmap;
use rayon::prelude::*;

use super::store::Files;
use crate::data::image::{Image, Picture, Planes};
use crate::data::progress::Progress;
use crate::error::{Error, Result};
use crate::native::map::map;

/// The mark at a cache file's start: its kind and version.
const MARK: &[u8; 16] = b"runner images 1\n";

/// A mapped file of decoded images.
pub struct DiskCache {
    map: Mmap,
    /// Where each image is, with its width, height, channels and whether it is floats.
    entries: Vec<Entry>,
}

#[derive(Clone, Copy)]
struct Entry {
    start: u64,
    width: u32,
    height: u32,
    channels: u32,
    floats: bool,
}

impl DiskCache {
    /// Opens the cache of these files in `folder`, or decodes them all and makes it.
    ///
    /// # Errors
    /// When a file cannot be read, or the cache cannot be written; the messages name them.
    pub fn open(folder: &Path, files: &Files) -> Result<Self> {
        std::fs::create_dir_all(folder).map_err(|error| unwritable(folder, &error))?;
        let path = folder.join(format!("{}.images", key(files)?));
        if !path.is_file() {
            write(&path, files)?;
        }
        let broken = || {
            Error::failed(format!("{} is no whole cache of decoded images", path.display()))
                .help("delete it, and it is made again")
        };
        let file = File::open(&path).map_err(|error| Error::io("read", &path, error))?;
        let map = map(&file).map_err(|error| Error::io("map", &path, error))?;
        let entries = index(&map).filter(|entries| entries.len() == files.len()).ok_or_else(broken)?;
        let size = map.len() as u64;
        let inside = |entry: &Entry| entry.start + entry.bytes() <= size;
        if entries.iter().all(inside) { Ok(DiskCache { map, entries }) } else { Err(broken()) }
    }

    /// An image.
    ///
    /// # Errors
    /// Never for a cache that [`DiskCache::open`] has seen to be whole.
    pub fn get(&self, index: usize) -> Result<Picture> {
        let entry = self.entries[index];
        let bytes = &self.map[entry.start as usize..(entry.start + entry.bytes()) as usize];
        let (width, height, channels) = (entry.width as usize, entry.height as usize, entry.channels as usize);
        Ok(if entry.floats {
            let data = bytes.as_chunks::<4>().0.iter().map(|four| f32::from_le_bytes(*four)).collect();
            Picture::Floats(Planes { width, height, channels, data })
        } else {
            Picture::Bytes(Image::new(width, height, channels, bytes.to_vec())?)
        })
    }
}

impl Entry {
    fn bytes(&self) -> u64 {
        let size = if self.floats { 4 } else { 1 };
        u64::from(self.width) * u64::from(self.height) * u64::from(self.channels) * size
    }
}

fn unwritable(path: &Path, error: &std::io::Error) -> Error {
    Error::io("write the cache", path, error)
        .help("set data.cache_dir to a folder that can be written, or data.cache to null or ram")
}

/// A hash of what is in the files and of how they are decoded.
fn key(files: &Files) -> Result<String> {
    let hash = |path: &PathBuf| -> Result<blake3::Hash> {
        let mut hasher = blake3::Hasher::new();
        let mut file = File::open(path).map_err(|error| Error::io("read", path, error))?;
        std::io::copy(&mut file, &mut hasher).map_err(|error| Error::io("read", path, error))?;
        Ok(hasher.finalize())
    };
    let hashes = files.paths.par_iter().map(hash).collect::<Result<Vec<_>>>()?;
    let mut hasher = blake3::Hasher::new();
    hasher.update(format!("{:?} {:?}", files.parts, files.bands).as_bytes());
    for hash in hashes {
        hasher.update(hash.as_bytes());
    }
    Ok(hasher.finalize().to_hex()[..32].to_owned())
}

/// Decodes every image and writes the file: images as they come, then an index in the order of the images, then
/// where the index begins.
fn write(path: &Path, files: &Files) -> Result<()> {
    let folder = path.parent().unwrap_or(Path::new("."));
    let failed = |error: std::io::Error| unwritable(path, &error);
    let temporary = tempfile::NamedTempFile::new_in(folder).map_err(|error| unwritable(folder, &error))?;
    let progress = Progress::new("caching decoded images", files.len() as u64);
    let writer = Mutex::new((BufWriter::new(temporary), MARK.len() as u64));
    let lock = || writer.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    lock().0.write_all(MARK).map_err(failed)?;
    let entries = (0..files.len()).into_par_iter().map(|image| {
        let picture = files.decode(image)?;
        let (channels, height, width) = picture.size();
        let bytes: Vec<u8> = match picture {
            Picture::Bytes(image) => image.data,
            Picture::Floats(planes) => planes.data.iter().flat_map(|value| value.to_le_bytes()).collect(),
            Picture::Lazy(..) | Picture::Many(_) => return Err(Error::failed("a decoded image is bytes or floats")),
        };
        let floats = bytes.len() != channels * height * width;
        let mut writer = lock();
        let entry =
            Entry { start: writer.1, width: width as u32, height: height as u32, channels: channels as u32, floats };
        writer.0.write_all(&bytes).map_err(failed)?;
        writer.1 += bytes.len() as u64;
        progress.advance(1);
        Ok(entry)
    });
    let entries = entries.collect::<Result<Vec<Entry>>>()?;
    let (mut writer, end) = writer.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner);
    for entry in entries {
        let numbers = [entry.width, entry.height, entry.channels, u32::from(entry.floats)];
        writer.write_all(&entry.start.to_le_bytes()).map_err(failed)?;
        for number in numbers {
            writer.write_all(&number.to_le_bytes()).map_err(failed)?;
        }
    }
    writer.write_all(&end.to_le_bytes()).map_err(failed)?;
    let temporary = writer.into_inner().map_err(|error| failed(error.into_error()))?;
    temporary.as_file().sync_all().map_err(failed)?;
    temporary.persist(path).map_err(|error| failed(error.error))?;
    Ok(())
}

/// Bytes of one entry of the index.
const ENTRY: usize = 24;

fn index(map: &[u8]) -> Option<Vec<Entry>> {
    let body = map.strip_prefix(MARK)?;
    let (_, end) = body.split_last_chunk::<8>()?;
    let start = usize::try_from(u64::from_le_bytes(*end)).ok()?;
    let index = map.get(start..map.len() - 8)?;
    let entry = |bytes: &[u8]| {
        let number = |at: usize| Some(u32::from_le_bytes(bytes.get(at..at + 4)?.try_into().ok()?));
        Some(Entry {
            start: u64::from_le_bytes(bytes.get(..8)?.try_into().ok()?),
            width: number(8)?,
            height: number(12)?,
            channels: number(16)?,
            floats: number(20)? != 0,
        })
    };
    if index.len() % ENTRY != 0 { None } else { index.chunks_exact(ENTRY).map(entry).collect() }
}
