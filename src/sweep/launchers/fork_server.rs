//! A process that has everything loaded and forks itself once a job.
//!
//! Loading libtorch takes a process 0.2 to 0.3 s; a fork of one that has it takes a millisecond or two. The server is
//! itself forked from the sweep before anything has started a thread, keeps one thread for ever, and does nothing but
//! fork, signal and wait. A job is a process of its own: its random state, its memory, its GPU context and its end are
//! its own. When the sweep dies the server is killed with it, and the jobs with the server: none is left behind to
//! write into a folder that a resumed sweep has taken over.

use std::collections::HashMap;
use std::io::{self, BufRead, BufReader, ErrorKind, Read, Write};
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, poll};
use rustix::process::{
    Pid, Signal, WaitOptions, getppid, kill_process_group, set_parent_process_death_signal, setpgid, wait,
};
use serde::{Deserialize, Serialize};

use super::shares::take;
use super::{Ended, Exit, Job, Processes, Stop};
use crate::error::{Context, Error, Result};
use crate::native::process::{Forked, exit_now, fork};

/// What the server is told.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Order {
    Start(Job),
    Stop { number: usize, how: Stop },
}

/// The sweep's end of the server.
pub struct ForkServer {
    orders: UnixStream,
    ends: BufReader<UnixStream>,
    /// What has been read of a line that is not complete yet.
    partial: String,
}

impl ForkServer {
    /// Forks the server. Each job's process calls `main` and exits with the code that it returns.
    ///
    /// # Errors
    /// When this process has more than one thread already.
    pub fn start(main: &dyn Fn(&Job) -> i32) -> Result<Self> {
        let (here, there) = UnixStream::pair().context("cannot make a socket for jobs")?;
        let sweep = rustix::process::getpid();
        match fork().context("cannot start the process for jobs")? {
            Forked::Parent(_) => {
                drop(there);
                let ends = BufReader::new(here.try_clone().context("cannot share the socket for jobs")?);
                Ok(ForkServer { orders: here, ends, partial: String::new() })
            }
            Forked::Child => {
                drop(here);
                let served = die_with(sweep).and_then(|()| {
                    // Ctrl-C in the terminal is for the sweep, which decides what becomes of the jobs.
                    setpgid(None, None)?;
                    Server::new(there)?.serve(main)
                });
                if let Err(error) = served {
                    eprintln!("error: the process that starts jobs failed: {error}");
                    exit_now(1);
                }
                exit_now(0)
            }
        }
    }

    fn send(&mut self, order: &Order) -> Result<()> {
        let mut line = serde_json::to_string(order).context("cannot write down a job")?;
        line.push('\n');
        self.orders.write_all(line.as_bytes()).map_err(lost)
    }
}

fn lost(error: impl std::fmt::Display) -> Error {
    Error::failed(format!("the process that starts jobs is gone: {error}"))
        .help("`runner resume` of the sweep's folder goes on with what is missing")
}

impl Processes for ForkServer {
    fn start(&mut self, job: &Job) -> Result<()> {
        self.send(&Order::Start(job.clone()))
    }

    fn stop(&mut self, number: usize, how: Stop) -> Result<()> {
        self.send(&Order::Stop { number, how })
    }

    fn next(&mut self, wait: Duration) -> Result<Option<Ended>> {
        let wait = wait.max(Duration::from_millis(1));
        self.ends.get_ref().set_read_timeout(Some(wait)).map_err(lost)?;
        match self.ends.read_line(&mut self.partial) {
            Ok(_) if self.partial.ends_with('\n') => {
                let ended = serde_json::from_str(&self.partial).map_err(lost);
                self.partial.clear();
                ended.map(Some)
            }
            Ok(_) => Err(lost("its socket is closed")),
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => Ok(None),
            Err(error) => Err(lost(error)),
        }
    }
}

/// From now on this process is killed when its parent dies, if it has not died already.
fn die_with(parent: Pid) -> io::Result<()> {
    set_parent_process_death_signal(Some(Signal::KILL))?;
    if getppid() != Some(parent) {
        exit_now(1);
    }
    Ok(())
}

/// The server's own side.
struct Server {
    socket: UnixStream,
    /// Becomes readable when a child has ended.
    children: UnixStream,
    /// To stop listening for ended children, in a job.
    listening: signal_hook::SigId,
    running: HashMap<Pid, usize>,
    unread: Vec<u8>,
}

impl Server {
    fn new(socket: UnixStream) -> io::Result<Self> {
        let (children, ended) = UnixStream::pair()?;
        children.set_nonblocking(true)?;
        let listening = signal_hook::low_level::pipe::register(signal_hook::consts::SIGCHLD, ended)?;
        Ok(Server { socket, children, listening, running: HashMap::new(), unread: Vec::new() })
    }

