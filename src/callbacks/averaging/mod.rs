//! Averages of weights over time.

mod ema;
mod store;
mod swa;

pub use ema::{EmaWeightAveraging, WeightAveraging};
pub use swa::StochasticWeightAveraging;
