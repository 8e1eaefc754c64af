//! The Python packages that some tests compare with: an environment that `scripts/peers` makes.
#![allow(dead_code, reason = "every test uses another part")]

use std::path::{Path, PathBuf};
use std::process::Command;

/// The interpreter of that environment; says so when there is none, and the test has nothing to do then.
pub fn python() -> Option<PathBuf> {
    let peers = Path::new(env!("CARGO_MANIFEST_DIR")).join(".cache/peers");
    if peers.join("made-from").is_file() {
        return Some(peers.join("bin/python"));
    }
    eprintln!("skipped: this test needs Python packages; scripts/peers installs them");
    None
}

/// What a Python program prints, read as JSON. `None` when the packages are not there.
///
/// # Panics
/// When the program fails; shows what it said.
pub fn json_of(program: &str, arguments: &[&str]) -> Option<serde_json::Value> {
    let output = command(&python()?).arg("-c").arg(program).args(arguments).output().expect("python starts");
    let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{err}");
    let last = out.lines().last().unwrap_or_default();
    Some(serde_json::from_str(last).unwrap_or_else(|error| panic!("{error}: {out}\n{err}")))
}

/// That interpreter, with nothing in its environment that leads elsewhere and nothing that calls home.
pub fn command(python: &Path) -> Command {
    let mut command = Command::new(python);
    command.env_remove("PYTHONPATH").env_remove("PYTHONHOME").stdin(std::process::Stdio::null());
    let quiet = [
        ("MLFLOW_DISABLE_TELEMETRY", "true"),
        ("DO_NOT_TRACK", "true"),
        ("WANDB_MODE", "offline"),
        ("WANDB_ERROR_REPORTING", "false"),
        ("NO_PROXY", "127.0.0.1,localhost"),
        ("no_proxy", "127.0.0.1,localhost"),
    ];
    command.envs(quiet);
    command
}
