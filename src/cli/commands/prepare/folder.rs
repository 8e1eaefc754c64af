//! `runner prepare image-folder`: several trees of `<class>/<image>` become one, of symbolic links to the images that
//! can be read.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use walkdir::WalkDir;

use super::checked;
use crate::data::datasets::is_image;
use crate::data::record;
use crate::error::{Error, Result};

/// The journal of files that have been looked at, and the report, beside the classes.
const JOURNAL: &str = ".checked.csv";
const REPORT: &str = "report.csv";

/// A file of a source.
struct Found {
    class: String,
    path: PathBuf,
}

/// The tool. It may be run again, also after it was stopped: links that are right stay, and what was read is not read
/// again.
///
/// # Errors
/// When a source is no folder or lies around the output, or something cannot be written.
pub fn prepare(sources: &[String], out: Option<PathBuf>) -> Result<i32> {
    let usage = "runner prepare image-folder SOURCE… --out DIR";
    let Some(out) = out else { return Err(Error::request("no output folder is given").help(usage)) };
    if sources.is_empty() {
        return Err(Error::request("no source is given").help(usage));
    }
    let sources = sources.iter().map(|source| folder(source)).collect::<Result<Vec<_>>>()?;
    std::fs::create_dir_all(&out).map_err(|error| Error::io("make", &out, error))?;
    let place = out.canonicalize().map_err(|error| Error::io("find", &out, error))?;
    if let Some(source) = sources.iter().find(|source| place.starts_with(source) || source.starts_with(&place)) {
        return Err(Error::request(format!(
            "{} and the source {} lie in one another",
            out.display(),
            source.display()
        ))
        .help("give an --out elsewhere"));
    }
    let found = gather(&sources)?;
    let paths: Vec<PathBuf> = found.iter().map(|found| found.path.clone()).collect();
    let verdicts = checked::check(&paths, &out.join(JOURNAL))?;

    let mut numbers: BTreeMap<&str, usize> = BTreeMap::new();
    let mut links: BTreeMap<PathBuf, &Path> = BTreeMap::new();
    let mut rows = Vec::with_capacity(found.len());
    for (Found { class, path }, verdict) in found.iter().zip(&verdicts) {
        let number = numbers.entry(class).or_default();
        let link = match verdict {
            Some(_) => String::new(),
            None => {
                let ending = path.extension().map(|ending| ending.to_string_lossy().to_lowercase()).unwrap_or_default();
                let name = format!("{class}/{number:07}.{ending}");
                *number += 1;
                links.insert(PathBuf::from(&name), path);
                name
            }
        };
        let why = verdict.clone().unwrap_or_default();
        rows.push([class.clone(), path.display().to_string(), link, why]);
    }
    let [made, removed] = update(&out, &links)?;
    record::csv(&out.join(REPORT), &["class", "source", "link", "problem"], rows)?;

    for (class, count) in &numbers {
        println!("{count:>8}  {class}");
    }
    let bad = verdicts.iter().filter(|verdict| verdict.is_some()).count();
    let total = links.len();
    println!("{total:>8}  images of {} classes ({made} links made, {removed} removed)", numbers.len());
    if bad > 0 {
        println!("{bad:>8}  files cannot be read and are left out");
    }
    println!("{}", out.join(REPORT).display());
    Ok(0)
}

fn folder(source: &str) -> Result<PathBuf> {
    let path = Path::new(source);
    if !path.is_dir() {
        return Err(Error::request(format!("there is no folder {source}"))
            .help("a source is a folder with one folder of images per class"));
    }
    path.canonicalize().map_err(|error| Error::io("find", path, error))
}

/// The images below the classes of all sources, in the order of the classes, the sources and the names.
fn gather(sources: &[PathBuf]) -> Result<Vec<Found>> {
    let mut classes: BTreeMap<String, Vec<PathBuf>> = BTreeMap::new();
    for source in sources {
        let failed = |error: std::io::Error| Error::io("read", source, error);
        for entry in std::fs::read_dir(source).map_err(failed)? {
            let entry = entry.map_err(failed)?;
            let name = entry.file_name().to_string_lossy().into_owned();
            // Files beside the classes are no images of a class.
            if entry.path().is_dir() && !name.starts_with('.') {
                classes.entry(name).or_default().push(entry.path());
            }
        }
    }
    if classes.is_empty() {
        let sources = sources.iter().map(|source| source.display().to_string()).collect::<Vec<_>>().join(", ");
        return Err(Error::request(format!("{sources}: no folders of classes")));
    }
    let mut found = Vec::new();
    for (class, folders) in classes {
        // Their order is that of the sources, whatever a folder's listing says.
        for folder in folders {
            for entry in WalkDir::new(&folder).follow_links(true).sort_by_file_name() {
                let entry = entry.map_err(|error| Error::io("read", &folder, error))?;
                if entry.file_type().is_file() && is_image(entry.path()) {
                    found.push(Found { class: class.clone(), path: entry.into_path() });
                }
            }
        }
    }
    Ok(found)
}

/// Makes the folder's links these; how many were made and how many removed.
fn update(out: &Path, links: &BTreeMap<PathBuf, &Path>) -> Result<[usize; 2]> {
    let classes: BTreeSet<&Path> = links.keys().filter_map(|link| link.parent()).collect();
    for class in &classes {
        let path = out.join(class);
        std::fs::create_dir_all(&path).map_err(|error| Error::io("make", &path, error))?;
    }
    let mut removed = 0;
    for entry in WalkDir::new(out).min_depth(2).max_depth(2) {
        let entry = entry.map_err(|error| Error::io("read", out, error))?;
        let name = entry.path().strip_prefix(out).unwrap_or(entry.path());
        if entry.path_is_symlink() && !links.contains_key(name) {
            std::fs::remove_file(entry.path()).map_err(|error| Error::io("remove", entry.path(), error))?;
            removed += 1;
        }
    }
    let mut made = 0;
    for (name, target) in links {
        let link = out.join(name);
        if std::fs::read_link(&link).is_ok_and(|at| at == *target) {
            continue;
        }
        if link.symlink_metadata().is_ok_and(|metadata| !metadata.file_type().is_symlink()) {
            return Err(Error::request(format!("{} is no link: it is not replaced", link.display()))
                .help("give an --out of its own"));
        }
        // Under another name first, so that a link always leads somewhere.
        let temporary = link.with_extension("link");
        let _ = std::fs::remove_file(&temporary);
        std::os::unix::fs::symlink(target, &temporary).map_err(|error| Error::io("link", &temporary, error))?;
        std::fs::rename(&temporary, &link).map_err(|error| Error::io("link", &link, error))?;
        made += 1;
    }
    Ok([made, removed])
}
