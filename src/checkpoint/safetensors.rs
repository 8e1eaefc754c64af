//! Named tensors and text in one safetensors file, with a checksum.
//!
//! The layout is the format's own, so that `safetensors.torch.load_file` reads the file. Ours adds one thing: the
//! metadata begins with `blake3`, the BLAKE3 hash of all other bytes of the file (the 64 digits themselves are left
//! out). A file without it, written by somebody else, is read all the same; its structure alone shows a truncation.

use std::io::Write;
use std::path::{Path, PathBuf};

use ::safetensors::tensor::{Dtype, SafeTensorError, SafeTensors, TensorInfo};
use indexmap::IndexMap;
use tch::{Kind, Tensor};

use super::Bytes;
use crate::error::{Error, Result};
use crate::run::write_atomic_with;

/// What the header begins with when the file carries a checksum; 64 hexadecimal digits follow.
const SEAL: &str = r#"{"__metadata__":{"blake3":""#;
const DIGITS: usize = 64;
/// The header's length comes first, as eight bytes, little end first.
const LENGTH: usize = 8;

/// Tensors and text copied to host memory, ready to be written by any thread while training goes on.
pub struct Snapshot {
    tensors: Vec<HostTensor>,
    metadata: IndexMap<String, String>,
}

struct HostTensor {
    name: String,
    dtype: Dtype,
    shape: Vec<usize>,
    data: Vec<u8>,
}

impl Snapshot {
    /// Copies `tensors` to host memory, contiguous, and keeps `metadata`.
    ///
    /// # Errors
    /// When a tensor has a dtype that the format lacks, or a name is given twice.
    pub fn take<'a>(
        tensors: impl IntoIterator<Item = (String, &'a Tensor)>,
        metadata: IndexMap<String, String>,
    ) -> Result<Self> {
        let tensors = tensors.into_iter().map(|(name, tensor)| HostTensor::copy(name, tensor));
        let mut tensors = tensors.collect::<Result<Vec<_>>>()?;
        // The format wants no gaps, so wide elements come first to keep every tensor aligned.
        tensors.sort_by_key(|tensor| std::cmp::Reverse(tensor.dtype.bitsize()));
        let mut names = std::collections::HashSet::new();
        match tensors.iter().find(|tensor| !names.insert(tensor.name.as_str())) {
            Some(twice) => Err(Error::failed(format!("two tensors are called `{}`", twice.name))),
            None => Ok(Snapshot { tensors, metadata }),
        }
    }

    /// The size of the tensors, in bytes.
    pub fn size(&self) -> usize {
        self.tensors.iter().map(|tensor| tensor.data.len()).sum()
    }

    /// Writes the file `path`, whole or not at all, with its checksum.
    ///
    /// # Errors
    /// When the disk refuses, with the path.
    pub fn write(&self, path: &Path) -> Result<()> {
        let mut header = self.header().map_err(|error| Error::io("write", path, error))?;
        let digits = LENGTH + SEAL.len()..LENGTH + SEAL.len() + DIGITS;
        let mut hash = blake3::Hasher::new();
        hash.update(&header[..digits.start]).update(&header[digits.end..]);
        for tensor in &self.tensors {
            hash.update(&tensor.data);
        }
        header[digits].copy_from_slice(hash.finalize().to_hex().as_bytes());
        write_atomic_with(path, |file| {
            file.write_all(&header)?;
            self.tensors.iter().try_for_each(|tensor| file.write_all(&tensor.data))
        })
    }

    /// The length and the header, with zeros for the checksum.
    fn header(&self) -> serde_json::Result<Vec<u8>> {
        let mut text = String::from(SEAL);
        text.push_str(&"0".repeat(DIGITS));
        text.push('"');
        let mut end = 0;
        for (key, value) in &self.metadata {
            text.push_str(&format!(",{}:{}", serde_json::to_string(key)?, serde_json::to_string(value)?));
        }
        text.push('}');
        for tensor in &self.tensors {
            let start = end;
            end += tensor.data.len();
            let info = TensorInfo { dtype: tensor.dtype, shape: tensor.shape.clone(), data_offsets: (start, end) };
            text.push_str(&format!(",{}:{}", serde_json::to_string(&tensor.name)?, serde_json::to_string(&info)?));
        }
        text.push('}');
        // The data starts at a multiple of eight.
        while !text.len().is_multiple_of(LENGTH) {
            text.push(' ');
        }
        let mut header = (text.len() as u64).to_le_bytes().to_vec();
        header.extend(text.into_bytes());
        Ok(header)
    }
}

