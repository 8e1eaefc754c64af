//! The command line: what was typed becomes a call of a command; errors become text and an exit code.
//!
//! There are two entry points. [`main`] does everything; a user's crate calls it with its own registry. [`front`]
//! is the `runner` binary: it answers whatever needs no tensors by itself, in milliseconds, and starts the engine
//! beside it for the rest.

mod args;
mod best;
mod command;
mod commands;
mod completion;
mod compose;
mod diff;
mod evaluation;
mod explain;
mod files;
mod kmers;
mod problem;
mod show;

use std::process::ExitCode;

use crate::error::{Error, Result};
use crate::registry::{Additions, Registry};
use args::Args;
use command::Command;
use compose::Request;

/// The whole program with these components.
pub fn main(registry: Registry) -> ExitCode {
    exit(registry.additions(), |request| match show::answer(request)? {
        Some(code) => Ok(code),
        None => compute(request, &registry),
    })
}

/// The program without libtorch: what needs it is done by `runner-engine` beside this program.
pub fn front() -> ExitCode {
    exit(&Additions::default(), |request| match (show::answer(request)?, request.command) {
        (Some(code), _) => Ok(code),
        (None, Command::Own(own)) if request.args.info.is_none() => commands::own::without_tensors(request, own),
        (None, _) => start_engine(),
    })
}

/// Exit codes: 0 done, 1 a run failed, 2 a request that cannot be right, 130 interrupted by Ctrl-C, 75 told to stop
/// by SIGTERM or SIGUSR1 and saved.
fn exit(additions: &Additions, work: impl FnOnce(&Request) -> Result<i32>) -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if let Some(("--complete", words)) = arguments.split_first().map(|(first, rest)| (first.as_str(), rest)) {
        completion::candidates(words, additions).iter().for_each(|candidate| println!("{candidate}"));
        return ExitCode::SUCCESS;
    }
    let code = match Args::read(arguments) {
        Err(error) => {
            let _ = error.print();
            2
        }
        Ok(args) => Request::new(args, additions)
            .and_then(|request| work(&request))
            .unwrap_or_else(|error| problem::report(&error)),
    };
    ExitCode::from(u8::try_from(code).unwrap_or(1))
}

fn compute(request: &Request, registry: &Registry) -> Result<i32> {
    use crate::data::Split;
    crate::native::memory::keep_freed_blocks();
    if let Some(job) = &request.args.sweep_job {
        return commands::sweep::from_file(job, registry);
    }
    if request.args.info == Some(args::Info::Plan) {
        return commands::check::plan(&request.compose()?, registry);
    }
    if request.is_multirun()? {
        return commands::sweep::sweep(request, commands::sweep::work_of(request.command, registry).as_ref());
    }
    match request.command {
        Command::Train => commands::train::train(&request.compose()?, registry),
        Command::Validate => commands::evaluate::evaluate(request, registry, Split::Val),
        Command::Test => commands::evaluate::evaluate(request, registry, Split::Test),
        Command::Predict => commands::evaluate::predict(request, registry),
        Command::Tune => commands::tune::tune(&request.compose()?, registry),
        Command::Infer => commands::infer::infer(request, registry),
        Command::Data => commands::data::data(request, registry),
        Command::Prepare => commands::prepare::prepare(request, registry),
        Command::Check => commands::check::check(&request.compose()?, registry),
        Command::Components => commands::components::components(request, registry),
        Command::Schema => commands::schema::schema(registry),
        Command::Own(own) => commands::own::run(&request.compose()?, &commands::sweep::functions(own, registry)),
        Command::Pipeline => commands::pipeline::pipeline(request, registry),
        Command::Resume => commands::resume::resume(request, registry),
        Command::Rerun => commands::rerun::rerun(request, registry),
        // The front has answered these.
        Command::Explain
        | Command::Evaluate
        | Command::Convert
        | Command::Diff
        | Command::Runs
        | Command::Report
        | Command::Sync
        | Command::Completion
        | Command::Best => Ok(0),
    }
}

/// Becomes the engine, with the same arguments.
fn start_engine() -> Result<i32> {
    let here = std::env::current_exe().map_err(|error| Error::failed(format!("cannot find the program: {error}")))?;
    let engine = here.with_file_name(format!("runner-engine{}", std::env::consts::EXE_SUFFIX));
    let missing = |error: std::io::Error| {
        Error::failed(format!("cannot start {}: {error}", engine.display()))
            .help("runner and runner-engine belong into one folder; `cargo build --release` makes both")
    };
    let mut command = std::process::Command::new(&engine);
    command.args(std::env::args_os().skip(1));
    #[cfg(unix)]
    {
        use std::os::unix::process::CommandExt;
        // The run's record shows what was typed, not how it was carried out.
        if let Some(name) = std::env::args_os().next() {
            command.arg0(name);
        }
        Err(missing(command.exec()))
    }
    #[cfg(not(unix))]
    {
        let status = command.status().map_err(missing)?;
        Ok(status.code().unwrap_or(1))
    }
}
