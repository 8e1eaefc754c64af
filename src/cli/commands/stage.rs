//! A stage of a pipeline as a process of its own, and Ctrl-C on its way there.

use std::cell::Cell;
use std::io::{self, Read};
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use rustix::process::{Pid, Signal, WaitOptions, kill_process_group, setpgid, waitpid};
use signal_hook::consts::SIGINT;

use crate::error::{Context, Result};
use crate::native::process::{Forked, exit_now, fork};

/// How long a Ctrl-C may take to reach the stage.
const TICK: Duration = Duration::from_millis(50);

/// Hears Ctrl-C, and hands it on to the stage that runs.
pub struct Interrupts {
    stream: UnixStream,
    id: signal_hook::SigId,
    count: Cell<usize>,
}

impl Interrupts {
    /// Listens from now on.
    pub fn listen() -> Result<Self> {
        let (stream, signal) = UnixStream::pair().context("cannot listen for Ctrl-C")?;
        stream.set_read_timeout(Some(TICK)).context("cannot listen for Ctrl-C")?;
        let id = signal_hook::low_level::pipe::register(SIGINT, signal).context("cannot listen for Ctrl-C")?;
        Ok(Interrupts { stream, id, count: Cell::new(0) })
    }

    /// How many there have been.
    pub fn count(&self) -> usize {
        self.count.get()
    }

    /// Runs `work` in a process of its own; gives its exit code. The first Ctrl-C of a stage asks it to end in order,
    /// the second ends it at once.
    ///
    /// # Errors
    /// When no process can be started.
    pub fn watch(&self, work: impl FnOnce() -> i32) -> io::Result<i32> {
        self.count.set(0);
        match fork()? {
            Forked::Child => {
                signal_hook::low_level::unregister(self.id);
                let _ = setpgid(None, None);
                let code = work();
                let _ = io::Write::flush(&mut io::stdout());
                exit_now(code)
            }
            Forked::Parent(child) => {
                let pid = Pid::from_raw(child).ok_or_else(|| io::Error::other("a process without a number"))?;
                let _ = setpgid(Some(pid), Some(pid));
                loop {
                    if let Some((_, status)) = waitpid(Some(pid), WaitOptions::NOHANG)? {
                        let signal = status.terminating_signal().map(|signal| 128 + signal);
                        return Ok(status.exit_status().or(signal).unwrap_or(1));
                    }
                    let mut bytes = [0; 16];
                    // A timeout is the usual answer: nothing was pressed.
                    let pressed = (&self.stream).read(&mut bytes).unwrap_or(0);
                    for _ in 0..pressed {
                        self.count.set(self.count.get() + 1);
                        let signal = if self.count.get() == 1 { Signal::INT } else { Signal::KILL };
                        let _ = kill_process_group(pid, signal);
                    }
                }
            }
        }
    }
}

/// For work that looks at no flag: Ctrl-C ends this process with code 130.
pub fn die_of_interrupts() -> Result<()> {
    signal_hook::flag::register_conditional_shutdown(SIGINT, 130, Arc::new(AtomicBool::new(true)))
        .context("cannot listen for Ctrl-C")?;
    Ok(())
}
