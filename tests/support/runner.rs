//! The binary as a user runs it: in a fresh folder, with nothing in its environment that could lead elsewhere.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

/// A fresh folder in which runner is started.
pub struct Place {
    dir: tempfile::TempDir,
}

/// What a call gave.
pub struct Call {
    pub code: i32,
    pub out: String,
    pub err: String,
}

impl Place {
    pub fn new() -> Self {
        Place { dir: tempfile::tempdir().expect("a temporary folder") }
    }

    pub fn path(&self) -> &Path {
        self.dir.path()
    }

    /// The command for `runner LINE`, words separated by blanks.
    pub fn command(&self, line: &str) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_runner"));
        command.args(line.split_whitespace()).current_dir(self.path()).stdin(std::process::Stdio::null());
        // Tests run side by side: threads that wait for each other at every operation would only be in the way.
        command.env("NO_COLOR", "1").env_remove("RUNNER_LOG").env("OMP_NUM_THREADS", "1");
        command
    }

    /// Runs `runner LINE` to its end.
    pub fn run(&self, line: &str) -> Call {
        let output: Output = self.command(line).output().expect("runner starts");
        Call {
            code: output.status.code().unwrap_or(-1),
            out: String::from_utf8_lossy(&output.stdout).into_owned(),
            err: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }

    /// Runs `runner LINE`, which must succeed.
    pub fn ok(&self, line: &str) -> Call {
        let call = self.run(line);
        assert_eq!(call.code, 0, "runner {line}\n{}\n{}", call.out, call.err);
        call
    }

    /// The run folders of a command, in order of their names.
    pub fn runs(&self, command: &str) -> Vec<PathBuf> {
        let mut runs = Vec::new();
        for date in folders(&self.path().join("outputs").join(command)) {
            if !date.ends_with("multirun") {
                runs.extend(folders(&date));
            }
        }
        runs.sort();
        runs
    }

    /// The only run folder of a command.
    pub fn only_run(&self, command: &str) -> PathBuf {
        let runs = self.runs(command);
        assert_eq!(runs.len(), 1, "{runs:?}");
        runs[0].clone()
    }

    pub fn write(&self, name: &str, text: &str) {
        let path = self.path().join(name);
        std::fs::create_dir_all(path.parent().expect("a parent")).expect("a folder");
        std::fs::write(path, text).expect("a file");
    }
}

pub fn folders(path: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(path).into_iter().flatten().flatten();
    let mut folders: Vec<PathBuf> = entries.map(|entry| entry.path()).filter(|path| path.is_dir()).collect();
    folders.sort();
    folders
}

pub fn json(path: &Path) -> serde_json::Value {
    let text = std::fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    serde_json::from_str(&text).expect("JSON")
}

/// The project's sample data, when this machine has it; says so when not.
pub fn sample(name: &str) -> Option<PathBuf> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/data").join(name);
    if path.exists() {
        return path.canonicalize().ok();
    }
    eprintln!("skipped: the sample data {name} is not here");
    None
}
