//! `ckpt_path=glob(…)`: a glob of files, where Hydra's own is one of a group's options.

use std::path::{Path, PathBuf};

use globset::GlobBuilder;
use walkdir::WalkDir;

use crate::config::overrides::{self, OverrideValue, sweep::SweepKind};
use crate::error::{Error, Result};

/// The key whose globs are over files.
const KEY: &str = "ckpt_path";

/// The arguments of a sweep, with the files that a glob of `ckpt_path` finds in its place, sorted by name.
///
/// # Errors
/// A glob that finds nothing.
pub fn expand(arguments: Vec<String>) -> Result<Vec<String>> {
    arguments.into_iter().map(expand_one).collect()
}

fn expand_one(argument: String) -> Result<String> {
    if !argument.trim_start_matches('+').starts_with(KEY) {
        return Ok(argument);
    }
    let parsed = overrides::parse_all(std::slice::from_ref(&argument))?;
    let Some(OverrideValue::Sweep(sweep)) = parsed.first().and_then(|parsed| parsed.value.as_ref()) else {
        return Ok(argument);
    };
    let SweepKind::Glob { include, exclude } = &sweep.kind else { return Ok(argument) };
    let mut found = Vec::new();
    for pattern in include {
        found.extend(files(pattern)?);
    }
    let mut left_out = Vec::new();
    for pattern in exclude {
        left_out.extend(files(pattern)?);
    }
    found.retain(|path| !left_out.contains(path));
    found.sort();
    found.dedup();
    if found.is_empty() {
        return Err(Error::request(format!("no file matches {}", include.join(", ")))
            .help("the pattern is relative to the working folder; ** stands for any folders"));
    }
    let quoted = found.iter().map(|path| format!("'{}'", path.display().to_string().replace('\'', r"\'")));
    Ok(format!("{KEY}={}", quoted.collect::<Vec<_>>().join(",")))
}

/// The files and folders that a pattern matches.
fn files(pattern: &str) -> Result<Vec<PathBuf>> {
    let wrong = |error: globset::Error| Error::request(format!("`{pattern}` is no pattern of files: {error}"));
    let matcher = GlobBuilder::new(pattern).literal_separator(true).build().map_err(wrong)?.compile_matcher();
    // Everything above the first part with a special character is a plain folder.
    let special = |part: &std::ffi::OsStr| part.to_string_lossy().contains(['*', '?', '[', '{']);
    let root: PathBuf = Path::new(pattern).components().take_while(|part| !special(part.as_os_str())).collect();
    let root = if root.as_os_str().is_empty() { PathBuf::from(".") } else { root };
    let entries = WalkDir::new(root).follow_links(true).into_iter().flatten();
    let paths = entries.map(|entry| entry.path().strip_prefix(".").map_or(entry.path().to_owned(), Path::to_owned));
    Ok(paths.filter(|path| matcher.is_match(path)).collect())
}
