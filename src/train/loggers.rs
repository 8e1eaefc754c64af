//! The loggers of a run, on a thread of their own: training hands over what it has to say and goes on.
//!
//! One thread calls all loggers in order. The queue is bounded, so that a run that logs faster than a disk writes
//! waits instead of filling the memory. Loggers are flushed every half a second, before every checkpoint, and on every
//! way out: the end, an error, Ctrl-C, a panic. Where they stood when the run began is kept in its folder, so that a
//! run that is killed before its first checkpoint goes on with the same remote runs.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::sync::{Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::{At, HyperParameters, Image, Logger, Saved, Status};
use crate::error::Result;
use crate::tensor::{State, Stateful};

/// How many messages may wait.
const QUEUE: usize = 4096;

/// After how long what was said is flushed: what a killed process can lose.
const LATEST: Duration = Duration::from_millis(500);

/// Where the loggers stood when the run began, in its folder.
pub const BEGINNING: &str = "loggers.json";

/// What is handed to the thread.
enum Message {
    Restore(Value, SyncSender<()>),
    Params(Box<HyperParameters>),
    Metrics(At, Vec<(String, f64)>),
    Text(At, String, String),
    Image(At, String, Image),
    Artifact(At, String, PathBuf),
    Checkpoint(At, PathBuf, Saved),
    State(SyncSender<Value>),
    Finish(Status),
}

/// The loggers of a run. Nothing here fails: a logger that does is reported, and never stops training.
pub struct Loggers {
    writer: Option<Writer>,
    /// Said when the first word is spoken, so that a restored logger hears of its past first.
    params: Mutex<Option<Box<HyperParameters>>>,
}

struct Writer {
    sender: SyncSender<Message>,
    thread: JoinHandle<()>,
}

impl Loggers {
    /// Starts the thread, unless there is nothing to call. Where the loggers stand at the beginning is kept in
    /// `run_dir`.
    pub fn start(loggers: Vec<Box<dyn Logger>>, run_dir: Option<&Path>) -> Self {
        let beginning = run_dir.map(|folder| folder.join(BEGINNING));
        let writer = (!loggers.is_empty()).then(|| {
            let (sender, receiver) = sync_channel(QUEUE);
            let watched = loggers.into_iter().map(|logger| Watched { logger, failures: 0, broken: false }).collect();
            let run = move || Thread { loggers: watched, beginning, due: None }.run(&receiver);
            let thread = std::thread::Builder::new().name("loggers".into()).spawn(run);
            thread.map(|thread| Writer { sender, thread })
        });
        let writer = writer.transpose().unwrap_or_else(|error| {
            tracing::warn!("the loggers' thread cannot be started, nothing is logged: {error}");
            None
        });
        Loggers { writer, params: Mutex::new(None) }
    }

    /// Whether nobody listens.
    pub fn is_empty(&self) -> bool {
        self.writer.is_none()
    }

    /// What the run was started with. Heard by the loggers before anything else but their restored state.
    pub fn params(&self, params: HyperParameters) {
        if !self.is_empty() {
            *self.params.lock().unwrap_or_else(PoisonError::into_inner) = Some(Box::new(params));
        }
    }

    /// The run begins again in its folder: its loggers go back to where they stood when it first began.
    pub fn begin_again(&mut self, run_dir: &Path) {
        let kept = std::fs::read(run_dir.join(BEGINNING)).ok().and_then(|bytes| serde_json::from_slice(&bytes).ok());
        if let (Some(state), Some(writer)) = (kept, &self.writer) {
            restored(writer, state);
        }
    }

    /// Values at a step.
    pub fn metrics(&self, at: At, values: Vec<(String, f64)>) {
        self.send(Message::Metrics(at, values));
    }

    /// A text.
    pub fn text(&self, at: At, name: impl Into<String>, text: impl Into<String>) {
        self.send(Message::Text(at, name.into(), text.into()));
    }

