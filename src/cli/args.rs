//! What was typed: the command, Hydra's flags, and the free arguments (overrides, names, folders).

use std::path::PathBuf;

use clap::{CommandFactory, Parser, ValueEnum};

/// Which part of the config `--cfg` shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Part {
    /// The config of the job.
    Job,
    /// The `hydra` node.
    Hydra,
    /// Both.
    All,
}

/// What `--info` shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Info {
    /// Everything below.
    All,
    /// The config.
    Config,
    /// The final list of configs that are merged.
    Defaults,
    /// The same as a tree.
    DefaultsTree,
    /// Where configs are searched.
    Searchpath,
    /// What would be built.
    Plan,
}

/// How `--cfg` and `--dry-run` print.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// YAML.
    #[default]
    Yaml,
    /// JSON.
    Json,
}

/// The command line. Everything that is not a flag is in `free`: the command first, unless it is `train`.
#[derive(Clone, Debug, Parser)]
#[command(name = "runner", disable_help_flag = true, disable_version_flag = true)]
pub struct Args {
    /// The command, overrides, and whatever else the command takes.
    pub free: Vec<String>,
    /// Run every combination of comma-separated values.
    #[arg(short = 'm', long)]
    pub multirun: bool,
    /// Run one job (the default).
    #[arg(short = 'r', long)]
    pub run: bool,
    /// Print the config instead of running.
    #[arg(short = 'c', long, value_name = "PART")]
    pub cfg: Option<Part>,
    /// Resolve interpolations when printing.
    #[arg(long)]
    pub resolve: bool,
    /// Print only this part of the config.
    #[arg(short = 'p', long, value_name = "PACKAGE")]
    pub package: Option<String>,
    /// How to print: yaml or json.
    #[arg(long, default_value = "yaml")]
    pub format: Format,
    /// With --multirun: print the jobs instead of running them.
    #[arg(long)]
    pub dry_run: bool,
    /// Print where the config comes from.
    #[arg(short = 'i', long, value_name = "WHAT")]
    pub info: Option<Info>,
    /// The folder of the configs.
    #[arg(long, value_name = "DIR")]
    pub config_path: Option<PathBuf>,
    /// The primary config's name.
    #[arg(long, value_name = "NAME")]
    pub config_name: Option<String>,
    /// A further folder of configs.
    #[arg(long, value_name = "DIR")]
    pub config_dir: Option<PathBuf>,
    /// With runs: by run, started, duration, status, best or a metric; `-KEY` turns the order.
    #[arg(long, value_name = "KEY", allow_hyphen_values = true)]
    pub sort: Option<String>,
    /// With runs, data speed and prepare stats: print JSON.
    #[arg(long)]
    pub json: bool,
    /// Show the app's help.
    #[arg(short = 'h', long)]
    pub help: bool,
    /// Show the flags.
    #[arg(long)]
    pub hydra_help: bool,
    /// Show versions.
    #[arg(short = 'V', long)]
    pub version: bool,
    /// Where the run goes, instead of hydra.run.dir; used by sweeps for their jobs.
    #[arg(long, value_name = "DIR", hide = true)]
    pub run_dir: Option<PathBuf>,
    /// Run one job of a sweep, described in this file; used by launchers.
    #[arg(long, value_name = "FILE", hide = true)]
    pub sweep_job: Option<PathBuf>,
    /// With resume of a sweep: also run the jobs that failed.
    #[arg(long)]
    pub retry_failed: bool,
    /// With data and prepare: where to write.
    #[arg(long, value_name = "PATH")]
    pub out: Option<PathBuf>,
    /// With best: write the winner's overrides as an experiment.
    #[arg(long, value_name = "FILE")]
    pub copy_config: Option<PathBuf>,
}

impl Args {
    /// Reads a command line (without the program's name).
    pub fn read(arguments: impl IntoIterator<Item = String>) -> Result<Self, clap::Error> {
        let mut arguments = arguments.into_iter().peekable();
        let mut words = vec!["runner".to_owned()];
        while let Some(word) = arguments.next() {
            // Hydra's two-letter short flags, and `--info` without its word.
            let word = match word.split_once('=').map_or((word.as_str(), None), |(flag, value)| (flag, Some(value))) {
                ("-cn", value) => spelled("--config-name", value),
                ("-cp", value) => spelled("--config-path", value),
                ("-cd", value) => spelled("--config-dir", value),
                ("-i" | "--info", None) => match arguments.peek().filter(|next| Info::from_str(next, false).is_ok()) {
                    Some(_) => "--info".to_owned(),
                    None => "--info=all".to_owned(),
                },
                _ => word,
            };
            words.push(word);
        }
        Args::try_parse_from(words)
    }

    /// The text of `--hydra-help`.
    pub fn flags_help() -> String {
        Args::command().render_help().to_string()
    }
}

fn spelled(flag: &str, value: Option<&str>) -> String {
    value.map_or_else(|| flag.to_owned(), |value| format!("{flag}={value}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hydras_spellings_are_understood() {
        let read = |line: &str| Args::read(line.split_whitespace().map(str::to_owned)).unwrap();
        let args = read("-m train -cn eval -cp=conf a=1 ~b +c.d=2 --info");
        assert_eq!(args.free, ["train", "a=1", "~b", "+c.d=2"]);
        assert!(args.multirun);
        assert_eq!(args.config_name.as_deref(), Some("eval"));
        assert_eq!(args.info, Some(Info::All));
        assert_eq!(read("--info defaults-tree x=1").info, Some(Info::DefaultsTree));
        assert_eq!(read("--info x=1").free, ["x=1"]);
        assert!(read("train a=1 -m").multirun);
    }
}
