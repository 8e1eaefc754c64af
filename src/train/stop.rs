//! One flag ends every loop: an early stop, a time limit, the user's Ctrl-C, a cluster that wants its machine back.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use crate::error::{Context, Result};

/// Why a run is asked to stop.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StopReason {
    /// A callback has seen enough; the sentence says why.
    Callback(String),
    /// A signal from outside.
    Signal(Signal),
}

/// Who asks from outside.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Signal {
    /// Ctrl-C: the user wants to see what there is.
    Interrupt,
    /// SIGTERM: the machine is taken away.
    Terminate,
    /// SIGUSR1: a scheduler says beforehand that the machine will be taken away.
    Warning,
}

impl Signal {
    /// Its usual name.
    pub fn name(self) -> &'static str {
        match self {
            Signal::Interrupt => "Ctrl-C",
            Signal::Terminate => "SIGTERM",
            Signal::Warning => "SIGUSR1",
        }
    }

    /// The process's exit code after it: 130 for Ctrl-C, as shells have it; 75, the conventional "temporary failure,
    /// try again", when the machine is taken away and the run waits to go on.
    pub fn exit_code(self) -> i32 {
        match self {
            Signal::Interrupt => 130,
            Signal::Terminate | Signal::Warning => 75,
        }
    }
}

/// A flag that the loops look at after every step. Clones share it.
#[derive(Clone, Default)]
pub struct StopFlag {
    interrupted: Arc<AtomicBool>,
    terminated: Arc<AtomicBool>,
    warned: Arc<AtomicBool>,
    heeded: Arc<AtomicBool>,
    asked: Arc<AtomicBool>,
    reason: Arc<Mutex<Option<String>>>,
}

impl StopFlag {
    /// Asks the fit to end after this batch and a validation (Lightning's `trainer.should_stop`).
    pub fn stop(&self, reason: impl Into<String>) {
        self.reason.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert_with(|| reason.into());
        self.asked.store(true, Ordering::Relaxed);
    }

    /// Why the fit should end, if it should.
    pub fn reason(&self) -> Option<StopReason> {
        if self.is_interrupted() {
            return self.signal().map(StopReason::Signal);
        }
        if !self.asked.load(Ordering::Relaxed) {
            return None;
        }
        self.reason.lock().unwrap_or_else(PoisonError::into_inner).clone().map(StopReason::Callback)
    }

    /// Whether a callback has asked to stop.
    pub fn is_asked(&self) -> bool {
        self.asked.load(Ordering::Relaxed)
    }

    /// Whether a signal asks to end what is going on.
    pub fn is_interrupted(&self) -> bool {
        let on = |flag: &AtomicBool| flag.load(Ordering::Relaxed);
        (on(&self.interrupted) && !on(&self.heeded)) || on(&self.terminated) || on(&self.warned)
    }

    /// The gravest signal that has come so far.
    pub fn signal(&self) -> Option<Signal> {
        let flags = [
            (&self.terminated, Signal::Terminate),
            (&self.warned, Signal::Warning),
            (&self.interrupted, Signal::Interrupt),
        ];
        flags.into_iter().find(|(flag, _)| flag.load(Ordering::Relaxed)).map(|(_, signal)| signal)
    }

    /// Asks to stop as the user's Ctrl-C does.
    pub fn interrupt(&self) {
        self.interrupted.store(true, Ordering::Relaxed);
    }

    /// Asks to save and end, to go on later, as a scheduler's warning does.
    pub fn pause(&self) {
        self.warned.store(true, Ordering::Relaxed);
    }

    /// The fit that Ctrl-C asked to end has ended; what comes after it (the test) is not stopped by that Ctrl-C.
    pub fn heed_interrupt(&self) {
        self.heeded.store(true, Ordering::Relaxed);
    }

    /// From now on the first Ctrl-C raises this flag; a second one ends the process at once, with code 130.
    pub fn on_ctrl_c(&self) -> Result<()> {
        use signal_hook::consts::SIGINT;
        // The order matters: the shutdown looks at the flag before the flag is raised.
        signal_hook::flag::register_conditional_shutdown(SIGINT, 130, self.interrupted.clone())
            .and_then(|_| signal_hook::flag::register(SIGINT, self.interrupted.clone()))
            .context("cannot listen for Ctrl-C")?;
        Ok(())
    }

    /// As [`StopFlag::on_ctrl_c`], and SIGTERM and SIGUSR1 raise the flag too. A second SIGTERM ends the process at
    /// once, with code 143; a second SIGUSR1, which schedulers send to every process of a job, changes nothing.
    pub fn on_signals(&self) -> Result<()> {
        self.on_ctrl_c()?;
        #[cfg(unix)]
        {
            use signal_hook::consts::{SIGTERM, SIGUSR1};
            signal_hook::flag::register_conditional_shutdown(SIGTERM, 143, self.terminated.clone())
                .and_then(|_| signal_hook::flag::register(SIGTERM, self.terminated.clone()))
                .and_then(|_| signal_hook::flag::register(SIGUSR1, self.warned.clone()))
                .context("cannot listen for SIGTERM")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_heeded_interrupt_stops_no_more_but_is_remembered() {
        let stop = StopFlag::default();
        stop.stop("enough");
        assert_eq!(stop.reason(), Some(StopReason::Callback("enough".into())));
        stop.interrupt();
        assert_eq!(stop.reason(), Some(StopReason::Signal(Signal::Interrupt)));
        stop.heed_interrupt();
        assert!(!stop.is_interrupted());
        assert_eq!(stop.signal().map(Signal::exit_code), Some(130));
        stop.terminated.store(true, Ordering::Relaxed);
        assert!(stop.is_interrupted());
        assert_eq!(stop.signal().map(Signal::exit_code), Some(75));
    }
}
