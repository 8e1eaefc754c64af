//! Messages on the console and in the run's log file.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use tracing_subscriber::filter::{FilterExt, filter_fn};
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::prelude::*;
use tracing_subscriber::{EnvFilter, Layer, fmt};

use crate::error::{Error, Result};

/// The target of messages that go to the log file only.
pub const OUTCOME: &str = "runner::outcome";

/// A console that steps aside for a progress bar: lines are printed through the hook while one is set.
type Console = Arc<Mutex<Option<Box<dyn Fn(&str) + Send>>>>;

static CONSOLE: std::sync::LazyLock<Console> = std::sync::LazyLock::new(Console::default);

/// While a progress bar is drawn, lines go through `print` so that they appear above it.
pub fn console_through(print: Option<Box<dyn Fn(&str) + Send>>) {
    *CONSOLE.lock().unwrap_or_else(PoisonError::into_inner) = print;
}

#[derive(Clone, Copy)]
struct ConsoleWriter;

impl Write for ConsoleWriter {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match &*CONSOLE.lock().unwrap_or_else(PoisonError::into_inner) {
            Some(print) => print(String::from_utf8_lossy(bytes).trim_end()),
            None => io::stderr().write_all(bytes)?,
        }
        Ok(bytes.len())
    }
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for ConsoleWriter {
    type Writer = ConsoleWriter;
    fn make_writer(&'a self) -> ConsoleWriter {
        *self
    }
}

/// Where messages to the log file go.
enum LogFile {
    /// There is no file yet: they wait for it.
    Waiting(Vec<u8>),
    /// The file.
    Open(File),
}

static LOG_FILE: Mutex<LogFile> = Mutex::new(LogFile::Waiting(Vec::new()));

#[derive(Clone, Copy)]
struct FileWriter;

impl Write for FileWriter {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match &mut *LOG_FILE.lock().unwrap_or_else(PoisonError::into_inner) {
            LogFile::Waiting(waiting) => waiting.extend_from_slice(bytes),
            LogFile::Open(file) => file.write_all(bytes)?,
        }
        Ok(bytes.len())
    }
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for FileWriter {
    type Writer = FileWriter;
    fn make_writer(&'a self) -> FileWriter {
        *self
    }
}

/// Starts logging: to the console, and to `file` once there is one, which then gets what was said before. `RUNNER_LOG`
/// sets the level (`info` by default; `debug`, `runner::data=trace`, …). Only the first file of a process counts.
pub fn start_logging(file: Option<&Path>) -> Result<()> {
    let filter = || EnvFilter::try_from_env("RUNNER_LOG").unwrap_or_else(|_| EnvFilter::new("info"));
    let colours = io::IsTerminal::is_terminal(&io::stderr()) && std::env::var_os("NO_COLOR").is_none();
    let console = fmt::layer().with_writer(ConsoleWriter).without_time().with_target(false).with_ansi(colours);
    if let Some(path) = file {
        let mut log = LOG_FILE.lock().unwrap_or_else(PoisonError::into_inner);
        if let LogFile::Waiting(waiting) = &*log {
            let failed = |error| Error::io("write", path, error);
            let mut file = OpenOptions::new().create(true).append(true).open(path).map_err(failed)?;
            file.write_all(waiting).map_err(failed)?;
            *log = LogFile::Open(file);
        }
    }
    let to_file = fmt::layer().with_writer(FileWriter).with_ansi(false).with_filter(filter());
    // The closing error is printed by the command line, with its remedy; the log file has it too.
    let shown = filter().and(filter_fn(|event| event.target() != OUTCOME));
    let _ = tracing_subscriber::registry().with(console.with_filter(shown)).with(to_file).try_init();
    Ok(())
}
