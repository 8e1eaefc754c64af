//! What `torch.save` writes: a zip file of a pickle and its storages, or, before PyTorch 1.6, pickles in a row.

use std::collections::HashMap;
use std::io::{Cursor, Read};
use std::ops::Range;
use std::path::{Path, PathBuf};

use indexmap::IndexMap;
use tch::{Device, Kind, Tensor};
use zip::{CompressionMethod, ZipArchive};

use super::numpy::Array;
use super::{Item, Pickle};
use crate::checkpoint::Bytes;
use crate::error::{Error, Result};
use crate::tensor::State;

/// A file made by `torch.save`, by Lightning (`.ckpt`) too. Nothing in it is executed.
pub struct TorchFile {
    path: PathBuf,
    bytes: Bytes,
    pickle: Pickle,
    storages: HashMap<String, Storage>,
}

/// Where a storage's bytes are.
enum Storage {
    /// In the file.
    At(Range<usize>),
    /// Was compressed.
    Own(Vec<u8>),
}

/// Where the weights lie in what people save, in the order in which they are looked for.
const PLACES: [&str; 7] = ["state_dict", "model_state_dict", "model_state", "model", "net", "weights", "params"];

impl TorchFile {
    /// Opens a file.
    ///
    /// # Errors
    /// When the file is missing, truncated or altered, holds a program rather than data, or is a TorchScript model; the
    /// message names the file and which of them.
    pub fn open(path: &Path) -> Result<Self> {
        Self::of(Bytes::open(path)?, path)
    }

    /// Reads a file that is in memory already; `path` is its name in messages.
    ///
    /// # Errors
    /// As [`TorchFile::open`].
    pub fn of(bytes: Bytes, path: &Path) -> Result<Self> {
        let read = if bytes.starts_with(b"PK") { read_zip(&bytes) } else { read_legacy(&bytes) };
        let (pickle, storages) = read.map_err(|error| error.context(format!("cannot read {}", path.display())))?;
        Ok(TorchFile { path: path.to_owned(), bytes, pickle, storages })
    }

