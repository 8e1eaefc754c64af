//! Predictions as NumPy arrays, written as they come.

use std::fs::File;
use std::io::{Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use indexmap::IndexMap;
use tch::{Device, Kind, Tensor};

use crate::error::{Error, Result};

/// Which arrays are wanted, and the files of those that came.
pub struct Arrays {
    folder: PathBuf,
    wanted: Vec<String>,
    files: IndexMap<String, ArrayFile>,
}

impl Arrays {
    /// Arrays below `folder`: those whose names are `wanted` or end so (`logits` is `species_logits` too), or `all`.
    pub fn new(folder: PathBuf, wanted: Vec<String>) -> Self {
        Arrays { folder, wanted, files: IndexMap::new() }
    }

    /// Adds the arrays of a batch.
    ///
    /// # Errors
    /// When a file cannot be written, or rows of one array differ in shape.
    pub fn add(&mut self, arrays: &[(String, Tensor)]) -> Result<()> {
        for (name, tensor) in arrays {
            let fits = |wanted: &String| {
                wanted == "all"
                    || name == wanted
                    || name.strip_suffix(wanted.as_str()).is_some_and(|n| n.ends_with('_'))
            };
            if !self.wanted.iter().any(fits) {
                continue;
            }
            if !self.files.contains_key(name) {
                std::fs::create_dir_all(&self.folder).map_err(|error| Error::io("make", &self.folder, error))?;
                let file = ArrayFile::create(&self.folder.join(format!("{name}.npy")), tensor)?;
                self.files.insert(name.clone(), file);
            }
            if let Some(file) = self.files.get_mut(name) {
                file.add(tensor)?;
            }
        }
        Ok(())
    }

    /// Says how many rows each file has; gives the files' names.
    ///
    /// # Errors
    /// When nothing of what was wanted came, or a file cannot be written.
    pub fn close(self, known: &[String]) -> Result<Vec<String>> {
        let came = |wanted: &String| wanted == "all" || self.files.keys().any(|name| name.ends_with(wanted.as_str()));
        if let Some(missing) = self.wanted.iter().find(|wanted| !came(wanted)) {
            return Err(Error::request(format!("the model gives no array `{missing}`"))
                .help(format!("it gives {}", known.join(", "))));
        }
        let mut names = Vec::new();
        for (name, file) in self.files {
            file.close()?;
            names.push(name);
        }
        Ok(names)
    }
}

/// A file in NumPy's format 1.0 whose number of rows is written when it is known.
struct ArrayFile {
    path: PathBuf,
    file: File,
    rows: i64,
    row: Vec<i64>,
    kind: Kind,
}

/// The length of the header with what is before it: there is room for any number of rows.
const HEADER: usize = 128;

impl ArrayFile {
    fn create(path: &Path, like: &Tensor) -> Result<Self> {
        let kind = if like.is_floating_point() { Kind::Float } else { Kind::Int64 };
        let row = like.size().get(1..).unwrap_or_default().to_vec();
        let mut file = File::create(path).map_err(|error| Error::io("write", path, error))?;
        file.write_all(&[0; HEADER]).map_err(|error| Error::io("write", path, error))?;
        Ok(ArrayFile { path: path.to_owned(), file, rows: 0, row, kind })
    }

    fn add(&mut self, tensor: &Tensor) -> Result<()> {
        let size = tensor.size();
        if size.get(1..).unwrap_or_default() != self.row {
            return Err(Error::failed(format!(
                "{}: a batch of shape {size:?} among rows of {:?}",
                self.path.display(),
                self.row
            )));
        }
        let tensor = tensor.to_device(Device::Cpu).to_kind(self.kind).contiguous().view(-1);
        let bytes: Vec<u8> = match self.kind {
            Kind::Float => Vec::<f32>::try_from(tensor)?.into_iter().flat_map(f32::to_le_bytes).collect(),
            _ => Vec::<i64>::try_from(tensor)?.into_iter().flat_map(i64::to_le_bytes).collect(),
        };
        self.rows += size.first().copied().unwrap_or(0);
        self.file.write_all(&bytes).map_err(|error| Error::io("write", &self.path, error))
    }

    fn close(mut self) -> Result<()> {
        let shape: Vec<String> =
            std::iter::once(self.rows).chain(self.row.iter().copied()).map(|n| n.to_string()).collect();
        let comma = if shape.len() == 1 { "," } else { "" };
        let descr = if self.kind == Kind::Float { "<f4" } else { "<i8" };
        let text = format!("{{'descr': '{descr}', 'fortran_order': False, 'shape': ({}{comma}), }}", shape.join(", "));
        let mut header = b"\x93NUMPY\x01\x00".to_vec();
        header.extend((HEADER as u16 - 10).to_le_bytes());
        header.extend(text.bytes());
        header.resize(HEADER - 1, b' ');
        header.push(b'\n');
        let written = self.file.seek(SeekFrom::Start(0)).and_then(|_| self.file.write_all(&header));
        written.map_err(|error| Error::io("write", &self.path, error))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn batches_become_one_array() {
        let folder = tempfile::tempdir().unwrap();
        let mut arrays = Arrays::new(folder.path().to_owned(), vec!["logits".into()]);
        let batch = |rows: i64| {
            let tensor = Tensor::ones([rows, 3], (Kind::Float, Device::Cpu));
            vec![("species_logits".to_owned(), tensor.shallow_clone()), ("features".to_owned(), tensor)]
        };
        arrays.add(&batch(2)).unwrap();
        arrays.add(&batch(1)).unwrap();
        assert_eq!(arrays.close(&[]).unwrap(), ["species_logits"]);
        let read = Tensor::read_npy(folder.path().join("species_logits.npy")).unwrap();
        assert_eq!((read.size(), read.sum(Kind::Float).double_value(&[])), (vec![3, 3], 9.0));
        let missing = Arrays::new(folder.path().to_owned(), vec!["attention".into()]).close(&["logits".into()]);
        assert!(missing.unwrap_err().to_string().contains("it gives logits"));
    }
}
