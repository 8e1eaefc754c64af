//! One flag ends every loop: an early stop, a time limit, the user's Ctrl-C.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use crate::error::{Context, Result};

/// Why a run is asked to stop.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StopReason {
    /// A callback has seen enough; the sentence says why.
    Callback(String),
    /// Ctrl-C.
    Interrupted,
}

/// A flag that the loops look at after every step. Clones share it.
#[derive(Clone, Default)]
pub struct StopFlag {
    interrupted: Arc<AtomicBool>,
    reason: Arc<Mutex<Option<String>>>,
}

impl StopFlag {
    /// Asks the fit to end after this epoch's validation (Lightning's `trainer.should_stop`).
    pub fn stop(&self, reason: impl Into<String>) {
        self.reason.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert_with(|| reason.into());
    }

    /// Why the fit should end, if it should.
    pub fn reason(&self) -> Option<StopReason> {
        if self.is_interrupted() {
            return Some(StopReason::Interrupted);
        }
        self.reason.lock().unwrap_or_else(PoisonError::into_inner).clone().map(StopReason::Callback)
    }

    /// Takes back a callback's wish, when `min_epochs` or `min_steps` says otherwise.
    pub fn overrule(&self) {
        *self.reason.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }

    /// Whether the user has asked to stop.
    pub fn is_interrupted(&self) -> bool {
        self.interrupted.load(Ordering::Relaxed)
    }

    /// Asks to stop as the user's Ctrl-C does.
    pub fn interrupt(&self) {
        self.interrupted.store(true, Ordering::Relaxed);
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
}
