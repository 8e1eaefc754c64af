//! Dependencies point one way, libtorch stays off the config path, unsafe code stays in one place.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

/// Every module may use only those before it.
const ORDER: &[&str] = &[
    "config",
    "error",
    "run",
    "report",
    "native",
    "registry",
    "sweep",
    "tensor",
    "checkpoint",
    "nn",
    "optim",
    "losses",
    "metrics",
    "data",
    "train",
    "tasks",
    "callbacks",
    "loggers",
    "plan",
    "builtin",
    "cli",
];

/// Modules that never name libtorch.
const WITHOUT_TORCH: &[&str] = &["config", "error", "run", "report", "registry", "sweep"];

fn sources(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).unwrap().flatten() {
        let path = entry.path();
        if path.is_dir() {
            sources(&path, found);
        } else if path.extension().is_some_and(|ending| ending == "rs") {
            found.push(path);
        }
    }
}

/// The names that follow `crate::` in code (comments left out).
fn uses(text: &str) -> BTreeSet<String> {
    let code = text.lines().filter(|line| !line.trim_start().starts_with("//"));
    let names = code.flat_map(|line| line.split("crate::").skip(1).map(str::to_owned).collect::<Vec<_>>());
    names.map(|rest| rest.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect()).collect()
}

/// Whether the crate `tch` is named; `Batch::` is not.
fn names_torch(text: &str) -> bool {
    let named = text.match_indices("tch::").any(|(at, _)| !text[..at].ends_with(char::is_alphanumeric));
    named || text.contains("crate::tensor")
}

#[test]
fn dependencies_point_one_way() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut files = Vec::new();
    sources(&root, &mut files);
    let mut wrong = Vec::new();
    for file in files {
        let inside = file.strip_prefix(&root).unwrap();
        let first = inside.components().next().unwrap().as_os_str().to_string_lossy().into_owned();
        let module = first.trim_end_matches(".rs");
        let Some(place) = ORDER.iter().position(|name| *name == module) else { continue };
        let text = std::fs::read_to_string(&file).unwrap();
        for used in uses(&text) {
            if ORDER.iter().position(|name| *name == used).is_some_and(|at| at > place) {
                wrong.push(format!("{} uses crate::{used}", inside.display()));
            }
        }
        if WITHOUT_TORCH.contains(&module) && names_torch(&text) {
            wrong.push(format!("{} names libtorch", inside.display()));
        }
        let is_native = module == "native" || module == "lib";
        if !is_native
            && text.lines().any(|line| line.trim_start().starts_with("unsafe ") || line.contains("= unsafe {"))
        {
            wrong.push(format!("{} has unsafe code", inside.display()));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// Loading libtorch costs every process 0.3 s: the front does without.
#[test]
fn the_front_is_linked_without_libtorch() {
    let needs = |binary: &str, library: &str| {
        let bytes = std::fs::read(binary).unwrap();
        let name = format!("{library}\0").into_bytes();
        bytes.windows(name.len()).any(|window| window == name.as_slice())
    };
    assert!(!needs(env!("CARGO_BIN_EXE_runner"), "libtorch_cpu.so"));
    assert!(needs(env!("CARGO_BIN_EXE_runner-engine"), "libtorch_cpu.so"));
}
