//! The thread that tells the server what is in the outbox, and tries again when it is away.

use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use super::client::{Client, Fault};
use super::outbox::{Item, Reader};
use crate::error::{Error, Result};
use crate::run::write_atomic;

/// What makes a run. Kept beside the outbox, so that a server that was away can be told later.
#[derive(Clone, Serialize, Deserialize)]
pub struct Wanted {
    pub uri: String,
    pub experiment: String,
    pub artifact_location: Option<String>,
    pub run_name: Option<String>,
    pub run_id: Option<String>,
    pub tags: Vec<(String, String)>,
    pub time_ms: i64,
}

/// The run on the server, once it is there.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Remote {
    /// Its id.
    pub run_id: String,
    /// Where its artifacts go.
    pub artifacts: String,
}

const REMOTE: &str = "remote.json";
const WANTED: &str = "wanted.json";

impl Remote {
    /// The run that the outbox in `folder` belongs to.
    pub fn of(folder: &Path) -> Option<Self> {
        serde_json::from_slice(&std::fs::read(folder.join(REMOTE)).ok()?).ok()
    }
}

/// How long the end of a run waits for a server that is away.
const PATIENCE: Duration = Duration::from_secs(10);
/// The longest pause between two tries.
const PAUSE: Duration = Duration::from_secs(10);

/// The thread.
pub struct Sending {
    news: Option<Sender<()>>,
    thread: Option<JoinHandle<bool>>,
}

impl Sending {
    /// Starts it.
    pub fn start(folder: PathBuf, wanted: Wanted) -> Result<Self> {
        let text = serde_json::to_vec(&wanted).map_err(|error| Error::failed(error.to_string()))?;
        write_atomic(&folder.join(WANTED), &text)?;
        let (news, heard) = channel();
        let run = move || Worker::new(folder, wanted).run(&heard);
        let thread = std::thread::Builder::new().name("mlflow".into()).spawn(run);
        let thread = thread.map_err(|error| Error::failed(format!("cannot start a thread: {error}")))?;
        Ok(Sending { news: Some(news), thread: Some(thread) })
    }

    /// Says that there is something in the outbox.
    pub fn wake(&self) {
        if let Some(news) = &self.news {
            let _ = news.send(());
        }
    }

    /// Waits until the server has everything, or is away for too long. Gives whether it has everything.
    pub fn finish(mut self) -> bool {
        self.settle()
    }

    fn settle(&mut self) -> bool {
        drop(self.news.take());
        self.thread.take().is_some_and(|thread| thread.join().unwrap_or(false))
    }
}

/// Two threads that tell the same outbox would make two runs of it.
impl Drop for Sending {
    fn drop(&mut self) {
        self.settle();
    }
}

/// Tells the server what waits in the outbox in `folder`, once. Gives whether there was something to tell.
///
/// # Errors
/// When the server is away, or the folder is no outbox.
pub fn deliver(folder: &Path) -> Result<bool> {
    let path = folder.join(WANTED);
    let text = std::fs::read(&path).map_err(|error| Error::io("read", &path, error))?;
    let wanted: Wanted = serde_json::from_slice(&text).map_err(|error| Error::io("read", &path, error))?;
    if Reader::open(folder)?.waiting()?.is_empty() {
        return Ok(false);
    }
    let uri = wanted.uri.clone();
    Worker::new(folder.to_owned(), wanted)
        .drain()
        .map_err(|why| Error::failed(format!("{uri} is away, everything is kept until it is back: {why}")))?;
    Ok(true)
}

struct Worker {
    folder: PathBuf,
    wanted: Wanted,
    client: Client,
    remote: Option<Remote>,
    warned: bool,
}

impl Worker {
    fn new(folder: PathBuf, wanted: Wanted) -> Self {
        let remote = Remote::of(&folder);
        Worker { client: Client::new(&wanted.uri), folder, wanted, remote, warned: false }
    }

    fn run(mut self, heard: &Receiver<()>) -> bool {
        let mut pause = Duration::from_millis(200);
        let mut patience: Option<Instant> = None;
        loop {
            let result = self.drain();
            let over = patience.is_some();
            match result {
                Ok(()) if over => return true,
                Ok(()) => {
                    if self.warned {
                        tracing::info!("MLFlowLogger: {} is there again", self.wanted.uri);
                    }
                    (pause, self.warned) = (Duration::from_millis(200), false);
                    match heard.recv() {
                        // Everything that was said meanwhile is answered by one look.
                        Ok(()) => while heard.try_recv().is_ok() {},
                        Err(_) => patience = Some(Instant::now() + PATIENCE),
                    }
                }
                Err(why) => {
                    if !std::mem::replace(&mut self.warned, true) {
                        let uri = &self.wanted.uri;
                        tracing::warn!("MLFlowLogger: {uri} is away, everything is kept until it is back: {why}");
                    }
                    if patience.is_some_and(|until| Instant::now() >= until) {
                        return false;
                    }
                    if over {
                        std::thread::sleep(pause.min(Duration::from_secs(1)));
                    } else if heard.recv_timeout(pause) == Err(RecvTimeoutError::Disconnected) {
                        patience = Some(Instant::now() + PATIENCE);
                    } else {
                        std::thread::sleep(pause / 4);
                    }
                    pause = (pause * 2).min(PAUSE);
                }
            }
        }
    }

