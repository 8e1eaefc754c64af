//! Claiming a folder for a run: creating it is the claim, so two runs never share one.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use super::{write_atomic, write_derived};
use crate::error::{Error, Result};

/// A folder that belongs to one run.
#[derive(Clone, Debug)]
pub struct RunDir {
    path: PathBuf,
}

impl RunDir {
    /// Creates `wanted`, or, when it is taken, the first free of `wanted_1`, `wanted_2`, ….
    ///
    /// # Errors
    /// When the folder cannot be created: the message names it and the setting to change.
    pub fn claim(wanted: &Path) -> Result<Self> {
        let refused = |error: std::io::Error, path: &Path| {
            Error::io("create the output folder", path, error)
                .help("choose another place with paths.log_dir=… or hydra.run.dir=…")
        };
        if let Some(parent) = wanted.parent() {
            std::fs::create_dir_all(parent).map_err(|error| refused(error, parent))?;
        }
        for n in 0..10_000 {
            let mut name = wanted.as_os_str().to_owned();
            if n > 0 {
                name.push(format!("_{n}"));
            }
            let path = PathBuf::from(name);
            match std::fs::create_dir(&path) {
                Ok(()) => {
                    let path = std::path::absolute(&path).map_err(|error| refused(error, &path))?;
                    return Ok(RunDir { path });
                }
                Err(error) if error.kind() == ErrorKind::AlreadyExists => {}
                Err(error) => return Err(refused(error, &path)),
            }
        }
        Err(Error::failed(format!("{} and 10,000 names after it are taken", wanted.display())))
    }

    /// A folder that exists and was claimed before: a run that goes on.
    pub fn reopen(path: &Path) -> Self {
        RunDir { path: path.to_owned() }
    }

    /// The folder, absolute.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Writes a file below the folder, whole or not at all; folders in `name` are created.
    pub fn write(&self, name: &str, text: &str) -> Result<()> {
        write_atomic(&self.path.join(name), text.as_bytes())
    }

    /// Writes a file below the folder that can be made again: whole or not at all, without waiting for the disk.
    pub fn write_derived(&self, name: &str, text: &str) -> Result<()> {
        write_derived(&self.path.join(name), text.as_bytes())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_claims_of_one_name_get_two_folders() {
        let base = tempfile::tempdir().unwrap();
        let wanted = base.path().join("2026-01-01/12-00-00");
        let names: Vec<_> = (0..3)
            .map(|_| RunDir::claim(&wanted).unwrap().path().file_name().unwrap().to_string_lossy().into_owned())
            .collect();
        assert_eq!(names, ["12-00-00", "12-00-00_1", "12-00-00_2"]);
    }
}