impl HostTensor {
    fn copy(name: String, tensor: &Tensor) -> Result<Self> {
        let kind = tensor.f_kind()?;
        let dtype = dtype_of(kind)
            .ok_or_else(|| Error::failed(format!("`{name}` is of type {kind:?}, which safetensors cannot hold")))?;
        let count = tensor.numel();
        let mut data = vec![0; count * kind.elt_size_in_bytes()];
        tensor.f_copy_data_u8(&mut data, count)?;
        let shape = tensor.size().into_iter().map(|n| n as usize).collect();
        Ok(HostTensor { name, dtype, shape, data })
    }
}

/// Writes named tensors and text to `path`. See [`Snapshot`] for writing on another thread.
///
/// # Errors
/// As [`Snapshot::take`] and [`Snapshot::write`].
pub fn write<'a>(
    path: &Path,
    tensors: impl IntoIterator<Item = (&'a String, &'a Tensor)>,
    metadata: IndexMap<String, String>,
) -> Result<()> {
    let tensors = tensors.into_iter().map(|(name, tensor)| (name.clone(), tensor));
    Snapshot::take(tensors, metadata)?.write(path)
}

/// An open safetensors file. Nothing is copied until a tensor is asked for.
pub struct TensorFile {
    path: PathBuf,
    bytes: Bytes,
    start: usize,
    tensors: IndexMap<String, TensorInfo>,
    metadata: IndexMap<String, String>,
    sealed: bool,
}

impl TensorFile {
    /// Opens `path` and checks its structure, and its checksum when it carries one.
    ///
    /// # Errors
    /// When the file is missing, is no safetensors file, is truncated, or its content was altered; the message
    /// names the file and which of them.
    pub fn open(path: &Path) -> Result<Self> {
        Self::of(Bytes::open(path)?, path)
    }

    /// The text beside the tensors; of the rest only the structure is looked at, not the checksum.
    ///
    /// # Errors
    /// When the file is missing, is no safetensors file, or is truncated.
    pub fn peek(path: &Path) -> Result<IndexMap<String, String>> {
        let bytes = Bytes::open(path)?;
        let (_, metadata) = SafeTensors::read_metadata(&bytes)
            .map_err(|error| Error::failed(format!("cannot read {}: {}", path.display(), in_words(&error, &bytes))))?;
        Ok(metadata.metadata().iter().flatten().map(|(key, value)| (key.clone(), value.clone())).collect())
    }

    /// Reads a file that is in memory already; `path` is its name in messages.
    ///
    /// # Errors
    /// As [`TensorFile::open`].
    pub fn of(bytes: Bytes, path: &Path) -> Result<Self> {
        let failed = |what: String| Error::failed(format!("cannot read {}: {what}", path.display()));
        let (length, metadata) =
            SafeTensors::read_metadata(&bytes).map_err(|error| failed(in_words(&error, &bytes)))?;
        let sealed = is_sealed(&bytes);
        if sealed && !holds(&bytes) {
            return Err(failed("its content was altered: the checksum does not fit".into()));
        }
        let mut text: Vec<(String, String)> =
            metadata.metadata().iter().flatten().map(|(key, value)| (key.clone(), value.clone())).collect();
        text.sort();
        let tensors = metadata.offset_keys().into_iter().filter_map(|name| {
            let info = metadata.info(&name)?.clone();
            Some((name, info))
        });
        let tensors = tensors.collect();
        let metadata = text.into_iter().collect();
        Ok(TensorFile { path: path.to_owned(), start: LENGTH + length, tensors, metadata, sealed, bytes })
    }

    /// The file's path.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The text beside the tensors.
    pub fn metadata(&self) -> &IndexMap<String, String> {
        &self.metadata
    }

    /// Whether the file carries a checksum (which has been checked).
    pub fn is_sealed(&self) -> bool {
        self.sealed
    }

