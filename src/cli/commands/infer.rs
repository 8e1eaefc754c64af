//! `runner infer`: what a trained network says of files, with nothing at hand but the run's folder or its checkpoint.

use std::io::Write;
use std::path::{Path, PathBuf};

use serde_json::{Map as JsonMap, Value as Json};
use walkdir::WalkDir;

use super::checkpoints;
use super::query::Query;
use crate::checkpoint::TensorFile;
use crate::cli::compose::{Composed, Request};
use crate::config::{KeyPath, Node, Value};
use crate::data::datasets::is_image;
use crate::data::record::read_facts;
use crate::data::{DataFacts, DataModuleKind, LabelKind, Loader};
use crate::error::{Error, Result};
use crate::nn::{DataShape, Dims};
use crate::registry::{Build, Kind, KindInfo, Registry, Slot};
use crate::run::start_logging;
use crate::tensor::guard;
use crate::train::{Rows, Task, TaskKind, TrainerKind};

/// How predictions are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Format {
    /// A table.
    Csv,
    /// An object a line.
    JsonLines,
    /// One list of `path`, `class` and `score`.
    Json,
    /// The table that varKoder's query writes.
    Varkoder,
}

/// The options that are no overrides of the config.
struct Options {
    format: Format,
    out: Option<PathBuf>,
    /// With varkoder's table: a column for every label's probability.
    include_probs: bool,
}

const OPTIONS: &[&str] = &["format", "out", "overwrite", "include_probs"];

impl Options {
    fn of(request: &Request) -> Result<Self> {
        let out = request.typed("out").map(PathBuf::from);
        let ending = out.as_ref().and_then(|path| path.extension()).map(|ending| ending.to_string_lossy().into_owned());
        let format = match request.typed("format").or(ending.as_deref()) {
            None | Some("csv") => Format::Csv,
            Some("jsonl" | "ndjson") => Format::JsonLines,
            Some("json") => Format::Json,
            Some("varkoder") => Format::Varkoder,
            Some(other) if request.typed("format").is_none() => {
                return Err(Error::request(format!("the ending .{other} names no format"))
                    .help("give format=csv, jsonl or json"));
            }
            Some(other) => {
                return Err(Error::request(format!("format is csv, jsonl, json or varkoder, not `{other}`")));
            }
        };
        let overwrite = request.typed("overwrite") == Some("true");
        if let Some(path) = out.as_ref().filter(|path| path.exists() && !overwrite) {
            return Err(
                Error::request(format!("{} exists", path.display())).help("give another out=…, or overwrite=true")
            );
        }
        Ok(Options { format, out, include_probs: request.typed("include_probs") == Some("true") })
    }
}

/// The command.
///
/// # Errors
/// When the checkpoint does not say how it was made, or no file can be read.
pub fn infer(request: &Request, registry: &Registry) -> Result<i32> {
    start_logging(None)?;
    let options = Options::of(request)?;
    let checkpoint = checkpoints::find(&request.words[0])?;
    let (files, root) = gather(&request.words[1..])?;
    let mut model = Model::load(&request.without(OPTIONS), registry, &checkpoint)?;
    let loader = model.loader(files)?;
    let name = |path: &Path| path.strip_prefix(&root).unwrap_or(path).display().to_string();
    let query = Query {
        checkpoint: checkpoint.display().to_string(),
        threshold: model.threshold.clone(),
        include_probs: options.include_probs,
    };
    let mut sink = Sink::open(&options)?;
    let mut failed = Vec::new();
    let mut count = 0;
    for batch in loader.epoch(0, 0) {
        let batch = batch?;
        failed.extend(batch.failed.iter().map(|(index, why)| (loader.dataset.id(*index), why.clone())));
        if batch.is_empty() {
            continue;
        }
        let ids: Vec<String> = batch
            .indices
            .iter()
            .map(|&index| loader.dataset.path(index).map_or_else(|| loader.dataset.id(index), name))
            .collect();
        let batch = batch.to_device(model.device)?;
        let mut rows = tch::no_grad(|| guard(|| model.task.predict_step(&batch)))?;
        count += ids.len();
        if options.format == Format::Varkoder {
            let known = batch.indices.iter().map(|&index| loader.dataset.row(index)).collect();
            rows = query.table(loader.dataset.columns(), known, rows);
        }
        sink.rows(&ids, &rows)?;
    }
    sink.close()?;
    for (path, why) in &failed {
        let why = if why.contains(path.as_str()) { why.clone() } else { format!("{path}: {why}") };
        eprintln!("left out: {why}");
    }
    if count == 0 {
        return Err(Error::failed("none of the files could be read"));
    }
    let bad = if failed.is_empty() { String::new() } else { format!(", {} files could not be read", failed.len()) };
    match &options.out {
        Some(path) => println!("{count} predictions{bad}: {}", path.display()),
        None if !failed.is_empty() => eprintln!("{count} predictions{bad}"),
        None => {}
    }
    Ok(0)
}

