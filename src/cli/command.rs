//! The commands: one list from which parsing, help and completion are made.

use super::commands::objective;
use crate::error::{Error, Result};
use crate::registry::{OwnCommand, suggest};

/// What runner can be asked to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Command {
    /// Fit, then test.
    Train,
    /// Evaluate a checkpoint on the validation split.
    Validate,
    /// Evaluate a checkpoint on the test split.
    Test,
    /// Predict with a checkpoint.
    Predict,
    /// Predict files with what a run's folder holds.
    Infer,
    /// Say what a table of predictions is worth.
    Evaluate,
    /// Lay out pictures of k-mer counts in another way.
    Convert,
    /// Look for a learning rate and a batch size.
    Tune,
    /// A function of the config: `objective`, or a command of a user's crate.
    Own(OwnCommand),
    /// Prepare, tune, train and test, each where it is needed.
    Pipeline,
    /// Show the best job of a sweep.
    Best,
    /// Go on with a run or a sweep in its own folder.
    Resume,
    /// Look at what the model will see, or time the loader.
    Data,
    /// Make folders of images and statistics before training.
    Prepare,
    /// Check everything without training.
    Check,
    /// Say where a value comes from.
    Explain,
    /// List or describe components.
    Components,
    /// Write JSON Schemas.
    Schema,
    /// Compare the configs of two runs.
    Diff,
    /// Run again what a run folder records.
    Rerun,
    /// List runs.
    Runs,
    /// Make the pages of runs again.
    Report,
    /// Tell trackers what they have not got yet.
    Sync,
    /// Print a completion script.
    Completion,
}

/// How a command is spelt, what it takes before overrides, and what it does.
#[derive(Clone, Copy)]
pub struct Spelling {
    /// The command.
    pub command: Command,
    /// Its name.
    pub name: &'static str,
    /// The words it takes beside overrides; those in brackets may be left out.
    pub words: &'static [&'static str],
    /// What it does, in a line.
    pub does: &'static str,
}

