//! The binary as a user runs it, one file a topic.

#[path = "../support/slurm.rs"]
mod cluster;
#[path = "../support/pictures.rs"]
mod pictures;
#[path = "../support/python.rs"]
mod python;
#[path = "../support/runner.rs"]
mod runner;

mod bad_input;
mod callbacks;
mod config;
mod data;
mod errors;
mod evaluate;
mod evaluation;
mod infer;
mod interrupt;
mod loggers;
mod malpolon;
mod moths;
mod parity;
mod report;
mod resume;
mod sample_data;
mod search;
mod slurm;
mod sweep;
mod tasks;
mod train;
mod trainer;
mod tune;
mod varkoder;
mod varkoder_data;
mod varkoder_models;
