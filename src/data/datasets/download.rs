//! Fetching a file over HTTP: checked, retried, and never half there.

use std::fmt::Write as _;
use std::io::{Read, Write};
use std::path::Path;
use std::time::Duration;

use md5::{Digest, Md5};

use crate::error::{Error, Result};

/// A file that can be fetched.
#[derive(Clone, Debug)]
pub struct Remote {
    /// Its name below a mirror's address.
    pub name: String,
    /// The MD5 checksum that its publisher gives, in hexadecimal.
    pub md5: String,
}

const TRIES: u32 = 3;

/// Before the second try; doubled before the third.
const PAUSE: Duration = Duration::from_millis(if cfg!(test) { 0 } else { 500 });

/// Fetches `file` from the first of `mirrors` that has it, to `path`. The file appears whole and checked, or not
/// at all.
///
/// # Errors
/// When no mirror gives the file with its checksum: each address with what was wrong.
pub fn fetch(file: &Remote, mirrors: &[String], path: &Path) -> Result<()> {
    let folder = path.parent().unwrap_or_else(|| Path::new("."));
    std::fs::create_dir_all(folder).map_err(|error| Error::io("create", folder, error))?;
    let mut faults = String::new();
    for mirror in mirrors {
        let url = format!("{}/{}", mirror.trim_end_matches('/'), file.name);
        for attempt in 1..=TRIES {
            match fetch_once(&url, file, folder, path) {
                Ok(()) => {
                    tracing::info!("fetched {url} to {}", path.display());
                    return Ok(());
                }
                Err(Fault::Ours(error)) => return Err(error),
                Err(Fault::Theirs { message, again }) => {
                    if again && attempt < TRIES {
                        std::thread::sleep(PAUSE * attempt);
                        continue;
                    }
                    let _ = write!(faults, "{}{url}: {message}", if faults.is_empty() { "" } else { "; " });
                    break;
                }
            }
        }
    }
    Err(Error::failed(format!("cannot fetch {}: {faults}", path.display())).help(format!(
        "put {} into {} by hand, or set data.mirror to an address that has it",
        file.name,
        folder.display()
    )))
}

enum Fault {
    /// Something here: no use in asking another mirror.
    Ours(Error),
    /// Something there or on the way.
    Theirs { message: String, again: bool },
}

fn fetch_once(url: &str, file: &Remote, folder: &Path, path: &Path) -> Result<(), Fault> {
    let theirs = |message: String, again| Fault::Theirs { message, again };
    let agent: ureq::Agent = ureq::Agent::config_builder()
        .timeout_connect(Some(Duration::from_secs(10)))
        .timeout_recv_response(Some(Duration::from_secs(30)))
        .build()
        .into();
    let response = agent.get(url).call().map_err(|error| {
        let again = !matches!(error, ureq::Error::StatusCode(400..500) | ureq::Error::BadUri(_));
        theirs(error.to_string(), again)
    })?;
    let ours = |error| Fault::Ours(Error::io("write", path, error));
    let mut part = tempfile::Builder::new().prefix(".fetching-").tempfile_in(folder).map_err(ours)?;
    let mut body = response.into_body().into_reader();
    let mut digest = Md5::new();
    let mut buffer = vec![0; 1 << 16];
    loop {
        let read = body.read(&mut buffer).map_err(|error| theirs(format!("broken off: {error}"), true))?;
        if read == 0 {
            break;
        }
        digest.update(&buffer[..read]);
        part.write_all(&buffer[..read]).map_err(ours)?;
    }
    let found = digest.finalize().iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    });
    if found != file.md5 {
        return Err(theirs(format!("its MD5 is {found}, not {}", file.md5), true));
    }
    part.as_file().sync_all().map_err(ours)?;
    // Temporary files are private; data sets are for everybody who may see the folder.
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        part.as_file().set_permissions(std::fs::Permissions::from_mode(0o644)).map_err(ours)?;
    }
    part.persist(path).map_err(|error| ours(error.error))?;
    Ok(())
}

#[cfg(test)]
mod tests;
