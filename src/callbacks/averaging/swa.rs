//! Stochastic weight averaging (Izmailov et al., 2018).

use serde_json::json;

use super::store::{Average, Rule};
use crate::checkpoint::Checkpoint;
use crate::error::Error;
use crate::optim::schedulers::{Annealing, SwaLr};
use crate::optim::{Horizon, SchedulerSpec};
use crate::prelude::*;
use crate::tensor::{State, Stateful};
use crate::train::{Callback, CallbackKind, Cx, Schedule};

/// Averages the weights of the last epochs, which are trained at a constant rate; the average is the result.
///
/// Mirrors `lightning.pytorch.callbacks.StochasticWeightAveraging`. From epoch `swa_epoch_start` on the schedule is
/// replaced by SWALR, and every epoch's weights enter a plain mean. After the last epoch the mean is put into the
/// network, the running statistics of its batch normalizations are gathered by a pass over the training data, and it
/// is validated, so that ModelCheckpoint judges it like any other.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[allow(dead_code, reason = "some arguments are only accepted")]
pub struct StochasticWeightAveraging {
    /// The learning rate while averaging, for all groups of parameters or one for each.
    swa_lrs: OneOrMany<Positive>,
    /// Where averaging begins: an epoch, counted from 1 (`5`), or a share of the epochs (`0.8`).
    #[serde(default = "most")]
    swa_epoch_start: IntOrFloat,
    /// In how many epochs the rate goes from where it is to `swa_lrs`.
    #[serde(default = "ten")]
    annealing_epochs: u64,
    /// Along a cosine (`cos`) or a line (`linear`).
    #[serde(default)]
    annealing_strategy: Annealing,
    /// A Python function; the plain mean is what there is.
    #[serde(default)]
    avg_fn: Option<String>,
    /// The average is kept on the network's device.
    #[serde(default)]
    device: Ignored,
}

fn most() -> IntOrFloat {
    IntOrFloat::Float(0.8)
}

fn ten() -> u64 {
    10
}

impl Component for StochasticWeightAveraging {
    type Kind = CallbackKind;
    const TARGETS: &'static [&'static str] = &["lightning.pytorch.callbacks.StochasticWeightAveraging"];

    fn check(&self, cx: &mut Check) {
        match self.swa_epoch_start {
            IntOrFloat::Int(0) => {
                cx.problem("swa_epoch_start", "is an epoch from 1 on, or a share of the epochs from 0.0 to 1.0");
            }
            IntOrFloat::Float(share) if share > 1.0 => {
                cx.problem("swa_epoch_start", "as a share of the epochs is at most 1.0");
            }
            _ => {}
        }
        if self.avg_fn.is_some() {
            cx.problem("avg_fn", "`avg_fn` is a Python function and cannot be called; the plain mean is taken").help =
                Some("for a moving average use lightning.pytorch.callbacks.EMAWeightAveraging".into());
        }
    }

    fn build(self, _: &mut Build) -> Result<Box<dyn Callback>> {
        Ok(Box::new(Swa { args: self, start: 0, average: Average::default(), latest: None, begun: false }))
    }
}

struct Swa {
    args: StochasticWeightAveraging,
    /// The first epoch of averaging, from 0.
    start: u64,
    average: Average,
    /// The epoch at whose start the weights were last taken in.
    latest: Option<u64>,
    /// Whether the schedule has been replaced.
    begun: bool,
}

impl Swa {
    /// Puts SWALR in the schedule's place.
    fn replace_schedule(&self, cx: &mut Cx) -> Result<()> {
        let (Some(optimizer), Some(schedule)) = (cx.optimizer.as_deref_mut(), cx.schedule.as_deref_mut()) else {
            return Ok(());
        };
        let rates = self.args.swa_lrs.as_slice().iter().map(|lr| lr.0).collect::<Vec<_>>();
        let swa_lr = match rates.as_slice() {
            [rate] => OneOrMany::One(*rate),
            _ => OneOrMany::Many(rates),
        };
        let spec = SwaLr {
            swa_lr,
            anneal_epochs: self.args.annealing_epochs,
            anneal_strategy: self.args.annealing_strategy,
            last_epoch: Default::default(),
        };
        *schedule = Some(Schedule::each_epoch(spec.make(optimizer, Horizon::default())?));
        Ok(())
    }
}

impl Stateful for Swa {
    fn state(&self) -> State {
        let mut state = State::of(
            json!({ "n_averaged": self.average.count, "latest_update_epoch": self.latest, "begun": self.begun }),
        );
        if self.begun {
            self.average.save_into(&mut state, "average");
        }
        state
    }

    fn restore(&mut self, state: &State) -> Result<()> {
        let read = |key: &str| state.value.get(key).cloned().unwrap_or_default();
        let unreadable =
            |error| Error::failed(format!("the state of StochasticWeightAveraging cannot be read: {error}"));
        self.average.count = serde_json::from_value(read("n_averaged")).map_err(unreadable)?;
        self.latest = serde_json::from_value(read("latest_update_epoch")).map_err(unreadable)?;
        self.begun = serde_json::from_value(read("begun")).map_err(unreadable)?;
        if self.begun {
            Average::put(&state.nested("average"), self.average.tensors(), "StochasticWeightAveraging")?;
        }
        Ok(())
    }
}

impl Callback for Swa {
    fn name(&self) -> String {
        "StochasticWeightAveraging".into()
    }

    fn on_optimizer(&mut self, cx: &mut Cx) -> Result<()> {
        let first = match (self.args.swa_epoch_start, cx.args.epochs()) {
            (IntOrFloat::Int(epoch), _) => epoch,
            (IntOrFloat::Float(share), Some(epochs)) => (epochs as f64 * share) as u64,
            (IntOrFloat::Float(share), None) => {
                return Err(Error::request(format!(
                    "callbacks: swa_epoch_start={share} is a share of the epochs, but trainer.max_epochs sets no number"
                ))
                .help("give swa_epoch_start as a whole number, or set trainer.max_epochs"));
            }
        };
        self.start = first.saturating_sub(1);
        self.average = Average::of(cx.task.params(), false)?;
        Ok(())
    }

    fn on_load_checkpoint(&mut self, _: &Checkpoint, cx: &mut Cx) -> Result<()> {
        if self.begun { self.replace_schedule(cx) } else { Ok(()) }
    }

    fn on_train_epoch_start(&mut self, cx: &mut Cx) -> Result<()> {
        let epoch = cx.progress.epoch;
        if epoch < self.start {
            return Ok(());
        }
        if !self.begun {
            self.begun = true;
            self.replace_schedule(cx)?;
            tracing::info!("epoch {}: stochastic weight averaging begins", epoch + 1);
        }
        if self.latest.is_none_or(|latest| epoch > latest) {
            self.average.update(cx.task.params(), Rule::Mean)?;
            self.latest = Some(epoch);
        }
        Ok(())
    }

    /// Lightning keeps the last step's weights when training stops early; so does this.
    fn on_last_epoch_end(&mut self, cx: &mut Cx) -> Result<bool> {
        let complete = cx.args.epochs().is_none_or(|epochs| cx.progress.epoch >= epochs);
        if !self.begun || !complete {
            return Ok(false);
        }
        self.average.copy_to(cx.task.params())?;
        tracing::info!("the weights are now the mean of {} epochs", self.average.count);
        Ok(true)
    }
}
