//! Processes: forking, what a forked process sets up for itself, and leaving without the exit handlers.
//!
//! A fork copies the one thread that calls it, and with it every lock in the state that it is in. So a process forks
//! only while it has a single thread; [`fork`] looks and refuses otherwise.

use std::ffi::OsStr;
use std::io;

/// Which side of a fork this is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Forked {
    /// The process that forked, with the new one's id.
    Parent(i32),
    /// The new process.
    Child,
}

/// How many threads this process has.
pub fn threads() -> io::Result<usize> {
    Ok(std::fs::read_dir("/proc/self/task")?.count())
}

fn check_single(what: &str) -> io::Result<()> {
    match threads()? {
        1 => Ok(()),
        n => Err(io::Error::other(format!("{what} needs a process with one thread, and this one has {n}"))),
    }
}

/// Splits the process in two.
///
/// # Errors
/// When the process has more than one thread; when the system has no room for another process.
pub fn fork() -> io::Result<Forked> {
    check_single("fork")?;
    // SAFETY: this thread is the only one (see above), so no lock is held by a thread that the child would lack.
    match unsafe { libc::fork() } {
        -1 => Err(io::Error::last_os_error()),
        0 => Ok(Forked::Child),
        child => Ok(Forked::Parent(child)),
    }
}

/// Sets an environment variable of this process.
///
/// # Errors
/// When the process has more than one thread: another one may be reading the environment.
pub fn set_env(name: &str, value: impl AsRef<OsStr>) -> io::Result<()> {
    check_single("setting an environment variable")?;
    // SAFETY: no other thread exists that could read or write the environment.
    unsafe { std::env::set_var(name, value) };
    Ok(())
}

/// Ends the process at once: no exit handlers, no destructors of libraries that the parent still uses.
pub fn exit_now(code: i32) -> ! {
    // SAFETY: never returns and touches no memory of ours.
    unsafe { libc::_exit(code) }
}