    /// An image.
    pub fn image(&self, at: At, name: impl Into<String>, image: Image) {
        self.send(Message::Image(at, name.into(), image));
    }

    /// A file to keep with the run. It must stay as it is until the run is over.
    pub fn artifact(&self, at: At, name: impl Into<String>, file: impl Into<PathBuf>) {
        self.send(Message::Artifact(at, name.into(), file.into()));
    }

    /// A checkpoint was saved.
    pub fn checkpoint(&self, at: At, file: impl Into<PathBuf>, saved: Saved) {
        self.send(Message::Checkpoint(at, file.into(), saved));
    }

    /// The run is over: everything is written, the thread ends. Later calls do nothing.
    pub fn finish(&mut self, status: Status) {
        self.send(Message::Finish(status));
        if let Some(Writer { sender, thread }) = self.writer.take() {
            drop(sender);
            if thread.join().is_err() {
                tracing::warn!("a logger broke: what it had not written is lost");
            }
        }
    }

    fn send(&self, message: Message) {
        let params = self.params.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(writer) = &self.writer {
            if let Some(params) = params {
                let _ = writer.sender.send(Message::Params(params));
            }
            // An error means that the thread broke; that is reported once, at the end.
            let _ = writer.sender.send(message);
        }
    }
}

impl Stateful for Loggers {
    /// Waits until everything so far is on disk, and gives the loggers' positions.
    fn state(&self) -> State {
        let (sender, receiver) = sync_channel(1);
        self.send(Message::State(sender));
        State::of(receiver.recv().unwrap_or_else(|_| json!([])))
    }

    fn restore(&mut self, state: &State) -> Result<()> {
        if let Some(writer) = &self.writer {
            restored(writer, state.value.clone());
        }
        Ok(())
    }
}

/// Gives the loggers their state and waits until they have it.
fn restored(writer: &Writer, state: Value) {
    let (sender, receiver) = sync_channel(1);
    let _ = writer.sender.send(Message::Restore(state, sender));
    let _ = receiver.recv();
}

/// A run that ends without [`Loggers::finish`] panicked or could not be set up.
impl Drop for Loggers {
    fn drop(&mut self) {
        self.finish(Status::Failed);
    }
}

/// A logger and how often it has failed.
struct Watched {
    logger: Box<dyn Logger>,
    failures: u64,
    /// It panicked: it is not called again, the others are.
    broken: bool,
}

impl Watched {
    fn call(&mut self, work: impl FnOnce(&mut dyn Logger) -> Result<()>) {
        if self.broken {
            return;
        }
        let logger = self.logger.as_mut();
        match catch_unwind(AssertUnwindSafe(|| work(logger))) {
            Ok(Ok(())) => {}
            Ok(Err(error)) => {
                self.failures += 1;
                if self.failures == 1 {
                    tracing::warn!("{}: {error}", self.logger.name());
                }
            }
            Err(_) => {
                self.broken = true;
                tracing::warn!("{} broke and gets nothing more; training goes on", self.logger.name());
            }
        }
    }

    /// A logger that failed in between but wrote everything in the end has lost nothing.
    fn finish(&mut self, status: Status) {
        let failed_before = self.failures > 0;
        self.failures = 0;
        self.call(|logger| logger.finish(status));
        if failed_before && self.failures == 0 && !self.broken {
            tracing::info!("{}: could write again", self.logger.name());
        }
    }
}

/// The thread's side.
struct Thread {
    loggers: Vec<Watched>,
    /// Where to keep the loggers' beginning, until that is done.
    beginning: Option<PathBuf>,
    /// When what was said has to be flushed.
    due: Option<Instant>,
}

