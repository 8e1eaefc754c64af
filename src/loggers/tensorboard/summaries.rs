//! The messages of an event file: TensorFlow's `Event` and `Summary`, and the plugins' data in them. Field numbers
//! are those of `tensorboard/compat/proto` and `tensorboard/plugins/hparams`.

use serde_json::Value;

use crate::loggers::protobuf::Message;
use crate::train::{At, Status};

/// `Event` with a `Summary` of these values.
pub fn event(at: At, values: impl IntoIterator<Item = Message>) -> Message {
    let summary = Message::new().each(1, values);
    Message::new().double(1, at.seconds()).int(2, at.step as i64).field(5, summary)
}

/// `Event` with a `SessionLog` that says: the run goes on here, forget what you have from this step on.
pub fn restart(at: At) -> Message {
    const START: i64 = 1;
    Message::new().double(1, at.seconds()).int(2, at.step as i64).field(7, Message::new().int(1, START))
}

/// A point of a curve.
pub fn scalar(tag: &str, value: f64) -> Message {
    Message::new().field(1, tag).float(2, value as f32)
}

/// An encoded image, PNG or JPEG.
pub fn image(tag: &str, (width, height): (u32, u32), encoded: &[u8]) -> Message {
    const RGB: i64 = 3;
    let image = Message::new().int(1, i64::from(height)).int(2, i64::from(width)).int(3, RGB).field(4, encoded);
    Message::new().field(1, tag).field(4, image)
}

/// A text, Markdown allowed.
pub fn text(name: &str, text: &str) -> Message {
    const DT_STRING: i64 = 7;
    let shape = Message::new().field(2, Message::new().int(1, 1));
    let tensor = Message::new().int(1, DT_STRING).field(2, shape).field(8, text);
    let metadata = Message::new().field(1, Message::new().field(1, "text"));
    Message::new().field(1, format!("{name}/text_summary")).field(9, metadata).field(8, tensor)
}

/// A row of the table of hyper-parameters: their names and types, and their values.
pub fn hyper_parameters(params: &[(String, Value)], metrics: &[&str], seconds: f64) -> [Message; 2] {
    let known: Vec<(&str, (i64, Message))> = params.iter().map(|(name, value)| (name.as_str(), typed(value))).collect();
    let infos = known.iter().map(|(name, (kind, _))| Message::new().field(1, name).int(4, *kind));
    let metrics = metrics.iter().map(|tag| Message::new().field(1, Message::new().field(2, tag)));
    let experiment = Message::new().each(4, infos).each(5, metrics);
    let entries = known.iter().map(|(name, (_, value))| Message::new().field(1, name).field(2, value));
    let start = Message::new().each(1, entries).double(5, seconds);
    [plugin("experiment", 2, &experiment), plugin("session_start_info", 3, &start)]
}

/// How the run of that row ended.
pub fn end(status: Status, seconds: f64) -> Message {
    let status = match status {
        Status::Finished => 1,
        Status::Failed | Status::Interrupted => 2,
        Status::Running => 3,
    };
    plugin("session_end_info", 4, &Message::new().int(1, status).double(2, seconds))
}

fn plugin(name: &str, field: u32, data: &Message) -> Message {
    let content = Message::new().field(field, data);
    let metadata = Message::new().field(1, Message::new().field(1, "hparams").field(2, content));
    Message::new().field(1, format!("_hparams_/{name}")).field(9, metadata)
}

/// The plugin's type of a value, and the value as `google.protobuf.Value`.
fn typed(value: &Value) -> (i64, Message) {
    const STRING: i64 = 1;
    const BOOL: i64 = 2;
    const FLOAT: i64 = 3;
    match value {
        Value::Bool(v) => (BOOL, Message::new().int(4, i64::from(*v))),
        Value::Number(v) => (FLOAT, Message::new().double(2, v.as_f64().unwrap_or(f64::NAN))),
        Value::String(v) => (STRING, Message::new().field(3, v)),
        other => (STRING, Message::new().field(3, other.to_string())),
    }
}