    /// The names of the tensors, in the file's order.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.tensors.keys().map(String::as_str)
    }

    /// The shape of a tensor.
    pub fn shape(&self, name: &str) -> Option<&[usize]> {
        self.tensors.get(name).map(|info| info.shape.as_slice())
    }

    /// A copy of a tensor, on the CPU, with the dtype of the file.
    ///
    /// # Errors
    /// When there is none of that name, or torch has no such dtype.
    pub fn tensor(&self, name: &str) -> Result<Tensor> {
        let failed = |what: String| Error::failed(format!("cannot read {}: {what}", self.path.display()));
        let info = self.tensors.get(name).ok_or_else(|| failed(format!("it holds no tensor `{name}`")))?;
        let kind = kind_of(info.dtype)
            .ok_or_else(|| failed(format!("`{name}` is of type {:?}, which torch cannot hold", info.dtype)))?;
        let (start, end) = info.data_offsets;
        let data = &self.bytes[self.start + start..self.start + end];
        let shape: Vec<i64> = info.shape.iter().map(|n| *n as i64).collect();
        // The structure was checked on opening: the bytes are as many as the shape says.
        Ok(Tensor::f_from_data_size(data, &shape, kind)?)
    }

    /// Copies of all tensors, by name, in the file's order.
    ///
    /// # Errors
    /// As [`TensorFile::tensor`].
    pub fn tensors(&self) -> Result<IndexMap<String, Tensor>> {
        self.tensors.keys().map(|name| Ok((name.clone(), self.tensor(name)?))).collect()
    }
}

/// Whether the header begins as ours do.
fn is_sealed(bytes: &[u8]) -> bool {
    bytes.get(LENGTH..).is_some_and(|header| header.starts_with(SEAL.as_bytes()))
        && bytes.len() >= LENGTH + SEAL.len() + DIGITS
}

/// Whether the checksum fits.
fn holds(bytes: &[u8]) -> bool {
    let (before, rest) = bytes.split_at(LENGTH + SEAL.len());
    let (digits, after) = rest.split_at(DIGITS);
    let mut hash = blake3::Hasher::new();
    hash.update(before).update(after);
    hash.finalize().to_hex().as_bytes() == digits
}

/// What is wrong with a file, in the user's words.
fn in_words(error: &SafeTensorError, bytes: &[u8]) -> String {
    match error {
        SafeTensorError::HeaderTooSmall if bytes.is_empty() => "it is empty".into(),
        SafeTensorError::MetadataIncompleteBuffer | SafeTensorError::InvalidHeaderLength => {
            let declared = bytes.first_chunk::<LENGTH>().map(|length| u64::from_le_bytes(*length));
            let header_fits = declared.is_some_and(|n| n.saturating_add(LENGTH as u64) <= bytes.len() as u64);
            let looks_right = bytes.get(LENGTH) == Some(&b'{');
            match (looks_right, header_fits, extent(bytes)) {
                (true, true, Some(whole)) if whole > bytes.len() => {
                    format!("it is truncated: {} of {whole} bytes are there", bytes.len())
                }
                (true, true, _) => "it is longer than its header says".into(),
                (true, false, _) => "it is truncated within its header".into(),
                (false, ..) => "it is not a safetensors file".into(),
            }
        }
        SafeTensorError::InvalidHeader(_)
        | SafeTensorError::InvalidHeaderDeserialization(_)
        | SafeTensorError::HeaderTooLarge
        | SafeTensorError::HeaderTooSmall => "it is not a safetensors file, or its header was altered".into(),
        other => format!("its header was altered: {other}"),
    }
}

/// How long the file should be by its header.
fn extent(bytes: &[u8]) -> Option<usize> {
    let length = u64::from_le_bytes(*bytes.first_chunk::<LENGTH>()?) as usize;
    let header: serde_json::Value = serde_json::from_slice(bytes.get(LENGTH..LENGTH.checked_add(length)?)?).ok()?;
    let ends = header.as_object()?.values().filter_map(|info| info.get("data_offsets")?.get(1)?.as_u64());
    Some(LENGTH + length + ends.max().unwrap_or(0) as usize)
}