    /// Serves until the sweep closes its end.
    fn serve(mut self, main: &dyn Fn(&Job) -> i32) -> io::Result<()> {
        loop {
            let mut ready = [PollFd::new(&self.socket, PollFlags::IN), PollFd::new(&self.children, PollFlags::IN)];
            match poll(&mut ready, None) {
                Err(rustix::io::Errno::INTR) => continue,
                other => other?,
            };
            let [orders, ended] = [0, 1].map(|i| !ready[i].revents().is_empty());
            if ended {
                let mut drain = [0; 64];
                while matches!(self.children.read(&mut drain), Ok(n) if n > 0) {}
                self.reap()?;
            }
            if orders && !self.obey(main)? {
                return Ok(());
            }
        }
    }

    /// Tells the sweep about every child that has ended.
    fn reap(&mut self) -> io::Result<()> {
        loop {
            match wait(WaitOptions::NOHANG) {
                Ok(Some((pid, status))) => {
                    let exit = match (status.exit_status(), status.terminating_signal()) {
                        (Some(code), _) => Exit::Code(code),
                        (None, Some(signal)) => Exit::Signal(signal),
                        (None, None) => continue,
                    };
                    if let Some(number) = self.running.remove(&pid) {
                        self.tell(&Ended { number, exit })?;
                    }
                }
                Ok(None) | Err(rustix::io::Errno::CHILD) => return Ok(()),
                Err(error) => return Err(error.into()),
            }
        }
    }

    fn tell(&mut self, ended: &Ended) -> io::Result<()> {
        let mut line = serde_json::to_string(ended)?;
        line.push('\n');
        self.socket.write_all(line.as_bytes())
    }

    /// Reads what has come and does it; false when the sweep has closed its end.
    fn obey(&mut self, main: &dyn Fn(&Job) -> i32) -> io::Result<bool> {
        let mut bytes = [0; 65536];
        let count = match self.socket.read(&mut bytes) {
            Ok(0) => return Ok(false),
            Ok(count) => count,
            Err(error) if error.kind() == ErrorKind::Interrupted => return Ok(true),
            Err(error) => return Err(error),
        };
        self.unread.extend_from_slice(&bytes[..count]);
        while let Some(end) = self.unread.iter().position(|byte| *byte == b'\n') {
            let line: Vec<u8> = self.unread.drain(..=end).collect();
            match serde_json::from_slice(&line)? {
                Order::Start(job) => self.start(&job, main)?,
                Order::Stop { number, how } => {
                    // As a scheduler does that takes the machine back: save and end, without a test of what there is.
                    let signal = if how == Stop::Kill { Signal::KILL } else { Signal::USR1 };
                    let pid = self.running.iter().find(|(_, job)| **job == number).map(|(pid, _)| *pid);
                    if let Some(pid) = pid {
                        // A job that is no leader of its group yet is signalled again by whoever finds it running.
                        let _ = kill_process_group(pid, signal);
                    }
                }
            }
        }
        Ok(true)
    }

    fn start(&mut self, job: &Job, main: &dyn Fn(&Job) -> i32) -> io::Result<()> {
        let server = rustix::process::getpid();
        match fork() {
            Ok(Forked::Parent(child)) => {
                let Some(pid) = Pid::from_raw(child) else { return Ok(()) };
                // Both sides do it, so that it is done whoever comes first.
                let _ = setpgid(Some(pid), Some(pid));
                self.running.insert(pid, job.number);
                Ok(())
            }
            Ok(Forked::Child) => {
                signal_hook::low_level::unregister(self.listening);
                let ready = die_with(server).and_then(|()| {
                    let _ = setpgid(None, None);
                    prefer_to_be_killed();
                    redirect(job)?;
                    take(&job.share)
                });
                if let Err(error) = ready {
                    eprintln!("error: job {} cannot be set up: {error}", job.number);
                    exit_now(1);
                }
                let code = catch_unwind(AssertUnwindSafe(|| main(job))).unwrap_or(1);
                let _ = io::stdout().flush();
                exit_now(code)
            }
            Err(error) => {
                let exit = Exit::Lost(format!("the job's process could not be started: {error}"));
                self.tell(&Ended { number: job.number, exit })
            }
        }
    }
}

/// When memory runs out the job goes, and neither the sweep nor the user's other work.
fn prefer_to_be_killed() {
    let _ = std::fs::write("/proc/self/oom_score_adj", "500");
}

/// Input from nowhere; output to the job's log, if it has one.
fn redirect(job: &Job) -> io::Result<()> {
    rustix::stdio::dup2_stdin(std::fs::File::open("/dev/null")?.as_fd())?;
    if let Some(path) = &job.log {
        let log = std::fs::OpenOptions::new().create(true).append(true).open(path)?;
        rustix::stdio::dup2_stdout(&log)?;
        rustix::stdio::dup2_stderr(&log)?;
    }
    Ok(())
}