    /// Sends everything that is in the outbox. The error says why the server is away.
    fn drain(&mut self) -> Result<(), String> {
        let mut reader = Reader::open(&self.folder).map_err(|error| error.to_string())?;
        loop {
            let items = reader.waiting().map_err(|error| error.to_string())?;
            if items.is_empty() {
                return Ok(());
            }
            let remote = match self.remote.clone() {
                Some(remote) => remote,
                None => self.connect()?,
            };
            let sent = self.send(&remote, &items)?;
            reader.take(sent).map_err(|error| error.to_string())?;
        }
    }

    /// Finds or makes the run.
    fn connect(&mut self) -> Result<Remote, String> {
        let Wanted { experiment, artifact_location, run_name, run_id, tags, time_ms, .. } = &self.wanted;
        let made = match run_id {
            Some(id) => self.client.run(id),
            None => self
                .client
                .experiment(experiment, artifact_location.as_deref())
                .and_then(|experiment| self.client.create_run(&experiment, run_name.as_deref(), tags, *time_ms)),
        };
        let (run_id, artifacts) = made.map_err(|fault| match fault {
            Fault::Away(why) | Fault::Refused(why) => why,
        })?;
        let remote = Remote { run_id, artifacts };
        let text = serde_json::to_vec(&remote).map_err(|error| error.to_string())?;
        write_atomic(&self.folder.join(REMOTE), &text).map_err(|error| error.to_string())?;
        self.remote = Some(remote.clone());
        Ok(remote)
    }

    /// Sends the first of these items, as many as fit into one call; gives the position after them.
    fn send(&self, remote: &Remote, items: &[(Item, u64)]) -> Result<u64, String> {
        let count = batch(items);
        let (now, position) = (&items[..count], items[count - 1].1);
        let result = match &now[0].0 {
            Item::Status { status, time_ms } => self.client.update(&remote.run_id, status, *time_ms),
            Item::Artifact { name, file } => self.client.upload(&remote.artifacts, name, file),
            _ => self.client.log_batch(&remote.run_id, now.iter().map(|(item, _)| item)),
        };
        match result {
            Ok(()) => Ok(position),
            Err(Fault::Away(why)) => Err(why),
            Err(Fault::Refused(why)) if count == 1 => {
                tracing::warn!("MLFlowLogger: the server refuses {}: {why}", brief(&now[0].0));
                Ok(position)
            }
            // One of them is at fault: they are told one by one.
            Err(Fault::Refused(_)) => {
                for (item, _) in now {
                    match self.client.log_batch(&remote.run_id, [item]) {
                        Ok(()) => {}
                        Err(Fault::Away(why)) => return Err(why),
                        Err(Fault::Refused(why)) => {
                            tracing::warn!("MLFlowLogger: the server refuses {}: {why}", brief(item));
                        }
                    }
                }
                Ok(position)
            }
        }
    }
}

fn brief(item: &Item) -> String {
    match item {
        Item::Param { key, .. } => format!("the parameter {key}"),
        Item::Metric { key, step, .. } => format!("the value of {key} at step {step}"),
        Item::Tag { key, .. } => format!("the tag {key}"),
        Item::Artifact { name, .. } => format!("the file {name}"),
        Item::Status { status, .. } => format!("the status {status}"),
    }
}

/// How many of these items one call may take: MLflow's limits are 100 parameters and 100 tags; files and states
/// are calls of their own.
fn batch(items: &[(Item, u64)]) -> usize {
    const MOST: usize = 100;
    let (mut params, mut tags) = (0, 0);
    for (i, (item, _)) in items.iter().enumerate() {
        match item {
            Item::Param { .. } => params += 1,
            Item::Tag { .. } => tags += 1,
            Item::Metric { .. } => {}
            Item::Artifact { .. } | Item::Status { .. } => return i.max(1),
        }
        if params > MOST || tags > MOST {
            return i;
        }
    }
    items.len()
}