impl Thread {
    fn run(mut self, receiver: &Receiver<Message>) {
        loop {
            let message = match self.due {
                None => receiver.recv().map_err(|_| RecvTimeoutError::Disconnected),
                Some(due) => receiver.recv_timeout(due.saturating_duration_since(Instant::now())),
            };
            match message {
                Err(RecvTimeoutError::Timeout) => self.flush(),
                Err(RecvTimeoutError::Disconnected) => return,
                Ok(Message::Finish(status)) => {
                    self.loggers.iter_mut().for_each(|logger| logger.finish(status));
                    return;
                }
                Ok(message) => {
                    let tells_params = matches!(message, Message::Params(_));
                    if !tells_params && !matches!(message, Message::Restore(..)) {
                        self.keep_beginning();
                    }
                    self.tell(message);
                    if tells_params {
                        self.keep_beginning();
                    }
                    // Also when there is always something to do.
                    match self.due {
                        Some(due) if due <= Instant::now() => self.flush(),
                        Some(_) => {}
                        None => self.due = Some(Instant::now() + LATEST),
                    }
                }
            }
        }
    }

    fn tell(&mut self, message: Message) {
        let loggers = &mut self.loggers;
        let mut each =
            |work: &dyn Fn(&mut dyn Logger) -> Result<()>| loggers.iter_mut().for_each(|logger| logger.call(work));
        match message {
            Message::Restore(state, done) => {
                restore(&mut self.loggers, &state);
                let _ = done.send(());
                // The beginning was kept when the run began.
                self.beginning = self.beginning.take().filter(|path| !path.is_file());
            }
            Message::Params(params) => each(&|logger| logger.params(&params)),
            Message::Metrics(at, values) => each(&|logger| logger.metrics(at, &values)),
            Message::Text(at, name, text) => each(&|logger| logger.text(at, &name, &text)),
            Message::Image(at, name, image) => each(&|logger| logger.image(at, &name, &image)),
            Message::Artifact(at, name, file) => each(&|logger| logger.artifact(at, &name, &file)),
            Message::Checkpoint(at, file, saved) => each(&|logger| logger.checkpoint(at, &file, saved)),
            Message::State(reply) => {
                self.flush();
                let _ = reply.send(self.state());
            }
            Message::Finish(_) => {}
        }
    }

    fn flush(&mut self) {
        self.loggers.iter_mut().for_each(|logger| logger.call(|logger| logger.flush()));
        self.due = None;
    }

    fn state(&self) -> Value {
        let working = self.loggers.iter().filter(|watched| !watched.broken);
        working.map(|watched| json!([watched.logger.name(), watched.logger.state()])).collect()
    }

    fn keep_beginning(&mut self) {
        if let Some(path) = self.beginning.take() {
            self.flush();
            if let Err(error) = crate::run::write_atomic(&path, self.state().to_string().as_bytes()) {
                tracing::warn!("where the loggers begin cannot be kept: {error}");
            }
        }
    }
}

