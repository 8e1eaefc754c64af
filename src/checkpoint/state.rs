//! What a run saves and resumes from.

use std::path::Path;

use indexmap::IndexMap;
use serde_json::{Map, Value};
use tch::Tensor;

use super::{Snapshot, TensorFile};
use crate::error::{Context, Error, Result};
use crate::tensor::State;

/// Below this come the tensors that are not weights: `runner/optimizer.0.state.3.exp_avg`.
pub const STATE_PREFIX: &str = "runner/";

/// The version of the layout, under `runner.format` in the metadata. A reader refuses a newer one.
pub const FORMAT_VERSION: u32 = 1;

const FORMAT: &str = "runner.format";
const STATE: &str = "runner.state";

/// A checkpoint: the weights under their state-dict names, the state of everything else, and information as text.
///
/// In the file the weights are plain entries, so that `safetensors.torch.load_file` and any other reader find them
/// where PyTorch would put them; a reader that wants weights alone leaves out what begins with [`STATE_PREFIX`].
/// The state's value is JSON in the metadata, under `runner.state`; the information is metadata under their own names.
#[derive(Debug, Default)]
pub struct Checkpoint {
    /// Parameters and buffers by their state-dict names.
    pub weights: IndexMap<String, Tensor>,
    /// Optimizers, schedulers, loops, callbacks, loggers, random numbers, data order: nested by name
    /// ([`State::nest`]). Empty in a file of weights alone.
    pub state: State,
    /// Text: the resolved config, versions, class names.
    pub info: IndexMap<String, String>,
}

impl Checkpoint {
    /// Copies everything to host memory. This is all that training waits for; [`Snapshot::write`] may run on any
    /// thread.
    ///
    /// # Errors
    /// When a weight's name begins with [`STATE_PREFIX`], or an information's name is one that the format uses.
    pub fn snapshot(&self) -> Result<Snapshot> {
        if let Some(name) = self.weights.keys().find(|name| name.starts_with(STATE_PREFIX)) {
            return Err(Error::failed(format!("a weight cannot be called `{name}`: `{STATE_PREFIX}` is reserved")));
        }
        if let Some(name) = self.info.keys().find(|name| [FORMAT, STATE, "format", "blake3"].contains(&name.as_str())) {
            return Err(Error::failed(format!(
                "a checkpoint's information cannot be called `{name}`: the format uses it"
            )));
        }
        // `format: pt` tells other readers that the tensors are laid out as PyTorch's.
        let mut metadata = IndexMap::from([
            ("format".to_owned(), "pt".to_owned()),
            (FORMAT.to_owned(), FORMAT_VERSION.to_string()),
            (STATE.to_owned(), self.state.value.to_string()),
        ]);
        metadata.extend(self.info.iter().map(|(name, text)| (name.clone(), text.clone())));
        let weights = self.weights.iter().map(|(name, tensor)| (name.clone(), tensor));
        let state = self.state.tensors.iter().map(|(name, tensor)| (format!("{STATE_PREFIX}{name}"), tensor));
        Snapshot::take(weights.chain(state), metadata)
    }

    /// Writes the checkpoint to `path`, whole or not at all.
    ///
    /// # Errors
    /// As [`Checkpoint::snapshot`] and [`Snapshot::write`].
    pub fn write(&self, path: &Path) -> Result<()> {
        self.snapshot()?.write(path)
    }

    /// Reads a checkpoint, tensors on the CPU.
    ///
    /// # Errors
    /// When the file is missing, truncated, altered, not a checkpoint of runner's, or of a newer version; the
    /// message names the file and which of them.
    pub fn read(path: &Path) -> Result<Self> {
        Self::of(&TensorFile::open(path)?)
    }

    /// Reads the checkpoint in an open file.
    ///
    /// # Errors
    /// As [`Checkpoint::read`].
    pub fn of(file: &TensorFile) -> Result<Self> {
        let (info, value) = Self::info_of(file)?;
        let mut weights = IndexMap::new();
        let mut state = State::of(value);
        for name in file.names() {
            let tensor = file.tensor(name)?;
            match name.strip_prefix(STATE_PREFIX) {
                Some(name) => state.tensors.insert(name.to_owned(), tensor),
                None => weights.insert(name.to_owned(), tensor),
            };
        }
        Ok(Checkpoint { weights, state, info })
    }

    /// The information and the state's value, which is JSON.
    fn info_of(file: &TensorFile) -> Result<(IndexMap<String, String>, Value)> {
        let failed = |what: &str| Error::failed(format!("cannot read {}: {what}", file.path().display()));
        let mut info = file.metadata().clone();
        let version = info.shift_remove(FORMAT);
        let Some(version) = version else {
            return Err(failed("it is not a checkpoint that can be resumed")
                .help("a file of weights alone can be loaded into a network, not resumed"));
        };
        if !version.parse::<u32>().is_ok_and(|version| version <= FORMAT_VERSION) {
            return Err(failed(&format!("its format {version} is newer than {FORMAT_VERSION}, the newest known here"))
                .help("read it with the version of runner that wrote it, or a newer one"));
        }
        if !file.is_sealed() {
            return Err(failed("it was altered: its checksum is gone"));
        }
        let value = info.shift_remove(STATE).unwrap_or_else(|| "null".into());
        let value: Value = serde_json::from_str(&value).context(format!("cannot read {}", file.path().display()))?;
        for key in ["blake3", "format"] {
            info.shift_remove(key);
        }
        Ok((info, value))
    }