    /// The saved object.
    pub fn root(&self) -> Item<'_> {
        self.pickle.root()
    }

    fn wrong(&self, what: impl std::fmt::Display) -> Error {
        Error::failed(format!("cannot read {}: {what}", self.path.display()))
    }

    /// The tensor that `item` stands for, on the CPU; `None` when it stands for something else. numpy arrays count.
    pub fn tensor(&self, item: Item<'_>) -> Option<Result<Tensor>> {
        if let Some(array) = Array::of(item) {
            return Some(array.and_then(|array| array.tensor()).map_err(|error| self.wrong(error)));
        }
        let callee = item.callee()?;
        let (module, name) = callee.rsplit_once('.')?;
        if !["torch._utils", "torch._tensor"].contains(&module) {
            return None;
        }
        let args = item.args()?;
        match name {
            "_rebuild_tensor" | "_rebuild_tensor_v2" | "_rebuild_tensor_v3" => {
                Some(self.rebuild(&args).map_err(|error| self.wrong(error)))
            }
            "_rebuild_parameter" | "_rebuild_parameter_with_state" => self.tensor(*args.first()?),
            // A subclass of Tensor with attributes: the function and its arguments, which make the tensor itself.
            "_rebuild_from_type_v2" => {
                let inner = args.get(2)?.list()?;
                match args.first()?.global()?.rsplit('.').next()? {
                    "_rebuild_tensor" | "_rebuild_tensor_v2" | "_rebuild_tensor_v3" => {
                        Some(self.rebuild(&inner).map_err(|error| self.wrong(error)))
                    }
                    _ => self.tensor(*inner.first()?),
                }
            }
            // Sparse, quantized, nested tensors and the like.
            other if other.starts_with("_rebuild") => {
                Some(Err(self.wrong(format!("tensors of `{callee}` are not supported"))))
            }
            _ => None,
        }
    }

    /// `(storage, offset, size, stride, …)`; the seventh argument of version 3 is the dtype.
    fn rebuild(&self, args: &[Item]) -> Result<Tensor> {
        let wrong = |what: &str| Error::failed(format!("a tensor's {what}"));
        let [storage, offset, size, stride, rest @ ..] = args else { return Err(wrong("arguments are missing")) };
        let storage = storage.persistent().and_then(|id| id.list()).ok_or_else(|| wrong("storage is missing"))?;
        let [tag, class, key, _location, _count, view @ ..] = &storage[..] else {
            return Err(wrong("storage has another form"));
        };
        if tag.as_str() != Some("storage") {
            return Err(wrong("storage has another form"));
        }
        let key = key.as_str().ok_or_else(|| wrong("storage has no name"))?;
        let dtype = rest.get(2).and_then(Item::global).filter(|name| name.starts_with("torch."));
        let class = class.global().unwrap_or_default();
        let kind = match (class.ends_with("UntypedStorage"), dtype) {
            (true, Some(dtype)) => dtype_named(&dtype),
            (true, None) => Some(Kind::Uint8),
            (false, _) => storage_kind(&class),
        };
        let kind = kind.ok_or_else(|| wrong(&format!("type is not supported: {class}")))?;
        let numbers =
            |item: &Item| item.list().and_then(|list| list.iter().map(Item::as_int).collect::<Option<Vec<_>>>());
        let (size, stride) = (numbers(size), numbers(stride));
        let (Some(size), Some(stride), Some(offset)) = (size, stride, offset.as_int()) else {
            return Err(wrong("shape is missing"));
        };
        // Old files know views of storages: (key, offset, size).
        let view = view.first().and_then(|view| view.list()).and_then(|view| view.get(1)?.as_int()).unwrap_or(0);
        let bytes = match self.storages.get(key) {
            Some(Storage::At(range)) => &self.bytes[range.clone()],
            Some(Storage::Own(bytes)) => bytes.as_slice(),
            None => return Err(wrong(&format!("storage `{key}` is missing: the file is incomplete"))),
        };
        view_of(bytes, kind, offset.checked_add(view), &size, &stride)
            .ok_or_else(|| wrong(&format!("shape {size:?} reaches beyond its storage `{key}`: the file was altered")))?
    }

    /// The weights: the mapping of names to tensors that the file is, or that lies at one of the usual places in it
    /// (`state_dict`, as Lightning does it, `model`, …), or at `place`, with dots.
    ///
    /// # Errors
    /// When there is none, naming what there is; or a tensor cannot be read.
    pub fn state_dict(&self, place: Option<&str>) -> Result<IndexMap<String, Tensor>> {
        let root = self.root();
        let found = match place {
            Some(place) => place.split('.').try_fold(root, |item, key| item.get(key)),
            None if self.is_dict_of_tensors(root) => Some(root),
            None => PLACES.iter().filter_map(|key| root.get(key)).find(|item| self.is_dict_of_tensors(*item)),
        };
        let entries = found.and_then(|item| item.entries());
        let Some(entries) = entries else {
            let keys = root.entries().unwrap_or_default();
            let keys: Vec<String> =
                keys.iter().take(12).filter_map(|(key, _)| Some(key.as_str()?.to_owned())).collect();
            let what = match (keys.is_empty(), place) {
                (true, _) => format!("it holds {}, not a state dict", root.describe()),
                (false, Some(place)) => format!("there is nothing at `{place}`; it holds {}", keys.join(", ")),
                (false, None) => format!("it holds no state dict where one is looked for, but {}", keys.join(", ")),
            };
            return Err(self.wrong(what).help("save model.state_dict() with torch.save"));
        };
        let mut tensors = IndexMap::new();
        for (key, value) in entries {
            let Some(key) = key.as_str() else { continue };
            // What is no tensor (`_extra_state`, counters) is no weight.
            if let Some(tensor) = self.tensor(value) {
                tensors.insert(key.to_owned(), tensor?);
            }
        }
        Ok(tensors)
    }

    fn is_dict_of_tensors(&self, item: Item) -> bool {
        let Some(entries) = item.entries() else { return false };
        let tensor = |item: &Item| {
            let callee = item.callee().unwrap_or_default();
            callee.starts_with("torch._utils._rebuild") || callee.starts_with("torch._tensor._rebuild")
        };
        entries.iter().any(|(key, value)| key.as_str().is_some() && tensor(value))
    }

    /// An optimizer's `state_dict()` at `item`, in the form in which optimizers here keep their state: tensors
    /// `state.<index>.<name>` and the value `param_groups`. Lightning's lie in `optimizer_states`.
    ///
    /// # Errors
    /// When a tensor cannot be read.
    pub fn optimizer_state(&self, item: Item<'_>) -> Result<State> {
        let mut state = State::of(serde_json::json!({}));
        for (index, slots) in item.get("state").and_then(|state| state.entries()).unwrap_or_default() {
            let Some(index) = index.as_int() else { continue };
            for (name, value) in slots.entries().unwrap_or_default() {
                let Some(name) = name.as_str() else { continue };
                let tensor = match (self.tensor(value), value.as_float()) {
                    (Some(tensor), _) => tensor?,
                    // Older versions keep the step count as a number.
                    (None, Some(number)) => Tensor::full([], number, (Kind::Float, Device::Cpu)),
                    _ => continue,
                };
                state.tensors.insert(format!("state.{index}.{name}"), tensor);
            }
        }
        if let Some(groups) = item.get("param_groups") {
            state.value["param_groups"] = groups.to_json();
        }
        Ok(state)
    }
}

