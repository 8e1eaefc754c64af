//! Losses: value and gradient.

#[path = "support/golden.rs"]
mod golden;
#[path = "support/golden_tests.rs"]
mod golden_tests;
