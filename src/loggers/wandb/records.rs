//! W&B's records. Field numbers are those of `wandb/proto/wandb_internal.proto`.

use serde_json::Value;

use crate::loggers::protobuf::Message;

/// A `Record`: the kind's field number with its message, for the run `id`.
pub fn record(number: i64, field: u32, content: &Message, id: &str) -> Message {
    Message::new().int(1, number).field(field, content).field(200, Message::new().field(1, id))
}

/// Who wrote the file, and the oldest program that may read it.
pub const HEADER: u32 = 21;
pub fn header() -> Message {
    let version = Message::new().field(1, concat!("runner-", env!("CARGO_PKG_VERSION"))).field(2, "0.70.0");
    Message::new().field(1, version)
}

/// What a run is.
pub struct Run<'a> {
    pub id: &'a str,
    pub entity: Option<&'a str>,
    pub project: &'a str,
    pub group: Option<&'a str>,
    pub job_type: Option<&'a str>,
    pub name: Option<&'a str>,
    pub notes: Option<&'a str>,
    pub tags: &'a [String],
    pub host: Option<&'a str>,
    pub config: Vec<(String, String)>,
    pub started_ms: i64,
}

pub const RUN: u32 = 17;
impl Run<'_> {
    pub fn message(&self) -> Message {
        let updates = self.config.iter().map(|(key, json)| Message::new().field(1, key).field(16, json));
        let texts = [
            (1, Some(self.id)),
            (2, self.entity),
            (3, Some(self.project)),
            (6, self.group),
            (7, self.job_type),
            (8, self.name),
            (9, self.notes),
            (13, self.host),
        ];
        let texts = texts.into_iter().filter_map(|(field, text)| Some((field, text.filter(|text| !text.is_empty())?)));
        let run = texts.fold(Message::new(), |run, (field, text)| run.field(field, text));
        run.field(4, Message::new().each(1, updates)).each(10, self.tags).field(17, timestamp(self.started_ms))
    }
}

fn timestamp(ms: i64) -> Message {
    Message::new().int(1, ms.div_euclid(1000)).int(2, ms.rem_euclid(1000) * 1_000_000)
}

/// `define_metric(name)`; with `over`, what all other metrics are drawn against.
pub const METRIC: u32 = 12;
pub fn step_metric(name: &str) -> Message {
    Message::new().field(1, name).field(6, Message::new().int(3, 1))
}
pub fn all_metrics_over(step: &str) -> Message {
    Message::new().field(2, "*").field(4, step).field(6, Message::new().int(1, 1).int(3, 1))
}

/// A row of history: values by their paths.
pub const HISTORY: u32 = 2;
pub fn history(step: i64, items: &[(Vec<String>, String)]) -> Message {
    Message::new().each(1, items.iter().map(item)).field(2, Message::new().int(1, step))
}

/// The newest values.
pub const SUMMARY: u32 = 3;
pub fn summary(items: &[(Vec<String>, String)]) -> Message {
    Message::new().each(1, items.iter().map(item))
}

fn item((path, json): &(Vec<String>, String)) -> Message {
    Message::new().each(2, path).field(16, json)
}

/// A file of the run's folder `files` to upload.
pub const FILES: u32 = 6;
pub fn file(path: &str) -> Message {
    Message::new().field(1, Message::new().field(1, path))
}

/// The run is over.
pub const EXIT: u32 = 18;
pub fn exit(code: i64, runtime_s: i64) -> Message {
    Message::new().int(1, code).int(2, runtime_s)
}

/// A model to upload: one file with its MD5 in base 64.
pub struct Model<'a> {
    pub run_id: &'a str,
    pub project: &'a str,
    pub name: &'a str,
    pub aliases: &'a [&'a str],
    pub file_name: &'a str,
    pub local_path: &'a str,
    pub digest: &'a str,
    pub manifest_digest: &'a str,
    pub bytes: i64,
    pub client_id: &'a str,
    pub sequence_id: &'a str,
}

pub const ARTIFACT: u32 = 8;
impl Model<'_> {
    pub fn message(&self) -> Message {
        let layout = Message::new().field(1, "storageLayout").field(2, "\"V2\"");
        let entry =
            Message::new().field(1, self.file_name).field(2, self.digest).int(4, self.bytes).field(6, self.local_path);
        let manifest = Message::new().int(1, 1).field(2, "wandb-storage-policy-v1").field(3, layout).field(4, entry);
        Message::new()
            .field(1, self.run_id)
            .field(2, self.project)
            .field(4, "model")
            .field(5, self.name)
            .field(6, self.manifest_digest)
            .each(11, self.aliases)
            .field(12, manifest)
            .int(14, 1)
            .field(15, self.client_id)
            .field(16, self.sequence_id)
    }
}

/// A number as Python's `json` spells it.
pub fn number(value: f64) -> String {
    if value.is_nan() {
        "NaN".into()
    } else if value.is_infinite() {
        if value > 0.0 { "Infinity".into() } else { "-Infinity".into() }
    } else {
        Value::from(value).to_string()
    }
}
