//! Writing what `torch.load(weights_only=True)` opens.

use std::io::{Error as IoError, Write};
use std::path::Path;

use indexmap::IndexMap;
use serde_json::Value;
use tch::{Kind, Tensor};
use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, ZipWriter};

use crate::error::{Error, Result};
use crate::run::write_atomic_with;

/// Writes tensors in the form of `torch.save`: alone as the state dict that the file is, or, with `around` (a JSON
/// mapping), as its `state_dict` beside what it holds, which is how Lightning's `.ckpt` files look.
///
/// # Errors
/// When a tensor's dtype has no storage in PyTorch's files, `around` is no mapping, or the disk refuses.
pub fn write_pt(path: &Path, tensors: &IndexMap<String, Tensor>, around: Option<&Value>) -> Result<()> {
    let failed = |what: &str| Error::failed(format!("cannot write {}: {what}", path.display()));
    let mut storages = Vec::with_capacity(tensors.len());
    for (name, tensor) in tensors {
        let kind = tensor.f_kind()?;
        let class = storage_class(kind).ok_or_else(|| failed(&format!("`{name}` is of type {kind:?}")))?;
        let mut data = vec![0; tensor.numel() * kind.elt_size_in_bytes()];
        tensor.f_copy_data_u8(&mut data, tensor.numel())?;
        storages.push((class, tensor.size(), data));
    }
    let mut pickle = Writer(vec![0x80, 2]);
    match around {
        None => pickle.state_dict(tensors.keys(), &storages),
        Some(Value::Object(map)) => {
            pickle.op(b"}(");
            pickle.text("state_dict");
            pickle.state_dict(tensors.keys(), &storages);
            for (key, value) in map.iter().filter(|(key, _)| *key != "state_dict") {
                pickle.text(key);
                pickle.value(value);
            }
            pickle.op(b"u");
        }
        Some(_) => return Err(failed("what stands around the weights is no mapping")),
    }
    pickle.op(b".");
    let name = path.file_stem().map_or("archive".into(), |stem| stem.to_string_lossy());
    write_atomic_with(path, |file| {
        let mut zip = ZipWriter::new(file);
        // PyTorch aligns its records so that they can be mapped.
        let options = SimpleFileOptions::default().compression_method(CompressionMethod::Stored).with_alignment(64);
        let mut put = |part: &str, bytes: &[u8]| -> std::io::Result<()> {
            let large = bytes.len() as u64 >= u64::from(u32::MAX);
            zip.start_file(format!("{name}/{part}"), options.large_file(large)).map_err(IoError::other)?;
            zip.write_all(bytes)
        };
        put("data.pkl", &pickle.0)?;
        put("byteorder", b"little")?;
        for (i, (_, _, data)) in storages.iter().enumerate() {
            put(&format!("data/{i}"), data)?;
        }
        put("version", b"3\n")?;
        zip.finish().map(drop).map_err(IoError::other)
    })
}

type Stored = (&'static str, Vec<i64>, Vec<u8>);

/// A pickle of protocol 2, as `torch.save` uses.
struct Writer(Vec<u8>);

impl Writer {
    fn op(&mut self, bytes: &[u8]) {
        self.0.extend_from_slice(bytes);
    }

    fn text(&mut self, text: &str) {
        self.op(b"X");
        // A name or a text of the configuration: far below 4 GiB.
        self.op(&(text.len() as u32).to_le_bytes());
        self.op(text.as_bytes());
    }

    fn int(&mut self, number: i64) {
        if let Ok(small) = i32::try_from(number) {
            self.op(b"J");
            self.op(&small.to_le_bytes());
        } else {
            self.op(&[0x8a, 8]);
            self.op(&number.to_le_bytes());
        }
    }

    fn ints(&mut self, numbers: &[i64]) {
        self.op(b"(");
        numbers.iter().for_each(|number| self.int(*number));
        self.op(b"t");
    }

    fn value(&mut self, value: &Value) {
        match value {
            Value::Null => self.op(b"N"),
            Value::Bool(b) => self.op(&[if *b { 0x88 } else { 0x89 }]),
            Value::Number(number) => match number.as_i64() {
                Some(i) => self.int(i),
                None => {
                    self.op(b"G");
                    self.op(&number.as_f64().unwrap_or(f64::NAN).to_be_bytes());
                }
            },
            Value::String(text) => self.text(text),
            Value::Array(list) => {
                self.op(b"](");
                list.iter().for_each(|value| self.value(value));
                self.op(b"e");
            }
            Value::Object(map) => {
                self.op(b"}(");
                for (key, value) in map {
                    self.text(key);
                    self.value(value);
                }
                self.op(b"u");
            }
        }
    }

    fn state_dict<'a>(&mut self, names: impl Iterator<Item = &'a String>, storages: &[Stored]) {
        self.op(b"ccollections\nOrderedDict\n)R(");
        for (i, (name, stored)) in names.zip(storages).enumerate() {
            self.text(name);
            self.tensor(i, stored);
        }
        self.op(b"u");
    }

    /// `torch._utils._rebuild_tensor_v2(storage, 0, size, stride, False, OrderedDict())`, with the storage as the
    /// persistent reference `('storage', class, key, 'cpu', count)`.
    fn tensor(&mut self, index: usize, (class, size, _): &Stored) {
        self.op(b"ctorch._utils\n_rebuild_tensor_v2\n((");
        self.text("storage");
        self.op(format!("ctorch\n{class}\n").as_bytes());
        self.text(&index.to_string());
        self.text("cpu");
        self.int(size.iter().product());
        self.op(b"tQ");
        self.int(0);
        self.ints(size);
        let mut stride = vec![1; size.len()];
        for i in (1..size.len()).rev() {
            stride[i - 1] = stride[i] * size[i].max(1);
        }
        self.ints(&stride);
        self.op(&[0x89]);
        self.op(b"ccollections\nOrderedDict\n)RtR");
    }
}

fn storage_class(kind: Kind) -> Option<&'static str> {
    Some(match kind {
        Kind::Float => "FloatStorage",
        Kind::Double => "DoubleStorage",
        Kind::Half => "HalfStorage",
        Kind::BFloat16 => "BFloat16Storage",
        Kind::Int64 => "LongStorage",
        Kind::Int => "IntStorage",
        Kind::Int16 => "ShortStorage",
        Kind::Int8 => "CharStorage",
        Kind::Uint8 => "ByteStorage",
        Kind::Bool => "BoolStorage",
        Kind::ComplexFloat => "ComplexFloatStorage",
        Kind::ComplexDouble => "ComplexDoubleStorage",
        _ => return None,
    })
}
