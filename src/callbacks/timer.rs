//! A limit on the time of training.

use std::time::Instant;

use serde_json::json;

use super::duration::Seconds;
use crate::prelude::*;
use crate::tensor::{State, Stateful};
use crate::train::{Callback, CallbackKind, Cx};

/// Measures the time of training and stops it when the time is over; a resumed run goes on counting.
///
/// Mirrors `lightning.pytorch.callbacks.Timer`.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Timer {
    /// The time that training may take: `DD:HH:MM:SS`, seconds, or a mapping such as `{hours: 1, minutes: 30}`.
    /// Without it time is only measured.
    #[serde(default)]
    duration: Option<Seconds>,
    /// When the clock is looked at: after every `step` or every `epoch`.
    #[serde(default)]
    interval: Interval,
    /// Say it when the time is over.
    #[serde(default = "yes")]
    verbose: bool,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
enum Interval {
    #[default]
    Step,
    Epoch,
}

fn yes() -> bool {
    true
}

impl Component for Timer {
    type Kind = CallbackKind;
    const TARGETS: &'static [&'static str] = &["lightning.pytorch.callbacks.Timer"];

    fn build(self, _: &mut Build) -> Result<Box<dyn Callback>> {
        Ok(Box::new(Clock { args: self, before: 0.0, started: None }))
    }
}

struct Clock {
    args: Timer,
    /// Seconds of the runs that this one goes on from.
    before: f64,
    started: Option<Instant>,
}

impl Clock {
    fn elapsed(&self) -> f64 {
        self.before + self.started.map_or(0.0, |started| started.elapsed().as_secs_f64())
    }

    fn check(&self, cx: &Cx) {
        let Some(limit) = self.args.duration.filter(|limit| self.elapsed() >= limit.0) else { return };
        let reason = format!("the time of {} s is over after {:.1} s of training: stopping", limit.0, self.elapsed());
        if self.args.verbose {
            tracing::info!("{reason}");
        }
        cx.stop.stop(reason);
    }
}

impl Stateful for Clock {
    fn state(&self) -> State {
        State::of(json!({ "time_elapsed": self.elapsed() }))
    }

    fn restore(&mut self, state: &State) -> Result<()> {
        self.before = state.value["time_elapsed"].as_f64().unwrap_or(0.0);
        Ok(())
    }
}

impl Callback for Clock {
    fn name(&self) -> String {
        "Timer".into()
    }

    /// A resumed run whose time is over does not begin again.
    fn on_fit_start(&mut self, cx: &mut Cx) -> Result<()> {
        self.check(cx);
        Ok(())
    }

    fn on_train_start(&mut self, _: &mut Cx) -> Result<()> {
        self.started = Some(Instant::now());
        Ok(())
    }

    fn on_train_batch_end(&mut self, cx: &mut Cx) -> Result<()> {
        if self.args.interval == Interval::Step {
            self.check(cx);
        }
        Ok(())
    }

    fn on_train_epoch_end(&mut self, cx: &mut Cx) -> Result<()> {
        if self.args.interval == Interval::Epoch {
            self.check(cx);
        }
        Ok(())
    }

    fn on_train_end(&mut self, _: &mut Cx) -> Result<()> {
        self.before = self.elapsed();
        self.started = None;
        Ok(())
    }
}