/// A strided view of a storage, if it stays inside.
fn view_of(bytes: &[u8], kind: Kind, offset: Option<i64>, size: &[i64], stride: &[i64]) -> Option<Result<Tensor>> {
    let width = kind.elt_size_in_bytes();
    let offset = usize::try_from(offset?).ok()?;
    if size.len() != stride.len() || size.iter().chain(stride).any(|n| *n < 0) {
        return None;
    }
    let count = size.iter().try_fold(1i64, |count, n| count.checked_mul(*n))?;
    let reach = if count == 0 {
        0
    } else {
        let last =
            size.iter().zip(stride).try_fold(0i64, |last, (n, step)| last.checked_add((n - 1).checked_mul(*step)?))?;
        usize::try_from(last).ok()?.checked_add(1)?
    };
    let part = bytes.get(offset.checked_mul(width)?..offset.checked_add(reach)?.checked_mul(width)?)?;
    let contiguous = count == reach as i64 && is_row_major(size, stride);
    let make = || -> Result<Tensor> {
        if contiguous {
            return Ok(Tensor::f_from_data_size(part, size, kind)?);
        }
        let flat = Tensor::f_from_data_size(part, &[reach as i64], kind)?;
        Ok(flat.f_as_strided(size, stride, 0)?)
    };
    Some(make())
}

fn is_row_major(size: &[i64], stride: &[i64]) -> bool {
    let mut expected = 1i64;
    for (n, step) in size.iter().zip(stride).rev() {
        if *n != 1 && *step != expected {
            return false;
        }
        expected = expected.saturating_mul(*n);
    }
    true
}

fn storage_kind(class: &str) -> Option<Kind> {
    let name = class.rsplit('.').next()?.strip_suffix("Storage")?;
    Some(match name {
        "Float" => Kind::Float,
        "Double" => Kind::Double,
        "Half" => Kind::Half,
        "BFloat16" => Kind::BFloat16,
        "Long" => Kind::Int64,
        "Int" => Kind::Int,
        "Short" => Kind::Int16,
        "Char" => Kind::Int8,
        "Byte" => Kind::Uint8,
        "Bool" => Kind::Bool,
        "ComplexFloat" => Kind::ComplexFloat,
        "ComplexDouble" => Kind::ComplexDouble,
        _ => return None,
    })
}

fn dtype_named(name: &str) -> Option<Kind> {
    Some(match name.strip_prefix("torch.")? {
        "float32" => Kind::Float,
        "float64" => Kind::Double,
        "float16" => Kind::Half,
        "bfloat16" => Kind::BFloat16,
        "int64" => Kind::Int64,
        "int32" => Kind::Int,
        "int16" => Kind::Int16,
        "int8" => Kind::Int8,
        "uint8" => Kind::Uint8,
        "bool" => Kind::Bool,
        "float8_e4m3fn" => Kind::Float8e4m3fn,
        "float8_e5m2" => Kind::Float8e5m2,
        _ => return None,
    })
}

type Read2 = (Pickle, HashMap<String, Storage>);