const KINDS: [(Kind, Dtype); 15] = [
    (Kind::Float, Dtype::F32),
    (Kind::Int64, Dtype::I64),
    (Kind::Half, Dtype::F16),
    (Kind::BFloat16, Dtype::BF16),
    (Kind::Double, Dtype::F64),
    (Kind::Uint8, Dtype::U8),
    (Kind::Int8, Dtype::I8),
    (Kind::Int16, Dtype::I16),
    (Kind::Int, Dtype::I32),
    (Kind::Bool, Dtype::BOOL),
    (Kind::ComplexFloat, Dtype::C64),
    (Kind::Float8e5m2, Dtype::F8_E5M2),
    (Kind::Float8e4m3fn, Dtype::F8_E4M3),
    (Kind::Float8e5m2fnuz, Dtype::F8_E5M2FNUZ),
    (Kind::Float8e4m3fnuz, Dtype::F8_E4M3FNUZ),
];

fn dtype_of(kind: Kind) -> Option<Dtype> {
    KINDS.iter().find(|(k, _)| *k == kind).map(|(_, dtype)| *dtype)
}

fn kind_of(dtype: Dtype) -> Option<Kind> {
    KINDS.iter().find(|(_, d)| *d == dtype).map(|(kind, _)| *kind)
}

#[cfg(test)]
mod tests {
    use super::*;
    use tch::Device;

    fn sample(path: &Path) -> IndexMap<String, Tensor> {
        let cpu = |kind| (kind, Device::Cpu);
        let tensors: IndexMap<String, Tensor> = [
            ("conv.weight", Tensor::arange(24, cpu(Kind::Float)).view([2, 3, 4])),
            ("half \"odd\"\n", Tensor::arange(3, cpu(Kind::Half))),
            ("bf16", Tensor::arange(5, cpu(Kind::BFloat16))),
            ("flag", Tensor::from_slice(&[true, false, true])),
            ("bytes", Tensor::from_slice(&[1u8, 2, 250])),
            ("bn.num_batches_tracked", Tensor::from(7i64)),
            ("empty", Tensor::zeros([0, 3], cpu(Kind::Double))),
            ("strided", Tensor::arange(6, cpu(Kind::Double)).view([2, 3]).transpose(0, 1)),
        ]
        .map(|(name, tensor)| (name.to_owned(), tensor))
        .into();
        let metadata = IndexMap::from([("note".to_owned(), "line\nbreak, ü".to_owned())]);
        write(path, &tensors, metadata).unwrap();
        tensors
    }

    #[test]
    fn every_dtype_and_shape_comes_back() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.safetensors");
        let tensors = sample(&path);
        let file = TensorFile::open(&path).unwrap();
        assert!(file.is_sealed());
        assert_eq!(file.metadata()["note"], "line\nbreak, ü");
        assert_eq!(file.names().count(), tensors.len());
        for (name, tensor) in &tensors {
            let read = file.tensor(name).unwrap();
            assert_eq!((read.size(), read.kind()), (tensor.size(), tensor.kind()), "{name}");
            assert!(read.equal(tensor), "{name}");
        }
    }

    #[test]
    fn every_altered_byte_and_every_truncation_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.safetensors");
        sample(&path);
        let whole = std::fs::read(&path).unwrap();
        for at in 0..whole.len() {
            let mut altered = whole.clone();
            altered[at] ^= 0x10;
            // A changed mark leaves a file that is not sealed any more; the checkpoint reader asks for the seal.
            let sealed = TensorFile::of(altered.into(), &path).is_ok_and(|file| file.is_sealed());
            assert!(!sealed, "byte {at} of {} was altered unseen", whole.len());
        }
        for length in 0..whole.len() {
            let error = TensorFile::of(whole[..length].to_vec().into(), &path).err();
            let error = error.unwrap_or_else(|| panic!("{length} bytes pass for the whole file")).to_string();
            assert!(error.contains("a.safetensors"), "{error}");
            if length > 400 {
                assert!(error.contains("truncated"), "{length}: {error}");
            }
        }
    }

    #[test]
    fn the_messages_say_which_kind_of_broken() {
        let path = Path::new("w.safetensors");
        let message = |bytes: &[u8]| TensorFile::of(bytes.to_vec().into(), path).err().unwrap().to_string();
        assert_eq!(message(b""), "cannot read w.safetensors: it is empty");
        assert_eq!(
            message(b"PK\x03\x04 a zip file, not what was asked for"),
            "cannot read w.safetensors: it is not a safetensors file, or its header was altered"
        );
        let missing = TensorFile::open(Path::new("/nowhere/w.safetensors")).err().unwrap().to_string();
        assert!(missing.starts_with("cannot read /nowhere/w.safetensors: "), "{missing}");
    }
}
