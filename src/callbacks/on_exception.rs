//! A checkpoint of a run that fails.

use std::path::PathBuf;

use super::filename::{Counts, fill};
use crate::prelude::*;
use crate::tensor::Stateful;
use crate::train::{Callback, CallbackKind, Cx, Phase, Request};

/// Saves a checkpoint when the run fails or is interrupted.
///
/// Mirrors `lightning.pytorch.callbacks.OnExceptionCheckpoint`.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct OnExceptionCheckpoint {
    /// The folder.
    dirpath: PathBuf,
    /// The file's name; a template as ModelCheckpoint's.
    #[serde(default = "name")]
    filename: String,
}

fn name() -> String {
    "on_exception".into()
}

impl Component for OnExceptionCheckpoint {
    type Kind = CallbackKind;
    const TARGETS: &'static [&'static str] = &["lightning.pytorch.callbacks.OnExceptionCheckpoint"];

    fn check(&self, cx: &mut Check) {
        if self.filename.is_empty() {
            cx.problem("filename", "the file name is empty");
        } else if let Err(error) = fill(&self.filename, &Counts { epoch: 0, step: 0 }, &Default::default(), true) {
            cx.problem("filename", error.to_string());
        }
    }

    fn build(self, _: &mut Build) -> Result<Box<dyn Callback>> {
        Ok(Box::new(self))
    }
}

impl Stateful for OnExceptionCheckpoint {}

impl Callback for OnExceptionCheckpoint {
    fn name(&self) -> String {
        "OnExceptionCheckpoint".into()
    }

    fn phase(&self) -> Phase {
        Phase::Checkpoint
    }

    fn skipped_in_fast_dev_run(&self) -> bool {
        true
    }

    fn on_exception(&mut self, cx: &mut Cx) -> Result<()> {
        let counts = Counts { epoch: cx.progress.epoch, step: cx.progress.global_step };
        let name = fill(&self.filename, &counts, cx.metrics, true)?;
        let path = self.dirpath.join(format!("{name}.ckpt"));
        tracing::info!("saving {}", path.display());
        cx.requests.push(Request::Save { path, weights_only: false });
        Ok(())
    }
}