/// The zip form: `<name>/data.pkl`, `<name>/data/<key>`, `<name>/byteorder`.
fn read_zip(bytes: &[u8]) -> Result<Read2> {
    let broken = |error: zip::result::ZipError| Error::failed(format!("it is truncated or not a zip file: {error}"));
    let mut archive = ZipArchive::new(Cursor::new(bytes)).map_err(broken)?;
    let mut pickle = None;
    let mut storages = HashMap::new();
    let mut script = false;
    for index in 0..archive.len() {
        let mut entry = archive.by_index(index).map_err(broken)?;
        let name = entry.name().map_err(broken)?.into_owned();
        let Some((_, inner)) = name.split_once('/') else { continue };
        if inner.starts_with("code/") || inner == "constants.pkl" {
            script = true;
        }
        if inner != "data.pkl" && inner != "byteorder" && !inner.starts_with("data/") {
            continue;
        }
        let stored = entry.compression() == CompressionMethod::Stored && !entry.encrypted();
        let range = local_data(bytes, entry.header_start(), entry.size()).filter(|_| stored);
        let content = match range {
            Some(range) => {
                let mut sum = flate2::Crc::new();
                sum.update(&bytes[range.clone()]);
                if sum.sum() != entry.crc32() {
                    return Err(Error::failed(format!("its part `{inner}` was altered: the checksum does not fit")));
                }
                Storage::At(range)
            }
            None => {
                let mut content = Vec::new();
                let read = entry.read_to_end(&mut content);
                read.map_err(|error| Error::failed(format!("its part `{inner}` cannot be read: {error}")))?;
                Storage::Own(content)
            }
        };
        let content_bytes = match &content {
            Storage::At(range) => &bytes[range.clone()],
            Storage::Own(content) => content.as_slice(),
        };
        match inner.strip_prefix("data/") {
            Some(key) => drop(storages.insert(key.to_owned(), content)),
            None if inner == "byteorder" && content_bytes != b"little" => {
                return Err(Error::failed("its numbers have the big end first, which is not supported"));
            }
            None if inner == "data.pkl" => pickle = Some(content_bytes.to_vec()),
            None => {}
        }
    }
    if script {
        return Err(Error::failed("it is a TorchScript model, not a file of weights")
            .help("use it as a network (runner.nn.TorchScript), or save its state_dict()"));
    }
    let pickle = pickle.ok_or_else(|| Error::failed("it is a zip file, but not one that torch.save writes"))?;
    Ok((Pickle::parse(&pickle)?, storages))
}

/// Where the content of an uncompressed entry lies: after the local header, whose two last fields are the lengths of
/// the name and of the extra field.
fn local_data(bytes: &[u8], header: u64, size: u64) -> Option<Range<usize>> {
    let header = usize::try_from(header).ok()?;
    let lengths = bytes.get(header.checked_add(26)?..header.checked_add(30)?)?;
    let extra = usize::from(u16::from_le_bytes([lengths[0], lengths[1]]))
        + usize::from(u16::from_le_bytes([lengths[2], lengths[3]]));
    let start = header.checked_add(30)?.checked_add(extra)?;
    let end = start.checked_add(usize::try_from(size).ok()?)?;
    (end <= bytes.len()).then_some(start..end)
}

/// The magic number of the older form, as a long of ten bytes, little end first.
const LEGACY: [u8; 10] = [0x6c, 0xfc, 0x9c, 0x46, 0xf9, 0x20, 0x6a, 0xa8, 0x50, 0x19];

/// The older form: pickles of a magic number, the version, facts about the machine, the object, the storages' keys;
/// then each storage as its length in elements and its bytes.
fn read_legacy(bytes: &[u8]) -> Result<Read2> {
    let strange = || Error::failed("it is not a file that torch.save writes");
    if !bytes.get(..32.min(bytes.len())).is_some_and(|head| head.windows(LEGACY.len()).any(|w| w == LEGACY)) {
        return Err(strange());
    }
    let mut at = 0;
    let mut next = || -> Result<Pickle> {
        let pickle = Pickle::parse(&bytes[at..])?;
        at += pickle.length;
        Ok(pickle)
    };
    let (_magic, _version, facts, object, keys) = (next()?, next()?, next()?, next()?, next()?);
    if facts.root().get("little_endian").and_then(|item| item.as_bool()) == Some(false) {
        return Err(Error::failed("its numbers have the big end first, which is not supported"));
    }
    let widths = storage_widths(&object);
    let mut storages = HashMap::new();
    for key in keys.root().list().ok_or_else(strange)? {
        let key = key.as_str().ok_or_else(strange)?;
        let truncated = || Error::failed(format!("it is truncated: storage `{key}` is not there"));
        let count = bytes.get(at..at + 8).and_then(|count| count.first_chunk()).ok_or_else(truncated)?;
        let width = widths.get(key).copied().ok_or_else(strange)?;
        let size = usize::try_from(i64::from_le_bytes(*count)).ok().and_then(|count| count.checked_mul(width));
        let start = at + 8;
        let end = size.and_then(|size| start.checked_add(size)).filter(|end| *end <= bytes.len());
        let end = end.ok_or_else(truncated)?;
        storages.insert(key.to_owned(), Storage::At(start..end));
        at = end;
    }
    Ok((object, storages))
}

/// The size of an element of every storage that a pickle refers to.
fn storage_widths(pickle: &Pickle) -> HashMap<String, usize> {
    let ids = pickle.items().filter_map(|item| item.persistent()?.list());
    ids.filter_map(|id| {
        let kind = storage_kind(&id.get(1)?.global()?)?;
        Some((id.get(2)?.as_str()?.to_owned(), kind.elt_size_in_bytes()))
    })
    .collect()
}
