//! Files that are there whole or not at all.
//!
//! The content goes to a temporary file in the same folder, is synced to the disk, and takes its name by a rename;
//! the folder is synced too, so that the name survives a power cut. A reader sees the old file or the new one.

use std::fs::{self, File};
use std::io::{BufWriter, Write};
use std::path::Path;

use crate::error::{Error, Result};

/// How the names of files in the making begin; a killed process may leave one behind.
const PREFIX: &str = ".writing-";

/// Writes `path` through `fill`, whole or not at all. The folder is made when it is missing.
///
/// # Errors
/// What `fill` says, or that the disk refuses, with the path.
pub fn write_atomic_with(path: &Path, fill: impl FnOnce(&mut BufWriter<&File>) -> std::io::Result<()>) -> Result<()> {
    let failed = |error: std::io::Error| Error::io("write", path, error);
    let folder = folder_of(path);
    fs::create_dir_all(folder).map_err(failed)?;
    let temporary = temporary_in(folder).map_err(failed)?;
    let mut writer = BufWriter::with_capacity(1 << 20, temporary.as_file());
    fill(&mut writer).map_err(failed)?;
    writer.flush().map_err(failed)?;
    drop(writer);
    temporary.as_file().sync_all().map_err(failed)?;
    temporary.persist(path).map_err(|error| failed(error.error))?;
    // Not every file system can sync a folder; the file itself is safe by now.
    if let Ok(folder) = File::open(folder) {
        let _ = folder.sync_all();
    }
    Ok(())
}

/// Writes `bytes` to `path`, whole or not at all.
///
/// # Errors
/// When the disk refuses, with the path.
pub fn write_atomic(path: &Path, bytes: &[u8]) -> Result<()> {
    write_atomic_with(path, |file| file.write_all(bytes))
}

/// Writes a file whole, without waiting for the disk: for what can be made again from other files. The folder is made
/// when it is missing.
///
/// # Errors
/// When the disk refuses, with the path.
pub fn write_derived(path: &Path, bytes: &[u8]) -> Result<()> {
    let failed = |error: std::io::Error| Error::io("write", path, error);
    let folder = folder_of(path);
    fs::create_dir_all(folder).map_err(failed)?;
    let mut file = temporary_in(folder).map_err(failed)?;
    file.write_all(bytes).map_err(failed)?;
    file.persist(path).map_err(|error| failed(error.error))?;
    Ok(())
}

/// The folder that holds `path`.
fn folder_of(path: &Path) -> &Path {
    path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// A file in the making.
fn temporary_in(folder: &Path) -> std::io::Result<tempfile::NamedTempFile> {
    let mut builder = tempfile::Builder::new();
    builder.prefix(PREFIX);
    #[cfg(unix)]
    {
        // Like any new file (the process's mask applies), not private as temporary files are.
        use std::os::unix::fs::PermissionsExt;
        builder.permissions(fs::Permissions::from_mode(0o666));
    }
    builder.tempfile_in(folder)
}

/// Gives `target` the further name `path`, replacing what has that name.
pub fn link_atomic(target: &Path, path: &Path) -> std::io::Result<()> {
    let folder = folder_of(path);
    // A free name for the link before it is renamed: that of a temporary folder's only entry.
    let place = tempfile::Builder::new().prefix(PREFIX).tempdir_in(folder)?;
    let link = place.path().join("link");
    fs::hard_link(target, &link)?;
    fs::rename(&link, path)
}

/// Removes what killed processes left in `folder`. Only for a folder in which nobody else is writing.
pub fn remove_leftovers(folder: &Path) {
    let Ok(entries) = fs::read_dir(folder) else { return };
    for entry in entries.flatten() {
        if entry.file_name().to_string_lossy().starts_with(PREFIX) {
            let _ = fs::remove_file(entry.path()).or_else(|_| fs::remove_dir_all(entry.path()));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failed_write_leaves_the_old_file_and_nothing_else() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("deep/last.ckpt");
        write_atomic(&path, b"old").unwrap();
        let error = write_atomic_with(&path, |file| {
            file.write_all(b"new but not whole")?;
            Err(std::io::Error::other("the disk is full"))
        });
        assert!(error.unwrap_err().to_string().ends_with("last.ckpt: the disk is full"));
        assert_eq!(fs::read(&path).unwrap(), b"old");
        assert_eq!(fs::read_dir(path.parent().unwrap()).unwrap().count(), 1);
    }

    #[test]
    fn leftovers_go_and_files_stay() {
        let folder = tempfile::tempdir().unwrap();
        write_atomic(&folder.path().join("kept"), b"1").unwrap();
        fs::write(folder.path().join(format!("{PREFIX}abc")), b"half").unwrap();
        remove_leftovers(folder.path());
        let names: Vec<_> = fs::read_dir(folder.path()).unwrap().map(|e| e.unwrap().file_name()).collect();
        assert_eq!(names, ["kept"]);
    }
}
