//! The progress bar; quiet when the output is not a terminal.

use std::fmt::Write;
use std::io::IsTerminal;
use std::time::Duration;

use indicatif::{MultiProgress, ProgressBar as Bar, ProgressDrawTarget, ProgressState, ProgressStyle};

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
        Ok(Box::new(Shown { args: self, screen: None, train: None, eval: None }))
    }
}

impl ProgressBar {
    /// The callback itself, for when none is configured.
    pub fn callback(self) -> Box<dyn Callback> {
        Box::new(Shown { args: self, screen: None, train: None, eval: None })
    }
}

struct Shown {
    args: ProgressBar,
    /// What draws the bars and keeps log lines above them, while there are bars.
    screen: Option<MultiProgress>,
    train: Option<Bar>,
    eval: Option<Bar>,
}

/// The look of a bar in a terminal so many columns wide: metrics matter more than the bar.
fn template(columns: u16) -> &'static str {
    match columns {
        110.. => "{prefix} {bar:24.cyan/dim} {pos}/{len} {elapsed}<{eta} {rate} {msg}",
        70.. => "{prefix} {bar:10.cyan/dim} {pos}/{len} {elapsed}<{eta} {rate} {msg}",
        _ => "{prefix} {pos}/{len} <{eta} {msg}",
    }
}

impl Shown {
    fn start(&mut self, label: String, batches: usize) -> Option<Bar> {
        if self.args.refresh_rate == 0 || !std::io::stderr().is_terminal() {
            return None;
        }
        let target = || ProgressDrawTarget::stderr_with_hz(15);
        let screen = self.screen.get_or_insert_with(|| MultiProgress::with_draw_target(target()));
        let bar = screen.add(Bar::new(batches as u64));
        if let Ok(style) = ProgressStyle::with_template(template(console::Term::stderr().size().1)) {
            let rate = |state: &ProgressState, out: &mut dyn Write| {
                let _ = write!(out, "{:.1} it/s", state.per_sec());
            };
            bar.set_style(style.progress_chars("━╸─").with_key("rate", rate));
        }
        bar.set_prefix(label);
        let printer = screen.clone();
        console_through(Some(Box::new(move |line| {
            let _ = printer.println(line);
        })));
        Some(bar)
    }

    /// Takes a bar off the screen, or leaves it there; without bars log lines go their own way again.
    fn finish(&mut self, bar: Option<Bar>) {
        let Some(bar) = bar else { return };
        if self.args.leave {
            bar.finish();
        } else {
            bar.finish_and_clear();
            if let Some(screen) = &self.screen {
                screen.remove(&bar);
            }
        }
        if self.train.is_none() && self.eval.is_none() {
            console_through(None);
            self.screen = None;
        }
    }
}

fn show(bar: &Bar, values: &[(&str, f64)]) {
    let text: Vec<String> = values.iter().map(|(name, value)| format!("{name} {value:.4}")).collect();
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

    /// A run that is stopped within an epoch leaves no bar behind.
    fn on_train_end(&mut self, cx: &mut Cx) -> Result<()> {
        self.on_exception(cx)
    }

    fn on_exception(&mut self, _: &mut Cx) -> Result<()> {
        let (train, eval) = (self.train.take(), self.eval.take());
        self.finish(eval);
        self.finish(train);
        Ok(())
    }
}