/// All files meant, folders with everything below them, and what their names are shown relative to.
fn gather(words: &[String]) -> Result<(Vec<PathBuf>, PathBuf)> {
    let mut files = Vec::new();
    for word in words {
        let path = PathBuf::from(word);
        if path.is_dir() {
            for entry in WalkDir::new(&path).follow_links(true).sort_by_file_name() {
                let entry = entry.map_err(|error| Error::failed(format!("{}: {error}", path.display())))?;
                if entry.file_type().is_file() && is_image(entry.path()) {
                    files.push(entry.into_path());
                }
            }
        } else if path.exists() {
            files.push(path);
        } else {
            return Err(Error::request(format!("there is no file {word}")));
        }
    }
    if files.is_empty() {
        return Err(Error::request(format!("there are no images in {}", words.join(", "))));
    }
    let root = match words {
        [only] if Path::new(only).is_dir() => PathBuf::from(only),
        _ => PathBuf::new(),
    };
    Ok((files, root))
}

/// A trained network with what it needs to read files.
struct Model {
    task: Box<dyn Task>,
    data: Box<dyn crate::data::DataModule>,
    device: tch::Device,
    /// From which probability on a label is predicted, where the model has labels.
    threshold: Option<String>,
}

impl Model {
    fn load(request: &Request, registry: &Registry, path: &Path) -> Result<Self> {
        let file = TensorFile::open(path)?;
        let config = file.metadata().get("config").ok_or_else(|| {
            Error::request(format!("{} does not say with which config it was trained", path.display()))
                .help("give a checkpoint of `runner train`; for other weights see `runner predict --config-name eval`")
        })?;
        let facts = match file.metadata().get("facts") {
            Some(text) => serde_json::from_str(text)
                .map_err(|error| Error::failed(format!("{}: the facts about its data: {error}", path.display())))?,
            None => facts_of_run(path),
        };
        let composed: Composed = request.compose_saved(config, path)?;
        let config = composed.resolve(&composed.run_dir()?)?;
        let mut cx = Build::new(registry);
        let trainer = slot::<TrainerKind>(&config, "trainer")?;
        let task = own_weights_only(slot::<TaskKind>(&config, "model")?);
        registry.find(&task.node, &task.path, KindInfo::of::<TaskKind>())?;
        let device = cx.build(&trainer)?.effective().device()?;
        tch::manual_seed(0);
        provide(&mut cx, &facts, device);
        let mut task = cx.build(&task)?;
        task.setup(&facts)?;
        checkpoints::load_into(task.params(), path)?;
        let data = cx.build(&slot::<DataModuleKind>(&config, "data")?)?;
        let threshold = (facts.labels == LabelKind::Multi).then(|| {
            let given = config.select("model.threshold").filter(|node| !node.is_null());
            given.map_or_else(|| "0.5".to_owned(), crate::config::text::py_str)
        });
        Ok(Model { task, data, device, threshold })
    }

    fn loader(&self, files: Vec<PathBuf>) -> Result<Loader> {
        self.data.files(files)?.ok_or_else(|| {
            Error::request("this model was not trained on files of images")
                .help("use `runner predict` with data of its kind")
        })
    }
}

/// What the rest of a run's construction learns from the data.
pub fn provide(cx: &mut Build, facts: &DataFacts, device: tch::Device) {
    cx.provide(device);
    cx.provide(Dims {
        // An input of three dimensions is an image: channels, height, width.
        channels: facts.input_shape.as_ref().filter(|shape| shape.len() == 3).map(|shape| shape[0]),
        classes: (!facts.classes.is_empty()).then_some(facts.classes.len() as i64),
    });
    let heads = facts.levels.iter().map(|level| (level.name.clone(), level.classes.len() as i64)).collect();
    cx.provide(DataShape { input: facts.input_shape.clone(), heads });
    cx.provide(facts.clone());
}

/// The facts that lie in the run's folder, where the checkpoint does not hold them.
fn facts_of_run(checkpoint: &Path) -> DataFacts {
    let mut folders = checkpoint.ancestors().skip(1).take(3);
    folders.find_map(|folder| read_facts(folder).ok()).unwrap_or_default()
}

fn slot<K: Kind>(config: &Node, key: &str) -> Result<Slot<K>> {
    let node = config.get(key).ok_or_else(|| Error::request(format!("the saved config has no `{key}`")))?;
    Ok(Slot::new(node.clone(), KeyPath::root().key(key)))
}

