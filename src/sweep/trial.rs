//! One trial of a search: what was tried, and what came of it.

use std::collections::BTreeMap;

use indexmap::IndexMap;
use serde::{Deserialize, Serialize};

/// The value of one parameter.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ParamValue {
    /// Which of the choices, from 0.
    Choice(usize),
    /// A whole number.
    Int(i64),
    /// A floating point number.
    Float(f64),
}

impl ParamValue {
    /// The value as one number: the position of a choice, the number itself. Optuna's "internal representation".
    pub fn internal(self) -> f64 {
        match self {
            ParamValue::Choice(position) => position as f64,
            ParamValue::Int(value) => value as f64,
            ParamValue::Float(value) => value,
        }
    }
}

/// The parameters of a trial: exactly those that were active, by the key of their override, in the space's order.
pub type Params = IndexMap<String, ParamValue>;

/// How far a trial is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum TrialState {
    /// Asked for; its end is not known yet.
    Running,
    /// Ended with its values.
    Finished,
    /// Stopped early because it did not look promising.
    Pruned,
    /// Ended with an error.
    Failed,
}

/// One trial.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Trial {
    /// Its number, from 0, in the order of asking.
    pub number: usize,
    /// What was tried.
    pub params: Params,
    /// How far it is.
    pub state: TrialState,
    /// The objectives' values, one a direction, when finished. Others leave it empty.
    #[serde(default)]
    pub values: Vec<f64>,
    /// The first objective as reported while training: step to value.
    #[serde(default)]
    pub intermediate: BTreeMap<u64, f64>,
    /// By how much each constraint on results is violated, in order; at most 0 when it is met.
    #[serde(default)]
    pub constraints: Vec<f64>,
    /// After how many steps (epochs) it pauses, when the search gives out steps.
    #[serde(default)]
    pub steps: Option<u64>,
}

impl Trial {
    /// A trial that has just been asked for.
    pub fn running(number: usize, params: Params) -> Self {
        Trial {
            number,
            params,
            state: TrialState::Running,
            values: Vec::new(),
            intermediate: BTreeMap::new(),
            constraints: Vec::new(),
            steps: None,
        }
    }

    /// Whether its end is known.
    pub fn has_ended(&self) -> bool {
        self.state != TrialState::Running
    }

    /// Whether every constraint on results is met.
    pub fn is_feasible(&self) -> bool {
        self.constraints.iter().all(|violation| *violation <= 0.0)
    }

    /// Whether it was stopped and may still go on.
    pub fn is_paused(&self) -> bool {
        self.state == TrialState::Pruned
    }

    /// The last step that was reported, with its value.
    pub fn last_report(&self) -> Option<(u64, f64)> {
        self.intermediate.last_key_value().map(|(step, value)| (*step, *value))
    }
}

/// Whether less or more is better.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Direction {
    /// Less is better.
    #[default]
    Minimize,
    /// More is better.
    Maximize,
}

impl Direction {
    /// The value as a loss: less is better. The mapping is its own inverse.
    pub fn loss(self, value: f64) -> f64 {
        match self {
            Direction::Minimize => value,
            Direction::Maximize => -value,
        }
    }

    /// Whether `a` is better than `b`; a NaN is better than nothing.
    pub fn better(self, a: f64, b: f64) -> bool {
        !a.is_nan() && (b.is_nan() || self.loss(a) < self.loss(b))
    }
}

/// The trials so far, as a sampler may see them.
///
/// Only the first `visible` of them count as ended, so that the same seed and the same results give the same
/// proposals whatever the order in which jobs that run side by side happen to end.
#[derive(Clone, Copy)]
pub struct History<'a> {
    trials: &'a [Trial],
    visible: usize,
}

impl<'a> History<'a> {
    /// All of `trials` (sorted by number, without gaps), of which the first `visible` may be judged.
    pub fn new(trials: &'a [Trial], visible: usize) -> Self {
        History { trials, visible: visible.min(trials.len()) }
    }

    /// How many trials have been asked for.
    pub fn len(&self) -> usize {
        self.trials.len()
    }

    /// Whether nothing has been asked for yet.
    pub fn is_empty(&self) -> bool {
        self.trials.is_empty()
    }

    /// The trials whose results may be used, by number.
    pub fn ended(&self) -> impl DoubleEndedIterator<Item = &'a Trial> + Clone {
        self.trials[..self.visible].iter().filter(|trial| trial.has_ended())
    }

    /// The trials that finished with values, by number.
    pub fn finished(&self) -> impl DoubleEndedIterator<Item = &'a Trial> + Clone {
        self.ended().filter(|trial| trial.state == TrialState::Finished && !trial.values.iter().any(|v| v.is_nan()))
    }

    /// The trials whose parameters are known and whose results are not, by number.
    pub fn pending(&self) -> impl Iterator<Item = &'a Trial> + Clone {
        let visible = self.visible;
        self.trials.iter().enumerate().filter(move |(i, trial)| *i >= visible || !trial.has_ended()).map(|(_, t)| t)
    }

    /// How many of the first trials may be judged.
    pub fn visible(&self) -> usize {
        self.visible
    }

    /// A trial by its number, if its results may be used.
    pub fn get(&self, number: usize) -> Option<&'a Trial> {
        self.trials[..self.visible].get(number).filter(|trial| trial.has_ended())
    }

    /// Every trial, whatever is known of it.
    pub fn all(&self) -> &'a [Trial] {
        self.trials
    }
}