    /// What a checkpoint says about itself in text, without its tensors.
    ///
    /// # Errors
    /// As [`Checkpoint::read`].
    pub fn read_info(path: &Path) -> Result<IndexMap<String, String>> {
        Self::info_of(&TensorFile::open(path)?).map(|(info, _)| info)
    }

    /// The state's JSON, read from the header alone: the checksum is not looked at. For choosing among files.
    ///
    /// # Errors
    /// When the file is missing, truncated, or not a checkpoint of runner's.
    pub fn peek_state(path: &Path) -> Result<Value> {
        let metadata = TensorFile::peek(path)?;
        let failed = |what: String| Error::failed(format!("cannot read {}: {what}", path.display()));
        match metadata.get(STATE) {
            Some(text) => serde_json::from_str(text).map_err(|error| failed(error.to_string())),
            None => Ok(Value::Null),
        }
    }

    /// The state of the part `name`, or an error that names it.
    ///
    /// # Errors
    /// When the checkpoint has no such part, as one that was saved with `save_weights_only`.
    pub fn part(&self, name: &str) -> Result<State> {
        let known = self.state.value.as_object().is_some_and(|parts: &Map<String, Value>| parts.contains_key(name));
        if !known {
            return Err(Error::failed(format!("the checkpoint holds no state of the {name}"))
                .help("it may hold weights alone; start a new run from them instead of resuming"));
        }
        Ok(self.state.nested(name))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;
    use tch::{Device, Kind};

    fn checkpoint() -> Checkpoint {
        let ones = |n: i64| Tensor::ones([n], (Kind::Float, Device::Cpu));
        let mut state = State::default();
        let optimizer = State {
            tensors: IndexMap::from([("state.0.exp_avg".to_owned(), ones(2) * 3)]),
            value: json!({ "param_groups": [{ "lr": 0.1 + 0.2 }] }),
        };
        state.nest("optimizer", optimizer);
        state.nest("loop", State::of(json!({ "step": 12 })));
        Checkpoint {
            weights: IndexMap::from([("fc.weight".to_owned(), ones(4))]),
            state,
            info: IndexMap::from([("config".to_owned(), "seed: 1\n".to_owned())]),
        }
    }

    #[test]
    fn comes_back_as_it_was() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("last.ckpt");
        checkpoint().write(&path).unwrap();
        assert_eq!(Checkpoint::read_info(&path).unwrap(), checkpoint().info);
        let read = Checkpoint::read(&path).unwrap();
        assert_eq!(read.weights.keys().collect::<Vec<_>>(), ["fc.weight"]);
        assert_eq!(read.info, checkpoint().info);
        let optimizer = read.part("optimizer").unwrap();
        assert_eq!(optimizer.value["param_groups"][0]["lr"].as_f64(), Some(0.1 + 0.2));
        assert_eq!(Vec::<f32>::try_from(&optimizer.tensors["state.0.exp_avg"]).unwrap(), [3.0, 3.0]);
        assert_eq!(read.part("loop").unwrap().value["step"], 12);
        assert!(read.part("scaler").unwrap_err().to_string().contains("no state of the scaler"));
        // The same content makes the same file.
        let again = folder.path().join("again.ckpt");
        checkpoint().write(&again).unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), std::fs::read(&again).unwrap());
    }

    #[test]
    fn what_is_no_checkpoint_is_refused_by_name() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("model.safetensors");
        super::super::safetensors::write(&path, &checkpoint().weights, IndexMap::new()).unwrap();
        let error = Checkpoint::read(&path).unwrap_err().to_string();
        assert!(error.contains("model.safetensors: it is not a checkpoint that can be resumed"), "{error}");

        checkpoint().write(&path).unwrap();
        let whole = std::fs::read(&path).unwrap();
        for at in 0..whole.len() {
            let mut altered = whole.clone();
            altered[at] ^= 1;
            let read = TensorFile::of(altered.into(), &path).and_then(|file| Checkpoint::of(&file));
            assert!(read.is_err(), "byte {at} was altered unseen");
        }

        let metadata = [("runner.format".to_owned(), "99".to_owned())].into();
        super::super::safetensors::write(&path, &checkpoint().weights, metadata).unwrap();
        let error = Checkpoint::read(&path).unwrap_err().to_string();
        assert!(error.contains("its format 99 is newer than 1"), "{error}");
    }

    #[test]
    fn reserved_names_are_refused() {
        let mut bad = checkpoint();
        bad.info.insert("blake3".into(), String::new());
        assert!(bad.snapshot().err().unwrap().to_string().contains("`blake3`"));
        let mut bad = checkpoint();
        bad.weights.insert("runner/x".into(), Tensor::from(1.0));
        assert!(bad.snapshot().err().unwrap().to_string().contains("`runner/x`"));
    }
}
