//! NumPy's files: `.npy` (one array) and `.npz` (a zip archive of them).

use std::fs::File;
use std::io::{Cursor, Read};
use std::path::Path;
use std::sync::Arc;

use memmap2::Mmap;
use tch::Kind;

use crate::error::{Error, Result};
use crate::native::map::map;

/// An array of a file, as it lies there: C order, little end first.
#[derive(Clone)]
pub struct Array {
    /// The type of its elements.
    pub kind: Kind,
    /// Sizes of its dimensions.
    pub shape: Vec<usize>,
    bytes: Bytes,
    /// Where its elements begin.
    start: usize,
}

#[derive(Clone)]
enum Bytes {
    Mapped(Arc<Mmap>),
    Owned(Arc<Vec<u8>>),
}

impl Array {
    /// Opens a file; of an archive the array `name`. A plain `.npy` file is mapped, not read.
    ///
    /// # Errors
    /// When the file cannot be read or is no such file, or holds what is no array of numbers; names it.
    pub fn open(path: &Path, name: Option<&str>) -> Result<Self> {
        let wrong = |what: String| Error::request(format!("{}: {what}", path.display()));
        let file = File::open(path).map_err(|error| Error::io("read", path, error))?;
        let mapped = map(&file).map_err(|error| Error::io("read", path, error))?;
        if !mapped.starts_with(b"PK") {
            return Self::parse(Bytes::Mapped(Arc::new(mapped))).map_err(wrong);
        }
        let mut archive = zip::ZipArchive::new(Cursor::new(&mapped[..])).map_err(|error| wrong(error.to_string()))?;
        let names: Vec<String> =
            archive.file_names().flatten().map(|name| name.trim_end_matches(".npy").to_owned()).collect();
        let name = match (name, names.as_slice()) {
            (Some(name), _) => name,
            (None, [only]) => only.as_str(),
            (None, _) => return Err(wrong(format!("say which of its arrays is meant: {}", names.join(", ")))),
        };
        let mut entry = archive
            .by_name(&format!("{name}.npy"))
            .map_err(|_| wrong(format!("it has no array `{name}`; it has {}", names.join(", "))))?;
        let mut bytes = Vec::new();
        entry.read_to_end(&mut bytes).map_err(|error| wrong(format!("`{name}`: {error}")))?;
        Self::parse(Bytes::Owned(Arc::new(bytes))).map_err(wrong)
    }

    fn parse(bytes: Bytes) -> Result<Self, String> {
        let all = bytes.all();
        let rest = all.strip_prefix(b"\x93NUMPY").ok_or("it is no NumPy file")?;
        let truncated = || "the NumPy file is truncated".to_owned();
        let (&[major, _], rest) = rest.split_first_chunk::<2>().ok_or_else(truncated)?;
        let (length, rest) = if major == 1 {
            let (length, rest) = rest.split_first_chunk::<2>().ok_or_else(truncated)?;
            (usize::from(u16::from_le_bytes(*length)), rest)
        } else {
            let (length, rest) = rest.split_first_chunk::<4>().ok_or_else(truncated)?;
            (u32::from_le_bytes(*length) as usize, rest)
        };
        let header = rest.get(..length).ok_or_else(truncated)?;
        let header = std::str::from_utf8(header).map_err(|_| "its header is no text")?;
        let start = all.len() - rest.len() + length;
        let (kind, shape) = describe(header)?;
        let count = shape.iter().try_fold(1usize, |count, side| count.checked_mul(*side));
        let size = count.and_then(|count| count.checked_mul(kind.elt_size_in_bytes()));
        if size != Some(all.len() - start) {
            return Err(format!("{} bytes do not make an array of shape {shape:?}: truncated", all.len() - start));
        }
        Ok(Array { kind, shape, start, bytes })
    }

    /// Its elements' bytes.
    pub fn data(&self) -> &[u8] {
        &self.bytes.all()[self.start..]
    }

    /// Bytes of one element of the first dimension.
    pub fn stride(&self) -> usize {
        self.shape.iter().skip(1).product::<usize>() * self.kind.elt_size_in_bytes()
    }

    /// Elements of the first dimension as numbers.
    ///
    /// # Errors
    /// When the elements are of a type without a meaning as numbers.
    pub fn numbers(&self) -> Result<Vec<f64>, String> {
        macro_rules! each {
            ($type:ty) => {{
                const SIZE: usize = size_of::<$type>();
                Ok(self
                    .data()
                    .as_chunks::<SIZE>()
                    .0
                    .iter()
                    .map(|bytes| <$type>::from_le_bytes(*bytes) as f64)
                    .collect())
            }};
        }
        match self.kind {
            Kind::Uint8 | Kind::Bool => Ok(self.data().iter().map(|value| f64::from(*value)).collect()),
            Kind::Int8 => each!(i8),
            Kind::Int16 => each!(i16),
            Kind::Int => each!(i32),
            Kind::Int64 => each!(i64),
            Kind::Float => each!(f32),
            Kind::Double => each!(f64),
            other => Err(format!("an array of {other:?} cannot be labels")),
        }
    }
}

impl Bytes {
    fn all(&self) -> &[u8] {
        match self {
            Bytes::Mapped(map) => map,
            Bytes::Owned(bytes) => bytes,
        }
    }
}

/// The type and shape in a header: a Python dict of `descr`, `fortran_order` and `shape`.
fn describe(header: &str) -> Result<(Kind, Vec<usize>), String> {
    let after = |key: &str| header.split_once(&format!("'{key}':")).map(|(_, rest)| rest.trim_start());
    let descr = after("descr").and_then(|rest| rest.strip_prefix('\'')?.split_once('\'')).map(|(descr, _)| descr);
    let descr = descr.ok_or("it holds records, not an array of numbers")?;
    let kind = match descr {
        "|u1" => Kind::Uint8,
        "|i1" => Kind::Int8,
        "|b1" => Kind::Bool,
        "<i2" => Kind::Int16,
        "<i4" => Kind::Int,
        "<i8" => Kind::Int64,
        "<f2" => Kind::Half,
        "<f4" => Kind::Float,
        "<f8" => Kind::Double,
        "|O" => return Err("it holds Python objects, which are not read: save an array of numbers".into()),
        other => return Err(format!("arrays of {other} are not read: save it as float32, int64 or uint8")),
    };
    if after("fortran_order").is_some_and(|rest| rest.starts_with("True")) {
        return Err("it is in Fortran order: save numpy.ascontiguousarray of it".into());
    }
    let shape = after("shape").and_then(|rest| rest.strip_prefix('(')?.split_once(')')).map(|(shape, _)| shape);
    let sides = shape.ok_or("its header has no shape")?.split(',').map(str::trim).filter(|side| !side.is_empty());
    let shape: Option<Vec<usize>> = sides.map(|side| side.parse().ok()).collect();
    Ok((kind, shape.ok_or("its header has no shape")?))
}
