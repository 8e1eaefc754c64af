//! `.sweep/sweep.json`: what a sweep is, and a copy of its config folders.
//!
//! The jobs of a sweep see the configs as they were when it began: `conf/` may be edited for the next experiment
//! while it runs. A resumed sweep compares the copy with what is there now and refuses a mixture.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use walkdir::WalkDir;

use crate::cli::args::Args;
use crate::cli::compose::Request;
use crate::error::{Error, Result};
use crate::registry::Additions;
use crate::run::write_atomic;

/// The version of this format.
const FORMAT: u32 = 1;

/// The folder of what is runner's own business, below the sweep's.
pub const OWN: &str = ".sweep";

/// What a sweep is.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Definition {
    /// The version of this format.
    pub format: u32,
    /// The version of runner that began the sweep.
    pub runner: String,
    /// The working folder.
    pub cwd: PathBuf,
    /// The command with its words and overrides, as typed.
    pub free: Vec<String>,
    /// `--config-name`.
    pub config_name: Option<String>,
    /// Where the config folder was, if there was one.
    pub conf: Option<PathBuf>,
    /// Where `--config-dir` was.
    pub config_dir: Option<PathBuf>,
}

impl Definition {
    /// Writes down what `request` asks for, with copies of its config folders.
    ///
    /// # Errors
    /// When something cannot be read or written.
    pub fn write(request: &Request, sweep: &Path) -> Result<Self> {
        let own = sweep.join(OWN);
        std::fs::create_dir_all(&own).map_err(|error| Error::io("create", &own, error))?;
        let conf = request.args.config_path.clone().or_else(|| Path::new("conf").is_dir().then(|| "conf".into()));
        let definition = Definition {
            format: FORMAT,
            runner: env!("CARGO_PKG_VERSION").to_owned(),
            cwd: std::env::current_dir().unwrap_or_default(),
            free: std::iter::once(request.command.name().to_owned())
                .chain(request.words.iter().cloned())
                .chain(request.overrides.iter().cloned())
                .collect(),
            config_name: request.args.config_name.clone(),
            conf,
            config_dir: request.args.config_dir.clone(),
        };
        for (name, from) in definition.folders() {
            let to = own.join(name);
            std::fs::create_dir_all(&to).map_err(|error| Error::io("create", &to, error))?;
            if let Some(from) = from {
                for (name, bytes) in configs(from)? {
                    let path = to.join(name);
                    let parent = path.parent().unwrap_or(&to);
                    std::fs::create_dir_all(parent).map_err(|error| Error::io("create", parent, error))?;
                    std::fs::write(&path, bytes).map_err(|error| Error::io("write", &path, error))?;
                }
            }
        }
        let text = serde_json::to_vec_pretty(&definition).map_err(|error| Error::io("write", &own, error))?;
        write_atomic(&own.join("sweep.json"), &text)?;
        Ok(definition)
    }

    /// Reads the definition of the sweep in a folder.
    ///
    /// # Errors
    /// When the folder is no sweep's.
    pub fn read(sweep: &Path) -> Result<Self> {
        let path = sweep.join(OWN).join("sweep.json");
        if !path.is_file() {
            return Err(Error::request(format!("{} is not the folder of a sweep", sweep.display()))
                .help("it has no .sweep/sweep.json; sweeps lie in outputs/<command>/multirun/<date>/<time>"));
        }
        let text = std::fs::read(&path).map_err(|error| Error::io("read", &path, error))?;
        serde_json::from_slice(&text).map_err(|error| Error::io("read", &path, error))
    }

    fn folders(&self) -> [(&'static str, Option<&Path>); 2] {
        [("conf", self.conf.as_deref()), ("config_dir", self.config_dir.as_deref())]
    }

    /// The sweep's request, over the copies of its configs.
    pub fn request(&self, sweep: &Path, additions: &Additions) -> Result<Request> {
        let own = sweep.join(OWN);
        let mut args = Args::read([]).map_err(|error| Error::failed(error.to_string()))?;
        args.free.clone_from(&self.free);
        args.multirun = true;
        args.config_name.clone_from(&self.config_name);
        args.config_path = Some(own.join("conf"));
        args.config_dir = self.config_dir.as_ref().map(|_| own.join("config_dir"));
        Request::new(args, additions)
    }

    /// Refuses when the configs have changed since the sweep began.
    ///
    /// # Errors
    /// Names each file that differs, with its first differing line.
    pub fn check_unchanged(&self, sweep: &Path) -> Result<()> {
        let mut changes = Vec::new();
        for (name, from) in self.folders() {
            let Some(from) = from else { continue };
            let from = self.cwd.join(from);
            let (then, now) = (configs(&sweep.join(OWN).join(name))?, configs(&from).unwrap_or_default());
            for (file, bytes) in &then {
                let path = from.join(file);
                match now.iter().find(|(other, _)| other == file) {
                    None => changes.push(format!("{} is gone", path.display())),
                    Some((_, other)) if other != bytes => changes.push(difference(&path, bytes, other)),
                    Some(_) => {}
                }
            }
            let added = now.iter().filter(|(file, _)| !then.iter().any(|(other, _)| other == file));
            changes.extend(added.map(|(file, _)| format!("{} is new", from.join(file).display())));
        }
        if changes.is_empty() {
            return Ok(());
        }
        Err(Error::request(format!("the configs have changed since the sweep began:\n  {}", changes.join("\n  ")))
            .help(format!("put them back (the copies are in {}/{OWN}), or begin a new sweep", sweep.display())))
    }
}

/// The first line that differs, as it was and as it is.
fn difference(path: &Path, then: &[u8], now: &[u8]) -> String {
    let (then, now) = (String::from_utf8_lossy(then), String::from_utf8_lossy(now));
    let (mut then, mut now) = (then.lines(), now.lines());
    for line in 1.. {
        let (a, b) = (then.next(), now.next());
        if a.is_none() && b.is_none() {
            break;
        }
        if a != b {
            let shown =
                |line: Option<&str>| line.map_or_else(|| "nothing".to_owned(), |line| format!("`{}`", line.trim()));
            return format!("{}, line {line}: {} was {}", path.display(), shown(b), shown(a));
        }
    }
    format!("{} has other line ends", path.display())
}

/// The YAML files below a folder by their names, sorted.
fn configs(folder: &Path) -> Result<Vec<(PathBuf, Vec<u8>)>> {
    let mut found = Vec::new();
    for entry in WalkDir::new(folder).follow_links(true).sort_by_file_name() {
        let entry = entry.map_err(|error| Error::io("read", folder, error))?;
        let path = entry.path();
        if path.extension().is_some_and(|ending| ending == "yaml" || ending == "yml") && path.is_file() {
            let bytes = std::fs::read(path).map_err(|error| Error::io("read", path, error))?;
            found.push((path.strip_prefix(folder).unwrap_or(path).to_owned(), bytes));
        }
    }
    Ok(found)
}
