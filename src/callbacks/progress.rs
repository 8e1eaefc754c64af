//! The progress bar; quiet when the output is not a terminal.

use std::io::IsTerminal;
use std::time::Duration;

use indicatif::{ProgressBar as Bar, ProgressDrawTarget, ProgressStyle};

use crate::data::Split;
use crate::prelude::*;
use crate::run::console_through;
use crate::tensor::Stateful;
use crate::train::{Callback, CallbackKind, Cx};

/// A progress bar for every loop: batches, rate, time left and the logged values marked for it.
///
/// Mirrors `lightning.pytorch.callbacks.RichProgressBar` and `TQDMProgressBar`. Shown in a terminal only; elsewhere
/// a line is logged after every epoch.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ProgressBar {
    /// Draw at most once in so many batches; 0 shows no bar.
    #[serde(default = "one")]
    refresh_rate: u64,
    /// Where the bar of a notebook goes.
    #[serde(default)]
    #[allow(dead_code, reason = "accepted for compatibility")]
    process_position: Ignored,
    /// Leave the finished bar of every epoch on the screen.
    #[serde(default)]
    leave: bool,
    /// Colours of rich.
    #[serde(default)]
    #[allow(dead_code, reason = "accepted for compatibility")]
    theme: Ignored,
    /// Options of rich's console.
    #[serde(default)]
    #[allow(dead_code, reason = "accepted for compatibility")]
    console_kwargs: Ignored,
}

fn one() -> u64 {
    1
}

impl Default for ProgressBar {
    fn default() -> Self {
        ProgressBar {
            refresh_rate: 1,
            process_position: Ignored,
            leave: false,
            theme: Ignored,
            console_kwargs: Ignored,
        }
    }
}

impl Component for ProgressBar {
    type Kind = CallbackKind;
    const TARGETS: &'static [&'static str] = &[
        "lightning.pytorch.callbacks.RichProgressBar",
        "lightning.pytorch.callbacks.TQDMProgressBar",
        "lightning.pytorch.callbacks.ProgressBar",
    ];

    fn build(self, _: &mut Build) -> Result<Box<dyn Callback>> {
        Ok(Box::new(Shown { args: self, train: None, eval: None }))
    }
}

impl ProgressBar {
    /// The callback itself, for when none is configured.
    pub fn callback(self) -> Box<dyn Callback> {
        Box::new(Shown { args: self, train: None, eval: None })
    }
}

struct Shown {
    args: ProgressBar,
    train: Option<Bar>,
    eval: Option<Bar>,
}

impl Shown {
    fn start(&self, label: String, batches: usize) -> Option<Bar> {
        if self.args.refresh_rate == 0 || !std::io::stderr().is_terminal() {
            return None;
        }
        let bar = Bar::with_draw_target(Some(batches as u64), ProgressDrawTarget::stderr_with_hz(15));
        let template = "{prefix} {bar:24.cyan/dim} {pos}/{len} {elapsed} < {eta}, {per_sec} {msg}";
        if let Ok(style) = ProgressStyle::with_template(template) {
            bar.set_style(style.progress_chars("━╸─"));
        }
        bar.set_prefix(label);
        let printer = bar.clone();
        console_through(Some(Box::new(move |line| printer.println(line))));
        Some(bar)
    }

    fn finish(&self, bar: Option<Bar>) {
        console_through(None);
        if let Some(bar) = bar {
            if self.args.leave { bar.finish() } else { bar.finish_and_clear() }
        }
    }
}

fn show(bar: &Bar, values: &[(&str, f64)]) {
    let text: Vec<String> = values.iter().map(|(name, value)| format!("{name}: {value:.4}")).collect();
    bar.set_message(text.join("  "));
}

/// The metrics in one line, shortest names first by nothing but their order of logging.
fn line(metrics: &crate::train::MetricStore) -> String {
    let shown = metrics.iter().filter(|(name, _)| !name.starts_with("lr-"));
    shown.map(|(name, value)| format!("{name} {value:.4}")).collect::<Vec<_>>().join("  ")
}

impl Stateful for Shown {}

impl Callback for Shown {
    fn name(&self) -> String {
        "ProgressBar".into()
    }

    fn on_train_epoch_resume(&mut self, cx: &mut Cx) -> Result<()> {
        self.on_train_epoch_start(cx)
    }

    fn on_train_epoch_start(&mut self, cx: &mut Cx) -> Result<()> {
        let of = cx.args.epochs().map(|epochs| format!("/{epochs}")).unwrap_or_default();
        self.train = self.start(format!("epoch {}{of}", cx.progress.epoch + 1), cx.batches);
        if let Some(bar) = &self.train {
            bar.set_position(cx.progress.batch);
            bar.enable_steady_tick(Duration::from_millis(500));
        }
        Ok(())
    }

    fn on_train_batch_end(&mut self, cx: &mut Cx) -> Result<()> {
        if let Some(bar) = &self.train
            && (cx.progress.batch.is_multiple_of(self.args.refresh_rate) || cx.progress.batch == cx.batches as u64)
        {
            bar.set_position(cx.progress.batch);
            show(bar, &cx.log.bar_values());
        }
        Ok(())
    }

    fn on_train_epoch_end(&mut self, cx: &mut Cx) -> Result<()> {
        let bar = self.train.take();
        self.finish(bar);
        tracing::info!("epoch {}: {}", cx.progress.epoch + 1, line(cx.metrics));
        Ok(())
    }

    fn on_eval_start(&mut self, split: Split, cx: &mut Cx) -> Result<()> {
        let label = if cx.sanity_checking { "sanity check" } else { split.name() };
        self.eval = self.start(format!("{label:>5}"), cx.batches);
        Ok(())
    }

    fn on_eval_batch_end(&mut self, _: Split, cx: &mut Cx) -> Result<()> {
        if let Some(bar) = &self.eval {
            bar.set_position(cx.batch as u64 + 1);
        }
        Ok(())
    }

    fn on_eval_end(&mut self, _: Split, _: &mut Cx) -> Result<()> {
        let bar = self.eval.take();
        self.finish(bar);
        Ok(())
    }

    fn on_exception(&mut self, _: &mut Cx) -> Result<()> {
        for bar in [self.train.take(), self.eval.take()] {
            self.finish(bar);
        }
        Ok(())
    }
}
