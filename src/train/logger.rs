//! Where a run's values go: CSV files, TensorBoard, trackers. The trait is plain and knows no threads; a run's
//! loggers are called from one thread of their own by [`super::Loggers`].

use std::path::Path;

use serde_json::Value;

use crate::config::Node;
use crate::error::Result;
use crate::registry::Kind;

/// How a run ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Status {
    /// Still going, or killed.
    Running,
    /// All done.
    Finished,
    /// Stopped by an error.
    Failed,
    /// Stopped by the user.
    Interrupted,
}

impl Status {
    /// As `results.json` spells it.
    pub fn name(self) -> &'static str {
        match self {
            Status::Running => "running",
            Status::Finished => "finished",
            Status::Failed => "failed",
            Status::Interrupted => "interrupted",
        }
    }
}

/// When something was logged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct At {
    /// The epoch, from 0.
    pub epoch: u64,
    /// The optimizer step, from 0.
    pub step: u64,
    /// Wall clock, in milliseconds since 1970.
    pub time_ms: i64,
}

impl At {
    /// A step, now.
    pub fn now(epoch: u64, step: u64) -> Self {
        At { epoch, step, time_ms: chrono::Utc::now().timestamp_millis() }
    }

    /// The time in seconds since 1970.
    pub fn seconds(&self) -> f64 {
        self.time_ms as f64 / 1000.0
    }
}

/// What a run was started with.
#[derive(Clone, Debug)]
pub struct HyperParameters {
    /// The resolved config.
    pub config: Node,
    /// What is known besides: numbers of parameters, the run's folder. Names as trackers show them
    /// (`model/params/total`).
    pub facts: Vec<(String, Value)>,
}

impl HyperParameters {
    /// One level: `model/optimizer/lr`, as Lightning flattens what it sends to trackers. A list stays whole when it
    /// holds scalars only; empty mappings and lists are kept.
    pub fn flat(&self) -> Vec<(String, Value)> {
        let mut flat = Vec::new();
        flatten(&self.config, String::new(), &mut flat);
        flat.extend(self.facts.iter().cloned());
        flat
    }
}

fn flatten(node: &Node, path: String, flat: &mut Vec<(String, Value)>) {
    use crate::config::Value as Config;
    let below = |name: &str| if path.is_empty() { name.to_owned() } else { format!("{path}/{name}") };
    let nested = |node: &Node| matches!(node.value, Config::Map(_) | Config::List(_));
    match &node.value {
        Config::Map(map) if !map.is_empty() => {
            map.iter().for_each(|(key, node)| flatten(node, below(&key.to_string()), flat));
        }
        Config::List(list) if list.iter().any(nested) => {
            list.iter().enumerate().for_each(|(i, node)| flatten(node, below(&i.to_string()), flat));
        }
        _ => flat.push((path, plain(node))),
    }
}

/// A config value as JSON; what JSON cannot say (infinities, NaN) as text.
fn plain(node: &Node) -> Value {
    serde_json::from_str(&crate::config::json::compact(node))
        .ok()
        .filter(|value: &Value| value.get("__float__").is_none())
        .unwrap_or_else(|| Value::String(crate::config::text::py_str(node)))
}

/// An RGB image.
#[derive(Clone, PartialEq, Eq)]
pub struct Image {
    /// Columns.
    pub width: u32,
    /// Rows.
    pub height: u32,
    /// `3 * width * height` values: rows from the top, pixels from the left, red, green, blue.
    pub rgb: Vec<u8>,
}

impl std::fmt::Debug for Image {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Image({} x {})", self.width, self.height)
    }
}

/// A checkpoint, as a logger hears of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Saved {
    /// One was just written. It may be deleted again when better ones come: a logger that wants it takes it now.
    Now,
    /// The run is over and this one was the best.
    Best,
}

/// A logger. Calls come in order, from one thread, which is not the training thread.
///
/// A logger that fails is reported once and called on; what it failed to write it may write later.
#[allow(unused_variables, reason = "what a logger cannot show it leaves out")]
pub trait Logger: Send {
    /// The name in messages: `CSVLogger`.
    fn name(&self) -> &'static str;

    /// The run begins, or goes on after [`Logger::restore`].
    fn params(&mut self, params: &HyperParameters) -> Result<()>;

    /// Values at an optimizer step of an epoch.
    fn metrics(&mut self, at: At, values: &[(String, f64)]) -> Result<()>;

    /// A text, such as a report or a table in Markdown.
    fn text(&mut self, at: At, name: &str, text: &str) -> Result<()> {
        Ok(())
    }

    /// An image: a sample, or a figure drawn to pixels.
    fn image(&mut self, at: At, name: &str, image: &Image) -> Result<()> {
        Ok(())
    }

    /// A file of the run to keep with it. Its name in the tracker is `name`; folders in it are kept.
    fn artifact(&mut self, at: At, name: &str, file: &Path) -> Result<()> {
        Ok(())
    }

    /// A checkpoint was saved.
    fn checkpoint(&mut self, at: At, file: &Path, saved: Saved) -> Result<()> {
        Ok(())
    }

    /// Makes sure that everything so far is on disk.
    fn flush(&mut self) -> Result<()>;

    /// The run is over; flushes.
    fn finish(&mut self, status: Status) -> Result<()>;

    /// Where it is: goes into checkpoints. Called after [`Logger::flush`].
    fn state(&self) -> Value {
        Value::Null
    }

    /// The run goes on from a checkpoint that this state was saved in: what was written after it is cut off, or
    /// not written twice. Called before anything else. A state that belongs to another place (a run that goes on
    /// in a new folder) is left alone: the logger starts anew.
    fn restore(&mut self, state: &Value) -> Result<()> {
        Ok(())
    }

    /// Where it writes, when it writes files.
    fn path(&self) -> Option<&Path> {
        None
    }
}

/// The kind of loggers.
pub struct LoggerKind;

impl Kind for LoggerKind {
    type Built = Box<dyn Logger>;
    const NAME: &'static str = "logger";
}