/// The task without the files that its weights were once taken from: the checkpoint has them all.
fn own_weights_only(mut slot: Slot<TaskKind>) -> Slot<TaskKind> {
    fn clear(node: &mut Node) {
        match &mut node.value {
            Value::Map(map) => {
                for key in ["weights", "pretrained", "checkpoint_path", "continue_from"] {
                    let names_weights = |node: &Node| matches!(node.value, Value::Str(_) | Value::Bool(_));
                    if map.get(key).is_some_and(names_weights) {
                        map.shift_remove(key);
                    }
                }
                map.values_mut().for_each(clear);
            }
            Value::List(list) => list.iter_mut().for_each(clear),
            _ => {}
        }
    }
    if let Some(net) = slot.node.as_map_mut().and_then(|map| map.get_mut("net")) {
        clear(net);
    }
    slot
}

/// Where predictions go, row by row.
struct Sink {
    out: Box<dyn Write>,
    format: Format,
    started: bool,
    /// The file that is being written, and its name once it is whole.
    file: Option<(PathBuf, PathBuf)>,
}

impl Sink {
    fn open(options: &Options) -> Result<Self> {
        let file = options.out.as_ref().map(|path| {
            let mut partial = path.clone().into_os_string();
            partial.push(".partial");
            (PathBuf::from(partial), path.clone())
        });
        let out: Box<dyn Write> = match &file {
            None => Box::new(std::io::stdout()),
            Some((partial, _)) => {
                if let Some(parent) = partial.parent().filter(|parent| !parent.as_os_str().is_empty()) {
                    std::fs::create_dir_all(parent).map_err(|error| Error::io("make", parent, error))?;
                }
                Box::new(std::io::BufWriter::new(
                    std::fs::File::create(partial).map_err(|error| Error::io("write", partial, error))?,
                ))
            }
        };
        Ok(Sink { out, format: options.format, started: false, file })
    }

    fn rows(&mut self, ids: &[String], rows: &Rows) -> Result<()> {
        let mut text = Vec::new();
        match self.format {
            Format::Csv | Format::Varkoder => {
                let failed = |error: csv::Error| Error::failed(format!("the table cannot be written: {error}"));
                let mut writer = csv::Writer::from_writer(&mut text);
                if !self.started {
                    let first = if self.format == Format::Varkoder { "varKode_image_path" } else { "path" };
                    let columns = std::iter::once(first).chain(rows.columns.iter().map(String::as_str));
                    writer.write_record(columns).map_err(failed)?;
                }
                for (id, row) in ids.iter().zip(&rows.rows) {
                    writer.write_record(std::iter::once(id).chain(row)).map_err(failed)?;
                }
                writer.flush().map_err(|error| Error::failed(error.to_string()))?;
                drop(writer);
            }
            Format::JsonLines => {
                for (id, row) in ids.iter().zip(&rows.rows) {
                    let mut object = JsonMap::from_iter([("path".to_owned(), Json::from(id.as_str()))]);
                    let cells = rows.columns.iter().zip(row);
                    object.extend(cells.map(|(name, cell)| (name.clone(), number_or_text(name, cell))));
                    text.extend(Json::Object(object).to_string().bytes());
                    text.push(b'\n');
                }
            }
            Format::Json => {
                for (id, row) in ids.iter().zip(&rows.rows) {
                    let object = best(id, &rows.columns, row);
                    text.extend(if self.started || text.len() > 1 { &b",\n"[..] } else { b"[\n" });
                    text.extend(object.to_string().bytes());
                }
            }
        }
        self.started = true;
        self.write(&text)
    }

    fn write(&mut self, text: &[u8]) -> Result<()> {
        match self.out.write_all(text).and_then(|()| self.out.flush()) {
            // A reader that has seen enough (`| head`) is no error.
            Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => std::process::exit(0),
            result => result.map_err(|error| Error::failed(format!("predictions cannot be written: {error}"))),
        }
    }

    fn close(mut self) -> Result<()> {
        if self.format == Format::Json {
            let end = if self.started { &b"\n]\n"[..] } else { b"[]\n" };
            self.write(end)?;
        }
        drop(self.out);
        match &self.file {
            Some((partial, path)) => std::fs::rename(partial, path).map_err(|error| Error::io("write", path, error)),
            None => Ok(()),
        }
    }
}

/// Probabilities are numbers, all else is text.
fn number_or_text(column: &str, cell: &str) -> Json {
    if column == "p" || column.starts_with("p_") {
        cell.parse::<f64>().map_or_else(|_| Json::from(cell), Json::from)
    } else {
        Json::from(cell)
    }
}

/// The prediction of the first level and its probability.
fn best(id: &str, columns: &[String], row: &[String]) -> Json {
    let cell = |at: usize| row.get(at).map_or("", String::as_str);
    let class = columns.iter().position(|name| name.starts_with("prediction")).map_or("", cell);
    let level = columns.iter().find_map(|name| name.strip_prefix("prediction")).unwrap_or_default();
    let named = columns.iter().position(|name| *name == format!("p{level}") || *name == format!("p_{class}"));
    let score = named.and_then(|at| cell(at).parse::<f64>().ok());
    serde_json::json!({ "path": id, "class": class, "score": score })
}