const fn spelt(command: Command, name: &'static str, words: &'static [&'static str], does: &'static str) -> Spelling {
    Spelling { command, name, words, does }
}

const fn own(command: OwnCommand) -> Spelling {
    spelt(Command::Own(command), command.name, &[], command.does)
}

/// All commands that come with runner, in the order of the help.
pub const COMMANDS: &[Spelling] = &[
    spelt(Command::Train, "train", &[], "train a model, then test it with its best checkpoint"),
    spelt(Command::Validate, "validate", &[], "evaluate a checkpoint on the validation split: ckpt_path=…"),
    spelt(Command::Test, "test", &[], "evaluate a checkpoint on the test split: ckpt_path=…"),
    spelt(Command::Predict, "predict", &[], "write a CSV row with the prediction for every sample: ckpt_path=…"),
    spelt(
        Command::Infer,
        "infer",
        &["RUN", "FILE…"],
        "predict images, or folders of them, with a run or checkpoint: out=…",
    ),
    spelt(
        Command::Evaluate,
        "evaluate",
        &["PREDICTIONS"],
        "scores, confusion matrices and curves of predictions: out=…",
    ),
    spelt(Command::Convert, "convert", &["FOLDER"], "lay out varKoder's pictures in another way: to=cgr or to=varKode"),
    spelt(Command::Tune, "tune", &[], "look for a learning rate (and a batch size: tuner=all) by short trials"),
    own(objective::COMMAND),
    spelt(Command::Pipeline, "pipeline", &[], "prepare, tune, train and test, skipping what is done already"),
    spelt(Command::Best, "best", &["SWEEP"], "show the best job of a sweep; --copy-config FILE writes its overrides"),
    spelt(
        Command::Resume,
        "resume",
        &["DIR"],
        "go on with a run or a sweep that was stopped or killed, in its own folder",
    ),
    spelt(
        Command::Data,
        "data",
        &["[look|speed]"],
        "look at what the model will see: samples, classes, sizes; or time the loader",
    ),
    spelt(
        Command::Prepare,
        "prepare",
        &["TOOL", "[SOURCE…]"],
        "image-folder SOURCE… --out DIR links readable images; stats says mean and deviation",
    ),
    spelt(Command::Check, "check", &[], "check config, components, data and shapes without training"),
    spelt(Command::Explain, "explain", &["KEY"], "say which file or argument set a value, and what it overrode"),
    spelt(Command::Components, "components", &["[NAME]"], "list the components, or describe one"),
    spelt(Command::Schema, "schema", &[], "write JSON Schemas, so that an editor completes and checks configs"),
    spelt(Command::Diff, "diff", &["RUN", "RUN"], "compare the configs of two runs"),
    spelt(Command::Rerun, "rerun", &["RUN"], "run again what a run folder records, with further overrides"),
    spelt(Command::Runs, "runs", &["[DIR]"], "list the runs below a folder; status=failed or an override keeps some"),
    spelt(
        Command::Report,
        "report",
        &["DIR"],
        "make the page report.html of a run, or of all runs below a folder; images=true draws their curves",
    ),
    spelt(Command::Sync, "sync", &["DIR"], "tell MLflow servers what waits in the runs below a folder"),
    spelt(Command::Completion, "completion", &["SHELL"], "print a completion script for bash, zsh or fish"),
];

/// All commands: those of a user's crate first, which replace runner's own of the same name.
pub fn all(users: &[OwnCommand]) -> impl Iterator<Item = Spelling> {
    let is_replaced = |spelling: &&Spelling| users.iter().any(|user| user.name == spelling.name);
    users.iter().map(|user| own(*user)).chain(COMMANDS.iter().filter(move |spelling| !is_replaced(spelling)).copied())
}

impl Command {
    /// As it is typed.
    pub fn name(self) -> &'static str {
        match self {
            Command::Own(own) => own.name,
            _ => COMMANDS.iter().find(|spelling| spelling.command == self).unwrap_or(&COMMANDS[0]).name,
        }
    }

    /// Whether it computes on a checkpoint that exists.
    pub fn evaluates(self) -> bool {
        matches!(self, Command::Validate | Command::Test | Command::Predict)
    }

    /// Splits what was typed into the command (of runner or of `users`), its words, and overrides. Without a command,
    /// `train` is meant.
    ///
    /// # Errors
    /// An unknown command; words that are missing.
    pub fn split(free: &[String], users: &[OwnCommand]) -> Result<(Command, Vec<String>, Vec<String>)> {
        let Some((first, rest)) = free.split_first().filter(|(first, _)| !is_override(first)) else {
            return Ok((Command::Train, Vec::new(), free.to_vec()));
        };
        let Some(spelling) = all(users).find(|spelling| spelling.name == first) else {
            return Err(unknown(first, users));
        };
        // The last word may stand for any number.
        let most = if spelling.words.last().is_some_and(|word| word.contains('…')) {
            rest.len()
        } else {
            spelling.words.len()
        };
        let taken = rest.iter().take(most).take_while(|word| !is_override(word)).count();
        let needed = spelling.words.iter().filter(|word| !word.starts_with('[')).count();
        if taken < needed {
            let usage = spelling.words.join(" ");
            return Err(Error::request(format!("`runner {first}` needs {}", spelling.words[taken]))
                .help(format!("runner {first} {usage}")));
        }
        Ok((spelling.command, rest[..taken].to_vec(), rest[taken..].to_vec()))
    }
}

fn is_override(text: &str) -> bool {
    text.contains('=') || text.starts_with(['~', '+'])
}

fn unknown(name: &str, users: &[OwnCommand]) -> Error {
    let names = all(users).map(|spelling| spelling.name).collect::<Vec<_>>();
    let names = names.iter().copied();
    let error = Error::request(format!("there is no command `{name}`"));
    match suggest::nearest(name, names.clone()) {
        Some(near) => error.help(format!("did you mean `runner {near}`?")),
        None => {
            let names = names.collect::<Vec<_>>().join(", ");
            error.help(format!("the commands are {names}; an override is written key=value"))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn split(line: &str) -> Result<(Command, Vec<String>, Vec<String>)> {
        Command::split(&line.split_whitespace().map(str::to_owned).collect::<Vec<_>>(), &[])
    }

    #[test]
    fn the_first_word_is_the_command() {
        assert_eq!(split("a=1").unwrap().0, Command::Train);
        assert_eq!(split("test a=1").unwrap(), (Command::Test, vec![], vec!["a=1".into()]));
        assert_eq!(
            split("explain model.net +a=1").unwrap(),
            (Command::Explain, vec!["model.net".into()], vec!["+a=1".into()])
        );
        assert!(split("trian").unwrap_err().to_string().contains("did you mean `runner train`?"));
        assert!(split("diff one").unwrap_err().to_string().contains("needs RUN"));
    }
}