/// Gives every logger the state that one of its name saved: the first to the first, the second to the second.
fn restore(loggers: &mut [Watched], state: &Value) {
    let mut saved: Vec<&Value> = state.as_array().into_iter().flatten().collect();
    for watched in loggers {
        let name = watched.logger.name();
        if let Some(found) = saved.iter().position(|entry| entry[0] == name) {
            let state = &saved.remove(found)[1];
            watched.call(|logger| logger.restore(state));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Node;
    use crate::error::Error;
    use std::sync::Arc;

    type Heard = Arc<Mutex<Vec<String>>>;

    struct Spy {
        heard: Heard,
        fails: bool,
    }

    impl Spy {
        fn note(&self, text: String) -> Result<()> {
            self.heard.lock().unwrap().push(text);
            if self.fails { Err(Error::failed("no")) } else { Ok(()) }
        }
    }

    impl Logger for Spy {
        fn name(&self) -> &'static str {
            "Spy"
        }
        fn params(&mut self, _: &HyperParameters) -> Result<()> {
            self.note("params".into())
        }
        fn metrics(&mut self, at: At, values: &[(String, f64)]) -> Result<()> {
            self.note(format!("{} {}", at.step, values[0].1))
        }
        fn flush(&mut self) -> Result<()> {
            Ok(())
        }
        fn finish(&mut self, status: Status) -> Result<()> {
            self.note(format!("{status:?}"))
        }
        fn state(&self) -> Value {
            json!(self.heard.lock().unwrap().len())
        }
        fn restore(&mut self, state: &Value) -> Result<()> {
            self.note(format!("restore {state}"))
        }
    }

    fn spy(fails: bool) -> (Heard, Box<dyn Logger>) {
        let heard = Heard::default();
        (heard.clone(), Box::new(Spy { heard, fails }))
    }

    fn params() -> HyperParameters {
        HyperParameters { config: Node::program(1i64), facts: Vec::new() }
    }

    #[test]
    fn calls_arrive_in_order_and_a_failing_logger_hinders_nobody() {
        let ((first, a), (second, b)) = (spy(true), spy(false));
        let mut loggers = Loggers::start(vec![a, b], None);
        loggers.params(params());
        (0..1000).for_each(|step| loggers.metrics(At::now(0, step), vec![("x".into(), step as f64)]));
        let state = loggers.state();
        loggers.finish(Status::Interrupted);
        assert_eq!(state.value, json!([["Spy", 1001], ["Spy", 1001]]));
        let expected: Vec<String> = std::iter::once("params".to_owned())
            .chain((0..1000).map(|step| format!("{step} {step}")))
            .chain(["Interrupted".to_owned()])
            .collect();
        assert_eq!(*first.lock().unwrap(), expected);
        assert_eq!(*second.lock().unwrap(), expected);
    }

    #[test]
    fn the_past_comes_before_the_parameters() {
        let (heard, logger) = spy(false);
        let mut loggers = Loggers::start(vec![logger], None);
        loggers.params(params());
        loggers.restore(&State::of(json!([["Other", 1], ["Spy", 7]]))).unwrap();
        loggers.finish(Status::Finished);
        assert_eq!(*heard.lock().unwrap(), ["restore 7", "params", "Finished"]);
    }

    #[test]
    fn a_panic_closes_them_as_failed() {
        let (heard, logger) = spy(false);
        let broken = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            let loggers = Loggers::start(vec![logger], None);
            loggers.metrics(At::now(0, 3), vec![("x".into(), 1.0)]);
            std::panic::resume_unwind(Box::new("broken"));
        }));
        assert!(broken.is_err());
        assert_eq!(*heard.lock().unwrap(), ["3 1", "Failed"]);
    }

    /// Breaks at its first value.
    struct Breaks;

    impl Logger for Breaks {
        fn name(&self) -> &'static str {
            "Breaks"
        }
        fn params(&mut self, _: &HyperParameters) -> Result<()> {
            Ok(())
        }
        fn metrics(&mut self, _: At, _: &[(String, f64)]) -> Result<()> {
            std::panic::resume_unwind(Box::new("broken"))
        }
        fn flush(&mut self) -> Result<()> {
            Ok(())
        }
        fn finish(&mut self, _: Status) -> Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_logger_that_breaks_takes_no_other_with_it_and_the_beginning_is_kept() {
        let dir = tempfile::tempdir().unwrap();
        let (heard, logger) = spy(false);
        let mut loggers = Loggers::start(vec![Box::new(Breaks), logger], Some(dir.path()));
        loggers.params(params());
        (0..3).for_each(|step| loggers.metrics(At::now(0, step), vec![("x".into(), 1.0)]));
        assert_eq!(loggers.state().value, json!([["Spy", 4]]));
        loggers.finish(Status::Finished);
        assert_eq!(*heard.lock().unwrap(), ["params", "0 1", "1 1", "2 1", "Finished"]);
        let kept: Value = serde_json::from_slice(&std::fs::read(dir.path().join(BEGINNING)).unwrap()).unwrap();
        assert_eq!(kept, json!([["Breaks", null], ["Spy", 1]]));
    }
}
